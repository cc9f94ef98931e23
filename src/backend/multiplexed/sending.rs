//! The body of a response on its stream: it goes out as far as windows and the kernel take it.

use http::StreamId;
use http::h2::Follows;
use http::h2::server::Server;

use crate::backend::multiplexed::leaving::PIECE;
use crate::backend::response::{ResponseBody, pattern};
use crate::backend::turn::ConnectionTurn;

/// How much of a body is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BodyPart {
    Whole,
    /// A fault breaks it off; then the connection ends.
    Half,
}

pub(super) struct Sending {
    body: ResponseBody,
    position: u64,
    /// Where a fault breaks it off, or its length.
    end: u64,
    part: BodyPart,
}

/// How far a response body has been sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SendingProgress {
    /// More is to be sent.
    Open,
    /// All of it is in the output.
    Written,
    /// Its connection is to end with what has been written.
    Cut,
}

impl Sending {
    pub(super) fn new(body: ResponseBody, end: u64, part: BodyPart) -> Sending {
        Sending { body, position: 0, end, part }
    }

    pub(super) fn into_body(self) -> ResponseBody {
        self.body
    }

    /// Whether something can be written as soon as there is room.
    pub(super) fn can_go_on(&self, stream: StreamId, http: &Server) -> bool {
        self.position == self.end || http.capacity(stream) > 0
    }

    /// Sends the next piece.
    pub(super) fn send(&mut self, stream: StreamId, http: &mut Server, turn: &mut ConnectionTurn) -> SendingProgress {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let piece = left.min(PIECE).min(http.capacity(stream));
        let follows = Follows::after(piece == left && self.part == BodyPart::Whole);
        match &self.body {
            ResponseBody::Bytes(bytes) => {
                let start = self.position as usize;
                http.data(stream, &bytes[start..start + piece], follows, turn.out);
            }
            // None of them is sent piece by piece.
            ResponseBody::Paced { .. } | ResponseBody::Socket { .. } | ResponseBody::Messages { .. } => {
                return SendingProgress::Open;
            }
            ResponseBody::Pattern(_) => {
                let mut buffer = turn.state.buffer();
                pattern(&mut buffer, self.position, self.position + piece as u64);
                http.data(stream, &buffer, follows, turn.out);
                turn.state.recycle(buffer);
            }
        }
        self.position += piece as u64;
        match self.part {
            _ if piece < left => SendingProgress::Open,
            BodyPart::Whole => SendingProgress::Written,
            BodyPart::Half => SendingProgress::Cut,
        }
    }
}
