//! gRPC over HTTP/2: messages with their length before them, how a call ends, and how long it may take. What the messages hold
//! is not looked at.

mod messages;
mod status;
mod timeout;

pub use messages::{BadMessage, IncomingMessage, MessageReader, write_message};
pub use status::{GrpcStatus, UnknownStatus, decode_message, encode_message};
pub use timeout::{format_timeout, parse_timeout};

/// The media type of requests and responses, alone or with `+proto` and the like.
pub const CONTENT_TYPE: &str = "application/grpc";
/// Trailer, or field of a head that ends its stream: the number of a [`GrpcStatus`].
pub const STATUS_FIELD: &str = "grpc-status";
/// What is said of it, see [`encode_message`].
pub const MESSAGE_FIELD: &str = "grpc-message";
/// How long the client waits for the whole call, see [`parse_timeout`].
pub const TIMEOUT_FIELD: &str = "grpc-timeout";
/// How messages are compressed that say so.
pub const ENCODING_FIELD: &str = "grpc-encoding";
/// Which codings of messages the other end reads.
pub const ACCEPT_ENCODING_FIELD: &str = "grpc-accept-encoding";

/// Whether a Content-Type is that of a call.
pub fn is_content_type(value: &[u8]) -> bool {
    let Some((start, rest)) = value.split_at_checked(CONTENT_TYPE.len()) else { return false };
    start.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes()) && matches!(rest, [] | [b'+' | b';' | b' ' | b'\t', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_known_by_their_content_type() {
        for value in ["application/grpc", "application/grpc+proto", "Application/GRPC;x=y", "application/grpc ; x=y"] {
            assert!(is_content_type(value.as_bytes()), "{value}");
        }
        for value in ["", "application/grp", "application/grpc-web", "application/grpcx", "text/html"] {
            assert!(!is_content_type(value.as_bytes()), "{value}");
        }
    }
}
