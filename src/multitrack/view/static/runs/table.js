/** The runs, as a table of which only the rows in sight are drawn. */

import { html, useEffect, useRef } from "../lib.js";
import { Bone } from "../parts/says.js";
import { Row } from "./row.js";
import { useWindow } from "./window.js";

const ROW = 38;
const NARROW_ROW = 56;

/**
 * @param {{runs: object[], columns: object[], query: object, selected: Set<string>,
 *   isNarrow: boolean, onSort: (key: string) => void,
 *   onSelect: (index: number, withRange: boolean) => void, onSelectAll: () => void}} props
 */
export function Table({ runs, columns, query, selected, isNarrow, onSort, onSelect, onSelectAll }) {
  const scroller = useRef(null);
  const height = isNarrow ? NARROW_ROW : ROW;
  const { first, last } = useWindow(scroller, runs.length, height);
  useEffect(() => scroller.current.scrollTo(0, 0), [query.search, query.sort, query.isDown]);
  const isAll = runs.length > 0 && runs.every((run) => selected.has(run.id));
  return html`<div class="scroll" ref=${scroller}>
    <table class="runs" aria-rowcount=${runs.length + 1} style=${{ "--row": `${height}px` }}>
      <thead>
        <tr>
          <th class="pick">
            <label>
              <span class="hidden">Select all that are shown</span>
              <input type="checkbox" checked=${isAll} onClick=${onSelectAll} />
            </label>
          </th>
          ${columns.map((column) => html`<${Heading} key=${column.key} ...${{ column, query, onSort }} />`)}
        </tr>
      </thead>
      <tbody onKeyDown=${(event) => walk(event, scroller.current, height)}>
        ${first > 0 && html`<tr key="above" style=${{ height: `${first * height}px` }} />`}
        ${runs.slice(first, last).map(
          (run, offset) => html`<${Row}
            key=${run.id}
            index=${first + offset}
            isSelected=${selected.has(run.id)}
            ...${{ run, columns, isNarrow, onSelect }}
          />`,
        )}
        ${last < runs.length &&
        html`<tr key="below" style=${{ height: `${(runs.length - last) * height}px` }} />`}
      </tbody>
    </table>
  </div>`;
}

function Heading({ column, query, onSort }) {
  const isSorted = query.sort === column.key;
  const order = isSorted ? (query.isDown ? "descending" : "ascending") : "none";
  return html`<th class=${column.isNumber ? "right" : ""} aria-sort=${order} scope="col">
    <button type="button" title=${column.title} onClick=${() => onSort(column.key)}>
      <span class="clip">${column.title}</span>
      <span class="arrow" aria-hidden="true">${isSorted ? (query.isDown ? "↓" : "↑") : ""}</span>
    </button>
  </th>`;
}

/** Let the arrow keys go from row to row, in the column where the focus is. */
function walk(event, scroller, height) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  const row = event.target.closest("tr");
  const control = event.target.matches("input") ? "input" : "a";
  const next = row.parentElement.querySelector(`tr[data-index="${Number(row.dataset.index) + by}"]`);
  if (!next) return;
  next.querySelector(control).focus({ preventScroll: true });
  const top = next.offsetTop - height;
  const bottom = next.offsetTop + 2 * height;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  if (bottom > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop += height;
}

/** What stands where the table will be, until the runs are known. */
export function TableSkeleton() {
  return html`<div class="scroll" aria-busy="true" aria-label="Loading runs">
    ${Array.from(
      { length: 14 },
      (_, index) => html`<div class="skeleton-row">
        <${Bone} width="14px" height="14px" />
        <${Bone} width=${`${120 + ((index * 47) % 90)}px`} />
        <${Bone} width="64px" height="18px" />
        <${Bone} width="72px" />
      </div>`,
    )}
  </div>`;
}
