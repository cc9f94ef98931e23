//! PURE. The rule of backups: they get nothing while another backend can.

use crate::numbers::count_of;
use crate::outcome::Outcome;
use crate::report::{Finding, Level};
use crate::rules::{Case, Drill, finding};

/// Which backups got requests.
pub fn judge(case: &Case) -> Option<Finding> {
    if case.drill != Drill::None || !case.has_records() {
        return None;
    }
    let got = |place: usize| case.tally.by_backend.get(place).copied().unwrap_or(0);
    let early: Vec<(&str, u64)> = case.names[..case.members]
        .iter()
        .enumerate()
        .map(|(place, name)| (name.as_str(), got(place)))
        .filter(|(name, requests)| *requests > 0 && !case.expectations.takes_part(name))
        .collect();
    if early.is_empty() {
        return None;
    }
    let failures: u64 = [Outcome::Retried, Outcome::Lost, Outcome::Unserved, Outcome::Balancer]
        .iter()
        .map(|fate| case.tally.of_fate(*fate))
        .sum();
    // Where others failed, backups had to help.
    let outcome = if failures > 0 { Level::Inconclusive } else { Level::Fail };
    let (names, requests): (Vec<&str>, Vec<u64>) = early.into_iter().unzip();
    let verb = if names.len() == 1 { "is" } else { "are" };
    let mut found = finding(
        "backups",
        outcome,
        format!(
            "{} {verb} expected to get nothing while others can, and got {}",
            names.join(", "),
            count_of(requests.iter().sum(), "request")
        ),
    );
    found.hint = Some("is it marked as `backup`, and does the running configuration say so (reload)?".to_owned());
    Some(found)
}
