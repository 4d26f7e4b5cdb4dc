/**
 * One talk to the server, from opening to its last word, over as many websockets (streamst.v1) as that takes.
 *
 * A websocket that drops is followed by another one of the same session, be it of another server. A session that ends before the talk does (it
 * lasted too long, or the server was restarted) is followed by another session, which gets what this one did not hear.
 */

import { askForPlace } from "./admission.js";
import { Allowance, Outgoing, Return } from "./outgoing.js";
import { renumberFrames } from "./packets.js";
import { AUDIO, SUBPROTOCOL, bytesOnWire, codedIn, decodeBinary, decodeText, encodeAudio, encodeCoded, renumberAudio } from "./protocol.js";

const WELCOME_TIMEOUT_MS = 20_000; // a server that loads its model at the first call needs a while
const RETURN_TIMEOUT_MS = 5_000; // of one attempt to come back
const SILENCE_TIMEOUT_MS = 60_000; // without a word from the server while it says the rest
const STALE_TIMEOUT_MS = 10_000; // without an answer to a ping: the network is gone, whatever the browser thinks
const QUICK_MS = 1000; // an answer that comes sooner was not held up on the network
const MOST_PINGS = 10; // unanswered ones that are remembered
const MOST_FRUITLESS = 5; // sessions in a row that heard nothing
const DONE = 1000;
const DROPPED = 1006; // nobody said goodbye
const ENDED = [1001, 1012]; // the session was too old, or the server is going away: no fault of the talk
const FORGOTTEN = [4401, 4410]; // who comes back is told so that the server knows the session no more

export class Connection {
  /**
   * `handlers`: onWelcome(message), onRenewed(message, atMs), onMessage(message), onSpeech({ codec, samples, payload, rateHz, text }),
   * onAway({ restarting }), onBack(), onEnd(outcome). `onRenewed`: another session goes on `atMs` after the talk's
   * beginning. The connection dropped at `onAway` and stands again at `onBack`; nothing is lost between. `onEnd` comes
   * exactly once; its outcome is { done, code, reason, error, begun, alive }, `done` when we asked for the end and the
   * server said all it had. `key`: an API key, or "".
   */
  constructor(url, rateHz, handlers, key = "") {
    this.url = url;
    this.rateHz = rateHz;
    this.handlers = handlers;
    this.key = key;
    this.config = {};
    this.samples = 0; // that were spoken
    this.origin = 0; // of the present session: samples that were spoken before it
    this.frames = 0; // that were spoken in the present stream of a codec
    this.sentBytes = 0;
    this.receivedBytes = 0;
    this.begun = false; // the server has let us in
    this.standing = false; // the websocket of now is welcome
    this.away = false; // and the person knows that it is not
    this.ending = false; // we said that no more follows
    this.over = false;
    this.outgoing = new Outgoing();
    this.back = new Return();
    this.socket = null;
    this.attempt = 0; // to open one
    this.fruitless = 0;
    this.pings = new Map(); // id -> when it left [ms]
    this.pingId = 0;
    this.rttMs = null;
    this.beginSession();
    this.open();
  }

  beginSession() {
    this.closed = false; // the server has said its last word
    this.leaving = false; // it is about to be stopped
    this.error = null;
    this.last = 0; // number of the last answer that came whole
    this.speech = new Map(); // sequence -> the message that announced this binary one
    this.processedMs = 0; // of the session's audio, how much the server has heard
  }

  async open() {
    this.attempt += 1;
    const { attempt } = this;
    const { token } = this.back;
    this.expect(token === null ? WELCOME_TIMEOUT_MS : RETURN_TIMEOUT_MS);
    if (token !== null) {
      this.connect(token, true);
      return;
    }
    const place = await askForPlace(this.key, WELCOME_TIMEOUT_MS);
    if (this.over || attempt !== this.attempt) return;
    this.alive = place.alive ?? true;
    if (place.token) {
      this.connect(place.token, false);
      return;
    }
    this.error = place.error ?? null;
    this.dropped(place.error?.code ?? DROPPED, "");
  }

  connect(token, again) {
    const socket = new WebSocket(this.url, [SUBPROTOCOL, `token.${token}`]);
    this.socket = socket;
    const current = (act) => (event) => socket === this.socket && !this.over && act(event);
    socket.binaryType = "arraybuffer";
    socket.onopen = current(() => {
      if (again) this.sendText({ type: "hello", resume_token: token, last_sequence: this.last });
    });
    socket.onmessage = current(({ data }) => this.receive(data));
    socket.onclose = current(({ code, reason }) => this.dropped(code, reason));
  }

  receive(data) {
    if (this.ending && this.standing) this.expect(SILENCE_TIMEOUT_MS);
    this.receivedBytes += bytesOnWire(data.byteLength ?? data.length, this.url.startsWith("wss:"));
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
        this.fruitless = 0;
        this.outgoing.heard(message.sequence, message.kept ?? undefined);
        this.pump();
        break;
      case "error":
        this.error = message;
        break;
      case "goaway":
        this.leaving = true;
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
    clearTimeout(this.timer);
    this.standing = true;
    this.error = null;
    this.pings.clear();
    this.back.welcomed(message);
    this.outgoing.creditMs = message.credit_ms ?? Infinity;
    if (message.resumed) {
      this.outgoing.resume(message);
    } else {
      this.allowance = new Allowance(message.limits);
      this.fruitless += 1; // until it hears something
    }
    if (!this.begun) {
      this.begun = true;
      this.handlers.onWelcome(message);
    } else if (!message.resumed) {
      this.handlers.onRenewed(message, (this.origin / this.rateHz) * 1000);
    }
    const { away } = this;
    this.away = false;
    if (away) this.handlers.onBack();
    if (this.ending) this.expect(SILENCE_TIMEOUT_MS);
    this.pump();
  }

  receiveAudio({ type, sequence, samples, payload }) {
    const told = this.speech.get(sequence);
    this.speech.delete(sequence);
    if (type !== AUDIO || !told || told.n <= this.last) return;
    this.last = told.n ?? this.last;
    this.handlers.onSpeech({ codec: told.codec, samples, payload, rateHz: told.sample_rate_hz, text: told.text });
  }

  sendText(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
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

  /** What is spoken now. */
  get codec() {
    return this.config.codec ?? "pcm16";
  }

  /** Whether the server hears a coded stream on with these settings: all but the dial is as it is. */
  goesOn(changes) {
    const rest = (config) => JSON.stringify({ ...config, policy: null, latency: null });
    return rest(this.config) === rest({ ...this.config, ...changes });
  }

  /** Change some settings of the running stream. The server is always told all of them: a config replaces the last. */
  configure(changes) {
    if (!this.goesOn(changes)) this.frames = 0;
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
    const mediaTime = this.samples - this.origin;
    this.putAudio(encodeAudio({ sequence: this.outgoing.counts.audio, mediaTime, samples }), samples.length);
  }

  /** The same coded: `payload` holds packets of `samples` samples in the codec that was configured last. */
  sendCoded(codec, payload, samples) {
    if (!this.begun || this.ending) return;
    this.frames += renumberFrames(payload, this.frames);
    const place = { sequence: this.outgoing.counts.audio, mediaTime: this.samples - this.origin };
    this.putAudio(encodeCoded({ codec, payload, ...place }), samples);
  }

  putAudio(frame, samples) {
    if (!this.outgoing.put("audio", frame, (samples * 1000) / this.rateHz)) return;
    this.samples += samples;
    this.pump();
  }

  /** Whether the network takes what it is given: what waits on this side waits for the server. */
  get quick() {
    const [oldest = performance.now()] = this.pings.values();
    const waitedMs = Math.max(this.rttMs ?? 0, performance.now() - oldest);
    return this.buffered === 0 && waitedMs < QUICK_MS;
  }

  /** Audio that is still on this side [ms]. */
  get waitingMs() {
    return this.outgoing.waitingMs + (this.buffered * 500) / this.rateHz;
  }

  /** Audio that was spoken and not yet heard by the server [ms]. */
  get leftMs() {
    return ((this.samples - this.origin) * 1000) / this.rateHz - this.processedMs;
  }

  /** Bytes that the browser has not sent. */
  get buffered() {
    return this.socket?.bufferedAmount ?? 0;
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

  /** The websocket of now is over: come back with another, go on in another session, or tell why the talk ends. */
  dropped(code, reason) {
    const { socket } = this;
    this.socket = null;
    this.attempt += 1;
    if (socket) {
      socket.onclose = null;
      socket.close();
    }
    this.standing = false;
    this.speech.clear();
    clearTimeout(this.timer);
    clearTimeout(this.pumping);
    if (code === DROPPED && this.error) code = this.error.code; // its close frame was lost, or there was no websocket
    const first = this.back.sinceMs === null;
    const pauseMs = this.passes(code) ? this.back.pause(performance.now()) : null;
    const over = this.closed || this.back.token === null || FORGOTTEN.includes(code); // the session
    if (pauseMs === null || (over && this.ending && this.outgoing.audioMs(this.outgoing.heardCount) === 0)) {
      this.finish(code, reason);
      return;
    }
    const { leaving } = this;
    if (over) this.renew();
    this.error = null;
    this.timer = setTimeout(() => this.open(), pauseMs);
    if (this.away || (first && code !== DROPPED && !leaving)) return; // what was too old has its successor at once
    this.away = true;
    this.handlers.onAway({ restarting: leaving });
  }

  /** Whether there is hope after an end with `code`. */
  passes(code) {
    if (!this.begun || this.fruitless > MOST_FRUITLESS) return false;
    if (code === DROPPED || ENDED.includes(code)) return true;
    const returning = this.back.sinceMs !== null;
    return returning && (this.error?.retryable === true || (this.back.token !== null && FORGOTTEN.includes(code)));
  }

  /** Begin another session where this one ended; it gets the settings, and all that this one has not heard. */
  renew() {
    const rest = this.outgoing.unheard.filter(({ kind }) => kind !== "config");
    const outgoing = new Outgoing();
    const configure = (changes) => {
      outgoing.put("config", JSON.stringify({ type: "config", ...this.config, ...changes }));
      this.frames = 0;
    };
    let mediaTime = 0;
    let spoken = rest[0]?.kind === "audio" ? null : this.codec;
    if (spoken !== null) configure({});
    for (const { kind, message, audioMs } of rest) {
      if (kind === "audio") {
        const { codec, payload } = codedIn(message);
        if (codec !== spoken) configure({ codec });
        spoken = codec;
        renumberAudio(message, { sequence: outgoing.counts.audio, mediaTime });
        if (codec !== "pcm16") this.frames += renumberFrames(payload, this.frames);
        mediaTime += Math.round((audioMs * this.rateHz) / 1000);
      }
      outgoing.put(kind, message, audioMs);
    }
    if (spoken !== this.codec && !this.ending) configure({}); // of what will be said next
    this.outgoing = outgoing;
    this.origin = this.samples - mediaTime;
    this.back.token = null;
    this.beginSession();
  }

  /** Leave without waiting for anything. */
  drop() {
    this.socket?.close();
    this.finish(DONE, "");
  }

  finish(code, reason) {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    clearTimeout(this.pumping);
    const done = (this.ending && this.closed) || (code === DONE && (this.ending || !this.begun));
    this.handlers.onEnd({ done, code, reason, error: this.error, begun: this.begun, alive: this.alive ?? null });
  }
}
