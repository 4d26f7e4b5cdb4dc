/** One stream to the server: a websocket that speaks streamst.v1, from opening to its last word. */

import { AUDIO, SUBPROTOCOL, bytesOnWire, decodeBinary, decodeText, encodeAudio } from "./protocol.js";

const WELCOME_TIMEOUT_MS = 20_000; // a server that loads its model at the first call needs a while
const SILENCE_TIMEOUT_MS = 60_000; // without a word from the server while it says the rest
const MOST_PINGS = 10; // unanswered ones that are remembered

export class Connection {
  /**
   * `handlers`: onWelcome(message), onMessage(message), onSpeech({ samples, rateHz, text }), onEnd(outcome). `onEnd`
   * comes exactly once; its outcome is { done, code, reason, error, begun }, `done` when the server said all it had.
   */
  constructor(url, handlers) {
    this.handlers = handlers;
    this.config = {};
    this.sequence = 0;
    this.mediaTime = 0;
    this.sentBytes = 0;
    this.begun = false;
    this.ending = false;
    this.closed = false;
    this.over = false;
    this.error = null;
    this.speech = new Map(); // sequence -> the message that announced this binary one
    this.pings = new Map(); // id -> when it left [ms]
    this.rttMs = null;
    this.processedMs = 0; // of the audio that was sent, how much the server has heard
    this.socket = new WebSocket(url, SUBPROTOCOL);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = ({ code, reason }) => this.finish(code, reason);
    this.timer = setTimeout(() => this.giveUp(), WELCOME_TIMEOUT_MS);
  }

  receive(data) {
    if (this.over) return;
    if (this.ending) this.expectMore();
    if (typeof data !== "string") {
      this.receiveAudio(decodeBinary(data));
      return;
    }
    const message = decodeText(data);
    if (message === null) return;
    if (message.type === "welcome") {
      clearTimeout(this.timer);
      this.begun = true;
      this.handlers.onWelcome(message);
    } else if (message.type === "speech") {
      this.speech.set(message.sequence, message);
    } else if (message.type === "pong") {
      this.rttMs = performance.now() - (this.pings.get(message.id) ?? performance.now());
      this.pings.delete(message.id);
    } else if (message.type === "ack") {
      this.processedMs = message.processed_ms;
    } else if (message.type === "error") {
      this.error = message;
      this.handlers.onMessage(message);
    } else {
      if (message.type === "closed") this.closed = true;
      this.handlers.onMessage(message);
    }
  }

  receiveAudio({ type, sequence, samples }) {
    const told = this.speech.get(sequence);
    this.speech.delete(sequence);
    if (type === AUDIO && samples && told) {
      this.handlers.onSpeech({ samples, rateHz: told.sample_rate_hz, text: told.text });
    }
  }

  sendText(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Change some settings of the running stream. The server is always told all of them: a config replaces the last. */
  configure(changes) {
    this.config = { ...this.config, ...changes };
    if (this.begun && !this.ending) this.sendText({ type: "config", ...this.config });
  }

  /** Measure the way to the server and back, and tell it what only this side knows, for its latency meter. */
  ping(playbackMs) {
    if (!this.begun || this.over) return;
    const id = (this.pingId = (this.pingId ?? 0) + 1);
    this.pings.set(id, performance.now());
    if (this.pings.size > MOST_PINGS) this.pings.delete(this.pings.keys().next().value);
    const rtt = this.rttMs === null ? {} : { rtt_ms: this.rttMs };
    this.sendText({ type: "ping", id, playback_ms: playbackMs, ...rtt });
  }

  /** `samples`: Int16Array at the service's rate, following the ones before it. */
  sendAudio(samples) {
    if (!this.begun || this.ending || this.socket.readyState !== WebSocket.OPEN) return;
    const frame = encodeAudio({ sequence: this.sequence, mediaTime: this.mediaTime, samples });
    this.socket.send(frame);
    this.sequence += 1;
    this.mediaTime += samples.length;
    this.sentBytes += bytesOnWire(frame.byteLength, this.socket.url.startsWith("wss:"));
  }

  /** Audio that the network has not taken yet. */
  get waitingBytes() {
    return this.socket.bufferedAmount;
  }

  /** No more audio follows: the server says the rest, then closes. */
  end() {
    if (this.ending || this.over) return;
    this.ending = true;
    if (!this.begun) {
      this.drop();
      return;
    }
    this.sendText({ type: "end" });
    this.expectMore();
  }

  expectMore() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.giveUp(), SILENCE_TIMEOUT_MS);
  }

  /** Leave without waiting for anything. */
  drop() {
    this.socket.close();
    this.finish(1000, "");
  }

  giveUp() {
    this.socket.close();
    this.finish(1006, "");
  }

  finish(code, reason) {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
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
