//! See and prove what a load balancer does.
//!
//! # Layout
//!
//! In the order of a request's journey, the module boundary being the process boundary:
//!
//! - `args`: what was typed; `config`: what it means; `commands`: each command, from both to the rooms below; `testbed`: a fleet with a
//!   balancer in front of it, for as long as a command needs them
//! - [`fleet`]: the supervisor process, which starts and watches the backends
//! - [`backend`]: each backend process, which answers and records
//! - [`check`]: drives requests through a balancer, joins both ends of each, judges
//! - [`top`]: the live view in a terminal; that in a browser is served by the fleet
//! - [`balancer`]: configuration for the balancer in front of them
//! - below them: [`topology`] (who is in the fleet), [`journal`] (what a backend recorded), [`runfile`] (where a running fleet is),
//!   [`remote`] (how another process speaks to it), [`io`] (how a descriptor waits, and what time it is), `numbers` (as people read them), and [`wire`] (what crosses a process)

mod args;
pub mod backend;
pub mod balancer;
pub mod check;
mod commands;
mod config;
mod error;
mod escape;
pub mod fleet;
pub mod io;
pub mod journal;
pub mod remote;
pub mod report;
pub mod runfile;
mod testbed;
pub mod top;
pub mod topology;
pub mod wire;

use std::process::ExitCode;

/// Parse, dispatch, show the error, exit status.
pub fn main() -> ExitCode {
    // A fleet starts its backends with this word. They have no command line to read and no time to lose.
    if std::env::args_os().nth(1).is_some_and(|word| word == "backend") {
        return end(backend::run().map(|()| ExitCode::SUCCESS), args::Format::Text);
    }
    if let Some(result) = balancer::guard::run_as_told() {
        return end(result, args::Format::Text);
    }
    let args = <args::Args as clap::Parser>::parse();
    let errors = args.errors;
    end(commands::run(args), errors)
}

fn end(result: anyhow::Result<ExitCode>, errors: args::Format) -> ExitCode {
    result.unwrap_or_else(|error| {
        let text = match errors {
            args::Format::Text => error::describe_for_people(&error),
            args::Format::Json => error::describe_for_programs(&error),
        };
        eprintln!("{text}");
        error::exit_status(&error)
    })
}
