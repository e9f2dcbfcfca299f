/** The page of all runs: search, filter, sort, and select some to compare. */

import { getRuns } from "../api.js";
import { coloursOf } from "../colours.js";
import { plural } from "../format.js";
import { html, useMemo, useState } from "../lib.js";
import { useNarrow } from "../media-query.js";
import { Empty, Trouble } from "../parts/says.js";
import { usePolled } from "../poll.js";
import { changeQuery, href, useRoute } from "../router.js";
import { useRemembered } from "../storage.js";
import { automaticColumns, columnKeys, columnsOf } from "./columns.js";
import { chosenRuns, readQuery } from "./query.js";
import { Table, TableSkeleton } from "./table.js";
import { Tools } from "./tools.js";

const MOST_COMPARED = 20;

/**
 * The runs, and the state that the page has beside its address.
 */
export function RunsPage() {
  const { data, error } = usePolled("/api/runs", { ask: getRuns });
  const { query: address } = useRoute();
  const query = useMemo(() => readQuery(address), [address]);
  const runs = useMemo(() => (data?.runs ?? []).map(withStatus), [data]);
  const shown = useMemo(() => chosenRuns(runs, query), [data, query]);
  const [selected, select] = useState(() => new Set());
  return html`<main>
    <h1 class="hidden">Runs</h1>
    <${Trouble} error=${error} />
    ${data ? html`<${Found} ...${{ data, runs, shown, query, selected, select }} />` : html`<${TableSkeleton} />`}
    <${Selection} selected=${selected} onClear=${() => select(new Set())} />
  </main>`;
}

/** A journal that cannot be read tells no status of its own. */
function withStatus(run) {
  return run.unreadable ? { ...run, status: "unreadable" } : run;
}

function Found({ data, runs, shown, query, selected, select }) {
  const isNarrow = useNarrow();
  const keys = useMemo(() => columnKeys(runs), [data]);
  const [chosen, choose] = useRemembered("columns", null);
  const automatic = useMemo(() => automaticColumns(runs, keys), [runs.length]);
  const columns = useMemo(() => columnsOf(chosen ?? automatic, isNarrow), [chosen, automatic, isNarrow]);
  const picking = usePicking(shown, selected, select);
  if (!runs.length) return html`<${NoRuns} directory=${data.dir} />`;
  return html`
    <${Tools} ...${{ runs, shown, query, keys, chosen: chosen ?? automatic, choose, isNarrow }} />
    ${shown.length
      ? html`<${Table} runs=${shown} onSort=${(key) => sortBy(query, key)} ...${{ columns, query, selected, isNarrow, ...picking }} />`
      : html`<${NoneFound} />`}
  `;
}

/** Selecting one row, all, or with Shift those up to it. */
function usePicking(shown, selected, select) {
  const [anchor, setAnchor] = useState(0);
  const pickable = useMemo(
    () => new Set(shown.filter((run) => run.status !== "unreadable").map((run) => run.id)),
    [shown],
  );
  const give = (ids, isOn) => {
    const next = new Set(selected);
    for (const id of ids) isOn ? next.add(id) : next.delete(id);
    coloursOf([...next].slice(0, MOST_COMPARED));
    select(next);
  };
  const onSelect = (index, withRange) => {
    const [from, to] = withRange ? [Math.min(anchor, index), Math.max(anchor, index)] : [index, index];
    const ids = shown.slice(from, to + 1).map((run) => run.id);
    setAnchor(index);
    give(ids.filter((id) => pickable.has(id)), !selected.has(shown[index].id));
  };
  const onSelectAll = () => give(pickable, ![...pickable].every((id) => selected.has(id)));
  return { onSelect, onSelectAll };
}

/** First as numbers and dates are mostly wanted, then the other way, then not at all. */
function sortBy({ sort, isDown }, key) {
  const next = sort !== key ? `-${key}` : isDown ? key : "";
  changeQuery({ sort: next });
}

function Selection({ selected, onClear }) {
  if (!selected.size) return null;
  const ids = [...selected].slice(0, MOST_COMPARED);
  const isOver = selected.size > MOST_COMPARED;
  return html`<div class="selection" role="status">
    <span class="number">${plural(selected.size, "run")} selected</span>
    ${isOver && html`<span class="quiet">the first ${MOST_COMPARED} are compared</span>`}
    <a class="button main" href=${href("compare", "", { runs: ids.join(",") })}>Compare</a>
    <button type="button" class="button bare" onClick=${onClear}>Clear</button>
  </div>`;
}

function NoneFound() {
  const clear = () => changeQuery({ q: "", status: "", project: "", tag: "" });
  return html`<${Empty} title="No run matches">
    <p>Every word of the search must stand in a run's name, project, id, tags or params.</p>
    <button type="button" class="button" onClick=${clear}>Show all runs</button>
  <//>`;
}

function NoRuns({ directory }) {
  const example = `import multitrack

with multitrack.start_run("digits") as run:
    run.log({"train/loss": 0.5}, step=1)`;
  return html`<${Empty} title="No runs yet">
    <p>Runs that are recorded in <code>${directory}</code> appear here as they start.</p>
    <pre>${example}</pre>
  <//>`;
}
