/** How curves are drawn, everywhere on the page, until it is changed. */

import { useRemembered } from "../storage.js";

/** What the horizontal axis can be. */
export const AXES = ["step", "time", "epoch"];

/** More smoothing than this leaves no curve. */
export const MOST_SMOOTHING = 0.99;

const INITIAL = { axis: "step", smooth: 0, logX: false, logY: false };

/**
 * @typedef {typeof INITIAL} Settings
 */

/**
 * The settings, and how to change some of them.
 * @returns {[Settings, (change: Partial<Settings>) => void]}
 */
export function useSettings() {
  const [kept, keep] = useRemembered("charts", INITIAL);
  const settings = { ...INITIAL, ...kept };
  return [settings, (change) => keep({ ...settings, ...change })];
}
