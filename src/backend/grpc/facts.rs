//! What a call is decided by, and how it ends.

use http::grpc::GrpcStatus;

use crate::backend::health::Health;
use crate::wire::{BackendIdentity, Moment};

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CallEnd {
    pub(crate) status: GrpcStatus,
    pub(crate) message: String,
}

impl CallEnd {
    pub(crate) const OK: CallEnd = CallEnd { status: GrpcStatus::OK, message: String::new() };

    pub(crate) fn new(status: GrpcStatus, message: impl Into<String>) -> CallEnd {
        CallEnd { status, message: message.into() }
    }
}

/// What a backend knows when something happens to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallFacts<'s> {
    pub(crate) now: Moment,
    pub(crate) identity: &'s BackendIdentity,
    pub(crate) health: Health,
    pub(crate) draining: bool,
}
