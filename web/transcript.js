/** The captions as files: plain text, SRT and WebVTT subtitles, in one language or both. Pure text in, text out. */

import { textOf } from "./captions.js";
import { characters, cutEvenly, fits, lines } from "./lines.js";

export { wrap } from "./lines.js";

const SHORTEST_CUE_MS = 700; // where the next one leaves the time
const LEAST_CUE_MS = 100; // even where captions overlap or last no time at all

/** Milliseconds as HH:MM:SS,mmm. */
export function srtTime(ms) {
  const whole = Math.max(0, Math.round(ms));
  const pad = (value, width = 2) => String(value).padStart(width, "0");
  const seconds = Math.floor(whole / 1000);
  return `${pad(Math.floor(seconds / 3600))}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)},${pad(whole % 1000, 3)}`;
}

/** Milliseconds as M:SS or H:MM:SS, for reading. */
export function clock(ms) {
  const [hours, minutes, seconds] = srtTime(ms).slice(0, 8).split(":");
  return hours === "00" ? `${Number(minutes)}:${seconds}` : `${Number(hours)}:${minutes}:${seconds}`;
}

/** One row as subtitles in which each language has at most two lines; its time is shared out by their length. */
function cuesOf(row, langs) {
  const said = langs.map((lang) => ({ text: row.texts.get(lang), words: textOf(row, lang) })).filter(({ words }) => words);
  if (said.length === 0) return [];
  let columns = [];
  for (let count = 1; columns.length === 0 || !columns.flat().every(fits); count++) {
    columns = said.map(({ words }) => cutEvenly(words, count));
  }
  const parts = columns[0].map((_, n) => columns.map((column) => column[n]).filter(Boolean)).filter((part) => part.length > 0);
  const start = Math.min(...said.map(({ text }) => text.startMs));
  const end = Math.max(start + SHORTEST_CUE_MS, ...said.map(({ text }) => text.endMs));
  const total = characters(parts.flat().join(""));
  let spoken = 0;
  return parts.map((part) => {
    const from = start + ((end - start) * spoken) / total;
    spoken += characters(part.join(""));
    return { from, to: start + ((end - start) * spoken) / total, lines: part.flatMap(lines) };
  });
}

/** Whole milliseconds for cues in their order: each begins after the one before it and ends before the next, none is empty. */
function timed(cues) {
  let earliest = 0;
  const starts = cues.map(({ from }) => {
    const start = Math.max(earliest, Math.round(from));
    earliest = start + LEAST_CUE_MS;
    return start;
  });
  return cues.map(({ to, lines }, n) => {
    const wanted = Math.max(Math.round(to), starts[n] + SHORTEST_CUE_MS);
    return { from: starts[n], to: Math.min(wanted, starts[n + 1] ?? Infinity), lines };
  });
}

/** SRT subtitles of at most two lines a language, in the order of `langs`. */
export function toSrt(rows, langs) {
  return timed(rows.flatMap((row) => cuesOf(row, langs)))
    .map(({ from, to, lines }, n) => `${n + 1}\n${srtTime(from)} --> ${srtTime(to)}\n${lines.join("\n").replaceAll("-->", "→")}\n`)
    .join("\n");
}

/** WebVTT subtitles, likewise; nothing of a text becomes markup. */
export function toVtt(rows, langs) {
  const escaped = (line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const cues = timed(rows.flatMap((row) => cuesOf(row, langs))).map(
    ({ from, to, lines }) => `${vttTime(from)} --> ${vttTime(to)}\n${lines.map(escaped).join("\n")}\n`,
  );
  return ["WEBVTT\n", ...cues].join("\n");
}

function vttTime(ms) {
  return srtTime(ms).replace(",", ".");
}

/** Plain text: a line with the time for each row, then a line for each language. */
export function toText(rows, langs) {
  return rows
    .map((row) => ({ row, lines: langs.map((lang) => [lang, textOf(row, lang)]).filter(([, text]) => text) }))
    .filter(({ lines }) => lines.length > 0)
    .map(({ row, lines }) => [`[${clock(row.startMs)}]`, ...lines.map(([lang, text]) => `${lang}: ${text}`), ""].join("\n"))
    .join("\n");
}
