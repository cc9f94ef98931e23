//! The rule of the rotation: its turns follow each other, and nothing comes in bursts.

use crate::algorithm::{Algorithm, RotationBreaks};
use crate::facts::rotation::{self, RotationFacts};
use crate::finding::{self, Finding, Level, Witness};
use crate::ledger::BackendRecords;
use crate::observation::Backend;
use crate::rules::case::Case;
use crate::tally::directed;

/// Requests that are shown before and after a break.
const SHOWN: u32 = 9;

/// None where the rotation goes on, and where it is not known who else moves it.
pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let inference = case.inference;
    // What decides besides the algorithm, such as a canary's share, may come in bursts.
    let is_alone = case.expectations.not_understood.is_empty();
    // Weights give each backend several turns in a row where the balancer's do.
    let is_expected = case.expectations.algorithm.is_some_and(|expected| inference.or == [expected]);
    if inference.excludes_others && is_alone && !is_expected && case.ledger.records() != BackendRecords::None {
        let facts = finding::Facts::Rotation(RotationFacts::Bursts(inference.selection.clone()));
        return Some(Finding::new(Level::Inconclusive, facts).shown_by(case.order()));
    }
    let RotationBreaks { requests, at, every } = inference.breaks.as_ref()?;
    let is_rotation = matches!(inference.kind, Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin));
    if !is_rotation || case.ledger.records() == BackendRecords::None {
        return None;
    }
    let is_required = case.expectations.algorithm == Some(Algorithm::RoundRobin);
    // A single one is a matter only where all turns are required to follow each other.
    if at.len() < 2 && !is_required {
        return None;
    }
    let may_be_weights = every.is_none() || inference.or.contains(&Algorithm::WeightedRoundRobin);
    // On layer 4 a connection without a request has its turn too, and no record.
    let is_proven = is_required && every.is_some() && !may_be_weights && !inference.per_connection;
    let name = |backend: Backend| case.names.get(usize::from(backend.0)).cloned();
    let facts = rotation::Breaks {
        requests: *requests as u64,
        round: inference.turns.iter().flatten().filter_map(|backend| name(*backend)).collect(),
        breaks: at.len() as u64,
        every: every.map(|every| every as u64),
        may_be_weights,
    };
    let witness = at.iter().take(2).map(|broken| {
        let first = broken.saturating_sub(SHOWN);
        let place = |sequence: u32| directed(&case.ledger.entry(sequence)?).and_then(name);
        Witness::Order { first, backends: (first..broken + SHOWN).map(place).collect() }
    });
    let level = if is_proven { Level::Fail } else { Level::Inconclusive };
    Some(Finding::new(level, finding::Facts::Rotation(RotationFacts::Breaks(facts))).shown_by(witness.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::trial::RuleTrial;

    fn level(every: Option<usize>, expected: Option<Algorithm>, or: &[Algorithm]) -> Option<Level> {
        let mut trial =
            RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends((0..600).map(|turn| (turn + turn / 97) % 3));
        (trial.inference.or, trial.expectations.algorithm) = (or.to_vec(), expected);
        trial.inference.breaks = Some(RotationBreaks { requests: 600, at: vec![97, 194, 291, 388, 485, 582], every });
        trial.judge_by(|case| judge(case).map(|finding| finding.level))
    }

    #[test]
    fn turns_that_are_skipped_at_regular_intervals_fail_where_round_robin_is_required() {
        let required = Some(Algorithm::RoundRobin);
        assert_eq!(level(Some(97), required, &[]), Some(Level::Fail));
        assert_eq!(level(Some(97), None, &[]), Some(Level::Inconclusive));
        assert_eq!(level(None, required, &[]), Some(Level::Inconclusive));
        // 34:33:33 looks like that.
        assert_eq!(level(Some(100), required, &[Algorithm::WeightedRoundRobin]), Some(Level::Inconclusive));
    }

    #[test]
    fn bursts_are_named_by_no_algorithm_and_do_not_pass() {
        let mut trial = RuleTrial::of(3, None).sends((0..600).map(|turn| turn / 10 % 3));
        trial.inference.excludes_others = true;
        assert_eq!(trial.judge_by(|case| judge(case).map(|finding| finding.level)), Some(Level::Inconclusive));
    }

    #[test]
    fn a_rotation_without_breaks_is_no_matter() {
        let trial = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends((0..600).map(|turn| turn % 3));
        assert!(trial.judge_by(|case| judge(case).is_none()));
    }

    #[test]
    fn the_witness_shows_the_requests_around_a_break() {
        let mut trial =
            RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends((0..600).map(|turn| (turn + turn / 97) % 3));
        trial.inference.breaks = Some(RotationBreaks { requests: 600, at: vec![97], every: None });
        assert!(trial.judge_by(|case| judge(case).is_none()));
        trial.expectations.algorithm = Some(Algorithm::RoundRobin);
        let witness = trial.judge_by(|case| judge(case).expect("it was left").witness);
        let [Witness::Order { first: 88, backends }] = witness.as_slice() else { panic!("{witness:?}") };
        assert!(backends.len() == 18, "{backends:?}");
    }
}
