//! How many files this process may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft limit; `None` without one.
pub(crate) fn files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the soft limit as far as it may, for this process and those that it starts.
pub(crate) fn raise_files() {
    let limit = getrlimit(Resource::Nofile);
    // Fails only where the hard limit was lowered in between; then what is there has to do.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
