//! Carries out a scenario: each step at its time, side by side.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::check::scenario::{Step, StepAction, StepResult};
use crate::io::clock;
use crate::remote::Remote;

/// A drain takes as long as the fleet's grace; a command as long as it likes, but no check waits for it without end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does all steps, whether the one before has ended or not. Returns when all have ended, in the order of their times. Dropped, no
/// further step is begun.
pub(crate) async fn run(steps: Vec<Step>, remote: Option<Remote>, start: Instant) -> Vec<StepResult> {
    let mut tasks = JoinSet::new();
    for (place, step) in steps.into_iter().enumerate() {
        let remote = remote.clone();
        tasks.spawn_local(async move {
            sleep_until(start + step.at).await;
            let at = clock::now();
            let (is_done, remark) = match timeout(PATIENCE, carry_out(&step, remote.as_ref())).await {
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
async fn carry_out(step: &Step, remote: Option<&Remote>) -> Result<Option<String>, String> {
    let backends: Vec<String> = step.backend.iter().cloned().collect();
    let result = match (&step.action, remote) {
        (StepAction::Command(command), _) => return run_command(command).await,
        (_, None) => return Err("the backends are not ours".to_owned()),
        (StepAction::Act(action), Some(remote)) => remote.act(*action, &backends, PATIENCE).await,
        (StepAction::Fault(fault), Some(remote)) => remote.fault(&[*fault], &backends).await,
        (StepAction::Clear, Some(remote)) => remote.clear(&backends).await,
    };
    result.map(|_| None).map_err(|error| format!("{error:#}"))
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
