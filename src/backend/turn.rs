//! What every step on a connection works with.

use crate::backend::state::ProcessState;
use crate::journal::Claim;
use crate::wire::{AttemptEnd, Moment};

/// One turn of a connection: when it is, what all connections of the backend share, and what is to be written.
pub(super) struct ConnectionTurn<'t> {
    pub(super) now: Moment,
    pub(super) state: &'t mut ProcessState,
    pub(super) out: &'t mut Vec<u8>,
}

impl ConnectionTurn<'_> {
    /// The attempt has ended before its response had left.
    pub(super) fn cut_off(&mut self, claim: Claim, bytes: u64) {
        self.state.journal.complete(claim, self.now, bytes, AttemptEnd::CutOff);
    }
}
