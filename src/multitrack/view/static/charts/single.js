/** Metrics that were logged once: a number, or a bar for each run, instead of an axis with a dot. */

import { number } from "../format.js";
import { html } from "../lib.js";
import { Swatch } from "./legend.js";

/**
 * The one value that a run has.
 * @typedef {{run: string, step: number, value: number|string}} Value a text says NaN or Infinity
 */

/**
 * Return the metrics that no run has logged more than once, with their values.
 * @param {{id: string, reading: number|null, metrics: object[]}[]} runs
 * @returns {[string, Value[]][]}
 */
export function singlesOf(runs) {
  const found = new Map();
  for (const { id, reading, metrics } of runs) {
    for (const { name, points, last } of metrics) {
      const values = found.get(name) ?? [];
      const isSingle = points === 1 && !reading && !values.isCurve;
      found.set(name, isSingle ? [...values, { run: id, ...last }] : { isCurve: true });
    }
  }
  return [...found].filter(([, values]) => !values.isCurve);
}

/**
 * @param {{name: string, title: string, values: Value[], runs: {id: string, label: string}[],
 *   colours: Map<string, object>}} props
 */
export function Single({ name, title, values, runs, colours }) {
  const steps = new Set(values.map(({ step }) => step));
  const at = steps.size === 1 ? `step ${number(values[0].step)}` : "";
  return html`<article class="card single">
    <header>
      <h3 class="clip" title=${name}>${title}</h3>
      <output class="at number">${at}</output>
    </header>
    ${runs.length > 1
      ? html`<${Bars} ...${{ values, runs, colours }} />`
      : html`<p class="value number">${number(values[0].value)}</p>`}
  </article>`;
}

function Bars({ values, runs, colours }) {
  const found = new Map(values.map((one) => [one.run, one]));
  const sizes = values.map(({ value }) => value).filter((value) => typeof value === "number");
  const low = Math.min(0, ...sizes);
  const span = Math.max(0, ...sizes) - low || 1;
  const place = (value) => `${(100 * (value - low)) / span}%`;
  return html`<ul class="bars">
    ${runs.map(({ id, label, name }) => {
      const one = found.get(id);
      return html`<li key=${id} data-run=${id} title=${one ? `${name}: step ${number(one.step)}` : name}>
        <${Swatch} colour=${colours.get(id)} />
        <span class="clip">${label}</span>
        <span class="track">${typeof one?.value === "number" && html`<${Bar} ...${{ value: one.value, place, colour: colours.get(id) }} />`}</span>
        <output class="number">${one ? number(one.value) : "–"}</output>
      </li>`;
    })}
  </ul>`;
}

/** A bar from nothing to the value, to the left where that is below 0. */
function Bar({ value, place, colour }) {
  const style = {
    "--colour": colour.css,
    "--from": place(Math.min(0, value)),
    "--to": place(Math.max(0, value)),
  };
  return html`<i class=${colour.dash ? "dashed" : ""} style=${style}></i>`;
}
