/**
 * The hearing side of the audio thread: speech at the service's rate, from a ring buffer, at the device's rate.
 *
 * Options: { rateHz }. Takes { type: "speech", samples: Float32Array } and { type: "clear" }. Posts about 20 times a
 * second { level, atMs, playedMs, goneMs, energy, bufferedMs, droppedMs, underruns }: peak since the last report, when on the audio thread's clock, then totals;
 * `goneMs` is all speech that does not wait any more, heard or not, and `energy` the sum of squares of all speech samples that left for the loudspeaker.
 */

import { JitterBuffer } from "./jitter.js";
import { Resampler } from "./resampler.js";

const REPORT_S = 0.05;
const BLOCK = 64; // samples taken from the ring at a time

class Playback extends AudioWorkletProcessor {
  constructor({ processorOptions: { rateHz } }) {
    super();
    this.rateHz = rateHz;
    this.jitter = new JitterBuffer(rateHz);
    this.resampler = new Resampler(rateHz, sampleRate);
    this.block = new Float32Array(BLOCK);
    this.ready = new Float32Array(0); // resampled, not yet given out
    this.level = 0;
    this.energy = 0;
    this.sinceReport = 0;
    this.port.onmessage = ({ data }) => {
      if (data.type === "speech") this.jitter.push(data.samples);
      if (data.type === "clear") this.jitter.clear();
    };
  }

  process(inputs, [channels]) {
    const output = channels[0];
    let filled = 0;
    while (filled < output.length) {
      if (this.ready.length === 0) this.ready = this.next();
      const size = Math.min(this.ready.length, output.length - filled);
      output.set(this.ready.subarray(0, size), filled);
      this.ready = this.ready.subarray(size);
      filled += size;
    }
    for (const sample of output) this.level = Math.max(this.level, Math.abs(sample));
    for (const channel of channels.slice(1)) channel.set(output);
    this.sinceReport += output.length;
    if (this.sinceReport >= REPORT_S * sampleRate) this.report();
    return true;
  }

  next() {
    const speech = this.jitter.pull(this.block);
    for (let i = 0; i < speech; i++) this.energy += this.block[i] ** 2;
    return this.resampler.process(this.block);
  }

  report() {
    const { played, gone, length, dropped, underruns } = this.jitter;
    this.port.postMessage({
      level: this.level,
      atMs: 1000 * currentTime,
      playedMs: (played / this.rateHz) * 1000,
      goneMs: (gone / this.rateHz) * 1000,
      energy: this.energy,
      bufferedMs: (length / this.rateHz) * 1000,
      droppedMs: (dropped / this.rateHz) * 1000,
      underruns,
    });
    this.level = 0;
    this.sinceReport = 0;
  }
}

registerProcessor("playback", Playback);
