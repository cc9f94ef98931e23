// Joins what the fleet tells with what the page shows.

import { events, hasToken, setLive } from "./api.js";
import * as balancer from "./balancer.js";
import { $, say, toggle } from "./dom.js";
import * as marks from "./marks.js";
import * as backends from "./backends.js";
import * as flow from "./flow.js";
import { Model } from "./model.js";
import * as plots from "./plots.js";
import * as requests from "./requests.js";
import * as strip from "./strip.js";
import * as tour from "./tour.js";

// What moves is drawn with each frame, what is read twice a second: nobody reads faster.
const READABLE = 500;

let model = null;
let wanted = false;
let read = -Infinity;

function draw(now) {
  wanted = false;
  backends.show(model);
  strip.show(model);
  if (now - read < READABLE) return;
  read = now;
  toggle(document.querySelector("main"), "data-empty", model.isEmpty());
  for (const part of [flow, balancer, plots, marks, requests, tour]) part.show(model);
}

function begin(snapshot) {
  setLive(true, snapshot.owner);
  model = new Model(snapshot);
  for (const part of [backends, balancer, plots]) part.begin(model);
  read = -Infinity;
  enable(true);
  document.body.dataset.live = "true";
  say($("connection"), "● live");
  $("alarm").hidden = true;
  toggle($("access"), "hidden", snapshot.owner);
  say($("access"), `Read-only: ${hasToken() ? "the token of this tab is not that of this fleet" : "this page has no token"}, so values that may be secret are hidden. `
    + "To change something, open the address that the fleet printed: it ends in #token=…");
}

// While the fleet does not respond, nothing that needs it can be clicked.
function enable(is) {
  for (const element of document.querySelectorAll("[data-acts]")) {
    if (!is && !element.disabled) element.dataset.was = "enabled";
    if (!is) element.disabled = true;
    else if (element.dataset.was) {
      element.disabled = false;
      delete element.dataset.was;
    }
  }
}

function lose(why) {
  setLive(false);
  enable(false);
  document.body.dataset.live = "false";
  say($("connection"), "✕ not live");
  $("alarm").hidden = false;
  say($("alarm"), `✕ ${why}. What you see is out of date, and nothing can be changed. Trying again …`);
}

function redraw() {
  if (model && !wanted) {
    wanted = true;
    requestAnimationFrame(draw);
  }
}

async function watch() {
  for await (const { name, content } of events()) {
    if (name === "snapshot") begin(content);
    else if (name === "frame" && model) model.frame(content);
    redraw();
  }
}

async function forever() {
  for (;;) {
    try {
      await watch();
      lose("The fleet has stopped");
    } catch (error) {
      lose(error instanceof TypeError ? "The fleet has stopped or does not respond" : error.message);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

tour.prepare(() => model);
// What is no longer live is drawn anew too.
addEventListener("resize", () => {
  read = -Infinity;
  redraw();
});
forever();
