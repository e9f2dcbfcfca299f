/** Asking again and again, while somebody looks. */

import { get } from "./api.js";
import { useEffect, useState } from "./lib.js";

const EVERY_MS = 2000;

/**
 * @template T
 * @typedef {{data: T|null, error: Error|null}} Polled
 */

/**
 * What the server says at a path, asked every two seconds while the page is visible. After an
 * error the last answer stays, and asking goes on.
 * @param {string} path
 * @returns {Polled<any>}
 */
export function usePolled(path) {
  const [state, setState] = useState({ path, data: null, error: null });
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    const show = (change) => setState((last) => merged(last, { path, ...change }));
    const ask = async () => {
      if (!document.hidden) await tell(path, abort.signal, show);
      clearTimeout(timer);
      if (!abort.signal.aborted) timer = setTimeout(ask, EVERY_MS);
    };
    const onVisible = () => document.hidden || ask();
    document.addEventListener("visibilitychange", onVisible);
    ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [path]);
  return state.path === path ? state : { data: null, error: null };
}

async function tell(path, signal, show) {
  try {
    const data = await get(path, signal);
    if (!signal.aborted) show({ data });
  } catch (error) {
    if (!signal.aborted) show({ error });
  }
}

function merged(last, change) {
  const data = last.path === change.path ? last.data : null;
  const next = { data, error: null, ...change };
  return last.path === next.path && last.data === next.data && last.error === next.error
    ? last
    : next;
}
