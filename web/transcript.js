/** The captions as files: plain text and SRT subtitles, in one language or both. Pure text in, text out. */

import { textOf } from "./captions.js";

const LINE_CHARACTERS = 42; // what subtitling guidelines let one line hold
const CUE_LINES = 2;
const SHORTEST_CUE_MS = 700;

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

/** Words in lines of at most LINE_CHARACTERS; a longer word stands alone. */
export function wrap(text) {
  const lines = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= LINE_CHARACTERS) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** One row as subtitles of at most CUE_LINES lines, the row's time shared out by their length. */
function cuesOf(row, lang) {
  const text = row.texts.get(lang);
  const lines = wrap(textOf(row, lang));
  const start = text ? text.startMs : row.startMs;
  const end = Math.max(text ? text.endMs : row.endMs, start + SHORTEST_CUE_MS);
  const total = lines.join("").length;
  const cues = [];
  let spoken = 0;
  for (let at = 0; at < lines.length; at += CUE_LINES) {
    const part = lines.slice(at, at + CUE_LINES);
    const from = start + ((end - start) * spoken) / total;
    spoken += part.join("").length;
    cues.push({ from, to: start + ((end - start) * spoken) / total, lines: part });
  }
  return cues;
}

/** SRT subtitles. With two languages each row is one cue, the first language above the second. */
export function toSrt(rows, langs) {
  const cues =
    langs.length === 1
      ? rows.flatMap((row) => cuesOf(row, langs[0]))
      : rows.map((row) => ({
          from: row.startMs,
          to: Math.max(row.endMs, row.startMs + SHORTEST_CUE_MS),
          lines: langs.map((lang) => textOf(row, lang)).filter(Boolean),
        }));
  const spoken = cues.filter((cue) => cue.lines.length > 0);
  for (let n = 0; n + 1 < spoken.length; n++) {
    spoken[n].to = Math.max(spoken[n].from, Math.min(spoken[n].to, spoken[n + 1].from)); // no two at once
  }
  return spoken.map(({ from, to, lines }, n) => `${n + 1}\n${srtTime(from)} --> ${srtTime(to)}\n${lines.join("\n")}\n`).join("\n");
}

/** Plain text: a line with the time for each row, then a line for each language. */
export function toText(rows, langs) {
  return rows
    .map((row) => ({ row, lines: langs.map((lang) => [lang, textOf(row, lang)]).filter(([, text]) => text) }))
    .filter(({ lines }) => lines.length > 0)
    .map(({ row, lines }) => [`[${clock(row.startMs)}]`, ...lines.map(([lang, text]) => `${lang}: ${text}`), ""].join("\n"))
    .join("\n");
}
