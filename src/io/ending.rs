//! What a look at a connection brings, and how it ends.

/// What a look at a connection brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Peeked {
    /// How many there were.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End(Ending),
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// In order.
    Closed,
    /// Closed, and TLS did not announce it: whoever cuts connections off can do that.
    Unannounced,
    /// By a reset.
    Reset,
}
