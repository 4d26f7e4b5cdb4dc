/** The figures below the captions, and the word that is heard. */

import { findLetter } from "./captions.js";
import { figuresOf, seconds } from "./figures.js";

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

/** What went out, of `spokenMs` of speech. */
export function showUpload(bytes, spokenMs) {
  $("upload").textContent = spokenMs > 0 ? `${Math.round((bytes * 8) / spokenMs)} kbit/s` : "–";
  $("upload").dataset.sentMs = Math.round(spokenMs);
}

/** Mark in the captions which word is heard, by the report of the playback worklet. */
export function markSpoken({ bufferedMs, goneMs }, { captions, spoken, view, target }) {
  const letter = bufferedMs > 0 ? spoken.letterAt(goneMs) : null;
  const heard = letter === null ? null : findLetter(captions.rows, captions.run, target, letter);
  view.mark(heard?.row, target, heard?.range);
}
