/** One metric: its name, its curves, and their values at the cursor. */

import { duration, number, percent } from "../format.js";
import { html, useEffect, useMemo, useRef, useState } from "../lib.js";
import { Icon } from "../parts/icons.js";
import { curvesOf, last, nearest } from "./data.js";
import { onChartKey } from "./keys.js";
import { Legend, markRun, written, writeValues } from "./legend.js";
import { useSeries } from "./load.js";
import { Plot } from "./plot.js";
import { useSeen, useWidth } from "./seen.js";

/**
 * @param {{name: string, title: string, runs: object[], colours: Map<string, object>,
 *   settings: object, version: string}} props
 */
export function Card({ name, title, runs, colours, settings, version }) {
  const root = useRef(null);
  const room = useRef(null);
  const [isLarge, setLarge] = useState(false);
  const [range, setRange] = useState(null);
  const ids = useMemo(() => runs.map((run) => run.id), [runs]);
  const seen = { isSeen: useSeen(root), width: useWidth(room) };
  const loaded = useSeries({ runs: ids, name, settings, range, version, ...seen });
  const curves = useMemo(
    () => curvesOf(loaded.series ?? [], ids, settings),
    [loaded.series, ids, settings.logX, settings.logY],
  );
  useEffect(() => setRange(null), [settings.axis]);
  const chart = { curves, colours, settings, range };
  const plot = usePlot({ root, room, chart, setRange, isShown: seen.isSeen && curves.length > 0 });
  const onFocus = (run) => plot.current?.focus(run, curves);
  return html`<article class="card ${isLarge ? "large" : ""}" ref=${root}>
    <${Head} ...${{ name, title, range, isLarge, reading: loaded.reading }} onReset=${() => setRange(null)} onLarge=${() => setLarge(!isLarge)} />
    <div
      class="plot"
      ref=${room}
      tabindex="0"
      role="group"
      aria-label=${`${name}: arrow keys move the cursor, plus zooms in, minus out, 0 resets`}
      onDblClick=${() => setRange(null)}
      onKeyDown=${(event) => onChartKey(event, plot.current, range, setRange)}
    >
      ${!loaded.series && !loaded.error && html`<span class="bone" aria-hidden="true"></span>`}
      <${Note} ...${{ loaded, curves, settings }} />
    </div>
    ${runs.length > 1 && html`<${Legend} ...${{ runs, colours, onFocus }} />`}
  </article>`;
}

function Head({ name, title, range, reading, isLarge, onReset, onLarge }) {
  const label = isLarge ? "Make smaller" : "Make larger";
  return html`<header>
    <h3 class="clip" title=${name}>${title}</h3>
    <output class="at number"></output>
    ${reading && html`<span class="reading quiet number">reading, ${percent(reading)}</span>`}
    ${range &&
    html`<button type="button" class="button small reset" onClick=${onReset}>
      <${Icon} name="reset" size=${12} /> Reset zoom
    </button>`}
    <button type="button" class="button bare small icon" aria-label=${`${label}: ${name}`} title=${label} onClick=${onLarge}>
      <${Icon} name=${isLarge ? "shrink" : "expand"} size=${12} />
    </button>
  </header>`;
}

function Note({ loaded, curves, settings }) {
  if (loaded.error) return html`<p class="note" role="alert">${loaded.error.message}</p>`;
  if (!loaded.series) return null;
  if (!curves.some(({ x }) => x.length)) {
    const why = settings.axis === "epoch" ? "It was logged without an epoch." : "Nothing in this range.";
    return html`<p class="note">${why}</p>`;
  }
  const isBlank = curves.every(({ y }) => y.every((value) => value === null));
  if (!isBlank) return null;
  return html`<p class="note">${settings.logY ? "No value is above 0." : "No value is a number."}</p>`;
}

/** Keep the drawn chart in step; it is there only while it is seen. */
function usePlot({ root, room, chart, setRange, isShown }) {
  const plot = useRef(null);
  const now = useRef(chart);
  now.current = chart;
  const tell = (place) => tellValues(root.current, now.current, place);
  useEffect(() => {
    if (!isShown) return undefined;
    const onFocus = (run) => markRun(root.current, run);
    plot.current = new Plot(room.current, { onCursor: tell, onZoom: setRange, onFocus });
    return () => {
      plot.current.destroy();
      plot.current = null;
    };
  }, [isShown]);
  useEffect(() => {
    plot.current?.draw(chart);
    tell(plot.current?.cursorPlace() ?? null);
  }, [isShown, chart.curves, chart.colours, chart.range, chart.settings.axis]);
  return plot;
}

function tellValues(root, { curves, settings }, place) {
  const points = curves.map((curve) => [curve.run, place === null ? last(curve) : nearest(curve, place)]);
  const at = root.querySelector(".at");
  const point = points.find(([, found]) => found)?.[1];
  const where = point && (settings.axis === "time" ? duration(point.x) : `${settings.axis} ${number(point.x)}`);
  const value = curves.length === 1 && point ? written(point) : "";
  at.textContent = place === null ? value : [value, where].filter(Boolean).join(" · ");
  writeValues(root, new Map(points));
}
