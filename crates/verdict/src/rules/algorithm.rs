//! The rule of the algorithm: it is the one that was expected.

use serde::{Deserialize, Serialize};

use crate::finding::{self, Description, Finding, Level};
use crate::rules::Case;

/// What was expected, and what is seen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Facts {
    /// As `--expect` names it.
    pub expected: String,
    /// The names that fit what was seen; none if nothing fits.
    pub candidates: Vec<String>,
    /// What was seen, in words.
    pub label: String,
    /// The experiments, a line each.
    pub experiments: Vec<String>,
}

pub(crate) const ALGORITHM: Description = Description {
    requires: "the algorithm is the one of --expect",
    sound: "level 1e-8 an experiment: it fails if the experiments exclude the expected algorithm",
    source: None,
};

/// Compares what is seen with what is expected; nothing is expected unless the user says so.
pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let expected = case.expectations.algorithm?;
    let seen = case.inference;
    let level = match seen.kind {
        Some(kind) if kind == expected && seen.or.is_empty() => Level::Pass,
        Some(kind) if kind == expected || seen.or.contains(&expected) => Level::Inconclusive,
        Some(_) => Level::Fail,
        None => Level::Inconclusive,
    };
    let facts = Facts {
        expected: expected.name().to_owned(),
        candidates: seen.kind.iter().chain(&seen.or).map(|kind| kind.name().to_owned()).collect(),
        label: seen.label.clone(),
        experiments: seen.evidence.clone(),
    };
    Some(Finding::new(level, finding::Facts::Algorithm(facts)))
}
