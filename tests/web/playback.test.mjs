import assert from "node:assert/strict";
import test from "node:test";
import { TOP_SPEED, bestSkip, speedFor, spliceSizes } from "../../web/catchup.js";
import { JitterBuffer } from "../../web/jitter.js";

const RATE_HZ = 1000; // a sample a millisecond: ramps last 3 samples, the default prebuffer 120

function pull(buffer, samples) {
  const output = new Float32Array(samples).fill(NaN);
  return { speech: buffer.pull(output), output };
}

test("speech that arrives in lumps leaves without a gap and in order", () => {
  const buffer = new JitterBuffer(RATE_HZ);
  const spoken = Float32Array.from({ length: 500 }, (_, n) => Math.sin(n / 7) / 2);
  for (const [from, to] of [[0, 3], [3, 150], [150, 151], [151, 500]]) buffer.push(spoken.subarray(from, to));
  const heard = [];
  for (let n = 0; n < 50; n++) heard.push(...pull(buffer, 10).output);
  assert.deepEqual(heard.slice(3), [...spoken.subarray(3)]);
  assert.equal(buffer.underruns, 0);
  assert.equal(buffer.played, 500);
});

test("it waits for the prebuffer, but a short word is not kept for ever", () => {
  const buffer = new JitterBuffer(RATE_HZ);
  buffer.push(new Float32Array(119).fill(0.5));
  assert.equal(pull(buffer, 10).speech, 0);
  buffer.push(new Float32Array(1).fill(0.5));
  assert.equal(pull(buffer, 10).speech, 10);

  const word = new JitterBuffer(RATE_HZ);
  word.push(new Float32Array(20).fill(0.5));
  let waited = 0;
  while (pull(word, 10).speech === 0) waited += 10;
  assert.equal(waited, 120);
});

test("running dry fades out instead of clicking, and the next words fade in", () => {
  const buffer = new JitterBuffer(RATE_HZ, { prebufferS: 0 });
  buffer.push(new Float32Array(20).fill(1));
  const { speech, output } = pull(buffer, 60);
  assert.equal(speech, 20);
  for (let n = 1; n < 60; n++) assert.ok(Math.abs(output[n] - output[n - 1]) < 0.35, `a click at ${n}`);
  assert.ok(Math.abs(output[59]) < 1e-4);
  assert.equal(buffer.underruns, 1);
  buffer.push(new Float32Array(20).fill(1));
  const again = pull(buffer, 20).output;
  assert.ok(again[0] < 0.35 && again[3] === 1);
});

test("silence is given out when there is nothing to say", () => {
  const { speech, output } = pull(new JitterBuffer(RATE_HZ), 64);
  assert.equal(speech, 0);
  assert.deepEqual([...output], Array(64).fill(0));
});

test("who has little to catch up with speaks at normal speed, who has much at top speed", () => {
  assert.equal(speedFor(0), 1);
  assert.equal(speedFor(1.2), 1);
  assert.ok(speedFor(2) > 1.05 && speedFor(2) < 1.1);
  assert.equal(speedFor(10), TOP_SPEED);
});

test("what is left out is a whole number of the voice's periods", () => {
  const sizes = spliceSizes(16000);
  for (const hz of [100, 160, 200, 250]) {
    const period = 16000 / hz;
    const skip = bestSkip((i) => Math.sin((2 * Math.PI * (i + 17)) / period) + 0.5 * Math.sin((4 * Math.PI * i) / period), sizes);
    const off = Math.abs(skip / period - Math.round(skip / period)) * period;
    assert.ok(off <= 1 && skip >= sizes.shortest, `${hz} Hz: ${skip}`);
  }
});

test("a long queue is spoken faster at the same pitch and loudness, without a click", () => {
  const rateHz = 16000;
  const hz = 180;
  const buffer = new JitterBuffer(rateHz);
  buffer.push(Float32Array.from({ length: 8 * rateHz }, (_, n) => 0.5 * Math.sin((2 * Math.PI * hz * n) / rateHz)));
  const heard = [];
  while (buffer.length > 0) heard.push(...pull(buffer, 64).output);
  const seconds = buffer.played / rateHz;
  assert.ok(seconds < 8 / 1.06 && seconds > 8 / TOP_SPEED, `${seconds} s`);
  assert.equal(buffer.played + buffer.skipped, 8 * rateHz);
  assert.equal(buffer.dropped, 0);
  let crossings = 0;
  const body = heard.slice(500, buffer.played - 500);
  for (let n = 1; n < body.length; n++) if (body[n - 1] < 0 && body[n] >= 0) crossings += 1;
  assert.ok(Math.abs(crossings / (body.length / rateHz) - hz) < 2);
  const steepest = (0.5 * 2 * Math.PI * hz) / rateHz;
  for (let n = 1; n < body.length; n++) assert.ok(Math.abs(body[n] - body[n - 1]) < 1.3 * steepest, `a click at ${n}`);
  for (let n = 0; n + 200 < body.length; n += 200) assert.ok(Math.max(...body.slice(n, n + 200)) > 0.47, `quiet at ${n}`);
});

test("a full buffer forgets the oldest speech and counts it", () => {
  const buffer = new JitterBuffer(RATE_HZ, { capacityS: 0.1, prebufferS: 0 });
  buffer.push(Float32Array.from({ length: 80 }, (_, n) => n));
  buffer.push(Float32Array.from({ length: 50 }, (_, n) => 80 + n));
  assert.equal(buffer.dropped, 30);
  assert.deepEqual([...pull(buffer, 100).output.subarray(3)], Array.from({ length: 97 }, (_, n) => 33 + n));
  buffer.push(Float32Array.from({ length: 250 }, (_, n) => n));
  assert.equal(buffer.dropped, 180);
  assert.equal(pull(buffer, 100).output[99], 249);
});

test("clearing makes it silent at once", () => {
  const buffer = new JitterBuffer(RATE_HZ, { prebufferS: 0 });
  buffer.push(new Float32Array(50).fill(1));
  pull(buffer, 10);
  buffer.clear();
  assert.deepEqual([...pull(buffer, 10).output], Array(10).fill(0));
  assert.equal(buffer.length, 0);
});
