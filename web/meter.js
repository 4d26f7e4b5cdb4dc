/** The figures below the captions, the level of the input, and the word that is heard. */

import { findLetter } from "./captions.js";
import { figuresOf, seconds } from "./figures.js";
import { say } from "./say.js";
import { barHeight } from "./waves.js";

const LOUD = 0.98; // a level from which on samples are cut off
const SAID_EVERY_MS = 250;

const $ = (id) => document.getElementById(id);

/** A `latency` message, or the summary at the end. */
export function showLatency(message) {
  const { texts, parts, explanation } = figuresOf(message);
  for (const [id, text] of Object.entries(texts)) $(id).textContent = text;
  if (!parts) return;
  $("delay-bar").replaceChildren(
    ...parts.map(({ name, share }) => {
      const part = document.createElement("i");
      part.className = name;
      part.style.flexGrow = share;
      return part;
    }),
  );
  $("delay-parts").textContent = explanation;
  $("delay").title = explanation;
}

/** A report of the playback worklet. */
export function showQueue({ bufferedMs, playedMs, energy, underruns }) {
  const queue = $("voice");
  queue.textContent = seconds(bufferedMs);
  queue.dataset.playedMs = playedMs.toFixed(0);
  queue.dataset.energy = energy.toFixed(4);
  queue.dataset.underruns = underruns;
}

/** What went out and came in, of `spokenMs` of speech; now in `codec`. */
export function showWire(sentBytes, receivedBytes, spokenMs, codec) {
  const [up, down] = [sentBytes, receivedBytes].map((bytes) => Math.round((bytes * 8) / spokenMs));
  const named = { pcm16: say("not compressed"), opus: "Opus", neural: say("neural codec") }[codec];
  $("codec-now").textContent = spokenMs > 0 ? say("{0}: {1} kbit/s up, {2} down, headers included", named, up, down) : named;
  $("upload").dataset.codec = codec;
  $("upload").textContent = spokenMs > 0 ? `${up} · ${down} kbit/s` : "–";
  $("upload").dataset.sentMs = Math.round(spokenMs);
}

/** Mark in the captions which word is heard, by the report of the playback worklet. */
export function markSpoken({ bufferedMs, goneMs }, { captions, spoken, view, target }) {
  const letter = bufferedMs > 0 ? spoken.letterAt(goneMs) : null;
  const heard = letter === null ? null : findLetter(captions.rows, captions.run, target, letter);
  view.mark(heard?.row, target, heard?.range);
}

/** How loud the input is, for eyes and for who cannot see: an element with the role of a meter. */
export class LevelMeter {
  constructor(element) {
    this.element = element;
    this.saidMs = 0;
    this.peak = 0;
  }

  show(level, nowMs = performance.now()) {
    const { element } = this;
    element.style.setProperty("--level", barHeight(level).toFixed(2));
    this.peak = Math.max(this.peak, level);
    if (nowMs - this.saidMs < SAID_EVERY_MS) return;
    element.classList.toggle("loud", this.peak >= LOUD);
    element.setAttribute("aria-valuenow", Math.round(100 * barHeight(this.peak)));
    this.saidMs = nowMs;
    this.peak = 0;
  }

  rest() {
    this.show(0, Infinity);
    this.saidMs = 0;
  }
}
