//! The rule of the split: groups of backends get what their weights say. How the backends of a group share that is not its business: of a
//! Service no route says it, and the controller decides.

use crate::algorithm::Algorithm;
use crate::facts::shares::Unit;
use crate::facts::split::{GroupShare, SplitConclusion, SplitFacts};
use crate::finding::{self, Finding, Level};
use crate::outcome::Outcome;
use crate::rules::case::{Case, Drill};
use crate::rules::expectations::ExpectedGroup;
use crate::rules::share_test::{ROTATIONS, by_chance, needed};
use crate::rules::shares::{Selections, failing};

/// Requests of which nobody knows whom they were sent to first.
const NOWHERE: [Outcome; 3] = [Outcome::Balancer, Outcome::NotReached, Outcome::Duplicated];

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let groups = &case.expectations.groups;
    // What is done to backends may change what their group gets.
    if groups.is_empty() || case.drill != Drill::None {
        return None;
    }
    let selections = Selections::of(case);
    // Who stays with a backend is not divided again, and clients are too few to show weights.
    if selections.unit == Unit::Clients {
        return None;
    }
    let counts: Vec<u64> = groups.iter().map(|group| selections.of_all(&group.backends)).collect();
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let expected = ExpectedGroup::shares(groups);
    let (test, level) = by_chance(case, &counts, &expected, total);
    let elsewhere = selections.total - total;
    let unsure = case.tally.unordered + NOWHERE.iter().map(|outcome| case.tally.of_outcome(*outcome)).sum::<u64>();
    let deviates = level == Level::Fail && exceeds(&counts, &expected, elsewhere + unsure);
    // What is not known must not be more than what is tolerated.
    let is_known = unsure as f64 <= case.expectations.tolerance_of(&expected) * total as f64;
    let (level, conclusion) = match level {
        _ if elsewhere > 0 => (Level::Inconclusive, SplitConclusion::Elsewhere),
        Level::Pass if is_known => (Level::Pass, SplitConclusion::AsExpected),
        Level::Fail if deviates => match excuse(&selections) {
            Some(why) => (Level::Inconclusive, why),
            None => (Level::Fail, SplitConclusion::Deviates),
        },
        Level::Fail if unsure == 0 => (Level::Inconclusive, SplitConclusion::TooFew),
        Level::Pass | Level::Fail => (Level::Inconclusive, SplitConclusion::Disturbed),
        Level::Inconclusive | Level::Note => (Level::Inconclusive, SplitConclusion::TooFew),
    };
    let row = |((group, count), expected): ((&ExpectedGroup, &u64), &f64)| GroupShare {
        group: group.name.clone(),
        backends: group.backends.clone(),
        count: *count,
        share: *count as f64 / total as f64,
        expected: *expected,
    };
    let is_short = conclusion == SplitConclusion::TooFew;
    let facts = SplitFacts {
        total,
        groups: groups.iter().zip(&counts).zip(&expected).map(row).collect(),
        expected_by: case.expectations.shares_by.clone(),
        conclusion,
        needed: is_short.then(|| needed(case, &test, &expected)).flatten(),
        test,
    };
    let order = if level == Level::Fail { case.order() } else { Vec::new() };
    Some(Finding::new(level, finding::Facts::Split(facts)).shown_by(order))
}

/// Whether some group is further off than rotations that all begin at the same backend, and than what is not known. A group without
/// weight gets nothing in any of them.
fn exceeds(counts: &[u64], expected: &[f64], unknown: u64) -> bool {
    let total: u64 = counts.iter().sum();
    let beyond = |(count, share): (&u64, &f64)| {
        let granted = if *share == 0.0 { 0.0 } else { ROTATIONS };
        (*count as f64 - share * total as f64).abs() - granted
    };
    counts.iter().zip(expected).map(beyond).fold(0.0, f64::max) > unknown as f64
}

/// Why groups that do not have their parts prove nothing.
fn excuse(selections: &Selections) -> Option<SplitConclusion> {
    let case = selections.case;
    if failing(case, &selections.counts).contains(&true) {
        return Some(SplitConclusion::Disturbed);
    }
    if case.urls.are_several() {
        return Some(SplitConclusion::Urls);
    }
    if !case.inference.is_unit_known {
        return Some(SplitConclusion::Unit);
    }
    // One client that stays with its backend meets no other one.
    let is_one = selections.counts.iter().filter(|count| **count > 0).count() == 1;
    let pins = is_one || case.inference.kind.is_some_and(Algorithm::pins);
    pins.then_some(SplitConclusion::Affinity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Facts;
    use crate::rules::trial::{RuleTrial, draws};

    /// Three backends: two of `stable`, one of `canary`.
    fn trial(weights: [u32; 3], requests: usize) -> RuleTrial {
        let mut trial = RuleTrial::of(3, None).sends(draws(&weights, requests, 1));
        let group = |name: &str, weight, places: &[usize]| ExpectedGroup {
            name: name.to_owned(),
            weight,
            backends: places.iter().map(|place| trial.fleet.names[*place].clone()).collect(),
        };
        trial.expectations.groups = vec![group("stable", 80, &[0, 1]), group("canary", 20, &[2])];
        trial.expectations.not_understood = vec!["the controller decides".to_owned()];
        trial.inference.is_unit_known = true;
        trial
    }

    fn found(trial: &RuleTrial) -> (Level, SplitConclusion) {
        match trial.facts("split") {
            Facts::Split(facts) => (trial.level("split").unwrap(), facts.conclusion),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn groups_get_their_weights_however_their_backends_share_that() {
        for weights in [[40, 40, 20], [75, 5, 20], [80, 0, 20]] {
            assert_eq!(found(&trial(weights, 40_000)), (Level::Pass, SplitConclusion::AsExpected), "{weights:?}");
        }
        assert_eq!(found(&trial([40, 40, 20], 300)), (Level::Inconclusive, SplitConclusion::TooFew));
        // Equal shares of backends are the error that is feared of a canary.
        assert_eq!(found(&trial([1, 1, 1], 5_000)), (Level::Fail, SplitConclusion::Deviates));
        assert_eq!(found(&trial([1, 1, 0], 5_000)), (Level::Fail, SplitConclusion::Deviates));
    }

    #[test]
    fn a_group_without_weight_gets_nothing() {
        let mut trial = trial([1_000, 1_000, 1], 5_000);
        (trial.expectations.groups[0].weight, trial.expectations.groups[1].weight) = (1, 0);
        assert_eq!(found(&trial), (Level::Fail, SplitConclusion::Deviates));
    }

    #[test]
    fn many_rotations_that_begin_alike_are_no_wrong_split() {
        // 64 workers with three requests each never come to the canary.
        assert_eq!(found(&trial([1, 1, 0], 192)), (Level::Inconclusive, SplitConclusion::TooFew));
    }

    #[test]
    fn what_explains_a_wrong_split_leaves_it_inconclusive() {
        let wrong = || trial([1, 1, 1], 5_000);
        let mut failing = wrong();
        failing.after_failure_at(2);
        assert_eq!(found(&failing), (Level::Inconclusive, SplitConclusion::Disturbed));
        let mut unit = wrong();
        unit.inference.is_unit_known = false;
        assert_eq!(found(&unit), (Level::Inconclusive, SplitConclusion::Unit));
        let mut urls = wrong();
        urls.sent.urls = vec!["/".to_owned(), "/other".to_owned()];
        urls.sent.url_of = vec![0; 5_000];
        assert_eq!(found(&urls), (Level::Inconclusive, SplitConclusion::Urls));
        let mut elsewhere = trial([40, 40, 20], 40_000);
        elsewhere.expectations.groups[0].backends.pop();
        assert_eq!(found(&elsewhere), (Level::Inconclusive, SplitConclusion::Elsewhere));
        let mut refused = wrong();
        for _ in 0..2_000 {
            refused.balancer(503);
        }
        assert_eq!(found(&refused), (Level::Inconclusive, SplitConclusion::Disturbed));
        let mut drill = wrong();
        drill.drill.kind = Drill::Graceful;
        assert_eq!(drill.level("split"), None);
    }

    #[test]
    fn affinity_leaves_the_split_to_the_number_of_clients() {
        let mut pinned = trial([1, 1, 1], 5_000);
        pinned.inference = crate::rules::trial::inference(Some(Algorithm::Source));
        pinned.inference.is_unit_known = true;
        assert_eq!(found(&pinned), (Level::Inconclusive, SplitConclusion::Affinity));
        assert_eq!(found(&trial([1, 0, 0], 5_000)), (Level::Inconclusive, SplitConclusion::Affinity));
        // What was not tried cannot be it, where one client meets several.
        let mut untried = trial([1, 1, 1], 5_000);
        untried.inference.or = vec![Algorithm::Header, Algorithm::Cookie];
        assert_eq!(found(&untried), (Level::Fail, SplitConclusion::Deviates));
    }
}
