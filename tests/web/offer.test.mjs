import assert from "node:assert/strict";
import test from "node:test";
import { choicesOf, nameOf, ownNameOf, partsOf, speaks } from "../../web/offer.js";

test("languages have the names that people know, in their own language and in the page's", () => {
  assert.deepEqual(["en", "de", "fr", "pt-BR"].map((code) => nameOf(code)), ["English", "German", "French", "Brazilian Portuguese"]);
  assert.deepEqual(["en", "de", "fr", "ja"].map(ownNameOf), ["English", "Deutsch", "Français", "日本語"]);
  assert.equal(nameOf("a code that is none"), "a code that is none");
});

test("what is offered may be chosen, and what the server takes by itself holds where nobody chose", () => {
  const { sources, targets, latencies, policies } = choicesOf({
    source: "fr", targets: ["it", "es"], latencies: ["swift", "slow"], policies: ["wait-k"], defaults: { target: "es", latency: "slow" },
  });
  assert.deepEqual(sources, { values: ["fr"], usual: "fr" });
  assert.deepEqual(targets, { values: ["it", "es"], usual: "es" });
  assert.deepEqual(latencies, { values: ["swift", "slow"], usual: "slow" });
  assert.deepEqual(policies, { values: ["wait-k"], usual: "" });
  assert.equal(choicesOf({ source: "fr", targets: ["it"], defaults: {} }).targets.usual, "it");
});

test("a server without a voice says so", () => {
  assert.equal(speaks({ output: ["captions"] }), false);
  assert.equal(speaks({ output: ["captions", "audio"] }), true);
});

test("parts that are not the model's own are told, and nothing where all are", () => {
  const parts = { recogniser: "whisper", writer: "own", voice: "piper" };
  assert.equal(partsOf({ model: "en-de", parts }), "Model en-de · recogniser whisper · voice piper");
  assert.equal(partsOf({ model: "en-de", parts: { recogniser: "own", writer: "own", voice: "own" } }), "");
  assert.equal(partsOf({}), "");
});
