import assert from "node:assert/strict";
import test from "node:test";
import { Resampler } from "../../web/resampler.js";

const RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000];

function sine(hz, rateHz, seconds, amplitude = 0.5) {
  return Float32Array.from({ length: Math.round(rateHz * seconds) }, (_, n) =>
    amplitude * Math.sin((2 * Math.PI * hz * n) / rateHz),
  );
}

function decibel(samples, from, to) {
  let sum = 0;
  for (let n = from; n < to; n++) sum += samples[n] ** 2;
  return 10 * Math.log10(sum / (to - from) + 1e-30);
}

/** Pseudo-random numbers 0..1, the same in each run. */
function* randomNumbers(seed) {
  for (;;) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    yield seed / 2 ** 32;
  }
}

for (const inputHz of RATES) {
  for (const outputHz of [16000, 48000, 44100]) {
    test(`a sine of 1 kHz at ${inputHz} Hz is the same sine at ${outputHz} Hz`, () => {
      const output = new Resampler(inputHz, outputHz).process(sine(1000, inputHz, 0.3));
      const truth = sine(1000, outputHz, 0.3);
      const edge = Math.round(0.02 * outputHz);
      assert.ok(output.length > 0.29 * outputHz - edge && output.length <= truth.length);
      for (let n = edge; n < output.length; n++) assert.ok(Math.abs(output[n] - truth[n]) < 3e-4, `sample ${n}`);
    });
  }
}

for (const inputHz of [44100, 48000, 96000]) {
  for (const hz of [8100, 9000, 12000, 15000, 20000]) {
    test(`${hz} Hz recorded at ${inputHz} Hz does not fold into 16 kHz`, () => {
      const output = new Resampler(inputHz, 16000).process(sine(hz, inputHz, 0.3, 1));
      assert.ok(decibel(output, 400, output.length) < -75);
    });
  }
  test(`speech up to 7 kHz recorded at ${inputHz} Hz keeps its level at 16 kHz`, () => {
    for (const hz of [100, 500, 3000, 5000, 7000]) {
      const output = new Resampler(inputHz, 16000).process(sine(hz, inputHz, 0.3, 1));
      assert.ok(Math.abs(decibel(output, 800, 4000) + 3.01) < 0.05, `${hz} Hz`);
    }
  });
}

test("played at 48 kHz, 16 kHz speech has no mirror image above 8 kHz", () => {
  const output = new Resampler(16000, 48000).process(sine(6000, 16000, 0.3, 1));
  const truth = sine(6000, 48000, 0.3, 1);
  const error = output.map((value, n) => value - truth[n]);
  assert.ok(decibel(error, 1000, 12000) < -70);
});

test("chunks of any size give the same samples as the whole", () => {
  const numbers = randomNumbers(7);
  const input = Float32Array.from({ length: 20000 }, () => numbers.next().value - 0.5);
  for (const [inputHz, outputHz] of [[44100, 16000], [48000, 16000], [16000, 44100], [24000, 48000], [16000, 16000]]) {
    const whole = new Resampler(inputHz, outputHz).process(input);
    const resampler = new Resampler(inputHz, outputHz);
    const pieces = [];
    for (let n = 0; n < input.length; ) {
      const size = Math.floor(numbers.next().value * 700);
      pieces.push(...resampler.process(input.subarray(n, n + size)));
      n += size;
    }
    assert.deepEqual(Float32Array.from(pieces), whole);
  }
});

test("a minute at 44.1 kHz is exactly a minute at 16 kHz: the clock does not drift", () => {
  const resampler = new Resampler(44100, 16000);
  const second = new Float32Array(44100);
  let samples = 0;
  for (let s = 0; s < 60; s++) samples += resampler.process(second).length;
  samples += resampler.flush().length;
  assert.equal(samples, 60 * 16000);
});

test("flushing gives the tail of the sound and leaves a fresh resampler", () => {
  const resampler = new Resampler(48000, 16000);
  const input = sine(440, 48000, 0.1);
  const first = [...resampler.process(input), ...resampler.flush()];
  const second = [...resampler.process(input), ...resampler.flush()];
  assert.equal(first.length, 1600);
  assert.deepEqual(first, second);
  assert.ok(Math.abs(first[1500] - sine(440, 16000, 0.1)[1500]) < 0.01);
});

test("a rate that is not a whole number above 0 is refused by name", () => {
  assert.throws(() => new Resampler(0, 16000), /sample rate 0 Hz/);
  assert.throws(() => new Resampler(44100.5, 16000), /sample rate 44100.5 Hz/);
  assert.throws(() => new Resampler(999983, 16000), /cannot resample 999983 Hz to 16000 Hz/);
});
