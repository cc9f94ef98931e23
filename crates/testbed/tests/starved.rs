//! What is inferred on a machine that has no time: requests come late and in another order than they were sent, what is held comes after what was
//! sent beside it, and a balancer counts requests as in flight a moment longer than their clients do.

use std::time::Duration;

use testbed::simulated::{AmongEquals, Picks, Simulated, SimulatedHealth, Stalls};
use verdict::algorithm::experiments::{self, Setting};
use verdict::algorithm::{Algorithm, ExperimentFacts, ExperimentResult, Inference};

/// Each step of a request waits that often, and for that long.
const STALLS: [Option<Stalls>; 3] =
    [None, Some(Stalls { share: 0.2, mean: 8.0 }), Some(Stalls { share: 0.4, mean: 20.0 })];
/// A balancer whose threads wait as well: a request counts that much longer.
const LINGERS: Option<Stalls> = Some(Stalls { share: 0.2, mean: 10.0 });

fn infer(backends: usize, picks: &Picks, seed: u64, with: &dyn Fn(&mut Simulated)) -> Inference {
    let mut subject = Simulated::new(backends, picks.clone(), 1, seed);
    with(&mut subject);
    let setting = Setting {
        backends: Some(backends),
        can_hold: true,
        is_followed: true,
        budget: Duration::from_secs(20),
        ..Setting::default()
    };
    let mut evidence = experiments::run(&mut subject, &setting);
    subject.complete(&mut evidence);
    evidence.infer(&["a", "b", "c"].map(str::to_owned))
}

#[test]
fn strict_turns_are_named_however_busy_the_machine_is() {
    for (backends, picks, truth) in [
        (2, Picks::Turns(vec![1; 2]), Algorithm::RoundRobin),
        (3, Picks::Turns(vec![1; 3]), Algorithm::RoundRobin),
        (5, Picks::Turns(vec![1; 5]), Algorithm::RoundRobin),
        (3, Picks::Turns(vec![5, 1, 1]), Algorithm::WeightedRoundRobin),
        (3, Picks::Blocks(vec![3, 2, 1]), Algorithm::WeightedRoundRobin),
    ] {
        for (stalls, speed) in STALLS.into_iter().flat_map(|stalls| [(stalls, 0.3), (stalls, 15.0)]) {
            for seed in 1..=10 {
                let seen = infer(backends, &picks, seed, &|subject| {
                    (subject.stalls, subject.lingers) = (stalls, LINGERS);
                    subject.speed = vec![speed; backends];
                });
                // A round of weights is longer, and takes more time than there is where each request takes 40 ms.
                let may_be_open = truth == Algorithm::WeightedRoundRobin && speed > 1.0 && stalls == STALLS[2];
                let is_named = seen.certain() == Some(truth) || may_be_open && seen.candidates().contains(&truth);
                assert!(is_named, "{picks:?} {stalls:?} {speed} ms, {seed}: {seen:#?}");
            }
        }
    }
}

#[test]
fn what_looks_at_load_or_time_is_never_named_a_rotation() {
    let by_weight = |among_equals| Picks::LeastPerWeight { weights: vec![5, 1, 1], among_equals };
    for (picks, truth) in [
        (Picks::LeastInTurns, Algorithm::LeastConnections),
        (by_weight(AmongEquals::ByWeight), Algorithm::LeastConnections),
        (by_weight(AmongEquals::InTurn), Algorithm::LeastConnections),
        (Picks::LeastWeighted(vec![5, 1, 1]), Algorithm::LeastConnections),
        (Picks::LeastWeighted(vec![10, 1, 1]), Algorithm::LeastConnections),
        (Picks::LeastTime { quick: 0.0 }, Algorithm::LeastTime),
        (Picks::LeastTime { quick: 20.0 }, Algorithm::LeastTime),
    ] {
        for (stalls, lingers) in STALLS.into_iter().flat_map(|stalls| [(stalls, None), (stalls, stalls.and(LINGERS))]) {
            for seed in 1..=20 {
                let busy = |subject: &mut Simulated| (subject.stalls, subject.lingers) = (stalls, lingers);
                let seen = infer(3, &picks, seed, &busy);
                let what = format!("{picks:?} {stalls:?} {lingers:?} {seed}");
                let rotates = matches!(seen.certain(), Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin));
                assert!(!rotates, "{what}: {seen:#?}");
                let is_open = seen.kind.is_none() || seen.candidates().contains(&truth);
                assert!(is_open, "{what}: {seen:#?}");
                let is_excluded = seen.evidence.iter().any(|experiment| experiment.excludes.contains(&truth));
                assert!(!is_excluded, "{what}: {seen:#?}");
            }
        }
    }
}

#[test]
fn two_workers_that_count_apart_are_no_two_choices() {
    // Seeds of which some were once named so, as one request in ten counts as in flight a little longer.
    for seed in [87, 185, 236].into_iter().chain(1..=20) {
        let mut subject = Simulated::new(3, Picks::LeastInTurns, 2, seed);
        (subject.is_apart, subject.stalls) = (true, STALLS[1]);
        subject.lingers = Some(Stalls { share: 0.1, mean: 10.0 });
        let budget = Duration::from_secs(20);
        let setting = Setting {
            backends: Some(3),
            can_hold: true,
            has_body: true,
            is_followed: true,
            budget,
            ..Setting::default()
        };
        let mut evidence = experiments::run(&mut subject, &setting);
        subject.complete(&mut evidence);
        let seen = evidence.infer(&[]);
        assert_ne!(seen.certain(), Some(Algorithm::TwoChoices), "{seed}: {seen:#?}");
    }
}

#[test]
fn a_worker_that_holds_for_itself_does_not_prove_that_load_is_ignored() {
    // Connections come to the workers in batches: all turns of a while are those of one, and what is held may be at another.
    for batch in [40, 64, 100, 1000] {
        for seed in 1..=20 {
            let mut subject = Simulated::new(3, Picks::LeastInTurns, 2, seed);
            (subject.is_apart, subject.batches) = (true, Some(batch));
            let budget = Duration::from_secs(20);
            let setting = Setting { backends: Some(3), can_hold: true, budget, ..Setting::default() };
            let mut evidence = experiments::run(&mut subject, &setting);
            subject.complete(&mut evidence);
            let seen = evidence.infer(&[]);
            assert_ne!(seen.certain(), Some(Algorithm::RoundRobin), "{batch} {seed}: {seen:#?}");
        }
    }
}

#[test]
fn many_workers_that_hold_for_themselves_are_no_rotation_where_something_disturbs() {
    // One worker of many knows of a request that is held: hardly anything less comes to its backend, and what disturbs hides the rotations.
    let disturbances: [fn(&mut Simulated); 5] = [
        |it| it.others = 0.02,
        |it| it.others = 1.0,
        |it| it.drops = Some((100, true)),
        |it| it.health[1] = SimulatedHealth::Closes(0.1),
        |it| (it.stalls, it.lingers) = (STALLS[1], LINGERS),
    ];
    for (place, disturb) in disturbances.iter().enumerate() {
        for (workers, seed) in [16, 32].into_iter().flat_map(|workers| (1..=10).map(move |seed| (workers, seed))) {
            let seen = infer(3, &Picks::LeastInTurns, seed, &|subject| {
                *subject = Simulated::new(3, Picks::LeastInTurns, workers, seed);
                subject.is_apart = true;
                disturb(subject);
            });
            let is_excluded = |of: &ExperimentResult| of.excludes.contains(&Algorithm::LeastConnections);
            assert!(!seen.evidence.iter().any(is_excluded), "{place} {workers} {seed}: {seen:#?}");
        }
    }
}

#[test]
fn many_workers_with_weights_are_told_from_those_that_look_at_load() {
    let by_weight = Picks::LeastPerWeight { weights: vec![5, 1, 1], among_equals: AmongEquals::ByWeight };
    for (picks, truth) in
        [(Picks::Turns(vec![5, 1, 1]), Algorithm::WeightedRoundRobin), (by_weight, Algorithm::LeastConnections)]
    {
        for (workers, seed) in [2, 16].into_iter().flat_map(|workers| (1..=10).map(move |seed| (workers, seed))) {
            let seen = infer(3, &picks, seed, &|subject| {
                *subject = Simulated::new(3, picks.clone(), workers, seed);
                subject.is_apart = true;
            });
            let is_named = seen.certain() == Some(truth) || truth == Algorithm::LeastConnections;
            let is_open = seen.kind.is_none() || seen.candidates().contains(&truth);
            assert!(is_named && is_open, "{picks:?} {workers} {seed}: {seen:#?}");
        }
    }
}

#[test]
fn who_is_sticky_is_not_excluded_where_backends_take_one_request_at_a_time() {
    for seed in 1..=5 {
        let seen = infer(3, &Picks::Sticky { forgets: 0.0 }, seed, &|subject| {
            (subject.speed, subject.limit) = (vec![50.0; 3], Some(1));
        });
        assert!(seen.kind.is_none() || seen.candidates().contains(&Algorithm::Sticky), "{seed}: {seen:#?}");
    }
}

#[test]
fn connections_in_turns_go_on_beside_one_that_is_busy() {
    for seed in 1..=10 {
        let seen = infer(3, &Picks::Connections, seed, &|_| {});
        assert_eq!((seen.certain(), seen.per_connection), (Some(Algorithm::RoundRobin), true), "{seen:#?}");
    }
}

#[test]
fn turns_that_are_known_need_few_requests_more() {
    let seen = infer(3, &Picks::Turns(vec![1; 3]), 1, &|_| {});
    let beside = seen.evidence.iter().find_map(|experiment| match experiment.facts {
        ExperimentFacts::TurnsBeside { held, requests, to_busy, left } => Some((held, requests, to_busy, left)),
        _ => None,
    });
    // Of the five rounds three are enough, whichever backend turns out to fail.
    assert_eq!(beside, Some((5, 60, 20, 0)), "{seen:#?}");
}
