/** Whether something is on the screen, or nearly. */

import { useEffect, useState } from "../lib.js";

const MARGIN = "240px";

/** @type {WeakMap<Element, (isSeen: boolean) => void>} */
const listeners = new WeakMap();

const observer = new IntersectionObserver(
  (entries) => entries.forEach((entry) => listeners.get(entry.target)?.(entry.isIntersecting)),
  { rootMargin: MARGIN },
);

/**
 * Whether an element is near the screen.
 * @param {{current: Element|null}} element
 * @returns {boolean}
 */
export function useSeen(element) {
  const [isSeen, setSeen] = useState(false);
  useEffect(() => {
    const watched = element.current;
    listeners.set(watched, setSeen);
    observer.observe(watched);
    return () => observer.unobserve(watched);
  }, []);
  return isSeen;
}

/**
 * The width of an element, in pixels.
 * @param {{current: Element|null}} element
 * @returns {number} 0 until it is known
 */
export function useWidth(element) {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const sizes = new ResizeObserver(([entry]) => setWidth(Math.round(entry.contentRect.width)));
    sizes.observe(element.current);
    return () => sizes.disconnect();
  }, []);
  return width;
}
