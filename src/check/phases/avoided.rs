//! What experiments do to the balancer's trust: one that gives up on a request which a backend was asked to answer late takes that backend
//! for broken, and then perhaps all of them. What follows from that is none of its errors.

use std::time::Duration;

use anyhow::Result;

use crate::check::phases::warm_up;
use crate::check::session::CheckSession;
use crate::io::clock;
use verdict::Moment;
use verdict::observation::Observation;
use verdict::rules::DETECTION;

/// NGINX counts whole seconds, and begins to count with its last attempt.
const A_LITTLE: Duration = Duration::from_millis(1500);

/// Waits until the balancer tries such backends again, for as long as `left` at most. The numbers of requests whose failure that explains,
/// in order.
pub(super) async fn wait(session: &mut CheckSession<'_>, backends: Option<usize>, left: Duration) -> Result<Vec<u32>> {
    let detection = session.plan.environment.keeps_away.map_or(DETECTION, |it| it.time);
    let invented = session.client.invented();
    let (given_up, mut refused) = session.client.with(|prober, _| find(prober.observations(), &invented, detection));
    let Some(last) = given_up else { return Ok(refused) };
    let rest = last.after(detection + A_LITTLE).since(clock::now()).min(left);
    if !rest.is_zero() {
        session.watch.announce(&format!(
            "the balancer gave up on a request that its backend was asked to answer late, and may avoid backends now: the sample waits {} s",
            rest.as_secs() + 1
        ));
        tokio::time::sleep(rest).await;
        // It tries each with one request, and refuses all others until that has its response.
        let first = session.client.next_sequence() as u32;
        let most = session.warm_up_budget();
        session.on_client(move |live| warm_up::warm_up(live, backends, None, most)).await?;
        refused.extend(first..session.client.next_sequence() as u32);
    }
    Ok(refused)
}

/// Nobody gives up on a response sooner.
const GIVES_UP: Duration = Duration::from_millis(50);

/// When the balancer gave up on an invented request the last time, and the requests that it then refused without one.
fn find(seen: &[Observation], invented: &[u32], detection: Duration) -> (Option<Moment>, Vec<u32>) {
    let numbered = || seen.iter().zip(0u32..).filter(|(it, _)| is_refused(it));
    let is_invented = |sequence: u32| invented.binary_search(&sequence).is_ok();
    // A limit refuses at once. The last backend that a balancer gives up on need not be the reason that it tells: it may know no other then.
    let is_given_up = |it: &(&Observation, u32)| is_invented(it.1) && (it.0.status == 504 || it.0.took() >= GIVES_UP);
    let given_up: Vec<Moment> = numbered().filter(is_given_up).map(|(it, _)| it.ended).collect();
    let follows = |it: &Observation| given_up.iter().any(|at| it.ended >= *at && it.sent() <= at.after(detection));
    let refused =
        numbered().filter(|(it, sequence)| !is_invented(*sequence) && follows(it)).map(|(_, it)| it).collect();
    (given_up.into_iter().max(), refused)
}

/// The balancer itself says that no backend responded, or none in time.
fn is_refused(observation: &Observation) -> bool {
    !observation.backend.is_known() && matches!(observation.status, 502..=504)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use verdict::observation::{Backend, ClientOutcome, Echo};

    #[test]
    fn what_is_refused_after_a_request_that_was_to_take_long_is_the_experiments_own_fault() {
        let second = |at: u64| Moment(at * 1_000_000_000);
        let at = |seconds: u64, status: u16| Observation {
            due: second(seconds),
            ended: second(seconds),
            response: Uuid::nil(),
            waited: 0,
            client: 0,
            backend: if status == 200 { Backend(0) } else { Backend::UNKNOWN },
            status,
            outcome: ClientOutcome::Response,
            echo: Echo::None,
            reused: false,
            flaw: None,
        };
        let seen = [at(0, 502), at(1, 504), at(2, 502), at(3, 200), at(4, 500), at(9, 502), at(30, 502)];
        assert_eq!(find(&seen, &[1], DETECTION), (Some(second(1)), vec![2, 5]));
        let late = Observation { due: Moment(second(1).0 - 1_000_000), ..at(1, 502) };
        let slow = Observation { due: second(0), ..at(1, 502) };
        assert_eq!(find(&[late, at(2, 502)], &[0], DETECTION), (None, vec![]), "a limit");
        assert_eq!(find(&[slow, at(2, 502)], &[0], DETECTION), (Some(second(1)), vec![1]));
        assert_eq!(find(&seen, &[], DETECTION), (None, vec![]));
        assert_eq!(find(&seen, &[0], DETECTION), (None, vec![]), "a limit");
    }
}
