/** Search in the captions: what is found is marked, counted, and gone to one after the other. */

import { say } from "./say.js";

const $ = (id) => document.getElementById(id);

/** Where `wanted` stands in `text`, as [start, end) each, whatever its case. Pure. */
export function places(text, wanted) {
  const found = [];
  const [low, term] = [text.toLowerCase(), wanted.toLowerCase()];
  if (!term || low.length !== text.length) return found;
  for (let at = low.indexOf(term); at >= 0; at = low.indexOf(term, at + term.length)) found.push([at, at + term.length]);
  return found;
}

export class Search {
  constructor(list) {
    this.list = list;
    this.at = -1;
    this.ranges = []; // of what was found
    $("search").addEventListener("input", () => this.look());
    $("search").addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.go(event.shiftKey ? -1 : 1);
      if (event.key === "Escape") {
        $("search").value = "";
        this.look();
      }
    });
    $("search-next").addEventListener("click", () => this.go(1));
  }

  /** The captions, or what is wanted, have changed. */
  look(first = true) {
    const wanted = $("search").value.trim();
    this.ranges = [];
    for (const span of wanted ? this.list.querySelectorAll("p > span") : []) {
      const node = span.firstChild;
      for (const [start, end] of node ? places(node.data, wanted) : []) {
        const range = new Range();
        range.setStart(node, start);
        range.setEnd(node, end);
        this.ranges.push(range);
      }
    }
    if (first) this.at = -1;
    this.show();
  }

  go(step) {
    this.look(false);
    const count = this.ranges.length;
    if (count === 0) return;
    this.at = (this.at + step + (this.at < 0 && step < 0 ? 1 : 0) + count) % count;
    this.ranges[this.at].startContainer.parentElement.scrollIntoView({ block: "center" });
    this.show();
  }

  show() {
    const count = this.ranges.length;
    const wanted = $("search").value.trim() !== "";
    $("search-count").textContent = !wanted ? "" : this.at < 0 || count === 0 ? say("{0} found", count) : say("{0} of {1}", this.at + 1, count);
    $("search-next").disabled = count === 0;
    if (!globalThis.CSS?.highlights) return; // older browsers scroll to it only
    if (count === 0) CSS.highlights.delete("found");
    else CSS.highlights.set("found", new Highlight(...this.ranges));
    const here = this.ranges[this.at];
    if (here) CSS.highlights.set("found-here", Object.assign(new Highlight(here), { priority: 1 }));
    else CSS.highlights.delete("found-here");
  }
}
