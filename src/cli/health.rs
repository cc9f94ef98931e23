//! `uuid-generator healthcheck`: for images without curl.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use hyper::Uri;

use crate::cli::settings::Settings;
use crate::remote::status_of;
use crate::topology::Topology;
use crate::wire::READINESS_PATHS;

/// Ask whether backends are ready: exit status 0 if all are, 1 if not.
#[derive(Args)]
pub struct Typed {
    /// What to ask; without it, the readiness of every backend that --ports, the environment or the file names
    url: Option<Uri>,

    /// Ports of the backends to ask, when no URL is given
    #[arg(long, value_name = "PORTS", conflicts_with = "url")]
    ports: Option<crate::topology::Ports>,
}

const PATIENCE: Duration = Duration::from_secs(2);
const NOT_HEALTHY: u8 = 1;

impl Typed {
    /// Asks, and says what is not healthy.
    pub async fn run(self) -> Result<ExitCode> {
        let urls = match self.url {
            Some(url) => vec![url],
            None => readiness_of_all(self.ports)?,
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
}

fn readiness_of_all(ports: Option<crate::topology::Ports>) -> Result<Vec<Uri>> {
    let (host, ports) = Settings::of_ports(ports).complete()?.whereabouts()?;
    let generators = ports.meant().map_err(anyhow::Error::msg)?;
    let topology = Topology::of(host, generators);
    let urls = topology.generators().map(|generator| format!("{}{}", topology.url(generator), READINESS_PATHS[0]));
    urls.map(|url| Ok(url.parse()?)).collect()
}
