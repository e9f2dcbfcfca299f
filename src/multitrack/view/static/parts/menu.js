/** A button that opens a sheet of choices. */

import { html, useEffect, useRef, useState } from "../lib.js";
import { number } from "../format.js";
import { Icon } from "./icons.js";

/**
 * Any content in a sheet under a button; Escape and a click elsewhere close it.
 * @param {{label: string, icon?: string, active?: boolean, end?: boolean,
 *   children: unknown}} props
 */
export function Menu({ label, icon = "chevron", active = false, end = false, children }) {
  const [isOpen, setOpen] = useState(false);
  const root = useRef(null);
  useEffect(() => {
    if (!isOpen) return undefined;
    const onAway = (event) => root.current.contains(event.target) || setOpen(false);
    const onKey = (event) => {
      if (event.key !== "Escape") return;
      setOpen(false);
      root.current.querySelector("button").focus();
    };
    addEventListener("pointerdown", onAway);
    addEventListener("focusin", onAway);
    addEventListener("keydown", onKey);
    return () => {
      removeEventListener("pointerdown", onAway);
      removeEventListener("focusin", onAway);
      removeEventListener("keydown", onKey);
    };
  }, [isOpen]);
  return html`<div class="menu ${end ? "at-end" : ""}" ref=${root}>
    <button
      type="button"
      class="button ${active ? "active" : ""}"
      aria-expanded=${isOpen ? "true" : "false"}
      onClick=${() => setOpen(!isOpen)}
    >
      ${label} <${Icon} name=${icon} />
    </button>
    ${isOpen && html`<div class="sheet">${children}</div>`}
  </div>`;
}

/**
 * A menu of check boxes, any number of which are taken.
 * @param {{label: string, counts: Map<string, number>, chosen: string[],
 *   onChange: (chosen: string[]) => void}} props
 */
export function CheckMenu({ label, counts, chosen, onChange }) {
  const shown = chosen.length ? `${label}: ${chosen.length > 1 ? chosen.length : chosen[0]}` : label;
  return html`<${Menu} label=${shown} active=${chosen.length > 0}>
    ${[...counts].map(
      ([name, count]) => html`<${Choice}
        key=${name}
        name=${name || "none"}
        note=${number(count)}
        checked=${chosen.includes(name)}
        onChange=${() => onChange(toggled(chosen, name))}
      />`,
    )}
  <//>`;
}

/**
 * One choice of a menu.
 * @param {{name: string, note?: string, checked: boolean, onChange: () => void}} props
 */
export function Choice({ name, note, checked, onChange }) {
  return html`<label>
    <input type="checkbox" checked=${checked} onChange=${onChange} />
    <span class="clip">${name}</span>
    ${note && html`<span class="quiet number">${note}</span>`}
  </label>`;
}

/**
 * Return a list with a value added, or removed if it was there.
 * @template T
 * @param {T[]} list
 * @param {T} value
 * @returns {T[]}
 */
export function toggled(list, value) {
  return list.includes(value) ? list.filter((one) => one !== value) : [...list, value];
}
