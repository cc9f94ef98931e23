//! Reports of a command that checks: which it writes, also if it cannot check anything, and its exit status.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::print::{in_locale, print};
use crate::args::report::ReportArgs;
use crate::check::report_of_error;
use crate::config::output::{self, Output};
use crate::error::{COULD_NOT_RUN, Interrupted, Problem};
use crate::report::{Detail, ReportFormat, Style, describe_error, render};
use verdict::report::{Report, Verdict};

/// Exit status of a check that fails.
const FAILED: u8 = 1;
/// Exit status of a check that is inconclusive.
const INCONCLUSIVE: u8 = 3;

/// Has the reports say why a command could not check anything, or was stopped: whoever reads them finds neither nothing nor an older result.
pub(super) fn with_reports<T>(args: &ReportArgs, is_dry: bool, result: Result<T>) -> Result<T> {
    result.inspect_err(|error| {
        if let Ok(mut outputs) = outputs(args)
            && !is_dry
        {
            // Who stops a command reads one line, and no report.
            outputs.retain(|output| output.file.is_some() || !error.is::<Interrupted>());
            // The error is what counts, also where it is that a file cannot be written.
            let _ = write(&report_of_error(error), &outputs, detail(args));
        }
    })
}

/// What a verdict is to whoever waits for this process. That a check could not run comes before what the others found.
pub(super) fn status(report: &Report) -> ExitCode {
    if !report.errors.is_empty() {
        return ExitCode::from(COULD_NOT_RUN);
    }
    ExitCode::from(match report.verdict {
        Verdict::Pass => 0,
        Verdict::Fail => FAILED,
        Verdict::Inconclusive => INCONCLUSIVE,
    })
}

pub(super) fn outputs(args: &ReportArgs) -> Result<Vec<Output>, Problem> {
    let file = |format: ReportFormat, file: &Option<_>| file.clone().map(|file| Output { format, file: Some(file) });
    let short = [args.format.clone(), file(ReportFormat::Junit, &args.junit), file(ReportFormat::Html, &args.html)];
    output::resolve(args.report.iter().cloned().chain(short.into_iter().flatten()))
}

/// How much the report and the progress show.
pub(super) fn detail(args: &ReportArgs) -> Detail {
    match (args.quiet, args.verbose) {
        (true, _) => Detail::Quiet,
        (false, true) => Detail::Verbose,
        (false, false) => Detail::Usual,
    }
}

pub(super) fn write(report: &Report, outputs: &[Output], detail: Detail) -> Result<()> {
    // What goes to the terminal is last, and is there whatever becomes of the files.
    let mut written = Ok(());
    for output in outputs {
        match &output.file {
            Some(file) => {
                let style = Style { detail, ..Style::of_terminal(false) };
                let text = render(report, output.format, &style);
                let result = std::fs::write(file, text).with_context(|| format!("failed to write {}", file.display()));
                written = written.and(result);
            }
            None if output.format == ReportFormat::Text && is_of_command(report) => {}
            None => {
                if output.format != ReportFormat::Text && !is_of_command(report) {
                    report.errors.iter().for_each(|error| eprintln!("error: {}", describe_error(error)));
                }
                let style = Style { detail, ..Style::of_terminal(std::io::stdout().is_terminal()) };
                let text = render(report, output.format, &style);
                print(if output.format == ReportFormat::Text { in_locale(text) } else { text }.as_bytes())?;
            }
        }
    }
    written
}

/// Whether it has the error of the whole command, which is printed where errors are.
fn is_of_command(report: &Report) -> bool {
    report.errors.iter().any(|error| error.check.is_none())
}
