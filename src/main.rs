//! Parse, dispatch, show the error, exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    uuid_generator::cli::main().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        uuid_generator::cli::COULD_NOT_RUN.into()
    })
}
