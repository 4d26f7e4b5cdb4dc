/** What the page remembers: choices for this browser, the transcript and the API key for this tab until it is closed. */

const PREFIX = "streamst.";
const ROWS = "rows";
const SAVE_EVERY_MS = 2000;

/** One of the browser's two storages; one that it denies (cookies switched off) remembers nothing. */
class Memory {
  constructor(name) {
    try {
      this.storage = globalThis[name];
    } catch {
      this.storage = null;
    }
  }

  recall(key, otherwise = null) {
    return this.storage?.getItem(PREFIX + key) ?? otherwise;
  }

  /** Whether there was room for it. */
  remember(key, value) {
    try {
      this.storage?.setItem(PREFIX + key, value);
      return true;
    } catch {
      return false;
    }
  }

  forget(key) {
    this.storage?.removeItem(PREFIX + key);
  }
}

export const browser = new Memory("localStorage");
export const tab = new Memory("sessionStorage");

/** Keeps captions over a reload of the page; where there is no room for all of them, the newest. */
export class Keeper {
  constructor(captions, memory = tab) {
    this.captions = captions;
    this.memory = memory;
    this.timer = null;
  }

  /** What was kept goes into the captions; whether there was something. */
  restore() {
    try {
      return this.captions.restore(JSON.parse(this.memory.recall(ROWS)));
    } catch {
      return false; // it was written by another version of this page
    }
  }

  /** The captions have changed. */
  changed() {
    this.timer ??= setTimeout(() => this.save(), SAVE_EVERY_MS);
  }

  save() {
    clearTimeout(this.timer);
    this.timer = null;
    if (this.captions.empty) {
      this.memory.forget(ROWS);
      return;
    }
    let { rows } = this.captions;
    while (rows.length > 0 && !this.memory.remember(ROWS, JSON.stringify(this.captions.snapshot(rows)))) {
      rows = rows.slice(Math.ceil(rows.length / 2));
    }
  }
}
