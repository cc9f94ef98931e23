//! The rule of reach: every backend that is ready gets something. It fails only where that is certain to be promised.

use std::collections::BTreeMap;

use crate::algorithm::{Algorithm, ExperimentFacts, ExperimentResult, Key};
use crate::facts::reach::ReachFacts;
use crate::facts::shares::Unit;
use crate::finding::{self, Finding, Level};
use crate::outcome::Outcome;
use crate::rules::case::{Case, Drill};
use crate::rules::expectations::FALSE_ALARM;

/// Rotations that may all begin at the same backend.
const ROTATIONS: u64 = 64;

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    Some(assess(case)?.0)
}

/// The finding, and the backends that certainly get nothing, though they would by the algorithm or by what the user requires.
fn assess(case: &Case) -> Option<(Finding, Vec<usize>)> {
    let expected_one = case.expectations.algorithm == Some(Algorithm::One);
    let unknown = case.expectations.shares.is_none() && !case.expectations.not_understood.is_empty();
    if expected_one || unknown || !case.has_records() || case.backends < 2 {
        return None;
    }
    let names = &case.names[..case.backends];
    // What does not fit the fleet is reported by the rule of the shares.
    let shares = case.expectations.shares(names).ok()?;
    let got = |place: usize| case.tally.by_backend.get(place).copied().unwrap_or(0);
    let is_missed = |place: &usize| shares[*place] > 0.0 && got(*place) == 0 && !case.is_changed(*place);
    let missed: Vec<usize> = (0..names.len()).filter(is_missed).collect();
    // How likely chance alone misses one that has an even share, or the one it should have.
    let pins = case.inference.kind.is_some_and(Algorithm::pins);
    let draws = if pins { case.tally.pins.clients } else { case.tally.attempts };
    // A hash ring's arcs may be half as long as they should be.
    let granted = if case.expectations.requires_shares() { 1.0 } else { 0.5 };
    let missed_by_chance = |place: &usize| (1.0 - shares[*place] * granted).powf(draws as f64);
    let chance = missed.iter().map(missed_by_chance).fold(0.0, f64::max) * case.backends as f64;
    let is_promised = is_promised(case);
    let failed = case.failed_somewhere();
    let has_failed = |place: &&usize| failed.get(**place).copied().unwrap_or(false);
    let all_failed = missed.iter().all(|place| has_failed(&place));
    let is_left_out = !missed.is_empty() && !all_failed && is_promised && is_certain(case, draws, chance);
    let requires = case.expectations.requires_shares();
    let level = match missed.as_slice() {
        [] => Level::Pass,
        // A drill is about what is done: who gets nothing all along may be a reserve that was not needed.
        _ if is_left_out && (requires || case.drill == Drill::None) => Level::Fail,
        _ => Level::Inconclusive,
    };
    let (expected, excluded) = names.iter().cloned().partition(|name| case.expectations.takes_part(name));
    let facts = ReachFacts {
        expected,
        excluded,
        missed: missed.iter().map(|place| names[*place].clone()).collect(),
        failed: missed.iter().filter(has_failed).map(|place| names[*place].clone()).collect(),
        avoids: case.keeps_away.map(|time| time.as_secs_f64()),
        not_accepted: of_missed(&missed, names, &case.tls.connections.not_accepted),
        bad_certificates: of_missed(&missed, names, &case.tls.connections.bad_certificates),
        unit: if pins { Unit::Clients } else { Unit::Requests },
        draws,
        chance: chance.min(1.0),
        only_one: (0..names.len()).filter(|place| got(*place) > 0).count() == 1,
        may_be_source: !case.inference.evidence.iter().any(excludes_source),
        reached_nobody: [Outcome::Balancer, Outcome::NotReached].map(|it| case.tally.of_outcome(it)).iter().sum(),
        is_promised,
    };
    // With nothing that was sent to a backend there is no order.
    let is_sent = case.tally.by_backend.iter().any(|count| *count > 0);
    if !is_sent && level != Level::Fail {
        return None;
    }
    // In a drill it is named where that is certain.
    match case.drill {
        Drill::None => {}
        Drill::Graceful | Drill::Rough if is_left_out && !requires => {}
        Drill::Graceful | Drill::Rough => return None,
    }
    let order = if missed.is_empty() { Vec::new() } else { case.order() };
    let finding = Finding::new(level, finding::Facts::Reach(facts)).shown_by(order);
    Some((finding, if is_left_out { missed } else { Vec::new() }))
}

/// The backends that certainly get nothing: what they lack is reported once, by this rule.
pub(super) fn left_out(case: &Case) -> Vec<usize> {
    assess(case).map_or_else(Vec::new, |(_, left_out)| left_out)
}

/// Whether it shows that source addresses do not decide, as they were varied, or something else does.
fn excludes_source(result: &ExperimentResult) -> bool {
    let is_varied = matches!(&result.facts, ExperimentFacts::Key { key: Key::Host, .. });
    is_varied || result.excludes.contains(&Algorithm::Source)
}

/// What is known by name of the backends at those places.
fn of_missed<T: Copy>(missed: &[usize], names: &[String], known: &BTreeMap<String, T>) -> BTreeMap<String, T> {
    let known_of = |place: &usize| Some((names[*place].clone(), *known.get(&names[*place])?));
    missed.iter().filter_map(known_of).collect()
}

/// Whether every backend is to get something, by what the user requires or the algorithm does.
fn is_promised(case: &Case) -> bool {
    case.expectations.requires_shares()
        || match case.inference.certain() {
            Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin | Algorithm::Random) => true,
            // A key has its backend, and others have theirs.
            Some(kind) => kind.pins() && case.varied,
            None => false,
        }
}

/// Whether that many draws would have come to each backend, but for that chance.
fn is_certain(case: &Case, draws: u64, chance: f64) -> bool {
    let rotates = matches!(case.inference.certain(), Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin));
    if rotates && !case.expectations.requires_shares() {
        // Each rotation may not have come as far as to it.
        let rotations = if case.inference.rotations == Some(1) { 2 } else { ROTATIONS };
        draws > rotations * case.inference.turns.as_ref().map_or(case.backends, Vec::len) as u64
    } else {
        chance < FALSE_ALARM / 10.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Witness;
    use crate::observation::Backend;
    use crate::rules::trial::{RuleTrial, draws};
    use crate::timeline::OutageWindow;
    use crate::{HandshakeFailure, Moment};

    fn level(trial: &RuleTrial) -> Level {
        trial.judge_by(|case| judge(case).expect("it is judged").level)
    }

    /// The same, where the user requires even shares.
    fn required(trial: &RuleTrial) -> Level {
        let mut required = trial.clone();
        required.expectations.shares = Some("even".parse().unwrap());
        level(&required)
    }

    #[test]
    fn a_backend_that_a_rotation_leaves_out_fails() {
        let trial = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends((0..3_000).map(|turn| turn % 2));
        assert_eq!((level(&trial), required(&trial)), (Level::Fail, Level::Fail));
        let shares = |trial: &RuleTrial| trial.judge_by(|case| crate::rules::shares::judge(case).1);
        assert_eq!(shares(&trial), None, "it is reported once");
        let reached = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends((0..3_000).map(|turn| turn % 3));
        assert_eq!(level(&reached), Level::Pass);
    }

    #[test]
    fn a_backend_that_failed_in_the_warm_up_may_be_avoided_afterwards() {
        let trial = |failures: bool| {
            let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends([0, 2]);
            if failures {
                trial.after_failure_at(1);
            }
            trial.span.warm_up = 2;
            trial.sends((0..3_000).map(|turn| turn % 2 * 2))
        };
        assert_eq!(required(&trial(false)), Level::Fail);
        assert_eq!((level(&trial(false)), level(&trial(true))), (Level::Fail, Level::Inconclusive));
        let shares =
            |trial: &RuleTrial| trial.judge_by(|case| crate::rules::shares::judge(case).1.map(|finding| finding.level));
        assert_eq!((shares(&trial(false)), shares(&trial(true))), (None, Some(Level::Inconclusive)));
    }

    #[test]
    fn a_backend_whose_certificate_is_not_accepted_may_get_nothing() {
        let trial = |refused: &str, reached: bool| {
            let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends((0..3_000).map(|turn| turn % 2));
            let expired = HandshakeFailure::AlertCertificateExpired;
            trial.tls.connections.not_accepted = BTreeMap::from([(refused.to_owned(), expired)]);
            if reached {
                trial.delivered(2, 200);
            }
            trial.expectations.shares = Some("even".parse().unwrap());
            trial.judge_by(|case| (judge(case).unwrap(), case.failed_somewhere()))
        };
        let names = RuleTrial::of(3, None).judge_by(|case| case.names.to_vec());
        let (finding, failed) = trial(&names[2], false);
        let finding::Facts::Reach(facts) = &finding.facts else { panic!("{finding:?}") };
        assert_eq!(
            (finding.level, facts.not_accepted.len(), failed),
            (Level::Inconclusive, 1, vec![false, false, true])
        );
        let (other, _) = trial(&names[0], false);
        assert_eq!(other.level, Level::Fail, "the one that gets nothing is well");
        assert_eq!(trial(&names[2], true).1, [false; 3], "requests reach it: that was another client");
    }

    #[test]
    fn a_backend_that_a_fault_makes_slow_may_have_been_given_up_before() {
        let trial = |slow: &str| {
            let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends((0..3_000).map(|turn| turn % 2));
            trial.fleet.fleets.slow = vec![slow.to_owned()];
            required(&trial)
        };
        assert_eq!((trial("9003"), trial("9001")), (Level::Inconclusive, Level::Fail));
    }

    #[test]
    fn a_drill_names_who_gets_nothing_all_along() {
        let judged = |backends: &'static [u16], kind: Algorithm, broken: u16| {
            let turns = (0..3_000usize).map(|turn| backends[turn % backends.len()]);
            let mut trial = RuleTrial::of(3, Some(kind)).sends(turns);
            trial.drill.kind = Drill::Rough;
            let at = Moment(1_000_000);
            let backend = Backend(broken);
            trial.drill.windows = vec![OutageWindow { backend, broken: at, mended: None, is_restarted: false }];
            trial.judge_by(|case| judge(case).map(|finding| finding.level))
        };
        assert_eq!(judged(&[0, 1], Algorithm::RoundRobin, 0), Some(Level::Inconclusive));
        assert_eq!(judged(&[0, 1], Algorithm::RoundRobin, 2), None, "it was taken away");
        assert_eq!(judged(&[0, 1, 2], Algorithm::RoundRobin, 2), None);
        assert_eq!(judged(&[0], Algorithm::LeastConnections, 0), None, "it promises nothing");
    }

    #[test]
    fn the_order_of_the_first_requests_shows_who_is_left_out() {
        let shown = |backends: u16| {
            let trial = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends((0..3_000).map(|turn| turn % backends));
            trial.judge_by(|case| {
                (judge(case).expect("it is judged").witness, case.names.iter().cloned().map(Some).collect::<Vec<_>>())
            })
        };
        let (witness, names) = shown(2);
        let [Witness::Order { first: 0, backends }] = witness.as_slice() else { panic!("{witness:?}") };
        assert_eq!(backends.len(), 24);
        assert!(backends.iter().enumerate().all(|(turn, backend)| *backend == names[turn % 2]), "{backends:?}");
        assert_eq!(shown(3).0, []);
    }

    #[test]
    fn a_backend_that_chance_would_hardly_miss_fails_once_that_is_sure() {
        let trial = |count| RuleTrial::of(3, Some(Algorithm::Random)).sends(draws(&[1, 1, 0], count, 1));
        assert_eq!((required(&trial(40)), required(&trial(200))), (Level::Inconclusive, Level::Fail));
        assert_eq!(level(&trial(200)), Level::Fail);
    }

    #[test]
    fn what_promises_nothing_may_leave_backends_alone_until_the_user_requires_them() {
        for kind in [None, Some(Algorithm::One), Some(Algorithm::LeastConnections), Some(Algorithm::Source)] {
            let mut trial = RuleTrial::of(3, kind).sends([0; 3_000]);
            assert_eq!(level(&trial), Level::Inconclusive, "{kind:?}");
            trial.expectations.shares = Some("even".parse().unwrap());
            // Clients with affinity are few.
            assert_eq!(level(&trial) == Level::Fail, !kind.is_some_and(Algorithm::pins), "{kind:?}");
        }
        let mut open = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends([0; 3_000]);
        open.inference.or = vec![Algorithm::LeastConnections];
        assert_eq!(level(&open), Level::Inconclusive);
    }
}
