/** Whether there is room for everything. */

import { useEffect, useState } from "./lib.js";

const narrow = matchMedia("(max-width: 720px)");

/**
 * Whether the page is as narrow as a telephone.
 * @returns {boolean}
 */
export function useNarrow() {
  const [isNarrow, setNarrow] = useState(narrow.matches);
  useEffect(() => {
    const follow = () => setNarrow(narrow.matches);
    narrow.addEventListener("change", follow);
    return () => narrow.removeEventListener("change", follow);
  }, []);
  return isNarrow;
}
