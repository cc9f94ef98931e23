//! What a run of checks found, as one value, and its forms: for a terminal, for programs, for CI. A form a file.

mod escape;
#[cfg(test)]
mod example;
mod html;
mod json;
mod junit;
mod markdown;
mod plot;
#[cfg(test)]
mod tests;
mod text;

pub use junit::junit;
pub use text::Style;
use verdict::report::Report;

/// In which form a report is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One screen, for a terminal.
    Text,
    /// For programs.
    Json,
    /// For the summary of a CI job.
    Markdown,
    /// One file, with plots.
    Html,
}

/// Writes a report.
pub fn render(report: &Report, format: Format, style: &Style) -> String {
    match format {
        Format::Text => text::text(report, style),
        Format::Json => json::json(report),
        Format::Markdown => markdown::markdown(report),
        Format::Html => html::html(report),
    }
}
