//! What a check waits for before it begins, where fleets and a balancer start at the same time: their backends, and whether the URL's port
//! accepts connections. It sends no request.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::check::CheckWatch;
use crate::check::plan::{Backing, CheckPlan};
use crate::error::{Interrupted, Problem};
use crate::remote::FleetChoice;
use crate::wire::BackendState;

/// The time from one attempt to the next.
const EVERY: Duration = Duration::from_millis(250);
/// The longest time that one attempt to connect may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a check waits for before it begins.
pub(super) struct Wait {
    /// The longest time that the check waits.
    pub(super) time: Duration,
    /// Backends of all fleets that are ready; none if one of each will do.
    pub(super) ready: Option<u32>,
}

impl Wait {
    /// Returns when all is there, or with what was missing last.
    pub(super) async fn run(&self, plans: &[CheckPlan], watch: &CheckWatch) -> Result<()> {
        let begin = Instant::now();
        loop {
            let Some(missing) = self.missing(plans).await else { return Ok(()) };
            let Some(left) = self.time.checked_sub(begin.elapsed()) else {
                let waited = Problem::new(format!("waited {:?}: {missing}", self.time));
                return Err(waited.hint("--wait is the time that is waited").into());
            };
            tokio::select! {
                () = sleep(left.min(EVERY)) => (),
                () = watch.stopped() => return Err(Interrupted::new(watch.stopped_with(), 0).into()),
            }
        }
    }

    async fn missing(&self, plans: &[CheckPlan]) -> Option<String> {
        for plan in plans {
            if let Backing::Fleets(choices) = &plan.backends
                && let Some(missing) = self.missing_backends(choices).await
            {
                return Some(missing);
            }
            if let Some(missing) = missing_port(&plan.target.url).await {
                return Some(missing);
            }
        }
        None
    }

    async fn missing_backends(&self, choices: &[FleetChoice]) -> Option<String> {
        let mut ready = 0;
        for choice in choices {
            let remotes = match choice.find_all().await {
                Ok(remotes) => remotes,
                Err(why) => return Some(format!("{why:#}")),
            };
            for remote in remotes {
                match remote.status().await {
                    Ok(status) => {
                        let of_fleet = status.backends.iter().filter(|it| it.state == BackendState::Ready).count();
                        if of_fleet == 0 {
                            return Some(format!("no backend of {} is ready", remote.authority()));
                        }
                        ready += of_fleet;
                    }
                    Err(why) => return Some(format!("{why:#}")),
                }
            }
        }
        let wanted = self.ready?;
        (ready != wanted as usize).then(|| format!("{ready} backends are ready, not {wanted}"))
    }
}

/// Whether the port of a URL refuses.
async fn missing_port(url: &str) -> Option<String> {
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    // What is no URL is reported by the check.
    let url: hyper::Uri = url.parse().ok()?;
    let (host, tls) = (url.host()?.trim_matches(['[', ']']), url.scheme_str() == Some("https"));
    let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
    match timeout(PATIENCE, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => None,
        Ok(Err(why)) => Some(format!("{host}:{port}: {why}")),
        Err(_) => Some(format!("{host}:{port} accepts no connection")),
    }
}
