//! Starts a balancer in the foreground with a directory of its own, and sees to it that nothing of it is left.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::balancer::guard::{ENDED, OUTPUT};

/// How a balancer is run.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Its name, for people.
    pub name: String,
    /// Files that are written before: their names in the directory, and what they say.
    pub files: Vec<(String, String)>,
    /// The program and its arguments; it runs in the directory, `{}` stands for that.
    pub command: Vec<OsString>,
    /// More environment, with `{}` too.
    pub environment: Vec<(String, String)>,
    /// Where it accepts connections when it is ready.
    pub address: SocketAddr,
}

/// A balancer that runs. Dropped, it is ended, and its directory removed.
pub struct Running {
    guard: Child,
    /// Its end ends the guard.
    tie: Option<ChildStdin>,
    directory: PathBuf,
    name: String,
}

/// Envoy and Traefik need a second on a slow machine.
const START: Duration = Duration::from_secs(20);

impl Running {
    /// Writes the files, starts it, and returns when it accepts connections. An error has what the balancer itself said.
    pub async fn start(recipe: &Recipe) -> Result<Running> {
        let directory = std::env::temp_dir().join(format!("uuid-generator-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&directory).with_context(|| format!("failed to make {}", directory.display()))?;
        let place = directory.to_string_lossy().into_owned();
        let placed = |text: &str| text.replace("{}", &place);
        let prepare = || -> Result<(Child, Option<ChildStdin>)> {
            for (name, text) in &recipe.files {
                fs::write(directory.join(name), text).with_context(|| format!("failed to write {name}"))?;
            }
            let program = std::env::current_exe().context("failed to find this program")?;
            let mut guard = Command::new(program)
                .arg("guard")
                .arg(&directory)
                .args(recipe.command.iter().map(|word| placed(&word.to_string_lossy())))
                .envs(recipe.environment.iter().map(|(name, value)| (name, placed(value))))
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .context("failed to start the guard of the balancer")?;
            let tie = guard.stdin.take();
            Ok((guard, tie))
        };
        let (guard, tie) = prepare().inspect_err(|_| {
            let _ = fs::remove_dir_all(&directory);
        })?;
        let mut running = Running { guard, tie, directory, name: recipe.name.clone() };
        match running.until_ready(recipe.address).await {
            Ok(()) => Ok(running),
            Err(error) => {
                running.stop().await;
                Err(error)
            }
        }
    }

    async fn until_ready(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            if TcpStream::connect(address).await.is_ok() {
                return Ok(());
            }
            let output = self.output();
            let over = self.guard.try_wait()?.is_some() || self.directory.join(ENDED).exists();
            if over || Instant::now() > deadline {
                let why = if over { "ended at once" } else { "does not accept connections" };
                let said = if output.is_empty() { "it said nothing".to_owned() } else { output };
                bail!("{} {why} at {address}; its own words:\n{said}", self.name);
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// What it has said until now.
    pub fn output(&self) -> String {
        fs::read_to_string(self.directory.join(OUTPUT)).unwrap_or_default().trim().to_owned()
    }

    /// Its process, which takes signals.
    pub fn pid(&self) -> Option<u32> {
        let guard = self.guard.id()?;
        let children = fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Ends it and waits until it is gone.
    pub async fn stop(mut self) {
        self.tie = None;
        let _ = timeout(Duration::from_secs(5), self.guard.wait()).await;
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A port of loopback that is free now.
pub fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}
