/** Captions on the screen: one list item a row, both languages in it. Text reaches the page through textContent only. */

import { isEmpty, textOf } from "./captions.js";
import { clock } from "./transcript.js";

const ROLES = ["source", "target"];
const NEAR_END_PX = 60; // who has scrolled further up than this is reading, and is left alone

function element(name, className) {
  const made = document.createElement(name);
  made.className = className;
  return made;
}

export class CaptionsView {
  /** `pair()`: { source, target }, the languages that are shown where a row does not tell by itself. */
  constructor({ scroller, list, welcome, latest, announce, pair }) {
    Object.assign(this, { scroller, list, welcome, latest, announce, pair });
    this.items = new Map(); // row -> its elements
    this.live = null;
    this.following = true;
    scroller.addEventListener("scroll", () => {
      this.following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END_PX;
      if (this.following) latest.hidden = true;
    });
    latest.addEventListener("click", () => this.follow());
    new ResizeObserver(() => this.following && this.follow()).observe(scroller);
  }

  /** Show `row` of `rows` as it is now; one without words is not to be seen. */
  update(row, rows) {
    let item = this.items.get(row);
    if (!item) {
      if (isEmpty(row)) return;
      this.welcome.hidden = true;
      item = this.make(row, rows);
      this.items.set(row, item);
      const after = rows.slice(rows.indexOf(row) + 1).find((other) => this.items.has(other));
      this.list.insertBefore(item.box, after ? this.items.get(after).box : null);
    }
    item.box.hidden = isEmpty(row);
    const langs = this.langsOf(row);
    const waits = textOf(row, langs.target) === "" && textOf(row, langs.source) !== "" && !row.texts.get(langs.target)?.final;
    for (const role of ROLES) {
      const text = row.texts.get(langs[role]);
      const { stable, unstable, cell } = item[role];
      cell.lang = langs[role];
      const gap = text?.stable && text.unstable && !/\s$/.test(text.stable) && !/^\s/.test(text.unstable) ? " " : "";
      setText(stable, (text?.stable ?? "") + gap);
      setText(unstable, text?.unstable ?? "");
      cell.classList.toggle("waiting", role === "target" && waits);
    }
    if (row === rows.at(-1) && this.live !== item && !item.box.hidden) {
      this.live?.box.classList.remove("live");
      item.box.classList.add("live");
      this.live = item;
    }
    if (row.texts.get(langs.target)?.final && !item.announced) {
      item.announced = true;
      this.announce.textContent = textOf(row, langs.target);
    }
    if (this.following) this.follow();
    else this.latest.hidden = false;
  }

  /** Show rows that were said before the page was loaded. */
  restore(rows) {
    for (const row of rows) this.update(row, rows);
    this.announce.textContent = ""; // nobody wants to hear all of them again
    this.settle();
  }

  /** The languages of a row: those of the pair, unless it was said when another pair was chosen. */
  langsOf(row) {
    const pair = this.pair();
    const langs = [...row.texts.keys()];
    const source = langs.length < 2 || langs.includes(pair.source) ? pair.source : langs[0];
    return { source, target: langs.filter((lang) => lang !== source).at(-1) ?? pair.target };
  }

  make(row, rows) {
    const before = rows[rows.indexOf(row) - 1];
    const box = element("li", before?.run === row.run ? "" : "first-of-run");
    const time = element("time", "");
    time.textContent = clock(row.startMs);
    box.append(time);
    const item = { box, announced: false };
    const langs = this.langsOf(row);
    for (const role of ROLES) {
      const cell = element("p", `${role} ${langs[role]}`);
      const stable = element("span", "stable");
      const unstable = element("span", "unstable");
      cell.append(stable, unstable);
      box.append(cell);
      item[role] = { cell, stable, unstable };
    }
    return item;
  }

  /** Mark the word that is heard: `range` in the stable text of `row` in `lang`; without a row nothing is marked. */
  mark(row, lang, range) {
    if (!globalThis.CSS?.highlights) return; // older browsers go without
    const item = row && this.items.get(row);
    const text = item?.target.cell.lang === lang ? item.target.stable.firstChild : null;
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
