//! Experiments that were not made, and why: what they would have shown is not known.

use serde::{Deserialize, Serialize};

/// Why an experiment was not made, or not to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The user wants no experiments.
    NotWanted,
    /// Responses are slow: it does not fit into the experiments' time.
    NoTime,
    /// It does not fit into the number of requests that the user allows.
    NoRequests,
    /// A cache or the balancer itself gave the responses.
    Cached,
    /// No response of a backend came back whole.
    NothingWhole,
    /// Source addresses cannot be chosen: the balancer is on another machine.
    Impossible,
    /// Backends are not ours and cannot be asked to take their time.
    NotOurs,
    /// Calls keep their method, and only ours can be asked to hold its response back.
    Call,
    /// The balancer waits for responses too shortly for any to be held back.
    Impatient,
    /// The user's own credentials, cookies and Host are left as they are.
    Own,
    /// The balancer serves too few connections at once.
    FewConnections,
    /// Clients that bring nothing back reach one backend as well.
    AllToOne,
    /// The balancer closes each connection after its request, so both are the same.
    NotKept,
}

/// An experiment that is missing: what it would have shown is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The order in which new connections meet backends, with the number of requests that were sent.
    Order {
        /// Requests that were sent.
        sent: usize,
        /// Why there were no more.
        why: SkipReason,
    },
    /// Whether connections are balanced, or requests.
    Connections(SkipReason),
    /// Different source addresses.
    Source(SkipReason),
    /// Different paths.
    Path(SkipReason),
    /// Different bodies.
    Body(SkipReason),
    /// Different values of a header.
    Header(SkipReason),
    /// Cookies that the client brings.
    Cookie(SkipReason),
    /// Cookies that the balancer issues.
    Jar(SkipReason),
    /// Backends that are kept busy.
    Load(SkipReason),
}

impl Missing {
    /// All of them, for that reason.
    pub fn all(why: SkipReason) -> Vec<Missing> {
        vec![
            Missing::Order { sent: 0, why },
            Missing::Connections(why),
            Missing::Source(why),
            Missing::Path(why),
            Missing::Header(why),
            Missing::Cookie(why),
            Missing::Load(why),
        ]
    }
}
