import assert from "node:assert/strict";
import test from "node:test";

import { EchoGuard, correlation } from "../../web/echo.js";
import { Gate } from "../../web/gate.js";
import { nextSize } from "../../web/letters.js";
import { Recording, wavHeader } from "../../web/recording.js";
import { say, speakUi, uiLanguageFor } from "../../web/say.js";
import { places } from "../../web/search.js";
import { inputsOf } from "../../web/sources.js";
import { readTerms } from "../../web/terms.js";

/** Loudness of somebody who speaks: syllables and pauses, the same for the same seed. */
function speaker(seed) {
  let state = seed;
  const random = () => (state = (state * 16807) % 2147483647) / 2147483647;
  const levels = [];
  while (levels.length < 400) {
    const loud = random() < 0.3 ? 0.001 : 0.05 + 0.6 * random();
    for (let n = 2 + Math.floor(4 * random()); n > 0; n--) levels.push(loud * (0.6 + 0.4 * random()));
  }
  return levels;
}

function told(played, heard) {
  const guard = new EchoGuard();
  let first = null;
  for (let step = 0; step < 400; step++) {
    guard.played(50 * step, played[step]);
    guard.heard(50 * step, heard[step]);
    if (guard.echoes(50 * step)) first ??= step;
  }
  return { first, guard };
}

test("what comes back later and softer, with noise, is found within ten seconds; its lag is told", () => {
  const dub = speaker(7);
  const room = speaker(11).map((level) => 0.002 * level);
  const { first, guard } = told(dub, dub.map((_, n) => 0.08 * (dub[n - 5] ?? 0) + room[n]));
  assert.ok(first !== null && first <= 200, `found at step ${first}`);
  assert.equal(guard.lagMs, 250);
});

test("people who talk at the same time, silence and a steady hum are no echo", () => {
  for (let seed = 1; seed <= 20; seed++) assert.equal(told(speaker(seed), speaker(seed + 100)).first, null, `seed ${seed}`);
  const quiet = Array(400).fill(0);
  assert.equal(told(quiet, speaker(3)).first, null);
  assert.equal(told(Array(400).fill(0.3), Array(400).fill(0.1)).first, null);
});

test("correlation is that of Pearson", () => {
  assert.ok(Math.abs(correlation([1, 2, 3], [2, 4, 6]).match - 1) < 1e-12);
  assert.ok(Math.abs(correlation([1, 2, 3], [3, 2, 1]).match + 1) < 1e-12);
  assert.equal(correlation([1, 1], [1, 2]).match, 0);
});

test("the gate is for microphones: push to talk, and silence while the loudspeaker speaks", () => {
  const gate = new Gate();
  assert.equal(gate.shut("microphone", 0), false);
  gate.pushToTalk = true;
  assert.equal(gate.shut("microphone", 0), true);
  assert.equal(gate.shut("file", 0), false);
  gate.pushing = true;
  assert.equal(gate.shut("microphone", 0), false);
  gate.yields = true;
  gate.speaks(1000);
  assert.equal(gate.shut("microphone", 1300), true);
  assert.equal(gate.shut("microphone", 1500), false);
});

test("terms are read line by line, and lines that say none are named", () => {
  const { terms, faults } = readTerms("\ufeff# ours\r\nmetformin = Metformin\nOkafor\nnew york\tNew York\na=b\tx=y\n= nothing\nmetformin;Other\nx = y = z\n\n");
  assert.deepEqual(terms, [["metformin", "Metformin"], ["Okafor", ""], ["new york", "New York"], ["a=b", "x=y"]]);
  assert.deepEqual(faults.map(({ line }) => line), [6, 7, 8]);
});

test("speech stands in the file where the speaker was, and never over other speech", () => {
  const recording = new Recording();
  recording.add(Float32Array.of(0.5, -1), 1000, 3);
  recording.add(Float32Array.of(2), 1000, 4); // comes while the first is heard
  const [header, gap, first, second, ...rest] = recording.wav();
  assert.deepEqual([[...gap], [...first], [...second], rest], [[0, 0, 0], [16384, -32768], [32767], []]);
  const view = new DataView(header);
  assert.deepEqual([view.getUint32(4, true), view.getUint32(24, true), view.getUint32(40, true)], [36 + 12, 1000, 12]);
  assert.equal(wavHeader(1, 16000).byteLength, 44);
});

test("found places are those of the text, whatever the case", () => {
  assert.deepEqual(places("Der Zug, ein Zug", "zug"), [[4, 7], [13, 16]]);
  assert.deepEqual(places("Zug", ""), []);
});

test("microphones are listed by name, then other sources", () => {
  const devices = [
    { kind: "audioinput", deviceId: "default", label: "Default" }, { kind: "audioinput", deviceId: "a", label: "Headset" },
    { kind: "audioinput", deviceId: "b", label: "" }, { kind: "audiooutput", deviceId: "c", label: "Speakers" },
  ];
  const values = inputsOf(devices).map(([value, words]) => `${value}|${words}`);
  assert.deepEqual(values, ["|System’s microphone", "a|Headset", "b|Microphone 2", "tab|Sound of a tab or the system…", "file|An audio file…"]);
  assert.equal(inputsOf(devices, { canShare: false }).length, 4);
});

test("letters have a smallest and a largest size, and words the language of the person", () => {
  assert.deepEqual([nextSize("1", 1), nextSize("2.3", 1), nextSize("0.7", -1), nextSize("nonsense", 0)], [1.2, 2.3, 0.7, 1]);
  assert.equal(uiLanguageFor(["fr-CH", "de-AT", "en"]), "de");
  assert.equal(uiLanguageFor(["sv"]), "en");
  assert.equal(say("{0} of {1}", 1, 2), "1 of 2");
  speakUi("de");
  assert.equal(say("{0} of {1}", 1, 2), "1 von 2");
  assert.equal(say("of no dictionary"), "of no dictionary");
  speakUi("en");
});
