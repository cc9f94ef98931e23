//! `healthcheck`: for images without curl.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use hyper::Uri;

use crate::args::healthcheck::HealthcheckArgs;
use crate::config::fleet::FleetConfig;
use crate::error::Problem;
use crate::remote::{Remote, status_of};
use crate::topology::{Ports, Topology};
use crate::wire::READINESS_PATHS;

const PATIENCE: Duration = Duration::from_secs(2);
const NOT_HEALTHY: u8 = 1;

/// Asks, and names what is not healthy.
pub(super) async fn run(args: HealthcheckArgs) -> Result<ExitCode> {
    let urls = match args.url {
        Some(url) => vec![url],
        None => readiness_urls(args.ports).await?,
    };
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

/// Of the backends that the settings name; if they name none, of the fleet that runs here: its ports may have been arguments, as in an
/// image.
async fn readiness_urls(ports: Option<Ports>) -> Result<Vec<Uri>> {
    let config = FleetConfig { ports, ..FleetConfig::default() }.merge()?;
    let mut topology = config.topology()?;
    if !config.names_ports()
        && let Ok(remote) = Remote::find(None, &[])
        && let Ok(status) = remote.status().await
    {
        let generators = status.backends.iter().map(|backend| backend.generator).collect();
        topology = Topology::of(topology.host, generators);
    }
    let url = |generator| {
        let url = format!("{}{}", topology.url(generator), READINESS_PATHS[0]);
        url.parse().map_err(|_| Problem::new("no URL").on(url).into())
    };
    topology.generators().map(url).collect()
}
