/** A logged table. */

import { number, text } from "../format.js";
import { html, useState } from "../lib.js";

const FIRST_ROWS = 100;

/**
 * @param {{table: {columns: string[], rows: unknown[][], total: number}}} props
 */
export function Grid({ table: { columns, rows, total } }) {
  const [most, setMost] = useState(FIRST_ROWS);
  const shown = rows.slice(0, most);
  return html`<div class="sheet-table" tabindex="0">
    <table>
      <thead>
        <tr>
          ${columns.map((column) => html`<th key=${column} scope="col">${column}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${shown.map(
          (row, index) => html`<tr key=${index}>
            ${row.map((cell, at) => html`<td key=${at} class=${typeof cell === "number" ? "number right" : ""}>${written(cell)}</td>`)}
          </tr>`,
        )}
      </tbody>
    </table>
    <p class="quiet number">
      ${number(shown.length)} of ${number(total)} rows
      ${shown.length < rows.length &&
      html`<button type="button" class="button small" onClick=${() => setMost(rows.length)}>
        Show ${number(rows.length)}
      </button>`}
    </p>
  </div>`;
}

function written(cell) {
  return cell === null || cell === undefined ? "" : text(cell);
}
