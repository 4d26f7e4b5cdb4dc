import assert from "node:assert/strict";
import test from "node:test";
import { Captions, isEmpty, joinText, languagesIn, textOf } from "../../web/captions.js";
import { clock, srtTime, toText } from "../../web/transcript.js";

function caption(lang, segment, revision, stable, unstable = "", start_ms = 0, end_ms = 1000, final = false) {
  return { type: "caption", lang, segment, revision, stable, unstable, start_ms, end_ms, final };
}

function twoSentences() {
  const captions = new Captions();
  captions.startRun();
  captions.apply(caption("en", 0, 0, "Good morning.", "", 500, 1500, true));
  captions.apply(caption("de", 0, 0, "Guten Morgen.", "", 500, 1500, true));
  captions.apply(caption("en", 1, 0, "How about that", "check?", 2000, 3250));
  captions.apply(caption("de", 1, 0, "Wie wäre es", "mit", 2000, 3250));
  return captions;
}

test("the two languages of a segment share a row and rows stand in the order of speech", () => {
  const captions = new Captions();
  captions.startRun();
  captions.apply(caption("en", 1, 0, "second", "", 2000, 3000));
  captions.apply(caption("de", 0, 0, "erster", "", 0, 1000));
  captions.apply(caption("en", 0, 0, "first", "", 0, 1000));
  assert.deepEqual(captions.rows.map((row) => [row.segment, textOf(row, "en"), textOf(row, "de")]), [
    [0, "first", "erster"],
    [1, "second", ""],
  ]);
});

test("an older revision does not undo a newer one", () => {
  const captions = new Captions();
  captions.startRun();
  assert.ok(captions.apply(caption("de", 0, 4, "Das ist")));
  assert.equal(captions.apply(caption("de", 0, 3, "Das")), null);
  assert.equal(textOf(captions.rows[0], "de"), "Das ist");
});

test("a second connection goes on below the first, later in time", () => {
  const captions = twoSentences();
  captions.startRun();
  const row = captions.apply(caption("en", 0, 0, "Here again.", "", 100, 900));
  assert.equal(captions.rows.indexOf(row), 2);
  assert.equal(row.startMs, 3250 + 1000 + 100);
  assert.equal(textOf(captions.rows[0], "en"), "Good morning.");
});

test("a row whose words were taken back is empty, and rows without words leave nothing to save", () => {
  const captions = new Captions();
  captions.startRun();
  const row = captions.apply(caption("en", 0, 0, "", "um", 15_000, 15_400));
  assert.equal(isEmpty(row), false);
  assert.equal(captions.empty, false);
  captions.apply(caption("en", 0, 1, "", "", 15_000, 16_800, true));
  assert.equal(isEmpty(row), true);
  assert.equal(captions.empty, true);
  captions.startRun();
  assert.equal(captions.apply(caption("en", 0, 0, "Here again.")).startMs, 17_800);
});

test("stable and unstable text have exactly one space between them", () => {
  assert.equal(joinText("a", "b"), "a b");
  assert.equal(joinText("a ", "b"), "a b");
  assert.equal(joinText("a", " b"), "a b");
  assert.equal(joinText("", "b"), "b");
  assert.equal(joinText("a", ""), "a");
});

test("times are written as subtitles and as people write them", () => {
  assert.equal(srtTime(3_723_004.4), "01:02:03,004");
  assert.equal(srtTime(-5), "00:00:00,000");
  assert.equal(clock(3_723_004), "1:02:03");
  assert.equal(clock(65_900), "1:05");
});

test("the plain text has both languages, with the time", () => {
  assert.equal(
    toText(twoSentences().rows, ["en", "de"]),
    "[0:00]\nen: Good morning.\nde: Guten Morgen.\n\n[0:02]\nen: How about that check?\nde: Wie wäre es mit\n",
  );
});

test("another session of the same talk goes on at its own time, and another talk after a pause", () => {
  const captions = twoSentences();
  captions.startRun(12_000);
  assert.equal(captions.apply(caption("en", 0, 0, "Still here.", "", 100, 900)).startMs, 12_100);
  captions.startRun();
  assert.equal(captions.apply(caption("en", 0, 0, "And again.", "", 100, 900)).startMs, 12_900 + 1000 + 100);
  captions.startRun(5000);
  assert.equal(captions.apply(caption("en", 0, 0, "More.", "", 100, 900)).startMs, 13_900 + 5000 + 100);
});

test("what was kept over a reload is what was there, and what is said next follows it", () => {
  const before = twoSentences();
  const after = new Captions();
  assert.equal(after.restore(JSON.parse(JSON.stringify(before.snapshot()))), true);
  assert.deepEqual(after.rows, before.rows);
  after.startRun();
  const row = after.apply(caption("en", 0, 0, "Here again."));
  assert.deepEqual([row.run, row.startMs], [2, 3250 + 1000]);
  assert.equal(after.restore(before.snapshot()), false, "nothing that is there is replaced");
  assert.equal(new Captions().restore(null), false);
});

test("the languages of a transcript are those that have words", () => {
  const captions = twoSentences();
  captions.apply(caption("fr", 1, 0, "", "", 2000, 3250));
  assert.deepEqual(languagesIn(captions.rows), ["en", "de"]);
});
