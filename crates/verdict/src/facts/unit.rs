//! The rule of the unit: what one selection of a backend is made for, a request or a connection with all requests on it.

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;

/// What one selection of a backend is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BalancingUnit {
    /// A request, which in gRPC is a call.
    Request,
    /// A connection: all its requests go to one backend.
    Connection,
}

/// What is known of the unit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnitFacts {
    /// Null if it is not known.
    pub unit: Option<BalancingUnit>,
    /// What `--expect` requires, as it was typed; null if nothing is.
    pub required: Option<String>,
    /// Connections of the client that carried several requests, each delivered at its first attempt.
    pub connections: u64,
    /// Requests on connections that carried more than one.
    pub requests: u64,
    /// Connections whose requests reached several backends.
    pub several: u64,
    /// Requests of the busiest connection.
    pub busiest: u64,
    /// Backends that it met.
    pub busiest_met: u64,
    /// Backends that all of them met.
    pub backends: u64,
    /// How likely requests that are balanced one by one would leave each connection of the experiments at one backend, at most; null
    /// where the unit is not the connection.
    pub chance: Option<f64>,
    /// Why the unit is not known; null if it is.
    pub unknown: Option<UnknownUnit>,
}

/// Why the unit is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UnknownUnit {
    /// No connection carried several requests.
    NotKept,
    /// Connections carried several requests, and no two of one got a response of the first backend that they were sent to.
    NoneCounts,
    /// All those requests met the same backend.
    OneBackend,
    /// Each connection met one backend, while requests waited for each other: a balancer that looks at load does so too, request by
    /// request. Experiments distinguish them.
    Untried,
    /// Each connection met one backend, and so few requests leave that to chance.
    TooFew,
    /// Connections met another backend and never the first one again: they may have moved.
    Moved,
}

pub(crate) const UNIT: RuleDescription = RuleDescription {
    requires: "what is balanced is what `--expect per:…` says: requests (calls), or connections with all requests on them",
    sound: "per request by construction: one connection met a backend, then another, then the first again, each at the first attempt, the \
            next sent after the response before, while nothing was broken and that backend failed nothing; per connection at level \
            1e-8: connections took turns in random order, one after the other, and each kept to one of several backends",
    source: None,
};
