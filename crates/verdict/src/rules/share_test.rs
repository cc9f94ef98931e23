//! How shares are tested: by what a rotation allows, or by chance.

use crate::algorithm::order::{OrderPattern, evenness};
use crate::algorithm::{Algorithm, Inference};
use crate::facts::shares::{ShareTest, Test, Unit};
use crate::finding::Level;
use crate::observation::Backend;
use crate::rules::case::{Case, Drill};
use crate::rules::expectations::FALSE_ALARM;
use crate::statistics::{detects, ln_e_value, multinomial, needs};

/// Independent rotations that are granted to round robin before a deviation counts: worker processes times balancers. All of them may
/// begin at the same backend.
pub(super) const ROTATIONS: f64 = 64.0;

/// Whether it is no matter of chance.
pub(super) fn rotates(case: &Case, unit: Unit) -> bool {
    unit == Unit::Requests && matches!(case.inference.kind, Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin))
}

pub(super) fn test(case: &Case, counts: &[u64], expected: &[f64], unit: Unit) -> (Test, Level) {
    let total = counts.iter().sum();
    let (test, level) = if rotates(case, unit) {
        by_discrepancy(case, counts, expected, total)
    } else {
        by_evenness(case, counts, expected, unit).unwrap_or_else(|| by_chance(case, counts, expected, total))
    };
    (Test { detects: test.detects.min(1.0), ..test }, level)
}

/// The counts of some, and what they were to get of each other's.
pub(super) fn among(places: &[usize], counts: &[u64], expected: &[f64]) -> (Vec<u64>, Vec<f64>) {
    let sum: f64 = places.iter().map(|place| expected[*place]).sum();
    let share = |place: &usize| if sum > 0.0 { expected[*place] / sum } else { 0.0 };
    (places.iter().map(|place| counts[*place]).collect(), places.iter().map(share).collect())
}

/// Round robin is at most one off per rotation, weighted round robin as much as its turns let it be: not a matter of chance.
fn by_discrepancy(case: &Case, counts: &[u64], expected: &[f64], total: u64) -> (Test, Level) {
    let deviation = deviation(counts, expected, total);
    let one = discrepancy(case.inference.turns.as_deref(), &case.inference.weights).max(1.0);
    let seen = f64::from(case.inference.rotations.unwrap_or(1));
    let near = (2.0 * seen + 2.0) * one;
    let far = (ROTATIONS * one).max(case.expectations.margin * total as f64);
    let tolerance = case.expectations.tolerance_of(expected);
    let level_of = |bound: f64, of: u64| if bound <= tolerance * of as f64 { Level::Pass } else { Level::Inconclusive };
    // The only rotation, which went round in the experiments without an exception, is as near there as in the sample.
    let with_experiments = total + in_turn(case, expected);
    let (bound, of, level) = match deviation {
        _ if deviation > far => (far, total, Level::Fail),
        _ if deviation <= near => (near, with_experiments, level_of(near, with_experiments)),
        _ => (far, total, level_of(far, total)),
    };
    let test = Test {
        method: ShareTest::BoundedDiscrepancy,
        deviation,
        bound: Some(bound),
        chi_square: None,
        p: None,
        ln_e: None,
        false_alarm: 0.0,
        detects: bound / of as f64,
    };
    (test, level)
}

/// Requests of the experiments that went round in turns with these very shares. They come before any drill, and show nothing of what
/// comes after it.
fn in_turn(case: &Case, expected: &[f64]) -> u64 {
    let weights = &case.inference.weights;
    let all: u32 = weights.iter().map(|(_, weight)| weight).sum();
    let share = |place: usize| {
        let own = weights.iter().find(|(backend, _)| usize::from(backend.0) == place);
        own.map_or(0.0, |(_, weight)| f64::from(*weight) / f64::from(all))
    };
    let are_these = expected.iter().enumerate().all(|(place, expected)| (share(place) - expected).abs() < 1e-9);
    if are_these && case.drill == Drill::None { case.inference.in_turn() } else { 0 }
}

/// What is far more even than draws, whatever selects: its shares are as certain as they kept to the expected ones from the first request
/// to the last. Passes or says nothing.
fn by_evenness(case: &Case, counts: &[u64], expected: &[f64], unit: Unit) -> Option<(Test, Level)> {
    let (picks, total) = (&case.tally.picks, counts.iter().sum::<u64>());
    let is_even = |order: OrderPattern| match order {
        OrderPattern::Turns { .. } | OrderPattern::Blocks(_) | OrderPattern::Even(_) => true,
        OrderPattern::TooFew | OrderPattern::One(_) | OrderPattern::Chance => false,
        OrderPattern::Unclear | OrderPattern::Clumped => false,
    };
    let is_all = unit == Unit::Requests && case.drill == Drill::None && picks.len() as u64 == total;
    let head = &picks[..picks.len().min(LOOKED_AT)];
    if !is_all || !(is_even(evenness(head)) || is_even(OrderPattern::of(head))) {
        return None;
    }
    let mut got = vec![0.0; counts.len()];
    let mut farthest: f64 = 0.0;
    for (at, pick) in (1u32..).zip(picks) {
        *got.get_mut(usize::from(pick.0))? += 1.0;
        let lead = |(got, share): (&f64, &f64)| (got - share * f64::from(at)).abs();
        farthest = got.iter().zip(expected).map(lead).fold(farthest, f64::max);
    }
    let bound = 2.0 * farthest + 2.0;
    let test = Test {
        method: ShareTest::BoundedDiscrepancy,
        deviation: deviation(counts, expected, total),
        bound: Some(bound),
        chi_square: None,
        p: None,
        ln_e: None,
        false_alarm: FALSE_ALARM,
        detects: bound / total as f64,
    };
    (bound <= case.expectations.tolerance_of(expected) * total as f64).then_some((test, Level::Pass))
}

/// Requests of which the order is looked at.
const LOOKED_AT: usize = 20_000;

/// How many requests of a rotation surely show whether its shares are within that tolerance.
pub fn needed_of_rotation(inference: &Inference, tolerance: f64) -> f64 {
    ROTATIONS * discrepancy(inference.turns.as_deref(), &inference.weights).max(1.0) / tolerance
}

/// How many detect the deviation that must be detected.
pub(super) fn needed(case: &Case, test: &Test, expected: &[f64]) -> Option<u64> {
    let tolerance = case.expectations.tolerance_of(expected);
    match test.method {
        ShareTest::BoundedDiscrepancy => {
            Some(((test.bound? / tolerance).ceil() as u64).saturating_sub(in_turn(case, expected)).max(1))
        }
        ShareTest::Multinomial => {
            let beyond = tolerance * 1.1 - case.expectations.margin;
            (beyond > 0.0).then(|| needs(beyond, expected, FALSE_ALARM / 2.0))
        }
    }
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

/// At half the level each: the test of a sample whose size was fixed before, and the e-process, which may end the sample.
pub(super) fn by_chance(case: &Case, counts: &[u64], expected: &[f64], total: u64) -> (Test, Level) {
    let margin = case.expectations.margin;
    let seen = multinomial(counts, expected, margin);
    let ln_e = if margin == 0.0 { ln_e_value(counts, expected) } else { 0.0 };
    let detects = margin + detects(total, expected, FALSE_ALARM / 2.0);
    let level = if seen.p < FALSE_ALARM / 2.0 || is_certain(ln_e) {
        Level::Fail
    } else if detects > case.expectations.tolerance_of(expected) * 1.1 {
        Level::Inconclusive
    } else {
        Level::Pass
    };
    let test = Test {
        method: ShareTest::Multinomial,
        deviation: deviation(counts, expected, total),
        bound: None,
        chi_square: Some(seen.chi_square),
        p: Some(seen.p),
        // What is impossible is so by more than any number.
        ln_e: Some(ln_e.min(1e6)),
        false_alarm: FALSE_ALARM,
        detects,
    };
    (test, level)
}

/// Whether an e-value proves that shares are wrong, at half the level of the rule.
pub fn is_certain(ln_e: f64) -> bool {
    ln_e >= -(FALSE_ALARM / 2.0).ln()
}
