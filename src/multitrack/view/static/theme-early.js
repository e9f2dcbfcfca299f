// Runs before the first paint, so that no theme flashes in the other one: the chosen, or the system's.
(() => {
  let theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  try {
    theme = JSON.parse(localStorage.getItem("multitrack.theme")) || theme;
  } catch {
    // Storage is blocked.
  }
  document.documentElement.dataset.theme = theme;
})();
