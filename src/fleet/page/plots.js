// Requests a second and latency over time, drawn by uPlot.

import { $, colour, h, say } from "./dom.js";
import { stack } from "./stack.js";
import { grouped, time } from "./text.js";

const SIGNS = { backend: "▼", fault: "⚡", error: "✕", retry: "↻", double: "⇉", lost: "!", front: "⇄", check: "✓" };
// Beyond this many backends the stack shows the others as one.
const STACKED = 40;
// There is no half of a request.
const WHOLE = [1, 2, 5].flatMap((first) => Array.from({ length: 8 }, (_, power) => first * 10 ** power)).sort((a, b) => a - b);

let window_ = 60;
// The height of the stack, but for checks that have ended: they would dwarf all else.
let height = 1;
let rate = null;
let latency = null;
let model = null;

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function axes(size) {
  const common = { stroke: () => ink("--soft"), grid: { stroke: () => ink("--line"), width: 1 }, ticks: { stroke: () => ink("--line"), width: 1 } };
  return [{ ...common, values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toLocaleTimeString("en-GB")), space: 90 },
    { ...common, size, incrs: WHOLE, values: (_, ticks) => ticks.map(grouped) }];
}

// A line and a sign for what happened, with some pixels between two.
function marks(plot) {
  if (!model) return;
  const pen = plot.ctx;
  const scale = window.devicePixelRatio || 1;
  pen.save();
  pen.font = `${12 * scale}px system-ui, sans-serif`;
  pen.textAlign = "center";
  let last = -Infinity;
  for (const mark of model.marks) {
    const x = plot.valToPos(mark.at / 1000, "x", true);
    if (x < plot.bbox.left || x > plot.bbox.left + plot.bbox.width) continue;
    pen.strokeStyle = pen.fillStyle = ink(["error", "double", "lost"].includes(mark.kind) ? "--fail" : "--ink");
    pen.globalAlpha = 0.7;
    pen.setLineDash([4 * scale, 3 * scale]);
    pen.beginPath();
    pen.moveTo(x, plot.bbox.top);
    pen.lineTo(x, plot.bbox.top + plot.bbox.height);
    if (x - last > 12 * scale) {
      pen.stroke();
      pen.globalAlpha = 1;
      pen.fillText(SIGNS[mark.kind] ?? "?", x, plot.bbox.top - 3 * scale);
      last = x;
    }
  }
  pen.restore();
}

function size(element, height) {
  return { width: Math.max(280, element.clientWidth), height };
}

export function begin(now) {
  model = now;
  for (const plot of [rate, latency]) plot?.destroy();
  const stacked = Math.min(model.backends.length, STACKED);
  // The whole stack first, in the colour of the last; each of the others over it.
  const series = Array.from({ length: stacked }, (_, index) => ({ fill: colour(stacked - 1 - index), stroke: colour(stacked - 1 - index), width: 0, points: { show: false } }));
  rate = new uPlot({ ...size($("rate"), 220), padding: [18, 28, 0, 0], legend: { show: false }, cursor: { show: false },
    scales: { x: { time: false }, y: { range: () => [0, Math.max(1, height * 1.05)] } },
    series: [{}, ...series], axes: axes(64), hooks: { draw: [marks] } }, [[], ...series.map(() => [])], $("rate"));
  const line = (stroke, dash) => ({ stroke: () => ink(stroke), width: 2, dash, points: { show: false }, spanGaps: true });
  const times = axes(72);
  delete times[1].incrs;
  // A line for each power of ten: those between them would be a grey band.
  const filter = (_, splits) => splits.map((split) => (Number.isInteger(Math.round(Math.log10(split) * 1e6) / 1e6) ? split : null));
  Object.assign(times[1], { grid: { ...times[1].grid, filter }, ticks: { ...times[1].ticks, filter } });
  times[1].values = (_, ticks) => ticks.map((tick) => (tick === null ? null : time(tick).replace(/\.0+ /, " ")));
  latency = new uPlot({ ...size($("latency-plot"), 180), padding: [18, 28, 0, 0], legend: { show: false }, cursor: { show: false },
    scales: { x: { time: false }, y: { distr: 3 } },
    series: [{}, line("--note"), line("--ink", [6, 4])], axes: times, hooks: { draw: [marks] } }, [[], [], []], $("latency-plot"));
  for (const button of document.querySelectorAll("[data-window]")) {
    button.onclick = () => {
      window_ = Number(button.dataset.window);
      for (const other of document.querySelectorAll("[data-window]")) other.setAttribute("aria-pressed", String(other === button));
      show(model);
    };
  }
}

export function show(now) {
  model = now;
  const seconds = model.seconds.slice(-window_);
  const last = seconds.at(-1)?.at ?? Math.floor(model.at / 1000) - 1;
  const xs = seconds.map(({ at }) => at);
  const { sums, peak, height: usual } = stack(seconds, model.backends.length, STACKED);
  height = usual;
  const range = { min: last - window_ + 1, max: Math.max(last, last - window_ + 2) };
  const draw = (plot, data, element, tall) => {
    const wanted = size(element, tall);
    if (plot.width !== wanted.width) plot.setSize(wanted);
    plot.batch(() => {
      plot.setData(data, false);
      plot.setScale("x", range);
    });
  };
  draw(rate, [xs, ...sums], $("rate"), 220);
  const of = (name) => seconds.map(({ latency: times }) => times?.[name] ?? null);
  draw(latency, [xs, of("p50"), of("p99")], $("latency-plot"), 180);
  const { rate: sum, backends: figures } = model.figures;
  const each = model.backends.slice(0, 8).map((backend, place) => `${backend.name}: ${grouped(figures[place].rate)}`);
  say($("rate-text"), `Now ${grouped(sum)} req/s · ${each.join(" · ")}${model.backends.length > 8 ? " · …" : ""}${peak > height ? ` · peak ${grouped(peak)} req/s not shown` : ""}`);
  table();
}

const COLUMNS = [["p50", "p50"], ["p90", "p90"], ["p99", "p99"], ["p99_9", "p99.9"]];
let cells = [];

function table() {
  const names = ["client", "all backends", ...model.backends.slice(0, STACKED).map((backend) => backend.name)];
  if (cells.length !== names.length) {
    cells = names.map(() => COLUMNS.map(() => h("td", { class: "number" })));
    $("latency").replaceChildren(
      h("caption", {}, "The plot: p50, and dashed p99, of all backends. Client: from sending a request through the balancer to the end of its response, where a client of ours sends (demo)."),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "at"), COLUMNS.map(([, name]) => h("th", { scope: "col", class: "number" }, name)))),
      h("tbody", {}, names.map((name, row) => h("tr", {}, h("th", { scope: "row" }, name), cells[row]))));
  }
  const latencies = [model.figures.client, model.figures.latency, ...model.figures.backends.map((of) => of.latency)];
  cells.forEach((row, index) => row.forEach((cell, column) => say(cell, time(latencies[index]?.[COLUMNS[column][0]]))));
}

// The colours of the lines follow the theme.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => [rate, latency].forEach((plot) => plot?.redraw(false, true)));
