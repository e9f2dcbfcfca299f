/** Which page is looked at: it stands in the address after the #, so that links and Back work. */

import { useEffect, useState } from "./lib.js";

/**
 * @typedef {{page: string, id: string, query: URLSearchParams}} Route
 */

/**
 * Return the route that the address tells.
 * @returns {Route}
 */
export function currentRoute() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [page, id] = path.split("/", 2);
  return { page: page || "runs", id: decode(id ?? ""), query: new URLSearchParams(query) };
}

/**
 * Return the address of a page.
 * @param {string} page "runs", "run" or "compare"
 * @param {string} [id]
 * @param {Record<string, string>} [query] empty values are left out
 * @returns {string}
 */
export function href(page, id = "", query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const path = page === "runs" ? "" : [page, id && encodeURIComponent(id)].filter(Boolean).join("/");
  return `#/${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

/**
 * Change values of the address's query without leaving an entry in the history.
 * @param {Record<string, string>} changes an empty value removes its name
 */
export function changeQuery(changes) {
  const { page, id, query } = currentRoute();
  const merged = { ...Object.fromEntries(query), ...changes };
  history.replaceState(null, "", href(page, id, merged));
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/**
 * The current route, as a state.
 * @returns {Route}
 */
export function useRoute() {
  const [route, setRoute] = useState(currentRoute);
  useEffect(() => {
    const follow = () => setRoute(currentRoute());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return route;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
