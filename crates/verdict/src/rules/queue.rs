//! Whether a request that reached nobody waited for its turn: a balancer may limit what its backends do at once, and keep the rest in a queue.

use std::collections::BTreeSet;

use crate::Moment;
use crate::ledger::Entry;
use crate::observation::ClientOutcome;
use crate::rules::case::Case;

/// What backends did, in order of time.
pub(super) struct Queue {
    /// When some backend was at work.
    work: Vec<(Moment, Moment)>,
    /// When each attempt arrived, and when its request had been sent.
    arrived: Vec<(Moment, Moment)>,
    /// Requests that are served at once may overtake each other.
    backends: usize,
}

impl Queue {
    pub(super) fn of(case: &Case) -> Queue {
        let attempts = case.ledger.arrivals();
        let sent = |sequence: u32| case.ledger.observations().get(sequence as usize).map(|it| it.sent());
        let mut arrived: Vec<(Moment, Moment)> =
            attempts.iter().filter_map(|it| Some((it.received, sent(it.sequence)?))).collect();
        arrived.sort_unstable();
        let spans: BTreeSet<(Moment, Moment)> = attempts.iter().map(|it| (it.received, it.responded())).collect();
        let mut work: Vec<(Moment, Moment)> = Vec::new();
        for (from, to) in spans {
            match work.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => work.push((from, to)),
            }
        }
        Queue { work, arrived, backends: case.names.len() }
    }

    /// Whether its client gave up while it was in a queue, as far as can be seen: it reached nobody, backends were at work on others for three
    /// quarters of its time or more, and no more of those that were sent later than there are backends came before it.
    pub(super) fn kept(&self, entry: &Entry) -> bool {
        let observation = entry.observation;
        if observation.outcome != ClientOutcome::TimedOut || !entry.attempts.is_empty() {
            return false;
        }
        let (sent, left) = (observation.sent(), observation.ended);
        let first = self.arrived.partition_point(|(at, _)| *at < sent);
        let meanwhile = self.arrived[first..].iter().take_while(|(at, _)| *at <= left);
        if meanwhile.filter(|(_, its)| *its > sent).nth(self.backends).is_some() {
            return false;
        }
        let first = self.work.partition_point(|(_, to)| *to < sent);
        let spans = self.work[first..].iter().take_while(|(from, _)| *from <= left);
        let at_work: u64 = spans.map(|(from, to)| left.0.min(to.0) - sent.0.max(from.0)).sum();
        at_work >= (left.0 - sent.0) / 4 * 3
    }
}

#[cfg(test)]
mod tests {
    use crate::AttemptEnd;
    use crate::Moment;
    use crate::facts::account::Losses;
    use crate::finding::{Facts, Level};
    use crate::observation::ClientOutcome;
    use crate::rules::trial::{MILLISECOND, RuleTrial};

    /// Three backends that need 900 ms for each request, and a client that waits two seconds for each of twelve: those that are in flight at
    /// once arrive three by three, but for the one that is `stuck`.
    fn overloaded(stuck: bool, works: bool) -> RuleTrial {
        let mut trial = RuleTrial::new();
        trial.healthy(30);
        let begin = RuleTrial::due(30).0;
        for turn in 0..12_u16 {
            let wave = u64::from(turn / 3);
            let never = wave > 1 || stuck && turn == 0;
            let observation = trial.failed(ClientOutcome::TimedOut, true);
            (observation.due, observation.ended) =
                (Moment(begin + u64::from(turn)), Moment(begin + 2000 * MILLISECOND));
            if never || !works {
                continue;
            }
            observation.ended = Moment(begin + (wave + 1) * 900 * MILLISECOND);
            let answer = trial.attempt(turn % 3, 200, AttemptEnd::Completed);
            trial.answered(answer, turn % 3, 200);
            let attempt = trial.arrivals.last_mut().unwrap();
            (attempt.received, attempt.took) = (Moment(begin + wave * 900 * MILLISECOND + 1), 9_000_000);
        }
        trial
    }

    fn queued(trial: &RuleTrial) -> (Option<Level>, u64) {
        let Facts::NotReached(Losses { queued, .. }) = trial.facts("not-reached") else { panic!() };
        (trial.level("not-reached"), queued)
    }

    #[test]
    fn who_waits_for_busy_backends_until_its_client_leaves_is_not_held_against_the_balancer() {
        assert_eq!(queued(&overloaded(false, true)), (Some(Level::Inconclusive), 6));
        // Five that came later were served before it.
        assert_eq!(queued(&overloaded(true, true)), (Some(Level::Fail), 6));
        // Nobody was at work.
        assert_eq!(queued(&overloaded(false, false)), (Some(Level::Fail), 0));
        let mut lossless = overloaded(false, true);
        lossless.expectations.lossless = Some(true);
        assert_eq!(queued(&lossless).0, Some(Level::Fail));
    }
}
