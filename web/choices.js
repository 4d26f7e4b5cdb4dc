/** The controls with which a person chooses, filled with what the server offers: languages, latency, policy, voice. */

import { CHOICES, RATES_BPS } from "./ladder.js";
import { browser } from "./memory.js";
import { choicesOf, nameOf, ownNameOf, speaks } from "./offer.js";
import { say } from "./say.js";

const HINTS = {
  minimal: "first words soonest, more mistakes",
  low: "quick",
  medium: "balanced",
  high: "careful",
  xhigh: "best wording, longest wait",
};

const $ = (id) => document.getElementById(id);

export class Choices {
  /** `changed()`: something was chosen. */
  constructor(changed) {
    this.changed = changed;
    this.lists = choicesOf({ source: "" });
    this.voiceOffered = true;
    this.room = false; // whether others may listen
    this.terms = []; // of the glossary
    this.chosen = {};
    for (const name of ["sources", "targets", "latencies", "policies"]) this.chosen[name] = browser.recall(name, "");
    $("speech").checked = browser.recall("speech", "true") === "true";
    $("volume").value = browser.recall("volume", "100");
    $("volume").disabled = !$("speech").checked;
    $("original").value = browser.recall("original", "84");
    const codec = browser.recall("codec", "");
    $("codec").value = CHOICES.includes(codec) ? codec : "";
    $("codec").addEventListener("change", () => {
      browser.remember("codec", $("codec").value);
      this.changed();
    });
    for (const [id, name] of [["source", "sources"], ["target", "targets"], ["policy", "policies"]]) {
      $(id).addEventListener("change", ({ target }) => this.choose(name, target.value));
    }
    $("dial").addEventListener("change", ({ target }) => this.choose("latencies", target.value));
  }

  /** What holds of a list: what was chosen where the server offers it, else the server's own choice. */
  of(name) {
    const { values, usual } = this.lists[name];
    return values.includes(this.chosen[name]) ? this.chosen[name] : usual;
  }

  get source() {
    return this.of("sources");
  }

  get target() {
    return this.of("targets");
  }

  /** Whether the translation is spoken. */
  get speech() {
    return $("speech").checked && this.voiceOffered;
  }

  /** How loud, 0 to 1: ears hear loudness, not amplitude. */
  get volume() {
    return ($("volume").value / 100) ** 2;
  }

  /** How loud what is translated is heard itself, 0 to 1. */
  get originalVolume() {
    return ($("original").value / 100) ** 2;
  }

  /** The codec that is to travel, "" for whatever the network takes. */
  get codec() {
    return $("codec").value;
  }

  /** For a `config` message; `codec` travels both ways. */
  settings(rateHz, codec = "pcm16") {
    const policy = this.of("policies");
    return {
      ...(this.source && { source: this.source }),
      ...(this.target && { target: this.target }),
      ...(this.of("latencies") && { latency: this.of("latencies") }),
      policy: policy || null,
      output: this.speech ? ["captions", "audio"] : ["captions"],
      sample_rate_hz: rateHz,
      codec,
      output_codec: codec,
      output_bitrate_bps: RATES_BPS[codec] ?? null,
      ...(this.room && { room: true }),
      ...(this.terms.length > 0 && { glossary: this.terms }),
    };
  }

  choose(name, value) {
    this.chosen[name] = value;
    browser.remember(name, value);
    this.show();
    this.changed();
  }

  /** The server offers this, whatever it offered before. */
  offered(offer) {
    this.offer = offer;
    this.lists = choicesOf(offer);
    this.voiceOffered = speaks(offer);
    fill($("source"), this.lists.sources.values.map((code) => [code, ownNameOf(code)]));
    fill($("target"), this.lists.targets.values.map((code) => [code, ownNameOf(code)]));
    const usual = offer.defaults?.policy;
    const policies = this.lists.policies.values.map((name) => [name, name]);
    fill($("policy"), [["", usual ? say("the server’s: {0}", usual) : say("automatic")], ...policies]);
    this.makeDial();
    this.show();
  }

  makeDial() {
    const labels = this.lists.latencies.values.map((name) => {
      const label = document.createElement("label");
      const radio = document.createElement("input");
      Object.assign(radio, { type: "radio", name: "latency", value: name });
      label.append(radio, name);
      return label;
    });
    const shown = [...$("dial").querySelectorAll("input")].map(({ value }) => value);
    if (shown.join() !== this.lists.latencies.values.join()) $("dial").replaceChildren(...labels);
  }

  show() {
    const { source, target } = this;
    const latency = this.of("latencies");
    $("source").value = source;
    $("target").value = target;
    $("policy").value = this.of("policies");
    for (const radio of $("dial").querySelectorAll("input")) radio.checked = radio.value === latency;
    $("dial-hint").textContent = HINTS[latency] ? `· ${say(HINTS[latency])}` : "";
    $("policy-box").hidden = this.lists.policies.values.length < 2;
    $("voice-words").textContent = say(this.voiceOffered ? "Speak" : "Not on this server");
    $("sample").hidden = source !== $("sample").dataset.lang;
    if (!source || !target) return;
    for (const [role, code] of [["source", source], ["target", target]]) this.showLanguage(role, code);
    const [from, to] = [nameOf(source), nameOf(target)];
    document.title = say("StreamST · speak {0}, hear {1}", from, to);
    $("welcome-title").replaceChildren(say("Say it in {0}.", from), document.createElement("br"), element("em", say("Hear it in {0}.", to)));
    $("voice-legend").textContent = say("{0} voice", to);
    $("scroller").setAttribute("aria-label", say("Captions in {0} and {1}", from, to));
    $("announce").lang = target;
  }

  showLanguage(role, code) {
    for (const place of document.querySelectorAll(`[data-role="${role}"]`)) {
      place.textContent = ownNameOf(code);
      place.dataset.short = code.toUpperCase();
      place.lang = code;
    }
    const one = $(role).options.length < 2;
    $(role).hidden = one;
    $(role).previousElementSibling.hidden = !one; // its name as plain words
  }
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

/** Give a select its options: [value, words] each. */
export function fill(select, options) {
  const { value } = select;
  select.replaceChildren(...options.map(([option, words]) => new Option(words, option)));
  if (options.some(([option]) => option === value)) select.value = value;
}
