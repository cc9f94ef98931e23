//! Where responses of backends that are not ours have the name of their backend: what differs from response to response, and repeats.

mod texts;

use std::collections::{BTreeMap, HashSet};

use regex_lite::Regex;
use serde_json::Value;

use crate::check::identities::texts::DifferingText;
use crate::check::load::Identity;
use crate::check::load::cookies::name_and_value;
use crate::wire::{GENERATOR_HEADER, INSTANCE_HEADER, NAME_HEADER};

/// A whole response, as text.
#[derive(Clone)]
pub(crate) struct TextResponse {
    /// Status line and headers.
    pub(crate) head: String,
    /// The beginning of its body.
    pub(crate) body: String,
}

/// A place in responses that may have the name of the backend.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) identity: Identity,
    /// The place in the form that `--identity` takes.
    pub(crate) place: String,
    /// One for each response that has it.
    pub(crate) values: Vec<String>,
    /// It says that it names a backend, or stands in the body: good enough to be used without being asked for.
    pub(crate) is_trusted: bool,
    /// The header or the member of JSON says by its name that a backend's stands there.
    pub(crate) is_named: bool,
}

/// Backends beyond that are hardly behind one balancer; what has more values is something else.
const MOST_VALUES: usize = 64;
/// Responses without an error that suffice to find a name.
const LEAST_WELL: usize = 6;
/// The most values of a JSON document that are looked at.
const MOST_LEAVES: usize = 300;

/// What may be a backend's identity, the most likely first.
pub(crate) fn candidates(responses: &[TextResponse]) -> Vec<Candidate> {
    let mut found = places(responses);
    found.retain(|candidate| {
        let distinct = distinct(&candidate.values);
        (2..=MOST_VALUES).contains(&distinct) && distinct < candidate.values.len()
    });
    // Of two places that both name backends the finer one tells more of them apart.
    found.sort_by_key(|candidate| {
        (
            !candidate.is_trusted,
            !candidate.is_named,
            !says_backend(&candidate.place),
            std::cmp::Reverse(distinct(&candidate.values)),
            // Of a fleet of ours, whose names say more to a person; unless several processes share one.
            candidate.place.ends_with(INSTANCE_HEADER),
        )
    });
    found
}

/// Whether a place that says that it names backends has another value in each response: there may be more backends than responses.
pub(crate) fn may_be_of_more_backends(responses: &[TextResponse]) -> bool {
    places(responses).iter().any(|it| it.is_trusted && it.values.len() > 1 && distinct(&it.values) == it.values.len())
}

/// Where values stand that may be names.
fn places(responses: &[TextResponse]) -> Vec<Candidate> {
    // Who fails, or what stands in front, may write no name.
    let well: Vec<TextResponse> = responses.iter().filter(|response| !response.is_error()).cloned().collect();
    let responses = if well.len() >= LEAST_WELL { well.as_slice() } else { responses };
    let mut found: Vec<Candidate> = original_page(responses).into_iter().collect();
    found.extend(in_headers(responses));
    found.extend(in_cookies(responses));
    match in_json(responses) {
        Some(json) => found.extend(json),
        None => found.extend(in_texts(responses)),
    }
    // Most responses have it: an error page or two among them do not.
    found.retain(|candidate| candidate.values.len() * 4 >= responses.len() * 3);
    found
}

impl Candidate {
    /// Whether it tells the same responses apart as the other place does.
    pub(crate) fn tells_the_same(&self, other: &Candidate) -> bool {
        let pairs: HashSet<_> = self.values.iter().zip(&other.values).collect();
        self.values.len() == other.values.len()
            && [&self.values, &other.values].into_iter().all(|values| distinct(values) == pairs.len())
    }

    pub(crate) fn describe(&self) -> String {
        format!("{} ({})", self.place, some_of(&self.values))
    }
}

/// The first three values.
pub(crate) fn some_of(values: &[String]) -> String {
    let mut some: Vec<&str> = Vec::new();
    for value in values {
        if !some.contains(&value.as_str()) {
            some.push(value);
        }
    }
    let more = if some.len() > 3 { ", …" } else { "" };
    some.truncate(3);
    some.join(", ") + more
}

pub(crate) fn distinct(values: &[String]) -> usize {
    values.iter().collect::<HashSet<_>>().len()
}

/// Value of the first field of that name.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    headers(head).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// All fields of that name are one list (RFC 9110 §5.3).
fn all_of(head: &str, name: &str) -> Option<String> {
    let values: Vec<&str> = headers(head).filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, it)| it).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// Names and values of the cookies that a response sets.
fn cookies(head: &str) -> impl Iterator<Item = (String, String)> {
    headers(head).filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).filter_map(|(_, it)| name_and_value(it))
}

fn headers(head: &str) -> impl Iterator<Item = (&str, &str)> {
    head.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, value)| (name.trim(), value.trim()))
}

/// The name that a backend of a fleet writes into each response.
pub(crate) fn name_of_ours(head: &str) -> Option<&str> {
    header(head, GENERATOR_HEADER).or_else(|| header(head, NAME_HEADER))
}

/// The backend's name, if it is where it is looked for.
pub(crate) fn name_in(response: &TextResponse, identity: &Identity) -> Option<String> {
    match identity {
        Identity::Fleet => name_of_ours(&response.head).map(str::to_owned),
        Identity::Header(name) => all_of(&response.head, name),
        Identity::Cookie(name) => cookies(&response.head).find(|(it, _)| it == name).map(|(_, value)| value),
        Identity::Json(_) | Identity::Regex(_) => identity.find(response.body.as_bytes()),
    }
}

pub(crate) fn describe(identity: &Identity) -> String {
    match identity {
        Identity::Fleet => format!("the header {GENERATOR_HEADER} or {NAME_HEADER}"),
        Identity::Header(name) => format!("the header {name}"),
        Identity::Cookie(name) => format!("the cookie {name}"),
        Identity::Json(pointer) => format!("a value at {pointer} in a body of JSON"),
        Identity::Regex(expression) => format!("a match of {} in its body", expression.as_str()),
    }
}

impl TextResponse {
    fn is_error(&self) -> bool {
        let status = self.head.split_whitespace().nth(1);
        status.is_some_and(|status| status.starts_with('5'))
    }

    /// Headers that may tell something, and the beginning of the body; each line indented.
    pub(crate) fn excerpt(&self) -> String {
        const LINES: usize = 8;
        const WIDTH: usize = 100;
        let head = self.head.lines().filter(|line| !line.trim().is_empty());
        let body = self.body.lines().filter(|line| !line.trim().is_empty()).take(LINES);
        let lines = head.chain(body).map(|line| {
            let line: String = line.trim_end().chars().filter(|it| !it.is_control()).take(WIDTH).collect();
            format!("    {line}")
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// How the original program names itself on its page.
const PAGE: &str = r"Generator #([0-9]+)";

pub(crate) fn of_original() -> Identity {
    Identity::Regex(Regex::new(PAGE).expect("the expression is right"))
}

fn original_page(responses: &[TextResponse]) -> Option<Candidate> {
    let identity = of_original();
    let values: Vec<String> = responses.iter().filter_map(|response| name_in(response, &identity)).collect();
    (!values.is_empty()).then(|| Candidate {
        identity,
        place: format!("regex:{PAGE}"),
        values,
        is_trusted: true,
        is_named: true,
    })
}

/// A word of the field for somebody who answers.
fn says_backend(place: &str) -> bool {
    const WORDS: [&str; 17] = [
        "host",
        "pod",
        "server",
        "backend",
        "instance",
        "node",
        "container",
        "machine",
        "upstream",
        "served",
        "replica",
        "worker",
        "endpoint",
        "origin",
        "task",
        "name",
        "generator",
    ];
    const NOT: [&str; 11] = [
        "request", "trace", "session", "user", "client", "timing",
        // Envoy's x-envoy-upstream-service-time and the like: about somebody, and no name.
        "time", "duration", "latency", "status", "version",
    ];
    let place = place.to_ascii_lowercase();
    WORDS.iter().any(|word| place.contains(word)) && !NOT.iter().any(|word| place.contains(word))
}

/// Differs from response to response, and names no backend.
fn is_about_the_response(header: &str) -> bool {
    const NAMES: [&str; 22] = [
        "date",
        "age",
        "etag",
        "last-modified",
        "expires",
        "content-length",
        "content-type",
        "content-encoding",
        "content-md5",
        "set-cookie",
        "cache-control",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "vary",
        "x-request-id",
        "x-correlation-id",
        "traceparent",
        "server-timing",
        "x-runtime",
        "x-response-time",
        "alt-svc",
    ];
    let header = header.to_ascii_lowercase();
    NAMES.contains(&header.as_str())
        || ["cache", "ratelimit", "rate-limit", "request"].iter().any(|it| header.contains(it))
}

/// A time, a date, or a mere number.
fn is_no_name(value: &str) -> bool {
    let bytes = value.as_bytes();
    let time =
        bytes.windows(5).any(|five| five[2] == b':' && [0, 1, 3, 4].iter().all(|place| five[*place].is_ascii_digit()));
    let number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit() || b".,-+%".contains(&byte));
    value.is_empty() || value.len() > 200 || time || number
}

fn in_headers(responses: &[TextResponse]) -> Vec<Candidate> {
    let mut by_name: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    for response in responses {
        let mut seen = HashSet::new();
        for (name, _) in headers(&response.head) {
            let key = name.to_ascii_lowercase();
            if seen.insert(key.clone()) {
                let values = &mut by_name.entry(key).or_insert_with(|| (name.to_owned(), Vec::new())).1;
                values.extend(all_of(&response.head, name));
            }
        }
    }
    let useful = by_name.into_values().filter(|(name, values)| {
        !is_about_the_response(name) && (says_backend(name) || !values.iter().any(|value| is_no_name(value)))
    });
    useful
        .map(|(name, values)| Candidate {
            is_trusted: says_backend(&name),
            is_named: says_backend(&name),
            place: format!("header:{name}"),
            identity: Identity::Header(name),
            values,
        })
        .collect()
}

/// One that is set once for each client names no backend afterwards: it is proposed, and not used without being asked for.
fn in_cookies(responses: &[TextResponse]) -> Vec<Candidate> {
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in responses.iter().flat_map(|response| cookies(&response.head)) {
        by_name.entry(name).or_default().push(value);
    }
    let candidate = |(name, values): (String, Vec<String>)| Candidate {
        is_trusted: false,
        is_named: says_backend(&name),
        place: format!("cookie:{name}"),
        identity: Identity::Cookie(name),
        values,
    };
    by_name.into_iter().map(candidate).collect()
}

/// None if the bodies are not JSON.
fn in_json(responses: &[TextResponse]) -> Option<Vec<Candidate>> {
    let mut by_pointer: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut documents = 0;
    for response in responses {
        let Ok(document) = serde_json::from_str::<Value>(&response.body) else { continue };
        if !document.is_object() && !document.is_array() {
            continue;
        }
        documents += 1;
        let mut left = MOST_LEAVES;
        leaves(&document, String::new(), &mut left, &mut by_pointer);
    }
    if documents * 4 < responses.len() * 3 {
        return None;
    }
    // A number may be a port or a process; it is proposed, and not used without being asked for.
    let is_number = |values: &[String]| values.iter().all(|value| value.parse::<u64>().is_ok()) && !is_counter(values);
    let useful =
        by_pointer.into_iter().filter(|(_, values)| is_number(values) || !values.iter().any(|value| is_no_name(value)));
    Some(
        useful
            .map(|(pointer, values)| Candidate {
                is_named: says_backend(&pointer),
                place: format!("json:{pointer}"),
                identity: Identity::Json(pointer),
                is_trusted: !is_number(&values),
                values,
            })
            .collect(),
    )
}

/// Numbers that never fall and rise in the end count something.
fn is_counter(values: &[String]) -> bool {
    let numbers: Vec<u64> = values.iter().filter_map(|value| value.parse().ok()).collect();
    numbers.is_sorted() && numbers.first() != numbers.last()
}

/// Whole numbers in headers and in a body of JSON, each with its place as `--identity` takes it.
pub(crate) fn numbers(response: &TextResponse) -> Vec<(String, u64)> {
    let in_headers = headers(&response.head).filter(|(name, _)| !is_about_the_response(name));
    let mut found: Vec<(String, u64)> =
        in_headers.filter_map(|(name, value)| Some((format!("header:{name}"), value.parse().ok()?))).collect();
    if let Ok(document) = serde_json::from_str::<Value>(&response.body) {
        let mut by_pointer = BTreeMap::new();
        let mut left = MOST_LEAVES;
        leaves(&document, String::new(), &mut left, &mut by_pointer);
        let values = by_pointer
            .into_iter()
            .flat_map(|(pointer, values)| values.into_iter().map(move |it| (pointer.clone(), it)));
        found.extend(values.filter_map(|(pointer, value)| Some((format!("json:{pointer}"), value.parse().ok()?))));
    }
    found
}

/// Every string and whole number with its pointer (RFC 6901).
fn leaves(value: &Value, pointer: String, left: &mut usize, found: &mut BTreeMap<String, Vec<String>>) {
    match value {
        Value::String(text) if *left > 0 => {
            *left -= 1;
            found.entry(pointer).or_default().push(text.clone());
        }
        Value::Number(number) if *left > 0 && number.is_u64() => {
            *left -= 1;
            found.entry(pointer).or_default().push(number.to_string());
        }
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            leaves(value, format!("{pointer}/{name}"), left, found);
        }),
        Value::Array(values) => {
            values
                .iter()
                .enumerate()
                .for_each(|(place, value)| leaves(value, format!("{pointer}/{place}"), left, found));
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Lines of text, and texts between tags, whose beginning and end are always the same: what stands between is the value.
fn in_texts(responses: &[TextResponse]) -> Vec<Candidate> {
    let bodies: Vec<&str> = responses.iter().map(|response| response.body.as_str()).collect();
    texts::that_differ(&bodies).into_iter().filter_map(|text| in_text(&text, responses)).collect()
}

fn in_text(text: &DifferingText, responses: &[TextResponse]) -> Option<Candidate> {
    let candidate = |expression: Regex, is_trusted: bool| {
        let (place, identity) = (format!("regex:{}", expression.as_str()), Identity::Regex(expression));
        let values: Vec<String> = responses.iter().filter_map(|response| name_in(response, &identity)).collect();
        Candidate { place, identity, values, is_trusted, is_named: false }
    };
    let found = candidate(text.value()?, true);
    let is_number = found.values.iter().all(|value| value.parse::<u64>().is_ok());
    // A number alone names nobody; with the word before it, as in `Server 2`, it may.
    match text.word().filter(|_| is_number && !is_counter(&found.values)) {
        Some((expression, word)) => Some(candidate(expression, says_backend(word))),
        None => (!found.values.iter().any(|value| is_no_name(value))).then_some(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twelve responses of three backends, each with a request id and a time of its own.
    fn responses(head: impl Fn(&str, usize) -> String, body: impl Fn(&str, usize) -> String) -> Vec<TextResponse> {
        let name = |place: usize| ["web-7c9f-abcde", "web-7c9f-fghij", "web-7c9f-klmno"][place % 3];
        let all = (0..12).map(|place| TextResponse {
            head: format!(
                "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 28 Nov 2026 03:00:{:02} GMT\r\n{}\r\n",
                place / 4,
                head(name(place), place)
            ),
            body: body(name(place), place),
        });
        all.collect()
    }

    fn best(responses: &[TextResponse]) -> (String, Vec<String>) {
        let candidates = candidates(responses);
        let best = candidates.iter().find(|candidate| candidate.is_trusted);
        best.map(|best| (best.place.clone(), best.values[..3].to_vec())).unwrap_or_default()
    }

    const NAMES: [&str; 3] = ["web-7c9f-abcde", "web-7c9f-fghij", "web-7c9f-klmno"];

    #[test]
    fn whoami_names_itself_in_a_line() {
        let body = |name: &str, place: usize| {
            format!(
                "Hostname: {name}\nIP: 127.0.0.1\nIP: 10.0.0.{}\nRemoteAddr: 10.0.0.9:{}\nGET / HTTP/1.1\nHost: a\n\
                 User-Agent: x\nX-Request-Id: {place:032x}\n",
                place % 3 + 1,
                40_000 + place
            )
        };
        let (place, values) = best(&responses(|_, _| String::new(), body));
        assert_eq!(
            (place.as_str(), values),
            (r#"regex:(?m)^\s*Hostname: ([^\s<>"]+)\s*$"#, NAMES.map(String::from).to_vec())
        );
    }

    #[test]
    fn podinfo_and_echo_basic_name_themselves_in_json() {
        let podinfo = |name: &str, place: usize| {
            format!(
                r#"{{"hostname":"{name}","version":"6.7.0","num_goroutine":"{}","message":"greetings"}}"#,
                8 + place % 2
            )
        };
        let found = best(&responses(|_, _| String::new(), podinfo));
        assert_eq!(found, ("json:/hostname".to_owned(), NAMES.map(String::from).to_vec()));
        let echo_basic = |name: &str, place: usize| {
            format!(
                r#"{{"path":"/","host":"a","headers":{{"X-Request-Id":["{place:032x}"]}},"namespace":"b","pod":"{name}"}}"#
            )
        };
        assert_eq!(best(&responses(|_, _| String::new(), echo_basic)).0, "json:/pod");
    }

    #[test]
    fn nginx_hello_names_itself_in_text_and_in_html() {
        let text = |name: &str, place: usize| {
            format!(
                "Server address: 10.0.0.1:80\nServer name: {name}\nDate: 28/Nov/2026:03:43:{:02} +0000\nURI: /\n\
                     Request ID: {place:032x}\n",
                place / 3
            )
        };
        let (place, values) = best(&responses(|_, _| String::new(), text));
        assert_eq!(place, r#"regex:(?m)^\s*Server name: ([^\s<>"]+)\s*$"#);
        assert_eq!(values, NAMES);
        let html = |name: &str, _: usize| {
            format!("<html>\n<p><span>Server&nbsp;name:</span> <span>{name}</span></p>\n</html>\n")
        };
        assert_eq!(best(&responses(|_, _| String::new(), html)).1, NAMES);
    }

    #[test]
    fn a_sentence_of_ones_own_will_do_and_a_header_goes_first() {
        let express = |name: &str, _: usize| format!("Hello from {name}!\n");
        assert_eq!(best(&responses(|_, _| String::new(), express)).1, NAMES);
        let bare = |name: &str, _: usize| name.to_owned();
        assert_eq!(best(&responses(|_, _| String::new(), bare)).1, NAMES);
        let header = |name: &str, _: usize| format!("X-Served-By: {name}\r\n");
        assert_eq!(best(&responses(header, express)).0, "header:X-Served-By");
    }

    #[test]
    fn a_number_names_a_backend_with_the_word_before_it() {
        let number = |name: &str| name.bytes().map(usize::from).sum::<usize>() % 7;
        let text = |name: &str, _: usize| format!("Hello from Server {}\n", number(name));
        let html = |name: &str, place: usize| format!("<h1>Server {}</h1><p>load 0.{place}</p>", number(name));
        for (found, place) in [
            (best(&responses(|_, _| String::new(), text)), r#"regex:(?m)^\s*Hello from (Server [^\s<>"]+)\s*$"#),
            (best(&responses(|_, _| String::new(), html)), r#"regex:(?m)^\s*<h1>(Server [^\s<>"]+)<"#),
        ] {
            assert_eq!((found.0.as_str(), found.1.len()), (place, 3), "{found:?}");
            assert!(found.1.iter().all(|value| value.starts_with("Server ")), "{found:?}");
        }
        // Nobody says that this is one.
        let other = |name: &str, _: usize| format!("Table {}\n", number(name));
        let found = candidates(&responses(|_, _| String::new(), other));
        assert!(found.iter().all(|it| !it.is_trusted) && found.len() == 1, "{found:?}");
    }

    #[test]
    fn a_cookie_that_names_backends_is_proposed() {
        let head = |name: &str, place: usize| {
            format!(
                "Set-Cookie: SERVERID={name}; Path=/\r\nSet-Cookie: visit={place}; Max-Age=60\r\nSet-Cookie: lang=en\r\n"
            )
        };
        let responses = responses(head, |_, _| "hello\n".to_owned());
        let found = candidates(&responses);
        let [only] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((only.place.as_str(), only.is_trusted), ("cookie:SERVERID", false));
        assert_eq!(name_in(&responses[1], &only.identity).as_deref(), Some("web-7c9f-fghij"));
    }

    #[test]
    fn times_ids_counters_and_caches_are_no_names() {
        let head = |_: &str, place: usize| {
            format!(
                "X-Cache: {}\r\nContent-Length: {}\r\nX-Request-Id: {place}\r\nX-Ratelimit-Remaining: {}\r\n",
                ["HIT", "MISS"][place % 2],
                10 + place % 3,
                place % 4
            )
        };
        let body =
            |_: &str, place: usize| format!("visitor {place}\nit is 03:43:{:02}\nuptime {}\n", place / 3, place / 2);
        assert_eq!(best(&responses(head, body)), Default::default());
        let unlike = |_: &str, place: usize| format!("id {place:032x}\n");
        assert!(candidates(&responses(|_, _| String::new(), unlike)).is_empty());
        let alike = |_: &str, _: usize| "hello\n".to_owned();
        assert!(candidates(&responses(|_, _| String::new(), alike)).is_empty());
    }

    #[test]
    fn names_that_all_differ_may_be_those_of_more_backends_than_responses() {
        let line = |_: &str, place: usize| format!("Server name: app-{place}\nid: {place}\n");
        let few: Vec<TextResponse> = responses(|_, _| String::new(), line);
        assert!(candidates(&few).is_empty() && may_be_of_more_backends(&few));
        let all = [few.clone(), few].concat();
        assert!(candidates(&all).iter().any(|it| it.is_trusted));
        let ids = |_: &str, place: usize| format!("X-Request-Id: {place:032x}\r\n");
        assert!(!may_be_of_more_backends(&responses(ids, |_, _| "hello".to_owned())));
    }

    #[test]
    fn what_is_told_of_a_backend_is_not_its_name() {
        for name in ["X-Envoy-Upstream-Service-Time", "X-Upstream-Response-Time", "X-Backend-Status", "Server-Version"]
        {
            let head = |_: &str, place: usize| format!("{name}: {}\r\n", [5, 9, 8][place % 3]);
            let found = candidates(&responses(head, |_, _| "x".to_owned()));
            assert!(found.iter().all(|it| !it.is_trusted), "{name}: {found:?}");
        }
    }

    #[test]
    fn two_places_tell_the_same_where_each_name_of_one_has_its_name_in_the_other() {
        let head = |name: &str, place: usize| {
            format!("X-Served-By: {name}\r\nX-Pod: pod-{name}\r\nX-Node: node-{}\r\n", ["a", "b"][place % 2])
        };
        let found = candidates(&responses(head, |_, _| "x".to_owned()));
        let of = |place: &str| found.iter().find(|it| it.place == place).expect(place);
        assert!(of("header:X-Served-By").tells_the_same(of("header:X-Pod")));
        assert!(!of("header:X-Served-By").tells_the_same(of("header:X-Node")));
    }

    #[test]
    fn what_a_header_of_another_kind_says_is_proposed_and_not_used() {
        let found = candidates(&responses(
            |_, place| format!("X-Variant: {}\r\n", ["a", "b"][place % 2]),
            |_, _| "x".to_owned(),
        ));
        assert_eq!((found[0].place.as_str(), found[0].is_trusted), ("header:X-Variant", false));
    }

    #[test]
    fn the_page_of_the_original_program_is_known() {
        let body =
            |name: &str, _: usize| format!("<h1>Generator #{}</h1>", name.len() + usize::from(name.as_bytes()[9]));
        assert_eq!(best(&responses(|_, _| String::new(), body)).0, "regex:Generator #([0-9]+)");
    }
}
