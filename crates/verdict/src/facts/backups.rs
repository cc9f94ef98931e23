//! The rule of backups: they get nothing while another backend can.

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;

/// Which backups got requests.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BackupFacts {
    /// Names of the backends that are configured as backups.
    pub backups: Vec<String>,
    /// Requests that they got together.
    pub requests: u64,
    /// Requests that other backends failed, which excuse a backup.
    pub failures: u64,
}

pub(crate) const BACKUPS: RuleDescription = RuleDescription {
    requires: "backups get nothing while another backend is ready",
    sound: "by construction: the backup recorded the request; where other backends failed requests it is inconclusive",
    source: None,
};
