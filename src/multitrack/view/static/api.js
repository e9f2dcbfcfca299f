/** Asking the server. */

const KEPT = 100;

/** @type {Map<string, {etag: string, body: object}>} the newest answers that carried an ETag */
const answers = new Map();

/**
 * All runs, as far as the server has told.
 * @typedef {{dir: string, version: string, reading: boolean, runs: object[]}} RunTable
 */

/** @type {RunTable|null} */
let table = null;

/** What the server said instead of an answer, or that it said nothing. */
export class ApiError extends Error {
  /**
   * @param {string} message a sentence
   * @param {number} status of HTTP; 0 where no server answered
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * Get JSON. An answer that has not changed is the same object as before.
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 * @throws {ApiError}
 */
export async function get(path, signal) {
  const known = answers.get(path);
  const response = await send(path, known?.etag, signal);
  if (response.status === 304) return known.body;
  if (!response.ok) throw await refusal(response);
  const body = await whole(response);
  const etag = response.headers.get("ETag");
  if (etag) keep(path, { etag, body });
  return body;
}

/**
 * Get all runs, the newest first. Only what is new is sent: a run that has not changed is the
 * same object as before, and so is the table.
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<RunTable>}
 * @throws {ApiError}
 */
export async function getRuns(path, signal) {
  const known = table;
  const since = known ? `?since=${encodeURIComponent(known.version)}` : "";
  const response = await send(path + since, null, signal);
  if (!response.ok) throw await refusal(response);
  if (response.status === 204) return (table = known.reading ? { ...known, reading: false } : known);
  const { ids, runs, ...about } = await whole(response);
  const found = new Map([...(known?.runs ?? []), ...runs].map((run) => [run.id, run]));
  return (table = { ...about, runs: ids.map((id) => found.get(id)) });
}

async function send(path, etag, signal) {
  try {
    const headers = etag ? { "If-None-Match": etag } : {};
    return await fetch(path, { headers, signal, cache: "no-store" });
  } catch (error) {
    throw silence(error);
  }
}

/** Read an answer to its end; one that breaks off is none, and must not be kept. */
async function whole(response) {
  try {
    return await response.json();
  } catch (error) {
    throw silence(error);
  }
}

async function refusal(response) {
  const { error } = await response.json().catch(() => ({}));
  return new ApiError(error ?? `The server answered ${response.status}.`, response.status);
}

function silence(error) {
  if (error.name === "AbortError") return error;
  return new ApiError("The server does not answer. Is multitrack view still running?", 0);
}

function keep(path, answer) {
  answers.delete(path);
  answers.set(path, answer);
  if (answers.size > KEPT) answers.delete(answers.keys().next().value);
}

/**
 * Return the path of a run's details.
 * @param {string} id
 * @returns {string}
 */
export function runPath(id) {
  return `/api/runs/${encodeURIComponent(id)}`;
}

/**
 * Return the path of curves.
 * @param {{runs: string[], name: string, axis: string, points: number, smooth: number,
 *   range: [number, number]|null}} wanted
 * @returns {string}
 */
export function seriesPath({ runs, name, axis, points, smooth, range }) {
  const query = new URLSearchParams(runs.map((id) => ["run", id]));
  query.set("name", name);
  query.set("axis", axis);
  query.set("points", String(points));
  if (smooth) query.set("smooth", String(smooth));
  if (range) {
    query.set("from", String(range[0]));
    query.set("to", String(range[1]));
  }
  return `/api/series?${query}`;
}

/**
 * Return the path of a page of media.
 * @param {string} id of the run
 * @param {string} kind
 * @param {string} name
 * @param {number} offset
 * @param {number} limit
 * @returns {string}
 */
export function mediaPath(id, kind, name, offset, limit) {
  const query = new URLSearchParams({ kind, name, offset: String(offset), limit: String(limit) });
  return `${runPath(id)}/media?${query}`;
}
