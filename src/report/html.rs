//! A report to look at: one file, no script, nothing from outside. The plots are `plot`'s.

use std::fmt::Write;

use crate::report::escape::escaped;
use crate::report::phrases::{balancing_result, forwarding, meaning, shares_source, slow_backends, variation};
use crate::report::plot;
use crate::report::text::{
    counted_in, false_positives, is_news, loop_note, not_counted, reason, rotations, subject, unjudged,
};
use verdict::finding::{EvidenceLine, Finding, Level};
use verdict::numbers::{grouped, percent, time};
use verdict::report::{AlgorithmReport, Check, CheckError, Percentiles, Report, Shares, Verdict};

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
    <link rel=\"icon\" href=\"data:,\">\n";

const STYLE: &str = include_str!("report.css");

/// Renders all checks on one page.
pub(crate) fn html(report: &Report) -> String {
    let mut out = String::from(HEAD);
    let all = report.wanted();
    let title = match (report.checks.as_slice(), report.errors.as_slice()) {
        ([one], []) => one.name.clone().unwrap_or_else(|| one.url.clone()),
        ([], [one]) => subject(one).to_owned(),
        _ => format!("{all} checks"),
    };
    let word = if report.errors.is_empty() { word(report.verdict) } else { "Error" };
    let _ =
        write!(out, "<title>{word}: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n", escaped(&title));
    if all > 1 {
        overview(&mut out, report);
    }
    // Below the overview of several.
    let depth = if all > 1 { 2 } else { 1 };
    for (number, check) in report.checks.iter().enumerate() {
        one(&mut out, check, number, depth);
    }
    for error in &report.errors {
        self::error(&mut out, error, depth);
    }
    let _ = write!(
        out,
        "</main>\n<footer>{} · {}</footer>\n</body>\n</html>\n",
        escaped(&report.tool),
        escaped(&report.started)
    );
    out
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "Pass",
        Verdict::Inconclusive => "Inconclusive",
        Verdict::Fail => "Fail",
    }
}

fn badge(verdict: Verdict) -> String {
    let (class, symbol) = match verdict {
        Verdict::Pass => ("pass", "✓"),
        Verdict::Inconclusive => ("open", "?"),
        Verdict::Fail => ("fail", "✗"),
    };
    format!("<span class=\"badge {class}\">{symbol} {}</span>", word(verdict))
}

const ERROR: &str = "<span class=\"badge fail\">! Error</span>";

/// A check that could not run.
fn error(out: &mut String, error: &CheckError, depth: usize) {
    let name = escaped(subject(error));
    let _ = write!(out, "<article>\n<header>\n<h{depth} class=\"check\">{ERROR} {name}</h{depth}>\n");
    let _ = writeln!(out, "<p class=\"reason\">{}</p>", escaped(&error.error));
    if let Some(hint) = &error.hint {
        let _ = writeln!(out, "<p class=\"hint\">{}</p>", escaped(hint));
    }
    out.push_str("</header>\n</article>\n");
}

fn overview(out: &mut String, report: &Report) {
    let passed = report.checks.iter().filter(|check| check.verdict == Verdict::Pass).count();
    let sign = if report.errors.is_empty() { badge(report.verdict) } else { ERROR.to_owned() };
    let _ = write!(
        out,
        "<header><h1>{sign} {passed} of {} checks passed</h1>\n<table>\n\
         <tr><th scope=\"col\">verdict</th><th scope=\"col\">check</th><th scope=\"col\">why</th></tr>\n",
        report.wanted()
    );
    for (number, check) in report.checks.iter().enumerate() {
        let name = escaped(check.name.as_deref().unwrap_or(&check.url));
        let why = escaped(&reason(check));
        let _ = writeln!(
            out,
            "<tr><td>{}</td><th scope=\"row\"><a href=\"#check-{number}\">{name}</a></th><td>{why}</td></tr>",
            badge(check.verdict)
        );
    }
    for error in &report.errors {
        let (name, why) = (escaped(subject(error)), escaped(&error.error));
        let _ = writeln!(out, "<tr><td>{ERROR}</td><th scope=\"row\">{name}</th><td>{why}</td></tr>");
    }
    out.push_str("</table></header>\n");
}

/// What is wrong with its witness and cure, then what everybody looks for, then what goes into depth.
fn one(out: &mut String, check: &Check, number: usize, depth: usize) {
    let name = escaped(check.name.as_deref().unwrap_or(&check.url));
    let verdict = badge(check.verdict);
    let _ = write!(
        out,
        "<article id=\"check-{number}\">\n<header>\n<h{depth} class=\"check\">{verdict} {name}</h{depth}>\n"
    );
    let _ = writeln!(out, "<p class=\"reason\">{}</p>", escaped(&reason(check)));
    let _ = writeln!(out, "<p class=\"note\">{}</p>\n</header>", traffic(check));
    if !check.surroundings.is_empty() {
        section(out, depth + 1, "Rehearsal", |out| list(out, check.surroundings.iter().map(|it| &it.line)));
    }
    if !check.not_understood.is_empty() {
        section(out, depth + 1, "Not understood, and not judged", |out| list(out, &check.not_understood));
    }
    let shown: Vec<&Finding> =
        check.findings.iter().filter(|it| it.level > Level::Note || is_news(it, check)).collect();
    if !shown.is_empty() {
        section(out, depth + 1, "Findings", |out| findings(out, &shown));
    }
    let names: Vec<&str> =
        check.shares.iter().flat_map(|shares| &shares.rows).map(|row| row.backend.as_str()).collect();
    out.push_str("<div class=\"pair\">\n");
    if let Some(shares) = &check.shares {
        section(out, depth + 1, &format!("Shares of {}", counted_in(check, shares)), |out| {
            self::shares(out, shares, check);
        });
    }
    section(out, depth + 1, "Requests", |out| account(out, depth + 2, check));
    if !check.plots.strip.is_empty() {
        section(out, depth + 1, &order_title(check), |out| {
            plot::strip(out, &check.plots.strip, &names);
            out.push_str("<p class=\"note\">Row by row. Round robin is a regular pattern, random selection is noise, affinity is one colour.</p>\n");
        });
    }
    if let Some(algorithm) = &check.algorithm {
        section(out, depth + 1, "Algorithm", |out| self::algorithm(out, algorithm));
    }
    out.push_str("</div>\n");
    if check.plots.slices.len() > 1 {
        section(out, depth + 1, "Responses over time", |out| {
            plot::over_time(out, &check.plots, check.outage.as_ref(), &names);
            plot::legend(out, &names);
        });
    }
    if let Some(outage) = &check.outage {
        section(out, depth + 1, "Outage", |out| self::outage(out, outage));
    }
    if let Some(latency) = &check.latency {
        section(out, depth + 1, "Latency", |out| {
            percentiles(out, latency);
            if let Some(slow) = slow_backends(latency) {
                let _ = writeln!(out, "<p>{}</p>", escaped(&slow));
            }
            plot::histogram(out, &check.plots.latency);
            let _ = writeln!(out, "<p class=\"note\">{}</p>", loop_note(latency.open_loop));
        });
    }
    write_passed(out, depth, check);
    out.push_str("</article>\n");
}

fn algorithm(out: &mut String, algorithm: &AlgorithmReport) {
    let _ = writeln!(out, "<p class=\"large\">{}{}</p>", escaped(&algorithm.label), rotations(algorithm.rotations));
    if !algorithm.or.is_empty() {
        let _ = writeln!(out, "<p>Also fits: {}.</p>", escaped(&algorithm.or.join(", ")));
    }
    list(out, &algorithm.evidence);
    if let Some(hint) = &algorithm.hint {
        let _ = writeln!(out, "<p class=\"hint\">{}</p>", escaped(hint));
    }
}

/// What was sent, and through what.
fn traffic(check: &Check) -> String {
    let traffic = &check.traffic;
    let behind = match &check.fleet {
        Some(fleet) => format!("{} backends of the fleet at {}", fleet.backends.len(), escaped(&fleet.control)),
        None => "third-party backends".to_owned(),
    };
    let varied = traffic
        .varied
        .as_ref()
        .map(|varied| format!(", with {}", escaped(&variation(varied, &check.findings))))
        .unwrap_or_default();
    format!(
        "{} {} requests through {} to {behind}, in {}: {} req/s{varied}.",
        grouped(traffic.requests),
        escaped(&traffic.method),
        escaped(&check.url),
        time(traffic.seconds),
        grouped(traffic.requests_per_second as u64)
    )
}

fn order_title(check: &Check) -> String {
    let count = grouped(check.plots.strip.len() as u64);
    if check.plots.strip_in_sequence {
        format!("Order of {count} requests, one after another")
    } else {
        format!("Order of the first {count} requests, as sent")
    }
}

/// The rules that were met, a line each.
fn write_passed(out: &mut String, depth: usize, check: &Check) {
    let described = |it: &&Finding| it.level == Level::Pass || (it.level == Level::Note && !is_news(it, check));
    let fine: Vec<&Finding> = check.findings.iter().filter(described).collect();
    if !fine.is_empty() {
        section(out, depth + 1, "Rules met and changes described", |out| findings(out, &fine));
    }
}

fn section(out: &mut String, depth: usize, title: &str, content: impl FnOnce(&mut String)) {
    let _ = writeln!(out, "<section>\n<h{depth}>{title}</h{depth}>");
    content(out);
    out.push_str("</section>\n");
}

fn list<'a>(out: &mut String, lines: impl IntoIterator<Item = &'a String>) {
    out.push_str("<ul>\n");
    for line in lines {
        let _ = writeln!(out, "<li>{}</li>", escaped(line));
    }
    out.push_str("</ul>\n");
}

fn evidence(out: &mut String, lines: &[EvidenceLine]) {
    out.push_str("<ul>\n");
    for EvidenceLine { line, parts } in lines {
        let _ = write!(out, "<li>{}", escaped(line));
        if !parts.is_empty() {
            list(out, parts);
        }
        out.push_str("</li>\n");
    }
    out.push_str("</ul>\n");
}

fn findings(out: &mut String, findings: &[&Finding]) {
    out.push_str("<ul class=\"findings\">\n");
    for finding in findings {
        let (class, symbol, word) = match finding.level {
            Level::Pass => ("pass", "✓", "pass"),
            Level::Note => ("note", "i", "note"),
            Level::Inconclusive => ("open", "?", "inconclusive"),
            Level::Fail => ("fail", "✗", "fail"),
        };
        let _ = write!(
            out,
            "<li class=\"{class}\"><span class=\"mark\">{symbol} {word}</span> <strong>{}</strong> {}",
            finding.rule().id(),
            escaped(finding.summary())
        );
        if let (Some(prose), true) = (&finding.prose, finding.level > Level::Pass) {
            if !prose.evidence.is_empty() {
                // The witness of what is wrong is read first.
                let open = if finding.level > Level::Note { " open" } else { "" };
                let _ = writeln!(out, "<details{open}><summary>evidence</summary>");
                evidence(out, &prose.evidence);
                out.push_str("</details>");
            }
            if let Some(hint) = &prose.hint {
                let _ = write!(out, "<p class=\"hint\">{}</p>", escaped(hint));
            }
            if let Some(source) = &prose.source {
                let _ = write!(out, "<p class=\"source\">{}</p>", escaped(source));
            }
        }
        out.push_str("</li>\n");
    }
    out.push_str("</ul>\n");
}

fn account(out: &mut String, depth: usize, check: &Check) {
    let account = &check.account;
    let _ = writeln!(
        out,
        "<p>{} requests, including those of the experiments. Each has one outcome.</p>\n<table class=\"figures outcomes\">\n\
         <tr><th scope=\"col\">outcome</th><th scope=\"col\">requests</th><th scope=\"col\">meaning</th></tr>",
        grouped(account.sent)
    );
    for it in &account.outcomes {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td>{}</td></tr>",
            it.outcome.name(),
            grouped(it.count),
            meaning(it.outcome, check.fleet.is_some())
        );
    }
    out.push_str("</table>\n");
    if let Some(clauses) = check.forwarding.as_ref().map(forwarding).filter(|clauses| !clauses.is_empty()) {
        let _ = writeln!(out, "<h{depth}>What the balancer does to a request</h{depth}>");
        list(out, &clauses);
    }
    if let Some(text) = not_counted(&account.not_counted) {
        let _ = writeln!(out, "<p class=\"note\">Not counted: {text}.</p>");
    }
}

fn shares(out: &mut String, shares: &Shares, check: &Check) {
    let compared = format!("expected: {} ({})", shares.expected, shares_source(&shares.expected_by));
    let expected = escaped(unjudged(check).unwrap_or(&compared));
    let _ = writeln!(
        out,
        "<p>{expected}</p>\n<table class=\"figures shares\">\n<tr><th scope=\"col\">backend</th><th scope=\"col\">share, of all</th>\
         <th scope=\"col\">share</th><th scope=\"col\">expected</th><th scope=\"col\">{}</th></tr>",
        counted_in(check, shares)
    );
    for (place, row) in shares.rows.iter().enumerate() {
        let expected = row.expected.map_or("–".to_owned(), percent);
        let bar = plot::bar(place, row.share, row.expected);
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"bar\">{bar}</td><td class=\"number\">{}</td><td class=\"number\">{expected}</td>\
             <td class=\"number\">{}</td></tr>",
            escaped(&row.backend),
            percent(row.share),
            grouped(row.count)
        );
    }
    out.push_str("</table>\n");
    if let Some(test) = &shares.test {
        let _ = writeln!(
            out,
            "<p class=\"note\">{}. Detects deviations ≥ {:.2} pp; false-positive rate {}.</p>",
            escaped(&balancing_result(test, shares.rows.iter().map(|row| row.count).sum(), shares.unit.name())),
            test.detects * 100.0,
            false_positives(test.false_alarm)
        );
    }
}

fn outage(out: &mut String, outage: &verdict::report::Outage) {
    let _ = writeln!(
        out,
        "<p>{} client errors, {} retries, {} requests executed more than once.</p>\n<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"outage of each backend\"><table class=\"figures\">\n\
         <tr><th scope=\"col\">backend</th><th scope=\"col\">requests just before</th><th scope=\"col\">traffic stopped after</th><th scope=\"col\">back after</th><th scope=\"col\">client errors meanwhile</th></tr>",
        grouped(outage.client_errors),
        grouped(outage.retries),
        grouped(outage.double_executions)
    );
    for backend in &outage.backends {
        let or = |seconds: Option<f64>, none: &str| seconds.map_or(none.to_owned(), time);
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            escaped(&backend.backend),
            grouped(backend.received_before),
            or(backend.stopped_after, "continued"),
            or(backend.back_after, "not back"),
            grouped(backend.client_errors)
        );
    }
    out.push_str("</table></div>\n<ul>\n");
    for step in &outage.steps {
        let result = step.result.as_ref().map(|result| format!(": {}", escaped(result))).unwrap_or_default();
        let _ = writeln!(out, "<li>{:.2} s: <code>{}</code>{result}</li>", step.at, escaped(&step.what));
    }
    out.push_str("</ul>\n");
}

fn percentiles(out: &mut String, latency: &verdict::report::Latency) {
    out.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"latency\"><table class=\"figures\">\n<tr><td></td>");
    for column in ["p50", "p90", "p99", "p99.9", "p99.99", "max"] {
        let _ = write!(out, "<th scope=\"col\">{column}</th>");
    }
    out.push_str("</tr>\n");
    let mut row = |name: &str, it: &Percentiles| {
        let cells = it.columns().map(|it| format!("<td class=\"number\">{}</td>", time(it)));
        let _ = writeln!(out, "<tr><th scope=\"row\">{name}</th>{}</tr>", cells.concat());
    };
    row("client", &latency.client);
    latency.backend.iter().for_each(|it| row("backend", it));
    latency.between.iter().for_each(|it| row("network + proxy", it));
    out.push_str("</table></div>\n");
}
