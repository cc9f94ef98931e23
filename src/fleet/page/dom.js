// Elements from values. Text is always text: what came from a request cannot become markup.

export const $ = (id) => document.getElementById(id);

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Writes only what differs: a screen reader and the selection of a text are not disturbed by what stays.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function toggle(element, attribute, is) {
  if (element.hasAttribute(attribute) !== is) element.toggleAttribute(attribute, is);
}

// The colours of backends.rs's pages, by place.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f"];
export const colour = (place) => COLOURS[place % COLOURS.length];
// What is written on it: black or white, whichever stands out.
const ON = ["#fff", "#000", "#fff", "#000", "#000", "#fff", "#000", "#fff"];
export const onColour = (place) => ON[place % ON.length];

export const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`);
export const grouped = (number) => Math.round(number).toLocaleString("en");

export function time(microseconds) {
  if (microseconds === undefined || microseconds === null) return "–";
  if (microseconds < 1000) return `${microseconds} µs`;
  if (microseconds < 1e6) return `${(microseconds / 1000).toPrecision(3)} ms`;
  return `${(microseconds / 1e6).toPrecision(3)} s`;
}

export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");
