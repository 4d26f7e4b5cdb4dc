/** The page: its parts, put together, and what its controls do. */

import { Sound, missing } from "./audio.js";
import { Captions } from "./captions.js";
import { Choices } from "./choices.js";
import { Files } from "./files.js";
import { Gate } from "./gate.js";
import { Glossary } from "./glossary.js";
import { Keeper, browser, tab } from "./memory.js";
import { LevelMeter, markSpoken, showQueue } from "./meter.js";
import { hide, hideTrouble, showTrouble } from "./notices.js";
import { partsOf } from "./offer.js";
import { EchoWatch, More } from "./more.js";
import { Recording } from "./recording.js";
import { say, sayAll, speakUi, uiLanguageFor } from "./say.js";
import { Search } from "./search.js";
import { Share } from "./share.js";
import { Sources } from "./sources.js";
import { Spoken } from "./spoken.js";
import { Subtitles } from "./subtitles.js";
import { GATED, STATES, Talk } from "./talk.js";
import { initTheme } from "./theme.js";
import * as troubles from "./troubles.js";
import { CaptionsView } from "./view.js";
import { Waves } from "./waves.js";

const INFO = "v1/info";
const STARTS = { microphone: "Start talking", tab: "Share sound", file: "Play the file" };
const ONE_AT_A_TIME = "streamst.talk"; // name of the lock that a talk of this browser holds

const $ = (id) => document.getElementById(id);

speakUi(browser.recall("ui") || uiLanguageFor(navigator.languages ?? [navigator.language]));
sayAll();

const captions = new Captions();
const choices = new Choices(chosen);
const recording = new Recording();
const files = new Files(captions, choices, recording, clear);
const keeper = new Keeper(captions);
const share = new Share(() => {
  choices.room = true;
  talk.configure();
});
const spoken = new Spoken();
const waves = new Waves($("waves"));
const meter = new LevelMeter($("level"));
const gate = new Gate();
const search = new Search($("captions"));
const subtitles = new Subtitles();
const sources = new Sources($("input"), $("input-file"), pickedSource);
const glossary = new Glossary(() => {
  choices.terms = glossary.terms;
  talk.configure();
});
const view = new CaptionsView({
  scroller: $("scroller"), list: $("captions"), welcome: $("welcome"), latest: $("latest"), announce: $("announce"), pair: () => choices,
});
const sound = new Sound({
  onCapture: (pcm) => talk.hear(pcm),
  onInput: (level, atMs) => {
    talk.measure(level);
    waves.hear(level);
    meter.show(level);
    echo.heard(level, atMs);
  },
  onPlayback: (report) => {
    talk.playbackMs = report.bufferedMs;
    waves.speak(report.level);
    echo.played(report);
    showQueue(report);
    markSpoken(report, { captions, spoken, view, target: choices.target });
  },
  onLost: () => talk.stop(troubles.lostTrouble(talk.source)),
  onChange: () => talk.check(),
});
const talk = new Talk({ sound, captions, spoken, choices, sources, gate }, {
  onState: showState,
  onOffer: offered,
  onCaption: (row) => {
    view.update(row, captions.rows);
    files.update();
    keeper.changed();
    subtitles.show(captions.rows, choices.target);
    if ($("search").value) search.look(false);
  },
  onConfigured: (message) => glossary.configured(message),
  onSpeech: ({ samples, rateHz }, atMs) => {
    recording.add(samples, rateHz, recorded + atMs);
    files.update();
  },
  onRoom: (room) => share.told(room),
  onBegin: begun,
  onEnd: ended,
}, () => tab.recall("key", ""));
const echo = new EchoWatch({ talk, sound, gate });
let wakeLock = null;
let letGo = null; // of the lock of this browser's talks
let recorded = 0; // where the present talk stands in the recording [ms]

// --- a talk begins and ends

function begun() {
  echo.begin();
  recorded = recording.rateHz ? (recording.end * 1000) / recording.rateHz : 0;
  sources.look(); // devices have names now
  holdTalk();
  waves.start();
  showEchoHint();
  navigator.wakeLock?.request("screen").then(
    (lock) => (talk.state === "live" ? (wakeLock = lock) : lock.release()),
    () => {}, // a screen that dims is no trouble
  );
}

/** Tell who talks in two pages of this browser at once. */
function holdTalk() {
  navigator.locks?.request(ONE_AT_A_TIME, { ifAvailable: true }, (lock) => {
    if (lock === null) showTrouble(troubles.twiceTrouble());
    else return new Promise((resolve) => (letGo = resolve));
  });
}

function ended() {
  letGo?.();
  letGo = null;
  meter.rest();
  sound.hush(false);
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
  document.body.classList.toggle("deaf", state === "live" && ![STATES.live, GATED].includes(words));
  const told = say(words);
  if ($("state").textContent !== told) $("state").textContent = told;
  const running = !talk.idle;
  $("start-label").textContent = say(state === "ending" ? "Skip the rest" : running ? "Stop" : STARTS[sources.kind]);
  $("start-icon").setAttribute("href", running ? "#i-stop" : "#i-mic");
  if (running && document.activeElement === $("sample")) $("start").focus(); // which stops it
  $("sample").disabled = $("source").disabled = $("input").disabled = running;
}

/** Another source was chosen. */
function pickedSource() {
  showState(talk.state, STATES[talk.state]);
}

function start() {
  if (!talk.idle) talk.stop();
  else if (sources.kind === "file" && !sources.file) $("input-file").click();
  else talk.start(sources.kind);
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
  recording.clear();
  recorded = 0;
  search.look();
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
  else if (action === "unhush") echo.forgive();
  else talk.start();
}

$("start").addEventListener("click", start);
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

$("original").addEventListener("input", () => {
  browser.remember("original", $("original").value);
  sound.setOriginalVolume(choices.originalVolume);
});
$("float").addEventListener("click", async () => {
  await subtitles.toggle(document.title);
  subtitles.show(captions.rows, choices.target);
});
new More({ gate, talk, stage: $("stage"), start, languageChanged });

/** The page's own words are in another language from now on. */
function languageChanged() {
  sayAll();
  if (choices.offer) choices.offered(choices.offer);
  showState(talk.state, STATES[talk.state]);
  files.update();
  share.show();
  glossary.read();
  sources.look();
  search.show();
  dispatchEvent(new Event("languagechanged"));
}

initTheme($("theme"), $("theme-name"), {
  remember: (key, value) => browser.remember(key, value), recall: (key) => browser.recall(key), changed: () => waves.draw(),
});
sound.setVolume(choices.volume);
sound.setOriginalVolume(choices.originalVolume);
glossary.take();
await sources.look();
const lack = missing();
if (lack) showTrouble(lack === "secure context" ? troubles.insecureTrouble(location) : troubles.oldBrowserTrouble());
await askForOffer();
if (keeper.restore()) view.restore(captions.rows);
files.update();
