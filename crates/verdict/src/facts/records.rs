//! The rule of the records: what the backends recorded is complete.

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;

/// The records that the check could not have.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordFacts {
    /// Each reason why records are missing, or cannot be assigned to their requests.
    pub gaps: Vec<RecordGap>,
}

/// Why records are missing, or cannot be assigned to their requests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RecordGap {
    /// No fleet responds at the address of an API that the user named.
    NoFleet {
        /// The address.
        control: String,
    },
    /// Backends wrote faster than their supervisor read, and overwrote records in their journals.
    Overwritten {
        /// Host of the fleet; null if there is one fleet.
        host: Option<String>,
        /// How many were lost.
        records: u64,
    },
    /// The supervisor evicted them before the check had read them.
    Evicted {
        /// Host of the fleet; null if there is one fleet.
        host: Option<String>,
        /// How many were lost.
        records: u64,
    },
    /// The only fleet stopped responding before its last records were read.
    Unreachable {
        /// What failed.
        why: String,
    },
    /// The balancer strips `Check-Request-Id`: attempts without a response cannot be assigned to their requests.
    NoRequestIds,
}

pub(crate) const RECORDS: RuleDescription = RuleDescription {
    requires: "the fleet's records of the run are complete",
    sound: "by construction: it never fails a balancer, missing records leave what depends on them inconclusive",
    source: None,
};
