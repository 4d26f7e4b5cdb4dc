/** The boxes above the captions: what went wrong, with a way out of it, and the hint about headphones. */

import { say } from "./say.js";

const ACTIONS = { retry: "Try again", reconnect: "Reconnect", wake: "Listen again", key: "Use this key", unhush: "Speak again" };

const $ = (id) => document.getElementById(id);

/** Show a trouble { title, text, action } of troubles.js. */
export function showTrouble({ title, text, action }) {
  $("trouble-title").textContent = title;
  $("trouble-text").textContent = text;
  $("trouble").dataset.action = action ?? "";
  $("trouble-action").hidden = action === null;
  $("trouble-action").textContent = say(ACTIONS[action] ?? "");
  $("key").hidden = action !== "key";
  $("trouble").hidden = false;
}

export function hideTrouble() {
  hide($("trouble"));
}

/** Take a box away; who was in it with the keyboard goes on at the first control, not at the top of the page. */
export function hide(box) {
  if (box.contains(document.activeElement)) $("start").focus();
  box.hidden = true;
}

/** One standing condition at a time, told when it changes: who has closed its message is not told again. */
export class Condition {
  constructor() {
    this.kind = "";
  }

  /** The condition is `kind` now ("": all is well); `trouble()` tells of it. */
  set(kind, trouble) {
    if (kind === this.kind) return;
    this.kind = kind;
    if (kind) showTrouble(trouble());
    else hideTrouble();
  }
}
