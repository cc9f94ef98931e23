//! PURE. The rule of the algorithm: it is the one that was expected.

use crate::report::{Finding, Level};
use crate::rules::{Case, finding};

/// Compares what is seen with what is expected; nothing is expected unless the user said so.
pub fn judge(case: &Case) -> Option<Finding> {
    let expected = case.expectations.algorithm?;
    let seen = case.inference;
    let (outcome, summary) = match seen.kind {
        Some(kind) if kind == expected && seen.or.is_empty() => {
            (Level::Pass, format!("the algorithm is {}, as expected", seen.label))
        }
        Some(kind) if kind == expected || seen.or.contains(&expected) => {
            let or: Vec<&str> = std::iter::once(kind).chain(seen.or.iter().copied()).map(|kind| kind.name()).collect();
            (
                Level::Inconclusive,
                format!("{} was expected; from here it cannot be told apart: {}", expected.name(), or.join(", ")),
            )
        }
        Some(_) => (Level::Fail, format!("{} was expected, and it is {}", expected.name(), seen.label)),
        None => (Level::Inconclusive, format!("{} was expected; what is seen: {}", expected.name(), seen.label)),
    };
    let mut found = finding("algorithm", outcome, summary);
    if outcome > Level::Pass {
        found.evidence = seen.evidence.clone();
    }
    Some(found)
}
