/**
 * Streaming sample-rate conversion between any two whole-number rates: a windowed-sinc low-pass in polyphase form.
 *
 * Output sample n stands at input time n * M / L (rates reduced to L : M by their greatest common divisor); of the
 * filter that lives on the common grid of rate in * L only the L-th part that meets input samples is ever computed.
 * Kaiser window with the usual design formulas (Oppenheim and Schafer, Discrete-Time Signal Processing, 7.6):
 * beta = 0.1102 (A - 8.7), length = (A - 7.95) / (2.285 * transition width).
 */

const STOPBAND_DB = 80;
const TRANSITION = 0.1; // of the lower Nyquist frequency: the pass band ends at 0.9, the stop band begins at 1.0 of it
const MAX_TABLE = 1 << 22; // coefficients: beyond it the two rates are too odd a pair to hold a filter for each phase

function greatestCommonDivisor(a, b) {
  while (b) [a, b] = [b, a % b];
  return a;
}

/** Modified Bessel function of the first kind, order 0, by its power series. */
function besselI0(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** The filter for each of the L phases, each of `taps` coefficients in the order of the input samples it meets. */
function designPhases(inputHz, outputHz, up) {
  const nyquist = Math.min(inputHz, outputHz) / 2 / inputHz; // in cycles per input sample
  const cutoff = nyquist * (1 - TRANSITION / 2);
  const half = Math.ceil((STOPBAND_DB - 7.95) / (2.285 * 2 * Math.PI * nyquist * TRANSITION) / 2);
  const taps = 2 * half;
  if (taps * up > MAX_TABLE) throw new RangeError(`cannot resample ${inputHz} Hz to ${outputHz} Hz: no common step`);
  const beta = 0.1102 * (STOPBAND_DB - 8.7);
  const scale = besselI0(beta);
  const phases = [];
  for (let phase = 0; phase < up; phase++) {
    const row = new Float32Array(taps);
    let sum = 0;
    for (let k = 0; k < taps; k++) {
      const t = k - (half - 1) - phase / up; // distance to the output sample, in input samples
      const inside = 1 - (t / half) ** 2;
      const window = inside > 0 ? besselI0(beta * Math.sqrt(inside)) / scale : 0;
      const sinc = t === 0 ? 2 * cutoff : Math.sin(2 * Math.PI * cutoff * t) / (Math.PI * t);
      row[k] = sinc * window;
      sum += row[k];
    }
    for (let k = 0; k < taps; k++) row[k] /= sum; // a constant stays exactly that constant, whatever the phase
    phases.push(row);
  }
  return phases;
}

export class Resampler {
  /** Raises RangeError unless both rates are positive whole numbers. */
  constructor(inputHz, outputHz) {
    for (const rate of [inputHz, outputHz]) {
      if (!Number.isInteger(rate) || rate <= 0) throw new RangeError(`sample rate ${rate} Hz; a whole number above 0`);
    }
    const divisor = greatestCommonDivisor(inputHz, outputHz);
    this.up = outputHz / divisor;
    this.down = inputHz / divisor;
    this.phases = this.up === this.down ? null : designPhases(inputHz, outputHz, this.up);
    this.taps = this.phases ? this.phases[0].length : 0;
    this.reset();
  }

  /** Input samples that must follow a moment before the output reaches it. */
  get lookahead() {
    return this.taps / 2;
  }

  /** As freshly made: the past is silence. */
  reset() {
    this.kept = new Float32Array(Math.max(0, this.taps / 2 - 1)); // input samples that later outputs still need
    this.phase = 0; // of the next output, in 1 / L input samples
    this.start = 0; // where in `kept` the next output's filter begins
  }

  /** All output samples that `input` completes. Chunks of any size give the same stream. */
  process(input) {
    if (!this.phases) return Float32Array.from(input);
    const samples = new Float32Array(this.kept.length + input.length);
    samples.set(this.kept);
    samples.set(input, this.kept.length);
    const room = samples.length - this.taps - this.start;
    const count = room < 0 ? 0 : Math.floor(((room + 1) * this.up - this.phase - 1) / this.down) + 1;
    const output = new Float32Array(count);
    let { start, phase } = this;
    for (let n = 0; n < count; n++) {
      const filter = this.phases[phase];
      let sum = 0;
      for (let k = 0; k < this.taps; k++) sum += samples[start + k] * filter[k];
      output[n] = sum;
      phase += this.down;
      start += Math.floor(phase / this.up);
      phase %= this.up;
    }
    const drop = Math.min(start, samples.length);
    this.kept = samples.slice(drop);
    this.start = start - drop;
    this.phase = phase;
    return output;
  }

  /** The rest of the stream, as if silence followed; the resampler is fresh afterwards. */
  flush() {
    const rest = this.process(new Float32Array(this.lookahead));
    this.reset();
    return rest;
  }
}
