/** Where the page begins: the bar, and the page that the address tells. */

import { ComparePage } from "./compare/page.js";
import { html, render, useEffect } from "./lib.js";
import { Icon, Mark } from "./parts/icons.js";
import { RunPage } from "./run/page.js";
import { RunsPage } from "./runs/page.js";
import { href, useRoute } from "./router.js";
import { useTheme } from "./theme.js";

function App() {
  const { page, id, query } = useRoute();
  useEffect(() => {
    if (page === "runs") document.title = "Runs · multitrack";
  }, [page]);
  return html`
    <${Bar} isHome=${page !== "run" && page !== "compare"} />
    ${page === "run" && html`<${RunPage} key=${id} id=${id} />`}
    ${page === "compare" && html`<${ComparePage} query=${query} />`}
    ${page !== "run" && page !== "compare" && html`<${RunsPage} />`}
  `;
}

function Bar({ isHome }) {
  const [theme, toggle] = useTheme();
  const label = theme === "dark" ? "Light theme" : "Dark theme";
  return html`<header class="bar">
    <a class="brand" href=${href("runs")}><${Mark} /> multitrack</a>
    ${!isHome && html`<a class="crumb" href=${href("runs")}>All runs</a>`}
    <span class="fill"></span>
    <button type="button" class="button bare icon" aria-label=${label} title=${label} onClick=${toggle}>
      <${Icon} name=${theme === "dark" ? "sun" : "moon"} size=${16} />
    </button>
  </header>`;
}

render(html`<${App} />`, document.getElementById("app"));
