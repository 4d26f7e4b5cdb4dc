/**
 * The sending side of the audio thread: whatever the device gives becomes mono pcm16 at the service's rate, in bundles.
 *
 * Options: { rateHz, bundleMs }. Posts { pcm: Int16Array } for each bundle and { level, atMs } (peak 0..1, on the audio
 * thread's clock) about 20 times a second. Takes { type: "flush" }: posts what is left, then { flushed: true }, and hears nothing more.
 */

import { toPcm16 } from "./protocol.js";
import { Resampler } from "./resampler.js";

const LEVEL_S = 0.05;

class Capture extends AudioWorkletProcessor {
  constructor({ processorOptions: { rateHz, bundleMs } }) {
    super();
    this.resampler = new Resampler(sampleRate, rateHz);
    this.bundle = new Float32Array(Math.round((rateHz * bundleMs) / 1000));
    this.filled = 0;
    this.mono = new Float32Array(0); // as long as the block that comes, whatever its size
    this.peak = 0;
    this.sinceLevel = 0;
    this.running = true;
    this.port.onmessage = ({ data }) => {
      if (data.type === "flush" && this.running) this.finish();
    };
  }

  process([channels]) {
    if (!this.running) return false;
    if (channels.length === 0) return true; // nothing is connected (yet)
    const length = channels[0].length;
    if (this.mono.length !== length) this.mono = new Float32Array(length);
    for (let i = 0; i < length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.mono[i] = sum / channels.length;
      this.peak = Math.max(this.peak, Math.abs(this.mono[i]));
    }
    this.collect(this.resampler.process(this.mono));
    this.sinceLevel += length;
    if (this.sinceLevel >= LEVEL_S * sampleRate) {
      this.port.postMessage({ level: this.peak, atMs: 1000 * currentTime });
      this.sinceLevel = 0;
      this.peak = 0;
    }
    return true;
  }

  collect(samples) {
    for (let done = 0; done < samples.length; ) {
      const size = Math.min(samples.length - done, this.bundle.length - this.filled);
      this.bundle.set(samples.subarray(done, done + size), this.filled);
      this.filled += size;
      done += size;
      if (this.filled === this.bundle.length) this.send();
    }
  }

  send() {
    const pcm = toPcm16(this.bundle.subarray(0, this.filled));
    this.filled = 0;
    this.port.postMessage({ pcm }, [pcm.buffer]);
  }

  finish() {
    this.collect(this.resampler.flush());
    if (this.filled > 0) this.send();
    this.running = false;
    this.port.postMessage({ flushed: true });
  }
}

registerProcessor("capture", Capture);
