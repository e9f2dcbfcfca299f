/** Getting a chart's curves, while it is seen. */

import { get, seriesPath } from "../api.js";
import { useEffect, useRef, useState } from "../lib.js";

const FEW_POINTS = 300;
const MANY_RUNS = 8;

/**
 * Return what changes when the curves of some runs do; not while a journal is read for the first
 * time, as those who ask for curves then ask until it is.
 * @param {{reading: number|null, updated: number}[]} runs
 * @returns {string}
 */
export function versionOf(runs) {
  return runs.some((run) => run.reading) ? "reading" : runs.map((run) => run.updated).join(" ");
}

/**
 * The curves of one metric. Until newer ones are there, the last ones stay; where the server is
 * still reading, they come as far as they are known.
 * @param {{runs: string[], name: string, settings: object, range: [number, number]|null,
 *   width: number, isSeen: boolean, version: string}} wanted a version changes when runs grow
 * @returns {{series: object[]|null, reading: number|null, range: [number, number]|null,
 *   error: Error|null}} `reading` is the part of the journals that was read, null for all
 */
export function useSeries({ runs, name, settings, range, width, isSeen, version }) {
  const [state, setState] = useState({ series: null, reading: null, range: null, error: null });
  const loaded = useRef("");
  const points = pointsOf(width, runs.length);
  const { axis, smooth } = settings;
  const path = width ? seriesPath({ runs, name, axis, points, smooth, range }) : "";
  const key = `${path} ${version}`;
  useEffect(() => {
    if (!isSeen || !path || loaded.current === key) return undefined;
    const abort = new AbortController();
    const load = async () => {
      const answer = await get(path, abort.signal).then(
        (found) => ({ ...found, range, error: null }),
        (error) => ({ reading: null, error }),
      );
      if (abort.signal.aborted) return;
      setState((last) => ({ ...last, ...answer }));
      if (answer.reading) await load();
      else loaded.current = key;
    };
    load();
    return () => abort.abort();
  }, [isSeen, key]);
  return state;
}

/** As many points as can be told apart; fewer where many curves share the chart. */
function pointsOf(width, count) {
  const most = count > MANY_RUNS ? FEW_POINTS : 2000;
  return Math.min(most, Math.max(200, Math.ceil(width / 100) * 100));
}
