//! One connection: bytes in, responses out, each attempt in the journal before its response leaves.
//! It owns no socket; the server feeds it and reports how much of its output was written.

use std::collections::VecDeque;

use http::Room;
use http::h1::server::{Event, Server, StreamId};
use http::h2::PREFACE;
use http::proxy_protocol::{self, Client, Opening};

use crate::backend::arrival::salvage_id;
use crate::backend::exchange::{Arriving, Exchange};
use crate::backend::fault::{Effect, Treatment};
use crate::backend::paced::Paced;
use crate::backend::response::{Body, Stamp, pattern};
use crate::backend::state::State;
use crate::backend::websocket::Socket;
use crate::journal::Claim;
use crate::wire::{AttemptEnd, End, Moment, Refusal, ResponseId, Secured};
use verdict::life::LifeEnd;

/// More fields than this are refused.
const MAX_FIELDS: usize = 100;

pub(crate) struct Connection {
    peer: End,
    /// If a header told of the peer: who sent it.
    via: Option<End>,
    local: End,
    number: u64,
    http: Server,
    /// A head that is not complete yet, or what came while a response was held back.
    inbox: Vec<u8>,
    stage: Stage,
    unread: bool,
    tls: Option<Box<Secured>>,
    /// Attempts whose responses have begun and did not leave to their end.
    responding: VecDeque<(StreamId, Claim)>,
}

/// Where a connection comes from: what all of its requests share.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) peer: End,
    /// If a header told of the peer: who sent it.
    pub(super) via: Option<End>,
    pub(super) local: End,
    /// Number of the connection in this backend, from 1.
    pub(super) number: u64,
    pub(super) tls: Option<Box<Secured>>,
}

enum Stage {
    /// Nothing has come but perhaps a part of a PROXY header.
    Opening,
    /// Waiting for a request's head.
    Head,
    /// The client speaks HTTP/2: this is for another to read.
    Http2,
    /// Reading a body: the response is due when it has ended.
    Body(Box<Exchange>),
    /// The response is held back until then. Meanwhile nothing is read: responses keep their order.
    Delayed { until: Moment, exchange: Box<Exchange> },
    /// The response's body is being made, piece by piece.
    Streaming(Stream),
    /// The response's body is written event by event; after that many a fault breaks it off.
    Paced { paced: Box<Paced>, cut_after: Option<u32> },
    /// A WebSocket.
    Socket(Box<Socket>),
    /// Nothing is written and nothing is read any more.
    Hanging,
    /// Nothing more is read.
    Over,
    /// The same, and what was written is to be forgotten.
    Reset,
}

struct Stream {
    position: u64,
    /// Where a fault breaks it off, or its length.
    end: u64,
    length: u64,
}

/// What the connection waits for, which is what bounds its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waiting {
    /// The next request, or the end.
    Idle,
    /// The rest of a PROXY header.
    Opening,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// This moment; then [`Connection::release`].
    Moment(Moment),
    /// That the output has been written; then [`Connection::go_on`].
    Room,
    /// More of another protocol, and this moment if there is one; then [`Connection::release`]. It may take as long as it likes.
    Upgraded(Option<Moment>),
    /// The end: the client gets no response.
    End,
    /// That the client has read all: nothing more is responded to on this connection.
    Over,
    /// Nothing: the connection is to be reset.
    Reset,
    /// Of HTTP/2: whatever comes on any stream. Then also this moment, then [`Speaker::release`](super::speaker::Speaker::release).
    Streams {
        /// When something that is held back is due.
        due: Option<Moment>,
        /// There is more to be written as soon as the output has been.
        more: bool,
        /// The client is to send something, or to take it.
        body: bool,
    },
}

impl Connection {
    /// The `number`th of its backend.
    pub(crate) fn new(peer: End, local: End, number: u64, state: &State) -> Connection {
        Connection {
            peer,
            via: None,
            local,
            number,
            http: Server::new(),
            inbox: Vec::new(),
            stage: if state.proxy_protocol { Stage::Opening } else { Stage::Head },
            unread: false,
            tls: None,
            responding: VecDeque::new(),
        }
    }

    pub(crate) fn waiting(&self) -> Waiting {
        match self.stage {
            Stage::Opening | Stage::Head if self.inbox.is_empty() => Waiting::Idle,
            Stage::Opening => Waiting::Opening,
            Stage::Head => Waiting::Head,
            Stage::Body(_) => Waiting::Body,
            Stage::Delayed { until, .. } => Waiting::Moment(until),
            Stage::Streaming(_) => Waiting::Room,
            Stage::Paced { ref paced, .. } => paced.due().map_or(Waiting::Room, Waiting::Moment),
            Stage::Socket(ref socket) => Waiting::Upgraded(socket.due()),
            Stage::Hanging => Waiting::End,
            Stage::Reset => Waiting::Reset,
            Stage::Over | Stage::Http2 => Waiting::Over,
        }
    }

    /// Whether a request has come on this connection.
    pub(crate) fn has_begun(&self) -> bool {
        self.http.requests() > 0
    }

    /// Whether what comes first belongs to the PROXY protocol, which stands before TLS.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.stage, Stage::Opening)
    }

    /// Takes the header of the PROXY protocol, or the beginning of one, off what has arrived: what comes after it is TLS.
    pub(crate) fn open<'b>(&mut self, input: &'b [u8], now: Moment, state: &mut State, out: &mut Vec<u8>) -> &'b [u8] {
        let earlier = self.inbox.len();
        self.inbox.extend_from_slice(input);
        match proxy_protocol::parse(&self.inbox) {
            Ok(None) => &[],
            Ok(Some(opening)) => {
                let header = self.opened(opening);
                self.inbox = Vec::new();
                // Of what came earlier all belongs to the header, or it had been known to be none.
                &input[header.saturating_sub(earlier)..]
            }
            Err(why) => {
                self.http.give_up_head();
                let head = std::mem::take(&mut self.inbox);
                self.refuse(Refusal::Malformed(why), &head, now, state, out);
                &[]
            }
        }
    }

    /// Its TLS stands.
    pub(crate) fn secure(&mut self, tls: Secured) {
        self.tls = Some(Box::new(tls));
    }

    /// Refuses a client that speaks no TLS.
    pub(crate) fn refuse_plain(&mut self, input: &[u8], now: Moment, state: &mut State, out: &mut Vec<u8>) {
        self.http.give_up_head();
        self.refuse(Refusal::NoTls, input, now, state, out);
    }

    /// Whether new connections get another certificate than this one has.
    pub(crate) fn is_left(&self, state: &State) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.bad != state.bad_certificate())
    }

    /// Whether the connection is over though the client had more to say.
    pub(crate) fn left_something_unread(&self) -> bool {
        self.unread || self.http.left_something_unread()
    }

    /// If the client speaks HTTP/2: where it is, and what it has said.
    pub(super) fn take_http2(&mut self) -> Option<(Origin, Vec<u8>)> {
        if !matches!(self.stage, Stage::Http2) {
            return None;
        }
        let Connection { peer, via, local, number, .. } = *self;
        Some((Origin { peer, via, local, number, tls: self.tls.take() }, std::mem::take(&mut self.inbox)))
    }

    /// Takes what has arrived and appends to `out` what is to be written.
    pub(crate) fn receive(&mut self, input: &[u8], now: Moment, state: &mut State, out: &mut Vec<u8>) {
        if self.inbox.is_empty() {
            let rest = self.converse(input, now, state, out);
            self.inbox.extend_from_slice(rest);
            return;
        }
        self.inbox.extend_from_slice(input);
        // A head that arrives byte by byte is not read anew for each byte; a PROXY header is short, and need not have lines.
        if matches!(self.stage, Stage::Opening)
            || input.contains(&b'\n')
            || self.inbox.len() >= state.limits.header_bytes as usize
        {
            self.take_up(now, state, out);
        }
    }

    /// The moment has come for which the connection waited.
    pub(crate) fn release(&mut self, now: Moment, state: &mut State, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Delayed { until, exchange } if now >= until => {
                self.deliver(*exchange, now, state, out);
                self.take_up(now, state, out);
            }
            Stage::Paced { paced, cut_after } => self.write_events(paced, cut_after, now, state, out),
            Stage::Socket(socket) => {
                self.on_socket(socket, state, out, |socket, out| socket.advance(now, out));
            }
            other => self.stage = other,
        }
    }

    /// Writes the events that are due.
    fn write_events(
        &mut self,
        mut paced: Box<Paced>,
        cut_after: Option<u32>,
        now: Moment,
        state: &mut State,
        out: &mut Vec<u8>,
    ) {
        paced.write(now, |piece| self.http.data(piece, out));
        let is_cut = cut_after.is_some_and(|most| paced.life.written >= most);
        if is_cut {
            paced.life.end = LifeEnd::Backend;
        }
        // Noted before the kernel has it: what a client saw is in the record.
        if let Some((_, claim)) = self.responding.back_mut() {
            state.journal.note_life(claim, &paced.life);
        }
        match paced.is_done() {
            _ if is_cut => self.http.abort(),
            true => self.http.end(out),
            false => {
                self.stage = Stage::Paced { paced, cut_after };
                return;
            }
        }
        self.stage = self.next_stage();
        self.take_up(now, state, out);
    }

    /// Lets something happen on a WebSocket.
    fn on_socket(
        &mut self,
        mut socket: Box<Socket>,
        state: &mut State,
        out: &mut Vec<u8>,
        act: impl FnOnce(&mut Socket, &mut Vec<u8>),
    ) {
        let mut frames = state.buffer();
        act(&mut socket, &mut frames);
        self.http.data(&frames, out);
        state.recycle(frames);
        if let Some((_, claim)) = self.responding.back_mut() {
            state.journal.note_life(claim, &socket.life);
        }
        if socket.is_over() {
            self.http.end(out);
            self.stage = Stage::Over;
        } else {
            self.stage = Stage::Socket(socket);
        }
    }

    /// The backend ends: a WebSocket is told so.
    pub(crate) fn go_away(&mut self, now: Moment, state: &mut State, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Socket(socket) => self.on_socket(socket, state, out, |socket, out| socket.go_away(now, out)),
            other => self.stage = other,
        }
    }

    /// The output has been written, and there is room for more.
    pub(crate) fn go_on(&mut self, now: Moment, state: &mut State, out: &mut Vec<u8>) {
        let stream = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Streaming(stream) => stream,
            Stage::Paced { paced, cut_after } => return self.write_events(paced, cut_after, now, state, out),
            other => {
                self.stage = other;
                return;
            }
        };
        let mut stream = stream;
        self.http.make_data(out, |out| stream.position = pattern(out, stream.position, stream.end));
        if stream.position >= stream.end {
            match stream.end == stream.length {
                true => self.http.end(out),
                false => self.http.abort(),
            }
            self.stage = self.next_stage();
            self.take_up(now, state, out);
        } else {
            self.stage = Stage::Streaming(stream);
        }
    }

    /// Reads what came earlier.
    fn take_up(&mut self, now: Moment, state: &mut State, out: &mut Vec<u8>) {
        let inbox = std::mem::take(&mut self.inbox);
        let rest = self.converse(&inbox, now, state, out).len();
        self.inbox = inbox;
        self.inbox.drain(..self.inbox.len() - rest);
    }

    /// Ends the wait for a head, or what comes before it, that takes too long.
    pub(crate) fn expire(&mut self, now: Moment, state: &mut State, out: &mut Vec<u8>) {
        if matches!(self.waiting(), Waiting::Opening | Waiting::Head) {
            self.http.give_up_head();
            let head = std::mem::take(&mut self.inbox);
            self.refuse(Refusal::TooSlow, &head, now, state, out);
        }
    }

    /// That many bytes of the output have been written.
    pub(crate) fn wrote(&mut self, bytes: usize, now: Moment, state: &mut State) {
        for written in self.http.wrote(bytes) {
            if let Some((_, claim)) = self.responding.pop_front() {
                state.journal.complete(claim, now, written.bytes, AttemptEnd::Completed);
            }
        }
    }

    /// The connection has ended: what was not responded to its end is recorded as cut off. `how`: who ended it.
    pub(crate) fn end(&mut self, how: LifeEnd, now: Moment, state: &mut State) {
        let life = match &mut self.stage {
            Stage::Paced { paced, .. } => Some(&mut paced.life),
            Stage::Socket(socket) => Some(&mut socket.life),
            _ => None,
        };
        if let (Some(life), Some((_, claim))) = (life, self.responding.back_mut()) {
            // Its own close frame was sent before.
            if life.end == LifeEnd::Open {
                life.end = how;
            }
            state.journal.note_life(claim, life);
        }
        for written in self.http.cut_off() {
            if let Some((_, claim)) = self.responding.pop_front() {
                state.journal.complete(claim, now, written.bytes, AttemptEnd::CutOff);
            }
        }
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Body(exchange) | Stage::Delayed { exchange, .. } => {
                state.journal.complete(exchange.claim, now, 0, AttemptEnd::CutOff);
            }
            Stage::Opening | Stage::Head | Stage::Http2 => {}
            Stage::Streaming(_) | Stage::Hanging | Stage::Over | Stage::Reset => {}
            Stage::Paced { .. } | Stage::Socket(_) => {}
        }
    }

    /// Responds to all requests that are complete in `bytes` and returns what remains of an incomplete one.
    fn converse<'b>(&mut self, bytes: &'b [u8], now: Moment, state: &mut State, out: &mut Vec<u8>) -> &'b [u8] {
        let mut rest = bytes;
        loop {
            match &mut self.stage {
                Stage::Over | Stage::Reset | Stage::Hanging => {
                    self.unread |= !rest.is_empty();
                    return &[];
                }
                Stage::Delayed { .. } | Stage::Streaming(_) | Stage::Paced { .. } | Stage::Http2 => return rest,
                Stage::Head if self.http.requests() == 0 && may_be_http2(rest) => {
                    if rest.len() >= PREFACE.len() {
                        self.stage = Stage::Http2;
                    }
                    return rest;
                }
                Stage::Socket(_) => {
                    let mut room = Room::<0>::new();
                    let Some((_, Event::Data(data))) = self.http.receive(&mut rest, &mut room, 0) else { return rest };
                    if let Stage::Socket(socket) = std::mem::replace(&mut self.stage, Stage::Over) {
                        self.on_socket(socket, state, out, |socket, out| socket.receive(data, out));
                    }
                }
                Stage::Opening => match proxy_protocol::parse(rest) {
                    Ok(None) => return rest,
                    Ok(Some(opening)) => rest = &rest[self.opened(opening)..],
                    Err(why) => {
                        self.http.give_up_head();
                        self.refuse(Refusal::Malformed(why), rest, now, state, out);
                        return &[];
                    }
                },
                Stage::Head | Stage::Body(_) => {
                    let before = rest;
                    let mut room = Room::<MAX_FIELDS>::new();
                    let limit = state.limits.header_bytes as usize;
                    let Some((_, event)) = self.http.receive(&mut rest, &mut room, limit) else { return rest };
                    match event {
                        Event::Head(head) => {
                            let exchange = Exchange::begin(&head, &self.arriving(), now, state);
                            if head.framing == http::Framing::None {
                                self.hold_back(exchange, now, state, out);
                            } else {
                                if head.expects_continue && rest.is_empty() {
                                    self.http.write_continue(out);
                                }
                                self.stage = Stage::Body(Box::new(exchange));
                            }
                        }
                        Event::Data(data) => {
                            if let Stage::Body(exchange) = &mut self.stage {
                                exchange.see(data);
                            }
                        }
                        Event::Trailers(_) => {}
                        Event::End => {
                            if let Stage::Body(mut exchange) = std::mem::replace(&mut self.stage, Stage::Head) {
                                exchange.whole(state);
                                self.hold_back(*exchange, now, state, out);
                            }
                        }
                        Event::Malformed(why) => match std::mem::replace(&mut self.stage, Stage::Over) {
                            Stage::Body(mut exchange) => {
                                exchange.refuse_body(why, state);
                                self.deliver(*exchange, now, state, out);
                            }
                            _ => self.refuse(Refusal::Malformed(why), before, now, state, out),
                        },
                    }
                }
            }
        }
    }

    /// How many bytes the header of the PROXY protocol has, if there is one.
    fn opened(&mut self, opening: Opening) -> usize {
        self.stage = Stage::Head;
        let Opening::Header { bytes, client } = opening else { return 0 };
        self.via = Some(self.peer);
        self.peer = match client {
            Some(Client::Address(address)) => End::Address(address),
            Some(Client::Unix) => End::Unix,
            None => self.peer,
        };
        bytes
    }

    fn arriving(&self) -> Arriving<'_> {
        Arriving {
            peer: self.peer,
            via: self.via,
            local: self.local,
            connection: self.number,
            request_number: self.http.requests(),
            tls: self.tls.as_deref(),
        }
    }

    /// The request has been read: its response is due, or will be.
    fn hold_back(&mut self, exchange: Exchange, now: Moment, state: &mut State, out: &mut Vec<u8>) {
        if exchange.treatment.delay.is_zero() {
            self.deliver(exchange, now, state, out);
        } else {
            let until = now.after(exchange.treatment.delay);
            self.stage = Stage::Delayed { until, exchange: Box::new(exchange) };
        }
    }

    /// Responds to a head that cannot be read, and ends the connection.
    fn refuse(&mut self, refusal: Refusal, head: &[u8], now: Moment, state: &mut State, out: &mut Vec<u8>) {
        self.inbox.clear();
        let exchange = Exchange::refused(refusal, salvage_id(head), &self.arriving(), now, state);
        self.deliver(exchange, now, state, out);
    }

    /// Writes the response, or what the request gets instead.
    fn deliver(&mut self, exchange: Exchange, now: Moment, state: &mut State, out: &mut Vec<u8>) {
        let Exchange { claim, response, treatment: Treatment { effect, .. }, .. } = exchange;
        let stream = StreamId(self.http.requests());
        self.responding.push_back((stream, claim));
        let is_silent = match effect {
            Effect::Close => Some(Stage::Over),
            Effect::Reset => Some(Stage::Reset),
            Effect::Hang => Some(Stage::Hanging),
            Effect::Answer | Effect::Status(_) | Effect::FirstFailed | Effect::CloseMidway => None,
            // What is done to streams is not done where there are none.
            Effect::ResetStream(_) | Effect::RefuseStream | Effect::GoAway => None,
        };
        if let Some(stage) = is_silent {
            self.http.abort();
            self.stage = stage;
            return;
        }
        let unix = state.calendar.unix(now);
        // A client that is to see another certificate needs another connection.
        let persistent = !state.draining && !self.is_left(state);
        let stamp =
            Stamp { date: state.date.at(unix), identity: &state.identity, usual_heads: &state.usual_heads, persistent };
        let start = out.len();
        response.write_head(&mut self.http, &stamp, out);
        let is_cut = effect == Effect::CloseMidway;
        let head_only = self.http.is_head_only();
        match response.body {
            Body::Bytes(bytes) => {
                let shown = if is_cut { bytes.len() / 2 } else { bytes.len() };
                self.http.data(&bytes[..shown], out);
                if is_cut && (head_only || bytes.is_empty()) {
                    // Of a head alone, half of it.
                    self.http.retract(out, (out.len() - start).div_ceil(2));
                }
                state.recycle(bytes);
            }
            Body::Pattern(length) if length > 0 && !head_only => {
                let end = if is_cut { length / 2 } else { length };
                self.stage = Stage::Streaming(Stream { position: 0, end, length });
                return;
            }
            Body::Paced { pace, first } if !head_only => {
                let answer = response.answer.unwrap_or(ResponseId(uuid::Uuid::nil()));
                let paced = Box::new(Paced::new(pace, first, answer, now));
                let cut_after = is_cut.then_some(pace.count / 2);
                return self.write_events(paced, cut_after, now, state, out);
            }
            Body::Paced { .. } => {}
            Body::Socket { ask, .. } if !is_cut => {
                let answer = response.answer.unwrap_or(ResponseId(uuid::Uuid::nil()));
                let socket = Box::new(Socket::new(ask, answer, now));
                return self.on_socket(socket, state, out, |socket, out| socket.advance(now, out));
            }
            Body::Socket { .. } => {}
            Body::Pattern(_) if is_cut => self.http.retract(out, (out.len() - start).div_ceil(2)),
            Body::Pattern(_) => {}
        }
        match is_cut {
            true => self.http.abort(),
            false => self.http.end(out),
        }
        self.stage = self.next_stage();
    }

    fn next_stage(&self) -> Stage {
        if self.http.is_over() { Stage::Over } else { Stage::Head }
    }
}

/// Whether the connection begins as one of HTTP/2, as far as has come. No request of HTTP/1 does.
fn may_be_http2(bytes: &[u8]) -> bool {
    const WORD: usize = "PRI ".len();
    let length = bytes.len().min(PREFACE.len());
    length >= WORD && bytes[..length] == PREFACE[..length]
}

#[cfg(test)]
mod lives;
#[cfg(test)]
mod rfc;
#[cfg(test)]
mod tests;
