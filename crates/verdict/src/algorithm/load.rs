//! Whether a balancer looks at load, from requests side by side of which some take much longer than others.

use std::time::Duration;

use super::evidence::{Evidence, Flight, Hold, backends};
use super::inference::Inference;
use super::order::{Order, counts};
use super::words::name;
use crate::Moment;
use crate::observation::Backend;
use crate::statistics::{binomial_at_least, binomial_at_most, lower_bound};

/// A false conclusion from chance alone is less likely than that.
const LEVEL: f64 = 1e-8;

/// Whether the load of a backend counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Load {
    /// Busy backends are avoided: always, or only more often than not.
    Follows {
        partly: bool,
    },
    Ignores,
    Unknown,
}

impl Evidence {
    /// Whether backends with requests in flight are avoided.
    pub(super) fn load(&self, names: &[String], inference: &mut Inference) -> Load {
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
            return Load::Unknown;
        }
        let idle = backends(&[self.fresh.as_slice(), &self.kept].concat());
        let seen = |backend: Backend| idle.iter().filter(|it| **it == backend).count() as u64;
        let total = idle.len().max(1);
        let weighted = |share: &dyn Fn(Backend) -> f64| {
            let expected = |hold: &&Hold| hold.busy.first().map_or(0.0, |busy| share(*busy)) * hold.others.len() as f64;
            holds.iter().map(expected).sum::<f64>() / others as f64
        };
        let usual = weighted(&|busy| seen(busy) as f64 / total as f64);
        let low = weighted(&|busy| lower_bound(seen(busy), total as u64));
        let there: usize = holds.iter().map(|hold| hold.to_busy()).sum();
        let mut busy: Vec<&str> = holds.iter().filter_map(|hold| Some(name(names, *hold.busy.first()?))).collect();
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
        let (share, there, others) = (there as f64 / others as f64, there as u64, others as u64);
        if binomial_at_most(there, others, low) < LEVEL && share < low * 0.7 {
            return Load::Follows { partly: share > usual * 0.1 };
        }
        // What fails looks idle and is chosen for that. Even two choices with replacement halve the share, at the least.
        let rotates =
            [&self.fresh, &self.kept].into_iter().any(|picks| Order::of(&backends(picks)).is_of_one_rotation());
        if (self.failing.is_empty() || rotates) && binomial_at_least(there, others, usual * 0.6) < 1e-3 {
            Load::Ignores
        } else {
            Load::Unknown
        }
    }

    fn load_of_mixed(&self, inference: &mut Inference) -> Load {
        let order = Order::of(&self.mixed.iter().map(|flight| flight.pick.backend).collect::<Vec<Backend>>());
        let Uphill { chances, taken, expected } = uphill(&self.mixed, &self.failing);
        let rotates = order.is_of_one_rotation();
        inference.evidence.push(format!(
            "{} requests side by side, some much slower: {}{taken} of {chances} went to a backend that had more in flight than another ({expected:.0} expected if load is ignored)",
            self.mixed.len(),
            if rotates { "the rotation went on regardless; " } else { "" }
        ));
        // All to one while others idle is not by load.
        let mut reached: Vec<Backend> = self.mixed.iter().map(|flight| flight.pick.backend).collect();
        reached.retain(|backend| backend.is_known());
        let overlaps = self.mixed.windows(2).filter(|pair| pair[0].to > pair[1].from).count();
        if counts(&reached).len() == 1 && self.backends.is_some_and(|backends| backends > 1) && overlaps >= 60 {
            return Load::Ignores;
        }
        let share = if chances == 0 { 0.0 } else { expected / chances as f64 };
        if (taken as f64) < expected * 0.7 && binomial_at_most(taken, chances, share) < LEVEL {
            // In turns among equals it goes on as if it were a rotation until loads differ.
            return Load::Follows { partly: taken as f64 > expected * 0.1 };
        }
        // What fails looks idle and is chosen for that.
        if !rotates && !self.failing.is_empty() {
            return Load::Unknown;
        }
        // A rotation that goes on while loads differ ignores them.
        if rotates && taken >= 10
            || taken as f64 > expected * 0.6 && binomial_at_least(taken, chances, share * 0.6) < 1e-3
        {
            return Load::Ignores;
        }
        Load::Unknown
    }
}

/// How often a request went to a backend that had more requests in flight than another.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Uphill {
    /// Requests for which some backend surely had more in flight than another.
    pub chances: u64,
    /// Of these, the ones that went to such a backend.
    pub taken: u64,
    /// How many would have gone there if load were ignored.
    pub expected: f64,
}

/// What is in flight is known to that precision: the balancer and its backend do not see a request at the same moment.
const SLACK: Duration = Duration::from_millis(2);

/// Counts for each request what was surely, and what was possibly in flight at each backend when it arrived. Those that fail are left
/// out: they look idle.
pub(crate) fn uphill(flights: &[Flight], failing: &[Backend]) -> Uphill {
    let counts = |backend: Backend| backend.is_known() && !failing.contains(&backend);
    let mut known: Vec<Backend> = flights.iter().map(|flight| flight.pick.backend).filter(|it| counts(*it)).collect();
    known.sort_unstable();
    let total = known.len().max(1) as f64;
    let shares: Vec<(Backend, f64)> =
        known.chunk_by(|a, b| a == b).map(|chunk| (chunk[0], chunk.len() as f64 / total)).collect();
    let later = |moment: Moment| Moment(moment.0 + SLACK.as_nanos() as u64);
    let mut result = Uphill::default();
    for (place, flight) in flights.iter().enumerate().filter(|(_, flight)| counts(flight.pick.backend)) {
        let others = || flights.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, other)| other);
        let surely = |backend: Backend| {
            let there = others().filter(|it| it.pick.backend == backend);
            there.filter(|it| later(it.from) < flight.from && it.to > later(flight.from)).count()
        };
        let possibly = |backend: Backend| {
            let there = others().filter(|it| it.pick.backend == backend);
            there.filter(|it| it.from < later(flight.from) && later(it.to) > flight.from).count()
        };
        let least = shares.iter().map(|(backend, _)| possibly(*backend)).min().unwrap_or(0);
        let above: Vec<&(Backend, f64)> = shares.iter().filter(|(backend, _)| surely(*backend) > least).collect();
        if above.is_empty() {
            continue;
        }
        result.chances += 1;
        result.expected += above.iter().map(|(_, share)| share).sum::<f64>();
        result.taken += u64::from(above.iter().any(|(backend, _)| *backend == flight.pick.backend));
    }
    result
}
