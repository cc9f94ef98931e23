//! When other backends certainly had nothing to do. A balancer that limits what each of them may have in flight sends what comes beyond that
//! elsewhere, and is right to: so it never does while they are idle.

use std::time::Duration;

use crate::Moment;
use crate::ledger::Entry;
use crate::observation::Backend;
use crate::rules::case::Case;

/// A balancer may count a request as in flight a little longer than its client does.
const SLACK: Duration = Duration::from_millis(3);
/// Beyond that they are no races: a worker takes the next request before another has counted off the one before.
const RACES: usize = 10;

/// When certain backends were at work.
pub(super) struct BusyBackends {
    of: Vec<BusyTimes>,
}

/// Times, by their beginnings, each with the latest end until then.
#[derive(Default)]
struct BusyTimes(Vec<(Moment, Moment)>);

impl BusyTimes {
    fn of(mut spans: Vec<(Moment, Moment)>) -> BusyTimes {
        spans.sort_unstable();
        let mut latest = Moment(0);
        for (_, end) in &mut spans {
            latest = latest.max(*end);
            *end = latest;
        }
        BusyTimes(spans)
    }

    fn touch(&self, from: Moment, to: Moment) -> bool {
        let begun = self.0.partition_point(|(start, _)| *start < to);
        begun > 0 && self.0[begun - 1].1 > from
    }
}

impl BusyBackends {
    /// Of the backends that are meant: as their clients saw it, and their records of requests of others.
    pub(super) fn of(case: &Case, is_meant: impl Fn(Backend) -> bool) -> BusyBackends {
        let meant: Vec<Backend> = (0..case.backends).map(|it| Backend(it as u16)).filter(|it| is_meant(*it)).collect();
        let mut spans = vec![Vec::new(); meant.len()];
        for entry in case.ledger.entries() {
            for attempt in entry.attempts {
                if let Ok(place) = meant.binary_search(&attempt.backend) {
                    spans[place].push((entry.observation.sent(), entry.observation.ended));
                }
            }
        }
        for arrival in case.ledger.others() {
            if let Ok(place) = meant.binary_search(&arrival.backend) {
                let width = case.ledger.half_width(arrival.backend);
                spans[place].push((arrival.received.before(width), arrival.responded().after(width)));
            }
        }
        BusyBackends { of: spans.into_iter().map(BusyTimes::of).collect() }
    }

    /// The numbers of these requests for which one of the backends was certainly idle.
    pub(super) fn find_idle<'a>(&self, requests: impl Iterator<Item = Entry<'a>>) -> Vec<u32> {
        let (mut idle, mut seem_idle) = (Vec::new(), Vec::new());
        for Entry { observation, sequence, .. } in requests {
            let (sent, ended) = (observation.sent(), observation.ended);
            if self.of.iter().any(|spans| !spans.touch(sent.before(SLACK), ended)) {
                idle.push(sequence);
            } else if self.of.iter().all(|spans| !spans.touch(sent, ended)) {
                seem_idle.push(sequence);
            }
        }
        // That each of several still counts a request that is over would be too much of a chance.
        if self.of.len() > 1 || seem_idle.len() >= RACES {
            idle.append(&mut seem_idle);
            idle.sort_unstable();
        }
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::trial::RuleTrial;

    /// Of requests to the third of three backends, each while others are at work that long, those that found one of them idle.
    fn idle(requests: u64, others: &[u16], busy: u64) -> usize {
        let mut trial = RuleTrial::of(3, None);
        for turn in 0..requests {
            let at = turn * 20_000;
            for other in others {
                trial.send(0, *other, at);
                let observation = trial.observations.last_mut().unwrap();
                observation.ended = Moment((at + busy) * 1_000);
            }
            trial.send(1, 2, at + 10_000);
        }
        trial.judge_by(|case| {
            let busy = BusyBackends::of(case, |backend| others.contains(&backend.0));
            let entries = case.ledger.entries();
            busy.find_idle(entries.filter(|entry| entry.observation.backend == Backend(2))).len()
        })
    }

    #[test]
    fn a_backend_is_idle_when_what_it_had_is_over_for_long() {
        for (busy, found) in [(1_000, 100), (15_000, 0)] {
            assert_eq!((idle(100, &[0, 1], busy), idle(100, &[0], busy)), (found, found));
        }
    }

    #[test]
    fn what_is_just_over_may_still_count_at_one_backend_a_few_times_and_not_at_several() {
        assert_eq!((idle(5, &[0, 1], 9_000), idle(5, &[0], 9_000), idle(50, &[0], 9_000)), (5, 0, 50));
    }
}
