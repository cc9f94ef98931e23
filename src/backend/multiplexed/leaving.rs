//! What the parts of a connection of HTTP/2 hand to each other.

use http::StreamId;

use crate::journal::Claim;
use crate::wire::AttemptEnd;

/// The most that one response adds to the output before others have their turn.
pub(super) const PIECE: usize = 16 * 1024;

/// A response that is in the output, and has not left.
#[derive(Debug)]
pub(super) struct LeavingResponse {
    pub(super) stream: StreamId,
    pub(super) claim: Claim,
    /// How its attempt has ended when it has left.
    pub(super) end: AttemptEnd,
}

impl LeavingResponse {
    pub(super) fn whole(stream: StreamId, claim: Claim) -> LeavingResponse {
        LeavingResponse { stream, claim, end: AttemptEnd::Completed }
    }
}

/// What follows the head of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RequestRest {
    Nothing,
    Content,
    /// Content for which its client waits to be asked (`Expect: 100-continue`).
    ContentOnceAsked,
}
