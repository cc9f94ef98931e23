//! The messages of `uuid.v1.Generator`, as `proto/uuid/v1/generator.proto` describes them, and the paths of its methods.

use prost::encoding::{WireType, encode_key, encode_varint};

/// Full name of the service, which is the first part of its methods' paths.
pub const SERVICE: &str = "uuid.v1.Generator";

http::named_enum! {
    /// What it can do.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub enum GeneratorMethod {
        /// A message each way.
        Generate => "/uuid.v1.Generator/Generate",
        /// One message, then events.
        Events => "/uuid.v1.Generator/Events",
        /// Client streaming: messages, then one response.
        Collect => "/uuid.v1.Generator/Collect",
        /// Bidirectional streaming: an echo of each message.
        Echo => "/uuid.v1.Generator/Echo",
    }

    /// The path of its calls.
    fn path;
}

/// What a call of [`GeneratorMethod::Generate`] asks for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GenerateRequest {
    /// Holds the response back.
    #[prost(uint32, tag = "1")]
    pub delay_ms: u32,
    /// Length of the padding in the response.
    #[prost(uint32, tag = "2")]
    pub bytes: u32,
    /// Ends the call with that status instead.
    #[prost(uint32, tag = "3")]
    pub status: u32,
}

/// The response of [`GeneratorMethod::Generate`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GenerateResponse {
    /// The same as the response's id.
    #[prost(string, tag = "1")]
    pub uuid: String,
    /// Name of the backend.
    #[prost(string, tag = "2")]
    pub backend: String,
    /// Its number; 0 without one.
    #[prost(uint32, tag = "3")]
    pub number: u32,
    /// As many bytes as the request asks for.
    #[prost(bytes = "vec", tag = "15")]
    pub padding: Vec<u8>,
}

impl GenerateResponse {
    /// Appends such a message, with that length of padding: backends write it for each call, and need no copies of their texts for that.
    pub fn write(out: &mut Vec<u8>, uuid: &str, backend: &str, number: u32, padding: usize) {
        let begin = |tag: u32, length: usize, out: &mut Vec<u8>| {
            encode_key(tag, WireType::LengthDelimited, out);
            encode_varint(length as u64, out);
        };
        for (tag, text) in [(1, uuid), (2, backend)] {
            if !text.is_empty() {
                begin(tag, text.len(), out);
                out.extend_from_slice(text.as_bytes());
            }
        }
        if number != 0 {
            encode_key(3, WireType::Varint, out);
            encode_varint(u64::from(number), out);
        }
        if padding > 0 {
            begin(15, padding, out);
            out.resize(out.len() + padding, 0);
        }
    }
}

/// What a call of [`GeneratorMethod::Events`] asks for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EventsRequest {
    /// Number of the last event; 0: 10.
    #[prost(uint32, tag = "1")]
    pub count: u32,
    /// From one event to the next; 0: as fast as the client takes them.
    #[prost(uint32, tag = "2")]
    pub every_ms: u32,
    /// Length of the padding in each event.
    #[prost(uint32, tag = "3")]
    pub bytes: u32,
    /// Number of the first event; 0: 1.
    #[prost(uint32, tag = "4")]
    pub first: u32,
}

/// One message of the stream of [`GeneratorMethod::Events`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Event {
    /// Consecutive, from `first` on.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// Nanoseconds of the monotonic clock of the backend's host.
    #[prost(uint64, tag = "2")]
    pub written_ns: u64,
    /// The response id of the initial metadata.
    #[prost(string, tag = "3")]
    pub response_id: String,
    /// As many bytes as the request asks for.
    #[prost(bytes = "vec", tag = "15")]
    pub padding: Vec<u8>,
}

/// `Message`: of [`GeneratorMethod::Collect`] and [`GeneratorMethod::Echo`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NumberedMessage {
    /// Consecutive, from 1 on.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// Nanoseconds of the monotonic clock of the client's host.
    #[prost(uint64, tag = "2")]
    pub sent_ns: u64,
    /// As many bytes as the client wants to send.
    #[prost(bytes = "vec", tag = "15")]
    pub padding: Vec<u8>,
}

/// The response of [`GeneratorMethod::Collect`]: what the backend received.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CollectResponse {
    /// The same as the response's id.
    #[prost(string, tag = "1")]
    pub uuid: String,
    /// Name of the backend.
    #[prost(string, tag = "2")]
    pub backend: String,
    /// Its number; 0 without one.
    #[prost(uint32, tag = "3")]
    pub number: u32,
    /// Messages that the backend received.
    #[prost(uint32, tag = "4")]
    pub messages: u32,
    /// Total length of their content.
    #[prost(uint64, tag = "5")]
    pub bytes: u64,
    /// Number of the last of them.
    #[prost(uint32, tag = "6")]
    pub last_number: u32,
    /// Messages whose number did not follow the one before.
    #[prost(uint32, tag = "7")]
    pub misplaced: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    #[test]
    fn messages_are_written_as_protocol_buffers_are() {
        let request = EventsRequest { count: 300, every_ms: 0, bytes: 1, first: 0 };
        assert_eq!(request.encode_to_vec(), [0x08, 0xac, 0x02, 0x18, 0x01]);
        let message = NumberedMessage { number: 1, sent_ns: 128, padding: b"ab".to_vec() };
        assert_eq!(message.encode_to_vec(), [0x08, 0x01, 0x10, 0x80, 0x01, 0x7a, 0x02, b'a', b'b']);
        assert_eq!(NumberedMessage::decode(&message.encode_to_vec()[..]), Ok(message));
    }

    #[test]
    fn a_response_written_without_copies_is_the_same_message() {
        for (uuid, backend, number, padding) in [("a-b", "9001", 9001, 300), ("", "", 0, 0), ("x", "app", 0, 1)] {
            let mut written = Vec::new();
            GenerateResponse::write(&mut written, uuid, backend, number, padding);
            let (uuid, backend, padding) = (uuid.to_owned(), backend.to_owned(), vec![0; padding]);
            assert_eq!(written, GenerateResponse { uuid, backend, number, padding }.encode_to_vec());
        }
    }
}
