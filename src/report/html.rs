//! A report to look at: one file, no script, nothing from outside. The plots are `plot`'s.

use std::fmt::Write;

use crate::report::escape::escaped;
use crate::report::phrases::{balancing_result, forwarding, meaning};
use crate::report::plot;
use crate::report::text::{false_positives, loop_note, not_counted, reason, rotations};
use verdict::finding::{Finding, Level};
use verdict::numbers::{grouped, percent, time};
use verdict::report::{Check, Percentiles, Report, Shares, Verdict};

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
    <link rel=\"icon\" href=\"data:,\">\n";

const STYLE: &str = include_str!("report.css");

/// All checks on one page.
pub(crate) fn html(report: &Report) -> String {
    let mut out = String::from(HEAD);
    let title = match report.checks.as_slice() {
        [one] => one.name.clone().unwrap_or_else(|| one.url.clone()),
        several => format!("{} checks", several.len()),
    };
    let _ = write!(
        out,
        "<title>{}: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        word(report.verdict),
        escaped(&title)
    );
    if report.checks.len() > 1 {
        overview(&mut out, report);
    }
    for (number, check) in report.checks.iter().enumerate() {
        one(&mut out, check, number);
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

fn overview(out: &mut String, report: &Report) {
    let _ = write!(out, "<header><h1>{} All checks</h1>\n<table>\n", badge(report.verdict));
    for (number, check) in report.checks.iter().enumerate() {
        let name = escaped(check.name.as_deref().unwrap_or(&check.url));
        let why = escaped(&reason(check));
        let _ = writeln!(
            out,
            "<tr><td>{}</td><th scope=\"row\"><a href=\"#check-{number}\">{name}</a></th><td>{why}</td></tr>",
            badge(check.verdict)
        );
    }
    out.push_str("</table></header>\n");
}

fn one(out: &mut String, check: &Check, number: usize) {
    let name = escaped(check.name.as_deref().unwrap_or(&check.url));
    let _ = write!(out, "<article id=\"check-{number}\">\n<header>\n<h1>{} {name}</h1>\n", badge(check.verdict));
    let _ = writeln!(out, "<p class=\"reason\">{}</p>", escaped(&reason(check)));
    let behind = match &check.fleet {
        Some(fleet) => format!("{} backends of the fleet at {}", fleet.backends.len(), escaped(&fleet.control)),
        None => "third-party backends".to_owned(),
    };
    let traffic = &check.traffic;
    let varied = traffic.varied.as_ref().map(|varied| format!(", with {}", escaped(varied))).unwrap_or_default();
    let _ = writeln!(
        out,
        "<p>{} {} requests through {} to {behind}, in {}: {} req/s{varied}.</p>\n</header>",
        grouped(traffic.requests),
        escaped(&traffic.method),
        escaped(&check.url),
        time(traffic.seconds),
        grouped(traffic.requests_per_second as u64)
    );
    section(out, "Findings", |out| findings(out, &check.findings));
    section(out, "Requests", |out| account(out, check));
    if let Some(shares) = &check.shares {
        section(out, &format!("Shares of {}", shares.unit.name()), |out| self::shares(out, shares));
    }
    let names: Vec<&str> =
        check.shares.iter().flat_map(|shares| &shares.rows).map(|row| row.backend.as_str()).collect();
    if !check.plots.strip.is_empty() {
        section(out, "Order of the first requests", |out| {
            plot::strip(out, &check.plots.strip, &names);
            out.push_str("<p class=\"note\">Row by row, in the order of arrival. Round robin is a regular pattern, random selection is noise, affinity is one colour.</p>\n");
        });
    }
    if let Some(algorithm) = &check.algorithm {
        section(out, "Algorithm", |out| {
            let _ =
                writeln!(out, "<p class=\"large\">{}{}</p>", escaped(&algorithm.label), rotations(algorithm.rotations));
            if !algorithm.or.is_empty() {
                let _ = writeln!(out, "<p>Also fits: {}.</p>", escaped(&algorithm.or.join(", ")));
            }
            list(out, &algorithm.evidence);
            if let Some(hint) = &algorithm.hint {
                let _ = writeln!(out, "<p class=\"hint\">{}</p>", escaped(hint));
            }
        });
    }
    if check.plots.slices.len() > 1 {
        section(out, "Responses over time", |out| {
            plot::over_time(out, &check.plots, check.outage.as_ref(), &names);
            plot::legend(out, &names);
        });
    }
    if let Some(outage) = &check.outage {
        section(out, "Outage", |out| self::outage(out, outage));
    }
    if let Some(latency) = &check.latency {
        section(out, "Latency", |out| {
            percentiles(out, latency);
            plot::histogram(out, &check.plots.latency);
            let _ = writeln!(out, "<p class=\"note\">{}</p>", loop_note(latency.open_loop));
        });
    }
    out.push_str("</article>\n");
}

fn section(out: &mut String, title: &str, content: impl FnOnce(&mut String)) {
    let _ = writeln!(out, "<section>\n<h2>{title}</h2>");
    content(out);
    out.push_str("</section>\n");
}

fn list(out: &mut String, lines: &[String]) {
    out.push_str("<ul>\n");
    for line in lines {
        let _ = writeln!(out, "<li>{}</li>", escaped(line));
    }
    out.push_str("</ul>\n");
}

fn findings(out: &mut String, findings: &[Finding]) {
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
                out.push_str("<details><summary>evidence</summary>\n");
                list(out, &prose.evidence);
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

fn account(out: &mut String, check: &Check) {
    let account = &check.account;
    let _ = writeln!(
        out,
        "<p>{} requests, including those of the experiments. Each has one outcome.</p>\n<table class=\"figures\">",
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
        out.push_str("<h3>What the balancer does to a request</h3>\n");
        list(out, &clauses);
    }
    if let Some(text) = not_counted(&account.not_counted) {
        let _ = writeln!(out, "<p class=\"note\">Not counted: {text}.</p>");
    }
}

fn shares(out: &mut String, shares: &Shares) {
    let _ = writeln!(
        out,
        "<p>Expected: {} ({}).</p>\n<table class=\"figures shares\">\n<tr><th scope=\"col\">backend</th><th scope=\"col\">share, of all</th>\
         <th scope=\"col\">share</th><th scope=\"col\">expected</th><th scope=\"col\">{}</th></tr>",
        escaped(&shares.expected),
        escaped(&shares.expected_by),
        shares.unit.name()
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
        "<p>{} client errors, {} retries, {} requests executed more than once.</p>\n<table class=\"figures\">\n\
         <tr><th scope=\"col\">backend</th><th scope=\"col\">requests just before</th><th scope=\"col\">no more traffic after</th><th scope=\"col\">back after</th><th scope=\"col\">client errors meanwhile</th></tr>",
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
    out.push_str("</table>\n<ul>\n");
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
