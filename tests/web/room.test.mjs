import assert from "node:assert/strict";
import test from "node:test";

import { roomFile, roomOf, roomUrl } from "../../web/room.js";
import { listening } from "../../web/share.js";
import { wordsFor } from "../../web/words.js";

test("a room is read from the page's address, wherever the service lives", () => {
  assert.deepEqual(roomOf({ href: "http://h:1/listen/ab12#tok-en_1" }), { id: "ab12", token: "tok-en_1", base: "http://h:1/" });
  assert.deepEqual(roomOf({ href: "https://h/de/overlay/ab?lang=de&lines=2#t" }), { id: "ab", token: "t", base: "https://h/de/" });
  assert.deepEqual(roomOf({ href: "https://h/listen/ab?token=t" }), { id: "ab", token: "t", base: "https://h/" });
});

test("wishes and the last event stand in the websocket's address, and the token does not", () => {
  const room = { id: "ab", token: "t", base: "https://h/de/" };
  assert.equal(roomUrl(room, { captions: "both", audio: true }), "wss://h/de/v1/rooms/ab/stream?captions=both&audio=1");
  assert.equal(roomUrl(room, { captions: "target" }, 17), "wss://h/de/v1/rooms/ab/stream?captions=target&after=17");
  assert.equal(roomFile(room, "captions.vtt", { lang: "de" }), "https://h/de/v1/rooms/ab/captions.vtt?lang=de&token=t");
});

test("who listens is told in words", () => {
  assert.equal(listening({ listeners: 0, lag_p95_ms: null }), "nobody listens yet");
  assert.equal(listening({ listeners: 1, lag_p95_ms: null }), "1 listens");
  assert.equal(listening({ listeners: 12, lag_p95_ms: 3.4 }), "12 listen, 3 ms behind");
  assert.equal(listening({ listeners: 2, lag_p95_ms: 2345 }), "2 listen, 2.3 s behind");
});

test("the listeners' page speaks German to Germans and English to all others", () => {
  assert.equal(wordsFor(["de-AT", "en"]).code, "de");
  assert.equal(wordsFor(["fr", "sv"]).code, "en");
  assert.deepEqual(Object.keys(wordsFor(["de"])), Object.keys(wordsFor(["en"])));
});
