//! A request that has come and whose response is not in the output to its end: what it waits for.

use http::StreamId;
use http::h2::server::Server;

use crate::backend::exchange::Exchange;
use crate::backend::multiplexed::calling::Calling;
use crate::backend::multiplexed::pacing::StreamPacing;
use crate::backend::multiplexed::sending::Sending;
use crate::journal::Claim;
use crate::wire::Moment;

pub(super) struct Active {
    pub(super) stream: StreamId,
    pub(super) phase: StreamPhase,
}

pub(super) enum StreamPhase {
    /// The body of its request is being read.
    Reading(Box<Exchange>),
    /// Its response is held back until then.
    Delayed(Moment, Box<Exchange>),
    /// Its response goes out as far as windows and the kernel take it.
    Sending(Claim, Sending),
    /// Its response goes out event by event.
    Pacing(Claim, StreamPacing),
    /// A gRPC call, whose messages go both ways.
    Calling(Box<Calling>),
    /// A stream that gets no response.
    Hanging(Claim),
}

impl Active {
    /// When it is due, if it waits for its time; [`Moment`] 0: as soon as there is room.
    pub(super) fn due(&self) -> Option<Moment> {
        match &self.phase {
            StreamPhase::Delayed(until, _) => Some(*until),
            StreamPhase::Pacing(_, pacing) => pacing.due(),
            StreamPhase::Calling(calling) => calling.due(),
            StreamPhase::Reading(_) | StreamPhase::Sending(..) | StreamPhase::Hanging(_) => None,
        }
    }

    /// Whether it has something to write as soon as there is room.
    pub(super) fn can_go_on(&self, http: &Server) -> bool {
        match &self.phase {
            StreamPhase::Sending(_, sending) => sending.can_go_on(self.stream, http),
            StreamPhase::Pacing(_, pacing) if pacing.has_unsent() => http.capacity(self.stream) > 0,
            StreamPhase::Calling(calling) => calling.can_go_on(self.stream, http),
            StreamPhase::Pacing(_, pacing) => pacing.due() == Some(Moment(0)),
            StreamPhase::Reading(_) | StreamPhase::Delayed(..) | StreamPhase::Hanging(_) => false,
        }
    }

    /// Whether its client is to send something, or to take it.
    pub(super) fn waits_for_client(&self) -> bool {
        match &self.phase {
            StreamPhase::Reading(_) | StreamPhase::Sending(..) => true,
            StreamPhase::Pacing(_, pacing) => pacing.has_unsent(),
            StreamPhase::Calling(calling) => calling.waits_for_client(),
            StreamPhase::Delayed(..) | StreamPhase::Hanging(_) => false,
        }
    }

    pub(super) fn is_call(&self) -> bool {
        matches!(self.phase, StreamPhase::Calling(_))
    }
}
