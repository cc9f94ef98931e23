// The latest requests as the backends received them. All of it is text, whatever it says.

import { $, colour, h } from "./dom.js";
import { clock } from "./text.js";

const SHOWN = 12;
let drawn = "";

export function show(model) {
  const body = $("requests").tBodies[0];
  const latest = model.requests.slice(-SHOWN).reverse();
  const key = latest.map((request) => request.response).join();
  // What somebody reads stays.
  if (key === drawn || body.querySelector("details[open]") || body.contains(document.activeElement)) return;
  drawn = key;
  body.replaceChildren(...latest.map((request) => {
    const dot = h("span", { class: "dot", "aria-hidden": "true" });
    dot.style.background = colour(model.place(request.backend));
    const headers = request.headers.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
    return h("tr", {}, h("td", {}, clock(request.at)), h("td", {}, dot, request.backend), h("td", { class: "text" }, `${request.method} ${request.path}`),
      h("td", {}, String(request.status)), h("td", { class: "uuid" }, request.response),
      h("td", {}, h("details", {}, h("summary", {}, `${request.headers.length} headers, from ${request.peer}`), h("dl", {}, headers))));
  }));
}
