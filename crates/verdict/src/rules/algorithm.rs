//! The rule of the algorithm: it is the one that was expected.

use crate::facts::algorithm::Facts;
use crate::finding::{self, Finding, Level};
use crate::rules::case::Case;

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
