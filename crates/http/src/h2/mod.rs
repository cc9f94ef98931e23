//! HTTP/2 (RFC 9113): server and client of one connection with many streams, with the events that HTTP/1 has.

pub mod client;
mod code;
mod core;
#[cfg(test)]
mod differential;
mod follows;
mod frame;
mod heads;
mod hpack;
mod output;
pub mod server;
mod settings;
#[cfg(test)]
mod spec;
mod streams;

pub use code::{ErrorCode, UnknownCode};
pub use follows::Follows;
pub use frame::PREFACE;
pub use heads::{FieldLines, KnownResponse, Request, Trailers};
pub use hpack::{Block, EncodedName, literal};
pub use settings::{AnnouncedSettings, PeerSettings};
