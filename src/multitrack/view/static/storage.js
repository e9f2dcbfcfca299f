/** What the page remembers in this browser. */

import { useCallback, useState } from "./lib.js";

const PREFIX = "multitrack.";

/**
 * Return what was stored under a name; the fallback where nothing was, or storage is blocked.
 * @template T
 * @param {string} name
 * @param {T} fallback
 * @returns {T}
 */
export function recall(name, fallback) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name)) ?? fallback;
  } catch {
    return fallback;
  }
}

/**
 * Store a value under a name; without storage it lives as long as the page.
 * @param {string} name
 * @param {unknown} value
 */
export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Storage is blocked or full: nothing depends on it.
  }
}

/**
 * A state that outlives the page.
 * @template T
 * @param {string} name
 * @param {T} initial
 * @returns {[T, (value: T) => void]}
 */
export function useRemembered(name, initial) {
  const [value, set] = useState(() => recall(name, initial));
  const keep = useCallback(
    (next) => {
      remember(name, next);
      set(next);
    },
    [name],
  );
  return [value, keep];
}
