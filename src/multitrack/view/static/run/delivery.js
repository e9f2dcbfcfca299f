/** How far each backend is, why, and what to type. */

import { duration, number, percent } from "../format.js";
import { html } from "../lib.js";
import { Copy } from "../parts/controls.js";
import { Empty } from "../parts/says.js";

const MOST_REASONS = 5;

/**
 * @param {{run: object}} props
 */
export function Delivery({ run }) {
  if (run.reading) return html`<${Empty} small title=${`Reading the journal, ${percent(run.reading)}`} />`;
  if (!run.delivery.length) {
    return html`<${Empty} small title="This run is kept here alone">
      <p>It was started without a backend. Deliver it to one, now or later, from a terminal:</p>
      <pre>multitrack sync ${run.id} --to tensorboard</pre>
    <//>`;
  }
  return html`<div class="panel">
    ${run.delivery.map((backend) => html`<${Backend} key=${backend.backend} backend=${backend} />`)}
  </div>`;
}

function Backend({ backend }) {
  const { delivered, pending, message, remedy, command, reasons = [] } = backend;
  const share = delivered / Math.max(1, delivered + pending);
  return html`<section class="backend">
    <header>
      <h2>${backend.backend}</h2>
      <span class="chip ${backend.style}">${backend.word}</span>
      <${Address} url=${backend.url} />
    </header>
    <div
      class="progress ${backend.style}"
      role="progressbar"
      aria-label=${`Delivered to ${backend.backend}`}
      aria-valuenow=${Math.round(share * 100)}
    >
      <i style=${{ width: `${share * 100}%` }}></i>
    </div>
    <dl class="figures number">
      <${Figure} name="delivered" value=${number(delivered)} />
      <${Figure} name="pending" value=${number(pending)} />
      <${Figure} name="behind" value=${backend.behind_s ? duration(backend.behind_s) : "–"} />
      <${Figure} name="failed tries" value=${number(backend.attempts)} />
      <${Figure} name="refused" value=${number(backend.refused)} />
    </dl>
    ${message && html`<p class="because">${message}</p>`}
    ${remedy && html`<${Line} label="Mend" text=${remedy} />`}
    ${command && html`<${Line} label="Deliver the rest" text=${command} copies />`}
    ${reasons.slice(0, MOST_REASONS).map((reason) => html`<${Refusal} reason=${reason} />`)}
    ${reasons.length > MOST_REASONS &&
    html`<p class="quiet">${number(reasons.length - MOST_REASONS)} more in refused.jsonl</p>`}
  </section>`;
}

function Figure({ name, value }) {
  return html`<div>
    <dt>${name}</dt>
    <dd>${value}</dd>
  </div>`;
}

function Line({ label, text, copies }) {
  return html`<div class="line">
    <span class="quiet">${label}</span>
    <code>${text}</code>
    ${copies && html`<${Copy} text=${text} label="Copy the command" />`}
  </div>`;
}

function Refusal({ reason: { name, reason, count } }) {
  return html`<div class="line">
    <span class="quiet">Refused</span>
    <span><code>${name}</code> ${reason}${count > 1 && ` (${number(count)} times)`}</span>
  </div>`;
}

/** A link where it leads to the web; a path is only text, as a page may not open files. */
function Address({ url }) {
  if (!url) return null;
  if (!/^https?:\/\//.test(url)) return html`<code class="quiet clip push">${url}</code>`;
  return html`<a class="link clip push" href=${url} target="_blank" rel="noopener noreferrer">${url}</a>`;
}
