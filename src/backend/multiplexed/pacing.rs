//! A response on a stream of HTTP/2 that is written event by event.

use http::StreamId;
use http::h2::Follows;
use http::h2::server::Server;
use verdict::life::LifeEnd;

use crate::backend::multiplexed::leaving::PIECE;
use crate::backend::paced::Paced;
use crate::backend::turn::ConnectionTurn;
use crate::journal::Claim;
use crate::wire::Moment;

pub(super) struct StreamPacing {
    paced: Box<Paced>,
    /// Events that are written, and how much of them is out.
    pending: Vec<u8>,
    sent: usize,
    /// After that many a fault breaks it off.
    cut_after: Option<u32>,
}

/// How far a paced stream has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PacingProgress {
    /// More events are to come.
    Open,
    /// All of it is in the output.
    Written,
    /// A fault breaks it off here, and its connection with it.
    Cut,
}

impl StreamPacing {
    pub(super) fn new(paced: Paced, cut_after: Option<u32>) -> StreamPacing {
        StreamPacing { paced: Box::new(paced), pending: Vec::new(), sent: 0, cut_after }
    }

    fn is_cut(&self) -> bool {
        self.cut_after.is_some_and(|most| self.paced.life.written >= most)
    }

    /// Whether no further event will be written.
    fn is_done(&self) -> bool {
        self.paced.is_done() || self.is_cut()
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.sent < self.pending.len()
    }

    /// Whether another event is to be written, and when at the earliest; any time where only the client paces.
    pub(super) fn due(&self) -> Option<Moment> {
        let wants = !self.has_unsent() && !self.is_done();
        wants.then(|| self.paced.due().unwrap_or(Moment(0)))
    }

    /// Writes the events that are due, and sends what windows let through.
    pub(super) fn send(
        &mut self,
        stream: StreamId,
        claim: &mut Claim,
        http: &mut Server,
        turn: &mut ConnectionTurn,
    ) -> PacingProgress {
        if self.due().is_some_and(|due| due <= turn.now) {
            self.pending.clear();
            self.sent = 0;
            self.paced.write(turn.now, |piece| self.pending.extend_from_slice(piece));
            if self.is_cut() {
                self.paced.life.end = LifeEnd::Backend;
            }
            // Noted before the kernel has it: what a client saw is in the record.
            turn.state.journal.note_life(claim, &self.paced.life);
        }
        let end = self.pending.len().min(self.sent + http.capacity(stream).min(PIECE));
        let is_out = end == self.pending.len() && self.is_done();
        let ends = is_out && !self.is_cut();
        if end > self.sent || ends {
            http.data(stream, &self.pending[self.sent..end], Follows::after(ends), turn.out);
        }
        self.sent = end;
        match (is_out, ends) {
            (false, _) => PacingProgress::Open,
            (true, true) => PacingProgress::Written,
            (true, false) => PacingProgress::Cut,
        }
    }

    /// Its stream has ended before that, in that way.
    pub(super) fn end(mut self, mut claim: Claim, how: LifeEnd, turn: &mut ConnectionTurn) -> Claim {
        let life = &mut self.paced.life;
        if life.end == LifeEnd::Open {
            life.end = how;
        }
        turn.state.journal.note_life(&mut claim, life);
        claim
    }
}
