//! The rule of backups: they get nothing while another backend can.

use serde::{Deserialize, Serialize};

use crate::finding::{self, Description, Finding, Level};
use crate::outcome::Outcome;
use crate::rules::{Case, Drill};

/// Which backups got requests.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Facts {
    /// Their names.
    pub backups: Vec<String>,
    /// Requests that they got together.
    pub requests: u64,
    /// Requests that other backends failed, which excuse a backup.
    pub failures: u64,
}

pub(crate) const BACKUPS: Description = Description {
    requires: "backups get nothing while another backend is ready",
    sound: "by construction: the backup recorded the request; where other backends failed requests it is inconclusive",
    source: None,
};

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    if case.drill != Drill::None || !case.has_records() {
        return None;
    }
    let got = |place: usize| case.tally.by_backend.get(place).copied().unwrap_or(0);
    let early: Vec<(String, u64)> = case.names[..case.members]
        .iter()
        .enumerate()
        .map(|(place, name)| (name.clone(), got(place)))
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
