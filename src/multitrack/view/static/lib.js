/** What the page's modules take from the vendored scripts. */

const { h, render, createContext } = globalThis.preact;

export { createContext, render };
export const { useCallback, useContext, useEffect, useLayoutEffect, useMemo, useRef, useState } =
  globalThis.preactHooks;
export const html = globalThis.htm.bind(h);
export const { uPlot } = globalThis;
