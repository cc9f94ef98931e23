//! Whether a balancer looks at load, from requests side by side of which some take much longer than others.

use std::time::Duration;

use super::Algorithm;
use super::evidence::{Evidence, Flight, Hold, Pick, backends};
use super::inference::Inference;
use super::order::{OrderPattern, counts};
use super::words::name;
use crate::Moment;
use crate::observation::Backend;
use crate::statistics::{binomial_at_least, binomial_at_most, lower_bound};

/// A false conclusion from chance alone is less likely than that.
const LEVEL: f64 = 1e-8;

/// What hides whether load counts.
pub(super) const LIMIT: &str = "a limit of requests at a time (HAProxy's `maxconn`, NGINX's `max_conns`) keeps requests from a busy \
     backend, whatever the algorithm: a check with a higher limit tells whether load counts";

/// Whether the load of a backend counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LoadEffect {
    /// Busy backends are avoided: always, or only more often than not.
    Follows {
        partly: bool,
    },
    Ignores,
    Unknown,
}

impl Evidence {
    /// Whether backends with requests in flight are avoided.
    pub(super) fn load(&self, names: &[String], inference: &mut Inference) -> LoadEffect {
        if !self.mixed.is_empty() {
            return self.load_of_mixed(inference);
        }
        let holds: Vec<&Hold> = self
            .held_one
            .iter()
            .filter(|hold| hold.busy.iter().all(|busy| !self.failing.contains(busy)) && !hold.others.is_empty())
            .collect();
        let others: usize = holds.iter().map(|hold| hold.others.len()).sum();
        if others == 0 {
            return LoadEffect::Unknown;
        }
        let idle = backends(&[self.fresh.as_slice(), &self.kept].concat());
        let seen = |backend: Backend| idle.iter().filter(|it| **it == backend).count() as u64;
        let total = idle.len().max(1);
        let weighted = |share: &dyn Fn(Backend) -> f64| {
            let expected = |hold: &&Hold| hold.busy.first().map_or(0.0, |busy| share(*busy)) * hold.others.len() as f64;
            holds.iter().map(expected).sum::<f64>() / others as f64
        };
        let usual = weighted(&|busy| seen(busy) as f64 / total as f64);
        let rotates =
            [&self.fresh, &self.kept].into_iter().any(|picks| OrderPattern::of(&backends(picks)).is_of_one_rotation());
        // What a rotation gives is no estimate.
        let low = if rotates { usual * 0.97 } else { weighted(&|busy| lower_bound(seen(busy), total as u64)) };
        let there: usize = holds.iter().map(|hold| hold.to_busy()).sum();
        let mut busy: Vec<&str> = holds.iter().filter_map(|hold| Some(name(names, *hold.busy.first()?))).collect();
        busy.sort_unstable();
        busy.dedup();
        inference.evidence.push(format!(
            "while a request was in flight at {}: {there} of {others} others went there too ({:.0} % expected if load is ignored)",
            busy.join(", "),
            usual * 100.0
        ));
        if !self.held_most.is_empty() {
            let most: usize = self.held_most.iter().map(|hold| hold.others.len()).sum();
            let there: usize = self.held_most.iter().map(Hold::to_busy).sum();
            inference.evidence.push(format!("with one in flight at all but one: {there} of {most} went to a busy one"));
        }
        if self.full.is_limit() {
            inference.evidence.push(format!(
                "with one in flight at each backend: {} of {} more waited until one was over, or were refused: each takes one request at a time",
                self.full.waited, self.full.sent
            ));
        }
        let by_worker = self.describe_beside(inference);
        let (share, there, others) = (there as f64 / others as f64, there as u64, others as u64);
        let is_less = binomial_at_most(there, others, low) < LEVEL;
        if is_less && share < low * 0.7 {
            // A backend that is full gets nothing, whatever the algorithm.
            if self.full.is_limit() || self.avoids_some_alone(&holds, &seen, total) {
                inference.hint = Some(LIMIT.to_owned());
                return LoadEffect::Unknown;
            }
            return LoadEffect::Follows { partly: share > usual * 0.1 };
        }
        if by_worker == Some(true) && !self.full.is_limit() && self.failing.is_empty() {
            return LoadEffect::Follows { partly: true };
        }
        // Weights divided by the requests in flight (Envoy's least request) leave a busy backend most of its share.
        if is_less {
            return LoadEffect::Unknown;
        }
        // What fails looks idle and is chosen for that. Even two choices with replacement halve the share, at the least; but where several
        // workers may count each for itself, only a part of it.
        let part = if self.may_count_apart() { OF_ONE_WORKER } else { 0.6 };
        if (self.failing.is_empty() || rotates) && binomial_at_least(there, others, usual * part) < 1e-3 {
            LoadEffect::Ignores
        } else {
            LoadEffect::Unknown
        }
    }

    /// Backends of the rotations that workers have each for itself: one connection goes round, and connections in sequence do not.
    pub(super) fn size_of_rotations(&self) -> Option<usize> {
        let OrderPattern::Turns { period, exceptions: 0 } = OrderPattern::of(&backends(&self.kept)) else {
            return None;
        };
        let is_equal = counts(&period).len() == period.len() && period.len() > 1;
        (is_equal && !OrderPattern::of(&backends(&self.fresh)).is_of_one_rotation()).then_some(period.len())
    }

    /// Whether rotations are left while much is in flight; none if too little was tried, or it is not clear.
    pub(super) fn leaves_rotations_beside(&self) -> Option<bool> {
        let size = self.size_of_rotations()?;
        let (left, _) = rotations_left(self.beside.iter().map(|row| row.get(2..).unwrap_or_default()), size);
        match left {
            0 if self.beside_held() >= FEWEST_ROWS => Some(false),
            0..3 => None,
            _ => Some(true),
        }
    }

    /// Connections between whose first two requests one that was held took a turn: it is in flight at their worker.
    fn beside_held(&self) -> usize {
        let OrderPattern::Turns { period, .. } = OrderPattern::of(&backends(&self.kept)) else { return 0 };
        let place = |pick: &Pick| period.iter().position(|turn| *turn == pick.backend);
        let is_held = |row: &&Vec<Pick>| match row.as_slice() {
            [first, second, rest @ ..] if rest.len() == 2 * period.len() => {
                place(first).zip(place(second)).is_some_and(|(first, second)| (first + 1) % period.len() != second)
            }
            _ => false,
        };
        self.beside.iter().filter(is_held).count()
    }

    /// Whether several workers may take connections, each with what it knows alone: no rotation is that of all of them.
    pub(super) fn may_count_apart(&self) -> bool {
        let is_one = |picks: &[Pick]| OrderPattern::of(&backends(picks)).is_of_one_rotation();
        !is_one(&self.fresh) && self.leaves_rotations_beside() != Some(false)
    }

    /// Whether rotations are left after slow responses; none if too little was tried, or it is not clear.
    pub(super) fn leaves_rotations_afterwards(&self) -> Option<bool> {
        let (left, of) = rotations_left(self.afterwards.iter().map(Vec::as_slice), self.size_of_rotations()?);
        match left {
            0 if of >= 6 => Some(false),
            0..3 => None,
            _ => Some(true),
        }
    }

    fn describe_beside(&self, inference: &mut Inference) -> Option<bool> {
        let rows = self.beside.iter().map(|row| row.get(2..).unwrap_or_default());
        let (left, of) = rotations_left(rows, self.size_of_rotations()?);
        if of > 0 {
            inference.evidence.push(format!(
                "{of} connections, {} of them surely beside a request in flight at their worker: {left} left out a backend",
                self.beside_held()
            ));
        }
        self.leaves_rotations_beside()
    }

    /// Whether one busy backend got as much as ever while another was avoided: one of them has a limit. Load counts at all or at none.
    fn avoids_some_alone(&self, holds: &[&Hold], seen: &dyn Fn(Backend) -> u64, total: usize) -> bool {
        let busy = |hold: &Hold| hold.busy.first().copied();
        let is_ignored = |wanted: Backend| {
            let of = || holds.iter().filter(|hold| busy(hold) == Some(wanted));
            let (there, others) =
                of().fold((0, 0), |(there, others), hold| (there + hold.to_busy(), others + hold.others.len()));
            let usual = seen(wanted) as f64 / total as f64;
            binomial_at_least(there as u64, others as u64, usual * 0.6) < 1e-4
        };
        holds.iter().filter_map(|hold| busy(hold)).any(is_ignored)
    }

    fn load_of_mixed(&self, inference: &mut Inference) -> LoadEffect {
        let seen = uphill(&self.mixed, &self.failing);
        let rotates = self.mixed_rotates();
        inference.evidence.push(format!(
            "{} requests side by side, some much slower: {}{} of {} went to a backend that had more in flight than another ({:.0} expected if load is ignored)",
            self.mixed.len(),
            if rotates && seen.taken >= 10 { "the rotation went on regardless; " } else { "" },
            seen.taken,
            seen.chances,
            if_ignored(&self.mixed, &self.failing).0,
        ));
        let load = self.mixed_load();
        let seems_followed = (seen.taken as f64) < if_ignored(&self.mixed, &self.failing).0 * 0.7;
        if load == LoadEffect::Unknown && seems_followed && is_limited(&self.mixed) {
            inference
                .evidence
                .push("some of them waited until another request at the same backend was over".to_owned());
            inference.hint = Some(LIMIT.to_owned());
        }
        load
    }

    fn mixed_rotates(&self) -> bool {
        let picks: Vec<Backend> = self.mixed.iter().map(|flight| flight.pick.backend).collect();
        OrderPattern::of(&picks).is_of_one_rotation()
    }

    /// What requests side by side, some much slower than others, say of load.
    pub(super) fn mixed_load(&self) -> LoadEffect {
        // All to one while others idle is not by load.
        let mut reached: Vec<Backend> = self.mixed.iter().map(|flight| flight.pick.backend).collect();
        reached.retain(|backend| backend.is_known());
        let overlaps = self.mixed.windows(2).filter(|pair| pair[0].to > pair[1].from).count();
        if counts(&reached).len() == 1 && self.backends.is_some_and(|backends| backends > 1) && overlaps >= 60 {
            return LoadEffect::Ignores;
        }
        let Uphill { chances, taken, by_two, .. } = uphill(&self.mixed, &self.failing);
        let (expected, spread) = if_ignored(&self.mixed, &self.failing);
        let (count, rotates) = (taken as f64, self.mixed_rotates());
        if count < expected * 0.7 && (expected - count) > DEVIATIONS * spread.max(1.0) {
            if is_limited(&self.mixed) {
                return LoadEffect::Unknown;
            }
            // In turns among equals it goes on as if it were a rotation until loads differ.
            return LoadEffect::Follows { partly: count > expected * 0.1 };
        }
        if !rotates && (expected - count) > DEVIATIONS * spread.max(1.0) {
            return LoadEffect::Unknown;
        }
        // What fails looks idle and is chosen for that.
        if !rotates && !self.failing.is_empty() {
            return LoadEffect::Unknown;
        }
        // Two random choices, with replacement, go uphill least seldom of all that look at load.
        let share = by_two / chances.max(1) as f64;
        let is_beyond_choice = binomial_at_least(taken, chances, share) < 1e-4;
        // A rotation that goes on while loads differ ignores them.
        let part = if self.may_count_apart() { OF_ONE_WORKER } else { 0.6 };
        let is_more = count - expected * part > if part > 0.6 { 3.0 * spread } else { 0.0 };
        if rotates && taken >= 10 || is_more && is_beyond_choice {
            return LoadEffect::Ignores;
        }
        LoadEffect::Unknown
    }
}

impl Evidence {
    /// Whether requests side by side have shown already that load counts.
    pub(super) fn follows_load(&self) -> bool {
        !self.mixed.is_empty() && matches!(self.mixed_load(), LoadEffect::Follows { .. })
    }

    /// Whether more requests side by side would not tell more.
    pub(super) fn is_load_settled(&self) -> bool {
        match self.mixed_load() {
            LoadEffect::Ignores => true,
            LoadEffect::Unknown => false,
            LoadEffect::Follows { .. } => {
                let seen = uphill(&self.mixed, &self.failing);
                seen.avoids_all() || seen.is_by_choice()
            }
        }
    }
}

/// Of these connections, how many left out a backend, of how many that are known to their end.
fn rotations_left<'p>(rows: impl Iterator<Item = &'p [Pick]>, size: usize) -> (usize, usize) {
    let is_whole = |row: &Vec<Backend>| row.len() == 2 * size && row.iter().all(|backend| backend.is_known());
    let whole: Vec<Vec<Backend>> = rows.map(backends).filter(is_whole).collect();
    // Somebody else's request that comes between takes one turn of two.
    (whole.iter().filter(|row| counts(row).len() < size).count(), whole.len())
}

/// Least connections leaves one of three in its rotation, where its worker happens to have as many in flight everywhere.
const FEWEST_ROWS: usize = 12;
/// Of what ignores load, that much is left where one worker in eight knows of a request that is held.
const OF_ONE_WORKER: f64 = 0.87;

impl Uphill {
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

/// Standard deviations from what is expected beyond which a result of requests side by side is no chance.
const DEVIATIONS: f64 = 6.5;

/// How often a request went to a backend that had more requests in flight than another.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Uphill {
    /// Requests for which some backend surely had more in flight than another.
    pub chances: u64,
    /// Of these, the ones that went to such a backend.
    pub taken: u64,
    /// How many independent draws would have sent there.
    pub by_draw: f64,
    /// How many the less loaded of two draws, which may be the same one, would have sent there at most.
    pub by_two: f64,
    /// How many the less loaded of two distinct backends would have sent there at least.
    pub by_two_distinct: f64,
}

/// A balancer may count a request as in flight a little longer than its client does.
const SLACK: Duration = Duration::from_millis(3);

/// Counts for each request what was surely, and what was possibly in flight at each backend when the balancer selected one for it: after
/// the client sent it, and before the backend had it. Another was surely in flight if its backend had it before, and had not yet answered
/// after; and possibly until its client had the response. Backends that fail are left out: they look idle.
pub(crate) fn uphill(flights: &[Flight], failing: &[Backend]) -> Uphill {
    let counts = |backend: Backend| backend.is_known() && !failing.contains(&backend);
    let mut known: Vec<Backend> = flights.iter().map(|flight| flight.pick.backend).filter(|it| counts(*it)).collect();
    known.sort_unstable();
    let total = known.len().max(1) as f64;
    let shares: Vec<(Backend, f64)> =
        known.chunk_by(|a, b| a == b).map(|chunk| (chunk[0], chunk.len() as f64 / total)).collect();
    let place = |backend: Backend| shares.binary_search_by_key(&backend, |(known, _)| *known).ok();
    let mut flights: Vec<(usize, &Flight)> =
        flights.iter().filter_map(|flight| Some((place(flight.pick.backend)?, flight))).collect();
    flights.sort_by_key(|(_, flight)| flight.sent);
    let mut result = Uphill::default();
    // Those before that are possibly in flight still.
    let mut before: Vec<(usize, &Flight)> = Vec::new();
    let (mut surely, mut possibly) = (vec![0u32; shares.len()], vec![0u32; shares.len()]);
    for (number, (own, flight)) in flights.iter().enumerate() {
        before.retain(|(_, other)| other.got.after(SLACK) > flight.sent);
        surely.fill(0);
        possibly.fill(0);
        let later = flights[number + 1..].iter().take_while(|(_, other)| other.sent < flight.from);
        for (place, other) in before.iter().chain(later) {
            possibly[*place] += 1;
            surely[*place] += u32::from(other.from < flight.sent && other.to > flight.from);
        }
        before.push((*own, flight));
        let least = possibly.iter().min().copied().unwrap_or(0);
        let above = || surely.iter().enumerate().filter(|(_, there)| **there > least).map(|(place, _)| place);
        let share: f64 = above().map(|place| shares[place].1).sum();
        if share == 0.0 {
            continue;
        }
        let (many, all) = (above().count() as f64, shares.len() as f64);
        // Whoever has least wins wherever it is drawn; what stands between may win or lose.
        let lowest = possibly.iter().filter(|there| **there == least).count() as f64;
        let between = all - many - lowest;
        result.chances += 1;
        result.by_draw += share;
        result.by_two += ((all - lowest).powi(2) - between.powi(2)) / all.powi(2);
        result.by_two_distinct += many * (many - 1.0) / (all * (all - 1.0)).max(1.0);
        result.taken += u64::from(surely[*own] > least);
    }
    result
}

/// Whether requests waited for a place at a backend: where it takes a limited number at a time, the next goes to whoever is done first, whatever the
/// algorithm.
fn is_limited(flights: &[Flight]) -> bool {
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
fn if_ignored(flights: &[Flight], failing: &[Backend]) -> (f64, f64) {
    const DRAWS: usize = 40;
    let mut chance = 0x9e37_79b9_7f4a_7c15u64;
    let mut below = |bound: usize| {
        chance ^= chance >> 12;
        chance ^= chance << 25;
        chance ^= chance >> 27;
        ((u128::from(chance.wrapping_mul(0x2545_f491_4f6c_dd1d)) * bound as u128) >> 64) as usize
    };
    let mut other = flights.to_vec();
    let mut shares: Vec<f64> = Vec::new();
    let seen = uphill(flights, failing);
    for _ in 0..DRAWS {
        let mut delays: Vec<Duration> = flights.iter().map(|flight| flight.delay).collect();
        for place in (1..delays.len()).rev() {
            delays.swap(place, below(place + 1));
        }
        for ((other, flight), delay) in other.iter_mut().zip(flights).zip(delays) {
            let moved = |moment: Moment| Moment(moment.after(delay).0.saturating_sub(flight.delay.as_nanos() as u64));
            (other.to, other.got) = (moved(flight.to), moved(flight.got));
        }
        let drawn = uphill(&other, failing);
        shares.push(drawn.taken as f64 / drawn.chances.max(1) as f64);
    }
    let mean = shares.iter().sum::<f64>() / DRAWS as f64;
    let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / (DRAWS - 1) as f64;
    // The spread of so few draws is not known well.
    let least = (mean * (1.0 - mean) / seen.chances.max(1) as f64).sqrt();
    (mean * seen.chances as f64, variance.sqrt().max(least) * seen.chances as f64)
}

impl Evidence {
    /// Names what avoids busy backends.
    pub(super) fn name_by_load(
        &self,
        fresh: &OrderPattern,
        partly: bool,
        even_in_series: bool,
        inference: &mut Inference,
    ) {
        use Algorithm::{LeastConnections, LeastTime, TwoChoices};
        if !self.mixed.is_empty() {
            let seen = uphill(&self.mixed, &self.failing);
            let forgets = self.forgets();
            inference.kind = Some(LeastConnections);
            "least connections".clone_into(&mut inference.label);
            if !seen.avoids_all() {
                // Among idle backends two choices are chance; workers that see their own load alone are even.
                let is_chance = !self.kept.is_empty() && matches!(fresh, OrderPattern::Chance);
                if is_chance && seen.is_by_choice() && forgets {
                    inference.kind = Some(TwoChoices);
                    TwoChoices.label().clone_into(&mut inference.label);
                    return;
                }
                inference.or.push(TwoChoices);
            }
            // One that selects by time as well looks the same, unless it was seen to remember nothing.
            let is_beyond_time = self.after.is_empty() && seen.avoids_all() && seen.chances >= 60;
            if !(forgets || is_beyond_time) {
                inference.or.push(LeastTime);
            }
            if !inference.or.is_empty() {
                "least connections, or another that looks at load".clone_into(&mut inference.label);
            }
            return;
        }
        // Least connections never picks a busy one while another is idle, also not for those that are held. With all busy but one, two
        // choices take a busy one a third of the time at least. One that was not under way yet, or not any more, is no proof.
        let spread: Vec<&Hold> = self.held_most.iter().filter(|hold| hold.is_spread()).collect();
        let others: usize = spread.iter().map(|hold| hold.others.len()).sum();
        let there: usize = spread.iter().map(|hold| hold.to_busy()).sum();
        let avoided = !spread.is_empty() && there * 10 < others;
        // Both choices of two are busy that often at most; what picks a busy one more often leaves out the idle one for another reason.
        let all = spread.iter().map(|hold| hold.busy.len() + 1).max().unwrap_or(2) as f64;
        let by_choice = ((all - 1.0) / all).powi(2);
        if !spread.is_empty() && binomial_at_least(there as u64, others as u64, by_choice) < 1e-8 {
            inference.or = vec![LeastConnections, TwoChoices, LeastTime];
            "by load, though an idle backend was left out for busy ones".clone_into(&mut inference.label);
            return;
        }
        let two = Algorithm::TwoChoices.label().to_owned();
        (inference.kind, inference.label) = match (self.held_most.is_empty(), avoided) {
            // The least loaded of many draws, with a few misses: HAProxy's `random(10)`.
            (false, true) if there > 0 => {
                inference.or = vec![TwoChoices];
                (Some(LeastConnections), "least connections, or the least loaded of several random choices".to_owned())
            }
            (false, true) => (Some(LeastConnections), "least connections, by chance among equals".to_owned()),
            // Two random choices are chance while all are idle; what is even then are workers that each see their own load alone.
            (_, false) if partly && even_in_series => match self.leaves_rotations_afterwards() {
                Some(true) => (Some(LeastTime), "least time, each worker for itself".to_owned()),
                seen => {
                    let is_open = seen.is_none() && !self.beside.is_empty();
                    inference.or.extend(is_open.then_some(LeastTime));
                    (Some(LeastConnections), "least connections, each worker for itself".to_owned())
                }
            },
            (false, false) => (Some(TwoChoices), two),
            (true, _) if partly => (Some(TwoChoices), two),
            (true, _) => {
                inference.or = vec![TwoChoices];
                (Some(LeastConnections), "least connections, or the less loaded of two random choices".to_owned())
            }
        };
    }

    /// Names what avoids a backend that was slow once.
    pub(super) fn name_least_time(&self, names: &[String], inference: &mut Inference) {
        (inference.kind, inference.label) = (Some(Algorithm::LeastTime), Algorithm::LeastTime.label().to_owned());
        if let Some((slow, there, others, usual)) = (0..self.after.len()).find_map(|round| self.memory(round)) {
            inference.evidence.push(format!(
                "after a slow response of {}: {there} of {others} requests went there (usually {:.0} %)",
                name(names, slow),
                usual * 100.0
            ));
        }
    }
}
