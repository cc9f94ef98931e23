//! A fleet of the real program for one test, ended with the test however that ends.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use api::{BackendStatus, FleetStatus, RecordsPage};
use rustix::process::Signal;

use crate::support::{
    DefaultPorts, Lines, PATIENCE, TemporaryDirectory, children, http, list, lives, ports, program, run, send,
};

/// A fleet that runs, and ends when it is dropped.
pub struct Fleet {
    supervisor: Child,
    pub place: TemporaryDirectory,
    pub output: Lines,
    pub log: Lines,
    /// The base of its API.
    pub control: String,
    _default_ports: Option<DefaultPorts>,
}

impl Fleet {
    /// With these flags; returns when all backends accept.
    pub fn start(flags: &[&str]) -> Fleet {
        let default_ports = (!flags.contains(&"--ports")).then(DefaultPorts::wait);
        let place = TemporaryDirectory::new();
        let mut command = program(&place);
        if !flags.contains(&"--control") {
            command.args(["--control", "127.0.0.1:0"]);
        }
        command.args(flags);
        let mut fleet = Fleet::spawn(command, place);
        fleet._default_ports = default_ports;
        fleet
    }

    /// That many backends on ports of their own, and further flags.
    pub fn of(backends: usize, flags: &[&str]) -> (Fleet, Vec<u16>) {
        let ports = ports(backends);
        (Fleet::start(&[&["--ports", &list(&ports)], flags].concat()), ports)
    }

    /// A command that starts a fleet in that place; returns when all backends accept.
    pub fn spawn(command: Command, place: TemporaryDirectory) -> Fleet {
        let mut fleet = Fleet::begin(command, place);
        let url = |lines: &[String]| lines.iter().find_map(|line| line.strip_prefix(API_LINE).map(str::to_owned));
        let said = fleet.output.wait(|said| url(&said.lines).is_some());
        fleet.control = url(&said.unwrap_or_else(|_| panic!("{}", fleet.log.wait_for_end().join("\n")))).unwrap();
        fleet
    }

    /// The same, but returns at once and does not know its API.
    pub fn begin(mut command: Command, place: TemporaryDirectory) -> Fleet {
        let mut supervisor = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (output, log) = (Lines::default(), Lines::default());
        output.read(supervisor.stdout.take().unwrap());
        log.read(supervisor.stderr.take().unwrap());
        Fleet { supervisor, place, output, log, control: String::new(), _default_ports: None }
    }

    pub fn pid(&self) -> u32 {
        self.supervisor.id()
    }

    /// `uuid-generator fleet …` against this fleet.
    pub fn command(&self, words: &[&str]) -> Output {
        self.program(&[&["fleet"], words].concat())
    }

    /// `uuid-generator …` where this fleet is the only one.
    pub fn program(&self, words: &[&str]) -> Output {
        run(program(&self.place).args(words))
    }

    /// The same, which must succeed.
    pub fn act(&self, action: &str, port: u16) {
        let output = self.command(&[action, &port.to_string()]);
        assert!(output.status.success(), "fleet {action} {port}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn status(&self) -> FleetStatus {
        self.api_get("/v1/fleet")
    }

    pub fn backend(&self, port: u16) -> BackendStatus {
        self.status().backends.into_iter().find(|backend| backend.name == port.to_string()).unwrap()
    }

    /// The process of a backend, which must live.
    pub fn backend_pid(&self, port: u16) -> u32 {
        let backend = self.backend(port);
        backend.pid.unwrap_or_else(|| panic!("{port} is {}", backend.state))
    }

    /// All records that the API gives.
    pub fn records(&self) -> RecordsPage {
        self.api_get("/v1/records?limit=1000000")
    }

    pub fn api_get<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let bearer = if self.run_file().exists() { self.bearer() } else { String::new() };
        let answer = self.call("GET", path, "127.0.0.1", &bearer);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Where it says to other commands where it is.
    pub fn run_file(&self) -> PathBuf {
        self.place.path().join(format!("uuid-generator/{}.json", self.pid()))
    }

    /// What opens its API, as a header.
    pub fn bearer(&self) -> String {
        let whereabouts: serde_json::Value = serde_json::from_slice(&fs::read(self.run_file()).unwrap()).unwrap();
        format!("Authorization: Bearer {}\r\n", whereabouts["token"].as_str().unwrap())
    }

    /// The address of its live view, with the token.
    pub fn view(&self) -> String {
        let bearer = self.bearer();
        format!("{}/#token={}", self.control, bearer.trim_end().rsplit(' ').next().unwrap())
    }

    /// A request to its API.
    pub fn call(&self, method: &str, path: &str, host: &str, headers: &str) -> http::Answer {
        self.call_with(method, path, host, headers, "")
    }

    /// The same with a body.
    pub fn call_with(&self, method: &str, path: &str, host: &str, headers: &str, body: &str) -> http::Answer {
        let address = self.control.strip_prefix("http://").unwrap().replace("0.0.0.0", "127.0.0.1");
        let length = body.len();
        http::Connection::open(address).unwrap().ask(&format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// Waits until it has said that on its standard output.
    pub fn expect_said(&self, text: &str) {
        self.output.wait_for(text);
    }

    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Waits for the end of the supervisor.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.supervisor.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the fleet did not end; it said:\n{}", self.output.all().join("\n"));
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops it with SIGTERM, waits for the end, and returns the lines of its standard output and of its log.
    pub fn stop(mut self) -> (Vec<String>, Vec<String>) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait().code(), Some(0));
        (self.output.wait_for_end(), self.log.wait_for_end())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let Ok(None) = self.supervisor.try_wait() else { return };
        let backends = children(self.pid());
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
        // They end with it. As long as one has not, it holds its port.
        let deadline = Instant::now() + PATIENCE;
        while backends.iter().any(|pid| lives(*pid)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

const API_LINE: &str = "The API listens on ";
