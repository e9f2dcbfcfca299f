/** Several runs side by side: their curves in one chart a metric, and how their params differ. */

import { get, getRuns, runPath } from "../api.js";
import { Board } from "../charts/board.js";
import { versionOf } from "../charts/load.js";
import { singlesOf } from "../charts/single.js";
import { coloursOf } from "../colours.js";
import { html, useEffect, useMemo, useRef, useState } from "../lib.js";
import { Bone, Empty, Trouble } from "../parts/says.js";
import { Tabs } from "../parts/tabs.js";
import { usePolled } from "../poll.js";
import { changeQuery, href } from "../router.js";
import { ParamsDiff } from "./diff.js";
import { RunList } from "./list.js";
import { labelsOf } from "./names.js";

const MOST = 20;

/**
 * @param {{query: URLSearchParams}} props
 */
export function ComparePage({ query }) {
  const given = query.get("runs") ?? "";
  const ids = useMemo(() => [...new Set(given.split(",").filter(Boolean))].slice(0, MOST), [given]);
  const { runs, error } = useRuns(ids);
  useEffect(() => {
    document.title = `${ids.length} runs · multitrack`;
  }, [ids.length]);
  if (!ids.length) return html`<main><${NothingChosen} /></main>`;
  return html`<main>
    <${Trouble} error=${error} />
    ${runs.length ? html`<${Shown} ...${{ ids, runs, tab: query.get("tab") }} />` : !error && html`<${Skeleton} />`}
  </main>`;
}

function Shown({ ids, runs, tab }) {
  const colours = useMemo(() => coloursOf(ids), [ids]);
  const labels = labelsOf(runs);
  const [hidden, setHidden] = useState([]);
  const shown = useMemo(() => runs.filter((run) => !hidden.includes(run.id)), [runs, hidden]);
  const remove = (id) => changeQuery({ runs: ids.filter((one) => one !== id).join(",") });
  const current = tab === "params" ? "params" : "charts";
  const address = (key) => href("compare", "", { runs: ids.join(","), tab: key === "charts" ? "" : key });
  const tabs = [
    { key: "charts", title: "Charts" },
    { key: "params", title: "Params" },
  ];
  return html`
    <h1 class="hidden">Comparing ${runs.length} runs</h1>
    <div class="compare">
      <${RunList} ...${{ runs, labels, colours, hidden, setHidden, remove }} />
      <div class="beside">
        <${Tabs} label="Compare" ...${{ tabs, current, address }} />
        <div class="scroll" role="tabpanel" key=${current}>
          ${current === "params"
            ? html`<${ParamsDiff} runs=${shown} ...${{ labels, colours }} />`
            : html`<${Charts} runs=${shown} ...${{ labels, colours }} />`}
        </div>
      </div>
    </div>
  `;
}

function Charts({ runs, labels, colours }) {
  const listed = JSON.stringify([...new Set(runs.flatMap((run) => run.metrics.map(({ name }) => name)))]);
  const names = useMemo(() => JSON.parse(listed), [listed]);
  const named = JSON.stringify(
    runs.map(({ id, name }) => ({ id, label: labels.get(id), name: name || id })),
  );
  const drawn = useMemo(() => JSON.parse(named), [named]);
  const singles = new Map(singlesOf(runs));
  return html`<${Board} runs=${drawn} version=${versionOf(runs)} ...${{ names, singles, colours }}>
    <${Empty} small title="No metrics to compare">
      <p>Show a run again in the list, or choose runs that have logged something.</p>
    <//>
  <//>`;
}

/** The details of runs; those that have grown are asked for again, until they are read. */
function useRuns(ids) {
  const { data: list, error: listError } = usePolled("/api/runs", { ask: getRuns, isPatient: true });
  const [details, setDetails] = useState(() => new Map());
  const [error, setError] = useState(null);
  const known = useRef(new Map());
  const versions = useMemo(() => JSON.stringify(list && versionsOf(list.runs, ids)), [list, ids]);
  useEffect(() => {
    const newest = new Map(JSON.parse(versions));
    const abort = new AbortController();
    const read = async (wanted) => {
      const results = await Promise.allSettled(wanted.map((id) => get(runPath(id), abort.signal)));
      if (abort.signal.aborted) return [];
      const found = results.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
      for (const run of found) if (!run.reading) known.current.set(run.id, newest.get(run.id));
      if (found.length) setDetails((now) => new Map([...now, ...found.map((run) => [run.id, run])]));
      setError(results.find(({ status }) => status === "rejected")?.reason ?? null);
      return found.filter((run) => run.reading).map((run) => run.id);
    };
    // one by one after a first look at all: charts wait for a run that is being read
    const readAll = async (wanted) => {
      let unread = await read(wanted);
      while (unread.length) unread = [...(await read(unread.slice(0, 1))), ...unread.slice(1)];
    };
    readAll([...newest.keys()].filter((id) => known.current.get(id) !== newest.get(id)));
    return () => abort.abort();
  }, [versions]);
  const runs = useMemo(() => ids.map((id) => details.get(id)).filter(Boolean), [ids, details]);
  return { runs, error: listError ?? error };
}

/** What changes with each of some runs; the empty text for one that is not in the table. */
function versionsOf(runs, ids) {
  const found = new Map(runs.map((run) => [run.id, `${run.updated} ${run.status}`]));
  return ids.map((id) => [id, found.get(id) ?? ""]);
}

function NothingChosen() {
  return html`<${Empty} title="Nothing to compare">
    <p>Select runs in the table, then Compare.</p>
    <a class="button main" href=${href("runs")}>All runs</a>
  <//>`;
}

function Skeleton() {
  return html`<div class="heading" aria-busy="true" aria-label="Loading the runs">
    <${Bone} width="240px" height="20px" />
    <${Bone} height="180px" />
  </div>`;
}
