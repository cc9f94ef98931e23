//! What is inferred and judged, held against simulated balancers whose truth is known.

use std::time::Duration;

use testbed::passage::{TwoCells, certain_by, fewest, percentile};
use testbed::simulated::{AmongEquals, Chance, Picks, Simulated, SimulatedHealth};
use verdict::algorithm::experiments::{self, Pace, ProbeRequest, Setting, Subject};
use verdict::algorithm::{Algorithm, Inference, Key, Selection};
use verdict::observation::Backend;

/// What is inferred of a balancer, with a sample of `sample` requests over 64 connections.
fn infer(backends: usize, picks: Picks, rotations: usize, seed: u64, sample: usize) -> Inference {
    infer_of(Simulated::new(backends, picks, rotations, seed), seed, sample)
}

fn infer_of(mut subject: Simulated, seed: u64, sample: usize) -> Inference {
    let (backends, rotations) = (subject.backends, subject.rotations);
    let (known, budget) = (Some(backends), Duration::from_secs(20));
    let setting = Setting { backends: known, can_hold: true, is_followed: sample > 0, budget, ..Setting::default() };
    let mut evidence = experiments::run(&mut subject, &setting);
    let mut chance = Chance::of(seed ^ 77);
    let order: Vec<Backend> = (0..sample)
        .map(|_| Backend(subject.pick(chance.below(rotations), &ProbeRequest::default()).0 as u16))
        .collect();
    if sample > 0 {
        evidence.sample = order;
    }
    subject.complete(&mut evidence);
    let names: Vec<String> = (0..backends).map(|place| (9001 + place).to_string()).collect();
    evidence.infer(&names)
}

fn named(
    backends: usize,
    picks: &Picks,
    rotations: usize,
    runs: u64,
    sample: usize,
) -> Vec<(Option<Algorithm>, Vec<Algorithm>)> {
    (1..=runs)
        .map(|seed| {
            let inference = infer(backends, picks.clone(), rotations, seed, sample);
            (inference.kind, inference.or)
        })
        .collect()
}

#[track_caller]
fn always(backends: usize, picks: Picks, rotations: usize, kind: Algorithm) {
    for seen in named(backends, &picks, rotations, 8, 20_000) {
        assert_eq!(seen, (Some(kind), vec![]), "{backends} backends, {picks:?}, {rotations} rotations");
    }
}

#[test]
fn turns_are_round_robin_with_any_number_of_rotations() {
    for backends in [2, 3, 5, 10] {
        for rotations in [1, 2, 4, 16] {
            always(backends, Picks::Turns(vec![1; backends]), rotations, Algorithm::RoundRobin);
        }
    }
    always(3, Picks::Permutations, 1, Algorithm::RoundRobin);
}

#[test]
fn cursors_that_get_connections_in_turns_are_not_taken_for_one() {
    for batches in [1, 4, 32] {
        for seed in 1..=10 {
            let mut subject = Simulated::new(3, Picks::Turns(vec![1; 3]), 2, seed);
            subject.batches = Some(batches);
            let inference = infer_of(subject, seed, 20_000);
            let seen = (inference.kind, inference.rotations);
            assert_eq!(seen, (Some(Algorithm::RoundRobin), Some(2)), "{batches}: {:?}", inference.evidence);
        }
    }
}

#[test]
fn connections_that_keep_to_a_backend_are_no_sign_of_load() {
    for every in [5, 8, 13, 16, 50] {
        for (seed, rotations) in (1..=8).zip([1, 4].into_iter().cycle()) {
            let mut subject = Simulated::new(3, Picks::Turns(vec![1; 3]), rotations, seed);
            subject.strays = Some(every);
            let seen = infer_of(subject, seed, 0);
            let by_load = seen.candidates().iter().all(|it| it.follows_load());
            assert!(!by_load && seen.certain() != Some(Algorithm::RoundRobin), "{every} {rotations} {seed}: {seen:#?}");
            let is_excluded = seen.evidence.iter().any(|it| it.excludes.contains(&Algorithm::RoundRobin));
            assert!(!is_excluded, "{every} {rotations} {seed}: {seen:#?}");
        }
    }
}

#[test]
fn a_rotation_that_is_often_left_is_not_several() {
    for share in [0.02, 0.05, 0.1] {
        for seed in 1..=8 {
            let seen = infer(3, Picks::Doubles(share), 1, seed, 3_000);
            let left = seen.breaks.as_ref().map_or(0, |breaks| breaks.at.len());
            assert!(left >= 2 && seen.rotations.is_none_or(|it| it == 1), "{share} {seed}: {seen:#?}");
        }
    }
}

#[test]
fn a_canary_by_chance_leaves_the_rotation_of_the_others_known() {
    for (share, backends) in [0.03, 0.1].into_iter().flat_map(|share| [(share, 3), (share, 4)]) {
        for seed in 1..=8 {
            let seen = infer(backends, Picks::Canary(share), 1, seed, 3_000);
            let is_beside = matches!(&seen.selection, Selection::RotationBesides { others, .. } if others.len() == 1);
            assert!(is_beside && seen.kind.is_none(), "{share} {backends} {seed}: {seen:#?}");
        }
    }
}

#[test]
fn a_balancer_that_serves_few_connections_is_named_all_the_same() {
    for (picks, truth) in [
        (Picks::Turns(vec![1; 3]), Algorithm::RoundRobin),
        (Picks::LeastInTurns, Algorithm::LeastConnections),
        (Picks::Source { network_only: true }, Algorithm::Source),
    ] {
        let mut subject = Simulated::new(3, picks, 1, 5);
        let (backends, budget) = (Some(3), Duration::from_secs(20));
        let setting = Setting { backends, can_hold: true, connections: Some(5), budget, ..Setting::default() };
        let mut evidence = experiments::run(&mut subject, &setting);
        subject.complete(&mut evidence);
        let seen = evidence.infer(&[]);
        assert_eq!(seen.certain(), Some(truth), "{seen:#?}");
        assert!(!seen.is_unit_known && !seen.per_connection, "{seen:#?}");
        assert!(evidence.connections.rows.is_empty() && evidence.rotations.is_none());
    }
}

#[test]
fn chance_is_told_from_many_cursors_also_without_a_sample() {
    for seed in 1..=15 {
        let chance = infer(3, Picks::Random(vec![1.0; 3]), 1, seed, 0);
        assert_eq!((chance.kind, chance.or), (Some(Algorithm::Random), vec![]), "{:?}", chance.evidence);
        let rotations = infer(3, Picks::Turns(vec![1; 3]), 16, seed, 0);
        assert_eq!((rotations.kind, rotations.or), (Some(Algorithm::RoundRobin), vec![]), "{:?}", rotations.evidence);
    }
}

#[test]
fn cursors_are_counted() {
    for rotations in [1, 2, 4] {
        let inference = infer(3, Picks::Turns(vec![1; 3]), rotations, 5, 20_000);
        assert_eq!(inference.rotations, Some(rotations as u32), "{:?}", inference.evidence);
    }
}

#[test]
fn weighted_turns_are_recognised_and_their_weights_told() {
    always(3, Picks::Turns(vec![5, 1, 1]), 1, Algorithm::WeightedRoundRobin);
    always(3, Picks::Turns(vec![5, 1, 1]), 2, Algorithm::WeightedRoundRobin);
    always(3, Picks::Blocks(vec![5, 1, 1]), 1, Algorithm::WeightedRoundRobin);
    let inference = infer(3, Picks::Turns(vec![10, 2, 2]), 1, 1, 20_000);
    let weights: Vec<u32> = inference.weights.iter().map(|(_, weight)| *weight).collect();
    assert_eq!(weights, [5, 1, 1]);
}

#[test]
fn chance_is_random_whatever_the_shares() {
    always(3, Picks::Random(vec![1.0; 3]), 1, Algorithm::Random);
    always(2, Picks::Random(vec![0.52, 0.48]), 1, Algorithm::Random);
    always(3, Picks::Random(vec![5.0, 1.0, 1.0]), 4, Algorithm::Random);
    for (kind, or) in named(10, &Picks::Random(vec![1.0; 10]), 1, 8, 20_000) {
        // One sample in ten thousand looks as if it were not chance.
        assert_eq!(kind, Some(Algorithm::Random), "{or:?}");
    }
}

#[test]
fn what_follows_load_is_told_from_what_does_not() {
    for backends in [2, 3, 5] {
        always(backends, Picks::LeastInTurns, 1, Algorithm::LeastConnections);
        always(backends, Picks::LeastFirst, 1, Algorithm::LeastConnections);
        // As NGINX, whose quick answers all count alike, and as Traefik, in which those of less than a millisecond count nothing.
        always(backends, Picks::LeastTime { quick: 20.0 }, 1, Algorithm::LeastTime);
        always(backends, Picks::LeastTime { quick: 0.0 }, 1, Algorithm::LeastTime);
        for (kind, or) in named(backends, &Picks::Soonest, 1, 8, 20_000) {
            assert!(kind.into_iter().chain(or).any(|it| it == Algorithm::LeastTime), "{backends}: {kind:?}");
        }
    }
    for backends in [3, 5, 9, 10] {
        always(backends, Picks::LeastByChance, 1, Algorithm::LeastConnections);
        always(backends, Picks::TwoDistinct, 1, Algorithm::TwoChoices);
        always(backends, Picks::TwoWithReplacement, 1, Algorithm::TwoChoices);
    }
}

#[test]
fn two_choices_of_two_are_least_connections() {
    // With two backends both are always compared.
    for (kind, or) in named(2, &Picks::TwoDistinct, 1, 20, 20_000) {
        assert_eq!((kind, or), (Some(Algorithm::LeastConnections), vec![Algorithm::TwoChoices]));
    }
}

/// The weights of the rotation that is named; none of equal ones, or where none is named.
fn weights(seen: &Inference) -> &[u32] {
    match &seen.selection {
        Selection::Rotation { weights, .. } => weights,
        _ => &[],
    }
}

#[test]
fn what_it_keys_on_is_found() {
    for backends in [2, 3, 7] {
        always(backends, Picks::Source { network_only: true }, 2, Algorithm::Source);
        always(backends, Picks::Source { network_only: false }, 1, Algorithm::Source);
        always(backends, Picks::Uri, 1, Algorithm::Uri);
        always(backends, Picks::UriFront, 1, Algorithm::Uri);
        always(backends, Picks::Header("X-User"), 1, Algorithm::Header);
        always(backends, Picks::Cookie("session"), 1, Algorithm::Cookie);
    }
    let inference = infer(3, Picks::Header("X-Api-Key"), 1, 3, 0);
    let key = Key::Header("X-Api-Key".to_owned());
    assert_eq!(inference.selection, Selection::ByKey { key, others_spread: false });
    let inference = infer(3, Picks::Source { network_only: true }, 1, 3, 0);
    assert_eq!(inference.selection, Selection::ByNetwork);
}

#[test]
fn a_cookie_of_the_balancer_makes_it_sticky_even_if_it_forgets_now_and_then() {
    always(3, Picks::Sticky { forgets: 0.0 }, 1, Algorithm::Sticky);
    always(3, Picks::Sticky { forgets: 0.005 }, 1, Algorithm::Sticky);
    always(2, Picks::GivenCookie, 1, Algorithm::Cookie);
    always(3, Picks::GivenCookie, 1, Algorithm::Cookie);
}

#[test]
fn connections_that_are_balanced_are_told_from_requests() {
    let inference = infer(3, Picks::Connections, 1, 3, 0);
    assert_eq!(
        (inference.kind, inference.per_connection),
        (Some(Algorithm::RoundRobin), true),
        "{:?}",
        inference.evidence
    );
    always(3, Picks::One, 1, Algorithm::One);
}

/// A balancer before backends as they really are. The sample goes over 32 connections at once.
fn infer_at(backends: usize, picks: &Picks, rotations: usize, seed: u64, with: &dyn Fn(&mut Simulated)) -> Inference {
    let mut subject = Simulated::new(backends, picks.clone(), rotations, seed);
    with(&mut subject);
    let budget = Duration::from_secs(20);
    let setting = Setting {
        backends: Some(backends),
        can_hold: true,
        has_body: true,
        is_followed: true,
        budget,
        ..Setting::default()
    };
    let mut evidence = experiments::run(&mut subject, &setting);
    assert!(subject.elapsed() < Duration::from_secs(30), "{picks:?}: {:?} {:#?}", subject.elapsed(), evidence.missing);
    subject.complete(&mut evidence);
    subject.jitter = 0.0;
    let pace = Pace { width: 32, gap: Duration::ZERO, until: Duration::MAX };
    let replies = subject.send_all(&vec![ProbeRequest::default(); 2_000], &pace);
    if !evidence.infer(&[]).kind.is_some_and(Algorithm::pins) {
        subject.add_sample(&mut evidence, replies);
    }
    let names: Vec<String> = (0..backends).map(|place| (9001 + place).to_string()).collect();
    evidence.infer(&names)
}

/// The name, or an open question that holds the name; never another.
#[track_caller]
fn never_wrong(
    picks: &Picks,
    rotations: usize,
    truth: Algorithm,
    runs: u64,
    what: &str,
    with: &dyn Fn(&mut Simulated),
) -> u64 {
    let mut named = 0;
    for seed in 1..=runs {
        let seen = infer_at(3, picks, rotations, seed, with);
        let known = seen.kind == Some(truth) && seen.or.is_empty();
        let open = seen.kind == Some(truth) || seen.kind.is_none() || seen.or.contains(&truth);
        assert!(known || open, "{picks:?}, {what}, seed {seed}: {seen:#?}");
        if std::env::var_os("SHOW").is_some() && !known {
            eprintln!("{picks:?}, {what}: {:?} or {:?}: {:?} {:#?}", seen.kind, seen.or, seen.selection, seen.evidence);
        }
        named += u64::from(known);
    }
    named
}

fn all() -> [(Picks, usize, Algorithm); 16] {
    [
        (Picks::Turns(vec![1; 3]), 1, Algorithm::RoundRobin),
        (Picks::Turns(vec![1; 3]), 4, Algorithm::RoundRobin),
        (Picks::Permutations, 1, Algorithm::RoundRobin),
        (Picks::Turns(vec![5, 1, 1]), 1, Algorithm::WeightedRoundRobin),
        (Picks::Random(vec![1.0; 3]), 1, Algorithm::Random),
        (Picks::Random(vec![36.0, 29.0, 35.0]), 1, Algorithm::Random),
        (Picks::LeastInTurns, 1, Algorithm::LeastConnections),
        (Picks::LeastByChance, 1, Algorithm::LeastConnections),
        (Picks::LeastFirst, 1, Algorithm::LeastConnections),
        (Picks::TwoDistinct, 1, Algorithm::TwoChoices),
        (Picks::TwoWithReplacement, 1, Algorithm::TwoChoices),
        (Picks::Source { network_only: true }, 1, Algorithm::Source),
        (Picks::Uri, 1, Algorithm::Uri),
        (Picks::Body, 1, Algorithm::Body),
        (Picks::Header("X-User"), 1, Algorithm::Header),
        (Picks::Sticky { forgets: 0.0 }, 1, Algorithm::Sticky),
    ]
}

/// What must be named, not only left open.
fn is_named(picks: &Picks, rotations: usize) -> bool {
    match picks {
        // Of weights side by side it stays open whether what is in flight counts.
        Picks::Turns(weights) => rotations == 1 && weights.iter().all(|weight| *weight == weights[0]),
        Picks::Permutations => rotations == 1,
        // All to one where responses take their time is what the fastest gets too.
        Picks::LeastInTurns | Picks::LeastByChance => true,
        Picks::Source { .. } | Picks::Uri | Picks::Body | Picks::Header(_) | Picks::Sticky { .. } => true,
        _ => false,
    }
}

#[test]
fn slow_services_get_names_too_and_within_their_time() {
    for milliseconds in [20.0, 50.0, 250.0, 1000.0] {
        for (picks, rotations, truth) in all() {
            let what = format!("{milliseconds} ms");
            let slow = |subject: &mut Simulated| subject.speed = vec![milliseconds; 3];
            let named = never_wrong(&picks, rotations, truth, 4, &what, &slow);
            // A busy backend that chance leaves out once looks as if it were remembered.
            let least = if picks == Picks::LeastByChance { 3 } else { 4 };
            assert!(named >= least || !is_named(&picks, rotations), "{picks:?}, {what}: {named} of 4");
        }
    }
}

#[test]
fn unequal_speeds_give_no_wrong_name() {
    for speeds in [[10.0, 100.0, 10.0], [0.3, 20.0, 0.3], [1.0, 1300.0, 1.0]] {
        for (picks, rotations, truth) in all() {
            let unequal = |subject: &mut Simulated| subject.speed = speeds.to_vec();
            never_wrong(&picks, rotations, truth, 4, &format!("{speeds:?}"), &unequal);
        }
    }
}

#[test]
fn a_dead_or_failing_backend_gives_no_wrong_name() {
    for speed in [0.3, 100.0] {
        for health in [SimulatedHealth::Dead, SimulatedHealth::Closes(0.1), SimulatedHealth::Closes(1.0)] {
            for (retries, fail_timeout) in [(false, 0.0), (true, 0.0), (true, 10_000.0)] {
                for (picks, rotations, truth) in all() {
                    let what = format!("{speed} ms, {health:?}, retries {retries}, out for {fail_timeout} ms");
                    let broken = |subject: &mut Simulated| {
                        subject.speed = vec![speed; 3];
                        subject.health[1] = health;
                        (subject.retries, subject.fail_timeout) = (retries, fail_timeout);
                    };
                    never_wrong(&picks, rotations, truth, 2, &what, &broken);
                }
            }
        }
    }
}

#[test]
fn rotation_before_a_dead_backend_is_named_also_where_nothing_is_retried() {
    for health in [SimulatedHealth::Dead, SimulatedHealth::Closes(0.1)] {
        for retries in [false, true] {
            let broken = |subject: &mut Simulated| {
                subject.health[1] = health;
                subject.retries = retries;
            };
            for seed in 1..=4 {
                let seen = infer_at(3, &Picks::Turns(vec![1; 3]), 1, seed, &broken);
                assert_eq!(seen.kind, Some(Algorithm::RoundRobin), "{health:?} {retries} {seen:#?}");
                assert!(seen.rotations.is_none_or(|rotations| rotations == 1), "{seen:#?}");
            }
        }
    }
}

#[test]
fn requests_of_others_and_a_starved_machine_give_no_wrong_name() {
    for (others, jitter, speed) in
        [(0.02, 0.0, 0.3), (1.0, 0.0, 0.3), (0.1, 0.0, 100.0), (0.0, 30.0, 100.0), (0.5, 8.0, 30.0)]
    {
        for (picks, rotations, truth) in all() {
            let what = format!("{others} of others, {jitter} ms of jitter");
            let disturbed = |subject: &mut Simulated| {
                (subject.others, subject.jitter) = (others, jitter);
                subject.speed = vec![speed; 3];
            };
            never_wrong(&picks, rotations, truth, 3, &what, &disturbed);
        }
    }
}

#[test]
fn connections_that_are_balanced_are_known_whatever_the_speed() {
    for speed in [0.3, 50.0, 1000.0] {
        for (picks, kind) in
            [(Picks::Connections, Algorithm::RoundRobin), (Picks::RandomConnections, Algorithm::Random)]
        {
            let slow = |subject: &mut Simulated| subject.speed = vec![speed; 3];
            let seen = infer_at(3, &picks, 1, 5, &slow);
            assert!(seen.per_connection, "{seen:#?}");
            let open = speed == 1000.0 && seen.kind.is_none() && seen.or.contains(&kind);
            assert!(open || seen.kind == Some(kind), "{seen:#?}");
        }
    }
}

#[test]
fn two_choices_that_take_the_first_of_equals_are_not_least_connections() {
    for seed in 1..=8 {
        let seen = infer_at(3, &Picks::TwoInOrder, 1, seed, &|_| {});
        assert_eq!(seen.kind, Some(Algorithm::TwoChoices), "{seen:#?}");
    }
}

#[test]
fn bursts_are_no_rotation_and_a_turn_that_is_skipped_is_an_exception() {
    let seen = infer_at(3, &Picks::Bursts(10), 1, 1, &|_| {});
    assert_eq!(seen.kind, None, "{seen:#?}");
    assert!(seen.excludes_others && !seen.or.contains(&Algorithm::RoundRobin), "{seen:#?}");
    let seen = infer_at(3, &Picks::Skips(97), 1, 1, &|_| {});
    assert_eq!(seen.kind, Some(Algorithm::RoundRobin), "{seen:#?}");
    assert!((5..=9).contains(&seen.exceptions), "{seen:#?}");
    assert_eq!(seen.breaks.and_then(|breaks| breaks.every), Some(97));
}

#[test]
fn a_turn_that_is_skipped_now_and_then_passes_for_no_rotation_at_any_speed() {
    for (every, speed) in
        [(97, 0.3), (97, 8.0), (97, 20.0), (97, 50.0), (150, 20.0), (150, 50.0), (211, 0.3), (211, 8.0), (500, 0.3)]
    {
        for seed in 0..5 {
            let slow = |subject: &mut Simulated| subject.speed = vec![speed; 3];
            let seen = infer_at(3, &Picks::Skips(every), 1, seed, &slow);
            assert!(seen.certain().is_none() || seen.breaks.is_some(), "{every}, {speed} ms, {seed}: {seen:#?}");
        }
    }
}

#[test]
fn connections_that_reach_another_worker_skip_no_turn() {
    for (workers, batch) in [(2, 10), (2, 97), (3, 50), (4, 30), (2, 300)] {
        for speed in [0.3, 8.0, 20.0, 50.0] {
            let with = |subject: &mut Simulated| {
                (subject.batches, subject.speed) = (Some(batch), vec![speed; 3]);
            };
            let seen = infer_at(3, &Picks::Turns(vec![1, 1, 1]), workers, 1, &with);
            assert_eq!(seen.breaks, None, "{workers} workers, {batch} connections each, {speed} ms: {seen:#?}");
        }
    }
}

#[test]
fn what_selects_by_time_is_not_taken_for_what_selects_by_load() {
    for speed in [20.0, 50.0, 100.0, 250.0] {
        for quick in [0.0, 20.0] {
            let slow = |subject: &mut Simulated| subject.speed = vec![speed; 3];
            never_wrong(&Picks::LeastTime { quick }, 1, Algorithm::LeastTime, 4, &format!("{speed} ms"), &slow);
        }
    }
}

#[test]
fn workers_that_count_load_each_for_itself_are_not_taken_for_rotations() {
    for workers in [2, 4, 8, 16] {
        for (picks, truth) in [
            (Picks::LeastInTurns, Algorithm::LeastConnections),
            (Picks::TwoDistinct, Algorithm::TwoChoices),
            (Picks::Turns(vec![1; 3]), Algorithm::RoundRobin),
        ] {
            // The part of one worker in sixteen drowns among draws.
            let is_drawn = workers > 8 && matches!(picks, Picks::TwoDistinct);
            for speed in [0.3, 50.0].into_iter().filter(|_| !is_drawn) {
                let what = format!("{workers} workers, {speed} ms");
                let apart = |subject: &mut Simulated| {
                    subject.speed = vec![speed; 3];
                    subject.is_apart = true;
                };
                let named = never_wrong(&picks, workers, truth, 4, &what, &apart);
                let is_rotation = matches!(picks, Picks::LeastInTurns | Picks::Turns(_));
                assert!(named == 4 || !is_rotation || speed > 1.0, "{picks:?}, {what}: {named} of 4");
            }
        }
    }
}

#[test]
fn bursts_of_uneven_length_are_neither_draws_nor_load() {
    for speed in [0.3, 20.0, 100.0] {
        for seed in 1..=4 {
            let seen = infer_at(3, &Picks::UnevenBursts(10), 1, seed, &|subject| subject.speed = vec![speed; 3]);
            assert_eq!(seen.kind, None, "{speed} ms: {seen:#?}");
            assert_eq!(seen.excludes_others, speed < 100.0, "{speed} ms: {seen:#?}");
        }
    }
}

#[test]
fn without_experiments_nothing_is_named() {
    let mut subject = Simulated::new(3, Picks::Turns(vec![1; 3]), 1, 1);
    let mut evidence = experiments::run(&mut subject, &Setting::default());
    assert!(evidence.fresh.is_empty());
    evidence.sample = (0..300).map(|turn| Backend(turn % 3)).collect();
    let seen = evidence.infer(&[]);
    assert_eq!(seen.kind, None);
    assert!(seen.or.contains(&Algorithm::RoundRobin) && seen.or.contains(&Algorithm::LeastConnections));
}

#[test]
fn a_limit_of_each_backend_is_not_taken_for_a_balance_of_load() {
    let limited = |picks: &Picks, limit: usize, speed: f64, seed: u64| {
        let mut subject = Simulated::new(3, picks.clone(), 1, seed);
        (subject.limit, subject.speed) = (Some(limit), vec![speed; 3]);
        infer_of(subject, seed, 0)
    };
    for seed in 1..=10 {
        for (limit, speed) in [(1, 0.3), (2, 0.3), (1, 60.0), (2, 60.0), (4, 60.0)] {
            let turns = limited(&Picks::Turns(vec![1; 3]), limit, speed, seed);
            assert!(matches!(turns.certain(), None | Some(Algorithm::RoundRobin)), "{limit} {speed}: {turns:#?}");
            if speed < 1.0 {
                // Beyond one at a time a request that is in flight does not fill its backend.
                let (kind, is_open) = (turns.kind, turns.certain().is_none() && turns.remark.is_some());
                assert_eq!((kind, is_open), (Some(Algorithm::RoundRobin), limit == 1), "{limit}: {turns:#?}");
            }
            let chance = limited(&Picks::Random(vec![1.0; 3]), limit, speed, seed);
            assert_ne!(chance.certain(), Some(Algorithm::LeastConnections), "{limit} {speed}: {:#?}", chance.evidence);
            assert_ne!(chance.certain(), Some(Algorithm::TwoChoices), "{limit} {speed}: {:#?}", chance.evidence);
        }
    }
}

#[test]
fn a_rate_at_which_no_backend_is_busy_when_its_turn_comes_tells_nothing_of_load() {
    for seed in 1..=6 {
        for rate in [5.0, 20.0, 50.0, 200.0] {
            let of = |picks: Picks| {
                let mut subject = Simulated::new(3, picks, 1, seed);
                let setting = Setting {
                    backends: Some(3),
                    can_hold: true,
                    rate: Some(rate),
                    budget: Duration::from_secs(30),
                    ..Setting::default()
                };
                let mut evidence = experiments::run(&mut subject, &setting);
                subject.complete(&mut evidence);
                evidence.infer(&[])
            };
            let turns = of(Picks::Turns(vec![1; 3]));
            let wanted = (rate >= 20.0).then_some(Algorithm::RoundRobin);
            assert_eq!(turns.certain(), wanted, "{rate}: {turns:#?}");
            let least = of(Picks::LeastInTurns);
            assert_ne!(least.certain(), Some(Algorithm::RoundRobin), "{rate}: {least:#?}");
            let uri = of(Picks::Uri);
            assert!(uri.certain().is_none_or(|it| it == Algorithm::Uri), "{rate}: {uri:#?}");
            if rate >= 20.0 {
                assert_eq!(least.kind, Some(Algorithm::LeastConnections), "{rate}: {least:#?}");
                assert_eq!(uri.certain(), Some(Algorithm::Uri), "{rate}: {uri:#?}");
            }
        }
    }
}

#[test]
fn requests_that_are_dropped_now_and_then_are_no_turns() {
    for (seed, drops) in
        (1..=6).flat_map(|seed| [(100, false), (100, true), (97, false), (33, true)].map(|it| (seed, it)))
    {
        let of = |picks: Picks, rotations: usize| {
            let mut subject = Simulated::new(3, picks, rotations, seed);
            subject.drops = Some(drops);
            infer_of(subject, seed, 20_000)
        };
        for (picks, rotations) in
            [(Picks::Turns(vec![1; 3]), 1), (Picks::Turns(vec![5, 1, 1]), 1), (Picks::LeastInTurns, 1)]
        {
            let wanted = match &picks {
                Picks::Turns(weights) if weights[0] == 1 => Algorithm::RoundRobin,
                Picks::Turns(_) => Algorithm::WeightedRoundRobin,
                _ => Algorithm::LeastConnections,
            };
            let seen = of(picks.clone(), rotations);
            // Where each 33rd turn is missing, what is left may be weights of 11:11:10.
            let is_open = drops == (33, true) && seen.kind.is_none() && seen.candidates().contains(&wanted);
            assert!(seen.kind == Some(wanted) || is_open, "{picks:?} {drops:?}: {seen:#?}");
            assert!(seen.weights.len() <= 3 && !weights(&seen).contains(&33), "{picks:?} {drops:?}: {seen:#?}");
        }
        let source = of(Picks::Source { network_only: false }, 1);
        assert_eq!(source.certain(), Some(Algorithm::Source), "{drops:?}: {source:#?}");
        let connections = of(Picks::RandomConnections, 1);
        assert!(connections.per_connection, "{drops:?}: {connections:#?}");
    }
}

#[test]
fn a_mirror_into_the_same_fleet_is_not_taken_for_chance() {
    for seed in 1..=10 {
        for share in [0.2, 0.5, 1.0] {
            let mut subject = Simulated::new(3, Picks::Turns(vec![1; 3]), 1, seed);
            subject.copies = share;
            let seen = infer_of(subject, seed, 20_000);
            assert!(matches!(seen.kind, None | Some(Algorithm::RoundRobin)), "{share}: {seen:#?}");
            assert!(seen.candidates().contains(&Algorithm::RoundRobin), "{share}: {seen:#?}");
        }
    }
}

#[test]
fn first_attempts_that_retries_displace_are_no_weights() {
    // Envoy: what is tried again takes the next turn.
    let round = [0u16, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1].map(Backend);
    let picks = (0..600).map(|at| verdict::algorithm::Pick { sequence: at, backend: round[at as usize % round.len()] });
    let mut evidence = verdict::algorithm::Evidence { fresh: picks.collect(), ..Default::default() };
    evidence.kept = evidence.fresh[..150].to_vec();
    assert_eq!(evidence.infer(&[]).kind, Some(Algorithm::WeightedRoundRobin));
    evidence.failing = vec![Backend(2)];
    let seen = evidence.infer(&[]);
    assert!(seen.certain().is_none() && seen.candidates().contains(&Algorithm::RoundRobin), "{seen:#?}");
    assert_ne!(weights(&seen), [5, 5, 4], "{seen:#?}");
}

#[test]
fn a_rotation_whose_requests_overtake_each_other_is_not_taken_for_chance() {
    for seed in 1..=12 {
        for reach in [10, 40, 150] {
            let mut subject = Simulated::new(3, Picks::Random(vec![1.0; 3]), 1, seed);
            let setting =
                Setting { backends: Some(3), can_hold: true, budget: Duration::from_secs(5), ..Setting::default() };
            // Its experiments look like chance; the sample tells that it is none.
            let mut evidence = experiments::run(&mut subject, &setting);
            let mut chance = Chance::of(seed ^ 5);
            let mut order: Vec<(usize, u16)> =
                (0..6_000).map(|at| (at + chance.below(reach), (at % 3) as u16)).collect();
            order.sort();
            evidence.sample = order.into_iter().map(|(_, backend)| Backend(backend)).collect();
            subject.complete(&mut evidence);
            let seen = evidence.infer(&[]);
            assert_ne!(seen.kind, Some(Algorithm::Random), "{reach}: {seen:#?}");
            assert!(seen.candidates().contains(&Algorithm::RoundRobin), "{reach}: {seen:#?}");
        }
    }
}

#[test]
fn weights_divided_by_what_is_in_flight_are_no_rotation_for_certain() {
    for (weights, seed) in [vec![5, 1, 1], vec![3, 2, 1], vec![10, 1, 1]].into_iter().zip(1..) {
        let seen = infer(3, Picks::LeastWeighted(weights.clone()), 1, seed, 0);
        assert_ne!(seen.certain(), Some(Algorithm::WeightedRoundRobin), "{weights:?}: {:#?}", seen.evidence);
        assert!(!seen.candidates().contains(&Algorithm::Random), "{weights:?}: {seen:#?}");
    }
}

#[test]
fn a_hash_with_a_bound_on_load_is_known_by_requests_of_one_value_at_once() {
    let bound = |limit: Option<usize>, speed: f64| {
        let mut subject = Simulated::new(3, Picks::Uri, 1, 5);
        (subject.limit, subject.speed) = (limit, vec![speed; 3]);
        let seen = infer_of(subject, 5, 0);
        assert_eq!(seen.kind, Some(Algorithm::Uri), "{limit:?} {speed}: {:#?}", seen.evidence);
        seen.bound
    };
    assert!(bound(Some(2), 0.3).is_some());
    for speed in [0.3, 60.0] {
        assert_eq!(bound(None, speed), None, "{speed}");
    }
}

#[test]
fn what_is_wrong_is_certain_soon() {
    let even: &[f64] = &[1.0 / 3.0; 3];
    for (share, expected, most) in [(1.0, even, 25), (0.5, even, 60), (0.6, &[0.8, 0.2], 250)] {
        let by = certain_by(TwoCells { cells: (0, 1), share }, expected, 300);
        let requests = percentile(&by, 0.95);
        assert!(requests.is_some_and(|requests| requests <= most), "{share}: {requests:?}");
    }
    // Of a canary no test knows it much sooner.
    assert_eq!(fewest(0.4, 0.2, 2e-7, 0.95), 224);
}

#[test]
fn least_connections_by_weight_are_no_rotation_at_any_speed() {
    let weights = || vec![5, 1, 1];
    let of = |among_equals| Picks::LeastPerWeight { weights: weights(), among_equals };
    for speed in [0.3, 20.0, 100.0] {
        for picks in [of(AmongEquals::ByWeight), of(AmongEquals::InTurn), Picks::LeastWeighted(weights())] {
            let slow = |subject: &mut Simulated| subject.speed = vec![speed; 3];
            never_wrong(&picks, 1, Algorithm::LeastConnections, 3, &format!("{speed} ms"), &slow);
        }
    }
}
