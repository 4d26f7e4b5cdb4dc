/** Captions on the screen: one list item a row, both languages in it. Text reaches the page through textContent only. */

import { isEmpty, textOf } from "./captions.js";
import { clock } from "./transcript.js";

const LANGS = ["en", "de"];
const NEAR_END_PX = 60; // who has scrolled further up than this is reading, and is left alone

function element(name, className) {
  const made = document.createElement(name);
  made.className = className;
  return made;
}

export class CaptionsView {
  constructor({ scroller, list, welcome, latest, announce }) {
    Object.assign(this, { scroller, list, welcome, latest, announce });
    this.items = new Map(); // row -> its elements
    this.live = null;
    this.following = true;
    scroller.addEventListener("scroll", () => {
      this.following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END_PX;
      if (this.following) latest.hidden = true;
    });
    latest.addEventListener("click", () => this.follow());
  }

  /** Show `row` of `rows` as it is now; one without words is not to be seen. */
  update(row, rows) {
    let item = this.items.get(row);
    if (!item) {
      if (isEmpty(row)) return;
      this.welcome.hidden = true;
      item = this.make(row);
      this.items.set(row, item);
      const after = rows.slice(rows.indexOf(row) + 1).find((other) => this.items.has(other));
      this.list.insertBefore(item.box, after ? this.items.get(after).box : null);
    }
    item.box.hidden = isEmpty(row);
    for (const lang of LANGS) {
      const text = row.texts.get(lang);
      const { stable, unstable, cell } = item[lang];
      const gap = text?.stable && text.unstable && !/\s$/.test(text.stable) && !/^\s/.test(text.unstable) ? " " : "";
      setText(stable, (text?.stable ?? "") + gap);
      setText(unstable, text?.unstable ?? "");
      cell.classList.toggle("waiting", lang === "de" && textOf(row, lang) === "" && textOf(row, "en") !== "" && !text?.final);
    }
    if (row === rows.at(-1) && this.live !== item && !item.box.hidden) {
      this.live?.box.classList.remove("live");
      item.box.classList.add("live");
      this.live = item;
    }
    const german = row.texts.get("de");
    if (german?.final && !item.announced) {
      item.announced = true;
      this.announce.textContent = textOf(row, "de");
    }
    if (this.following) this.follow();
    else this.latest.hidden = false;
  }

  make(row) {
    const box = element("li", row.segment === 0 ? "first-of-run" : "");
    const time = element("time", "");
    time.textContent = clock(row.startMs);
    box.append(time);
    const item = { box, announced: false };
    for (const lang of LANGS) {
      const cell = element("p", lang);
      cell.lang = lang;
      const stable = element("span", "stable");
      const unstable = element("span", "unstable");
      cell.append(stable, unstable);
      box.append(cell);
      item[lang] = { cell, stable, unstable };
    }
    return item;
  }

  /** Mark the word that is heard: `range` in the stable German text of `row`; null marks nothing. */
  mark(row, range) {
    if (!globalThis.CSS?.highlights) return; // older browsers go without
    const text = row && this.items.get(row)?.de.stable.firstChild;
    if (!text || !range || range[1] > text.length) {
      CSS.highlights.delete("spoken");
      return;
    }
    const marked = new Range();
    marked.setStart(text, range[0]);
    marked.setEnd(text, range[1]);
    CSS.highlights.set("spoken", new Highlight(marked));
  }

  /** The stream is over: nothing is being said or waited for any more. */
  settle() {
    for (const cell of this.list.querySelectorAll(".waiting")) cell.classList.remove("waiting");
    this.live?.box.classList.remove("live");
    this.live = null;
    if (this.following) this.follow();
  }

  follow() {
    this.following = true;
    this.latest.hidden = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  clear() {
    this.list.replaceChildren();
    this.items.clear();
    this.live = null;
    this.welcome.hidden = false;
    this.follow();
  }
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
