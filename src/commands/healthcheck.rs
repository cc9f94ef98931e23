//! `healthcheck`: for images without curl.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use hyper::Uri;

use super::choice::choice;
use crate::args::healthcheck::HealthcheckArgs;
use crate::config::fleet::FleetConfig;
use crate::error::Problem;
use crate::remote::{FleetChoice, FleetSearch, NoResponse, Which, search, status_of};
use crate::topology::Ports;
use crate::wire::{BackendState, BackendStatus, READINESS_PATHS};

const PATIENCE: Duration = Duration::from_secs(2);
const NOT_HEALTHY: u8 = 1;

/// How a backend is found out about.
enum HealthSource {
    /// By its readiness at that URL.
    Url(Uri),
    /// By its readiness at that URL, or by what its fleet knows where it speaks no HTTP/1.
    Either(Uri, BackendHealth),
    /// By what its fleet knows: this command can ask no backend that wants a client certificate, or that has no port.
    Fleet(BackendHealth),
}

/// A backend as its fleet knows it.
struct BackendHealth {
    name: String,
    state: BackendState,
}

/// Asks, and names what is not healthy.
pub(super) async fn run(args: HealthcheckArgs) -> Result<ExitCode> {
    let choice = choice(&args.fleet)?;
    let sources = match (args.url, args.ports, &choice.which) {
        (Some(url), _, _) => vec![HealthSource::Url(url)],
        (None, Some(ports), _) => of_ports(&choice, ports).await?,
        // Its backends may be on another machine, or have other names there: it knows how they are.
        (None, None, Which::At(_)) => choice.find(&[])?.status().await?.backends.into_iter().map(known).collect(),
        (None, None, Which::Any | Which::Supervisor(_)) => of_running(&choice).await?,
    };
    let mut healthy = true;
    for source in sources {
        match source.ask().await {
            Ok(what) => println!("healthy: {what}"),
            Err(what) => {
                healthy = false;
                eprintln!("not healthy: {what}");
            }
        }
    }
    Ok(if healthy { ExitCode::SUCCESS } else { NOT_HEALTHY.into() })
}

impl HealthSource {
    /// What is to be said of it: an error where it is not healthy.
    async fn ask(self) -> Result<String, String> {
        let (url, known) = match self {
            HealthSource::Fleet(known) => return known.describe(),
            HealthSource::Url(url) => (url, None),
            HealthSource::Either(url, known) => (url, Some(known)),
        };
        match (status_of(&url, PATIENCE).await, known) {
            (Ok(status), _) if status.is_success() => Ok(format!("{url} answers {status}")),
            (Ok(status), _) => Err(format!("{url} answers {status}")),
            (Err(error), Some(known)) if is_other_protocol(&error) => known.describe(),
            (Err(error), _) => Err(format!("{url}: {error:#}")),
        }
    }
}

impl BackendHealth {
    fn describe(&self) -> Result<String, String> {
        let text = format!("{} is {}", self.name, self.state);
        if self.state == BackendState::Ready { Ok(text) } else { Err(text) }
    }
}

fn is_other_protocol(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(NoResponse::is_other_protocol)
}

fn known(backend: BackendStatus) -> HealthSource {
    HealthSource::Fleet(BackendHealth { name: backend.name, state: backend.state })
}

fn of_backend(backend: BackendStatus) -> Result<HealthSource> {
    let asks_clients = backend.tls.as_ref().is_some_and(|tls| tls.asks_clients);
    if asks_clients || backend.url.starts_with("unix:") {
        return Ok(known(backend));
    }
    let url = readiness(&backend.url)?;
    Ok(HealthSource::Either(url, BackendHealth { name: backend.name, state: backend.state }))
}

/// Of the fleet that runs here: its backends may have been arguments, as in an image. Without one those of the settings are asked, and
/// found not to respond.
async fn of_running(choice: &FleetChoice) -> Result<Vec<HealthSource>> {
    // What is wrong in the settings is said whether they are needed or not.
    let settings = of_settings(None)?;
    if choice.which == Which::Any && matches!(search(None, &[]), FleetSearch::None) {
        return Ok(settings);
    }
    let status = choice.find(&[])?.status().await?;
    status.backends.into_iter().map(of_backend).collect()
}

/// Of backends at these ports: a fleet that runs here knows what is spoken there, else the settings say it.
async fn of_ports(choice: &FleetChoice, ports: Ports) -> Result<Vec<HealthSource>> {
    let settings = of_settings(Some(ports.clone()))?;
    let names: Vec<String> = ports.generators().0.iter().map(|generator| generator.0.to_string()).collect();
    let status = match choice.find(&names) {
        Ok(remote) => remote.status().await,
        Err(why) => Err(why),
    };
    let backends = match status {
        Ok(status) => status.backends,
        Err(_) if choice.which == Which::Any => return Ok(settings),
        Err(why) => return Err(why),
    };
    let unknown: Vec<&str> = {
        let is_known = |name: &&String| backends.iter().any(|backend| backend.name == **name);
        names.iter().filter(|name| !is_known(name)).map(String::as_str).collect()
    };
    match (unknown.as_slice(), &choice.which) {
        ([], _) => backends.into_iter().filter(|backend| names.contains(&backend.name)).map(of_backend).collect(),
        (_, Which::Any) => Ok(settings),
        (unknown, _) => {
            let problem = Problem::new(format!("the fleet has no backend {}", unknown.join(", ")));
            Err(problem.on("--ports").hint("leave out --ports to ask for all of its backends").into())
        }
    }
}

/// Of these ports, else of the settings.
fn of_settings(ports: Option<Ports>) -> Result<Vec<HealthSource>> {
    let topology = FleetConfig { ports, ..FleetConfig::default() }.merge()?.topology()?;
    topology.generators().map(|generator| readiness(&topology.url(generator)).map(HealthSource::Url)).collect()
}

fn readiness(backend: &str) -> Result<Uri> {
    let url = format!("{backend}{}", READINESS_PATHS[0]);
    Ok(url.parse().map_err(|_| Problem::new("not a URL").on(url))?)
}
