//! PURE. The rule of the account: every request has a fate, and those fates are what a balancer owes.

use crate::numbers::{count_of, grouped};
use crate::outcome::Outcome;
use crate::report::{Finding, Level};
use crate::rules::{Case, Drill, finding};

/// What the fates mean.
pub fn judge(case: &Case) -> Vec<Finding> {
    let tally = case.tally;
    let mut findings = Vec::new();
    if !case.gaps.is_empty() {
        let mut gap = finding("records", Level::Inconclusive, "the backends' side of the account has gaps");
        gap.evidence = case.gaps.to_vec();
        findings.push(gap);
    }
    findings.extend(repeated_though_not_idempotent(case));
    for fate in Outcome::ALL {
        let count = match fate {
            Outcome::Unserved => tally.of_fate(fate) - tally.benign,
            _ => tally.of_fate(fate),
        };
        if count > 0 {
            findings.extend(of_fate(case, fate, count));
        }
    }
    if tally.benign > 0 {
        let what = count_of(tally.benign, "idle connection");
        let mut note = finding(
            "idle-close",
            Level::Note,
            format!("{what} closed by the balancer at the moment of use; no backend had the request"),
        );
        note.hint = Some("harmless: a client may send such a request again".to_owned());
        note.source = Some("RFC 9112 §9.5".to_owned());
        findings.push(note);
    }
    if tally.backend_errors > 0 {
        let outcome = if case.lossless() && case.drill != Drill::None { Level::Fail } else { Level::Note };
        let what = count_of(tally.backend_errors, "answer");
        findings.push(finding(
            "backend-errors",
            outcome,
            format!("{what} with a status of 400 or more came from backends themselves"),
        ));
    }
    if !findings.iter().any(|finding| finding.outcome > Level::Note) {
        let sent = grouped(tally.sent);
        let summary = match case.has_records() {
            true if tally.of_fate(Outcome::Delivered) == tally.sent => {
                format!("all {sent} requests: one attempt, one answer, each answer its own")
            }
            true => format!("all {sent} requests are explained by both ends, none was lost"),
            false => format!(
                "all {sent} requests were answered; whether some were retried or executed twice cannot be known, for the backends are not ours"
            ),
        };
        findings.push(finding("account", Level::Pass, summary));
    }
    findings
}

fn of_fate(case: &Case, fate: Outcome, count: u64) -> Option<Finding> {
    let requests = count_of(count, "request");
    let was = if count == 1 { "was" } else { "were" };
    let had = if count == 1 { "has" } else { "have" };
    let forgiving = if case.lossless() { Level::Fail } else { Level::Note };
    let (outcome, summary, hint, source) = match fate {
        Outcome::Delivered => return None,
        Outcome::Retried => (
            Level::Note,
            format!("{requests} {was} delivered after a retry"),
            Some("a backend fails now and then: the balancer hides it"),
            None,
        ),
        Outcome::Duplicated => (
            forgiving,
            format!("{requests} {was} executed more than once"),
            Some(
                "the balancer sent it again though a backend was at work on it (proxy_next_upstream, retry-on), or copies it to live backends",
            ),
            Some("RFC 9110 §9.2.2"),
        ),
        Outcome::Mirrored => {
            (Level::Note, format!("{requests} {was} also copied to a backend whose answers nobody gets"), None, None)
        }
        Outcome::Lost => (
            forgiving,
            format!("{requests} {was} executed by a backend, and the client got no answer"),
            Some(
                "the answer existed: look for timeouts, restarts and closed connections between backend, balancer and client",
            ),
            None,
        ),
        Outcome::Unserved => (
            forgiving,
            format!("{requests} got no answer and reached no backend"),
            Some("the balancer refused, closed or was silent"),
            None,
        ),
        Outcome::Balancer => {
            let statuses: Vec<String> = case
                .tally
                .own_statuses
                .iter()
                .map(|(status, count)| format!("{}× {status}", grouped(*count)))
                .collect();
            let executed = match case.tally.executed_unseen {
                0 => String::new(),
                executed => format!("; {} of them had been executed by a backend", grouped(executed)),
            };
            let redirects = case.tally.own_statuses.keys().all(|status| (300..400).contains(status));
            let hint = match redirects {
                true => "the balancer redirects: check the URL that it points to",
                false => "the balancer answered instead of a backend: its error log says why",
            };
            (
                forgiving,
                format!("{requests} {was} answered by the balancer itself: {}{executed}", statuses.join(", ")),
                Some(hint),
                Some("RFC 9110 §15.6"),
            )
        }
        Outcome::Stale => (
            Level::Fail,
            format!("{requests} got an answer that had been given before: a cache stands in front of the backends"),
            Some(
                "backends say Cache-Control: no-store; turn the cache off for this path (proxy_cache off), or allow it with --allow stale",
            ),
            Some("RFC 9111 §5.2.2.5"),
        ),
        Outcome::Swapped => (
            Level::Fail,
            format!("{requests} got the answer to another request"),
            Some(
                "answers are mixed up on shared connections: look at pipelining, at request smuggling, at the version of the balancer",
            ),
            Some("RFC 9112 §9.3.2"),
        ),
        Outcome::Truncated => (
            forgiving,
            format!("{requests} got an answer that ends before its end"),
            Some("the status was 200 all the same: only the length gives it away"),
            Some("RFC 9112 §8"),
        ),
        Outcome::Altered => (
            Level::Fail,
            format!("{requests} got an answer that is not what the backend wrote"),
            Some("something on the way rewrites bodies or statuses (sub_filter, error_page, compression)"),
            Some("RFC 9110 §7.7"),
        ),
        Outcome::Alien => (
            Level::Inconclusive,
            format!("{requests} {had} an answer of which this fleet has no record"),
            Some(
                "other backends stand behind the balancer too, or it is another fleet's: choose with --fleet, or say --identity",
            ),
            None,
        ),
        Outcome::Unanswered => (
            forgiving,
            format!("{requests} got no answer"),
            Some("with our own fleet behind the balancer the check could say whether a backend executed them"),
            None,
        ),
    };
    let outcome = if case.expectations.allowed.contains(&fate) { outcome.min(Level::Note) } else { outcome };
    let mut found = finding(fate.name(), outcome, summary);
    if outcome > Level::Note || fate == Outcome::Retried {
        found.evidence = case.told(case.tally.examples.get(&fate).map_or(&[], Vec::as_slice));
    }
    found.hint = hint.filter(|_| outcome > Level::Pass).map(str::to_owned);
    found.source = source.map(str::to_owned);
    Some(found)
}

/// A request that is not idempotent and reached backends more than once, whatever they made of it.
fn repeated_though_not_idempotent(case: &Case) -> Option<Finding> {
    if case.is_idempotent() || case.tally.repeated == 0 || !case.has_records() {
        return None;
    }
    let requests = count_of(case.tally.repeated, case.method);
    let mut found = finding("repeated", Level::Fail, format!("{requests} reached backends more than once"));
    let examples = case.ledger.entries().filter(|entry| entry.attempts.len() > 1).take(3);
    found.evidence = case.told(&examples.map(|entry| entry.sequence).collect::<Vec<_>>());
    found.hint = Some("a proxy must not repeat what is not idempotent: in NGINX leave out non_idempotent, in HAProxy use disable-l7-retry if METH_POST".to_owned());
    found.source = Some("RFC 9110 §9.2.2".to_owned());
    Some(found)
}
