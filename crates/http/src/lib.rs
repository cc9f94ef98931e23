//! Bytes to messages and back: no socket, no clock, no policy, no runtime.
//!
//! `message` reads heads, `framing` says where a message ends, `body` takes it apart, `encode` writes. Server, client and
//! proxy share all of it; what each refuses beyond [`Malformed`] is its own policy.
#![warn(missing_docs, unreachable_pub)]

pub mod body;
mod chunks;
mod digest;
pub mod encode;
mod events;
mod framing;
pub mod grpc;
pub mod h1;
pub mod h2;
mod malformed;
mod message;
mod named;
pub mod proxy_protocol;
mod stream;
mod target;
mod token;
mod version;
pub mod ws;

pub use body::BodyDecoder;
pub use chunks::{ChunkPart, Chunks};
pub use digest::{Digest, digest};
pub use events::{EventReader, NotAnEvent, ServerSentEvent};
pub use framing::{Framing, FramingFields, RequestContext, Strictness};
pub use malformed::Malformed;
pub use message::{
    ConnectionOptions, Field, Fields, RequestHead, ResponseHead, Room, is_hop_by_hop, is_media_type, reason,
};
pub use stream::{StreamId, Written};
pub use target::{RequestTarget, is_host};
pub use token::{IDEMPOTENT, is_token, list};
pub use version::HttpVersion;
