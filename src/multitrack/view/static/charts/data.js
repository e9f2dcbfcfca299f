/** From the server's series to what is drawn. */

import { uPlot } from "../lib.js";

/**
 * One run's curve: x rises, y is null where there is a gap.
 * @typedef {{run: string, x: number[], y: (number|null)[], raw?: (number|null)[]}} Curve
 */

/**
 * Return curves in the order of the runs, with what an axis cannot show left out.
 * @param {{run: string, x: number[], y: number[], raw?: number[]}[]} series
 * @param {string[]} runs
 * @param {{logX: boolean, logY: boolean}} settings
 * @returns {Curve[]}
 */
export function curvesOf(series, runs, { logX, logY }) {
  const found = new Map(series.map((one) => [one.run, one]));
  return runs
    .filter((id) => found.get(id)?.x.length)
    .map((id) => rising(found.get(id)))
    .map((curve) => (logX ? withPositiveX(curve) : curve))
    .map((curve) => (logY ? withPositiveY(curve) : curve));
}

/**
 * Return the columns that uPlot draws: x, then for each curve its raw values, if any, and its y.
 * @param {Curve[]} curves
 * @returns {(number|null|undefined)[][]}
 */
export function aligned(curves) {
  if (!curves.length) return [[]];
  return uPlot.join(curves.map(({ x, y, raw }) => (raw ? [x, raw, y] : [x, y])));
}

/**
 * Return the point of a curve that is nearest to a place on the axis, if the curve is there.
 * @param {Curve} curve
 * @param {number} place
 * @returns {{x: number, y: number|null}|null}
 */
export function nearest({ x, y }, place) {
  let low = 0;
  let high = x.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x[middle] < place) low = middle;
    else high = middle;
  }
  const index = Math.abs(x[low] - place) <= Math.abs(x[high] - place) ? low : high;
  const spacing = (x.at(-1) - x[0]) / Math.max(1, x.length - 1);
  const isBeyond = place > x.at(-1) + 2 * spacing || place < x[0] - 2 * spacing;
  return isBeyond && x.length > 1 ? null : { x: x[index], y: y[index] };
}

/**
 * Return the last point of a curve.
 * @param {Curve} curve
 * @returns {{x: number, y: number|null}|null}
 */
export function last({ x, y }) {
  return x.length ? { x: x.at(-1), y: y.at(-1) } : null;
}

/** Steps may go back, where a run was resumed from an earlier checkpoint. */
function rising(curve) {
  if (curve.x.every((value, index) => index === 0 || value >= curve.x[index - 1])) return curve;
  const order = curve.x.map((_, index) => index).sort((a, b) => curve.x[a] - curve.x[b]);
  return picked(curve, order);
}

function withPositiveX(curve) {
  return picked(curve, [...curve.x.keys()].filter((index) => curve.x[index] > 0));
}

function withPositiveY(curve) {
  const positive = (values) => values?.map((value) => (value > 0 ? value : null));
  return { ...curve, y: positive(curve.y), raw: positive(curve.raw) };
}

function picked({ run, x, y, raw }, indices) {
  const pick = (values) => values && indices.map((index) => values[index]);
  return { run, x: pick(x), y: pick(y), raw: pick(raw) };
}
