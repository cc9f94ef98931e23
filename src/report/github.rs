//! Annotations of GitHub Actions: a line for each finding that somebody should see, and the verdict.

use std::fmt::Write;

use crate::report::escape::harmless;
use crate::report::text::reason;
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
            let title = property(&format!("{name}: {}", finding.rule().id()));
            let _ = writeln!(out, "::{command} title={title}::{}", message(&format!("{}{hint}", finding.summary())));
        }
        let verdict = match check.verdict {
            Verdict::Pass => "PASS",
            Verdict::Inconclusive => "INCONCLUSIVE",
            Verdict::Fail => "FAIL",
        };
        let _ = writeln!(out, "{verdict} {}: {}", harmless(name), reason(check));
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
