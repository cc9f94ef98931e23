//! PURE. A report for the summary of a CI job: Markdown as GitHub reads it.

use std::fmt::Write;

use crate::report::escape::harmless;
use crate::report::text::reason;
use verdict::numbers::{grouped, percent, time};
use verdict::report::{Check, Level, Percentiles, Report, Verdict};

/// A heading a check, the verdict first.
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    for check in &report.checks {
        one(&mut out, check);
    }
    let _ = writeln!(out, "<sub>{} · {}</sub>", escaped(&report.tool), escaped(&report.started));
    out
}

fn one(out: &mut String, check: &Check) {
    let (symbol, word) = match check.verdict {
        Verdict::Pass => ("✅", "pass"),
        Verdict::Inconclusive => ("❔", "inconclusive"),
        Verdict::Fail => ("❌", "fail"),
    };
    let name = escaped(check.name.as_deref().unwrap_or(&check.url));
    let _ = writeln!(out, "## {symbol} {name}: {word}\n\n{}\n", escaped(&reason(check)));
    let _ = writeln!(out, "{} requests through {}.\n", grouped(check.account.sent), escaped(&check.url));
    let _ = writeln!(out, "| fate | requests | |\n|---|---:|---|");
    for fate in &check.account.fates {
        let _ = writeln!(out, "| {} | {} | {} |", fate.fate, grouped(fate.count), fate.meaning);
    }
    if let Some(shares) = &check.shares {
        let _ = writeln!(out, "\n| backend | {} | share | expected |\n|---|---:|---:|---:|", shares.unit);
        for row in &shares.rows {
            let expected = row.expected.map_or("–".to_owned(), percent);
            let _ = writeln!(
                out,
                "| {} | {} | {} | {expected} |",
                escaped(&row.backend),
                grouped(row.count),
                percent(row.share)
            );
        }
    }
    if let Some(algorithm) = &check.algorithm {
        let _ = writeln!(out, "\nAlgorithm: **{}**\n", escaped(&algorithm.label));
        details(out, "evidence", &algorithm.evidence);
    }
    if let Some(latency) = &check.latency {
        let _ = writeln!(
            out,
            "\n| latency | p50 | p90 | p99 | p99.9 | p99.99 | max |\n|---|---:|---:|---:|---:|---:|---:|"
        );
        let mut row = |name: &str, it: &Percentiles| {
            let cells = it.columns().map(time).join(" | ");
            let _ = writeln!(out, "| {name} | {cells} |");
        };
        row("client", &latency.client);
        latency.backend.iter().for_each(|it| row("backend", it));
        latency.between.iter().for_each(|it| row("between", it));
    }
    let _ = writeln!(out, "\n| | rule | finding |\n|---|---|---|");
    for finding in &check.findings {
        let symbol = match finding.outcome {
            Level::Pass => "✅ pass",
            Level::Note => "ℹ️ note",
            Level::Inconclusive => "❔ open",
            Level::Fail => "❌ fail",
        };
        let more: Vec<String> = [finding.hint.as_ref().map(|hint| format!("hint: {hint}")), finding.source.clone()]
            .into_iter()
            .flatten()
            .collect();
        let more =
            if more.is_empty() { String::new() } else { format!("<br><sub>{}</sub>", escaped(&more.join(" · "))) };
        let _ = writeln!(out, "| {symbol} | {} | {}{more} |", finding.rule, escaped(&finding.summary));
    }
    out.push('\n');
    for finding in check.findings.iter().filter(|finding| finding.outcome > Level::Note && !finding.evidence.is_empty())
    {
        details(out, &finding.rule, &finding.evidence);
    }
}

fn details(out: &mut String, title: &str, lines: &[String]) {
    let _ = writeln!(out, "<details><summary>{}</summary>\n", escaped(title));
    lines.iter().for_each(|line| {
        let _ = writeln!(out, "- {}", escaped(line));
    });
    out.push_str("\n</details>\n\n");
}

/// Nothing of a text is taken for Markdown or HTML.
fn escaped(text: &str) -> String {
    let escape = |character: char| match character {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '~' => format!("\\{character}"),
        other => other.to_string(),
    };
    harmless(text).chars().map(escape).collect()
}
