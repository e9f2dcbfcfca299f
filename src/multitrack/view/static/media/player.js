/** One name with all that was logged under it, one step at a time. */

import { number } from "../format.js";
import { html, useRef, useState } from "../lib.js";
import { Bone } from "../parts/says.js";
import { useSeen } from "../charts/seen.js";
import { useEntry } from "./pages.js";
import { View } from "./view.js";

/**
 * @param {{id: string, kind: string, name: string, count: number}} props
 */
export function Player({ id, kind, name, count }) {
  const root = useRef(null);
  const [chosen, choose] = useState(null);
  const index = Math.min(chosen ?? count - 1, count - 1);
  const { entry, error } = useEntry({ id, kind, name, index, isSeen: useSeen(root) });
  const onMove = (event) => {
    const next = Number(event.target.value);
    choose(next === count - 1 ? null : next);
  };
  return html`<article class="card media ${kind}" ref=${root}>
    <header>
      <h3 class="clip" title=${name}>${name}</h3>
      <output class="at number">${entry && `step ${number(entry.step)}`}</output>
    </header>
    <div class="stage">
      ${error && html`<p class="note" role="alert">${error.message}</p>`}
      ${!entry && !error && html`<${Bone} height="100%" />`}
      ${entry && html`<${View} ...${{ kind, name, entry }} />`}
    </div>
    <p class="caption clip" title=${entry?.caption ?? ""}>${entry?.caption ?? ""}</p>
    <label class="steps">
      <span class="hidden">Step of ${name}</span>
      <input
        type="range"
        min="0"
        max=${Math.max(0, count - 1)}
        value=${index}
        disabled=${count < 2}
        aria-valuetext=${entry ? `step ${entry.step}` : ""}
        onInput=${onMove}
      />
      <span class="quiet number">${number(index + 1)} / ${number(count)}</span>
    </label>
  </article>`;
}
