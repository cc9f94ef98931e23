//! The client of a check: sends requests, reads and verifies the answers, notes one observation for each request. It never
//! sends a request twice.

pub mod answer;
mod connect;
pub mod engine;
mod identity;
mod jar;
mod notes;
mod page;
pub mod prober;
mod request;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use crate::io::tls::{Tls, TlsFailure};
pub use engine::{DriveError, Load, Pacing, Reuse, Traffic, Vary, drive};
pub use identity::{Backends, Identity};
pub use notes::{Notes, Sample};
pub use prober::{Connection, Held, OwnRequest, Probe, Prober, Seen};

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
}

/// How a drive goes, for another thread, which may stop it.
#[derive(Debug, Default)]
pub struct Progress {
    sent: AtomicU64,
    answered: AtomicU64,
    errors: AtomicU64,
    /// By probes, before the sample.
    probed: AtomicU64,
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

    /// Whole answers.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Requests that ended without a whole answer.
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
