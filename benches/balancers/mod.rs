//! Real balancers as `matrix` and `protocols` run them, and how a check of one is run and read. A balancer that is to be proven is one entry here.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use verdict::report::{Check, Report};

/// Whether clients see errors of a step.
#[allow(dead_code, reason = "each bench has the cells that it has")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Errors {
    None,
    /// What was in flight when the backend died.
    AFew,
    Some,
    Perhaps,
}

/// A balancer that is installed for the tests, and what is known of it.
#[allow(dead_code, reason = "each bench reads the fields that it needs")]
pub(crate) struct RealBalancer {
    pub(crate) title: &'static str,
    /// As `--with` takes it.
    pub(crate) name: &'static str,
    /// The editions of the matrix, each with whether it is that of the wheels.
    pub(crate) editions: &'static [(&'static str, bool)],
    /// How it is reloaded gracefully, by `sh`. Those that look at their files do nothing unless something has changed: what changes here changes
    /// nothing of how they balance.
    pub(crate) reload: &'static str,
    /// How it is reloaded so that its streams are closed too, if that takes more.
    pub(crate) reload_of_streams: Option<&'static str>,
    /// Of a graceful reload.
    pub(crate) reloaded: Errors,
    /// Of the same reload, where WebSockets are open.
    pub(crate) reloaded_websockets: Errors,
    /// Of a backend that is killed, while others are there.
    pub(crate) killed: Errors,
    /// The same where the backend that answers soonest gets the requests: the killed one may have had all of them or none.
    pub(crate) killed_by_time: Errors,
    /// Of a backend that drains. That is no outage: whoever goes on to send to a port that is closed fails requests.
    pub(crate) drained: Errors,
    /// Whether it reads a revocation list.
    pub(crate) has_revocation_list: bool,
    /// With trials of certificates: whoever keeps away from a backend whose certificate it refused must not do so for long.
    pub(crate) certificate_options: &'static [&'static str],
}

/// What is so of most.
const USUAL: RealBalancer = RealBalancer {
    title: "",
    name: "",
    editions: &[],
    reload: "",
    reload_of_streams: None,
    reloaded: Errors::None,
    reloaded_websockets: Errors::None,
    killed: Errors::Some,
    killed_by_time: Errors::Some,
    drained: Errors::Some,
    has_revocation_list: true,
    certificate_options: &[],
};

pub(crate) static BALANCERS: [RealBalancer; 5] = [
    RealBalancer {
        title: "NGINX",
        name: "nginx",
        editions: &[("NGINX 1.22", false), ("NGINX 1.31", true)],
        reload: "kill -HUP {pid}",
        // It tries another backend.
        killed: Errors::None,
        killed_by_time: Errors::None,
        drained: Errors::None,
        certificate_options: &["--fail-timeout", "1s"],
        ..USUAL
    },
    RealBalancer {
        title: "HAProxy",
        name: "haproxy",
        editions: &[("HAProxy", true)],
        reload: "kill -USR2 {pid}",
        // It tries again to connect, until that may be to another backend.
        killed: Errors::AFew,
        killed_by_time: Errors::AFew,
        drained: Errors::Perhaps,
        ..USUAL
    },
    RealBalancer {
        title: "Envoy",
        name: "envoy",
        editions: &[("Envoy", true)],
        reload: "cd {directory} && sed 's/^  name: uuid/&\\n  alt_stat_name: changed/' clusters.yaml > new && mv new clusters.yaml",
        ..USUAL
    },
    RealBalancer {
        title: "Traefik",
        name: "traefik",
        editions: &[("Traefik", true)],
        reload: "cd {directory} && sed 's/^  services:/&\\n    unused: {loadBalancer: {servers: [{url: http:\\/\\/127.0.0.1:1}]}}/' dynamic.yml > new && mv new dynamic.yml",
        killed_by_time: Errors::Perhaps,
        has_revocation_list: false,
        ..USUAL
    },
    RealBalancer {
        title: "Caddy",
        name: "caddy",
        editions: &[("Caddy", true)],
        reload: "kill -USR1 {pid}",
        // It closes no stream unless its configuration has changed.
        reload_of_streams: Some(
            "cd {directory} && sed -i 's/level WARN/level ERROR/; s/round_robin/random/' Caddyfile && kill -USR1 {pid}",
        ),
        // Its old server closes before it has accepted all.
        reloaded: Errors::Perhaps,
        // It closes every WebSocket with 1001 at once.
        reloaded_websockets: Errors::Some,
        has_revocation_list: false,
        ..USUAL
    },
];

/// The first of ten ports of a lane. Each run has others; all are below those from which a balancer takes a free one, or a fleet would find
/// that of another lane there.
pub(crate) fn first_port(lane: u16) -> u16 {
    10_000 + (std::process::id() % 250) as u16 * 40 + lane * 10
}

/// Runs the program with these words, that of `PROGRAM` if there is one; balancers come from the wheels, or from Debian alone.
pub(crate) fn run_program(words: &[String], from_wheels: bool) -> Output {
    let wheels = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.balancers/programs");
    let system = std::env::var_os("PATH").unwrap_or_default();
    let folders = from_wheels.then_some(wheels).into_iter().chain([PathBuf::from("/usr/sbin")]);
    let path = std::env::join_paths(folders.chain(std::env::split_paths(&system))).expect("no folder has a colon");
    let program = std::env::var_os("PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_uuid-generator").into());
    let mut command = Command::new(program);
    command.args(words).env("PATH", path).current_dir(std::env::temp_dir()).stdin(Stdio::null());
    command.output().expect("the program runs")
}

/// Why a run has no report.
pub(crate) enum NoReport {
    /// The balancer cannot do what was asked for, and the program says so.
    Impossible(String),
    Failed(String),
}

/// The one check of a run's report.
pub(crate) fn read_check(output: &Output) -> Result<Check, NoReport> {
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(2) {
        let why = said.trim().trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
        return Err(if why.contains(" cannot ") { NoReport::Impossible(why) } else { NoReport::Failed(why) });
    }
    let report: Report =
        serde_json::from_slice(&output.stdout).map_err(|_| NoReport::Failed(said.trim().to_owned()))?;
    report.checks.into_iter().next().ok_or_else(|| NoReport::Failed("no check".to_owned()))
}

/// Whether each request of the sample has one outcome.
pub(crate) fn adds_up(check: &Check) -> bool {
    check.account.outcomes.iter().map(|it| it.count).sum::<u64>() == check.account.sent
}
