//! The client of a check: sends requests, reads and verifies the responses, notes one observation for each request. It never
//! sends a request twice.

mod clients;
mod connect;
pub(crate) mod cookies;
mod engine;
mod error;
mod exchange;
mod identify;
mod pace;
mod page;
pub mod prober;
mod request;
mod response;
mod samples;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_tls;
mod verify;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub use crate::io::tls::{Tls, TlsFailure};
use crate::wire::Moment;
pub use clients::Vary;
pub use engine::drive;
pub use error::DriveError;
pub use identify::{Backends, Identity};
pub use pace::Pacing;
pub use prober::{Connection, Held, Probe, Prober, Seen};
pub use request::{BadHeader, RequestSpec};
pub use samples::{Sample, Samples};
use verdict::observation::Observation;

/// Where requests go.
#[derive(Clone, Debug)]
pub struct Target {
    /// Of the balancer, or of a backend.
    pub address: SocketAddr,
    /// The value of Host.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// Spoken if given.
    pub tls: Option<Tls>,
    /// Each connection begins with a PROXY header.
    pub haproxy_protocol: bool,
}

impl Target {
    /// Without TLS.
    pub fn new(address: SocketAddr, host: impl Into<String>, path: impl Into<String>) -> Target {
        Target { address, host: host.into(), path: path.into(), tls: None, haproxy_protocol: false }
    }

    /// Whether a connection to the one is one to the other.
    fn shares_connections(&self, other: &Target) -> bool {
        let tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_like(other),
            (Some(_), None) | (None, Some(_)) => false,
        };
        tls && (self.address, self.haproxy_protocol) == (other.address, other.haproxy_protocol)
    }
}

/// What is sent, how fast, and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to: in turn, if there are several.
    pub targets: Vec<Target>,
    /// In every request's id.
    pub run: u64,
    /// Sequence number of the first request.
    pub first: u64,
    /// What the user asked to be sent.
    pub request: Arc<RequestSpec>,
    /// As many at once at most.
    pub connections: usize,
    /// What becomes of a connection after its response.
    pub reuse: Reuse,
    /// When requests are sent.
    pub pacing: Pacing,
    /// That many, unless `duration` is over before.
    pub requests: Option<u64>,
    /// That long, unless there were as many as `requests` before. With neither until it is stopped.
    pub duration: Option<Duration>,
    /// From the moment at which a request is sent, or its connection begun, to the end of its response.
    pub timeout: Duration,
    /// Bytes of a response's body; more are [`verdict::observation::ClientOutcome::TooLarge`].
    pub body_limit: u64,
    /// In what requests differ.
    pub vary: Vary,
    /// Where responses say who gave them.
    pub identity: Identity,
    /// Required shares, by backend: the sample ends as soon as it is certain that they do not hold.
    pub required: Option<Vec<f64>>,
}

impl Load {
    /// One GET after another on one connection, until it is stopped.
    pub fn new(target: Target, run: u64) -> Load {
        Load {
            targets: vec![target],
            run,
            first: 0,
            request: Arc::default(),
            connections: 1,
            reuse: Reuse::Kept,
            pacing: Pacing::Closed,
            requests: None,
            duration: None,
            timeout: Duration::from_secs(10),
            body_limit: 16 << 20,
            vary: Vary::Nothing,
            identity: Identity::Fleet,
            required: None,
        }
    }

    /// The Host that its requests name.
    fn host_of<'l>(&'l self, target: &'l Target) -> &'l str {
        let own = self.request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        own.map_or(&target.host, |(_, value)| value)
    }
}

/// What becomes of a connection after its response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reuse {
    /// It carries the next request, if the other end lets it.
    Kept,
    /// Each request has its own, and says so.
    New,
}

/// What a load saw.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// One for each request; the place is its sequence number less the first.
    pub observations: Vec<Observation>,
    /// What a report shows of the responses.
    pub samples: Samples,
    /// When it began.
    pub started: Moment,
    /// When the last request had ended.
    pub ended: Moment,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// How a load goes, for another thread, which may stop it.
#[derive(Debug, Default)]
pub struct Progress {
    /// By probes, before the sample.
    probed: AtomicU64,
    sent: AtomicU64,
    answered: AtomicU64,
    errors: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    /// Requests that were sent, or for which there was no connection.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Requests that were sent one by one, before the sample.
    pub fn probed(&self) -> u64 {
        self.probed.load(Ordering::Relaxed)
    }

    /// Whole responses.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Requests that ended without a whole response.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Nothing more is sent; what is in flight has a second to end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether it was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn note(&self, sent: u64, answered: u64, errors: u64) {
        self.sent.store(sent, Ordering::Relaxed);
        self.answered.store(answered, Ordering::Relaxed);
        self.errors.store(errors, Ordering::Relaxed);
    }
}
