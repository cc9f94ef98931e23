//! Everything that keeps a fleet from starting, at once.

use std::fmt;

/// Everything that keeps a fleet from starting. Nothing was started, or it has been ended again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StartError {
    /// What fails, each on what and why.
    pub(crate) problems: Vec<String>,
    /// What the user may try.
    pub(crate) hints: Vec<String>,
    /// Ports of backends that are in use.
    pub(crate) taken: Vec<u16>,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to start the fleet; nothing is left running")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        for hint in &self.hints {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for StartError {}

impl StartError {
    pub(crate) fn new() -> StartError {
        StartError { problems: Vec::new(), hints: Vec::new(), taken: Vec::new() }
    }

    pub(crate) fn add(&mut self, problem: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(problem.into());
        let hint = hint.into();
        if !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
    }
}
