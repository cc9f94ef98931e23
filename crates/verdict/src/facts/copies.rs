//! What the rule of hidden copies says: requests without our id that are like ours.

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;

/// Requests of others that look like ours.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CopyFacts {
    /// Requests without our id, with the method, target and body length of ours.
    pub alike: u64,
    /// Our requests of which exactly one of those arrived while they were under way, or just after.
    pub paired: u64,
    /// Requests of this check, of which copies were looked for.
    pub of: u64,
    /// How many of those say what a check sent (`Check-Request-Sent`), while no other check was seen.
    #[serde(default)]
    pub of_checks: u64,
    /// As the copies arrived: `POST /uuid`.
    pub request: String,
    /// Bytes of content of each.
    pub body_length: u64,
    /// Whether the check started the fleet itself, so that nobody else sends requests to it.
    pub own_fleet: bool,
}

pub(crate) const COPIES: RuleDescription = RuleDescription {
    requires: "no copy of a request reaches a backend without the request's id",
    sound: "by construction, and it fails only on a fleet that the check started: of others' requests that no health check looks \
            like, or of one for each of 95 % of 50 requests or more in its time with hardly any left over, a hundred a second or \
            more at each backend, as no balancer checks health; elsewhere both are inconclusive, and so is one that carries Check-Request-Sent, which only checks send",
    source: Some("RFC 9110 §9.2.2"),
};
