/** Getting a chart's curves, while it is seen. */

import { get, seriesPath } from "../api.js";
import { useEffect, useRef, useState } from "../lib.js";

const FEW_POINTS = 300;
const MANY_RUNS = 8;

/**
 * The curves of one metric. Until newer ones are there, the last ones stay.
 * @param {{runs: string[], name: string, settings: object, range: [number, number]|null,
 *   width: number, isSeen: boolean, version: string}} wanted a version changes when runs grow
 * @returns {{series: object[]|null, range: [number, number]|null, error: Error|null}}
 */
export function useSeries({ runs, name, settings, range, width, isSeen, version }) {
  const [state, setState] = useState({ series: null, range: null, error: null });
  const loaded = useRef("");
  const points = pointsOf(width, runs.length);
  const { axis, smooth } = settings;
  const path = width ? seriesPath({ runs, name, axis, points, smooth, range }) : "";
  const key = `${path} ${version}`;
  useEffect(() => {
    if (!isSeen || !path || loaded.current === key) return undefined;
    const abort = new AbortController();
    const done = (next) => {
      if (abort.signal.aborted) return;
      loaded.current = key;
      setState(next);
    };
    get(path, abort.signal).then(
      ({ series }) => done({ series, range, error: null }),
      (error) => done((last) => ({ ...last, error })),
    );
    return () => abort.abort();
  }, [isSeen, key]);
  return state;
}

/** As many points as can be told apart; fewer where many curves share the chart. */
function pointsOf(width, count) {
  const most = count > MANY_RUNS ? FEW_POINTS : 2000;
  return Math.min(most, Math.max(200, Math.ceil(width / 100) * 100));
}
