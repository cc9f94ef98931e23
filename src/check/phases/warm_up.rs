//! Requests before those that count, until the same backends answer round after round: health checks may only just have begun.

use std::time::{Duration, Instant};

use crate::check::subject::Live;
use verdict::algorithm::experiments::Request;
use verdict::algorithm::order::counts;
use verdict::observation::{Backend, ClientOutcome};

/// The warm-up ends then at the latest.
const LONGEST: Duration = Duration::from_secs(8);
/// After a round with failures: what mends by itself needs time, not requests.
const PAUSE: Duration = Duration::from_millis(800);
/// As many failures show that nothing mends. A balancer that answers by itself gets no more of them.
const FAILURES: usize = 100;

/// `members`: backends that are expected to take part, if that is known.
pub(crate) fn warm_up(live: &mut Live, members: Option<usize>) {
    let deadline = Instant::now() + LONGEST;
    let round = 12 * members.unwrap_or(4).clamp(2, 200);
    let mut before: Vec<Backend> = Vec::new();
    let mut failures = 0;
    loop {
        let mut seen: Vec<Backend> = Vec::new();
        let failed_before = failures;
        for _ in 0..round {
            let Some(probe) = live.probe(&Request::default()) else { return };
            let whole = matches!(probe.observation.sight, ClientOutcome::Answer | ClientOutcome::Altered);
            if whole && probe.observation.backend.is_known() {
                seen.push(probe.observation.backend);
            } else {
                failures += 1;
            }
            if Instant::now() > deadline || failures >= FAILURES {
                return;
            }
        }
        let set: Vec<Backend> = counts(&seen).into_iter().map(|(backend, _)| backend).collect();
        let is_complete = members.is_some_and(|members| set.len() >= members);
        if failures > failed_before {
            std::thread::sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now())));
        } else if is_complete || set == before {
            return;
        }
        before = set;
    }
}
