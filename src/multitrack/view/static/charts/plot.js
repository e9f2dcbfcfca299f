/** One chart on the screen: uPlot's, kept in step with what the page knows. */

import { uPlot } from "../lib.js";
import { THEME_CHANGED } from "../theme.js";
import { aligned } from "./data.js";
import { optionsOf } from "./options.js";

/**
 * A drawn chart. It is made anew where its shape changes, and only filled where the data does.
 */
export class Plot {
  /**
   * @param {HTMLElement} element its room
   * @param {{onCursor: Function, onZoom: Function, onFocus: Function}} listeners
   */
  constructor(element, listeners) {
    this.element = element;
    this.listeners = listeners;
    this.shape = "";
    this.plot = null;
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(element);
    this.redraw = () => this.plot?.redraw(false, true);
    addEventListener(THEME_CHANGED, this.redraw);
  }

  /**
   * Draw, and leave the cursor where the mouse rests.
   * @param {{curves: object[], colours: Map<string, object>, settings: object,
   *   range: [number, number]|null}} chart
   */
  draw(chart) {
    const shape = shapeOf(chart);
    if (this.plot && shape === this.shape) {
      this.plot.setData(aligned(chart.curves));
      return;
    }
    const { left = -1, top = -1 } = this.plot?.cursor ?? {};
    this.plot?.destroy();
    this.shape = shape;
    const { clientWidth: width, clientHeight: height } = this.element;
    const options = optionsOf({ ...chart, ...this.listeners, width, height });
    this.plot = new uPlot(options, aligned(chart.curves), this.element);
    if (left >= 0) this.plot.setCursor({ left, top });
  }

  /**
   * Let one run's curve stand out, or none.
   * @param {string|null} run
   * @param {object[]} curves as they were drawn
   */
  focus(run, curves) {
    if (!this.plot) return;
    const before = curves.slice(0, Math.max(0, curves.findIndex((curve) => curve.run === run)));
    const index = 1 + before.reduce((sum, { raw }) => sum + (raw ? 2 : 1), 0) + (curves[0]?.raw ? 1 : 0);
    this.plot.setSeries(run === null ? null : index, { focus: true });
  }

  /** Move the cursor by a part of the width, from where it is. */
  moveCursor(by) {
    if (!this.plot) return;
    const { width } = this.plot.over.getBoundingClientRect();
    const now = this.plot.cursor.left >= 0 ? this.plot.cursor.left : width;
    this.plot.setCursor({ left: Math.min(width - 1, Math.max(0, now + by * width)), top: 0 });
  }

  /** Return what of the axis is in sight. */
  inSight() {
    const { min, max } = this.plot.scales.x;
    return [min, max];
  }

  /** Where the cursor is on the axis; null where it is not. */
  cursorPlace() {
    const left = this.plot?.cursor.left ?? -1;
    return left >= 0 ? this.plot.posToVal(left, "x") : null;
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (this.plot && width && (width !== this.plot.width || height !== this.plot.height)) {
      this.plot.setSize({ width, height });
    }
  }

  /** Leave nothing behind. */
  destroy() {
    removeEventListener(THEME_CHANGED, this.redraw);
    this.sizes.disconnect();
    this.plot?.destroy();
  }
}

function shapeOf({ curves, colours, settings, range }) {
  const lines = curves.map(({ run, raw }) => [run, Boolean(raw), colours.get(run).slot]);
  return JSON.stringify([lines, settings.axis, settings.logX, settings.logY, range]);
}
