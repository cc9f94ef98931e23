//! The rule of reach: every backend that is ready gets something.

use crate::algorithm::Algorithm;
use crate::facts::reach::Facts;
use crate::facts::shares::Unit;
use crate::finding::{self, Finding, Level};
use crate::rules::case::{Case, Drill};
use crate::rules::expectations::FALSE_ALARM;

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let expected_one = case.expectations.algorithm == Some(Algorithm::One);
    let unknown = case.expectations.shares.is_none() && !case.expectations.not_understood.is_empty();
    if case.drill != Drill::None || expected_one || unknown || !case.has_records() || case.members < 2 {
        return None;
    }
    let names = &case.names[..case.members];
    // What does not fit the fleet is reported by the rule of the shares.
    let shares = case.expectations.shares(names).ok()?;
    let got = |place: usize| case.tally.by_backend.get(place).copied().unwrap_or(0);
    let missed: Vec<usize> = (0..names.len()).filter(|place| shares[*place] > 0.0 && got(*place) == 0).collect();
    // How likely chance alone misses one that has an even share, or the one it should have.
    let pins = case.inference.kind.is_some_and(Algorithm::pins);
    let draws = if pins { case.tally.pins.clients } else { case.tally.attempts };
    let chance =
        missed.iter().map(|place| (1.0 - shares[*place]).powf(draws as f64)).fold(0.0, f64::max) * case.members as f64;
    let level = match missed.as_slice() {
        [] => Level::Pass,
        _ if chance < FALSE_ALARM / 10.0 => Level::Fail,
        _ => Level::Inconclusive,
    };
    let (expected, excluded) = names.iter().cloned().partition(|name| case.expectations.takes_part(name));
    let facts = Facts {
        expected,
        excluded,
        missed: missed.iter().map(|place| names[*place].clone()).collect(),
        unit: if pins { Unit::Clients } else { Unit::Requests },
        draws,
        chance: chance.min(1.0),
        only_one: case.inference.kind == Some(Algorithm::One),
    };
    Some(Finding::new(level, finding::Facts::Reach(facts)))
}
