//! HTTP/2 on one connection of the client: one request after another, each on a stream of its own. Nothing here waits, and nothing
//! is sent twice.

use std::sync::Arc;

use http::h2::client::{Client, ClientEvent, FirstLine};
use http::h2::{AnnouncedSettings, Block};
use http::{RequestContext, StreamId};

use crate::check::load::request::StreamHead;
use crate::check::load::response::{Question, ReadStep, ResponseNotes, ResponseReader, Rules};

#[derive(Debug)]
pub(super) struct Http2 {
    client: Client,
    block: Block,
    /// A frame that is not complete.
    inbox: Vec<u8>,
    /// Of the request in flight.
    stream: Option<StreamId>,
    /// Of that request: its body, and how much of it is out.
    body: Arc<[u8]>,
    sent: usize,
}

/// Of a body, what is put out before the kernel has taken it.
const PIECE: usize = 64 * 1024;

impl Http2 {
    /// Appends what a client says first.
    pub(super) fn new(out: &mut Vec<u8>) -> Http2 {
        Http2 {
            client: Client::new(AnnouncedSettings::CLIENT, out),
            block: Block::new(),
            inbox: Vec::new(),
            stream: None,
            body: Arc::from([]),
            sent: 0,
        }
    }

    /// Whether this connection will carry no further request.
    pub(super) fn is_leaving(&self) -> bool {
        !self.client.can_open()
    }

    /// Appends the head of a request. Its body follows with [`Http2::push_body`].
    pub(super) fn begin(&mut self, head: &StreamHead, question: &Question, out: &mut Vec<u8>) {
        let asked = if question.head_only { RequestContext::Head } else { RequestContext::Other };
        let first =
            FirstLine { method: &head.method, scheme: head.scheme, authority: &head.authority, path: &head.path };
        let stream = self.client.open(&first, asked, head.body.is_empty(), out, |fields| {
            fields.fresh(crate::wire::REQUEST_HEADER, &question.id);
            head.fields.iter().for_each(|(name, value)| fields.constant(name, value.as_bytes()));
        });
        self.stream = Some(stream);
        self.body = head.body.clone();
        self.sent = 0;
    }

    /// Appends what of the body the windows let through.
    pub(super) fn push_body(&mut self, out: &mut Vec<u8>) {
        let Some(stream) = self.stream.filter(|_| !self.has_sent_all()) else { return };
        let piece = self.client.capacity(stream).min(self.body.len() - self.sent).min(PIECE);
        if piece > 0 {
            let end = self.sent + piece;
            self.client.data(stream, &self.body[self.sent..end], end == self.body.len(), out);
            self.sent = end;
        }
    }

    /// Whether all of the request is out.
    pub(super) fn has_sent_all(&self) -> bool {
        self.sent == self.body.len()
    }

    /// Takes the next bytes: what they say of the request in flight is for the reader. What must be said in answer goes to `out`.
    pub(super) fn receive(
        &mut self,
        input: &[u8],
        reader: &mut ResponseReader,
        rules: &Rules,
        book: &mut ResponseNotes,
        out: &mut Vec<u8>,
    ) -> ReadStep {
        self.inbox.extend_from_slice(input);
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        let mut step = ReadStep::More;
        while let Some((stream, event)) = self.client.receive(&mut rest, &mut self.block, 0, out) {
            let is_ours = Some(stream) == self.stream || (stream.0 == 0 && matches!(event, ClientEvent::Broken(_)));
            if step == ReadStep::More && self.stream.is_some() && is_ours {
                step = reader.take(event, rules, book);
            }
        }
        let left = rest.len();
        self.inbox.extend_from_slice(&inbox[inbox.len() - left..]);
        if let ReadStep::Over(_) = step {
            self.stream = None;
        }
        step
    }

    /// Takes what comes while no request is in flight.
    pub(super) fn idle(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.inbox.extend_from_slice(input);
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        while self.client.receive(&mut rest, &mut self.block, 0, out).is_some() {}
        let left = rest.len();
        self.inbox.extend_from_slice(&inbox[inbox.len() - left..]);
    }
}
