//! What a connection of any protocol waits for, and where it comes from.

use crate::wire::{End, Moment, Secured};

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
    /// This moment; then `Speaker::release`.
    Moment(Moment),
    /// That the output has been written; then `Speaker::go_on`.
    Room,
    /// More of another protocol, and this moment if there is one; then `Speaker::release`. It may take as long as it likes.
    Upgraded(Option<Moment>),
    /// The end: the client gets no response.
    End,
    /// That the client has read all: nothing more is responded to on this connection.
    Over,
    /// Nothing: the connection is to be reset.
    Reset,
    /// Of HTTP/2: whatever comes on any stream. Then also this moment, then `Speaker::release`.
    Streams {
        /// When something that is held back is due.
        due: Option<Moment>,
        /// There is more to be written as soon as the output has been.
        more: bool,
        /// The client is to send something, or to take it.
        body: bool,
    },
}

/// Where a connection comes from: what all of its requests share.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) peer: End,
    /// Who sent the PROXY header, if one names the peer.
    pub(super) via: Option<End>,
    pub(super) local: End,
    /// Number of the connection in this backend, from 1.
    pub(super) number: u64,
    pub(super) tls: Option<Box<Secured>>,
}
