import assert from "node:assert/strict";
import test from "node:test";

import { lanes, shortened, spacing } from "../../src/fleet/page/lanes.js";
import { Model } from "../../src/fleet/page/model.js";
import { stack } from "../../src/fleet/page/stack.js";
import { address, grouped, initials, inkOn, percent, time, visible, weighted, word } from "../../src/fleet/page/text.js";

const figures = (...requests) => ({ rate: 1, latency: null, backends: requests.map((of) => ({ requests: of })) });
const mark = (id, count = 1) => ({ id, at: 1, kind: "error", backend: "9001", count, text: "" });

const model = () =>
  new Model({
    owner: true,
    at: 1000,
    kept: { seconds: 2, strip: 3, marks: 2, requests: 1 },
    fleet: { backends: [{ name: "9001" }, { name: "9002" }] },
    figures: figures(10, 10),
    seconds: [{ at: 0, counts: [1, 1], latency: null, is_check: false }],
    strip: [0, 1],
    strip_end: 20,
    marks: [mark(0)],
    requests: [],
    front: null,
    check: null,
  });

const frame = (more) => ({ at: 1100, figures: figures(13, 11), seconds: [], strip: [], strip_end: 20, marks: [], requests: [], backends: null, front: null, check: null, ...more });

test("frames replace what is now and add to what was, as much as is kept", () => {
  const it = model();
  it.frame(frame({ strip: [1, 1], strip_end: 22, seconds: [1, 2].map((at) => ({ at, counts: [0, 0], latency: null, is_check: false })) }));
  assert.deepEqual([it.at, it.strip, it.stripEnd], [1100, [1, 1, 1], 22]);
  assert.deepEqual(it.seconds.map(({ at }) => at), [1, 2]);
  it.frame(frame({ backends: [{ name: "9001", state: "gone" }, { name: "9002" }], front: { url: "u" } }));
  assert.deepEqual([it.backends[0].state, it.front.url, it.place("9002"), it.place("1")], ["gone", "u", 1, -1]);
  it.frame(frame({}));
  assert.equal(it.front.url, "u");
});

test("a mark that grows replaces itself, wherever it stands", () => {
  const it = model();
  it.frame(frame({ marks: [mark(1)] }));
  it.frame(frame({ marks: [mark(0, 7)] }));
  assert.deepEqual(it.marks.map(({ id, count }) => [id, count]), [[0, 7], [1, 1]]);
  it.frame(frame({ marks: [mark(2)] }));
  assert.deepEqual(it.marks.map(({ id }) => id), [1, 2]);
});

test("shares since a moment are of what came after it", () => {
  const it = model();
  const before = it.totals();
  assert.deepEqual(it.since(before), { sum: 0, counts: [0, 0], shares: [null, null] });
  it.frame(frame({}));
  assert.deepEqual(it.since(before), { sum: 4, counts: [3, 1], shares: [0.75, 0.25] });
});

test("the stack is drawn from the whole down, and a check does not dwarf it", () => {
  const second = (counts, is_check = false) => ({ at: 0, counts, latency: null, is_check });
  assert.deepEqual(stack([second([1, 2, 3])], 3, 40), { sums: [[6], [3], [1]], peak: 6, height: 6 });
  assert.deepEqual(stack([second([1, 2, 3])], 3, 2).sums, [[6], [1]]);
  const { sums, peak, height } = stack([second([5, 5]), second([300, 100], true)], 2, 40);
  assert.deepEqual([peak, height, sums[0][1]], [400, 10, 10.5]);
  assert.equal(sums[1][1] / sums[0][1], 0.75);
  assert.equal(stack([second([3, 1], true)], 2, 40).height, 4);
  assert.deepEqual(stack([], 2, 40), { sums: [[], []], peak: 0, height: 0 });
});

test("values read as people write them", () => {
  assert.deepEqual([null, 0, 0.055, 0.333, 1].map(percent), ["–", "0 %", "5.5 %", "33 %", "100 %"]);
  assert.deepEqual([null, undefined, 41, 4100, 3_000_000].map(time), ["–", "–", "41 µs", "4.10 ms", "3.00 s"]);
  assert.equal(grouped(1234567), "1,234,567");
  assert.deepEqual([[1, 1], [5, 1], [], undefined].map(weighted), ["", " 5:1", "", ""]);
  assert.deepEqual([{ algorithm: "sticky:route" }, null].map(word), ["sticky", undefined]);
});

test("what is written on a colour stands out", () => {
  const colours = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f"];
  assert.deepEqual(colours.map(inkOn), ["#fff", "#000", "#fff", "#000", "#000", "#fff", "#000", "#fff"]);
});

test("control characters and those that turn the direction of text are written out", () => {
  assert.equal(visible("a\u001b[2J\u202eb\u200d\u2066c\nd"), "a\\u{1b}[2J\\u{202e}b\\u{200d}\\u{2066}c\\u{a}d");
  assert.equal(visible("größer – 30 × ✓"), "größer – 30 × ✓");
});

test("a backend is where its own address says", () => {
  const urls = ["http://localhost:9001/", "http://10.20.0.12/", "https://[fd00::5]/", "https://app.internal:8443"];
  assert.deepEqual(urls.map(address), ["127.0.0.1:9001", "10.20.0.12:80", "[fd00::5]:443", "app.internal:8443"]);
});

test("cells have the characters by which names differ", () => {
  assert.deepEqual(initials(["9001", "9002"]), ["1", "2"]);
  assert.deepEqual(initials(["app@127.0.0.1:9000", "app@127.0.0.2:9000", "b"]), ["1", "2", " "]);
  assert.deepEqual([initials([]), initials(["app"]), initials(["app", "app"])], [[], ["p"], ["p", "p"]]);
});

test("the picture has a line for each backend, within its width, and dots that repeat without a jump", () => {
  for (const width of [300, 390, 700, 1400]) {
    for (const [count, longest] of [[1, 4], [3, 30], [12, 300]]) {
      const it = lanes(count, width, longest);
      assert.equal(it.paths.length, count);
      assert.ok(it.client.x + it.client.width < it.balancer.x && it.balancer.x + it.balancer.width < it.backends[0].x, `${width}`);
      assert.ok(it.backends.every(({ x, y, width: wide, height }) => x + wide <= width && y >= 0 && y + height <= it.height), `${width} ${count}`);
    }
  }
  assert.deepEqual([shortened("9001", 4), shortened("payments-7d9f8c6b5-xk2lp", 11)], ["9001", "payme…xk2lp"]);
  assert.equal(shortened("payments-7d9f8c6b5-xk2lp", 4).length, 4);
  assert.ok(lanes(3, 1400, 24).room >= 24, "a wide page has room for long names");
  for (const rate of [0.1, 1, 3, 10, 1e5]) assert.equal(480 % spacing(rate), 0, `${rate}`);
  assert.equal(spacing(0), 0);
  assert.ok(spacing(1) > spacing(20));
});
