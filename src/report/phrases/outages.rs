//! The phrases of outages: what clients saw, and what each backend's traffic did.

use verdict::facts::recovery::{self, Measured, Quantity, Unknown};
use verdict::facts::resilience;
use verdict::finding::Level;
use verdict::numbers::{count_of, grouped, time};
use verdict::outcome::Outcome;
use verdict::report::{Affected, DrillStep, Pause};

use super::phrase::{Phrase, listed};
use crate::balancer::Balancer;
use crate::report::hints;

pub(super) fn resilience(facts: &resilience::ResilienceFacts, level: Level, product: Option<Balancer>) -> Phrase {
    let idle = facts.idle();
    let lost: Vec<String> =
        facts.without_response.iter().map(|(outcome, requests)| lost(*outcome, *requests)).collect();
    let lost = if lost.is_empty() { String::new() } else { format!(": {}", listed(&lost)) };
    let summary = format!("clients saw {}{lost}", count_of(facts.client_errors, "error"));
    let not_done: Vec<&str> = facts.remarks.iter().filter(|step| !step.done).map(|step| step.what.as_str()).collect();
    let phrase = match facts.client_errors {
        errors if !not_done.is_empty() && (errors == 0 || level == Level::Inconclusive) => {
            Phrase::of(format!("not carried out: {}; what was to be tried was not", listed(&not_done)))
                .try_this("see why below, and fix the steps")
        }
        _ if facts.blocked.is_some() => blocked(&summary, facts, product),
        0 if !idle.is_empty() => {
            Phrase::of(format!("no client saw an error, but {} had no traffic to lose", listed(&idle)))
                .try_this("break a backend that the balancer uses")
        }
        0 => Phrase::of("no client saw an error"),
        errors if errors == facts.nobody && facts.late == 0 => {
            Phrase::of(format!("{summary}, while no backend was in service"))
        }
        errors if errors == facts.nobody + facts.of_backends + facts.limited && facts.limited > 0 && facts.late == 0 => {
            Phrase::of(format!("{summary}, {} refused as before the first step", all_or(facts.limited, errors)))
        }
        errors if errors == facts.nobody + facts.of_backends && facts.late == 0 => {
            Phrase::of(format!("{summary}, {} from backends that no step touched", all_or(facts.of_backends, errors)))
        }
        _ if facts.late > 0 => {
            let late = grouped(facts.late);
            Phrase::of(format!("{summary}, {late} of them 10 s or longer after a backend was in service again"))
                .try_this(hints::of_recovery("find out how soon the balancer is to notice it", product))
        }
        // Commands touch no backend of the fleet: a reload, most likely.
        _ if facts.graceful && facts.backends.is_empty() => {
            Phrase::of(summary).try_this(hints::of_reload(product))
        }
        _ if facts.graceful => Phrase::of(summary).try_this(hints::of_unready(
            "a backend that drains or is not ready must cost nothing while others are up: its health check tells the balancer",
            product,
        )),
        _ if facts.lossless => Phrase::of(summary),
        _ => Phrase::of(summary)
            .try_this("an outage may cost requests; --expect lossless makes this a failure"),
    };
    phrase.because(facts.backends.iter().map(affected).chain(facts.remarks.iter().map(remark)).collect())
}

fn all_or(part: u64, all: u64) -> String {
    if part == all { "all".to_owned() } else { format!("{} of them", grouped(part)) }
}

/// One backend was broken, and nobody was served.
fn blocked(summary: &str, facts: &resilience::ResilienceFacts, product: Option<Balancer>) -> Phrase {
    let Some(blocked) = &facts.blocked else { return Phrase::of(summary) };
    let verb = if blocked.others.len() == 1 { "was" } else { "were" };
    if let Some(seconds) = blocked.refused_for {
        return Phrase::of(format!(
            "{summary}; while {} was broken, the balancer refused all requests for {}, {} in sequence, though {} {verb} up",
            blocked.backend,
            time(seconds),
            grouped(blocked.requests),
            listed(&blocked.others)
        ))
        .try_this(hints::of_breaker(product));
    }
    Phrase::of(format!(
        "{summary}; while {} was broken, {} reached nobody and {} reached {}, which {verb} up",
        blocked.backend,
        count_of(blocked.requests, "request"),
        grouped(blocked.served),
        listed(&blocked.others)
    ))
    .try_this(hints::of_blocked(product))
}

fn lost(outcome: Outcome, requests: u64) -> String {
    let requests = count_of(requests, "request");
    if outcome == Outcome::NotReached {
        format!("{requests} got no response and reached no backend")
    } else if outcome == Outcome::Lost {
        format!("{requests} reached a backend and got no response")
    } else {
        format!("{requests} got no response")
    }
}

pub(super) fn recovery(facts: &recovery::RecoveryFacts, product: Option<Balancer>) -> Phrase {
    let expected = &facts.expected;
    let backends: Vec<String> = facts.backends.iter().map(|it| measured(facts.quantity, it)).collect();
    if backends.is_empty() {
        return Phrase::of(format!("{expected}: not judged, no backend was broken"))
            .try_this("add an outage, such as --outage kill:9002@2s,start@6s");
    }
    let phrase = Phrase::of(format!("{expected}: {}", backends.join("; ")));
    match facts.backends.iter().find_map(|it| it.unknown) {
        Some(Unknown::Idle) => phrase.try_this("break a backend that the balancer uses"),
        Some(Unknown::NotMended) => phrase.try_this("end the outage with a step such as start@6s"),
        Some(Unknown::TooShort) => phrase.try_this("give the sample more time with --duration"),
        Some(Unknown::TooFew) => phrase.try_this("send more requests: a higher --rate, or a longer --duration"),
        Some(Unknown::Kept) => phrase.try_this(
            "clients stay where they were moved to: with --no-experiments, and no session expected, requests are those of new clients",
        ),
        Some(Unknown::ByLoad) => phrase.try_this(
            "least connections sends requests to whoever has nothing in flight: a slow start shows with round robin, or where each backend has several in flight",
        ),
        Some(Unknown::AtOnce) => phrase.try_this(
            "a balancer cannot count failures that are not over: a lower --rate, or a fault that fails at once, such as status:503:9002@2s",
        ),
        Some(Unknown::NeverOut) => phrase.try_this(
            "a time out of rotation shows from 0.3 s on, and with more requests than that backend gets by chance: a longer outage, a higher --rate",
        ),
        Some(Unknown::Limited) => phrase.try_this("stay below the limit with --rate"),
        Some(Unknown::Unrecorded) => phrase.try_this("use a fault that backends record, such as status:503:9002@2s"),
        None if facts.backends.iter().any(|it| it.holds == Some(false)) => {
            phrase.try_this(hints::of_recovery(what_decides(facts.quantity), product))
        }
        Some(Unknown::Unclear) => {
            phrase.try_this("break one backend, once, and send more requests before that and after its return")
        }
        None => phrase,
    }
}

fn what_decides(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Back => "the balancer decides when it tries a failed backend again",
        Quantity::Ejected | Quantity::ErrorsEnd => "the balancer decides when it leaves a failing backend out",
        Quantity::SlowStart => "the balancer decides how fast the share of a backend grows after its return",
    }
}

fn measured(quantity: Quantity, measured: &Measured) -> String {
    let backend = &measured.backend;
    let what = match (measured.unknown, quantity, measured.value) {
        (Some(Unknown::Idle), ..) => "no traffic before".to_owned(),
        (Some(Unknown::NotMended), ..) => "nothing ended the outage".to_owned(),
        (Some(Unknown::TooShort), ..) => "the sample ended too early".to_owned(),
        (Some(Unknown::TooFew), ..) => "too few requests came then to see whether it was back".to_owned(),
        (Some(Unknown::Kept), ..) => "all clients since then are kept by other backends".to_owned(),
        (Some(Unknown::AtOnce), ..) => "more requests failed, which were in flight at the same time".to_owned(),
        (Some(Unknown::NeverOut), ..) => "not seen out of rotation while it was broken".to_owned(),
        (Some(Unknown::Unrecorded), ..) => "failed attempts there were not recorded".to_owned(),
        (Some(Unknown::ByLoad), ..) => "load may decide who gets requests, and hide its weight".to_owned(),
        (Some(Unknown::Limited), ..) => "a limit, or the balancer, refuses requests all the time".to_owned(),
        (Some(Unknown::Unclear), ..) => "not clear by its share".to_owned(),
        (None, Quantity::Back, Some(seconds)) => format!("back after {}", time(seconds)),
        (None, Quantity::Back, None) => "not back by the end".to_owned(),
        (None, Quantity::Ejected, value) => {
            let failures = count_of(value.unwrap_or_default() as u64, "failed request");
            let until = if measured.stayed { ", and it stayed in rotation" } else { " before it was out of rotation" };
            format!("{failures}{until}")
        }
        (None, Quantity::ErrorsEnd, Some(seconds)) => format!("last client error after {}", time(seconds)),
        (None, Quantity::ErrorsEnd, None) => "no client error".to_owned(),
        (None, Quantity::SlowStart, Some(seconds)) => format!("as much as before after {}", time(seconds)),
        (None, Quantity::SlowStart, None) => "not as much as before by the end".to_owned(),
    };
    format!("{backend}: {what}")
}

fn affected(affected: &Affected) -> String {
    let backend = &affected.backend;
    if affected.received_before == 0 {
        return format!("{backend}: no traffic before");
    }
    let ramp = match affected.ramp {
        Some(seconds) if seconds >= 0.5 => format!("; as much as before {} later", time(seconds)),
        Some(_) => String::new(),
        None if affected.back_after.is_some() && affected.ramp_error.is_some() => {
            "; not as much as before by the end".to_owned()
        }
        None => String::new(),
    };
    let back = match affected.back_after {
        Some(seconds) => format!("back {} after its mend{ramp}", time(seconds)),
        None => "not back by the end".to_owned(),
    };
    let traffic = match affected.stopped_after {
        Some(seconds) => format!("{}; {back}", traffic_stopped(seconds)),
        None => {
            let received = format!("{} while it was broken", grouped(affected.received_meanwhile));
            let back = if affected.pauses.is_empty() { String::new() } else { format!("; {back}") };
            format!("it still received requests: {received}{back}")
        }
    };
    let errors = match affected.errors_end_after {
        Some(seconds) => {
            format!("{}, the last {} after the break", count_of(affected.client_errors, "client error"), time(seconds))
        }
        None => "no client error".to_owned(),
    };
    let pauses: Vec<String> = affected.pauses.iter().map(pause).collect();
    let pauses = if pauses.is_empty() { String::new() } else { format!("; out {} of the sample", pauses.join(", ")) };
    format!("{backend}: {traffic}; {errors}{pauses}")
}

/// When a broken backend got no traffic; none if it got some all the time. One that was out may have got some again, as after a reload,
/// before it was out for good.
pub(crate) fn traffic_meanwhile(affected: &Affected) -> Option<String> {
    let Some(seconds) = affected.stopped_after else { return out_of_rotation(affected) };
    let stopped = affected.broken + seconds;
    let is_earlier = |it: &&Pause| it.from >= affected.broken && it.until.is_some_and(|until| until <= stopped);
    let earlier: Vec<String> = affected.pauses.iter().filter(is_earlier).map(pause).collect();
    Some(if earlier.is_empty() {
        traffic_stopped(seconds)
    } else {
        format!("out {}, then traffic again until {stopped:.1} s", earlier.join(", "))
    })
}

/// How long after the break of a backend its traffic stopped.
fn traffic_stopped(seconds: f64) -> String {
    if seconds < 0.001 {
        "traffic stopped at once".to_owned()
    } else {
        format!("traffic stopped {} after the break", time(seconds))
    }
}

/// When a backend was left out while it was broken, though it got traffic again before its mend; none if it never was.
fn out_of_rotation(affected: &Affected) -> Option<String> {
    let mended = affected.mended.unwrap_or(f64::INFINITY);
    let meanwhile = affected.pauses.iter().filter(|pause| pause.from >= affected.broken && pause.from < mended);
    let pauses: Vec<String> = meanwhile.map(pause).collect();
    (!pauses.is_empty()).then(|| format!("out {}, then traffic again", pauses.join(", ")))
}

fn pause(pause: &Pause) -> String {
    let until = pause.until.map_or("the end".to_owned(), |until| format!("{until:.1} s"));
    let failures = match pause.failures_before {
        0 => String::new(),
        count => format!(" (after {})", count_of(count, "failure")),
    };
    format!("{:.1} s to {until}{failures}", pause.from)
}

fn remark(step: &DrillStep) -> String {
    let result = step.result.as_deref().unwrap_or_default();
    if step.done { format!("{}: {result}", step.what) } else { format!("{}: not done: {result}", step.what) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_gets_traffic_again_for_a_while_stopped_getting_it_before() {
        let pause = |from, until| Pause { from, until, failures_before: 0, known_before: 0 };
        let reloaded = Affected {
            broken: 1.0,
            stopped_after: Some(7.7),
            pauses: vec![pause(5.8, Some(8.1)), pause(8.7, None)],
            ..Affected::default()
        };
        assert_eq!(traffic_meanwhile(&reloaded).as_deref(), Some("out 5.8 s to 8.1 s, then traffic again until 8.7 s"));
        let left = Affected { pauses: vec![pause(8.7, None)], ..reloaded.clone() };
        assert_eq!(traffic_meanwhile(&left).as_deref(), Some("traffic stopped 7.70 s after the break"));
        assert_eq!(traffic_meanwhile(&Affected { stopped_after: None, pauses: Vec::new(), ..left }), None);
    }
}
