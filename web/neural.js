/** The neural codec, 3 kbit/s: a worker that runs its two networks, and packets around what they give. */

import { packNeural, unpackNeural } from "./packets.js";

export const HOP = 320; // samples of a frame
const TAIL_FRAMES = 1; // of silence that the far end needs to say everything
const CODEBOOKS = 6; // of a frame: 3 kbit/s

export class Neural {
  /** `base`: where the model's files lie. */
  constructor(base) {
    this.base = base;
    this.asked = new Map(); // id -> { resolve, reject }
    this.id = 0;
    this.loading = null;
    this.ready = false;
    this.frame = 0; // that is encoded next
    this.due = 0; // that is decoded next
  }

  /** Fetch and start it, once. Rejects where that does not work; then another call tries again. */
  load() {
    this.loading ??= this.begin().catch((error) => {
      this.worker?.terminate();
      this.loading = null;
      throw error;
    });
    return this.loading;
  }

  async begin() {
    this.worker = new Worker(new URL("./coder/worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data: { id, error, ...found } }) => {
      const { resolve, reject } = this.asked.get(id);
      this.asked.delete(id);
      if (error) reject(new Error(error));
      else resolve(found);
    };
    const broken = new Promise((_, reject) => {
      this.worker.onerror = ({ message }) => reject(new Error(message || "the worker does not start"));
    });
    const { loadMs } = await Promise.race([this.ask("load", { base: this.base }), broken]);
    this.loadMs = loadMs;
    this.ready = true;
  }

  ask(act, given = {}, moved = []) {
    this.id += 1;
    const { id } = this;
    return new Promise((resolve, reject) => {
      this.asked.set(id, { resolve, reject });
      this.worker.postMessage({ id, act, ...given }, moved);
    });
  }

  /** What comes next begins at frame 0. */
  renewEncoder() {
    this.frame = 0;
    this.ask("renew", { side: "encoder" });
  }

  /** Float32Array of whole frames at 16 kHz -> a packet. `last`: and what the far end needs to say all of it. */
  async encode(samples, last = false) {
    const given = last ? new Float32Array(samples.length + TAIL_FRAMES * HOP) : samples;
    if (last) given.set(samples);
    const first = this.frame;
    this.frame += given.length / HOP;
    const { codes, codebooks } = await this.ask("encode", { samples: given });
    return packNeural(codes, codebooks, CODEBOOKS, first);
  }

  /** Packets -> { samples, rateHz }. Those that do not follow the last ones begin anew. */
  async decode(payload) {
    const parts = [];
    for (const { codes, codebooks, frames, firstFrame } of unpackNeural(payload)) {
      if (firstFrame !== this.due) this.ask("renew", { side: "decoder" });
      this.due = (firstFrame + frames) % 65_536;
      parts.push(this.ask("decode", { codes, codebooks }));
    }
    return { samples: joined((await Promise.all(parts)).map(({ samples }) => samples)), rateHz: 16_000 };
  }
}

/** Float32Arrays, one after the other, as one. */
export function joined(parts) {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
