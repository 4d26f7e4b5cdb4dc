/**
 * What the page says to the server, held until it is safe there, so that neither a dropped connection nor a dead server
 * loses anything. Safe is what was heard or, where a server keeps its sessions in a store, what is kept there. No I/O.
 */

const HELD_MS = 150_000; // of audio that is kept at most: more than servers wait
const BURST_SHARE = 0.8; // of what the server allows, to be on the safe side of its clock
const SPEED_SHARE = 0.95;
const FIRST_PAUSE_MS = 100; // between two attempts to come back
const LONGEST_PAUSE_MS = 3000;
const PAUSE_SHARE = 0.25; // of the time away: so much longer than needed a page may stay away
const PATIENCE_MS = 120_000; // without a server: what is said meanwhile would be lost from then on

/** Messages in their order: safe ones are forgotten, others are sent again where a connection or a server was lost. */
export class Outgoing {
  constructor() {
    this.items = []; // { kind: "config" | "audio" | "end", number, message, audioMs }
    this.sentCount = 0; // of `items`
    this.heardCount = 0; // of those that were sent
    this.counts = { config: 0, audio: 0, end: 0 };
    this.creditMs = Infinity; // audio that may be on its way unheard
    this.heldMs = 0; // audio in `items`
    this.onWayMs = 0; // audio in those that were sent and not heard
    this.full = false; // whether the newest message was not kept
  }

  /** Append a message; false when so much audio is kept that the rest of it is lost. */
  put(kind, message, audioMs = 0) {
    this.full = this.heldMs + audioMs > HELD_MS;
    if (this.full) return false;
    this.items.push({ kind, number: this.counts[kind], message, audioMs });
    this.counts[kind] += 1;
    this.heldMs += audioMs;
    return true;
  }

  /** The first message that was not sent; null when there is none or the server has given no credit for it. */
  next() {
    const item = this.items[this.sentCount];
    if (item === undefined) return null;
    const waits = item.audioMs > 0 && this.onWayMs > 0 && this.onWayMs + item.audioMs > this.creditMs;
    return waits ? null : item;
  }

  /** The message that `next` gave went out. */
  sent() {
    this.onWayMs += this.items[this.sentCount].audioMs;
    this.sentCount += 1;
  }

  /** Audio in the items from one to another. */
  audioMs(from, to = this.items.length) {
    return this.items.slice(from, to).reduce((sum, { audioMs }) => sum + audioMs, 0);
  }

  /** Audio that was not sent. */
  get waitingMs() {
    return this.audioMs(this.sentCount);
  }

  /** What the server has not heard. */
  get unheard() {
    return this.items.slice(this.heardCount);
  }

  /** How many of the items are those up to and with audio message `sequence`, 0 where it is not among them. */
  upTo(sequence) {
    return this.items.findIndex(({ kind, number }) => kind === "audio" && number % 2 ** 32 === sequence) + 1;
  }

  /**
   * The server has heard everything up to and with audio message `sequence`, and `kept` is the last that is safe (both
   * modulo 2**32; -1: none is; undefined: what is heard is safe).
   */
  heard(sequence, kept) {
    const count = this.upTo(sequence);
    if (count > this.heardCount && count <= this.sentCount) {
      this.onWayMs -= this.audioMs(this.heardCount, count);
      this.heardCount = count;
    }
    const safe = kept === undefined ? this.heardCount : Math.min(this.heardCount, this.upTo(kept));
    this.heldMs -= this.audioMs(0, safe);
    this.items.splice(0, safe);
    this.sentCount -= safe;
    this.heardCount -= safe;
  }

  /** A new connection: the server has got so much of each kind, and is sent the rest. */
  resume({ next_sequence, configs, ended }) {
    const came = { config: configs, audio: next_sequence, end: Number(ended) };
    const missing = ({ kind, number }) => {
      const ahead = (((came[kind] - number) % 2 ** 32) + 2 ** 32) % 2 ** 32;
      return ahead === 0 || ahead >= 2 ** 31;
    };
    const first = this.items.findIndex(missing);
    this.sentCount = first < 0 ? this.items.length : first;
    this.heardCount = Math.min(this.heardCount, this.sentCount);
    this.onWayMs = this.audioMs(this.heardCount, this.sentCount);
  }
}

/** The server's limit on how fast audio may come, observed here: a leaky bucket. Times in milliseconds. */
export class Allowance {
  constructor({ speed = 0, burst_ms = Infinity } = {}) {
    this.speed = speed * SPEED_SHARE; // 0 is no limit
    this.burstMs = burst_ms * BURST_SHARE;
    this.levelMs = 0;
    this.atMs = 0;
  }

  /** How long `audioMs` of audio must wait at `nowMs`; 0 when it may go, and is then counted. */
  wait(audioMs, nowMs) {
    if (!this.speed) return 0;
    this.levelMs = Math.max(0, this.levelMs - (nowMs - this.atMs) * this.speed);
    this.atMs = nowMs;
    const waitMs = Math.ceil((this.levelMs + audioMs - this.burstMs) / this.speed);
    if (waitMs > 0 && this.levelMs > 0) return waitMs;
    this.levelMs += audioMs;
    return 0;
  }
}

/** Whether and when to come back after a dropped connection. Times in milliseconds. */
export class Return {
  constructor() {
    this.token = null; // null: there is no session to come back to, another one begins
    this.parkMs = 0;
    this.sinceMs = null; // when the connection dropped; null while it stands
  }

  /** A `welcome` came: the connection stands. */
  welcomed({ resume_token = null, park_ms = 0 }) {
    Object.assign(this, { token: resume_token, parkMs: park_ms, sinceMs: null });
  }

  /** How long to wait before the next attempt; null when there is no hope. `chance`: 0 to 1, so that not all come at once. */
  pause(nowMs, chance = Math.random()) {
    this.sinceMs ??= nowMs;
    const awayMs = nowMs - this.sinceMs;
    if (awayMs >= PATIENCE_MS) return null;
    if (awayMs >= this.parkMs) this.token = null;
    return Math.min(LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, awayMs * PAUSE_SHARE)) * (0.5 + chance / 2);
  }
}
