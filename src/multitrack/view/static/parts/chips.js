/** How a run, or its delivery to a backend, is: a word in its colour. */

import { html } from "../lib.js";

const STATUS_STYLES = {
  running: "cyan running",
  finished: "green",
  failed: "red",
  interrupted: "yellow",
  killed: "red",
  unreadable: "red",
};

/**
 * Return the style sheet's class for a status.
 * @param {string} status
 * @returns {string}
 */
export function statusStyle(status) {
  return STATUS_STYLES[status] ?? "";
}

/**
 * @param {{status: string}} props
 */
export function StatusChip({ status }) {
  return html`<span class="chip ${statusStyle(status)}">${status}</span>`;
}

/**
 * Whether nobody need care about a backend.
 * @param {{style: string}} backend
 * @returns {boolean}
 */
export function isQuiet({ style }) {
  return style === "green" || style === "dim";
}

/**
 * A backend with its colour; its tooltip says how delivery is.
 * @param {{backend: {name: string, word: string, style: string, sentence?: string}}} props
 */
export function BackendChip({ backend }) {
  const { name, word, style, sentence } = backend;
  const title = sentence ? `${name}: ${word}. ${sentence}` : `${name}: ${word}`;
  return html`<span class="chip ${style}" title=${title}>
    ${name}${isQuiet(backend) ? html`<span class="hidden">${word}</span>` : ` ${word}`}
  </span>`;
}
