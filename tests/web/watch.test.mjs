import assert from "node:assert/strict";
import test from "node:test";
import { deafTrouble } from "../../web/troubles.js";
import { Watch } from "../../web/watch.js";

const WELL = { running: true, muted: false };

function listening() {
  const watch = new Watch();
  watch.start(0);
  return watch;
}

test("while blocks with sound in them come all is well", () => {
  const watch = listening();
  for (let ms = 0; ms < 60_000; ms += 50) watch.heard(ms, ms < 100 ? 0.1 : 0);
  assert.equal(watch.lack(60_000, WELL), "");
});

test("a sound that is paused is told after three seconds, and no more once it is back", () => {
  const watch = listening();
  watch.heard(1000, 0.1);
  assert.equal(watch.lack(4000, { ...WELL, running: false }), "");
  assert.equal(watch.lack(4001, { ...WELL, running: false }), "asleep");
  assert.equal(watch.lack(4001, WELL), "stalled");
  watch.heard(5000, 0.1);
  assert.equal(watch.lack(5000, WELL), "");
});

test("a muted microphone is told at once, one that gives nothing but zeros after eight seconds", () => {
  const watch = listening();
  watch.heard(100, 0);
  assert.equal(watch.lack(100, { ...WELL, muted: true }), "muted");
  for (let ms = 0; ms <= 8050; ms += 50) watch.heard(ms, 0);
  assert.equal(watch.lack(8000, WELL), "");
  assert.equal(watch.lack(8050, WELL), "silent");
  watch.heard(8100, 0.001);
  assert.equal(watch.lack(8100, WELL), "");
});

test("each of them has its words", () => {
  for (const lack of ["asleep", "stalled", "muted", "silent"]) {
    const { title, text } = deafTrouble(lack);
    assert.ok(title && text);
  }
  assert.equal(deafTrouble("asleep").action, "wake");
});
