/** Text in lines for subtitles, whatever its language: cut between words, and within them where a script has no spaces. Pure. */

const LINE_CHARACTERS = 42; // what subtitling guidelines let one line hold
const CUE_LINES = 2;
const BREAKS = /[^\S\u00a0\u2007\u202f\ufeff]+|[\u0000-\u001f\u007f-\u009f]+/u; // blanks and controls; a no-break space is none
const SEGMENTER = Intl.Segmenter && new Intl.Segmenter(undefined, { granularity: "word" }); // Firefox has it from 125 on

/** How many characters a text has, those outside the basic plane counted once. */
export function characters(text) {
  return [...text].length;
}

/** The pieces between which a text may be cut, each { text, gap }, `gap` being what stands before it on the same line. */
function pieces(text) {
  const words = text.replaceAll("-->", "→").split(BREAKS).filter((word) => word.trim());
  return words.flatMap((word) => (characters(word) > LINE_CHARACTERS ? inside(word) : [{ text: word, gap: " " }]));
}

/** The pieces of what has no blanks: words of Chinese or Thai, parts of an address; a long German word is one piece. */
function inside(word) {
  if (!SEGMENTER) return [{ text: word, gap: " " }];
  const found = [];
  let gap = " ";
  for (const { segment } of SEGMENTER.segment(word)) {
    if (segment.trim()) {
      found.push({ text: segment, gap });
      gap = "";
    } else {
      gap = segment;
    }
  }
  return found;
}

function joined(all) {
  return all.map(({ text, gap }, n) => (n === 0 ? text : gap + text)).join("");
}

/** `text` in lines of at most LINE_CHARACTERS, as few as can be; a longer word stands alone. */
export function wrap(text) {
  const lines = [];
  for (const { text: piece, gap } of pieces(text)) {
    const longer = lines.length > 0 && lines.at(-1) + gap + piece;
    if (longer && characters(longer) <= LINE_CHARACTERS) lines[lines.length - 1] = longer;
    else lines.push(piece);
  }
  return lines;
}

/** Whether a text is no more than one cue may show. */
export function fits(text) {
  return wrap(text).length <= CUE_LINES;
}

/** The lines of one cue: of about equal length where that can be. */
export function lines(text) {
  const wrapped = wrap(text);
  const even = wrapped.length === CUE_LINES ? cutEvenly(text, CUE_LINES) : wrapped;
  return even.every((line) => line && characters(line) <= LINE_CHARACTERS) ? even : wrapped;
}

/** `text` in `count` parts of about equal length; with fewer words some are empty. */
export function cutEvenly(text, count) {
  const all = pieces(text);
  const total = characters(joined(all));
  const parts = Array.from({ length: count }, () => []);
  let passed = 0;
  all.forEach((piece, n) => {
    const before = passed + (n === 0 ? 0 : piece.gap.length);
    passed = before + characters(piece.text);
    parts[Math.min(count - 1, Math.floor((count * (before + passed)) / 2 / total))].push(piece);
  });
  return parts.map(joined);
}
