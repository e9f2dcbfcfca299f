/** What stands above the runs: search, filters, and which columns are shown. */

import { plural } from "../format.js";
import { html, useMemo, useState } from "../lib.js";
import { Search } from "../parts/controls.js";
import { CheckMenu, Choice, Menu, toggled } from "../parts/menu.js";
import { changeQuery } from "../router.js";
import { column } from "./columns.js";
import { countsOf, writeList } from "./query.js";

const MOST_CHOICES = 100;

/**
 * @param {{runs: object[], shown: object[], query: object, isNarrow: boolean,
 *   keys: {params: string[], metrics: string[]}, chosen: string[],
 *   choose: (chosen: string[]) => void}} props
 */
export function Tools({ runs, shown, query, keys, chosen, choose, isNarrow }) {
  const statuses = useMemo(() => countsOf(runs, (run) => [run.status]), [runs]);
  const projects = useMemo(() => countsOf(runs, (run) => [run.project ?? ""]), [runs]);
  const tags = useMemo(() => countsOf(runs, (run) => Object.keys(run.tags ?? {})), [runs]);
  const filter = (name) => (list) => changeQuery({ [name]: writeList(list) });
  const isSome = shown.length < runs.length;
  return html`<div class="tools">
    <${Search} label="Search runs" value=${query.search} onChange=${(q) => changeQuery({ q })} />
    <${CheckMenu} label="Status" counts=${statuses} chosen=${query.statuses} onChange=${filter("status")} />
    <${CheckMenu} label="Project" counts=${projects} chosen=${query.projects} onChange=${filter("project")} />
    ${tags.size > 0 &&
    html`<${CheckMenu} label="Tag" counts=${tags} chosen=${query.tags} onChange=${filter("tag")} />`}
    <span class="count number quiet" role="status">
      ${isSome ? `${shown.length.toLocaleString("en-US")} of ` : ""}${plural(runs.length, "run")}
    </span>
    ${!isNarrow && html`<${ColumnMenu} ...${{ keys, chosen, choose }} />`}
  </div>`;
}

function ColumnMenu({ keys, chosen, choose }) {
  const [search, setSearch] = useState("");
  const matching = (list) =>
    list.filter((key) => column(key).title.toLowerCase().includes(search.toLowerCase()));
  return html`<${Menu} label="Columns" icon="columns" end>
    <input
      class="field"
      type="search"
      aria-label="Search columns"
      placeholder="Search columns"
      value=${search}
      onInput=${(event) => setSearch(event.target.value)}
    />
    <${Group} title="Metrics" list=${matching(keys.metrics)} ...${{ chosen, choose }} />
    <${Group} title="Params" list=${matching(keys.params)} ...${{ chosen, choose }} />
  <//>`;
}

function Group({ title, list, chosen, choose }) {
  if (!list.length) return null;
  const hidden = list.length - MOST_CHOICES;
  return html`<div role="group" aria-label=${title}>
    <div class="group">${title}</div>
    ${list.slice(0, MOST_CHOICES).map(
      (key) => html`<${Choice}
        key=${key}
        name=${column(key).title}
        checked=${chosen.includes(key)}
        onChange=${() => choose(toggled(chosen, key))}
      />`,
    )}
    ${hidden > 0 && html`<div class="group">${plural(hidden, "more")}: search for them</div>`}
  </div>`;
}
