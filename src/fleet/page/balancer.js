// What stands before the fleet: how it balances, requests through it, and a check of it.

import { ask, canAct } from "./api.js";
import { $, h, say, toggle } from "./dom.js";
import { attempt, tell } from "./said.js";
import { grouped, weighted, word } from "./text.js";

let parts = null;
let shown = "";

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
  if (answer) tell(`${requests} requests${keepCookies ? " of one visitor" : ""}: ${summary(answer)}`);
  return answer;
}

export const balance = (algorithm, weights = []) => attempt(`balance: ${algorithm}${weights.length > 0 ? ` ${weights.join(":")}` : ""}`, ask("POST", "v1/front/balance", { algorithm, weights }));
export const check = () => attempt("a check", ask("POST", "v1/check"));

export function begin() {
  const off = !canAct();
  const url = h("input", { type: "url", id: "url", placeholder: "http://localhost:8080/uuid", required: true, disabled: off, "data-acts": true });
  const algorithm = h("select", { id: "algorithm", disabled: off, "data-acts": true });
  const weights = h("input", { id: "weights", placeholder: "1:1:1", size: 8, disabled: off, "data-acts": true });
  parts = {
    url, algorithm, weights,
    known: h("form", { class: "row", onsubmit: apply }, h("span", { class: "row" }, h("label", { for: "algorithm" }, "Algorithm"), algorithm), h("span", { class: "row" }, h("label", { for: "weights" }, "Weights"), weights),
      h("button", { disabled: off, "data-acts": true }, "Apply")),
    unknown: h("form", { class: "row", onsubmit: stands }, h("label", { for: "url" }, "Your balancer listens at "), url, h("button", { disabled: off, "data-acts": true }, "Use this URL")),
    problem: h("p", { class: "problem", hidden: true }),
    buttons: h("p", { class: "buttons" },
      h("button", { type: "button", id: "send", disabled: off, "data-acts": true, onclick: () => send(30) }, "Send 30 requests now"),
      h("button", { type: "button", id: "send-one", disabled: off, "data-acts": true, onclick: () => send(30, true), title: "One visitor who keeps the cookies" }, "… as one visitor"),
      h("button", { type: "button", id: "check", disabled: off, "data-acts": true, onclick: check }, "Start a check")),
    check: h("div", { id: "check-result", "aria-live": "polite" }),
  };
  shown = "";
  $("balancer-body").replaceChildren(parts.known, parts.unknown, parts.problem, parts.buttons, parts.check);
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
  say($("front"), front ? `${front.balancer ?? "A balancer"} at ${front.url}${front.algorithm ? ` · ${front.algorithm}${weighted(front.weights)}` : ""}` : "No balancer is known yet.");
  const key = JSON.stringify([front, model.check]);
  if (key === shown) return;
  shown = key;
  const choices = front?.choices ?? [];
  toggle(parts.known, "hidden", choices.length === 0);
  toggle(parts.unknown, "hidden", choices.length > 0);
  toggle(parts.buttons, "hidden", !front);
  if (choices.length > 0 && document.activeElement !== parts.algorithm) {
    parts.algorithm.replaceChildren(...choices.map((choice) => h("option", { selected: choice === word(front) }, choice)));
  }
  if (document.activeElement !== parts.weights) parts.weights.value = weighted(front?.weights).trim();
  if (front && document.activeElement !== parts.url) parts.url.value = front.url;
  toggle(parts.problem, "hidden", !front?.problem);
  say(parts.problem, front?.problem ?? "");
  parts.check.replaceChildren(...(model.check ? describe(model.check) : []));
}

function describe({ url, phase, sent, total, result, error }) {
  if (error) return [h("p", { class: "problem" }, `The check of ${url} could not run: ${error}`)];
  if (!result) {
    return [h("p", {}, `Check: ${phase}`), h("progress", total > 0 ? { value: sent, max: total, "aria-label": "the check" } : { "aria-label": "the check" }),
      h("p", { class: "note" }, total > 0 ? `${grouped(sent)} of ${grouped(total)}` : "")];
  }
  const signs = { pass: "✓", note: "i", inconclusive: "?", fail: "✕" };
  return [
    h("p", { class: `verdict ${result.verdict}` }, `${signs[result.verdict]} ${result.verdict.toUpperCase()}`, h("small", {}, result.algorithm ? ` ${result.algorithm}` : "")),
    h("p", {}, `${grouped(result.sent)} requests: ${result.outcomes.map(([outcome, count]) => `${grouped(count)} ${outcome}`).join(" · ")}`),
    h("ul", { class: "findings" }, result.findings.map(([outcome, summary, hint]) =>
      h("li", { class: outcome }, h("b", {}, `${signs[outcome]} ${outcome} `), summary, hint ? h("span", { class: "hint" }, hint) : null))),
  ];
}
