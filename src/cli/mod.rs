//! What was typed, and what it means; it joins the parts that do not know each other.

mod balancing;
mod check;
mod config;
mod demo;
mod faults;
mod health;
mod members;
mod send;
mod settings;
mod stage;
mod top;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};
use tokio::runtime::{Builder, LocalRuntime};

use crate::{backend, balancer, fleet};
use settings::Settings;

/// Exit status when something keeps the program from doing its work.
pub const COULD_NOT_RUN: u8 = 2;

/// See what a load balancer does: backends, each a process of its own, that answer with their number and a fresh UUID.
#[derive(Parser)]
#[command(
    version,
    name = "uuid-generator",
    args_conflicts_with_subcommands = true,
    max_term_width = 110,
    long_about = LONG_ABOUT,
    after_long_help = AFTER_HELP
)]
struct Typed {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
    /// A check that starts a fleet takes it along when it is killed.
    #[arg(long, hide = true)]
    end_with_parent: bool,
}

const LONG_ABOUT: &str = "\
See what a load balancer does.

Without a command it starts the fleet: HTTP backends on localhost ports 9001, 9002 and 9003, each a process of its own. \
Every answer is a page with the backend's number and a fresh UUID. Put a load balancer in front and watch the number change; \
kill, pause, drain and start backends from another terminal and watch what it does.";

const AFTER_HELP: &str = "\
Each option can also be set by an environment variable (--ports as UUID_GENERATOR_PORTS, --max-connections as \
UUID_GENERATOR_MAX_CONNECTIONS) or in a TOML file (ports = \"9001-9003\", max-connections = 4096). A flag wins over the \
environment, that over the file, that over the default.

Examples:
  uuid-generator                                     three backends: 9001, 9002, 9003
  uuid-generator --ports 9001-9010,9100 --restart    eleven, started again when they die
  uuid-generator --host 0.0.0.0 --log json           on all interfaces, the log for programs
  uuid-generator fleet status                        from another terminal: what they do
  uuid-generator fleet kill 9002                     kill -9 of one; `fleet start` brings it back
  uuid-generator fault 9002 status 503 10%           a tenth of its answers are 503; `fault 9002 clear` ends it
  curl 'http://localhost:9001/?format=json'          all that a backend sees of a request

Exit status: 0 stopped as asked, 1 not healthy (healthcheck), 2 could not run, 130 or 143 stopped at once by a second signal.";

#[derive(Subcommand)]
enum Command {
    /// See a real balancer balance: a fleet, the balancer, a first check, and light traffic until CTRL+C
    Demo(Box<demo::Typed>),
    /// Send requests through a balancer, account for every one of them, and give a verdict
    Check(Box<check::Typed>),
    /// Send a few requests, one after the other, and show who answered each
    Send(send::Typed),
    /// Write configuration for a balancer in front of the fleet
    Config(Box<config::Typed>),
    /// See and change the members of a running fleet of yours
    Fleet(members::Typed),
    /// Make backends of a running fleet misbehave, or behave again
    Fault(faults::Typed),
    /// Watch a running fleet in this terminal, and break it by keys
    Top(top::Typed),
    /// Ask whether backends are ready: exit status 0 if all are, 1 if not
    Healthcheck(health::Typed),
    /// Write completions for a shell to standard output
    Completions {
        /// Which one
        shell: clap_complete::Shell,
    },
    /// Write the manual page to standard output
    Man,
}

/// Does what was typed.
pub fn main() -> Result<ExitCode> {
    // A fleet starts its backends with this word. They have no command line to read and no time to lose.
    if std::env::args_os().nth(1).is_some_and(|word| word == "backend") {
        return backend::run().map(|()| ExitCode::SUCCESS);
    }
    if let Some(result) = balancer::guard::run_as_told() {
        return result;
    }
    let Typed { command, settings, end_with_parent } = Typed::parse();
    if end_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    match command {
        None => {
            let plan = settings.complete()?.plan()?;
            runtime()?.block_on(fleet::run(plan))
        }
        Some(Command::Demo(typed)) => runtime()?.block_on(typed.run()),
        Some(Command::Check(typed)) => {
            let runtime = runtime()?;
            let ended = runtime.block_on(typed.run());
            // Requests that are waited for on other threads do not hold up the end of a check that was stopped.
            runtime.shutdown_background();
            ended
        }
        Some(Command::Send(typed)) => typed.run(),
        Some(Command::Config(typed)) => typed.run(),
        Some(Command::Fleet(typed)) => runtime()?.block_on(typed.run()),
        Some(Command::Top(typed)) => runtime()?.block_on(typed.run()),
        Some(Command::Fault(typed)) => runtime()?.block_on(typed.run()),
        Some(Command::Healthcheck(typed)) => runtime()?.block_on(typed.run()),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Typed::command(), "uuid-generator", &mut script);
            show(&script)
        }
        Some(Command::Man) => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Typed::command()).render(&mut page).context("failed to write the page")?;
            show(&page)
        }
    }
}

/// Writes to standard output. Who reads no further, such as `head`, has seen enough.
fn show(text: &[u8]) -> Result<ExitCode> {
    let mut output = io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("failed to write to standard output")
        }
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

fn runtime() -> Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(Default::default()).context("failed to start the runtime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Typed::command().debug_assert();
    }
}
