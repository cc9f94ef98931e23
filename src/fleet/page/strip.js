// The order strip: round robin is a pattern, random is noise, sticky is a band.

import { $, colour, say } from "./dom.js";
import { initials, inkOn } from "./text.js";

// Requests a second: with more of them many are under way at once, and each backend reads several at a time.
const BUSY = 200;

const canvas = $("strip");
let drawn = "";

// Where the strip ends: its last row is seldom full.
function outline(pen, side, columns, offset, rows, end) {
  const cell = end - 1 - offset;
  if (cell < 0) return;
  const shift = Math.max(0, Math.ceil((end - offset) / columns) - rows);
  pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  pen.lineWidth = 3;
  pen.strokeRect((cell % columns) * side + 2, (Math.floor(cell / columns) - shift) * side + 2, side - 4, side - 4);
}

export function show(model) {
  const width = canvas.clientWidth;
  if (width === 0) return;
  const columns = width < 500 ? 24 : 40;
  const most = width < 500 ? 12 : 9;
  const cells = model.strip.slice(-columns * most);
  const rows = Math.min(most, 1 + Math.ceil(cells.length / columns));
  const key = `${width}:${model.stripEnd}:${cells.length}`;
  if (key === drawn) return;
  drawn = key;
  const side = width / columns;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(side * rows * scale);
  canvas.style.height = `${side * rows}px`;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = `${Math.floor(side * 0.6)}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  // A number that grows, so that a cell stays in its column for as long as it is seen.
  const first = model.stripEnd - cells.length;
  const offset = Math.floor(first / columns) * columns;
  const letters = initials(model.backends.map(({ name }) => name));
  cells.forEach((place, index) => {
    const cell = first + index - offset;
    const row = Math.floor(cell / columns);
    const shift = Math.max(0, Math.ceil((model.stripEnd - offset) / columns) - rows);
    if (row < shift) return;
    const [x, y] = [(cell % columns) * side, (row - shift) * side];
    pen.fillStyle = colour(place);
    pen.fillRect(x + 0.5, y + 0.5, side - 1, side - 1);
    if (side >= 12) {
      pen.fillStyle = inkOn(colour(place));
      pen.fillText(letters[place], x + side / 2, y + side / 2 + 1);
    }
  });
  outline(pen, side, columns, offset, rows, model.stripEnd);
  const latest = cells.slice(-9).map((place) => model.backends[place].name);
  const order = model.figures.rate > BUSY ? ". Under load: in the order in which backends read them, which is not that of selection" : "";
  say($("strip-text"), latest.length > 0 ? `Newest last: ${latest.join(" ")}${order}` : "No request has come yet.");
}
