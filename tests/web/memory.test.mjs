import assert from "node:assert/strict";
import test from "node:test";
import { Captions, textOf } from "../../web/captions.js";
import { Keeper } from "../../web/memory.js";

/** A storage with room for so many characters. */
function memory(room) {
  const kept = new Map();
  return {
    recall: (key, otherwise = null) => kept.get(key) ?? otherwise,
    remember: (key, value) => value.length <= room && Boolean(kept.set(key, value)),
    forget: (key) => kept.delete(key),
  };
}

function talk(sentences) {
  const captions = new Captions();
  captions.startRun();
  for (let segment = 0; segment < sentences; segment++) captions.apply({ lang: "en", segment, stable: `Sentence ${segment}.`, start_ms: segment * 1000, end_ms: segment * 1000 + 900 });
  return captions;
}

test("a transcript is kept and comes back, and is gone once it was cleared", () => {
  const storage = memory(1e6);
  const captions = talk(3);
  new Keeper(captions, storage).save();
  const again = new Captions();
  assert.equal(new Keeper(again, storage).restore(), true);
  assert.deepEqual(again.rows, captions.rows);
  captions.clear();
  new Keeper(captions, storage).save();
  assert.equal(new Keeper(new Captions(), storage).restore(), false);
});

test("where there is no room for all rows the newest are kept", () => {
  const storage = memory(2000);
  new Keeper(talk(100), storage).save();
  const again = new Captions();
  assert.equal(new Keeper(again, storage).restore(), true);
  assert.ok(again.rows.length > 2 && again.rows.length < 100);
  assert.equal(textOf(again.rows.at(-1), "en"), "Sentence 99.");
});

test("what another version of the page has kept is left alone", () => {
  for (const kept of ["", "{", "7", '{"rows":[]}', '[{"no":"texts"}]', "[null]"]) {
    const storage = memory(1e6);
    storage.remember("rows", kept);
    const captions = new Captions();
    assert.equal(new Keeper(captions, storage).restore(), false, kept);
    assert.deepEqual(captions.rows, []);
  }
});
