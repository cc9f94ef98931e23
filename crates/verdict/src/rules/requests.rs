//! The rules of the request as it arrived: what a rewrite does to all alike is described, what hits some or loses something is not.

use crate::facts::requests::{Extent, Intact, PathChange, RequestChange};
use crate::finding::{Facts, Finding, Level};
use crate::id::REQUEST_HEADER;
use crate::ledger::{Arrival, BackendRecords};
use crate::request::{Differences, MASKED_FIELDS, RequestPart};
use crate::rules::case::Case;
use crate::rules::extent::{extent, is_forwarding, is_read, is_replaced, way_of, way_of_fields, way_of_part};
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

/// Path and query, as sent, of the first URL where that part of requests was changed.
pub(super) fn changed_target<'c>(case: &Case<'c>, part: RequestPart) -> &'c str {
    extent(case, way_of_part(part)).map_or(case.sent.target, |hits| hits.target(case))
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
        // A gateway may select a route by the body; so may a fault hit the large ones.
        Extent::Bodies => Level::Inconclusive,
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
        expected: forbidden(case, |_| false),
    };
    Some(witnessed(case, Level::Fail, Facts::MethodChanged(facts), differs))
}

fn path(case: &Case) -> Option<Finding> {
    let differs = has(RequestPart::Path);
    let hits = extent(case, way_of_part(RequestPart::Path))?;
    let (extent, changed, of) = (hits.extent, hits.changed, hits.of);
    let urls = hits.targets(case);
    let expected = forbidden(case, |it| *it == Requirement::PathPreserved);
    let sent = hits.target(case).split('?').next().unwrap_or_default();
    let arrived = arrived(case.changes.part(RequestPart::Path));
    let path = match arrived.as_slice() {
        [(only, _)] => PathChange::between(sent, only),
        _ => None,
    };
    let level = level(extent, expected.as_ref());
    let facts = RequestChange {
        changed,
        of,
        extent,
        urls,
        sent: Some(sent.to_owned()),
        arrived,
        path,
        fields: Vec::new(),
        expected,
    };
    Some(witnessed(case, level, Facts::PathChanged(facts), differs))
}

fn query(case: &Case) -> Option<Finding> {
    let differs = has(RequestPart::Query);
    let hits = extent(case, way_of_part(RequestPart::Query))?;
    let (extent, changed, of) = (hits.extent, hits.changed, hits.of);
    let urls = hits.targets(case);
    let expected = forbidden(case, |_| false);
    let sent = hits.target(case).split_once('?').map(|(_, query)| query.to_owned());
    let arrived = arrived_queries(case);
    let level = level(extent, expected.as_ref());
    let facts = RequestChange { changed, of, extent, urls, sent, arrived, path: None, fields: Vec::new(), expected };
    Some(witnessed(case, level, Facts::QueryChanged(facts), differs))
}

/// Gateways choose Host by backend, and rewrite it for all: only what is neither, or what was forbidden, is a finding.
fn host(case: &Case) -> Option<Finding> {
    let differs = has(RequestPart::Host);
    let hits = extent(case, way_of_part(RequestPart::Host))?;
    let (extent, changed, of) = (hits.extent, hits.changed, hits.of);
    let urls = hits.targets(case);
    let expected = forbidden(case, |it| *it == Requirement::HostPreserved);
    if expected.is_none() && extent != Extent::Some {
        return None;
    }
    let sent = case.sent.host.map(str::to_owned);
    let arrived = arrived(case.changes.part(RequestPart::Host));
    let facts = RequestChange { changed, of, extent, urls, sent, arrived, path: None, fields: Vec::new(), expected };
    Some(witnessed(case, Level::Fail, Facts::HostChanged(facts), differs))
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

fn fields(case: &Case) -> Option<Finding> {
    let names = case.sent.judged_fields();
    let fields: Vec<(String, u64)> = names
        .iter()
        .zip(case.changes.fields)
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
    let extent = if fields.iter().all(|(_, count)| *count == of) && !case.changes.are_ways_known() {
        Extent::All
    } else if case.varied || !case.changes.are_ways_known() {
        // What is varied may be such a field.
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
    let ways = [("lost", lost), ("changed", changed), ("doubled", doubled)];
    let facts = RequestChange {
        changed: fields.iter().map(|(_, count)| *count).max().unwrap_or(0),
        of,
        extent,
        urls: Vec::new(),
        sent: None,
        arrived: ways.iter().filter(|(_, count)| *count > 0).map(|(way, count)| ((*way).to_owned(), *count)).collect(),
        path: None,
        fields,
        expected,
    };
    (level > Level::Note || !are_replaced).then(|| witnessed(case, level, Facts::FieldChanged(facts), differs))
}

/// What loses the check's own field loses those of others too. Where it hits all requests alike, the records say so; where it hits all of
/// some route, retries and losses there are not recognised.
fn request_id(case: &Case) -> Option<Finding> {
    let unidentified = case.ledger.unidentified();
    let is_hit = |sequence: u32| unidentified.binary_search(&sequence).is_ok();
    let hits = extent(case, |attempt| is_hit(attempt.sequence).then_some(0))?;
    let level = match hits.extent {
        Extent::All => return None,
        Extent::Backends | Extent::Urls | Extent::Bodies | Extent::Clients => Level::Inconclusive,
        Extent::Some => Level::Fail,
    };
    let facts = RequestChange {
        changed: hits.changed,
        of: hits.of,
        extent: hits.extent,
        urls: hits.targets(case),
        sent: None,
        arrived: vec![("lost".to_owned(), hits.changed)],
        path: None,
        fields: vec![(REQUEST_HEADER.to_owned(), hits.changed)],
        expected: None,
    };
    let shown: Vec<u32> = unidentified.iter().copied().filter(|it| case.sample.contains(it)).take(SHOWN).collect();
    Some(Finding::new(level, Facts::FieldChanged(facts)).shown_by(case.witnesses(&shown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests to two URLs in turn, at three backends; those that are hit arrive with another path.
    fn to_two_urls(hit: impl Fn(u16) -> bool) -> RuleTrial {
        let mut trial = RuleTrial::new();
        trial.sent.urls = vec!["/a".to_owned(), "/b/x?q".to_owned()];
        trial.sent.target = "/a";
        for turn in 0..60 {
            trial.sent.url_of.push((turn % 2) as u8);
            let arrived = As { parts: &[RequestPart::Path], target: Some("/x?q"), ..As::default() };
            trial.delivered_as(turn / 2 % 3, 200, if hit(turn) { &arrived } else { &PLAIN });
        }
        trial
    }

    const PLAIN: As = As {
        parts: &[],
        method: None,
        target: None,
        host: None,
        body: None,
        forwarded_for: "",
        notes: &[],
        fields: 0,
        uncompared: false,
        over_http2: false,
        client: None,
    };

    #[test]
    fn a_rewrite_of_one_of_several_urls_is_described_and_what_hits_some_of_them_fails() {
        let rewritten = to_two_urls(|turn| turn % 2 == 1);
        assert_eq!(rewritten.level("path-changed"), Some(Level::Note));
        let Facts::PathChanged(change) = rewritten.facts("path-changed") else { panic!() };
        assert_eq!((change.extent, change.urls.as_slice()), (Extent::Urls, &["/b/x?q".to_owned()][..]));
        assert_eq!(change.sent.as_deref(), Some("/b/x"));
        assert_eq!(change.path, Some(PathChange { removed: Some("/b".to_owned()), ..PathChange::default() }));
        assert_eq!(to_two_urls(|turn| turn % 20 == 1).level("path-changed"), Some(Level::Fail));
    }
    use crate::rules::trial::{As, RuleTrial};

    fn changed(requests: u16, every: u16, arrived: &As) -> RuleTrial {
        let mut trial = RuleTrial::new();
        trial.sent.target = "/a%2Fb?x=1";
        add(&mut trial, requests, every, arrived);
        trial
    }

    fn add(trial: &mut RuleTrial, requests: u16, every: u16, arrived: &As) {
        for turn in 0..requests {
            let hit = turn % every == every - 1;
            if hit { trial.delivered_as(turn % 3, 200, arrived) } else { trial.delivered(turn % 3, 200) }
        }
    }

    fn requiring(mut trial: RuleTrial, required: &[Requirement]) -> RuleTrial {
        trial.expectations.required = required.to_vec();
        trial
    }

    #[test]
    fn a_host_for_each_tier_is_a_setting_and_one_that_is_changed_for_some_is_not() {
        let level = |changed: fn(u16) -> bool| {
            let mut trial = RuleTrial::new();
            for turn in 0..60u16 {
                let host = if turn % 2 == 0 { "a" } else { "b" };
                let arrived = As { parts: &[RequestPart::Host], host: Some(host), ..As::default() };
                trial.delivered_as(turn % 3, 200, if changed(turn) { &arrived } else { &PLAIN });
            }
            trial.level("host-changed")
        };
        assert_eq!(level(|_| true), None);
        assert_eq!(level(|turn| turn % 7 == 0), Some(Level::Fail));
    }

    #[test]
    fn a_field_that_is_lost_for_some_and_changed_for_the_others_fails_whatever_else_is_forwarded() {
        let level = |also: Option<&str>, lost: fn(u16) -> bool| {
            let mut trial = RuleTrial::new();
            trial.sent.fields = vec![("X-A".to_owned(), "1".to_owned())];
            trial.sent.fields.extend(also.map(|name| (name.to_owned(), "6.6.6.6".to_owned())));
            for turn in 0..60u16 {
                let part = if lost(turn) { &[RequestPart::FieldLost] } else { &[RequestPart::FieldChanged] };
                // What is forwarded is appended to in all of them.
                let fields = 1 | u16::from(also.is_some()) << 1;
                trial.delivered_as(turn % 3, 200, &As { parts: part, fields, ..As::default() });
            }
            trial.level("field-changed")
        };
        assert_eq!(level(None, |_| false), Some(Level::Note));
        assert_eq!(level(None, |turn| turn % 5 == 0), Some(Level::Fail));
        assert_eq!(level(Some("X-Forwarded-For"), |_| true), Some(Level::Note));
        let mut trial = RuleTrial::new();
        trial.sent.fields = ["X-A", "X-Forwarded-For"].map(|name| (name.to_owned(), "1".to_owned())).to_vec();
        for turn in 0..60u16 {
            let fields = if turn % 5 == 0 { 0b11 } else { 0b10 };
            trial.delivered_as(turn % 3, 200, &As { parts: &[RequestPart::FieldChanged], fields, ..As::default() });
        }
        assert_eq!(trial.level("field-changed"), Some(Level::Fail));
    }

    #[test]
    fn requests_that_arrive_as_they_were_sent_pass_every_expectation() {
        let mut trial = RuleTrial::new();
        trial.sent.fields = vec![("X-A".to_owned(), "1".to_owned())];
        trial.healthy(30);
        assert!(trial.failures().is_empty());
        assert_eq!(trial.level("intact"), None);
        let all = [
            Requirement::Intact,
            Requirement::PathPreserved,
            Requirement::HostPreserved,
            Requirement::HeaderPreserved("x-a".to_owned()),
        ];
        let trial = requiring(trial, &all);
        assert_eq!((trial.level("intact"), trial.failures()), (Some(Level::Pass), vec![]));
        // What was never sent cannot be judged.
        let trial = requiring(trial, &[Requirement::HeaderPreserved("x-b".to_owned())]);
        assert_eq!(trial.level("intact"), Some(Level::Inconclusive));
    }

    #[test]
    fn a_method_that_changes_and_a_body_that_is_lost_fail_whoever_is_hit() {
        let method = As { parts: &[RequestPart::Method], method: Some("POST"), ..As::default() };
        assert_eq!(changed(30, 1, &method).failures(), ["method-changed"]);
        assert_eq!(changed(300, 100, &method).failures(), ["method-changed"]);
        let body = As { parts: &[RequestPart::BodyLength], body: Some(0), ..As::default() };
        let trial = changed(30, 1, &body);
        assert_eq!(trial.failures(), ["body-changed"]);
        let Facts::BodyChanged(facts) = trial.facts("body-changed") else { panic!() };
        assert_eq!((facts.changed, facts.of, facts.arrived), (30, 30, vec![("0".to_owned(), 30)]));
    }

    #[test]
    fn of_several_bodies_those_that_are_hit_are_named() {
        let of_bodies = |hit: fn(u16) -> bool, arrived: &As| {
            let mut trial = RuleTrial::new();
            trial.sent.bodies = vec![3, 100_000];
            (0..60).for_each(|turn| trial.delivered_as(turn / 2 % 3, 200, if hit(turn) { arrived } else { &PLAIN }));
            trial
        };
        let cut = As { parts: &[RequestPart::BodyLength], body: Some(65_536), ..As::default() };
        let sent = |hit: fn(u16) -> bool| {
            let Facts::BodyChanged(facts) = of_bodies(hit, &cut).facts("body-changed") else { panic!() };
            (facts.extent, facts.sent.unwrap())
        };
        assert_eq!(sent(|turn| turn % 2 == 1), (Extent::Bodies, "100000".to_owned()));
        assert_eq!(sent(|turn| turn % 5 == 0), (Extent::Some, "3 or 100000".to_owned()));
        assert_eq!(sent(|_| true), (Extent::All, "3 or 100000".to_owned()));
        let path = As { parts: &[RequestPart::Path], target: Some("/x"), ..As::default() };
        assert_eq!(of_bodies(|turn| turn % 2 == 1, &path).level("path-changed"), Some(Level::Inconclusive));
        assert_eq!(of_bodies(|turn| turn % 5 == 0, &path).level("path-changed"), Some(Level::Fail));
    }

    #[test]
    fn an_id_that_some_requests_lose_fails_and_one_that_all_lose_to_a_backend_is_inconclusive() {
        let level = |is_lost: fn(u16) -> bool| {
            let mut trial = RuleTrial::new();
            for turn in 0..300 {
                if is_lost(turn) { trial.delivered_without_id(turn % 3) } else { trial.delivered(turn % 3, 200) }
            }
            trial.level("field-changed")
        };
        assert_eq!(level(|_| false), None);
        assert_eq!(level(|turn| turn % 100 == 0), Some(Level::Fail));
        assert_eq!(level(|turn| turn % 3 == 1), Some(Level::Inconclusive));
        assert_eq!(level(|_| true), None);
    }

    #[test]
    fn a_body_of_which_the_backend_read_a_part_before_it_was_cut_off_is_not_held_against_the_balancer() {
        let mut trial = RuleTrial::new();
        trial.healthy(10);
        trial.failed(crate::observation::ClientOutcome::Closed, false);
        trial.attempt(0, 0, AttemptEnd::CutOff);
        trial.arrivals.last_mut().unwrap().differences.add(RequestPart::BodyLength);
        trial.delivered_as(1, 503, &As { parts: &[RequestPart::BodyLength], ..As::default() });
        assert_eq!(trial.level("body-changed"), None);
    }

    #[test]
    fn a_rewrite_of_all_is_a_note_and_one_of_some_is_a_failure() {
        let path = As { parts: &[RequestPart::Path], target: Some("/a/b?x=1"), ..As::default() };
        let trial = changed(30, 1, &path);
        assert_eq!((trial.level("path-changed"), trial.failures()), (Some(Level::Note), vec![]));
        let Facts::PathChanged(facts) = trial.facts("path-changed") else { panic!() };
        assert_eq!(facts.extent, Extent::All);
        assert!(facts.path.unwrap().decoded);
        assert_eq!(changed(300, 100, &path).failures(), ["path-changed"]);
        // One backend of three: another instance with another configuration.
        assert_eq!(changed(300, 3, &path).failures(), ["path-changed"]);
        let query = As { parts: &[RequestPart::Query], target: Some("/a%2Fb"), ..As::default() };
        assert_eq!(changed(30, 1, &query).level("query-changed"), Some(Level::Note));
        assert_eq!(changed(300, 100, &query).failures(), ["query-changed"]);
        for required in [Requirement::Intact, Requirement::PathPreserved] {
            assert_eq!(requiring(changed(30, 1, &path), &[required]).failures(), ["path-changed"]);
        }
    }

    #[test]
    fn a_host_of_each_backend_is_the_gateways_choice_and_one_now_and_then_is_not() {
        let host = As { parts: &[RequestPart::Host], host: Some("u"), ..As::default() };
        assert_eq!(changed(30, 1, &host).level("host-changed"), None);
        assert_eq!(changed(300, 3, &host).level("host-changed"), None);
        assert_eq!(changed(300, 100, &host).failures(), ["host-changed"]);
        assert_eq!(requiring(changed(30, 1, &host), &[Requirement::HostPreserved]).failures(), ["host-changed"]);
    }

    #[test]
    fn a_retry_that_goes_another_way_is_no_rewrite_of_some() {
        let mut trial = RuleTrial::new();
        trial.healthy(30);
        trial.failed(crate::observation::ClientOutcome::Response, false);
        trial.attempt(0, 503, AttemptEnd::Completed);
        let answer = trial.attempt(1, 200, AttemptEnd::Completed);
        trial.arrivals.last_mut().unwrap().differences.add(RequestPart::Path);
        trial.answered(answer, 1, 200);
        assert!(trial.failures().is_empty(), "{:?}", trial.failures());
    }

    #[test]
    fn a_field_that_is_lost_for_all_is_a_note_and_one_that_is_doubled_a_failure() {
        let field = |part: &'static [RequestPart], every| {
            let mut trial = RuleTrial::new();
            trial.sent.fields = vec![("X_A".to_owned(), "1".to_owned())];
            add(&mut trial, 300, every, &As { parts: part, fields: 1, ..As::default() });
            trial
        };
        assert_eq!(field(&[RequestPart::FieldLost], 1).level("field-changed"), Some(Level::Note));
        assert_eq!(field(&[RequestPart::FieldLost], 100).level("field-changed"), Some(Level::Fail));
        assert_eq!(field(&[RequestPart::FieldDoubled], 1).level("field-changed"), Some(Level::Fail));
        let required = [Requirement::HeaderPreserved("x_a".to_owned())];
        assert_eq!(requiring(field(&[RequestPart::FieldLost], 1), &required).failures(), ["field-changed"]);
    }

    #[test]
    fn what_proxies_write_themselves_may_change_for_all_and_not_for_some_or_where_it_is_required() {
        for (name, of_some) in [("X-Real-IP", Some(Level::Fail)), ("X-Forwarded-For", None), ("Via", None)] {
            let preserved = [Requirement::HeaderPreserved(name.to_owned())];
            for (every, level) in [(1, None), (100, of_some)] {
                let mut trial = RuleTrial::new();
                trial.sent.fields = vec![(name.to_owned(), "1".to_owned())];
                add(&mut trial, 300, every, &As { parts: &[RequestPart::FieldChanged], fields: 1, ..As::default() });
                assert_eq!(trial.level("field-changed"), level, "{name}");
                assert_eq!(requiring(trial, &preserved).failures(), ["field-changed"], "{name}");
            }
        }
    }

    #[test]
    fn what_was_not_compared_is_inconclusive() {
        let trial = requiring(changed(30, 1, &As { uncompared: true, ..As::default() }), &[Requirement::Intact]);
        assert_eq!(trial.level("intact"), Some(Level::Inconclusive));
        let mut trial = requiring(RuleTrial::new(), &[Requirement::Intact]);
        trial.fleet.records = BackendRecords::None;
        trial.healthy(30);
        trial.changes = crate::arrived::RequestChanges::default();
        assert_eq!(trial.level("intact"), Some(Level::Inconclusive));
    }
}
