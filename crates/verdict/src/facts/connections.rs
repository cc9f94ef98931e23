//! Facts of connections of the client: a limit of their number, and those that were slow to open.

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

pub(crate) const CONNECTION_LIMIT: RuleDescription = RuleDescription {
    requires: "the balancer serves as many connections at once as the check is to use",
    sound: "by construction: it never fails a balancer; three times a connection that was not served while that many were open was served as soon as \
            one of these had ended, and the check then used no more",
    source: None,
};

/// Connections that a balancer serves at once; others wait until one ends, or are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectionLimit {
    /// Their number.
    pub at_once: u64,
    /// What the check was to use.
    pub wanted: u64,
    /// Whether the user asked for as many.
    pub is_asked: bool,
}
