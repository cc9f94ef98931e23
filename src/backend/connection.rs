//! One connection: bytes in, responses out, each attempt in the journal before its response leaves.
//! It owns no socket; the server feeds it and reports how much of its output was written.

use std::collections::VecDeque;

use http::h1::server::{RequestEvent, ServerConnection};
use http::h2::PREFACE;
use http::proxy_protocol::{self, Opening, ProxiedClient};
use http::{Malformed, RequestHead, Room};

use crate::backend::arrival::salvage_id;
use crate::backend::exchange::{Arriving, Exchange};
use crate::backend::fault::{Effect, Treatment};
use crate::backend::paced::Paced;
use crate::backend::response::{ResponseBody, pattern};
use crate::backend::state::ProcessState;
use crate::backend::turn::ConnectionTurn;
use crate::backend::waiting::{Origin, Waiting};
use crate::backend::websocket::Socket;
use crate::journal::Claim;
use crate::wire::{AttemptEnd, End, Moment, Protocols, Refusal, ResponseId, Secured};
use verdict::life::LifeEnd;

/// More fields than this are refused.
const MAX_FIELDS: usize = 100;

pub(crate) struct Connection {
    peer: End,
    /// Who sent the PROXY header, if one names the peer.
    via: Option<End>,
    local: End,
    number: u64,
    http: ServerConnection,
    /// A head that is not complete yet, or what came while a response was held back.
    inbox: Vec<u8>,
    stage: ConnectionState,
    unread: bool,
    tls: Option<Box<Secured>>,
    /// Attempts whose responses have begun and did not leave to their end.
    responding: VecDeque<Claim>,
}

enum ConnectionState {
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
    Streaming(GeneratedBody),
    /// The response's body is written event by event; after that many a fault breaks it off.
    Paced { paced: Box<Paced>, cut_after: Option<u32> },
    /// A WebSocket after its handshake.
    Socket(Box<Socket>),
    /// Nothing is written and nothing is read any more.
    Hanging,
    /// Nothing more is read.
    Over,
    /// Nothing more is read, and what was written and not sent is dropped.
    Reset,
}

struct GeneratedBody {
    position: u64,
    /// Where a fault breaks it off, or its length.
    end: u64,
    length: u64,
}

impl Connection {
    /// The `number`th of its backend.
    pub(crate) fn new(peer: End, local: End, number: u64, state: &ProcessState) -> Connection {
        Connection {
            peer,
            via: None,
            local,
            number,
            http: ServerConnection::new(),
            inbox: Vec::new(),
            stage: if state.proxy_protocol { ConnectionState::Opening } else { ConnectionState::Head },
            unread: false,
            tls: None,
            responding: VecDeque::new(),
        }
    }

    pub(crate) fn waiting(&self) -> Waiting {
        match self.stage {
            ConnectionState::Opening | ConnectionState::Head if self.inbox.is_empty() => Waiting::Idle,
            ConnectionState::Opening => Waiting::Opening,
            ConnectionState::Head => Waiting::Head,
            ConnectionState::Body(_) => Waiting::Body,
            ConnectionState::Delayed { until, .. } => Waiting::Moment(until),
            ConnectionState::Streaming(_) => Waiting::Room,
            ConnectionState::Paced { ref paced, .. } => paced.due().map_or(Waiting::Room, Waiting::Moment),
            ConnectionState::Socket(ref socket) => Waiting::Upgraded(socket.due()),
            ConnectionState::Hanging => Waiting::End,
            ConnectionState::Reset => Waiting::Reset,
            ConnectionState::Over | ConnectionState::Http2 => Waiting::Over,
        }
    }

    /// Whether a request has come on this connection.
    pub(crate) fn has_begun(&self) -> bool {
        self.http.requests() > 0
    }

    /// Whether what comes first belongs to the PROXY protocol, which comes before TLS.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.stage, ConnectionState::Opening)
    }

    /// Takes the header of the PROXY protocol, or the beginning of one, off what has arrived: what comes after it is TLS.
    pub(crate) fn open<'b>(&mut self, input: &'b [u8], turn: &mut ConnectionTurn) -> &'b [u8] {
        let earlier = self.inbox.len();
        self.inbox.extend_from_slice(input);
        let bytes = std::mem::take(&mut self.inbox);
        let Some(header) = self.read_opening(&bytes, turn) else {
            if self.is_opening() {
                self.inbox = bytes;
            }
            return &[];
        };
        // Of what came earlier all belongs to the header, or it had been known to be none.
        &input[header.saturating_sub(earlier)..]
    }

    /// Its TLS handshake is done: records name its parameters.
    pub(crate) fn secure(&mut self, tls: Secured) {
        self.tls = Some(Box::new(tls));
    }

    /// Refuses a client that speaks no TLS.
    pub(crate) fn refuse_plain(&mut self, input: &[u8], turn: &mut ConnectionTurn) {
        self.http.give_up_head();
        self.refuse(Refusal::NoTls, input, turn);
    }

    /// Whether new connections get another certificate than this one has.
    pub(crate) fn is_left(&self, state: &ProcessState) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.bad != state.bad_certificate())
    }

    /// Whether the connection is over though the client had more to say.
    pub(crate) fn left_something_unread(&self) -> bool {
        self.unread || self.http.left_something_unread()
    }

    /// If the client speaks HTTP/2: where it is, and what it has said.
    pub(super) fn take_http2(&mut self) -> Option<(Origin, Vec<u8>)> {
        if !matches!(self.stage, ConnectionState::Http2) {
            return None;
        }
        let Connection { peer, via, local, number, .. } = *self;
        Some((Origin { peer, via, local, number, tls: self.tls.take() }, std::mem::take(&mut self.inbox)))
    }

    /// Takes what has arrived and appends to `out` what is to be written.
    pub(crate) fn receive(&mut self, input: &[u8], turn: &mut ConnectionTurn) {
        if self.inbox.is_empty() {
            let rest = self.converse(input, turn);
            self.inbox.extend_from_slice(rest);
            return;
        }
        self.inbox.extend_from_slice(input);
        // A head that arrives byte by byte is not read again for each byte; a PROXY header is short, and need not have lines.
        if matches!(self.stage, ConnectionState::Opening)
            || input.contains(&b'\n')
            || self.inbox.len() >= turn.state.limits.header_bytes as usize
        {
            self.take_up(turn);
        }
    }

    /// The moment has come for which the connection waited.
    pub(crate) fn release(&mut self, turn: &mut ConnectionTurn) {
        match std::mem::replace(&mut self.stage, ConnectionState::Over) {
            ConnectionState::Delayed { until, exchange } if turn.now >= until => {
                self.deliver(*exchange, turn);
                self.take_up(turn);
            }
            ConnectionState::Paced { paced, cut_after } => self.write_events(paced, cut_after, turn),
            ConnectionState::Socket(socket) => {
                self.on_socket(socket, turn, |socket, now, out| socket.advance(now, out));
            }
            other => self.stage = other,
        }
    }

    /// Writes the events that are due.
    fn write_events(&mut self, mut paced: Box<Paced>, cut_after: Option<u32>, turn: &mut ConnectionTurn) {
        paced.write(turn.now, |piece| self.http.data(piece, turn.out));
        let is_cut = cut_after.is_some_and(|most| paced.life.written >= most);
        if is_cut {
            paced.life.end = LifeEnd::Backend;
        }
        // Noted before the kernel has it: what a client saw is in the record.
        if let Some(claim) = self.responding.back_mut() {
            turn.state.journal.note_life(claim, &paced.life);
        }
        match paced.is_done() {
            _ if is_cut => self.http.abort(),
            true => self.http.end(turn.out),
            false => {
                self.stage = ConnectionState::Paced { paced, cut_after };
                return;
            }
        }
        self.stage = self.next_stage();
        self.take_up(turn);
    }

    /// Lets something happen on a WebSocket.
    fn on_socket(
        &mut self,
        mut socket: Box<Socket>,
        turn: &mut ConnectionTurn,
        act: impl FnOnce(&mut Socket, Moment, &mut Vec<u8>),
    ) {
        let now = turn.now;
        self.http.make_data(turn.out, |out| act(&mut socket, now, out));
        if let Some(claim) = self.responding.back_mut() {
            turn.state.journal.note_life(claim, &socket.life);
        }
        if socket.is_over() {
            self.http.end(turn.out);
            self.stage = ConnectionState::Over;
        } else {
            self.stage = ConnectionState::Socket(socket);
        }
    }

    /// The backend ends: a WebSocket gets a close frame.
    pub(crate) fn go_away(&mut self, turn: &mut ConnectionTurn) {
        match std::mem::replace(&mut self.stage, ConnectionState::Over) {
            ConnectionState::Socket(socket) => {
                self.on_socket(socket, turn, |socket, now, out| socket.go_away(now, out));
            }
            other => self.stage = other,
        }
    }

    /// The output has been written, and there is room for more.
    pub(crate) fn go_on(&mut self, turn: &mut ConnectionTurn) {
        let stream = match std::mem::replace(&mut self.stage, ConnectionState::Over) {
            ConnectionState::Streaming(stream) => stream,
            ConnectionState::Paced { paced, cut_after } => return self.write_events(paced, cut_after, turn),
            other => {
                self.stage = other;
                return;
            }
        };
        let mut stream = stream;
        self.http.make_data(turn.out, |out| stream.position = pattern(out, stream.position, stream.end));
        if stream.position >= stream.end {
            if stream.end == stream.length {
                self.http.end(turn.out);
            } else {
                self.http.abort();
            }
            self.stage = self.next_stage();
            self.take_up(turn);
        } else {
            self.stage = ConnectionState::Streaming(stream);
        }
    }

    /// Reads what came earlier.
    fn take_up(&mut self, turn: &mut ConnectionTurn) {
        let inbox = std::mem::take(&mut self.inbox);
        let rest = self.converse(&inbox, turn).len();
        self.inbox = inbox;
        self.inbox.drain(..self.inbox.len() - rest);
    }

    /// Ends the wait for a head, or what comes before it, that takes too long.
    pub(crate) fn expire(&mut self, turn: &mut ConnectionTurn) {
        if matches!(self.waiting(), Waiting::Opening | Waiting::Head) {
            self.http.give_up_head();
            let head = std::mem::take(&mut self.inbox);
            self.refuse(Refusal::TooSlow, &head, turn);
        }
    }

    /// That many bytes of the output have been written.
    pub(crate) fn wrote(&mut self, bytes: usize, now: Moment, state: &mut ProcessState) {
        for written in self.http.wrote(bytes) {
            if let Some(claim) = self.responding.pop_front() {
                state.journal.complete(claim, now, written.bytes, AttemptEnd::Completed);
            }
        }
    }

    /// The connection has ended: what was not responded to its end is recorded as cut off. `how`: who ended it.
    pub(crate) fn end(&mut self, how: LifeEnd, now: Moment, state: &mut ProcessState) {
        let life = match &mut self.stage {
            ConnectionState::Paced { paced, .. } => Some(&mut paced.life),
            ConnectionState::Socket(socket) => Some(&mut socket.life),
            _ => None,
        };
        if let (Some(life), Some(claim)) = (life, self.responding.back_mut()) {
            // Its own close frame was sent before.
            if life.end == LifeEnd::Open {
                life.end = how;
            }
            state.journal.note_life(claim, life);
        }
        for written in self.http.cut_off() {
            if let Some(claim) = self.responding.pop_front() {
                state.journal.complete(claim, now, written.bytes, AttemptEnd::CutOff);
            }
        }
        match std::mem::replace(&mut self.stage, ConnectionState::Over) {
            ConnectionState::Body(exchange) | ConnectionState::Delayed { exchange, .. } => {
                state.journal.complete(exchange.claim, now, 0, AttemptEnd::CutOff);
            }
            ConnectionState::Opening | ConnectionState::Head | ConnectionState::Http2 => {}
            ConnectionState::Streaming(_)
            | ConnectionState::Hanging
            | ConnectionState::Over
            | ConnectionState::Reset => {}
            ConnectionState::Paced { .. } | ConnectionState::Socket(_) => {}
        }
    }

    /// Responds to all requests that are complete in `bytes` and returns what remains of an incomplete one.
    fn converse<'b>(&mut self, bytes: &'b [u8], turn: &mut ConnectionTurn) -> &'b [u8] {
        let mut rest = bytes;
        loop {
            match &mut self.stage {
                ConnectionState::Over | ConnectionState::Reset | ConnectionState::Hanging => {
                    self.unread |= !rest.is_empty();
                    return &[];
                }
                ConnectionState::Delayed { .. }
                | ConnectionState::Streaming(_)
                | ConnectionState::Paced { .. }
                | ConnectionState::Http2 => return rest,
                ConnectionState::Head if self.http.requests() == 0 && turn.state.protocols.may_be_http2(rest) => {
                    if rest.len() >= PREFACE.len() || turn.state.protocols == Protocols::Http2 {
                        self.stage = ConnectionState::Http2;
                    }
                    return rest;
                }
                ConnectionState::Socket(_) => {
                    let mut room = Room::<0>::new();
                    let Some((_, RequestEvent::Data(data))) = self.http.receive(&mut rest, &mut room, 0) else {
                        return rest;
                    };
                    if let ConnectionState::Socket(socket) = std::mem::replace(&mut self.stage, ConnectionState::Over) {
                        self.on_socket(socket, turn, |socket, _, out| socket.receive(data, out));
                    }
                }
                ConnectionState::Opening => match self.read_opening(rest, turn) {
                    Some(header) => rest = &rest[header..],
                    None => return if self.is_opening() { rest } else { &[] },
                },
                ConnectionState::Head | ConnectionState::Body(_) => {
                    let before = rest;
                    let mut room = Room::<MAX_FIELDS>::new();
                    let limit = turn.state.limits.header_bytes as usize;
                    let Some((_, event)) = self.http.receive(&mut rest, &mut room, limit) else { return rest };
                    match event {
                        RequestEvent::Head(head) => self.begin(&head, rest, turn),
                        RequestEvent::Data(data) => {
                            if let ConnectionState::Body(exchange) = &mut self.stage {
                                exchange.see(data);
                            }
                        }
                        RequestEvent::Trailers(_) => {}
                        RequestEvent::End => self.end_body(turn),
                        RequestEvent::Malformed(why) => self.break_off(why, before, turn),
                    }
                }
            }
        }
    }

    /// The body has come as a whole.
    fn end_body(&mut self, turn: &mut ConnectionTurn) {
        if let ConnectionState::Body(mut exchange) = std::mem::replace(&mut self.stage, ConnectionState::Head) {
            exchange.whole(turn.state);
            self.hold_back(*exchange, turn);
        }
    }

    /// What came is no request, or no body of one; `bytes` begin with it.
    fn break_off(&mut self, why: Malformed, bytes: &[u8], turn: &mut ConnectionTurn) {
        match std::mem::replace(&mut self.stage, ConnectionState::Over) {
            ConnectionState::Body(mut exchange) => {
                exchange.refuse_body(why, turn.state);
                self.deliver(*exchange, turn);
            }
            _ => self.refuse(Refusal::Malformed(why), bytes, turn),
        }
    }

    /// A request whose head has come; `rest` is what came after it.
    fn begin(&mut self, head: &RequestHead, rest: &[u8], turn: &mut ConnectionTurn) {
        let exchange = Exchange::begin(head, &self.arriving(), turn.now, turn.state);
        if head.framing == http::Framing::None {
            return self.hold_back(exchange, turn);
        }
        if head.expects_continue && rest.is_empty() {
            self.http.write_continue(turn.out);
        }
        self.stage = ConnectionState::Body(Box::new(exchange));
    }

    /// How many bytes the header of the PROXY protocol has, if there is one; none if more must come, or it is refused.
    fn read_opening(&mut self, bytes: &[u8], turn: &mut ConnectionTurn) -> Option<usize> {
        match proxy_protocol::parse(bytes) {
            Ok(opening) => {
                let opening = opening?;
                self.stage = ConnectionState::Head;
                let Opening::Header { bytes, client } = opening else { return Some(0) };
                self.via = Some(self.peer);
                self.peer = match client {
                    Some(ProxiedClient::Address(address)) => End::Address(address),
                    Some(ProxiedClient::Unix) => End::Unix,
                    None => self.peer,
                };
                Some(bytes)
            }
            Err(why) => {
                self.http.give_up_head();
                self.refuse(Refusal::Malformed(why), bytes, turn);
                None
            }
        }
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
    fn hold_back(&mut self, exchange: Exchange, turn: &mut ConnectionTurn) {
        if exchange.treatment.delay.is_zero() {
            self.deliver(exchange, turn);
        } else {
            let until = turn.now.after(exchange.treatment.delay);
            self.stage = ConnectionState::Delayed { until, exchange: Box::new(exchange) };
        }
    }

    /// Responds to a head that cannot be read, and ends the connection.
    fn refuse(&mut self, refusal: Refusal, head: &[u8], turn: &mut ConnectionTurn) {
        self.inbox.clear();
        let exchange = Exchange::refused(refusal, salvage_id(head), &self.arriving(), turn.now, turn.state);
        self.deliver(exchange, turn);
    }

    /// Writes the response, or what the request gets instead.
    fn deliver(&mut self, exchange: Exchange, turn: &mut ConnectionTurn) {
        let Exchange { claim, response, treatment: Treatment { effect, .. }, .. } = exchange;
        self.responding.push_back(claim);
        let is_silent = match effect {
            Effect::Close => Some(ConnectionState::Over),
            Effect::Reset => Some(ConnectionState::Reset),
            Effect::Hang => Some(ConnectionState::Hanging),
            Effect::Answer | Effect::Status(_) | Effect::FirstFailed | Effect::CloseMidway => None,
            // What is done to streams is not done where there are none.
            Effect::ResetStream(_) | Effect::RefuseStream | Effect::GoAway => None,
            // Nor what is done to calls.
            Effect::HalfMessage | Effect::GrpcStatus(_) | Effect::TrailersOnly(_) => None,
        };
        if let Some(stage) = is_silent {
            self.http.abort();
            self.stage = stage;
            return;
        }
        let is_left = self.is_left(turn.state);
        let mut stamp = turn.state.stamp(turn.now);
        // A client that is to see another certificate needs another connection.
        stamp.persistent &= !is_left;
        let start = turn.out.len();
        response.write_head(&mut self.http, &stamp, turn.out);
        let is_cut = effect == Effect::CloseMidway;
        // Of a head alone, half of it is written.
        let mut is_head_alone = true;
        let head_only = self.http.is_head_only();
        let answer = response.answer.unwrap_or(ResponseId(uuid::Uuid::nil()));
        match response.body {
            ResponseBody::Bytes(bytes) => {
                let shown = if is_cut { bytes.len() / 2 } else { bytes.len() };
                self.http.data(&bytes[..shown], turn.out);
                is_head_alone = head_only || bytes.is_empty();
                turn.state.recycle(bytes);
            }
            ResponseBody::Pattern(length) if length > 0 && !head_only => {
                let end = if is_cut { length / 2 } else { length };
                self.stage = ConnectionState::Streaming(GeneratedBody { position: 0, end, length });
                return;
            }
            ResponseBody::Paced { pace, first } if !head_only => {
                let paced = Box::new(Paced::new(pace, first, answer, turn.now));
                let cut_after = is_cut.then_some(pace.count / 2);
                return self.write_events(paced, cut_after, turn);
            }
            ResponseBody::Socket { ask, .. } if !is_cut => {
                let socket = Box::new(Socket::new(*ask, answer, turn.now));
                return self.on_socket(socket, turn, |socket, now, out| socket.advance(now, out));
            }
            ResponseBody::Pattern(_)
            | ResponseBody::Paced { .. }
            | ResponseBody::Messages { .. }
            | ResponseBody::Socket { .. } => {}
        }
        if is_cut && is_head_alone {
            self.http.retract(turn.out, (turn.out.len() - start).div_ceil(2));
        }
        if is_cut {
            self.http.abort();
        } else {
            self.http.end(turn.out);
        }
        self.stage = self.next_stage();
    }

    fn next_stage(&self) -> ConnectionState {
        if self.http.is_over() { ConnectionState::Over } else { ConnectionState::Head }
    }
}

#[cfg(test)]
mod lives;
#[cfg(test)]
mod rfc;
#[cfg(test)]
mod tests;
