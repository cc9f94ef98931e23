//! What a look at a connection brings, and how it ends.

use http::h1::client::TransportEnd;

/// What a look at a connection brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Peeked {
    /// This many bytes have come.
    Bytes(usize),
    /// No bytes have come; the connection is open.
    Nothing,
    /// The other side has ended the connection.
    End(Ending),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// In order: all that it sent has arrived.
    Closed,
    /// Closed, and TLS did not announce it: whoever cuts connections off can do that.
    Unannounced,
    /// By a reset: what was on its way is lost.
    Reset,
}

impl Ending {
    /// What it means for a response of HTTP/1 whose end is that of its connection.
    pub(crate) fn of_transport(self) -> TransportEnd {
        match self {
            Ending::Closed => TransportEnd::InOrder,
            Ending::Unannounced | Ending::Reset => TransportEnd::Broken,
        }
    }
}
