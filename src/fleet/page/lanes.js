// @ts-check
// Where the picture's boxes and lines are. It touches no page.

const ROW = 40;
const BOX = 30;

// The length that a line's dots repeat after, as often as it fits into the length that the animation moves them by.
const GAPS = [16, 24, 40, 60, 96, 160];

// The distance between dots for a rate; 0: nothing moves.
/** @param {number} rate */
export function spacing(rate) {
  if (rate <= 0) return 0;
  const wanted = 240 / rate;
  return GAPS.find((gap) => gap >= wanted) ?? GAPS[GAPS.length - 1];
}

// The boxes of a picture of that width, and the lines between them.
/**
 * @param {number} count
 * @param {number} width
 */
export function lanes(count, width) {
  const narrow = width < 520;
  const height = Math.max(count * ROW + 10, 80);
  const middle = height / 2;
  const wide = narrow ? 92 : 130;
  const client = { x: 1, y: middle - 34, width: narrow ? 98 : 110, height: 68 };
  const balancer = { x: Math.round(width * (narrow ? 0.35 : 0.38)), y: middle - 26, width: narrow ? 96 : 140, height: 52 };
  const x = width - wide - 1;
  const top = (height - count * ROW) / 2;
  const backends = Array.from({ length: count }, (_, place) => ({ x, y: top + place * ROW + (ROW - BOX) / 2, width: wide, height: BOX }));
  const from = balancer.x + balancer.width;
  const bend = (x - from) / 2;
  const paths = backends.map((box) => {
    const y = box.y + BOX / 2;
    return `M ${from} ${middle} C ${from + bend} ${middle}, ${x - bend} ${y}, ${x} ${y}`;
  });
  return { height, client, balancer, backends, paths, trunk: `M ${client.x + client.width} ${middle} L ${balancer.x} ${middle}` };
}
