//! The server's side of HTTP/1.1: bytes of one connection in, events out; responses in, bytes out. It reads strictly, keeps
//! responses in the order of their requests, and knows of each response when its last byte has left.

use std::collections::VecDeque;

use crate::message::{RequestHead, Room};
pub use crate::stream::{StreamId, Written};
use crate::{BodyDecoder, ChunkPart, Framing, HttpVersion, Malformed, Strictness, encode};

/// What the bytes of a client mean, one event after the other.
#[derive(Debug)]
pub enum RequestEvent<'h, 'b> {
    /// The head of a request. [`RequestEvent::End`] follows unless its framing is [`Framing::None`].
    Head(RequestHead<'h, 'b>),
    /// The next piece of content; after [`ServerConnection::upgrade`], of the other protocol.
    Data(&'b [u8]),
    /// Lines of the trailer section, as they came.
    Trailers(&'b [u8]),
    /// The request is whole.
    End,
    /// The request cannot be read: its head, or its body. It may be answered once more; nothing is read after it.
    Malformed(Malformed),
}

/// How long the content of a response is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// That many bytes, known before the body is written.
    Known(u64),
    /// In chunks, or until the connection ends where chunks are not understood.
    Unknown,
    /// There is none and nothing is said of it: 204 and 304.
    Absent,
}

/// Speaks HTTP/1.1 as a server on one connection. Output goes to a buffer of the caller's, so that an idle connection holds none;
/// so does input that is not complete.
#[derive(Debug)]
pub struct ServerConnection {
    stage: RequestState,
    stream: u32,
    /// What the response to the current request depends on.
    asked: PendingRequest,
    /// Whether the caller lets the connection persist.
    responding: Responding,
    unread: bool,
    /// Bytes put out, and bytes that left.
    queued: u64,
    written: u64,
    /// Responses that have begun and did not leave to their end.
    marks: VecDeque<WriteMark>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum RequestState {
    /// Waiting for a head.
    Head,
    /// A body of which more is to come.
    Body(BodyDecoder),
    /// Waiting for the response: nothing is read.
    Whole,
    /// Another protocol is spoken: what comes is its data.
    Upgraded,
    /// Nothing is read any more.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct PendingRequest {
    version: HttpVersion,
    head_only: bool,
    persistent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Responding {
    Not,
    /// The head is out.
    Body {
        chunked: bool,
        persistent: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct WriteMark {
    stream: StreamId,
    start: u64,
    /// None while the response goes on, and for ever if it was cut off.
    end: Option<u64>,
}

impl Default for ServerConnection {
    fn default() -> ServerConnection {
        ServerConnection::new()
    }
}

impl ServerConnection {
    /// On a connection on which nothing has come.
    pub fn new() -> ServerConnection {
        ServerConnection {
            stage: RequestState::Head,
            stream: 0,
            asked: PendingRequest { version: HttpVersion::Http11, head_only: false, persistent: false },
            responding: Responding::Not,
            unread: false,
            queued: 0,
            written: 0,
            marks: VecDeque::new(),
        }
    }

    /// Requests that have begun on this connection, also those that could not be read.
    pub fn requests(&self) -> u32 {
        self.stream
    }

    /// Whether nothing is read any more.
    pub fn is_over(&self) -> bool {
        self.stage == RequestState::Over
    }

    /// Whether something came that was not read, and that nobody will read.
    pub fn left_something_unread(&self) -> bool {
        self.unread
    }

    /// Takes the next event from `input` and moves it on. `None` if more must come, or a response is due first: what is then left
    /// of `input` is to be given again, with what comes after it.
    pub fn receive<'h, 'b, const N: usize>(
        &mut self,
        input: &mut &'b [u8],
        room: &'h mut Room<'b, N>,
        head_limit: usize,
    ) -> Option<(StreamId, RequestEvent<'h, 'b>)> {
        let event = match &mut self.stage {
            RequestState::Whole => return None,
            RequestState::Upgraded if input.is_empty() => return None,
            RequestState::Upgraded => RequestEvent::Data(std::mem::take(input)),
            RequestState::Over => {
                self.unread |= !input.is_empty();
                *input = &[];
                return None;
            }
            RequestState::Head => {
                *input = without_leading_lines(input);
                if input.is_empty() {
                    return None;
                }
                match RequestHead::parse(input, room, head_limit, Strictness::Strict) {
                    Ok(None) => return None,
                    Ok(Some(head)) => {
                        *input = &input[head.length..];
                        self.begin(&head);
                        RequestEvent::Head(head)
                    }
                    Err(why) => {
                        self.begin_unread();
                        *input = &[];
                        RequestEvent::Malformed(why)
                    }
                }
            }
            RequestState::Body(body) if body.is_done() => {
                self.stage = RequestState::Whole;
                RequestEvent::End
            }
            RequestState::Body(body) => match body.part(input) {
                Ok((part, rest)) => {
                    *input = rest;
                    match part {
                        ChunkPart::Data(data) => RequestEvent::Data(data),
                        ChunkPart::Trailers(lines) => RequestEvent::Trailers(lines),
                        ChunkPart::Nothing if body.is_done() => {
                            self.stage = RequestState::Whole;
                            RequestEvent::End
                        }
                        ChunkPart::Nothing => return None,
                    }
                }
                Err(why) => {
                    *input = &[];
                    self.stop();
                    RequestEvent::Malformed(why)
                }
            },
        };
        Some((StreamId(self.stream), event))
    }

    /// Gives up the head that is awaited: it may be answered, and nothing is read after it.
    pub fn give_up_head(&mut self) -> StreamId {
        self.begin_unread();
        StreamId(self.stream)
    }

    fn begin(&mut self, head: &RequestHead) {
        self.stream = self.stream.saturating_add(1);
        self.asked =
            PendingRequest { version: head.version, head_only: head.method == "HEAD", persistent: head.persistent };
        self.stage = match head.framing {
            Framing::None => RequestState::Whole,
            framing => RequestState::Body(BodyDecoder::new(framing)),
        };
    }

    fn begin_unread(&mut self) {
        self.stream = self.stream.saturating_add(1);
        self.asked = PendingRequest { version: HttpVersion::Http11, head_only: false, persistent: false };
        self.stop();
    }

    /// Nothing is read from here on, and what was not read is known to be.
    fn stop(&mut self) {
        self.stage = RequestState::Over;
        self.asked.persistent = false;
        self.unread = true;
    }

    // Responses.

    /// Appends an interim response that lets the client send its body.
    pub fn write_continue(&mut self, out: &mut Vec<u8>) {
        self.put(out, |out| out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
    }

    /// Appends the head of the response to the request at hand: its status line, the fields that `fields` appends as lines, and
    /// those that frame it. `persistent`: whether the caller lets the connection persist.
    pub fn respond(
        &mut self,
        status: u16,
        length: Length,
        persistent: bool,
        out: &mut Vec<u8>,
        fields: impl FnOnce(&mut Vec<u8>),
    ) -> StreamId {
        let stream = StreamId(self.stream);
        self.marks.push_back(WriteMark { stream, start: self.queued, end: None });
        let PendingRequest { version, head_only, persistent: asked } = self.asked;
        // Until the connection ends is the only way to send an unknown length to HTTP/1.0.
        let until_close = length == Length::Unknown && version == HttpVersion::Http10 && !head_only;
        let persistent = persistent && asked && !until_close && self.stage == RequestState::Whole;
        let chunked = length == Length::Unknown && version == HttpVersion::Http11;
        self.put(out, |out| {
            encode::status_line(out, status);
            fields(out);
            match length {
                Length::Known(length) => encode::number_field(out, "Content-Length", length),
                Length::Unknown if chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
                Length::Unknown | Length::Absent => {}
            }
            out.extend_from_slice(match (persistent, version) {
                (true, HttpVersion::Http11 | HttpVersion::Http2) => b"\r\n".as_slice(),
                (true, HttpVersion::Http10) => b"Connection: keep-alive\r\n\r\n",
                (false, _) => b"Connection: close\r\n\r\n",
            });
        });
        self.responding = Responding::Body { chunked: chunked && !head_only, persistent };
        stream
    }

    /// Appends the head of a response with status 101 to the request at hand, with the fields that `fields` appends as lines; they
    /// name the protocol. From here on what comes is [`RequestEvent::Data`] of that protocol, and what goes is [`ServerConnection::data`]'s, until
    /// [`ServerConnection::end`], with which the connection ends.
    pub fn upgrade(&mut self, out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) -> StreamId {
        let stream = StreamId(self.stream);
        self.marks.push_back(WriteMark { stream, start: self.queued, end: None });
        self.put(out, |out| {
            encode::status_line(out, 101);
            fields(out);
            out.extend_from_slice(b"Connection: Upgrade\r\n\r\n");
        });
        self.responding = Responding::Body { chunked: false, persistent: false };
        self.stage = RequestState::Upgraded;
        stream
    }

    /// Whether the response to the request at hand has no body, whatever its head says.
    pub fn is_head_only(&self) -> bool {
        self.asked.head_only
    }

    /// Appends a piece of the response's body. The response to HEAD has none: its pieces vanish.
    pub fn data(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let Responding::Body { chunked, .. } = self.responding else { return };
        if self.asked.head_only {
            return;
        }
        self.put(out, |out| if chunked { encode::chunk(out, data) } else { out.extend_from_slice(data) });
    }

    /// Appends a piece of a body of known length as `make` makes it.
    pub fn make_data(&mut self, out: &mut Vec<u8>, make: impl FnOnce(&mut Vec<u8>)) {
        if !self.asked.head_only {
            self.put(out, make);
        }
    }

    /// Ends the response: the next request is read, unless the connection ends with this one.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let Responding::Body { chunked, persistent } = std::mem::replace(&mut self.responding, Responding::Not) else {
            return;
        };
        if chunked {
            self.put(out, encode::last_chunk);
        }
        if let Some(mark) = self.marks.back_mut() {
            mark.end = Some(self.queued);
        }
        if persistent { self.stage = RequestState::Head } else { self.stage = RequestState::Over }
    }

    /// Takes back the last bytes of the output: a fault breaks a response off within its head.
    pub fn retract(&mut self, out: &mut Vec<u8>, bytes: usize) {
        let bytes = bytes.min(out.len());
        out.truncate(out.len() - bytes);
        self.queued -= bytes as u64;
    }

    /// Breaks the response off, or says nothing at all: the connection cannot be used any more.
    pub fn abort(&mut self) {
        if self.responding == Responding::Not && self.stage != RequestState::Over {
            // It has a place among those that did not leave to their end.
            self.marks.push_back(WriteMark { stream: StreamId(self.stream), start: self.queued, end: None });
        }
        self.responding = Responding::Not;
        self.stage = RequestState::Over;
    }

    /// That many bytes of the output have left: yields, one by one, the responses that have left with them to their end.
    pub fn wrote(&mut self, bytes: usize) -> impl Iterator<Item = Written> {
        self.written += bytes as u64;
        std::iter::from_fn(|| {
            let WriteMark { stream, start, end: Some(end) } = *self.marks.front()? else { return None };
            if end > self.written {
                return None;
            }
            self.marks.pop_front();
            Some(Written { stream, bytes: end - start })
        })
    }

    /// The connection has ended: yields the responses that had begun and did not leave to their end, with the bytes that did.
    pub fn cut_off(&mut self) -> impl Iterator<Item = Written> {
        let written = self.written;
        let queued = self.queued;
        self.marks.drain(..).map(move |WriteMark { stream, start, end }| {
            let end = end.unwrap_or(queued).min(written);
            Written { stream, bytes: end.saturating_sub(start) }
        })
    }

    fn put(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let before = out.len();
        write(out);
        self.queued += (out.len() - before) as u64;
    }
}

/// RFC 9112 §2.2: empty lines before a request are ignored.
fn without_leading_lines(mut bytes: &[u8]) -> &[u8] {
    while let [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_an_upgrade_all_that_comes_is_data_and_the_response_lasts_until_it_is_ended() {
        let (mut server, mut out) = (ServerConnection::new(), Vec::new());
        let mut input = &b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\n\r\nGET / is data"[..];
        let mut room = Room::<20>::new();
        assert!(matches!(server.receive(&mut input, &mut room, 999), Some((StreamId(1), RequestEvent::Head(_)))));
        server.upgrade(&mut out, |out| encode::field(out, "Upgrade", b"x"));
        assert_eq!(out, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
        let mut room = Room::<20>::new();
        let event = server.receive(&mut input, &mut room, 999);
        assert!(matches!(event, Some((StreamId(1), RequestEvent::Data(b"GET / is data")))), "{event:?}");
        assert!(server.receive(&mut input, &mut Room::<20>::new(), 999).is_none() && input.is_empty());
        server.data(b"more", &mut out);
        assert_eq!(server.wrote(out.len()).count(), 0);
        server.end(&mut out);
        let written: Vec<Written> = server.wrote(0).collect();
        assert_eq!(written, [Written { stream: StreamId(1), bytes: out.len() as u64 }]);
        assert!(server.is_over());
    }
}
