/** The columns of the runs table: what a run has under each, and how it is written. */

import { duration, number } from "../format.js";
import { isOrigin } from "../params.js";

const AUTOMATIC = 4;
const PARAM = "param:";
const METRIC = "metric:";

/**
 * @typedef {{key: string, title: string, isNumber?: boolean, value: (run: object) => unknown,
 *   text?: (value: any) => string}} Column
 */

/** @type {Column[]} */
const FIRST = [
  { key: "name", title: "Name", value: (run) => run.name || run.id },
  { key: "status", title: "Status", value: (run) => run.status },
  { key: "started", title: "Started", value: (run) => run.started },
  { key: "took", title: "Took", isNumber: true, value: secondsOf, text: duration },
  { key: "steps", title: "Step", isNumber: true, value: (run) => run.last_step, text: number },
];

/** @type {Column} */
const DELIVERY = { key: "delivery", title: "Delivery", value: deliveryRank };

/**
 * Return how long a run took, or has been going on.
 * @param {object} run
 * @returns {number|undefined} seconds
 */
export function secondsOf(run) {
  if (run.started === undefined || run.started === null) return undefined;
  return (run.status === "running" ? Date.now() / 1000 : run.updated) - run.started;
}

/**
 * Return the columns to show.
 * @param {string[]} chosen keys of params and metrics, as `columnKeys` gives them
 * @param {boolean} isNarrow only what fits a telephone
 * @returns {Column[]}
 */
export function columnsOf(chosen, isNarrow) {
  if (isNarrow) return FIRST.slice(0, 2);
  return [...FIRST, ...chosen.map(column), DELIVERY];
}

/**
 * Return the column with a key.
 * @param {string} key
 * @returns {Column}
 */
export function column(key) {
  const fixed = [...FIRST, DELIVERY].find((one) => one.key === key);
  if (fixed) return fixed;
  const [kind, field] = key.startsWith(METRIC) ? [METRIC, "metrics"] : [PARAM, "params"];
  const name = key.slice(kind.length);
  const value = (run) => (Object.hasOwn(run[field] ?? {}, name) ? run[field][name] : undefined);
  return { key, title: name, isNumber: true, value, text: short };
}

/**
 * Return the keys of every param and metric that the runs have, the most frequent first; where
 * an imported run comes from stands last.
 * @param {object[]} runs
 * @returns {{params: string[], metrics: string[]}}
 */
export function columnKeys(runs) {
  const params = keysOf(runs, "params", PARAM).sort((a, b) => isOfOrigin(a) - isOfOrigin(b));
  return { params, metrics: keysOf(runs, "metrics", METRIC) };
}

/**
 * Return the columns for somebody who has not chosen: params that differ, and metrics.
 * @param {object[]} runs
 * @param {{params: string[], metrics: string[]}} keys
 * @returns {string[]}
 */
export function automaticColumns(runs, keys) {
  const differing = keys.params.filter((key) => {
    if (isOfOrigin(key)) return false;
    const { value } = column(key);
    const values = new Set(runs.map(value));
    values.delete(undefined);
    return values.size > 1 && values.size <= runs.length / 2;
  });
  const metrics = keys.metrics.filter((key) => !key.startsWith(`${METRIC}system/`));
  metrics.sort((a, b) => b.startsWith(`${METRIC}eval/`) - a.startsWith(`${METRIC}eval/`));
  return [...differing.slice(0, AUTOMATIC / 2), ...metrics.slice(0, AUTOMATIC / 2)];
}

function isOfOrigin(key) {
  return isOrigin(key.slice(PARAM.length));
}

function keysOf(runs, field, prefix) {
  const counts = new Map();
  for (const run of runs) {
    for (const name of Object.keys(run[field] ?? {})) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => prefix + name);
}

function short(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : number(value);
}

function deliveryRank(run) {
  const ranks = { red: 0, yellow: 1, cyan: 2, dim: 3, green: 4 };
  const all = (run.backends ?? []).map((backend) => ranks[backend.style] ?? 2);
  return all.length ? Math.min(...all) : undefined;
}
