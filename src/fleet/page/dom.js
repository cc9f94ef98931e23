// Elements from values. Text is always text: what came from a request cannot become markup, and shows its control characters.

import { COLOURS } from "./colours.js";
import { visible } from "./text.js";

export const $ = (id) => document.getElementById(id);

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  const shown = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  element.append(...shown.map((child) => (typeof child === "string" ? visible(child) : child)));
  return element;
}

// Writes only what differs: a screen reader and the selection of a text are not disturbed by what stays.
export function say(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

export function toggle(element, attribute, is) {
  if (element.hasAttribute(attribute) !== is) element.toggleAttribute(attribute, is);
}

// The colour of a backend, by its place: that of its own pages.
export const colour = (place) => COLOURS[place % COLOURS.length];
