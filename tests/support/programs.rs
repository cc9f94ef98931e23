//! The program in places of its own, and what it writes.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Instant;

use rustix::process::Signal;

use crate::support::{PATIENCE, PROGRAM, all_processes, list, send};
use verdict::report::Report;

/// A directory that is removed with the value.
pub struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub fn new() -> TemporaryDirectory {
        let path = std::env::temp_dir().join(format!("uuid-generator-test-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir(&path).unwrap();
        TemporaryDirectory(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The processes that were started in this place and live.
    pub fn processes(&self) -> Vec<u32> {
        let here = format!("XDG_RUNTIME_DIR={}", self.0.display());
        let is_here = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == here.as_bytes())
        };
        all_processes().filter(is_here).collect()
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program in a place of its own: no settings of the environment, no file, no other fleets to be found.
pub fn program(place: &TemporaryDirectory) -> Command {
    in_place(Command::new(PROGRAM), place)
}

/// Another command in such a place.
pub fn in_place(mut command: Command, place: &TemporaryDirectory) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("UUID_GENERATOR_") {
            command.env_remove(name);
        }
    }
    command.env("XDG_RUNTIME_DIR", place.path()).env("TZ", "UTC").current_dir(place.path()).stdin(Stdio::null());
    command
}

/// A demo that runs and has said where to look. It is ended with the value.
pub struct Demo {
    pub process: Child,
    /// What it has said.
    pub said: Vec<String>,
    /// URL of its balancer.
    pub url: String,
}

impl Demo {
    pub fn start(place: &TemporaryDirectory, balancer: &str, backends: &[u16], listen: &str) -> Demo {
        let list = list(backends);
        let mut process = program(place)
            .args(["demo", "--with", balancer, "--ports", &list, "--listen", listen, "--control", "127.0.0.1:0"])
            .env("TMPDIR", place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = Lines::default();
        output.read(process.stdout.take().unwrap());
        let mut demo = Demo { process, said: Vec::new(), url: format!("http://localhost:{listen}/uuid") };
        let looks = |lines: &[String]| lines.iter().any(|line| line.starts_with("Look at "));
        demo.said = output.wait_until("where to look", looks);
        demo
    }

    /// The address of its live view.
    pub fn view(&self) -> String {
        let line = self.said.iter().find(|line| line.contains("take the tour: ")).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    }

    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        send(self.process.id(), signal);
        self.process.wait().unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            self.end(Signal::TERM);
        }
    }
}

/// Runs a command to its end. One that does not end is killed and fails the test.
pub fn run(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let (ended, end) = mpsc::channel();
    thread::spawn(move || ended.send(child.wait_with_output()));
    end.recv_timeout(PATIENCE)
        .unwrap_or_else(|_| {
            send(pid, Signal::KILL);
            panic!("it did not end: {command:?}")
        })
        .unwrap()
}

/// What a program wrote to standard error, but for the progress of a check: `  6 s · sample`.
pub fn complaints(output: &Output) -> String {
    let is_progress = |line: &str| {
        line.trim_start().split_once(" s · ").is_some_and(|(time, _)| time.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let text = String::from_utf8_lossy(&output.stderr);
    text.split_inclusive('\n').filter(|line| !is_progress(line)).collect()
}

/// What a program that could not run says: exit status 2, this on standard error and nothing else.
pub fn error_of(output: &Output) -> String {
    let error = complaints(output);
    assert_eq!(output.status.code(), Some(2), "{error}");
    if !output.stdout.is_empty() {
        // A report of JSON was asked for: it has that error and no result.
        let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {error}"));
        assert!(report.checks.is_empty() && report.errors.len() == 1, "{report:?}");
    }
    error
}

/// What a process has written so far, and a way to wait for more.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
pub(super) struct Written {
    pub(super) lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Keeps what comes out of it.
    pub fn read(&self, stream: impl Read + Send + 'static) {
        let lines = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                lines.0.0.lock().unwrap().lines.push(line);
                lines.0.1.notify_all();
            }
            lines.0.0.lock().unwrap().ended = true;
            lines.0.1.notify_all();
        });
    }

    pub fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().lines.clone()
    }

    /// All lines, once they satisfy; fails when no more can come or it takes too long.
    pub fn wait_until(&self, what: &str, satisfied: impl Fn(&[String]) -> bool) -> Vec<String> {
        self.wait(|written| satisfied(&written.lines))
            .unwrap_or_else(|lines| panic!("never came: {what}; but this did:\n{}", lines.join("\n")))
    }

    /// The first line that contains the text.
    pub fn wait_for(&self, text: &str) -> String {
        let lines = self.wait_until(text, |lines| lines.iter().any(|line| line.contains(text)));
        lines.into_iter().find(|line| line.contains(text)).unwrap()
    }

    /// All lines, once every process that could write more has ended.
    pub fn wait_for_end(&self) -> Vec<String> {
        self.wait(|written| written.ended).expect("processes that could write more live on")
    }

    /// All lines, `Err` if they do not satisfy and no more can come or it takes too long.
    pub(super) fn wait(&self, satisfied: impl Fn(&Written) -> bool) -> Result<Vec<String>, Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        let mut written = self.0.0.lock().unwrap();
        while !satisfied(&written) {
            let left = deadline.saturating_duration_since(Instant::now());
            if written.ended || left.is_zero() {
                return Err(written.lines.clone());
            }
            written = self.0.1.wait_timeout(written, left).unwrap().0;
        }
        Ok(written.lines.clone())
    }
}

/// What a line says after its time of day, which must be about now.
pub fn after_time(line: &str) -> &str {
    let (time, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no time in {line:?}"));
    let time: jiff::civil::Time = time.parse().unwrap_or_else(|error| panic!("{error}: {line:?}"));
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).time();
    let seconds = |time: jiff::civil::Time| time.duration_since(jiff::civil::Time::midnight()).as_secs();
    let age = (seconds(now) - seconds(time)).rem_euclid(24 * 3600);
    assert!(age < 60, "{line:?} was not said now, at {now}");
    rest
}
