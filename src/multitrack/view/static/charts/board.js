/** All charts of some runs, by the part of their name before the slash. */

import { html, useMemo, useState } from "../lib.js";
import { Search } from "../parts/controls.js";
import { Empty } from "../parts/says.js";
import { Icon } from "../parts/icons.js";
import { Card } from "./card.js";
import { useSettings } from "./settings.js";
import { Single } from "./single.js";
import { ChartTools } from "./tools.js";

const FEW = 6;

/**
 * @param {{runs: {id: string, label: string, name: string}[], version: string, names: string[],
 *   singles: Map<string, object[]>, colours: Map<string, object>, children?: unknown}} props
 *   singles are the values of the metrics that have one
 */
export function Board({ runs, version, names, singles, colours, children }) {
  const [search, setSearch] = useState("");
  const [settings, change] = useSettings();
  const groups = useMemo(() => grouped(names, search), [names, search]);
  if (!names.length) return children;
  return html`
    <div class="tools board-tools">
      <${Search} label="Search metrics" value=${search} onChange=${setSearch} />
      <${ChartTools} ...${{ settings, change }} />
    </div>
    ${!groups.length && html`<${Empty} small title=${`No metric has “${search}” in its name`} />`}
    <div class=${names.length <= FEW ? "roomy" : ""}>
      ${groups.map(
        ([prefix, members]) => html`<${Group} key=${prefix} ...${{ prefix, members, singles, runs, colours, settings, version }} />`,
      )}
    </div>
  `;
}

function Group({ prefix, members, singles, runs, colours, settings, version }) {
  const [isOpen, setOpen] = useState(true);
  const curves = members.filter(({ name }) => !singles.has(name));
  const numbers = members.filter(({ name }) => singles.has(name));
  return html`<section class="charts">
    <h2>
      <button type="button" aria-expanded=${isOpen ? "true" : "false"} onClick=${() => setOpen(!isOpen)}>
        <${Icon} name="chevron" size=${12} /> ${prefix || "metrics"}
        <span class="count">${members.length}</span>
      </button>
    </h2>
    ${isOpen && curves.length > 0 &&
    html`<div class="grid">
      ${curves.map(
        ({ name, title }) => html`<${Card} key=${name} ...${{ name, title, runs, colours, settings, version }} />`,
      )}
    </div>`}
    ${isOpen && numbers.length > 0 &&
    html`<div class="grid ${runs.length > 1 ? "" : "small"}">
      ${numbers.map(
        ({ name, title }) => html`<${Single} key=${name} values=${singles.get(name)} ...${{ name, title, runs, colours }} />`,
      )}
    </div>`}
  </section>`;
}

/** Return the metrics that a search finds, by prefix, those without one first. */
function grouped(names, search) {
  const groups = new Map();
  for (const name of [...names].sort((a, b) => a.localeCompare(b, "en", { numeric: true }))) {
    if (!name.toLowerCase().includes(search.trim().toLowerCase())) continue;
    const [, prefix, title] = /^(?:([^/]+)\/)?(.+)$/s.exec(name) ?? [null, "", name];
    const members = groups.get(prefix ?? "") ?? [];
    groups.set(prefix ?? "", [...members, { name, title }]);
  }
  return [...groups].sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
}

function rank(prefix) {
  const known = ["train", "eval", "val", "validation", "test"].indexOf(prefix);
  if (known >= 0) return known;
  if (prefix === "") return -1;
  return prefix === "system" ? 100 : 50;
}
