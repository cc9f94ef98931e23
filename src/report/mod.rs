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
use verdict::report::{CheckError, Report};

http::named_enum! {
    /// In which format a report is written.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) enum ReportFormat {
        /// One screen, for a terminal.
        Text => "text",
        /// For programs, with a schema.
        Json => "json",
        /// For the summary of a CI job.
        Markdown => "markdown",
        /// One file, with plots.
        Html => "html",
        /// For CI systems: JUnit's XML.
        Junit => "junit",
        /// Annotations of GitHub Actions.
        Github => "github",
    }

    /// Its name, as it is typed.
    fn name;
}

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

/// A check that could not run, for people: its hint is on a line of its own.
pub(crate) fn describe_error(error: &CheckError) -> String {
    let check = error.check.as_ref().map(|name| format!("check {name}: ")).unwrap_or_default();
    let hint = error.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    crate::escape::harmless_lines(&format!("{check}{}{hint}", error.error))
}
