// One recording in time.

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
