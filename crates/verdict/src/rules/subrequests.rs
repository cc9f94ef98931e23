//! The rule of subrequests: what a balancer asks backends of its own is described.

use crate::facts::account::Subrequests;
use crate::finding::{Facts, Finding, Level};
use crate::rules::case::Case;

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let asked = case.ledger.subrequests();
    let is_asked = |place: &usize| asked.iter().any(|arrival| usize::from(arrival.backend.0) == *place);
    let backends = (0..case.names.len()).filter(is_asked).map(|place| case.names[place].clone()).collect();
    let facts = Subrequests { requests: asked.len() as u64, backends };
    (facts.requests > 0).then(|| Finding::new(Level::Note, Facts::Subrequests(facts)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moment;
    use crate::observation::Backend;
    use crate::request::RequestPart;
    use crate::rules::trial::RuleTrial;

    /// A hundred requests of a rotation, of which that many have an attempt before them with another path, which takes that long.
    fn trial(with: u32, microseconds: u32) -> RuleTrial {
        trial_of(100, |turn| (turn < with).then_some(microseconds))
    }

    /// Requests of a rotation, each with how long the attempt takes that comes before it with another path.
    fn trial_of(requests: u16, before: impl Fn(u32) -> Option<u32>) -> RuleTrial {
        let mut trial = RuleTrial::of(3, None);
        for turn in 0..requests {
            trial.send(0, turn % 3, 1000 + u64::from(turn) * 1000);
            if let Some(microseconds) = before(u32::from(turn)) {
                trial.after_failure_at(2);
                let before = trial.arrivals.last_mut().expect("it was sent");
                (before.end, before.took) = (crate::AttemptEnd::Completed, microseconds * 10);
                before.received = Moment(before.received.0 - 20_000);
                before.differences.add(RequestPart::Path);
            }
        }
        trial
    }

    fn judged(trial: &RuleTrial) -> Vec<(&'static str, Level)> {
        trial.judge_by(|case| {
            let (findings, ..) = crate::rules::judge(case, None);
            findings.iter().map(|finding| (finding.rule().id(), finding.level)).collect()
        })
    }

    #[test]
    fn what_asks_before_each_request_is_no_attempt_of_it() {
        let rules = judged(&trial(100, 10));
        assert!(rules.contains(&("subrequests", Level::Note)), "{rules:?}");
        assert!(rules.iter().all(|(rule, _)| *rule != "duplicated"), "{rules:?}");
        trial(100, 10).judge_by(|case| {
            assert_eq!(case.tally.firsts, [34, 33, 33]);
            let (findings, ..) = crate::rules::judge(case, None);
            let Some(Facts::Subrequests(facts)) =
                findings.iter().map(|it| &it.facts).find(|it| it.rule().id() == "subrequests")
            else {
                panic!("{findings:?}")
            };
            assert_eq!((facts.requests, facts.backends.as_slice()), (100, &["9003".to_owned()][..]));
            assert_eq!(case.ledger.subrequests().len(), 100);
            assert!(case.ledger.subrequests().iter().all(|it| it.backend == Backend(2)));
        });
    }

    #[test]
    fn on_a_busy_machine_a_few_in_a_thousand_end_late() {
        // Responses that are noted 80 ms late, of one request in 150, and of one in 30.
        let one_in = |many: u32| trial_of(1000, move |turn| Some(if turn % many == 0 { 80_000 } else { 10 }));
        assert!(judged(&one_in(150)).contains(&("subrequests", Level::Note)));
        assert!(judged(&one_in(30)).contains(&("duplicated", Level::Fail)));
    }

    #[test]
    fn what_precedes_some_requests_only_or_goes_on_meanwhile_is_executed_twice() {
        for trial in [trial(60, 10), trial(100, 40)] {
            let rules = judged(&trial);
            assert!(rules.contains(&("duplicated", Level::Fail)), "{rules:?}");
        }
    }
}
