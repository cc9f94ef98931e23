//! The rules of the client's connections, which accuse nobody: a limit of their number, and those that were slow to open, which explains the
//! latency that the requests on them show.

use crate::facts::connections::{LostSyns, SlowOpenings};
use crate::finding::{Facts, Finding, Level};
use crate::rules::case::Case;

pub(crate) fn judge(case: &Case) -> impl Iterator<Item = Finding> {
    judge_limit(case).into_iter().chain(judge_openings(case))
}

/// Inconclusive where the user asked for more: with that many nothing was tried.
fn judge_limit(case: &Case) -> Option<Finding> {
    let limit = case.received.connection_limit?;
    let level = if limit.is_asked { Level::Inconclusive } else { Level::Note };
    Some(Finding::new(level, Facts::ConnectionLimit(limit)))
}

fn judge_openings(case: &Case) -> Option<Finding> {
    let slow = case.received.slow_openings.iter();
    let after: Vec<SlowOpenings> =
        slow.map(|(seconds, connections)| SlowOpenings { seconds: *seconds, connections: *connections }).collect();
    (!after.is_empty()).then(|| Finding::new(Level::Note, Facts::LostSyns(LostSyns { after })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::connections::ConnectionLimit;
    use crate::rules::trial::RuleTrial;

    #[test]
    fn connections_that_took_whole_seconds_are_counted_and_accuse_nobody() {
        let mut trial = RuleTrial::of(3, None);
        assert_eq!(trial.judge_by(judge_openings), None);
        trial.received.slow_openings.extend([(1, 12), (3, 2)]);
        let found = trial.judge_by(judge_openings).unwrap();
        let after = [(1, 12), (3, 2)].map(|(seconds, connections)| SlowOpenings { seconds, connections });
        assert_eq!((found.level, found.facts), (Level::Note, Facts::LostSyns(LostSyns { after: after.to_vec() })));
    }
    #[test]
    fn a_limit_of_connections_accuses_nobody_and_leaves_open_what_more_would_show() {
        let level = |is_asked: bool| {
            let mut trial = RuleTrial::of(3, None);
            assert_eq!(trial.judge_by(judge_limit), None);
            trial.received.connection_limit = Some(ConnectionLimit { at_once: 5, wanted: 32, is_asked });
            trial.judge_by(judge_limit).map(|finding| finding.level)
        };
        assert_eq!((level(false), level(true)), (Some(Level::Note), Some(Level::Inconclusive)));
    }
}
