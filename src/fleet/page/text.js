// @ts-check
// Values to what a person reads. It touches no page.

// What other people sent, as text that shows itself: control characters and those that change the direction of text are written out.
/** @param {string} text */
export function visible(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

/** @param {number | null} share */
export const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`);

/** @param {number} number */
export const grouped = (number) => Math.round(number).toLocaleString("en");

/** @param {number | null | undefined} microseconds */
export function time(microseconds) {
  if (microseconds === undefined || microseconds === null) return "–";
  if (microseconds < 1000) return `${microseconds} µs`;
  if (microseconds < 1e6) return `${(microseconds / 1000).toPrecision(3)} ms`;
  return `${(microseconds / 1e6).toPrecision(3)} s`;
}

/** @param {number} at */
export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");

// Where a balancer finds a backend: `localhost` may have an address at which it does not listen.
/** @param {string} url */
export function address(url) {
  const { protocol, hostname, port } = new URL(url);
  return `${hostname === "localhost" ? "127.0.0.1" : hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}

// A character of each name: the last, or where these are alike the one, counted from the end, by which most names differ.
/** @param {string[]} names */
export function initials(names) {
  const from = (/** @type {number} */ end) => names.map((name) => name.at(-1 - end) ?? " ");
  const kinds = (/** @type {string[]} */ characters) => new Set(characters).size;
  let best = from(0);
  for (let end = 1; end < Math.max(...names.map(({ length }) => length)); end += 1) {
    if (kinds(from(end)) > kinds(best)) best = from(end);
  }
  return best;
}

// " 5:1:1"; nothing if all are alike.
/** @param {number[] | undefined} weights */
export const weighted = (weights) => (weights?.some((weight) => weight !== weights[0]) ? ` ${weights.join(":")}` : "");

// The algorithm that is chosen by this word alone: `sticky` of `sticky:route`.
/** @param {{ algorithm: string | null } | null | undefined} front */
export const word = (front) => front?.algorithm?.split(":")[0];

// What is written on a colour, #rrggbb: black or white, whichever stands out.
/** @param {string} colour */
export function inkOn(colour) {
  const linear = (/** @type {number} */ at) => (parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2;
  return 0.2126 * linear(1) + 0.7152 * linear(3) + 0.0722 * linear(5) > 0.27 ? "#000" : "#fff";
}
