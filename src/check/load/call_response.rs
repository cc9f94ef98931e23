//! PURE. The response to a call of gRPC: its messages and how it ended.

use http::ResponseHead;
use http::grpc::{self, GrpcStatus, MessageReader};

use verdict::response::MESSAGE_HEADER;

/// What is known of the response to a call of gRPC.
#[derive(Debug)]
pub(super) struct CallResponse {
    pub(super) status: Option<GrpcStatus>,
    /// It has come twice.
    pub(super) is_status_doubled: bool,
    /// What explains the status, as often as it came; and as our backend wrote it.
    pub(super) explanations: Vec<String>,
    pub(super) written: Option<String>,
    pub(super) messages: MessageReader,
    /// What is no message has come.
    pub(super) is_broken: bool,
}

impl CallResponse {
    /// Its head has come.
    pub(super) fn begin(head: &ResponseHead, body_limit: u64) -> CallResponse {
        let messages = MessageReader::new(u32::try_from(body_limit).unwrap_or(u32::MAX));
        let (explanations, written) = (Vec::new(), None);
        let mut call =
            CallResponse { status: None, is_status_doubled: false, explanations, written, messages, is_broken: false };
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
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => self.is_broken = true,
            }
        }
    }
}
