/** The latency message in words: what the meter shows. Pure. */

import { say } from "./say.js";

const PARTS = {
  network: "on the network",
  buffer: "waiting for its turn",
  policy: "until the meaning was clear",
  compute: "computing",
  playback: "waiting to be spoken",
};

/** Milliseconds as seconds with one decimal; a dash for what is not known. */
export function seconds(ms) {
  return typeof ms === "number" && Number.isFinite(ms) ? `${(ms / 1000).toFixed(1)} s` : "–";
}

/** { texts: element id -> text, parts: the shares of the delay, explanation } of a `latency` message or a summary. */
export function figuresOf({ laal_ms, long_yaal_ms, split }) {
  const texts = {};
  if (typeof laal_ms === "number") texts.laal = seconds(laal_ms);
  if (typeof long_yaal_ms === "number") texts["long-yaal"] = seconds(long_yaal_ms);
  const known = Object.keys(PARTS).filter((name) => typeof split?.[name] === "number");
  if (known.length === 0) return { texts };
  const total = known.reduce((sum, name) => sum + split[name], 0);
  texts.delay = seconds(total);
  return {
    texts,
    parts: known.map((name) => ({ name, share: total > 0 ? split[name] / total : 0 })),
    explanation: known.map((name) => `${seconds(split[name])} ${say(PARTS[name])}`).join(", "),
  };
}
