//! The rule of stickiness: a client, or a key, stays with its backend while that is up.

use serde::{Deserialize, Serialize};

use crate::facts::Description;

/// How often clients left their backends.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Facts {
    /// Clients that got a response.
    pub clients: u64,
    /// Requests that were sent after their client had got its first response.
    pub later: u64,
    /// Of those, the ones that went to another backend.
    pub left: u64,
    /// Of these, the ones whose backend was there at that time: it went on getting requests.
    #[serde(default)]
    pub left_alive: u64,
    /// Of these, the ones whose backend got nothing any more.
    #[serde(default)]
    pub left_gone: u64,
    /// Whether a backend was taken away meanwhile, on purpose.
    #[serde(default)]
    pub is_backend_away: bool,
}

pub(crate) const STICKINESS: Description = Description {
    requires: "a client stays with its backend, where the algorithm has affinity",
    sound: "by construction: the response to a later request of a client came from another backend; where a backend was taken away on \
            purpose, moves are reported and not judged",
    source: None,
};

/// A client that forgets 1 time in 200 shows in this number of requests with a probability of 99.9 %.
pub const ENOUGH: u64 = 1400;
