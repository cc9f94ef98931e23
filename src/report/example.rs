//! Reports for the tests of the formats: one that passes, one that fails, one with an outage, one with hostile names.

use verdict::AttemptEnd;
use verdict::algorithm::{Algorithm, ExperimentFacts, ExperimentResult, OrderFacts, Selection};
use verdict::facts::{account, resilience, shares, stickiness};
use verdict::finding::{AttemptWitness, ClientWitness, EvidenceLine, Facts, Finding, Level, RequestWitness, Witness};
use verdict::observation::ClientOutcome;
use verdict::outcome::Outcome;
use verdict::report::*;

use crate::report::phrases::spell;

/// An example of each kind of report.
pub(crate) fn all() -> Vec<Report> {
    let mut both = vec![passing(), failing()];
    both.iter_mut().for_each(spell);
    let several = Report { checks: both, verdict: Verdict::Fail, ..of(passing()) };
    vec![of(passing()), of(failing()), of(broken()), report_of(hostile()), several]
}

/// One check as a report.
pub(crate) fn of(mut check: Check) -> Report {
    spell(&mut check);
    report_of(check)
}

fn report_of(check: Check) -> Report {
    with_errors(vec![check], Vec::new())
}

/// Checks that ended, and errors of those that did not run.
pub(crate) fn with_errors(checks: Vec<Check>, errors: Vec<CheckError>) -> Report {
    let tool = concat!("uuid-generator ", env!("CARGO_PKG_VERSION"));
    Report::new(tool, "2026-11-23T10:00:00.000Z".to_owned(), checks, errors)
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

fn test() -> Test {
    Test {
        method: ShareTest::BoundedDiscrepancy,
        deviation: 0.0,
        bound: Some(4.0),
        chi_square: None,
        p: None,
        ln_e: None,
        false_alarm: 0.0,
        detects: 0.0013,
    }
}

fn shares_as_expected() -> shares::ShareFacts {
    shares::ShareFacts {
        unit: Unit::Requests,
        total: 3000,
        expected: "even".to_owned(),
        conclusion: shares::Conclusion::AsExpected,
        widest: None,
        test: Some(test()),
        selection: Selection::from(Algorithm::RoundRobin),
        seen_weights: None,
        without_promise: Vec::new(),
        needed: None,
        stopped: None,
        given_up: 0,
        part: None,
    }
}

fn attempt(backend: &str, at: f64) -> AttemptWitness {
    AttemptWitness { backend: backend.to_owned(), at, end: AttemptEnd::Completed, status: Some(200), seconds: 9e-6 }
}

fn posted_twice() -> Witness {
    Witness::Request(RequestWitness {
        id: "00000000000004d2-000000000000002a".to_owned(),
        number: 42,
        at: 0.1,
        client: ClientWitness {
            outcome: ClientOutcome::Response,
            status: Some(200),
            backend: Some("9001".to_owned()),
            seconds: 1e-3,
            reused: true,
            flaw: None,
        },
        attempts: vec![attempt("9002", 0.1), attempt("9001", 0.101)],
        unrecorded: false,
        words: None,
    })
}

/// Round robin over three backends.
#[expect(clippy::too_many_lines, reason = "one report, field by field")]
pub(crate) fn passing() -> Check {
    let share = |backend: &str, count| Share {
        backend: backend.to_owned(),
        count,
        share: count as f64 / 3000.0,
        expected: Some(1.0 / 3.0),
        interval: None,
    };
    Check {
        name: None,
        url: "http://localhost:8080/uuid".to_owned(),
        balancer: Some("nginx/1.28.0".to_owned()),
        fleet: Some(FleetReport {
            control: "http://127.0.0.1:9000".to_owned(),
            backends: vec!["9001".to_owned(), "9002".to_owned(), "9003".to_owned()],
            not_ready: Vec::new(),
        }),
        surroundings: Vec::new(),
        not_understood: Vec::new(),
        seconds: 9.25,
        traffic: traffic(),
        account: Account {
            sent: 4000,
            outcomes: vec![OutcomeCount { outcome: Outcome::Delivered, count: 4000, examples: Vec::new() }],
            backend_errors: 0,
            client_errors: 0,
            attempts: 4000,
            not_counted: NotCounted {
                warm_up: 37,
                warm_up_errors: 0,
                health_checks: 2,
                others: 1,
                unexplained: 0,
                experiments: 0,
            },
            urls: Vec::new(),
        },
        forwarding: Some(forwarding()),
        shares: Some(Shares {
            rows: vec![share("9001", 1000), share("9002", 1000), share("9003", 1000)],
            expected: "even".to_owned(),
            expected_by: SharesSource::Default,
            unit: Unit::Requests,
            test: Some(test()),
        }),
        algorithm: Some(AlgorithmReport {
            name: Some("round-robin".to_owned()),
            selection: Selection::from(Algorithm::RoundRobin),
            label: String::new(),
            or: Vec::new(),
            rotations: Some(1),
            experiments: vec![in_sequence(OrderFacts::Turns {
                length: 3,
                round: ["9001", "9002", "9003"].map(str::to_owned).to_vec(),
                exceptions: 0,
            })],
            remark: None,
            evidence: Vec::new(),
            hint: None,
        }),
        latency: Some(Latency {
            client: percentiles(2e-3),
            backend: Some(percentiles(8e-6)),
            between: Some(percentiles(1.9e-3)),
            slow: Vec::new(),
            open_loop: false,
        }),
        outage: None,
        findings: vec![
            Finding::new(
                Level::Pass,
                Facts::Account(account::AccountFacts {
                    requests: 4000,
                    delivered: 4000,
                    excused: 0,
                    has_records: true,
                }),
            ),
            Finding::new(Level::Pass, Facts::Shares(shares_as_expected())),
        ],
        verdict: Verdict::Pass,
        plots: plots(),
    }
}

fn traffic() -> TrafficSummary {
    TrafficSummary {
        method: "GET".to_owned(),
        connections: 32,
        kept: true,
        multiplex: 1,
        grpc: false,
        rate: None,
        requests: 3000,
        started: "2026-01-01T12:00:01.500Z".to_owned(),
        seconds: 0.25,
        requests_per_second: 12_000.0,
        streams: None,
        varied: None,
    }
}

fn forwarding() -> Forwarding {
    Forwarding {
        attempts: 4000,
        compared: 4000,
        rewrites: vec![Rewrite {
            part: "host".to_owned(),
            sent: Some("localhost:8080".to_owned()),
            arrived: vec![("uuid".to_owned(), 4000)],
            attempts: 4000,
            fields: Vec::new(),
        }],
        added: vec![Added { name: "via".to_owned(), value: None, attempts: 4000, missing: 0, twice: 0 }],
        leaked: Vec::new(),
        http_1_0: 0,
        http_2: 0,
        client_http_2: Some(false),
        proxied: Vec::new(),
        upstream: Vec::new(),
        vias: Vec::new(),
        servers: Vec::new(),
    }
}

fn plots() -> Plots {
    Plots {
        strip: (0..120).map(|cell| (cell != 60).then_some(cell % 3)).collect(),
        strip_in_sequence: true,
        slices: (0..10)
            .map(|slice| Slice { responses: vec![100, 100, 100], errors: slice / 9, p50: Some(1e-3), p99: Some(2e-3) })
            .collect(),
        slice_seconds: 0.025,
        latency: vec![(1e-3, 900), (2e-3, 1800), (1e-2, 300)],
    }
}

/// A POST that was sent twice, and a response that was lost.
pub(crate) fn failing() -> Check {
    let mut check = Check { name: Some("posts".to_owned()), verdict: Verdict::Fail, ..passing() };
    check.account.outcomes[0].count = 3998;
    let forwarding = check.forwarding.as_mut().expect("it has records");
    (forwarding.vias, forwarding.servers) = (vec!["1.1 edge".to_owned()], vec!["nginx/1.31".to_owned()]);
    let examples = vec![posted_twice()];
    check.account.outcomes.push(OutcomeCount { outcome: Outcome::Duplicated, count: 2, examples });
    let repeated = Facts::Repeated(account::Repeated { requests: 2, method: "POST".to_owned(), unavailable: false });
    check.findings.insert(0, Finding::new(Level::Fail, repeated).shown_by(vec![posted_twice()]));
    let few = Facts::Stickiness(stickiness::StickinessFacts {
        clients: 7,
        later: 30,
        longest: 5,
        lasted: 0.1,
        stayed_before: 0,
        left: 0,
        left_alive: 0,
        left_gone: 0,
        left_untouched: 0,
        clients_alive: 0,
        clients_gone: 0,
        lapsed: 0,
        lapsed_left: 0,
        lapsed_line: None,
        lapsed_cookie: None,
        disruption: None,
        no_session: false,
        other_cookies: Vec::new(),
        is_backend_away: false,
        joined: Vec::new(),
        of_several_urls: false,
        stayed_at_each_url: false,
        left_from: Vec::new(),
        no_affinity: false,
        needed: 228,
        detects: 0.02,
        bound: None,
    });
    check.findings.push(Finding::new(Level::Inconclusive, few));
    check
}

/// A backend that was killed and came back.
pub(crate) fn broken() -> Check {
    let step = |at, what: &str| DrillStep { at, what: what.to_owned(), done: true, result: None };
    let affected = Affected {
        backend: "9002".to_owned(),
        received_before: 1_204,
        stopped_after: Some(0.0),
        back_after: Some(6.75),
        client_errors: 12,
        ..Affected::default()
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
    let facts = resilience::ResilienceFacts {
        blocked: None,
        client_errors: 12,
        nobody: 0,
        late: 0,
        of_backends: 0,
        limited: 0,
        lossless: false,
        graceful: false,
        backends: check.outage.iter().flat_map(|outage| outage.backends.clone()).collect(),
        without_response: Vec::new(),
        remarks: Vec::new(),
    };
    check.findings.push(Finding::new(Level::Note, Facts::Resilience(facts)));
    check
}

fn in_sequence(order: OrderFacts) -> ExperimentResult {
    let facts = ExperimentFacts::NewConnections { requests: 600, order };
    ExperimentResult { facts, excludes: vec![Algorithm::Source, Algorithm::Uri, Algorithm::One] }
}

/// Everything that came from the network or the user means harm.
pub(crate) fn hostile() -> Check {
    let harm = "<script>alert(1)</script>|`a`\"'&\x1b[31m\n]]>\u{202e}";
    let mut check = Check { name: Some(harm.to_owned()), url: harm.to_owned(), fleet: None, ..failing() };
    if let Some(shares) = &mut check.shares {
        shares.rows[0].backend = harm.to_owned();
    }
    if let Some(algorithm) = &mut check.algorithm {
        algorithm.experiments.push(in_sequence(OrderFacts::One { backend: harm.to_owned() }));
        algorithm.selection = Selection::AllToOneUntried { backend: harm.to_owned() };
    }
    if let Some(latency) = &mut check.latency {
        (latency.backend, latency.between) = (None, None);
    }
    spell(&mut check);
    for prose in check.findings.iter_mut().filter_map(|finding| finding.prose.as_mut()) {
        prose.summary = harm.to_owned();
        prose.evidence.push(EvidenceLine { line: harm.to_owned(), parts: vec![harm.to_owned()] });
        prose.hint = Some(harm.to_owned());
    }
    check
}
