/** The dub as a file: what was spoken, each piece where it stood on the speaker's clock. Pure. */

import { Resampler } from "./resampler.js";

const MOST_S = 2 * 3600; // of speech that is kept

/** The header of a mono 16-bit WAV file with so many samples. */
export function wavHeader(samples, rateHz) {
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((letter, n) => header.setUint8(at + n, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + 2 * samples, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, 1, true);
  header.setUint32(24, rateHz, true);
  header.setUint32(28, 2 * rateHz, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, 2 * samples, true);
  return header.buffer;
}

export class Recording {
  constructor() {
    this.clear();
  }

  clear() {
    this.pieces = []; // { at, samples }: 16 bit, and where they begin
    this.end = 0; // samples
    this.kept = 0;
    this.rateHz = 0;
    this.full = false;
  }

  get empty() {
    return this.pieces.length === 0;
  }

  /** Speech that came when the speaker had spoken for `atMs`; pieces never lie over one another. */
  add(samples, rateHz, atMs) {
    this.rateHz ||= rateHz;
    if (this.rateHz !== rateHz) {
      const resampler = new Resampler(rateHz, this.rateHz); // another codec came into use
      samples = Float32Array.from([...resampler.process(samples), ...resampler.flush()]);
      rateHz = this.rateHz;
    }
    if (samples.length === 0) return;
    this.full = (this.kept + samples.length) / rateHz > MOST_S;
    if (this.full) return;
    const pcm = Int16Array.from(samples, (sample) => Math.max(-32768, Math.min(32767, Math.round(sample * 32768))));
    const at = Math.max(this.end, Math.round((atMs * rateHz) / 1000));
    this.pieces.push({ at, samples: pcm });
    this.end = at + pcm.length;
    this.kept += pcm.length;
  }

  /** The parts of a WAV file, one after the other. */
  wav() {
    const parts = [wavHeader(this.end, this.rateHz)];
    let at = 0;
    for (const piece of this.pieces) {
      if (piece.at > at) parts.push(new Int16Array(piece.at - at));
      parts.push(piece.samples);
      at = piece.at + piece.samples.length;
    }
    return parts;
  }
}
