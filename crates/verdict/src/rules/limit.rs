//! The rule of the rate limit: what it refused is said by this rule alone.

use crate::finding::{self, Finding, Level};
use crate::outcome::Outcome;
use crate::rules::case::Case;

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    const EXAMPLES: usize = 3;
    let limit = case.limit?;
    let refused = case.ledger.entries().filter(|entry| case.judged.includes(entry) && case.is_limited(entry));
    let examples: Vec<u32> = refused.map(|entry| entry.sequence).take(EXAMPLES).collect();
    let is_allowed = case.expectations.allowed.contains(&Outcome::Balancer);
    let level = if is_allowed { Level::Note } else { Level::Inconclusive };
    Some(Finding::new(level, finding::Facts::RateLimit(limit)).shown_by(case.witnesses(&examples)))
}
