/** What the page says where there is nothing, not yet, or something wrong. */

import { html } from "../lib.js";

/**
 * What is wrong, above what was last known.
 * @param {{error: Error|null}} props
 */
export function Trouble({ error }) {
  if (!error) return null;
  const advice =
    error.status === 401 ? " Open the address that multitrack view printed in the terminal." : "";
  return html`<div class="trouble" role="alert">${error.message}${advice}</div>`;
}

/**
 * Why nothing is here, and what to do about it.
 * @param {{title: string, small?: boolean, children?: unknown}} props
 */
export function Empty({ title, small, children }) {
  return html`<div class="empty ${small ? "small" : ""}">
    <h2>${title}</h2>
    ${children}
  </div>`;
}

/**
 * A grey shape in the place of what is still awaited.
 * @param {{width?: string, height?: string}} props
 */
export function Bone({ width = "100%", height = "12px" }) {
  return html`<span class="bone" style=${{ width, height }} aria-hidden="true"></span>`;
}
