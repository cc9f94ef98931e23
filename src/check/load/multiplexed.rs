//! One connection of HTTP/2 that carries several requests at once: its socket, and what is put on it and read from it. Which request
//! goes where is the engine's. Nothing here waits.

use std::net::IpAddr;

use rustix::io::Errno;
use rustix::net::sockopt;

use crate::check::load::LoadTarget;
use crate::check::load::connect::{self, ConnectFailure};
use crate::check::load::http2::{Http2, StreamEnd};
use crate::check::load::request::Template;
use crate::check::load::response::{Question, ResponseNotes, ResponseReader, Rules};
use crate::io::ending::Peeked;
use crate::io::poller::Interest;
use crate::io::socket;
use crate::io::stream::Stream;
use crate::platform::SEND;
use verdict::observation::ClientOutcome;

/// A connection, or room for one, with places for requests.
#[derive(Debug)]
pub(super) struct SharedConnection {
    open: Option<OpenConnection>,
    /// One for each place on the connection.
    readers: Vec<ResponseReader>,
    /// Bytes that the kernel has not taken yet.
    outbox: Vec<u8>,
}

#[derive(Debug)]
struct OpenConnection {
    stream: Stream,
    http2: Box<Http2>,
    /// Whether it is established: with TLS, secured.
    connected: bool,
    carried: u32,
    /// Number of the connection in the run.
    number: u32,
}

/// That nothing more can be put on a connection, or come from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gone {
    /// What each request in flight has come to, unless more of its response has come than that.
    Peer(ClientOutcome),
    /// This machine cannot open a connection.
    Local(Errno),
}

impl SharedConnection {
    pub(super) fn new(places: usize) -> SharedConnection {
        SharedConnection {
            open: None,
            readers: (0..places).map(|_| ResponseReader::new()).collect(),
            outbox: Vec::new(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether a request may begin here now; where there is no connection, one is opened for it.
    pub(super) fn can_begin(&self) -> bool {
        self.open.as_ref().is_none_or(|open| open.http2.can_begin())
    }

    /// Whether it takes no further request, and none is in flight.
    pub(super) fn is_done(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.http2.is_leaving() && open.http2.in_flight().next().is_none())
    }

    pub(super) fn is_in_flight(&self, place: usize) -> bool {
        self.open.as_ref().is_some_and(|open| open.http2.is_in_flight(place))
    }

    /// Whether the connection has carried a request before.
    pub(super) fn is_reused(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.carried > 0)
    }

    /// The number of the connection among those of the run.
    pub(super) fn number(&self) -> Option<u32> {
        self.open.as_ref().map(|open| open.number)
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        self.open.as_ref().map(|open| &open.stream)
    }

    pub(super) fn reader(&self, place: usize) -> &ResponseReader {
        &self.readers[place]
    }

    /// Starts a connection, without waiting for it.
    pub(super) fn connect(
        &mut self,
        target: &LoadTarget,
        from: Option<IpAddr>,
        number: u32,
    ) -> Result<(), ConnectFailure> {
        let socket = connect::open(target.address, connect::address_of(target.clients, from))?;
        let _ = sockopt::set_tcp_nodelay(&socket, true);
        let preamble =
            if target.haproxy_protocol { connect::proxy_header(&socket, target.address) } else { Vec::new() };
        self.outbox.clear();
        let http2 = Box::new(Http2::new(self.readers.len(), &mut self.outbox));
        let stream = Stream::over(socket, target.tls.as_ref(), preamble);
        self.open = Some(OpenConnection { stream, http2, connected: false, carried: 0, number });
        Ok(())
    }

    /// Puts a request out; [`SharedConnection::flush`] sends it.
    pub(super) fn begin(&mut self, place: usize, question: Question, template: &Template) {
        self.readers[place].begin(question);
        if let Some(open) = &mut self.open {
            open.http2.begin(place, template.stream(), &question, &mut self.outbox);
            open.carried += 1;
        }
    }

    /// A request for which there is no connection.
    pub(super) fn refuse(&mut self, place: usize, question: Question) {
        self.readers[place].begin(question);
    }

    /// Gives the kernel what it takes of all that waits; what must become possible for more.
    pub(super) fn flush(&mut self) -> Result<Interest, Gone> {
        let Some(open) = &mut self.open else { return Ok(Interest::None) };
        loop {
            if self.outbox.is_empty() {
                open.http2.push_bodies(&mut self.outbox);
            }
            let sent = if self.outbox.is_empty() {
                open.stream.flush().map(|()| 0)
            } else {
                open.stream.send(&self.outbox, SEND)
            };
            match sent {
                Ok(_) if self.outbox.is_empty() => return Ok(Interest::Read),
                Ok(sent) => {
                    open.connected = true;
                    self.outbox.drain(..sent);
                }
                Err(Errno::AGAIN | Errno::INTR) if open.stream.wants_to_send() => return Ok(Interest::ReadWrite),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(Interest::Read),
                Err(errno) => return Err(open.failed(errno)),
            }
        }
    }

    /// Reads what has come; requests that ended are appended.
    pub(super) fn receive(
        &mut self,
        rules: &Rules,
        notes: &mut ResponseNotes,
        input: &mut [u8],
        ended: &mut Vec<(usize, StreamEnd)>,
    ) -> Result<(), Gone> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if !open.connected {
            return Ok(());
        }
        loop {
            match open.stream.receive(input) {
                Peeked::Bytes(length) => {
                    let is_all = length < input.len() && !open.stream.hides_bytes();
                    open.http2.receive(&input[..length], &mut self.readers, rules, notes, ended, &mut self.outbox);
                    if is_all {
                        return Ok(());
                    }
                }
                Peeked::Nothing => return Ok(()),
                Peeked::End(ending) => return Err(Gone::Peer(connect::outcome(ending))),
            }
        }
    }

    /// Ends the connection, and with it every request in flight: what has come of each.
    pub(super) fn close(&mut self, outcome: ClientOutcome, ended: &mut Vec<(usize, StreamEnd)>) {
        let Some(open) = self.open.take() else { return };
        for place in open.http2.in_flight() {
            let end = match outcome {
                ClientOutcome::Closed | ClientOutcome::Reset => self.readers[place].break_off().unwrap_or(outcome),
                outcome => outcome,
            };
            ended.push((place, StreamEnd::Over(end)));
        }
        self.outbox.clear();
    }

    /// The time of that request is over. The connection goes on, unless it has not come to be.
    pub(super) fn expire(&mut self, place: usize) -> ClientOutcome {
        let outcome = match &mut self.open {
            Some(open) if open.connected => {
                open.http2.cancel(place, &mut self.outbox);
                ClientOutcome::TimedOut
            }
            Some(open) if open.stream.is_shaking_hands() => ClientOutcome::TlsFailed,
            Some(_) | None => ClientOutcome::Unreachable,
        };
        if outcome != ClientOutcome::TimedOut {
            self.open = None;
        }
        self.readers[place].give_up(outcome);
        outcome
    }
}

impl OpenConnection {
    /// What it means that nothing can be sent.
    fn failed(&self, errno: Errno) -> Gone {
        if self.connected || self.stream.is_secured() {
            return Gone::Peer(connect::outcome(socket::ending(errno)));
        }
        match errno {
            _ if self.stream.tls_failure().is_some() => Gone::Peer(ClientOutcome::TlsFailed),
            // A connection that was established and reset before anything was sent is a connection.
            Errno::CONNRESET | Errno::PIPE => Gone::Peer(ClientOutcome::Reset),
            errno => match connect::failure(errno) {
                ConnectFailure::Peer(outcome) => Gone::Peer(outcome),
                ConnectFailure::Local(errno) => Gone::Local(errno),
            },
        }
    }
}
