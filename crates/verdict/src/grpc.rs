//! How the ledger counts calls of gRPC: each status has one of HTTP of its own, so that one set of rules judges both.

use http::grpc::GrpcStatus;

use crate::observation::{Backend, ClientOutcome, Echo, Observation};
use crate::request::SentDeadline;

/// By number of the call's status. What says that nothing can be done with it now is an error of the server (500 and more), and what
/// the client is to blame for one of the client (400 and more).
const STATUSES: [u16; 17] = [200, 499, 520, 422, 504, 404, 409, 403, 429, 412, 423, 416, 405, 500, 503, 507, 401];
/// Of a status that gRPC does not know, which counts as UNKNOWN.
const UNKNOWN: u16 = 520;

/// The HTTP status that corresponds to a call's status.
pub fn status_of_call(status: GrpcStatus) -> u16 {
    STATUSES.get(status.0 as usize).copied().unwrap_or(UNKNOWN)
}

/// The inverse of [`status_of_call`].
pub fn call_of_status(status: u16) -> Option<GrpcStatus> {
    let place = STATUSES.iter().position(|known| *known == status)?;
    u32::try_from(place).ok().map(GrpcStatus)
}

/// A call that ended with DEADLINE_EXCEEDED when its deadline was over was given up by its client, whoever noticed first: the backend, the
/// balancer or the client.
pub fn give_up(observations: &mut [Observation], deadline: SentDeadline) {
    let exceeded = status_of_call(GrpcStatus::DEADLINE_EXCEEDED);
    let is_over = |it: &&mut Observation| {
        it.outcome == ClientOutcome::Response
            && it.status == exceeded
            && it.took().saturating_add(deadline.rounding()) >= deadline.time
    };
    for observation in observations.iter_mut().filter(is_over) {
        *observation = Observation {
            response: uuid::Uuid::nil(),
            backend: Backend::UNKNOWN,
            status: 0,
            outcome: ClientOutcome::TimedOut,
            echo: Echo::None,
            ..*observation
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Moment;

    #[test]
    fn each_status_of_a_call_has_one_of_http() {
        for number in 0..17 {
            assert_eq!(call_of_status(status_of_call(GrpcStatus(number))), Some(GrpcStatus(number)));
        }
        assert_eq!(status_of_call(GrpcStatus(99)), status_of_call(GrpcStatus::UNKNOWN));
    }

    #[test]
    fn who_notices_that_a_deadline_is_over_makes_no_difference_and_who_is_early_ends_the_call() {
        let deadline = SentDeadline { place: 0, time: Duration::from_millis(300) };
        let outcome = |status, milliseconds: u64| {
            let mut ended = [Observation {
                due: Moment(0),
                ended: Moment(milliseconds * 1_000_000),
                response: uuid::Uuid::from_u128(1),
                waited: 0,
                client: 0,
                backend: Backend(0),
                status,
                outcome: ClientOutcome::Response,
                echo: Echo::Own,
                reused: true,
                flaw: None,
            }];
            give_up(&mut ended, deadline);
            (ended[0].outcome, ended[0].status)
        };
        for late in [297, 300, 310] {
            assert_eq!(outcome(504, late), (ClientOutcome::TimedOut, 0), "{late} ms");
        }
        assert_eq!(outcome(504, 290), (ClientOutcome::Response, 504), "a balancer that is less patient");
        assert_eq!(outcome(503, 310), (ClientOutcome::Response, 503));
    }
}
