// What is known of the fleet: a fold of its snapshot and its frames. It touches no page.

const HISTORY = 300;
const STRIP = 360;
const WINDOW = 10_000;

export class Model {
  constructor(snapshot) {
    this.at = snapshot.at;
    this.members = snapshot.fleet.members;
    this.front = snapshot.front;
    this.check = snapshot.check;
    this.marks = snapshot.marks;
    this.requests = snapshot.requests;
    this.strip = snapshot.strip;
    this.latency = [];
    this.percentiles = snapshot.latency;
    this.inFlight = this.members.map((member) => member.in_flight);
    // Whole seconds that have ended, the latest last, and the one that has not.
    this.seconds = snapshot.seconds;
    this.second = Math.floor(snapshot.at / 1000);
    this.running = snapshot.running;
    // What the shares are of: counts with the time until which they count.
    this.window = snapshot.seconds
      .slice(-WINDOW / 1000)
      .map((counts, index, all) => ({ at: (this.second - all.length + index + 1) * 1000, counts, errors: this.zeros() }));
    this.window.push({ at: snapshot.at, counts: [...snapshot.running], errors: this.zeros() });
    this.received = snapshot.strip.length;
  }

  zeros() {
    return this.members.map(() => 0);
  }

  frame(frame) {
    this.at = frame.at;
    if (frame.members) this.members = frame.members;
    if (frame.front) this.front = frame.front;
    if (frame.check) this.check = frame.check;
    this.inFlight = frame.in_flight;
    this.latency = frame.latency;
    this.turnTo(Math.floor(frame.at / 1000));
    frame.counts.forEach((count, place) => (this.running[place] += count));
    this.window.push({ at: frame.at, counts: frame.counts, errors: frame.errors });
    while (this.window.length > 0 && this.window[0].at < frame.at - WINDOW) this.window.shift();
    this.strip = [...this.strip, ...frame.strip].slice(-STRIP);
    this.received += frame.strip.length;
    for (const mark of frame.marks) this.mark(mark);
    this.requests = [...this.requests, ...frame.requests].slice(-50);
  }

  mark(mark) {
    const adds = ["error", "retry", "double", "lost"].includes(mark.kind);
    const like = (other) =>
      other.kind === mark.kind && other.generator === mark.generator && Math.floor(other.at / 1000) === Math.floor(mark.at / 1000);
    const earlier = adds && this.marks.slice(-8).reverse().find(like);
    if (earlier) earlier.count += mark.count;
    else this.marks = [...this.marks, mark].slice(-HISTORY);
  }

  turnTo(second) {
    for (; this.second < second; this.second += 1) {
      this.seconds.push(this.running);
      this.percentiles.push(this.latency[0] ?? null);
      this.running = this.zeros();
    }
    this.seconds = this.seconds.slice(-HISTORY);
    this.percentiles = this.percentiles.slice(-HISTORY);
  }

  // Of all requests of the last ten seconds, or of the time since a moment: one a member, null without a request.
  shares(since = 0) {
    const counts = this.zeros();
    for (const part of this.window) {
      if (part.at > since) part.counts.forEach((count, place) => (counts[place] += count));
    }
    const sum = counts.reduce((a, b) => a + b, 0);
    return { sum, counts, shares: counts.map((count) => (sum > 0 ? count / sum : null)) };
  }

  // Requests of the last second, one a member.
  rates() {
    const counts = this.zeros();
    for (const part of this.window) {
      if (part.at > this.at - 1000) part.counts.forEach((count, place) => (counts[place] += count));
    }
    return counts;
  }

  errors() {
    const counts = this.zeros();
    for (const part of this.window) part.errors.forEach((count, place) => (counts[place] += count));
    return counts;
  }

  // The share of each member that its balancer promises; null if it promises none, or nobody said.
  // A backup gets none while another member is ready; `verdict::promise` says the same for the rules.
  expected() {
    const { algorithm, weights, backups } = this.front ?? {};
    if (!["round-robin", "weighted-round-robin", "random"].includes(algorithm)) return null;
    const weighted = weights.length === this.members.length && weights.some((weight) => weight > 0);
    const of = (backup) =>
      this.members.map((member, place) =>
        member.state === "ready" && backups.includes(member.generator) === backup ? (weighted ? weights[place] : 1) : 0,
      );
    const sum = (parts) => parts.reduce((a, b) => a + b, 0);
    const parts = [of(false), of(true)].find((parts) => sum(parts) > 0);
    return parts ? parts.map((part) => part / sum(parts)) : null;
  }

  place(generator) {
    return this.members.findIndex((member) => member.generator === generator);
  }
}
