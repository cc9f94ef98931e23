//! The request that opens a stream or a WebSocket.

use http::{encode, ws};

use crate::check::load::request::{Parts, StreamHead, Template};
use crate::check::load::stream_load::StreamLoad;
use verdict::life::StreamKind;

/// The user's fields are compared where they arrive; those of the handshake and of the stream may be rewritten on the way.
pub(super) struct StreamRequest {
    template: Template,
    own: Vec<(&'static str, String)>,
}

impl StreamRequest {
    /// `resumes`: after that event. `key` is a handshake's.
    pub(super) fn new(load: &StreamLoad, resumes: Option<u32>, key: &[u8; 24]) -> StreamRequest {
        let users = &load.request.headers;
        let headers: Vec<(&str, &str)> = users.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let parts = Parts {
            method: "GET",
            path: &load.target.path,
            host: &load.target.host,
            headers: &headers,
            payload: None,
            expect_continue: false,
            given_cookies: false,
            last: false,
            secure: load.target.tls.is_some(),
        };
        let mut own: Vec<(&str, String)> =
            resumes.map(|last| ("Last-Event-ID", last.to_string())).into_iter().collect();
        own.extend(match load.kind {
            StreamKind::Websocket => vec![
                ("Connection", "Upgrade".to_owned()),
                ("Upgrade", "websocket".to_owned()),
                ("Sec-WebSocket-Version", ws::VERSION.to_owned()),
                ("Sec-WebSocket-Key", String::from_utf8_lossy(key).into_owned()),
            ],
            StreamKind::Events => vec![("Accept", "text/event-stream".to_owned())],
            StreamKind::Chunks | StreamKind::Download => Vec::new(),
        });
        StreamRequest { template: Template::new(&parts, load.run), own }
    }

    /// As HTTP/1.1 has it, with that number.
    pub(super) fn bytes(&mut self, sequence: u64) -> Vec<u8> {
        let mut bytes = self.template.with(sequence).to_vec();
        bytes.truncate(bytes.len() - "\r\n".len());
        self.own.iter().for_each(|(name, value)| encode::field(&mut bytes, name, value.as_bytes()));
        encode::end_of_head(&mut bytes);
        bytes
    }

    /// As HTTP/2 has it, without its number.
    pub(super) fn head(&self) -> StreamHead {
        let mut head = self.template.stream().clone();
        head.fields.extend(self.own.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
        head
    }
}
