/** Everything of a run that is no number: pictures, sounds, texts, tables, histograms. */

import { html, useMemo, useState } from "../lib.js";
import { Search } from "../parts/controls.js";
import { Empty } from "../parts/says.js";
import { Player } from "./player.js";

const KINDS = [
  ["image", "Images"],
  ["figure", "Figures"],
  ["video", "Videos"],
  ["audio", "Audio"],
  ["histogram", "Histograms"],
  ["table", "Tables"],
  ["text", "Texts"],
];

/**
 * Return what of a run's media can be shown.
 * @param {object} run
 * @returns {{kind: string, name: string, count: number}[]}
 */
export function mediaOf(run) {
  return run.media.filter(({ kind }) => KINDS.some(([known]) => known === kind));
}

/**
 * @param {{run: object}} props
 */
export function Gallery({ run }) {
  const [search, setSearch] = useState("");
  const groups = useMemo(() => grouped(run.media, search), [run.media, search]);
  if (!mediaOf(run).length) {
    return html`<${Empty} small title="No media">
      <p><code>run.log_image</code>, <code>log_table</code>, <code>log_histogram</code> and their like appear here.</p>
    <//>`;
  }
  return html`
    <div class="tools board-tools">
      <${Search} label="Search media" value=${search} onChange=${setSearch} />
    </div>
    ${!groups.length && html`<${Empty} small title=${`Nothing has “${search}” in its name`} />`}
    ${groups.map(
      ([kind, title, members]) => html`<section class="charts" key=${kind}>
        <h2 class="kind">${title} <span class="count">${members.length}</span></h2>
        <div class="grid ${kind}">
          ${members.map(
            ({ name, count }) => html`<${Player} key=${name} id=${run.id} ...${{ kind, name, count }} />`,
          )}
        </div>
      </section>`,
    )}
  `;
}

function grouped(media, search) {
  const wanted = search.trim().toLowerCase();
  return KINDS.map(([kind, title]) => [
    kind,
    title,
    media.filter((one) => one.kind === kind && one.name.toLowerCase().includes(wanted)),
  ]).filter(([, , members]) => members.length);
}
