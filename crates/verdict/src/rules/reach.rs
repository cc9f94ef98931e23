//! PURE. The rule of reach: every backend that is ready gets something.

use crate::algorithm::Algorithm;
use crate::numbers::grouped;
use crate::report::{Finding, Level};
use crate::rules::{Case, Drill, FALSE_ALARM, finding};

/// Which backends never got a request.
pub fn judge(case: &Case) -> Option<Finding> {
    let expected_one = case.expectations.algorithm == Some(Algorithm::One);
    if case.drill != Drill::None || expected_one || !case.has_records() || case.members < 2 {
        return None;
    }
    let names = &case.names[..case.members];
    // What does not fit the fleet is told by the rule of the shares.
    let expected = case.expectations.shares(names).ok()?;
    let got = |place: usize| case.tally.by_backend.get(place).copied().unwrap_or(0);
    let missed: Vec<usize> = (0..names.len()).filter(|place| expected[*place] > 0.0 && got(*place) == 0).collect();
    if missed.is_empty() {
        let backups: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| !case.expectations.takes_part(name)).collect();
        let summary = match backups.as_slice() {
            [] => format!("all {} backends were reached", names.len()),
            backups => format!("all backends were reached, leaving aside {}", backups.join(", ")),
        };
        return Some(finding("reach", Level::Pass, summary));
    }
    // How likely chance alone misses one that has an even share, or the one it should have.
    let pins = case.inference.kind.is_some_and(Algorithm::pins);
    let draws = if pins { case.tally.pins.clients } else { case.tally.attempts };
    let chance = missed.iter().map(|place| (1.0 - expected[*place]).powf(draws as f64)).fold(0.0, f64::max)
        * case.members as f64;
    let outcome = if chance < FALSE_ALARM / 10.0 { Level::Fail } else { Level::Inconclusive };
    let missed: Vec<&str> = missed.iter().map(|place| names[*place].as_str()).collect();
    let verb = if missed.len() == 1 { "is" } else { "are" };
    let mut found = finding("reach", outcome, format!("{} {verb} ready and never got a request", missed.join(", ")));
    let what = if pins { "clients got answers" } else { "requests reached backends" };
    let chance = if chance < 1e-12 { "less than 1e-12".to_owned() } else { format!("{:.1e}", chance.min(1.0)) };
    found.evidence = vec![format!("{} {what}; the probability that chance alone misses one: {chance}", grouped(draws))];
    found.hint = Some(match case.inference.kind {
        Some(Algorithm::One) => "everything went to one backend: are the others in the upstream, and not `backup` or `down`?".to_owned(),
        _ => "is it in the balancer's configuration, with that port, and does the running configuration have it (reload)?".to_owned(),
    });
    Some(found)
}
