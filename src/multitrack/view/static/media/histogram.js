/** A distribution, as bars. */

import { number, tick } from "../format.js";
import { html } from "../lib.js";

const WIDTH = 400;
const HEIGHT = 150;

/**
 * @param {{name: string, edges: number[], counts: number[]}} props
 */
export function Histogram({ name, edges, counts }) {
  const most = Math.max(...counts, 0);
  const [low, high] = [edges[0], edges.at(-1)];
  const x = (edge) => ((edge - low) / (high - low || 1)) * WIDTH;
  const title = (index) => `${number(edges[index])} to ${number(edges[index + 1])}: ${number(counts[index])}`;
  return html`<figure class="histogram">
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${`${name}: from ${number(low)} to ${number(high)}`}>
      ${counts.map((count, index) => {
        const height = most ? (count / most) * HEIGHT : 0;
        const width = Math.max(0.5, x(edges[index + 1]) - x(edges[index]) - 0.8);
        return html`<rect key=${index} x=${x(edges[index])} y=${HEIGHT - height} width=${width} height=${height}>
          <title>${title(index)}</title>
        </rect>`;
      })}
    </svg>
    <figcaption class="number">
      <span>${tick(low)}</span><span>most ${number(most)}</span><span>${tick(high)}</span>
    </figcaption>
  </figure>`;
}
