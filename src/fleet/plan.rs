//! What a fleet is to be.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::fleet::certificates::TlsPlan;
use crate::fleet::fold::log::LogMode;
use crate::topology::{Host, NamedBackends, Ports, Sockets, StartFaults};
use crate::wire::{ConnectionLimits, Protocols, Token};

pub(crate) struct FleetPlan {
    pub(crate) host: Host,
    /// On which ports, as they were asked for.
    pub(crate) ports: Ports,
    /// Who asked for these ports, for messages: `--ports`, or a file and a line.
    pub(crate) ports_origin: String,
    /// Backends with names and addresses, instead of ports on that host.
    pub(crate) named: Option<NamedBackends>,
    /// The network in which they listen on all addresses but this network's own, in a rehearsal.
    pub(crate) network: Option<PathBuf>,
    /// They also listen on unix sockets there.
    pub(crate) sockets: Option<Sockets>,
    /// Whether connections to backends may begin with a header of the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    /// Which versions of HTTP backends speak.
    pub(crate) protocols: Protocols,
    /// What their TLS is to be; none without.
    pub(crate) tls: Option<TlsPlan>,
    /// What backends have from their start.
    pub(crate) faults: StartFaults,
    /// Bounds of each backend.
    pub(crate) limits: ConnectionLimits,
    /// How long requests in flight have to end when the fleet or a backend is stopped gracefully.
    pub(crate) grace: Duration,
    /// How long backends are unready and go on accepting before they drain.
    pub(crate) drain_delay: Duration,
    /// Whether a backend that ended unasked is started again.
    pub(crate) restart: bool,
    pub(crate) log: LogMode,
    /// Where the API listens.
    pub(crate) control: ControlAddress,
    /// Where metrics are open to anybody.
    pub(crate) metrics: Option<SocketAddr>,
    /// What the API wants to see; none for a random one.
    pub(crate) token: Option<Token>,
    /// How many ended attempts each backend's journal holds; none to share out a sensible amount of memory.
    pub(crate) journal: Option<u32>,
    /// Shown once all backends accept.
    pub(crate) advice: Box<dyn Fn(&crate::topology::Topology) -> String>,
}

/// Where the API listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ControlAddress {
    /// There if it is free, on any free port else.
    Preferred(SocketAddr),
    /// There or not at all.
    Required(SocketAddr),
}
