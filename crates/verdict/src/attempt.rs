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
}

impl AttemptEnd {
    /// As it stands in the words of the journal.
    pub fn word(self) -> u64 {
        match self {
            AttemptEnd::Received => 0,
            AttemptEnd::Completed => 1,
            AttemptEnd::CutOff => 2,
        }
    }
}
