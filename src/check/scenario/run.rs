//! Carries out a scenario: each step at its time, side by side.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep_until};

use crate::check::scenario::{Step, StepAction, StepResult};
use crate::io::clock;
use crate::remote::Remote;

/// A drain takes as long as the fleet's grace.
const PATIENCE: Duration = Duration::from_secs(120);

/// Does all steps, each at its time, whether the one before has ended or not. Returns when all have ended.
pub(crate) async fn run(steps: Vec<Step>, remote: Option<Remote>, start: Instant) -> Vec<StepResult> {
    let mut tasks: Vec<JoinHandle<StepResult>> = Vec::new();
    for step in steps {
        sleep_until(start + step.at).await;
        let remote = remote.clone();
        tasks.push(spawn_local(async move {
            let at = clock::now();
            let result = carry_out(&step, remote.as_ref()).await;
            StepResult { step, at, result }
        }));
    }
    let mut done = Vec::new();
    for task in tasks {
        done.extend(task.await);
    }
    done
}

/// What went wrong, or what a command said.
async fn carry_out(step: &Step, remote: Option<&Remote>) -> Option<String> {
    let backends: Vec<_> = step.backend.into_iter().collect();
    let result = match (&step.action, remote) {
        (StepAction::Command(command), _) => return run_command(command).await,
        (_, None) => return Some("not done: the backends are not ours".to_owned()),
        (StepAction::Act(action), Some(remote)) => remote.act(*action, &backends, PATIENCE).await,
        (StepAction::Fault(fault), Some(remote)) => remote.fault(&[*fault], &backends).await,
        (StepAction::Clear, Some(remote)) => remote.clear(&backends).await,
    };
    result.err().map(|error| format!("{error:#}"))
}

async fn run_command(command: &str) -> Option<String> {
    let child = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).kill_on_drop(true).output().await;
    match child {
        Err(error) => Some(format!("failed to run: {error}")),
        Ok(output) => {
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
            match (output.status.success(), said.is_empty()) {
                (true, true) => None,
                (true, false) => Some(said),
                (false, _) => Some(format!("{}: {said}", output.status)),
            }
        }
    }
}
