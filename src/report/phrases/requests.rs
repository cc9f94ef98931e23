//! The phrases of the account: what became of requests, and what to do about it.

use verdict::facts::account::{Facts, OwnResponses, Repeated, Requests};
use verdict::facts::{limit, records};
use verdict::numbers::{count_of, grouped};

use super::Phrase;

fn requests(facts: &Requests) -> String {
    count_of(facts.requests, "request")
}

fn were(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

pub(super) fn records(facts: &records::Facts) -> Phrase {
    Phrase::of("the records of the backends are incomplete").because(facts.gaps.clone())
}

pub(super) fn rate_limit(facts: &limit::Facts) -> Phrase {
    let rate = |rate: f64| grouped(rate.round() as u64);
    let refused = format!("{} got {}", count_of(facts.refused, "request"), facts.status);
    match (facts.passed, facts.sent, facts.suggested()) {
        (Some(passed), Some(sent), Some(suggested)) => {
            Phrase::of(format!("a rate limit of about {}/s: {refused}, sent at {}/s", rate(passed), rate(sent)))
                .try_this(format!("stay below it with --rate {suggested}"))
        }
        _ => Phrase::of(format!("a rate limit: {refused}")).try_this("stay below it with --rate"),
    }
}

pub(super) fn account(facts: &Facts) -> Phrase {
    let all = grouped(facts.requests);
    Phrase::of(match facts.has_records {
        true if facts.delivered == facts.requests => format!("all {all} requests: one attempt, one response each"),
        true => format!("both ends explain all {all} requests"),
        false => format!("all {all} requests got a response; without records, retries and repeats are unknown"),
    })
}

pub(super) fn retried(facts: &Requests) -> Phrase {
    Phrase::of(format!("{} {} delivered after a retry", requests(facts), were(facts.requests)))
}

pub(super) fn duplicated(facts: &Requests) -> Phrase {
    Phrase::of(format!("{} {} executed more than once", requests(facts), were(facts.requests))).try_this(
        "the balancer sent them again while a backend was at work (proxy_next_upstream, retry-on), or copies them",
    )
}

pub(super) fn repeated(facts: &Repeated) -> Phrase {
    Phrase::of(format!("{} reached backends more than once", count_of(facts.requests, &facts.method))).try_this(
        "a proxy must not repeat a request that is not idempotent: in NGINX leave out non_idempotent, in HAProxy \
         use disable-l7-retry if METH_POST",
    )
}

pub(super) fn mirrored(facts: &Requests) -> Phrase {
    let had = if facts.requests == 1 { "was" } else { "were" };
    Phrase::of(format!("{} {had} also copied to a backend whose responses no client gets", requests(facts)))
}

pub(super) fn lost(facts: &Requests) -> Phrase {
    Phrase::of(format!("{} {} executed by a backend, and no response came back", requests(facts), were(facts.requests)))
        .try_this("look for timeouts, restarts and closed connections between backend, balancer and client")
}

pub(super) fn not_reached(facts: &Requests) -> Phrase {
    Phrase::of(format!("{} got no response and reached no backend", requests(facts)))
        .try_this("the balancer refused the connection, closed it or did not respond")
}

pub(super) fn idle_close(facts: &Requests) -> Phrase {
    let connections = count_of(facts.requests, "idle connection");
    Phrase::of(format!("the balancer closed {connections} at the moment of use; no backend had the request"))
        .try_this("harmless: a client may send such a request again")
}

pub(super) fn balancer(facts: &OwnResponses) -> Phrase {
    let statuses: Vec<String> =
        facts.statuses.iter().map(|(status, count)| format!("{}× {status}", grouped(*count))).collect();
    let executed = match facts.executed {
        0 => String::new(),
        executed => format!("; a backend had executed {} of them", grouped(executed)),
    };
    let all = |of: fn(u16) -> bool| facts.statuses.keys().all(|status| of(*status));
    let hint = if all(|status| status == 304) {
        "304 answers a conditional request alone, and these had no condition: a cache or a module of the balancer"
    } else if all(|status| status == 413) {
        "its limit on the size of request bodies: NGINX client_max_body_size, HAProxy a rule on req.hdr(content-length), Envoy \
         max_request_bytes, Traefik maxRequestBodyBytes, Caddy request_body max_size"
    } else if all(|status| (300..400).contains(&status)) {
        "the balancer redirects: check the URL that it points to"
    } else {
        "the balancer responded instead of a backend: its error log says why"
    };
    let requests = count_of(facts.requests, "request");
    Phrase::of(format!("the balancer itself responded to {requests}: {}{executed}", statuses.join(", "))).try_this(hint)
}

pub(super) fn backend_errors(facts: &Requests) -> Phrase {
    Phrase::of(format!("backends gave {} with a status of 400 or more", count_of(facts.requests, "response")))
}

pub(super) fn stale(facts: &Requests) -> Phrase {
    Phrase::of(format!("{} got a response that was given before: a cache", requests(facts))).try_this(
        "backends send Cache-Control: no-store; turn the cache off for this path (proxy_cache off), or use --allow \
         stale",
    )
}

pub(super) fn swapped(facts: &Requests) -> Phrase {
    Phrase::of(format!("{} got the response to another request", requests(facts))).try_this(
        "responses are mixed up on shared connections: check pipelining, request smuggling and the balancer's version",
    )
}

pub(super) fn truncated(facts: &Requests) -> Phrase {
    Phrase::of(format!("{} got a response that ended too early", requests(facts)))
        .try_this("only the length shows it: the status was that of a success")
}

pub(super) fn unrecorded(facts: &Requests) -> Phrase {
    Phrase::of(format!("{} got a response of which the fleet has no record", requests(facts)))
        .try_this("other backends stand behind the balancer: choose their fleet with --fleet, or use --identity")
}

pub(super) fn no_response(facts: &Requests) -> Phrase {
    Phrase::of(format!("{} got no response", requests(facts)))
        .try_this("with a fleet of this program behind the balancer, records show whether a backend executed them")
}
