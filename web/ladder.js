/** Which codec speech travels in, from how the network is: a pure rule, for a whole talk. */

export const CODECS = ["pcm16", "opus", "neural"]; // from the most bits to the fewest
export const CHOICES = ["", ...CODECS]; // "": the page chooses
export const RATES_BPS = { neural: 3000, opus: 16_000 }; // of the speech that comes
const SLOW_TYPES = { "slow-2g": "neural", "2g": "neural", "3g": "opus" }; // of navigator.connection
const SLOW_MBPS = [[0.15, "neural"], [1, "opus"]];
const LATE_MS = 2000; // of sound that waits here: the network is slower than what is said
const LATE_TIMES = 2; // that it is seen in a row
const SETTLE_MS = 10_000; // after a change, before the next

/** What to begin with on this network; `connection` is navigator.connection where there is one. */
export function firstCodec({ effectiveType = "", downlink = Infinity, saveData = false } = {}) {
  const found = [SLOW_TYPES[effectiveType], SLOW_MBPS.find(([mbps]) => downlink < mbps)?.[1], saveData ? "opus" : undefined];
  return CODECS[Math.max(0, ...found.map((name) => CODECS.indexOf(name)))];
}

/** The best of what can be used: `wanted`, or else what needs more bits. */
export function usable(wanted, available) {
  for (let i = CODECS.indexOf(wanted); i > 0; i--) {
    if (available.includes(CODECS[i])) return CODECS[i];
  }
  return CODECS[0];
}

/** Goes down the ladder while sound waits to be sent, and never up: a network that was too slow once may be so again. */
export class Ladder {
  constructor(connection) {
    this.wanted = firstCodec(connection ?? {});
    this.late = 0;
    this.changedMs = -Infinity;
  }

  /** `waitingMs` of sound wait here at `nowMs`. Whether another codec is wanted now. */
  see(waitingMs, nowMs) {
    this.late = waitingMs > LATE_MS ? this.late + 1 : 0;
    const next = CODECS[CODECS.indexOf(this.wanted) + 1];
    if (!next || this.late < LATE_TIMES || nowMs - this.changedMs < SETTLE_MS) return false;
    Object.assign(this, { wanted: next, late: 0, changedMs: nowMs });
    return true;
  }
}
