/** Packets, the ladder of codecs, and what is said in which order while coders work. */

import assert from "node:assert/strict";
import test from "node:test";
import { Downlink, Uplink } from "../../web/coders.js";
import { CODECS, Ladder, firstCodec, usable } from "../../web/ladder.js";
import { crc32, packNeural, packOpus, packetsIn, renumberFrames, unpackNeural, unpackOpus } from "../../web/packets.js";

const random = (count, below, seed = 7) => Int32Array.from({ length: count }, () => (seed = (seed * 48271) % 2147483647) % below);

test("the check sum is that of the standard", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
});

test("codes come out of a packet as they went in, the first of each frame", () => {
  for (const [frames, kept] of [[1, 3], [10, 6], [7, 12]]) {
    const codes = random(frames * 12, 1024);
    const [found, ...more] = unpackNeural(packNeural(codes, 12, kept, 65_530));
    assert.equal(more.length, 0);
    assert.deepEqual([found.frames, found.codebooks, found.firstFrame], [frames, kept, 65_530]);
    assert.deepEqual([...found.codes], [...codes].filter((_, i) => i % 12 < kept));
  }
});

test("Opus frames of every length come out as they went in", () => {
  const frames = [1, 251, 252, 253, 255, 256, 1275].map((size) => Uint8Array.from(random(size, 256)));
  const [found] = unpackOpus(packOpus(frames, 5));
  assert.equal(found.firstFrame, 5);
  assert.deepEqual(found.frames.map((frame) => [...frame]), frames.map((frame) => [...frame]));
});

test("packets get other places, and stay whole", () => {
  const both = new Uint8Array([...packNeural(random(60, 1024), 6, 6, 900), ...packNeural(random(6, 1024), 6, 6, 910)]);
  assert.equal(renumberFrames(both, 65_530), 11);
  assert.deepEqual(packetsIn(both).map(({ frames, firstFrame }) => [frames, firstFrame]), [[10, 65_530], [1, 4]]);
});

test("a packet that is damaged, cut off or something else is refused", () => {
  const packet = packNeural(random(60, 1024), 6, 6, 0);
  for (const wrong of [packet.subarray(0, 20), packet.subarray(1), Uint8Array.of(0xc5, 2), packet.map((byte, i) => (i === 9 ? byte ^ 1 : byte))]) {
    assert.throws(() => unpackNeural(wrong), RangeError);
  }
});

test("a slow network begins with few bits, one that is not known with all", () => {
  assert.equal(firstCodec(), "pcm16");
  assert.equal(firstCodec({ effectiveType: "4g", downlink: 10 }), "pcm16");
  assert.equal(firstCodec({ effectiveType: "4g", downlink: 10, saveData: true }), "opus");
  assert.equal(firstCodec({ effectiveType: "3g", downlink: 0.7 }), "opus");
  assert.equal(firstCodec({ effectiveType: "2g", downlink: 10 }), "neural");
  assert.equal(firstCodec({ effectiveType: "3g", downlink: 0.05 }), "neural");
});

test("what cannot be used is replaced by the next that needs more bits", () => {
  assert.equal(usable("neural", CODECS), "neural");
  assert.equal(usable("neural", ["pcm16", "opus"]), "opus");
  assert.equal(usable("neural", ["pcm16"]), "pcm16");
  assert.equal(usable("pcm16", CODECS), "pcm16");
});

test("a queue that stays leads one step down, a moment's does not, and each step gets time to show", () => {
  const ladder = new Ladder();
  assert.equal(ladder.see(2500, 0), false);
  assert.equal(ladder.see(0, 1000), false);
  assert.equal(ladder.see(2500, 2000), false);
  assert.equal(ladder.see(2500, 3000), true);
  assert.equal(ladder.wanted, "opus");
  for (let ms = 4000; ms < 13_000; ms += 1000) assert.equal(ladder.see(9000, ms), false);
  assert.equal(ladder.see(9000, 13_000), true);
  assert.equal(ladder.wanted, "neural");
  for (let ms = 14_000; ms < 60_000; ms += 1000) assert.equal(ladder.see(9000, ms), false);
});

/** A coder that takes its time. */
class Slow {
  constructor() {
    this.waiting = [];
    this.renewed = 0;
  }

  renewEncoder() {
    this.renewed += 1;
  }

  encode(samples, last) {
    return new Promise((resolve) => this.waiting.push(() => resolve(Uint8Array.of(samples.length / 320, Number(last)))));
  }

  async go() {
    for (let i = 0; i < 20; i++) {
      this.waiting.shift()?.();
      await new Promise(setImmediate);
    }
  }
}

test("speech, settings and the end keep their order while a coder works", async () => {
  const coder = new Slow();
  const told = [];
  const uplink = new Uplink({ coder: () => coder }, (codec, payload, samples) => told.push([codec, samples]));
  uplink.push(new Int16Array(2560));
  assert.deepEqual(told, [["pcm16", 2560]], "what is not coded goes out at once");
  uplink.restart("neural", () => told.push("neural from now on"));
  uplink.push(new Int16Array(2560));
  uplink.push(new Int16Array(2560));
  uplink.restart("opus", () => told.push("opus from now on"));
  uplink.push(new Int16Array(3300));
  uplink.restart("pcm16", () => told.push("plain from now on"));
  uplink.push(new Int16Array(100));
  uplink.flush();
  uplink.after(() => told.push("end"));
  await coder.go();
  assert.deepEqual(told, [
    ["pcm16", 2560], "neural from now on", ["neural", 3200], ["neural", 1920], "opus from now on", ["opus", 3200], ["opus", 320],
    "plain from now on", ["pcm16", 100], "end",
  ]);
  assert.equal(coder.renewed, 2);
});

test("speech that comes is told in its order, though some of it is to be decoded and some is damaged", async () => {
  const waiting = [];
  const decode = (payload) => new Promise((resolve, reject) => waiting.push(() => (payload ? resolve({ samples: new Float32Array(payload), rateHz: 16_000 }) : reject(new RangeError("damaged")))));
  const downlink = new Downlink({ coder: () => ({ decode }) });
  const told = [];
  const tell = ({ samples, rateHz }) => told.push([samples.length, rateHz]);
  downlink.hear({ codec: "pcm16", samples: new Float32Array(1), rateHz: 24_000 }, tell);
  assert.deepEqual(told, [[1, 24_000]]);
  downlink.hear({ codec: "neural", payload: 2 }, tell);
  downlink.hear({ codec: "neural", payload: 0 }, tell);
  downlink.hear({ codec: "pcm16", samples: new Float32Array(3), rateHz: 24_000 }, tell);
  for (let i = 0; i < 20; i++) {
    waiting.shift()?.();
    await new Promise(setImmediate);
  }
  assert.deepEqual(told, [[1, 24_000], [2, 16_000], [3, 24_000]]);
});
