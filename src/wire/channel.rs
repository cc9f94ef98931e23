//! What a supervisor and its backends tell each other, in lines of JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::{Calendar, Fault, Generator, Handshakes, Instance, Protocols, ReceivedRequest, TlsAssignment};

/// Bounds that keep a backend alive among careless and hostile clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ConnectionLimits {
    /// Connections held at once by one backend; more wait in the kernel's queue.
    pub(crate) connections: u32,
    /// Bytes of a request's line and headers.
    pub(crate) header_bytes: u32,
    /// Bytes of a request's fields in HTTP/2, as RFC 9113 §6.5.2 counts them.
    pub(crate) field_bytes: u32,
    /// Time from the first byte of a request's head to its last, and from the accept of a connection to its first request, a PROXY
    /// header included.
    pub(crate) header_time: Duration,
    /// Time that a connection may wait for its next request.
    pub(crate) idle_time: Duration,
    /// Time without progress while a body is read or a response is written.
    pub(crate) stall_time: Duration,
}

/// Who a backend is, as its responses say it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct BackendIdentity {
    /// What people and balancers call it.
    pub(crate) name: String,
    /// In a fleet of ports: its port, which is its name too.
    pub(crate) number: Option<Generator>,
    /// Differs for each start of the same backend.
    pub(crate) instance: Instance,
}

/// The first message to a backend. With it come, as descriptors, its journal and then its listening sockets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) identity: BackendIdentity,
    /// What its records are marked with.
    pub(crate) generator: Generator,
    /// Its place in the fleet, from 0.
    pub(crate) place: u16,
    /// The fleet's time, to put records on the calendar.
    pub(crate) calendar: Calendar,
    pub(crate) limits: ConnectionLimits,
    /// Whether connections may begin with a header of the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    pub(crate) protocols: Protocols,
    /// What it serves with TLS; none without TLS.
    pub(crate) tls: Option<TlsAssignment>,
    /// How it misbehaves from its start.
    pub(crate) faults: Vec<Fault>,
    /// After SIGTERM, how long requests in flight have to end.
    pub(crate) grace: Duration,
}

/// What the supervisor tells a backend.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BackendCommand {
    /// Accept nothing more, answer what is in flight for this time at most, then end.
    Drain(Duration),
    /// What readiness answers from now on.
    Ready(bool),
    /// Whether somebody looks: then it reports some of its requests.
    Watch(bool),
    /// How it misbehaves from now on: instead of all faults that it had. It reports when it does.
    Faults(Vec<Fault>),
}

/// What a backend tells its supervisor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BackendReport {
    /// The backend accepts connections.
    Accepting,
    /// It accepts no new connection for now, and says why.
    Starved(Starvation),
    /// The backend accepts connections again after it ran out of files.
    Recovered,
    /// It drains, because of an order or of SIGTERM.
    Draining,
    /// From now on it misbehaves in these ways and no others.
    Faults(Vec<Fault>),
    /// A request with its headers, for the live view.
    Seen(ReceivedRequest),
    /// So its handshakes have ended until now.
    Handshakes(Handshakes),
    /// The backend could not start.
    Failed(String),
}

/// Why a backend accepts no new connection for now. They wait in the kernel's queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Starvation {
    /// No file descriptor is left to the process or the machine.
    OutOfFiles,
    /// It holds as many connections as its limit says.
    ConnectionLimit(u32),
}
