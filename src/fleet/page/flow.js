// The picture on top: client, balancer, backends. A line is as thick as its backend's share, what moves on it is the traffic, and a retry is
// a second, dashed path.

import { $, colour } from "./dom.js";
import { lanes, shortened, spacing } from "./lanes.js";
import { percent, time } from "./text.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
// More of them would be lines without room between them.
const MOST = 12;
// How long a retry is shown, in milliseconds.
const RECENT = 10_000;
const SIGNS = { gone: "✕", paused: "❚❚", draining: "◔", unready: "◐", starting: "…" };

const picture = $("flow");
let parts = null;
let built = "";

function svg(tag, properties, ...children) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function box(x, y, width, height, ...lines) {
  const texts = lines.map((line, index) => svg("text", { x: x + width / 2, y: y + height / 2 + 5 + (index - (lines.length - 1) / 2) * 17, "text-anchor": "middle" }, line));
  const element = svg("g", {}, svg("rect", { x, y, width, height, rx: 6, class: "node" }), ...texts);
  return { element, texts, first: y + height / 2 + 5 - ((lines.length - 1) / 2) * 17, middle: y + height / 2 + 5 };
}

// Lines first, boxes over them.
function build(model, width) {
  const it = lanes(model.backends.length, width, Math.max(...model.backends.map(({ name }) => name.length)));
  picture.setAttribute("viewBox", `0 0 ${width} ${it.height}`);
  picture.style.height = `${it.height}px`;
  const wires = it.paths.map((path) => {
    const wire = { base: svg("path", { d: path, class: "wire" }), dots: svg("path", { d: path, class: "dots" }), retry: svg("path", { d: path, class: "retry", transform: "translate(0 7)" }) };
    return { ...wire, all: [wire.base, wire.retry, wire.dots] };
  });
  const trunk = { base: svg("path", { d: it.trunk, class: "wire trunk" }), dots: svg("path", { d: it.trunk, class: "dots trunk" }) };
  const client = box(it.client.x, it.client.y, it.client.width, it.client.height, "clients", "", "");
  const balancer = box(it.balancer.x, it.balancer.y, it.balancer.width, it.balancer.height, "", "");
  const backends = it.backends.map(({ x, y, width: wide, height }) => box(x, y, wide, height, ""));
  wires.forEach(({ base, dots }, place) => [base, dots].forEach((path) => path.style.setProperty("--own", colour(place))));
  backends.forEach(({ element }, place) => element.style.setProperty("--own", colour(place)));
  picture.replaceChildren(...wires.flatMap(({ all }) => all), trunk.base, trunk.dots, client.element, balancer.element, ...backends.map(({ element }) => element));
  parts = { wires, trunk, client, balancer, backends, room: it.room };
}

// Dots move at one speed; where there is more traffic they follow each other more closely.
function move(path, rate) {
  const gap = spacing(rate);
  path.setAttribute("stroke-dasharray", `0 ${gap || 480}`);
  path.classList.toggle("still", gap === 0);
}

export function show(model) {
  const many = model.backends.length > MOST;
  picture.toggleAttribute("hidden", many);
  const width = Math.max(300, Math.round(picture.parentElement.clientWidth));
  if (many || picture.parentElement.clientWidth === 0) return;
  const key = `${width}:${model.backends.map(({ name }) => name)}`;
  if (key !== built) build(model, width);
  built = key;
  const { rate, backends: figures } = model.figures;
  const retries = model.marks.filter(({ kind, at }) => kind === "retry" && model.at - at < RECENT);
  write(parts.client.texts[1], `${rate} req/s`);
  const name = model.front?.balancer ?? (model.front ? "balancer" : "no balancer");
  write(parts.balancer.texts[0], name);
  write(parts.balancer.texts[1], retries.length > 0 ? `↻ ${retries.reduce((sum, { count }) => sum + count, 0)} retried` : "");
  parts.balancer.texts[0].setAttribute("y", retries.length > 0 ? parts.balancer.first : parts.balancer.middle);
  parts.balancer.element.classList.toggle("off", !model.front);
  move(parts.trunk.dots, rate);
  model.backends.forEach((backend, place) => {
    const { share, rate: own } = figures[place];
    const { base, dots, retry } = parts.wires[place];
    const { element, texts } = parts.backends[place];
    const dead = backend.state === "gone" || backend.state === "paused";
    base.setAttribute("stroke-width", dead ? "1.5" : (1.5 + 12 * (share ?? 0)).toFixed(1));
    base.classList.toggle("dead", dead);
    move(dots, dead ? 0 : own);
    retry.classList.toggle("shown", retries.some((mark) => mark.backend === backend.name));
    element.classList.toggle("dead", dead);
    write(texts[0], `${SIGNS[backend.state] ? `${SIGNS[backend.state]} ` : ""}${shortened(backend.name, parts.room)} · ${percent(share)}`);
  });
  const felt = model.figures.client;
  write(parts.client.texts[2], felt ? `p50 ${time(felt.p50)}` : "");
  const each = model.backends.map((backend, place) => `${backend.name} ${backend.state}, ${percent(figures[place].share)}`);
  picture.setAttribute("aria-label", `Clients send ${rate} requests per second to ${name}; backends: ${each.join("; ")}`);
}
