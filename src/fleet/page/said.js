// What came of a click.

import { $, say } from "./dom.js";

export function tell(text, isProblem = false) {
  const element = $("said");
  element.hidden = false;
  element.className = isProblem ? "problem" : "done";
  say(element, text);
}

// Waits for it, and says how it went.
export async function attempt(what, promise, outcome = "done") {
  tell(`${what} …`);
  try {
    const answer = await promise;
    tell(`${what}: ${outcome}`);
    return answer;
  } catch (error) {
    tell(`${what}: ${error.message}`, true);
    return null;
  }
}
