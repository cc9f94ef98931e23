//! PURE. What clients noticed while something was broken on purpose: told always, a rule where nothing may be lost.

use crate::numbers::count_of;
use crate::report::{Affected, Finding, Level, Outage};
use crate::rules::{Case, Drill, finding};

/// What an outage did.
pub fn judge(case: &Case, outage: Option<&Outage>) -> Option<Finding> {
    let outage = outage?;
    let errors = outage.client_errors;
    let failed: Vec<String> =
        outage.steps.iter().filter_map(|step| Some(format!("{}: {}", step.what, step.result.as_ref()?))).collect();
    let idle: Vec<&str> =
        outage.backends.iter().filter(|it| it.received_before == 0).map(|it| it.backend.as_str()).collect();
    let mut found = match (errors, case.lossless()) {
        (0, lossless) if !idle.is_empty() => {
            let outcome = if lossless { Level::Inconclusive } else { Level::Note };
            let summary = format!("no client saw an error, but {} had no traffic that could be lost", idle.join(", "));
            let mut open = finding("resilience", outcome, summary);
            open.hint = Some("break a backend that the balancer uses".to_owned());
            open
        }
        (0, _) => finding("resilience", Level::Pass, "no client saw an error"),
        (_, true) => finding("resilience", Level::Fail, format!("clients saw {}", count_of(errors, "error"))),
        (_, false) => {
            let mut note = finding("resilience", Level::Note, format!("clients saw {}", count_of(errors, "error")));
            note.hint = Some("an outage may cost requests, so this is not judged; --expect lossless does".to_owned());
            note
        }
    };
    if case.drill == Drill::Graceful && errors > 0 {
        found.hint = Some(
            "a drain or a reload must cost nothing: is it graceful (QUIT and HUP, not TERM, for NGINX)?".to_owned(),
        );
    }
    found.evidence = outage.backends.iter().map(told).chain(failed).collect();
    Some(found)
}

fn told(affected: &Affected) -> String {
    if affected.received_before == 0 {
        return format!("{}: nothing had been sent there", affected.backend);
    }
    let stopped = match affected.stopped_after {
        Some(seconds) if seconds < 0.001 => "nothing was sent there any more at once".to_owned(),
        Some(seconds) => format!("the balancer stopped sending there after {seconds:.3} s"),
        None => "the balancer went on sending there".to_owned(),
    };
    let back = match affected.back_after {
        Some(seconds) => format!("back {seconds:.3} s after it was mended"),
        None => "not back by the end".to_owned(),
    };
    format!("{}: {stopped}; {back}; {} meanwhile", affected.backend, count_of(affected.client_errors, "client error"))
}
