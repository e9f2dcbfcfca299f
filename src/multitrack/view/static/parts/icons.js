/** Small pictures, drawn in the colour of the text beside them. */

import { html } from "../lib.js";

const PATHS = {
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.6-1.4L14 14",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7",
  moon: "M13.5 9.6A6 6 0 1 1 6.4 2.5a4.8 4.8 0 0 0 7.1 7.1Z",
  columns: "M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10",
  chevron: "M4.5 6.5 8 10l3.5-3.5",
  close: "M4 4l8 8M12 4l-8 8",
  expand: "M9.5 2.5h4v4M6.5 13.5h-4v-4M13 3 9 7M3 13l4-4",
  shrink: "M13.5 6.5h-4v-4M2.5 9.5h4v4M10 6l4-4M6 10l-4 4",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  check: "M3 8.5 6.5 12 13 4.5",
  eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8Zm6.5 2a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
  eyeOff: "M3 3l10 10M6.2 4a6 6 0 0 1 1.8-.3c4 0 6.5 4.3 6.5 4.3a11 11 0 0 1-1.9 2.3M4 5.4A11 11 0 0 0 1.5 8S4 12.5 8 12.5a6 6 0 0 0 2.5-.6",
  download: "M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11",
  reset: "M3 8a5 5 0 1 0 1.6-3.7M3 2.5v3h3",
};

/**
 * An icon; it says nothing to a screen reader, what it stands in does.
 * @param {{name: string, size?: number}} props
 */
export function Icon({ name, size = 14 }) {
  return html`<svg
    width=${size}
    height=${size}
    viewBox="0 0 16 16"
    fill="none"
    stroke="currentColor"
    stroke-width="1.5"
    stroke-linecap="round"
    stroke-linejoin="round"
    aria-hidden="true"
  >
    <path d=${PATHS[name]} />
  </svg>`;
}

/** The mark of the project: three tracks, one playing. */
export function Mark() {
  return html`<svg width="20" height="20" viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="8" fill="var(--accent)" />
    <g fill="none" stroke="var(--accent-ink)" stroke-width="2.8" stroke-linecap="round">
      <path d="M7 10.5h18" opacity=".6" />
      <path d="M7 16h11" />
      <path d="M7 21.5h15" opacity=".8" />
    </g>
    <circle cx="24" cy="16" r="2.4" fill="var(--accent-ink)" />
  </svg>`;
}
