//! A fleet under constant load while backends are killed, paused, broken and started again, and clients of its API come and go: its memory and
//! descriptors stay as they are, nobody is left unburied, and of every request that was sent it is known what became of it. `make soak` for longer.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api::BackendState;
use rustix::process::Signal;

use crate::support::http::get;
use crate::support::{Fleet, all_processes, children, eventually, send};

/// From one mischief to the next.
const PAUSE: Duration = Duration::from_millis(400);
/// What the supervisor may grow by: its latest 262,144 records fill up, whatever the load.
const GROWTH_KIB: u64 = 128 * 1024;
const MORE_FILES: usize = 24;

fn duration() -> Duration {
    let text = std::env::var("SOAK").unwrap_or_else(|_| "60s".to_owned());
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => panic!("SOAK={text}: expected a time such as 60s or 10m"),
    };
    let number: u64 = number.parse().unwrap_or_else(|_| panic!("SOAK={text}: expected a time such as 60s or 10m"));
    Duration::from_secs(number * seconds)
}

/// Resident memory in KiB, without what is shared with others, and open files.
fn size_of(pid: u32) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = anonymous.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    (kib, std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count))
}

fn zombies(parent: u32) -> Vec<u32> {
    let is_zombie = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest).trim();
        let mut words = rest.split(' ');
        words.next() == Some("Z") && words.next() == Some(&parent.to_string())
    };
    all_processes().filter(is_zombie).collect()
}

/// One mischief, by its number; what it breaks, a later one mends.
fn mischief(number: u32, fleet: &Fleet, ports: &[u16]) {
    let victim = ports[(number / 8) as usize % ports.len()];
    let port = victim.to_string();
    match number % 8 {
        0 => drop(fleet.command(&["pause", &port])),
        1 => drop(fleet.command(&["resume", &port])),
        2 => drop(fleet.program(&["fault", &port, "latency", "5ms", "50%"])),
        3 => drop(fleet.program(&["fault", &port, "status", "503", "20%"])),
        4 => drop(fleet.program(&["fault", "clear"])),
        5 => send(fleet.backend_pid(victim), Signal::KILL),
        6 => drop(fleet.command(&["start", &port])),
        _ => {
            fleet.call("GET", "/v1/records?limit=1000", "127.0.0.1", &fleet.bearer());
            fleet.call("GET", "/metrics", "127.0.0.1", "");
            // Half a request, and a live view that nobody reads.
            let address = fleet.control.strip_prefix("http://").unwrap();
            for text in ["GET /v1/fl", "GET /v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"] {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(text.as_bytes()).unwrap();
            }
        }
    }
}

/// Requests without pause, each on a connection of its own, until it is told to stop; how many responses came.
fn load(port: u16, stop: Arc<AtomicBool>) -> JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut responses = 0;
        while !stop.load(Ordering::Relaxed) {
            match get(&format!("http://127.0.0.1:{port}/soak")) {
                Ok(_) => responses += 1,
                // It is gone, or was killed in the middle.
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        responses
    })
}

#[test]
fn a_fleet_that_is_broken_and_mended_for_long_stays_as_small_and_loses_nothing_in_silence() {
    let time = duration();
    let (fleet, ports) = Fleet::of(3, &["--log", "off"]);
    let stop = Arc::new(AtomicBool::new(false));
    let loads: Vec<_> = ports.iter().flat_map(|port| [*port; 2]).map(|port| load(port, stop.clone())).collect();
    let (begun, supervisor) = (Instant::now(), fleet.pid());
    let mut settled = None;
    let mut number = 0;
    while begun.elapsed() < time {
        mischief(number, &fleet, &ports);
        number += 1;
        std::thread::sleep(PAUSE);
        // What is built at first use is built after a quarter of the time.
        if settled.is_none() && begun.elapsed() > time / 4 {
            settled = Some(size_of(supervisor));
        }
        assert_eq!(zombies(supervisor), [] as [u32; 0], "after mischief {number}");
    }
    fleet.program(&["fault", "clear"]);
    for port in ports.iter().map(u16::to_string) {
        // One of the two is refused, whichever does not apply.
        fleet.command(&["resume", &port]);
        fleet.command(&["start", &port]);
    }
    stop.store(true, Ordering::Relaxed);
    let responses: u64 = loads.into_iter().map(|load| load.join().unwrap()).sum();
    let (before, files_before) = settled.expect("a quarter of the time has passed");
    eventually("connections of the API are closed", || size_of(supervisor).1 <= files_before + MORE_FILES);
    let (after, _) = size_of(supervisor);
    assert!(after <= before + GROWTH_KIB, "the supervisor grew from {before} KiB to {after} KiB");
    let status = fleet.status();
    assert!(status.backends.iter().all(|backend| backend.state == BackendState::Ready), "{status:?}");
    assert_eq!(children(supervisor).len(), ports.len(), "{status:?}");
    // A response that a client saw has a record, or is among those that are said to be lost.
    let recorded: u64 = status.backends.iter().map(|backend| backend.attempts).sum();
    let lost: u64 = status.backends.iter().map(|backend| backend.lost).sum();
    assert!(responses > 500, "{responses} responses");
    assert!(responses <= recorded + lost, "{responses} responses, {recorded} records and {lost} lost");
    // And no request was recorded twice: what is beyond the responses is what was cut off by a kill, or answered too late.
    let cut_off = u64::from(number) * 8;
    assert!(
        recorded <= responses + cut_off,
        "{responses} responses, {recorded} records, {number} times something was broken"
    );
}
