// The table of recordings, and what was said in the chosen one.

function drawRecordings(section, run) {
  const recordings = data.recordings.filter((r) => r.run === run);
  if (!recordings.length) return;
  const columns = data.columns;
  let [sorted, down] = [columns[0], true];
  let chosen = null;
  const detail = make("div", { class: "panel" });
  const search = make("input", { type: "search", placeholder: "find a word or a file", "aria-label": "find", oninput: fill });
  const head = make("tr", {});
  const body = make("tbody", {});
  const all = data.points.find((p) => p.name === run).rows;
  const part = recordings.length < all ? ` The worst ${recordings.length} of ${all} are here.` : "";
  section.replaceChildren(
    make("h2", {}, "Recordings"),
    make("p", { class: "soft" }, "Worst first; choose a column to sort by it and a line to see it in time." + part),
    make("div", { class: "row" }, search),
    make("div", { class: "scroll" }, make("table", { class: "list" }, make("thead", {}, head), body)),
    make("h2", {}, "In time"), detail);
  function heads() {
    head.replaceChildren(...columns.map((name) => make("th", { class: "number" },
      make("button", { onclick: () => { [sorted, down] = [name, sorted === name ? !down : name !== "chrF"]; heads(); fill(); } },
        ...breakable(name), name === sorted ? (down ? " ↓" : " ↑") : ""))),
      make("th", {}, "written"), make("th", {}, "recording"));
  }
  function fill() {
    const wanted = search.value.toLowerCase();
    const text = (r) => [r.name, r.prediction, r.reference, r.transcript, r.text].join(" ").toLowerCase();
    const key = (r) => { const v = r.metrics[sorted]; return Number.isFinite(v) ? v : down ? -Infinity : Infinity; };
    const rows = recordings.filter((r) => text(r).includes(wanted)).sort((a, b) => down ? key(b) - key(a) : key(a) - key(b));
    body.replaceChildren(...rows.map((r) => make("tr",
      { class: r === chosen ? "pick on" : "pick", tabindex: 0, onclick: () => choose(r), onkeydown: (e) => { if (e.key === "Enter") choose(r); } },
      ...columns.map((name) => make("td", { class: "number" }, show(r.metrics[name]))),
      make("td", { class: "text" }, r.prediction || make("span", { class: "warn" }, "nothing")),
      make("td", { class: "soft place" }, ...breakable(r.name)))));
    if (!chosen && rows.length) choose(rows.find((r) => r.written && r.written.length) || rows[0]);
  }
  function choose(r) {
    const again = chosen;
    chosen = r;
    if (again !== r) fill();
    drawTimeline(detail, r);
  }
  heads();
  fill();
}

// A name that may go on in the next line after each of its parts.
function breakable(name) {
  return name.split(/(?<=[_/])/).flatMap((part, i) => i ? [make("wbr"), part] : [part]);
}

function quote(r) {
  const list = make("dl", { class: "quote" });
  for (const [label, text] of [["said", r.text], ["heard", r.transcript], ["reference", r.reference], ["written", r.prediction || "nothing"]])
    if (text) list.append(make("dt", {}, label), make("dd", {}, text));
  return list;
}

// Players; while one is heard the others stop.
function listen(r) {
  const players = Object.entries(r.audio || {}).map(([name, src]) =>
    make("audio", { controls: "", preload: "none", src, "aria-label": name,
      onplay: (event) => players.forEach((other) => { if (other !== event.target) other.pause(); }) }));
  const figures = players.map((player) => make("figure", {}, player, make("figcaption", {}, player.getAttribute("aria-label"))));
  return figures.length ? [make("div", { class: "row players" }, ...figures)] : [];
}
