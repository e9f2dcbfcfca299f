/** How numbers, times and sizes are written: as the command line writes them. */

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;
const DIGITS = 4;
const UNITS = ["B", "kB", "MB", "GB", "TB"];

/**
 * Write a value with four significant digits, or a whole number with its thousands.
 * @param {number|string|boolean|null|undefined} value
 * @returns {string}
 */
export function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  if (!Number.isFinite(size)) return String(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(DIGITS - 1).replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(DIGITS)));
}

/**
 * Write a part of something.
 * @param {number} part from 0 to 1
 * @returns {string}
 */
export function percent(part) {
  return `${Math.floor(100 * part)} %`;
}

/**
 * Write a number for an axis: short, with a letter for thousands and millions.
 * @param {number} value
 * @returns {string}
 */
export function tick(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return value.toExponential(0);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(DIGITS))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(DIGITS))}k`;
  if (size > 0 && size < 1e-3) return value.toExponential(1).replace(".0e", "e");
  return String(Number(value.toPrecision(DIGITS)));
}

/**
 * Write a time span in its two largest units.
 * @param {number} seconds
 * @returns {string}
 */
export function duration(seconds) {
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  if (!(seconds >= 0)) return "0s";
  if (seconds < 10) return `${Number(seconds.toFixed(1))}s`;
  if (seconds < MINUTE) return `${Math.floor(seconds)}s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)}m ${two(seconds % MINUTE)}s`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)}h ${two((seconds % HOUR) / MINUTE)}m`;
  return `${Math.floor(seconds / DAY)}d ${two((seconds % DAY) / HOUR)}h`;
}

/**
 * Write how long ago a moment was.
 * @param {number} moment Unix time in seconds
 * @returns {string}
 */
export function ago(moment) {
  const seconds = Date.now() / 1000 - moment;
  if (seconds < 5) return "just now";
  if (seconds < MINUTE) return `${Math.floor(seconds)} s ago`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ago`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ago`;
  if (seconds < 30 * DAY) return `${Math.floor(seconds / DAY)} d ago`;
  return new Date(moment * 1000).toLocaleDateString("en-CA");
}

/**
 * Write a moment in full, in local time.
 * @param {number} moment Unix time in seconds
 * @returns {string}
 */
export function instant(moment) {
  return new Date(moment * 1000).toLocaleString("sv-SE");
}

/**
 * Write a number of bytes.
 * @param {number} bytes
 * @returns {string}
 */
export function size(bytes) {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${UNITS[power]}`;
}

/**
 * Write how many there are of something.
 * @param {number} count
 * @param {string} word
 * @returns {string}
 */
export function plural(count, word) {
  return `${count.toLocaleString("en-US")} ${word}${count === 1 ? "" : "s"}`;
}

/**
 * Write any value of a param: text as it is, a list or a tree as JSON.
 * @param {unknown} value
 * @returns {string}
 */
export function text(value) {
  if (typeof value === "string") return value;
  return typeof value === "number" ? number(value) : JSON.stringify(value);
}
