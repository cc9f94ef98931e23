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
    /// When they got them, around the steps of an outage; null without one.
    #[serde(default)]
    pub when: Option<BackupUse>,
    /// Requests that other backends failed, which excuse a backup; or that failed while it was not used.
    pub failures: u64,
    /// Other backends that were not well, or had not been until shortly before: a balancer may keep away from them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub avoided: Vec<String>,
    /// How many seconds the balancer keeps away from a backend that failed, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeps_away: Option<f64>,
    /// No backend keeps records: these are requests whose clients saw the backup respond, and whether others had failed them first is
    /// not known.
    #[serde(default)]
    pub without_records: bool,
    /// All others were at work whenever the backup got a request: where a limit leaves them no room, it has to help.
    #[serde(default)]
    pub may_overflow: bool,
}

/// When backups got requests that others could have had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BackupUse {
    /// Before anything was done to the others.
    Before,
    /// While some of the others were broken, and one that was not had nothing to do.
    During,
    /// After the others had recovered.
    After,
    /// Before and after.
    Both,
    /// Still in the last second of a sample that ended before the traffic had to be back.
    AtTheEnd,
    /// Not even while all others were broken, and requests failed.
    Never,
}

pub(crate) const BACKUPS: RuleDescription = RuleDescription {
    requires: "backups get nothing while another backend is ready",
    sound: "by construction: the backup recorded the request, and another backend was idle then; where all others were at work, failed requests, were not well, or may have failed some, as they keep no records, it is inconclusive, \
            and so it is where a backup got nothing while all others were broken for long, or got something while only some of them were",
    source: None,
};
