//! A report for CI systems: a suite a check, a case a finding. What cannot be said is an error: it must not count as passed.

use std::fmt::Write;

use crate::report::text::subject;
use verdict::finding::{Finding, Level};
use verdict::report::{Check, Report};

/// JUnit's XML, as CI systems read it.
pub(crate) fn junit(report: &Report) -> String {
    let count = |level| report.checks.iter().map(|check| of(check, level)).sum::<usize>();
    let errors = report.errors.len();
    let cases: usize = report.checks.iter().map(|check| check.findings.len()).sum::<usize>() + errors;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites name=\"uuid-generator check\" tests=\"{cases}\" failures=\"{}\" errors=\"{}\">",
        count(Level::Fail),
        count(Level::Inconclusive) + errors
    );
    for check in &report.checks {
        suite(&mut out, check);
    }
    for error in &report.errors {
        let name = escape(subject(error));
        let hint = error.hint.as_ref().map(|hint| escape(&format!("hint: {hint}"))).unwrap_or_default();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" time=\"0\" timestamp=\"{}\">\n    \
             <testcase classname=\"{name}\" name=\"run\" time=\"0\">\
             <error type=\"error\" message=\"{}\">{hint}</error></testcase>\n  </testsuite>",
            escape(&report.started),
            escape(&error.error)
        );
    }
    out.push_str("</testsuites>\n");
    out
}

fn of(check: &Check, level: Level) -> usize {
    check.findings.iter().filter(|finding| finding.level == level).count()
}

fn suite(out: &mut String, check: &Check) {
    let name = escape(check.name.as_deref().unwrap_or(&check.url));
    let _ = writeln!(
        out,
        "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\" time=\"{:.3}\" timestamp=\"{}\">",
        check.findings.len(),
        of(check, Level::Fail),
        of(check, Level::Inconclusive),
        check.seconds,
        escape(&check.traffic.started)
    );
    for finding in &check.findings {
        case(out, &name, finding);
    }
    if !check.not_understood.is_empty() {
        let lines = escape(&check.not_understood.join("\n"));
        let _ = writeln!(out, "    <system-out>not understood, and not judged: {lines}</system-out>");
    }
    out.push_str("  </testsuite>\n");
}

fn case(out: &mut String, suite: &str, finding: &Finding) {
    let _ = write!(out, "    <testcase classname=\"{suite}\" name=\"{}\" time=\"0\">", finding.rule().id());
    let summary = escape(finding.summary());
    let details = finding.prose.as_ref().map_or_else(String::new, |prose| {
        let lines = prose
            .evidence
            .iter()
            .flat_map(|it| std::iter::once(it.line.clone()).chain(it.parts.iter().map(|part| format!("  {part}"))));
        let lines = lines.chain(prose.hint.iter().map(|hint| format!("hint: {hint}")));
        lines.chain(prose.source.iter().map(|source| format!("see: {source}"))).collect::<Vec<_>>().join("\n")
    });
    let details = escape(&details);
    let _ = match finding.level {
        Level::Pass | Level::Note => write!(out, "<system-out>{summary}</system-out>"),
        Level::Inconclusive => write!(out, "<error type=\"inconclusive\" message=\"{summary}\">{details}</error>"),
        Level::Fail => {
            write!(out, "<failure type=\"{}\" message=\"{summary}\">{details}</failure>", finding.rule().id())
        }
    };
    out.push_str("</testcase>\n");
}

/// For text and for values of attributes; characters that XML 1.0 cannot hold are replaced.
fn escape(text: &str) -> String {
    let escape = |character: char| match character {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\n' => "&#10;".to_owned(),
        '\t' => "&#9;".to_owned(),
        control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => "\u{fffd}".to_owned(),
        other => other.to_string(),
    };
    text.chars().map(escape).collect()
}
