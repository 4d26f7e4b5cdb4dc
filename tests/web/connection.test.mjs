/** A talk over a network that is made of objects: every way in which a websocket or a session can end. */

import assert from "node:assert/strict";
import test from "node:test";
import { Connection } from "../../web/connection.js";
import { packNeural, packetsIn } from "../../web/packets.js";
import { decodeBinary } from "../../web/protocol.js";
import { connectionTrouble } from "../../web/troubles.js";

const RATE_HZ = 16_000;
const LIMITS = { speed: 0, burst_ms: 0 };

/** A server as this side sees it; `t` is the test whose timers it takes over. */
class Network {
  constructor(t, { resumable = true } = {}) {
    Object.assign(this, { resumable, sockets: [], asked: [], events: [], refusal: null, up: true, nowMs: 0, t });
    t.mock.timers.enable({ apis: ["setTimeout"] });
    t.mock.method(performance, "now", () => this.nowMs);
    const network = this;
    globalThis.fetch = async (url, { headers }) => {
      this.asked.push(headers.authorization ?? "");
      if (!this.up) throw new TypeError("Failed to fetch");
      if (this.refusal) return { ok: false, json: async () => this.refusal };
      return { ok: true, json: async () => ({ token: `place-${this.asked.length}` }) };
    };
    globalThis.WebSocket = class {
      static OPEN = 1;
      constructor(address, protocols) {
        Object.assign(this, { protocols, sent: [], readyState: 1, bufferedAmount: 0 });
        network.sockets.push(this);
      }
      send(message) {
        this.sent.push(message);
      }
      close() {
        this.readyState = 3;
      }
    };
    const note = (name) => (...told) => this.events.push([name, ...told]);
    const names = ["onWelcome", "onRenewed", "onMessage", "onSpeech", "onAway", "onBack", "onEnd"];
    this.handlers = Object.fromEntries(names.map((name) => [name, note(name)]));
  }

  get socket() {
    return this.sockets.at(-1);
  }

  say(message) {
    this.socket.onmessage({ data: JSON.stringify(message) });
  }

  welcome(more = {}) {
    this.socket.onopen();
    const token = this.resumable ? { resume_token: `resume-${this.sockets.length}`, park_ms: 60_000 } : {};
    this.say({ type: "welcome", limits: LIMITS, credit_ms: 60_000, resumed: false, ...token, ...more });
  }

  end(code, message = "") {
    this.say({ type: "error", code, message, retryable: [1001, 1011, 1013, 4408, 4429].includes(code) });
    this.socket.onclose({ code, reason: message });
  }

  cut() {
    this.socket.onclose({ code: 1006, reason: "" });
  }

  /** Time goes by, and what was asked is answered. */
  async pass(ms) {
    for (let left = ms; left > 0; left -= 100) {
      this.nowMs += 100;
      this.t.mock.timers.tick(100);
      await this.settle();
    }
  }

  async settle() {
    for (let n = 0; n < 5; n++) await Promise.resolve();
  }

  named(name) {
    return this.events.filter(([one]) => one === name).map(([, ...told]) => told);
  }

  /** What a socket was given: ["config", ...], ["audio", sequence, media time, first sample] and so on. */
  heard(socket = this.socket) {
    return socket.sent.map((message) => {
      if (typeof message === "string") return [JSON.parse(message).type];
      const { sequence, mediaTime, samples } = decodeBinary(message);
      return ["audio", sequence, mediaTime, Math.round(samples[0] * 32768)];
    });
  }
}

async function talking(t, options, key = "") {
  const network = new Network(t, options);
  const connection = new Connection("ws://here/v1/stream", RATE_HZ, network.handlers, key);
  await network.settle();
  network.welcome();
  connection.configure({ latency: "low" });
  const speak = (n) => connection.sendAudio(new Int16Array(2560).fill(n));
  return { network, connection, speak };
}

test("a talk that we end is done when the server has said the rest", async (t) => {
  const { network, connection, speak } = await talking(t);
  speak(1);
  connection.end();
  network.say({ type: "ack", n: 1, sequence: 0, processed_ms: 160 });
  network.say({ type: "closed", n: 2, summary: {} });
  network.socket.onclose({ code: 1000, reason: "" });
  assert.deepEqual(network.heard(), [["config"], ["audio", 0, 0, 1], ["end"]]);
  assert.equal(network.named("onEnd")[0][0].done, true);
});

test("a session that has lasted its longest is followed by another at once, which gets what was not heard", async (t) => {
  const { network, speak } = await talking(t);
  for (let n = 1; n <= 4; n++) speak(n);
  network.say({ type: "ack", n: 1, sequence: 1, processed_ms: 320 });
  network.say({ type: "closed", n: 2, summary: {} });
  network.end(1001, "a session may last 12 s; begin a new one");
  speak(5);
  await network.pass(200);
  assert.equal(network.sockets.length, 2);
  assert.deepEqual(network.socket.protocols, ["streamst.v1", "token.place-2"]);
  network.welcome();
  speak(6);
  assert.deepEqual(network.heard(), [["config"], ["audio", 0, 0, 3], ["audio", 1, 2560, 4], ["audio", 2, 5120, 5], ["audio", 3, 7680, 6]]);
  assert.deepEqual(network.named("onRenewed").map(([, atMs]) => atMs), [320]);
  for (const name of ["onAway", "onEnd", "onBack"]) assert.deepEqual(network.named(name), [], name);
  network.say({ type: "caption", n: 1, lang: "de" });
  assert.equal(network.named("onMessage").at(-1)[0].type, "caption", "the numbers of another session begin anew");
});

test("an end by idleness, by a fault or by a wrong setting is no good end, and has a trouble with its reason and a way on", async (t) => {
  for (const [code, message, expected] of [
    [4408, "no audio for 60 s", /nothing was heard/i],
    [1011, "the server failed; the session cannot go on", /the server failed/i],
    [4400, "config.latency: 'x'; allowed: low", /allowed: low/],
    [4413, "audio comes faster than allowed", /faster than allowed/],
    [1008, "this key may not", /this key may not/i],
  ]) {
    const { network, speak } = await talking(t);
    speak(1);
    network.say({ type: "closed", n: 1, summary: {} });
    network.end(code, message);
    const [outcome] = network.named("onEnd")[0];
    assert.equal(outcome.done, false, `code ${code}`);
    const { title, text, action } = connectionTrouble(outcome);
    assert.match(`${title} ${text}`, expected);
    assert.equal(action, "reconnect");
    t.mock.reset();
    t.mock.timers.reset();
  }
});

test("a server that hangs up in order without being asked is told as well", async (t) => {
  const { network } = await talking(t);
  network.say({ type: "closed", n: 1, summary: {} });
  network.socket.onclose({ code: 1000, reason: "" });
  const [outcome] = network.named("onEnd")[0];
  assert.equal(outcome.done, false);
  assert.deepEqual(connectionTrouble(outcome), {
    title: "The server ended the stream", text: "It gave no reason (code 1000).", action: "reconnect",
  });
});

test("a dropped connection comes back to its session, and what was not heard is said again", async (t) => {
  const { network, speak } = await talking(t);
  for (let n = 1; n <= 3; n++) speak(n);
  network.say({ type: "ack", n: 1, sequence: 0, processed_ms: 160 });
  network.cut();
  assert.deepEqual(network.named("onAway"), [[{ restarting: false }]]);
  speak(4);
  await network.pass(200);
  assert.deepEqual(network.socket.protocols, ["streamst.v1", "token.resume-1"]);
  network.welcome({ resumed: true, next_sequence: 2, configs: 1, ended: false });
  assert.deepEqual(network.heard(), [["hello"], ["audio", 2, 5120, 3], ["audio", 3, 7680, 4]]);
  assert.equal(network.named("onBack").length, 1);
  assert.deepEqual(network.named("onRenewed"), []);
});

test("a server that was restarted knows the session no more: the talk goes on in another one, nothing lost", async (t) => {
  for (const code of [4401, 4410]) {
    const { network, speak } = await talking(t);
    for (let n = 1; n <= 3; n++) speak(n);
    network.say({ type: "ack", n: 1, sequence: 0, processed_ms: 160 });
    network.cut();
    await network.pass(200);
    network.end(code, "no such session");
    await network.pass(300);
    assert.deepEqual(network.socket.protocols[1], "token.place-2");
    network.welcome();
    assert.deepEqual(network.heard(), [["config"], ["audio", 0, 0, 2], ["audio", 1, 2560, 3]]);
    assert.deepEqual(network.named("onRenewed").map(([, atMs]) => atMs), [160]);
    assert.equal(network.named("onBack").length, 1);
    assert.deepEqual(network.named("onEnd"), []);
    t.mock.reset();
    t.mock.timers.reset();
  }
});

test("a server that says it is going away is waited for while it is not there", async (t) => {
  const { network, speak } = await talking(t);
  speak(1);
  network.say({ type: "goaway", in_ms: 5000, reason: "the server is being stopped" });
  network.say({ type: "ack", n: 1, sequence: 0, processed_ms: 160 });
  network.say({ type: "closed", n: 2, summary: {} });
  network.end(1001, "the server is being stopped");
  network.up = false;
  assert.deepEqual(network.named("onAway"), [[{ restarting: true }]]);
  speak(2);
  await network.pass(40_000);
  assert.deepEqual(network.named("onEnd"), []);
  network.up = true;
  network.refusal = { code: 1013, message: "still loading", retryable: true };
  await network.pass(4000);
  network.refusal = null;
  await network.pass(4000);
  network.welcome();
  assert.deepEqual(network.heard(), [["config"], ["audio", 0, 0, 2]]);
  assert.equal(network.named("onAway").length, 1);
  assert.equal(network.named("onBack").length, 1);
});

test("when no server comes for two minutes the talk ends, and says so", async (t) => {
  const { network } = await talking(t);
  network.cut();
  network.up = false;
  await network.pass(70_000); // of attempts to come back, none of which is answered
  assert.deepEqual(network.named("onEnd"), []);
  await network.pass(70_000);
  const [outcome] = network.named("onEnd")[0];
  assert.equal(outcome.done, false);
  assert.equal(connectionTrouble(outcome).title, "The connection dropped");
  assert.equal(connectionTrouble(outcome).action, "reconnect");
});

test("an end that we asked for and that was lost with its session is asked for again in the next one", async (t) => {
  const { network, connection, speak } = await talking(t, { resumable: false });
  speak(1);
  speak(2);
  connection.end();
  network.say({ type: "ack", n: 1, sequence: 0, processed_ms: 160 });
  network.cut();
  await network.pass(200);
  network.welcome();
  assert.deepEqual(network.heard(), [["config"], ["audio", 0, 0, 2], ["end"]]);
});

test("sessions that end before they have heard anything are not begun for ever", async (t) => {
  const { network } = await talking(t);
  for (let n = 0; n < 20 && network.named("onEnd").length === 0; n++) {
    network.end(1001, "a session may last 0 s; begin a new one");
    await network.pass(200);
    if (network.named("onEnd").length === 0) network.welcome();
  }
  assert.ok(network.sockets.length < 10);
  assert.equal(network.named("onEnd")[0][0].done, false);
});

test("an API key is shown, and one that is missing or wrong is asked for", async (t) => {
  const { network } = await talking(t, {}, "a-key-of-mine/with=signs");
  assert.deepEqual(network.asked, ["Bearer a-key-of-mine/with=signs"]);
  network.refusal = { code: 4401, message: "this server needs an API key", retryable: false };
  new Connection("ws://here/v1/stream", RATE_HZ, network.handlers, "");
  await network.settle();
  const [outcome] = network.named("onEnd")[0];
  assert.equal(outcome.begun, false);
  assert.deepEqual([connectionTrouble(outcome).title, connectionTrouble(outcome).action], ["This server needs an API key", "key"]);
  assert.match(connectionTrouble({ ...outcome, key: "wrong" }).title, /does not know this API key/);
});

test("who cannot begin is told why: refused in the server's words, nobody there, or a websocket that does not open", async (t) => {
  const network = new Network(t);
  const begin = async () => {
    new Connection("ws://here/v1/stream", RATE_HZ, network.handlers);
    await network.settle();
    return () => connectionTrouble(network.named("onEnd").at(-1)[0]).title;
  };
  network.refusal = { code: 1013, message: "All 4 places are taken", retryable: true, retry_after_ms: 5000 };
  assert.equal((await begin())(), "The server is full");
  network.refusal = null;
  network.up = false;
  assert.equal((await begin())(), "The server does not answer");
  network.up = true;
  const told = await begin();
  network.cut();
  assert.equal(told(), "Something blocks the connection");
});

test("coded speech is numbered by frames, and goes on in another session in its own codec, nothing lost", async (t) => {
  const { network, connection, speak } = await talking(t);
  const packet = () => packNeural(new Int32Array(10 * 12), 12, 6, 0);
  const frames = (socket) =>
    socket.sent.map((message) => {
      if (typeof message === "string") return JSON.parse(message).codec ?? JSON.parse(message).type;
      const { codec, mediaTime, payload } = decodeBinary(message);
      return [codec, mediaTime, codec === 0 ? 0 : packetsIn(payload)[0].firstFrame];
    });
  speak(1);
  connection.configure({ codec: "neural" });
  connection.sendCoded("neural", packet(), 3200);
  connection.configure({ codec: "neural", latency: "high" }); // the dial: the stream goes on
  connection.sendCoded("neural", packet(), 3200);
  connection.configure({ codec: "neural", target: "fr" }); // another session of the model: it begins anew
  connection.sendCoded("neural", packet(), 3200);
  assert.deepEqual(frames(network.socket), [
    "config", [0, 0, 0], "neural", [2, 2560, 0], "neural", [2, 5760, 10], "neural", [2, 8960, 0],
  ]);
  network.cut();
  await network.pass(200);
  network.end(4401, "no such session");
  await network.pass(300);
  network.welcome();
  connection.sendCoded("neural", packet(), 3200);
  assert.deepEqual(frames(network.socket), [
    "pcm16", [0, 0, 0], "neural", [2, 2560, 0], [2, 5760, 10], [2, 8960, 20], [2, 12_160, 30],
  ]);
});
