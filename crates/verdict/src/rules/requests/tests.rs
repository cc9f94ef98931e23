use super::*;
use crate::AttemptEnd;
use crate::facts::requests::ShortenedDeadlines;
use crate::request::Sent;
use crate::rules::trial::{As, RuleTrial};

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
    deadline: None,
};

#[test]
fn a_rewrite_of_one_of_several_urls_is_described_and_what_hits_some_of_them_fails() {
    let rewritten = to_two_urls(|turn| turn % 2 == 1);
    assert_eq!(rewritten.level("path-changed"), Some(Level::Note));
    let Facts::PathChanged(change) = rewritten.facts("path-changed") else { panic!() };
    assert_eq!((change.extent, change.urls.as_slice()), (Extent::Urls, &["/b/x?q".to_owned()][..]));
    assert_eq!(change.sent.as_deref(), Some("/b/x"));
    assert_eq!(change.path, Some(PathChange { removed: Some("/b".to_owned()), ..PathChange::default() }));
    let both = to_two_urls(|_| true);
    let Facts::PathChanged(change) = both.facts("path-changed") else { panic!() };
    assert_eq!((change.sent.as_deref(), &change.path), (Some("/a, /b/x"), &None));
    assert_eq!(to_two_urls(|turn| turn % 20 == 1).level("path-changed"), Some(Level::Fail));
}

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
fn a_host_for_each_tier_is_a_note_and_one_that_is_changed_for_some_fails() {
    let level = |changed: fn(u16) -> bool| {
        let mut trial = RuleTrial::new();
        for turn in 0..60u16 {
            let host = if turn % 2 == 0 { "a" } else { "b" };
            let arrived = As { parts: &[RequestPart::Host], host: Some(host), ..As::default() };
            trial.delivered_as(turn % 3, 200, if changed(turn) { &arrived } else { &PLAIN });
        }
        trial.level("host-changed")
    };
    assert_eq!(level(|_| true), Some(Level::Note));
    assert_eq!(level(|turn| turn % 7 == 0), Some(Level::Fail));
}

#[test]
fn several_hosts_at_one_backend_are_named_where_requests_are_alike() {
    let found = |host: fn(u16) -> &'static str, with: fn(&mut RuleTrial)| {
        let mut trial = RuleTrial::new();
        with(&mut trial);
        for turn in 0..60u16 {
            let arrived = As { parts: &[RequestPart::Host], host: Some(host(turn)), ..As::default() };
            trial.delivered_as(turn % 3, 200, &arrived);
        }
        assert_eq!(trial.failures(), [] as [&str; 0]);
        let facts = trial.level("host-changed").map(|_| trial.facts("host-changed"));
        facts.map(|facts| match facts {
            Facts::HostChanged(change) => (change.extent, change.arrived),
            _ => panic!(),
        })
    };
    let some = |turn: u16| if turn % 20 == 7 { "wrong" } else { "app" };
    let arrived = vec![("app".to_owned(), 57), ("wrong".to_owned(), 3)];
    assert_eq!(found(some, |_| {}), Some((Extent::Ways, arrived)));
    assert_eq!(found(|turn| ["a", "b", "c"][usize::from(turn % 3)], |_| {}), None);
    assert_eq!(found(|turn| if turn % 2 == 0 { "App" } else { "app" }, |_| {}), None);
    assert_eq!(found(some, |trial| trial.varied = true), None);
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
fn a_cache_that_is_allowed_may_fetch_with_get_what_it_responds_to_head() {
    let level = |allowed: &[Outcome], every: u16, arrives: &str, required: &[Requirement]| {
        let method = As { parts: &[RequestPart::Method], method: Some(arrives), ..As::default() };
        let mut trial = RuleTrial::new();
        trial.sent.method = "HEAD";
        trial.expectations.allowed = allowed.to_vec();
        add(&mut trial, 60, every, &method);
        requiring(trial, required).level("method-changed")
    };
    let stale = [Outcome::Stale];
    assert_eq!(level(&stale, 1, "GET", &[]), Some(Level::Note));
    assert_eq!(level(&[], 1, "GET", &[]), Some(Level::Fail));
    assert_eq!(level(&stale, 1, "POST", &[]), Some(Level::Fail));
    assert_eq!(level(&stale, 10, "GET", &[]), Some(Level::Fail));
    assert_eq!(level(&stale, 1, "GET", &[Requirement::Intact]), Some(Level::Fail));
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
fn a_rewrite_that_is_another_one_for_some_is_no_rewrite_of_all_unless_each_backend_has_its_own() {
    let level = |path: fn(u16) -> &'static str, varied: bool| {
        let mut trial = RuleTrial::new();
        trial.varied = varied;
        for turn in 0..120 {
            let arrived = As { parts: &[RequestPart::Path], target: Some(path(turn)), ..As::default() };
            trial.delivered_as(turn % 3, 200, &arrived);
        }
        trial.level("path-changed")
    };
    assert_eq!(level(|_| "/app/", false), Some(Level::Note));
    assert_eq!(level(|turn| ["/a", "/b", "/c"][usize::from(turn % 3)], false), Some(Level::Note));
    let some = |turn: u16| if turn % 50 == 7 { "/wrong/" } else { "/app/" };
    assert_eq!((level(some, false), level(some, true)), (Some(Level::Inconclusive), Some(Level::Note)));
}

#[test]
fn a_field_that_some_clients_lose_may_be_by_what_they_differ_in_and_one_that_a_client_loses_now_and_then_is_not() {
    let level = |name: &str, is_hit: fn(u16) -> bool| {
        let mut trial = RuleTrial::new();
        (trial.varied, trial.sent.fields) = (true, vec![(name.to_owned(), "1".to_owned())]);
        let lost = As { parts: &[RequestPart::FieldLost], fields: 1, ..As::default() };
        for turn in 0..240 {
            trial.delivered_as(turn % 3, 200, if is_hit(turn) { &lost } else { &PLAIN });
            trial.observations.last_mut().expect("it was sent").client = u32::from(turn % 8);
        }
        trial.level("field-changed")
    };
    assert_eq!(level("X-Tenant", |turn| turn % 8 == 5), Some(Level::Note));
    assert_eq!(level("X-Tenant", |turn| turn % 17 == 5), Some(Level::Fail));
    assert_eq!(level("Cookie", |turn| turn % 17 == 5), Some(Level::Note));
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
fn a_deadline_may_arrive_as_the_time_that_is_left_of_it_and_no_shorter() {
    let level = |arrived: &[u64]| {
        let mut trial = RuleTrial::new();
        trial.sent.fields = vec![("grpc-timeout".to_owned(), "5000000u".to_owned())];
        let fields = &trial.sent.fields;
        trial.changes.deadline = Sent { method: "POST", target: "/", host: None, body: None, fields }.deadline();
        for turn in 0..60 {
            let microseconds = arrived[usize::from(turn) % arrived.len()];
            let is_same = microseconds == 5_000_000;
            let parts: &[RequestPart] = if is_same { &[] } else { &[RequestPart::FieldChanged] };
            let deadline = Some(Duration::from_micros(microseconds));
            trial.delivered_as(turn % 3, 200, &As { parts, fields: u16::from(!is_same), deadline, ..As::default() });
        }
        requiring(trial, &[Requirement::HeaderPreserved("grpc-timeout".to_owned())])
    };
    let preserved = |arrived: &[u64]| level(arrived).failures().is_empty();
    assert!(preserved(&[5_000_000]) && preserved(&[4_999_900, 4_999_950]));
    // As few digits as clients of gRPC write.
    assert!(preserved(&[4_960_000]) && preserved(&[5_040_000]));
    // Nobody needed two seconds, and no time makes it longer.
    let capped = level(&[5_000_000, 3_000_000]);
    assert_eq!(capped.failures(), ["field-changed"]);
    let Facts::FieldChanged(change) = capped.facts("field-changed") else { panic!() };
    assert_eq!(change.fields, [("grpc-timeout".to_owned(), 30)]);
    let of_all = level(&[2_000_000, 1_900_000]);
    let Facts::FieldChanged(change) = of_all.facts("field-changed") else { panic!() };
    let shortened = ShortenedDeadlines { attempts: 60, sent: 5.0, shortest: 1.9, longest: 2.0 };
    assert_eq!((change.shortened, change.extent), (Some(shortened), Extent::All));
    assert_eq!(change.arrived, [("shortened".to_owned(), 60)]);
    assert_eq!(level(&[6_000_000]).failures(), ["field-changed"]);
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

#[test]
fn what_a_copy_has_in_place_of_the_path_is_no_rewrite_of_the_request() {
    let copied = |first_is_copy: fn(u16) -> bool, are_both_changed: bool| {
        let mut trial = RuleTrial::new();
        let copy = As { parts: &[RequestPart::Path], target: Some("/m"), ..As::default() };
        for turn in 0..60u16 {
            let is_first = first_is_copy(turn);
            let (first, second) = if is_first { (&copy, &PLAIN) } else { (&PLAIN, &copy) };
            let second = if are_both_changed { first } else { second };
            trial.delivered_as(turn % 3, 200, first);
            trial.attempt_as(u32::from(turn), (turn + 1) % 3, 200, AttemptEnd::Completed, second);
        }
        trial.level("path-changed")
    };
    assert_eq!(copied(|turn| turn % 3 == 0, false), None);
    assert_eq!(copied(|turn| turn % 3 == 0, true), Some(Level::Fail));
}
