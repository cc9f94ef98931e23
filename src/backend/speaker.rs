//! What is spoken on a connection: HTTP/1 until the preface of HTTP/2 comes (RFC 9113 §3.3: a client that knows begins with it).

use crate::backend::connection::Connection;
use crate::backend::multiplexed::StreamConnection;
use crate::backend::state::ProcessState;
use crate::backend::turn::ConnectionTurn;
use crate::backend::waiting::Waiting;
use crate::wire::{End, Moment, Protocols, Secured};
use verdict::life::LifeEnd;

/// One or the other, with what its link asks of both.
pub(crate) enum Speaker {
    Http1(Box<Connection>),
    Http2(Box<StreamConnection>),
}

impl Speaker {
    /// The `number`th connection of its backend.
    pub(crate) fn new(peer: End, local: End, number: u64, state: &ProcessState) -> Speaker {
        Speaker::Http1(Box::new(Connection::new(peer, local, number, state)))
    }

    pub(crate) fn waiting(&self) -> Waiting {
        match self {
            Speaker::Http1(http) => http.waiting(),
            Speaker::Http2(http) => http.waiting(),
        }
    }

    /// Whether a request has come on this connection.
    pub(crate) fn has_begun(&self) -> bool {
        match self {
            Speaker::Http1(http) => http.has_begun(),
            Speaker::Http2(http) => http.has_begun(),
        }
    }

    /// Whether what comes first belongs to the PROXY protocol, which comes before TLS.
    pub(crate) fn is_opening(&self) -> bool {
        match self {
            Speaker::Http1(http) => http.is_opening(),
            Speaker::Http2(_) => false,
        }
    }

    /// Takes the header of the PROXY protocol, or the beginning of one, off what has arrived.
    pub(crate) fn open<'b>(&mut self, input: &'b [u8], turn: &mut ConnectionTurn) -> &'b [u8] {
        match self {
            Speaker::Http1(http) => http.open(input, turn),
            Speaker::Http2(_) => input,
        }
    }

    /// Its TLS handshake is done: records name its parameters.
    pub(crate) fn secure(&mut self, tls: Secured) {
        // With HTTP/2 it has stood before anything was said.
        if let Speaker::Http1(http) = self {
            http.secure(tls);
        }
    }

    /// Refuses a client that speaks no TLS.
    pub(crate) fn refuse_plain(&mut self, input: &[u8], turn: &mut ConnectionTurn) {
        if let Speaker::Http1(http) = self {
            http.refuse_plain(input, turn);
        }
    }

    /// Says what comes before a client has said anything: the settings of HTTP/2 where nothing else is spoken.
    pub(crate) fn greet(&mut self, turn: &mut ConnectionTurn) {
        if turn.state.protocols == Protocols::Http2 && !self.is_opening() {
            self.receive(&[], turn);
        }
    }

    /// Whether new connections get another certificate than this one has.
    pub(crate) fn is_left(&self, state: &ProcessState) -> bool {
        match self {
            Speaker::Http1(http) => http.is_left(state),
            Speaker::Http2(http) => http.is_left(state),
        }
    }

    /// The backend ends: open conversations are closed with GOAWAY or a close frame.
    pub(crate) fn go_away(&mut self, turn: &mut ConnectionTurn) {
        match self {
            Speaker::Http1(http) => http.go_away(turn),
            Speaker::Http2(http) => http.expire(turn.out),
        }
    }

    /// Whether many requests share the connection at once.
    pub(crate) fn is_multiplexed(&self) -> bool {
        matches!(self, Speaker::Http2(_))
    }

    /// Whether the connection is over though the client had more to say.
    pub(crate) fn left_something_unread(&self) -> bool {
        match self {
            Speaker::Http1(http) => http.left_something_unread(),
            Speaker::Http2(http) => http.left_something_unread(),
        }
    }

    /// Takes what has arrived and appends what is to be written.
    pub(crate) fn receive(&mut self, input: &[u8], turn: &mut ConnectionTurn) {
        match self {
            Speaker::Http1(http) => {
                http.receive(input, turn);
                if let Some((origin, begun)) = http.take_http2() {
                    let mut http = Box::new(StreamConnection::new(origin, turn.state, turn.out));
                    http.receive(&begun, turn);
                    *self = Speaker::Http2(http);
                }
            }
            Speaker::Http2(http) => http.receive(input, turn),
        }
    }

    /// The moment has come for which the connection waited.
    pub(crate) fn release(&mut self, turn: &mut ConnectionTurn) {
        match self {
            Speaker::Http1(http) => http.release(turn),
            Speaker::Http2(http) => http.release(turn),
        }
    }

    /// The output has been written, and there is room for more.
    pub(crate) fn go_on(&mut self, turn: &mut ConnectionTurn) {
        match self {
            Speaker::Http1(http) => http.go_on(turn),
            Speaker::Http2(http) => http.go_on(turn),
        }
    }

    /// Ends the wait for what takes too long.
    pub(crate) fn expire(&mut self, turn: &mut ConnectionTurn) {
        match self {
            Speaker::Http1(http) => http.expire(turn),
            Speaker::Http2(http) => http.expire(turn.out),
        }
    }

    /// Tells the client what has changed for all connections: that the backend drains, takes more or fewer streams, or
    /// has another health.
    pub(crate) fn announce(&mut self, turn: &mut ConnectionTurn) {
        // HTTP/1 says it with the next response.
        if let Speaker::Http2(http) = self {
            http.announce(turn);
        }
    }

    /// That many bytes of the output have been written.
    pub(crate) fn wrote(&mut self, bytes: usize, now: Moment, state: &mut ProcessState) {
        match self {
            Speaker::Http1(http) => http.wrote(bytes, now, state),
            Speaker::Http2(http) => http.wrote(bytes, now, state),
        }
    }

    /// The connection has ended: what was not responded to its end is recorded as cut off. `how`: who ended it.
    pub(crate) fn end(&mut self, how: LifeEnd, now: Moment, state: &mut ProcessState) {
        match self {
            Speaker::Http1(http) => http.end(how, now, state),
            Speaker::Http2(http) => http.end(how, now, state),
        }
    }
}
