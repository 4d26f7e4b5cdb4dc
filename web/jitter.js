/**
 * The playback ring buffer: speech arrives in lumps and leaves evenly, without gaps inside what has arrived.
 *
 * It waits until `prebufferS` are there (or until what is there has waited as long), then plays until it runs dry. At
 * the edges it ramps and decays over a few milliseconds, so that even a late packet is a pause and never a click. When
 * much is waiting it speaks a little faster (catchup.js).
 */

import { bestSkip, speedFor, spliceSizes } from "./catchup.js";

const RAMP_S = 0.003;

export class JitterBuffer {
  /** `capacityS` bounds memory: what would not fit replaces the oldest unplayed samples, counted in `dropped`. */
  constructor(rateHz, { capacityS = 60, prebufferS = 0.12 } = {}) {
    this.ring = new Float32Array(Math.ceil(capacityS * rateHz));
    this.prebuffer = Math.round(prebufferS * rateHz);
    this.decay = Math.exp(-1 / (RAMP_S * rateHz));
    this.rampStep = 1 / (RAMP_S * rateHz);
    this.rateHz = rateHz;
    this.sizes = spliceSizes(rateHz);
    this.at = (i) => this.ring[(this.read + i) % this.ring.length]; // the i-th sample to come
    this.length = 0; // samples waiting
    this.gone = 0; // samples that are behind us, heard or not, ever
    this.clear();
    this.played = 0; // samples of speech that left, ever
    this.skipped = 0; // samples that were left out to catch up
    this.dropped = 0; // samples that never could
    this.underruns = 0; // times that it ran dry, the end of each utterance included
  }

  /** Forget everything that was not played yet. */
  clear() {
    this.gone += this.length;
    this.read = 0;
    this.length = 0;
    this.waited = 0; // samples of silence given out while something was waiting
    this.playing = false;
    this.untilSkip = 0; // samples
    this.last = 0; // decays to silence after the last sample
    this.gain = 0;
  }

  push(samples) {
    const size = this.ring.length;
    if (samples.length > size) {
      this.dropped += samples.length - size;
      this.gone += samples.length - size;
      samples = samples.subarray(samples.length - size);
    }
    const excess = this.length + samples.length - size;
    if (excess > 0) {
      this.read = (this.read + excess) % size;
      this.length -= excess;
      this.dropped += excess;
      this.gone += excess;
    }
    const write = (this.read + this.length) % size;
    const first = Math.min(samples.length, size - write);
    this.ring.set(samples.subarray(0, first), write);
    this.ring.set(samples.subarray(first), 0);
    this.length += samples.length;
  }

  /** Fill `output` completely, with silence where there is no speech. Returns how many samples of it are speech. */
  pull(output) {
    if (!this.playing && this.length > 0) {
      if (this.length >= this.prebuffer || this.waited >= this.prebuffer) {
        this.playing = true;
        this.gain = 0;
        this.waited = 0;
      } else {
        this.waited += output.length;
      }
    }
    let count = 0;
    if (this.playing) {
      if (this.untilSkip <= 0) this.skip();
      this.untilSkip -= output.length;
      count = Math.min(output.length, this.length);
      for (let i = 0; i < count; i++) {
        const sample = this.ring[this.read];
        this.read = this.read + 1 === this.ring.length ? 0 : this.read + 1;
        if (this.gain < 1) this.gain = Math.min(1, this.gain + this.rampStep);
        this.last = sample * this.gain;
        output[i] = this.last;
      }
      this.length -= count;
      this.played += count;
      this.gone += count;
      if (count < output.length) {
        this.playing = false;
        this.underruns += 1;
      }
    }
    for (let i = count; i < output.length; i++) {
      this.last = Math.abs(this.last) < 1e-5 ? 0 : this.last * this.decay;
      output[i] = this.last;
    }
    return count;
  }
  /** Leave something out if too much is waiting, and plan when to do so again. */
  skip() {
    const { longest, fade } = this.sizes;
    const speed = speedFor(this.length / this.rateHz);
    if (speed === 1 || this.length <= longest + fade + 1) return;
    const lag = bestSkip(this.at, this.sizes);
    for (let i = 0; i < fade; i++) {
      const into = (i + 1) / (fade + 1);
      const here = (this.read + lag + i) % this.ring.length;
      this.ring[here] = this.at(i) * (1 - into) + this.ring[here] * into;
    }
    this.read = (this.read + lag) % this.ring.length;
    this.length -= lag;
    this.skipped += lag;
    this.gone += lag;
    this.untilSkip = lag / (speed - 1);
  }
}
