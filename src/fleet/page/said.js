// What came of a click.

import { $, say } from "./dom.js";

// What went well is read by then, and in the way of what it covers.
const READ_MS = 8000;
let leaving = 0;

export function tell(text, isProblem = false, isOver = true) {
  const element = $("said");
  element.hidden = false;
  element.className = isProblem ? "problem" : "done";
  say(element, text);
  clearTimeout(leaving);
  if (isOver && !isProblem) leaving = setTimeout(() => (element.hidden = true), READ_MS);
}

// Waits for it, and says how it went.
export async function attempt(what, promise, outcome = "done") {
  tell(`${what} …`, false, false);
  try {
    const answer = await promise;
    tell(`${what}: ${outcome}`);
    return answer;
  } catch (error) {
    tell(`${what}: ${error.message}`, true);
    return null;
  }
}
