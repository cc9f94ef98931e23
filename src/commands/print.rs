//! Results, on standard output.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::escape::{ascii, is_ascii_locale};

/// Text for people, with our own signs in ASCII where the locale has no others.
pub(super) fn in_locale(text: String) -> String {
    if is_ascii_locale() { ascii(&text) } else { text }
}

/// Writes to standard output. A reader that stops early, such as `head`, is no error.
pub(super) fn print(text: &[u8]) -> Result<ExitCode> {
    let mut output = io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("failed to write to standard output")
        }
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}
