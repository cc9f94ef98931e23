//! What was typed: one struct a command, with its help, and nothing else.

pub(crate) mod check;
pub(crate) mod choice;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod fault;
pub(crate) mod fleet;
mod format;
pub(crate) mod healthcheck;
pub(crate) mod location;
pub(crate) mod rehearse;
pub(crate) mod report;
pub(crate) mod send;
pub(crate) mod top;

use clap::{Parser, Subcommand};

pub(crate) use format::Format;

use crate::config::fleet::FleetConfig;

/// See what a load balancer does: backends, each a process of its own, that respond with their number and a fresh UUID.
#[derive(Parser)]
#[command(
    version,
    name = "uuid-generator",
    args_conflicts_with_subcommands = true,
    max_term_width = 110,
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
    #[arg(long, hide = true, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) errors: Format,
}

const LONG_ABOUT: &str = "\
See what a load balancer does.

Without a command it starts the fleet: HTTP backends on localhost ports 9001, 9002 and 9003, each a process of its own. \
Every response is a page with the backend's number and a fresh UUID. Put a load balancer in front and watch the number change; \
kill, pause, drain and start backends from another terminal and watch what it does.";

const AFTER_HELP: &str = "\
Each option can also be set by an environment variable (--ports as UUID_GENERATOR_PORTS, --max-connections as \
UUID_GENERATOR_MAX_CONNECTIONS) or in a TOML file (ports = \"9001-9003\", max-connections = 4096). A flag wins over the \
environment, that over the file, that over the default.

Examples:
  uuid-generator                                     three backends: 9001, 9002, 9003
  uuid-generator --ports 9001-9010,9100 --restart    eleven, restarted when they die
  uuid-generator --host 0.0.0.0 --log json           on all interfaces, the log for programs
  uuid-generator fleet status                        from another terminal: state of all backends
  uuid-generator fleet kill 9002                     kill -9 of one; `fleet start` brings it back
  uuid-generator fault 9002 status 503 10%           10 % of its responses are 503; `fault 9002 clear` ends it
  curl 'http://localhost:9001/?format=json'          all that a backend sees of a request

Exit status: 0 stopped as asked, 1 not healthy (healthcheck), 2 could not run, 130 or 143 stopped at once by a second signal.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// See a real balancer balance: a fleet, the balancer, a first check, and light traffic until CTRL+C
    Demo(Box<demo::DemoArgs>),
    /// Send requests through a balancer, account for every one of them, and give a verdict
    Check(Box<check::CheckArgs>),
    /// Run a balancer with its production configuration, unchanged, in a private copy of this machine, and check it there
    Rehearse(Box<rehearse::RehearseArgs>),
    /// Send a few requests in sequence, and show which backend responded to each
    Send(send::SendArgs),
    /// Write configuration for a balancer in front of the fleet
    Config(Box<config::ConfigArgs>),
    /// Show and change the backends of a running fleet of yours
    Fleet(fleet::FleetArgs),
    /// Inject faults into backends of a running fleet, or clear them
    Fault(fault::FaultArgs),
    /// Watch a running fleet in this terminal, and inject faults with keys
    Top(top::TopArgs),
    /// Ask whether backends are ready: exit status 0 if all are, 1 if not
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Write completions for a shell to standard output
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Write the manual page to standard output
    Man,
}
