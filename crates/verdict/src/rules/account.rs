//! The rules of the account: every request has one outcome, and outcomes are what a balancer owes.

use crate::facts::account::{Facts, OwnResponses, Repeated, Requests};
use crate::finding::{self, Finding, Level};
use crate::outcome::Outcome;
use crate::rules::case::{Case, Drill};
use crate::rules::responses;

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
        Outcome::Altered => (Level::Fail, finding::Facts::Altered(responses::altered(case, count))),
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
    let facts = Repeated { requests: case.tally.repeated, method: case.sent.method.to_owned() };
    let examples = case.ledger.entries().filter(|entry| entry.attempts.len() > 1).take(3);
    let examples: Vec<u32> = examples.map(|entry| entry.sequence).collect();
    Some(Finding::new(Level::Fail, finding::Facts::Repeated(facts)).shown_by(case.witnesses(&examples)))
}
