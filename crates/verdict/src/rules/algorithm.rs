//! The rule of the algorithm: it is the one that was expected.

use crate::algorithm::{Algorithm, CookieGiver, Selection};
use crate::facts::algorithm::AlgorithmFacts;
use crate::finding::{self, Finding, Level};
use crate::rules::case::Case;
use crate::rules::expectations::ExpectedWeights;

/// Compares what is seen with what is expected; nothing is expected unless the user says so.
pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let expected = case.expectations.algorithm?;
    let seen = case.inference;
    let names = &case.names[..case.backends];
    // With one backend there is nothing to find out.
    let active = || names.iter().filter(|name| case.expectations.takes_part(name));
    let takers = active().count();
    // Nor with one that the balancer need not keep away from for what was before the check.
    let is_open = active().filter(|name| !case.fleets.unwell.contains(name)).count() < 2;
    // Of two backends both are drawn, and the less loaded of them is the one with least connections. Draws that may be of one backend
    // pick a busy one too, and are not seen as least connections.
    let is_weighted = case.expectations.shares.as_ref().is_some_and(|shares| *shares != ExpectedWeights::Even);
    let is_same = |kind: Algorithm| match (kind, expected) {
        // As balancers call it, with the weights that are expected: the rule of the shares judges those.
        (Algorithm::WeightedRoundRobin, Algorithm::RoundRobin) => is_weighted,
        (Algorithm::LeastConnections, Algorithm::TwoChoices) => takers == 2,
        (Algorithm::TwoChoices, Algorithm::LeastConnections) => {
            takers == 2 && seen.kind == Some(Algorithm::LeastConnections)
        }
        _ => kind == expected,
    };
    let candidates = seen.candidates();
    let is_one_of_these = seen.kind.is_some() || seen.excludes_others;
    let level = match seen.certain() {
        _ if is_one_of_these && !candidates.is_empty() && candidates.iter().copied().all(is_same) => Level::Pass,
        _ if seen.untried.contains(&expected) => Level::Inconclusive,
        // A cookie that the balancer gives may name the backend, or be a value that it hashes from then on, as Envoy's does.
        Some(Algorithm::Sticky) if expected == Algorithm::Cookie && is_given_by_balancer(&seen.selection) => {
            Level::Inconclusive
        }
        Some(_) if !is_open => Level::Fail,
        Some(_) => Level::Inconclusive,
        // One of several, all of which are another.
        None if is_one_of_these && !candidates.iter().copied().any(is_same) && !is_open => Level::Fail,
        None => Level::Inconclusive,
    };
    let facts =
        AlgorithmFacts { expected, candidates, selection: seen.selection.clone(), experiments: seen.evidence.clone() };
    Some(Finding::new(level, finding::Facts::Algorithm(facts)))
}

fn is_given_by_balancer(selection: &Selection) -> bool {
    matches!(selection, Selection::Sticky { given_by: CookieGiver::Balancer, .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::Algorithm::{LeastConnections, One, Random, RoundRobin, TwoChoices};
    use crate::rules::trial::RuleTrial;

    fn level(expected: Algorithm, kind: Option<Algorithm>, or: &[Algorithm]) -> Level {
        let mut trial = RuleTrial::of(3, kind);
        (trial.inference.or, trial.expectations.algorithm) = (or.to_vec(), Some(expected));
        trial.judge_by(|case| judge(case).expect("something is expected").level)
    }

    #[test]
    fn what_nothing_else_would_give_is_what_was_expected() {
        let level = |or: &[Algorithm]| {
            let mut trial = RuleTrial::of(3, None);
            trial.expectations.algorithm = Some(Algorithm::WeightedRoundRobin);
            (trial.inference.or, trial.inference.excludes_others) = (or.to_vec(), true);
            trial.judge_by(|case| judge(case).expect("it is expected").level)
        };
        assert_eq!(level(&[Algorithm::WeightedRoundRobin]), Level::Pass);
        assert_eq!(level(&[Algorithm::WeightedRoundRobin, RoundRobin]), Level::Inconclusive);
        assert_eq!((level(&[RoundRobin]), level(&[])), (Level::Fail, Level::Fail));
    }

    #[test]
    fn what_a_balancer_may_keep_away_from_shows_no_algorithm() {
        let level = |unwell: &[&str]| {
            let mut trial = RuleTrial::of(3, Some(One));
            trial.expectations.algorithm = Some(RoundRobin);
            trial.expectations.backups = vec!["9003".to_owned()];
            trial.fleet.fleets.unwell = unwell.iter().map(|name| (*name).to_owned()).collect();
            trial.judge_by(|case| judge(case).expect("it is expected").level)
        };
        assert_eq!((level(&[]), level(&["9003"])), (Level::Fail, Level::Fail));
        assert_eq!((level(&["9001"]), level(&["9001", "9002"])), (Level::Inconclusive, Level::Inconclusive));
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
    fn what_experiments_show_behind_a_limit_excludes_nothing() {
        let mut trial = RuleTrial::of(3, Some(Random));
        trial.expectations.algorithm = Some(Algorithm::Source);
        assert_eq!(trial.judge_by(|case| judge(case).unwrap().level), Level::Fail);
        trial.inference = trial.inference.behind_a_limit();
        assert_eq!(trial.judge_by(|case| judge(case).unwrap().level), Level::Inconclusive);
    }

    #[test]
    fn round_robin_with_weights_is_weighted_round_robin() {
        let level = |shares: Option<ExpectedWeights>| {
            let mut trial = RuleTrial::of(3, Some(Algorithm::WeightedRoundRobin));
            (trial.expectations.algorithm, trial.expectations.shares) = (Some(RoundRobin), shares);
            trial.judge_by(|case| judge(case).unwrap().level)
        };
        assert_eq!(level(Some(ExpectedWeights::ByPlace(vec![3, 1, 1]))), Level::Pass);
        assert_eq!(level(Some(ExpectedWeights::Even)), Level::Fail);
        assert_eq!(level(None), Level::Fail);
    }

    #[test]
    fn a_key_that_was_not_tried_is_not_excluded() {
        let mut trial = RuleTrial::of(3, Some(RoundRobin));
        (trial.inference.untried, trial.expectations.algorithm) = (vec![Algorithm::Header], Some(Algorithm::Header));
        assert_eq!(trial.judge_by(|case| judge(case).unwrap().level), Level::Inconclusive);
        trial.expectations.algorithm = Some(Algorithm::Cookie);
        assert_eq!(trial.judge_by(|case| judge(case).unwrap().level), Level::Fail);
    }

    #[test]
    fn a_cookie_that_the_balancer_gives_may_be_hashed_and_a_session_of_backends_is_not() {
        let level = |given_by: CookieGiver| {
            let mut trial = RuleTrial::of(3, Some(Algorithm::Sticky));
            trial.inference.selection = Selection::Sticky { cookies: vec!["lb".to_owned()], given_by };
            trial.expectations.algorithm = Some(Algorithm::Cookie);
            trial.judge_by(|case| judge(case).unwrap().level)
        };
        assert_eq!((level(CookieGiver::Balancer), level(CookieGiver::Backends)), (Level::Inconclusive, Level::Fail));
    }

    #[test]
    fn the_less_loaded_of_two_choices_among_two_backends_is_least_connections() {
        let level = |backends: usize, expected: Algorithm, kind: Algorithm| {
            let mut trial = RuleTrial::of(backends, Some(kind));
            trial.expectations.algorithm = Some(expected);
            trial.judge_by(|case| judge(case).unwrap().level)
        };
        assert_eq!(level(2, TwoChoices, LeastConnections), Level::Pass);
        assert_eq!(level(3, TwoChoices, LeastConnections), Level::Fail);
        // Two draws may be of one backend, and least connections never are.
        assert_eq!(level(2, LeastConnections, TwoChoices), Level::Fail);
        // No busy backend was picked, and nothing else tells the two apart.
        for (backends, expected, then) in [
            (2, LeastConnections, Level::Pass),
            (2, TwoChoices, Level::Pass),
            (2, RoundRobin, Level::Fail),
            (3, LeastConnections, Level::Inconclusive),
        ] {
            let mut trial = RuleTrial::of(backends, Some(LeastConnections));
            (trial.inference.or, trial.expectations.algorithm) = (vec![TwoChoices], Some(expected));
            assert_eq!(trial.judge_by(|case| judge(case).unwrap().level), then, "{backends} {expected:?}");
        }
    }

    #[test]
    fn of_one_active_backend_no_algorithm_can_be_told() {
        let mut trial = RuleTrial::of(2, Some(One));
        trial.expectations.algorithm = Some(RoundRobin);
        trial.expectations.backups = vec!["9002".to_owned()];
        assert_eq!(trial.judge_by(|case| judge(case).unwrap().level), Level::Inconclusive);
    }
}
