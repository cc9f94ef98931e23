//! An attempt as its backend noted it, and how it ended.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Moment;
use crate::observation::Backend;
use crate::request::Differences;

http::named_enum! {
    /// How an attempt ended. The order is that of the journal's words.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[serde(rename_all = "kebab-case")]
    pub enum AttemptEnd {
        /// The request has been read and no response has been written to its end.
        Received => "received",
        /// The whole response was handed to the kernel.
        Completed => "completed",
        /// The connection, the stream or a message of a call ended before that; `bytes` of the response were written.
        CutOff => "cut-off",
        /// The backend did nothing with the request, and its client knows (REFUSED_STREAM, or a GOAWAY that leaves it out): it may be sent
        /// elsewhere.
        Refused => "refused",
    }

    /// As reports name it.
    fn name;
}

impl AttemptEnd {
    /// The inverse of [`AttemptEnd::word`].
    pub fn of_word(word: u64) -> AttemptEnd {
        let known = usize::try_from(word).ok().and_then(|place| AttemptEnd::ALL.get(place));
        known.copied().unwrap_or(AttemptEnd::CutOff)
    }

    /// As it stands in the words of the journal.
    pub fn word(self) -> u64 {
        self as u64
    }
}

/// One attempt as its backend recorded it: 40 bytes, for there may be ten million.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// When its head had been read.
    pub received: Moment,
    /// The id of its response; nil if it has none.
    pub response: Uuid,
    /// Number of the request in the run; [`crate::ledger::UNNUMBERED`] if it came without its id, and
    /// [`crate::ledger::OF_ANOTHER_CHECK`] with that of another check.
    pub sequence: u32,
    /// From there until the response had been written, in tenths of a microsecond.
    pub took: u32,
    /// The backend that received it.
    pub backend: Backend,
    /// Status of the response.
    pub status: u16,
    /// Whether its response was written whole.
    pub end: AttemptEnd,
    /// In which parts its request arrived other than it was sent.
    pub differences: Differences,
    /// In which of the ways that [`crate::arrived::RequestChanges`] knows.
    pub way: WayNumber,
}

impl Arrival {
    /// Whether the backend did what was asked: it wrote a whole response that is no error of its own.
    pub fn executed(&self) -> bool {
        self.end == AttemptEnd::Completed && self.status < 500
    }

    /// Whether the backend did nothing with the request and said so: it may be sent elsewhere, whatever its method (RFC 9113 §8.7).
    pub fn is_unprocessed(&self) -> bool {
        self.end == AttemptEnd::Refused
    }

    /// Whether the backend could not or would not read the request: its status alone may be the one that was asked for.
    pub fn is_refusal(&self) -> bool {
        self.way == WayNumber::UNREAD
    }

    /// When the response had been written, as far as that is known.
    pub fn responded(&self) -> Moment {
        Moment(self.received.0 + u64::from(self.took) * 100)
    }
}

const _: () = assert!(size_of::<Arrival>() == 40);

/// The number of a [`crate::arrived::ChangedWay`], as an attempt has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WayNumber(pub(crate) u8);

impl WayNumber {
    /// Of an attempt whose backend refused to read the request.
    pub const UNREAD: WayNumber = WayNumber(u8::MAX);
    /// More ways than these are not distinguished.
    pub(crate) const MOST: usize = u8::MAX as usize - 1;
}
