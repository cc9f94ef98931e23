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
mod wrap;

pub(crate) use text::{Detail, Style};
use verdict::report::Report;

/// In which format a report is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
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

impl Format {
    /// All of them.
    pub(crate) const ALL: [Format; 6] =
        [Format::Text, Format::Json, Format::Markdown, Format::Html, Format::Junit, Format::Github];

    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Json => "json",
            Format::Markdown => "markdown",
            Format::Html => "html",
            Format::Junit => "junit",
            Format::Github => "github",
        }
    }
}

/// Writes a report.
pub(crate) fn render(report: &Report, format: Format, style: &Style) -> String {
    match format {
        Format::Text => text::text(report, style),
        Format::Json => json::json(report),
        Format::Markdown => markdown::markdown(report),
        Format::Html => html::html(report),
        Format::Junit => junit::junit(report),
        Format::Github => github::github(report),
    }
}
