/** The colour of a run: the same in every chart and table, for as long as this browser remembers. */

import { recall, remember } from "./storage.js";

/** Colours that the style sheet names `--run-0` and so on, light and dark. */
export const HUES = 10;

const SLOTS = 2 * HUES; // the second half is dashed
const REMEMBERED = 400;

/** @type {Map<string, number>} run id to slot */
const slots = new Map(recall("colours", []));

/**
 * @typedef {{slot: number, css: string, dash: number[]|undefined}} Colour
 */

/**
 * Return the colours of runs that are looked at together: those they have, and free ones for
 * the rest. Only where two had the same one does the later run get another.
 * @param {string[]} ids
 * @returns {Map<string, Colour>}
 */
export function coloursOf(ids) {
  const taken = new Set();
  let isNew = false;
  for (const id of ids) {
    const known = slots.get(id);
    if (known === undefined || (taken.has(known) && taken.size < SLOTS)) {
      slots.delete(id);
      slots.set(id, freeSlot(taken));
      isNew = true;
    }
    taken.add(slots.get(id));
  }
  if (isNew) keep();
  return new Map(ids.map((id) => [id, colour(slots.get(id))]));
}

/**
 * Return the colour of a run that has one already.
 * @param {string} id
 * @returns {Colour|undefined}
 */
export function knownColour(id) {
  return slots.has(id) ? colour(slots.get(id)) : undefined;
}

function colour(slot) {
  const dash = slot >= HUES ? [6, 4] : undefined;
  return { slot, css: `var(--run-${slot % HUES})`, dash };
}

function freeSlot(taken) {
  const uses = Array.from({ length: SLOTS }, () => 0);
  for (const slot of slots.values()) uses[slot] += 1;
  for (const slot of taken) uses[slot] += REMEMBERED;
  return uses.indexOf(Math.min(...uses));
}

function keep() {
  while (slots.size > REMEMBERED) slots.delete(slots.keys().next().value);
  remember("colours", [...slots]);
}
