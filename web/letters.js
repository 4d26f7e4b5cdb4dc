/** The size of the captions' letters, kept in the browser. */

import { browser } from "./memory.js";

const SIZES = [0.7, 0.85, 1, 1.2, 1.45, 1.8, 2.3];
const USUAL = 2;

/** The size one `step` from `known`. Pure. */
export function nextSize(known, step) {
  const at = SIZES.indexOf(Number(known));
  return SIZES[Math.max(0, Math.min(SIZES.length - 1, (at < 0 ? USUAL : at) + step))];
}

/** Make the letters on `place` larger (1), smaller (-1), or as they were chosen (0). */
export function resizeLetters(place, step) {
  const size = nextSize(browser.recall("letters", "1"), step);
  browser.remember("letters", size);
  place.style.setProperty("--size", size);
}
