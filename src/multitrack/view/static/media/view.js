/** One entry, as what it is. */

import { html, useRef } from "../lib.js";
import { Icon } from "../parts/icons.js";
import { Histogram } from "./histogram.js";
import { Grid } from "./grid.js";

const SMALL = 64;

/**
 * @param {{kind: string, name: string, entry: object}} props
 */
export function View({ kind, name, entry }) {
  if (entry.error) return html`<p class="note">${entry.error}</p>`;
  if (kind === "text") return html`<${Text} ...${entry} />`;
  if (kind === "histogram") return html`<${Histogram} ...${{ name, ...entry.histogram }} />`;
  if (kind === "table") return html`<${Grid} table=${entry.table} />`;
  return (entry.files ?? []).map((file) => html`<${File} key=${file.url} ...${{ file, name, entry }} />`);
}

function Text({ text, truncated }) {
  return html`<pre class="text" tabindex="0">${text}${truncated && "\n\n… (the rest is in the journal)"}</pre>`;
}

function File({ file, name, entry }) {
  const label = entry.caption || `${name}, step ${entry.step}`;
  if (!file.url) return html`<p class="note">${file.error}</p>`;
  if (file.type.startsWith("image/")) return html`<${Picture} ...${{ file, label }} />`;
  if (file.type.startsWith("audio/")) {
    return html`<audio controls preload="metadata" src=${file.url} aria-label=${label}></audio>`;
  }
  if (file.type.startsWith("video/")) {
    return html`<video controls loop muted preload="metadata" src=${file.url} aria-label=${label}></video>`;
  }
  return html`<a class="button" href=${file.url} download>
    <${Icon} name="download" /> Download ${file.name}
  </a>`;
}

/** A picture; a click shows it as large as the screen allows. */
function Picture({ file, label }) {
  const dialog = useRef(null);
  return html`
    <button type="button" class="picture" aria-label=${`Enlarge: ${label}`} onClick=${() => dialog.current.showModal()}>
      <img class=${file.width <= SMALL ? "pixels" : ""} src=${file.url} alt=${label} width=${file.width} height=${file.height} decoding="async" />
    </button>
    <dialog class="enlarged" ref=${dialog} aria-label=${label} onClick=${() => dialog.current.close()}>
      <img src=${file.url} alt=${label} loading="lazy" />
      <p>${label}</p>
    </dialog>
  `;
}
