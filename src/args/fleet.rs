//! `uuid-generator fleet …`.

use clap::{Args, Subcommand};

use super::choice::ChoiceArgs;
use super::format::OutputFormat;
use crate::topology::BackendSelection;

/// Show and change the backends of a running fleet. kill, pause and drain need names of backends, or --all; the others apply by default to
/// all backends for which they make sense
#[derive(Args)]
pub(crate) struct FleetArgs {
    #[command(flatten)]
    pub(crate) fleet: ChoiceArgs,
    #[command(subcommand)]
    pub(crate) command: FleetCommand,
}

#[derive(Args)]
pub(crate) struct BackendArgs {
    /// Names of backends, by default their ports: 9002, 9001-9003,9010, app1
    #[arg(value_name = "BACKENDS")]
    pub(crate) names: Vec<BackendSelection>,

    /// All backends for which the command makes sense
    #[arg(long, conflicts_with = "names")]
    pub(crate) all: bool,
}

#[derive(Subcommand)]
pub(crate) enum FleetCommand {
    /// Show the state of each backend
    Status {
        #[command(flatten)]
        backends: BackendArgs,
        /// Output format
        #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
        format: OutputFormat,
    },
    /// Kill a backend (SIGKILL): its requests in flight are lost, and its port refuses connections
    Kill(BackendArgs),
    /// Pause a backend (SIGSTOP): its port accepts connections, but nothing responds
    Pause(BackendArgs),
    /// Resume a paused backend (SIGCONT)
    Resume(BackendArgs),
    /// Drain a backend: it accepts no new connections, finishes what is in flight, and exits; returns when it is gone
    Drain(BackendArgs),
    /// Start a backend that is gone; returns when it accepts connections
    Start(BackendArgs),
    /// Make readiness respond 503; everything else works on
    Unready(BackendArgs),
    /// Make readiness respond 200 again
    Ready(BackendArgs),
}
