//! The rule of resilience: clients see no errors while something is broken, where nothing may be lost.

use serde::{Deserialize, Serialize};

use crate::finding::{self, Description, Finding, Level};
use crate::report::{Affected, Outage, Step};
use crate::rules::{Case, Drill};

/// What an outage did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Facts {
    /// Requests that a client would call failed, from the first step on.
    pub client_errors: u64,
    /// Whether no client may see an error.
    pub lossless: bool,
    /// Whether only things were done that a good balancer hides.
    pub graceful: bool,
    /// What happened to each backend that was touched.
    pub backends: Vec<Affected>,
    /// Steps that went wrong or printed something.
    pub remarks: Vec<Step>,
}

impl Facts {
    /// Backends that had no traffic when they were broken: their outage shows nothing.
    pub fn idle(&self) -> Vec<&str> {
        self.backends.iter().filter(|it| it.received_before == 0).map(|it| it.backend.as_str()).collect()
    }
}

pub(crate) const RESILIENCE: Description = Description {
    requires: "no client sees an error during an outage that a balancer can hide, or with --expect lossless",
    sound: "by construction: the client got an error",
    source: None,
};

pub(crate) fn judge(case: &Case, outage: Option<&Outage>) -> Option<Finding> {
    let outage = outage?;
    let facts = Facts {
        client_errors: outage.client_errors,
        lossless: case.lossless(),
        graceful: case.drill == Drill::Graceful,
        backends: outage.backends.clone(),
        remarks: outage.steps.iter().filter(|step| step.result.is_some()).cloned().collect(),
    };
    let level = match (outage.client_errors, case.lossless()) {
        (0, true) if !facts.idle().is_empty() => Level::Inconclusive,
        (0, false) if !facts.idle().is_empty() => Level::Note,
        (0, _) => Level::Pass,
        (_, true) => Level::Fail,
        (_, false) => Level::Note,
    };
    Some(Finding::new(level, finding::Facts::Resilience(facts)))
}
