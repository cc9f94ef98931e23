//! The phrases of the account: what became of requests, and what to do about it.

use std::collections::BTreeMap;

use http::grpc::GrpcStatus;
use verdict::facts::account::{
    AccountFacts, BackendStatuses, GivenUp, IdleCloses, Losses, Mirrored, OwnResponses, Repeated, Requests,
    RetriedRequests, StaleResponses, Subrequests, TruncatedResponses, UnrecordedResponses,
};
use verdict::facts::records::{RecordFacts, RecordGap};
use verdict::facts::tls::Refused;
use verdict::facts::{copies, limit};
use verdict::finding::{Facts, Finding, Level};
use verdict::grpc::call_of_status;
use verdict::limit::{LimitKind, NoTrial};
use verdict::numbers::{count_of, grouped, percent, time};
use verdict::report::{Variation, VariedPart};

use super::phrase::{Phrase, by_backend, by_lines, gave_up, listed};
use crate::balancer::Balancer;
use crate::report::hints::{self, OwnResponse};

fn requests(facts: &Requests) -> String {
    count_of(facts.requests, "request")
}

fn them(count: u64) -> &'static str {
    if count == 1 { "it" } else { "them" }
}

fn were(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

/// `300× 503, 2× 502`
/// For gRPC calls each HTTP status corresponds to one of theirs.
fn counted(statuses: &BTreeMap<u16, u64>, of_calls: bool) -> String {
    let name = |status: u16| match call_of_status(status).filter(|_| of_calls) {
        Some(call) => format!("{call} (counted as {status})"),
        // What could not be read has none.
        None if status == 0 => "malformed".to_owned(),
        None => status.to_string(),
    };
    let counts: Vec<String> =
        statuses.iter().map(|(status, count)| format!("{}× {}", grouped(*count), name(*status))).collect();
    counts.join(", ")
}

/// What an outage excuses of it.
fn excused(excused: u64, of: u64) -> String {
    match excused {
        0 => String::new(),
        all if all == of => "; the outage explains that".to_owned(),
        some => format!("; the outage explains {} of them", grouped(some)),
    }
}

/// In what the requests of virtual clients differ, and how long sessions were seen: one that ends later ends unseen.
pub(crate) fn variation(variation: &Variation, findings: &[Finding]) -> String {
    let clients = variation.clients;
    let longest = findings.iter().find_map(|finding| match &finding.facts {
        Facts::Stickiness(facts) if facts.longest > 0 => Some(facts.longest),
        _ => None,
    });
    let used = longest.map_or_else(String::new, |longest| format!(", used up to {} times", grouped(longest + 1)));
    match &variation.by {
        VariedPart::Source => format!("{clients} source addresses"),
        VariedPart::Path => format!("{clients} paths"),
        VariedPart::Header(name) => format!("{clients} values of the header {name}"),
        VariedPart::Cookie(name) => format!("{clients} values of the cookie {name}"),
        VariedPart::Session => format!("{clients} clients, each with the session that a backend opened for it{used}"),
        VariedPart::Cookies => format!("{clients} clients, each with the cookies that it was given{used}"),
    }
}

pub(super) fn records(facts: &RecordFacts) -> Phrase {
    Phrase::of("the records of the backends are incomplete").because(facts.gaps.iter().map(gap).collect())
}

fn gap(gap: &RecordGap) -> String {
    let at = |host: &Option<String>| host.as_ref().map_or_else(String::new, |host| format!(" at {host}"));
    match gap {
        RecordGap::NoFleet { control } => {
            format!("no fleet responds at {control}: start it, or leave its --fleet out")
        }
        RecordGap::Overwritten { host, records } => {
            let records = count_of(*records, "record");
            format!("the fleet{} lost {records}: start it with larger --journal-records", at(host))
        }
        RecordGap::Evicted { host, records } => {
            let records = count_of(*records, "record");
            format!("the fleet{} evicted {records} before the check had read them", at(host))
        }
        RecordGap::Unreachable { why } => format!("the fleet stopped responding: {why}"),
        RecordGap::NoRequestIds => "the balancer strips the header Check-Request-Id: retried, lost and duplicated \
             requests cannot be recognised"
            .to_owned(),
    }
}

pub(super) fn rate_limit(facts: &limit::LimitFacts, product: Option<Balancer>) -> Phrase {
    let rate = |rate: f64| grouped(rate.round() as u64);
    let refused = format!("{} got {}", count_of(facts.refused, "request"), facts.status);
    let hint = |stay: &str| hints::of_limit(stay, facts.status, product);
    if let Some(why) = facts.untried {
        let responded =
            format!("the balancer itself responded to {} with {}", count_of(facts.refused, "request"), facts.status);
        let (summary, left_out, without) = match why {
            NoTrial::Drill => (format!("{responded}, also before the first step"), "a drill", "the drill"),
            NoTrial::Budget => (responded, "a check with --budget", "--budget"),
        };
        return Phrase::of(summary)
            .because(vec![format!("a limit may refuse them, or the balancer fails: {left_out} does not try which")])
            .try_this(format!(
                "check without {without}, which tries it; if it is a limit, {}",
                hint("stay below it with --rate")
            ));
    }
    if let Some(LimitKind::AtOnce(at_once)) = facts.kind {
        return Phrase::of(format!("a limit of {at_once} requests at once: {refused}"))
            .because(vec![format!(
                "as many requests at a slow pace all passed; with more than {at_once} in flight the rest was refused"
            )])
            .try_this(hint(&format!("stay below it with -c {at_once}")));
    }
    let at_once = facts.at_once.filter(|_| facts.kind.is_none());
    match (facts.passed, facts.sent, facts.suggested()) {
        (Some(passed), Some(sent), Some(suggested)) if let Some(at_once) = at_once => Phrase::of(format!(
            "a limit of about {at_once} requests at once, or of {}/s: {refused}, sent at {}/s",
            rate(passed),
            rate(sent)
        ))
        .try_this(hint(&format!("stay below it with -c {at_once} or --rate {suggested}"))),
        (Some(passed), Some(sent), Some(suggested)) => {
            Phrase::of(format!("a rate limit of about {}/s: {refused}, sent at {}/s", rate(passed), rate(sent)))
                .try_this(hint(&format!("stay below it with --rate {suggested}")))
        }
        _ => match at_once {
            Some(at_once) => {
                Phrase::of(format!("a limit of about {at_once} requests at once, or of the rate: {refused}"))
                    .try_this(hint(&format!("stay below it with -c {at_once} or --rate")))
            }
            None if facts.kind.is_some() => {
                Phrase::of(format!("a rate limit: {refused}")).try_this(hint("stay below it with --rate"))
            }
            None => Phrase::of(format!("a rate limit, or a limit of requests at once: {refused}"))
                .try_this(hint("stay below it with --rate, or with fewer connections (-c)")),
        },
    }
}

pub(super) fn account(facts: &AccountFacts) -> Phrase {
    let all = grouped(facts.requests);
    Phrase::of(match facts.has_records {
        true if facts.delivered == facts.requests => format!("all {all} requests: one attempt, one response each"),
        true if facts.excused > 0 => {
            format!("both ends explain all {all} requests; the outage explains {}", count_of(facts.excused, "error"))
        }
        true => format!("both ends explain all {all} requests"),
        false => format!("all {all} requests got a response; without records, retries and repeats are unknown"),
    })
}

pub(super) fn retried(facts: &RetriedRequests, product: Option<Balancer>) -> Phrase {
    let mut evidence = Vec::new();
    if facts.failed > 0 {
        evidence.push(format!("{} got an error all the same", count_of(facts.failed, "request")));
    }
    if facts.begun > 0 {
        evidence.push(format!(
            "of {} the first backend had begun to work: an application may execute them twice",
            count_of(facts.begun, "request")
        ));
    }
    let summary = match facts.same_backend {
        0 => format!("{} {} retried at another backend", count_of(facts.requests, "request"), were(facts.requests)),
        same => format!(
            "{} {} retried, {} of them at the same backend that had just failed",
            count_of(facts.requests, "request"),
            were(facts.requests),
            grouped(same)
        ),
    };
    let phrase = Phrase::of(summary).because(evidence);
    match hints::of_same_host(product) {
        Some(hint) if facts.same_backend > 0 => phrase.try_this(hint),
        _ => phrase,
    }
}

pub(super) fn duplicated(facts: &Requests, product: Option<Balancer>) -> Phrase {
    Phrase::of(format!("{} {} executed more than once", requests(facts), were(facts.requests)))
        .try_this(hints::of_double_execution(product))
}

pub(super) fn repeated(facts: &Repeated, product: Option<Balancer>) -> Phrase {
    let requests = count_of(facts.requests, &facts.method);
    if facts.unavailable {
        return Phrase::of(format!("{requests} reached backends more than once, after UNAVAILABLE each time"))
            .try_this("right for a method that may be called twice: --allow retried; for another, let the balancer not repeat its calls");
    }
    Phrase::of(format!("{requests} reached backends more than once")).try_this(hints::of_repeat(product))
}

pub(super) fn mirrored(facts: &Mirrored, level: Level, product: Option<Balancer>) -> Phrase {
    let Mirrored { requests, of, other_requests, .. } = facts;
    let mirrors = listed(&facts.mirrors);
    let share = percent(*requests as f64 / (*of).max(1) as f64);
    let summary = match facts.expected {
        Some(expected) if facts.duplicated > 0 => format!(
            "{share} of the requests were mirrored, {} expected; {} more were executed twice by backends that respond to clients, too: \
             which is the copy is not known",
            percent(expected),
            grouped(facts.duplicated)
        ),
        Some(expected) => format!("{share} of the requests were mirrored, {} expected", percent(expected)),
        None if *other_requests > 0 => {
            format!(
                "{} were executed twice: copies went to {mirrors} as another request",
                count_of(*requests, "request")
            )
        }
        None if facts.refused => {
            format!(
                "{share} of the requests were also sent to {mirrors}, which refused all of them: not executed there"
            )
        }
        None => format!("{share} of the requests were also copied to {mirrors}, a mirror: they were executed twice"),
    };
    let mut evidence = Vec::new();
    if *other_requests > 0 {
        evidence.push(format!(
            "{} arrived at the mirror with another method, path or query",
            if *other_requests == 1 { "1 copy".to_owned() } else { format!("{} copies", grouped(*other_requests)) }
        ));
    }
    let phrase = match facts.held {
        Some((copy, more)) => Phrase::of(format!(
            "{summary}; the mirror is slow ({} a copy), and requests wait {} longer than their backend",
            time(copy),
            time(more)
        ))
        .try_this(
            "NGINX keeps the client's connection until the copy is done: make the mirror fast, or its timeout short",
        ),
        None => Phrase::of(summary),
    };
    let phrase = phrase.because(evidence);
    match (level, facts.held) {
        (_, None) if facts.refused => phrase.try_this(
            "either a mirror that lacks the path, or the balancer asks another backend where one lacks it (NGINX proxy_next_upstream http_404, \
             HAProxy retry-on 404)",
        ),
        (Level::Fail, None) => phrase.try_this(hints::of_mirror(product)),
        _ => phrase,
    }
}

pub(super) fn subrequests(facts: &Subrequests) -> Phrase {
    Phrase::of(format!(
        "the balancer sent {} of its own to {} before it passed requests on, as authentication does (NGINX auth_request, Traefik forwardAuth)",
        count_of(facts.requests, "request"),
        listed(&facts.backends)
    ))
}

pub(super) fn given_up(facts: &GivenUp, product: Option<Balancer>) -> Phrase {
    let stopped = facts.after.map(|(median, most)| {
        let stopped = if facts.stopped == facts.requests { "they".to_owned() } else { grouped(facts.stopped) };
        format!("{stopped} stopped {} later (median), {} at most", time(median), time(most))
    });
    let executed = (facts.executed > 0).then(|| format!("{} executed to the end, for nobody", grouped(facts.executed)));
    let became: Vec<String> = stopped.into_iter().chain(executed).collect();
    let ends = if became.is_empty() { String::new() } else { format!(": {}", became.join("; ")) };
    let phrase = Phrase::of(format!(
        "clients gave up {} on which backends were at work{ends}",
        count_of(facts.requests, "request")
    ));
    if facts.executed == 0 {
        return phrase;
    }
    phrase.try_this(hints::of_leaving(product))
}

pub(super) fn copies(facts: &copies::CopyFacts, level: Level) -> Phrase {
    let alike = count_of(facts.alike, "request");
    let what = match facts.body_length {
        0 => facts.request.clone(),
        bytes => format!("{} with {bytes} bytes", facts.request),
    };
    let paired = format!("{} of {} requests have such a copy in their time", grouped(facts.paired), grouped(facts.of));
    let hint = if facts.of_checks > 0 {
        "nobody but a check sends Check-Request-Sent, and no other check was seen: look for a mirror or a recorder. With a fleet of its own \
         (check --start) only the balancer can send them, and that is a failure"
    } else if facts.own_fleet {
        "health checks of the same path look like that, and none of a POST (--method POST --body-bytes 10), nor a hundred a second at each \
         backend (no --rate)"
    } else {
        "health checks of the same path look like that; if there are none, repeat the check with a fleet of its own (check --start): then \
         only the balancer can send them"
    };
    match level {
        Level::Fail => Phrase::of(format!("the balancer sends requests twice: {alike} without Check-Request-Id"))
            .because(vec![format!("they are like those of the check: {what}"), paired])
            .try_this("look for a mirror, a recorder or a security filter that repeats requests without their headers"),
        Level::Pass | Level::Note | Level::Inconclusive => {
            Phrase::of(format!("{alike} of others look like those of the check: {what}"))
                .because(vec![paired])
                .try_this(hint)
        }
    }
}

pub(super) fn lost(facts: &Losses, product: Option<Balancer>) -> Phrase {
    let Losses { requests, excused: by_outage, unprocessed, unfinished, timed_out, at_work, .. } = *facts;
    let what = match (unprocessed, unfinished) {
        _ if at_work > 0 && at_work + by_outage == requests => {
            format!("{} still being served by a backend", were(requests))
        }
        (0, 0) => format!("{} executed by a backend", were(requests)),
        (0, all) if all == requests => {
            format!(
                "{} begun and not finished by a backend, which may have executed {}",
                were(requests),
                them(requests)
            )
        }
        (0, some) => format!("{} received by a backend, {} of them not finished there", were(requests), grouped(some)),
        (all, _) if all == requests => {
            format!(
                "{} refused by backends unprocessed (REFUSED_STREAM or GOAWAY) and not tried elsewhere",
                were(requests)
            )
        }
        (some, _) => format!("{} received by a backend, {} of them refused unprocessed", were(requests), grouped(some)),
    };
    let in_time = if timed_out == requests { " within the client's timeout" } else { "" };
    let summary = format!(
        "{} {what}, and no response came back{in_time}{}",
        count_of(requests, "request"),
        excused(by_outage, requests)
    );
    Phrase::of(summary).try_this(if unprocessed > 0 && 2 * unprocessed >= requests {
        hints::of_unprocessed(product)
    } else if timed_out == requests {
        hints::of_own_timeout(product)
    } else {
        hints::of_loss(product)
    })
}

pub(super) fn not_reached(facts: &Losses, product: Option<Balancer>) -> Phrase {
    let Losses { requests, excused: by_outage, timed_out, queued, .. } = *facts;
    let summary = format!(
        "{} got no response and reached no backend{}",
        count_of(requests, "request"),
        excused(by_outage, requests)
    );
    let phrase = Phrase::of(summary);
    if queued == 0 {
        return phrase.try_this(hints::of_not_reached(timed_out == requests, product));
    }
    let kept = format!("{} waited while backends were at work on earlier ones", grouped(queued));
    phrase.because(vec![kept]).try_this(hints::of_queue(product))
}

pub(super) fn idle_close(facts: &IdleCloses, level: Level, product: Option<Balancer>) -> Phrase {
    let connections = count_of(facts.requests, "kept connection");
    let summary = format!("the balancer closed {connections} at the moment of use; no backend had the request");
    let timeout = hints::of_idle_close(product).map_or_else(String::new, |directives| format!(" ({directives})"));
    match level {
        Level::Pass | Level::Note => Phrase::of(summary)
            .try_this("harmless: an idle connection may be closed at any time, and a client may repeat the request"),
        Level::Inconclusive if facts.may_be_repeated && facts.requests <= facts.usual => Phrase::of(summary)
            .because(vec!["later than 50 ms after they were sent, but responses took as long on the way".to_owned()])
            .try_this("the machine is busy: check again on one that is idle, where only a lost request ends so late"),
        Level::Inconclusive if facts.may_be_repeated => Phrase::of(summary)
            .because(vec![format!("an idle timeout explains up to {} of {}", facts.usual, grouped(facts.of))])
            .try_this(format!(
                "raise the balancer's idle timeout above the client's{timeout}; if they go on, requests are dropped"
            )),
        Level::Inconclusive | Level::Fail => Phrase::of(summary).try_this(format!(
            "a client must not repeat such a request by itself: raise the balancer's idle timeout{timeout}; {}",
            hints::of_race(product)
        )),
    }
}

/// `limit`: the status with which a rate limit refuses, if there is one.
pub(super) fn balancer(facts: &OwnResponses, product: Option<Balancer>, limit: Option<u16>, of_calls: bool) -> Phrase {
    let mut received = match facts.received {
        0 => String::new(),
        received => format!("; a backend had received {} of them, and may have executed them", grouped(received)),
    };
    if facts.unprocessed > 0 {
        received += &format!("; backends refused {} of them unprocessed", grouped(facts.unprocessed));
    }
    let requests = count_of(facts.requests, "request");
    if !facts.configured.is_empty() {
        let given = counted(&facts.statuses, of_calls);
        let may = match facts.excused {
            0 => "its configuration may do so",
            _ => "the outage may explain that, and so may its configuration",
        };
        return Phrase::of(format!(
            "the balancer itself responded to {requests}: {given}; {may}{}",
            by_lines(&facts.configured)
        ))
        .try_this(hints::OF_CONFIGURED_STATUSES);
    }
    let status = facts.statuses.iter().max_by_key(|(_, count)| **count).map_or(0, |(status, _)| *status);
    let own = OwnResponse {
        status,
        is_received: facts.received == facts.requests,
        is_unprocessed: facts.unprocessed > 0 && 2 * facts.unprocessed >= facts.requests,
        is_slow: facts.given_up > 0,
        is_race: facts.kept && facts.excused == 0 && (status == 502 || 10 * facts.requests < facts.of),
        is_limit: limit == Some(status),
    };
    let hint = hints::of_own_response(own, product);
    if facts.may_be_foreign() {
        return Phrase::of(format!(
            "no backend of the fleet gave the responses to {requests}: {}",
            counted(&facts.statuses, of_calls)
        ))
        .try_this(format!(
            "{hint}; or other backends than the fleet are behind it: leave them out, or tell all backends apart with --identity"
        ));
    }
    let summary = format!(
        "the balancer itself responded to {requests}: {}{received}{}",
        counted(&facts.statuses, of_calls),
        excused(facts.excused, facts.requests)
    );
    // What a limit refuses is some of the requests, too.
    let is_of_route = (400..500).contains(&status) && !matches!(status, 408 | 413 | 425 | 429) && !own.is_limit;
    if is_of_route && facts.received == 0 && 10 * facts.requests < 9 * facts.of {
        let others =
            "other requests reach the fleet: does the balancer's list have a server that is none of its backends?";
        return Phrase::of(summary).try_this(format!("{others} If not: {hint}"));
    }
    if let Some(Refused { reason, count }) = facts.handshakes.as_ref().filter(|_| status >= 500) {
        let failed =
            format!("TLS handshakes of the balancer with backends failed: {} ({}×)", reason.name(), grouped(*count));
        let hint = hints::of_handshakes(*reason, product).unwrap_or(hint);
        return Phrase::of(summary).try_this(hint).because(vec![failed]);
    }
    if let Some((dead, all)) = facts.dead_turns.filter(|_| status >= 500 && 10 * facts.received < facts.requests) {
        let turns = format!("one after another, {dead} of every {all} requests reach no backend, in a fixed order");
        return Phrase::of(summary).because(vec![turns]).try_this(format!(
            "the balancer's list probably has a server that is none of these backends, and that does not respond. If not: {hint}"
        ));
    }
    let slow = (facts.given_up > 0 && status != 504).then(|| gave_up(facts.given_up));
    Phrase::of(summary).try_this(hint).because(by_backend(&facts.backends).into_iter().chain(slow).collect())
}

pub(super) fn refused(facts: &BackendStatuses, of_calls: bool, product: Option<Balancer>) -> Phrase {
    let backends: Vec<&str> = facts.backends.keys().map(String::as_str).collect();
    let summary = format!(
        "backends refused to read {}: {} by {}",
        count_of(facts.requests, "request"),
        counted(&facts.statuses, of_calls),
        listed(&backends)
    );
    let reasons = facts.reasons.iter().map(|(why, count)| format!("their reason: {why} ({}×)", grouped(*count)));
    let hint = if facts.with_spaces * 2 > facts.requests {
        hints::of_escapes(product)
    } else {
        hints::of_refusal(&facts.statuses, facts.own_head).to_owned()
    };
    Phrase::of(summary).because(reasons.collect()).try_this(hint)
}

pub(super) fn statuses(facts: &BackendStatuses, level: Level, of_calls: bool, product: Option<Balancer>) -> Phrase {
    let wrong: u64 = facts.statuses.values().sum();
    if level == Level::Pass {
        return Phrase::of(format!(
            "all statuses are as --expect {} says",
            facts.expected.as_deref().unwrap_or_default()
        ));
    }
    if wrong == 0 {
        return Phrase::of(format!(
            "backends gave {} with a status of 400 or more; the outage explains that",
            count_of(facts.excused, "response")
        ));
    }
    let expected = match &facts.expected {
        Some(expected) => format!(", against --expect {expected}"),
        None => String::new(),
    };
    let mut evidence: Vec<String> = by_backend(&facts.backends).into_iter().collect();
    if facts.by_balancer > 0 {
        evidence.push(format!("by the balancer itself: {}", grouped(facts.by_balancer)));
    }
    let phrase = Phrase::of(format!(
        "clients got {}: {}{expected}",
        if wrong == 1 { "1 error status".to_owned() } else { format!("{} error statuses", grouped(wrong)) },
        counted(&facts.statuses, of_calls)
    ))
    .because(evidence);
    let most = facts.statuses.iter().max_by_key(|(_, count)| **count).map_or(0, |(status, _)| *status);
    let says_exceeded = of_calls && call_of_status(most) == Some(GrpcStatus::DEADLINE_EXCEEDED);
    let hint =
        if says_exceeded { hints::of_exceeded_deadlines(product) } else { hints::of_backend_status(most).to_owned() };
    // What to try where the balancer responds by itself is said where that is reported.
    if facts.by_balancer == wrong { phrase } else { phrase.try_this(hint) }
}

pub(super) fn stale(facts: &StaleResponses, product: Option<Balancer>) -> Phrase {
    let text = format!("{} got a response that had been given before: a cache", count_of(facts.requests, "request"));
    let phrase = Phrase::of(text);
    match facts.configured.as_slice() {
        [] => phrase.try_this(hints::of_cache(product)),
        lines => phrase
            .because(vec![format!("the configuration has the balancer keep responses: {}", lines.join("; "))])
            .try_this("backends send no-store; if the cache is meant, use --allow stale, and a URL that it does not keep for the shares"),
    }
}

pub(super) fn swapped(facts: &Requests) -> Phrase {
    Phrase::of(format!("{} got the response to another request", requests(facts))).try_this(
        "responses are mixed up on shared connections: check pipelining, request smuggling and the balancer's version",
    )
}

pub(super) fn truncated(facts: &TruncatedResponses) -> Phrase {
    let TruncatedResponses { requests, excused: by_outage, at_backend, .. } = facts;
    let text = count_of(*requests, "request");
    let cut: u64 = at_backend.values().sum();
    let where_cut = match cut {
        0 => String::new(),
        _ => {
            let each: Vec<String> =
                at_backend.iter().map(|(name, count)| format!("{name}: {}", grouped(*count))).collect();
            format!("; {} of them were not whole at the backend already ({})", grouped(cut), each.join(", "))
        }
    };
    let phrase =
        Phrase::of(format!("{text} got a response that ended too early{where_cut}{}", excused(*by_outage, *requests)));
    if cut == *requests {
        phrase.try_this(
            "the backend broke off, or the balancer closed its connection: see the backend's log and timeouts",
        )
    } else {
        phrase.try_this("only the framing shows it: clients that ignore it take the response for complete")
    }
}

/// `is_gone`: a fleet left while the check ran.
pub(super) fn unrecorded(facts: &UnrecordedResponses, is_gone: bool) -> Phrase {
    let text = count_of(facts.requests, "request");
    if let Some(place) = &facts.place {
        return Phrase::of(format!("{text} got a response without a backend's name at {place}")).try_this(
            "every backend must write its name there: these responses are from the balancer itself, or from a backend that does not",
        );
    }
    Phrase::of(format!("{text} got a response of which the fleet has no record")).try_this(if is_gone {
        "records of the last moments before a fleet was gone are unknown"
    } else {
        "other backends are behind the balancer: choose their fleet with --fleet, or use --identity"
    })
}

pub(super) fn no_response(facts: &Losses) -> Phrase {
    Phrase::of(format!("{} got no response", count_of(facts.requests, "request")))
        .try_this(
            "whether a backend had received them is not known: records of a fleet of this program would show it, if its host is still there",
        )
}

pub(super) fn unsent(facts: &Requests) -> Phrase {
    let not_sent = format!(
        "{} {} not sent: all connections were busy with others until the end",
        requests(facts),
        were(facts.requests)
    );
    Phrase::of(not_sent).try_this(
        "the rate is more than these connections carry: more of them with -c, or a lower --rate. A drill sends 500 a second unless --rate \
         says otherwise",
    )
}
