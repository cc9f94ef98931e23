//! The rule of the fleets: the check knows every backend behind the balancer, from the first request to the last.

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;

/// What is known of the fleets behind the balancer as a whole.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FleetFacts {
    /// Fleets whose records were read.
    pub fleets: u64,
    /// Clocks of hosts that are not the client's: their times are converted, and are right to plus or minus this number of seconds; null if
    /// all have one clock.
    pub half_width: Option<f64>,
    /// Hosts that have no request in common with the client: their times are not known.
    pub unjoined: Vec<String>,
    /// Requests with attempts at several hosts that are closer than their clocks agree: which came first is not known.
    #[serde(default)]
    pub unordered: u64,
    /// Backends that ended, were started again, were not ready or failed a health check at some time while the check ran, that had faults
    /// when it began, or until shortly before: a balancer may avoid them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsteady: Vec<String>,
    /// Those of them of which it was so before the check began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unwell: Vec<String>,
    /// Backends that a fault made slow when the check began: a balancer may have given up on them before, and avoid them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slow: Vec<String>,
    /// Fleets that joined or left while the check ran, in order.
    pub changes: Vec<FleetChange>,
    /// Processes that responded, of which no known fleet has ever known.
    pub strangers: Vec<Stranger>,
    /// Names by which several processes respond at once.
    pub shared_names: Vec<SharedName>,
}

impl FleetFacts {
    /// Whether it is known who takes part: shares, reach and the algorithm are judged then.
    pub fn is_settled(&self) -> bool {
        self.changes.is_empty() && self.strangers.is_empty() && self.shared_names.is_empty()
    }
}

/// A fleet that joined or left.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FleetChange {
    /// Seconds since the sample began; negative before it.
    pub at: f64,
    /// How the host is called.
    pub host: String,
    /// Names of the backends of that fleet.
    pub backends: Vec<String>,
    /// Whether it joined or left.
    pub kind: ChangeKind,
    /// Why it cannot be reached; null for one that joined.
    pub why: Option<String>,
}

/// What happened to a fleet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It was found after the check had begun.
    Joined,
    /// It cannot be asked any more: what its backends received in the last moments before is unknown.
    Gone,
}

/// A backend that no fleet knows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stranger {
    /// What it calls itself.
    pub name: String,
    /// Processes that responded and belong to no fleet of the check.
    pub processes: u64,
    /// Responses that came from them.
    pub responses: u64,
}

/// A name of several backends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SharedName {
    /// The name that backends of several fleets share.
    pub name: String,
    /// Processes that responded by it.
    pub processes: u64,
}

pub(crate) const FLEETS: RuleDescription = RuleDescription {
    requires: "the check knows every backend behind the balancer, from the first request to the last",
    sound: "by construction: each process has a random id in its responses, and fleets say which ids are theirs; it never fails a \
            balancer, but leaves shares, reach, stickiness and the algorithm inconclusive",
    source: None,
};
