//! What requests side by side, of which some take much longer than others, show of a balancer: whether it went to backends that had more in
//! flight than another, whether it kept the pace of a rotation, and whether requests waited for a place.

use std::time::Duration;

use super::evidence::Flight;
use crate::Moment;
use crate::observation::Backend;
use crate::statistics::{binomial_at_least, binomial_at_most};

/// A false conclusion from chance alone is less likely than that.
const LEVEL: f64 = 1e-8;

/// What requests side by side show of whether load counts.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct SideBySide {
    pub(super) seen: Uphill,
    /// How many of the chances a balancer that ignores load would have taken, and by how much that varies.
    pub(super) expected: f64,
    pub(super) spread: f64,
}

impl SideBySide {
    pub(super) fn of(flights: &[Flight], failing: &[Backend], weights: &[(Backend, u32)]) -> SideBySide {
        let passages = Passages::of(flights, failing, weights);
        let seen = passages.uphill();
        let (expected, spread) = if_ignored(&passages, seen);
        SideBySide { seen, expected, spread }
    }

    /// Less often uphill than a balancer that ignores load would hardly ever be.
    pub(super) fn is_less(&self) -> bool {
        self.expected - self.seen.taken as f64 > DEVIATIONS * self.spread.max(1.0)
    }

    /// Seldom uphill: what looks at load is.
    pub(super) fn is_seldom(&self) -> bool {
        self.is_less() && (self.seen.taken as f64) < self.expected * 0.7
    }

    /// Uphill more often than the less loaded of two random choices would be, also where a number of workers know of their own requests alone:
    /// then a choice is blind for the requests of the others. The sample adds to what was seen: there who waits is not drawn by lot, and what
    /// ignores load goes uphill as often as draws do.
    pub(super) fn is_beyond_choice(&self, workers: u32, sample: &Uphill) -> bool {
        let chances = (self.seen.chances + sample.chances).max(1);
        let sees = 1.0 / f64::from(workers);
        let by_choice = |seen: &Uphill, if_ignored: f64| sees * seen.by_two + (1.0 - sees) * if_ignored;
        let expected = by_choice(&self.seen, self.expected) + by_choice(sample, sample.by_draw);
        let share = (expected / chances as f64).min(1.0);
        binomial_at_least(self.seen.taken + sample.taken, chances, share) < 1e-4
    }
}

/// Standard deviations from what is expected beyond which a result of requests side by side is no chance.
const DEVIATIONS: f64 = 6.5;

/// How far the picks were from the turns of a rotation with these weights, at most: the number of requests that any backend was ahead or behind.
pub(super) fn drift(picks: impl Iterator<Item = Backend>, weights: &[(Backend, u32)]) -> f64 {
    let sum: u32 = weights.iter().map(|(_, weight)| weight).sum();
    let mut lead = vec![0.0f64; weights.len()];
    let (mut highest, mut lowest) = (lead.clone(), lead.clone());
    for backend in picks {
        for (place, (of, weight)) in weights.iter().enumerate() {
            lead[place] += f64::from(u8::from(*of == backend)) - f64::from(*weight) / f64::from(sum.max(1));
            highest[place] = highest[place].max(lead[place]);
            lowest[place] = lowest[place].min(lead[place]);
        }
    }
    // From wherever it began: the first may have been in the middle of a round.
    highest.iter().zip(&lowest).map(|(highest, lowest)| highest - lowest).fold(0.0, f64::max)
}

/// How often a request went to a backend that had more requests in flight than another.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Uphill {
    /// Requests for which some backend surely had more in flight than another.
    pub chances: u64,
    /// Of these, the ones that went to such a backend.
    pub taken: u64,
    /// Of the chances, those in which each backend had [`MANY`] in flight, or may have had.
    pub busy: u64,
    /// How many independent draws would have sent there.
    pub by_draw: f64,
    /// How many the less loaded of two draws, which may be the same one, would have sent there at most.
    pub by_two: f64,
    /// How many the less loaded of two distinct backends would have sent there at least.
    pub by_two_distinct: f64,
}

/// With that number in flight at each backend one more is a small difference, which a difference in time outweighs.
const MANY: u32 = 8;

/// A balancer may count a request as in flight a little longer than its client does.
const SLACK: Duration = Duration::from_millis(3);

/// A request side by side with others, as far as it counts: where it was, and when.
#[derive(Clone, Copy)]
struct Passage {
    /// The place of its backend among all.
    place: usize,
    sent: Moment,
    from: Moment,
    to: Moment,
    /// When its client had the response, and the balancer surely knew.
    over: Moment,
    delay: Duration,
}

/// Requests side by side in the order in which they were sent, without those of backends that fail: these look idle.
struct Passages {
    /// The share that each backend got.
    shares: Vec<f64>,
    /// A backend with a weight may have that many times as much in flight as one without.
    weights: Vec<u32>,
    all: Vec<Passage>,
}

impl Passages {
    fn of(flights: &[Flight], failing: &[Backend], weights: &[(Backend, u32)]) -> Passages {
        let counts = |flight: &&Flight| flight.pick.backend.is_known() && !failing.contains(&flight.pick.backend);
        let mut known: Vec<Backend> = flights.iter().filter(counts).map(|flight| flight.pick.backend).collect();
        known.sort_unstable();
        let total = known.len().max(1) as f64;
        let (backends, shares): (Vec<Backend>, Vec<f64>) =
            known.chunk_by(|a, b| a == b).map(|chunk| (chunk[0], chunk.len() as f64 / total)).unzip();
        let passage = |flight: &Flight| {
            let &Flight { pick, sent, from, to, got, delay } = flight;
            let place = backends.binary_search(&pick.backend).ok()?;
            Some(Passage { place, sent, from, to, over: got.after(SLACK), delay })
        };
        let mut all: Vec<Passage> = flights.iter().filter_map(passage).collect();
        all.sort_by_key(|passage| passage.sent);
        let weight =
            |backend: &Backend| weights.iter().find(|(it, _)| it == backend).map_or(1, |(_, weight)| (*weight).max(1));
        Passages { weights: backends.iter().map(weight).collect(), shares, all }
    }

    /// Counts for each request what was surely, and what was possibly in flight at each backend when the balancer selected one for it: after
    /// the client sent it, and before the backend had it. Another was surely in flight if its backend had it before, and had not yet answered
    /// after; and possibly until its client had the response.
    fn uphill(&self) -> Uphill {
        let mut result = Uphill::default();
        // Those before that are possibly in flight still.
        let mut before: Vec<Passage> = Vec::new();
        let (mut surely, mut possibly) = (vec![0u32; self.shares.len()], vec![0u32; self.shares.len()]);
        for (number, passage) in self.all.iter().enumerate() {
            surely.fill(0);
            possibly.fill(0);
            before.retain(|other| other.over > passage.sent);
            let later = self.all[number + 1..].iter().take_while(|other| other.sent < passage.from);
            for other in before.iter().chain(later) {
                possibly[other.place] += 1;
                surely[other.place] += u32::from(other.from < passage.sent && other.to > passage.from);
            }
            before.push(*passage);
            result.add(passage.place, &surely, &possibly, self);
        }
        result
    }

    /// The same requests, had the lots of who has to wait been drawn otherwise.
    fn redrawn(&self, mut below: impl FnMut(usize) -> usize) -> Passages {
        let mut delays: Vec<Duration> = self.all.iter().map(|passage| passage.delay).collect();
        for place in (1..delays.len()).rev() {
            delays.swap(place, below(place + 1));
        }
        let redraw = |(passage, delay): (&Passage, Duration)| {
            let moved = |moment: Moment| Moment(moment.after(delay).0.saturating_sub(passage.delay.as_nanos() as u64));
            Passage { to: moved(passage.to), over: moved(passage.over), delay, ..*passage }
        };
        let all = self.all.iter().zip(delays).map(redraw).collect();
        Passages { shares: self.shares.clone(), weights: self.weights.clone(), all }
    }
}

/// How often these went to a backend that had more in flight than another.
pub(super) fn uphill(flights: &[Flight], failing: &[Backend], weights: &[(Backend, u32)]) -> Uphill {
    Passages::of(flights, failing, weights).uphill()
}

/// Whether requests waited for a place at a backend: where it takes a limited number at a time, the next goes to whoever is done first, whatever the
/// algorithm.
pub(super) fn is_limited(flights: &[Flight]) -> bool {
    /// The balancer needs so long to pass on the next one at most, and what waited less may have waited for anything.
    const HANDOVER: Duration = Duration::from_millis(5);
    let waits = |flight: &&Flight| {
        let took = flight.from.since(flight.sent);
        let ends_before = |other: &Flight| {
            other.pick.backend == flight.pick.backend
                && other.from < flight.sent
                && other.to > flight.sent
                && other.to <= flight.from
                && flight.from.since(other.to) < HANDOVER
        };
        flight.pick.backend.is_known() && took > HANDOVER * 4 && flights.iter().any(ends_before)
    };
    flights.iter().filter(waits).count() >= FEW_WAITS
}

/// Beyond this number it is no accident that requests wait for others.
const FEW_WAITS: usize = 8;

/// How often a balancer that ignores load would have gone uphill, and by how much that varies: who has to wait was drawn by lot, so all is
/// the same as it was, but for another draw. Whatever else the order of selection depends on stays as it is.
fn if_ignored(passages: &Passages, seen: Uphill) -> (f64, f64) {
    const DRAWS: usize = 40;
    let mut chance = 0x9e37_79b9_7f4a_7c15u64;
    let mut below = |bound: usize| {
        chance ^= chance >> 12;
        chance ^= chance << 25;
        chance ^= chance >> 27;
        ((u128::from(chance.wrapping_mul(0x2545_f491_4f6c_dd1d)) * bound as u128) >> 64) as usize
    };
    let share = |drawn: Uphill| drawn.taken as f64 / drawn.chances.max(1) as f64;
    let shares: Vec<f64> = (0..DRAWS).map(|_| share(passages.redrawn(&mut below).uphill())).collect();
    let mean = shares.iter().sum::<f64>() / DRAWS as f64;
    let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / (DRAWS - 1) as f64;
    // The spread of so few draws is not known well.
    let least = (mean * (1.0 - mean) / seen.chances.max(1) as f64).sqrt();
    (mean * seen.chances as f64, variance.sqrt().max(least) * seen.chances as f64)
}

impl Uphill {
    /// Adds a request that went there, with what was surely and what was possibly in flight at each backend.
    fn add(&mut self, own: usize, surely: &[u32], possibly: &[u32], Passages { shares, weights, .. }: &Passages) {
        // Compared without division: a / v < b / w.
        let less = |a: u32, of_a: usize, b: u32, of_b: usize| {
            (u64::from(a) * u64::from(weights[of_b])).cmp(&(u64::from(b) * u64::from(weights[of_a])))
        };
        let places = || 0..shares.len();
        let least = places().min_by(|a, b| less(possibly[*a], *a, possibly[*b], *b)).unwrap_or(0);
        let is_above = |place: &usize| less(surely[*place], *place, possibly[least], least).is_gt();
        let share: f64 = places().filter(is_above).map(|place| shares[place]).sum();
        if share == 0.0 {
            return;
        }
        let (many, all) = (places().filter(is_above).count() as f64, shares.len() as f64);
        // Whoever has least wins wherever it is drawn; what stands between may win or lose.
        let is_lowest = |place: &usize| less(possibly[*place], *place, possibly[least], least).is_eq();
        let lowest = places().filter(is_lowest).count() as f64;
        let between = all - many - lowest;
        self.chances += 1;
        self.by_draw += share;
        self.by_two += ((all - lowest).powi(2) - between.powi(2)) / all.powi(2);
        self.by_two_distinct += many * (many - 1.0) / (all * (all - 1.0)).max(1.0);
        self.taken += u64::from(is_above(&own));
        self.busy += u64::from(possibly[least] >= MANY * weights[least]);
    }

    /// It never goes uphill, where two choices would have to now and then.
    pub(super) fn avoids_all(&self) -> bool {
        let share = self.by_two_distinct / self.chances.max(1) as f64;
        self.taken * 50 <= self.chances && binomial_at_most(self.taken, self.chances, share) < LEVEL
    }

    /// It goes uphill as often as two choices do, and not only where a worker cannot know.
    pub(super) fn is_by_choice(&self) -> bool {
        self.by_two_distinct >= 10.0 && binomial_at_least(self.taken, self.chances, 0.04) < LEVEL
    }
}
