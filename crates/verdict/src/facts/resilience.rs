//! The rule of resilience: clients see no errors while something is broken, where nothing may be lost.

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;
use crate::outcome::Outcome;
use crate::timeline::Affected;

/// Something that was done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DrillStep {
    /// Seconds since the sample began.
    pub at: f64,
    /// The step as it was typed.
    pub what: String,
    /// Whether it was carried out.
    pub done: bool,
    /// Why not, or what a command printed.
    pub result: Option<String>,
}

/// What an outage did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResilienceFacts {
    /// Requests that a client would call failed, from the first step on.
    pub client_errors: u64,
    /// Of those, requests that came when the steps had left no backend in service.
    #[serde(default)]
    pub nobody: u64,
    /// Of these, requests that came later than most balancers need to notice that a backend is in service again.
    #[serde(default)]
    pub late: u64,
    /// Of the errors, those that backends account for which no step touched: they responded with an error, or refused the stream.
    #[serde(default)]
    pub of_backends: u64,
    /// Of the errors, those with which a limit refused requests, as it did before the first step or as the status says.
    #[serde(default)]
    pub limited: u64,
    /// Whether no client may see an error.
    pub lossless: bool,
    /// Whether only things were done that a good balancer hides.
    pub graceful: bool,
    /// What happened to each backend that was touched.
    pub backends: Vec<Affected>,
    /// Steps that went wrong or printed something.
    pub remarks: Vec<DrillStep>,
    /// Requests that reached nobody though others than the broken backend were up; null if they were few.
    #[serde(default)]
    pub blocked: Option<Blocked>,
    /// Requests without a response, by what became of them, where no client saw an error before the first step: then that is their cause.
    #[serde(default)]
    pub without_response: Vec<(Outcome, u64)>,
}

/// While one backend was broken, the balancer served nobody.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Blocked {
    /// The backend that was broken.
    pub backend: String,
    /// Those that were up, and had got requests before.
    pub others: Vec<String>,
    /// Requests that were sent meanwhile, got no response of a backend and reached none.
    pub requests: u64,
    /// Requests that were sent meanwhile and reached one of the others.
    pub served: u64,
    /// Where the balancer refused them itself: for how many seconds it refused all; null if it gave no response.
    #[serde(default)]
    pub refused_for: Option<f64>,
}

impl Blocked {
    /// Whether the balancer itself refused all.
    pub fn is_refused(&self) -> bool {
        self.refused_for.is_some()
    }
}

impl ResilienceFacts {
    /// Backends that had no traffic when they were broken: their outage shows nothing.
    pub fn idle(&self) -> Vec<&str> {
        self.backends.iter().filter(|it| it.received_before == 0).map(|it| it.backend.as_str()).collect()
    }
}

pub(crate) const RESILIENCE: RuleDescription = RuleDescription {
    requires: "no client sees an error during an outage that a balancer can hide, or with --expect lossless; and one broken backend does \
               not keep requests from all others",
    sound: "by construction: the client got an error, some backend was in service, and no backend that was left alone says in its \
            records that it failed the request itself; after all had been out, errors are inconclusive for as \
            long as the balancer may keep away from them; requests are kept from others where at least 30 that were sent meanwhile reached \
            nobody and got no response, fifty times as many as reached the others, which had got a fifth of all in the second before; or \
            where the balancer itself refused all for a second or longer, 30 requests and more than chance explains (level 1e-9), while \
            the others, which had not failed, had nothing to do",
    source: None,
};
