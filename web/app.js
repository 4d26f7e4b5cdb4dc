/** The page: what the controls do, and what happens in which order. All else is in the modules. */

import { Sound, missing } from "./audio.js";
import { Captions, findLetter } from "./captions.js";
import { Connection, diagnose } from "./connection.js";
import { LATENCIES, streamUrl } from "./protocol.js";
import { figuresOf, seconds } from "./figures.js";
import { Spoken } from "./spoken.js";
import { initTheme } from "./theme.js";
import { toSrt, toText } from "./transcript.js";
import * as troubles from "./troubles.js";
import { CaptionsView } from "./view.js";
import { Waves } from "./waves.js";

const RATE_HZ = 16_000; // of the audio that goes to the server
const SAMPLE = "sample.flac";
const PING_MS = 1000;
const SLOW_UPLOAD_S = 3; // of audio that still waits here: beyond it the captions cannot keep up
const FULL_UPLOAD_S = 110; // what is lost since more cannot be kept is told until there is less
const STATES = { idle: "Ready", connecting: "Connecting…", live: "Listening", ending: "Finishing…", failed: "Disconnected" };
const HINTS = {
  minimal: "first words soonest, more mistakes",
  low: "quick",
  medium: "balanced",
  high: "careful",
  xhigh: "best wording, longest wait",
};

const $ = (id) => document.getElementById(id);
const remember = (key, value) => localStorage.setItem(`streamst.${key}`, value);
const recall = (key, otherwise) => localStorage.getItem(`streamst.${key}`) ?? otherwise;

const captions = new Captions();
const view = new CaptionsView({
  scroller: $("scroller"), list: $("captions"), welcome: $("welcome"), latest: $("latest"), announce: $("announce"),
});
const spoken = new Spoken();
const waves = new Waves($("waves"));
const sound = new Sound({
  onCapture: (pcm) => connection?.sendAudio(pcm),
  onInput: (level) => waves.hear(level),
  onPlayback: showPlayback,
  onLost: () => stop(troubles.unpluggedTrouble()),
});

let connection = null;
let state = "idle";
let source = "microphone"; // or "sample": what a retry starts again
let afterwards = null; // a trouble to show once the stream has ended properly
let latency = LATENCIES.includes(recall("latency")) ? recall("latency") : "medium";
let attempts = 0; // to start
let slow = ""; // what the person was told of audio that waits: "slow", "full" or nothing
let voiceOffered = true; // by the server
let playback = { bufferedMs: 0 };
let ticking = null;
let wakeLock = null;

// --- a stream's life

async function start(from) {
  if (state !== "idle" && state !== "failed") return;
  source = from;
  const lack = missing();
  if (lack) {
    showTrouble(lack === "secure context" ? troubles.insecureTrouble(location) : troubles.oldBrowserTrouble());
    return;
  }
  hideTrouble();
  sound.silence(); // what was left of another talk
  setState("connecting");
  attempts += 1;
  const attempt = attempts;
  const wanted = () => state === "connecting" && attempt === attempts; // not stopped while the browser asked
  try {
    await sound.open();
    if (source === "sample") await sound.openClip(SAMPLE, wanted, () => stop());
    else await sound.openMicrophone(wanted);
  } catch (error) {
    if (!wanted()) return;
    await sound.stopCapture();
    setState("failed", "Not started");
    showTrouble(source === "sample" ? troubles.sampleTrouble(error) : troubles.microphoneTrouble(error));
    return;
  }
  if (!wanted()) return;
  connection = new Connection(streamUrl(location), RATE_HZ, {
    onWelcome: begin,
    onMessage: receive,
    onSpeech: speak,
    onAway: away,
    onBack: back,
    onEnd: ended,
  });
}

function settings() {
  return {
    source: "en",
    target: "de",
    latency,
    output: $("speech").checked && voiceOffered ? ["captions", "audio"] : ["captions"],
    sample_rate_hz: RATE_HZ,
  };
}

function begin({ output }) {
  voiceOffered = output?.includes("audio") ?? true;
  $("voice-words").textContent = voiceOffered ? "Speak" : "Not on this server";
  connection.configure(settings());
  captions.startRun();
  spoken.startRun();
  setState("live");
  sound.startCapture(RATE_HZ);
  waves.start();
  showEchoHint();
  ticking = setInterval(tick, PING_MS);
  navigator.wakeLock?.request("screen").then(
    (lock) => (state === "live" ? (wakeLock = lock) : lock.release()),
    () => {}, // a screen that dims is no trouble
  );
}

function receive(message) {
  if (message.type === "caption") {
    const row = captions.apply(message);
    if (row) view.update(row, captions.rows);
    $("save").disabled = $("clear").disabled = captions.empty;
  } else if (message.type === "latency") {
    showFigures(figuresOf(message));
  } else if (message.type === "closed") {
    showFigures(figuresOf(message.summary ?? {}));
  } else if (message.type === "goaway") {
    stop(troubles.connectionTrouble({ code: 1001, reason: message.reason, begun: true }));
  }
}

function speak({ samples, rateHz, text }) {
  if (!$("speech").checked) return;
  spoken.add(text, (samples.length / rateHz) * 1000);
  sound.play(samples, rateHz);
}

/** The connection dropped; the page comes back by itself, and what is said meanwhile is kept. */
function away() {
  document.body.dataset.away = "true";
  $("state").textContent = "Reconnecting…";
  showTrouble(troubles.awayTrouble());
}

function back() {
  delete document.body.dataset.away;
  $("state").textContent = STATES[state];
  hideTrouble();
}

/** No more audio: let the server say the rest. `trouble` is told when it has. */
async function stop(trouble = null) {
  if (state === "ending") {
    sound.silence();
    connection?.drop();
    return;
  }
  if (state === "connecting") {
    setState("idle");
    connection?.drop();
    await sound.stopCapture();
    return;
  }
  if (state !== "live") return;
  afterwards = trouble;
  setState("ending");
  const speaking = connection;
  await sound.stopCapture();
  speaking.end();
}

async function ended(outcome) {
  connection = null;
  delete document.body.dataset.away;
  clearInterval(ticking);
  wakeLock?.release();
  wakeLock = null;
  if (state === "idle") return; // stopped before it began
  const failed = !outcome.done;
  setState(failed ? "failed" : "idle");
  view.settle();
  waves.rest();
  hide($("echo"));
  if (slow) hideTrouble();
  slow = "";
  await sound.stopCapture();
  if (failed) {
    const why = outcome.begun || outcome.error ? {} : await diagnose();
    showTrouble(troubles.connectionTrouble({ ...outcome, ...why, origin: location.origin }));
  } else if (afterwards) {
    showTrouble(afterwards);
  }
  afterwards = null;
}

// --- what it shows

function setState(next, words = STATES[next]) {
  state = next;
  document.body.dataset.state = next;
  $("state").textContent = words;
  const running = next === "connecting" || next === "live" || next === "ending";
  $("start-label").textContent = next === "ending" ? "Skip the rest" : running ? "Stop" : "Start talking";
  $("start-icon").setAttribute("href", running ? "#i-stop" : "#i-mic");
  if (running && document.activeElement === $("sample")) $("start").focus(); // which stops it
  $("sample").disabled = running;
}

function showFigures(figures) {
  for (const [id, text] of Object.entries(figures.texts)) $(id).textContent = text;
  if (figures.parts) {
    $("delay-bar").replaceChildren(
      ...figures.parts.map(({ name, share }) => {
        const part = document.createElement("i");
        part.className = name;
        part.style.flexGrow = share;
        return part;
      }),
    );
    $("delay-parts").textContent = figures.explanation;
    $("delay").title = figures.explanation;
  }
}

function showPlayback(report) {
  playback = report;
  waves.speak(report.level);
  const letter = report.bufferedMs > 0 ? spoken.letterAt(report.goneMs) : null;
  const heard = letter === null ? null : findLetter(captions.rows, captions.run, "de", letter);
  view.mark(heard?.row, heard?.range);
  const queue = $("voice");
  queue.textContent = seconds(report.bufferedMs);
  queue.dataset.playedMs = report.playedMs.toFixed(0);
  queue.dataset.energy = report.energy.toFixed(4);
  queue.dataset.underruns = report.underruns;
}

function tick() {
  if (!connection) return;
  if (state === "ending") {
    const leftS = Math.ceil(connection.mediaTime / RATE_HZ - connection.processedMs / 1000);
    if (!connection.standing) return;
    $("state").textContent = leftS > 1 ? `Finishing, ${leftS} s left` : STATES.ending;
    return;
  }
  connection.ping(playback.bufferedMs);
  const heardS = connection.mediaTime / RATE_HZ;
  $("upload").textContent = heardS > 0 ? `${Math.round((connection.sentBytes * 8) / heardS / 1000)} kbit/s` : "–";
  $("upload").dataset.sentMs = Math.round(heardS * 1000);
  if (!connection.standing) return;
  const waitingS = connection.waitingMs / 1000;
  const full = connection.outgoing.full || (slow === "full" && waitingS > FULL_UPLOAD_S);
  const now = full ? "full" : waitingS > (slow ? 1 : SLOW_UPLOAD_S) ? "slow" : "";
  if (now !== slow && now) showTrouble(troubles.slowTrouble(waitingS, connection.quick, full));
  else if (now !== slow) hideTrouble();
  slow = now;
}

function showTrouble({ title, text, action }) {
  $("trouble-title").textContent = title;
  $("trouble-text").textContent = text;
  $("trouble-action").hidden = action === null;
  $("trouble-action").textContent = action === "reconnect" ? "Reconnect" : "Try again";
  $("trouble").hidden = false;
}

function hideTrouble() {
  hide($("trouble"));
}

/** Take a box away; who was in it with the keyboard goes on at the first control, not at the top of the page. */
function hide(box) {
  if (box.contains(document.activeElement)) $("start").focus();
  box.hidden = true;
}

function showEchoHint() {
  $("echo").hidden = source !== "microphone" || !$("speech").checked || recall("headphones") === "yes";
}

function save() {
  const format = $("format").value;
  const langs = { "srt-de": ["de"], "srt-en": ["en"] }[format] ?? ["en", "de"];
  const text = format === "txt" ? toText(captions.rows, langs) : toSrt(captions.rows, langs);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  link.download = format === "txt" ? "streamst.txt" : `streamst.${langs.join("-")}.srt`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function clear() {
  captions.clear();
  view.clear();
  spoken.forget();
  $("save").disabled = $("clear").disabled = true;
}

// --- what the controls do

$("start").addEventListener("click", () => (state === "idle" || state === "failed" ? start("microphone") : stop()));
$("sample").addEventListener("click", () => start("sample"));
$("trouble-action").addEventListener("click", () => start(source));
document.addEventListener("visibilitychange", () => document.hidden || sound.wake());
$("trouble-close").addEventListener("click", hideTrouble);
$("echo-close").addEventListener("click", () => {
  remember("headphones", "yes");
  hide($("echo"));
});
$("tune").addEventListener("click", () => {
  const open = $("tune").getAttribute("aria-expanded") !== "true";
  $("tune").setAttribute("aria-expanded", open);
});
$("speech").addEventListener("change", () => {
  remember("speech", $("speech").checked);
  if (!$("speech").checked) sound.silence();
  spoken.forget();
  $("volume").disabled = !$("speech").checked;
  connection?.configure(settings());
  if (state === "live") showEchoHint();
});
$("volume").addEventListener("input", () => {
  remember("volume", $("volume").value);
  sound.setVolume(($("volume").value / 100) ** 2); // ears hear loudness, not amplitude
});
$("save").addEventListener("click", save);
$("clear").addEventListener("click", clear);

function makeDial() {
  for (const name of LATENCIES) {
    const label = document.createElement("label");
    const radio = document.createElement("input");
    Object.assign(radio, { type: "radio", name: "latency", value: name, checked: name === latency });
    label.append(radio, name);
    $("dial").append(label);
  }
  $("dial-hint").textContent = `· ${HINTS[latency]}`;
  $("dial").addEventListener("change", ({ target }) => {
    latency = target.value;
    remember("latency", latency);
    $("dial-hint").textContent = `· ${HINTS[latency]}`;
    connection?.configure(settings());
  });
}

makeDial();
initTheme($("theme"), $("theme-name"), { remember, recall, changed: () => waves.draw() });
$("speech").checked = recall("speech", "true") === "true";
$("volume").disabled = !$("speech").checked;
$("volume").value = recall("volume", "100");
sound.setVolume(($("volume").value / 100) ** 2);
const lack = missing();
if (lack) showTrouble(lack === "secure context" ? troubles.insecureTrouble(location) : troubles.oldBrowserTrouble());
