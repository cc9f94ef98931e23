//! PURE. A report for programs; its shape is `schemas/report-v1.json`.

use crate::check::report::Report;

/// With line breaks, so that it can be read too.
pub fn json(report: &Report) -> String {
    let text = serde_json::to_string_pretty(report).expect("a report holds nothing that JSON cannot say");
    text + "\n"
}
