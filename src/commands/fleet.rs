//! `fleet`: the state of the backends of a running fleet, and actions on them.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use super::backends::table;
use super::choice::choice;
use super::print::print;
use crate::args::OutputFormat;
use crate::args::fleet::{FleetArgs, FleetCommand};
use crate::error::Problem;
use crate::topology::{BackendSelection, no_such_backend};
use crate::wire::Action;

/// A drain takes as long as the fleet's grace; the API responds when all are gone.
const DRAIN_TIME: Duration = Duration::from_secs(3600);
/// New processes on a busy machine.
const START_TIME: Duration = Duration::from_secs(60);
/// What is done by a signal.
const SIGNAL_TIME: Duration = Duration::from_secs(8);

/// Does it and shows the backends.
pub(super) async fn run(args: FleetArgs) -> Result<ExitCode> {
    let (action, backends, format) = match args.command {
        FleetCommand::Status { backends, format } => (None, backends, format),
        FleetCommand::Kill(backends) => (Some(Action::Kill), backends, OutputFormat::Text),
        FleetCommand::Pause(backends) => (Some(Action::Pause), backends, OutputFormat::Text),
        FleetCommand::Resume(backends) => (Some(Action::Resume), backends, OutputFormat::Text),
        FleetCommand::Drain(backends) => (Some(Action::Drain), backends, OutputFormat::Text),
        FleetCommand::Start(backends) => (Some(Action::Start), backends, OutputFormat::Text),
        FleetCommand::Unready(backends) => (Some(Action::Unready), backends, OutputFormat::Text),
        FleetCommand::Ready(backends) => (Some(Action::Ready), backends, OutputFormat::Text),
    };
    if let (Some(name), true) = (action.and_then(takes_away), backends.names.is_empty() && !backends.all) {
        return Err(Problem::new(format!("fleet {name}: which backends?"))
            .hint(format!("name them, such as fleet {name} 9002, or say --all")))?;
    }
    let wanted: Vec<String> = backends.names.into_iter().flat_map(|BackendSelection(names)| names).collect();
    let remote = choice(&args.fleet)?.find(&wanted)?;
    let mut status = match action {
        None => remote.status().await?,
        Some(action) => remote.act(action, &wanted, time_for(action)).await?,
    };
    if action.is_none() && !wanted.is_empty() {
        let known = |name: &String| status.backends.iter().any(|backend| backend.name == *name);
        if let Some(unknown) = wanted.iter().find(|wanted| !known(wanted)) {
            let names = status.backends.iter().map(|backend| backend.name.as_str());
            return Err(Problem::new(no_such_backend(std::slice::from_ref(unknown), names)))?;
        }
        status.backends.retain(|backend| wanted.contains(&backend.name));
    }
    let text = match format {
        OutputFormat::Text => table(&status),
        OutputFormat::Json => format!("{}\n", serde_json::to_string_pretty(&status)?),
    };
    print(text.as_bytes())
}

/// What one forgotten word would do to the whole fleet, by its name.
fn takes_away(action: Action) -> Option<&'static str> {
    match action {
        Action::Kill => Some("kill"),
        Action::Pause => Some("pause"),
        Action::Drain => Some("drain"),
        Action::Resume | Action::Start | Action::Ready | Action::Unready => None,
    }
}

fn time_for(action: Action) -> Duration {
    match action {
        Action::Drain => DRAIN_TIME,
        Action::Start => START_TIME,
        Action::Kill | Action::Pause | Action::Resume | Action::Ready | Action::Unready => SIGNAL_TIME,
    }
}
