//! The response to a call of gRPC: its messages and how it ended.

use http::ResponseHead;
use http::grpc::{self, GrpcStatus, MessageReader};

use verdict::observation::Flaw;
use verdict::response::MESSAGE_HEADER;

/// What is known of the response to a call of gRPC.
#[derive(Debug)]
pub(super) struct CallResponse {
    pub(super) status: Option<GrpcStatus>,
    /// It has come twice.
    is_status_doubled: bool,
    /// What explains the status, as often as it came; and as our backend wrote it.
    pub(super) explanations: Vec<String>,
    pub(super) written: Option<String>,
    messages: MessageReader,
    /// What is no message has come.
    is_broken: bool,
    /// A content coding lies over the messages.
    is_coded: bool,
    /// How messages are compressed is known.
    names_encoding: bool,
    /// One of them is.
    has_compressed: bool,
}

impl CallResponse {
    /// Its head has come.
    pub(super) fn begin(head: &ResponseHead, body_limit: u64) -> CallResponse {
        let says = |name: &str| {
            let mut values = head.fields.iter().filter(|it| it.name.eq_ignore_ascii_case(name)).map(|it| it.value);
            values.any(|value| !value.eq_ignore_ascii_case(b"identity"))
        };
        let mut call = CallResponse {
            status: None,
            is_status_doubled: false,
            explanations: Vec::new(),
            written: None,
            messages: MessageReader::new(u32::try_from(body_limit).unwrap_or(u32::MAX)),
            is_broken: false,
            is_coded: says("content-encoding"),
            names_encoding: says(grpc::ENCODING_FIELD),
            has_compressed: false,
        };
        head.fields.iter().for_each(|field| call.see_end(field.name, field.value));
        call
    }

    pub(super) fn see_end(&mut self, name: &str, value: &[u8]) {
        match name {
            grpc::STATUS_FIELD => {
                self.is_status_doubled |= self.status.is_some();
                self.status = GrpcStatus::of_field(value);
            }
            grpc::MESSAGE_FIELD => self.explanations.push(grpc::decode_message(value)),
            MESSAGE_HEADER => self.written = Some(grpc::decode_message(value)),
            _ => {}
        }
    }

    pub(super) fn see_data(&mut self, mut data: &[u8]) {
        if !data.is_empty() {
            // One in the head is the status of a call without messages ("Trailers-Only"): whoever reads some waits for trailers.
            self.status = None;
        }
        while !self.is_broken {
            match self.messages.next(&mut data) {
                Ok(Some(message)) => self.has_compressed |= message.is_compressed,
                Ok(None) => return,
                Err(_) => self.is_broken = true,
            }
        }
    }

    /// What is wrong with it, once it has ended.
    pub(super) fn flaw(&self, is_ours: bool) -> Option<Flaw> {
        match self.status {
            None => Some(Flaw::NoCallStatus),
            Some(_) if self.is_status_doubled && is_ours => Some(Flaw::TwoCallStatuses),
            Some(GrpcStatus::OK) if self.is_coded => Some(Flaw::CodedCall),
            Some(GrpcStatus::OK) if self.is_broken || !self.messages.is_between_messages() => Some(Flaw::CutMessage),
            Some(GrpcStatus::OK) if self.has_compressed && !self.names_encoding => Some(Flaw::UnnamedCoding),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{RequestContext, Room, Strictness};

    use super::*;

    fn flaw(fields: &str, message: &[u8]) -> Option<Flaw> {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n{fields}\r\n");
        let mut room = Room::<8>::new();
        let head = ResponseHead::parse(head.as_bytes(), &mut room, 999, RequestContext::Other, Strictness::Lenient);
        let mut call = CallResponse::begin(&head.unwrap().unwrap(), 1000);
        call.see_data(message);
        call.see_end(grpc::STATUS_FIELD, b"0");
        call.flaw(true)
    }

    #[test]
    fn compressed_messages_need_their_name_and_no_coding_may_lie_over_them() {
        let (plain, compressed) = (b"\0\0\0\0\x01a", b"\x01\0\0\0\x01a");
        for (fields, message, expected) in [
            ("", plain.as_slice(), None),
            ("grpc-encoding: gzip\r\n", compressed, None),
            // What is not compressed may say how it would be.
            ("grpc-encoding: gzip\r\n", plain, None),
            ("", compressed, Some(Flaw::UnnamedCoding)),
            ("grpc-encoding: identity\r\n", compressed, Some(Flaw::UnnamedCoding)),
            ("content-encoding: identity\r\n", plain, None),
            ("content-encoding: gzip\r\n", b"\x1f\x8b\x08\0\0\0\0\0", Some(Flaw::CodedCall)),
            ("", b"\0\0\0\0\x05a", Some(Flaw::CutMessage)),
        ] {
            assert_eq!(flaw(fields, message), expected, "{fields}");
        }
    }
}
