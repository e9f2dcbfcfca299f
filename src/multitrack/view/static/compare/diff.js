/** The params of several runs, side by side. */

import { Swatch } from "../charts/legend.js";
import { text } from "../format.js";
import { html, useMemo, useState } from "../lib.js";
import { isOrigin } from "../params.js";
import { Search } from "../parts/controls.js";
import { Empty } from "../parts/says.js";

/**
 * @param {{runs: object[], labels: Map<string, string>, colours: Map<string, object>}} props
 */
export function ParamsDiff({ runs, labels, colours }) {
  const [isWhole, setWhole] = useState(false);
  const [search, setSearch] = useState("");
  const rows = useMemo(() => rowsOf(runs), [runs]);
  const wanted = search.trim().toLowerCase();
  const shown = rows.filter((row) => (isWhole || row.differs) && row.name.toLowerCase().includes(wanted));
  return html`
    <div class="tools board-tools">
      <${Search} label="Search params" value=${search} onChange=${setSearch} />
      <button type="button" class="button" aria-pressed=${isWhole ? "true" : "false"} onClick=${() => setWhole(!isWhole)}>
        Show equal ones too
      </button>
      <span class="count quiet number">${shown.length} of ${rows.length}</span>
    </div>
    ${shown.length ? html`<${Sheet} ...${{ runs, labels, colours, rows: shown }} />` : html`<${Same} hasParams=${rows.length > 0} />`}
  `;
}

function Sheet({ runs, labels, colours, rows }) {
  return html`<div class="diff-scroll" tabindex="0">
    <table class="diff">
      <thead>
        <tr>
          <th scope="col">Param</th>
          ${runs.map(
            (run) => html`<th key=${run.id} scope="col" title=${run.name || run.id}>
              <span class="head"><${Swatch} colour=${colours.get(run.id)} /><span class="clip">${labels.get(run.id)}</span></span>
            </th>`,
          )}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ({ name, values, common }) => html`<tr key=${name}>
            <th scope="row" class="clip" title=${name}>${name}</th>
            ${values.map(
              (value, index) => html`<td key=${runs[index].id} class=${value === common ? "" : "other"} title=${value ?? "not set"}>
                ${value ?? html`<span class="quiet">–</span>`}
              </td>`,
            )}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

function Same({ hasParams }) {
  if (!hasParams) return html`<${Empty} small title="These runs have no params" />`;
  return html`<${Empty} small title="No param differs"><p>Show equal ones too, to see them all.</p><//>`;
}

/**
 * Return a row for each param: its values, whether they differ, and the most common one. Where
 * imported runs come from, which always differs, stands last.
 */
function rowsOf(runs) {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.params)))].sort();
  names.sort((a, b) => isOrigin(a) - isOrigin(b));
  return names.map((name) => {
    const values = runs.map((run) => (Object.hasOwn(run.params, name) ? text(run.params[name]) : undefined));
    return { name, values, differs: new Set(values).size > 1, common: mostCommon(values) };
  });
}

function mostCommon(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const [first, second] = [...counts].sort((a, b) => b[1] - a[1]);
  return second && second[1] === first[1] ? values[0] : first?.[0];
}
