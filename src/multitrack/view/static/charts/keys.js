/** Reading a chart with the keyboard. */

const STEP = 0.01;
const LEAP = 0.1;
const CLOSER = 0.5;

/**
 * Move the cursor, zoom around it, or see everything again.
 * @param {KeyboardEvent} event
 * @param {import("./plot.js").Plot|null} plot
 * @param {[number, number]|null} range
 * @param {(range: [number, number]|null) => void} setRange
 */
export function onChartKey(event, plot, range, setRange) {
  if (!plot || event.ctrlKey || event.metaKey || event.altKey) return;
  const by = event.shiftKey ? LEAP : STEP;
  const acts = {
    ArrowLeft: () => plot.moveCursor(-by),
    ArrowRight: () => plot.moveCursor(by),
    "+": () => setRange(scaled(plot, CLOSER)),
    "=": () => setRange(scaled(plot, CLOSER)),
    "-": () => range && setRange(scaled(plot, 1 / CLOSER)),
    0: () => setRange(null),
    Escape: () => setRange(null),
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function scaled(plot, by) {
  const [low, high] = plot.inSight();
  const centre = plot.cursorPlace() ?? (low + high) / 2;
  return [centre - (centre - low) * by, centre + (high - centre) * by];
}
