/** One stream to the server, from opening to its last word, over as many websockets (streamst.v1) as that takes. */

import { Allowance, Outgoing, Return } from "./outgoing.js";
import { AUDIO, SUBPROTOCOL, bytesOnWire, decodeBinary, decodeText, encodeAudio } from "./protocol.js";

const WELCOME_TIMEOUT_MS = 20_000; // a server that loads its model at the first call needs a while
const RETURN_TIMEOUT_MS = 5_000; // of one attempt to come back
const SILENCE_TIMEOUT_MS = 60_000; // without a word from the server while it says the rest
const STALE_TIMEOUT_MS = 10_000; // without an answer to a ping: the network is gone, whatever the browser thinks
const QUICK_MS = 1000; // an answer that comes sooner was not held up on the network
const MOST_PINGS = 10; // unanswered ones that are remembered
const DROPPED = 1006; // nobody said goodbye

export class Connection {
  /**
   * `handlers`: onWelcome(message), onMessage(message), onSpeech({ samples, rateHz, text }), onAway(), onBack(),
   * onEnd(outcome). The connection dropped at `onAway` and stands again at `onBack`; nothing is lost between. `onEnd`
   * comes exactly once; its outcome is { done, code, reason, error, begun }, `done` when the server said all it had.
   */
  constructor(url, rateHz, handlers) {
    this.url = url;
    this.rateHz = rateHz;
    this.handlers = handlers;
    this.config = {};
    this.mediaTime = 0; // samples that were spoken
    this.sentBytes = 0;
    this.begun = false; // the server has let us in
    this.standing = false; // the websocket of now is welcome
    this.ending = false;
    this.closed = false;
    this.over = false;
    this.error = null;
    this.outgoing = new Outgoing();
    this.back = new Return();
    this.last = 0; // number of the last answer that came whole
    this.speech = new Map(); // sequence -> the message that announced this binary one
    this.pings = new Map(); // id -> when it left [ms]
    this.pingId = 0;
    this.rttMs = null;
    this.processedMs = 0; // of the audio that was sent, how much the server has heard
    this.open();
  }

  open() {
    const { token } = this.back;
    const socket = new WebSocket(this.url, token === null ? SUBPROTOCOL : [SUBPROTOCOL, `token.${token}`]);
    this.socket = socket;
    const current = (act) => (event) => socket === this.socket && !this.over && act(event);
    socket.binaryType = "arraybuffer";
    socket.onopen = current(() => {
      if (token !== null) this.sendText({ type: "hello", resume_token: token, last_sequence: this.last });
    });
    socket.onmessage = current(({ data }) => this.receive(data));
    socket.onclose = current(({ code, reason }) => this.dropped(code, reason));
    this.expect(token === null ? WELCOME_TIMEOUT_MS : RETURN_TIMEOUT_MS);
  }

  receive(data) {
    if (this.ending && this.standing) this.expect(SILENCE_TIMEOUT_MS);
    if (typeof data !== "string") {
      this.receiveAudio(decodeBinary(data));
      return;
    }
    const message = decodeText(data);
    if (message === null) return;
    if (typeof message.n === "number" && message.type !== "speech") {
      if (message.n <= this.last) return; // it came already
      this.last = message.n;
    }
    switch (message.type) {
      case "welcome":
        this.welcomed(message);
        break;
      case "flow":
        this.outgoing.creditMs = message.credit_ms;
        this.pump();
        break;
      case "speech":
        this.speech.set(message.sequence, message);
        break;
      case "pong":
        this.rttMs = performance.now() - (this.pings.get(message.id) ?? performance.now());
        this.pings.delete(message.id);
        break;
      case "ack":
        this.processedMs = message.processed_ms;
        this.outgoing.heard(message.sequence);
        this.pump();
        break;
      case "error":
        this.error = message;
        this.handlers.onMessage(message);
        break;
      case "closed":
        this.closed = true;
        this.handlers.onMessage(message);
        break;
      default:
        this.handlers.onMessage(message);
    }
  }

  welcomed(message) {
    const away = this.back.sinceMs !== null;
    clearTimeout(this.timer);
    this.standing = true;
    this.error = null;
    this.pings.clear();
    this.back.welcomed(message);
    this.outgoing.creditMs = message.credit_ms ?? Infinity;
    if (message.resumed) this.outgoing.resume(message);
    else this.allowance = new Allowance(message.limits);
    if (!this.begun) {
      this.begun = true;
      this.handlers.onWelcome(message);
    } else if (away) {
      this.handlers.onBack();
    }
    if (this.ending) this.expect(SILENCE_TIMEOUT_MS);
    this.pump();
  }

  receiveAudio({ type, sequence, samples }) {
    const told = this.speech.get(sequence);
    this.speech.delete(sequence);
    if (type !== AUDIO || !samples || !told || told.n <= this.last) return;
    this.last = told.n ?? this.last;
    this.handlers.onSpeech({ samples, rateHz: told.sample_rate_hz, text: told.text });
  }

  sendText(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Send what waits, as fast as the server allows. */
  pump() {
    clearTimeout(this.pumping);
    while (this.standing && this.socket.readyState === WebSocket.OPEN) {
      const item = this.outgoing.next();
      if (item === null) return;
      const waitMs = this.allowance.wait(item.audioMs, performance.now());
      if (waitMs > 0) {
        this.pumping = setTimeout(() => this.pump(), waitMs);
        return;
      }
      this.outgoing.sent();
      this.socket.send(item.message);
      if (item.kind === "audio") this.sentBytes += bytesOnWire(item.message.byteLength, this.url.startsWith("wss:"));
    }
  }

  /** Change some settings of the running stream. The server is always told all of them: a config replaces the last. */
  configure(changes) {
    this.config = { ...this.config, ...changes };
    if (!this.begun || this.ending) return;
    this.outgoing.put("config", JSON.stringify({ type: "config", ...this.config }));
    this.pump();
  }

  /** Measure the way to the server and back, and tell it what only this side knows, for its latency meter. */
  ping(playbackMs) {
    if (!this.standing || this.over) return;
    const now = performance.now();
    const [oldest] = this.pings.values();
    if (oldest !== undefined && now - oldest > STALE_TIMEOUT_MS) {
      this.dropped(DROPPED, "");
      return;
    }
    this.pingId += 1;
    this.pings.set(this.pingId, now);
    if (this.pings.size > MOST_PINGS) this.pings.delete(this.pings.keys().next().value);
    const rtt = this.rttMs === null ? {} : { rtt_ms: this.rttMs };
    this.sendText({ type: "ping", id: this.pingId, playback_ms: playbackMs, last_sequence: this.last, ...rtt });
  }

  /** `samples`: Int16Array at the service's rate, following the ones before it. */
  sendAudio(samples) {
    if (!this.begun || this.ending) return;
    const frame = encodeAudio({ sequence: this.outgoing.counts.audio, mediaTime: this.mediaTime, samples });
    if (!this.outgoing.put("audio", frame, (samples.length * 1000) / this.rateHz)) return;
    this.mediaTime += samples.length;
    this.pump();
  }

  /** Whether the network takes what it is given: what waits on this side waits for the server. */
  get quick() {
    const [oldest = performance.now()] = this.pings.values();
    const waitedMs = Math.max(this.rttMs ?? 0, performance.now() - oldest);
    return this.socket.bufferedAmount === 0 && waitedMs < QUICK_MS;
  }

  /** Audio that is still on this side [ms]. */
  get waitingMs() {
    return this.outgoing.waitingMs + (this.socket.bufferedAmount * 500) / this.rateHz;
  }

  /** No more audio follows: the server says the rest, then closes. */
  end() {
    if (this.ending || this.over) return;
    this.ending = true;
    if (!this.begun) {
      this.drop();
      return;
    }
    this.outgoing.put("end", JSON.stringify({ type: "end" }));
    this.pump();
    if (this.standing) this.expect(SILENCE_TIMEOUT_MS);
  }

  /** Something must come within `patienceMs`. */
  expect(patienceMs) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.dropped(DROPPED, ""), patienceMs);
  }

  /** The websocket of now is over: come back with another, or tell why the stream ends. */
  dropped(code, reason) {
    const socket = this.socket;
    socket.onclose = null;
    socket.close();
    this.standing = false;
    this.speech.clear();
    clearTimeout(this.timer);
    clearTimeout(this.pumping);
    const passes = code === DROPPED ? !this.error : this.back.sinceMs !== null && this.error?.retryable;
    const first = this.back.sinceMs === null;
    const pauseMs = this.closed || !passes ? null : this.back.pause(performance.now());
    if (pauseMs === null) {
      this.finish(code, reason);
      return;
    }
    this.error = null;
    this.timer = setTimeout(() => this.open(), pauseMs);
    if (first) this.handlers.onAway();
  }

  /** Leave without waiting for anything. */
  drop() {
    this.socket.close();
    this.finish(1000, "");
  }

  finish(code, reason) {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    clearTimeout(this.pumping);
    const done = this.closed || (code === 1000 && (this.ending || !this.begun));
    this.handlers.onEnd({ done, code, reason, error: this.error, begun: this.begun });
  }
}

/**
 * Why a stream did not even begin: a browser hides the reason from its page, so the server is asked by other means.
 * Returns { alive: false } when nobody answers, { alive: true, error } with the server's own words when it refuses, and
 * { alive: true } when it would let us in, so that something between here and there must stop websockets.
 */
export async function diagnose() {
  try {
    const response = await fetch("v1/sessions", { method: "POST" });
    const body = await response.json();
    return response.ok ? { alive: true } : { alive: true, error: body, code: body.code };
  } catch {
    return { alive: false };
  }
}
