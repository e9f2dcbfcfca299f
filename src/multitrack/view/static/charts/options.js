/** What uPlot is told: scales, axes, colours, cursor. */

import { HUES } from "../colours.js";
import { duration, tick } from "../format.js";
import { uPlot } from "../lib.js";

const NEAR = 20;
const Y_AXIS = 54;
const X_AXIS = 26;
const PADDING = [8, 12, 0, 0];

/**
 * Return the options of a chart.
 * @param {{width: number, height: number, curves: object[], colours: Map<string, object>,
 *   settings: object, range: [number, number]|null, onCursor: (x: number|null) => void,
 *   onZoom: (range: [number, number]) => void, onFocus: (run: string|null) => void}} chart
 * @returns {object}
 */
export function optionsOf(chart) {
  const { width, height, curves, settings } = chart;
  return {
    width,
    height,
    padding: PADDING,
    legend: { show: false },
    focus: { alpha: 0.22 },
    scales: { x: scaleX(chart), y: scaleY(settings) },
    axes: [axis(X_AXIS, axisX(settings)), axis(Y_AXIS, axisY(settings))],
    series: [{}, ...curves.flatMap((curve) => seriesOf(curve, chart.colours.get(curve.run)))],
    cursor: cursor(curves.length > 1),
    hooks: hooks(chart),
  };
}

function scaleX({ settings, range }) {
  const shown = (_plot, low, high) => range ?? (low === high ? [low - 0.5, high + 0.5] : [low, high]);
  return { time: false, distr: settings.logX ? 3 : 1, range: range || !settings.logX ? shown : undefined };
}

function scaleY({ logY }) {
  const logarithmic = (_plot, low, high) =>
    low > 0 ? uPlot.rangeLog(low, high, 10, false) : [0.1, 1];
  const linear = (_plot, low, high) =>
    low === null ? [0, 1] : uPlot.rangeNum(low, high, 0.08, true);
  return { distr: logY ? 3 : 1, range: logY ? logarithmic : linear };
}

function axis(size, more) {
  const line = () => style("--grid");
  return {
    size,
    font: `11px ${style("--font")}`,
    stroke: () => style("--ink-3"),
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line, width: 1, size: 4 },
    gap: 4,
    ...more,
  };
}

function axisX({ axis: kind }) {
  const write = kind === "time" ? duration : tick;
  return { space: 64, values: (_plot, places) => places.map((place) => place === null ? "" : write(place)) };
}

function axisY() {
  return { space: 34, values: (_plot, places) => places.map((place) => (place === null ? "" : tick(place))) };
}

function seriesOf(curve, { slot, dash }) {
  const stroke = () => style(`--run-${slot % HUES}`);
  const faint = () => `color-mix(in srgb, ${stroke()} 26%, transparent)`;
  const point = { size: 5, width: 1, stroke, fill: stroke };
  const line = { stroke, width: 1.6, dash, points: point, pxAlign: 0 };
  const raw = { stroke: faint, width: 1, points: { show: false }, pxAlign: 0 };
  return curve.raw ? [raw, line] : [line];
}

function cursor(hasSeveral) {
  const isMove = (type) => type === "mousemove" || type === "mouseleave";
  return {
    y: false,
    points: { size: 7, width: 1.5 },
    hover: { prox: NEAR, skip: [undefined] },
    drag: { x: true, y: false, setScale: false, dist: 6 },
    focus: hasSeveral ? { prox: NEAR } : undefined,
    sync: { key: "charts", setSeries: false, scales: ["x", null], filters: { pub: isMove, sub: isMove } },
  };
}

function hooks({ curves, onCursor, onZoom, onFocus }) {
  const runs = [null, ...curves.flatMap(({ run, raw }) => (raw ? [run, run] : [run]))];
  return {
    setCursor: [(plot) => onCursor(placeOf(plot))],
    setSelect: [(plot) => zoom(plot, onZoom)],
    setSeries: [(_plot, index, change) => "focus" in change && onFocus(runs[index ?? 0])],
  };
}

function placeOf(plot) {
  const { left } = plot.cursor;
  return left >= 0 ? plot.posToVal(left, "x") : null;
}

function zoom(plot, onZoom) {
  const { left, width } = plot.select;
  if (width < 6) return;
  onZoom([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
  plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
}

function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
