//! The rule of the records: what the backends recorded is complete.

use crate::facts::records::{RecordFacts, RecordGap};
use crate::finding::{self, Facts, Finding, Level};
use crate::rules::case::Case;

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let gaps = case.gaps.to_vec();
    (!gaps.is_empty()).then(|| Finding::new(Level::Inconclusive, finding::Facts::Records(RecordFacts { gaps })))
}

/// A fleet that stopped responding may have ended, with all its backends: what fails after the last that it recorded is not held against
/// the balancer.
pub(crate) fn soften(case: &Case, findings: &mut [Finding]) {
    if !case.gaps.iter().any(|gap| matches!(gap, RecordGap::Unreachable { .. })) {
        return;
    }
    let Some(last) = case.ledger.arrivals().iter().map(|arrival| arrival.received).max() else { return };
    let mut judged = case.ledger.entries().filter(|entry| case.judged.includes(entry));
    let is_known = |finding: &Finding| {
        !matches!(
            finding.facts,
            Facts::Balancer(_) | Facts::NotReached(_) | Facts::Lost(_) | Facts::IdleClose(_) | Facts::Resilience(_)
        )
    };
    if judged.any(|entry| case.done().is_error(&entry) && entry.observation.ended <= last) {
        return;
    }
    for finding in findings.iter_mut().filter(|finding| finding.level == Level::Fail && !is_known(finding)) {
        finding.level = Level::Inconclusive;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::ClientOutcome;
    use crate::rules::trial::RuleTrial;

    #[test]
    fn what_fails_when_the_fleet_is_gone_is_inconclusive_and_what_failed_before_is_not() {
        let level = |early: bool, is_gone: bool| {
            let mut trial = RuleTrial::new();
            if is_gone {
                trial.fleet.gaps = vec![RecordGap::Unreachable { why: String::new() }];
            }
            for turn in 0..60 {
                if early && turn == 5 {
                    trial.failed(ClientOutcome::Refused, false);
                } else {
                    trial.delivered(turn % 3, 200);
                }
            }
            (0..20).for_each(|_| _ = trial.failed(ClientOutcome::Refused, false));
            trial.level("not-reached")
        };
        assert_eq!(level(false, false), Some(Level::Fail));
        assert_eq!(level(false, true), Some(Level::Inconclusive));
        assert_eq!(level(true, true), Some(Level::Fail));
    }
}
