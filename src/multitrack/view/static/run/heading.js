/** What a run is, and how it went. */

import { ago, duration, instant, number, percent } from "../format.js";
import { html } from "../lib.js";
import { StatusChip } from "../parts/chips.js";
import { secondsOf } from "../runs/columns.js";

/**
 * @param {{run: object}} props
 */
export function Heading({ run }) {
  const { project, name, id, status, error, tags, notes } = run;
  return html`<header class="heading">
    <div class="title">
      <h1>${project && html`<span class="project">${project} / </span>`}${name || id}</h1>
      <${StatusChip} status=${status} />
      ${Object.entries(tags).map(
        ([tag, value]) => html`<span class="tag clip" key=${tag}>${value ? `${tag}: ${value}` : tag}</span>`,
      )}
    </div>
    <p class="facts quiet number">${factsOf(run).map((fact) => html`<span>${fact}</span>`)}</p>
    ${error && html`<p class="error">${error}</p>`}
    ${notes && html`<p class="notes">${notes}</p>`}
  </header>`;
}

function factsOf(run) {
  const started = html`<span title=${instant(run.started)}>started ${ago(run.started)}</span>`;
  if (run.reading) return [started, `reading the journal, ${percent(run.reading)}`];
  const isRunning = run.status === "running";
  const facts = [started, `${isRunning ? "running for" : "took"} ${duration(secondsOf(run))}`];
  if (run.last_step !== null && run.last_step !== undefined) facts.push(`step ${number(run.last_step)}`);
  if (run.header?.host) facts.push(`on ${run.header.host.hostname}`);
  if (run.resumed?.length) facts.push(`resumed ${times(run.resumed.length)}`);
  if (run.corrupt) facts.push(`${number(run.corrupt)} unreadable lines in the journal`);
  return facts;
}

function times(count) {
  return count === 1 ? "once" : `${number(count)} times`;
}
