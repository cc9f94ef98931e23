//! The response that is a stream, as it comes: over HTTP/1, or on the one stream of a connection of HTTP/2.

use http::h1::client::{Ended, Receiver, ResponseEvent, ResponseProgress};
use http::h2::client::{Client, ClientEvent, FirstLine};
use http::h2::{AnnouncedSettings, Block, Follows};
use http::{Framing, Malformed, RequestContext, StreamId};

use crate::check::load::request::{ID_BYTES, StreamHead};
use crate::check::load::response::HEAD_LIMIT;
use crate::io::ending::Ending;
use crate::wire::REQUEST_HEADER;

/// Reads the response that a stream begins with.
pub(super) enum StreamResponse {
    Http1(Box<Receiver>),
    Http2(Box<Http2Response>),
}

/// A connection of HTTP/2 that carries one request.
pub(super) struct Http2Response {
    client: Client,
    block: Block,
    stream: StreamId,
    /// A frame that is not complete.
    inbox: Vec<u8>,
}

/// How far a stream's response has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StreamProgress {
    More,
    Whole,
    Malformed(Malformed),
    /// Its stream of HTTP/2 was reset, or ended before its length.
    CutOff,
}

impl StreamResponse {
    /// Of a request over HTTP/1, which is sent elsewhere.
    pub(super) fn over_http1() -> StreamResponse {
        let mut receiver = Box::new(Receiver::new(HEAD_LIMIT));
        receiver.begin(RequestContext::Other);
        StreamResponse::Http1(receiver)
    }

    /// Of that request over HTTP/2; appends what opens the connection and asks for it.
    pub(super) fn over_http2(head: &StreamHead, id: &[u8; ID_BYTES], out: &mut Vec<u8>) -> StreamResponse {
        let mut client = Client::new(AnnouncedSettings::CLIENT, out);
        let first =
            FirstLine { method: &head.method, scheme: head.scheme, authority: &head.authority, path: &head.path };
        let stream = client.open(&first, RequestContext::Other, Follows::Nothing, out, |fields| {
            fields.fresh(REQUEST_HEADER, id);
            head.fields.iter().for_each(|(name, value)| fields.constant(name, value.as_bytes()));
        });
        StreamResponse::Http2(Box::new(Http2Response { client, block: Block::new(), stream, inbox: Vec::new() }))
    }

    /// Takes the next bytes; what must be said in answer is appended to `out`.
    pub(super) fn receive(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        each: &mut impl FnMut(ResponseEvent),
    ) -> StreamProgress {
        match self {
            StreamResponse::Http1(receiver) => match receiver.receive(input, each) {
                ResponseProgress::More => StreamProgress::More,
                ResponseProgress::Whole => StreamProgress::Whole,
                ResponseProgress::Malformed(why) | ResponseProgress::WholeAndMore(why) => {
                    StreamProgress::Malformed(why)
                }
            },
            StreamResponse::Http2(response) => response.receive(input, out, each),
        }
    }

    /// The connection has ended: whether that ends the response as it should.
    pub(super) fn is_ended_by(&mut self, ending: Ending) -> bool {
        match self {
            StreamResponse::Http1(receiver) => receiver.end(ending.of_transport()) == Ended::Whole,
            StreamResponse::Http2(_) => false,
        }
    }
}

impl Http2Response {
    fn receive(&mut self, input: &[u8], out: &mut Vec<u8>, each: &mut impl FnMut(ResponseEvent)) -> StreamProgress {
        self.inbox.extend_from_slice(input);
        let received = std::mem::take(&mut self.inbox);
        let mut rest = &received[..];
        while let Some((stream, event)) = self.client.receive(&mut rest, &mut self.block, 0, out) {
            let is_of_connection = matches!(event, ClientEvent::GoAway(_) | ClientEvent::Broken(_));
            if stream != self.stream && !is_of_connection {
                continue;
            }
            match event {
                // It may go on: only streams above the number that GOAWAY names are reset.
                ClientEvent::GoAway(_) => {}
                ClientEvent::Interim(status) => each(ResponseEvent::Interim(status)),
                ClientEvent::Head(head) => {
                    let lines = head.lines();
                    let head = head.head(&lines);
                    let is_whole = head.framing == Framing::None;
                    each(ResponseEvent::Head(head));
                    if is_whole {
                        return StreamProgress::Whole;
                    }
                }
                ClientEvent::Data(data) => each(ResponseEvent::Data(data)),
                ClientEvent::Trailers(_) => {}
                ClientEvent::End => return StreamProgress::Whole,
                ClientEvent::Reset(_) | ClientEvent::Malformed(Malformed::ContentMissing) => {
                    return StreamProgress::CutOff;
                }
                ClientEvent::Malformed(why) | ClientEvent::Broken(why) => return StreamProgress::Malformed(why),
            }
        }
        let left = rest.len();
        self.inbox.extend_from_slice(&received[received.len() - left..]);
        StreamProgress::More
    }
}
