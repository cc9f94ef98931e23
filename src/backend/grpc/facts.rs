//! PURE. What a call is decided by, and how it ends.

use http::grpc::GrpcStatus;

use crate::backend::health::Health;
use crate::wire::{BackendIdentity, Moment};

/// How a call ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::backend) struct CallEnd {
    pub(in crate::backend) status: GrpcStatus,
    pub(in crate::backend) message: String,
}

impl CallEnd {
    pub(in crate::backend) const OK: CallEnd = CallEnd { status: GrpcStatus::OK, message: String::new() };

    pub(in crate::backend) fn new(status: GrpcStatus, message: impl Into<String>) -> CallEnd {
        CallEnd { status, message: message.into() }
    }
}

/// What a backend knows when something happens to a call.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct CallFacts<'s> {
    pub(in crate::backend) now: Moment,
    pub(in crate::backend) identity: &'s BackendIdentity,
    pub(in crate::backend) health: Health,
    pub(in crate::backend) draining: bool,
}
