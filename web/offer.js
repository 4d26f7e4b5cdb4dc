/** What the server offers, from GET /v1/info or a `welcome`, as the page shows it. Pure. */

import { uiLanguage } from "./say.js";

/** A language by its name, in the page's language or in its own; its code where nobody knows the name. */
export function nameOf(code, inLanguage = uiLanguage()) {
  try {
    const name = new Intl.DisplayNames([inLanguage], { type: "language" }).of(code);
    return name[0].toLocaleUpperCase(inLanguage) + name.slice(1);
  } catch {
    return code;
  }
}

/** A language by its own name. */
export function ownNameOf(code) {
  return nameOf(code, code);
}

/** The lists from which a person may choose, each with what holds where nobody chose: { sources, targets, latencies, policies }. */
export function choicesOf({ source, sources = [source], targets = [], latencies = [], policies = [], defaults = {} }) {
  const list = (values, usual) => ({ values, usual: values.includes(usual) ? usual : (values[0] ?? "") });
  return {
    sources: list(sources, source),
    targets: list(targets, defaults.target),
    latencies: list(latencies, defaults.latency),
    policies: { values: policies, usual: "" }, // "": as the server and the latency have it
  };
}

/** Who recognises, writes and speaks, in a line; "" where all of it is the model's own. */
export function partsOf({ model = "", parts = {} }) {
  const others = Object.entries(parts).filter(([, name]) => name !== "own");
  return others.length ? [`Model ${model}`, ...others.map(([kind, name]) => `${kind} ${name}`)].join(" · ") : "";
}

/** Whether the server speaks, or only writes. */
export function speaks({ output }) {
  return output?.includes("audio") ?? true;
}
