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

// As wide as a character of a label is in a wide font.
const CHARACTER = 10;

// A name cut to a number of characters: names that are made by machines differ at their end and begin alike.
/**
 * @param {string} name
 * @param {number} room
 */
export function shortened(name, room) {
  if (name.length <= room) return name;
  const end = Math.ceil((room - 1) / 2);
  return `${name.slice(0, Math.max(room - 1 - end, 0))}…${name.slice(name.length - end)}`;
}

// The boxes of a picture of that width for names of that length, and the lines between them. `room` is what a name has in its box.
/**
 * @param {number} count
 * @param {number} width
 * @param {number} longest
 */
export function lanes(count, width, longest = 4) {
  const narrow = width < 520;
  const height = Math.max(count * ROW + 10, 80);
  const middle = height / 2;
  // Beside the name a label has a sign and a share.
  const beside = 8 * CHARACTER;
  const wide = Math.round(Math.max(narrow ? Math.min(104, Math.max(92, width * 0.27)) : 130, Math.min(longest * CHARACTER + beside, width * 0.3)));
  const room = Math.max(4, Math.floor((wide - beside) / CHARACTER));
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
  return { room, height, client, balancer, backends, paths, trunk: `M ${client.x + client.width} ${middle} L ${balancer.x} ${middle}` };
}
