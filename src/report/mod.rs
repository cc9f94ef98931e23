//! The formats of a report: for a terminal, for programs, for CI. A format a file; the prose of findings is made in `phrases`.

mod escape;
#[cfg(test)]
mod example;
mod github;
pub(crate) mod hints;
mod html;
mod json;
mod junit;
mod markdown;
pub(crate) mod phrases;
mod plot;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use text::{Detail, Style};
use verdict::report::Report;

/// In which format a report is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReportFormat {
    /// One screen, for a terminal.
    Text,
    /// For programs.
    Json,
    /// For the summary of a CI job.
    Markdown,
    /// One file, with plots.
    Html,
    /// For CI systems: JUnit's XML.
    Junit,
    /// Annotations of GitHub Actions.
    Github,
}

impl ReportFormat {
    /// All of them.
    pub(crate) const ALL: [ReportFormat; 6] = [
        ReportFormat::Text,
        ReportFormat::Json,
        ReportFormat::Markdown,
        ReportFormat::Html,
        ReportFormat::Junit,
        ReportFormat::Github,
    ];

    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ReportFormat::Text => "text",
            ReportFormat::Json => "json",
            ReportFormat::Markdown => "markdown",
            ReportFormat::Html => "html",
            ReportFormat::Junit => "junit",
            ReportFormat::Github => "github",
        }
    }
}

/// Writes a report.
pub(crate) fn render(report: &Report, format: ReportFormat, style: &Style) -> String {
    match format {
        ReportFormat::Text => text::text(report, style),
        ReportFormat::Json => json::json(report),
        ReportFormat::Markdown => markdown::markdown(report),
        ReportFormat::Html => html::html(report),
        ReportFormat::Junit => junit::junit(report),
        ReportFormat::Github => github::github(report),
    }
}
