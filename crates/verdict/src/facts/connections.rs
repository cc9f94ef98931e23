//! Facts of connections of the client that were slow to open.

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;

pub(crate) const LOST_SYNS: RuleDescription = RuleDescription {
    requires: "nothing: says how many connections took whole seconds to open, as those do whose first segments are lost",
    sound: "by the times of the kernel: it sends a SYN that gets no reply again after a second, then after one or two more",
    source: Some("RFC 6298 §2"),
};

/// Connections that opened when a SYN was sent again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LostSyns {
    /// By the time that they took, the shortest first.
    pub after: Vec<SlowOpenings>,
}

/// Connections that took the same time to open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SlowOpenings {
    /// Whole seconds.
    pub seconds: u64,
    /// How many did.
    pub connections: u64,
}
