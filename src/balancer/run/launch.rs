//! Starts a balancer in the foreground with a scratch folder of its own, and sees to it that nothing of it is left.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use crate::balancer::own::SCRATCH;
use crate::balancer::product::ReloadSignal;
use crate::balancer::run::guard::{ENDED, GuardOrders, KEPT, OUTPUT};
use crate::balancer::run::scratch::Scratch;
use crate::error::Problem;
use crate::escape::harmless_lines;
use crate::platform::means;

/// How a balancer is run. [`SCRATCH`] in arguments and environment stands for the scratch folder.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// The balancer's name in errors.
    pub(crate) name: String,
    /// Files that are written before, by their names in the scratch folder.
    pub(crate) files: Vec<(String, String)>,
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// Variables that are added to the environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Where it is started. None: in the scratch folder.
    pub(crate) folder: Option<PathBuf>,
    /// Files for which it sees empty ones of its own.
    pub(crate) covered: Vec<PathBuf>,
    /// The signal at which new processes take over from its old ones.
    pub(crate) reload: Option<ReloadSignal>,
    /// Where it accepts connections when it is ready.
    pub(crate) address: SocketAddr,
}

/// A balancer that runs. Dropped, it is ended, and its scratch folder removed.
pub(crate) struct Running {
    /// Process id of the guard, which ends the balancer when this program ends.
    pid: u32,
    ended: watch::Receiver<bool>,
    /// Whether this program is ending the balancer itself.
    stopping: Rc<Cell<bool>>,
    /// The guard ends when this end of the pipe is closed.
    tie: Option<ChildStdin>,
    scratch: Scratch,
    name: String,
}

/// Until it accepts connections, or successors have taken over: a busy machine needs many times the usual second.
const START: Duration = Duration::from_secs(20);
/// How many of the last lines that a balancer has printed an error shows.
const LINES: usize = 40;

impl Running {
    /// Writes the files, starts it, and returns when it accepts connections. An error has what the balancer itself said.
    pub(crate) async fn start(recipe: &Recipe, lost: &Lost) -> Result<Running> {
        let scratch = Scratch::make()?;
        let started = prepare(recipe, scratch.path());
        let mut guard = started.inspect_err(|_| {
            let _ = fs::remove_dir_all(scratch.path());
        })?;
        let tie = guard.stdin.take();
        let pid = guard.id().context("the guard of the balancer has ended at once")?;
        let stopping = Rc::new(Cell::new(false));
        let ended = watch_guard(guard, pid, stopping.clone(), lost.clone());
        let running = Running { pid, ended, stopping, tie, scratch, name: recipe.name.clone() };
        match running.until_ready(recipe.address).await {
            Ok(()) => Ok(running),
            Err(error) => {
                running.stop().await;
                Err(error)
            }
        }
    }

    /// Has new processes of it take over, configured by these files; the old ones answer what they have begun. Where that cannot be seen from
    /// outside, or does not come to pass, it is an error, and who balances then is not known.
    pub(crate) async fn reload(&self, recipe: &Recipe) -> Result<()> {
        let signal = match recipe.reload {
            Some(ReloadSignal::Hup) => Signal::HUP,
            Some(ReloadSignal::Usr2) => Signal::USR2,
            None => bail!("{} is not seen to reload", self.name),
        };
        let ended = || format!("{} has ended", self.name);
        let main = self.pid().with_context(ended)?;
        let workers = || means().children(main);
        let old = workers();
        write(&recipe.files, self.scratch.path())?;
        kill_process(Pid::from_raw(main as i32).with_context(ended)?, signal)
            .with_context(|| format!("{} takes no signal", self.name))?;
        let deadline = Instant::now() + START;
        let port = recipe.address.port();
        while Instant::now() < deadline {
            let (before, after): (Vec<u32>, Vec<u32>) = workers().into_iter().partition(|worker| old.contains(worker));
            if !after.is_empty() && !before.into_iter().any(|worker| means().listens(worker, port)) {
                return Ok(());
            }
            sleep(Duration::from_millis(5)).await;
        }
        bail!("{} did not reload; it says:\n{}", self.name, self.output())
    }

    async fn until_ready(&self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            // Where another program listens, ours will say that it cannot, and end.
            if TcpStream::connect(address).await.is_ok()
                && self.processes().any(|process| means().listens(process, address.port()))
            {
                return Ok(());
            }
            let over = *self.ended.borrow() || self.scratch.path().join(ENDED).exists();
            if over || Instant::now() > deadline {
                return Err(self.not_ready(address, over).into());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn not_ready(&self, address: SocketAddr, over: bool) -> Problem {
        let Running { name, .. } = self;
        let elsewhere: BTreeSet<u16> = self.processes().flat_map(|process| means().listening(process)).collect();
        if over || elsewhere.is_empty() {
            let why = if over { "ended at once" } else { "does not accept connections" };
            return Problem::new(format!("{name} {why} at {address}; {}", self.own_words()));
        }
        let ports: Vec<String> = elsewhere.iter().map(u16::to_string).collect();
        let plural = if ports.len() > 1 { "s" } else { "" };
        let what =
            format!("{name} listens on port{plural} {}, not at {address}; {}", ports.join(", "), self.own_words());
        Problem::new(what).hint("`--listen` names the port of the file where requests go")
    }

    fn own_words(&self) -> String {
        match self.output() {
            output if output.is_empty() => "it printed nothing".to_owned(),
            output => format!("its own words:\n{output}"),
        }
    }

    /// The last of what it has said until now.
    pub(crate) fn output(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(self.scratch.path().join(OUTPUT)) {
            let length = file.metadata().map_or(0, |metadata| metadata.len());
            let _ = file.seek(SeekFrom::Start(length.saturating_sub(KEPT as u64)));
            let _ = file.take(KEPT as u64).read_to_end(&mut text);
        }
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.trim().lines().collect();
        let left_out = lines.len().saturating_sub(LINES);
        let first = if left_out > 0 { format!("({left_out} lines before)\n") } else { String::new() };
        first + &harmless_lines(&lines[left_out..].join("\n"))
    }

    /// Process id of the balancer, for signals.
    pub(crate) fn pid(&self) -> Option<u32> {
        means().children(self.pid).first().copied()
    }

    /// That one, and those that it has started.
    fn processes(&self) -> impl Iterator<Item = u32> {
        descendants(self.pid).into_iter()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Ends it and waits until it is gone.
    pub(crate) async fn stop(mut self) {
        self.stopping.set(true);
        self.tie = None;
        let _ = timeout(Duration::from_secs(5), self.ended.wait_for(|ended| *ended)).await;
        let _ = fs::remove_dir_all(self.scratch.path());
    }
}

/// Happens when a guard was killed.
#[derive(Clone, Default)]
pub(crate) struct Lost(Rc<Notify>);

impl Lost {
    /// Resolves when the guard was killed.
    pub(crate) async fn happened(&self) {
        self.0.notified().await;
    }
}

/// Waits for the end of a guard, then kills all that it may have left in its group: the balancer and its workers. The number of a group belongs
/// to nobody else as long as somebody is in it.
fn watch_guard(mut guard: Child, pid: u32, stopping: Rc<Cell<bool>>, lost: Lost) -> watch::Receiver<bool> {
    let (ended, watched) = watch::channel(false);
    spawn_local(async move {
        let _ = guard.wait().await;
        if let Some(group) = Pid::from_raw(pid as i32) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        if !stopping.get() {
            lost.0.notify_one();
        }
        let _ = ended.send(true);
    });
    watched
}

/// The guard, which starts the balancer.
fn prepare(recipe: &Recipe, scratch: &Path) -> Result<Child> {
    write(&recipe.files, scratch)?;
    let name = scratch.to_string_lossy();
    let placed = |text: &str| text.replace(SCRATCH, &name);
    let orders = GuardOrders {
        scratch: scratch.to_owned(),
        folder: recipe.folder.clone().unwrap_or_else(|| scratch.to_owned()),
        covered: recipe.covered.clone(),
        command: recipe
            .command
            .iter()
            .map(|word| word.to_str().map_or(word.clone(), |word| placed(word).into()))
            .collect(),
    };
    Command::new(std::env::current_exe().context("failed to find this program")?)
        .args(orders.words())
        .envs(recipe.environment.iter().map(|(name, value)| (name, placed(value))))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("failed to start the guard of the balancer")
}

fn write(files: &[(String, String)], directory: &Path) -> Result<()> {
    files.iter().try_for_each(|(name, text)| {
        fs::write(directory.join(name), text).with_context(|| format!("failed to write {name}"))
    })
}

/// The children of a process, and all below them.
fn descendants(process: u32) -> Vec<u32> {
    let children = means().children(process);
    let further: Vec<u32> = children.iter().flat_map(|child| descendants(*child)).collect();
    children.into_iter().chain(further).collect()
}

/// A port of loopback on which nobody listens. It is below those that the kernel gives to whoever asks for any, so nobody gets it by chance
/// before the balancer has it.
pub(crate) fn free_port() -> Result<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let given_away = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768u16);
    let ports = given_away.saturating_sub(12_000).max(1024)..given_away;
    let anywhere = uuid::Uuid::new_v4().as_u128() as usize % ports.len().max(1);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let free = ports.clone().cycle().skip(anywhere).take(ports.len()).find(is_free);
    free.with_context(|| format!("no port of loopback is free, of {} to {}", ports.start, ports.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_on_a_port_is_told_from_who_does_not() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(means().listens(std::process::id(), port));
        assert!(!means().listens(std::process::id(), client.local_addr().unwrap().port()), "it is connected, no more");
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(descendants(std::process::id()).contains(&other.id()));
        assert!(!means().listens(other.id(), port));
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_free_port_is_none_that_the_kernel_gives_away() {
        let port = free_port().unwrap();
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let given_away: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
        assert!((1024..given_away).contains(&port), "{port} of {range}");
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    }
}
