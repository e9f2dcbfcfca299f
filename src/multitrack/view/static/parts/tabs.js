/** Tabs, as links: each has an address. */

import { html } from "../lib.js";

/**
 * @param {{label: string, tabs: {key: string, title: string, count?: number}[], current: string,
 *   address: (key: string) => string}} props
 */
export function Tabs({ label, tabs, current, address }) {
  const move = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const links = [...event.currentTarget.children];
    const at = links.indexOf(event.target);
    links[(at + by + links.length) % links.length].focus();
  };
  return html`<nav class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
    ${tabs.map(
      ({ key, title, count }) => html`<a
        key=${key}
        role="tab"
        href=${address(key)}
        aria-selected=${key === current ? "true" : "false"}
        tabindex=${key === current ? 0 : -1}
      >
        ${title}${count > 0 && html`<span class="count">${count}</span>`}
      </a>`,
    )}
  </nav>`;
}
