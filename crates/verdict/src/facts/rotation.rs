//! The rule of the rotation: its turns follow each other, and nothing comes in bursts.

use serde::{Deserialize, Serialize};

use crate::algorithm::Selection;
use crate::facts::RuleDescription;

/// An order in which backends get requests that no algorithm gives.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RotationFacts {
    /// A rotation skips or repeats turns.
    Breaks(Breaks),
    /// The same backend gets several requests in a row.
    Bursts(Selection),
}

/// Where a rotation was left though no backend failed, nobody else sent anything and nothing was in flight.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Breaks {
    /// Requests one after the other.
    pub requests: u64,
    /// The backends of one round, in order.
    pub round: Vec<String>,
    /// How often the round was left.
    pub breaks: u64,
    /// The number of requests between two of them; null if it varies.
    pub every: Option<u64>,
    /// Whether shares allow that weights which hardly differ are the reason.
    pub may_be_weights: bool,
}

pub(crate) const ROTATION: RuleDescription = RuleDescription {
    requires: "a rotation goes on without skipping or repeating turns, and no backend gets requests in bursts",
    sound: "by construction: requests went one after the other, all are recorded, no backend failed and nobody else sent anything; two \
            breaks or more on one connection, a single one where round robin is required and too few followed, or turns that new ones skip \
            where too few followed on one, or bursts on one connection (level 1e-8), are inconclusive; it fails only where --expect requires round robin and turns are left at regular intervals while \
            shares exclude weights",
    source: None,
};
