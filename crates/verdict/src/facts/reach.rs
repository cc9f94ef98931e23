//! The rule of reach: every backend that is ready gets something.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;
use crate::facts::shares::Unit;
use crate::{BadCertificate, HandshakeFailure};

/// Which backends never got a request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReachFacts {
    /// Backends of which each should get something.
    pub expected: Vec<String>,
    /// Backends that need not get anything.
    pub excluded: Vec<String>,
    /// Of the expected ones, those that got nothing.
    pub missed: Vec<String>,
    /// Backends that got nothing and had failed earlier in the run: the balancer may avoid them.
    #[serde(default)]
    pub failed: Vec<String>,
    /// Seconds for which the balancer may keep away from a backend that failed, as its configuration says; null if that is not known.
    #[serde(default)]
    pub avoids: Option<f64>,
    /// Why TLS handshakes with backends that got nothing failed, where their certificates are not accepted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, String>"))]
    pub not_accepted: BTreeMap<String, HandshakeFailure>,
    /// What a fault made of the certificates of those backends.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bad_certificates: BTreeMap<String, BadCertificate>,
    /// What was counted: requests or clients.
    pub unit: Unit,
    /// How many of those.
    pub draws: u64,
    /// Probability that chance alone misses one.
    pub chance: f64,
    /// Whether one backend got everything.
    pub only_one: bool,
    /// Whether selection by source address is not excluded: then that may be why.
    #[serde(default)]
    pub may_be_source: bool,
    /// Requests that the balancer itself responded to, or that got lost on the way to a backend: they may have been meant for one of these.
    #[serde(default)]
    pub reached_nobody: u64,
    /// Whether the algorithm, or the user, makes it certain that each should get something.
    pub is_promised: bool,
}

impl ReachFacts {
    /// Whether chance explains that some got nothing, while several got something.
    pub fn may_be_chance(&self) -> bool {
        self.chance > 1e-3 && !self.only_one
    }
}

pub(crate) const REACH: RuleDescription = RuleDescription {
    requires: "every backend that is ready gets requests",
    sound: "it fails only where --expect requires shares, or where the algorithm for certain gives something to each; level 4e-8 for draws, \
            of which half the expected share is granted to hash rings; for rotations by construction; a backend that failed before is left out; \
            in a drill it is inconclusive, and one to which something was done is left out",
    source: None,
};
