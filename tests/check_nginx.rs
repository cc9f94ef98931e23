//! The whole check in front of a real nginx, in each of its ways: the account adds up, the algorithm has its name, the verdict is the
//! true one.

use std::time::Duration;

use crate::support::Fleet;
use crate::support::nginx::{Configuration, Method, Nginx};
use verdict::finding::Level;
use verdict::report::{Check, Report, Verdict};

fn check(fleet: &Fleet, nginx: &Nginx, options: &[&str]) -> Check {
    let url = format!("http://127.0.0.1:{}/uuid", nginx.port());
    let output = fleet.program(&[&["check", &url, "--format", "json"], options].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    let [check] = report.checks.try_into().unwrap();
    let outcomes: u64 = check.account.outcomes.iter().map(|it| it.count).sum();
    assert_eq!(outcomes, check.account.sent, "the outcomes add up: {:?}", check.account);
    check
}

fn named(check: &Check) -> &str {
    check.algorithm.as_ref().and_then(|it| it.name.as_deref()).unwrap_or("none")
}

fn count(check: &Check, outcome: &str) -> u64 {
    check.account.outcomes.iter().find(|it| it.outcome.name() == outcome).map_or(0, |it| it.count)
}

fn outcome(check: &Check, rule: &str) -> Level {
    check
        .findings
        .iter()
        .find(|it| it.rule().id() == rule)
        .map(|it| it.level)
        .unwrap_or_else(|| panic!("{:#?}", check.findings))
}

fn fleet() -> (Fleet, Vec<u16>) {
    Fleet::of(3, &["--log", "off"])
}

/// Passes, all delivered, and the algorithm has that name.
#[track_caller]
fn passes(configuration: impl Fn(&[u16]) -> Configuration, options: &[&str], name: &str) {
    let (fleet, ports) = fleet();
    let configuration = configuration(&ports);
    let nginx = configuration.start();
    let seen = check(&fleet, &nginx, options);
    let told = || format!("{configuration:?}: {:#?}", (&seen.findings, &seen.algorithm, &seen.shares));
    assert_eq!((seen.verdict, named(&seen)), (Verdict::Pass, name), "{}", told());
    assert_eq!(count(&seen, "delivered"), seen.account.sent, "{}", told());
}

const SOME: [&str; 2] = ["-n", "3000"];

#[test]
fn round_robin_with_one_and_two_workers_with_and_without_a_zone_and_keep_alive() {
    for workers in [1, 2] {
        for zone in [false, true] {
            for keepalive in [false, true] {
                let configuration =
                    |ports: &[u16]| Configuration { workers, zone, keepalive, ..Configuration::of(ports) };
                passes(configuration, &SOME, "round-robin");
            }
        }
    }
}

#[test]
fn least_connections_with_one_and_two_workers_with_and_without_a_zone() {
    for (workers, zone) in [(1, false), (2, true), (2, false)] {
        let configuration = |ports: &[u16]| Configuration {
            workers,
            zone,
            method: Method::LeastConnections,
            ..Configuration::of(ports)
        };
        passes(configuration, &SOME, "least-connections");
    }
}

#[test]
fn random_and_the_better_of_two() {
    for workers in [1, 2] {
        let with = |method| move |ports: &[u16]| Configuration { workers, method, ..Configuration::of(ports) };
        passes(with(Method::Random), &[], "random");
        let zone = |ports: &[u16]| Configuration { zone: true, ..with(Method::RandomTwoLeastConnections)(ports) };
        passes(zone, &SOME, "two-choices");
    }
}

#[test]
fn hashes_by_what_they_hash() {
    for (method, name) in [
        (Method::IpHash, "source"),
        (Method::Hash { key: "$remote_addr", consistent: true }, "source"),
        (Method::Hash { key: "$request_uri", consistent: false }, "uri"),
        (Method::Hash { key: "$request_uri", consistent: true }, "uri"),
        (Method::Hash { key: "$http_x_user", consistent: false }, "header"),
        (Method::Hash { key: "$cookie_session", consistent: false }, "cookie"),
    ] {
        for workers in [1, 2] {
            passes(|ports| Configuration { workers, method, ..Configuration::of(ports) }, &SOME, name);
        }
    }
}

#[test]
fn weights() {
    let weighted = |ports: &[u16]| Configuration { weights: vec![5, 1, 1], ..Configuration::of(ports) };
    passes(weighted, &[&SOME[..], &["--expect", "5:1:1"]].concat(), "weighted-round-robin");
    let (fleet, ports) = fleet();
    let nginx = weighted(&ports).start();
    // Nobody said what the shares have to be: weights may be meant.
    let seen = check(&fleet, &nginx, &SOME);
    assert_eq!((seen.verdict, outcome(&seen, "shares")), (Verdict::Inconclusive, Level::Inconclusive));
    assert!(seen.algorithm.unwrap().label.contains("5:1:1, smooth"));
    let seen = check(&fleet, &nginx, &[&SOME[..], &["--expect", "even"]].concat());
    assert_eq!((seen.verdict, outcome(&seen, "shares")), (Verdict::Fail, Level::Fail));
}

#[test]
fn a_cache_is_found() {
    let (fleet, ports) = fleet();
    let nginx = Configuration { cache: true, ..Configuration::of(&ports) }.start();
    let seen = check(&fleet, &nginx, &SOME);
    assert_eq!((seen.verdict, outcome(&seen, "stale")), (Verdict::Fail, Level::Fail));
    assert!(count(&seen, "stale") >= 2990, "{:?}", seen.account);
}

/// Nothing is retried and nothing remembered.
fn bare(ports: &[u16]) -> Configuration {
    Configuration { next_upstream: Some("off"), max_fails: Some(0), ..Configuration::of(ports) }
}

#[test]
fn a_killed_backend_costs_nothing_by_default_and_a_third_without_retries() {
    let (fleet, ports) = fleet();
    let steps = format!("kill:{}@500ms,start@1500ms", ports[1]);
    let options = ["--outage", &steps, "--duration", "2500ms", "--rate", "300"];
    let kind = Configuration::of(&ports).start();
    let seen = check(&fleet, &kind, &options);
    assert_eq!((seen.verdict, seen.outage.as_ref().unwrap().client_errors), (Verdict::Pass, 0), "{:#?}", seen.findings);
    let hard = bare(&ports).start();
    let seen = check(&fleet, &hard, &options);
    let outage = seen.outage.as_ref().unwrap();
    assert_eq!((count(&seen, "balancer"), seen.verdict), (outage.client_errors, Verdict::Pass), "{:#?}", seen.findings);
    // A third of 300 a second for a second.
    assert!((80..=120).contains(&outage.client_errors), "{outage:#?}");
    let affected = &outage.backends[0];
    assert!(affected.errors_end_after.unwrap() > 0.9 && affected.back_after.is_some(), "{affected:#?}");
    let seen = check(&fleet, &hard, &[&options[..], &["--expect", "lossless"]].concat());
    assert_eq!(seen.verdict, Verdict::Fail);
}

#[test]
fn a_paused_backend_makes_nginx_execute_requests_twice() {
    let (fleet, ports) = fleet();
    let steps = format!("pause:{}@500ms,resume@2500ms", ports[1]);
    let patient = Configuration {
        timeout: Duration::from_millis(500),
        max_fails: Some(1),
        fail_timeout: Some(Duration::from_secs(1)),
        ..Configuration::of(&ports)
    };
    let nginx = patient.start();
    let seen = check(&fleet, &nginx, &["--outage", &steps, "--duration", "4500ms", "--rate", "300"]);
    let outage = seen.outage.as_ref().unwrap();
    assert_eq!(seen.verdict, Verdict::Pass, "{:#?}", seen.findings);
    assert!(outage.client_errors == 0 && count(&seen, "duplicated") > 0, "{:#?}", (outage, &seen.account));
    assert_eq!(outage.double_executions, count(&seen, "duplicated"));
}

#[test]
fn failing_backends_are_told_by_what_they_do() {
    let (fleet, ports) = fleet();
    let nginx = bare(&ports).start();
    for (fault, outcome) in [
        ("status:503", None),
        ("close-midway", Some("truncated")),
        ("close", Some("balancer")),
        ("reset", Some("balancer")),
    ] {
        let steps = format!("{fault}:{}@300ms,clear@900ms", ports[1]);
        let seen = check(&fleet, &nginx, &["--outage", &steps, "--duration", "1200ms", "--rate", "300"]);
        let errors = seen.outage.as_ref().unwrap().client_errors;
        assert!(errors >= 40, "{fault}: {:#?}", (&seen.account, &seen.outage));
        match outcome {
            Some(outcome) => assert_eq!(count(&seen, outcome), errors, "{fault}: {:#?}", seen.account),
            None => assert_eq!((seen.account.backend_errors, count(&seen, "delivered")), (errors, seen.account.sent)),
        }
        assert_eq!(seen.verdict, Verdict::Pass, "{fault}: {:#?}", seen.findings);
    }
}

#[test]
fn a_post_that_nginx_repeats_fails() {
    let (fleet, ports) = fleet();
    let steps = format!("close:{}@300ms,clear@1s", ports[1]);
    let options = ["--method", "POST", "--outage", &steps, "--duration", "1500ms", "--rate", "300"];
    let with = |cases| Configuration { next_upstream: Some(cases), max_fails: Some(0), ..Configuration::of(&ports) };
    let wrong = with("error timeout non_idempotent").start();
    let seen = check(&fleet, &wrong, &options);
    assert_eq!((seen.verdict, outcome(&seen, "repeated")), (Verdict::Fail, Level::Fail));
    assert!(count(&seen, "retried") > 0);
    let right = with("error timeout").start();
    let seen = check(&fleet, &right, &options);
    assert_eq!((seen.verdict, count(&seen, "retried")), (Verdict::Pass, 0), "{:#?}", seen.findings);
}

#[test]
fn a_reload_of_nginx_loses_nothing_with_kept_and_with_new_connections() {
    for connections in [&["-c", "16"][..], &["--new-connections"]] {
        let (fleet, ports) = fleet();
        let nginx = Configuration { workers: 2, ..Configuration::of(&ports) }.start();
        let command = format!("kill -HUP {}@500ms", nginx.master());
        let options = [&["--during", &command, "--duration", "2s", "--rate", "300"], connections].concat();
        let seen = check(&fleet, &nginx, &options);
        assert_eq!(seen.verdict, Verdict::Pass, "{connections:?}: {:#?}", seen.findings);
    }
}

#[test]
fn a_drain_behind_nginx_loses_nothing() {
    for keepalive in [false, true] {
        let (fleet, ports) = fleet();
        let nginx = Configuration { keepalive, ..Configuration::of(&ports) }.start();
        let steps = format!("drain:{}@500ms,start@1500ms", ports[1]);
        let seen = check(&fleet, &nginx, &["--outage", &steps, "--duration", "2500ms", "--rate", "300"]);
        assert_eq!(
            (seen.verdict, seen.outage.as_ref().unwrap().client_errors),
            (Verdict::Pass, 0),
            "{:#?}",
            seen.findings
        );
    }
}
