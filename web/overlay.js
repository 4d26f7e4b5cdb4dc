/**
 * Subtitles of a room over a picture, for OBS, vMix and presentation software. In the address:
 *   lang=de       which language (the translation)
 *   lines=2       how many lines, 1 to 6
 *   size=48       of the letters [px], 8 to 400; or vh=6, in hundredths of the window's height
 *   bg=000000b3   behind the letters: hex digits, a colour's name or "none"; color=ffffff: the letters
 *   hide=8        seconds of silence after which nothing is shown; 0: never
 */

import { Captions, textOf } from "./captions.js";
import { Room, roomOf } from "./room.js";

const KEPT_ROWS = 4;

/** The wishes in the address, those that cannot be taken left out. Pure but for `CSS`. */
export function looks(search) {
  const query = new URLSearchParams(search);
  const number = (name, least, most, usual) => {
    const value = Number(query.get(name) ?? usual);
    return Number.isFinite(value) ? Math.max(least, Math.min(most, value)) : usual;
  };
  const colour = (name, usual) => {
    const given = query.get(name);
    if (given === "none") return "transparent";
    const value = /^[0-9a-f]{3,8}$/i.test(given ?? "") ? `#${given}` : given;
    return value && CSS.supports("color", value) ? value : usual;
  };
  return {
    lang: query.get("lang"),
    lines: Math.round(number("lines", 1, 6, 2)),
    size: query.has("vh") ? `${number("vh", 1, 50, 6)}vh` : `${number("size", 8, 400, 48)}px`,
    behind: colour("bg", "#000000b3"),
    ink: colour("color", "#ffffff"),
    hideMs: 1000 * number("hide", 0, 3600, 8),
  };
}

const wanted = looks(location.search);
const captions = new Captions();
const [frame, text] = [document.getElementById("window"), document.getElementById("text")];
let { lang } = wanted;
let hiding = null;

for (const name of ["size", "lines", "behind", "ink"]) document.documentElement.style.setProperty(`--${name}`, wanted[name]);

function show() {
  text.lang = lang;
  const said = captions.rows.slice(-KEPT_ROWS).map((row) => textOf(row, lang)).filter(Boolean).join(" ");
  if (text.textContent !== said) text.textContent = said;
  frame.hidden = said === "";
  clearTimeout(hiding);
  if (wanted.hideMs) hiding = setTimeout(() => (frame.hidden = true), wanted.hideMs);
}

new Room(roomOf(location), { captions: "both", audio: false }, {
  onWelcome: ({ defaults, targets }) => {
    lang ??= defaults?.target ?? targets?.[0];
    document.body.dataset.state = "live";
  },
  onCaption: (message) => {
    if (message.lang !== lang) return;
    captions.apply(message);
    captions.rows.splice(0, Math.max(0, captions.rows.length - KEPT_ROWS));
    show();
  },
  onAway: () => (document.body.dataset.state = "away"),
  onEnd: () => (document.body.dataset.state = "over"),
  onRefused: ({ code }) => {
    document.body.dataset.state = "refused";
    console.warn(`the room refuses (${code}); trying again`);
  },
}, { forEver: true });
