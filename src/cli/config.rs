//! `uuid-generator config …`: configuration for a balancer, from the fleet's settings and what was typed.

use std::fmt::Write;
use std::io::Read;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::balancer::{Balancer, For, Listen, Options, Version, Written};
use crate::cli::settings::Settings;
use crate::topology::{
    Algorithm, Failure, Health, Host, HttpPath, Ports, Retries, Sockets, Timeouts, Topology, Weights,
};
use crate::wire::Time;

/// Write configuration for a balancer in front of the fleet: complete, to be run in the foreground, without root
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Typed {
    /// Which one: nginx, haproxy, envoy, traefik, caddy or kubernetes
    balancer: Balancer,

    /// Ports of the backends [default: as for the fleet itself]
    #[arg(long, value_name = "PORTS")]
    ports: Option<Ports>,

    /// Where they listen [default: as for the fleet itself]
    #[arg(long, value_name = "HOST")]
    host: Option<Host>,

    /// They are reached by unix sockets: FOLDER/9001.sock and so on
    #[arg(long, value_name = "FOLDER")]
    sockets: Option<Sockets>,

    /// Where the balancer listens: a port of all IPv4 addresses, or an address and a port [default: 8080; 80 in a snippet]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Listen>,

    /// Requests to this path and those below are balanced, and arrive without it [default: /uuid]
    #[arg(long, value_name = "PATH")]
    path: Option<HttpPath>,

    /// How a backend is picked: round-robin, least-connections, least-time, random, two-choices, source, uri, header:NAME, cookie:NAME,
    /// sticky or sticky:NAME [default: round-robin]
    #[arg(long, value_name = "ALGORITHM", help_heading = "Balancing")]
    algorithm: Option<Algorithm>,

    /// How often each backend gets its turn, from 1 to 256, in their order [default: all alike]
    #[arg(long, value_name = "WEIGHTS", help_heading = "Balancing")]
    weights: Option<Weights>,

    /// Backends that get requests only while no other can have them
    #[arg(long, value_name = "PORTS", help_heading = "Balancing")]
    backup: Option<Ports>,

    /// The balancer probes backends at this path, such as /readyz
    #[arg(long, value_name = "PATH", help_heading = "Failures")]
    health_path: Option<HttpPath>,

    /// From one probe to the next [default: 1s]
    #[arg(long, value_name = "TIME", requires = "health_path", help_heading = "Failures")]
    health_interval: Option<Time>,

    /// How long the answer to a probe is waited for [default: the interval]
    #[arg(long, value_name = "TIME", requires = "health_path", help_heading = "Failures")]
    health_timeout: Option<Time>,

    /// Good probes in a row until a backend is taken back [default: 1]
    #[arg(long, value_name = "COUNT", requires = "health_path", help_heading = "Failures")]
    health_rise: Option<NonZeroU32>,

    /// Bad probes in a row until a backend is avoided [default: 1]
    #[arg(long, value_name = "COUNT", requires = "health_path", help_heading = "Failures")]
    health_fall: Option<NonZeroU32>,

    /// A backend that failed so many requests is avoided [default: 1 with --fail-timeout, else as the balancer has it]
    #[arg(long, value_name = "COUNT", help_heading = "Failures")]
    max_fails: Option<NonZeroU32>,

    /// For so long [default: 10s with --max-fails, else as the balancer has it]
    #[arg(long, value_name = "TIME", help_heading = "Failures")]
    fail_timeout: Option<Time>,

    /// So often a request that a backend failed is tried again; 0: never [default: as the balancer has it]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=100), help_heading = "Failures")]
    retries: Option<u32>,

    /// Also one such as POST that was sent already, and may have been executed
    #[arg(long, requires = "retries", help_heading = "Failures")]
    retry_non_idempotent: bool,

    /// How long the balancer waits for a connection to a backend [default: as the balancer has it]
    #[arg(long, value_name = "TIME", help_heading = "Failures")]
    connect_timeout: Option<Time>,

    /// How long it waits for a backend's answer [default: as the balancer has it]
    #[arg(long, value_name = "TIME", help_heading = "Failures")]
    timeout: Option<Time>,

    /// Idle connections to backends that are kept; 0: a new one for each request [default: as the balancer has it]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=65535), help_heading = "Connections")]
    keep_alive: Option<u32>,

    /// Connections to backends begin with the PROXY protocol. The backends of uuid-generator do not understand it
    #[arg(long, help_heading = "Connections")]
    proxy_protocol: bool,

    /// Processes or threads that serve [default: 1]
    #[arg(long, value_name = "COUNT", value_parser = workers, help_heading = "Connections")]
    workers: Option<NonZeroU32>,

    /// Only what is included in a configuration that is there already
    #[arg(long, help_heading = "Output")]
    snippet: bool,

    /// Write files into this folder, which is made if it is not there [default: text to standard output]
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    output: Option<PathBuf>,

    /// For this version of the balancer [default: that of the program on PATH, else the newest]
    #[arg(long, value_name = "VERSION", help_heading = "Output")]
    for_version: Option<Version>,

    /// The file with the fleet's settings [default: uuid-generator.toml in the working directory, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
What the balancer cannot be told, in its free edition or in that version, is an error that names the nearest thing.

Examples:
  uuid-generator config nginx > nginx.conf            round robin over the fleet, on port 8080
  uuid-generator config nginx --snippet               to include, as load_balancer.conf
  uuid-generator config haproxy --algorithm source --health-path /readyz
  uuid-generator config traefik --weights 5:1:1 --output traefik

Exit status: 0 written, 2 could not.";

impl Typed {
    /// Writes it.
    pub fn run(self) -> Result<ExitCode> {
        let topology = self.topology()?;
        let version = match self.for_version {
            Some(version) => For::Asked(version),
            None => version_on_path(self.balancer).map_or(For::Newest, For::Found),
        };
        let options = Options { listen: self.listen, snippet: self.snippet, version, workers: self.workers };
        let written = self.balancer.write(&topology, &options)?;
        match &self.output {
            Some(folder) => {
                save(&written, folder)?;
                super::show(said(&written, folder).as_bytes())
            }
            None => super::show(shown(&written).as_bytes()),
        }
    }

    fn topology(&self) -> Result<Topology> {
        let settings = Settings::of_fleet(self.ports.clone(), self.host.clone(), self.config.clone());
        let (host, ports) = settings.complete()?.whereabouts()?;
        let mut topology = Topology::of(host, ports.meant().map_err(anyhow::Error::msg)?);
        if let Some(weights) = &self.weights {
            topology.weigh(weights).map_err(|why| anyhow::anyhow!("--weights: {why}"))?;
        }
        if let Some(backup) = &self.backup {
            for generator in backup.meant().map_err(|why| anyhow::anyhow!("--backup {why}"))? {
                let member = topology.members.iter_mut().find(|member| member.generator == generator);
                member.with_context(|| format!("--backup {generator}: the fleet has no such backend"))?.backup = true;
            }
            if topology.active().next().is_none() {
                bail!("--backup: all backends would be backups");
            }
        }
        if let Some(algorithm) = &self.algorithm {
            topology.algorithm = algorithm.clone();
        }
        if let Some(path) = &self.path {
            topology.path = path.clone();
        }
        let time = |time: Option<Time>, default| time.map_or(default, |Time(time)| time);
        topology.sockets = self.sockets.clone();
        topology.health = self.health_path.clone().map(|path| {
            let interval = time(self.health_interval, Duration::from_secs(1));
            let timeout = time(self.health_timeout, interval);
            let (rise, fall) =
                (self.health_rise.unwrap_or(NonZeroU32::MIN), self.health_fall.unwrap_or(NonZeroU32::MIN));
            Health { path, interval, timeout, rise, fall }
        });
        if self.max_fails.is_some() || self.fail_timeout.is_some() {
            topology.failure = Some(Failure {
                max_fails: self.max_fails.unwrap_or(NonZeroU32::MIN),
                fail_timeout: time(self.fail_timeout, Duration::from_secs(10)),
            });
        }
        if self.retries == Some(0) && self.retry_non_idempotent {
            bail!("--retry-non-idempotent: with --retries 0 nothing is tried again");
        }
        topology.retries = self.retries.map(|attempts| Retries { attempts, non_idempotent: self.retry_non_idempotent });
        topology.keep_alive = self.keep_alive;
        topology.proxy_protocol = self.proxy_protocol;
        let whole = |name: &str, given: Option<Time>| match given {
            Some(Time(time)) if time.subsec_nanos() % 1_000_000 != 0 => bail!("--{name}: expected whole milliseconds"),
            given => Ok(given.map(|Time(time)| time)),
        };
        topology.timeouts = Timeouts {
            connect: whole("connect-timeout", self.connect_timeout)?,
            answer: whole("timeout", self.timeout)?,
        };
        whole("health-interval", self.health_interval)?;
        whole("health-timeout", self.health_timeout)?;
        whole("fail-timeout", self.fail_timeout)?;
        Ok(topology)
    }
}

fn workers(text: &str) -> Result<NonZeroU32, &'static str> {
    let count = text.parse().ok().filter(|count: &NonZeroU32| count.get() <= 64);
    count.ok_or("expected a whole number from 1 to 64")
}

/// One file as it is; several with their names between them.
fn shown(written: &Written) -> String {
    match written.files.as_slice() {
        [file] => file.text.clone(),
        files => {
            let mut text = String::new();
            for file in files {
                let gap = if text.is_empty() { "" } else { "\n" };
                let _ = write!(text, "{gap}# ==> {} <==\n{}", file.name, file.text);
            }
            text
        }
    }
}

fn save(written: &Written, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("failed to make the folder {}", folder.display()))?;
    for file in &written.files {
        let path = folder.join(file.name);
        std::fs::write(&path, &file.text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

/// What was written where, and how it is used.
fn said(written: &Written, folder: &Path) -> String {
    let mut text = String::new();
    for file in &written.files {
        let _ = writeln!(text, "{}", folder.join(file.name).display());
    }
    if let Some(run) = &written.run {
        let _ = writeln!(text, "\ncd {} && {run}", folder.display());
    }
    text
}

/// As its program says, if there is one and it says so soon.
pub(super) fn version_on_path(balancer: Balancer) -> Option<Version> {
    const PATIENCE: Duration = Duration::from_secs(3);
    let (program, question) = balancer.version_question()?;
    // Where balancers are installed is not on every user's PATH.
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&folders).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let program = folders.map(|folder| folder.join(program)).find(|path| path.is_file())?;
    let mut command = Command::new(program);
    let mut child =
        command.arg(question).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    let begin = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut said = Vec::new();
    child.stdout.take()?.take(10_000).read_to_end(&mut said).ok()?;
    child.stderr.take()?.take(10_000).read_to_end(&mut said).ok()?;
    Version::in_text(&String::from_utf8_lossy(&said))
}
