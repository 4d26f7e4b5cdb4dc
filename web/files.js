/** The transcript's controls: save it, or the speech, in one of the formats, copy it, or clear it once the person is sure. */

import { languagesIn } from "./captions.js";
import { fill } from "./choices.js";
import { nameOf } from "./offer.js";
import { say } from "./say.js";
import { toSrt, toText, toVtt } from "./transcript.js";

const $ = (id) => document.getElementById(id);

export class Files {
  /** `cleared()`: all captions are to go. */
  constructor(captions, choices, recording, cleared) {
    Object.assign(this, { captions, choices, recording });
    $("copy").addEventListener("click", () => this.copy());
    $("save").addEventListener("click", () => this.save());
    $("clear").addEventListener("click", () => $("sure").showModal());
    $("sure-yes").addEventListener("click", () => {
      $("sure").close();
      cleared();
    });
    $("sure-no").addEventListener("click", () => $("sure").close());
  }

  /** The languages that there are files of: what is said now first, then what was said before. */
  get langs() {
    const { source, target } = this.choices;
    return [...new Set([source, target, ...languagesIn(this.captions.rows)])].filter(Boolean);
  }

  /** The captions or the languages have changed. */
  update() {
    $("save").disabled = $("clear").disabled = $("copy").disabled = this.captions.empty;
    const { langs } = this;
    const kinds = [langs.join(), say("both"), this.recording.empty].join("|");
    if (this.shown === kinds) return;
    this.shown = kinds;
    const all = say(langs.length === 2 ? "both" : "all");
    const named = [...[...langs].reverse().map((lang) => [lang, nameOf(lang)]), ["both", all]];
    const subtitles = ["srt", "vtt"].flatMap((kind) => named.map(([lang, words]) => [`${kind}-${lang}`, say("Subtitles ({0}), {1}", kind.toUpperCase(), words)]));
    const speech = this.recording.empty ? [] : [["wav", say("Speech (WAV)")]];
    fill($("format"), [["txt", say("Text, {0}", all)], ...subtitles, ...speech]);
  }

  /** What is chosen to be saved: { name, parts, type }. */
  file() {
    const [kind, lang = "both"] = $("format").value.split(/-(.*)/);
    if (kind === "wav") return { name: "streamst.wav", parts: this.recording.wav(), type: "audio/wav" };
    const langs = lang === "both" ? this.langs : [lang];
    const { rows } = this.captions;
    if (kind === "txt") return { name: "streamst.txt", parts: [toText(rows, langs)], type: "text/plain;charset=utf-8" };
    const text = kind === "srt" ? toSrt(rows, langs) : toVtt(rows, langs);
    return { name: `streamst.${langs.join("-")}.${kind}`, parts: [text], type: "text/plain;charset=utf-8" };
  }

  save() {
    const { name, parts, type } = this.file();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(parts, { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(toText(this.captions.rows, this.langs));
      $("copied").textContent = say("Copied");
    } catch {
      $("copied").textContent = say("The browser does not let this page copy: save the text instead.");
    }
  }
}
