//! gRPC at a backend: what can be called, and what is made of it. Frames and faults are `multiplexed`'s.

mod call;
mod coding;
mod facts;
mod health;
mod method;
mod reflection;
mod work;

pub(super) use call::GrpcCall;
pub(super) use coding::READ as CODINGS;
pub(super) use facts::{CallEnd, CallFacts};
