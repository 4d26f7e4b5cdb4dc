/** The two audio processors as the audio thread runs them, with blocks of any size: 128 is only what most devices give. */

import assert from "node:assert/strict";
import test from "node:test";

const RATE_HZ = 48_000; // of the device
const SERVICE_HZ = 16_000;
const SIZES = { "all of 128": [128], "all of 256": [256], "all of 441": [441], "single samples": [1], mixed: [128, 1, 2048, 37, 480] };
const processors = {};

globalThis.sampleRate = RATE_HZ;
globalThis.currentTime = 0; // of the audio thread [s]
globalThis.AudioWorkletProcessor = class {
  constructor() {
    this.port = { posted: [], postMessage: (message) => this.port.posted.push(message) };
  }
};
globalThis.registerProcessor = (name, made) => (processors[name] = made);
await import("../../web/capture.worklet.js");
await import("../../web/playback.worklet.js");

const tone = (count, rateHz) => Float32Array.from({ length: count }, (_, n) => 0.5 * Math.sin((2 * Math.PI * 300 * n) / rateHz));

/** What the server would get of `said` (two channels) in blocks of the sizes, one after the other, again and again. */
function captured(said, sizes) {
  const capture = new processors.capture({ processorOptions: { rateHz: SERVICE_HZ, bundleMs: 160 } });
  for (let at = 0, n = 0; at < said.length; n++) {
    const block = said.subarray(at, at + sizes[n % sizes.length]);
    assert.equal(capture.process([[block, block]]), true);
    at += block.length;
  }
  capture.port.onmessage({ data: { type: "flush" } });
  assert.ok(capture.port.posted.at(-1).flushed);
  const bundles = capture.port.posted.filter(({ pcm }) => pcm).map(({ pcm }) => pcm);
  assert.ok(bundles.slice(0, -1).every(({ length }) => length === 2560));
  return bundles.flatMap((pcm) => [...pcm]);
}

/** What is heard of `spoken` in blocks of the sizes. */
function played(spoken, sizes, count) {
  const playback = new processors.playback({ processorOptions: { rateHz: SERVICE_HZ } });
  playback.port.onmessage({ data: { type: "speech", samples: spoken } });
  const heard = new Float32Array(count);
  for (let at = 0, n = 0; at < count; n++) {
    const block = heard.subarray(at, at + sizes[n % sizes.length]);
    const second = new Float32Array(block.length);
    playback.process([], [[block, second]]);
    assert.deepEqual(second, Float32Array.from(block));
    at += block.length;
  }
  return { heard, reports: playback.port.posted };
}

const said = tone(RATE_HZ + 77, RATE_HZ);
const whole = captured(said, [said.length]);
const spoken = tone(SERVICE_HZ, SERVICE_HZ);
const all = played(spoken, [60_000], 60_000).heard;

test("a second that is said is a second at the service's rate", () => {
  assert.ok(Math.abs(whole.length - SERVICE_HZ) < 60);
  const heard = whole.slice(200, -200).map((sample, n) => sample - 16384 * Math.sin((2 * Math.PI * 300 * (n + 200)) / SERVICE_HZ));
  assert.ok(Math.max(...heard.map(Math.abs)) < 20);
});

test("a second that is spoken is heard", () => {
  assert.ok(Math.max(...all.subarray(0, RATE_HZ)) > 0.49);
  assert.ok(all.subarray(-2000).every((sample) => sample === 0));
});

for (const [name, sizes] of Object.entries(SIZES)) {
  test(`blocks, ${name}: the server gets the same, and the same is heard`, () => {
    assert.deepEqual(captured(said, sizes), whole);
    const { heard, reports } = played(spoken, sizes, 60_000);
    assert.deepEqual(heard, all);
    assert.ok(reports.length >= 20 && reports.at(-1).playedMs === 1000);
  });
}

test("a microphone that is not connected yet is waited for", () => {
  const capture = new processors.capture({ processorOptions: { rateHz: SERVICE_HZ, bundleMs: 160 } });
  assert.equal(capture.process([[]]), true);
  assert.deepEqual(capture.port.posted, []);
});
