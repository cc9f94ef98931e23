//! A few requests, slowly, after a sample in which the balancer refused many: what ends then was a rate limit.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::spawn_blocking;

use crate::check::load::{BackendNames, Probe};
use crate::check::session::CheckSession;
use verdict::observation::Observation;

/// What a limit allows again after as long.
const REST: Duration = Duration::from_millis(1100);
const REQUESTS: u32 = 8;
const GAP: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(6);

/// Their observations, and whether all passed. `first` is the number of the next request of the run.
pub(crate) async fn probe(session: &mut CheckSession<'_>, first: u64) -> Result<(Vec<Observation>, bool)> {
    let mut prober = session.new_prober(first)?;
    let mut backends = BackendNames::new(session.client.names());
    tokio::time::sleep(REST).await;
    let probing = spawn_blocking(move || {
        let deadline = Instant::now() + LONGEST;
        for _ in 0..REQUESTS {
            if Instant::now() > deadline {
                break;
            }
            prober.probe(&Probe { patience: Some(Duration::from_secs(2)), ..Probe::default() }, &mut backends)?;
            std::thread::sleep(GAP);
        }
        Ok::<_, crate::check::load::DriveError>(prober.into_observations().0)
    });
    let observations = session.collecting(probing).await??;
    let passed = !observations.is_empty() && observations.iter().all(|observation| observation.backend.is_known());
    Ok((observations, passed))
}
