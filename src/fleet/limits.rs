//! Whether this process may have as many files and processes as a fleet needs, before anything is started.

use std::fs;

use rustix::process::{Resource, getrlimit, getuid};

use crate::fleet::start_error::StartError;
use crate::io::limits::files;
use crate::topology::Topology;

/// Descriptors that the supervisor needs for each backend: its process, its journal, the channel to it, and, while the fleet
/// starts, the far end of the channel.
const FILES_A_BACKEND: u64 = 4;
/// Descriptors for each address of a backend, while the fleet starts.
const FILES_AN_ADDRESS: u64 = 2;
/// Descriptors for the supervisor itself: the standard streams, its loops, and the least that the API may hold.
const FILES: u64 = 48;
/// Connections of the API: at least, of those that [`FILES`] has room for, and at most.
const CONNECTIONS: std::ops::RangeInclusive<u64> = 16..=512;
/// Threads of the supervisor.
const THREADS: u64 = 4;

/// Notes which limit these backends would exceed. Returns how many connections the API may
/// hold.
pub(crate) fn check(error: &mut StartError, topology: &Topology) -> usize {
    let backends = topology.backends.len() as u64;
    let listeners: usize = topology.generators().map(|generator| topology.listens_on(generator).len()).sum();
    // A name may be two addresses, as localhost is.
    let needed = FILES + backends * FILES_A_BACKEND + listeners as u64 * FILES_AN_ADDRESS;
    if let Some(allowed) = files().filter(|allowed| *allowed < needed) {
        error.add(
            format!("{backends} backends need {needed} open files in the supervisor: the limit is {allowed}"),
            "raise it (ulimit -n), or start fewer backends",
        );
    }
    let spare = files().map_or(u64::MAX, |allowed| allowed.saturating_sub(needed));
    // The other half is for programs that the API starts and for what nobody has thought of.
    let connections = (CONNECTIONS.start() + spare / 2).min(*CONNECTIONS.end());
    let needed = THREADS + backends;
    let (used, allowed) = (processes_of_this_user(), getrlimit(Resource::Nproc).current);
    // The kernel does not hold root to this limit.
    if let Some(allowed) = allowed.filter(|allowed| used + needed > *allowed && !getuid().is_root()) {
        error.add(
            format!(
                "{backends} backends need {needed} more processes: this user has {used} and the limit is {allowed}"
            ),
            "raise it (ulimit -u), or start fewer backends",
        );
    }
    if let Some((used, allowed)) = control_group().filter(|(used, allowed)| used + needed > *allowed) {
        error.add(
            format!("{backends} backends need {needed} more processes: this control group has {used} and its limit is {allowed}"),
            "raise pids.max of the container or service, or start fewer backends",
        );
    }
    connections as usize
}

/// Threads count as processes for this limit.
fn processes_of_this_user() -> u64 {
    let uid = getuid().as_raw();
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    processes
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
        .filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok())
        .filter(|status| field(status, "Uid:") == Some(u64::from(uid)))
        .filter_map(|status| field(&status, "Threads:"))
        .sum()
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn control_group() -> Option<(u64, u64)> {
    let backendship = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = backendship.lines().find_map(|line| line.strip_prefix("0::"))?;
    let number = |file: &str| fs::read_to_string(format!("/sys/fs/cgroup{path}/{file}")).ok()?.trim().parse().ok();
    Some((number("pids.current")?, number("pids.max")?))
}
