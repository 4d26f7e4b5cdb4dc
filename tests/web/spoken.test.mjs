import assert from "node:assert/strict";
import test from "node:test";
import { Captions, findLetter } from "../../web/captions.js";
import { Spoken, letters, wordAt } from "../../web/spoken.js";

test("only letters and digits count, so punctuation cannot lead astray", () => {
  assert.equal(letters("„Straße 7“, — ja!"), "Straße7ja".length);
  assert.equal(letters(""), 0);
});

test("a letter's word is found with the punctuation that it carries", () => {
  const text = "Sie sagt: „Ja“, oder?";
  const words = [...Array(letters(text)).keys()].map((n) => text.slice(...wordAt(text, n)));
  assert.deepEqual([...new Set(words)], ["Sie", "sagt:", "„Ja“,", "oder?"]);
  assert.equal(wordAt(text, letters(text)), null);
});

test("the word that is heard moves on with the speech that is gone", () => {
  const captions = new Captions();
  captions.startRun();
  captions.apply({ lang: "de", segment: 0, stable: "Guten Morgen.", final: true });
  captions.apply({ lang: "de", segment: 1, stable: "Wie geht es", unstable: "Ihnen" });
  const spoken = new Spoken();
  spoken.add("Guten Morgen.", 1100);
  spoken.add("", 300);
  spoken.add("Wie geht", 700);
  const heard = [0, 50, 600, 1050, 1200, 1450, 1800, 2100].map((goneMs) => {
    const letter = spoken.letterAt(goneMs);
    const found = letter === null ? null : findLetter(captions.rows, captions.run, "de", letter);
    return found && found.row.texts.get("de").stable.slice(...found.range);
  });
  assert.deepEqual(heard, [null, "Guten", "Morgen.", "Morgen.", null, "Wie", "geht", null]);
});

test("when captions were cleared or the voice was switched off nothing wrong is marked", () => {
  const spoken = new Spoken();
  spoken.add("Ja.", 500);
  spoken.forget();
  spoken.add("Nein.", 500);
  assert.equal(spoken.letterAt(100), null);
  spoken.startRun();
  spoken.add("Doch.", 500);
  assert.equal(spoken.letterAt(1001), 0);
});

test("a new connection starts with its own first word while the player's clock goes on", () => {
  const captions = new Captions();
  const spoken = new Spoken();
  captions.startRun();
  captions.apply({ lang: "de", segment: 0, stable: "Alt." });
  spoken.add("Alt.", 500);
  captions.startRun();
  spoken.startRun();
  captions.apply({ lang: "de", segment: 0, stable: "Neu." });
  spoken.add("Neu.", 500);
  assert.equal(spoken.letterAt(400), null);
  const { row, range } = findLetter(captions.rows, captions.run, "de", spoken.letterAt(600));
  assert.equal(row.texts.get("de").stable.slice(...range), "Neu.");
});
