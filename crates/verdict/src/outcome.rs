//! What became of a request: one class for each.

use serde::{Deserialize, Serialize};

http::named_enum! {
    /// The one class of an entry of the ledger.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[serde(rename_all = "kebab-case")]
    pub enum Outcome {
        /// One attempt, and its whole response came back.
        Delivered => "delivered",
        /// An attempt failed, another backend or the same was tried, and that response came back.
        Retried => "retried",
        /// More than one attempt was executed, and one response came back.
        Duplicated => "duplicated",
        /// Copies went to backends whose responses no client gets.
        Mirrored => "mirrored",
        /// A backend received it and no response came back.
        Lost => "lost",
        /// No backend received it and no response came back.
        NotReached => "not-reached",
        /// No backend's response came back but one of the balancer's own.
        Balancer => "balancer",
        /// A response came back that had been given to another request: a cache.
        Stale => "stale",
        /// The response to another request came back, which did not get it itself.
        Swapped => "swapped",
        /// The response ended before its end.
        Truncated => "truncated",
        /// The response is not as the backend wrote it.
        Altered => "altered",
        /// A backend refused to read the request, and its refusal came back.
        Refused => "refused",
        /// A backend responded of which the fleet has no record.
        Unrecorded => "unrecorded",
        /// No response came back, and whether a backend executed it cannot be known: the backends are not ours.
        NoResponse => "no-response",
        /// The client never sent it: until the end none of its connections was free.
        Unsent => "unsent",
    }

    /// As reports and `--allow` name it.
    fn name;
}
