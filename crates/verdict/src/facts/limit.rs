//! The rule of the rate limit: the check sends no more than the balancer allows.

use crate::facts::RuleDescription;

/// The limit on the rate of requests that was inferred.
pub type LimitFacts = crate::limit::RateLimit;

pub(crate) const RATE_LIMIT: RuleDescription = RuleDescription {
    requires: "the balancer does not refuse requests because of their rate",
    sound: "by construction: it never fails a balancer; what a limit refuses says nothing about balancing",
    source: Some("RFC 6585 §4"),
};
