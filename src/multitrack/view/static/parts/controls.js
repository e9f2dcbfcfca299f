/** Fields that several pages have. */

import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib.js";
import { Icon } from "./icons.js";

/**
 * A search field. "/" goes there from anywhere, Escape empties it.
 * @param {{label: string, value: string, onChange: (value: string) => void}} props
 */
export function Search({ label, value, onChange }) {
  const input = useRef(null);
  useLayoutEffect(() => {
    const focus = (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || isTyping(event.target)) return;
      event.preventDefault();
      input.current.focus();
    };
    addEventListener("keydown", focus);
    return () => removeEventListener("keydown", focus);
  }, []);
  return html`<div class="search" role="search">
    <${Icon} name="search" />
    <input
      ref=${input}
      class="field"
      type="search"
      aria-label=${label}
      placeholder=${label}
      value=${value}
      onInput=${(event) => onChange(event.target.value)}
      onKeyDown=${(event) => event.key === "Escape" && onChange("")}
      spellcheck=${false}
      autocomplete="off"
    />
    ${!value && html`<kbd aria-hidden="true">/</kbd>`}
  </div>`;
}

/**
 * A few choices, one of which is taken.
 * @param {{label: string, choices: string[], value: string, onChange: (value: string) => void}} props
 */
export function Segments({ label, choices, value, onChange }) {
  const move = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = choices[(choices.indexOf(value) + by + choices.length) % choices.length];
    onChange(next);
    event.currentTarget.children[choices.indexOf(next)].focus();
  };
  return html`<div class="segments" role="radiogroup" aria-label=${label} onKeyDown=${move}>
    ${choices.map(
      (choice) => html`<button
        key=${choice}
        type="button"
        role="radio"
        aria-checked=${choice === value ? "true" : "false"}
        tabindex=${choice === value ? 0 : -1}
        onClick=${() => onChange(choice)}
      >
        ${choice}
      </button>`,
    )}
  </div>`;
}

/**
 * A button that copies a text.
 * @param {{text: string, label: string}} props
 */
export function Copy({ text, label }) {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return undefined;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [isCopied]);
  const copy = () => navigator.clipboard.writeText(text).then(() => setCopied(true), () => {});
  return html`<button
    type="button"
    class="button bare small icon"
    aria-label=${label}
    title=${isCopied ? "Copied" : label}
    onClick=${copy}
  >
    <${Icon} name=${isCopied ? "check" : "copy"} />
  </button>`;
}

function isTyping(element) {
  return element.matches?.("input:not([type=checkbox], [type=range]), textarea, select");
}
