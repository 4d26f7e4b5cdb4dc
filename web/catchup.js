/**
 * Catching up without changing the voice: now and then a few whole periods of it are left out, with a cross-fade.
 *
 * Speech that waits is speech that comes late, so the more of it waits the faster it is spoken, up to TOP_SPEED, which
 * listeners hardly notice. What is skipped is the stretch after which the sound goes on most like it was (the splice of
 * SOLA: Roucos and Wilgus, High quality time-scale modification for speech, ICASSP 1985).
 */

export const TOP_SPEED = 1.15;
const CALM_S = 1.2; // this much may wait at normal speed
const BUSY_S = 3; // from here on top speed
const SHORTEST_S = 0.004; // to skip: periods of voices between 250 Hz ...
const LONGEST_S = 0.0125; // ... and 80 Hz fit in, low ones once and high ones several times
const FADE_S = 0.005;

/** How fast to speak when `waitingS` of speech wait. */
export function speedFor(waitingS) {
  const share = Math.max(0, Math.min(1, (waitingS - CALM_S) / (BUSY_S - CALM_S)));
  return 1 + share * (TOP_SPEED - 1);
}

/** Lengths in samples at a rate. */
export function spliceSizes(rateHz) {
  const [shortest, longest, fade] = [SHORTEST_S, LONGEST_S, FADE_S].map((s) => Math.max(2, Math.round(s * rateHz)));
  return { shortest, longest, fade };
}

/**
 * How many of the samples to come had best be skipped, between `shortest` and `longest`.
 * `at(i)` is the i-th sample to come, for i < longest + fade. Compares by normalised correlation over `fade` samples.
 */
export function bestSkip(at, { shortest, longest, fade }) {
  let energy = 1e-9;
  for (let i = 0; i < fade; i++) energy += at(shortest + i) ** 2;
  let best = shortest;
  let bestScore = -Infinity;
  for (let lag = shortest; lag <= longest; lag++) {
    let product = 0;
    for (let i = 0; i < fade; i++) product += at(i) * at(lag + i);
    const score = product / Math.sqrt(energy);
    if (score > bestScore) [best, bestScore] = [lag, score];
    energy = Math.max(1e-9, energy + at(lag + fade) ** 2 - at(lag) ** 2);
  }
  return best;
}
