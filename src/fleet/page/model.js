// @ts-check
// What is known of the fleet: its snapshot, kept up to date by its frames. It computes nothing that the fleet has computed, and touches no page.

/** @import { Frame, Mark, Snapshot } from "./types.js" */

export class Model {
  /** @param {Snapshot} snapshot */
  constructor(snapshot) {
    this.kept = snapshot.kept;
    this.at = snapshot.at;
    this.backends = snapshot.fleet.backends;
    this.figures = snapshot.figures;
    this.front = snapshot.front;
    this.check = snapshot.check;
    this.seconds = snapshot.seconds;
    this.strip = snapshot.strip;
    this.stripEnd = snapshot.strip_end;
    this.marks = snapshot.marks;
    this.requests = snapshot.requests;
  }

  /** @param {Frame} frame */
  frame(frame) {
    this.at = frame.at;
    this.figures = frame.figures;
    if (frame.backends) this.backends = frame.backends;
    if (frame.front) this.front = frame.front;
    if (frame.check) this.check = frame.check;
    this.seconds = [...this.seconds, ...frame.seconds].slice(-this.kept.seconds);
    this.strip = [...this.strip, ...frame.strip].slice(-this.kept.strip);
    this.stripEnd = frame.strip_end;
    this.requests = [...this.requests, ...frame.requests].slice(-this.kept.requests);
    for (const mark of frame.marks) this.mark(mark);
  }

  // One that has grown comes again under its number.
  /** @param {Mark} mark */
  mark(mark) {
    const place = this.marks.findLastIndex(({ id }) => id === mark.id);
    this.marks = place < 0 ? [...this.marks, mark].slice(-this.kept.marks) : this.marks.with(place, mark);
  }

  // Whether there is nothing to see yet: no balancer, and no request.
  isEmpty() {
    return !this.front && this.stripEnd === 0;
  }

  // Requests of each backend since the fleet began: to compare with later.
  totals() {
    return this.figures.backends.map(({ requests }) => requests);
  }

  // Requests of each backend since then, and their shares: null without a request.
  /** @param {number[]} totals */
  since(totals) {
    const counts = this.totals().map((total, place) => total - totals[place]);
    const sum = counts.reduce((a, b) => a + b, 0);
    return { sum, counts, shares: counts.map((count) => (sum > 0 ? count / sum : null)) };
  }

  /** @param {string} name */
  place(name) {
    return this.backends.findIndex((backend) => backend.name === name);
  }
}
