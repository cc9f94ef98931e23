//! The server's side of HTTP/2: bytes of one connection in, events of its streams out; responses in, bytes out. It knows of each
//! response when its last byte has left.

use crate::h2::code::ErrorCode;
use crate::h2::core::{Core, Happened};
use crate::h2::follows::Follows;
use crate::h2::frame;
use crate::h2::heads::{self, Request, Trailers};
use crate::h2::hpack::{self, Block};
use crate::h2::output::ConnectionOutput;
use crate::h2::settings::{AnnouncedSettings, ConnectionSide, PeerSettings};
use crate::stream::{StreamId, Written};
use crate::{Framing, Malformed};

/// What the bytes of a client mean, one event after the other.
#[derive(Debug)]
pub enum ServerEvent<'s, 'b> {
    /// The head of a request. [`ServerEvent::End`] follows unless its framing is [`Framing::None`].
    Head(Request<'s>),
    /// The head of a request beyond the streams that may be open at once: nothing follows, and its client knows (REFUSED_STREAM).
    Refused(Request<'s>),
    /// The next piece of content.
    Data(&'b [u8]),
    /// The trailer section.
    Trailers(Trailers<'s>),
    /// The request is whole.
    End,
    /// The request is not what it must be, and its stream has been reset; one that is only too large may still be responded to.
    Malformed(Malformed),
    /// The client does not want the response any more.
    Reset(ErrorCode),
    /// The client opens no more streams. On stream 0.
    GoAway(ErrorCode),
    /// The connection has ended, which the output says. On stream 0.
    Broken(Malformed),
}

/// Speaks HTTP/2 as a server on one connection. Output goes to a buffer of the caller's, so that an idle connection holds none; so
/// does input that is not complete. Who calls does not read on while output waits: then no flood of frames costs memory.
#[derive(Debug)]
pub struct Server {
    core: Core,
    output: ConnectionOutput,
    requests: u32,
}

impl Server {
    /// On a connection on which nothing has come.
    pub fn new(settings: AnnouncedSettings) -> Server {
        Server { core: Core::new(ConnectionSide::Server, settings), output: ConnectionOutput::default(), requests: 0 }
    }

    /// Appends what a server says first. It may do so before the client has said anything.
    pub fn begin(&mut self, settings: AnnouncedSettings, out: &mut Vec<u8>) {
        self.control(out, |_, out| settings.write(ConnectionSide::Server, out));
    }

    /// Takes the next event from `input` and moves it on. `None` if more must come: what is then left of `input` is to be given
    /// again, with what comes after it. `block` holds the event's fields; `now` are nanoseconds of any clock.
    pub fn receive<'s, 'b>(
        &mut self,
        input: &mut &'b [u8],
        block: &'s mut Block,
        now: u64,
        out: &mut Vec<u8>,
    ) -> Option<(StreamId, ServerEvent<'s, 'b>)> {
        let before = out.len();
        let happened = self.core.next(input, block, now, out);
        self.output.add(out.len() - before);
        let (stream, happened) = happened?;
        let event = match happened {
            Happened::Head(follows) => {
                self.requests = self.requests.saturating_add(1);
                match heads::request(block, follows) {
                    Ok(request) => {
                        if let Some(it) = self.core.streams.get_mut(stream) {
                            it.head_only = request.is_head();
                            it.expected = match request.framing() {
                                Framing::Length(length) => Some(length),
                                _ => None,
                            };
                        }
                        ServerEvent::Head(request)
                    }
                    Err(why) => {
                        if why != Malformed::HeadTooLarge {
                            self.reset(StreamId(stream), ErrorCode::of(why), out);
                        }
                        ServerEvent::Malformed(why)
                    }
                }
            }
            Happened::Refused(follows) => {
                self.requests = self.requests.saturating_add(1);
                heads::request(block, follows).map_or_else(ServerEvent::Malformed, ServerEvent::Refused)
            }
            Happened::Trailers => match Trailers::of(block) {
                Ok(trailers) => ServerEvent::Trailers(trailers),
                Err(why) => {
                    self.reset(StreamId(stream), ErrorCode::of(why), out);
                    ServerEvent::Malformed(why)
                }
            },
            Happened::Data(data) => ServerEvent::Data(data),
            Happened::End => ServerEvent::End,
            Happened::Reset(code) => ServerEvent::Reset(code),
            Happened::Malformed(why) => ServerEvent::Malformed(why),
            Happened::GoAway(_, code) => ServerEvent::GoAway(code),
            Happened::Broken(why) => ServerEvent::Broken(why),
        };
        Some((StreamId(stream), event))
    }

    /// Requests that have begun on this connection, also those that could not be read.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.core.streams.len()
    }

    /// Whether that stream is open, so that something may be sent on it.
    pub fn is_sending(&self, stream: StreamId) -> bool {
        self.core.streams.get(stream.0).is_some_and(|it| it.sending)
    }

    /// Whether the response to that request has no body, whatever its head says.
    pub fn is_head_only(&self, stream: StreamId) -> bool {
        self.core.streams.get(stream.0).is_some_and(|it| it.head_only)
    }

    /// Whether nothing is read any more.
    pub fn is_over(&self) -> bool {
        self.core.is_over()
    }

    /// Whether something came that nobody will read.
    pub fn left_something_unread(&self) -> bool {
        self.core.left_something_unread()
    }

    /// Whether the client's preface and settings have come.
    pub fn has_settings(&self) -> bool {
        self.core.has_settings()
    }

    /// Whether no frame and no head is half read.
    pub fn is_between_frames(&self) -> bool {
        self.core.is_between_frames()
    }

    /// What the client has announced.
    pub fn peer(&self) -> PeerSettings {
        self.core.peer
    }

    // Responses. What is said on a stream that is not open is not sent.

    /// Appends an interim response that lets the client send its body.
    pub fn write_continue(&mut self, stream: StreamId, out: &mut Vec<u8>) {
        if self.is_sending(stream) {
            self.control(out, |core, out| {
                core.send_block(stream.0, Follows::More, out, |_, out| hpack::status(out, 100));
            });
        }
    }

    /// Appends the head of a response: its status, and the fields that `fields` appends, encoded by [`literal`](crate::h2::literal).
    pub fn respond(
        &mut self,
        stream: StreamId,
        status: u16,
        follows: Follows,
        out: &mut Vec<u8>,
        fields: impl FnOnce(&mut Vec<u8>),
    ) {
        if !self.is_sending(stream) {
            return;
        }
        if let Some(it) = self.core.streams.get_mut(stream.0) {
            it.has_begun = true;
        }
        self.content(stream, follows, out, |core, out| {
            core.send_block(stream.0, follows, out, |_, out| {
                hpack::status(out, status);
                fields(out);
            });
        });
    }

    /// Bytes of content that the client takes on that stream now.
    pub fn capacity(&self, stream: StreamId) -> usize {
        self.core.capacity(stream.0)
    }

    /// Appends content of at most [`Server::capacity`] bytes.
    pub fn data(&mut self, stream: StreamId, data: &[u8], follows: Follows, out: &mut Vec<u8>) {
        if self.is_sending(stream) {
            self.content(stream, follows, out, |core, out| core.send_data(stream.0, data, follows, out));
        }
    }

    /// Appends trailers, and ends the response.
    pub fn trailers(&mut self, stream: StreamId, out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
        if self.is_sending(stream) {
            let end = Follows::Nothing;
            self.content(stream, end, out, |core, out| core.send_block(stream.0, end, out, |_, out| fields(out)));
        }
    }

    /// Ends a stream at once, whatever has been sent on it.
    pub fn reset(&mut self, stream: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
        self.control(out, |core, out| core.reset(stream.0, code, out));
    }

    /// Announces that no stream above `last` is responded to. Those up to it go on.
    pub fn go_away(&mut self, last: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
        self.core.limit = Some(last.0);
        self.control(out, |_, out| frame::write_go_away(out, last.0, code));
    }

    /// The highest stream that the client has opened.
    pub fn last_stream(&self) -> StreamId {
        StreamId(self.core.last)
    }

    /// Announces how many streams may be open at once. Those over it are refused.
    pub fn limit_streams(&mut self, most: u32, out: &mut Vec<u8>) {
        self.control(out, |core, out| core.limit_streams(most, out));
    }

    /// Reads nothing any more.
    pub fn stop(&mut self) {
        self.core.stop();
    }

    /// That many bytes of the output have left: yields, one by one, the responses that have left with them to their end.
    pub fn wrote(&mut self, bytes: usize) -> impl Iterator<Item = Written> {
        self.output.wrote(bytes)
    }

    /// The response on that stream does not go on: the bytes of it that have left.
    pub fn cut_off(&mut self, stream: StreamId) -> Written {
        Written { stream, bytes: self.output.cut_off(stream.0) }
    }

    fn control(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Core, &mut Vec<u8>)) {
        let before = out.len();
        write(&mut self.core, out);
        self.output.add(out.len() - before);
    }

    fn content(
        &mut self,
        stream: StreamId,
        follows: Follows,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Core, &mut Vec<u8>),
    ) {
        let before = out.len();
        write(&mut self.core, out);
        self.output.add_of(stream.0, out.len() - before, follows);
    }
}
