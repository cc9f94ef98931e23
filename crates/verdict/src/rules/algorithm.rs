//! The rule of the algorithm: it is the one that was expected.

use crate::facts::algorithm::AlgorithmFacts;
use crate::finding::{self, Finding, Level};
use crate::rules::case::Case;

/// Compares what is seen with what is expected; nothing is expected unless the user says so.
pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let expected = case.expectations.algorithm?;
    let seen = case.inference;
    let names = &case.names[..case.backends];
    // Of one backend nothing can be told.
    let takers = names.iter().filter(|name| case.expectations.takes_part(name)).count();
    let level = match seen.certain() {
        Some(kind) if kind == expected => Level::Pass,
        Some(_) if takers > 1 => Level::Fail,
        Some(_) => Level::Inconclusive,
        // One of several, all of which are another.
        None if (seen.kind.is_some() || seen.excludes_others)
            && !seen.candidates().contains(&expected)
            && takers > 1 =>
        {
            Level::Fail
        }
        None => Level::Inconclusive,
    };
    let facts = AlgorithmFacts {
        expected: expected.name().to_owned(),
        candidates: seen.kind.iter().chain(&seen.or).map(|kind| kind.name().to_owned()).collect(),
        label: seen.label.clone(),
        experiments: seen.evidence.clone(),
    };
    Some(Finding::new(level, finding::Facts::Algorithm(facts)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::Algorithm::{self, LeastConnections, One, Random, RoundRobin};
    use crate::rules::trial::RuleTrial;

    fn level(expected: Algorithm, kind: Option<Algorithm>, or: &[Algorithm]) -> Level {
        let mut trial = RuleTrial::of(3, kind);
        (trial.inference.or, trial.expectations.algorithm) = (or.to_vec(), Some(expected));
        trial.judge_by(|case| judge(case).expect("something is expected").level)
    }

    #[test]
    fn only_what_is_excluded_fails() {
        assert_eq!(level(RoundRobin, Some(RoundRobin), &[]), Level::Pass);
        assert_eq!(level(RoundRobin, Some(RoundRobin), &[LeastConnections]), Level::Inconclusive);
        assert_eq!(level(LeastConnections, Some(RoundRobin), &[LeastConnections]), Level::Inconclusive);
        assert_eq!(level(Random, Some(RoundRobin), &[LeastConnections]), Level::Fail);
        assert_eq!(level(Random, Some(RoundRobin), &[]), Level::Fail);
        assert_eq!(level(Random, None, &[RoundRobin]), Level::Inconclusive);
    }

    #[test]
    fn of_one_active_backend_no_algorithm_can_be_told() {
        let mut trial = RuleTrial::of(2, Some(One));
        trial.expectations.algorithm = Some(RoundRobin);
        trial.expectations.backups = vec!["9002".to_owned()];
        assert_eq!(trial.judge_by(|case| judge(case).unwrap().level), Level::Inconclusive);
    }
}
