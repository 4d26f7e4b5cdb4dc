/**
 * Which word of the translation is heard just now. Speech arrives with the words in it, and the player tells how much of
 * it has gone; counting letters and digits leads from there to a place in the captions, whatever their punctuation. Pure.
 */

const LETTER = /[\p{L}\p{N}]/u;

/** How many letters and digits `text` has. */
export function letters(text) {
  let count = 0;
  for (const character of text) if (LETTER.test(character)) count += 1;
  return count;
}

/** Where in `text` the word with its n-th letter (from 0) stands, as [start, end) of the string; null beyond it. */
export function wordAt(text, n) {
  let seen = 0;
  for (const { 0: word, index } of text.matchAll(/\S+/g)) {
    seen += letters(word);
    if (seen > n) return [index, index + word.length];
  }
  return null;
}

export class Spoken {
  constructor() {
    this.ms = 0; // of speech that was handed to the player, ever: the clock of `letterAt`
    this.startRun();
  }

  /** The words to come are those of a new connection. */
  startRun() {
    this.pieces = [];
    this.letters = 0;
    this.lost = false;
  }

  /** Speech and captions are no longer of the same words: tell nothing until the next run. */
  forget() {
    this.lost = true;
  }

  /** `ms` of speech with `text` in it follow. */
  add(text, ms) {
    const count = letters(text);
    this.pieces.push({ startMs: this.ms, ms, from: this.letters, count });
    this.ms += ms;
    this.letters += count;
  }

  /** Which letter of this run is heard when `goneMs` of all speech are gone: its number from 0; null when none is. */
  letterAt(goneMs) {
    while (this.pieces.length > 0 && this.pieces[0].startMs + this.pieces[0].ms <= goneMs) this.pieces.shift();
    const piece = this.pieces[0];
    if (this.lost || !piece || piece.count === 0 || goneMs <= piece.startMs) return null;
    return piece.from + Math.min(piece.count - 1, Math.floor((piece.count * (goneMs - piece.startMs)) / piece.ms));
  }
}
