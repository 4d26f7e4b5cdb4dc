// Histograms over recordings.

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
