//! An attempt as its backend noted it, and how it ended.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Moment;
use crate::observation::Backend;
use crate::request::Differences;

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AttemptEnd {
    /// The request has been read and no response has been written to its end.
    Received,
    /// The whole response was handed to the kernel.
    Completed,
    /// The connection or the backend ended before that; `bytes` of the response were written.
    CutOff,
    /// The backend did nothing with the request, and its client knows (REFUSED_STREAM, or a GOAWAY that leaves it out): it may be sent
    /// elsewhere.
    Refused,
}

impl AttemptEnd {
    /// All of them, in the order of the journal's words.
    pub const ALL: [AttemptEnd; 4] =
        [AttemptEnd::Received, AttemptEnd::Completed, AttemptEnd::CutOff, AttemptEnd::Refused];

    /// The inverse of [`AttemptEnd::word`].
    pub fn of_word(word: u64) -> AttemptEnd {
        let known = usize::try_from(word).ok().and_then(|place| AttemptEnd::ALL.get(place));
        known.copied().unwrap_or(AttemptEnd::CutOff)
    }

    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            AttemptEnd::Received => "received",
            AttemptEnd::Completed => "completed",
            AttemptEnd::CutOff => "cut-off",
            AttemptEnd::Refused => "refused",
        }
    }

    /// As it stands in the words of the journal.
    pub fn word(self) -> u64 {
        match self {
            AttemptEnd::Received => 0,
            AttemptEnd::Completed => 1,
            AttemptEnd::CutOff => 2,
            AttemptEnd::Refused => 3,
        }
    }
}

/// One attempt as its backend recorded it: 40 bytes, for there may be ten million.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// When its head had been read.
    pub received: Moment,
    /// The id of its response; nil if it has none.
    pub response: Uuid,
    /// Number of the request in the run; [`crate::ledger::UNNUMBERED`] if it came without its id.
    pub sequence: u32,
    /// From there until the response had been written, in tenths of a microsecond.
    pub took: u32,
    /// Where.
    pub backend: Backend,
    /// Status of the response.
    pub status: u16,
    /// How it ended.
    pub end: AttemptEnd,
    /// In which parts its request arrived other than it was sent.
    pub differences: Differences,
}

impl Arrival {
    /// Whether the backend did what was asked: it wrote a whole response that is no error of its own.
    pub fn executed(&self) -> bool {
        self.end == AttemptEnd::Completed && self.status < 500
    }

    /// Whether the backend could not or would not read the request.
    pub fn is_refusal(&self) -> bool {
        matches!(self.status, 400 | 431 | 501 | 505)
    }

    /// When the response had been written, as far as that is known.
    pub fn responded(&self) -> Moment {
        Moment(self.received.0 + u64::from(self.took) * 100)
    }
}

const _: () = assert!(size_of::<Arrival>() == 40);
