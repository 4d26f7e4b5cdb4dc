/**
 * Speech on its way: from samples to what travels, and back, each side one piece after the other.
 *
 * What is said in pcm16 goes out at once. A coder works beside the page, so that what it gives, and whatever is to be
 * said after it, waits for its turn.
 */

import { HOP, Neural } from "./neural.js";
import { Opus, speaksOpus } from "./opus.js";

const MOST_WAITING = 75; // pieces before a coder: 15 s, and this computer is too slow for it
const PIECE = 3200; // samples in a coded message: below it the headers cost more than the speech

export class Coders {
  /** `base`: where the neural codec's files lie. `onChange()`: another codec can be used. */
  constructor(base, onChange) {
    this.onChange = onChange;
    this.neural = new Neural(base);
    this.opus = new Opus();
    this.available = ["pcm16"];
    this.offered = ["pcm16"]; // by the server
    speaksOpus().then((speaks) => speaks && this.add("opus"));
  }

  add(name) {
    if (!this.available.includes(name)) this.available.push(name);
    this.onChange();
  }

  /** What both sides speak now. */
  get usable() {
    return this.available.filter((name) => this.offered.includes(name));
  }

  /** Fetch the neural codec where the server speaks it; `onChange` tells that it is there. Whether it works. */
  async fetchNeural() {
    if (!this.offered.includes("neural") || this.broken?.includes("neural")) return false;
    try {
      await this.neural.load();
    } catch (error) {
      this.fault = error;
      return false;
    }
    if (!this.available.includes("neural")) this.add("neural");
    return true;
  }

  /** A codec that does not work is not used again. */
  broke(name) {
    this.available = this.available.filter((one) => one !== name);
    this.broken = [...(this.broken ?? []), name];
    this.onChange();
  }

  coder(name) {
    return name === "neural" ? this.neural : this.opus;
  }
}

/** The speaking side of one talk. */
export class Uplink {
  /** `send(codec, payload, samples)`: payload is an Int16Array for pcm16, else bytes; samples says how many it holds. */
  constructor(coders, send) {
    Object.assign(this, { coders, send });
    this.codec = "pcm16";
    this.held = new Float32Array(0);
    this.owed = 0; // samples that a coder was given and has not been sent
    this.waiting = 0; // pieces before a coder
    this.turn = null; // the last that waits, null where nothing does
  }

  /** Do something after all that was said before: at once where nothing waits. */
  after(act) {
    if (this.turn === null) return act();
    const turn = this.turn.then(act);
    this.turn = turn;
    turn.finally(() => this.turn === turn && (this.turn = null));
    return turn;
  }

  /** Int16Array at 16 kHz. */
  push(pcm) {
    if (this.codec === "pcm16") {
      this.after(() => this.send("pcm16", pcm, pcm.length));
      return;
    }
    const held = new Float32Array(this.held.length + pcm.length);
    held.set(this.held);
    for (let i = 0; i < pcm.length; i++) held[this.held.length + i] = pcm[i] / 32768;
    const whole = Math.floor(held.length / PIECE) * PIECE;
    this.held = held.slice(whole);
    for (let at = 0; at < whole; at += PIECE) this.code(held.slice(at, at + PIECE), false);
  }

  code(samples, last) {
    const { codec } = this;
    const coder = this.coders.coder(codec);
    this.turn ??= Promise.resolve();
    this.waiting += 1;
    if (this.waiting > MOST_WAITING && this.coders.usable.includes(codec)) this.coders.broke(codec);
    this.after(async () => {
      this.waiting -= 1;
      this.owed += samples.length;
      const payload = await coder.encode(samples, last).catch(() => this.coders.broke(codec));
      if (!payload) return; // it comes with the next
      const { owed } = this;
      this.owed = 0;
      this.send(codec, payload, owed);
    });
  }

  /** All that was said goes out, then `act` is done; speech that follows is in `codec`, which begins anew. */
  restart(codec, act) {
    this.flush();
    this.codec = codec;
    const coder = codec === "pcm16" ? null : this.coders.coder(codec);
    return this.after(() => {
      coder?.renewEncoder();
      return act();
    });
  }

  /** What is held back goes out, with silence up to a whole frame. */
  flush() {
    if (this.codec === "pcm16") return;
    const samples = new Float32Array(Math.ceil(this.held.length / HOP) * HOP);
    samples.set(this.held);
    this.held = new Float32Array(0);
    this.code(samples, true);
  }
}

/** The hearing side of one talk: what comes is told in its order. */
export class Downlink {
  constructor(coders) {
    this.coders = coders;
    this.turn = Promise.resolve();
    this.waiting = 0;
  }

  /** `tell({ samples, rateHz })` once it is decoded; at once where that takes no time. */
  hear({ codec, samples, payload, rateHz }, tell) {
    if (samples && this.waiting === 0) {
      tell({ samples, rateHz });
      return;
    }
    this.waiting += 1;
    this.turn = this.turn
      .then(() => (samples ? { samples, rateHz } : this.coders.coder(codec).decode(payload)))
      .then((heard) => heard.samples.length > 0 && tell(heard))
      .catch(() => {}) // damaged: the next goes on
      .finally(() => (this.waiting -= 1));
  }
}
