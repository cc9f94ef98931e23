//! Carries out a scenario: each step at its time, side by side.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::check::scenario::{HostControl, ScenarioStep, StepAction, StepResult};
use crate::fleets::Fleets;
use crate::io::clock;

/// A drain takes as long as the fleet's grace; a command as long as it likes, but no check waits for it without end.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a command does later than that after the sample is seen by no request.
const AFTER_SAMPLE: Duration = Duration::from_secs(10);

/// Notices the end of the sample.
#[derive(Clone)]
pub(crate) struct SampleEnd(watch::Receiver<()>);

/// The sample, and its end for those who wait for it.
pub(crate) fn ending<T>(sample: impl Future<Output = T>) -> (impl Future<Output = T>, SampleEnd) {
    let (end, ended) = watch::channel(());
    let sample = async move {
        let result = sample.await;
        drop(end);
        result
    };
    (sample, SampleEnd(ended))
}

impl SampleEnd {
    async fn passed(mut self, time: Duration) {
        while self.0.changed().await.is_ok() {}
        sleep(time).await;
    }
}

/// Does all steps, whether the one before has ended or not, but for those of one backend at one time, which keep the order in which they
/// were typed, and a start, which waits for the end of the process before. Returns when all have ended, in the order of their times.
/// Dropped, no further step is begun.
pub(crate) async fn run(
    steps: Vec<ScenarioStep>,
    fleets: Option<Fleets>,
    hosts: Option<HostControl>,
    (start, end): (Instant, SampleEnd),
) -> Vec<StepResult> {
    let mut tasks = JoinSet::new();
    let mut begun: Vec<(ScenarioStep, watch::Receiver<()>)> = Vec::new();
    for (place, step) in steps.into_iter().enumerate() {
        let (fleets, hosts, end) = (fleets.clone(), hosts.clone(), end.clone());
        let earlier = begun.iter().filter(|(it, _)| it.precedes(&step)).map(|(_, ended)| ended.clone());
        let earlier: Vec<watch::Receiver<()>> = earlier.collect();
        let (ending, ended) = watch::channel(());
        begun.push((step.clone(), ended));
        tasks.spawn_local(async move {
            // Dropped with the task: then this step has ended.
            let _ending = ending;
            sleep_until(start + step.at).await;
            for mut earlier in earlier {
                while earlier.changed().await.is_ok() {}
            }
            let at = clock::now();
            let is_command = matches!(step.action, StepAction::Command(_));
            let outcome = tokio::select! {
                outcome = timeout(PATIENCE, carry_out(&step, fleets.as_ref(), hosts)) => {
                    outcome.unwrap_or_else(|_| Err(format!("not done within {} s", PATIENCE.as_secs())))
                }
                () = end.passed(AFTER_SAMPLE), if is_command => Err(format!(
                    "still running {} s after the sample, which a longer --duration would cover",
                    AFTER_SAMPLE.as_secs()
                )),
            };
            let (is_done, remark) = match outcome {
                Ok(remark) => (true, remark),
                Err(why) => (false, Some(why)),
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
    let failed = |error: std::io::Error| format!("failed to run: {error}");
    let mut shell = Command::new("sh");
    // A group of its own, which CTRL+C in the terminal does not reach: a command is ended by the check alone.
    shell.args(["-c", command]).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = shell.spawn().map_err(failed)?;
    let unfinished = UnfinishedCommand(child.id());
    let output = child.wait_with_output().await.map_err(failed)?;
    unfinished.disarm();
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
    if output.status.success() {
        return Ok(Some(printed).filter(|printed| !printed.is_empty()));
    }
    Err(if printed.is_empty() { output.status.to_string() } else { format!("{}: {printed}", output.status) })
}

/// The process group of a command: dropped before the command is over, all of it is ended, also what the shell has started.
struct UnfinishedCommand(Option<u32>);

impl UnfinishedCommand {
    /// What it leaves in the background now is meant to stay.
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for UnfinishedCommand {
    fn drop(&mut self) {
        if let Some(group) = self.0.and_then(|id| Pid::from_raw(id as i32)) {
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::scenario::{Reach, Scenario};
    use std::sync::{Arc, Mutex};
    use std::thread;
    use tokio::task::LocalSet;

    #[tokio::test]
    async fn a_command_that_is_given_up_ends_with_all_that_its_shell_started() {
        let file = std::env::temp_dir().join(format!("uuid-generator-command-{}", std::process::id()));
        // Not the last command of the shell, which would become it.
        let command = format!("sleep 60 & echo $! > '{0}.new'; mv '{0}.new' '{0}'; wait", file.display());
        let pid = tokio::select! {
            _ = run_command(&command) => unreachable!("it takes a minute"),
            pid = async {
                loop {
                    if let Ok(pid) = std::fs::read_to_string(&file) {
                        break pid.trim().parse().unwrap();
                    }
                    sleep(Duration::from_millis(5)).await;
                }
            } => pid,
        };
        std::fs::remove_file(&file).unwrap();
        let is_there = || rustix::process::test_kill_process(Pid::from_raw(pid).unwrap()).is_ok();
        let ended = async {
            while is_there() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(5), ended).await.expect("it has ended");
    }

    #[tokio::test]
    async fn steps_of_one_backend_at_one_time_keep_their_order_and_others_are_done_side_by_side() {
        let reached = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&reached);
        let hosts = HostControl::new(move |backend, reach| {
            // The first of each backend takes longest.
            thread::sleep(Duration::from_millis(if reach == Reach::Gone { 100 } else { 5 }));
            seen.lock().unwrap().push(format!("{} {backend}", reach.name()));
            Ok(())
        });
        let scenario: Scenario = "gone:a@0s,back:a@0s,gone:a@0s,back:b@0s".parse().unwrap();
        let (sample, end) = ending(async {});
        sample.await;
        let run = run(scenario.steps, None, Some(hosts), (Instant::now(), end));
        let results = LocalSet::new().run_until(run).await;
        assert!(results.iter().all(|result| result.is_done), "{results:?}");
        assert_eq!(*reached.lock().unwrap(), ["back b", "gone a", "back a", "gone a"]);
        assert!(results[0].ended <= results[1].at, "{results:?}");
    }
}
