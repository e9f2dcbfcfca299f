/** How curves are drawn: smoothing, axis, logarithms. */

import { html, useEffect, useState } from "../lib.js";
import { Segments } from "../parts/controls.js";
import { AXES, MOST_SMOOTHING } from "./settings.js";

const SETTLE_MS = 120;

/**
 * @param {{settings: object, change: (change: object) => void}} props
 */
export function ChartTools({ settings, change }) {
  return html`<div class="chart-tools" role="group" aria-label="Charts">
    <${Smoothing} value=${settings.smooth} onChange=${(smooth) => change({ smooth })} />
    <${Segments} label="Axis" choices=${AXES} value=${settings.axis} onChange=${(axis) => change({ axis })} />
    <${Toggle} label="log x" value=${settings.logX} onChange=${(logX) => change({ logX })} />
    <${Toggle} label="log y" value=${settings.logY} onChange=${(logY) => change({ logY })} />
  </div>`;
}

/** A slider that tells its value when the hand rests. */
function Smoothing({ value, onChange }) {
  const [shown, setShown] = useState(value);
  useEffect(() => {
    if (shown === value) return undefined;
    const timer = setTimeout(() => onChange(shown), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [shown]);
  return html`<label class="smoothing">
    Smoothing
    <input
      type="range"
      min="0"
      max=${MOST_SMOOTHING}
      step="0.01"
      value=${shown}
      onInput=${(event) => setShown(Number(event.target.value))}
    />
    <output class="number">${shown.toFixed(2)}</output>
  </label>`;
}

function Toggle({ label, value, onChange }) {
  return html`<button
    type="button"
    class="button"
    aria-pressed=${value ? "true" : "false"}
    onClick=${() => onChange(!value)}
  >
    ${label}
  </button>`;
}
