//! The rule of backups: they get nothing while another backend can.

use crate::facts::backups::Facts;
use crate::finding::{self, Finding, Level};
use crate::outcome::Outcome;
use crate::rules::case::{Case, Drill};

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    if case.drill != Drill::None || !case.has_records() {
        return None;
    }
    let got = |place: usize| case.tally.by_backend.get(place).copied().unwrap_or(0);
    let early: Vec<(String, u64)> = case.names[..case.members]
        .iter()
        .enumerate()
        .map(|(place, name)| (name.clone(), got(place)))
        .filter(|(name, _)| !case.is_mirror(name))
        .filter(|(name, requests)| *requests > 0 && !case.expectations.takes_part(name))
        .collect();
    if early.is_empty() {
        return None;
    }
    let failures: u64 = [Outcome::Retried, Outcome::Lost, Outcome::NotReached, Outcome::Balancer]
        .iter()
        .map(|outcome| case.tally.of_outcome(*outcome))
        .sum();
    // Where others failed, backups had to help.
    let level = if failures > 0 { Level::Inconclusive } else { Level::Fail };
    let (backups, requests): (Vec<String>, Vec<u64>) = early.into_iter().unzip();
    let facts = Facts { backups, requests: requests.iter().sum(), failures };
    Some(Finding::new(level, finding::Facts::Backups(facts)))
}
