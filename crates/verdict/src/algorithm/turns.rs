//! Whether turns go on beside a request that is held, and after it. Where they are known to be strict a few requests tell that: what looks at
//! load leaves out the backend that is busy, what looks at time the one that was slow, and what another worker holds takes no turn.

use std::time::Duration;

use super::Algorithm;
use super::busy::{HOLD, LONGEST_HOLD, USED};
use super::evidence::{Evidence, HeldTurn, Hold, Pick, backends};
use super::lab::Lab;
use super::order::{OrderPattern, counts, exceptions};
use super::result::ExperimentFacts;
use super::subject::{ProbeReply, ProbeRequest, Released};
use crate::observation::Backend;

/// All but the first, which is to be remembered as slow, are held that long at the least.
const SHORTEST_HOLD: Duration = Duration::from_millis(100);
/// Requests that have to come to a backend in its turn while another is held there. What looks at load would send one there only if all
/// others seemed as busy: a balancer of several threads may count a request a moment longer than its client, on a busy machine for one turn in three.
const ON_TIME: usize = 12;
/// Requests more for each turn that was left for no reason that shows.
const FOR_EACH_LEFT: usize = 6;
/// Backends are kept busy that often at least.
const FEWEST_ROUNDS: usize = 3;
/// Requests for each backend after a slow response: as many at a time, and at most.
const LEAST_AFTER: usize = 8;
const MOST_AFTER: usize = 32;

impl HeldTurn {
    /// Who was held with that delay, and who was sent meanwhile.
    fn of(held: Pick, released: &Released, delay: Duration, replies: Vec<ProbeReply>) -> HeldTurn {
        let (mut others, mut beside) = (Vec::new(), Vec::new());
        let (since, until) = released.window(delay);
        for reply in replies {
            let Some(pick) = reply.pick else { continue };
            if reply.sent >= since && reply.sent.after(reply.took) <= until {
                beside.push(others.len());
            }
            others.push(pick);
        }
        let beside = beside.first().map_or(0..0, |first| *first..beside.last().map_or(0, |last| last + 1));
        HeldTurn { held, others, beside }
    }

    fn beside(&self) -> &[Pick] {
        self.others.get(self.beside.clone()).unwrap_or_default()
    }

    fn on_time(&self) -> usize {
        self.beside().iter().filter(|other| other.backend == self.held.backend).count()
    }
}

/// What requests beside those that were held show of turns that are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct TurnsSeen {
    rounds: usize,
    requests: usize,
    /// Of the requests, those that went to where one was held.
    on_time: usize,
    /// How often the turns were left.
    left: usize,
    /// Whether each backend has as many turns as another.
    are_equal: bool,
}

impl TurnsSeen {
    /// Whether turns surely go on as if nothing was held: of equal turns a few may be left, as they are in sequence.
    fn are_kept(self) -> bool {
        let is_left = self.left > 0 && !self.are_equal;
        !is_left && self.rounds >= FEWEST_ROUNDS && self.on_time >= ON_TIME + FOR_EACH_LEFT * self.left
    }
}

impl Evidence {
    /// The turns of requests in sequence, if they are strict and those of one rotation, on one connection too.
    fn strict_turns(&self) -> Option<Vec<Backend>> {
        let strict = |picks: &[Pick]| match OrderPattern::of(&backends(picks)) {
            order @ OrderPattern::Turns { .. } if order.is_of_one_rotation() => match order {
                OrderPattern::Turns { period, .. } => Some(period),
                _ => None,
            },
            _ => None,
        };
        let turns = strict(&self.fresh)?;
        // One connection may keep its backend: then connections have turns.
        let keeps = |kept: &[Pick]| kept.iter().all(|pick| pick.backend == kept[0].backend);
        let is_kept = keeps(&self.kept) || strict(&self.kept).is_some_and(|kept| counts(&kept) == counts(&turns));
        (is_kept && turns.iter().all(|backend| backend.is_known())).then_some(turns)
    }

    /// How far the turns went on; none if they are not strict, or nothing was held.
    fn turns_seen(&self) -> Option<TurnsSeen> {
        let turns = self.strict_turns()?;
        self.times_left_beside(&turns).map(|left| self.turns_seen_apart(&turns, left, None))
    }

    /// The same where turns were left so often. `apart`: what was held there does not count, as where a backend fails.
    fn turns_seen_apart(&self, turns: &[Backend], left: usize, apart: Option<Backend>) -> TurnsSeen {
        // What fails looks idle.
        let fails = |backend| self.failing.contains(&backend) || apart == Some(backend);
        let is_whole = |round: &&HeldTurn| round.beside().len() >= turns.len() && !fails(round.held.backend);
        let times = counts(turns);
        let are_equal = times.iter().all(|(_, count)| *count == times[0].1);
        let mut seen = TurnsSeen { left, are_equal, ..TurnsSeen::default() };
        for round in self.held_turns.iter().filter(is_whole) {
            seen.rounds += 1;
            seen.requests += round.beside().len();
            seen.on_time += round.on_time();
        }
        seen
    }

    /// How often these turns were left beside what was held; none if nothing was.
    fn times_left_beside(&self, turns: &[Backend]) -> Option<usize> {
        let mut left = None;
        let mut pairs: Vec<(Backend, Backend)> =
            turns.iter().zip(turns.iter().cycle().skip(1)).map(|(turn, next)| (*turn, *next)).collect();
        pairs.sort_unstable();
        let follows = |turn: Option<&Backend>, next: Option<&Backend>| {
            turn.zip(next).is_some_and(|(turn, next)| pairs.binary_search(&(*turn, *next)).is_ok())
        };
        // All of them are one sequence: what was held took its turn before the first that was surely sent beside it.
        let mut sequence: Vec<Backend> = Vec::new();
        for round in &self.held_turns {
            let others = backends(&round.others);
            let with_held = |place: usize| {
                let (before, after) = others.split_at(place.min(others.len()));
                [&sequence, before, &[round.held.backend], after].concat()
            };
            // Elsewhere it would leave the turns twice.
            let held = Some(&round.held.backend);
            let is_its_turn = |place: &usize| {
                let before = place.checked_sub(1).map_or(sequence.last(), |before| others.get(before));
                follows(before, held) || follows(held, others.get(*place))
            };
            let its_turns: Vec<usize> = (0..=round.beside.start).filter(is_its_turn).collect();
            let places = if its_turns.is_empty() { (0..=round.beside.start).collect() } else { its_turns };
            let sequences = places.into_iter().map(|place| {
                let sequence = with_held(place);
                (times_left(&sequence, turns), sequence)
            });
            let (least, most_likely) = sequences.min_by_key(|(left, _)| *left)?;
            (left, sequence) = (Some(least), most_likely);
        }
        left
    }

    /// Whether that is known also if one of the backends turns out to fail.
    fn keeps_turns_whoever_fails(&self) -> bool {
        let Some(turns) = self.strict_turns() else { return false };
        let Some(left) = self.times_left_beside(&turns) else { return false };
        let keeps = |backend| self.turns_seen_apart(&turns, left, Some(backend)).are_kept();
        self.held_turns.iter().all(|round| keeps(round.held.backend))
    }

    /// Whether turns surely go on beside what is held, and what that excludes.
    pub(super) fn turns_beside(&self) -> Option<(ExperimentFacts, &'static [Algorithm])> {
        let seen = self.turns_seen().filter(|seen| seen.are_kept())?;
        let (held, requests) = (seen.rounds as u64, seen.requests as u64);
        let facts =
            ExperimentFacts::TurnsBeside { held, requests, to_busy: seen.on_time as u64, left: seen.left as u64 };
        Some((facts, &[Algorithm::TwoChoices, Algorithm::LeastConnections, Algorithm::LeastTime]))
    }
}

/// How often a sequence leaves these turns; those of several rounds in changing order (Traefik) may come in another order.
fn times_left(sequence: &[Backend], turns: &[Backend]) -> usize {
    let left = exceptions(sequence, turns).len();
    let size = counts(turns).len();
    if turns.len() == size || counts(turns).iter().any(|(_, count)| *count as usize * size != turns.len()) {
        return left;
    }
    let incomplete = |first: usize| {
        let rounds = sequence.get(first..).unwrap_or_default().chunks_exact(size);
        rounds.filter(|round| counts(round).len() < size).count()
    };
    (0..size).map(incomplete).min().unwrap_or(left).min(left)
}

impl Lab<'_> {
    /// Holds one request after the other beside others in sequence where turns are strict; whether they surely go on.
    pub(super) fn turns(&mut self) -> bool {
        let Some(turns) = self.evidence.strict_turns() else { return false };
        let size = counts(&turns).len();
        let each = self.setting.rate.map_or(self.usual, |_| self.usual.max(self.gap())).as_secs_f64().max(5e-5);
        // Each comes to the backend that is busy in its turn only.
        let needed = (ON_TIME * size).div_ceil(FEWEST_ROUNDS).max(turns.len() + 2);
        let delay = Duration::from_secs_f64(each * needed as f64 / USED).clamp(SHORTEST_HOLD, LONGEST_HOLD);
        let delay = delay.min(self.longest_delay());
        let count = needed.min((delay.as_secs_f64() * USED / each) as usize);
        let rounds = (ON_TIME * size).div_ceil(count.max(1)).max(FEWEST_ROUNDS);
        let takes = delay.mul_f64(1.2) * rounds as u32 + Duration::from_secs_f64(each * (LEAST_AFTER * size) as f64);
        if count < turns.len() || self.left().mul_f64(0.6) < takes || self.requests_left() < rounds * count * 2 {
            return false;
        }
        for round in 0..rounds * 2 {
            let before = self.evidence.turns_seen().unwrap_or_default();
            let delay = if round == 0 { delay.max(HOLD).min(self.longest_delay()) } else { delay };
            if !self.hold_a_turn(delay, count) {
                break;
            }
            // What is slow for the first time is remembered, or not: later there are others to compare with that were slow too.
            if round == 0 && !self.forgets_the_first(size) {
                break;
            }
            let now = self.evidence.turns_seen().unwrap_or_default();
            if now.are_kept() && self.evidence.keeps_turns_whoever_fails() {
                return true;
            }
            // What looks at load leaves the turns at once, and for a machine that is too busy this is no way.
            if now.on_time - before.on_time.min(now.on_time) <= 2 * (now.left - before.left.min(now.left)) {
                break;
            }
        }
        if self.evidence.turns_beside().is_some() {
            return true;
        }
        // What it shows all the same.
        let holds = self.evidence.held_turns.iter().filter(|round| !round.beside().is_empty());
        let holds = holds.map(|round| Hold { busy: vec![round.held.backend], others: round.beside().to_vec() });
        self.evidence.held_one = holds.collect();
        false
    }

    /// One round; false if nothing can be held.
    fn hold_a_turn(&mut self, delay: Duration, count: usize) -> bool {
        if !self.subject.hold(delay) {
            return false;
        }
        let replies = self.in_turn(&vec![ProbeRequest::default(); count], 0.9);
        let released = self.subject.release();
        self.sent += released.len() as u64;
        let Some(released) = released.first() else { return false };
        let Some(held) = released.reply.pick.filter(|pick| pick.backend.is_known()) else { return false };
        self.evidence.held_turns.push(HeldTurn::of(held, released, delay, replies));
        true
    }

    /// Whether the first that was held, and so was slow, makes no difference afterwards.
    fn forgets_the_first(&mut self, size: usize) -> bool {
        let Some(first) = self.evidence.held_turns.first().map(|round| round.held.backend) else { return false };
        self.evidence.after.push(Hold { busy: vec![first], others: Vec::new() });
        self.look_after(LEAST_AFTER * size, MOST_AFTER * size);
        if self.evidence.is_avoided(0) || !self.evidence.forgets() {
            return false;
        }
        // They are of the same sequence.
        let others = self.evidence.after[0].others.clone();
        self.evidence.held_turns[0].others.extend(others);
        true
    }

    /// Sends requests in sequence after a slow response, `step` at a time, until it is clear whether it is remembered.
    pub(super) fn look_after(&mut self, step: usize, most: usize) {
        let last = self.evidence.after.len() - 1;
        loop {
            let sent = self.evidence.after[last].others.len();
            let wanted = step.min(most.saturating_sub(sent));
            let replies = self.in_turn(&vec![ProbeRequest::default(); wanted], 0.9);
            if replies.is_empty() {
                break;
            }
            self.evidence.after[last].others.extend(replies.into_iter().filter_map(|reply| reply.pick));
            if self.evidence.remembers() || self.evidence.forgets() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A strict rotation over many backends, of which one after the other is held, each for a few rounds of the others.
    fn rotates_beside(size: u16, leaves_out: bool) -> Evidence {
        let mut turn = 0u16;
        let mut picks = |count: u16| -> Vec<Pick> {
            (0..count)
                .map(|_| {
                    turn += 1;
                    Pick { sequence: u32::from(turn), backend: Backend(turn % size) }
                })
                .collect()
        };
        let (fresh, kept) = (picks(60.max(size * 5)), picks(60.max(size * 4)));
        let mut held_turns = Vec::new();
        for _ in 0..6 {
            let held = picks(1)[0];
            let mut others = picks(60.max(size * 5));
            if leaves_out {
                others.retain(|other| other.backend != held.backend);
            }
            let end = others.len();
            // What is surely beside it begins late.
            held_turns.push(HeldTurn { held, others, beside: usize::from(size)..end });
        }
        Evidence { fresh, kept, held_turns, backends: Some(usize::from(size)), ..Evidence::default() }
    }

    #[test]
    fn a_rotation_goes_on_beside_what_is_held_however_long_it_is() {
        for size in [3, 10, 300] {
            let (facts, _) = rotates_beside(size, false).turns_beside().unwrap_or_else(|| panic!("{size}"));
            assert!(matches!(facts, ExperimentFacts::TurnsBeside { held: 6, left: 0, .. }), "{size}: {facts:?}");
            assert!(rotates_beside(size, false).keeps_turns_whoever_fails());
            assert!(rotates_beside(size, true).turns_beside().is_none(), "{size}");
        }
    }
}
