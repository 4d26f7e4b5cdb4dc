/**
 * What was said and what it means, as data: one row a segment, one text a language in it.
 *
 * A row belongs to a run (one session) because every run counts its segments and its milliseconds from zero; runs
 * follow each other on one clock, so that a transcript over several of them has times that only grow.
 */

import { letters, wordAt } from "./spoken.js";

export const PAUSE_BETWEEN_RUNS_MS = 1000;

export class Captions {
  constructor() {
    this.clear();
  }

  clear() {
    this.rows = []; // in the order of speech
    this.run = 0;
    this.talkMs = 0; // where the present talk begins on the clock of all runs
    this.offsetMs = 0; // where the present run begins on the clock of all runs
    this.endMs = 0; // the latest moment that any row reaches
  }

  /** Whether there is no word in it. */
  get empty() {
    return this.rows.every(isEmpty);
  }

  /** From here on segments are those of a new session: of a new talk, or `atMs` after the beginning of the present one. */
  startRun(atMs = null) {
    this.run += 1;
    if (atMs === null) this.talkMs = this.rows.length > 0 ? this.endMs + PAUSE_BETWEEN_RUNS_MS : 0;
    this.offsetMs = this.talkMs + (atMs ?? 0);
  }

  /** `rows` of these captions as plain data, for `restore`. */
  snapshot(rows = this.rows) {
    return rows.map((row) => ({ ...row, texts: [...row.texts] }));
  }

  /** Take in a `snapshot`, unless something was said already. Returns whether there is something in it. */
  restore(snapshot) {
    if (this.rows.length > 0 || !Array.isArray(snapshot)) return false;
    const rows = snapshot.map((row) => ({ ...row, texts: new Map(row.texts) }));
    if (!rows.every(({ run, startMs, endMs }) => [run, startMs, endMs].every(Number.isFinite))) return false;
    this.rows = rows;
    this.run = Math.max(0, ...this.rows.map(({ run }) => run));
    this.endMs = Math.max(0, ...this.rows.map(({ endMs }) => endMs));
    return !this.empty;
  }

  /** Take in a caption event. Returns its row, or null when a newer revision is already there. */
  apply({ lang, segment, revision = 0, stable = "", unstable = "", start_ms = 0, end_ms = 0, emit_ms, final = false }) {
    const row = this.rowOf(segment, this.offsetMs + start_ms);
    const before = row.texts.get(lang);
    if (before && (revision < before.revision || (before.final && !final))) return null;
    const text = { stable, unstable, revision, final, startMs: this.offsetMs + start_ms, endMs: this.offsetMs + end_ms };
    text.letters = letters(stable);
    if (emit_ms !== undefined) text.emitMs = this.offsetMs + emit_ms;
    row.texts.set(lang, text);
    row.startMs = Math.min(row.startMs, text.startMs);
    row.endMs = Math.max(row.endMs, text.endMs);
    this.endMs = Math.max(this.endMs, row.endMs);
    return row;
  }

  rowOf(segment, startMs) {
    let at = this.rows.length;
    while (at > 0 && this.rows[at - 1].run === this.run && this.rows[at - 1].segment > segment) at -= 1;
    const last = this.rows[at - 1];
    if (last && last.run === this.run && last.segment === segment) return last;
    const row = { run: this.run, segment, startMs, endMs: startMs, texts: new Map() };
    this.rows.splice(at, 0, row);
    return row;
  }
}

/** Where the n-th letter (from 0) of a run's stable text in `lang` stands: { row, range } in `stable`, or null. */
export function findLetter(rows, run, lang, n) {
  for (const row of rows) {
    const text = row.run === run && row.texts.get(lang);
    if (!text) continue;
    if (n < text.letters) return { row, range: wordAt(text.stable, n) };
    n -= text.letters;
  }
  return null;
}

/** The languages that rows have words in, in the order in which they first come. */
export function languagesIn(rows) {
  return [...new Set(rows.flatMap((row) => [...row.texts.keys()].filter((lang) => textOf(row, lang))))];
}

/** All that a row says in a language, stable or not. */
export function textOf(row, lang) {
  const text = row.texts.get(lang);
  return text ? joinText(text.stable, text.unstable) : "";
}

/** Whether a row says nothing: what was heard in it turned out to be no words. */
export function isEmpty(row) {
  return [...row.texts.values()].every(({ stable, unstable }) => (stable + unstable).trim() === "");
}

/** Two pieces of text with exactly the space between them that they need. */
export function joinText(stable, unstable) {
  if (!stable || !unstable || /\s$/.test(stable) || /^\s/.test(unstable)) return (stable + unstable).trim();
  return `${stable} ${unstable}`.trim();
}
