//! The client's side of HTTP/2: requests in, bytes out; bytes of one connection in, events of its streams out. It never sends a
//! request twice.

use crate::Malformed;
use crate::h2::code::ErrorCode;
use crate::h2::core::{Core, Happened};
use crate::h2::follows::Follows;
use crate::h2::frame::{self, PREFACE};
use crate::h2::heads::{self, KnownResponse, Trailers};
use crate::h2::hpack::{Block, Encoder};
use crate::h2::settings::{AnnouncedSettings, ConnectionSide, PeerSettings};
use crate::h2::streams::{OpenStream, Past};
use crate::stream::StreamId;
use crate::{Framing, RequestContext};

/// What the bytes of a server mean, one event after the other.
#[derive(Debug)]
pub enum ClientEvent<'s, 'b> {
    /// An interim response; the final one follows.
    Interim(u16),
    /// The head of the final response. [`ClientEvent::End`] follows unless its framing is [`Framing::None`].
    Head(KnownResponse<'s>),
    /// The next piece of content.
    Data(&'b [u8]),
    /// The trailer section.
    Trailers(Trailers<'s>),
    /// The response is whole.
    End,
    /// The response is not what it must be, and its stream has been reset.
    Malformed(Malformed),
    /// The server has ended the stream. With REFUSED_STREAM, also of one above the last number that GOAWAY lets live, nothing was done.
    Reset(ErrorCode),
    /// The server takes no more streams. On stream 0.
    GoAway(ErrorCode),
    /// The connection has ended, which the output says. On stream 0.
    Broken(Malformed),
}

/// The first fields of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FirstLine<'a> {
    /// `:method`
    pub method: &'a str,
    /// `:scheme`: https over TLS.
    pub scheme: &'a str,
    /// `:authority`: what HTTP/1 has in Host.
    pub authority: &'a str,
    /// `:path`, with its query.
    pub path: &'a str,
}

/// Appends fields to a head.
#[derive(Debug)]
pub struct FieldWriter<'a> {
    encoder: &'a mut Encoder,
    out: &'a mut Vec<u8>,
}

impl FieldWriter<'_> {
    /// One that comes again and again: later it takes a byte or two.
    pub fn constant(&mut self, name: &str, value: &[u8]) {
        self.encoder.field(name, value, self.out);
    }

    /// One that is different each time.
    pub fn fresh(&mut self, name: &str, value: &[u8]) {
        crate::h2::literal(self.out, name, value);
    }
}

/// Speaks HTTP/2 as a client on one connection.
#[derive(Debug)]
pub struct Client {
    core: Core,
}

/// The last number that a client can open.
const LAST_STREAM: u32 = (1 << 31) - 1;

impl Client {
    /// On a connection on which nothing has come; appends what a client says first.
    pub fn new(settings: AnnouncedSettings, out: &mut Vec<u8>) -> Client {
        out.extend_from_slice(PREFACE);
        settings.write(ConnectionSide::Client, out);
        Client { core: Core::new(ConnectionSide::Client, settings) }
    }

    /// Whether another stream may be opened now.
    pub fn can_open(&self) -> bool {
        let most = self.core.peer.max_streams.unwrap_or(u32::MAX);
        !self.is_leaving() && self.core.streams.len() < most as usize
    }

    /// Whether this connection will never open another stream.
    pub fn is_leaving(&self) -> bool {
        self.core.is_over() || self.core.limit.is_some() || self.core.last >= LAST_STREAM - 2
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.core.streams.len()
    }

    /// Whether the server's settings have come.
    pub fn has_settings(&self) -> bool {
        self.core.has_settings()
    }

    /// What the server has announced.
    pub fn peer(&self) -> PeerSettings {
        self.core.peer
    }

    /// Opens a stream with the head of a request, if [`Client::can_open`].
    pub fn open(
        &mut self,
        first: &FirstLine,
        asked: RequestContext,
        follows: Follows,
        out: &mut Vec<u8>,
        fields: impl FnOnce(&mut FieldWriter),
    ) -> StreamId {
        let id = if self.core.last == 0 { 1 } else { self.core.last + 2 };
        self.core.last = id;
        self.core.streams.open(OpenStream {
            id,
            receiving: true,
            sending: true,
            has_head: false,
            has_begun: true,
            expected: None,
            send_window: i64::from(self.core.peer.stream_window),
            receive_window: i64::from(self.core.stream_window()),
            head_only: asked == RequestContext::Head,
        });
        self.core.send_block(id, follows, out, |encoder, out| {
            encoder.field(":method", first.method.as_bytes(), out);
            encoder.field(":scheme", first.scheme.as_bytes(), out);
            encoder.field(":path", first.path.as_bytes(), out);
            encoder.field(":authority", first.authority.as_bytes(), out);
            fields(&mut FieldWriter { encoder, out });
        });
        StreamId(id)
    }

    /// Bytes of content that the server takes on that stream now.
    pub fn capacity(&self, stream: StreamId) -> usize {
        self.core.capacity(stream.0)
    }

    /// Appends content of at most [`Client::capacity`] bytes.
    pub fn data(&mut self, stream: StreamId, data: &[u8], follows: Follows, out: &mut Vec<u8>) {
        if self.core.streams.get(stream.0).is_some_and(|it| it.sending) {
            self.core.send_data(stream.0, data, follows, out);
        }
    }

    /// Gives a request up.
    pub fn cancel(&mut self, stream: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
        self.core.reset(stream.0, code, out);
    }

    /// Says that nothing more is asked on this connection.
    pub fn go_away(&mut self, out: &mut Vec<u8>) {
        frame::write_go_away(out, 0, ErrorCode::NO_ERROR);
        self.core.limit = Some(0);
    }

    /// Takes the next event from `input` and moves it on. `None` if more must come: what is then left of `input` is to be given
    /// again, with what comes after it. `block` holds the event's fields; `now` are nanoseconds of any clock.
    pub fn receive<'s, 'b>(
        &mut self,
        input: &mut &'b [u8],
        block: &'s mut Block,
        now: u64,
        out: &mut Vec<u8>,
    ) -> Option<(StreamId, ClientEvent<'s, 'b>)> {
        let (stream, happened) = self.core.next(input, block, now, out)?;
        let event = match happened {
            Happened::Head(follows) => match self.head(stream, follows, block, out) {
                Ok(response) if response.status < 200 => ClientEvent::Interim(response.status),
                Ok(response) => ClientEvent::Head(response),
                Err(why) => ClientEvent::Malformed(why),
            },
            // No server opens streams.
            Happened::Refused(_) => return None,
            Happened::Trailers => match Trailers::of(block) {
                Ok(trailers) => ClientEvent::Trailers(trailers),
                Err(why) => {
                    self.core.reset(stream, ErrorCode::of(why), out);
                    ClientEvent::Malformed(why)
                }
            },
            Happened::Data(data) => ClientEvent::Data(data),
            Happened::End => ClientEvent::End,
            Happened::Reset(code) => ClientEvent::Reset(code),
            Happened::Malformed(why) => ClientEvent::Malformed(why),
            Happened::GoAway(_, code) => ClientEvent::GoAway(code),
            Happened::Broken(why) => ClientEvent::Broken(why),
        };
        Some((StreamId(stream), event))
    }

    fn head<'s>(
        &mut self,
        id: u32,
        follows: Follows,
        block: &'s Block,
        out: &mut Vec<u8>,
    ) -> Result<KnownResponse<'s>, Malformed> {
        let Some(stream) = self.core.streams.get_mut(id) else { return Err(Malformed::StreamClosed) };
        let ends = follows == Follows::Nothing;
        let response = heads::response(block, follows, stream.head_only);
        // RFC 9113 §8.1: an interim response ends nothing, and §8.6: 101 is of HTTP/1 alone.
        let response = match response {
            Ok(response) if response.status < 200 && (ends || response.status == 101) => {
                Err(if ends { Malformed::FrameUnexpected } else { Malformed::UpgradeUnasked })
            }
            response => response,
        };
        match response {
            Ok(response) if response.status >= 200 => {
                stream.has_head = true;
                stream.receiving = !ends;
                stream.expected = match response.framing() {
                    Framing::Length(length) => Some(length),
                    _ => None,
                };
                if ends && !stream.sending {
                    self.core.streams.remove(id, Past::Ended);
                }
                Ok(response)
            }
            Ok(response) => Ok(response),
            Err(why) => {
                self.core.reset(id, ErrorCode::of(why), out);
                Err(why)
            }
        }
    }
}
