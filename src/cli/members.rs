//! `uuid-generator fleet …`: what the members of a running fleet do, and what is done to them.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use crate::remote::Remote;
use crate::topology::Ports;
use crate::wire::{Action, Fault, FleetStatus, MemberState};

/// See and change the members of a running fleet of yours. Without ports, all members to which it applies are meant.
#[derive(Args)]
pub struct Typed {
    /// The process id of the fleet's supervisor, when more than one fleet of yours runs
    #[arg(long, global = true, value_name = "PID")]
    fleet: Option<u32>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Members {
    /// Ports of the members, such as 9002 or 9001-9003,9010
    #[arg(value_name = "PORTS")]
    ports: Vec<Ports>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Show what each member does
    Status {
        #[command(flatten)]
        members: Members,
        /// For a person or for a program
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Kill (SIGKILL): gone at once, whatever is in flight; the port refuses connections
    Kill(Members),
    /// Pause (SIGSTOP): the port takes connections, nobody answers
    Pause(Members),
    /// Let a paused member go on (SIGCONT)
    Resume(Members),
    /// End gracefully: accept nothing more, answer what is in flight; returns when it is gone
    Drain(Members),
    /// Start a member that is gone; returns when it accepts connections
    Start(Members),
    /// Let readiness answer 503: everything else goes on
    Unready(Members),
    /// Let readiness answer 200 again
    Ready(Members),
}

/// A fleet may be told to drain with any grace; it answers when all are gone.
const PATIENCE: Duration = Duration::from_secs(3600);

impl Typed {
    /// Does it and shows the members.
    pub async fn run(self) -> Result<ExitCode> {
        let (action, members, format) = match self.command {
            Command::Status { members, format } => (None, members, format),
            Command::Kill(members) => (Some(Action::Kill), members, Format::Text),
            Command::Pause(members) => (Some(Action::Pause), members, Format::Text),
            Command::Resume(members) => (Some(Action::Resume), members, Format::Text),
            Command::Drain(members) => (Some(Action::Drain), members, Format::Text),
            Command::Start(members) => (Some(Action::Start), members, Format::Text),
            Command::Unready(members) => (Some(Action::Unready), members, Format::Text),
            Command::Ready(members) => (Some(Action::Ready), members, Format::Text),
        };
        let wanted = Ports::concat(members.ports).meant().map_err(anyhow::Error::msg)?;
        let remote = Remote::find(self.fleet, &wanted)?;
        let mut status = match action {
            None => remote.status().await?,
            Some(action) => remote.act(action, &wanted, PATIENCE).await?,
        };
        if action.is_none() && !wanted.is_empty() {
            let known = |generator| status.members.iter().any(|member| member.generator == generator);
            if let Some(unknown) = wanted.iter().find(|wanted| !known(**wanted)) {
                anyhow::bail!("this fleet has no backend {unknown}");
            }
            status.members.retain(|member| wanted.contains(&member.generator));
        }
        super::show(
            match format {
                Format::Text => table(&status),
                Format::Json => format!("{}\n", serde_json::to_string_pretty(&status)?),
            }
            .as_bytes(),
        )
    }
}

/// What each member does, for a person.
pub fn table(status: &FleetStatus) -> String {
    let mut table = format!("fleet {} · API {}\n\n", status.pid, status.control);
    let _ = writeln!(table, "BACKEND  STATE     PID      ATTEMPTS  IN FLIGHT  RESTARTS");
    for member in &status.members {
        let pid = member.pid.map_or("-".to_owned(), |pid| pid.to_string());
        let _ = write!(
            table,
            "{:<7}  {:<8}  {pid:<7}  {:>8}  {:>9}  {:>8}",
            member.generator.to_string(),
            member.state,
            member.attempts,
            member.in_flight,
            member.restarts
        );
        if let (MemberState::Gone, Some(end)) = (member.state, &member.last_end) {
            let _ = write!(table, "  {end}");
        }
        if member.lost > 0 {
            let _ = write!(table, "  {} records lost", member.lost);
        }
        if !member.faults.is_empty() {
            let faults: Vec<String> = member.faults.iter().map(Fault::to_string).collect();
            let _ = write!(table, "  {}", faults.join(", "));
        }
        table.push('\n');
    }
    table
}
