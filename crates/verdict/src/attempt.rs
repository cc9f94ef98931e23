//! How an attempt ended, as its backend noted it.

use serde::{Deserialize, Serialize};

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
