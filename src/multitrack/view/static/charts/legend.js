/** Which curve is whose, and what it is at the cursor. */

import { number } from "../format.js";
import { html } from "../lib.js";

/**
 * The runs of a chart. Values are written into it as the cursor moves, past the rendering.
 * @param {{runs: object[], colours: Map<string, object>, onFocus: (run: string|null) => void}} props
 */
export function Legend({ runs, colours, onFocus }) {
  return html`<ul class="legend" onMouseLeave=${() => onFocus(null)}>
    ${runs.map(
      ({ id, label, name }) => html`<li key=${id} data-run=${id} onMouseEnter=${() => onFocus(id)}>
        <${Swatch} colour=${colours.get(id)} />
        <span class="clip" title=${name}>${label}</span>
        <output class="number"></output>
      </li>`,
    )}
  </ul>`;
}

/**
 * A run's colour, as its line is drawn.
 * @param {{colour: {css: string, dash?: number[]}}} props
 */
export function Swatch({ colour }) {
  const style = { "--colour": colour.css };
  return html`<span class="swatch ${colour.dash ? "dashed" : ""}" style=${style}></span>`;
}

/**
 * Write the values into a legend.
 * @param {HTMLElement} root what the legend is in
 * @param {Map<string, {x: number, y: number|null}|null>} points by run
 */
export function writeValues(root, points) {
  for (const item of root.querySelectorAll("[data-run]")) {
    item.querySelector("output").textContent = written(points.get(item.dataset.run));
  }
}

/**
 * Mark the run whose curve is nearest to the cursor.
 * @param {HTMLElement} root
 * @param {string|null} run
 */
export function markRun(root, run) {
  for (const item of root.querySelectorAll("[data-run]")) {
    item.classList.toggle("near", item.dataset.run === run);
  }
}

/**
 * Write the value of a point; a gap is a value that is no number.
 * @param {{y: number|null}|null|undefined} point
 * @returns {string}
 */
export function written(point) {
  if (!point) return "–";
  return point.y === null ? "NaN" : number(point.y);
}
