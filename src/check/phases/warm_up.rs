//! Requests before those that count, until the same backends answer round after round: health checks may only just have begun.

use std::time::{Duration, Instant};

use crate::check::subject::LiveSubject;
use verdict::algorithm::experiments::{Pace, ProbeRequest, Subject};
use verdict::algorithm::order::counts;
use verdict::observation::Backend;

/// The warm-up ends then at the latest.
const LONGEST: Duration = Duration::from_secs(8);
/// After a round with failures: what mends by itself needs time, not requests.
const PAUSE: Duration = Duration::from_millis(800);
/// As many failures show that nothing mends. A balancer that answers by itself gets no more of them.
const FAILURES: usize = 100;

const SIDE_BY_SIDE: usize = 12;

/// After a backend was put right: a balancer may avoid one that failed for some time, NGINX for 10 s.
const AVOIDED: Duration = Duration::from_secs(12);

/// `backends`: backends that are expected to take part, if that is known. `mended`: how long ago one of them was put right, if that is
/// not long ago. `most`: the most requests.
pub(crate) fn warm_up(live: &mut LiveSubject, backends: Option<usize>, mended: Option<Duration>, most: usize) {
    let avoided = mended.map_or(Duration::ZERO, |ago| AVOIDED.saturating_sub(ago));
    let began = Instant::now();
    let deadline = began + avoided.max(LONGEST);
    let round = 12 * backends.unwrap_or(4).clamp(2, 200);
    let mut before: Vec<Backend> = Vec::new();
    let (mut failures, mut all) = (0, 0);
    let pace = Pace { width: SIDE_BY_SIDE, gap: Duration::from_millis(1), until: Duration::MAX };
    loop {
        let mut seen: Vec<Backend> = Vec::new();
        let failed_before = failures;
        // A few side by side: of services that take a second, one after the other would be all there is time for.
        let mut sent = 0;
        while sent < round {
            let some = vec![ProbeRequest::default(); SIDE_BY_SIDE.min(round - sent).min(most - all)];
            if some.is_empty() {
                return;
            }
            let replies = live.send_all(&some, &pace);
            if replies.is_empty() {
                return;
            }
            sent += some.len();
            all += some.len();
            for reply in replies {
                match reply.pick {
                    Some(pick) if pick.backend.is_known() => seen.push(pick.backend),
                    Some(_) => failures += 1,
                    None => {}
                }
            }
            if Instant::now() > deadline || failures >= FAILURES {
                return;
            }
        }
        let set: Vec<Backend> = counts(&seen).into_iter().map(|(backend, _)| backend).collect();
        let is_complete = backends.is_some_and(|backends| set.len() >= backends);
        let is_settled = failures == failed_before && (is_complete || (set == before && began.elapsed() >= avoided));
        if is_settled {
            return;
        }
        if failures > failed_before || set == before {
            std::thread::sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now())));
        }
        before = set;
    }
}
