/** What a run was given, what came out as single values, and where it ran. */

import { instant, text } from "../format.js";
import { html, useState } from "../lib.js";
import { Copy, Search } from "../parts/controls.js";
import { Empty } from "../parts/says.js";

const LONG = 400;

/**
 * @param {{run: object}} props
 */
export function Params({ run }) {
  const [search, setSearch] = useState("");
  const params = matching(run.params, search);
  return html`<div class="panel columns">
    <section>
      <div class="over">
        <h2>Params</h2>
        <${Search} label="Search params" value=${search} onChange=${setSearch} />
      </div>
      <${Values} values=${params} />
      ${!params.length && html`<${NoParams} search=${search} />`}
    </section>
    <div>
      <${Section} title="Summary" values=${Object.entries(run.summary)} />
      <${Section} title="Tags" values=${Object.entries(run.tags)} />
      <${Section} title="Not logged" values=${Object.entries(run.refused)} />
      <${Section} title="Surroundings" values=${surroundings(run)} />
    </div>
  </div>`;
}

function NoParams({ search }) {
  if (search) return html`<${Empty} small title=${`No param matches “${search}”`} />`;
  return html`<${Empty} small title="No params">
    <p><code>start_run(config={"lr": 1e-3})</code> or <code>run.log_params</code> records them.</p>
  <//>`;
}

function Section({ title, values }) {
  if (!values.length) return null;
  return html`<section>
    <div class="over"><h2>${title}</h2></div>
    <${Values} values=${values} />
  </section>`;
}

function Values({ values }) {
  return html`<dl class="values">
    ${values.map(([name, value]) => html`<${Value} key=${name} ...${{ name, value }} />`)}
  </dl>`;
}

function Value({ name, value }) {
  const [isWhole, setWhole] = useState(false);
  const all = text(value);
  const shown = isWhole || all.length <= LONG ? all : `${all.slice(0, LONG)}…`;
  return html`<div class="value">
    <dt title=${name}>${name}</dt>
    <dd>
      <span class="mono">${shown}</span>
      ${shown !== all &&
      html`<button type="button" class="button small" onClick=${() => setWhole(true)}>Show all</button>`}
    </dd>
    <${Copy} text=${all} label=${`Copy ${name}`} />
  </div>`;
}

function matching(params, search) {
  const wanted = search.trim().toLowerCase();
  return Object.entries(params).filter(([name, value]) =>
    `${name}=${text(value)}`.toLowerCase().includes(wanted),
  );
}

function surroundings({ id, path, command, started, updated, header }) {
  const { host = {}, git, cwd, versions = {} } = header ?? {};
  const branch = git?.branch ? ` (${git.branch})` : "";
  const facts = [
    ["id", id],
    ["folder", path],
    ["command", command],
    ["working directory", cwd],
    ["started", instant(started)],
    ["last record", instant(updated)],
    ["host", host.hostname],
    ["platform", host.platform],
    ["processors", host.cpu_count],
    ["git", git && `${git.commit}${branch}${git.dirty ? ", changed files" : ""}`],
    ...Object.entries(versions),
  ];
  return facts.filter(([, value]) => value !== undefined && value !== null && value !== "");
}
