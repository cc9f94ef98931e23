//! The rules of the account: every request has one outcome, and outcomes are what a balancer owes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::finding::{self, Description, Finding, Level};
use crate::outcome::Outcome;
use crate::rules::{Case, Drill};

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

pub(crate) fn judge(case: &Case) -> Vec<Finding> {
    let tally = case.tally;
    let mut findings: Vec<Finding> = repeated(case).into_iter().collect();
    for outcome in Outcome::ALL {
        let count = match outcome {
            Outcome::NotReached => tally.of_outcome(outcome) - tally.benign,
            _ => tally.of_outcome(outcome),
        };
        if count > 0 {
            findings.extend(of_outcome(case, outcome, count));
        }
    }
    if tally.benign > 0 {
        findings.push(Finding::new(
            Level::Note,
            finding::Facts::IdleClose(Requests { requests: tally.benign, of: tally.sent }),
        ));
    }
    if tally.backend_errors > 0 {
        let level = if case.lossless() && case.drill != Drill::None { Level::Fail } else { Level::Note };
        findings.push(Finding::new(
            level,
            finding::Facts::BackendErrors(Requests { requests: tally.backend_errors, of: tally.sent }),
        ));
    }
    if !findings.iter().any(|finding| finding.level > Level::Note) && case.gaps.is_empty() {
        findings.push(Finding::new(
            Level::Pass,
            finding::Facts::Account(Facts {
                requests: tally.sent,
                delivered: tally.of_outcome(Outcome::Delivered),
                has_records: case.has_records(),
            }),
        ));
    }
    findings
}

fn of_outcome(case: &Case, outcome: Outcome, count: u64) -> Option<Finding> {
    let forgiving = if case.lossless() { Level::Fail } else { Level::Note };
    let requests = Requests { requests: count, of: case.tally.sent };
    let (level, facts) = match outcome {
        Outcome::Delivered => return None,
        Outcome::Retried => (Level::Note, finding::Facts::Retried(requests)),
        Outcome::Duplicated => (forgiving, finding::Facts::Duplicated(requests)),
        Outcome::Mirrored => (Level::Note, finding::Facts::Mirrored(requests)),
        Outcome::Lost => (forgiving, finding::Facts::Lost(requests)),
        Outcome::NotReached => (forgiving, finding::Facts::NotReached(requests)),
        Outcome::Balancer => {
            let own = OwnResponses {
                requests: count,
                of: case.tally.sent,
                statuses: case.tally.own_statuses.clone(),
                executed: case.tally.executed_unseen,
            };
            (forgiving, finding::Facts::Balancer(own))
        }
        Outcome::Stale => (Level::Fail, finding::Facts::Stale(requests)),
        Outcome::Swapped => (Level::Fail, finding::Facts::Swapped(requests)),
        Outcome::Truncated => (forgiving, finding::Facts::Truncated(requests)),
        Outcome::Altered => (Level::Fail, finding::Facts::Altered(requests)),
        Outcome::Unrecorded => (Level::Inconclusive, finding::Facts::Unrecorded(requests)),
        Outcome::NoResponse => (forgiving, finding::Facts::NoResponse(requests)),
    };
    let level = if case.expectations.allowed.contains(&outcome) { level.min(Level::Note) } else { level };
    let examples = case.tally.examples.get(&outcome).map_or(&[][..], Vec::as_slice);
    Some(Finding::new(level, facts).shown_by(case.witnesses(examples)))
}

/// A request that is not idempotent and reached backends more than once, whatever they made of it.
fn repeated(case: &Case) -> Option<Finding> {
    if case.is_idempotent() || case.tally.repeated == 0 || !case.has_records() {
        return None;
    }
    let facts = Repeated { requests: case.tally.repeated, method: case.method.to_owned() };
    let examples = case.ledger.entries().filter(|entry| entry.attempts.len() > 1).take(3);
    let examples: Vec<u32> = examples.map(|entry| entry.sequence).collect();
    Some(Finding::new(Level::Fail, finding::Facts::Repeated(facts)).shown_by(case.witnesses(&examples)))
}
