//! From slices to ratios, and from ratios to BENCHMARKS.md.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::client::{self, Load};
use crate::peers::{Peer, Place};

/// CPU time per request in one second of load, in microseconds.
#[derive(Clone, Copy)]
pub struct Slice {
    pub answering: f64,
    helping: f64,
}

impl Slice {
    pub fn take(peer: &dyn Peer, load: Load, place: &Place) -> Result<Slice> {
        let times = || -> Result<(u64, u64)> {
            Ok((processor_time(peer.answers())?, peer.helper().map_or(Ok(0), processor_time)?))
        };
        let before = times()?;
        let requests = client::drive(peer.port(), load, &place.path("pipeline.lua"))?;
        let after = times()?;
        let per_request = |before: u64, after: u64| (after - before) as f64 / 1000.0 / requests as f64;
        Ok(Slice { answering: per_request(before.0, after.0), helping: per_request(before.1, after.1) })
    }
}

/// Nanoseconds that all threads of a process have run.
pub fn processor_time(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))? {
        let times = fs::read_to_string(task?.path().join("schedstat"))?;
        sum += times.split(' ').next().context("no time")?.parse::<u64>()?;
    }
    Ok(sum)
}

/// A figure, and what it is to be at most.
pub struct StreamFigure {
    pub what: String,
    pub measured: f64,
    pub target: f64,
}

/// As rows of a table.
pub fn stream_rows(figures: &[StreamFigure]) -> String {
    let mut rows = String::new();
    for StreamFigure { what, measured, target } in figures {
        let reached = if measured <= target { "yes" } else { "**no**" };
        let _ = writeln!(rows, "| {what} | {target:.2} | {measured:.2} | {reached} |");
    }
    rows
}

/// Everything that was measured.
#[derive(Default)]
pub struct Measured {
    slices: BTreeMap<Load, Vec<(&'static str, Vec<Slice>)>>,
    /// Microseconds a request of our client and of `wrk`, by round.
    pub asking: Vec<(f64, f64)>,
    /// Microseconds a request of a backend while somebody looks at the live view, and while nobody does, by round.
    pub watching: Vec<(f64, f64)>,
    /// In KiB.
    pub idle_memory: Vec<u64>,
    /// The whole bench.
    pub took: Duration,
    /// In KiB.
    pub added_memory: f64,
    /// In KiB.
    pub busy_memory: u64,
    pub starts: Vec<Duration>,
    /// Seconds until a command has run in a private copy of this machine, and seconds of processors.
    pub worlds: Vec<(f64, f64)>,
    /// Requests a second through a balancer in such a copy, with backends on loopback and on hosts of their own.
    pub rehearsed: Vec<(f64, f64)>,
    /// Of HTTP/2 and gRPC.
    pub streams: Vec<StreamFigure>,
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => (values[length / 2 - 1] + values[length / 2]) / 2.0,
    }
}

const OURS: &str = "uuid-generator";
const FLOOR: &str = "bare epoll loop";
const NGINX: &str = "nginx return";

impl Measured {
    pub fn add(&mut self, load: Load, name: &'static str, slice: Slice) {
        let peers = self.slices.entry(load).or_default();
        match peers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slices)) => slices.push(slice),
            None => peers.push((name, vec![slice])),
        }
    }

    fn of(&self, load: Load, name: &str) -> &[Slice] {
        let peers = self.slices.get(&load).map_or(&[][..], Vec::as_slice);
        peers.iter().find(|(known, _)| *known == name).map_or(&[], |(_, slices)| slices)
    }

    /// The median of the ratios of each round.
    fn ratio(&self, load: Load, to: &str) -> f64 {
        let pairs = self.of(load, OURS).iter().zip(self.of(load, to));
        median(pairs.map(|(ours, peer)| ours.answering / peer.answering).collect())
    }

    pub fn rows(&self, load: Load) -> String {
        let mut rows = String::new();
        for (name, slices) in self.slices.get(&load).into_iter().flatten() {
            let time = median(slices.iter().map(|slice| slice.answering).collect());
            let ratio = self.ratio(load, name);
            let _ = writeln!(rows, "| {} | {name} | {time:.2} | {ratio:.3} |", load.name());
        }
        rows
    }

    fn asking_ratio(&self) -> f64 {
        median(self.asking.iter().map(|(ours, wrk)| ours / wrk).collect())
    }

    fn watching_ratio(&self) -> f64 {
        median(self.watching.iter().map(|(watched, alone)| watched / alone).collect())
    }

    pub fn asking_row(&self) -> String {
        let ours = median(self.asking.iter().map(|(ours, _)| *ours).collect());
        let wrk = median(self.asking.iter().map(|(_, wrk)| *wrk).collect());
        let mut ratios: Vec<f64> = self.asking.iter().map(|(ours, wrk)| ours / wrk).collect();
        ratios.sort_by(f64::total_cmp);
        let ratios: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.3}")).collect();
        format!(
            "The client of `check` (64 connections, kept; user and system time of the whole process; every answer verified and recorded):\n\
             {ours:.2} µs a request, `wrk -t1 -c64` {wrk:.2} on the same backend, in turn; the rounds' ratios: {}.\n",
            ratios.join(", ")
        )
    }

    /// What is measured, the measure, what it may be at most, and digits after the point.
    fn targets(&self) -> [(&'static str, f64, f64, usize); 12] {
        let start = median(self.starts.iter().map(Duration::as_secs_f64).collect());
        [
            ("64 connections: ours with everything on / bare epoll loop", self.ratio(Load::Kept(64), FLOOR), 1.08, 3),
            ("64 connections: ours / nginx `return`", self.ratio(Load::Kept(64), NGINX), 0.84, 3),
            ("16 requests pipelined deep: ours / bare epoll loop", self.ratio(Load::Pipelined, FLOOR), 1.6, 3),
            ("16 requests pipelined deep: ours / nginx `return`", self.ratio(Load::Pipelined, NGINX), 0.12, 3),
            ("a new connection per request: ours / bare epoll loop", self.ratio(Load::New, FLOOR), 1.12, 3),
            ("the client of `check` / `wrk -t1 -c64`", self.asking_ratio(), 0.95, 3),
            ("64 connections: a backend with the live view open / with nobody looking", self.watching_ratio(), 1.02, 3),
            (
                "memory that each of 300 backends adds (PSS / 300, journals apart), MiB",
                self.added_memory / 1024.0,
                0.35,
                2,
            ),
            ("300 backends started by exec until all have answered once, s", start, 0.6, 2),
            (
                "a command run in a private copy of this machine, s",
                median(self.worlds.iter().map(|(real, _)| *real).collect()),
                0.15,
                3,
            ),
            (
                "the same, CPU time of all its processes, s",
                median(self.worlds.iter().map(|(_, processors)| *processors).collect()),
                0.04,
                3,
            ),
            (
                "a rehearsal, requests a second: backends on loopback / on hosts of their own",
                median(self.rehearsed.iter().map(|(loopback, network)| loopback / network).collect()),
                1.18,
                2,
            ),
        ]
    }

    pub fn report(&self) -> String {
        let helping = median(self.of(Load::Kept(64), OURS).iter().map(|slice| slice.helping).collect());
        let mut text = format!(
            "# Benchmarks\n\n\
             Written by `make bench` in {:.0} minutes. Machine: {}.\n\n\
             ## How it is measured\n\n\
             CPU time per request: what the answering process has run (`/proc/PID/task/*/schedstat`) divided by the requests that `wrk` saw\n\
             answered. Each server is one process on one core, `wrk -t1` has the other. Slices of one second in turn, {} rounds after a warm-up;\n\
             a ratio is the median of the rounds' ratios. The machine is shared and noisy: ratios count, microseconds are those of that day.\n\n\
             - *uuid-generator*: one backend with everything on: records, limits, timeouts, the log. The supervisor that reads its records has the\n  \
               client's core; it spends {helping:.2} µs a request beside, at 64 connections.\n\
             - *uuid-generator, built quickly*: the same from `cargo build --release`, which gives up speed for a build in half the time.\n\
             - *bare epoll loop*: answers the same bytes as ours, constant, parses nothing (`benches/speed/floor.rs`): the floor.\n\
             - *nginx return*: one worker, `return 200` with `$request_id` and padding to the same length, no log.\n\
             - *Python original*: `http.server` with the behaviour of the program that this one began as; HTTP/1.0, so each request has its connection.\n\n\
             ## CPU time per request\n\n\
             | load | server | µs | ours / it |\n|---|---|---|---|\n",
            self.took.as_secs_f64() / 60.0,
            machine(),
            self.of(Load::Kept(64), OURS).len(),
        );
        for load in Load::ALL {
            text += &self.rows(load);
        }
        text += "\n## CPU time per request of the client\n\n";
        text += &self.asking_row();
        text += "\n## Targets\n\n| | at most | measured | reached |\n|---|---|---|---|\n";
        for (what, measured, target, digits) in self.targets() {
            let reached = if measured <= target { "yes" } else { "**no**" };
            let _ = writeln!(text, "| {what} | {target:.digits$} | {measured:.digits$} | {reached} |");
        }
        text += &stream_rows(&self.streams);
        let _ = writeln!(
            text,
            "\nWhat a backend adds is its PSS, in which a page that several processes share counts once. It is no target how much is resident\n\
             (RSS; of {} idle backends, without journals, MiB: {}): most of it are pages of the program and of the C library that\n\
             all processes share, and how many of those the kernel maps around each one that is touched is the kernel's choice. With\n\
             256 connections open it is {:.2}: a connection that idles holds no buffer.",
            self.idle_memory.len(),
            self.idle_memory.iter().map(|kib| format!("{:.2}", *kib as f64 / 1024.0)).collect::<Vec<_>>().join(", "),
            self.busy_memory as f64 / 1024.0
        );
        text
    }
}

fn machine() -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
    };
    let parts = [
        said("uname", &["-sr"]).and_then(|kernel| Some(kernel.split('-').next()?.to_owned())),
        said("nginx", &["-v"]),
        said("python3", &["--version"]),
        said("rustc", &["--version"]),
    ];
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{cores} cores of {}, {}", model.trim_start_matches([':', '\t', ' ']), parts.join(", "))
}
