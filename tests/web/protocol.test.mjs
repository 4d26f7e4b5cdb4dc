import assert from "node:assert/strict";
import test from "node:test";
import { figuresOf, seconds } from "../../web/figures.js";
import { AUDIO, PCM16, bytesOnWire, decodeBinary, decodeText, encodeAudio, streamUrl, toPcm16 } from "../../web/protocol.js";
import { connectionTrouble, insecureTrouble, microphoneTrouble } from "../../web/troubles.js";

test("an audio message is twelve little-endian header bytes and the samples", () => {
  const frame = encodeAudio({ sequence: 0x01020304, mediaTime: 0x0a0b0c0d, samples: Int16Array.of(1, -2) });
  assert.deepEqual([...new Uint8Array(frame)], [1, 0, 0, 0, 4, 3, 2, 1, 0x0d, 0x0c, 0x0b, 0x0a, 1, 0, 0xfe, 0xff]);
});

test("what is encoded is what is decoded, also past two to the 32", () => {
  const samples = Int16Array.of(-32768, -1, 0, 1, 32767);
  const frame = decodeBinary(encodeAudio({ sequence: 2 ** 32 + 5, mediaTime: 2 ** 32 - 1, samples }));
  assert.deepEqual([frame.type, frame.codec, frame.sequence, frame.mediaTime], [AUDIO, PCM16, 5, 2 ** 32 - 1]);
  assert.deepEqual([...frame.samples].map((value) => value * 32768), [...samples]);
});

test("a frame shorter than its header is refused and an unknown codec has no samples", () => {
  assert.throws(() => decodeBinary(new ArrayBuffer(11)), /binary frame of 11 bytes; at least 12/);
  const bytes = new Uint8Array(encodeAudio({ sequence: 0, mediaTime: 0, samples: Int16Array.of(1) }));
  bytes[1] = 2;
  assert.equal(decodeBinary(bytes.buffer).samples, null);
});

test("loud samples are limited, not wrapped", () => {
  assert.deepEqual([...toPcm16(Float32Array.of(-2, -1, 0, 0.5, 1, 2))], [-32768, -32768, 0, 16384, 32767, 32767]);
});

test("text that is not a message is no message", () => {
  for (const text of ["", "[1]", "null", "7", '{"type": 3}', "{", '"type"']) assert.equal(decodeText(text), null, text);
  assert.deepEqual(decodeText('{"type":"pong","id":1}'), { type: "pong", id: 1 });
});

test("small messages cost mostly headers: what is shown is what the network carries", () => {
  assert.equal(bytesOnWire(30, true), 30 + 6 + 22 + 52); // 80 bytes around a packet of a neural codec
  assert.equal(bytesOnWire(5132, false), 5132 + 8 + 4 * 52);
});

test("a secure page opens a secure stream", () => {
  assert.equal(streamUrl(new URL("https://talks.example.org/x")), "wss://talks.example.org/v1/stream");
  assert.equal(streamUrl(new URL("http://localhost:8000/")), "ws://localhost:8000/v1/stream");
});

test("the meter shows LAAL in seconds and adds up the parts of the delay that are known", () => {
  const { texts, parts, explanation } = figuresOf({
    laal_ms: 1873.2,
    split: { network: null, buffer: 40, policy: 1360, compute: 200, playback: null },
  });
  assert.deepEqual(texts, { laal: "1.9 s", delay: "1.6 s" });
  assert.deepEqual(parts.map(({ name }) => name), ["buffer", "policy", "compute"]);
  assert.ok(Math.abs(parts.reduce((sum, { share }) => sum + share, 0) - 1) < 1e-9);
  assert.match(explanation, /1\.4 s until the meaning was clear/);
});

test("what is not known yet changes nothing on the meter", () => {
  assert.deepEqual(figuresOf({ laal_ms: null, split: { policy: null } }), { texts: {} });
  assert.equal(seconds(null), "–");
  assert.equal(seconds(NaN), "–");
});

test("each fault of the microphone has its own words and a way on", () => {
  const titles = ["NotAllowedError", "NotFoundError", "NotReadableError", "SomethingNew"].map((name) => {
    const { title, text, action } = microphoneTrouble({ name, message: "so it is" });
    assert.ok(text.length > 20);
    assert.equal(action, "retry");
    return title;
  });
  assert.equal(new Set(titles).size, 4);
});

test("an insecure page is told its own address and how to get a secure one", () => {
  const { text } = insecureTrouble(new URL("http://192.168.1.7:8000/"));
  assert.match(text, /http:\/\/192\.168\.1\.7:8000/);
  assert.match(text, /http:\/\/localhost:8000/);
  assert.match(text, /--tls-self-signed/);
});

test("a lost connection, a full server, a dead one and a refusal are told apart", () => {
  const titles = [
    connectionTrouble({ begun: true }),
    connectionTrouble({ code: 1013, error: { message: "all 4 places are taken", retry_after_ms: 4200 } }),
    connectionTrouble({ begun: false, alive: false }),
    connectionTrouble({ begun: false, alive: true }),
    connectionTrouble({ code: 1008, reason: "origin not allowed" }),
    connectionTrouble({ code: 1011, error: { message: "the model failed" }, begun: true }),
    connectionTrouble({ code: 1001, begun: true }),
    connectionTrouble({ code: 4408, begun: true }),
  ].map(({ title }) => title);
  assert.equal(new Set(titles).size, titles.length);
  const full = connectionTrouble({ code: 1013, error: { message: "all 4 places are taken", retry_after_ms: 4200 } });
  assert.match(full.text, /^All 4 places are taken\. Try again in 5 s\.$/);
  assert.equal(connectionTrouble({ begun: true }).action, "reconnect");
});
