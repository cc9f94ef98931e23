//! What the account says: every request has one outcome, and outcomes are what a balancer owes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::facts::Description;

/// All requests of the run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Facts {
    /// Requests.
    pub requests: u64,
    /// Of those, the ones with one attempt whose response came back.
    pub delivered: u64,
    /// Whether the backends' side is known.
    pub has_records: bool,
}

/// Requests with one outcome.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Requests {
    /// How many.
    pub requests: u64,
    /// Of all that were sent.
    pub of: u64,
}

/// Responses of the balancer itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OwnResponses {
    /// How many requests got one.
    pub requests: u64,
    /// Of all that were sent.
    pub of: u64,
    /// How many of each status.
    pub statuses: BTreeMap<u16, u64>,
    /// Of those, how many a backend had executed.
    pub executed: u64,
}

/// Requests that must not be repeated.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Repeated {
    /// How many reached backends more than once.
    pub requests: u64,
    /// Their method.
    pub method: String,
}

pub(crate) const ACCOUNT: Description = Description {
    requires: "both ends explain every request",
    sound: "by construction: it passes where no other rule of the account objects",
    source: None,
};

pub(crate) const RETRIED: Description = Description {
    requires: "nothing: retries that succeeded are described",
    sound: "by construction: it is a note",
    source: None,
};

pub(crate) const DUPLICATED: Description = Description {
    requires: "no request is executed by more than one attempt",
    sound: "by construction: two backends recorded that they completed the same request with a status below 500",
    source: Some("RFC 9110 §9.2.2"),
};

pub(crate) const REPEATED: Description = Description {
    requires: "a request whose method is not idempotent reaches one backend once",
    sound: "by construction: two backends recorded the same request",
    source: Some("RFC 9110 §9.2.2"),
};

pub(crate) const MIRRORED: Description = Description {
    requires: "nothing: copies whose responses no client gets are described",
    sound: "by construction: a backend executed twenty requests or more and never responded to a client",
    source: None,
};

pub(crate) const LOST: Description = Description {
    requires: "a request that a backend received gets its response",
    sound: "by construction: a backend recorded the request and the client got nothing",
    source: None,
};

pub(crate) const NOT_REACHED: Description = Description {
    requires: "every request reaches a backend or gets a response",
    sound: "by construction: no backend recorded the request and the client got nothing",
    source: None,
};

pub(crate) const IDLE_CLOSE: Description = Description {
    requires: "nothing: either side may close an idle connection at any time",
    sound: "by construction: it is a note",
    source: Some("RFC 9112 §9.5"),
};

pub(crate) const BALANCER: Description = Description {
    requires: "backends respond, not the balancer itself",
    sound: "by construction: the response carries no mark of a backend",
    source: Some("RFC 9110 §15.6"),
};

pub(crate) const BACKEND_ERRORS: Description = Description {
    requires: "backends respond with a status below 400, where no client may see an error",
    sound: "by construction: the backend recorded that status",
    source: None,
};

pub(crate) const UNRECORDED: Description = Description {
    requires: "every response comes from a backend of the fleet",
    sound: "by construction: it never fails a balancer, an unknown backend is inconclusive",
    source: None,
};

pub(crate) const NO_RESPONSE: Description = Description {
    requires: "every request gets a response",
    sound: "by construction: the client got nothing",
    source: None,
};
