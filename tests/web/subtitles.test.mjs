import assert from "node:assert/strict";
import test from "node:test";
import { Captions } from "../../web/captions.js";
import { characters } from "../../web/lines.js";
import { srtTime, toSrt, wrap } from "../../web/transcript.js";

function captionsOf(...captions) {
  const all = new Captions();
  all.startRun();
  for (const [lang, segment, stable, start_ms, end_ms, unstable = ""] of captions) {
    all.apply({ lang, segment, stable, unstable, start_ms, end_ms, final: true });
  }
  return all.rows;
}

/** SRT as a player reads it: [{ from, to, lines }], times in ms. */
function read(srt) {
  const ms = (time) => {
    const [, h, m, s, rest] = time.match(/^(\d\d+):(\d\d):(\d\d),(\d\d\d)$/).map(Number);
    return ((h * 60 + m) * 60 + s) * 1000 + rest;
  };
  return srt.split("\n\n").filter(Boolean).map((block, n) => {
    const [number, times, ...lines] = block.replace(/\n$/, "").split("\n");
    assert.equal(number, String(n + 1));
    const [from, to] = times.split(" --> ").map(ms);
    return { from, to, lines };
  });
}

const words = (text) => text.split(/[^\S\u00a0\u202f]+/).filter(Boolean);

function checkTimes(cues) {
  cues.forEach(({ from, to }, n) => {
    assert.ok(to > from, `cue ${n + 1} lasts ${to - from} ms`);
    if (n > 0) assert.ok(from >= cues[n - 1].to, `cue ${n + 1} begins at ${from}, the one before ends at ${cues[n - 1].to}`);
  });
}

/** Numbers that look random and are the same every time (mulberry32). */
function dice(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const two = [
  ["en", 0, "Good morning.", 500, 1500],
  ["de", 0, "Guten Morgen.", 500, 1500],
  ["en", 1, "How about that", 2000, 3250, "check?"],
  ["de", 1, "Wie wäre es", 2000, 3250, "mit"],
];

test("subtitles of one language have its text and times", () => {
  assert.equal(
    toSrt(captionsOf(...two), ["de"]),
    "1\n00:00:00,500 --> 00:00:01,500\nGuten Morgen.\n\n2\n00:00:02,000 --> 00:00:03,250\nWie wäre es mit\n",
  );
});

test("subtitles of both languages set one above the other", () => {
  assert.match(toSrt(captionsOf(...two), ["en", "de"]), /\nHow about that check\?\nWie wäre es mit\n/);
});

test("a sentence of two long lines in each language is one subtitle of four lines", () => {
  const en = "She broke her right wrist last weekend while she was playing football.";
  const de = "Sie hat sich am letzten Wochenende beim Fußball das Handgelenk gebrochen.";
  const [cue, ...rest] = read(toSrt(captionsOf(["en", 0, en, 0, 4000], ["de", 0, de, 0, 4000]), ["en", "de"]));
  assert.deepEqual(rest, []);
  assert.equal(cue.lines.length, 4);
  assert.equal(cue.lines.slice(0, 2).join(" "), en);
  assert.equal(cue.lines.slice(2).join(" "), de);
});

test("what does not fit into two lines of one of the languages becomes several subtitles in both", () => {
  const de = "Er hat sich beim Fußballspielen am Wochenende das rechte Handgelenk gebrochen."; // 78 letters, no two lines
  const cues = read(toSrt(captionsOf(["en", 0, "He broke his wrist.", 0, 4000], ["de", 0, de, 0, 4000]), ["en", "de"]));
  assert.equal(cues.length, 2);
  assert.equal(cues[0].from, 0);
  assert.equal(cues[1].to, 4000);
  assert.equal(cues[0].to, cues[1].from);
});

test("a long sentence becomes several subtitles that share its time and lose no word", () => {
  const said = Array.from({ length: 40 }, (_, n) => `word${n}`);
  const cues = read(toSrt(captionsOf(["de", 0, said.join(" "), 1000, 11_000]), ["de"]));
  assert.ok(cues.length > 2);
  assert.deepEqual(cues.flatMap(({ lines }) => lines.join(" ").split(" ")), said);
  for (const { lines } of cues) assert.ok(lines.length <= 2 && lines.every((line) => line.length <= 42));
  assert.equal(cues[0].from, 1000);
  assert.equal(cues.at(-1).to, 11_000);
  for (let n = 1; n < cues.length; n++) assert.equal(cues[n].from, cues[n - 1].to);
});

test("no two subtitles are shown at once", () => {
  const rows = captionsOf(["de", 0, "Ja.", 1000, 1100], ["de", 1, "Nein.", 1200, 1300]);
  assert.match(toSrt(rows, ["de"]), /00:00:01,000 --> 00:00:01,200\nJa\.\n\n2\n00:00:01,200 --> 00:00:01,900\nNein\./);
});

test("captions that overlap, go back or last no time have subtitles that do none of it", () => {
  const told = [[[0, 5000], [1000, 3000], [5000, 6000]], [[5000, 6000], [1000, 1000], [1000, 1001]], [[0, 0], [0, 0], [0, 0]]];
  for (const times of told) {
    for (const langs of [["de"], ["en", "de"]]) {
      const captions = times.flatMap(([start, end], n) => [["en", n, `Row ${n}.`, start, end], ["de", n, `Zeile ${n}.`, start, end]]);
      const cues = read(toSrt(captionsOf(...captions), langs));
      assert.equal(cues.length, 3);
      checkTimes(cues);
    }
  }
  const many = Array.from({ length: 60 }, (_, n) => `wort${n}`).join(" ");
  checkTimes(read(toSrt(captionsOf(["de", 0, many, 1000, 1001], ["de", 1, "Ende.", 1002, 1500]), ["de"])));
});

test("a blank line, an arrow or a control character in a text does not end its subtitle", () => {
  const rows = captionsOf(["en", 0, "one\n\ntwo\r\n\r\nthree", 0, 2000], ["de", 0, "eins --> zwei\u0085\u2028drei\u000b\u001e vier", 0, 2000]);
  assert.equal(toSrt(rows, ["en", "de"]), "1\n00:00:00,000 --> 00:00:02,000\none two three\neins → zwei drei vier\n");
});

test("a word longer than a line stands alone, and a number is not torn at its no-break space", () => {
  const long = "Donaudampfschifffahrtsgesellschaftskapitänsmütze";
  assert.deepEqual(wrap(`die ${long} ist`), ["die", long, "ist"]);
  assert.deepEqual(wrap(`${"x".repeat(38)} 10\u00a0000 Euro`), ["x".repeat(38), "10\u00a0000 Euro"]);
});

test("a script without blanks is cut between its words", () => {
  const text = "今日はとても良い天気ですから、みんなで近くの公園まで歩いて行って、木の下でお弁当を食べましょう。".repeat(3);
  const cues = read(toSrt(captionsOf(["ja", 0, text, 0, 9000]), ["ja"]));
  assert.ok(cues.length >= 2);
  for (const { lines } of cues) assert.ok(lines.length <= 2 && lines.every((line) => characters(line) <= 42));
  assert.equal(cues.flatMap(({ lines }) => lines).join(""), text);
});

test("whatever is said when, each subtitle has at most two lines of 42 a language, its own time, and no word is lost", () => {
  const random = dice(17);
  const upTo = (most) => Math.floor(random() * (most + 1));
  const text = () => Array.from({ length: 1 + upTo(40) }, () => "abcdefghijklmnopqrstuvwxyzäöüß".slice(0, 1 + upTo(random() < 0.05 ? 29 : 13))).join(random() < 0.1 ? "\n\n" : " ");
  for (let round = 0; round < 500; round++) {
    const captions = [];
    let at = 0;
    for (let segment = 0; segment < 1 + upTo(5); segment++) {
      at = Math.max(0, at + upTo(6000) - 1500);
      const end = at + (random() < 0.2 ? upTo(3) : upTo(9000));
      if (random() < 0.9) captions.push(["en", segment, text(), at, end]);
      if (random() < 0.9) captions.push(["de", segment, text(), at, end]);
    }
    const rows = captionsOf(...captions);
    for (const langs of [["en"], ["de"], ["en", "de"]]) {
      const cues = read(toSrt(rows, langs));
      checkTimes(cues);
      for (const { lines } of cues) {
        assert.ok(lines.length >= 1 && lines.length <= 2 * langs.length);
        assert.ok(lines.every((line) => line.trim() && line.length <= 42));
      }
      const said = rows.flatMap((row) => langs.flatMap((lang) => words(row.texts.get(lang)?.stable ?? "")));
      const shown = cues.flatMap(({ lines }) => words(lines.join(" ")));
      if (langs.length === 1) assert.deepEqual(shown, said);
      else assert.deepEqual(shown.sort(), said.sort());
    }
  }
});

test("times are written to the millisecond", () => {
  assert.equal(srtTime(3_723_004.4), "01:02:03,004");
  assert.equal(srtTime(-5), "00:00:00,000");
});
