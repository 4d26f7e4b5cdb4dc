/**
 * Whether the microphone hears what the loudspeaker plays: the correlation of the two loudness curves, measured. Pure.
 *
 * Levels come every 50 ms from both sides of the audio thread. Over a window, their decibels are correlated at every
 * lag that a loudspeaker, a room and a buffer can make; speech of somebody else goes its own way.
 */

const STEP_MS = 50;
const WINDOW_STEPS = 80; // 4 s
const LAGS = 14; // up to 0.65 s
const FLOOR_DB = -60;
const LEAST_SPREAD_DB = 4; // of what is played: a steady sound tells nothing
const ECHO = 0.75; // correlation from which on it is no chance
const TIMES = 2; // in a row, half a window apart

function decibels(level) {
  return Math.max(FLOOR_DB, 20 * Math.log10(Math.max(level, 1e-6)));
}

/** The normalised correlation of two curves of one length, and the spread of the first. */
export function correlation(a, b) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += (a[i] - meanA) * (b[i] - meanB);
    aa += (a[i] - meanA) ** 2;
    bb += (b[i] - meanB) ** 2;
  }
  return { match: aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : 0, spread: Math.sqrt(aa / a.length) };
}

export class EchoGuard {
  constructor() {
    this.forget();
  }

  /** Begin anew. */
  forget() {
    this.curves = { played: new Map(), heard: new Map() }; // step -> loudest [dB]
    this.judged = 0; // the step until which it was told
    this.times = 0;
    this.match = 0; // the last best correlation
    this.lagMs = 0;
  }

  played(nowMs, level) {
    this.note("played", nowMs, level);
  }

  heard(nowMs, level) {
    this.note("heard", nowMs, level);
  }

  note(side, nowMs, level) {
    const step = Math.floor(nowMs / STEP_MS);
    const curve = this.curves[side];
    curve.set(step, Math.max(curve.get(step) ?? FLOOR_DB, decibels(level)));
    for (const old of curve.keys()) {
      if (old >= step - WINDOW_STEPS - LAGS) break;
      curve.delete(old);
    }
  }

  /** Whether what is heard is what was played. Looks twice a window at most. */
  echoes(nowMs) {
    const now = Math.floor(nowMs / STEP_MS);
    if (now - this.judged < WINDOW_STEPS / 2) return false;
    this.judged = now;
    const curve = (side, late) => {
      let last = FLOOR_DB; // a step without a report is like the one before it
      return Array.from({ length: WINDOW_STEPS }, (_, n) => (last = this.curves[side].get(now - WINDOW_STEPS + n - late) ?? last));
    };
    const heard = curve("heard", 0);
    this.match = 0;
    for (let lag = 0; lag < LAGS; lag++) {
      const { match, spread } = correlation(curve("played", lag), heard);
      if (spread >= LEAST_SPREAD_DB && match > this.match) [this.match, this.lagMs] = [match, lag * STEP_MS];
    }
    this.times = this.match >= ECHO ? this.times + 1 : 0;
    return this.times >= TIMES;
  }
}
