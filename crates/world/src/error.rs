//! Why there is no world.

use std::io;
use std::path::PathBuf;

/// Why there is no world.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another operating system than Linux.
    #[error("only Linux has namespaces")]
    System,
    /// The machine does not let this user make namespaces.
    #[error("this machine does not let this user make namespaces ({0})")]
    Forbidden(Forbidden),
    /// `/proc` of another container is masked.
    #[error("/proc cannot be mounted here, as in most containers ({0})")]
    Proc(io::Error),
    /// Something of the machine could be changed from within.
    #[error("{0} could be written from within, so nothing was started")]
    Writable(PathBuf),
    /// A step of it.
    #[error("failed {what}: {why}")]
    Step {
        /// An infinitive: `to make a namespace`.
        what: String,
        /// What the kernel says.
        why: io::Error,
    },
}

/// What forbids namespaces to this user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Forbidden {
    /// Ubuntu, from 23.10 on.
    #[error("kernel.apparmor_restrict_unprivileged_userns is 1")]
    AppArmor,
    /// Debian's sysctl `kernel.unprivileged_userns_clone`.
    #[error("kernel.unprivileged_userns_clone is 0")]
    Clone,
    /// None are left, or none are wanted.
    #[error("user.max_user_namespaces, or another limit of namespaces, is used up")]
    Count,
    /// A container's filter, most likely.
    #[error("the kernel or a container's filter refuses it")]
    Other,
}

#[cfg(target_os = "linux")]
pub(crate) type Result<T> = std::result::Result<T, Error>;

#[cfg(target_os = "linux")]
pub(crate) fn failed(what: impl Into<String>, why: impl Into<io::Error>) -> Error {
    Error::Step { what: what.into(), why: why.into() }
}
