/** Light or dark: as the system is, until one is chosen. */

import { useEffect, useState } from "./lib.js";
import { recall, remember } from "./storage.js";

/** Told to charts, which are drawn and not styled. */
export const THEME_CHANGED = "multitrack:theme";

const system = matchMedia("(prefers-color-scheme: dark)");

/**
 * The theme that is shown, and how to show the other one.
 * @returns {["light"|"dark", () => void]}
 */
export function useTheme() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme);
  useEffect(() => {
    const follow = () => recall("theme", "") || setTheme(system.matches ? "dark" : "light");
    system.addEventListener("change", follow);
    return () => system.removeEventListener("change", follow);
  }, []);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    dispatchEvent(new Event(THEME_CHANGED));
  }, [theme]);
  const other = theme === "dark" ? "light" : "dark";
  const toggle = () => {
    remember("theme", other);
    setTheme(other);
  };
  return [theme, toggle];
}
