//! The rule of resilience: clients see no errors while something is broken, where nothing may be lost.

use crate::facts::resilience::ResilienceFacts;
use crate::finding::{self, Finding, Level};
use crate::report::Outage;
use crate::rules::case::{Case, Drill};

pub(crate) fn judge(case: &Case, outage: Option<&Outage>) -> Option<Finding> {
    let outage = outage?;
    let facts = facts_of(case, outage);
    let level = match (outage.client_errors, case.lossless()) {
        (0, true) if !facts.idle().is_empty() => Level::Inconclusive,
        (0, false) if !facts.idle().is_empty() => Level::Note,
        (0, _) => Level::Pass,
        (_, true) => Level::Fail,
        (_, false) => Level::Note,
    };
    // Nothing follows from what was not tried.
    let level = if was_carried_out(outage) { level } else { level.max(Level::Inconclusive) };
    Some(Finding::new(level, finding::Facts::Resilience(facts)))
}

/// For streams, whose ends have rules of their own: what was to be tried was not.
pub(crate) fn judge_steps(case: &Case, outage: Option<&Outage>) -> Option<Finding> {
    let outage = outage.filter(|outage| !was_carried_out(outage))?;
    Some(Finding::new(Level::Inconclusive, finding::Facts::Resilience(facts_of(case, outage))))
}

fn was_carried_out(outage: &Outage) -> bool {
    outage.steps.iter().all(|step| step.done)
}

fn facts_of(case: &Case, outage: &Outage) -> ResilienceFacts {
    ResilienceFacts {
        client_errors: outage.client_errors,
        lossless: case.lossless(),
        graceful: case.drill == Drill::Graceful,
        backends: outage.backends.clone(),
        remarks: outage.steps.iter().filter(|step| !step.done || step.result.is_some()).cloned().collect(),
    }
}
