//! The rule of recovery: how soon errors end, a backend is out of rotation, and is back, as the user expects it.

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;

/// One expectation, and what each backend that was broken says of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoveryFacts {
    /// As it was typed, such as `back:5s`.
    pub expected: String,
    /// The time that is bounded: until ejection or until recovery.
    pub quantity: Quantity,
    /// One for each backend that was broken; empty if none was.
    pub backends: Vec<Measured>,
}

/// What is measured, and in which unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Seconds from the mend until the first delivered response.
    Back,
    /// Failed attempts until the backend got no more.
    Ejected,
    /// Seconds from the break until the last client error.
    ErrorsEnd,
    /// Seconds from the first response after the mend until the backend got as many requests as before.
    SlowStart,
}

/// What one backend says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Measured {
    /// Name of the backend.
    pub backend: String,
    /// The figure; null without one.
    pub value: Option<f64>,
    /// Whether it is as expected; null if that cannot be known.
    pub holds: Option<bool>,
    /// Why that cannot be known.
    pub unknown: Option<Unknown>,
    /// Whether it got requests all the time: then failures put it out of rotation at no time.
    #[serde(default)]
    pub stayed: bool,
}

/// Why an expectation of one backend cannot be judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// It had no traffic when it was broken.
    Idle,
    /// No step of the scenario ended the outage.
    NotMended,
    /// The sample ended too early.
    TooShort,
    /// Too few requests were sent when it had to be back: it may have been, and not yet its turn.
    TooFew,
    /// All clients that came since then are kept by other backends.
    Kept,
    /// What fails at a backend that is gone leaves no record.
    Unrecorded,
    /// While it was broken, it was at no time seen to be out of rotation, and too few failures show that it was not.
    NeverOut,
    /// More failed than are allowed, and they were in flight at the same time: the balancer could not know of that many.
    AtOnce,
    /// Load may decide who gets a request: a weight that grows shows only where several are in flight.
    ByLoad,
    /// The balancer refuses requests without any outage as well: their errors say nothing of it.
    Limited,
    /// The figure is too near to the limit for how exactly it is measured.
    Unclear,
}

pub(crate) const RECOVERY: RuleDescription = RuleDescription {
    requires: "errors end, backends leave the rotation and come back as --expect back, ejected, errors-end or slow-start says",
    sound: "by construction: what clients and records show between the break of a backend and its mend; what they do not show is inconclusive",
    source: None,
};
