/** The listeners' page: what somebody says in a room, to read in big letters and, at the press of a button, to hear. */

import { Captions } from "./captions.js";
import { Coders, Downlink } from "./coders.js";
import { Dub } from "./dub.js";
import { RATES_BPS, firstCodec, usable } from "./ladder.js";
import { browser } from "./memory.js";
import { ownNameOf } from "./offer.js";
import { resizeLetters } from "./letters.js";
import { Room, roomFile, roomOf } from "./room.js";
import { speakUi } from "./say.js";
import { initTheme } from "./theme.js";
import { CaptionsView } from "./view.js";
import { wordsFor } from "./words.js";

const SHOWN = ["target", "both", "source"];
const FULL = [1013, 4429];

const $ = (id) => document.getElementById(id);

const words = wordsFor(navigator.languages ?? [navigator.language]);
speakUi(words.code);
const pair = { source: "en", target: "de" };
const captions = new Captions();
const dub = new Dub();
const view = new CaptionsView({
  scroller: $("scroller"), list: $("captions"), welcome: $("welcome"), latest: $("latest"), announce: $("announce"), pair: () => pair,
});
const here = roomOf(location);
const coders = new Coders(new URL("codec/", here.base).href, () => wishSound());
const downlink = new Downlink(coders);
let lock = null;
let ended = false;

function label() {
  document.documentElement.lang = words.code;
  for (const [id, text] of Object.entries({ waiting: words.waiting, latest: words.latest, file: words.file, "show-name": words.show })) {
    $(id).textContent = text;
  }
  for (const id of ["smaller", "larger"]) $(id).lastElementChild.textContent = words[id];
  $("scroller").setAttribute("aria-label", words.captions);
  $("letters").setAttribute("aria-label", words.letters);
  $("controls").setAttribute("aria-label", words.controls);
  showLanguages();
  showSound(false);
}

function showState(state) {
  document.body.dataset.state = { away: "connecting", over: "idle", refused: "failed" }[state] ?? state;
  if ($("state").textContent !== words[state]) $("state").textContent = words[state];
}

function tell(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = text === "";
}

function showLanguages() {
  const named = { target: `${words.target} (${ownNameOf(pair.target)})`, source: `${words.source} (${ownNameOf(pair.source)})`, both: words.both };
  $("show").replaceChildren(...SHOWN.map((name) => new Option(named[name], name)));
  $("show").value = document.body.dataset.show;
  $("file").href = roomFile(here, "captions.vtt", { lang: pair.target });
  $("file").download = `captions-${pair.target}.vtt`;
}

function showSound(on) {
  $("sound").setAttribute("aria-pressed", on);
  $("sound").textContent = on ? words.soundOff : words.soundOn;
}

async function keepAwake() {
  if (ended || document.hidden || lock) return;
  try {
    lock = await navigator.wakeLock?.request("screen");
    lock?.addEventListener("release", () => (lock = null));
  } catch {
    // a screen that dims is no trouble
  }
}

function resize(step) {
  resizeLetters(document.body, step);
  view.follow();
}

let room = null;
room = new Room(here, { captions: "both", audio: false }, {
  onWelcome: (offer) => {
    coders.offered = offer.codecs ?? ["pcm16"];
    const target = offer.defaults?.target ?? offer.targets?.[0] ?? pair.target;
    Object.assign(pair, { source: offer.source ?? pair.source, target });
    showLanguages();
    showState("live");
    tell("");
    keepAwake();
  },
  onCaption: (message) => {
    const row = captions.apply(message);
    if (row) view.update(row, captions.rows);
  },
  onSpeech: (speech) =>
    downlink.hear(speech, ({ samples, rateHz }) => {
      dub.play(samples, rateHz);
      $("sound").dataset.playedMs = Math.round(dub.playedMs);
      $("sound").dataset.codec = speech.codec;
    }),
  onJump: () => dub.silence(),
  onAway: ({ code }) => {
    showState("away");
    tell(FULL.includes(code) ? words.full : "");
  },
  onEnd: () => over("over", words.ended),
  onRefused: ({ code }) => (code === 4410 ? over("over", words.ended) : over("refused", words.noRoom)),
});

/** Speech comes in what the network takes, as far as this browser reads it. */
function wishSound() {
  if (!room || room.over || $("sound").getAttribute("aria-pressed") !== "true") return;
  const wanted = firstCodec(navigator.connection);
  if (wanted === "neural") coders.fetchNeural();
  const codec = usable(wanted, coders.usable);
  room.wish({ audio: true, codec, bitrate_bps: RATES_BPS[codec] ?? null });
}

function over(state, text) {
  ended = true;
  showState(state);
  tell(text);
  view.settle();
  lock?.release();
}

$("sound").addEventListener("click", async () => {
  const on = $("sound").getAttribute("aria-pressed") !== "true";
  if (on && !(await dub.open())) {
    tell(words.mute);
    return;
  }
  if (!on) dub.silence();
  showSound(on);
  if (on) wishSound();
  else room.wish({ audio: false });
});
$("smaller").addEventListener("click", () => resize(-1));
$("larger").addEventListener("click", () => resize(1));
$("show").addEventListener("change", () => {
  browser.remember("show", $("show").value);
  document.body.dataset.show = $("show").value;
  view.follow();
});
document.addEventListener("visibilitychange", () => {
  keepAwake();
  dub.wake();
});

document.body.dataset.show = SHOWN.includes(browser.recall("show")) ? browser.recall("show") : "target";
initTheme($("theme"), $("theme-name"), {
  remember: (key, value) => browser.remember(key, value), recall: (key) => browser.recall(key), changed: () => {},
});
label();
if ($("state").textContent === "") showState("connecting");
resize(0);
