//! What a client of streams is to do.

use std::sync::Arc;
use std::time::Duration;

use crate::check::load::{Identity, LoadTarget, RequestSpec};
use verdict::life::StreamKind;

/// Content codings that are undone while a body still comes.
pub(crate) const READABLE_CODINGS: [&str; 5] = ["identity", "gzip", "x-gzip", "deflate", "br"];

/// What is opened, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct StreamLoad {
    pub(crate) target: LoadTarget,
    /// Number of the run, which every request's id carries.
    pub(crate) run: u64,
    /// Sequence number of the first request.
    pub(crate) first: u64,
    /// The user's own fields.
    pub(crate) request: Arc<RequestSpec>,
    pub(crate) identity: Identity,
    pub(crate) kind: StreamKind,
    /// How many are open at the same time.
    pub(crate) streams: usize,
    /// From one message of a WebSocket to the next.
    pub(crate) every: Duration,
    /// None is opened later; the client closes its WebSockets then.
    pub(crate) duration: Duration,
    /// For a stream to open, and after `duration` for streams to end by themselves.
    pub(crate) patience: Duration,
    /// Whether one that is cut is reopened, and resumed where that can be.
    pub(crate) reopens: bool,
    /// Whether each is left as soon as it is open.
    pub(crate) only_opens: bool,
}
