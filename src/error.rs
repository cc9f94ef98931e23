//! Why a command could not do its work: what failed, on what, what a person can do about it, and the exit status. Rooms make these values;
//! `main` alone prints them.

use std::fmt;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use verdict::numbers;
use verdict::report::CheckError;

use crate::wrap::wrapped;

/// Exit status when something keeps the program from doing its work.
pub(crate) const COULD_NOT_RUN: u8 = 2;

/// What failed. It is an [`std::error::Error`], so it travels as [`anyhow::Error`] and keeps its hint.
#[derive(Debug, thiserror::Error)]
#[error("{}{what}", on.as_ref().map(|on| format!("{on}: ")).unwrap_or_default())]
pub(crate) struct Problem {
    /// An option, a file, a URL.
    on: Option<String>,
    what: String,
    hint: Option<String>,
    #[source]
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>) -> Problem {
        Problem { on: None, what: what.into(), hint: None, cause: None }
    }

    /// On what: an option as it was typed, a file, a URL.
    pub(crate) fn on(self, on: impl fmt::Display) -> Problem {
        Problem { on: Some(on.to_string()), ..self }
    }

    /// Part of a larger thing, such as a check of several.
    pub(crate) fn within(self, place: impl fmt::Display) -> Problem {
        let on = match self.on {
            Some(on) => format!("{place}: {on}"),
            None => place.to_string(),
        };
        Problem { on: Some(on), ..self }
    }

    /// What a person can do about it: one line.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Problem {
        Problem { hint: Some(hint.into()), ..self }
    }

    /// What a person can do about it.
    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What another process of this program reported on its standard error: see [`describe_for_programs`].
    pub(crate) fn of_process(stderr: &[u8]) -> Problem {
        let text = String::from_utf8_lossy(stderr);
        let described = text.lines().rev().find_map(|line| serde_json::from_str::<ErrorDescription>(line).ok());
        let problem = match described {
            Some(ErrorDescription { error, hint }) => Problem { hint, ..Problem::new(error) },
            None => Problem::new(text.trim()),
        };
        if problem.what.is_empty() { Problem::new("a process of this program ended without a reason") } else { problem }
    }
}

/// Somebody ended a command before it had its result. No fault of anybody's, and no result either.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("stopped after {}; nothing is judged{left}", numbers::count_of(*requests, "request"))]
pub(crate) struct Interrupted {
    /// The exit status: 128 and the number of the signal, as shells have it.
    pub(crate) status: u8,
    /// Requests that were sent before the interrupt.
    pub(crate) requests: u64,
    /// What it leaves changed and how to undo that, on lines of their own.
    pub(crate) left: String,
}

impl Interrupted {
    /// Nothing is left changed.
    pub(crate) fn new(status: u8, requests: u64) -> Interrupted {
        Interrupted { status, requests, left: String::new() }
    }
}

/// An error as another process reads it.
#[derive(Serialize, Deserialize)]
struct ErrorDescription {
    error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

fn describe(error: &anyhow::Error) -> ErrorDescription {
    // The hint nearest to the cause knows most.
    let hint = error.chain().filter_map(|error| error.downcast_ref::<Problem>()?.hint.clone()).last();
    ErrorDescription { error: format!("{error:#}"), hint }
}

/// For a report: what failed, on what, and the hint.
pub(crate) fn describe_for_report(error: &anyhow::Error, check: Option<String>) -> CheckError {
    let ErrorDescription { error, hint } = describe(error);
    CheckError { check, error, hint }
}

/// One line of JSON, for [`Problem::of_process`].
pub(crate) fn describe_for_programs(error: &anyhow::Error) -> String {
    serde_json::to_string(&describe(error)).unwrap_or_default()
}

/// What and the hint, for people who read it where it is plain that it is an error.
pub(crate) fn describe_for_page(error: &anyhow::Error) -> String {
    let ErrorDescription { error, hint } = describe(error);
    error + &hint.map(|hint| format!("\n  hint: {hint}")).unwrap_or_default()
}

/// `error: …` and `hint: …`, for people.
pub(crate) fn describe_for_people(error: &anyhow::Error) -> String {
    if error.is::<Interrupted>() { error.to_string() } else { format!("error: {}", describe_for_page(error)) }
}

/// Describes an error on lines of a terminal's width.
pub(crate) fn describe_for_terminal(error: &anyhow::Error, width: usize) -> String {
    let text = describe_for_people(error);
    let lines = text.lines().map(|line| match line.split_once(": ") {
        Some((label @ ("error" | "  hint"), text)) => wrapped(&format!("{label}: "), text, width),
        _ => wrapped("", line, width),
    });
    lines.collect::<String>().trim_end().to_owned()
}

/// 2, but for who was interrupted.
pub(crate) fn exit_status(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Interrupted>() {
        Some(Interrupted { status, .. }) => ExitCode::from(*status),
        None => ExitCode::from(COULD_NOT_RUN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_terminal_gets_lines_of_its_width_and_the_same_words() {
        let problem = Problem::new("no URL").hint("give the URL of the balancer, or tables [[check]] in the file");
        let error = anyhow::Error::from(problem);
        let text = describe_for_terminal(&error, 40);
        assert_eq!(
            text,
            "error: no URL\n  hint: give the URL of the balancer, or\n        tables [[check]] in the file"
        );
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&text), words(&describe_for_people(&error)));
    }

    fn failed() -> anyhow::Result<()> {
        Err(Problem::new("expected a number").on("--rate x").hint("such as 100"))?;
        Ok(())
    }

    #[test]
    fn an_error_names_what_on_what_and_the_hint_once_whatever_is_around_it() {
        let error = failed().context("check a").unwrap_err();
        let expected = "error: check a: --rate x: expected a number\n  hint: such as 100";
        assert_eq!(describe_for_people(&error), expected);
    }

    #[test]
    fn an_error_of_another_process_is_the_same_error_here() {
        let line = describe_for_programs(&failed().unwrap_err());
        let error: anyhow::Error = Problem::of_process(format!("a warning\n{line}\n").as_bytes()).into();
        assert_eq!(describe_for_people(&error), "error: --rate x: expected a number\n  hint: such as 100");
        let error: anyhow::Error = Problem::of_process(b"thread panicked").into();
        assert_eq!(describe_for_people(&error), "error: thread panicked");
    }

    #[test]
    fn who_is_stopped_gets_one_line_and_the_status_of_the_signal() {
        let error = anyhow::Error::from(Interrupted::new(130, 1240));
        assert_eq!(describe_for_people(&error), "stopped after 1,240 requests; nothing is judged");
        assert_eq!(exit_status(&error), ExitCode::from(130));
        assert_eq!(exit_status(&failed().unwrap_err()), ExitCode::from(2));
    }
}
