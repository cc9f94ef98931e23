// The backends: what each does, its share, and what can be done to it.

import { act, canAct, fault } from "./api.js";
import { $, colour, h, say, toggle } from "./dom.js";
import { attempt } from "./said.js";
import { grouped, percent, time } from "./text.js";

const STATES = {
  starting: ["…", "starting"],
  ready: ["●", "ready"],
  unready: ["◐", "unready"],
  draining: ["◔", "draining"],
  paused: ["❚❚", "paused"],
  gone: ["✕", "gone"],
};

const TITLES = {
  kill: "kill -9: gone at once, its port refuses connections",
  pause: "SIGSTOP: its port accepts connections, but nothing responds",
  resume: "SIGCONT: it resumes and responds to queued requests",
  drain: "It accepts no new connections, finishes what is in flight, then ends",
  start: "A new process",
};
const FAULTS = [
  ["latency:200ms", "slow: 200 ms"],
  ["latency:3s", "slow: 3 s"],
  ["status:503:50%", "503 for 50 %"],
  ["reset:50%", "reset 50 %"],
  ["hang", "hang"],
  ["unhealthy", "fail health check"],
];

// More of them scroll in a box of their own, or all else would be out of sight.
const MANY = 12;

let cards = [];

function card(backend, place) {
  const { name, url } = backend;
  const does = (action) =>
    h("button", { type: "button", "data-acts": true, "data-action": action, class: action === "kill" ? "danger" : undefined, title: TITLES[action], "aria-label": `${action} ${name}`, disabled: !canAct(),
      onclick: () => attempt(`${action} ${name}`, act(action, name)) }, action);
  const breaks = ([what, label]) =>
    h("button", { type: "button", "data-acts": true, "data-fault": what, "aria-label": `${label}: ${name}`, disabled: !canAct(),
      onclick: () => attempt(`${what} at ${name}`, fault(name, what)) }, label);
  const parts = {
    state: h("span", { class: "state" }),
    share: h("span", { class: "share" }),
    fill: h("span", { class: "fill" }),
    expected: h("span", { class: "expected" }),
    facts: h("span", { class: "facts" }),
    faults: h("p", { class: "faults", hidden: true }),
    buttons: Object.keys(TITLES).map(does),
    breakers: [...FAULTS.map(breaks), h("button", { type: "button", "data-acts": true, "data-fault": "clear", "aria-label": `clear the faults of ${name}`,
      disabled: !canAct(), onclick: () => attempt(`clear ${name}`, act("clear", name)) }, "clear")],
  };
  parts.details = h("details", {}, h("summary", { "aria-label": `inject a fault into ${name}` }, "inject a fault"), h("p", { class: "buttons" }, parts.breakers));
  parts.fill.style.background = colour(place);
  const element = h("li", { class: "backend", "data-backend": name },
    h("p", { class: "name" }, h("a", { href: url, rel: "noopener" }, name), parts.state, parts.share),
    h("div", { class: "bar", "aria-hidden": "true" }, parts.fill, parts.expected),
    h("p", {}, parts.facts),
    parts.faults,
    h("p", { class: "buttons" }, parts.buttons),
    parts.details);
  element.style.setProperty("--own", colour(place));
  return { element, parts };
}

export function begin(model) {
  cards = model.backends.map((backend, place) => card(backend, place));
  $("backends").classList.toggle("many", model.backends.length > MANY);
  $("backends").replaceChildren(...cards.map(({ element }) => element));
  $("clear-all").disabled = !canAct();
  $("clear-all").onclick = () => attempt("clear all faults", act("clear"));
}

export function show(model) {
  const promises = model.figures.backends.some(({ expected }) => expected !== null);
  const expected = promises ? "; the line marks the expected share" : "; the algorithm guarantees none";
  say($("backends-expected"), model.isEmpty() ? "" : `shares of the last 10 s${model.front ? expected : ""}`);
  toggle($("clear-all"), "hidden", !model.backends.some(({ faults }) => faults.length > 0));
  model.backends.forEach((backend, place) => {
    const { element, parts } = cards[place];
    const { share, expected, rate, errors, connections, http_2: http2, in_flight: inFlight, streams, websockets, latency } = model.figures.backends[place];
    const [sign, word] = STATES[backend.state];
    element.dataset.state = backend.state;
    say(parts.state, `${sign} ${word}`);
    say(parts.share, percent(share));
    parts.fill.style.width = `${100 * (share ?? 0)}%`;
    toggle(parts.expected, "hidden", expected === null);
    if (expected !== null) parts.expected.style.left = `${100 * expected}%`;
    say(parts.facts, [
      `${grouped(rate)}/s`,
      `${grouped(inFlight)} in flight`,
      connections > 0 ? `${grouped(connections)} ${connections === 1 ? "connection" : "connections"}` : "",
      http2 > 0 ? (http2 === 1 ? "HTTP/2" : `${percent(http2)} HTTP/2`) : "",
      streams > 0 ? `${grouped(streams)} ${streams === 1 ? "stream" : "streams"} open` : "",
      websockets > 0 ? `${grouped(websockets)} ${websockets === 1 ? "WebSocket" : "WebSockets"} open` : "",
      `p50 ${time(latency?.p50)}`,
      errors > 0 ? `${grouped(errors)} ${errors === 1 ? "error" : "errors"}` : "",
    ].filter(Boolean).join(" · "));
    toggle(parts.faults, "hidden", backend.faults.length === 0);
    say(parts.faults, `faults: ${backend.faults.join(", ")}`);
    for (const button of parts.buttons) toggle(button, "hidden", !backend.actions.includes(button.dataset.action));
    // A process that is gone cannot misbehave.
    toggle(parts.details, "hidden", backend.state === "gone");
    for (const button of parts.breakers) toggle(button, "disabled", !canAct() || backend.state === "gone");
  });
}
