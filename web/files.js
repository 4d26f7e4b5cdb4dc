/** The transcript's controls: save it in one of the formats, or clear it once the person is sure. */

import { languagesIn } from "./captions.js";
import { fill } from "./choices.js";
import { nameOf } from "./offer.js";
import { toSrt, toText } from "./transcript.js";

const $ = (id) => document.getElementById(id);

export class Files {
  /** `cleared()`: all captions are to go. */
  constructor(captions, choices, cleared) {
    this.captions = captions;
    this.choices = choices;
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
    $("save").disabled = $("clear").disabled = this.captions.empty;
    const { langs } = this;
    if (this.shown === langs.join()) return;
    this.shown = langs.join();
    const all = langs.length === 2 ? "both" : "all";
    const one = langs.map((lang) => [`srt-${lang}`, `Subtitles (SRT), ${nameOf(lang)}`]);
    fill($("format"), [["txt", `Text, ${all}`], ...one.reverse(), ["srt-both", `Subtitles (SRT), ${all}`]]);
  }

  save() {
    const [kind, lang = "both"] = $("format").value.split(/-(.*)/);
    const langs = lang === "both" ? this.langs : [lang];
    const text = kind === "txt" ? toText(this.captions.rows, langs) : toSrt(this.captions.rows, langs);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
    link.download = kind === "txt" ? "streamst.txt" : `streamst.${langs.join("-")}.srt`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
}
