//! The experiments with busy backends: whether a balancer looks at what is in flight, and whether it remembers slow responses.

use std::time::Duration;

use super::evidence::{Flight, Full, Hold, MEMORIES, Pick, WorkerRow, backends};
use super::experiments::CURSOR_CONNECTIONS;
use super::lab::{Lab, variation};
use super::missing::{Missing, SkipReason};
use super::order::{OrderPattern, counts};
use super::subject::{Pace, ProbeReply, ProbeRequest, Released};
use crate::observation::Backend;

const OTHERS: usize = 400;
/// So often at most requests go side by side, some of them much slower.
const MIXED_ROUNDS: usize = 10;
/// Of slower services one after the other would take too long.
const SLOWEST_TO_REMEMBER: Duration = Duration::from_millis(100);
/// Requests side by side where some take much longer: at once, a round at the least, and a round at most.
const AT_ONCE: u32 = 128;
const FEWEST_MIXED: usize = 240;
const MOST_MIXED: usize = 600;
/// Where there is no time for that many: fewer show nothing.
const LEAST_MIXED: usize = 120;
/// A request is held that long where the balancer waits longer for a response.
pub(super) const HOLD: Duration = Duration::from_millis(400);
/// Where requests are slow, it is held up to that long: balancers often wait for a second, and this machine may be late.
pub(super) const LONGEST_HOLD: Duration = Duration::from_millis(750);
/// Of the time of a hold, what is planned to be used.
pub(super) const USED: f64 = 0.8;
/// Shorter holds are none beside what a busy machine delays.
const LEAST_HOLD: Duration = Duration::from_millis(50);
/// From one to the next, where some take much longer.
const LEAST_GAP: Duration = Duration::from_millis(4);
/// With one in flight at each backend another is sent so often, while it has to wait.
const WAITS: u32 = 2;
/// Of more backends not all are kept busy at once.
const MOST_BUSY: usize = 24;
/// Of no more backends all but one are kept busy, where it is tried whether a busy one is ever picked while another is idle; of more, half.
const MOST_BUT_ONE: usize = 9;
/// Connections that are tried beside as many requests that are held, and how often.
const BESIDE: usize = 10;
const BESIDE_ROUNDS: usize = 6;
/// What a request needs until it is held.
const ON_ITS_WAY: Duration = Duration::from_millis(3);
/// Rounds after which the experiment gives up.
const ROUNDS: usize = 24;
/// Of what a request takes, what is waited beside many that are held.
const PAUSE: u32 = 5;
/// What is held for what it is beside alone, and not to be remembered as slow.
const SHORT_HOLD: Duration = Duration::from_millis(100);
/// Before a request is held, how many times as long it is looked whether a balancer turns to another backend by itself.
const STEADY: u32 = 2;
/// A round that a busy machine had no time for is tried again.
const TRIES: usize = 4;

impl Lab<'_> {
    pub(super) fn load(&mut self) {
        self.evidence.usual = self.usual;
        if !self.setting.can_hold {
            self.evidence.missing.push(Missing::Load(self.setting.keeps_path.unwrap_or(SkipReason::NotOurs)));
        } else if self.longest_delay() < LEAST_HOLD {
            self.evidence.missing.push(Missing::Load(SkipReason::Impatient));
        } else if self.turns() {
            // Nothing more is to be known of it.
        } else if self.is_serial() {
            self.hold();
        } else {
            self.remember();
            self.mixed();
        }
    }

    /// How long a request is held.
    fn hold_time(&self) -> Duration {
        HOLD.min(self.longest_delay())
    }

    /// Where requests go one after the other once a response was slow: whoever selects by time gives that backend nothing.
    fn remember(&mut self) {
        let size = self.setting.backends.unwrap_or(4);
        if self.usual > SLOWEST_TO_REMEMBER || size > 8 {
            return;
        }
        let each = self.setting.rate.map_or(self.usual, |_| self.usual.max(self.gap())).as_secs_f64().max(1e-3);
        let count = ((4.0 / each) as usize).clamp(24, 100);
        let delay = (self.usual * 4).max(HOLD).min(self.longest_delay());
        self.look_before(delay);
        for round in 0..MEMORIES.min(size) {
            // Where turns are strict the first is known already.
            if let Some(last) = self.evidence.after.len().checked_sub(1).filter(|last| *last >= round) {
                if self.evidence.is_avoided(last) {
                    continue;
                }
                return;
            }
            let left = self.setting.budget.mul_f64(0.5).saturating_sub(self.subject.elapsed() + delay);
            let fits = each * count as f64 <= left.as_secs_f64() && self.requests_left() > count;
            if !fits || !self.subject.hold(delay) {
                return;
            }
            let held = self.subject.release();
            self.sent += held.len() as u64;
            let busy: Vec<Backend> = held.iter().filter_map(Released::busy).collect();
            if busy.is_empty() {
                return;
            }
            // Of another length each time, so that no period keeps step with them.
            let others = self.in_turn(&vec![ProbeRequest::default(); count + 3 * round], 0.6);
            let others = others.into_iter().filter_map(|reply| reply.pick).collect();
            self.evidence.after.push(Hold { busy, others });
            if !self.evidence.is_avoided(self.evidence.after.len() - 1) {
                return;
            }
        }
    }

    /// Where all go to one backend: requests in sequence for longer than one is held with that delay, and looked at.
    fn look_before(&mut self, delay: Duration) {
        if !matches!(self.evidence.order_so_far(), OrderPattern::One(_)) {
            return;
        }
        let until = self.subject.elapsed() + delay * STEADY;
        while self.subject.elapsed() < until && self.requests_left() > 0 {
            let pick = self.one(&ProbeRequest::default()).pick;
            self.evidence.steady.extend(pick);
        }
    }

    /// Requests of which each third takes much longer, without order: what balances by load then never gives one to a backend that has
    /// more in flight than another, and what rotates goes on as before. More of them, while they leave it open and there is time.
    fn mixed(&mut self) {
        let size = self.setting.backends.unwrap_or(4);
        for round in 0..MIXED_ROUNDS {
            // When the balancer selects is known to what a request varies by; waits must be long beside that.
            // A rotation must come round while a backend is busy, or it looks as if it avoided that one.
            let rounds = self.gap().max(LEAST_GAP) * (3 * size) as u32;
            let long = self.usual.max(self.varies * 6).max(rounds);
            let delay = long.max(Duration::from_millis(100)).min(self.longest_delay());
            let each = self.usual + delay / 3;
            // A slow service that varies by its own is no reason to wait.
            let apart = if self.varies * 3 > self.usual { (self.varies / 2).min(each / 8) } else { Duration::ZERO };
            let gap = self.gap().max(LEAST_GAP).max(each / AT_ONCE).max(apart);
            // Where requests are spread, only load and keys of requests that have them are left to try: less time does for those.
            let is_one = matches!(self.evidence.order_so_far(), OrderPattern::One(_));
            let share = match round {
                0 => 1.0,
                _ if is_one => 0.6,
                _ => 0.75,
            };
            let left = self.setting.budget.mul_f64(share).saturating_sub(self.subject.elapsed());
            let time = left.saturating_sub(self.usual + delay).as_secs_f64();
            // As long again as the last of them take.
            let filling = ((self.usual + delay).as_secs_f64() * 2.0 / gap.as_secs_f64()) as usize;
            let wanted = filling.max(24 * size).clamp(FEWEST_MIXED, MOST_MIXED);
            let count = wanted.min((time / gap.as_secs_f64()) as usize).min(self.requests_left());
            if count < LEAST_MIXED {
                if round == 0 {
                    self.evidence.missing.push(Missing::Load(self.why_not(LEAST_MIXED)));
                }
                return;
            }
            let delays: Vec<Duration> =
                (0..count).map(|_| if self.below(3) == 0 { delay } else { Duration::ZERO }).collect();
            let requests: Vec<ProbeRequest> =
                delays.iter().map(|delay| ProbeRequest { delay: Some(*delay), ..ProbeRequest::default() }).collect();
            let pace = Pace { width: 200, gap, until: self.setting.budget };
            let replies = self.subject.send_all(&requests, &pace);
            let sent = replies.len();
            self.sent += sent as u64;
            let at_once = replies.iter().zip(&delays).filter(|(_, delay)| delay.is_zero());
            self.varies = variation(at_once.map(|(reply, _)| reply));
            let flights = replies.into_iter().zip(delays).filter_map(|(reply, delay)| {
                // Until records say it better.
                let way = self.varies.min(reply.took / 2);
                let (from, to, got) =
                    (reply.sent.after(way), reply.sent.after(reply.took - way), reply.sent.after(reply.took));
                Some(Flight { pick: reply.pick?, sent: reply.sent, from, to, got, delay })
            });
            self.evidence.mixed.extend(flights);
            // Backends that refuse to wait tell nothing more.
            if sent < count / 2 {
                return;
            }
            if self.evidence.is_load_settled() {
                return;
            }
        }
    }

    /// Keeps backends busy with one request and looks where others go, meanwhile and afterwards.
    fn hold(&mut self) {
        let fresh = backends(&self.evidence.fresh);
        let seen = counts(&fresh);
        let rarest = seen.iter().map(|(_, count)| *count as usize).min().unwrap_or(1);
        // Enough that the backend where one is held would usually get 260 of them.
        let others = (260 * fresh.len() / rarest.max(1)).clamp(OTHERS, OTHERS * 8);
        let size = self.setting.backends.unwrap_or(seen.len());
        // Where turns are strict the first is known already.
        let mut avoided = self.evidence.after.len().checked_sub(1).is_none_or(|last| self.evidence.is_avoided(last));
        self.look_before(HOLD);
        while avoided && self.evidence.after.len() < MEMORIES.min(size) {
            let Some(held) = self.hold_once(1, OTHERS / 10, HOLD) else { break };
            let busy = held.busy.clone();
            self.evidence.held_one.push(held);
            self.evidence.after.push(Hold { busy, others: Vec::new() });
            self.look_after(OTHERS / 3, others);
            avoided = self.evidence.is_avoided(self.evidence.after.len() - 1);
        }
        if self.evidence.held_one.is_empty() {
            // Some responses take longer than anything can be held.
            return self.mixed();
        }
        if avoided {
            // What was done to some is done to all, or they would get nothing in the sample either.
            for _ in self.evidence.after.len()..size {
                self.hold_once(1, 1, HOLD);
            }
            return;
        }
        self.beside();
        self.hold_one(others);
        // Others than the usual ones were asked meanwhile.
        self.evidence.usual = self.evidence.usual.max(self.usual);
        // Where ties are no draws, some get nothing while nothing is in flight.
        let others_too = self.evidence.held_one.iter().flat_map(|hold| backends(&hold.others));
        let backends = counts(&fresh.iter().copied().chain(others_too).collect::<Vec<Backend>>()).len();
        let there: usize = self.evidence.held_one.iter().map(Hold::to_busy).sum();
        let sent: usize = self.evidence.held_one.iter().map(|hold| hold.others.len()).sum();
        if there * backends * 2 < sent && (3..=MOST_BUSY * 2).contains(&backends) {
            // The more draws are held, the less often are all of them at another backend.
            let held = if backends <= MOST_BUT_ONE { backends - 1 } else { backends / 2 };
            if self.may_open(held + 1) {
                self.evidence.held_most = self.hold_most(held);
            }
        }
        // The smaller the part of one worker is, the more it takes to see that load counts there.
        if self.evidence.may_count_apart() {
            self.hold_one(others * 5);
        }
        if there * backends * 2 < sent && size <= MOST_BUSY && self.may_open(size + 1) {
            self.evidence.full = self.fill(size);
        }
    }

    /// Keeps one busy round after round, until it is clear whether load counts, or this number of others was sent.
    fn hold_one(&mut self, wanted: usize) {
        // What is usual is known of all backends together better than of each: they take it in turns to be busy.
        let each = (OTHERS / 2).max(wanted / ROUNDS);
        for round in 0..ROUNDS * 2 {
            let sent: usize = self.evidence.held_one.iter().map(|hold| hold.others.len()).sum();
            if sent >= wanted || self.evidence.is_held_settled() {
                return;
            }
            // Never as many as before, or turns would bring what is held to one backend all the time.
            let Some(hold) = self.hold_once(1, (wanted - sent).min(each + round), SHORT_HOLD) else { return };
            self.evidence.held_one.push(hold);
        }
    }

    /// Keeps that many busy, round after round.
    fn hold_most(&mut self, count: usize) -> Vec<Hold> {
        let mut holds: Vec<Hold> = Vec::new();
        for _ in 0..ROUNDS {
            // Two that were sent at once may be held at the same backend.
            let spread = || holds.iter().filter(|hold| hold.is_spread());
            let sent: usize = spread().map(|hold| hold.others.len()).sum();
            let there: usize = spread().map(Hold::to_busy).sum();
            // What goes to busy ones now and then: as often as two draws, or because the idle one seemed busy a moment longer?
            let wanted = if there * 20 > sent { OTHERS } else { OTHERS / 4 };
            if sent >= wanted {
                break;
            }
            let Some(hold) = self.hold_once(count, wanted - sent, SHORT_HOLD) else { break };
            holds.push(hold);
        }
        holds
    }

    /// Workers that count what is in flight each for itself know little of one request that is held. Beside several, each on a worker by
    /// chance, what looks at load leaves its rotation on the connections of those workers.
    fn beside(&mut self) {
        let turns = self.evidence.rotation_of_workers().map(|turns| turns.len());
        let Some(size) = turns.filter(|size| *size <= MOST_BUSY) else { return };
        if !self.may_open(CURSOR_CONNECTIONS + BESIDE * (BESIDE_ROUNDS + 1)) {
            return;
        }
        let takes = (self.usual * (2 + 2 * size) as u32 + ON_ITS_WAY) * BESIDE as u32;
        let delay = takes.mul_f64(1.0 / USED).clamp(HOLD, LONGEST_HOLD).min(self.longest_delay());
        for round in 0..BESIDE_ROUNDS {
            let needed = BESIDE * (3 + 6 * size);
            if self.left() < delay * 3 || self.requests_left() < needed {
                return;
            }
            // Of their own: a balancer gives new connections to the workers that have taken others a moment ago.
            let slots: Vec<usize> = (0..BESIDE).map(|place| CURSOR_CONNECTIONS + round * BESIDE + place).collect();
            // A connection that keeps to a backend of its own leaves out the others whatever is in flight.
            let before: Vec<Vec<Pick>> = slots.iter().map(|slot| self.row(*slot, 2 * size)).collect();
            let until = self.subject.elapsed() + delay.mul_f64(USED);
            let mut rows: Vec<Vec<Pick>> = Vec::new();
            for slot in &slots {
                let mut row = self.row(*slot, 1);
                // One that takes a turn between two of this connection is at the same worker.
                if !self.subject.hold(delay) {
                    break;
                }
                row.extend(self.row(*slot, 1));
                rows.push(row);
            }
            for (slot, row) in slots.iter().zip(&mut rows) {
                if self.subject.elapsed() > until {
                    break;
                }
                row.extend(self.row(*slot, 2 * size));
            }
            let held = self.subject.release();
            self.sent += held.len() as u64;
            let is_held = held.iter().all(|held| held.busy().is_some());
            let mut rows = rows.into_iter();
            for (slot, before) in slots.into_iter().zip(before) {
                let beside = rows.next().filter(|_| is_held).unwrap_or_default();
                let after = self.row(slot, 2 * size);
                self.evidence.beside.push(WorkerRow { before, beside, after });
            }
            if self.evidence.leaves_rotations_beside() == Some(true) {
                return;
            }
        }
    }

    fn row(&mut self, slot: usize, count: usize) -> Vec<Pick> {
        let request = ProbeRequest { connection: Some(slot), ..ProbeRequest::default() };
        (0..count).filter_map(|_| self.one(&request).pick).collect()
    }

    /// Keeps all backends busy with one request and sends another: where each takes one at a time it waits until one of those is over, or
    /// is refused. Then a busy backend is left out for that, whatever the algorithm.
    fn fill(&mut self, size: usize) -> Full {
        let mut full = Full::default();
        while full.waited == full.sent && full.sent < WAITS && !self.left().is_zero() && self.requests_left() > size {
            let time = self.hold_time();
            let holding = (0..size).all(|_| self.subject.hold(time));
            // What may be refused for our sake is no request of the user's.
            let ours = ProbeRequest { delay: Some(Duration::from_millis(1)), ..ProbeRequest::default() };
            let other = holding.then(|| self.one(&ours));
            let held = self.subject.release();
            self.sent += held.len() as u64;
            let Some(other) = other else { break };
            full.sent += 1;
            let is_refused = other.pick.is_none_or(|pick| !pick.backend.is_known());
            full.waited += u32::from(is_refused || other.took > time / 2);
        }
        full
    }

    /// Holds that many requests for a time, at the least, and sends others meanwhile. Again if a busy machine had no time for any; none if
    /// nothing is held, or the time is over.
    fn hold_once(&mut self, count: usize, wanted: usize, least: Duration) -> Option<Hold> {
        for _ in 0..TRIES {
            if self.left().is_zero() || self.requests_left() <= count {
                return None;
            }
            let usual = self.usual.max(Duration::from_micros(50));
            // Beside many the next waits until the one before it is surely over, also for a thread that was not scheduled.
            let pause = if count > 1 { usual * PAUSE } else { Duration::ZERO };
            let delay =
                (usual + pause).mul_f64(wanted as f64 / USED).clamp(least, LONGEST_HOLD).min(self.longest_delay());
            if !(0..count).all(|_| self.subject.hold(delay)) {
                self.sent += self.subject.release().len() as u64;
                return None;
            }
            let until = self.subject.elapsed() + delay.mul_f64(USED);
            let mut replies: Vec<ProbeReply> = Vec::new();
            if count > 1 {
                let pace = Pace { width: 1, gap: usual + pause, until };
                replies = self.subject.send_all(&vec![ProbeRequest::default(); wanted], &pace);
                self.sent += replies.len() as u64;
            }
            while count == 1 && replies.len() < wanted && (replies.is_empty() || self.subject.elapsed() < until) {
                replies.push(self.one(&ProbeRequest::default()));
            }
            let held = self.subject.release();
            self.sent += held.len() as u64;
            let busy: Vec<Backend> = held.iter().filter_map(|held| held.busy_with(delay)).collect();
            let windows = || held.iter().map(|held| held.window(delay));
            let (since, to) = (windows().map(|it| it.0).max()?, windows().map(|it| it.1).min()?);
            let is_beside = |reply: &ProbeReply| reply.sent >= since && reply.sent.after(reply.took) <= to;
            let others: Vec<Pick> = replies.into_iter().filter(is_beside).filter_map(|reply| reply.pick).collect();
            if busy.len() == count && !others.is_empty() {
                return Some(Hold { busy, others });
            }
        }
        None
    }
}
