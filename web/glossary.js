/** The glossary's panel: terms typed, pasted or from a file, kept in the browser, and what the server makes of them. */

import { browser } from "./memory.js";
import { say } from "./say.js";
import { readTerms } from "./terms.js";

const SHOWN = 20; // of what cannot be used
const MOST_BYTES = 480_000; // what the server takes in one message, with some room for the rest of it

const $ = (id) => document.getElementById(id);

export class Glossary {
  /** `changed()`: other terms hold from now on. */
  constructor(changed) {
    this.changed = changed;
    this.terms = [];
    this.told = null; // what the server says of them
    $("terms-words").value = browser.recall("glossary", "");
    this.read();
    $("terms").addEventListener("click", () => $("terms-box").showModal());
    $("terms-close").addEventListener("click", () => $("terms-box").close());
    $("terms-box").addEventListener("close", () => this.take());
    $("terms-words").addEventListener("input", () => this.read());
    $("terms-open").addEventListener("click", () => $("terms-file").click());
    $("terms-file").addEventListener("change", () => this.open());
  }

  async open() {
    const [file] = $("terms-file").files;
    $("terms-file").value = "";
    if (!file) return;
    const before = $("terms-words").value.trimEnd();
    $("terms-words").value = (before && `${before}\n`) + (await file.text());
    this.read();
  }

  read() {
    const { terms, faults } = readTerms($("terms-words").value);
    this.typed = terms;
    this.tooMuch = new TextEncoder().encode(JSON.stringify(terms)).length > MOST_BYTES;
    this.faults = faults.map(({ line, text }) => say("line {0}, “{1}”: a term, and one translation at most", line, text));
    this.show();
  }

  /** The panel is closed: what stands in it holds. */
  take() {
    if (this.tooMuch) return;
    if (!browser.remember("glossary", $("terms-words").value)) this.faults.unshift(say("This browser has no room for it: it is forgotten when the page is closed."));
    if (JSON.stringify(this.typed) === JSON.stringify(this.terms)) return;
    this.terms = this.typed;
    this.told = null;
    this.show();
    this.changed();
  }

  /** A `configured` message. */
  configured({ glossary = null }) {
    this.told = glossary;
    this.show();
  }

  show() {
    const count = this.typed.length;
    const words = [say(count === 1 ? "One term." : "{0} terms.", count)];
    if (this.tooMuch) words.push(say("That is more than one message to the server may hold: it is not used."));
    if (this.told) words.push(say("The server uses {0}.", this.told.used));
    $("terms-state").textContent = words.join(" ");
    const reasons = (this.told?.reasons ?? []).map(({ source, reason }) => `${source}: ${reason}`);
    const all = [...this.faults, ...reasons];
    const hidden = this.faults.length + (this.told?.left_out ?? 0) - Math.min(SHOWN, all.length);
    const items = all.slice(0, SHOWN).map((text) => Object.assign(document.createElement("li"), { textContent: text }));
    if (hidden > 0) items.push(Object.assign(document.createElement("li"), { textContent: say("and {0} more", hidden) }));
    $("terms-faults").replaceChildren(...items);
    $("terms-not").hidden = items.length === 0;
    const used = this.told ? this.told.used : this.terms.length;
    $("terms-count").textContent = used ? String(used) : "";
  }
}
