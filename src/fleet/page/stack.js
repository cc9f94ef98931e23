// @ts-check
// The seconds to what the plots draw. It touches no page.

/** @import { Second } from "./types.js" */

// The whole stack first, then without the last, and so on: each is drawn over the one before. Beyond `most` backends the last stands for all
// others. `height` is that of the highest second without a check, which would dwarf all else; what is higher keeps its proportions.
/**
 * @param {Second[]} seconds
 * @param {number} backends
 * @param {number} most
 */
export function stack(seconds, backends, most) {
  const layers = Math.min(backends, most);
  const sums = Array.from({ length: layers }, () => new Array(seconds.length).fill(0));
  seconds.forEach(({ counts }, index) => {
    let sum = 0;
    for (let place = 0; place < layers; place += 1) {
      sum += place === layers - 1 ? counts.slice(place).reduce((a, b) => a + b, 0) : counts[place];
      sums[layers - 1 - place][index] = sum;
    }
  });
  const all = sums[0] ?? [];
  const peak = Math.max(0, ...all);
  const height = Math.max(0, ...all.filter((_, index) => !seconds[index].is_check)) || peak;
  all.map((sum) => (height * 1.05) / sum).forEach((scale, index) => {
    if (scale < 1) for (const layer of sums) layer[index] *= scale;
  });
  return { sums, peak, height };
}
