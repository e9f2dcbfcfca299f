/** Asking again and again, while somebody looks. */

import { get } from "./api.js";
import { useEffect, useState } from "./lib.js";

const EVERY_MS = 2000;

/**
 * @template T
 * @typedef {{data: T|null, error: Error|null}} Polled
 */

/**
 * What the server says at a path, asked every two seconds while the page is visible, and at once
 * where it is still reading. After an error the last answer stays, and asking goes on.
 * @param {string} path
 * @param {{ask?: (path: string, signal: AbortSignal) => Promise<any>, isPatient?: boolean}} [how]
 *   who is patient does not ask at once
 * @returns {Polled<any>}
 */
export function usePolled(path, { ask = get, isPatient = false } = {}) {
  const [state, setState] = useState({ path, data: null, error: null });
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    const show = (change) => setState((last) => merged(last, { path, ...change }));
    const look = async () => {
      const isMore = !document.hidden && (await tell(ask(path, abort.signal), abort.signal, show));
      clearTimeout(timer);
      if (!abort.signal.aborted) timer = setTimeout(look, isMore && !isPatient ? 0 : EVERY_MS);
    };
    const onVisible = () => document.hidden || look();
    document.addEventListener("visibilitychange", onVisible);
    look();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [path]);
  return state.path === path ? state : { data: null, error: null };
}

/** Show an answer, and tell whether there is more to come. */
async function tell(answer, signal, show) {
  try {
    const data = await answer;
    if (!signal.aborted) show({ data });
    return Boolean(data.reading);
  } catch (error) {
    if (!signal.aborted) show({ error });
    return false;
  }
}

function merged(last, change) {
  const data = last.path === change.path ? last.data : null;
  const next = { data, error: null, ...change };
  return last.path === next.path && last.data === next.data && last.error === next.error
    ? last
    : next;
}
