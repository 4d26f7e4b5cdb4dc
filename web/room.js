/** Listening in a room: one websocket after the other, for as long as the talk lasts, nothing lost and nothing twice. */

import { AUDIO, SUBPROTOCOL, decodeBinary, decodeText } from "./protocol.js";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5000;
const HOPELESS_PAUSE_MS = 30_000; // after a refusal that time may mend only for who waits for ever
const SILENCE_MS = 25_000; // without a sign of life: the network is gone, whatever the browser thinks
const PING_MS = 8000;
const HOPELESS = [1003, 1008, 4400, 4401, 4410];
const DONE = 1000;

/** The room of a page at `location`: { id, token, base }, `base` being the address under which the service lives. Pure. */
export function roomOf({ href }) {
  const url = new URL(href);
  const [, prefix, id] = /^(.*\/)(?:listen|overlay)\/([^/]+)\/?$/.exec(url.pathname) ?? [null, "/", ""];
  const token = url.searchParams.get("token") ?? decodeURIComponent(url.hash.slice(1));
  return { id, token, base: `${url.origin}${prefix}` };
}

/** The address of a room's websocket with these wishes, `after` the last event that came (0: none). Pure. */
export function roomUrl({ id, base }, wishes, after = 0) {
  const url = new URL(`v1/rooms/${encodeURIComponent(id)}/stream`, base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const said = Object.entries(wishes).filter(([, value]) => value !== null);
  for (const [name, value] of said) url.searchParams.set(name, typeof value === "boolean" ? Number(value) : value);
  if (after > 0) url.searchParams.set("after", after);
  return url.href;
}

/** The address of a file or picture of a room. Pure. */
export function roomFile({ id, token, base }, name, query = {}) {
  const url = new URL(`v1/rooms/${encodeURIComponent(id)}/${name}`, base);
  for (const [key, value] of Object.entries({ ...query, token })) url.searchParams.set(key, value);
  return url.href;
}

export class Room {
  /**
   * `handlers`: onWelcome(message), onCaption(message), onSpeech({ codec, samples, payload, rateHz, text }), onJump(message), onAway(),
   * onEnd(summary), onRefused({ code, message }). `forEver`: not even a refusal or the end is final.
   */
  constructor(room, wishes, handlers, { forEver = false } = {}) {
    Object.assign(this, { room, wishes, handlers, forEver });
    this.last = 0; // number of the last event that came
    this.attempts = 0;
    this.speech = new Map(); // sequence -> the message that announced it
    this.over = false;
    this.open();
  }

  /** Wish for something else from now on. */
  wish(changes) {
    Object.assign(this.wishes, changes);
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "listen", ...this.wishes }));
  }

  open() {
    const socket = new WebSocket(roomUrl(this.room, this.wishes, this.last), [SUBPROTOCOL, `token.${this.room.token}`]);
    this.socket = socket;
    this.error = null;
    socket.binaryType = "arraybuffer";
    const current = (act) => (event) => socket === this.socket && act(event);
    socket.onmessage = current(({ data }) => this.receive(data));
    socket.onclose = current(({ code }) => this.closed(code));
    this.pinging = setInterval(() => {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "ping", id: 0, last_sequence: this.last }));
    }, PING_MS);
    this.expect();
  }

  /** A sign of life must come soon. */
  expect() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.closed(1006), SILENCE_MS);
  }

  receive(data) {
    this.expect();
    if (typeof data !== "string") {
      this.receiveAudio(decodeBinary(data));
      return;
    }
    const message = decodeText(data);
    if (message === null) return;
    if (message.type === "speech") {
      this.speech.set(message.sequence, message);
      return;
    }
    if (typeof message.n === "number") {
      if (message.n <= this.last) return;
      this.last = message.n;
    }
    const { handlers } = this;
    switch (message.type) {
      case "welcome":
        this.attempts = 0;
        handlers.onWelcome?.(message);
        break;
      case "caption":
        handlers.onCaption?.(message);
        break;
      case "jump":
        handlers.onJump?.(message);
        break;
      case "error":
        this.error = message;
        break;
      case "closed":
        this.over = true;
        handlers.onEnd?.(message.summary ?? {});
        break;
    }
  }

  receiveAudio({ type, sequence, samples, payload }) {
    const told = this.speech.get(sequence);
    this.speech.clear(); // earlier ones were lost
    if (type !== AUDIO || !told || told.n <= this.last) return;
    this.last = told.n;
    this.handlers.onSpeech?.({ codec: told.codec, samples, payload, rateHz: told.sample_rate_hz, text: told.text });
  }

  closed(code) {
    const { socket } = this;
    this.socket = null;
    clearTimeout(this.timer);
    clearInterval(this.pinging);
    this.speech.clear();
    if (socket) {
      socket.onclose = null;
      socket.close();
    }
    const why = this.error?.code ?? code;
    const hopeless = this.over || HOPELESS.includes(why) || why === DONE;
    if (hopeless && !this.over) this.handlers.onRefused?.({ code: why, message: this.error?.message ?? "" });
    if (hopeless && !this.forEver) return;
    if (!hopeless) this.handlers.onAway?.({ code: why, message: this.error?.message ?? "" });
    const pauseMs = hopeless ? HOPELESS_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.attempts);
    this.attempts += 1;
    setTimeout(() => this.open(), pauseMs * (0.5 + Math.random() / 2));
  }
}
