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
}

pub(crate) const STICKINESS: Description = Description {
    requires: "a client stays with its backend, where the algorithm has affinity",
    sound: "by construction: the response to a later request of a client came from another backend",
    source: None,
};

/// A client that forgets 1 time in 200 shows in so many requests with a probability of 99.9 %.
pub const ENOUGH: u64 = 1400;
