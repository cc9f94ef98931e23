//! The rule of connections that were slow to open: it accuses nobody, and explains the latency that the requests on them show.

use crate::facts::connections::{LostSyns, SlowOpenings};
use crate::finding::{Facts, Finding, Level};
use crate::rules::case::Case;

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let slow = case.received.slow_openings.iter();
    let after: Vec<SlowOpenings> =
        slow.map(|(seconds, connections)| SlowOpenings { seconds: *seconds, connections: *connections }).collect();
    (!after.is_empty()).then(|| Finding::new(Level::Note, Facts::LostSyns(LostSyns { after })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::trial::RuleTrial;

    #[test]
    fn connections_that_took_whole_seconds_are_counted_and_accuse_nobody() {
        let mut trial = RuleTrial::of(3, None);
        assert_eq!(trial.judge_by(judge), None);
        trial.received.slow_openings.extend([(1, 12), (3, 2)]);
        let found = trial.judge_by(judge).unwrap();
        let after = [(1, 12), (3, 2)].map(|(seconds, connections)| SlowOpenings { seconds, connections });
        assert_eq!((found.level, found.facts), (Level::Note, Facts::LostSyns(LostSyns { after: after.to_vec() })));
    }
}
