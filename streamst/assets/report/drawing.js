"use strict";
// What curves, histograms and timelines are drawn with. These scripts stand in the page one after another, as do all
// data (#data); nothing is fetched.

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
