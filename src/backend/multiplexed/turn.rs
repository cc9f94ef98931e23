//! What every step on a connection of HTTP/2 works with.

use http::StreamId;

use crate::backend::state::ProcessState;
use crate::journal::Claim;
use crate::wire::{AttemptEnd, Moment};

/// The most that one response adds to the output before others have their turn.
pub(super) const PIECE: usize = 16 * 1024;

/// One turn of a connection with streams: now, what all connections share, and what is to be written.
pub(super) struct StreamTurn<'t> {
    pub(super) now: Moment,
    pub(super) state: &'t mut ProcessState,
    pub(super) out: &'t mut Vec<u8>,
}

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

impl StreamTurn<'_> {
    /// The attempt has ended before its response had left.
    pub(super) fn cut_off(&mut self, claim: Claim, bytes: u64) {
        self.state.journal.complete(claim, self.now, bytes, AttemptEnd::CutOff);
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
