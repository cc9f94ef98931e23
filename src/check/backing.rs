//! The backends behind the balancer: a fleet that runs, one that is started for the run, or backends that are not ours.

use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::slice;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::check::load::Identity;
use crate::check::plan::Backing;
use crate::error::Problem;
use crate::fleets::Fleets;
use crate::remote::Remote;
use crate::runfile::Runfile;
use crate::wire::BackendState;

/// The backends behind the balancer.
pub(crate) struct FoundBackends {
    /// None if the backends are not ours.
    pub(crate) fleet: Option<FoundFleet>,
    /// Where responses say who gave them; None leaves it to the check to find that out.
    pub(crate) identity: Option<Identity>,
    /// It is ended with the run.
    pub(crate) started: Option<Started>,
}

/// Fleets of this program behind the balancer.
pub(crate) struct FoundFleet {
    pub(crate) fleets: Fleets,
    pub(crate) ready: usize,
    /// Those that were put right less than [`YOUNG`], and for how long.
    pub(crate) young: Vec<(String, Duration)>,
}

impl FoundFleet {
    pub(crate) fn names(&self) -> Vec<String> {
        self.fleets.names()
    }

    /// Names of backends that are not ready.
    pub(crate) fn not_ready(&self) -> Vec<String> {
        self.names().split_off(self.ready)
    }
}

/// A fleet that lives as long as the run.
pub(crate) struct Started(Box<Child>);

/// A fleet of 1,000 backends starts within a second or two; machines may be slow.
const START: Duration = Duration::from_secs(30);

/// A fleet ends what is in flight.
const END: Duration = Duration::from_secs(15);

/// Finds the backends, or starts them.
pub(crate) async fn find(backing: &Backing) -> Result<FoundBackends> {
    match backing {
        Backing::Fleets(choices) => of_fleets(Fleets::find(choices).await?, None),
        Backing::Ours(choice) => of_fleets(Fleets::find(slice::from_ref(choice)).await?, None),
        Backing::Started(options) => {
            let (remote, started) = start(options).await?;
            of_fleets(Fleets::one(remote).await?, Some(started))
        }
        Backing::Others(identity) => Ok(FoundBackends { fleet: None, identity: Some(identity.clone()), started: None }),
        Backing::Any if Runfile::find_all().is_empty() => {
            Ok(FoundBackends { fleet: None, identity: None, started: None })
        }
        Backing::Any => of_fleets(Fleets::one(Remote::find(None, &[])?).await?, None),
    }
}

/// A balancer may still avoid a backend that came back as recently: NGINX's fail_timeout is 10 s.
const YOUNG: Duration = Duration::from_secs(12);

/// Where the API of a fleet listens if nobody says it.
const USUAL_API: &str = "http://127.0.0.1:9000";

/// A fleet that is not this user's, as a person would look for it.
pub(crate) async fn find_foreign() -> Option<String> {
    let status = Remote::at(USUAL_API, None).ok()?.status().await.ok()?;
    let owner = std::fs::metadata(format!("/proc/{}", status.pid)).ok().map(|process| process.uid());
    let whose = owner.map_or_else(String::new, |owner| format!(" of user {owner}"));
    Some(format!("a fleet{whose} runs at {} (process {})", status.control, status.pid))
}

fn of_fleets(fleets: Fleets, started: Option<Started>) -> Result<FoundBackends> {
    let ready = fleets.backends.iter().filter(|backend| backend.is_ready).count();
    if ready == 0 {
        let why = Problem::new("no backend of the fleet is ready");
        return Err(why.hint("see uuid-generator fleet status, then fleet start").into());
    }
    let young = fleets.backends.iter().filter(|backend| backend.is_ready);
    let young = young.filter_map(|backend| Some((backend.name.clone(), backend.age.filter(|age| *age < YOUNG)?)));
    let fleet = FoundFleet { ready, young: young.collect(), fleets };
    Ok(FoundBackends { fleet: Some(fleet), identity: Some(Identity::Fleet), started })
}

/// Starts one with these options, and returns when all of its backends are ready.
pub(crate) async fn start(options: &[String]) -> Result<(Remote, Started)> {
    let program = std::env::current_exe().context("failed to find this program")?;
    let mut child = Command::new(program)
        .args(["--log", "off", "--errors=json", "--end-with-parent", &std::process::id().to_string()])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // CTRL+C is for the check: its fleet stays until it has ended.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("failed to start a fleet")?;
    let pid = child.id().context("the fleet ended at once")?;
    let deadline = Instant::now() + START;
    loop {
        if child.try_wait()?.is_some() {
            let mut said = Vec::new();
            if let Some(mut stderr) = child.stderr.take() {
                let _ = stderr.read_to_end(&mut said).await;
            }
            return Err(Problem::of_process(&said))?;
        }
        if let Ok(remote) = Remote::find(Some(pid), &[])
            && let Ok(status) = remote.status().await
            && status.backends.iter().all(|backend| backend.state == BackendState::Ready)
        {
            return Ok((remote, Started(Box::new(child))));
        }
        if Instant::now() > deadline {
            bail!("the fleet that was started is not ready after {} s", START.as_secs());
        }
        sleep(Duration::from_millis(5)).await;
    }
}

impl Started {
    /// The process id of its supervisor.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.0.id()
    }

    /// Ends it as CTRL+C would: what is in flight has its time.
    pub(crate) async fn end(self) {
        self.end_within(END).await;
    }

    /// Ends it as CTRL+C would, and at once when that takes longer than `patience`.
    pub(crate) async fn end_within(mut self, patience: Duration) {
        let pid = self.0.id().and_then(|pid| Pid::from_raw(pid as i32));
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        // Dropped, it is killed.
        let _ = timeout(patience, self.0.wait()).await;
    }
}
