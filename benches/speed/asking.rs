//! Our client beside `wrk` and `h2load`: CPU time of the asking process for a request, on the same backend. Ours verifies and records every
//! answer; they count them.

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

/// What this program is to ask, if it is the client.
pub struct Asked {
    port: u16,
    connections: usize,
    /// Requests at once on each, of HTTP/2; none of HTTP/1.
    streams: Option<usize>,
}

pub fn from_arguments() -> Option<Asked> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [word, port, connections, streams] = words.as_slice() else { return None };
    let asked = || {
        Some(Asked { port: port.parse().ok()?, connections: connections.parse().ok()?, streams: streams.parse().ok() })
    };
    if word == WORD { asked() } else { None }
}

/// Asks, and prints how many requests were answered well.
pub fn ask(asked: &Asked) -> Result<()> {
    let Asked { port, connections, streams } = *asked;
    let well = drive_backend(([127, 0, 0, 1], port).into(), connections, streams, Duration::from_secs(SECONDS))?;
    println!("{well} requests in {SECONDS} s");
    Ok(())
}

/// Microseconds a request of ours.
fn ours(port: u16, connections: usize, streams: Option<usize>) -> Result<f64> {
    let this = std::env::current_exe()?;
    let this = this.to_str().context("a path in UTF-8")?;
    let streams = streams.map_or("-".to_owned(), |streams| streams.to_string());
    slice(&[this, WORD, &port.to_string(), &connections.to_string(), &streams])
}

/// Microseconds a request of ours and of `h2load`, one after the other, each with this number of connections and of requests at once on each.
pub fn pair_with_h2load(port: u16, connections: usize, streams: Option<usize>) -> Result<(f64, f64)> {
    let ours = ours(port, connections, streams)?;
    let (count, url) = (connections.to_string(), format!("http://127.0.0.1:{port}/uuid"));
    let way = streams.map_or(vec!["--h1".to_owned()], |streams| vec!["-m".to_owned(), streams.to_string()]);
    let seconds = SECONDS.to_string();
    let words =
        [vec!["h2load", "-t1", "-D", &seconds, "-c", &count], way.iter().map(String::as_str).collect(), vec![&url]];
    Ok((ours, slice(&words.concat())?))
}

/// Microseconds a request of ours and of `wrk`, one after the other.
pub fn pair(port: u16) -> Result<(f64, f64)> {
    let ours = ours(port, CONNECTIONS, None)?;
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
    // h2load says `requests: 9 total, 9 started, 9 done, 9 succeeded, …`.
    let of_h2load =
        || said.lines().find_map(|line| line.strip_prefix("requests: ")?.split(", ").nth(2)?.strip_suffix(" done"));
    let of_others = said.lines().find_map(|line| Some(line.trim().split_once(" requests in ")?.0));
    let count = of_others.or_else(of_h2load).context("no count")?;
    Ok(ticks as f64 * 10_000.0 / count.parse::<f64>()?)
}
