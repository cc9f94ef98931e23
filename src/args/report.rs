//! Where the report of a check goes, for commands that make one.

use std::path::PathBuf;

use clap::Args;

use crate::config::output::{self, Output};
use crate::config::suggest;

/// Each is a way to say `--report`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReportArgs {
    /// Report to write: text, json, markdown, html, junit or github (annotations), to standard output or to a file. Repeatable; one goes to
    /// standard output [default: text]
    #[arg(long, value_name = "FORMAT[=FILE]", help_heading = "Report", value_parser = suggest::parsed::<Output>(output::formats()), hide_possible_values = true)]
    pub(crate) report: Vec<Output>,

    /// Report format on standard output: the same as --report FORMAT
    #[arg(long, value_name = "FORMAT", help_heading = "Report", value_parser = suggest::parsed::<Output>(output::formats()), hide_possible_values = true)]
    pub(crate) format: Option<Output>,

    /// File for a JUnit report: the same as --report junit=FILE
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) junit: Option<PathBuf>,

    /// File for an HTML report: the same as --report html=FILE
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(crate) html: Option<PathBuf>,

    /// Show the evidence of all findings, and on standard error each phase of the check with its duration
    #[arg(short, long, help_heading = "Report")]
    pub(crate) verbose: bool,

    /// Print only the verdict of each check, and no progress
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Report")]
    pub(crate) quiet: bool,
}
