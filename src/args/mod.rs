//! What was typed: one struct a command, with its help, and nothing else.

pub(crate) mod check;
pub(crate) mod choice;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod fault;
pub(crate) mod fleet;
mod format;
pub(crate) mod healthcheck;
pub(crate) mod init;
pub(crate) mod location;
pub(crate) mod rehearse;
pub(crate) mod report;
pub(crate) mod send;
mod short;
pub(crate) mod top;
pub(crate) mod view;

use std::error::Error;
use std::net::AddrParseError;
use std::num::ParseIntError;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use format::OutputFormat;

use crate::config::fleet::FleetConfig;

/// See and prove what a load balancer does. No command: start HTTP backends
#[derive(Parser)]
#[command(
    version,
    name = "uuid-generator",
    bin_name = "uuid-generator",
    args_conflicts_with_subcommands = true,
    max_term_width = 80,
    long_about = LONG_ABOUT,
    after_long_help = AFTER_HELP
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) fleet: FleetConfig,
    /// End with the process that started this one, which has this id
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) end_with_parent: Option<u32>,
    /// Network namespace in which backends listen on addresses that are not this network's own
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) network: Option<std::path::PathBuf>,
    /// How an error is written: for people, or for the process of this program that started this one
    #[arg(long, hide = true, global = true, value_enum, default_value_t = OutputFormat::Text)]
    pub(crate) errors: OutputFormat,
}

impl Args {
    /// What was typed, or help, or what is wrong with it.
    pub(crate) fn read() -> Args {
        let command = with_negative_values(Args::command());
        let command = if short::is_asked(std::env::args_os().skip(1)) { short::short(command) } else { command };
        let matches = command.try_get_matches().unwrap_or_else(|error| naming_the_fleet(plainly(error)).exit());
        Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// `--rate -5` is a value that is too small, not an option `-5` that nobody knows.
fn with_negative_values(command: clap::Command) -> clap::Command {
    let takes_one = |argument: &clap::Arg| argument.get_action().takes_values() && !argument.is_positional();
    command
        .mut_subcommands(with_negative_values)
        .mut_args(|argument| if takes_one(&argument) { argument.allow_negative_numbers(true) } else { argument })
}

/// An option of the fleet that is typed after a command: clap would suggest whatever begins alike.
fn naming_the_fleet(mut error: clap::Error) -> clap::Error {
    let typed = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(typed)) if error.kind() == ErrorKind::UnknownArgument => typed.clone(),
        _ => return error,
    };
    let is_of_fleet = |argument: &clap::Arg| {
        !argument.is_hide_set() && typed == format!("--{}", argument.get_id().as_str().replace('_', "-"))
    };
    if Args::command().get_arguments().any(is_of_fleet) {
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::Usage);
        let tip = format!(
            "'{typed}' is an option of a fleet: start it by itself, 'uuid-generator {typed} …', and leave the option out here"
        );
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Says what is expected where the standard library only says what a digit or an address is not.
fn plainly(error: clap::Error) -> clap::Error {
    let Some(why) = error.source() else { return error };
    let expected = if why.is::<ParseIntError>() {
        "a whole number"
    } else if why.is::<AddrParseError>() {
        "an address with a port, such as 127.0.0.1:9000"
    } else {
        return error;
    };
    let (Some(argument), Some(value)) = (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    else {
        return error;
    };
    let message = format!(
        "invalid value '{value}' for '{argument}': expected {expected}\n\nFor more information, try '--help'.\n"
    );
    clap::Error::raw(ErrorKind::ValueValidation, message)
}

const LONG_ABOUT: &str = "\
See and prove what a load balancer does.

Without a command, it starts a fleet: HTTP backends on localhost ports 9001, 9002 and 9003, each in its own process. \
Every response is a page with the backend's number and a fresh UUID. Put a load balancer in front and watch the number change; \
kill, pause, drain and start backends from another terminal, and watch what the balancer does.";

const AFTER_HELP: &str = "\
Each option can also be set by an environment variable (--ports as UUID_GENERATOR_PORTS, --max-connections as \
UUID_GENERATOR_MAX_CONNECTIONS) or in a TOML file (ports = \"9001-9003\", max-connections = 4096). Flags win over the \
environment, and that over the file.

Examples:
  Start three backends: 9001, 9002, 9003
    uuid-generator
  Start eleven, and restart those that die
    uuid-generator --ports 9001-9010,9100 --restart
  From another terminal, kill one and start it again
    uuid-generator fleet kill 9002
    uuid-generator fleet start 9002
  Make it fail 10 % of its requests, and end that
    uuid-generator fault 9002 status 503 10%
    uuid-generator fault 9002 clear
  See everything that a backend sees of a request
    curl 'http://localhost:9001/?format=json'

Exit status: 0 stopped as asked, 1 not healthy (healthcheck), 2 could not run, 130 or 143 stopped at once by a second signal.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// See a real balancer balance: a fleet, a balancer, traffic
    Demo(Box<demo::DemoArgs>),
    /// Send requests through a balancer and give a verdict
    Check(Box<check::CheckArgs>),
    /// Test a production configuration, unchanged, before it goes live
    Rehearse(Box<rehearse::RehearseArgs>),
    /// Send a few requests and show which backend responded to each
    Send(send::SendArgs),
    /// Write configuration for a balancer in front of the fleet
    Config(Box<config::ConfigArgs>),
    /// Show, kill, pause, drain and start backends of a running fleet
    Fleet(fleet::FleetArgs),
    /// Inject faults into backends of a running fleet
    Fault(fault::FaultArgs),
    /// Watch running fleets in this terminal
    Top(top::TopArgs),
    /// Show several fleets in one live view
    View(view::ViewArgs),
    /// Ask whether backends are ready
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Write a commented uuid-generator.toml to start from
    Init(init::InitArgs),
    /// Write completions for a shell to standard output
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Write a manual page to standard output
    Man {
        /// Command whose page to write, such as check, or fleet kill [default: the program]
        command: Vec<String>,
    },
}
