//! See and prove what a load balancer does.
//!
//! # Layout
//!
//! In the order of a request's journey, the module boundary being the process boundary:
//!
//! - `args`: what was typed; `config`: what it means; `commands`: each command, from both to the rooms below; `stack`: a fleet with a
//!   balancer in front of it, for as long as a command needs them
//! - `fleet`: the supervisor process, which starts and watches the backends
//! - `backend`: each backend process, which answers and records
//! - `check`: drives requests through a balancer, joins both ends of each, judges
//! - `rehearse`: a balancer with its production configuration in a world of its own
//! - `balancer`: configuration for the balancer in front of them; `report`: what a check found, in each format
//! - `top`: the live view in a terminal; that in a browser is served by the fleet, that of several fleets by `view`
//! - below them: `topology` (who is in the fleet), `fleets` (several as one), `journal` (what a backend recorded), `runfile` (where a
//!   running fleet is), `remote` (how another process speaks to it), `io` (how a descriptor waits, and what time it is), `platform`
//!   (what operating systems do each in their own way), `wire` (what crosses a process), `error`, `escape` and `wrap` (texts)

mod args;
mod backend;
mod balancer;
mod check;
mod commands;
mod config;
mod error;
mod escape;
mod fleet;
mod fleets;
mod io;
mod journal;
mod platform;
mod rehearse;
mod remote;
mod report;
mod runfile;
mod stack;
mod top;
mod topology;
mod view;
mod wire;
mod wrap;

use std::process::ExitCode;

/// What the benches measure of the program's inside.
#[doc(hidden)]
pub mod testing {
    use std::net::SocketAddr;
    use std::time::Duration;

    use anyhow::{Result, ensure};
    use verdict::observation::ClientOutcome;

    use crate::check::collecting::{self, RecordLoad};
    use crate::check::load::{BackendNames, Load, LoadProgress, LoadTarget, drive};

    /// The processor's time that the collector of a check takes for a record: of that number of hosts, with as many backends each as
    /// said, which give records at that rate together, per second. An error unless each arrives exactly once.
    pub fn cost_of_a_record(hosts: u64, backends: u16, rate: u64, seconds: u64) -> Result<Duration> {
        collecting::cost_of_a_record(RecordLoad { hosts, backends, rate, seconds })
    }

    /// Drives requests to a backend for that time, over HTTP/2 with a number of streams on each connection, or else over HTTP/1; how many there
    /// were. An error if one of them was not answered well.
    pub fn drive_backend(
        backend: SocketAddr,
        connections: usize,
        streams: Option<usize>,
        duration: Duration,
    ) -> Result<usize> {
        let target = LoadTarget { http2: streams.is_some(), ..LoadTarget::new(backend, backend.to_string(), "/uuid") };
        let streams = streams.unwrap_or(1);
        let load = Load { connections, streams, duration: Some(duration), ..Load::new(target, 1) };
        let name = backend.port().to_string();
        let traffic = drive(&load, &mut BackendNames::new(vec![name]), &LoadProgress::default())?;
        let is_good =
            |it: &&verdict::observation::Observation| it.outcome == ClientOutcome::Response && it.status == 200;
        let good = traffic.observations.iter().filter(is_good).count();
        ensure!(good == traffic.observations.len(), "unexpected responses: {:?}", traffic.samples);
        Ok(good)
    }
}

/// Parse, dispatch, show the error, exit status.
pub fn main() -> ExitCode {
    // A fleet starts its backends with this word. They have no command line to read and no time to lose.
    if std::env::args_os().nth(1).is_some_and(|word| word == "backend") {
        return end(backend::run().map(|()| ExitCode::SUCCESS), args::OutputFormat::Text);
    }
    run_command()
}

/// Apart from `main`: its stack has tens of kilobytes, which each backend would keep for good.
#[inline(never)]
fn run_command() -> ExitCode {
    if let Some(result) = balancer::run::guard::run_as_told() {
        return end(result, args::OutputFormat::Text);
    }
    if let Some(result) = world::run_stage() {
        return end(result.map_err(rehearse::explain), args::OutputFormat::Text);
    }
    let args = args::Args::read();
    let errors = args.errors;
    end(commands::run(args), errors)
}

fn end(result: anyhow::Result<ExitCode>, errors: args::OutputFormat) -> ExitCode {
    result.unwrap_or_else(|error| {
        let text = match errors {
            args::OutputFormat::Text if std::io::IsTerminal::is_terminal(&std::io::stderr()) => {
                escape::harmless_lines(&error::describe_for_terminal(&error, wrap::columns()))
            }
            args::OutputFormat::Text => escape::harmless_lines(&error::describe_for_people(&error)),
            args::OutputFormat::Json => error::describe_for_programs(&error),
        };
        eprintln!("{text}");
        error::exit_status(&error)
    })
}
