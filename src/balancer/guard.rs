//! A process between us and a balancer that we started: when we end, in whatever way, it ends the balancer and removes what was made for
//! it. It knows that we have ended when its standard input does.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};

/// What the balancer says goes there, in its directory.
pub const OUTPUT: &str = "output.log";
/// A file of this name stands there when the balancer has ended by itself.
pub const ENDED: &str = "ended";
/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(20);

/// Guards a balancer: its directory, and the command that runs it in the foreground. Returns its exit status.
pub fn guard(directory: PathBuf, command: &[OsString]) -> Result<ExitCode> {
    let _directory = Removed(directory.clone());
    // CTRL+C goes to the whole foreground group: the one that waits for us decides, not the terminal.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))).context("failed to listen to signals")?;
    }
    // What cuts itself off from its parent, as daemons do, comes to us.
    set_child_subreaper(Some(getpid())).context("failed to become the one who gets orphans")?;
    let (program, arguments) = command.split_first().context("no command to guard")?;
    let output = File::create(directory.join(OUTPUT)).context("failed to write the balancer's output")?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(&directory)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("failed to start {}", program.to_string_lossy()))?;
    let (ended, end) = channel();
    thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        let _ = ended.send(());
    });
    loop {
        if let Some(status) = child.try_wait()? {
            // Whoever started us reads why before the directory goes.
            let _ = File::create(directory.join(ENDED));
            let _ = end.recv();
            stop_orphans();
            return Ok(ExitCode::from(status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1) as u8));
        }
        match end.recv_timeout(GLANCE) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                stop(&mut child);
                stop_orphans();
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

fn stop(child: &mut Child) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        thread::sleep(GLANCE / 4);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Whatever the balancer has left.
fn stop_orphans() {
    let deadline = Instant::now() + GRACE;
    loop {
        let left = children(std::process::id());
        if left.is_empty() {
            return;
        }
        let signal = if Instant::now() < deadline { Signal::TERM } else { Signal::KILL };
        for pid in left.iter().filter_map(|process| Pid::from_raw(*process as i32)) {
            let _ = kill_process(pid, signal);
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        thread::sleep(GLANCE / 4);
    }
}

/// The processes that any thread of that one has started, or got.
pub fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let numbers = |line: String| line.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<u32>>();
    children.flat_map(numbers).collect()
}

/// Removed with all that is in it when this is dropped.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
