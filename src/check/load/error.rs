//! What this machine cannot do. What the other end does is an observation.

use std::fmt;
use std::io;
use std::net::IpAddr;

use rustix::io::Errno;

use crate::error::Problem;
use crate::platform::limits;

/// Why a load could not go on.
#[derive(Debug)]
pub(crate) enum DriveError {
    /// No file descriptor is left.
    OutOfFiles {
        /// The limit of this process.
        limit: Option<u64>,
    },
    /// No local port is left for a connection to the target.
    OutOfPorts,
    /// A virtual client's address cannot reach the target.
    Source(IpAddr, io::Error),
    /// Any other system call.
    System(&'static str, io::Error),
}

impl DriveError {
    /// Why there is no socket for a connection.
    pub(super) fn of_socket(errno: Errno, from: Option<IpAddr>) -> DriveError {
        match (errno, from) {
            (Errno::MFILE, _) => DriveError::OutOfFiles { limit: limits::files() },
            (Errno::NFILE, _) => DriveError::OutOfFiles { limit: None },
            (Errno::ADDRINUSE | Errno::ADDRNOTAVAIL, _) => DriveError::OutOfPorts,
            (errno, Some(ip)) => DriveError::Source(ip, errno.into()),
            (errno, None) => DriveError::of_call("connect", errno),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            DriveError::OutOfFiles { limit: Some(_) } => Some("raise it (ulimit -n), or use fewer connections"),
            DriveError::OutOfPorts => Some("keep connections, send more slowly, or widen net.ipv4.ip_local_port_range"),
            DriveError::Source(..) => Some("clients with addresses of their own need a target on 127.0.0.0/8"),
            DriveError::OutOfFiles { limit: None } | DriveError::System(..) => None,
        }
    }

    pub(super) fn of_call(what: &'static str, errno: Errno) -> DriveError {
        DriveError::System(what, errno.into())
    }
}

impl fmt::Display for DriveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DriveError::OutOfFiles { limit: Some(limit) } => {
                write!(f, "no file descriptor is left for another connection: the limit is {limit}")
            }
            DriveError::OutOfFiles { limit: None } => f.write_str("the machine has no file descriptor left"),
            DriveError::OutOfPorts => f.write_str(
                "no local port is left for another connection to the target: those of ended connections rest for a minute",
            ),
            DriveError::Source(ip, error) => write!(f, "failed to connect from {ip}: {error}"),
            DriveError::System(what, error) => write!(f, "failed to {what}: {error}"),
        }
    }
}

/// Not an error of the standard library's kind: what travels on is a problem with its hint.
impl From<DriveError> for anyhow::Error {
    fn from(error: DriveError) -> anyhow::Error {
        let problem = Problem::new(error.to_string());
        match error.hint() {
            Some(hint) => problem.hint(hint).into(),
            None => problem.into(),
        }
    }
}
