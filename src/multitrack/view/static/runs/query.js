/** Which runs are shown, and in which order. */

import { column } from "./columns.js";

const TEXTS = new Intl.Collator("en", { numeric: true });

/** @type {WeakMap<object, string>} what a search looks through, made once a run */
const haystacks = new WeakMap();

/**
 * @typedef {{search: string, statuses: string[], projects: string[], tags: string[],
 *   sort: string, isDown: boolean}} Query
 */

/**
 * Return the query that an address tells.
 * @param {URLSearchParams} address
 * @returns {Query}
 */
export function readQuery(address) {
  const list = (name) => readList(address.get(name));
  const sort = address.get("sort") ?? "";
  return {
    search: address.get("q") ?? "",
    statuses: list("status"),
    projects: list("project"),
    tags: list("tag"),
    sort: sort.replace(/^-/, ""),
    isDown: sort.startsWith("-"),
  };
}

/**
 * Return a list as it stands in an address.
 * @param {string[]} list
 * @returns {string}
 */
export function writeList(list) {
  return list.length ? JSON.stringify(list) : "";
}

/**
 * Return the runs that a query asks for, in its order; newest first where it tells none.
 * @param {object[]} runs newest first
 * @param {Query} query
 * @returns {object[]}
 */
export function chosenRuns(runs, query) {
  const words = query.search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = runs.filter(
    (run) =>
      isIn(query.statuses, run.status) &&
      isIn(query.projects, run.project ?? "") &&
      (!query.tags.length || query.tags.some((tag) => Object.hasOwn(run.tags ?? {}, tag))) &&
      words.every((word) => haystack(run).includes(word)),
  );
  return query.sort ? sorted(found, query.sort, query.isDown) : found;
}

/**
 * Return how many runs have each value, the most frequent first.
 * @param {object[]} runs
 * @param {(run: object) => string[]} values
 * @returns {Map<string, number>}
 */
export function countsOf(runs, values) {
  const counts = new Map();
  for (const run of runs) {
    for (const value of values(run)) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  return new Map([...counts].sort((a, b) => b[1] - a[1]));
}

function readList(text) {
  try {
    return JSON.parse(text).map(String);
  } catch {
    return [];
  }
}

function isIn(list, value) {
  return !list.length || list.includes(value);
}

function haystack(run) {
  let found = haystacks.get(run);
  if (found === undefined) {
    const pairs = (tree) => Object.entries(tree ?? {}).map(([name, value]) => `${name}=${value}`);
    const parts = [run.name, run.project, run.id, run.status, ...pairs(run.tags), ...pairs(run.params)];
    found = parts.join("\n").toLowerCase();
    haystacks.set(run, found);
  }
  return found;
}

/** Sort by a column; runs without a value come last, whichever way. */
function sorted(runs, key, isDown) {
  const { value } = column(key);
  const keyed = runs.map((run) => [sortable(value(run)), run]);
  keyed.sort(([a], [b]) => (a === null) - (b === null) || (isDown ? compare(b, a) : compare(a, b)));
  return keyed.map(([, run]) => run);
}

function sortable(value) {
  if (value === undefined || value === null || value === "NaN") return null;
  if (value === "Infinity" || value === "-Infinity") return Number(value);
  return typeof value === "number" ? value : String(value);
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === typeof b && a !== null) return TEXTS.compare(a, b);
  return (typeof a === "string") - (typeof b === "string");
}
