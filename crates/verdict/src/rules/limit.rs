//! The rule of the rate limit.

use crate::finding::{self, Finding, Level};
use crate::rules::case::Case;

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    case.limit.map(|limit| Finding::new(Level::Inconclusive, finding::Facts::RateLimit(limit)))
}
