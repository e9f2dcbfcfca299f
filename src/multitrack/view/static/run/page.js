/** The page of one run. */

import { runPath } from "../api.js";
import { Board } from "../charts/board.js";
import { versionOf } from "../charts/load.js";
import { singlesOf } from "../charts/single.js";
import { coloursOf } from "../colours.js";
import { html, useEffect, useMemo } from "../lib.js";
import { Gallery, mediaOf } from "../media/gallery.js";
import { Bone, Empty, Trouble } from "../parts/says.js";
import { Tabs } from "../parts/tabs.js";
import { usePolled } from "../poll.js";
import { href, useRoute } from "../router.js";
import { Artifacts } from "./artifacts.js";
import { Delivery } from "./delivery.js";
import { Heading } from "./heading.js";
import { Params } from "./params.js";

const SYSTEM = "system/";

/**
 * @param {{id: string}} props
 */
export function RunPage({ id }) {
  const { data: run, error } = usePolled(runPath(id));
  const { query } = useRoute();
  const isGone = error?.status === 404;
  useEffect(() => {
    if (run) document.title = `${run.name || run.id} · multitrack`;
  }, [run?.name]);
  return html`<main>
    ${!isGone && html`<${Trouble} error=${error} />`}
    ${isGone && html`<${Gone} message=${error.message} />`}
    ${!run && !error && html`<${Skeleton} />`}
    ${run && !isGone && html`<${Shown} run=${run} tab=${query.get("tab")} />`}
  </main>`;
}

function Shown({ run, tab }) {
  const tabs = tabsOf(run);
  const current = tabs.some(({ key }) => key === tab) ? tab : "metrics";
  return html`
    <${Heading} run=${run} />
    <${Tabs}
      label="Of this run"
      tabs=${tabs}
      current=${current}
      address=${(key) => href("run", run.id, { tab: key === "metrics" ? "" : key })}
    />
    <div class="scroll" role="tabpanel" key=${current}>
      <${Panel} run=${run} tab=${current} />
    </div>
  `;
}

function tabsOf(run) {
  const system = run.metrics.filter(({ name }) => name.startsWith(SYSTEM)).length;
  return [
    { key: "metrics", title: "Metrics", count: run.metrics.length - system },
    { key: "params", title: "Params", count: Object.keys(run.params).length },
    { key: "media", title: "Media", count: mediaOf(run).length },
    { key: "artifacts", title: "Artifacts", count: run.artifacts.length },
    { key: "delivery", title: "Delivery", count: run.backends.length },
    { key: "system", title: "System", count: system },
  ];
}

function Panel({ run, tab }) {
  if (tab === "params") return html`<${Params} run=${run} />`;
  if (tab === "media") return html`<${Gallery} run=${run} />`;
  if (tab === "artifacts") return html`<${Artifacts} run=${run} />`;
  if (tab === "delivery") return html`<${Delivery} run=${run} />`;
  return html`<${Charts} run=${run} ofSystem=${tab === "system"} />`;
}

function Charts({ run, ofSystem }) {
  const listed = JSON.stringify(run.metrics.map(({ name }) => name));
  const names = useMemo(
    () => JSON.parse(listed).filter((name) => name.startsWith(SYSTEM) === ofSystem),
    [listed, ofSystem],
  );
  const version = versionOf([run]);
  const label = run.name || run.id;
  const runs = useMemo(() => [{ id: run.id, label, name: label }], [run.id, label]);
  const singles = new Map(singlesOf([run]));
  const colours = useMemo(() => coloursOf([run.id]), [run.id]);
  return html`<${Board} ...${{ runs, version, names, singles, colours }}>
    <${NoMetrics} ofSystem=${ofSystem} />
  <//>`;
}

function NoMetrics({ ofSystem }) {
  if (!ofSystem) {
    return html`<${Empty} small title="No metrics yet">
      <p>What <code>run.log({"train/loss": 0.5}, step=1)</code> logs appears here.</p>
    <//>`;
  }
  return html`<${Empty} small title="The machine was not watched">
    <p>
      <code>MULTITRACK_SYSTEM_METRICS=1</code> lets a run record its CPU, memory and GPU, once
      <code>pip install "multitrack[system]"</code> is done.
    </p>
  <//>`;
}

function Gone({ message }) {
  return html`<${Empty} title="This run is not here">
    <p>${message}</p>
    <a class="button" href=${href("runs")}>All runs</a>
  <//>`;
}

function Skeleton() {
  return html`<div class="heading" aria-busy="true" aria-label="Loading the run">
    <${Bone} width="280px" height="24px" />
    <${Bone} width="420px" height="14px" />
  </div>`;
}
