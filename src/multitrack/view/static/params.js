/** What the names of params tell. */

const ORIGIN = "imported_from/";

/**
 * Return whether a param says where an imported run comes from, which no two have in common.
 * @param {string} name
 * @returns {boolean}
 */
export function isOrigin(name) {
  return name.startsWith(ORIGIN);
}
