import assert from "node:assert/strict";
import test from "node:test";
import { slowTrouble } from "../../web/troubles.js";

test("a quick network is not blamed for a server that is slower than the speech", () => {
  assert.equal(slowTrouble(4.2, false).title, "The network or the server is slower than your speech");
  assert.equal(slowTrouble(4.2, true).title, "The server is slower than your speech");
  assert.match(slowTrouble(4.2, true, false).text, /^4 s of it are waiting.*Nothing is lost/);
  assert.match(slowTrouble(120, true, true).text, /^120 s of it are waiting.*what you say now is lost/);
});
