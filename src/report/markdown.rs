//! A report for the summary of a CI job: Markdown as GitHub reads it.

use std::fmt::Write;

use crate::report::escape::harmless;
use crate::report::phrases::{forwarding, meaning, slow_backends};
use crate::report::text::{counted_in, reason, rotations, subject};
use verdict::finding::{EvidenceLine, Level};
use verdict::numbers::{grouped, percent, time};
use verdict::report::{Check, Latency, Percentiles, Report, Shares, Verdict};

/// A heading a check, the verdict first.
pub(crate) fn markdown(report: &Report) -> String {
    let mut out = String::new();
    if report.wanted() > 1 {
        overview(&mut out, report);
    }
    for check in &report.checks {
        one(&mut out, check);
    }
    for error in &report.errors {
        let _ = writeln!(out, "## ⛔ {}: error\n\n{}\n", escape(subject(error)), escape(&error.error));
        if let Some(hint) = &error.hint {
            let _ = writeln!(out, "hint: {}\n", escape(hint));
        }
    }
    let _ = writeln!(out, "<sub>{} · {}</sub>", escape(&report.tool), escape(&report.started));
    out
}

fn symbol(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Pass => ("✅", "pass"),
        Verdict::Inconclusive => ("❔", "inconclusive"),
        Verdict::Fail => ("❌", "fail"),
    }
}

/// All checks on one screen, before their details.
fn overview(out: &mut String, report: &Report) {
    let passed = report.checks.iter().filter(|check| check.verdict == Verdict::Pass).count();
    let sign = if report.errors.is_empty() { symbol(report.verdict).0 } else { "⛔" };
    let all = report.wanted();
    let _ = writeln!(out, "## {sign} {passed} of {all} checks passed\n\n| | check | |\n|---|---|---|");
    for check in &report.checks {
        let (sign, word) = symbol(check.verdict);
        let name = escape(check.name.as_deref().unwrap_or(&check.url));
        let _ = writeln!(out, "| {sign} {word} | {name} | {} |", escape(&reason(check)));
    }
    for error in &report.errors {
        let _ = writeln!(out, "| ⛔ error | {} | {} |", escape(subject(error)), escape(&error.error));
    }
    out.push('\n');
}

fn one(out: &mut String, check: &Check) {
    let (symbol, word) = symbol(check.verdict);
    let name = escape(check.name.as_deref().unwrap_or(&check.url));
    let _ = writeln!(out, "## {symbol} {name}: {word}\n\n{}\n", escape(&reason(check)));
    let _ = writeln!(out, "{} requests through {}.\n", grouped(check.account.sent), escape(&check.url));
    if !check.surroundings.is_empty() {
        details(out, "what differs from production in this rehearsal", |out| {
            list(out, "", check.surroundings.iter().map(|it| &it.line));
        });
    }
    if !check.not_understood.is_empty() {
        details(out, "not understood, and not judged", |out| list(out, "", &check.not_understood));
    }
    outcomes(out, check);
    if let Some(clauses) = check.forwarding.as_ref().map(forwarding).filter(|clauses| !clauses.is_empty()) {
        details(out, "what the balancer does to a request", |out| list(out, "", &clauses));
    }
    check.shares.iter().for_each(|shares| self::shares(out, shares, counted_in(check, shares)));
    if let Some(algorithm) = &check.algorithm {
        let _ = writeln!(out, "\nAlgorithm: **{}**{}\n", escape(&algorithm.label), rotations(algorithm.rotations));
        details(out, "evidence", |out| list(out, "", &algorithm.evidence));
    }
    check.latency.iter().for_each(|latency| self::latency(out, latency));
    findings(out, check);
    for finding in check.findings.iter().filter(|finding| finding.level > Level::Note) {
        if let Some(prose) = finding.prose.as_ref().filter(|prose| !prose.evidence.is_empty()) {
            details(out, finding.rule().id(), |out| evidence(out, &prose.evidence));
        }
    }
}

fn outcomes(out: &mut String, check: &Check) {
    let _ = writeln!(out, "| outcome | requests | |\n|---|---:|---|");
    for it in &check.account.outcomes {
        let means = meaning(it.outcome, check.fleet.is_some());
        let _ = writeln!(out, "| {} | {} | {means} |", it.outcome.name(), grouped(it.count));
    }
}

fn shares(out: &mut String, shares: &Shares, unit: &str) {
    let _ = writeln!(out, "\n| backend | {} | share | expected |\n|---|---:|---:|---:|", unit);
    for row in &shares.rows {
        let (count, share) = (grouped(row.count), percent(row.share));
        let expected = row.expected.map_or("–".to_owned(), percent);
        let _ = writeln!(out, "| {} | {count} | {share} | {expected} |", escape(&row.backend));
    }
}

fn latency(out: &mut String, latency: &Latency) {
    let _ =
        writeln!(out, "\n| latency | p50 | p90 | p99 | p99.9 | p99.99 | max |\n|---|---:|---:|---:|---:|---:|---:|");
    let mut row = |name: &str, it: &Percentiles| {
        let cells = it.columns().map(time).join(" | ");
        let _ = writeln!(out, "| {name} | {cells} |");
    };
    row("client", &latency.client);
    latency.backend.iter().for_each(|it| row("backend", it));
    latency.between.iter().for_each(|it| row("network + proxy", it));
    if let Some(slow) = slow_backends(latency) {
        let _ = writeln!(out, "\n{}", escape(&slow));
    }
}

fn findings(out: &mut String, check: &Check) {
    let _ = writeln!(out, "\n| | rule | finding |\n|---|---|---|");
    for finding in &check.findings {
        let symbol = match finding.level {
            Level::Pass => "✅ pass",
            Level::Note => "ℹ️ note",
            Level::Inconclusive => "❔ inconclusive",
            Level::Fail => "❌ fail",
        };
        let Some(prose) = &finding.prose else { continue };
        let more: Vec<String> = [prose.hint.as_ref().map(|hint| format!("hint: {hint}")), prose.source.clone()]
            .into_iter()
            .flatten()
            .collect();
        let more =
            if more.is_empty() { String::new() } else { format!("<br><sub>{}</sub>", escape(&more.join(" · "))) };
        let _ = writeln!(out, "| {symbol} | {} | {}{more} |", finding.rule().id(), escape(&prose.summary));
    }
    out.push('\n');
}

fn details(out: &mut String, title: &str, content: impl FnOnce(&mut String)) {
    let _ = writeln!(out, "<details><summary>{}</summary>\n", escape(title));
    content(out);
    out.push_str("\n</details>\n\n");
}

fn list<'a>(out: &mut String, indent: &str, lines: impl IntoIterator<Item = &'a String>) {
    for line in lines {
        let _ = writeln!(out, "{indent}- {}", escape(line));
    }
}

fn evidence(out: &mut String, lines: &[EvidenceLine]) {
    for EvidenceLine { line, parts } in lines {
        let _ = writeln!(out, "- {}", escape(line));
        list(out, "  ", parts);
    }
}

/// Nothing of a text is taken for Markdown or HTML.
fn escape(text: &str) -> String {
    let escape = |character: char| match character {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '~' => format!("\\{character}"),
        other => other.to_string(),
    };
    harmless(text).chars().map(escape).collect()
}
