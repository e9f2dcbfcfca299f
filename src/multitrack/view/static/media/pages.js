/** Getting media a page at a time, around what is looked at. */

import { get, mediaPath } from "../api.js";
import { useEffect, useRef, useState } from "../lib.js";

const PAGE = { image: 50, figure: 50, audio: 50, video: 50, histogram: 50, text: 20, table: 2 };

/**
 * The entry at a place; the last one that was there stays until it has come.
 * @param {{id: string, kind: string, name: string, index: number, isSeen: boolean}} wanted
 * @returns {{entry: object|null, error: Error|null}}
 */
export function useEntry({ id, kind, name, index, isSeen }) {
  const pages = useRef(new Map());
  const [, setArrived] = useState(0);
  const [error, setError] = useState(null);
  const shown = useRef(null);
  const size = PAGE[kind] ?? 20;
  const number = Math.floor(index / size);
  const entry = pages.current.get(number)?.[index % size];
  useEffect(() => {
    if (!isSeen || entry) return undefined;
    const abort = new AbortController();
    get(mediaPath(id, kind, name, number * size, size), abort.signal).then(
      ({ entries }) => {
        if (abort.signal.aborted) return;
        pages.current.set(number, entries);
        setError(null);
        setArrived((count) => count + 1);
      },
      (problem) => abort.signal.aborted || setError(problem),
    );
    return () => abort.abort();
  }, [isSeen, index, Boolean(entry)]);
  if (entry) shown.current = entry;
  return { entry: shown.current, error };
}
