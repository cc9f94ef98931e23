//! Carries out a scenario: each step at its time, side by side.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};

use crate::check::scenario::{HostControl, ScenarioStep, StepAction, StepResult};
use crate::fleets::Fleets;
use crate::io::clock;

/// A drain takes as long as the fleet's grace; a command as long as it likes, but no check waits for it without end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does all steps, whether the one before has ended or not. Returns when all have ended, in the order of their times. Dropped, no
/// further step is begun.
pub(crate) async fn run(
    steps: Vec<ScenarioStep>,
    fleets: Option<Fleets>,
    hosts: Option<HostControl>,
    start: Instant,
) -> Vec<StepResult> {
    let mut tasks = JoinSet::new();
    for (place, step) in steps.into_iter().enumerate() {
        let (fleets, hosts) = (fleets.clone(), hosts.clone());
        tasks.spawn_local(async move {
            sleep_until(start + step.at).await;
            let at = clock::now();
            let (is_done, remark) = match timeout(PATIENCE, carry_out(&step, fleets.as_ref(), hosts)).await {
                Ok(Ok(remark)) => (true, remark),
                Ok(Err(why)) => (false, Some(why)),
                Err(_) => (false, Some(format!("not done within {} s", PATIENCE.as_secs()))),
            };
            (place, StepResult { step, at, ended: clock::now(), is_done, result: remark })
        });
    }
    let mut results = tasks.join_all().await;
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What a command printed; or why it was not done.
async fn carry_out(
    step: &ScenarioStep,
    fleets: Option<&Fleets>,
    hosts: Option<HostControl>,
) -> Result<Option<String>, String> {
    let backend = step.backend.as_deref();
    let result = match (&step.action, fleets) {
        (StepAction::Host(reach), _) => {
            let hosts = hosts.ok_or("the hosts are not ours")?;
            let (backend, reach) = (backend.ok_or("no backend is named")?.to_owned(), *reach);
            let changed = spawn_blocking(move || hosts.reach(&backend, reach)).await;
            return changed.map_err(|why| why.to_string())?.map(|()| None);
        }
        (StepAction::Command(command), _) => return run_command(command).await,
        (_, None) => return Err("the backends are not ours".to_owned()),
        (StepAction::Act(action), Some(fleets)) => fleets.act(*action, backend, PATIENCE).await,
        (StepAction::Fault(fault), Some(fleets)) => fleets.fault(*fault, backend).await,
        (StepAction::Clear, Some(fleets)) => fleets.clear(backend).await,
    };
    result.map(|()| None).map_err(|error| format!("{error:#}"))
}

async fn run_command(command: &str) -> Result<Option<String>, String> {
    let child = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = child.map_err(|error| format!("failed to run: {error}"))?;
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
    if output.status.success() {
        return Ok(Some(printed).filter(|printed| !printed.is_empty()));
    }
    Err(if printed.is_empty() { output.status.to_string() } else { format!("{}: {printed}", output.status) })
}
