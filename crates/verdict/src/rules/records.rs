//! The rule of the records: what the backends recorded is complete.

use serde::{Deserialize, Serialize};

use crate::finding::{self, Description, Finding, Level};
use crate::rules::Case;

/// Why records are missing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Facts {
    /// One reason each.
    pub gaps: Vec<String>,
}

pub(crate) const RECORDS: Description = Description {
    requires: "the fleet's records of the run are complete",
    sound: "by construction: it never fails a balancer, missing records leave what depends on them inconclusive",
    source: None,
};

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let gaps = case.gaps.to_vec();
    (!gaps.is_empty()).then(|| Finding::new(Level::Inconclusive, finding::Facts::Records(Facts { gaps })))
}
