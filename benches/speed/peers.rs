//! The servers that are compared, each one process on the server's core, ended when dropped.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::client::{CLIENT_CORE, Load, SERVER_CORE, answer_of};

pub const OURS: &str = env!("CARGO_BIN_EXE_uuid-generator");
const QUICKLY_BUILT: &str = "uuid-generator, built quickly";
const PATIENCE: Duration = Duration::from_secs(10);

/// A server whose CPU time is read.
pub trait Peer {
    fn name(&self) -> &'static str;
    fn port(&self) -> u16;
    /// The process that answers.
    fn answers(&self) -> u32;
    /// A process that works for it beside.
    fn helper(&self) -> Option<u32> {
        None
    }
}

/// Names the Debian packages of what is missing.
pub fn check_programs() -> Result<()> {
    let needed = [
        ("wrk", "wrk"),
        ("nginx", "nginx-light"),
        ("taskset", "util-linux"),
        ("python3", "python3"),
        ("h2load", "nghttp2-client"),
    ];
    let path = std::env::var("PATH").unwrap_or_default();
    let found = |program: &str| {
        path.split(':').chain(["/usr/sbin"]).any(|directory| Path::new(directory).join(program).exists())
    };
    let missing: Vec<&str> =
        needed.iter().filter(|(program, _)| !found(program)).map(|(_, package)| *package).collect();
    ensure!(missing.is_empty(), "the bench needs {0}\n  hint: apt-get install {0}", missing.join(" "));
    ensure!(thread::available_parallelism()?.get() >= 2, "the bench needs two cores: one to answer, one to ask");
    Ok(())
}

/// A temporary directory, removed when it is dropped.
pub struct Place(PathBuf);

impl Place {
    pub fn new() -> Result<Place> {
        let path = std::env::temp_dir().join(format!("uuid-generator-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Place(path))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Process(Child);

impl Process {
    fn start(core: &str, program: &str, arguments: &[&str], errors: Stdio) -> Result<Process> {
        let mut command = Command::new("taskset");
        command.args(["-c", core, program]).args(arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn();
        Ok(Process(child.with_context(|| format!("failed to start {program}"))?))
    }

    /// The number on its first line.
    fn port(&mut self) -> Result<u16> {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().context("no output")?).read_line(&mut line)?;
        line.trim().parse().with_context(|| format!("no port: {line:?}"))
    }

    fn children(&self) -> Result<Vec<u32>> {
        let pid = self.0.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        Ok(children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // NGINX ends its workers on SIGTERM only.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn wait_until<T>(what: &str, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(error) if Instant::now() > deadline => return Err(error).with_context(|| format!("waited for {what}")),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Ports below the ephemeral ones that are free now.
fn free_ports(count: u16) -> Result<u16> {
    let start = 10_000 + (std::process::id() % 15_000) as u16;
    for first in (start..32_000 - count).step_by(usize::from(count)) {
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if (first..first + count).all(free) {
            return Ok(first);
        }
    }
    bail!("no {count} free ports in a row")
}

/// Ours, with everything on: records, limits, timeouts, and a log that sums up.
pub struct Fleet {
    name: &'static str,
    supervisor: Process,
    first: u16,
}

impl Fleet {
    pub fn start(place: &Place, backends: u16) -> Result<Fleet> {
        Fleet::start_with(place, backends, &[])
    }

    /// One backend of the program that `cargo build --release` makes, which `make bench` names.
    pub fn quickly_built(place: &Place) -> Result<Option<Fleet>> {
        let start = |program: OsString| Fleet::launch(QUICKLY_BUILT, Path::new(&program), place, 1, &[]);
        std::env::var_os("PROGRAM").map(start).transpose()
    }

    /// With further options.
    pub fn start_with(place: &Place, backends: u16, options: &[&str]) -> Result<Fleet> {
        Fleet::launch("uuid-generator", Path::new(OURS), place, backends, options)
    }

    fn launch(name: &'static str, program: &Path, place: &Place, backends: u16, options: &[&str]) -> Result<Fleet> {
        let first = free_ports(backends)?;
        let ports = format!("{first}-{}", first + backends - 1);
        let mut command = Command::new(program);
        command
            .args(["--ports", &ports, "--control", "127.0.0.1:0"])
            .args(options)
            .current_dir(&place.0)
            .env("XDG_RUNTIME_DIR", &place.0);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.with_context(|| format!("failed to start {}", program.display()))?;
        let fleet = Fleet { name, supervisor: Process(child), first };
        for port in first..first + backends {
            wait_until("a backend", || {
                if options.contains(&"--tls") {
                    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(drop).map_err(anyhow::Error::from)
                } else {
                    answer_of(port, Load::New).map(drop)
                }
            })?;
        }
        if backends == 1 {
            pin(fleet.supervisor.0.id(), CLIENT_CORE)?;
            pin(fleet.answers(), SERVER_CORE)?;
        }
        Ok(fleet)
    }

    /// The base of its API, as its run file says.
    pub fn control(&self, place: &Place) -> Result<String> {
        let file = place.path(&format!("uuid-generator/{}.json", self.supervisor.0.id()));
        let whereabouts: serde_json::Value = serde_json::from_slice(&fs::read(file)?)?;
        Ok(whereabouts["control"].as_str().context("a run file names the API")?.to_owned())
    }
}

fn pin(pid: u32, core: &str) -> Result<()> {
    let status = Command::new("taskset").args(["-acp", core, &pid.to_string()]).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "failed to pin process {pid}");
    Ok(())
}

impl Peer for Fleet {
    fn name(&self) -> &'static str {
        self.name
    }

    fn port(&self) -> u16 {
        self.first
    }

    fn answers(&self) -> u32 {
        self.supervisor.children().ok().and_then(|children| children.first().copied()).unwrap_or_default()
    }

    fn helper(&self) -> Option<u32> {
        Some(self.supervisor.0.id())
    }
}

/// The bare loop, which shows the least that any server costs.
pub struct Floor {
    process: Process,
    port: u16,
}

impl Floor {
    pub fn start(place: &Place, load: Load, answer: &[u8]) -> Result<Floor> {
        let file = place.path("answer");
        fs::write(&file, answer)?;
        let this = std::env::current_exe()?;
        let arguments = load.floor().arguments(file.to_str().context("a path in UTF-8")?);
        let mut process =
            Process::start(SERVER_CORE, this.to_str().context("a path in UTF-8")?, &arguments, Stdio::inherit())?;
        Ok(Floor { port: process.port()?, process })
    }
}

impl Peer for Floor {
    fn name(&self) -> &'static str {
        "bare epoll loop"
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn answers(&self) -> u32 {
        self.process.0.id()
    }
}

/// NGINX that answers by itself, with an id of its own making and as many bytes.
pub struct Nginx {
    process: Process,
    port: u16,
}

impl Nginx {
    pub fn start(place: &Place, load: Load, length: usize) -> Result<Nginx> {
        let bare = Nginx::with_padding(place, 0)?;
        let padding = length.saturating_sub(answer_of(bare.port, load)?.len());
        drop(bare);
        // One digit more in Content-Length.
        let nginx = Nginx::with_padding(place, padding)?;
        let excess = answer_of(nginx.port, load)?.len() - length;
        drop(nginx);
        let nginx = Nginx::with_padding(place, padding - excess)?;
        ensure!(answer_of(nginx.port, load)?.len() == length, "NGINX answers with another length");
        Ok(nginx)
    }

    fn with_padding(place: &Place, padding: usize) -> Result<Nginx> {
        let nginx = Nginx::configured(place, padding, "", "")?;
        wait_until("NGINX", || answer_of(nginx.port, Load::New))?;
        Ok(nginx)
    }

    /// With TLS: files of its certificate and of the key.
    pub fn start_tls(place: &Place, [certificate, key]: &[String; 2]) -> Result<Nginx> {
        // Before 1.23.4 it speaks TLS 1.2 unless it is told, whose handshake costs it less.
        let lines = format!("ssl_protocols TLSv1.3; ssl_certificate {certificate}; ssl_certificate_key {key};");
        let nginx = Nginx::configured(place, 300, " ssl", &lines)?;
        wait_until("NGINX", || Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, nginx.port))?))?;
        Ok(nginx)
    }

    fn configured(place: &Place, padding: usize, listen: &str, lines: &str) -> Result<Nginx> {
        let port = free_ports(1)?;
        let configuration = place.path("nginx.conf");
        let text = format!(
            "daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;\nevents {{ worker_connections 4096; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;\n\
             uwsgi_temp_path t4; scgi_temp_path t5;\n\
             server {{ listen 127.0.0.1:{port}{listen}; {lines} location / {{ default_type text/html; return 200 \"${{request_id}}{}\"; }} }} }}\n",
            "x".repeat(padding)
        );
        fs::write(&configuration, text)?;
        let place = format!("{}/", place.0.display());
        let path = configuration.to_str().context("a path in UTF-8")?;
        let process =
            Process::start(SERVER_CORE, "nginx", &["-p", &place, "-e", "stderr", "-c", path], Stdio::inherit())?;
        Ok(Nginx { process, port })
    }
}

impl Peer for Nginx {
    fn name(&self) -> &'static str {
        "nginx return"
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn answers(&self) -> u32 {
        self.process.children().ok().and_then(|workers| workers.first().copied()).unwrap_or_default()
    }
}

/// A program with the behaviour of the original: Python's http.server, HTTP/1.0, one request at a time.
pub struct Original {
    process: Process,
    port: u16,
}

impl Original {
    pub fn start() -> Result<Original> {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/speed/original.py");
        // It prints each request to standard error, as the original does.
        let mut process = Process::start(SERVER_CORE, "python3", &[program], Stdio::null())?;
        Ok(Original { port: process.port()?, process })
    }
}

impl Peer for Original {
    fn name(&self) -> &'static str {
        "Python original"
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn answers(&self) -> u32 {
        self.process.0.id()
    }
}

/// KiB of a backend that has answered once and idles, without its journal.
pub fn idle_memory(place: &Place) -> Result<u64> {
    memory(Fleet::start(place, 1)?.answers(), "Rss:")
}

/// The same with a number of connections open, each answered once.
pub fn busy_memory(place: &Place, connections: usize) -> Result<u64> {
    let fleet = Fleet::start(place, 1)?;
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, fleet.port()))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let _ = stream.read(&mut [0; 4096])?;
        open.push(stream);
    }
    memory(fleet.answers(), "Rss:")
}

/// KiB that each backend of a fleet of this size adds: all of their proportional shares, by their number, without journals. A page that several map counts once.
pub fn added_memory(place: &Place, backends: u16) -> Result<f64> {
    let fleet = Fleet::start(place, backends)?;
    let processes = fleet.supervisor.children()?;
    ensure!(processes.len() == usize::from(backends), "{} backends run of {backends}", processes.len());
    let sum: u64 = processes.into_iter().map(|pid| memory(pid, "Pss:")).sum::<Result<u64>>()?;
    Ok(sum as f64 / f64::from(backends))
}

/// KiB of that kind, as `smaps` counts it, without journals.
pub fn memory(pid: u32, kind: &str) -> Result<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    let mut journal = false;
    let mut sum = 0;
    for line in maps.lines() {
        match line.strip_prefix(kind) {
            Some(size) if !journal => sum += size.trim().trim_end_matches(" kB").parse::<u64>()?,
            Some(_) => {}
            None if line.split(' ').next().is_some_and(|range| range.contains('-')) => {
                journal = line.contains("/memfd:");
            }
            None => {}
        }
    }
    Ok(sum)
}

/// From the start of the supervisor until each backend of a fleet of this size has answered once.
pub fn start_time(place: &Place, backends: u16) -> Result<Duration> {
    let begin = Instant::now();
    let fleet = Fleet::start(place, backends)?;
    let time = begin.elapsed();
    drop(fleet);
    Ok(time)
}
