//! The rule of the split: requests are divided between groups of backends by the weights of the groups.

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;
use crate::facts::shares::{SharesSource, Test};

/// What a group of backends got: a Service of Kubernetes, an upstream, a cluster.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupShare {
    /// The name that the configuration has for it.
    pub group: String,
    /// Its backends.
    pub backends: Vec<String>,
    /// How many it got.
    pub count: u64,
    /// The part of all that it got, 0 to 1.
    pub share: f64,
    /// The part that its weight says, 0 to 1.
    pub expected: f64,
}

/// What the groups got, and how far that is from their weights.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SplitFacts {
    /// How many requests were counted.
    pub total: u64,
    /// The groups, in the order of the configuration.
    pub groups: Vec<GroupShare>,
    /// What says the weights.
    pub expected_by: SharesSource,
    /// What follows from the counts.
    pub conclusion: SplitConclusion,
    /// How the counts were compared with the weights.
    pub test: Test,
    /// How many would detect the deviation of `--tolerance`; null where they suffice.
    pub needed: Option<u64>,
}

/// What follows from the counts of groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SplitConclusion {
    /// Each group gets what its weight says.
    AsExpected,
    /// A group gets more or less than that.
    Deviates,
    /// The sample is too small to detect the deviation of `--tolerance`.
    TooFew,
    /// Backends failed meanwhile, or as many requests as are missing somewhere have no known first backend.
    Disturbed,
    /// Requests went to backends of none of the groups: another rule of the configuration may lead there.
    Elsewhere,
    /// Whether connections are divided or requests is not known.
    Unit,
    /// There are several URLs, and the groups are those of one rule.
    Urls,
    /// Clients stay with their backends, and how many clients there are decides.
    Affinity,
}

pub(crate) const SPLIT: RuleDescription = RuleDescription {
    requires: "where a file divides requests between groups of backends by weight (Services of a route, upstreams, clusters), each group gets \
               what its weight says, however its backends share that",
    sound: "level 4e-7 (as for shares), and 64 rotations are granted: draws and rotations by weight are nearer; it is inconclusive where \
            backends failed, requests have no known first backend, went elsewhere, or are not what is divided; in a drill, and where clients \
            stay with a backend, it is not judged",
    source: Some("Gateway API, HTTPBackendRef weight; NGINX split_clients; Envoy weighted_clusters"),
};
