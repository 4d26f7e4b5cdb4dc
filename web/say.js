/**
 * The page's own words in the language of who reads them. English is written where it is said; `german.js` has the rest.
 * `{0}`, `{1}` stand for values.
 */

import { GERMAN } from "./german.js";

export const UI_LANGUAGES = ["en", "de"];

const ATTRIBUTES = ["title", "aria-label", "placeholder", "alt"];
const PLACES = ATTRIBUTES.map((name) => `[${name}]`).join();
const LEFT_ALONE = "script, style, [data-role], #captions";

let language = "en";

/** The language that is spoken to the person: "en" or "de". */
export function uiLanguage() {
  return language;
}

/** The first of the wished languages that there are words in. Pure. */
export function uiLanguageFor(wished) {
  return wished.map((one) => one.slice(0, 2).toLowerCase()).find((one) => UI_LANGUAGES.includes(one)) ?? "en";
}

/** `english` in the person's language, values in their places. */
export function say(english, ...values) {
  const words = language === "de" ? (GERMAN[english] ?? english) : english;
  return words.replace(/\{(\d)\}/g, (_, n) => values[n]);
}

/** From now on words are in this language. */
export function speakUi(code) {
  language = UI_LANGUAGES.includes(code) ? code : "en";
}

const originals = new WeakMap(); // node or element -> what it says in English

/** Put the page's fixed words into the person's language; may be called again after a change of it. */
export function sayAll(root = document) {
  if (root === document) document.documentElement.lang = language;
  const walker = document.createTreeWalker(root.body ?? root, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) texts.push(walker.currentNode);
  for (const node of texts) {
    if (!originals.has(node)) {
      const words = node.data.trim();
      if (!(words in GERMAN) || node.parentElement?.closest(LEFT_ALONE)) continue;
      originals.set(node, { words, before: node.data.match(/^\s*/)[0], after: node.data.match(/\s*$/)[0] });
    }
    const { words, before, after } = originals.get(node);
    const shown = before + say(words) + after;
    if (node.data !== shown) node.data = shown;
  }
  for (const element of (root.body ?? root).querySelectorAll(PLACES)) {
    const known = originals.get(element) ?? {};
    for (const name of ATTRIBUTES) {
      known[name] ??= element.getAttribute(name);
      if (known[name] in GERMAN) element.setAttribute(name, say(known[name]));
    }
    originals.set(element, known);
  }
}
