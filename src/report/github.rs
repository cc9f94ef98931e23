//! Annotations of GitHub Actions: a line for each finding that somebody should see, and the verdict.

use std::fmt::Write;

use crate::report::escape::harmless;
use crate::report::text::{reason, subject};
use verdict::finding::Level;
use verdict::report::{Report, Verdict};

/// Workflow commands, as GitHub reads them from a job's output.
pub(crate) fn github(report: &Report) -> String {
    let mut out = String::new();
    for check in &report.checks {
        let name = check.name.as_deref().unwrap_or(&check.url);
        for finding in &check.findings {
            let command = match finding.level {
                Level::Fail => "error",
                Level::Inconclusive => "warning",
                Level::Pass | Level::Note => continue,
            };
            let hint = finding.prose.as_ref().and_then(|prose| prose.hint.as_ref());
            let hint = hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            let cause = finding.cause().map(|it| format!("\n{}", it.line)).unwrap_or_default();
            let title = property(&format!("{name}: {}", finding.rule().id()));
            let text = format!("{}{cause}{hint}", finding.summary());
            let _ = writeln!(out, "::{command} title={title}::{}", message(&text));
        }
        for line in &check.not_understood {
            let title = property(&format!("{name}: not understood, and not judged"));
            let _ = writeln!(out, "::notice title={title}::{}", message(line));
        }
        let verdict = match check.verdict {
            Verdict::Pass => "PASS",
            Verdict::Inconclusive => "INCONCLUSIVE",
            Verdict::Fail => "FAIL",
        };
        let _ = writeln!(out, "{verdict} {}: {}", harmless(name), reason(check));
    }
    for error in &report.errors {
        let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        let title = property(&format!("{}: could not run", subject(error)));
        let _ = writeln!(out, "::error title={title}::{}", message(&format!("{}{hint}", error.error)));
    }
    out
}

fn message(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| harmless(line).replace('%', "%25")).collect();
    lines.join("%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}
