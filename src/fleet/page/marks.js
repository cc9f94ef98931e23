// What happened, the latest first.

import { $, colour, h } from "./dom.js";
import { clock, grouped } from "./text.js";

const NAMES = { backend: "backend", fault: "fault", error: "error", retry: "retry", double: "double execution", lost: "records lost", front: "balancer", check: "check" };
const SHOWN = 60;
let drawn = "";

// Of a check that has ended: pass, fail or inconclusive.
const verdict = ({ kind, text }) => (kind === "check" ? /: (pass|fail|inconclusive)$/.exec(text)?.[1] : undefined);

export function show(model) {
  // Of a check that has ended its end alone is shown.
  const ended = model.marks.findLastIndex((mark) => verdict(mark) !== undefined);
  const latest = model.marks.filter((mark, place) => mark.kind !== "check" || place >= ended || verdict(mark)).slice(-SHOWN).reverse();
  const key = latest.map((mark) => `${mark.id}:${mark.count}`).join();
  if (key === drawn) return;
  drawn = key;
  $("marks").replaceChildren(...latest.map((mark) => {
    const dot = h("span", { class: "dot", "aria-hidden": "true" });
    if (mark.backend) dot.style.background = colour(model.place(mark.backend));
    return h("li", { "data-kind": mark.kind, class: verdict(mark) }, h("time", {}, clock(mark.at)), dot, h("b", {}, mark.backend ? `${mark.backend} ` : "", NAMES[mark.kind] ?? mark.kind),
      mark.count > 1 ? ` ${grouped(mark.count)} ×` : "", ` ${mark.text}`);
  }));
  if (latest.length === 0) $("marks").replaceChildren(h("li", { class: "note" }, "Nothing yet."));
}
