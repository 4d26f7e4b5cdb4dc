/** Further settings: echo guard, push to talk, the page's language, single keys; and what they do. */

import { EchoGuard } from "./echo.js";
import { listenToKeys } from "./keys.js";
import { resizeLetters } from "./letters.js";
import { browser } from "./memory.js";
import { speakUi, uiLanguageFor } from "./say.js";
import { canFloat } from "./subtitles.js";

const GUARDS = ["translation", "microphone", "off"];

const $ = (id) => document.getElementById(id);

export class More {
  /** `start()` starts or stops the talk; `languageChanged()` after another language of the page was chosen. */
  constructor({ gate, talk, stage, start, languageChanged }) {
    Object.assign(this, { gate, talk });
    for (const [id, usual] of [["push-to-talk", "false"], ["keys-on", "true"], ["tools-shown", ""]]) {
      $(id).checked = browser.recall(id, usual || String(innerHeight > 540)) === "true";
      $(id).addEventListener("change", () => {
        browser.remember(id, $(id).checked);
        this.apply();
      });
    }
    $("guard").value = GUARDS.includes(browser.recall("guard")) ? browser.recall("guard") : "translation";
    $("guard").addEventListener("change", () => browser.remember("guard", $("guard").value));
    $("ui").value = browser.recall("ui", "");
    $("ui").addEventListener("change", () => {
      browser.remember("ui", $("ui").value);
      speakUi($("ui").value || uiLanguageFor(navigator.languages ?? [navigator.language]));
      languageChanged();
    });
    $("more").addEventListener("click", () => $("more-box").showModal());
    $("more-close").addEventListener("click", () => $("more-box").close());
    const letters = (step) => resizeLetters(stage, step);
    $("smaller").addEventListener("click", () => letters(-1));
    $("larger").addEventListener("click", () => letters(1));
    letters(0);
    $("float").hidden = !canFloat();
    this.listen(start, letters);
    this.apply();
  }

  listen(start, letters) {
    const push = (on) => this.push(on);
    $("push").addEventListener("pointerdown", () => push(true));
    for (const end of ["pointerup", "pointercancel", "pointerleave", "blur"]) $("push").addEventListener(end, () => push(false));
    $("push").addEventListener("keydown", ({ key, repeat }) => [" ", "Enter"].includes(key) && !repeat && push(true));
    $("push").addEventListener("keyup", () => push(false));
    const click = (id) => () => !$(id).disabled && !$(id).hidden && $(id).click();
    listenToKeys({
      on: () => $("keys-on").checked,
      hold: { key: " ", wanted: () => this.gate.pushToTalk, down: () => push(true), up: () => push(false) },
      acts: {
        s: start, "/": () => this.search(), "+": () => letters(1), "-": () => letters(-1), c: click("copy"), g: click("terms"), w: click("float"), "?": click("more"),
      },
    });
  }

  search() {
    document.body.classList.add("wants-tools");
    document.body.classList.remove("no-tools");
    $("search").focus();
  }

  push(on) {
    if (this.gate.pushing === on) return;
    this.gate.pushing = on;
    $("push").setAttribute("aria-pressed", on);
    if (this.talk.state === "live") this.talk.check();
  }

  apply() {
    this.gate.pushToTalk = $("push-to-talk").checked;
    $("push").hidden = !this.gate.pushToTalk;
    document.body.classList.toggle("pushes", this.gate.pushToTalk); // in a talk its button stands where the sample's was
    const tools = $("tools-shown").checked;
    document.body.classList.toggle("no-tools", !tools);
    document.body.classList.toggle("wants-tools", tools && browser.recall("tools-shown") === "true");
    if (this.talk.state === "live") this.talk.check();
  }
}

/** Keeps the translation from being heard by the microphone and translated again. */
export class EchoWatch {
  constructor({ talk, sound, gate }) {
    Object.assign(this, { talk, sound, gate, guard: new EchoGuard() });
  }

  /** A talk begins. */
  begin() {
    this.guard.forget();
    this.gate.yields = false;
    this.sound.hush(false);
    this.talk.echo = "";
  }

  /** What the playback worklet reports. Levels carry the audio thread's time: this one's may be late on a busy machine. */
  played({ level, bufferedMs, atMs }) {
    if (bufferedMs > 0) this.gate.speaks(performance.now());
    this.guard.played(atMs, this.sound.hushed ? 0 : level);
  }

  heard(level, atMs) {
    this.guard.heard(atMs, level);
    if (this.talk.source !== "microphone" || this.talk.state !== "live" || $("guard").value === "off") return;
    if (this.sound.hushed || this.gate.yields) return;
    const echoes = this.guard.echoes(atMs);
    $("level").dataset.echo = this.guard.match.toFixed(2);
    if (!echoes) return;
    const silenced = $("guard").value;
    if (silenced === "microphone") this.gate.yields = true;
    else this.sound.hush(true);
    this.talk.echo = silenced;
    this.talk.check();
  }

  /** The person wears headphones now. */
  forgive() {
    this.sound.hush(false);
    this.guard.forget();
    this.talk.echo = "";
    this.talk.check();
  }
}
