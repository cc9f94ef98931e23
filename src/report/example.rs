//! Reports for the tests of the forms: one that passes, one that fails, one with an outage, one with hostile names.

use verdict::report::*;

/// All of them.
pub fn all() -> Vec<Report> {
    let several = Report { checks: vec![passing(), failing()], verdict: Verdict::Fail, ..of(passing()) };
    vec![of(passing()), of(failing()), of(broken()), of(hostile()), several]
}

/// One check as a report.
pub fn of(check: Check) -> Report {
    Report {
        version: VERSION,
        tool: "uuid-generator 0.1.0".to_owned(),
        started: "2026-11-23T10:00:00.000Z".to_owned(),
        verdict: check.verdict,
        checks: vec![check],
    }
}

fn percentiles(scale: f64) -> Percentiles {
    let at = |part: f64| scale * part;
    Percentiles {
        min: at(0.5),
        mean: at(1.1),
        p50: at(1.0),
        p90: at(1.5),
        p99: at(2.0),
        p99_9: at(4.0),
        p99_99: at(5.0),
        max: at(6.0),
    }
}

fn finding(rule: &str, outcome: Level, summary: &str) -> Finding {
    Finding {
        rule: rule.to_owned(),
        outcome,
        summary: summary.to_owned(),
        evidence: Vec::new(),
        hint: None,
        source: None,
    }
}

/// Round robin over three backends.
pub fn passing() -> Check {
    let share = |backend: &str, count| Share {
        backend: backend.to_owned(),
        count,
        share: count as f64 / 3000.0,
        expected: Some(1.0 / 3.0),
    };
    Check {
        name: None,
        url: "http://localhost:8080/uuid".to_owned(),
        fleet: Some(Fleet {
            control: "http://127.0.0.1:9000".to_owned(),
            backends: vec!["9001".to_owned(), "9002".to_owned(), "9003".to_owned()],
        }),
        traffic: Traffic {
            method: "GET".to_owned(),
            connections: 32,
            kept: true,
            rate: None,
            requests: 3000,
            seconds: 0.25,
            requests_per_second: 12_000.0,
            varied: None,
        },
        account: Account {
            sent: 4000,
            fates: vec![OutcomeCount {
                fate: "delivered".to_owned(),
                meaning: "one attempt, one answer".to_owned(),
                count: 4000,
                examples: Vec::new(),
            }],
            backend_errors: 0,
            client_errors: 0,
            attempts: 4000,
            beside: Beside { warm_up: 37, health_probes: 2, foreign: 1, unexplained: 0 },
            gaps: Vec::new(),
        },
        shares: Some(Shares {
            rows: vec![share("9001", 1000), share("9002", 1000), share("9003", 1000)],
            expected: "even".to_owned(),
            expected_by: "nothing else was said".to_owned(),
            unit: "requests".to_owned(),
            test: Some(Test {
                name: "bounded discrepancy".to_owned(),
                result: "the largest deviation is 0.0 requests of 3,000; turns allow 4".to_owned(),
                p: None,
                false_alarm: 0.0,
                detects: 0.0013,
                source: "turns".to_owned(),
            }),
        }),
        algorithm: Some(Algorithm {
            name: Some("round-robin".to_owned()),
            label: "round robin".to_owned(),
            or: Vec::new(),
            cursors: Some(1),
            evidence: vec!["600 new connections, one after the other: 9001 9002 9003, without exception".to_owned()],
            hint: None,
        }),
        latency: Some(Latency {
            client: percentiles(2e-3),
            backend: Some(percentiles(8e-6)),
            between: Some(percentiles(1.9e-3)),
            note: "closed loop".to_owned(),
        }),
        outage: None,
        findings: vec![
            finding("account", Level::Pass, "all 4,000 requests: one attempt, one answer, each answer its own"),
            finding(
                "shares",
                Level::Pass,
                "shares are as expected (even): the largest deviation is 0.00 percentage points",
            ),
        ],
        verdict: Verdict::Pass,
        plots: Plots {
            strip: (0..120).map(|cell| (cell != 60).then_some(cell % 3)).collect(),
            slices: (0..10)
                .map(|slice| Slice {
                    answers: vec![100, 100, 100],
                    errors: slice / 9,
                    p50: Some(1e-3),
                    p99: Some(2e-3),
                })
                .collect(),
            slice_seconds: 0.025,
            latency: vec![(1e-3, 900), (2e-3, 1800), (1e-2, 300)],
        },
    }
}

/// A POST that was sent twice, and an answer that was lost.
pub fn failing() -> Check {
    let mut check = Check { name: Some("posts".to_owned()), verdict: Verdict::Fail, ..passing() };
    check.account.fates[0].count = 3998;
    check.account.fates.push(OutcomeCount {
        fate: "duplicated".to_owned(),
        meaning: "executed more than once, though delivered once".to_owned(),
        count: 2,
        examples: vec![Example {
            request: "00000000000004d2-000000000000002a".to_owned(),
            at: 0.1,
            seen: "200 from 9001 after 1.0 ms".to_owned(),
            attempts: vec![
                "9002 at 0.100 s: answered 200 in 9 µs".to_owned(),
                "9001 at 0.101 s: answered 200 in 9 µs".to_owned(),
            ],
        }],
    });
    check.findings.insert(
        0,
        Finding {
            evidence: vec!["request 42 at 0.100 s: 200 from 9001 after 1.0 ms".to_owned()],
            hint: Some("leave out non_idempotent".to_owned()),
            source: Some("RFC 9110 §9.2.2".to_owned()),
            ..finding("repeated", Level::Fail, "2 POSTs reached backends more than once")
        },
    );
    check.findings.push(finding("stickiness", Level::Inconclusive, "too few to say"));
    check
}

/// A backend that was killed and came back.
pub fn broken() -> Check {
    let step = |at, what: &str| Step { at, what: what.to_owned(), result: None };
    let affected = Affected {
        backend: "9002".to_owned(),
        received_before: 1_204,
        stopped_after: Some(0.0),
        back_after: Some(6.75),
        client_errors: 12,
    };
    let mut check = Check {
        outage: Some(Outage {
            steps: vec![step(0.05, "kill 9002"), step(0.15, "start 9002")],
            client_errors: 12,
            retries: 3,
            double_executions: 1,
            backends: vec![affected],
        }),
        ..passing()
    };
    check.traffic.rate = Some(500.0);
    check.findings.push(Finding {
        hint: Some("--expect lossless".to_owned()),
        ..finding("resilience", Level::Note, "clients saw 12 errors")
    });
    check
}

/// Everything that came from the network or the user means harm.
pub fn hostile() -> Check {
    let harm = "<script>alert(1)</script>|`a`\"'&\x1b[31m\n]]>\u{202e}";
    let mut check = Check { name: Some(harm.to_owned()), url: harm.to_owned(), fleet: None, ..failing() };
    if let Some(shares) = &mut check.shares {
        shares.rows[0].backend = harm.to_owned();
    }
    if let Some(algorithm) = &mut check.algorithm {
        algorithm.evidence.push(harm.to_owned());
        algorithm.label = harm.to_owned();
    }
    if let Some(latency) = &mut check.latency {
        (latency.backend, latency.between) = (None, None);
    }
    for finding in &mut check.findings {
        finding.summary = harm.to_owned();
        finding.evidence.push(harm.to_owned());
        finding.hint = Some(harm.to_owned());
    }
    check
}
