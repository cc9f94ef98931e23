//! The rule of the rate limit: the check sends no more than the balancer allows.

use crate::facts::Description;

/// The limit.
pub type Facts = crate::limit::RateLimit;

pub(crate) const RATE_LIMIT: Description = Description {
    requires: "the balancer does not refuse requests because of their rate",
    sound: "by construction: it never fails a balancer; what a limit refuses says nothing about balancing",
    source: Some("RFC 6585 §4"),
};
