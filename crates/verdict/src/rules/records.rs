//! The rule of the records: what the backends recorded is complete.

use crate::facts::records::RecordFacts;
use crate::finding::{self, Finding, Level};
use crate::rules::case::Case;

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let gaps = case.gaps.to_vec();
    (!gaps.is_empty()).then(|| Finding::new(Level::Inconclusive, finding::Facts::Records(RecordFacts { gaps })))
}
