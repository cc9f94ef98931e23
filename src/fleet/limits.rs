//! Whether this process may have as many files and processes as a fleet needs, before anything is started; and how much memory its
//! records may take.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit, getuid};

use crate::fleet::start_error::StartError;
use crate::platform::limits::files;
use crate::topology::Topology;
use crate::wire::RECORD_WORDS;

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
    let groups = control_groups("pids").into_iter();
    let mut pids =
        groups.filter_map(|group| Some((number(&group.join("pids.current"))?, number(&group.join("pids.max"))?)));
    if let Some((used, allowed)) = pids.find(|(used, allowed)| used + needed > *allowed) {
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

/// Folders of the control groups of this process that may limit it in that respect: its own, and those around it. Version 1 has a tree
/// for each controller, version 2 one for all. In a container its own is the root, whatever the path says.
fn control_groups(controller: &str) -> Vec<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut folders = Vec::new();
    for group in groups.lines() {
        let mut parts = group.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let root = match controllers.split(',').find(|it| it.is_empty() || *it == controller) {
            Some(tree) => Path::new("/sys/fs/cgroup").join(tree),
            None => continue,
        };
        folders.extend(Path::new(path).ancestors().map(|path| root.join(path.strip_prefix("/").unwrap_or(path))));
    }
    folders
}

/// None where there is no such file, or no limit in it.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// What the records of a fleet may take, in bytes: the kernel reclaims none of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RecordMemory {
    kept: usize,
    journals: usize,
}

impl RecordMemory {
    /// As much as is useful on a machine with plenty.
    const PLENTY: RecordMemory = RecordMemory { kept: 80 * 1024 * 1024, journals: 512 * 1024 * 1024 };

    /// By the limits of the control groups of this process, and by the machine's memory, of which the half is left to others.
    pub(crate) fn find() -> RecordMemory {
        let limits = control_groups("memory").into_iter().flat_map(|group| {
            ["memory.max", "memory.limit_in_bytes"].into_iter().filter_map(move |file| number(&group.join(file)))
        });
        let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| field(&text, "MemTotal:"));
        RecordMemory::within(limits.chain(machine.map(|kib| kib * 1024 / 2)).min().unwrap_or(u64::MAX))
    }

    /// Three quarters of that limit at most, most of it for those that have not been read: what is overwritten there is lost. The last
    /// quarter is the supervisor's, its backends' and the kernel's, which counts what waits in sockets.
    fn within(limit: u64) -> RecordMemory {
        let quarter = usize::try_from(limit / 4).unwrap_or(usize::MAX);
        RecordMemory {
            kept: quarter.min(RecordMemory::PLENTY.kept),
            journals: quarter.saturating_mul(2).min(RecordMemory::PLENTY.journals),
        }
    }

    /// How many the supervisor keeps of those that it has read.
    pub(crate) fn kept(self) -> usize {
        self.kept / (RECORD_WORDS * 8)
    }

    /// How many all journals hold together.
    pub(crate) fn in_journals(self) -> usize {
        self.journals / (RECORD_WORDS * 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_leave_a_quarter_of_a_small_limit_and_take_no_more_than_is_useful() {
        const MIB: u64 = 1024 * 1024;
        let mib = |memory: RecordMemory| (memory.kept as u64 / MIB, memory.journals as u64 / MIB);
        assert_eq!(mib(RecordMemory::within(64 * MIB)), (16, 32));
        assert_eq!(mib(RecordMemory::within(512 * MIB)), (80, 256));
        assert_eq!(RecordMemory::within(u64::MAX), RecordMemory::PLENTY);
    }
}
