//! The rules of the request as it arrived: what a rewrite does to all alike is described, what hits some or loses something is not.

use std::time::Duration;

use crate::facts::requests::{Extent, Intact, PathChange, RequestChange};
use crate::finding::{Facts, Finding, Level};
use crate::id::REQUEST_HEADER;
use crate::ledger::{Arrival, BackendRecords};
use crate::outcome::Outcome;
use crate::request::{Differences, MASKED_FIELDS, RequestPart};
use crate::rules::case::Case;
use crate::rules::extent::{
    Hits, extent, is_forwarding, is_read, is_replaced, listed, path_of, query_of, way_of, way_of_fields, way_of_part,
};
use crate::rules::requirement::Requirement;
use crate::{AttemptEnd, arrived::PartChange};

const SHOWN: usize = 3;

pub(crate) fn judge(case: &Case) -> Vec<Finding> {
    if case.ledger.records() != BackendRecords::Kept {
        return unjudged(case);
    }
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(method(case));
    findings.extend(path(case));
    findings.extend(query(case));
    findings.extend(host(case));
    findings.extend(body(case));
    findings.extend(fields(case));
    findings.extend(request_id(case));
    let expects =
        case.expectations.required.iter().filter(|it| is_of_the_request(it) && **it != Requirement::ClientAddress);
    let changed = findings.iter().any(|finding| finding.level == Level::Fail);
    if let (false, Some(first)) =
        (changed, expects.map(ToString::to_string).reduce(|all, next| format!("{all}, {next}")))
    {
        findings.push(intact(case, first));
    }
    findings
}

fn is_of_the_request(requirement: &Requirement) -> bool {
    match requirement {
        Requirement::Intact
        | Requirement::PathPreserved
        | Requirement::HostPreserved
        | Requirement::ClientAddress
        | Requirement::HeaderPreserved(_) => true,
        Requirement::Mirrored(_)
        | Requirement::Status { .. }
        | Requirement::Back(_)
        | Requirement::Ejected(_)
        | Requirement::ErrorsEnd(_)
        | Requirement::SlowStart(_)
        | Requirement::Unbuffered(_)
        | Requirement::Uncut
        | Requirement::AliveEven
        | Requirement::Tls(_)
        | Requirement::Per(_) => false,
    }
}

/// Without records nobody knows how requests arrive.
fn unjudged(case: &Case) -> Vec<Finding> {
    let expected: Vec<String> =
        case.expectations.required.iter().filter(|it| is_of_the_request(it)).map(ToString::to_string).collect();
    if expected.is_empty() {
        return Vec::new();
    }
    vec![intact(case, expected.join(", "))]
}

fn intact(case: &Case, expected: String) -> Finding {
    let (compared, of) = (case.changes.compared, case.changes.attempts);
    let sent = case.sent.judged_fields();
    let preserved = case.expectations.required.iter().filter_map(|it| match it {
        Requirement::HeaderPreserved(name) => Some(name.clone()),
        _ => None,
    });
    let not_sent: Vec<String> = preserved.filter(|name| !sent.iter().any(|it| it.eq_ignore_ascii_case(name))).collect();
    let refused = attempts(case).filter(|attempt| attempt.is_refusal()).count() as u64;
    let is_known = compared == of && of > 0 && not_sent.is_empty();
    let level = if is_known { Level::Pass } else { Level::Inconclusive };
    Finding::new(level, Facts::Intact(Intact { compared, of, refused, expected, not_sent }))
}

/// Attempts that are judged, without copies of a mirror: those have a rule of their own.
fn attempts<'a>(case: &'a Case) -> impl Iterator<Item = &'a Arrival> {
    case.judged_arrivals().iter().filter(|attempt| !case.ledger.is_mirror(attempt.backend))
}

fn has(part: RequestPart) -> impl Fn(Differences) -> bool {
    move |differences| differences.contains(part)
}

fn arrived(change: Option<&PartChange>) -> Vec<(String, u64)> {
    change.map_or_else(Vec::new, |change| change.arrived.counts.clone())
}

/// Path or query, as sent, of the URLs where that part of requests was changed.
pub(super) fn changed_target(case: &Case, part: RequestPart, of: fn(&str) -> Option<&str>) -> Option<String> {
    match extent(case, way_of_part(part)) {
        Some(hits) => listed(&hits.sent(case, of)),
        None => listed(&[of(case.sent.target)]),
    }
}

/// Bytes of the bodies that were changed so: of several, those of the sample that it hits.
pub(super) fn changed_body(case: &Case, differs: impl Fn(Differences) -> bool) -> Option<String> {
    let lengths = extent(case, way_of(differs)).map_or_else(|| case.bodies.to_vec(), |hits| hits.lengths(case));
    let lengths: Vec<String> = lengths.iter().map(u64::to_string).collect();
    (!lengths.is_empty()).then(|| lengths.join(" or "))
}

/// Queries as they arrived, without those that experiments lengthened: nobody asked about them.
pub(super) fn arrived_queries(case: &Case) -> Vec<(String, u64)> {
    let is_experiment = |query: &str| query.contains("delay=") || query.contains("check=");
    let own = is_experiment(case.sent.target);
    let all = arrived(case.changes.part(RequestPart::Query));
    all.into_iter().filter(|(query, _)| own || !is_experiment(query)).collect()
}

/// The first requirement of these that forbids a change.
fn forbidden(case: &Case, by: impl Fn(&Requirement) -> bool) -> Option<String> {
    case.expectations.required.iter().find(|it| **it == Requirement::Intact || by(it)).map(ToString::to_string)
}

fn level(extent: Extent, expected: Option<&String>) -> Level {
    match extent {
        _ if expected.is_some() => Level::Fail,
        Extent::All | Extent::Urls | Extent::Clients => Level::Note,
        // A gateway may select a route by the body; so may a fault hit the large ones. Routes that draw lots may lead to one backend.
        Extent::Bodies | Extent::Ways => Level::Inconclusive,
        Extent::Backends | Extent::Some => Level::Fail,
    }
}

fn witnessed(case: &Case, level: Level, facts: Facts, differs: impl Fn(Differences) -> bool) -> Finding {
    let hit = |attempt: &Arrival| is_read(attempt) && differs(attempt.differences);
    let entries = case.ledger.entries().filter(|entry| case.judged.includes(entry));
    let shown = entries.filter(|entry| entry.attempts.iter().any(hit)).map(|entry| entry.sequence).take(SHOWN);
    let shown: Vec<u32> = shown.collect();
    Finding::new(level, facts).shown_by(case.witnesses(&shown))
}

fn method(case: &Case) -> Option<Finding> {
    let differs = has(RequestPart::Method);
    let hit = |entry: &&Arrival| is_read(entry) && differs(entry.differences);
    let changed = attempts(case).filter(hit).count() as u64;
    if changed == 0 {
        return None;
    }
    let (hits, of) = (extent(case, way_of_part(RequestPart::Method)), attempts(case).count() as u64);
    let expected = forbidden(case, |_| false);
    // A cache keeps what GET gives, and responds to HEAD from it (RFC 9110 §9.3.2).
    let fetches_for_head = case.sent.method == "HEAD"
        && changed == of
        && case.expectations.allowed.contains(&Outcome::Stale)
        && case.changes.part(RequestPart::Method).and_then(|change| change.arrived.only()) == Some("GET");
    let level = if fetches_for_head && expected.is_none() { Level::Note } else { Level::Fail };
    let facts = RequestChange {
        changed,
        of,
        // Of a sample that reached nobody nothing is known but what came before it.
        extent: hits
            .as_ref()
            .map_or_else(|| if changed == of { Extent::All } else { Extent::Some }, |hits| hits.extent),
        urls: hits.map_or_else(Vec::new, |hits| hits.targets(case)),
        sent: Some(case.sent.method.to_owned()),
        arrived: arrived(case.changes.part(RequestPart::Method)),
        path: None,
        fields: Vec::new(),
        shortened: None,
        expected,
    };
    Some(witnessed(case, level, Facts::MethodChanged(facts), differs))
}

/// A change that hits these requests, of which nothing more is known yet.
fn change(case: &Case, hits: &Hits) -> RequestChange {
    RequestChange {
        changed: hits.changed,
        of: hits.of,
        extent: hits.extent,
        urls: hits.targets(case),
        sent: None,
        arrived: Vec::new(),
        path: None,
        fields: Vec::new(),
        shortened: None,
        expected: None,
    }
}

/// Whether each request of the sample was sent alike, and arrived once.
fn are_alike(case: &Case) -> bool {
    let is_single = !case.urls.are_several() && case.bodies.len() < 2 && !case.varied;
    is_single && case.tally.repeated == 0 && case.ledger.subrequests().is_empty()
}

fn path(case: &Case) -> Option<Finding> {
    let differs = has(RequestPart::Path);
    let mut hits = extent(case, way_of_part(RequestPart::Path))?;
    if hits.extent == Extent::All && are_alike(case) && case.changes.has_several_paths() {
        hits.extent = Extent::Ways;
    }
    let expected = forbidden(case, |it| *it == Requirement::PathPreserved);
    let sent = hits.sent(case, path_of);
    let arrived = arrived(case.changes.part(RequestPart::Path));
    let path = match (sent.as_slice(), arrived.as_slice()) {
        ([Some(sent)], [(only, _)]) => PathChange::between(sent, only),
        _ => None,
    };
    let level = level(hits.extent, expected.as_ref());
    let sent = listed(&sent);
    let facts = RequestChange { sent, arrived, path, expected, ..change(case, &hits) };
    Some(witnessed(case, level, Facts::PathChanged(facts), differs))
}

fn query(case: &Case) -> Option<Finding> {
    let differs = has(RequestPart::Query);
    let hits = extent(case, way_of_part(RequestPart::Query))?;
    let expected = forbidden(case, |_| false);
    let sent = listed(&hits.sent(case, query_of));
    let arrived = arrived_queries(case);
    let level = level(hits.extent, expected.as_ref());
    let facts = RequestChange { sent, arrived, expected, ..change(case, &hits) };
    Some(witnessed(case, level, Facts::QueryChanged(facts), differs))
}

/// Gateways choose Host by backend, and rewrite it for all: only what is neither, or what was forbidden, fails. Each of several tiers or
/// routes may have its own: several that like requests bring to one backend are a note.
fn host(case: &Case) -> Option<Finding> {
    let differs = has(RequestPart::Host);
    let mut hits = extent(case, way_of_part(RequestPart::Host))?;
    if hits.extent == Extent::All && are_alike(case) && case.changes.has_several_hosts() {
        hits.extent = Extent::Ways;
    }
    let expected = forbidden(case, |it| *it == Requirement::HostPreserved);
    let level = match hits.extent {
        _ if expected.is_some() => Level::Fail,
        Extent::Some => Level::Fail,
        Extent::Ways => Level::Note,
        Extent::All | Extent::Backends | Extent::Urls | Extent::Bodies | Extent::Clients => return None,
    };
    let sent = case.sent.host.map(str::to_owned);
    let arrived = arrived(case.changes.part(RequestPart::Host));
    let facts = RequestChange { sent, arrived, expected, ..change(case, &hits) };
    Some(witnessed(case, level, Facts::HostChanged(facts), differs))
}

fn body(case: &Case) -> Option<Finding> {
    let differs = |differences: Differences| {
        differences.contains(RequestPart::BodyLength) || differences.contains(RequestPart::Body)
    };
    // Who was cut off, or responded early, had not read all of it.
    let is_whole = |attempt: &&Arrival| attempt.end == AttemptEnd::Completed && (200..400).contains(&attempt.status);
    let compared = attempts(case).filter(is_whole);
    let (mut changed, mut of) = (0, 0);
    for attempt in compared {
        of += 1;
        changed += u64::from(differs(attempt.differences));
    }
    if changed == 0 {
        return None;
    }
    let extent = match extent(case, way_of(differs)) {
        _ if changed == of => Extent::All,
        Some(hits) if hits.extent == Extent::Bodies => Extent::Bodies,
        _ => Extent::Some,
    };
    let facts = RequestChange {
        changed,
        of,
        extent,
        urls: Vec::new(),
        sent: changed_body(case, differs),
        arrived: arrived(case.changes.part(RequestPart::BodyLength)),
        path: None,
        fields: Vec::new(),
        shortened: None,
        expected: forbidden(case, |_| false),
    };
    Some(witnessed(case, Level::Fail, Facts::BodyChanged(facts), differs))
}

/// The last place stands for all fields from it on.
fn named_at(names: &[&str], place: usize) -> String {
    match names.len().checked_sub(MASKED_FIELDS) {
        Some(more @ 1..) if place == MASKED_FIELDS - 1 => format!("{} or one of {more} after it", names[place]),
        _ => names[place].to_owned(),
    }
}

/// The longest that a request of the sample was under way to its backend.
fn longest_way(case: &Case) -> Duration {
    let entries = case.ledger.entries().filter(|entry| case.sample.contains(&entry.sequence));
    let ways = entries.flat_map(|entry| {
        let sent = entry.observation.sent();
        let way = move |attempt: &Arrival| attempt.received.since(sent) + case.ledger.half_width(attempt.backend);
        entry.attempts.iter().map(way)
    });
    ways.max().unwrap_or_default()
}

fn fields(case: &Case) -> Option<Finding> {
    let names = case.sent.judged_fields();
    let mut changes = case.changes.fields;
    let shortened = case.changes.shortened_beyond(longest_way(case));
    let shortened_attempts = shortened.map_or(0, |shortened| shortened.attempts);
    if let Some(deadline) = case.changes.deadline {
        changes[deadline.place.min(MASKED_FIELDS - 1)] += shortened_attempts;
    }
    let fields: Vec<(String, u64)> = names
        .iter()
        .zip(changes)
        .zip(0..)
        .filter(|((_, count), place)| *count > 0 && !is_forwarding(case, &names, *place))
        .map(|((_, count), place)| (named_at(&names, place), count))
        .collect();
    if fields.is_empty() {
        return None;
    }
    let parts = [RequestPart::FieldLost, RequestPart::FieldChanged, RequestPart::FieldDoubled];
    let differs = |differences: Differences| parts.iter().any(|part| differences.contains(*part));
    let of = case.changes.own_compared;
    let extent = if fields.iter().all(|(_, count)| *count == of)
        && (shortened_attempts == of || !case.changes.are_ways_known())
    {
        Extent::All
    } else if !case.changes.are_ways_known() || case.varied && fields.iter().any(|(name, _)| is_cookie(name)) {
        // What a client brings as a cookie changes with what it was given.
        Extent::Clients
    } else {
        extent(case, way_of_fields(case, &names)).map_or(Extent::Clients, |hits| hits.extent)
    };
    let are_replaced = fields.iter().all(|(name, _)| is_replaced(name));
    let forbids = |it: &&Requirement| match it {
        Requirement::Intact => !are_replaced,
        Requirement::HeaderPreserved(name) => fields.iter().any(|(changed, _)| changed.eq_ignore_ascii_case(name)),
        _ => false,
    };
    let expected = case.expectations.required.iter().find(forbids).map(ToString::to_string);
    let doubled = case.changes.part(RequestPart::FieldDoubled).map_or(0, |change| change.count);
    let lost = case.changes.part(RequestPart::FieldLost).map_or(0, |change| change.count);
    let changed = case.changes.part(RequestPart::FieldChanged).map_or(0, |change| change.count);
    let only_own = !(0..names.len()).any(|place| is_forwarding(case, &names, place));
    let level = if doubled > 0 && only_own { Level::Fail } else { level(extent, expected.as_ref()) };
    let ways = [("lost", lost), ("changed", changed), ("shortened", shortened_attempts), ("doubled", doubled)];
    let facts = RequestChange {
        changed: fields.iter().map(|(_, count)| *count).max().unwrap_or(0),
        of,
        extent,
        urls: Vec::new(),
        sent: None,
        arrived: ways.iter().filter(|(_, count)| *count > 0).map(|(way, count)| ((*way).to_owned(), *count)).collect(),
        path: None,
        fields,
        shortened,
        expected,
    };
    (level > Level::Note || !are_replaced).then(|| witnessed(case, level, Facts::FieldChanged(facts), differs))
}

fn is_cookie(name: &str) -> bool {
    name.eq_ignore_ascii_case("Cookie")
}

/// What loses the check's own field loses those of others too. Where it hits all requests alike, the records say so; where it hits all of
/// some route, retries and losses there are not recognised.
fn request_id(case: &Case) -> Option<Finding> {
    let unidentified = case.ledger.unidentified();
    let is_hit = |sequence: u32| unidentified.binary_search(&sequence).is_ok();
    let hits = extent(case, |attempt| is_hit(attempt.sequence).then_some(0))?;
    let level = match hits.extent {
        Extent::All => return None,
        Extent::Backends | Extent::Urls | Extent::Bodies | Extent::Clients | Extent::Ways => Level::Inconclusive,
        Extent::Some => Level::Fail,
    };
    let facts = RequestChange {
        arrived: vec![("lost".to_owned(), hits.changed)],
        fields: vec![(REQUEST_HEADER.to_owned(), hits.changed)],
        ..change(case, &hits)
    };
    let shown: Vec<u32> = unidentified.iter().copied().filter(|it| case.sample.contains(it)).take(SHOWN).collect();
    Some(Finding::new(level, Facts::FieldChanged(facts)).shown_by(case.witnesses(&shown)))
}

#[cfg(test)]
mod tests;
