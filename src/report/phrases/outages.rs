//! The phrases of outages: what clients saw, and what each backend's traffic did.

use verdict::facts::resilience;
use verdict::numbers::{count_of, time};
use verdict::report::{Affected, Step};

use super::{Phrase, listed};

pub(super) fn resilience(facts: &resilience::Facts) -> Phrase {
    let idle = facts.idle();
    let errors = count_of(facts.client_errors, "error");
    let phrase = match facts.client_errors {
        0 if !idle.is_empty() => {
            Phrase::of(format!("no client saw an error, but {} had no traffic to lose", listed(&idle)))
                .try_this("break a backend that the balancer uses")
        }
        0 => Phrase::of("no client saw an error"),
        _ if facts.graceful => Phrase::of(format!("clients saw {errors}")).try_this(
            "a drain or a reload must cost nothing: check that it is graceful (NGINX: QUIT and HUP, not TERM)",
        ),
        _ if facts.lossless => Phrase::of(format!("clients saw {errors}")),
        _ => Phrase::of(format!("clients saw {errors}"))
            .try_this("an outage may cost requests; --expect lossless makes this a failure"),
    };
    phrase.because(facts.backends.iter().map(affected).chain(facts.remarks.iter().map(remark)).collect())
}

fn affected(affected: &Affected) -> String {
    let backend = &affected.backend;
    if affected.received_before == 0 {
        return format!("{backend}: no traffic before");
    }
    let stopped = match affected.stopped_after {
        Some(seconds) if seconds < 0.001 => "traffic stopped at once".to_owned(),
        Some(seconds) => format!("traffic stopped after {}", time(seconds)),
        None => "traffic continued".to_owned(),
    };
    let back = match affected.back_after {
        Some(seconds) => format!("back after {}", time(seconds)),
        None => "not back by the end".to_owned(),
    };
    format!("{backend}: {stopped}; {back}; {} meanwhile", count_of(affected.client_errors, "client error"))
}

fn remark(step: &Step) -> String {
    format!("{}: {}", step.what, step.result.as_deref().unwrap_or_default())
}
