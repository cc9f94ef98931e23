//! The real balancers, with configurations that we write: whether they take them, and running.
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::http::{Answer, Connection};
use crate::support::{self, PATIENCE, TemporaryDirectory, list};

/// A balancer's program on this machine.
#[derive(Clone, Debug)]
pub struct Installed {
    pub name: &'static str,
    pub program: PathBuf,
    pub version: String,
}

/// A balancer that `tests/prepare` installs.
struct Prepared {
    name: &'static str,
    /// What it answers with its version.
    question: &'static str,
    /// Of Debian; without one only the wheel is there.
    packaged: Option<&'static str>,
    has_wheel: bool,
}

const PREPARED: [Prepared; 5] = [
    Prepared { name: "nginx", question: "-v", packaged: Some("/usr/sbin/nginx"), has_wheel: true },
    Prepared { name: "haproxy", question: "-v", packaged: Some("/usr/sbin/haproxy"), has_wheel: false },
    Prepared { name: "envoy", question: "--version", packaged: None, has_wheel: true },
    Prepared { name: "traefik", question: "version", packaged: None, has_wheel: true },
    Prepared { name: "caddy", question: "version", packaged: None, has_wheel: true },
];

/// Their names, whether they are installed or not.
pub fn names() -> impl Iterator<Item = &'static str> {
    PREPARED.iter().map(|prepared| prepared.name)
}

/// All that `tests/prepare` installs: Debian's, and those of wheels.
pub fn installed() -> Vec<Installed> {
    let wheels = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/.balancers/programs");
    let of = |prepared: &Prepared, program: PathBuf| {
        assert!(program.exists(), "{} is missing: run tests/prepare, or `make test`, which does", program.display());
        let said = support::run(Command::new(&program).arg(prepared.question));
        let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
        let mut words = said.split(|c: char| !(c.is_ascii_digit() || c == '.')).map(|word| word.trim_matches('.'));
        let version = words.find(|word| word.split('.').filter(|part| !part.is_empty()).count() == 3);
        let version = version.unwrap_or_else(|| panic!("{program:?} says no version: {said}")).to_owned();
        Installed { name: prepared.name, program, version }
    };
    let places = |prepared: &Prepared| {
        let wheel = prepared.has_wheel.then(|| wheels.join(prepared.name));
        prepared.packaged.map(PathBuf::from).into_iter().chain(wheel).collect::<Vec<_>>()
    };
    PREPARED.iter().flat_map(|prepared| places(prepared).into_iter().map(|place| of(prepared, place))).collect()
}

/// What `config` has written.
pub struct Written {
    pub place: TemporaryDirectory,
    /// Names of the files.
    pub files: Vec<String>,
    /// Variables, the program and its arguments.
    run: Vec<String>,
}

impl Installed {
    /// For backends on these ports, with these options; None if the balancer does not support them.
    pub fn config(&self, ports: &[u16], options: &[&str]) -> Option<Written> {
        let place = TemporaryDirectory::new();
        fs::set_permissions(place.path(), Permissions::from_mode(0o777)).unwrap();
        let ports = list(ports);
        let mut command = support::program(&place);
        command.args(["config", self.name, "--ports", &ports, "--for-version", &self.version, "--output", "."]);
        let output = support::run(command.args(options));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(" cannot "), "{self:?} {options:?}: {said}");
            return None;
        }
        let (files, run) = said.split_once("\n\n").expect("files, and how it is run");
        let files = files.lines().map(|file| file.trim_start_matches("./").to_owned()).collect();
        let run = run.trim().strip_prefix("cd . && ").expect("in the folder").split(' ').map(str::to_owned).collect();
        Some(Written { place, files, run })
    }

    /// Whether it takes this configuration, without complaint. Traefik can only be started.
    pub fn takes(&self, written: &Written) -> Result<(), String> {
        let place = written.place.path();
        let arguments: &[&str] = match self.name {
            "nginx" => &["-t", "-p", ".", "-e", "stderr", "-c", "nginx.conf"],
            "haproxy" => &["-c", "-f", "haproxy.cfg"],
            "envoy" => {
                fs::write(place.join("envoy.yaml"), all_static(written)).unwrap();
                &["--mode", "validate", "-c", "envoy.yaml", "--log-level", "warning"]
            }
            "caddy" => &["validate", "--config", "Caddyfile", "--adapter", "caddyfile"],
            other => panic!("{other} has no test of a configuration"),
        };
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(place).env("HOME", place).stdin(Stdio::null());
        let output = support::run(&mut command);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let complains = ["warn", "deprecated"].iter().any(|word| said.to_ascii_lowercase().contains(word));
        // HAProxy counts the warnings that it does not have.
        let complains = complains && self.name != "haproxy" || said.contains("[WARNING]");
        if output.status.success() && !complains { Ok(()) } else { Err(said) }
    }

    /// Running, as `config` says how it is run. Returns when it has its configuration. None if the balancer does not support these options.
    pub fn start(&self, ports: &[u16], options: &[&str], path: &str) -> Option<Running> {
        let address = Running::address();
        let listen = address.to_string();
        let written = self.config(ports, &[&["--listen", &listen], options].concat())?;
        let is_variable = |word: &&String| {
            let name = word.split_once('=').map(|(name, _)| name);
            name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        };
        let variables = written.run.iter().take_while(is_variable).filter_map(|word| word.split_once('='));
        let mut command = Command::new(&self.program);
        // Debian's programs can be read by everybody.
        if rustix::process::getuid().is_root() && self.program.starts_with("/usr") {
            command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&self.program);
        }
        let output = File::create(written.place.path().join("output")).unwrap();
        command.args(written.run.iter().skip_while(is_variable).skip(1)).envs(variables);
        command.current_dir(written.place.path()).stdin(Stdio::null());
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap();
        let mut running = Running { address, child, place: written.place };
        let what = format!("{self:?} serves {path} with {options:?}");
        support::eventually(&what, || {
            let ended = running.child.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: it ended: {}", running.said());
            // Before Traefik has read its dynamic file, all is 404.
            running.ask(path, "").is_some_and(|answer| answer.status != 404)
        });
        Some(running)
    }
}

/// Envoy, when it only looks whether a configuration is valid, looks at none that is dynamic.
fn all_static(written: &Written) -> String {
    let text = |name: &str| fs::read_to_string(written.place.path().join(name)).unwrap();
    let (listener, clusters) = (text("envoy.yaml"), text("clusters.yaml"));
    let listener = listener.lines().filter(|line| !line.contains("dynamic_resources") && !line.contains("cds_config"));
    let (_, cluster) = clusters.split_once("config.cluster.v3.Cluster\n  ").expect("one cluster");
    let cluster = format!("clusters:\n- {cluster}");
    let lines = listener.map(str::to_owned).chain(cluster.lines().map(|line| format!("  {line}")));
    lines.map(|line| line + "\n").collect()
}

/// A running balancer. Dropping it ends it.
pub struct Running {
    pub address: SocketAddr,
    child: Child,
    place: TemporaryDirectory,
}

impl Running {
    /// An address for the next one.
    pub fn address() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, support::ports(1)[0]))
    }

    /// A GET with these header lines; None if there was no answer.
    pub fn ask(&self, path: &str, headers: &str) -> Option<Answer> {
        self.send("GET", path, headers)
    }

    /// A POST of one byte; None if there was no answer.
    pub fn post(&self, path: &str) -> Option<Answer> {
        self.send("POST", path, "Content-Length: 1\r\n")
    }

    fn send(&self, method: &str, path: &str, headers: &str) -> Option<Answer> {
        let body = if method == "POST" { "x" } else { "" };
        let mut connection = Connection::open(self.address).ok()?;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n");
        connection.send(&(head + body)).ok()?;
        connection.answer().ok()
    }

    /// The first line of what comes of a handshake.
    pub fn open_websocket(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        write!(stream, "GET {path} HTTP/1.1\r\nHost: h\r\n{handshake}\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }

    /// Which backends answer this number of requests, one after the other.
    pub fn backends(&self, count: usize, path: &str, headers: &str) -> Vec<u16> {
        (0..count)
            .map(|_| self.ask(path, headers).unwrap_or_else(|| panic!("no answer: {}", self.said())).backend())
            .collect()
    }

    pub fn said(&self) -> String {
        fs::read_to_string(self.place.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let begin = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if begin.elapsed() > Duration::from_secs(5) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
