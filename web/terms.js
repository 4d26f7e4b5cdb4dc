/** A glossary as it is typed: a term a line, with TAB, "=" or ";" its translation. Pure. */

const COMMENT = "#";
const OTHERS = /\s*[=;]\s*/; // where there is no TAB

/** { terms: [[source, translation or ""]], faults: [{ line, text }] }: lines that say no term, or one a second time. */
export function readTerms(text) {
  const terms = new Map();
  const faults = [];
  text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/).forEach((line, n) => {
    if (!line.trim() || line.trimStart().startsWith(COMMENT)) return;
    const [source, target = "", ...rest] = line.split(line.includes("\t") ? "\t" : OTHERS).map((side) => side.trim());
    const again = terms.has(source) && terms.get(source) !== target;
    if (!source || rest.some(Boolean) || again) faults.push({ line: n + 1, text: line.trim().slice(0, 80) });
    else terms.set(source, target);
  });
  return { terms: [...terms], faults };
}
