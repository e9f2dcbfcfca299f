/** Drawing only the rows that are seen. */

import { useLayoutEffect, useState } from "../lib.js";

const WHOLE = 200;
const OVERSCAN = 12;

/**
 * Which of many rows of one height are seen.
 * @param {{current: HTMLElement|null}} scroller
 * @param {number} count
 * @param {number} height of a row in pixels
 * @returns {{first: number, last: number}} the rows to draw, the last one excluded
 */
export function useWindow(scroller, count, height) {
  const [seen, setSeen] = useState({ first: 0, last: Math.min(count, WHOLE / 4) });
  useLayoutEffect(() => {
    const element = scroller.current;
    const look = () => {
      const top = Math.floor(element.scrollTop / height);
      const first = Math.max(0, top - OVERSCAN);
      const last = top + Math.ceil(element.clientHeight / height) + OVERSCAN;
      setSeen((now) => (now.first === first && now.last === last ? now : { first, last }));
    };
    look();
    element.addEventListener("scroll", look, { passive: true });
    const sizes = new ResizeObserver(look);
    sizes.observe(element);
    return () => {
      element.removeEventListener("scroll", look);
      sizes.disconnect();
    };
  }, [height, count]);
  if (count <= WHOLE) return { first: 0, last: count };
  const first = Math.min(seen.first, Math.max(0, count - 1));
  return { first, last: Math.min(count, seen.last) };
}
