// Curves: one series a policy, one point a run.

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
