//! One connection and the request that it carries: what is sent, what is read, and when it is over. It reads while it sends, for
//! a response may come before its request has left. Nothing here waits.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;

use crate::check::load::connect::{self, ConnectFailure};
use crate::check::load::http2::{Http2, StreamEnd};
use crate::check::load::request::Template;
use crate::check::load::response::{Question, ReadStep, ResponseNotes, ResponseReader, Rules};
use crate::check::load::{LoadTarget, Reuse};
use crate::io::ending::{Ending, Peeked};
use crate::io::poller::Interest;
use crate::io::socket;
use crate::io::stream::{Idle, Stream};
use crate::io::tls::TlsFailure;
use crate::platform::{SEND, SEND_MORE};
use crate::wire::Moment;
use verdict::observation::{ClientOutcome, Observation};

/// A body that waits for `100 Continue` goes without one after this time: RFC 9110 §10.1.1 wants no client to wait forever.
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// A connection, or room for one.
#[derive(Debug)]
pub(super) struct ClientExchange {
    stream: Option<Stream>,
    /// What the connection speaks, if that is not HTTP/1.
    http2: Option<Box<Http2>>,
    phase: ExchangePhase,
    reader: ResponseReader,
    /// Since when a connection is being opened.
    opening: Option<Moment>,
    /// Whether the connection is established: with TLS, secured.
    connected: bool,
    /// Whether the connection is of no further use.
    spent: bool,
    /// Requests that the connection has carried.
    carried: u32,
    /// What of the head has not been sent.
    outbox: Vec<u8>,
    /// The body that follows, and how much of it has been sent.
    late: Option<Arc<[u8]>>,
    late_sent: usize,
    /// Of a body that waits for 100: when it goes without having been asked for.
    continues_at: Option<Moment>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ExchangePhase {
    Idle,
    Sending,
    /// The head is sent, and the body waits for 100.
    Waiting,
    Receiving,
}

/// What a request waits for, or that it is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ExchangeTurn {
    Waits(Interest),
    Over(ClientOutcome),
    /// The server leaves the connection, and says that it has done nothing with the request.
    Unprocessed,
    /// This machine cannot: nothing was sent.
    Local(Errno),
}

/// What is found on a connection that carries no request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Idleness {
    /// It may carry the next one.
    Usable,
    Ended,
    /// It has brought bytes without a request.
    Surplus,
}

impl ClientExchange {
    pub(super) fn new() -> ClientExchange {
        ClientExchange {
            stream: None,
            http2: None,
            phase: ExchangePhase::Idle,
            reader: ResponseReader::new(),
            opening: None,
            connected: false,
            spent: false,
            carried: 0,
            outbox: Vec::new(),
            late: None,
            late_sent: 0,
            continues_at: None,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.phase == ExchangePhase::Idle
    }

    /// Whether there is a connection, established or not.
    pub(super) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether all of the request has left, its body too, or need not leave any more.
    pub(super) fn has_sent_all(&self) -> bool {
        match self.phase {
            ExchangePhase::Sending => false,
            // What has a final response already sends no body.
            ExchangePhase::Waiting => self.reader.has_head(),
            ExchangePhase::Idle => true,
            ExchangePhase::Receiving => {
                self.http2.as_ref().is_none_or(|http2| http2.has_sent_all(0) || self.reader.has_head())
            }
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether the connection has carried a request before.
    pub(super) fn is_reused(&self) -> bool {
        self.carried > 0
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        self.stream.as_ref()
    }

    pub(super) fn reader(&self) -> &ResponseReader {
        &self.reader
    }

    /// When it must be looked at though nothing is ready.
    pub(super) fn wakes_at(&self) -> Option<Moment> {
        self.continues_at.filter(|_| self.phase == ExchangePhase::Waiting)
    }

    pub(super) fn close(&mut self) {
        self.stream = None;
        self.http2 = None;
        self.connected = false;
        self.spent = false;
        self.carried = 0;
    }

    /// Ends the connection, of which nothing more is wanted, and keeps what the request got.
    pub(super) fn hang_up(&mut self) {
        self.stream = None;
        self.spent = true;
    }

    /// Looks at a connection that carries no request.
    pub(super) fn look(&mut self) -> Idleness {
        if self.http2.is_some() {
            return self.look_at_frames();
        }
        let Some(stream) = &mut self.stream else { return Idleness::Usable };
        match stream.look() {
            Idle::Nothing => Idleness::Usable,
            Idle::Ended => Idleness::Ended,
            Idle::Bytes(first) => {
                // A server may say so before it closes an idle connection: RFC 9110 §15.5.9.
                let has_timed_out = first.starts_with(b"HTTP/1.") && &first[9..12] == b"408";
                if has_timed_out { Idleness::Ended } else { Idleness::Surplus }
            }
        }
    }

    /// Between requests frames come that concern the connection. What must be answered is.
    fn look_at_frames(&mut self) -> Idleness {
        let (Some(stream), Some(http2)) = (&mut self.stream, &mut self.http2) else { return Idleness::Usable };
        let mut room = [0; 1024];
        loop {
            match stream.receive(&mut room) {
                Peeked::Bytes(length) => http2.idle(&room[..length], &mut self.outbox),
                Peeked::Nothing => break,
                Peeked::End(_) => return Idleness::Ended,
            }
        }
        if !http2.can_begin() {
            return Idleness::Ended;
        }
        if let Ok(sent) = stream.send(&self.outbox, SEND) {
            self.outbox.drain(..sent);
        }
        Idleness::Usable
    }

    /// Starts a connection, without waiting for it.
    pub(super) fn open(
        &mut self,
        target: &LoadTarget,
        from: Option<IpAddr>,
        reuse: Reuse,
    ) -> Result<(), ConnectFailure> {
        let socket = connect::open(target.address, connect::address_of(target.clients, from))?;
        if reuse == Reuse::Kept {
            let _ = sockopt::set_tcp_nodelay(&socket, true);
        }
        let preamble =
            if target.haproxy_protocol { connect::proxy_header(&socket, target.address) } else { Vec::new() };
        self.close();
        self.stream = Some(Stream::over(socket, target.tls.as_ref(), preamble));
        if target.http2 {
            self.outbox.clear();
            self.http2 = Some(Box::new(Http2::new(1, &mut self.outbox)));
        }
        Ok(())
    }

    /// Sends a request, as far as the kernel takes it.
    pub(super) fn start(
        &mut self,
        question: Question,
        template: &mut Template,
        rules: &Rules,
        notes: &mut ResponseNotes,
        input: &mut [u8],
        now: Moment,
    ) -> ExchangeTurn {
        self.reader.begin(question);
        // A body of HTTP/2 is the codec's to send.
        self.late = template.late().filter(|_| self.http2.is_none()).cloned();
        self.late_sent = 0;
        self.continues_at = template.waits().then(|| now.after(CONTINUE_PATIENCE));
        self.phase = ExchangePhase::Sending;
        match &mut self.http2 {
            Some(http2) => http2.begin(0, template.stream(), &question, &mut self.outbox),
            None => {
                self.outbox.clear();
                self.outbox.extend_from_slice(template.with(question.sequence));
            }
        }
        let turn = self.send_on(rules, notes, input);
        // What waits for TLS is connected, and sends nothing now.
        let is_opening = !self.connected && self.stream.as_ref().is_some_and(Stream::wants_to_send);
        self.opening = is_opening.then_some(now);
        turn
    }

    fn interest(&self) -> Interest {
        match (self.phase, &self.stream) {
            (ExchangePhase::Sending, Some(stream)) if stream.wants_to_send() => Interest::ReadWrite,
            _ => Interest::Read,
        }
    }

    fn send_on(&mut self, rules: &Rules, notes: &mut ResponseNotes, input: &mut [u8]) -> ExchangeTurn {
        loop {
            if let Some(http2) = &mut self.http2
                && self.outbox.is_empty()
                && self.continues_at.is_none()
            {
                http2.push_bodies(&mut self.outbox);
            }
            let Some(stream) = &mut self.stream else { return ExchangeTurn::Over(ClientOutcome::Unreachable) };
            let late = self.late.as_deref().map_or(&[][..], |late| &late[self.late_sent..]);
            let rest = match self.outbox.as_slice() {
                [] if self.continues_at.is_some() => &[],
                [] => late,
                head => head,
            };
            let more_follows = self.late.is_some() && self.continues_at.is_none() && !self.outbox.is_empty();
            let flags = if more_follows { SEND_MORE } else { SEND };
            let sent = if rest.is_empty() { stream.flush().map(|()| 0) } else { stream.send(rest, flags) };
            match sent {
                Ok(_) if rest.is_empty() => {
                    self.connected = true;
                    self.phase =
                        if self.continues_at.is_some() { ExchangePhase::Waiting } else { ExchangePhase::Receiving };
                    return ExchangeTurn::Waits(Interest::Read);
                }
                Ok(sent) => {
                    self.connected = true;
                    if self.outbox.is_empty() {
                        self.late_sent += sent;
                    } else {
                        self.outbox.drain(..sent);
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => return ExchangeTurn::Waits(self.interest()),
                Err(errno) => return self.send_failed(errno, rules, notes, input),
            }
        }
    }

    fn send_failed(
        &mut self,
        errno: Errno,
        rules: &Rules,
        notes: &mut ResponseNotes,
        input: &mut [u8],
    ) -> ExchangeTurn {
        let secured = self.stream.as_ref().is_some_and(Stream::is_secured);
        if !self.connected && !secured {
            let tls_failed = self.stream.as_ref().is_some_and(|stream| stream.tls_failure().is_some());
            let failure = match errno {
                _ if tls_failed => ConnectFailure::Peer(ClientOutcome::TlsFailed),
                // A connection that was established and reset before anything was sent is a connection.
                Errno::CONNRESET | Errno::PIPE => ConnectFailure::Peer(ClientOutcome::Reset),
                errno => connect::failure(errno),
            };
            self.spent = true;
            return match failure {
                ConnectFailure::Peer(outcome) => self.over(outcome),
                ConnectFailure::Local(errno) => ExchangeTurn::Local(errno),
            };
        }
        // The response may have come before the connection ended.
        self.connected = true;
        self.phase = ExchangePhase::Receiving;
        self.spent = true;
        loop {
            let Some(stream) = &mut self.stream else { return self.over(ClientOutcome::Closed) };
            match stream.receive(input) {
                Peeked::Bytes(length) => {
                    if let Some(end) = self.take(&input[..length], rules, notes) {
                        return self.end(end);
                    }
                }
                Peeked::Nothing | Peeked::End(_) => return self.ended(socket::ending(errno), rules, notes),
            }
        }
    }

    /// Goes on when the connection is ready, or when it [wakes](ClientExchange::wakes_at). `ends` says that the other end has sent all
    /// that it will.
    pub(super) fn serve(
        &mut self,
        ends: bool,
        rules: &Rules,
        notes: &mut ResponseNotes,
        input: &mut [u8],
        now: Moment,
    ) -> ExchangeTurn {
        // The first that is heard of a connection, before anything of TLS.
        if let Some(since) = self.opening.take() {
            notes.samples.see_opening(now.since(since));
        }
        if self.phase == ExchangePhase::Sending && !self.connected {
            return self.send_on(rules, notes, input);
        }
        loop {
            let Some(stream) = &mut self.stream else { return ExchangeTurn::Over(ClientOutcome::Closed) };
            match stream.receive(input) {
                Peeked::Bytes(length) => {
                    let more = stream.hides_bytes();
                    if let Some(end) = self.take(&input[..length], rules, notes) {
                        // What has not been sent would be read as another request.
                        self.spent |= ends
                            || self.phase != ExchangePhase::Receiving
                            || !self.reader.is_reusable()
                            || self.is_leaving();
                        return self.end(end);
                    }
                    if !more {
                        break;
                    }
                }
                Peeked::Nothing => break,
                Peeked::End(ending) => return self.ended(ending, rules, notes),
            }
        }
        match self.phase {
            ExchangePhase::Waiting if self.reader.has_head() => ExchangeTurn::Waits(Interest::Read),
            ExchangePhase::Waiting if self.reader.continues() || self.continues_at.is_none_or(|at| now >= at) => {
                self.continues_at = None;
                self.phase = ExchangePhase::Sending;
                self.send_on(rules, notes, input)
            }
            ExchangePhase::Sending => self.send_on(rules, notes, input),
            // Windows have grown, or something must be answered.
            ExchangePhase::Receiving if self.http2.is_some() => {
                self.phase = ExchangePhase::Sending;
                self.send_on(rules, notes, input)
            }
            ExchangePhase::Waiting | ExchangePhase::Receiving | ExchangePhase::Idle => {
                ExchangeTurn::Waits(Interest::Read)
            }
        }
    }

    /// Takes what has come; how the request has ended, if it has.
    fn take(&mut self, input: &[u8], rules: &Rules, notes: &mut ResponseNotes) -> Option<StreamEnd> {
        match &mut self.http2 {
            Some(http2) => {
                let mut ended = Vec::new();
                let reader = std::slice::from_mut(&mut self.reader);
                http2.receive(input, reader, rules, notes, &mut ended, &mut self.outbox);
                ended.first().map(|(_, end)| *end)
            }
            None => match self.reader.feed(input, rules, notes) {
                ReadStep::More => None,
                ReadStep::Over(outcome) => Some(StreamEnd::Over(outcome)),
            },
        }
    }

    /// Whether the connection speaks HTTP/2 and carries no further request.
    fn is_leaving(&self) -> bool {
        self.http2.as_ref().is_some_and(|http2| !http2.can_begin())
    }

    fn ended(&mut self, ending: Ending, rules: &Rules, notes: &mut ResponseNotes) -> ExchangeTurn {
        self.spent = true;
        let outcome = match self.http2 {
            Some(_) => self.reader.break_off(),
            None => self.reader.end(ending, rules, notes),
        };
        let outcome = outcome.unwrap_or(connect::outcome(ending));
        self.over(outcome)
    }

    /// The time is over.
    pub(super) fn expire(&mut self) -> ClientOutcome {
        let outcome = match &self.stream {
            _ if self.connected => ClientOutcome::TimedOut,
            Some(stream) if stream.is_shaking_hands() => ClientOutcome::TlsFailed,
            Some(_) | None => ClientOutcome::Unreachable,
        };
        self.spent = true;
        self.reader.give_up(outcome);
        self.over(outcome);
        outcome
    }

    /// The request cannot be sent.
    pub(super) fn refuse(&mut self, question: Question) {
        self.reader.begin(question);
    }

    fn end(&mut self, end: StreamEnd) -> ExchangeTurn {
        match end {
            StreamEnd::Over(outcome) => self.over(outcome),
            StreamEnd::Unprocessed => {
                self.over(ClientOutcome::StreamReset);
                ExchangeTurn::Unprocessed
            }
        }
    }

    fn over(&mut self, outcome: ClientOutcome) -> ExchangeTurn {
        self.phase = ExchangePhase::Idle;
        self.late = None;
        self.carried += 1;
        if !matches!(outcome, ClientOutcome::Response | ClientOutcome::Altered) {
            self.spent = true;
        }
        ExchangeTurn::Over(outcome)
    }

    /// Whether the connection, now that the request is over, is of no further use.
    pub(super) fn is_spent(&self) -> bool {
        self.spent
    }

    pub(super) fn note(&self, observation: &mut Observation) {
        self.reader.note(observation);
    }

    /// Why there is no TLS, or no more of it.
    pub(super) fn tls_failure(&self, outcome: ClientOutcome) -> Option<TlsFailure> {
        let stream = self.stream.as_ref()?;
        match (stream.tls_failure(), outcome) {
            (None, ClientOutcome::TlsFailed) => Some(TlsFailure::TimedOut),
            (failure, _) => failure.cloned(),
        }
    }
}
