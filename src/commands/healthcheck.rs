//! `healthcheck`: for images without curl.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use hyper::Uri;

use super::choice::choice;
use crate::args::healthcheck::HealthcheckArgs;
use crate::config::fleet::FleetConfig;
use crate::error::Problem;
use crate::remote::{FleetChoice, FleetSearch, Which, search, status_of};
use crate::topology::Ports;
use crate::wire::{BackendState, FleetStatus, READINESS_PATHS};

const PATIENCE: Duration = Duration::from_secs(2);
const NOT_HEALTHY: u8 = 1;

/// Asks, and names what is not healthy.
pub(super) async fn run(args: HealthcheckArgs) -> Result<ExitCode> {
    let choice = choice(&args.fleet)?;
    match (args.url, args.ports, &choice.which) {
        (Some(url), _, _) => probe(vec![url]).await,
        (None, Some(ports), _) => probe(readiness_of(Some(ports))?).await,
        // Its backends may be on another machine, or have other names there: it knows how they are.
        (None, None, Which::At(_)) => Ok(describe(&choice.find(&[])?.status().await?)),
        (None, None, Which::Any | Which::Supervisor(_)) => probe(readiness_of_running(&choice).await?).await,
    }
}

async fn probe(urls: Vec<Uri>) -> Result<ExitCode> {
    let mut healthy = true;
    for url in urls {
        match status_of(&url, PATIENCE).await {
            Ok(status) if status.is_success() => println!("healthy: {url} answers {status}"),
            Ok(status) => {
                healthy = false;
                eprintln!("not healthy: {url} answers {status}");
            }
            Err(error) => {
                healthy = false;
                eprintln!("not healthy: {url}: {error:#}");
            }
        }
    }
    Ok(if healthy { ExitCode::SUCCESS } else { NOT_HEALTHY.into() })
}

fn describe(fleet: &FleetStatus) -> ExitCode {
    let mut healthy = true;
    for backend in &fleet.backends {
        if backend.state == BackendState::Ready {
            println!("healthy: {} is {}", backend.name, backend.state);
        } else {
            healthy = false;
            eprintln!("not healthy: {} is {}", backend.name, backend.state);
        }
    }
    if healthy { ExitCode::SUCCESS } else { NOT_HEALTHY.into() }
}

/// Of the fleet that runs here: its backends may have been arguments, as in an image. Without one those of the settings are asked, and
/// found not to respond.
async fn readiness_of_running(choice: &FleetChoice) -> Result<Vec<Uri>> {
    // What is wrong in the settings is said whether they are needed or not.
    let settings = readiness_of(None)?;
    if choice.which == Which::Any && matches!(search(None, &[]), FleetSearch::None) {
        return Ok(settings);
    }
    let remote = choice.find(&[])?;
    let status = remote.status().await?;
    status.backends.iter().map(|backend| readiness(&backend.url)).collect()
}

/// Of these ports, else of the settings.
fn readiness_of(ports: Option<Ports>) -> Result<Vec<Uri>> {
    let topology = FleetConfig { ports, ..FleetConfig::default() }.merge()?.topology()?;
    topology.generators().map(|generator| readiness(&topology.url(generator))).collect()
}

fn readiness(backend: &str) -> Result<Uri> {
    let url = format!("{backend}{}", READINESS_PATHS[0]);
    Ok(url.parse().map_err(|_| Problem::new("no URL").on(url))?)
}
