//! The rule of the shares: each backend gets what was expected, tested as its algorithm allows.

use crate::algorithm::Algorithm;
use crate::facts::shares::{Conclusion, Facts, Method, Share, Test, Unit};
use crate::finding::{self, Finding, Level};
use crate::observation::Backend;
use crate::outcome::Outcome;
use crate::report::Shares;
use crate::rules::case::{Case, Drill};
use crate::rules::expectations::{FALSE_ALARM, Weights};
use crate::statistics::{detects, multinomial};

/// Independent rotations that are granted to round robin before a deviation counts: worker processes times balancers.
const ROTATIONS: f64 = 64.0;

/// The shares, and whether they are as expected.
pub(crate) fn judge(case: &Case) -> (Option<Shares>, Option<Finding>) {
    let pins = case.varied && case.inference.kind.is_some_and(Algorithm::pins);
    let (counts, unit) = match pins {
        true => (&case.tally.pins.by_backend, Unit::Clients),
        false => (&case.tally.firsts, Unit::Requests),
    };
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return (None, None);
    }
    let places = case.names.len().max(counts.len());
    let counts: Vec<u64> = (0..places).map(|place| counts.get(place).copied().unwrap_or(0)).collect();
    let unknown = &case.expectations.not_understood;
    let judged = case.expectations.shares.is_some() || (unknown.is_empty() && promises_even(case));
    let mut shares = Shares {
        rows: Vec::new(),
        expected: expected_in_words(case),
        expected_by: case.expectations.shares_by.clone(),
        unit,
        test: None,
    };
    let expected = case.expectations.shares(&case.names[..case.members]).map(|mut shares| {
        // Backends beyond the fleet are expected to get nothing.
        shares.resize(places, 0.0);
        shares
    });
    let row = |place: usize| Share {
        backend: case.names.get(place).cloned().unwrap_or_else(|| "?".to_owned()),
        count: counts[place],
        share: counts[place] as f64 / total as f64,
        expected: expected.as_ref().ok().filter(|_| judged).map(|expected| expected[place]),
    };
    shares.rows = (0..places).map(row).collect();
    let facts = |conclusion| Facts {
        unit,
        total,
        expected: expected_in_words(case),
        conclusion,
        widest: None,
        test: None,
        algorithm: case.inference.label.clone(),
        seen_weights: None,
    };
    let expected = match expected {
        Ok(expected) => expected,
        Err(why) => {
            let misfit = finding::Facts::Shares(facts(Conclusion::Misfit(why)));
            return (Some(shares), Some(Finding::new(Level::Inconclusive, misfit)));
        }
    };
    if case.drill != Drill::None {
        return (Some(shares), None);
    }
    if !judged {
        shares.expected = "nothing".to_owned();
        let conclusion = match unknown.as_slice() {
            [] => Conclusion::NotPromised,
            unknown => Conclusion::NotUnderstood(unknown.to_vec()),
        };
        let note = finding::Facts::Shares(facts(conclusion));
        return (Some(shares), Some(Finding::new(Level::Note, note)));
    }
    let (test, level) = test(case, &counts, &expected, pins, total);
    let disturbed = case.tally.of_outcome(Outcome::Retried)
        + case.tally.of_outcome(Outcome::Lost)
        + case.tally.of_outcome(Outcome::Balancer)
        > 0;
    let (level, conclusion) = match level {
        // Failing backends get less, as they should.
        Level::Fail if disturbed => (Level::Inconclusive, Conclusion::Disturbed),
        Level::Fail => (level, Conclusion::Deviates),
        Level::Inconclusive => (level, Conclusion::TooFew),
        Level::Pass | Level::Note => (level, Conclusion::AsExpected),
    };
    let deviation = |row: &&Share| row.expected.map_or(0.0, |expected| (row.share - expected).abs());
    let weighted = case.inference.kind == Some(Algorithm::WeightedRoundRobin) && case.expectations.shares.is_none();
    let facts = Facts {
        widest: shares.rows.iter().max_by(|a, b| deviation(a).total_cmp(&deviation(b))).cloned(),
        test: Some(test.clone()),
        seen_weights: weighted.then(|| seen_weights(case)),
        ..facts(conclusion)
    };
    shares.test = Some(test);
    (Some(shares), Some(Finding::new(level, finding::Facts::Shares(facts))))
}

fn expected_in_words(case: &Case) -> String {
    let weights = case.expectations.shares.as_ref().unwrap_or(&Weights::Even).to_string();
    match case.expectations.backups.as_slice() {
        [] => weights,
        backups => format!("{weights}, without {}", backups.join(", ")),
    }
}

/// Whether the algorithm itself promises shares: what goes in turns or by chance does.
fn promises_even(case: &Case) -> bool {
    let promises = |kind: Algorithm| !(kind.pins() || kind.follows_load());
    case.inference.kind.is_none_or(promises)
        && case.expectations.algorithm.is_none_or(|kind| promises(kind) && kind != Algorithm::One)
}

fn test(case: &Case, counts: &[u64], expected: &[f64], pins: bool, total: u64) -> (Test, Level) {
    let rotates = !pins && matches!(case.inference.kind, Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin));
    let (test, level) =
        if rotates { by_discrepancy(case, counts, expected, total) } else { by_chance(case, counts, expected, total) };
    (Test { detects: test.detects.min(1.0), ..test }, level)
}

/// As the user would write them.
fn seen_weights(case: &Case) -> String {
    let weight = |place: usize| {
        let seen = case.inference.weights.iter().find(|(backend, _)| usize::from(backend.0) == place);
        seen.map_or(0, |(_, weight)| *weight).to_string()
    };
    (0..case.members).map(weight).collect::<Vec<_>>().join(":")
}

/// Round robin is at most one off per cursor, weighted round robin as much as its turns let it be: not a matter of chance.
fn by_discrepancy(case: &Case, counts: &[u64], expected: &[f64], total: u64) -> (Test, Level) {
    let deviation = deviation(counts, expected, total);
    let one = discrepancy(case.inference.turns.as_deref(), &case.inference.weights).max(1.0);
    let seen = f64::from(case.inference.cursors.unwrap_or(1));
    let (near, far) = ((2.0 * seen + 2.0) * one, ROTATIONS * one);
    let tolerated = case.expectations.tolerance * total as f64;
    let granted = case.expectations.margin * total as f64;
    let (bound, outcome) = match deviation {
        _ if deviation <= near => (
            near,
            if near <= tolerated.max(0.2 * total as f64 / counts.len() as f64) {
                Level::Pass
            } else {
                Level::Inconclusive
            },
        ),
        _ if deviation > far.max(granted) => (far.max(granted), Level::Fail),
        _ if deviation <= granted => (granted, Level::Pass),
        // By chance alone it would be less even: turns are broken.
        _ if multinomial(counts, expected, 0.0).p < FALSE_ALARM => (far, Level::Fail),
        _ => (far, if far <= tolerated { Level::Pass } else { Level::Inconclusive }),
    };
    let test = Test {
        method: Method::BoundedDiscrepancy,
        deviation,
        bound: Some(bound),
        chi_square: None,
        p: None,
        false_alarm: 0.0,
        detects: bound / total as f64,
    };
    (test, outcome)
}

/// The largest difference between what a backend got and what it should have got.
fn deviation(counts: &[u64], expected: &[f64], total: u64) -> f64 {
    counts.iter().zip(expected).map(|(count, p)| (*count as f64 - p * total as f64).abs()).fold(0.0, f64::max)
}

/// How far a backend can be ahead or behind within the turns, wherever they begin.
fn discrepancy(turns: Option<&[Backend]>, weights: &[(Backend, u32)]) -> f64 {
    let length: u32 = weights.iter().map(|(_, weight)| weight).sum();
    let spread = |(backend, weight): &(Backend, u32)| {
        let share = f64::from(*weight) / f64::from(length);
        let Some(turns) = turns else { return f64::from(*weight) };
        let walk = turns.iter().scan(0.0, |lead, turn| {
            *lead += f64::from(u8::from(turn == backend)) - share;
            Some(*lead)
        });
        let (low, high) = walk.fold((0.0f64, 0.0f64), |(low, high), lead| (low.min(lead), high.max(lead)));
        high - low
    };
    weights.iter().map(spread).fold(0.0, f64::max)
}

fn by_chance(case: &Case, counts: &[u64], expected: &[f64], total: u64) -> (Test, Level) {
    let margin = case.expectations.margin;
    let seen = multinomial(counts, expected, margin);
    let detects = margin + detects(total, expected, FALSE_ALARM);
    let outcome = match seen.p < FALSE_ALARM {
        true => Level::Fail,
        false if detects > case.expectations.tolerance * 1.1 => Level::Inconclusive,
        false => Level::Pass,
    };
    let test = Test {
        method: Method::Multinomial,
        deviation: deviation(counts, expected, total),
        bound: None,
        chi_square: Some(seen.chi_square),
        p: Some(seen.p),
        false_alarm: FALSE_ALARM,
        detects,
    };
    (test, outcome)
}
