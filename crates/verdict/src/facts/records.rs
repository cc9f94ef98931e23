//! The rule of the records: what the backends recorded is complete.

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;

/// Why records are missing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordFacts {
    /// Why records are incomplete, one reason each.
    pub gaps: Vec<String>,
}

pub(crate) const RECORDS: RuleDescription = RuleDescription {
    requires: "the fleet's records of the run are complete",
    sound: "by construction: it never fails a balancer, missing records leave what depends on them inconclusive",
    source: None,
};
