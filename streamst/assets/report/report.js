"use strict";
// Draws the parts of a report that can be explored: curves, histograms, recordings and their timelines.
// All data stand in the page (#data); nothing is fetched.

const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function shape(parent, tag, attributes = {}, text = null) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  parent.append(node);
  return node;
}

function tip(node, text) {
  shape(node, "title", {}, text);
  return node;
}

const ranks = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const UNIT_SUFFIX = { ms: " ms", s: " s", "%": " %" };

function show(value, unit) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text = Number.isInteger(value) || size >= 100 ? ranks.format(value)
    : size >= 10 ? value.toFixed(1) : size >= 0.1 ? value.toFixed(2) : value.toPrecision(2);
  return text + (UNIT_SUFFIX[unit] || "");
}

// Round steps of an axis from low to high, about `count` of them.
function ticks(low, high, count = 6) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const values = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) values.push(Number(v.toFixed(10)));
  return values;
}

function padded(values) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = (high - low || Math.abs(high) || 1) * 0.08;
  return [low >= 0 ? Math.max(0, low - pad) : low - pad, high + pad];
}

function chooser(label, names, chosen, onchange) {
  const select = make("select", { onchange: () => onchange(select.value) });
  for (const name of names) select.append(make("option", name === chosen ? { value: name, selected: "" } : { value: name }, name));
  return make("label", {}, label + " ", select);
}

// ---- curves: one series a policy, one point a run ----

function metricNames(kinds) {
  const found = [...new Set(data.points.flatMap((p) => Object.keys(p.metrics)))];
  return kinds.filter((name) => found.includes(name));
}

const MOST_BANDS = 4; // of a picture: more of them hide each other
const LETTER = [7, 14]; // width and height of a letter, about

// A label beside its point where nothing stands yet; none where there is no room: the point's tooltip has it, too.
function label(parent, text, x, y, taken, width) {
  const wide = text.length * LETTER[0];
  for (const [left, base] of [[x + 9, y - 8], [x + 9, y + 17], [x - 9 - wide, y - 8], [x - 9 - wide, y + 17]]) {
    const box = [left, base - LETTER[1], wide, LETTER[1] + 2];
    const free = left >= 0 && left + wide <= width && taken.every((other) =>
      other[0] >= box[0] + box[2] || box[0] >= other[0] + other[2] || other[1] >= box[1] + box[3] || box[1] >= other[1] + other[3]);
    if (!free) continue;
    taken.push(box);
    shape(parent, "text", { x: left, y: base }, text);
    return;
  }
}

function drawCurve(section) {
  const across = metricNames(data.axes.latency);
  const up = metricNames(data.axes.quality);
  if (!across.length || !up.length || data.points.length < 2) return;
  let [x, y, chosen] = [across[0], up[0], null];
  const holder = make("div", { class: "panel" });
  const legend = make("div", { class: "legend" });
  section.append(
    make("h2", {}, "Latency and quality"),
    make("p", { class: "soft" }, `Points are runs; shaded bands and whiskers are ${data.level} intervals (bootstrap over recordings). `
      + "Press a name to bring it out."),
    make("div", { class: "row" },
      chooser("Latency", across, x, (name) => { x = name; draw(); }),
      chooser("Quality", up, y, (name) => { y = name; draw(); })),
    holder, legend,
  );
  const names = [...new Set(data.points.map((p) => p.series))];
  const colour = (name) => `var(--s${names.indexOf(name) % 8})`;
  for (const name of names) legend.append(make("button", {
    "aria-pressed": "false",
    onclick: () => { chosen = chosen === name ? null : name; draw(); },
  }, make("i", { style: `background:${colour(name)}` }), name));

  function draw() {
    holder.replaceChildren();
    const points = data.points.filter((p) => x in p.metrics && y in p.metrics);
    const ends = (p, name) => [p.metrics[name].value, ...(p.intervals[name] || [])];
    const [x0, x1] = padded(points.flatMap((p) => ends(p, x)));
    const [y0, y1] = padded(points.flatMap((p) => ends(p, y)));
    const [W, H, L, B] = [1100, 430, 64, 48];
    const sx = (v) => L + ((v - x0) / (x1 - x0)) * (W - L - 16);
    const sy = (v) => H - B - ((v - y0) / (y1 - y0)) * (H - B - 14);
    const svg = shape(holder, "svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${y} against ${x}` });
    if (data.regimes.names.includes(x)) data.regimes.bands.forEach(([name, from, to], i) => {
      const [a, b] = [Math.max(from, x0), Math.min(to, x1)];
      if (a >= b) return;
      tip(shape(svg, "rect", { x: sx(a), y: 14, width: sx(b) - sx(a), height: H - B - 14, class: `regime regime${i}` }),
        `IWSLT's ${name} regime: ${from / 1000} to ${to / 1000} s`);
      shape(svg, "text", { x: sx(b) - 6, y: 28, "text-anchor": "end", class: "soft" }, `IWSLT ${name}`);
    });
    for (const v of ticks(x0, x1, 8)) {
      shape(svg, "line", { x1: sx(v), x2: sx(v), y1: 14, y2: H - B, class: "axis" });
      shape(svg, "text", { x: sx(v), y: H - B + 18, "text-anchor": "middle", class: "soft" }, ranks.format(v));
    }
    for (const v of ticks(y0, y1, 6)) {
      shape(svg, "line", { x1: L, x2: W - 16, y1: sy(v), y2: sy(v), class: "axis" });
      shape(svg, "text", { x: L - 8, y: sy(v) + 4, "text-anchor": "end", class: "soft" }, String(v));
    }
    const unit = (name) => points.length ? points[0].metrics[name].unit : "";
    shape(svg, "text", { x: (L + W) / 2, y: H - 8, "text-anchor": "middle" }, `${x} [${unit(x)}]`);
    shape(svg, "text", { x: 14, y: H / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${H / 2})` }, `${y} [${unit(y)}]`);
    const taken = points.map((p) => [sx(p.metrics[x].value) - 6, sy(p.metrics[y].value) - 6, 12, 12]);
    [...legend.children].forEach((button, i) => button.setAttribute("aria-pressed", String(names[i] === chosen)));
    for (const name of names) {
      const quiet = chosen !== null && chosen !== name;
      const group = shape(svg, "g", quiet ? { opacity: 0.25 } : {});
      const line = points.filter((p) => p.series === name).sort((a, b) => a.metrics[x].value - b.metrics[x].value);
      const at = (p) => [sx(p.metrics[x].value), sy(p.metrics[y].value)];
      if (line.length > 1) {
        const banded = line.filter((p) => p.intervals[y]);
        const edge = (side) => banded.map((p) => `${at(p)[0]},${sy(p.intervals[y][side])}`);
        if (chosen === name || (chosen === null && names.length <= MOST_BANDS))
          shape(group, "polygon", { points: [...edge(0), ...edge(1).reverse()].join(" "), fill: colour(name), opacity: 0.14 });
        shape(group, "polyline", { points: line.map((p) => at(p).join(",")).join(" "), fill: "none", stroke: colour(name), "stroke-width": 2 });
      }
      for (const p of line) {
        const [px, py] = at(p);
        const whisker = { stroke: colour(name), "stroke-width": 1.5, opacity: 0.65 };
        const [ix, iy] = [p.intervals[x], p.intervals[y]];
        if (ix) shape(group, "line", { x1: sx(ix[0]), x2: sx(ix[1]), y1: py, y2: py, ...whisker });
        if (iy) shape(group, "line", { x1: px, x2: px, y1: sy(iy[0]), y2: sy(iy[1]), ...whisker });
        const dot = shape(group, "circle", { cx: px, cy: py, r: 5.5, fill: colour(name) });
        const range = (name) => p.intervals[name] ? ` (${show(p.intervals[name][0])} to ${show(p.intervals[name][1])})` : "";
        tip(dot, `${p.name}\n${x} ${show(p.metrics[x].value, p.metrics[x].unit)}${range(x)}\n${y} ${show(p.metrics[y].value)}${range(y)}`);
        if (!quiet) label(group, p.label, px, py, taken, W);
      }
    }
  }
  draw();
}

// ---- histograms over recordings ----

function drawHistograms(section, run) {
  const all = data.distributions[run] || {};
  const shown = data.histograms.filter((name) => (all[name] || []).length > 1);
  if (!shown.length) return;
  const panels = make("div", { class: "panels" });
  section.replaceChildren(make("h2", {}, "How the recordings differ"),
    make("p", { class: "soft" }, "Percentiles are interpolated linearly between the two nearest recordings."), panels);
  for (const name of shown) {
    const values = [...all[name]].sort((a, b) => a - b);
    const unit = data.units[name] || "";
    const rank = (q) => show((data.percentiles[run] || {})[name]?.[q], unit);
    const panel = make("div", { class: "panel" },
      make("h3", {}, unit ? `${name} [${unit}]` : name),
      make("span", { class: "soft" }, `median ${rank("p50")} · p90 ${rank("p90")} · worst ${show(name === "chrF" ? values[0] : values[values.length - 1], unit)}`));
    panels.append(panel);
    if (values[0] === values[values.length - 1]) {
      panel.append(make("p", { class: "soft" }, `The same in all ${values.length}.`));
      continue;
    }
    const marks = ticks(values[0], values[values.length - 1], 14);
    const step = marks.length > 1 ? marks[1] - marks[0] : 1;
    const low = Math.floor(values[0] / step) * step;
    const bins = new Array(Math.max(1, Math.floor((values[values.length - 1] - low) / step) + 1)).fill(0);
    for (const v of values) bins[Math.min(bins.length - 1, Math.floor((v - low) / step))] += 1;
    const [W, H] = [320, 130];
    const top = Math.max(...bins);
    const svg = shape(panel, "svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `Histogram of ${name}` });
    const wide = (W - 4) / bins.length;
    bins.forEach((count, i) => {
      const tall = (count / top) * (H - 34);
      const bar = shape(svg, "rect", { x: 2 + i * wide + 1, y: H - 20 - tall, width: Math.max(1, wide - 2), height: tall, fill: "var(--s0)", rx: 1.5 });
      tip(bar, `${show(low + i * step)} to ${show(low + (i + 1) * step)}: ${count}`);
    });
    shape(svg, "line", { x1: 0, x2: W, y1: H - 20, y2: H - 20, class: "axis" });
    shape(svg, "text", { x: 2, y: H - 5, class: "soft" }, show(low));
    shape(svg, "text", { x: W - 2, y: H - 5, "text-anchor": "end", class: "soft" }, show(low + bins.length * step));
    shape(svg, "text", { x: W - 2, y: 10, "text-anchor": "end", class: "soft" }, `${top} of ${values.length}`);
  }
}

// ---- recordings and the timeline of one ----

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
    make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), body)),
    make("h2", {}, "In time"), detail);
  function heads() {
    head.replaceChildren(...columns.map((name) => make("th", { class: "number" },
      make("button", { onclick: () => { [sorted, down] = [name, sorted === name ? !down : name !== "chrF"]; heads(); fill(); } },
        name + (name === sorted ? (down ? " ↓" : " ↑") : "")))),
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
      make("td", {}, r.prediction || make("span", { class: "warn" }, "nothing")),
      make("td", { class: "soft" }, r.name))));
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

function drawTimeline(holder, r) {
  const total = Math.max(r.source_ms, ...(r.written || []).map((w) => w[1] ?? w[0]), ...(r.speech || []).map((s) => s[1]));
  const span = Math.min(total, 30000);
  let from = 0;
  const chart = make("div", {});
  const move = (step) => { from = Math.max(0, Math.min(total - span, from + step)); draw(); };
  holder.replaceChildren(
    make("h3", {}, r.name),
    quote(r),
    ...listen(r),
    ...(total > span ? [make("div", { class: "row" },
      make("button", { onclick: () => move(-span / 2) }, "◀ earlier"),
      make("button", { onclick: () => move(span / 2) }, "later ▶"),
      make("span", { class: "soft" }, `${(total / 1000).toFixed(0)} s in all`))] : []),
    chart,
    make("div", { class: "legend" },
      make("span", {}, make("i", { style: "background:var(--heard)" }), "said and recognised"),
      make("span", {}, make("i", { style: "background:var(--written)" }), "written: the bar reaches from the audio read to the moment it is ready, computation included"),
      make("span", {}, make("i", { style: "background:var(--speech)" }), "speech played")));
  draw();

  function draw() {
    chart.replaceChildren();
    const [W, L] = [1110, 70];
    const sx = (ms) => L + ((ms - from) / span) * (W - L - 12);
    const inside = (a, b) => b >= from && a <= from + span;
    const svg = shape(chart, "svg", { viewBox: `0 0 ${W} 10`, role: "img", "aria-label": "timeline" });
    let y = 6;
    const row = (name) => shape(svg, "text", { x: 0, y: y + 14, class: "soft" }, name);
    row("audio");
    const tall = 40;
    const end = Math.min(r.source_ms, from + span);
    if (r.envelope && r.envelope.length) {
      const each = r.source_ms / r.envelope.length;
      r.envelope.forEach((level, i) => {
        if (!inside(i * each, (i + 1) * each)) return;
        const h = Math.max(1, (level / 100) * tall);
        shape(svg, "rect", { x: sx(i * each), y: y + (tall - h) / 2, width: Math.max(0.6, sx(each) - sx(0) - 0.4), height: h, fill: "var(--heard)" });
      });
    } else shape(svg, "rect", { x: sx(Math.max(0, from)), y: y + tall / 2 - 3, width: Math.max(0, sx(end) - sx(from)), height: 6, fill: "var(--heard)" });
    y += tall + 10;
    y = words("heard", (r.heard || []).map((h) => [h[0], h[0], h[1]]), "var(--heard)");
    y = words("written", (r.written || []).map((w) => [w[0], w[1] ?? w[0], w[2]]), "var(--written)");
    if (r.speech && r.speech.length) {
      row("speech");
      for (const [start, stop, text] of r.speech) {
        if (!inside(start, stop)) continue;
        const bar = shape(svg, "rect", { x: sx(start), y: y, width: Math.max(1, sx(stop) - sx(start) - 1), height: 20, rx: 3, fill: "var(--speech)", opacity: 0.8 });
        tip(bar, `${text || "pause"}\n${(start / 1000).toFixed(2)} to ${(stop / 1000).toFixed(2)} s`);
      }
      y += 32;
    }
    if (r.written && r.written.length) y = staircase(y);
    for (const v of ticks(from / 1000, (from + span) / 1000, 10)) {
      const x = sx(v * 1000);
      svg.prepend(shape(svg, "line", { x1: x, x2: x, y1: 0, y2: y, class: "axis" }));
      shape(svg, "text", { x, y: y + 16, "text-anchor": "middle", class: "soft" }, `${v} s`);
    }
    if (inside(r.source_ms, r.source_ms))
      tip(shape(svg, "line", { x1: sx(r.source_ms), x2: sx(r.source_ms), y1: 0, y2: y, stroke: "var(--soft)", "stroke-dasharray": "4 3" }), "end of the audio");
    svg.setAttribute("viewBox", `0 0 ${W} ${y + 24}`);

    // Groups of words that came at once, in lanes so that no label covers another.
    function words(name, entries, colour) {
      if (!entries.length) return y;
      row(name);
      const groups = [];
      for (const [a, b, text] of entries) {
        const last = groups[groups.length - 1];
        if (last && last.a === a && last.b === b) last.text += " " + text;
        else groups.push({ a, b, text });
      }
      const lanes = [];
      for (const g of groups.filter((g) => inside(g.a, g.b))) {
        const width = g.text.length * 6.6 + 14;
        const left = sx(g.a) + width > W ? sx(g.a) - width : sx(g.a);
        let lane = lanes.findIndex((used) => used < left);
        if (lane < 0) lane = lanes.push(0) - 1;
        lanes[lane] = Math.max(left + width, sx(g.b) + 4);
        const top = y + lane * 20;
        shape(svg, "rect", { x: sx(g.a), y: top + 1, width: Math.max(2.5, sx(g.b) - sx(g.a)), height: 17, fill: colour, opacity: g.b > g.a ? 0.3 : 1, rx: 1 });
        shape(svg, "rect", { x: sx(g.a), y: top + 1, width: 2.5, height: 17, fill: colour });
        tip(shape(svg, "text", { x: left + 6, y: top + 14 }, g.text),
          `${g.text}\naudio read ${(g.a / 1000).toFixed(2)} s${g.b > g.a ? `, ready ${(g.b / 1000).toFixed(2)} s` : ""}`);
      }
      return y + Math.max(1, lanes.length) * 20 + 10;
    }

    // Units written against time, beside a writer without lag: the area between is what LAAL measures.
    function staircase(top) {
      const n = r.written.length;
      const h = 90;
      const length = Math.max(n, r.reference_units || 0);
      const sy = (k) => top + h - (k / Math.max(n, length)) * h;
      row("units");
      const clip = (ms) => Math.max(from, Math.min(from + span, ms));
      const steps = (index, style) => {
        const path = [`${sx(clip(0))},${sy(0)}`];
        r.written.forEach((w, k) => {
          const t = clip(w[index] ?? w[0]);
          path.push(`${sx(t)},${sy(k)}`, `${sx(t)},${sy(k + 1)}`);
        });
        path.push(`${sx(clip(total))},${sy(n)}`);
        shape(svg, "polyline", { points: path.join(" "), fill: "none", "stroke-width": 2, ...style });
      };
      const pace = [[0, 0], [r.source_ms, length]].map(([t, k]) => `${sx(clip(t))},${sy(total > span ? (length * clip(t)) / r.source_ms : k)}`);
      tip(shape(svg, "polyline", { points: pace.join(" "), fill: "none", stroke: "var(--soft)", "stroke-dasharray": "3 4" }), "a writer without lag");
      steps(1, { stroke: "var(--written)", opacity: 0.4 });
      steps(0, { stroke: "var(--written)" });
      return top + h + 10;
    }
  }
}

drawCurve(document.getElementById("curve"));

function drawRun(run) {
  drawHistograms(document.getElementById("histograms"), run);
  drawRecordings(document.getElementById("recordings"), run);
}

const names = data.points.map((p) => p.name);
if (names.length > 1)
  document.getElementById("choice").append(
    make("h2", {}, "One run"),
    make("div", { class: "row" }, chooser("Run", names, names[0], drawRun)));
drawRun(names[0]);
