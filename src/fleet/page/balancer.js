// What stands before the fleet: how it balances, requests through it, and a check of it.

import { ask, canAct } from "./api.js";
import { $, h, say, toggle } from "./dom.js";
import { attempt, tell } from "./said.js";
import { address, clock, grouped, time, weighted, word } from "./text.js";

let parts = null;
let shown = "";
// Whether a check ran when the page was drawn last.
let running = false;

// "10 × 9001 · 10 × 9002": who answered, as the client saw it.
function summary(answer) {
  const counts = new Map();
  for (const { backend, seen } of answer.answers) {
    const name = backend ?? seen;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].sort().map(([name, count]) => `${count} × ${name}`).join(" · ");
}

export async function send(requests, keepCookies = false) {
  const answer = await attempt(`${requests} requests`, ask("POST", `v1/send?requests=${requests}&keep-cookies=${keepCookies}`));
  if (answer) tell(`${requests} requests${keepCookies ? " of one client" : ""}: ${summary(answer)}`);
  return answer;
}

export const balance = (algorithm, weights = []) => attempt(`balance: ${algorithm}${weights.length > 0 ? ` ${weights.join(":")}` : ""}`, ask("POST", "v1/front/balance", { algorithm, weights }));
export const check = () => attempt("check", ask("POST", "v1/check"), "running …");

export function begin() {
  const off = !canAct();
  const url = h("input", { type: "url", id: "url", placeholder: "http://localhost:8080/uuid", required: true, disabled: off, "data-acts": true });
  const algorithm = h("select", { id: "algorithm", disabled: off, "data-acts": true });
  const weights = h("input", { id: "weights", placeholder: "1:1:1", size: 8, disabled: off, "data-acts": true });
  const start = h("button", { type: "button", id: "check", disabled: off, "data-acts": true, onclick: check }, "Start a check");
  parts = {
    url, algorithm, weights, start,
    known: h("form", { class: "row", onsubmit: apply }, h("span", { class: "row" }, h("label", { for: "algorithm" }, "Algorithm"), algorithm), h("span", { class: "row" }, h("label", { for: "weights" }, "Weights"), weights),
      h("button", { disabled: off, "data-acts": true }, "Apply")),
    unknown: h("form", { class: "row", onsubmit: stands }, h("label", { for: "url" }, "URL of your balancer"), url, h("button", { disabled: off, "data-acts": true }, "Use this URL")),
    ways: h("ol", { class: "ways", hidden: true }),
    problem: h("p", { class: "problem", hidden: true }),
    buttons: h("p", { class: "buttons" },
      h("button", { type: "button", id: "send", disabled: off, "data-acts": true, onclick: () => send(30) }, "Send 30 requests now"),
      h("button", { type: "button", id: "send-one", disabled: off, "data-acts": true, onclick: () => send(30, true), title: "One client that keeps its cookies" }, "… as one client"),
      start),
    check: h("div", { id: "check-result", "aria-live": "polite" }),
  };
  shown = "";
  $("balancer-body").replaceChildren(parts.known, parts.ways, parts.unknown, parts.problem, parts.buttons, parts.check);
}

function apply(event) {
  event.preventDefault();
  const weights = parts.weights.value.trim() === "" ? [] : parts.weights.value.split(":").map(Number);
  if (weights.some((weight) => !Number.isInteger(weight) || weight < 1)) return tell("weights: expected whole numbers from 1, such as 5:1:1", true);
  return balance(parts.algorithm.value, weights);
}

function stands(event) {
  event.preventDefault();
  return attempt("the balancer", ask("PUT", "v1/front", { url: parts.url.value }));
}

export function show(model) {
  const front = model.front;
  say($("front"), front ? `${front.balancer ?? "A balancer"} at ${front.url}${front.algorithm ? ` · ${front.algorithm}${weighted(front.weights)}` : ""}` : "No balancer yet.");
  const age = sinceCheck(model.marks);
  const key = JSON.stringify([front, model.check, age, model.backends.map(({ url }) => url)]);
  if (key === shown) return;
  shown = key;
  if (running && model.check?.result) tell(`check: ${model.check.result.verdict}`);
  running = Boolean(model.check && !model.check.result && !model.check.error);
  toggle(parts.start, "disabled", running || !canAct()); // one check at a time
  const choices = front?.choices ?? [];
  toggle(parts.known, "hidden", choices.length === 0);
  toggle(parts.unknown, "hidden", choices.length > 0);
  toggle(parts.buttons, "hidden", !front);
  toggle(parts.ways, "hidden", Boolean(front));
  if (!front) parts.ways.replaceChildren(...ways(model.backends, parts.unknown));
  else parts.ways.after(parts.unknown);
  if (choices.length > 0 && document.activeElement !== parts.algorithm) {
    parts.algorithm.replaceChildren(...choices.map((choice) => h("option", { selected: choice === word(front) }, choice)));
  }
  if (document.activeElement !== parts.weights) parts.weights.value = weighted(front?.weights).trim();
  if (front && document.activeElement !== parts.url) parts.url.value = front.url;
  toggle(parts.problem, "hidden", !front?.problem);
  say(parts.problem, front?.problem ?? "");
  parts.check.replaceChildren(...(model.check ? describe(model.check, age) : []));
}

// When the latest check ended, and whether something has changed since: then its verdict is one of the past.
function sinceCheck(marks) {
  const place = marks.findLastIndex(({ kind }) => kind === "check");
  if (place < 0) return { at: null, stale: false };
  const stale = marks.slice(place + 1).some(({ kind }) => kind === "backend" || kind === "fault" || kind === "front");
  return { at: marks[place].at, stale };
}

// A text to copy, with a button that does it.
function copied(text, what) {
  const button = h("button", { type: "button", class: "quiet", "aria-label": `copy ${what}`, onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      tell(`${what}: copied`);
    } catch {
      tell(`${what}: the browser does not permit copying; select the text`, true);
    }
  } }, "copy");
  return [h("pre", { tabindex: "0", role: "group", "aria-label": what }, h("code", {}, ...text.split(/(\n)/).map((part) => (part === "\n" ? document.createTextNode(part) : part)))), button];
}

// Three ways to a balancer, for who has none yet.
function ways(backends, form) {
  const servers = backends.slice(0, 16).map(({ url }) => `    server ${address(url)};`);
  const snippet = ["upstream uuid {", "    zone uuid 64k;", ...servers, "}", "", "server {", "    listen 80;", "    listen [::]:80;", "    server_name localhost;", "", "    location /uuid {", `        proxy_pass ${backends[0]?.url.startsWith("https:") ? "https" : "http"}://uuid/;`, "    }", "}"];
  return [
    h("li", {}, h("b", {}, "See one at once"), "Start a demo in another terminal:", copied("uuid-generator demo", "the command")),
    h("li", {}, h("b", {}, "Put NGINX in front of these backends"), "Inside ", h("code", {}, "http { … }"), ", or as a file in /etc/nginx/conf.d:", copied(snippet.join("\n"), "the lines for NGINX"),
      "Reload it (nginx -s reload) and open http://localhost/uuid"),
    h("li", {}, h("b", {}, "Use a balancer that is running"), form),
  ];
}

function describe({ url, phase, sent, total, result, error }, { at, stale }) {
  if (error) return [h("p", { class: "problem" }, `The check of ${url} could not run: ${error}`)];
  if (!result) {
    return [h("p", {}, `Check: ${phase}`), h("progress", total > 0 ? { value: sent, max: total, "aria-label": "the check" } : { "aria-label": "the check" }),
      h("p", { class: "note" }, total > 0 ? `${grouped(sent)} of ${grouped(total)}` : "")];
  }
  const signs = { pass: "✓", note: "i", inconclusive: "?", fail: "✕" };
  return [
    h("p", { class: `verdict ${result.verdict}${stale ? " stale" : ""}` }, `${signs[result.verdict]} ${result.verdict.toUpperCase()}`,
      h("small", {}, `${result.algorithm ? ` ${result.algorithm}` : ""}${at === null ? "" : ` · ${clock(at)}`}`)),
    stale ? h("p", { class: "note" }, "Something has changed since then. Start another check.") : "",
    h("p", {}, `${grouped(result.sent)} requests: ${result.outcomes.map(([outcome, count]) => `${grouped(count)} ${outcome}`).join(" · ")}`),
    result.client ? h("p", { class: "note" }, `Latency as its clients felt it: p50 ${time(result.client.p50)} · p99 ${time(result.client.p99)}`) : "",
    h("ul", { class: "findings" }, result.findings.map(([outcome, summary, hint]) =>
      h("li", { class: outcome }, h("b", {}, `${signs[outcome]} ${outcome} `), summary, hint ? h("span", { class: "hint" }, hint) : null))),
  ];
}
