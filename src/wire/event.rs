//! What happens in a fleet: one enum, many readers.

use std::fmt;
use std::time::Duration;

use crate::wire::{FailedHandshakes, Fault, Generator, Moment, ReceivedRequest, Record, Starvation};

/// Something that happened in a fleet.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::large_enum_variant, reason = "almost all events are attempts")]
pub(crate) enum FleetEvent {
    /// Something about a backend.
    Backend {
        at: Moment,
        generator: Generator,
        change: BackendChange,
    },
    Attempt(Record),
    /// A backend shows a request that it received.
    Seen {
        generator: Generator,
        seen: ReceivedRequest,
    },
    /// Records of a backend that were overwritten before they could be read.
    Lost {
        /// When the supervisor noticed it.
        at: Moment,
        generator: Generator,
        count: u64,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BackendChange {
    /// A process with this id was started.
    Starting(u32),
    /// The backend accepts connections.
    Accepting,
    /// It accepts no new connection for now.
    Starved(Starvation),
    /// It accepts connections again.
    Recovered,
    Readiness(bool),
    /// From now on it misbehaves in these ways; in none, if there are none.
    Faults(Vec<Fault>),
    /// A handshake of TLS failed as none of its process did before; further ones are counted.
    HandshakeFailed(FailedHandshakes),
    /// It was stopped by SIGSTOP; its port still takes connections, nobody answers them.
    Paused,
    /// It goes on after a pause.
    Resumed,
    /// It answers what is in flight and then ends.
    Draining,
    Gone(Departure),
    /// It will be started again after that time.
    RestartIn(Duration),
    /// It could not be started again.
    StartFailed(String),
}

/// How a backend's process ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Departure {
    /// Why, as the kernel reports it.
    pub(crate) cause: Cause,
    /// Whether it had been asked to drain.
    pub(crate) asked: bool,
    /// Attempts that it had received and never answered.
    pub(crate) unanswered: usize,
}

/// Why a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// It ended by itself with this status.
    Exit(i32),
    Signal(i32),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Exit(status) => write!(f, "exit status {status}"),
            Cause::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "signal {signal}, {name}"),
                None => write!(f, "signal {signal}"),
            },
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return None,
    })
}
