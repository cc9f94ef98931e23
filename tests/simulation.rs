//! What is inferred and judged, held against simulated balancers whose truth is known.

use std::time::Duration;

use testbed::simulated::{Chance, Picks, Simulated};
use verdict::algorithm::experiments::{self, Request, Setting};
use verdict::algorithm::order::in_blocks;
use verdict::algorithm::{Algorithm, Inference};
use verdict::observation::Backend;

/// What is inferred of a balancer, with a sample of `sample` requests over 64 connections.
fn infer(backends: usize, picks: Picks, cursors: usize, seed: u64, sample: usize) -> Inference {
    infer_of(Simulated::new(backends, picks, cursors, seed), seed, sample)
}

fn infer_of(mut subject: Simulated, seed: u64, sample: usize) -> Inference {
    let (backends, cursors) = (subject.backends, subject.cursors);
    let (members, budget) = (Some(backends), Duration::from_secs(5));
    let setting = Setting { members, can_hold: true, is_followed: sample > 0, budget, ..Setting::default() };
    let mut evidence = experiments::run(&mut subject, &setting);
    let mut chance = Chance::of(seed ^ 77);
    let order: Vec<Backend> =
        (0..sample).map(|_| Backend(subject.pick(chance.below(cursors), &Request::default()).0 as u16)).collect();
    if sample > 0 {
        evidence.sample = in_blocks(&order);
    }
    let names: Vec<String> = (0..backends).map(|place| (9001 + place).to_string()).collect();
    evidence.infer(&names)
}

fn named(
    backends: usize,
    picks: &Picks,
    cursors: usize,
    runs: u64,
    sample: usize,
) -> Vec<(Option<Algorithm>, Vec<Algorithm>)> {
    (1..=runs)
        .map(|seed| {
            let inference = infer(backends, picks.clone(), cursors, seed, sample);
            (inference.kind, inference.or)
        })
        .collect()
}

#[track_caller]
fn always(backends: usize, picks: Picks, cursors: usize, kind: Algorithm) {
    for seen in named(backends, &picks, cursors, 15, 20_000) {
        assert_eq!(seen, (Some(kind), vec![]), "{backends} backends, {picks:?}, {cursors} cursors");
    }
}

#[test]
fn turns_are_round_robin_with_any_number_of_cursors() {
    for backends in [2, 3, 5, 10] {
        for cursors in [1, 2, 4, 16] {
            always(backends, Picks::Turns(vec![1; backends]), cursors, Algorithm::RoundRobin);
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
            let seen = (inference.kind, inference.cursors);
            assert_eq!(seen, (Some(Algorithm::RoundRobin), Some(2)), "{batches}: {:?}", inference.evidence);
        }
    }
}

#[test]
fn chance_is_told_from_many_cursors_also_without_a_sample() {
    for seed in 1..=15 {
        let chance = infer(3, Picks::Random(vec![1.0; 3]), 1, seed, 0);
        assert_eq!((chance.kind, chance.or), (Some(Algorithm::Random), vec![]), "{:?}", chance.evidence);
        let cursors = infer(3, Picks::Turns(vec![1; 3]), 16, seed, 0);
        assert_eq!((cursors.kind, cursors.or), (Some(Algorithm::RoundRobin), vec![]), "{:?}", cursors.evidence);
    }
}

#[test]
fn cursors_are_counted() {
    for cursors in [1, 2, 4] {
        let inference = infer(3, Picks::Turns(vec![1; 3]), cursors, 5, 20_000);
        assert_eq!(inference.cursors, Some(cursors as u32), "{:?}", inference.evidence);
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
    always(10, Picks::Random(vec![1.0; 10]), 1, Algorithm::Random);
}

#[test]
fn what_follows_load_is_told_from_what_does_not() {
    for backends in [2, 3, 5] {
        always(backends, Picks::LeastInTurns, 1, Algorithm::LeastConnections);
        always(backends, Picks::LeastFirst, 1, Algorithm::LeastConnections);
        // As NGINX, whose quick answers all count alike, and as Traefik, in which those of less than a millisecond count nothing.
        always(backends, Picks::LeastTime { quick: 20.0 }, 1, Algorithm::LeastTime);
        always(backends, Picks::LeastTime { quick: 0.0 }, 1, Algorithm::LeastTime);
        always(backends, Picks::Soonest, 1, Algorithm::LeastTime);
    }
    for backends in [3, 5] {
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

#[test]
fn what_it_keys_on_is_found() {
    for backends in [2, 3, 7] {
        always(backends, Picks::Source { network_only: true }, 2, Algorithm::Source);
        always(backends, Picks::Source { network_only: false }, 1, Algorithm::Source);
        always(backends, Picks::Uri, 1, Algorithm::Uri);
        always(backends, Picks::Header("X-User"), 1, Algorithm::Header);
        always(backends, Picks::Cookie("session"), 1, Algorithm::Cookie);
    }
    let inference = infer(3, Picks::Header("X-Api-Key"), 1, 3, 0);
    assert_eq!(inference.label, "by the header X-Api-Key");
    let inference = infer(3, Picks::Source { network_only: true }, 1, 3, 0);
    assert!(inference.label.contains("ip_hash"), "{}", inference.label);
}

#[test]
fn a_cookie_of_the_balancer_makes_it_sticky_even_if_it_forgets_now_and_then() {
    always(3, Picks::Sticky { forgets: 0.0 }, 1, Algorithm::Sticky);
    always(3, Picks::Sticky { forgets: 0.005 }, 1, Algorithm::Sticky);
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
