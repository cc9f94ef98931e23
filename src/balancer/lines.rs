//! Text that grows line by line.

use std::fmt::{Display, Write};

/// Lines, each with its newline.
#[derive(Default)]
pub(crate) struct Lines(pub(crate) String);

impl Lines {
    /// One more; an empty one is not indented.
    pub(crate) fn add(&mut self, indent: usize, line: impl Display) -> &mut Lines {
        let line = line.to_string();
        if line.is_empty() {
            self.0.push('\n');
        } else {
            writeln!(self.0, "{:indent$}{line}", "").expect("a string takes all");
        }
        self
    }

    /// One more, where there is something to say.
    pub(crate) fn maybe(&mut self, indent: usize, line: Option<impl Display>) -> &mut Lines {
        if let Some(line) = line {
            self.add(indent, line);
        }
        self
    }

    /// Adds the lines of another text, indented further.
    pub(crate) fn block(&mut self, indent: usize, lines: &str) -> &mut Lines {
        for line in lines.lines() {
            self.add(indent, line);
        }
        self
    }
}
