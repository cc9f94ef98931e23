//! The rule of the identity: responses tell backends apart, where those are not ours.

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;

/// Where responses say who gave them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IdentityFacts {
    /// As `--identity` takes it.
    pub place: String,
    /// Whether the user named it; else the check found it.
    pub chosen: bool,
    /// Whether what is found there says by its own name that it is a backend's: a header or a JSON field.
    pub named: bool,
    /// The names that were seen, the first of them.
    pub values: Vec<String>,
    /// How many were seen.
    pub count: u64,
    /// Names under which several processes may respond.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<SharedCounter>,
}

/// A counter that goes by several sequences under one name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SharedCounter {
    /// The backend's name.
    pub name: String,
    /// Where the counter stands, as `--identity` would take it.
    pub place: String,
    /// How many sequences there are.
    pub processes: u64,
    /// Its values in the order of the requests, the first of them.
    pub values: Vec<u64>,
}

/// Where the names of backends were found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentitySource {
    /// As `--identity` takes it.
    pub place: String,
    /// The user named it with `--identity`; else it was found.
    pub chosen: bool,
    /// It is a header or a JSON field that says by its name what it is.
    pub named: bool,
    /// Counters that contradict a name.
    pub shared: Vec<SharedCounter>,
}

pub(crate) const IDENTITY: RuleDescription = RuleDescription {
    requires: "responses of backends that are not ours have at least two names, at a place that names backends",
    sound: "by construction: it never fails a balancer; one name alone may be the balancer's own; a counter that goes by \
            several sequences under one name is only noted, as it may count for each connection",
    source: None,
};
