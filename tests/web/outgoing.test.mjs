import assert from "node:assert/strict";
import test from "node:test";
import { Allowance, Outgoing, Return } from "../../web/outgoing.js";

/** Everything that may go out now, sent. */
function sendAll(outgoing) {
  const messages = [];
  for (let item = outgoing.next(); item !== null; item = outgoing.next()) {
    outgoing.sent();
    messages.push(item.message);
  }
  return messages;
}

function talk(pieces) {
  const outgoing = new Outgoing();
  outgoing.put("config", "c0");
  for (let i = 0; i < pieces; i++) outgoing.put("audio", `a${i}`, 100);
  return outgoing;
}

test("what was sent and not heard is sent again, in its order", () => {
  const outgoing = talk(4);
  assert.deepEqual(sendAll(outgoing), ["c0", "a0", "a1", "a2", "a3"]);
  outgoing.heard(1);
  assert.equal(outgoing.items.length, 2);
  outgoing.put("config", "c1");
  outgoing.put("audio", "a4", 100);
  outgoing.put("end", "end");
  outgoing.resume({ next_sequence: 3, configs: 1, ended: false });
  assert.deepEqual(sendAll(outgoing), ["a3", "c1", "a4", "end"]);
  outgoing.resume({ next_sequence: 5, configs: 2, ended: true });
  assert.deepEqual(sendAll(outgoing), []);
});

test("what is heard and not kept is held, gives credit, and is said again to another server", () => {
  const outgoing = talk(6);
  outgoing.creditMs = 300;
  assert.deepEqual(sendAll(outgoing), ["c0", "a0", "a1", "a2"]);
  outgoing.heard(2, -1);
  assert.equal(outgoing.items.length, 7);
  assert.deepEqual(sendAll(outgoing), ["a3", "a4", "a5"]);
  outgoing.heard(4, 1);
  assert.deepEqual(outgoing.unheard.map(({ message }) => message), ["a5"]);
  assert.equal(outgoing.heldMs, 400);
  outgoing.resume({ next_sequence: 2, configs: 1, ended: false });
  assert.deepEqual(sendAll(outgoing), ["a2", "a3", "a4"]);
  outgoing.heard(4, undefined);
  assert.deepEqual(sendAll(outgoing), ["a5"]);
  assert.equal(outgoing.waitingMs, 0);
});

test("any cut and any loss: the server gets each message once and in order", () => {
  let seed = 1;
  const chance = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let round = 0; round < 200; round++) {
    const outgoing = new Outgoing();
    const got = []; // by the server
    const count = { config: 0, audio: 0, end: 0 };
    const wanted = [];
    for (let step = 0; step < 60; step++) {
      const kind = chance() < 0.2 ? "config" : "audio";
      outgoing.put(kind, `${kind}${step}`, kind === "audio" ? 10 : 0);
      wanted.push(`${kind}${step}`);
      for (let item = outgoing.next(); item !== null && chance() < 0.9; item = outgoing.next()) {
        outgoing.sent();
        got.push(item.message);
        count[item.kind] += 1;
      }
      if (chance() < 0.3 && count.audio) outgoing.heard(count.audio - 1 - Math.floor(chance() * 2));
      if (chance() < 0.2) {
        const lost = Math.min(got.length, Math.floor(chance() * 4)); // on its way when the connection dropped
        const heardAudio = outgoing.items.length ? outgoing.items[0] : null;
        for (let i = 0; i < lost; i++) {
          const kindOf = got.at(-1).startsWith("config") ? "config" : "audio";
          if (heardAudio === null || !outgoing.items.some(({ message }) => message === got.at(-1))) break;
          got.pop();
          count[kindOf] -= 1;
        }
        outgoing.resume({ next_sequence: count.audio, configs: count.config, ended: false });
      }
    }
    outgoing.resume({ next_sequence: count.audio, configs: count.config, ended: false });
    got.push(...sendAll(outgoing));
    assert.deepEqual(got, wanted);
  }
});

test("no more goes out than there is credit for, and one message always", () => {
  const outgoing = talk(5);
  outgoing.creditMs = 250;
  assert.deepEqual(sendAll(outgoing), ["c0", "a0", "a1"]);
  assert.equal(outgoing.waitingMs, 300);
  outgoing.heard(0);
  assert.deepEqual(sendAll(outgoing), ["a2"]);
  outgoing.creditMs = 10;
  outgoing.heard(2);
  assert.deepEqual(sendAll(outgoing), ["a3"]);
});

test("after two minutes without a server nothing more is kept", () => {
  const outgoing = new Outgoing();
  let kept = 0;
  while (outgoing.put("audio", "piece", 1000)) kept += 1;
  assert.equal(kept, 150);
  assert.equal(outgoing.counts.audio, 150);
});

test("what was kept goes out no faster than the server allows", () => {
  const allowance = new Allowance({ speed: 2, burst_ms: 1000 });
  let nowMs = 0;
  let sentMs = 0;
  while (sentMs < 60_000) {
    const waitMs = allowance.wait(100, nowMs);
    nowMs += waitMs;
    if (waitMs === 0) sentMs += 100;
    assert.ok(sentMs <= 1000 + 2 * nowMs, `${sentMs} ms after ${nowMs} ms`);
  }
  assert.ok(nowMs < 33_000);
  assert.equal(new Allowance({ speed: 0 }).wait(1e9, 0), 0);
});

test("attempts to come back are spaced out; who comes too late for the session begins another; after two minutes there is no hope", () => {
  const back = new Return();
  back.welcomed({ resume_token: "t", park_ms: 60_000 });
  const pauses = [];
  let nowMs = 5000;
  for (let pauseMs = back.pause(nowMs, 1); pauseMs !== null; pauseMs = back.pause(nowMs, 1)) {
    assert.equal(back.token, nowMs < 65_000 ? "t" : null, `at ${nowMs} ms`);
    pauses.push(pauseMs);
    nowMs += pauseMs;
  }
  assert.deepEqual(pauses.slice(0, 7), [100, 100, 100, 100, 100, 125, 156.25]);
  assert.equal(pauses.at(-1), 3000);
  assert.ok(nowMs >= 125_000 && nowMs < 128_001);
  back.welcomed({ resume_token: "u", park_ms: 60_000 });
  assert.equal(back.pause(nowMs, 0), 50);
});
