use std::time::Duration;

use super::*;
use crate::Moment;
use crate::algorithm::{ExperimentFacts, ExperimentResult, OrderFacts};
use crate::facts::shares::Misfit;
use crate::ledger::RecordClock;
use crate::observation::ClientOutcome;
use crate::rules::trial::{RuleTrial, draws};
use crate::timeline::StepSpan;

fn level(trial: &RuleTrial) -> Level {
    trial.judge_by(|case| judge(case).1.expect("there are shares").level)
}

fn requiring(weights: &str, trial: RuleTrial) -> RuleTrial {
    let mut trial = trial;
    trial.expectations.shares = Some(weights.parse().unwrap());
    trial.expectations.shares_by = SharesSource::User;
    trial
}

fn turns(count: u16) -> impl Iterator<Item = u16> {
    (0..count).map(|turn| turn % 3)
}

#[test]
fn even_shares_pass_whatever_the_name_and_uneven_ones_fail_only_where_they_are_promised() {
    let even = |kind| RuleTrial::of(3, kind).sends(turns(30_000));
    let uneven = |kind| RuleTrial::of(3, kind).sends((0..30_000).map(|turn| [0, 0, 1, 2][turn % 4]));
    assert_eq!(level(&even(Some(Algorithm::RoundRobin))), Level::Pass);
    assert_eq!(level(&uneven(Some(Algorithm::RoundRobin))), Level::Fail);
    for kind in [None, Some(Algorithm::Random), Some(Algorithm::WeightedRoundRobin)] {
        assert_eq!(level(&uneven(kind)), Level::Inconclusive, "{kind:?}");
        assert_eq!(level(&requiring("even", uneven(kind))), Level::Fail, "{kind:?}");
    }
    for kind in [Algorithm::LeastConnections, Algorithm::TwoChoices, Algorithm::One, Algorithm::Source] {
        assert_eq!(level(&uneven(Some(kind))), Level::Note, "{kind:?}");
    }
}

/// The first backend gets every fourth of its turns, until that request.
fn loaded(until: u16) -> RuleTrial {
    let turn = |at: u16| {
        if at.is_multiple_of(3) && (!at.is_multiple_of(4) || at >= until) { 1 + at / 3 % 2 } else { at % 3 }
    };
    let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends((0..30_000).map(turn));
    (trial.inference.rotations, trial.inference.exceptions) = (Some(1), 0);
    trial.inference.turns = Some((0..3).map(Backend).collect());
    trial
}

#[test]
fn a_backend_that_gets_less_under_load_alone_may_have_a_limit() {
    assert_eq!(level(&loaded(30_000)), Level::Inconclusive);
    assert_eq!(level(&requiring("even", loaded(30_000))), Level::Fail);
    // One that gets nothing any more was forgotten.
    assert_eq!(level(&loaded(20_000)), Level::Fail);
    let stopped = |trial: &RuleTrial| match trial.judge_by(|case| judge(case).1.expect("there are shares").facts) {
        finding::Facts::Shares(facts) => facts.stopped,
        other => panic!("{other:?}"),
    };
    let drained = RuleTrial::of(3, Some(Algorithm::RoundRobin))
        .sends((0..30_000).map(|turn| if turn < 20_000 { turn % 3 } else { turn % 2 }));
    let since = stopped(&drained).expect("9003 got nothing in the last third");
    assert!((since - 0.02).abs() < 1e-3, "{since}");
    assert_eq!(stopped(&requiring("even", loaded(30_000))), None);
    // Least connections would go round as well, and give less to what is slow: either may be the reason.
    let conclusion = |trial: &RuleTrial| match trial.judge_by(|case| judge(case).1.expect("there are shares").facts) {
        finding::Facts::Shares(facts) => facts.conclusion,
        other => panic!("{other:?}"),
    };
    let mut open = loaded(30_000);
    open.inference.or = vec![Algorithm::LeastConnections];
    assert_eq!(conclusion(&open), Conclusion::Unproven(Unproven::Load));
    open.inference.exceptions = 3;
    assert_eq!(conclusion(&open), Conclusion::Unproven(Unproven::Algorithm));
    let mut uneven_before = loaded(30_000);
    uneven_before.inference.exceptions = 3;
    assert_eq!(level(&uneven_before), Level::Fail);
}

#[test]
fn weights_that_were_not_seen_are_not_proposed() {
    let facts = |trial: &RuleTrial| {
        trial.judge_by(|case| match judge(case).1.expect("there are shares").facts {
            finding::Facts::Shares(facts) => facts,
            other => panic!("{other:?}"),
        })
    };
    let weighted = RuleTrial::of(3, Some(Algorithm::WeightedRoundRobin));
    let uneven = facts(&weighted.sends((0..30_000).map(|turn| [0, 0, 1, 2][turn % 4])));
    assert_eq!((uneven.conclusion, uneven.seen_weights), (Conclusion::Unproven(Unproven::Weights), None));
    let even = facts(&RuleTrial::of(3, Some(Algorithm::WeightedRoundRobin)).sends(turns(30_000)));
    let expected = even.widest.and_then(|row| row.expected).unwrap();
    assert!(even.conclusion == Conclusion::AsExpected && (expected - 1.0 / 3.0).abs() < 1e-9, "{expected}");
}

#[test]
fn seen_weights_are_proposed_by_name_where_backends_have_no_order() {
    let proposed = |records| {
        let turns = (0..30_000).map(|turn| [0, 0, 1, 2][turn % 4]);
        let mut trial = RuleTrial::of(3, Some(Algorithm::WeightedRoundRobin)).sends(turns);
        trial.inference.weights = vec![(Backend(0), 2), (Backend(1), 1), (Backend(2), 1)];
        trial.fleet.records = records;
        trial.judge_by(|case| match judge(case).1.expect("there are shares").facts {
            finding::Facts::Shares(facts) => facts.seen_weights,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(proposed(BackendRecords::Kept).as_deref(), Some("2:1:1"));
    assert_eq!(proposed(BackendRecords::None).as_deref(), Some("9001=2,9002=1,9003=1"));
}

#[test]
fn weights_that_do_not_fit_the_backends_say_why() {
    let names = ["a", "b"].map(str::to_owned).to_vec();
    let why = |text: &str| text.parse::<ExpectedWeights>().unwrap().shares(&names).unwrap_err();
    assert_eq!(why("1:2:3"), Misfit::OtherNumber { weights: 3, backends: names.clone() });
    assert_eq!(why("a=1,9001=2"), Misfit::NoSuchBackend { name: "9001".to_owned(), backends: names.clone() });
}

#[test]
fn a_name_that_is_not_certain_promises_nothing() {
    let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends((0..30_000).map(|turn| [0, 0, 1, 2][turn % 4]));
    trial.inference.or = vec![Algorithm::LeastConnections];
    assert_eq!(level(&trial), Level::Inconclusive);
    // Whether connections are balanced is not known: requests on kept connections say nothing.
    trial.inference.or.clear();
    trial.inference.is_unit_known = false;
    assert_eq!(level(&trial), Level::Inconclusive);
}

#[test]
fn many_workers_that_all_begin_at_the_same_backend_are_left_in_peace() {
    // 64 rotations, of which each has come to its first or second turn.
    let trial = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends((0..96).map(|turn| u16::from(turn >= 64)));
    assert_eq!(level(&trial), Level::Inconclusive);
}

#[test]
fn the_ring_of_a_random_balancer_is_not_held_against_it() {
    let ring = RuleTrial::of(3, Some(Algorithm::Random)).sends(draws(&[36, 29, 35], 45_000, 1));
    assert_eq!(level(&ring), Level::Inconclusive);
    let even = RuleTrial::of(3, Some(Algorithm::Random)).sends(draws(&[1, 1, 1], 45_000, 1));
    assert_eq!(level(&even), Level::Pass);
}

#[test]
fn a_few_failures_excuse_what_they_can_move_and_no_more() {
    let trial = |weights: &[u32]| {
        let mut trial = RuleTrial::of(3, Some(Algorithm::Random));
        for (at, backend) in draws(weights, 6_000, 3).into_iter().enumerate() {
            trial.send(0, backend, at as u64);
            if backend == 0 && at % 200 == 0 {
                trial.after_failure_at(1);
            }
        }
        requiring("even", trial)
    };
    assert_eq!(level(&trial(&[5, 1, 1])), Level::Fail);
    // Left out for a while after each failure, as NGINX does for 10 s.
    assert_eq!(level(&trial(&[10, 1, 10])), Level::Inconclusive);
}

#[test]
fn a_backend_that_fails_and_is_selected_as_often_as_the_others_leaves_shares_as_expected() {
    let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin));
    for turn in 0..6_000u16 {
        trial.send(0, if turn % 30 == 1 { 2 } else { turn % 3 }, u64::from(turn));
        if turn % 30 == 1 {
            trial.after_failure_at(1);
        }
    }
    assert_eq!(level(&trial), Level::Pass);
}

/// A rotation whose third backend gets a copy of every request as well, now before and now after the one that was selected.
fn mirrored_into_the_rotation(selected: impl Fn(u64) -> u16) -> RuleTrial {
    let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin));
    for turn in 0..6_000u64 {
        trial.send(0, selected(turn), turn * 1_000).after_failure_at(2);
        let copy = trial.arrivals.last_mut().unwrap();
        copy.end = crate::AttemptEnd::Completed;
        copy.received = Moment(copy.received.0 + turn % 2 * 100);
    }
    trial
}

#[test]
fn a_mirror_into_the_rotation_leaves_even_shares_and_proves_no_others() {
    assert_eq!(level(&mirrored_into_the_rotation(|turn| (turn % 3) as u16)), Level::Pass);
    let uneven = mirrored_into_the_rotation(|turn| [0, 0, 1, 2][turn as usize % 4]);
    assert_eq!(level(&requiring("even", uneven)), Level::Inconclusive);
    // A few that are executed twice hide nothing.
    let mut few = requiring("even", RuleTrial::of(3, None).sends((0..30_000).map(|turn| [0, 0, 1, 2][turn % 4])));
    few.send(0, 1, 40_000).after_failure_at(2);
    few.arrivals.last_mut().unwrap().end = crate::AttemptEnd::Completed;
    assert_eq!(level(&few), Level::Fail);
}

#[test]
fn required_shares_of_nothing_are_inconclusive() {
    let mut cached = requiring("even", RuleTrial::of(3, None));
    cached.balancer(200);
    assert_eq!(level(&cached), Level::Inconclusive);
}

#[test]
fn a_thousand_backends_with_a_request_each_prove_nothing() {
    let trial = RuleTrial::of(1000, Some(Algorithm::RoundRobin)).sends(0..1000);
    assert_eq!(level(&trial), Level::Inconclusive);
    let many = RuleTrial::of(1000, Some(Algorithm::RoundRobin)).sends((0..40_000).map(|turn| turn % 1000));
    assert_eq!(level(&many), Level::Pass);
}

#[test]
fn a_reload_that_changes_shares_fails_where_they_are_required_and_one_that_keeps_them_passes() {
    let trial = |later: fn(u16) -> u16| {
        let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin));
        trial.drill.kind = Drill::Graceful;
        for turn in 0..4_000u16 {
            let backend = if turn < 1_000 { turn % 3 } else { later(turn) };
            trial.send(0, backend, u64::from(turn) * 1_000);
        }
        let at = Moment(1_000_000_000);
        trial.drill.steps = vec![StepSpan { backend: None, begun: at, ended: at, is_done: true, is_rough: false }];
        trial
    };
    let found = |trial: &RuleTrial| trial.judge_by(|case| judge(case).1.map(|finding| finding.level));
    let weighted = |turn: u16| [0, 0, 0, 1, 2][usize::from(turn % 5)];
    assert_eq!(found(&trial(weighted)), None);
    assert_eq!(found(&requiring("even", trial(weighted))), Some(Level::Fail));
    assert_eq!(found(&requiring("even", trial(|turn| turn % 3))), Some(Level::Pass));
    // Ended before the balancer had its new processes: nothing is known of them.
    let mut short = requiring("even", trial(weighted));
    short.drill.steps[0].ended = Moment(3_500_000_000);
    assert_eq!(found(&short), Some(Level::Inconclusive));
}

#[test]
fn as_many_as_are_said_to_be_needed_suffice() {
    let needed = |trial: &RuleTrial| {
        trial.judge_by(|case| match judge(case).1.expect("there are shares").facts {
            finding::Facts::Shares(facts) => facts.needed,
            other => panic!("{other:?}"),
        })
    };
    let drawn = |count| RuleTrial::of(3, Some(Algorithm::Random)).sends(draws(&[1, 1, 1], count, 1));
    let enough = needed(&drawn(2_000)).expect("2,000 draws are too few");
    assert_eq!((level(&drawn(2_000)), level(&drawn(enough as usize))), (Level::Inconclusive, Level::Pass));
    assert_eq!(needed(&drawn(enough as usize)), None);
    let rotating = |count| RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends(turns(count));
    let enough = needed(&rotating(60)).expect("60 requests of a rotation are too few");
    assert_eq!((level(&rotating(60)), level(&rotating(enough as u16))), (Level::Inconclusive, Level::Pass));
}

#[test]
fn what_the_only_rotation_showed_in_experiments_counts_as_well_where_it_has_the_expected_shares() {
    let mut few = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends(turns(30));
    assert_eq!(level(&few), Level::Inconclusive);
    few.inference.rotations = Some(1);
    few.inference.weights = (0..3).map(|place| (Backend(place), 1)).collect();
    let order = OrderFacts::Turns { length: 3, round: Vec::new(), exceptions: 0 };
    let facts = ExperimentFacts::NewConnections { requests: 600, order };
    few.inference.evidence = vec![ExperimentResult { facts, excludes: Vec::new() }];
    assert_eq!(level(&few), Level::Pass);
    assert_eq!(level(&requiring("2:1:1", few.clone())), Level::Inconclusive);
    few.inference.exceptions = 1;
    assert_eq!(level(&few), Level::Inconclusive);
}

#[test]
fn what_is_far_more_even_than_draws_passes_whatever_selects_and_a_slight_bias_does_not() {
    // Turns that overtake each other, as many requests at once do.
    let jittered = |backend: fn(usize) -> u16| {
        let mut turns: Vec<(usize, u16)> = (0..900).map(|turn| (turn + turn * 7 % 23, backend(turn))).collect();
        turns.sort();
        requiring("even", RuleTrial::of(3, None).sends(turns.into_iter().map(|(_, backend)| backend)))
    };
    assert_eq!(level(&jittered(|turn| (turn % 3) as u16)), Level::Pass);
    assert_eq!(level(&jittered(|turn| if turn % 25 == 0 { 0 } else { (turn % 3) as u16 })), Level::Inconclusive);
    let drawn = requiring("even", RuleTrial::of(3, None).sends(draws(&[1, 1, 1], 900, 3)));
    assert_eq!(level(&drawn), Level::Inconclusive);
}

#[test]
fn few_requests_suffice_where_all_is_wrong() {
    let trial = requiring("even", RuleTrial::of(3, None).sends([0; 25]));
    assert_eq!(trial.failures(), ["shares"]);
    let trial = requiring("even", RuleTrial::of(3, None).sends(draws(&[20, 20, 1], 120, 5)));
    assert_eq!(level(&trial), Level::Fail);
}

#[test]
fn a_backend_that_gets_nothing_fails_once_and_what_is_wrong_beside_it_fails_too() {
    let failures = |weights: &[u32]| {
        let trial = requiring("even", RuleTrial::of(4, None).sends(draws(weights, 3_000, 7)));
        let mut failures = trial.failures();
        failures.sort_unstable();
        failures
    };
    assert_eq!(failures(&[1, 1, 1, 0]), ["reach"]);
    assert_eq!(failures(&[1, 1, 0, 0]), ["reach"]);
    assert_eq!(failures(&[3, 1, 1, 0]), ["reach", "shares"]);
}

/// A host a backend, whose clocks agree to plus or minus so much.
fn on_hosts(microseconds: u64, mut trial: RuleTrial) -> RuleTrial {
    let half_width = Duration::from_micros(microseconds);
    trial.fleet.clocks = (0..3).map(|host| RecordClock { host, half_width }).collect();
    trial
}

#[test]
fn retries_whose_order_clocks_do_not_tell_accuse_no_balancer() {
    // Each third fails at the first backend and is tried again at the second, whose clock makes that look like the first attempt.
    let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin));
    for turn in 0..3000u64 {
        trial.send(0, [1, 1, 2][turn as usize % 3], turn * 1000);
        if turn % 3 == 0 {
            trial.after_failure_at(0);
            let failed = trial.arrivals.last_mut().unwrap();
            failed.received = Moment(failed.received.0 + 20_000);
        }
    }
    assert_eq!(level(&trial), Level::Fail, "the order of these times is wrong");
    assert_eq!(level(&on_hosts(5, trial.clone())), Level::Fail, "clocks that claim to agree are believed");
    assert_eq!(level(&on_hosts(20, trial)), Level::Inconclusive);
}

#[test]
fn a_backend_that_was_started_again_meanwhile_accuses_no_balancer() {
    let turns = (0..3000u16).map(|turn| if turn < 600 { turn % 3 } else { turn % 2 });
    let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends(turns);
    assert_eq!(level(&trial), Level::Fail);
    trial.fleet.fleets.unsteady = vec!["9003".to_owned()];
    assert_eq!(level(&trial), Level::Inconclusive);
}

#[test]
fn a_backend_that_failed_before_and_lacks_nothing_is_no_excuse() {
    let of = |turns: &[u16]| {
        let mut trial = requiring("even", RuleTrial::new().sends(turns.iter().copied()));
        trial.fleet.fleets.unsteady = vec!["9003".to_owned()];
        match trial.judge_by(|case| judge(case).1.expect("there are shares").facts) {
            finding::Facts::Shares(facts) => facts.conclusion,
            other => panic!("{other:?}"),
        }
    };
    let whole = |count: usize| -> Vec<u16> { (0..count).map(|turn| [0, 1, 2][turn % 3]).collect() };
    let lacking = |count: usize| -> Vec<u16> { (0..count).map(|turn| [0, 1, 2, 0, 1][turn % 5]).collect() };
    assert_eq!(of(&whole(30)), Conclusion::TooFew);
    // Of so few that may be chance; of many it is what the balancer does, perhaps by right.
    assert_eq!(of(&lacking(30)), Conclusion::TooFew);
    assert_eq!(of(&lacking(3_000)), Conclusion::Avoided);
}

#[test]
fn of_the_only_backend_that_got_requests_there_are_no_others_to_compare() {
    let test_of = |turns: &[u16]| {
        let mut trial = requiring("even", RuleTrial::new().sends(turns.iter().copied()));
        for _ in 0..100 {
            trial.failed(ClientOutcome::Reset, false);
        }
        match trial.judge_by(|case| judge(case).1.expect("there are shares").facts) {
            finding::Facts::Shares(facts) => (facts.conclusion, facts.test.is_some()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(test_of(&[0; 300]), (Conclusion::Disturbed, false));
    let two: Vec<u16> = (0..300).map(|turn| turn % 2).collect();
    assert_eq!(test_of(&two), (Conclusion::Disturbed, true));
}

#[test]
fn a_few_retries_in_an_unknown_order_hide_no_wrong_shares() {
    let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin)).sends((0..30_000).map(|turn| [0, 0, 1, 2][turn % 4]));
    for turn in 0..20 {
        trial.send(0, 1, 40_000 + turn * 1000).after_failure_at(2);
    }
    let trial = on_hosts(20, requiring("even", trial));
    assert_eq!(trial.judge_by(|case| case.tally.unordered), 20);
    assert_eq!(level(&trial), Level::Fail);
}

#[test]
fn turns_that_others_took_are_not_missing() {
    let of = |is_taken: bool| {
        let mut trial = RuleTrial::new();
        for turn in 0..6000 {
            if turn % 30 != 2 {
                trial.delivered(turn % 3, 200);
            } else if is_taken {
                trial.other(2);
            }
        }
        level(&requiring("even", trial))
    };
    assert_eq!((of(true), of(false)), (Level::Inconclusive, Level::Fail));
}

/// A configuration whose method promises nothing has 9001 and 9002.
fn listing(listed: &[&str], sends: impl Iterator<Item = u16>) -> RuleTrial {
    let mut trial = RuleTrial::of(3, Some(Algorithm::LeastConnections)).sends(sends);
    trial.expectations.algorithm = Some(Algorithm::LeastConnections);
    trial.expectations.listed = listed.iter().map(|name| (*name).to_owned()).collect();
    trial
}

#[test]
fn a_backend_that_the_configuration_does_not_list_may_get_nothing_whatever_the_method() {
    assert_eq!(level(&listing(&["9001", "9002"], turns(300))), Level::Fail);
    // Its own backends may share requests as they like.
    assert_eq!(level(&listing(&["9001", "9002"], turns(300).map(|turn| turn % 2))), Level::Note);
    assert_eq!(level(&listing(&["9001", "9002", "9003"], turns(300))), Level::Note);
    assert_eq!(level(&listing(&[], turns(300))), Level::Note);
    // Places that are no backends of ours stand for servers that something else chooses.
    assert_eq!(level(&listing(&["80"], turns(300))), Level::Note);
}

#[test]
fn where_the_list_may_not_be_all_an_unlisted_backend_proves_nothing() {
    let mut by_a_module = listing(&["9001", "9002"], turns(300));
    by_a_module.expectations.not_understood = vec!["a line".to_owned()];
    assert_eq!(level(&by_a_module), Level::Inconclusive);
    // Where the listed ones fail, another place may take over.
    let mut falls_back = listing(&["9001", "9002"], turns(2));
    falls_back.after_failure_at(1);
    assert_eq!(level(&falls_back.sends(turns(300))), Level::Inconclusive);
    let mut mirrored = listing(&["9001", "9002"], turns(300));
    mirrored.expectations.backups = vec!["9003".to_owned()];
    assert_eq!(level(&mirrored), Level::Note);
}
