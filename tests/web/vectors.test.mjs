/** The message tables that the server's tests read, from the other side of the wire. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { Captions } from "../../web/captions.js";
import { figuresOf } from "../../web/figures.js";
import { PCM16, decodeBinary, decodeText, encodeAudio } from "../../web/protocol.js";
import { connectionTrouble } from "../../web/troubles.js";

const vectors = JSON.parse(readFileSync(new URL("../data/protocol_vectors.json", import.meta.url), "utf-8"));
const bytesOf = (hex) => Uint8Array.from(hex.replaceAll(" ", "").match(/../g), (pair) => Number.parseInt(pair, 16));

for (const { name, codec, sequence, media_time_samples, samples, hex } of vectors.audio) {
  if (codec !== "pcm16") continue; // the page sends and plays no other
  test(`audio, ${name}`, () => {
    const frame = encodeAudio({ sequence, mediaTime: media_time_samples, samples: Int16Array.from(samples) });
    assert.deepEqual(new Uint8Array(frame), bytesOf(hex));
    const back = decodeBinary(bytesOf(hex).buffer);
    assert.deepEqual([back.codec, back.sequence, back.mediaTime], [PCM16, sequence, media_time_samples]);
    assert.deepEqual([...back.samples].map((value) => value * 32768), samples);
  });
}

test("every text message of the server is understood", () => {
  const texts = vectors.server.flatMap(({ messages }) => messages.filter(({ text }) => text).map(({ text }) => text));
  assert.ok(texts.length > 5);
  for (const text of texts) assert.deepEqual(decodeText(JSON.stringify(text)), text);
  const of = (type) => texts.find((text) => text.type === type);
  const captions = new Captions();
  captions.startRun();
  const { lang, stable, unstable } = of("caption");
  const row = captions.apply(of("caption"));
  assert.deepEqual([row.texts.get(lang).stable, row.texts.get(lang).unstable], [stable, unstable]);
  assert.equal(typeof of("speech").sample_rate_hz, "number");
  const { texts: shown } = figuresOf(of("latency"));
  assert.equal("laal" in shown, of("latency").laal_ms !== null);
  const full = texts.find((text) => text.type === "error" && text.code === 1013);
  const { title, text } = connectionTrouble({ error: full, code: full.code });
  assert.deepEqual([title, text], ["The server is full", "All 4 places are taken. Try again in 5 s."]);
});
