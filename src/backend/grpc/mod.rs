//! PURE. gRPC at a backend: what can be called, and what is made of it. Frames and faults are `multiplexed`'s.

mod call;
mod facts;
mod health;
mod method;
mod reflection;
mod work;

pub(super) use call::GrpcCall;
pub(super) use facts::{CallEnd, CallFacts};
