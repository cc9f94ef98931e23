// Joins what the fleet tells with what the page shows.

import { canAct, events } from "./api.js";
import * as balancer from "./balancer.js";
import { $, say } from "./dom.js";
import * as marks from "./marks.js";
import * as members from "./members.js";
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
  members.show(model);
  strip.show(model);
  if (now - read < READABLE) return;
  read = now;
  for (const part of [balancer, plots, marks, requests, tour]) part.show(model);
}

function begin(snapshot) {
  model = new Model(snapshot);
  for (const part of [members, balancer, plots]) part.begin(model);
  read = -Infinity;
}

async function watch() {
  for await (const { name, content } of events()) {
    if (name === "snapshot") begin(content);
    else if (name === "frame" && model) model.frame(content);
    if (model && !wanted) {
      wanted = true;
      requestAnimationFrame(draw);
    }
    document.body.dataset.live = "true";
    say($("connection"), canAct() ? "● live" : "● live, to look at: to change something, open the address that the fleet printed");
  }
}

async function forever() {
  for (;;) {
    try {
      await watch();
      say($("connection"), "the fleet has stopped, or this page was too slow; trying again …");
    } catch (error) {
      say($("connection"), `✕ ${error.message}; trying again …`);
    }
    document.body.dataset.live = "false";
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

tour.prepare(() => model);
forever();
