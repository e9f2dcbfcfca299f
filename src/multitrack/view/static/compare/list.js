/** The runs that are compared: which colour is whose, hide one for a while, or let it go. */

import { plural } from "../format.js";
import { Swatch } from "../charts/legend.js";
import { html } from "../lib.js";
import { statusStyle } from "../parts/chips.js";
import { Icon } from "../parts/icons.js";
import { toggled } from "../parts/menu.js";
import { href } from "../router.js";

/**
 * @param {{runs: object[], labels: Map<string, string>, colours: Map<string, object>, hidden: string[],
 *   setHidden: (hidden: string[]) => void, remove: (id: string) => void}} props
 */
export function RunList({ runs, labels, colours, hidden, setHidden, remove }) {
  return html`<aside class="run-list" aria-label="Compared runs">
    <h2>${plural(runs.length, "run")}</h2>
    <ul>
      ${runs.map(
        (run) => html`<${Item}
          key=${run.id}
          label=${labels.get(run.id)}
          colour=${colours.get(run.id)}
          isHidden=${hidden.includes(run.id)}
          onHide=${() => setHidden(toggled(hidden, run.id))}
          onRemove=${() => remove(run.id)}
          run=${run}
        />`,
      )}
    </ul>
  </aside>`;
}

function Item({ run, label, colour, isHidden, onHide, onRemove }) {
  const name = run.name || run.id;
  return html`<li class=${isHidden ? "off" : ""}>
    <${Swatch} colour=${colour} />
    <a href=${href("run", run.id)} title=${name}>
      <span class="clip strong">${label}</span>
      <span class="clip quiet">
        ${run.project}${run.status !== "finished" && html` <i class=${statusStyle(run.status)}>${run.status}</i>`}
      </span>
    </a>
    <button
      type="button"
      class="button bare small icon"
      aria-label=${`${isHidden ? "Show" : "Hide"} ${name}`}
      aria-pressed=${isHidden ? "true" : "false"}
      title=${isHidden ? "Show" : "Hide"}
      onClick=${onHide}
    >
      <${Icon} name=${isHidden ? "eyeOff" : "eye"} />
    </button>
    <button type="button" class="button bare small icon" aria-label=${`Remove ${name}`} title="Remove" onClick=${onRemove}>
      <${Icon} name="close" size=${12} />
    </button>
  </li>`;
}
