/** The page: its parts, put together, and what its controls do. */

import { Sound, missing } from "./audio.js";
import { Captions } from "./captions.js";
import { Choices } from "./choices.js";
import { Files } from "./files.js";
import { Keeper, browser, tab } from "./memory.js";
import { markSpoken, showQueue } from "./meter.js";
import { hide, hideTrouble, showTrouble } from "./notices.js";
import { partsOf } from "./offer.js";
import { Share } from "./share.js";
import { Spoken } from "./spoken.js";
import { STATES, Talk } from "./talk.js";
import { initTheme } from "./theme.js";
import * as troubles from "./troubles.js";
import { CaptionsView } from "./view.js";
import { Waves } from "./waves.js";

const INFO = "v1/info";

const $ = (id) => document.getElementById(id);

const captions = new Captions();
const choices = new Choices(chosen);
const files = new Files(captions, choices, clear);
const keeper = new Keeper(captions);
const share = new Share(() => {
  choices.room = true;
  talk.configure();
});
const spoken = new Spoken();
const waves = new Waves($("waves"));
const view = new CaptionsView({
  scroller: $("scroller"), list: $("captions"), welcome: $("welcome"), latest: $("latest"), announce: $("announce"), pair: () => choices,
});
const sound = new Sound({
  onCapture: (pcm) => talk.hear(pcm),
  onInput: (level) => {
    talk.measure(level);
    waves.hear(level);
  },
  onPlayback: (report) => {
    talk.playbackMs = report.bufferedMs;
    waves.speak(report.level);
    showQueue(report);
    markSpoken(report, { captions, spoken, view, target: choices.target });
  },
  onLost: () => talk.stop(troubles.unpluggedTrouble()),
  onChange: () => talk.check(),
});
const talk = new Talk({ sound, captions, spoken, choices }, {
  onState: showState,
  onOffer: offered,
  onCaption: (row) => {
    view.update(row, captions.rows);
    files.update();
    keeper.changed();
  },
  onRoom: (room) => share.told(room),
  onBegin: begun,
  onEnd: ended,
}, () => tab.recall("key", ""));
let wakeLock = null;

// --- a talk begins and ends

function begun() {
  waves.start();
  showEchoHint();
  navigator.wakeLock?.request("screen").then(
    (lock) => (talk.state === "live" ? (wakeLock = lock) : lock.release()),
    () => {}, // a screen that dims is no trouble
  );
}

function ended() {
  wakeLock?.release();
  wakeLock = null;
  view.settle();
  waves.rest();
  keeper.save();
  share.ended();
  hide($("echo"));
}

function showState(state, words) {
  document.body.dataset.state = state;
  document.body.classList.toggle("away", Boolean(talk.connection?.away));
  document.body.classList.toggle("deaf", state === "live" && words !== STATES.live);
  if ($("state").textContent !== words) $("state").textContent = words;
  const running = !talk.idle;
  $("start-label").textContent = state === "ending" ? "Skip the rest" : running ? "Stop" : "Start talking";
  $("start-icon").setAttribute("href", running ? "#i-stop" : "#i-mic");
  if (running && document.activeElement === $("sample")) $("start").focus(); // which stops it
  $("sample").disabled = $("source").disabled = running;
}

// --- what the server offers, and what is chosen of it

function offered(offer) {
  choices.offered(offer);
  $("parts").textContent = partsOf(offer);
  $("parts").hidden = !partsOf(offer);
  files.update();
}

async function askForOffer() {
  try {
    const response = await fetch(INFO);
    if (response.ok) offered(await response.json());
  } catch {
    // without a server there is nothing to choose; its welcome tells the same
  }
}

function chosen() {
  talk.configure();
  files.update();
}

function showEchoHint() {
  $("echo").hidden = talk.source !== "microphone" || !choices.speech || browser.recall("headphones") === "yes";
}

function clear() {
  captions.clear();
  view.clear();
  spoken.forget();
  files.update();
  keeper.save();
}

// --- what the controls do

function act() {
  const { action } = $("trouble").dataset;
  if (action === "key") tab.remember("key", $("key-words").value.trim());
  $("key-words").value = "";
  if (action === "wake") sound.wake();
  else talk.start();
}

$("start").addEventListener("click", () => (talk.idle ? talk.start("microphone") : talk.stop()));
$("sample").addEventListener("click", () => talk.start("sample"));
$("trouble-action").addEventListener("click", act);
$("key-words").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault(); // else the button that gets the keyboard next is pressed as well
  act();
});
$("trouble-close").addEventListener("click", hideTrouble);
document.addEventListener("visibilitychange", () => (document.hidden ? keeper.save() : sound.wake()));
addEventListener("pagehide", () => keeper.save());
$("echo-close").addEventListener("click", () => {
  browser.remember("headphones", "yes");
  hide($("echo"));
});
$("tune").addEventListener("click", () => {
  const open = $("tune").getAttribute("aria-expanded") !== "true";
  $("tune").setAttribute("aria-expanded", open);
});
$("speech").addEventListener("change", () => {
  browser.remember("speech", $("speech").checked);
  if (!$("speech").checked) sound.silence();
  spoken.forget();
  $("volume").disabled = !$("speech").checked;
  talk.configure();
  if (talk.state === "live") showEchoHint();
});
$("volume").addEventListener("input", () => {
  browser.remember("volume", $("volume").value);
  sound.setVolume(choices.volume);
});

initTheme($("theme"), $("theme-name"), {
  remember: (key, value) => browser.remember(key, value), recall: (key) => browser.recall(key), changed: () => waves.draw(),
});
sound.setVolume(choices.volume);
const lack = missing();
if (lack) showTrouble(lack === "secure context" ? troubles.insecureTrouble(location) : troubles.oldBrowserTrouble());
await askForOffer();
if (keeper.restore()) view.restore(captions.rows);
files.update();
