//! The client of a check: sends requests, reads and verifies the responses, notes one observation for each request. It never
//! sends a request twice.

mod affinity;
mod call_response;
mod clients;
mod coding;
pub(crate) mod connect;
pub(crate) mod cookies;
mod early;
mod engine;
mod error;
mod exchange;
mod http2;
mod identify;
mod multiplexed;
mod pace;
mod page;
pub(crate) mod prober;
mod request;
mod response;
mod samples;
mod stream_content;
mod stream_head;
pub(crate) mod stream_load;
mod stream_request;
mod stream_response;
mod stream_slot;
pub(crate) mod streams;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_http2;
#[cfg(test)]
mod tests_tls;
mod verify;
mod words;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub(crate) use crate::io::tls::Tls;
use crate::topology::ClientNetwork;
use crate::wire::Moment;
pub(crate) use affinity::SessionPlace;
pub(crate) use clients::Vary;
pub(crate) use connect::source;
pub(crate) use engine::drive;
pub(crate) use error::DriveError;
pub(crate) use identify::{BackendNames, Identity};
pub(crate) use pace::Pacing;
pub(crate) use prober::{Held, Probe, ProbeConnection, ProbeResult, Prober};
pub(crate) use request::{BodyTransfer, RequestSpec};
pub(crate) use samples::Samples;
use verdict::observation::Observation;

/// Where requests go, and how the connection to it is made.
#[derive(Clone, Debug)]
pub(crate) struct LoadTarget {
    /// The address of the balancer, or of a backend.
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    pub(crate) path: String,
    /// TLS is spoken if this is given.
    pub(crate) tls: Option<Tls>,
    /// Each connection begins with a PROXY header.
    pub(crate) haproxy_protocol: bool,
    /// Clients have addresses of this network instead of loopback's.
    pub(crate) clients: Option<ClientNetwork>,
    /// HTTP/2 is spoken from the first byte: the client knows that the other end does.
    pub(crate) http2: bool,
}

impl LoadTarget {
    /// A target without TLS.
    pub(crate) fn new(address: SocketAddr, host: impl Into<String>, path: impl Into<String>) -> LoadTarget {
        LoadTarget {
            address,
            host: host.into(),
            path: path.into(),
            tls: None,
            haproxy_protocol: false,
            clients: None,
            http2: false,
        }
    }

    /// Whether a connection to the one is one to the other.
    fn shares_connections(&self, other: &LoadTarget) -> bool {
        let tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_like(other),
            (Some(_), None) | (None, Some(_)) => false,
        };
        tls && self.http2 == other.http2
            && (self.address, self.haproxy_protocol) == (other.address, other.haproxy_protocol)
    }
}

/// What is sent, how fast, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Where to: in turn, if there are several.
    pub(crate) targets: Vec<LoadTarget>,
    /// Number of the run, which every request's id carries.
    pub(crate) run: u64,
    /// Sequence number of the first request.
    pub(crate) first: u64,
    /// What the user asked to be sent.
    pub(crate) request: Arc<RequestSpec>,
    /// The most connections at the same time.
    pub(crate) connections: usize,
    /// Requests on each of them at once, at most. More than one need targets of HTTP/2.
    pub(crate) streams: usize,
    /// Number of its first connection among those of the run.
    pub(crate) first_connection: u32,
    /// What becomes of a connection after its response.
    pub(crate) reuse: Reuse,
    pub(crate) pacing: Pacing,
    /// That many, unless `duration` is over before.
    pub(crate) requests: Option<u64>,
    /// That long, unless there were as many as `requests` before. With neither until it is stopped.
    pub(crate) duration: Option<Duration>,
    /// From the moment at which a request is sent, or its connection begun, to the end of its response.
    pub(crate) timeout: Duration,
    /// Bytes of a response's body; more are [`verdict::observation::ClientOutcome::TooLarge`].
    pub(crate) body_limit: u64,
    /// What differs from request to request.
    pub(crate) vary: Vary,
    /// Where responses say who gave them.
    pub(crate) identity: Identity,
    /// Where backends open sessions, if they are to.
    pub(crate) session: Option<SessionPlace>,
    /// Required shares, by backend: the sample ends as soon as it is certain that they do not hold.
    pub(crate) required: Option<Vec<f64>>,
}

impl Load {
    /// One GET after another on one connection, until it is stopped.
    pub(crate) fn new(target: LoadTarget, run: u64) -> Load {
        Load {
            targets: vec![target],
            run,
            first: 0,
            request: Arc::default(),
            connections: 1,
            streams: 1,
            first_connection: 0,
            reuse: Reuse::Kept,
            pacing: Pacing::Closed,
            requests: None,
            duration: None,
            timeout: Duration::from_secs(10),
            body_limit: 16 << 20,
            vary: Vary::Nothing,
            identity: Identity::Fleet,
            session: None,
            required: None,
        }
    }

    /// The Host that its requests name.
    fn host_of<'l>(&'l self, target: &'l LoadTarget) -> &'l str {
        let own = self.request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        own.map_or(&target.host, |(_, value)| value)
    }
}

/// What becomes of a connection after its response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reuse {
    /// It carries the next request, if the other end lets it.
    Kept,
    /// Each request has its own, and says so.
    New,
}

/// What a load saw.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    /// One for each request; the place is its sequence number less the first.
    pub(crate) observations: Vec<Observation>,
    /// To which of several targets each went; empty if there is one.
    pub(crate) targets: Vec<u8>,
    /// On which connection of the run each went.
    pub(crate) connections: Vec<u32>,
    /// What a report shows of the responses.
    pub(crate) samples: Samples,
    pub(crate) started: Moment,
    /// When the last request had ended.
    pub(crate) ended: Moment,
}

/// How a load goes, for another thread, which may stop it.
#[derive(Debug, Default)]
pub(crate) struct LoadProgress {
    /// Requests that probes sent before the sample.
    probed: AtomicU64,
    sent: AtomicU64,
    answered: AtomicU64,
    errors: AtomicU64,
    stop: AtomicBool,
}

impl LoadProgress {
    /// Requests that were sent, or for which there was no connection.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Requests that were sent one by one, before the sample.
    pub(crate) fn probed(&self) -> u64 {
        self.probed.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    /// Number of responses that came whole.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Requests that ended without a whole response.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Nothing more is sent; what is in flight has a second to end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether it was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn note(&self, sent: u64, answered: u64, errors: u64) {
        self.sent.store(sent, Ordering::Relaxed);
        self.answered.store(answered, Ordering::Relaxed);
        self.errors.store(errors, Ordering::Relaxed);
    }
}
