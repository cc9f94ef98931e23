//! Our client beside `wrk`: CPU time of the asking process for a request, on the same backend. Ours verifies and records every
//! answer; `wrk` counts them.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use uuid_generator::testing::drive_backend;

use crate::client::CLIENT_CORE;

const WORD: &str = "--ask";
const CONNECTIONS: usize = 64;
/// Longer than other slices: the kernel tells an ended process's time in hundredths of a second.
const SECONDS: u64 = 2;

/// The port that this program is to ask, if it is the client.
pub fn from_arguments() -> Option<u16> {
    let mut arguments = std::env::args().skip(1);
    (arguments.next()? == WORD).then(|| arguments.next()?.parse().ok())?
}

/// Asks, and prints how many requests were answered well.
pub fn ask(port: u16) -> Result<()> {
    let well = drive_backend(([127, 0, 0, 1], port).into(), CONNECTIONS, Duration::from_secs(SECONDS))?;
    println!("{well} requests in {SECONDS} s");
    Ok(())
}

/// Microseconds a request of ours and of `wrk`, one after the other.
pub fn pair(port: u16) -> Result<(f64, f64)> {
    let this = std::env::current_exe()?;
    let ours = slice(&[this.to_str().context("a path in UTF-8")?, WORD, &port.to_string()])?;
    let url = format!("http://127.0.0.1:{port}/uuid");
    let wrk = slice(&["wrk", "-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s"), &url])?;
    Ok((ours, wrk))
}

fn slice(words: &[&str]) -> Result<f64> {
    let mut command = Command::new("taskset");
    command.args(["-c", CLIENT_CORE]).args(words).stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.spawn().with_context(|| format!("failed to start {}", words[0]))?;
    let pid = Pid::from_child(&child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    // User and system time of all its threads, after the name in parentheses.
    let fields = stat.rsplit_once(')').context("no fields")?.1.split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap_or_default()).sum();
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && !said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
    let count = said.lines().find_map(|line| line.trim().split_once(" requests in ")).context("no count")?.0;
    Ok(ticks as f64 * 10_000.0 / count.parse::<f64>()?)
}
