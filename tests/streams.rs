//! `check --stream` and `check ws://`: what a right proxy does is left in peace, each planted defect is found by its name, and nothing
//! else is said of it.

use std::process::Output;
use std::time::Duration;

use crate::support::{Fleet, error_of};
use testbed::streams::{StreamDefect, StreamProxy};
use verdict::finding::{Facts, Finding, Level};
use verdict::report::{Report, Verdict};

struct Bench {
    fleet: Fleet,
    ports: Vec<u16>,
}

impl Bench {
    fn of(backends: usize) -> Bench {
        let (fleet, ports) = Fleet::of(backends, &["--log", "off"]);
        Bench { fleet, ports }
    }

    fn run(&self, proxy: &StreamProxy, scheme: &str, target: &str, options: &[&str]) -> Output {
        let url = format!("{scheme}://127.0.0.1:{}{target}", proxy.port());
        let words = [&["check", &url, "--format", "json"], options].concat();
        self.fleet.program(&words)
    }

    fn check(&self, defect: StreamDefect, scheme: &str, target: &str, options: &[&str]) -> (Verdict, Vec<Finding>) {
        let proxy = StreamProxy::start(&self.ports, defect);
        let output = self.run(&proxy, scheme, target, options);
        let report: Report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&output.stderr)));
        (report.verdict, report.checks.into_iter().next().unwrap().findings)
    }
}

fn failures(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().filter(|finding| finding.level == Level::Fail).map(|finding| finding.rule().id()).collect()
}

const EVENTS: &str = "/events?count=9&every=20ms";

#[test]
fn each_defect_of_a_stream_is_found_by_its_name_and_a_right_proxy_passes() {
    let bench = Bench::of(2);
    for (defect, expected) in [
        (StreamDefect::None, &[][..]),
        (StreamDefect::Drops, &["stream-messages"]),
        (StreamDefect::Doubles, &["stream-messages"]),
        (StreamDefect::Swaps, &["stream-messages"]),
        (StreamDefect::Cuts, &["stream-cut"]),
        (StreamDefect::EndsInOrder, &["stream-truncated"]),
        (StreamDefect::SaysLength, &["altered"]),
        (StreamDefect::LosesCacheControl, &["response-fields"]),
    ] {
        for target in [EVENTS, "/chunks?count=9&every=20ms"] {
            let (verdict, findings) = bench.check(defect, "http", target, &["--stream", "-c", "6"]);
            assert_eq!(failures(&findings), expected, "{defect:?} {target}: {findings:#?}");
            assert_eq!(verdict == Verdict::Pass, expected.is_empty(), "{defect:?}");
        }
    }
}

#[test]
fn events_that_a_browser_would_not_read_or_that_never_come_are_found() {
    let bench = Bench::of(2);
    let options = ["--stream", "-c", "4", "--duration", "1s", "--timeout", "4s"];
    for (defect, expected) in
        [(StreamDefect::ChangesMediaType, &["altered"]), (StreamDefect::Stalls, &["stream-messages"])]
    {
        let (verdict, findings) = bench.check(defect, "http", EVENTS, &options);
        assert_eq!((verdict, failures(&findings)), (Verdict::Fail, expected.to_vec()), "{defect:?}: {findings:#?}");
    }
}

#[test]
fn a_download_of_known_length_is_accounted_for_too() {
    let (verdict, findings) =
        Bench::of(2).check(StreamDefect::None, "http", "/download?count=50&every=0s", &["--stream", "-c", "4"]);
    assert_eq!((verdict, failures(&findings)), (Verdict::Pass, vec![]));
    let came = findings.iter().find_map(|finding| match &finding.facts {
        Facts::Streams(facts) => Some((facts.written, facts.came)),
        _ => None,
    });
    assert_eq!(came, Some((200, 200)));
}

#[test]
fn each_defect_of_a_websocket_is_found_by_its_name_and_a_right_proxy_passes() {
    let bench = Bench::of(2);
    let pushed = "/uuid/ws?push=20ms&count=9&close=4001";
    for (defect, target, expected) in [
        (StreamDefect::None, pushed, &[][..]),
        (StreamDefect::None, "/ws", &[]),
        (StreamDefect::Drops, pushed, &["stream-messages"]),
        (StreamDefect::ChangesType, pushed, &["stream-messages"]),
        (StreamDefect::ReservedBit, pushed, &["altered"]),
        (StreamDefect::CloseCode, pushed, &["close-code"]),
        (StreamDefect::LosesClose, pushed, &["close-code"]),
        (StreamDefect::Cuts, pushed, &["stream-cut"]),
        (StreamDefect::Closes, pushed, &["stream-cut"]),
        (StreamDefect::StripsUpgrade, pushed, &["upgrade"]),
    ] {
        let (verdict, findings) = bench.check(defect, "ws", target, &["-c", "6", "--duration", "500ms"]);
        assert_eq!(failures(&findings), expected, "{defect:?} {target}: {findings:#?}");
        assert_eq!(verdict == Verdict::Pass, expected.is_empty(), "{defect:?}");
    }
}

#[test]
fn events_that_are_held_back_are_late_only_where_that_is_forbidden() {
    let bench = Bench::of(1);
    let slow = StreamDefect::Delays(Duration::from_millis(600));
    let target = "/events?count=4&every=700ms";
    let level = |options: &[&str]| {
        let (_, findings) = bench.check(slow, "http", target, &[&["--stream", "-c", "2"], options].concat());
        assert!(!findings.iter().any(|finding| finding.level == Level::Fail && finding.rule().id() != "stream-delay"));
        findings.iter().find(|finding| finding.rule().id() == "stream-delay").map(|finding| finding.level)
    };
    // On a machine that is too busy to tell it is inconclusive, and nothing is said without the expectation.
    assert!(matches!(level(&["--expect", "unbuffered:300ms"]), Some(Level::Fail | Level::Inconclusive)));
    assert!(matches!(level(&[]), Some(Level::Note) | None));
    assert!(matches!(level(&["--expect", "unbuffered:1h"]), Some(Level::Pass)));
}

#[test]
fn a_killed_backend_costs_its_own_streams_alone_and_they_are_resumed() {
    let bench = Bench::of(2);
    let outage = format!("kill:{}@500ms", bench.ports[1]);
    let proxy = StreamProxy::start(&bench.ports[..1], StreamDefect::None);
    // Nothing of what is killed is behind this proxy.
    let options = ["--stream", "-c", "4", "--outage", &outage, "--expect", "uncut", "--duration", "2s"];
    let output = bench.run(&proxy, "http", "/events", &options);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    bench.fleet.act("start", bench.ports[1]);
    let (verdict, findings) = bench.check(StreamDefect::None, "http", "/events", &options);
    assert_eq!((verdict, failures(&findings)), (Verdict::Pass, vec![]), "{findings:#?}");
    let excused = findings.iter().find_map(|finding| match &finding.facts {
        Facts::StreamCut(facts) => Some((facts.excused, facts.streams, facts.resumed > 0)),
        _ => None,
    });
    assert_eq!(excused, Some((2, 0, true)), "{findings:#?}");
}

#[test]
fn what_is_said_of_requests_is_refused_for_streams_and_the_other_way_round() {
    let bench = Bench::of(1);
    let proxy = StreamProxy::start(&bench.ports, StreamDefect::None);
    for (options, part) in [
        (&["--expect", "uncut"][..], "it is for streams"),
        (&["--stream", "--expect", "round-robin"], "alive:even"),
        (&["--stream", "-n", "9"], "-n: streams are opened once and held"),
        (&["--stream", "--streams", "9"], "each stream that is held has a connection of its own"),
        (&["--stream=event"], "did you mean events?"),
        (&["ws://localhost:9/ws"], "a WebSocket among other URLs"),
    ] {
        let error = error_of(&bench.run(&proxy, "http", "/", options));
        assert!(error.contains(part), "{options:?}: {error}");
    }
}
