//! Whether a balancer looks at load, from requests side by side of which some take much longer than others.

use std::time::Duration;

use super::evidence::Flight;
use crate::Moment;
use crate::observation::Backend;

/// How often a request went to a backend that had more requests in flight than another.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Uphill {
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
pub fn uphill(flights: &[Flight], failing: &[Backend]) -> Uphill {
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
