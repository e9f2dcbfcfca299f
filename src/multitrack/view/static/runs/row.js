/** One run, as a row. */

import { knownColour } from "../colours.js";
import { ago, instant } from "../format.js";
import { html } from "../lib.js";
import { BackendChip, isQuiet, StatusChip } from "../parts/chips.js";
import { href } from "../router.js";

const MOST_NAMED = 2;

/**
 * @param {{run: object, index: number, columns: object[], isSelected: boolean,
 *   isNarrow: boolean, onSelect: (index: number, withRange: boolean) => void}} props
 */
export function Row({ run, index, columns, isSelected, isNarrow, onSelect }) {
  const name = run.name || run.id;
  return html`<tr data-index=${index} aria-rowindex=${index + 2} class=${isSelected ? "selected" : ""}>
    <td class="pick">
      <label>
        <span class="hidden">Select ${name}</span>
        <input
          type="checkbox"
          checked=${isSelected}
          disabled=${run.status === "unreadable"}
          onClick=${(event) => onSelect(index, event.shiftKey)}
        />
      </label>
    </td>
    ${columns.map(
      (column) => html`<td key=${column.key} class=${classOf(column)}>
        ${cell(column, run, isSelected, isNarrow)}
      </td>`,
    )}
  </tr>`;
}

function classOf({ key, isNumber }) {
  return `${key === "name" ? "name" : ""} ${isNumber ? "number right" : ""}`;
}

function cell(column, run, isSelected, isNarrow) {
  if (column.key === "name") return html`<${Name} ...${{ run, isSelected, isNarrow }} />`;
  if (column.key === "status") return html`<${Status} ...${{ run, isNarrow }} />`;
  if (column.key === "started" && run.started) {
    return html`<span title=${instant(run.started)}>${ago(run.started)}</span>`;
  }
  if (column.key === "delivery") return html`<${Delivery} run=${run} />`;
  const value = column.value(run);
  if (value === undefined || value === null) return html`<span class="quiet">–</span>`;
  const text = column.text ? column.text(value) : String(value);
  return html`<span class="clip" title=${`${column.title}: ${text}`}>${text}</span>`;
}

function Name({ run, isSelected, isNarrow }) {
  const background = isSelected ? knownColour(run.id)?.css : undefined;
  const facts = [run.project, isNarrow && run.started && ago(run.started)].filter(Boolean);
  const tags = isNarrow ? [] : Object.entries(run.tags ?? {}).slice(0, 3);
  return html`<a href=${href("run", run.id)} title=${run.name || run.id}>
    <span class="dot" style=${{ background }}></span>
    <span class="clip strong">${run.name || run.id}</span>
    <span class="clip quiet project">${facts.join(" · ")}</span>
    ${tags.length > 0 && html`<${Tags} tags=${tags} />`}
  </a>`;
}

function Tags({ tags }) {
  return html`<span class="tags">
    ${tags.map(([name, value]) => html`<span class="tag clip">${value ? `${name}: ${value}` : name}</span>`)}
  </span>`;
}

function Status({ run, isNarrow }) {
  const title = run.unreadable ?? run.error ?? "";
  return html`<span title=${title}>
    <${StatusChip} status=${run.status} />
    ${isNarrow && html`<${Dots} backends=${run.backends ?? []} />`}
  </span>`;
}

function Dots({ backends }) {
  return html`<span class="dots">
    ${backends.map(
      ({ name, word, style }) => html`<i class=${style} title="${name}: ${word}">
        <span class="hidden">${name}: ${word}</span>
      </i>`,
    )}
  </span>`;
}

/** What needs help first, with its word; the others are dots where there are many. */
function Delivery({ run }) {
  const backends = run.backends ?? [];
  if (!backends.length) return html`<span class="quiet">–</span>`;
  const loud = backends.filter((backend) => !isQuiet(backend));
  const named = loud.length ? loud.slice(0, 1) : backends.length > MOST_NAMED ? [] : backends;
  return html`<span class="chips">
    ${named.map((backend) => html`<${BackendChip} key=${backend.name} backend=${backend} />`)}
    <${Dots} backends=${backends.filter((backend) => !named.includes(backend))} />
  </span>`;
}
