/** Files that a run kept. */

import { number, plural, size } from "../format.js";
import { html, useState } from "../lib.js";
import { Icon } from "../parts/icons.js";
import { Empty } from "../parts/says.js";

const MOST_FILES = 20;

/**
 * @param {{run: object}} props
 */
export function Artifacts({ run }) {
  if (!run.artifacts.length) {
    return html`<${Empty} small title="No artifacts">
      <p><code>run.log_artifact("out/checkpoint-300", kind="checkpoint")</code> keeps a file or a folder.</p>
    <//>`;
  }
  return html`<div class="panel">
    ${run.artifacts.map((artifact, index) => html`<${Artifact} key=${index} artifact=${artifact} />`)}
  </div>`;
}

function Artifact({ artifact }) {
  const { name, kind, files, aliases = [], step } = artifact;
  const [isWhole, setWhole] = useState(false);
  const total = files.reduce((sum, file) => sum + file.size, 0);
  const hasStep = step !== null && step !== undefined;
  return html`<section class="artifact">
    <header>
      <h2 class="clip">${name}</h2>
      <span class="chip plain">${kind}</span>
      ${aliases.map((alias) => html`<span class="tag" key=${alias}>${alias}</span>`)}
      <span class="quiet number push">
        ${hasStep && `step ${number(step)} · `}${plural(files.length, "file")} · ${size(total)}
      </span>
    </header>
    <ul>
      ${files
        .slice(0, isWhole ? undefined : MOST_FILES)
        .map((file) => html`<${File} key=${file.path} file=${file} />`)}
    </ul>
    ${!isWhole &&
    files.length > MOST_FILES &&
    html`<button type="button" class="button small" onClick=${() => setWhole(true)}>
      Show all ${number(files.length)} files
    </button>`}
  </section>`;
}

function File({ file }) {
  const name = file.name ?? file.path;
  const cells = html`<span class="mono clip">${name}</span>
    <span class="quiet number">${size(file.size)}</span>`;
  if (!file.url) return html`<li class="file">${cells}<span class="quiet">not kept here</span></li>`;
  return html`<li>
    <a class="file" href=${file.url} download=${name.split("/").at(-1)} aria-label=${`Download ${name}`}>
      ${cells}<${Icon} name="download" />
    </a>
  </li>`;
}
