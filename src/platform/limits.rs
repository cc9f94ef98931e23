//! How many files this process may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft limit; `None` without one.
pub(crate) fn files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The most of macOS.
const OPEN_MAX: u64 = 10_240;

/// Raises the soft limit as far as it may, for this process and those that it starts.
pub(crate) fn raise_files() {
    let limit = getrlimit(Resource::Nofile);
    // A Mac refuses what is more than that, whatever the hard limit says. Else it fails only where that was lowered in between.
    let least = limit.maximum.unwrap_or(u64::MAX).min(OPEN_MAX);
    for current in [limit.maximum, Some(least)] {
        if setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum }).is_ok() {
            return;
        }
    }
}

/// Raises both limits as far as the kernel lets this user, as service managers do.
pub(crate) fn raise_files_beyond() {
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|it| it.trim().parse().ok());
    // Only root can have more than its limit.
    let is_refused =
        |files| setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum: Some(files) }).is_err();
    if most.is_none_or(is_refused) {
        raise_files();
    }
}
