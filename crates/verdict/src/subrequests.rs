//! Subrequests: before it passes a request on, a balancer asks a backend whether it may, with the request's own fields (NGINX's auth_request,
//! Traefik's forwardAuth, Caddy's forward_auth). Such an attempt is another request than the client's, and none of its attempts.

use std::time::Duration;

use crate::attempt::Arrival;
use crate::observation::Observation;
use crate::request::{Differences, RequestPart};

/// From this number on they are no accident.
const LEAST: usize = 20;

/// On a busy machine a backend notes the end of a response that much later than it was there.
const LATE: Duration = Duration::from_millis(50);
/// Beyond this number, and one in as many, it is no accident that they overlap by more.
const FEW: usize = 3;
const ONE_IN: usize = 100;

/// Takes the subrequests out of the arrivals, which are in order of their requests: attempts with another method or path that were over before
/// the attempt began whose response the client got, as far as a busy machine lets that be seen. Only where nearly all requests have one;
/// otherwise it is a retry that changes what it repeats.
pub(crate) fn take(observations: &[Observation], arrivals: &mut Vec<Arrival>) -> Vec<Arrival> {
    // Most runs have one attempt a request.
    if arrivals.len() * 2 < observations.len() * 3 {
        return Vec::new();
    }
    let (mut delivered, mut preceded, mut ended, mut overlapping) = (0usize, 0usize, 0usize, 0usize);
    let mut kinds: Vec<Differences> = Vec::new();
    for attempts in arrivals.chunk_by(|a, b| a.sequence == b.sequence) {
        let Some(observation) = observations.get(attempts[0].sequence as usize) else { continue };
        let answer = observation.response_id().map(|id| id.0);
        let Some(own) = attempts.iter().find(|attempt| Some(attempt.response) == answer) else { continue };
        delivered += 1;
        let Some(before) = attempts.iter().find(|attempt| is_before(attempt, own)) else { continue };
        preceded += 1;
        ended += usize::from(before.responded() <= own.received);
        overlapping += usize::from(before.responded() > own.received.after(LATE));
        if !kinds.contains(&before.differences) {
            kinds.push(before.differences);
        }
    }
    // What goes on while the request itself is under way is a copy.
    let waits = ended * 4 >= preceded * 3 && overlapping < FEW.max(preceded / ONE_IN);
    if preceded < LEAST || preceded * 100 < delivered * 95 || !waits {
        return Vec::new();
    }
    let is_subrequest = |attempt: &Arrival| {
        let answer = observations.get(attempt.sequence as usize).and_then(|it| it.response_id());
        kinds.contains(&attempt.differences) && answer.map(|id| id.0) != Some(attempt.response)
    };
    let (taken, left) = arrivals.iter().partition(|attempt| is_subrequest(attempt));
    *arrivals = left;
    taken
}

fn is_before(attempt: &Arrival, own: &Arrival) -> bool {
    let differs = [RequestPart::Method, RequestPart::Path]
        .into_iter()
        .any(|part| attempt.differences.contains(part) != own.differences.contains(part));
    differs && attempt.executed() && attempt.status < 400 && attempt.received < own.received
}
