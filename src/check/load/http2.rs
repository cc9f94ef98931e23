//! HTTP/2 on one connection of the client: requests in flight, each on a stream of its own, and what comes of them. Nothing here
//! waits, and nothing is sent twice.

use std::sync::Arc;

use http::h2::client::{Client, ClientEvent, FirstLine};
use http::h2::{AnnouncedSettings, Block, ErrorCode, Follows};
use http::{Malformed, RequestContext, StreamId};

use crate::check::load::request::StreamHead;
use crate::check::load::response::{Question, ReadStep, ResponseNotes, ResponseReader, Rules};
use verdict::observation::ClientOutcome;

/// The requests of a connection have places: each has its stream there, and its reader with whoever calls.
#[derive(Debug)]
pub(super) struct Http2 {
    client: Client,
    block: Block,
    /// A frame that is not complete.
    inbox: Vec<u8>,
    /// By place: the stream of the request in flight, 0 without one.
    streams: Vec<u32>,
    /// By place: the body that is still to be sent.
    bodies: Vec<Option<Body>>,
    /// Places with a body that is not all out.
    sending: usize,
    /// The place that is first to get more of the connection's window.
    next_body: usize,
    /// A request with a body that waits for the server's settings.
    held: Option<EarlyRequest>,
}

#[derive(Debug)]
struct EarlyRequest {
    place: usize,
    head: StreamHead,
    question: Question,
}

#[derive(Debug)]
struct Body {
    content: Arc<[u8]>,
    sent: usize,
}

/// How a request in flight ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StreamEnd {
    Over(ClientOutcome),
    /// The other end takes no such stream any more and has not acted on it, which is what GOAWAY says (RFC 9113 §6.8).
    Unprocessed,
}

/// Of a body, what is put out before the kernel has taken it.
const PIECE: usize = 64 * 1024;

impl Http2 {
    /// For that many requests at once. Appends what a client says first.
    pub(super) fn new(places: usize, out: &mut Vec<u8>) -> Http2 {
        Http2 {
            client: Client::new(AnnouncedSettings::CLIENT, out),
            block: Block::new(),
            inbox: Vec::new(),
            streams: vec![0; places],
            bodies: (0..places).map(|_| None).collect(),
            sending: 0,
            next_body: 0,
            held: None,
        }
    }

    /// Whether another request may begin now. Until the other end has said how many streams it takes, one is in flight at most: more
    /// might be refused.
    pub(super) fn can_begin(&self) -> bool {
        self.client.can_open() && (self.client.has_settings() || self.client.streams() == 0 && self.held.is_none())
    }

    /// Whether this connection will carry no further request.
    pub(super) fn is_leaving(&self) -> bool {
        self.client.is_leaving()
    }

    /// Whether a request is in flight at that place.
    pub(super) fn is_in_flight(&self, place: usize) -> bool {
        self.streams[place] != 0 || self.is_held(place)
    }

    fn is_held(&self, place: usize) -> bool {
        self.held.as_ref().is_some_and(|held| held.place == place)
    }

    /// Places whose requests are in flight.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = usize> {
        (0..self.streams.len()).filter(|place| self.is_in_flight(*place))
    }

    /// Appends the head of a request. Its body follows with [`Http2::push_bodies`]. A request with a body waits for the server's settings: one
    /// that gives streams less room than the protocol does may refuse it (RFC 9113 §6.9.3), as NGINX does.
    pub(super) fn begin(&mut self, place: usize, head: &StreamHead, question: &Question, out: &mut Vec<u8>) {
        if !head.body.is_empty() && !self.client.has_settings() {
            self.held = Some(EarlyRequest { place, head: head.clone(), question: *question });
        } else {
            self.open(place, head, question, out);
        }
    }

    /// Begins the request that waited, if the settings have come. One that the server takes no more is given back.
    fn go_on(&mut self, ended: &mut Vec<(usize, StreamEnd)>, out: &mut Vec<u8>) {
        let Some(held) = self.held.take_if(|_| self.client.has_settings() || self.client.is_leaving()) else { return };
        if self.client.can_open() {
            self.open(held.place, &held.head, &held.question, out);
        } else {
            ended.push((held.place, StreamEnd::Unprocessed));
        }
    }

    fn open(&mut self, place: usize, head: &StreamHead, question: &Question, out: &mut Vec<u8>) {
        let asked = if question.head_only { RequestContext::Head } else { RequestContext::Other };
        let first =
            FirstLine { method: &head.method, scheme: head.scheme, authority: &head.authority, path: &head.path };
        let stream = self.client.open(&first, asked, Follows::after(head.body.is_empty()), out, |fields| {
            fields.fresh(crate::wire::REQUEST_HEADER, &question.id);
            head.fields.iter().for_each(|(name, value)| fields.constant(name, value.as_bytes()));
        });
        self.streams[place] = stream.0;
        if !head.body.is_empty() {
            self.bodies[place] = Some(Body { content: head.body.clone(), sent: 0 });
            self.sending += 1;
        }
    }

    /// Appends what of the bodies the windows let through. Whoever got the last of the connection's window is the last to get more of it: a
    /// body that waits for ever would look like a balancer's doing.
    pub(super) fn push_bodies(&mut self, out: &mut Vec<u8>) {
        if self.sending == 0 {
            return;
        }
        let (first, places) = (self.next_body, self.bodies.len());
        for place in (first..places).chain(0..first) {
            let Some(body) = &mut self.bodies[place] else { continue };
            let stream = StreamId(self.streams[place]);
            let piece = self.client.capacity(stream).min(body.content.len() - body.sent).min(PIECE);
            if piece > 0 {
                let end = body.sent + piece;
                self.client.data(stream, &body.content[body.sent..end], Follows::after(end == body.content.len()), out);
                body.sent = end;
                self.next_body = (place + 1) % places;
                if end == body.content.len() {
                    self.bodies[place] = None;
                    self.sending -= 1;
                }
            }
        }
    }

    /// Whether all of that request is out.
    pub(super) fn has_sent_all(&self, place: usize) -> bool {
        self.bodies[place].is_none() && !self.is_held(place)
    }

    /// Takes the next bytes. What they say of requests in flight is for the readers, by place; those that ended are appended to `ended`.
    /// What must be said in answer goes to `out`.
    pub(super) fn receive(
        &mut self,
        input: &[u8],
        readers: &mut [ResponseReader],
        rules: &Rules,
        notes: &mut ResponseNotes,
        ended: &mut Vec<(usize, StreamEnd)>,
        out: &mut Vec<u8>,
    ) {
        let kept = std::mem::take(&mut self.inbox);
        let joined;
        let mut rest = if kept.is_empty() {
            input
        } else {
            joined = [&kept[..], input].concat();
            &joined[..]
        };
        while let Some((stream, event)) = self.client.receive(&mut rest, &mut self.block, 0, out) {
            let end = match event {
                ClientEvent::Broken(why) => {
                    let held = self.held.take().map(|held| held.place);
                    ended.extend(held.map(|place| (place, StreamEnd::Over(readers[place].fail(why)))));
                    break_all(&mut self.streams, readers, why, ended);
                    continue;
                }
                ClientEvent::GoAway(_) => continue,
                event => {
                    let Some(place) = self.streams.iter().position(|it| *it == stream.0 && *it != 0) else { continue };
                    let is_unprocessed = matches!(event, ClientEvent::Reset(ErrorCode::REFUSED_STREAM))
                        && self.client.is_leaving()
                        && !readers[place].has_head();
                    match readers[place].take(event, rules, notes) {
                        ReadStep::More => continue,
                        ReadStep::Over(_) if is_unprocessed => (place, StreamEnd::Unprocessed),
                        ReadStep::Over(outcome) => (place, StreamEnd::Over(outcome)),
                    }
                }
            };
            self.release(end.0, out);
            ended.push(end);
        }
        self.inbox.extend_from_slice(rest);
        self.go_on(ended, out);
    }

    /// The request at that place is over: whatever is left of its stream is given up.
    fn release(&mut self, place: usize, out: &mut Vec<u8>) {
        if self.is_held(place) {
            self.held = None;
            return;
        }
        let stream = std::mem::take(&mut self.streams[place]);
        if self.bodies[place].take().is_some() {
            self.sending -= 1;
        }
        self.client.cancel(StreamId(stream), ErrorCode::CANCEL, out);
    }

    /// Gives the request at that place up.
    pub(super) fn cancel(&mut self, place: usize, out: &mut Vec<u8>) {
        if self.is_in_flight(place) {
            self.release(place, out);
        }
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

/// The connection has ended by what came on it: so has every request in flight.
fn break_all(streams: &mut [u32], readers: &mut [ResponseReader], why: Malformed, ended: &mut Vec<(usize, StreamEnd)>) {
    for (place, stream) in streams.iter_mut().enumerate().filter(|(_, stream)| **stream != 0) {
        *stream = 0;
        ended.push((place, StreamEnd::Over(readers[place].fail(why))));
    }
}

#[cfg(test)]
mod tests {
    use http::h2::server::{Server, ServerEvent};

    use super::*;
    use crate::check::load::request::ID_BYTES;

    fn post(body: usize) -> StreamHead {
        StreamHead {
            method: "POST".to_owned(),
            scheme: "http",
            authority: "localhost".to_owned(),
            path: "/".to_owned(),
            fields: Vec::new(),
            body: vec![0; body].into(),
        }
    }

    const QUESTION: Question = Question { id: [b'0'; ID_BYTES], sequence: 0, head_only: false, conditional: false };

    /// As NGINX with `http2_body_preread_size 0` has it: it refuses the stream of a client that does not wait.
    #[test]
    fn a_request_with_a_body_waits_for_the_servers_settings() {
        let (mut out, mut ended) = (Vec::new(), Vec::new());
        let mut http2 = Http2::new(1, &mut out);
        out.clear();
        http2.begin(0, &post(100), &QUESTION, &mut out);
        assert!(out.is_empty() && http2.is_in_flight(0) && !http2.has_sent_all(0) && !http2.can_begin());
        let mut receive = |http2: &mut Http2, input: &[u8]| {
            let mut out = Vec::new();
            http2.idle(input, &mut out);
            http2.go_on(&mut ended, &mut out);
            let begun = out.len();
            http2.push_bodies(&mut out);
            // A frame of DATA has a head of nine bytes.
            (begun > 9, (out.len() - begun).saturating_sub(9))
        };
        // SETTINGS_INITIAL_WINDOW_SIZE: 0, then WINDOW_UPDATE of 40 bytes, then of 1,000.
        assert_eq!(receive(&mut http2, &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]), (true, 0));
        assert_eq!(receive(&mut http2, &[0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 0, 40]).1, 40);
        assert!(http2.is_in_flight(0) && !http2.has_sent_all(0));
        assert_eq!(receive(&mut http2, &[0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 3, 0xe8]).1, 60);
        assert!(http2.has_sent_all(0) && ended.is_empty());
        // One that leaves before it has said anything has not acted on it.
        let mut http2 = Http2::new(1, &mut Vec::new());
        http2.begin(0, &post(100), &QUESTION, &mut Vec::new());
        http2.idle(&[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &mut Vec::new());
        http2.go_on(&mut ended, &mut Vec::new());
        assert_eq!(ended, [(0, StreamEnd::Unprocessed)]);
        assert!(!http2.is_in_flight(0));
    }

    /// A server that gives the connection little room, again and again, while each request that ends is followed by another.
    #[test]
    fn a_body_that_waits_for_room_is_not_passed_over_for_ever() {
        const PLACES: usize = 4;
        let head = post(60_000);
        let (mut out, mut notices, mut block) = (Vec::new(), Vec::new(), Block::new());
        let mut http2 = Http2::new(PLACES, &mut out);
        let mut server = Server::new(AnnouncedSettings::SERVER);
        server.begin(AnnouncedSettings::SERVER, &mut notices);
        // SETTINGS that change nothing: the connection has room for 65,535 bytes.
        http2.idle(&[0, 0, 0, 4, 0, 0, 0, 0, 0], &mut out);
        (0..PLACES).for_each(|place| http2.begin(place, &head, &QUESTION, &mut out));
        let mut done = [0; PLACES];
        for _ in 0..40 {
            // What the server would give back by itself stays where it is.
            notices.clear();
            http2.push_bodies(&mut out);
            let bytes = std::mem::take(&mut out);
            let mut rest = &bytes[..];
            while let Some((_, event)) = server.receive(&mut rest, &mut block, 0, &mut notices) {
                assert!(matches!(
                    event,
                    ServerEvent::Head(_) | ServerEvent::Data(_) | ServerEvent::End | ServerEvent::Reset(_)
                ));
            }
            for place in (0..PLACES).filter(|place| http2.has_sent_all(*place)).collect::<Vec<_>>() {
                done[place] += 1;
                http2.cancel(place, &mut out);
                http2.begin(place, &head, &QUESTION, &mut out);
            }
            // WINDOW_UPDATE of 20,000 bytes, on the connection.
            http2.idle(&[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0x4e, 0x20], &mut out);
        }
        assert!(done.iter().all(|count| *count >= 2), "{done:?}");
    }
}
