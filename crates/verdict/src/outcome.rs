//! What became of a request: one class for each.

use serde::{Deserialize, Serialize};

/// The one class of an entry of the ledger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// One attempt, and its whole response came back.
    Delivered,
    /// An attempt failed, another backend or the same was tried, and that response came back.
    Retried,
    /// More than one attempt was executed, and one response came back.
    Duplicated,
    /// Copies went to backends whose responses no client gets.
    Mirrored,
    /// A backend received it and no response came back.
    Lost,
    /// No backend received it and no response came back.
    NotReached,
    /// No backend's response came back but one of the balancer's own.
    Balancer,
    /// A response came back that had been given to another request: a cache.
    Stale,
    /// The response to another request came back, which did not get it itself.
    Swapped,
    /// The response ended before its end.
    Truncated,
    /// The response is not as the backend wrote it.
    Altered,
    /// A backend refused to read the request, and its refusal came back.
    Refused,
    /// A backend responded of which the fleet has no record.
    Unrecorded,
    /// No response came back, and whether a backend executed it cannot be known: the backends are not ours.
    NoResponse,
}

impl Outcome {
    /// All of them, in the order in which reports list them.
    pub const ALL: [Outcome; 14] = [
        Outcome::Delivered,
        Outcome::Retried,
        Outcome::Duplicated,
        Outcome::Mirrored,
        Outcome::Lost,
        Outcome::NotReached,
        Outcome::Balancer,
        Outcome::Stale,
        Outcome::Swapped,
        Outcome::Truncated,
        Outcome::Altered,
        Outcome::Refused,
        Outcome::Unrecorded,
        Outcome::NoResponse,
    ];

    /// As reports and `--allow` name it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Retried => "retried",
            Outcome::Duplicated => "duplicated",
            Outcome::Mirrored => "mirrored",
            Outcome::Lost => "lost",
            Outcome::NotReached => "not-reached",
            Outcome::Balancer => "balancer",
            Outcome::Stale => "stale",
            Outcome::Swapped => "swapped",
            Outcome::Truncated => "truncated",
            Outcome::Altered => "altered",
            Outcome::Refused => "refused",
            Outcome::Unrecorded => "unrecorded",
            Outcome::NoResponse => "no-response",
        }
    }

    /// Whether no response of a backend came back: the backends, or the way to them, failed the client.
    pub fn is_failure(self) -> bool {
        match self {
            Outcome::Lost | Outcome::NotReached | Outcome::Balancer | Outcome::Truncated | Outcome::NoResponse => true,
            Outcome::Delivered | Outcome::Retried | Outcome::Duplicated | Outcome::Mirrored => false,
            Outcome::Stale | Outcome::Swapped | Outcome::Altered | Outcome::Refused | Outcome::Unrecorded => false,
        }
    }
}
