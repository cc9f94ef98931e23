//! The formats: what each of them must show of the same reports, and that nothing hostile gets through.

use crate::report::{Detail, ReportFormat, Style, example, junit, render};
use verdict::finding::{EvidenceLine, Rule};
use verdict::report::{CheckError, Verdict};

const PLAIN: Style = Style { colour: false, width: 80, detail: Detail::Usual };

fn form(format: ReportFormat, report: &verdict::report::Report) -> String {
    render(report, format, &PLAIN)
}

#[test]
fn every_format_names_a_backend_that_is_slow() {
    let mut slow = example::passing();
    let latency = slow.latency.as_mut().expect("it has latencies");
    latency.slow = vec![verdict::report::SlowBackend { backend: "9002".to_owned(), p50: 0.301, others: 0.0012 }];
    let report = example::of(slow);
    for format in [ReportFormat::Text, ReportFormat::Markdown, ReportFormat::Html] {
        let text = form(format, &report);
        assert!(text.contains("9002 (p50 301 ms) is slow") && text.contains("1.20 ms"), "{text}");
    }
    assert!(form(ReportFormat::Json, &report).contains(r#""backend": "9002""#));
    assert!(!form(ReportFormat::Text, &example::of(example::passing())).contains("is slow"));
}

#[test]
fn a_healthy_check_takes_half_a_screen_with_the_verdict_last() {
    let text = form(ReportFormat::Text, &example::of(example::passing()));
    assert!(text.trim_end().lines().count() <= 25, "{text}");
    assert_eq!(text.trim().lines().last(), Some("PASS: all expectations met"));
    for part in [
        "4,000  delivered",
        "9002",
        "33.33 %",
        "round robin, 1 rotation",
        "p99.99",
        "not counted: 37 warm-up requests, 2",
        "health checks, 1 request of others",
        "detects deviations ≥ 0.13 pp; false-positive rate 0",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains("600 new connections in sequence"));
    let verbose =
        render(&example::of(example::passing()), ReportFormat::Text, &Style { detail: Detail::Verbose, ..PLAIN });
    assert!(verbose.contains("600 new connections in sequence"));
}

#[test]
fn a_failing_report_begins_with_what_is_wrong_the_witness_and_the_cure() {
    let text = form(ReportFormat::Text, &example::of(example::failing()));
    assert_eq!(text.trim().lines().last(), Some("FAIL: 2 POSTs reached backends more than once"));
    let lines: Vec<&str> = text.lines().skip(3).collect();
    assert_eq!(lines[0], "FAIL repeated: 2 POSTs reached backends more than once");
    assert_eq!(lines[1], "  request 42 at 0.100 s: 200 from 9001 after 1.0 ms");
    assert_eq!(lines[2], "    9002 at 0.100 s: responded 200 in 9 µs");
    assert!(lines[4].starts_with("  hint: a proxy must not repeat"), "{text}");
    assert!(text.contains("see: RFC 9110 §9.2.2"));
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("Via: 1.1 edge in responses; Server: nginx/1.31 in responses"), "{text}");
    let text = form(ReportFormat::Text, &example::of(example::broken()));
    assert!(
        text.contains("kill 9002")
            && text.contains("back 6.75 s after its mend")
            && text.contains("12 client errors allowed")
    );
}

#[test]
fn text_fits_the_columns_that_there_are() {
    for width in [80, 60] {
        for report in example::all().iter().filter(|report| !report.checks[0].url.contains("script")) {
            for line in render(report, ReportFormat::Text, &Style { width, ..PLAIN }).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }
    let narrow = render(&example::of(example::passing()), ReportFormat::Text, &Style { width: 60, ..PLAIN });
    assert!(narrow.contains("p50       p90       p99       max\n"), "{narrow}");
}

#[test]
fn colours_say_nothing_that_words_do_not() {
    for report in example::all() {
        let coloured = render(&report, ReportFormat::Text, &Style { colour: true, ..PLAIN });
        assert!(coloured.contains("\x1b[1"));
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some(start) = rest.find("\x1b[") {
            plain.push_str(&rest[..start]);
            rest = &rest[start + rest[start..].find('m').unwrap() + 1..];
        }
        assert_eq!(plain + rest, form(ReportFormat::Text, &report));
    }
}

#[test]
fn several_checks_end_with_all_verdicts() {
    let report = example::all().pop().unwrap();
    let text = form(ReportFormat::Text, &report);
    assert_eq!((text.trim().lines().last(), report.verdict), (Some("FAIL"), Verdict::Fail));
    assert!(text.contains("FAIL  posts: 2 POSTs"));
}

#[test]
fn a_quiet_report_is_a_line_a_check() {
    let report = example::all().pop().unwrap();
    let text = render(&report, ReportFormat::Text, &Style { detail: Detail::Quiet, ..PLAIN });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), report.checks.len(), "{text}");
    assert!(lines[0].starts_with("PASS  ") && lines[1].starts_with("FAIL  posts: 2 POSTs"), "{text}");
}

#[test]
fn annotations_name_what_is_wrong_on_a_line_each() {
    let text = form(ReportFormat::Github, &example::of(example::failing()));
    let lines: Vec<&str> = text.lines().collect();
    let error = lines.iter().find(|line| line.starts_with("::error title=posts%3A repeated::2 POSTs")).unwrap();
    assert!(error.contains("%0Ahint: a proxy must not repeat"), "{error}");
    assert!(lines.iter().any(|line| line.starts_with("::warning title=posts%3A stickiness::")), "{text}");
    assert_eq!(lines.last(), Some(&"FAIL posts: 2 POSTs reached backends more than once"));
    let hostile = form(ReportFormat::Github, &example::of(example::hostile()));
    assert!(hostile.lines().all(|line| line.starts_with("::") || line.contains(": ")), "{hostile}");
}

#[test]
fn markdown_of_several_checks_begins_with_all_verdicts() {
    let markdown = form(ReportFormat::Markdown, &example::all().pop().unwrap());
    assert!(
        markdown.starts_with("## ❌ 1 of 2 checks passed\n\n| | check | |\n|---|---|---|\n| ✅ pass |"),
        "{markdown}"
    );
    assert!(markdown.contains("| ❌ fail | posts | 2 POSTs reached backends more than once |"), "{markdown}");
}

#[test]
fn nothing_hostile_steers_a_terminal_a_page_or_a_parser() {
    let report = example::of(example::hostile());
    let text = form(ReportFormat::Text, &report);
    assert!(!text.chars().any(|it| it.is_control() && it != '\n') && !text.contains('\u{202e}'), "{text:?}");
    let html = form(ReportFormat::Html, &report);
    assert!(!html.contains("<script") && !html.contains('\x1b') && html.contains("&lt;script&gt;"));
    let markdown = form(ReportFormat::Markdown, &report);
    assert!(!markdown.contains("<script") && markdown.contains("&lt;script&gt;") && markdown.contains("\\|\\`a\\`"));
    let xml = junit::junit(&report);
    assert!(!xml.contains("<script") && !xml.contains('\x1b') && !xml.contains("]]>\""), "{xml}");
}

/// Tags that open are closed, in order: enough for what is written here.
fn is_well_formed(xml: &str, empty: &[&str]) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        let end = rest[start..].find('>').ok_or("a tag without its end")? + start;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap_or_default();
        match tag {
            _ if tag.starts_with(['?', '!']) || tag.ends_with('/') || empty.contains(&name) => {}
            _ if tag.starts_with('/') => match open.pop() {
                Some(last) if last == name => {}
                other => return Err(format!("</{name}> closes {other:?}")),
            },
            _ => open.push(name),
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("{open:?} stay open")) }
}

#[test]
fn junit_is_well_formed_and_counts_failures_and_inconclusive_findings() {
    for report in example::all() {
        assert_eq!(is_well_formed(&junit::junit(&report), &[]), Ok(()));
    }
    let xml = junit::junit(&example::of(example::failing()));
    assert!(xml.contains("tests=\"4\" failures=\"1\" errors=\"1\""), "{xml}");
    assert!(xml.contains("<failure type=\"repeated\" message=\"2 POSTs reached backends more than once\">"));
    assert!(xml.contains("<error type=\"inconclusive\""));
}

#[test]
fn each_suite_of_junit_has_the_time_at_which_its_own_sample_began() {
    let mut report = example::of(example::passing());
    report.checks.push(example::passing());
    report.checks[1].traffic.started = "2026-01-01T12:00:31.000Z".to_owned();
    let xml = junit::junit(&report);
    for check in &report.checks {
        assert_eq!(xml.matches(&format!("timestamp=\"{}\"", check.traffic.started)).count(), 1, "{xml}");
    }
}

#[test]
fn the_page_is_whole_and_needs_nothing_from_outside() {
    for report in example::all() {
        let html = form(ReportFormat::Html, &report);
        let style = html.find("<style>").unwrap()..html.find("</style>").unwrap();
        let without_style = html[..style.start].to_owned() + &html[style.end + "</style>".len()..];
        assert_eq!(is_well_formed(&without_style, &["meta", "link", "br"]), Ok(()));
        assert!(!html.contains("http-equiv=\"refresh\"") && !html.contains("src=") && !html.contains("@import"));
        assert!(
            html.contains("<main>") && !html.contains("<th scope=\"col\"></th>"),
            "a landmark, and no empty heading"
        );
        assert!(html.contains("default-src 'none'") && html.contains("<svg") && html.contains("</html>"));
    }
    let html = form(ReportFormat::Html, &example::of(example::broken()));
    for part in ["9001", "9002", "9003", "kill 9002", "6.75 s", "p99.99"] {
        assert!(html.contains(part), "{part} is missing");
    }
}

#[test]
fn markdown_has_a_table_row_for_each_outcome_share_and_finding() {
    let markdown = form(ReportFormat::Markdown, &example::of(example::failing()));
    assert!(markdown.starts_with("## ❌ posts: fail\n"), "{markdown}");
    for row in [
        "| delivered | 3,998 |",
        "| duplicated | 2 |",
        "| 9002 | 1,000 | 33.33 % | 33.33 % |",
        "| ❌ fail | repeated |",
        "| ❔ inconclusive | stickiness |",
    ] {
        assert!(markdown.contains(row), "{row} is missing in\n{markdown}");
    }
}

/// What each rule suggests, in the order of the rules.
fn hints_by_rule() -> Vec<(Rule, &'static str, String)> {
    use crate::report::hints::{self, Cut};
    use verdict::BadCertificate;
    vec![
        (Rule::Duplicated, "", hints::of_double_execution(None)),
        (Rule::Duplicated, "a retry goes to the backend that failed", hints::of_same_host(None).unwrap()),
        (Rule::Repeated, "", hints::of_repeat(None)),
        (Rule::Mirrored, "", hints::of_mirror(None)),
        (Rule::Lost, "", hints::of_loss(None)),
        (Rule::Lost, "the client's own timeout was over", hints::of_own_timeout(None)),
        (Rule::Lost, "backends refused the streams unprocessed", hints::of_unprocessed(None)),
        (Rule::NotReached, "", hints::of_not_reached(false, None)),
        (Rule::NotReached, "clients gave up while backends were busy", hints::of_queue(None)),
        (Rule::IdleClose, "", hints::of_idle_close(None).unwrap()),
        (
            Rule::Balancer,
            "it does not accept certificates of backends",
            hints::of_handshakes(verdict::HandshakeFailure::AlertUnknownCa, None).unwrap(),
        ),
        (Rule::Stale, "", hints::of_cache(None)),
        (Rule::Altered, "", hints::of_responses(None)),
        (Rule::Altered, "calls of gRPC arrive in HTTP/1", hints::of_calls_over_http_1(None)),
        (Rule::Altered, "calls of gRPC have a content coding", hints::of_coded_calls(None)),
        (Rule::ResponseFields, "", hints::of_response_fields(false, None)),
        (Rule::ResponseFields, "Cache-Control is lost", hints::of_response_fields(true, None)),
        (Rule::MethodChanged, "", hints::of_method(None)),
        (Rule::PathChanged, "escapes or slashes are changed", hints::of_escapes(None)),
        (Rule::QueryChanged, "", hints::of_query(None)),
        (Rule::HostChanged, "", hints::of_host(None)),
        (Rule::BodyChanged, "", hints::of_body(None)),
        (Rule::FieldChanged, "", hints::of_request_fields(&["X-Tenant"], None)),
        (Rule::FieldChanged, "a name with an underscore", hints::of_request_fields(&["x_tenant"], None)),
        (Rule::FieldChanged, "deadlines of calls are shortened", hints::of_deadlines(None)),
        (Rule::ClientAddress, "", hints::of_forwarded_for(None)),
        (Rule::Stickiness, "", hints::of_lost_sessions(None)),
        (Rule::Stickiness, "a client has another backend at another URL", hints::of_sessions_by_url(None)),
        (Rule::Stickiness, "a hash moves nearly all clients", hints::of_hashes(None)),
        (Rule::Resilience, "during a reload", hints::of_reload(None)),
        (
            Rule::Resilience,
            "backends that are not ready get requests",
            hints::of_unready("a health check of /readyz tells the balancer", None),
        ),
        (Rule::Resilience, "one broken backend keeps requests from all others", hints::of_blocked(None)),
        (
            Rule::Resilience,
            "the failures of one backend make the balancer refuse all requests",
            hints::of_breaker(None),
        ),
        (Rule::Reach, "a backend failed before", hints::of_avoidance(None, None)),
        (Rule::Upgrade, "", hints::of_upgrade(None)),
        (Rule::StreamDelay, "", hints::of_buffering(None)),
        (Rule::StreamDelay, "events come more slowly than they are written", hints::of_backlog(None)),
        (Rule::StreamDelay, "WebSockets", hints::of_slow_websockets().to_owned()),
        (Rule::StreamCut, "by silence", hints::of_cut(Cut::Idle, None)),
        (Rule::StreamCut, "by age", hints::of_cut(Cut::Age, None)),
        (Rule::StreamCut, "by a reload", hints::of_cut(Cut::Step, None)),
        (Rule::StreamAlive, "", hints::of_alive(None)),
        (Rule::TlsVerified, "", hints::of_certificates(&BadCertificate::ALL, None)),
        (Rule::TlsVerified, "another host's is accepted", hints::of_certificates(&[BadCertificate::OtherName], None)),
        (Rule::TlsVerified, "a revoked one is accepted", hints::of_certificates(&[BadCertificate::Revoked], None)),
        (Rule::Tls, "no SNI", hints::of_server_name(None)),
        (Rule::Tls, "no client certificate", hints::of_client_certificate(None)),
    ]
}

#[test]
fn the_reference_of_hints_is_what_the_code_suggests() {
    use crate::report::hints::{OwnResponse, of_own_response};
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/hints.md");
    let cell = |text: &str| text.replace('|', "\\|");
    let mut text = String::from(
        "# Hints\n\nWhat a report suggests where a [rule](rules.md) is not met. A report names the directives of the balancer that it recognises; \
         here are those of all. Generated from the code: UPDATE_SNAPSHOTS=1 cargo test.\n\n| rule | if | try |\n|---|---|---|\n",
    );
    for (rule, case, hint) in hints_by_rule() {
        text += &format!("| `{}` | {case} | {} |\n", rule.id(), cell(&hint));
    }
    text += "\n## The balancer itself responded\n\nThe rule `balancer`, by the most frequent status.\n\n| status | try |\n|---|---|\n";
    for status in [200, 301, 304, 400, 401, 403, 404, 405, 408, 413, 421, 429, 431, 499, 502, 503, 504] {
        text += &format!(
            "| {status} | {} |\n",
            cell(&of_own_response(OwnResponse { status, ..OwnResponse::default() }, None))
        );
    }
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(FILE, &text).unwrap();
    }
    let written = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        written == text,
        "docs/reference/hints.md is not what the code suggests: UPDATE_SNAPSHOTS=1 writes it anew"
    );
}

#[test]
fn what_could_not_run_is_in_each_format_beside_what_ran() {
    let error = |check: Option<&str>| CheckError {
        check: check.map(str::to_owned),
        error: "failed to connect to 127.0.0.1:8081: <refused> & gone".to_owned(),
        hint: Some("start the balancer, at 100 %".to_owned()),
    };
    let of_all = example::with_errors(Vec::new(), vec![error(None)]);
    let of_one = example::with_errors(example::of(example::passing()).checks, vec![error(Some("canary"))]);
    for report in [&of_all, &of_one] {
        assert_eq!(report.verdict, Verdict::Inconclusive);
        for format in ReportFormat::ALL {
            let text = form(format, report);
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for part in ["failed to connect to 127.0.0.1:8081", "start the balancer, at 100"] {
                assert!(words.contains(part), "{part} is missing in {}:\n{text}", format.name());
            }
        }
    }
    let xml = form(ReportFormat::Junit, &of_one);
    assert!(xml.contains("errors=\"1\"") && xml.contains("&lt;refused&gt; &amp; gone\">hint: start"), "{xml}");
    assert!(form(ReportFormat::Junit, &of_all).contains("tests=\"1\" failures=\"0\" errors=\"1\""));
    let github = form(ReportFormat::Github, &of_one);
    let line = "::error title=canary%3A could not run::failed to connect";
    assert!(github.lines().any(|it| it.starts_with(line) && it.ends_with("%0Ahint: start the balancer, at 100 %25")));
    let text = form(ReportFormat::Text, &of_one);
    assert!(text.ends_with("\nERROR: 1 of 2 checks could not run\n") && text.contains("  PASS  "), "{text}");
    assert!(form(ReportFormat::Text, &of_all).starts_with("ERROR  failed to connect"));
    assert!(form(ReportFormat::Markdown, &of_one).starts_with("## ⛔ 1 of 2 checks passed"));
    let json: verdict::report::Report = serde_json::from_str(&form(ReportFormat::Json, &of_one)).unwrap();
    assert_eq!((json.checks.len(), &json.errors), (1, &of_one.errors));
}

#[test]
fn what_of_a_file_was_not_understood_is_in_each_format() {
    let line = "two.conf, line 3: server 127.0.0.1:9004 is no backend";
    let check = verdict::report::Check { not_understood: vec![line.to_owned()], ..example::passing() };
    let report = example::of(check);
    for format in ReportFormat::ALL {
        assert!(form(format, &report).contains(line), "{}", format.name());
    }
}

#[test]
fn short_reports_name_the_cause() {
    let mut check = example::of(example::failing()).checks.remove(0);
    let quiet = Style { detail: Detail::Quiet, ..PLAIN };
    for finding in &mut check.findings {
        if let Some(prose) = &mut finding.prose {
            prose.evidence.insert(0, EvidenceLine::of("10.9.0.13 left at 4.03 s"));
        }
    }
    let report = example::with_errors(vec![check], Vec::new());
    let text = render(&report, ReportFormat::Text, &quiet);
    assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains("once: 10.9.0.13 left at 4.03 s"), "{text}");
    assert!(form(ReportFormat::Github, &report).contains("more than once%0A10.9.0.13 left at 4.03 s%0Ahint:"));
}
