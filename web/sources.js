/** Where the sound comes from: a microphone of those that are plugged in, a tab or the system, or a file. */

import { browser } from "./memory.js";
import { say } from "./say.js";

export const TAB = "tab";
export const FILE = "file";

/** What can be chosen, [value, words] each: microphones by their ids, "" being the system's own. Pure. */
export function inputsOf(devices, { canShare = true, word = (text) => text } = {}) {
  const microphones = devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId && !["default", "communications"].includes(deviceId));
  const named = microphones.map(({ deviceId, label }, n) => [deviceId, label || `${word("Microphone")} ${n + 1}`]);
  const others = canShare ? [[TAB, word("Sound of a tab or the system…")]] : [];
  return [["", word("System’s microphone")], ...named, ...others, [FILE, word("An audio file…")]];
}

export class Sources {
  /** `select`, and an <input type=file>; `changed(kind)` when another source was chosen by a person. */
  constructor(select, input, changed) {
    Object.assign(this, { select, input, changed });
    this.wanted = browser.recall("microphone", "");
    select.addEventListener("change", () => this.choose(select.value));
    input.addEventListener("change", () => this.show());
    input.addEventListener("cancel", () => this.file || this.choose(""));
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.look());
  }

  get file() {
    return this.input.files?.[0] ?? null;
  }

  /** "microphone", "tab" or "file". */
  get kind() {
    return [TAB, FILE].includes(this.select.value) ? this.select.value : "microphone";
  }

  /** The id of the microphone that is wanted, "" for the system's own. */
  get microphone() {
    return this.kind === "microphone" ? this.select.value : "";
  }

  choose(value) {
    this.select.value = value;
    if (this.kind === "microphone") {
      this.wanted = value;
      browser.remember("microphone", value);
    }
    if (value === FILE) this.input.click();
    this.show();
    this.changed(this.kind);
  }

  /** The file is of no use: another one is to be chosen. */
  forget() {
    this.input.value = "";
    this.show();
  }

  show() {
    const option = [...this.select.options].find(({ value }) => value === FILE);
    if (option) option.text = this.file ? say("File: {0}", this.file.name) : say("An audio file…");
  }

  /** See which devices there are; names come once the person has let the page listen. */
  async look() {
    let devices = [];
    try {
      devices = (await navigator.mediaDevices.enumerateDevices()) ?? [];
    } catch {
      // then there is the system's own
    }
    const { value } = this.select;
    const keep = [TAB, FILE].includes(value) ? value : this.wanted;
    const inputs = inputsOf(devices, { canShare: Boolean(navigator.mediaDevices?.getDisplayMedia), word: say });
    this.select.replaceChildren(...inputs.map(([id, words]) => new Option(words, id)));
    this.select.value = inputs.some(([id]) => id === keep) ? keep : "";
    this.show();
  }
}
