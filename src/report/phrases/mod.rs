//! The prose of findings: a sentence, the evidence, a hint; and that of what surrounds them. Nothing else in the program words a finding.

mod affinity;
mod algorithm;
mod arrivals;
mod backups;
mod balancing;
mod experiments;
mod fleets;
mod outages;
mod phrase;
mod requests;
mod responses;
mod selection;
mod streams;
mod surroundings;
mod tls;
mod witnesses;

use verdict::facts::fleets::ChangeKind;
use verdict::finding::{EvidenceLine, Facts, Finding, Level, Prose};
use verdict::numbers::time;
use verdict::outcome::Outcome;
use verdict::report::{Check, Latency};

use self::phrase::{Phrase, listed};
use crate::balancer::Balancer;

pub(crate) use arrivals::forwarding;
pub(crate) use balancing::{misfit, shares_source, test_result as balancing_result};
pub(crate) use outages::traffic_meanwhile;
pub(crate) use requests::variation;
pub(crate) use surroundings::describe as describe_surrounding;
pub(crate) use witnesses::{describe as describe_witness, what_came};

/// Writes the prose of all findings of a check, and that of its experiments.
pub(crate) fn spell(check: &mut Check) {
    let context = ProseContext::of(check);
    for surrounding in &mut check.surroundings {
        surrounding.line = surroundings::describe(&surrounding.what);
    }
    for finding in &mut check.findings {
        finding.prose = Some(prose(finding, &context));
    }
    if let Some(algorithm) = &mut check.algorithm {
        // The others may lead to other backends.
        let of_several = if check.account.urls.is_empty() { "" } else { " (first URL)" };
        algorithm.label = selection::selection(&algorithm.selection) + of_several;
        algorithm.evidence = experiments::lines(&algorithm.experiments);
        algorithm.hint = algorithm.remark.map(|remark| experiments::remark(remark, context.product));
    }
}

/// What sentences depend on besides the facts of their own finding.
struct ProseContext {
    /// Whose directives hints name; None for those of all balancers.
    product: Option<Balancer>,
    /// The status with which a rate limit refuses, if there is one.
    limit: Option<u16>,
    /// Whether a cookie that was set is not sent back.
    loses_cookies: bool,
    /// Whether a fleet left, with its last records.
    is_gone: bool,
    /// Whether requests are calls of gRPC.
    of_calls: bool,
}

impl ProseContext {
    fn of(check: &Check) -> ProseContext {
        let facts = || check.findings.iter().map(|finding| &finding.facts);
        ProseContext {
            product: check
                .balancer
                .as_deref()
                .and_then(Balancer::of_text)
                .map(|it| if check.traffic.grpc { it.of_calls() } else { it }),
            limit: facts().find_map(|facts| match facts {
                Facts::RateLimit(limit) => Some(limit.status),
                _ => None,
            }),
            loses_cookies: facts().any(|facts| matches!(facts, Facts::Cookies(_))),
            is_gone: facts().any(|facts| match facts {
                Facts::Fleets(fleets) => fleets.changes.iter().any(|change| change.kind == ChangeKind::Gone),
                _ => false,
            }),
            of_calls: check.traffic.grpc,
        }
    }
}

fn prose(finding: &Finding, context: &ProseContext) -> Prose {
    let phrase = phrase_of(&finding.facts, finding.level, context);
    let figures = phrase.evidence.into_iter().map(EvidenceLine::of);
    Prose {
        summary: phrase.summary,
        evidence: figures.chain(finding.witness.iter().map(describe_witness)).collect(),
        hint: phrase.hint,
        source: source(finding).map(str::to_owned),
    }
}

/// Where what a finding applies is written.
fn source(finding: &Finding) -> Option<&'static str> {
    match &finding.facts {
        Facts::Shares(facts) => facts.test.as_ref().map(|test| test.method.source()),
        _ => finding.rule().describe().source,
    }
}

fn phrase_of(facts: &Facts, level: Level, context: &ProseContext) -> Phrase {
    let &ProseContext { product, limit, loses_cookies, is_gone, of_calls } = context;
    match facts {
        Facts::Records(facts) => requests::records(facts),
        Facts::Fleets(facts) => fleets::fleets(facts),
        Facts::Identity(facts) => balancing::identity(facts),
        Facts::RateLimit(facts) => requests::rate_limit(facts, product),
        Facts::Account(facts) => requests::account(facts),
        Facts::Retried(facts) => requests::retried(facts, product),
        Facts::Duplicated(facts) => requests::duplicated(facts, product),
        Facts::Repeated(facts) => requests::repeated(facts, product),
        Facts::Mirrored(facts) => requests::mirrored(facts, level, product),
        Facts::Lost(facts) => requests::lost(facts, product),
        Facts::NotReached(facts) => requests::not_reached(facts, product),
        Facts::IdleClose(facts) => requests::idle_close(facts, level, product),
        Facts::Balancer(facts) => requests::balancer(facts, product, limit, of_calls),
        Facts::Refused(facts) => requests::refused(facts, of_calls, product),
        Facts::Statuses(facts) => requests::statuses(facts, level, of_calls, product),
        Facts::Subrequests(facts) => requests::subrequests(facts),
        Facts::Copies(facts) => requests::copies(facts, level),
        Facts::Stale(facts) => requests::stale(facts, product),
        Facts::Swapped(facts) => requests::swapped(facts),
        Facts::Truncated(facts) => requests::truncated(facts),
        Facts::Altered(facts) => responses::altered(facts, product),
        Facts::ResponseFields(facts) => responses::fields(facts, product),
        Facts::Compressed(facts) => responses::compressed(facts, product),
        Facts::Cookies(facts) => responses::cookies(facts),
        Facts::GivenUp(facts) => requests::given_up(facts, product),
        Facts::ConnectionLimit(facts) => responses::connection_limit(*facts, product),
        Facts::LostSyns(facts) => responses::lost_syns(facts),
        Facts::MethodChanged(facts) => arrivals::method(facts, product),
        Facts::PathChanged(facts) => arrivals::path(facts, product),
        Facts::QueryChanged(facts) => arrivals::query(facts, product),
        Facts::HostChanged(facts) => arrivals::host(facts, product),
        Facts::BodyChanged(facts) => arrivals::body(facts, product),
        Facts::FieldChanged(facts) => arrivals::fields(facts, product),
        Facts::ClientAddress(facts) => arrivals::client_address(facts, level, product),
        Facts::WayFields(facts) => arrivals::way_fields(facts),
        Facts::Intact(facts) => arrivals::intact(facts, level),
        Facts::Unrecorded(facts) => requests::unrecorded(facts, is_gone),
        Facts::NoResponse(facts) => requests::no_response(facts),
        Facts::Unsent(facts) => requests::unsent(facts),
        Facts::Shares(facts) => balancing::shares(facts, level, limit.is_some(), product),
        Facts::Split(facts) => balancing::split(facts),
        Facts::Reach(facts) => balancing::reach(facts, product),
        Facts::Backups(facts) => backups::backups(facts),
        Facts::Algorithm(facts) => algorithm::algorithm(facts, level, loses_cookies, product),
        Facts::Rotation(facts) => balancing::rotation(facts, level),
        Facts::Unit(facts) => balancing::unit(facts, level),
        Facts::Stickiness(facts) => affinity::stickiness(facts, level, product),
        Facts::Resilience(facts) => outages::resilience(facts, level, product),
        Facts::Recovery(facts) => outages::recovery(facts, product),
        Facts::Streams(facts) => streams::summary(facts),
        Facts::Upgrade(facts) => streams::upgrade(facts, product),
        Facts::StreamMessages(facts) => streams::messages(facts),
        Facts::StreamDelay(facts) => streams::delays(facts, level, product),
        Facts::StreamCut(facts) => streams::cuts(facts, level, product),
        Facts::StreamTruncated(facts) => streams::truncated(facts, product),
        Facts::CloseCode(facts) => streams::close_codes(facts, level),
        Facts::StreamAlive(facts) => streams::alive(facts, level, product),
        Facts::TlsVerified(facts) => tls::verified(facts, level, product),
        Facts::Tls(facts) => tls::connections(facts, level, product),
    }
}

/// Which backends are slow beside the others; none if none is.
pub(crate) fn slow_backends(latency: &Latency) -> Option<String> {
    let others = latency.slow.first()?.others;
    let each: Vec<String> = latency.slow.iter().map(|it| format!("{} (p50 {})", it.backend, time(it.p50))).collect();
    let verb = if each.len() == 1 { "is" } else { "are" };
    Some(format!("{} {verb} slow: the others' p50 is {}", listed(&each), time(others)))
}

/// What an outcome means, in a few words.
pub(crate) fn meaning(outcome: Outcome, has_records: bool) -> &'static str {
    match outcome {
        Outcome::Delivered if has_records => "one attempt, one response",
        Outcome::Delivered => "one response, of a backend that gives its name",
        Outcome::Retried => "an attempt failed, a later one was delivered",
        Outcome::Duplicated => "executed more than once, delivered once",
        Outcome::Mirrored => "delivered, and copied to another backend",
        Outcome::Lost => "received by a backend, no response came back",
        Outcome::NotReached => "reached no backend, no response came back",
        Outcome::Balancer => "the balancer itself responded",
        Outcome::Stale => "got a response that had been given before: a cache",
        Outcome::Swapped => "got the response to another request",
        Outcome::Truncated => "the response ended too early",
        Outcome::Altered => "the response is not what the backend wrote",
        Outcome::Refused => "a backend refused to read the request",
        Outcome::Unrecorded if has_records => "a backend responded, but has no record of it",
        Outcome::Unrecorded => "a response without a backend's name",
        Outcome::NoResponse => "no response came back",
        Outcome::Unsent => "not sent: no connection was free",
    }
}
