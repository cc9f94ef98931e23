// A guided tour of five experiments: what to do, what there is to see, and why. It looks by itself whether it can be seen.

import { act, canAct, fault } from "./api.js";
import { balance, send } from "./balancer.js";
import { $, h, say, toggle } from "./dom.js";
import { attempt } from "./said.js";
import { percent, word } from "./text.js";

let current = -1;
let model = () => null;
let steps = [];
// For each thing to do of the current step: what had been counted when it began, when it was done and some time after, and what came of it.
let done = [];
let lines = [];

// Requests that are enough to see shares.
const ENOUGH = 25;
// What was in flight when something was done has ended after this time: milliseconds.
const SETTLED = 1000;

const describe = (now, { shares }) => now.backends.map((backend, place) => `${backend.name}: ${percent(shares[place])}`).join(" · ");
const choices = (now) => now.front?.choices ?? [];
const can = (now, algorithm) => choices(now).includes(algorithm);
const near = (share, wanted, within) => share !== null && Math.abs(share - wanted) <= within;

// Balances in that way; done when it is so, or the balancer says why not.
async function become(algorithm, weights = []) {
  const answer = await balance(algorithm, weights);
  if (!answer) return null;
  const is = (front) => word(front) === algorithm && (weights.length > 0 ? String(front.weights) === String(weights) : front.weights.every((weight) => weight === front.weights[0]));
  for (let turn = 0; turn < 100 && !is(now_().front); turn += 1) {
    if (now_().front?.problem) return null;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return answer;
}

// A balancer that cannot be changed from here is by round robin already, or it is not.
const roundRobin = (weights = []) => (can(now_(), "round-robin") ? become("round-robin", weights) : Promise.resolve({}));

// What is done before a step begins: nothing misbehaves, all run.
async function tidy() {
  const now = model();
  if (now.backends.some((backend) => backend.faults.length > 0)) await attempt("clear all faults", act("clear"));
  const gone = now.backends.filter((backend) => backend.state === "gone");
  for (const backend of gone) await attempt(`start ${backend.name}`, act("start", backend.name));
  for (const backend of now.backends.filter(({ state }) => state === "paused")) await attempt(`resume ${backend.name}`, act("resume", backend.name));
}

function plan(now) {
  const count = now.backends.length;
  const place = Math.min(1, count - 1);
  const victim = now.backends[place].name;
  const name = now.front?.balancer ?? "the balancer";
  const weights = now.backends.map((_, index) => (index === 0 ? 5 : 1));
  const first = 5 / (count + 4);
  const least = ["least-connections", "two-choices"].find((algorithm) => can(now, algorithm));
  const sticky = can(now, "sticky") ? "sticky" : can(now, "source") ? "source" : null;
  const changes = now.front?.reloads
    ? `To change its algorithm ${name} reloads: new processes take over, and the old ones finish what they have begun.`
    : "To change its algorithm the balancer is restarted: what is in flight is cut off, and marked.";
  const retries = now.front?.retries
    ? `${name} tries another backend at once when a connection is refused, so visitors see no error.`
    : `${name}, as it is configured here, does not try another backend: some visitors see an error until it notices.`;
  return [
    {
      title: "Round robin",
      why: "Each request goes to the next backend in the list. That is fair if all requests cost the same and all backends are alike. It is the default of most balancers.",
      acts: [{
        label: "Balance by round robin and send 30 requests",
        run: async () => ((await roundRobin()) ? send(30) : null),
        see: "The order strip shows a regular pattern, and every backend has the same share.",
        seen: ({ begun }) => {
          const it = now_().since(begun);
          return it.sum >= ENOUGH && it.shares.every((share) => near(share, 1 / count, 0.06)) && describe(now_(), it);
        },
      }],
    },
    {
      title: "Weights",
      why: `With weights 5:1:1 the first backend gets five requests for each one of the others: it may be a larger machine. A good balancer spreads the five: ${now.backends[0].name} does not get five in a row.`,
      acts: [{
        label: `Set weights ${weights.join(":")} and send 30 requests`,
        needs: can(now, "round-robin"),
        run: async () => ((await roundRobin(weights)) ? send(30) : null),
        see: `The first backend has ${percent(first)} of the requests; in the strip the others stand alone between its cells.`,
        seen: ({ begun }) => {
          const it = now_().since(begun);
          return it.sum >= ENOUGH && near(it.shares[0], first, 0.07) && describe(now_(), it);
        },
      }],
    },
    {
      title: "Kill one",
      why: `A dead backend refuses connections. ${retries} It then avoids the backend for a while, and tries it again later.`,
      acts: [
        {
          label: `Balance by round robin, and kill -9 ${victim}`,
          run: async () => ((await roundRobin()) ? attempt(`kill ${victim}`, act("kill", victim)) : null),
          see: `The share of ${victim} goes to zero, and the others take over.`,
          seen: ({ settled }) => {
            if (!settled) return false;
            const it = now_().since(settled);
            return now_().backends[place].state === "gone" && it.sum >= 20 && it.counts[place] === 0 && describe(now_(), it);
          },
        },
        {
          label: `Start ${victim} again`,
          run: () => attempt(`start ${victim}`, act("start", victim)),
          see: "Within about ten seconds it gets its share again.",
          seen: ({ begun }) => {
            const it = now_().since(begun);
            return it.counts[place] > 0 && describe(now_(), it);
          },
        },
      ],
    },
    {
      title: "A slow backend",
      why: `Round robin does not care how a backend is doing: it keeps sending, and requests pile up. Least connections picks the backend with the fewest requests in flight, so a slow one gets fewer. ${changes}`,
      acts: [
        {
          label: `Balance by round robin, and make ${victim} slow: 3 s for each response`,
          run: async () => ((await roundRobin()) ? attempt(`slow ${victim}`, fault(victim, "latency:3s")) : null),
          see: `${victim} still gets its full share: requests pile up in it (“in flight”), and its p99 is 3 s.`,
          seen: () => now_().backends[place].faults.length > 0 && now_().figures.backends[place].in_flight >= 5 && `${now_().figures.backends[place].in_flight} in flight at ${victim}`,
        },
        {
          label: `Balance by ${least ?? "least-connections"}`,
          needs: Boolean(least),
          run: () => become(least),
          see: `The share of ${victim} falls, and few requests wait for it.`,
          seen: ({ settled }) => {
            if (!settled) return false;
            const it = now_().since(settled);
            return word(now_().front) === least && it.sum >= 40 && near(it.shares[place] ?? 0, 0, 0.5 / count) && describe(now_(), it);
          },
        },
        {
          label: "Clear the fault",
          run: () => attempt("clear all faults", act("clear")),
          see: "It is as fast as the others again.",
          seen: ({ settled }) => now_().backends.every((backend) => backend.faults.length === 0) && settled && "no more faults",
        },
      ],
    },
    {
      title: "A sticky session",
      why: sticky === "source"
        ? `A visitor who has a cart in one backend's memory should come back to it. ${name} cannot do that with its own cookie in this version, so it uses the visitor's address instead. All your requests come from this machine, so all visitors look like one.`
        : "A visitor who has a cart in one backend's memory should come back to it. The balancer gives each new visitor a cookie that names the backend, and follows it when the visitor returns.",
      acts: [
        {
          label: `Balance by ${sticky ?? "sticky"}, and send 30 requests as one visitor`,
          needs: Boolean(sticky),
          run: async () => ((await become(sticky)) ? send(30, true) : null),
          see: "One backend answers all of them: a band in the strip.",
          seen: ({ answer }) => {
            const names = new Set(answer?.answers?.map(({ backend }) => backend));
            return names.size === 1 && `all 30 by ${[...names][0]}`;
          },
        },
        {
          label: "Send 30 requests, each a new visitor",
          needs: Boolean(sticky),
          run: () => send(30),
          see: sticky === "source" ? "The same backend again: they all come from the same address." : "Several backends answer: each visitor keeps one, and visitors are spread over all.",
          seen: ({ answer }) => {
            const names = new Set(answer?.answers?.map(({ backend }) => backend));
            return (sticky === "source" ? names.size === 1 : names.size > 1) && [...names].sort().join(", ");
          },
        },
        { label: "Back to round robin", needs: can(now, "round-robin"), run: () => roundRobin(), see: "Back to the initial state.", seen: () => word(now_().front) === "round-robin" && "round robin again" },
      ],
    },
  ];
}

const now_ = () => model();

export function prepare(current_model) {
  model = current_model;
  $("tour-open").onclick = () => (current < 0 ? go(0) : close());
}

function close() {
  current = -1;
  $("tour").hidden = true;
  $("tour-open").focus();
}

async function go(to) {
  if (!model()) return;
  current = to;
  steps = plan(model());
  const step = steps[to];
  done = step.acts.map(() => null);
  lines = step.acts.map(() => h("p", { class: "seen", role: "status" }));
  const acts = step.acts.map((it, index) => h("li", {},
    h("button", { type: "button", class: "do", "data-act": index, "data-acts": true, disabled: it.needs === false || !canAct(), onclick: () => run(index) }, it.label),
    it.needs === false ? h("p", { class: "note" }, "Not possible with this balancer: uuid-generator demo --with nginx shows it.") : h("p", {}, "You will see: ", it.see),
    lines[index]));
  const section = $("tour");
  section.hidden = false;
  section.replaceChildren(
    h("h2", { id: "tour-title", tabindex: "-1" }, `${to + 1} of ${steps.length}: ${step.title}`),
    h("ol", {}, acts),
    h("p", {}, h("b", {}, "Why: "), step.why),
    h("p", { class: "buttons" },
      to > 0 && h("button", { type: "button", onclick: () => go(to - 1) }, "Back"),
      to + 1 < steps.length && h("button", { type: "button", id: "tour-next", onclick: () => go(to + 1) }, "Next"),
      h("button", { type: "button", onclick: close }, to + 1 < steps.length ? "Leave the tour" : "End of the tour")));
  $("tour-title").focus();
  // On a phone the tour lies over the foot of the page: what it speaks of is above it.
  if (matchMedia("(max-width: 56rem)").matches) $("flow").scrollIntoView();
  await tidy();
}

async function run(index) {
  const step = current;
  const button = $("tour").querySelector(`[data-act="${index}"]`);
  button.disabled = true;
  done[index] = null;
  const begun = model().totals();
  const answer = await steps[step].acts[index].run();
  button.disabled = false;
  if (step === current && answer) done[index] = { begun, ended: model().at, settled: null, answer };
}

export function show() {
  // Without a balancer there is nothing to see.
  toggle($("tour-open"), "hidden", !model()?.front);
  toggle($("tour-open"), "disabled", !canAct());
  if (current < 0) return;
  steps[current].acts.forEach((it, index) => {
    if (!done[index] || lines[index].classList.contains("yes")) return;
    if (!done[index].settled && model().at > done[index].ended + SETTLED) done[index].settled = model().totals();
    const seen = it.seen(done[index]);
    say(lines[index], seen ? `✓ You see it: ${seen}` : "… watch");
    lines[index].classList.toggle("yes", Boolean(seen));
  });
}
