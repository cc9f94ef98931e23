//! What the live view gets: a snapshot first, then ten times a second what has changed. Places are those of `FleetStatus::backends`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use verdict::promise::{self, Role, ShareParty};
use verdict::{Moment, RequestId, ResponseId};

use crate::{BackendStatus, FleetStatus, Policy};

/// The time from one frame to the next.
pub const FRAME: Duration = Duration::from_millis(100);

/// How much of the past the live view shows: readers keep no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct History {
    /// How many seconds of the plots.
    pub seconds: usize,
    /// How many requests of the order strip.
    pub strip: usize,
    /// How many marks.
    pub marks: usize,
    /// How many requests with their headers.
    pub requests: usize,
}

/// All that is known when somebody begins to look.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Snapshot {
    /// Version of this JSON shape.
    pub version: u32,
    /// Whether the reader gave the fleet's token: it may change something, and nothing is hidden from it.
    pub owner: bool,
    /// Milliseconds since 1970 (UTC).
    pub at: u64,
    /// How much of the past a reader should keep.
    pub kept: History,
    /// The fleet and its backends.
    pub fleet: FleetStatus,
    /// What is shown of each backend now.
    pub figures: Figures,
    /// The seconds that have ended, the latest last, without gaps.
    pub seconds: Vec<Second>,
    /// The latest requests in the order in which they reached backends: the place of the one that got each.
    pub strip: Vec<u16>,
    /// Requests since the fleet began: the number of the one after the strip's last.
    pub strip_end: u64,
    /// What happened, the latest last.
    pub marks: Vec<TimelineMark>,
    /// The latest requests with their headers, the latest last.
    pub requests: Vec<SeenRequest>,
    /// What stands in front of the fleet, if that is known.
    pub front: Option<BalancerInfo>,
    /// The latest check, if there was one.
    pub check: Option<CheckNews>,
}

/// What has happened since the frame before.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Frame {
    /// Milliseconds since 1970 (UTC).
    pub at: u64,
    /// What is shown of each backend now.
    pub figures: Figures,
    /// Seconds that have ended.
    pub seconds: Vec<Second>,
    /// Requests that have ended, in the order in which they reached backends, the last of them if there are more than are kept: the
    /// place of the one that got each.
    pub strip: Vec<u16>,
    /// Requests since the fleet began: the number of the one after the strip's last.
    pub strip_end: u64,
    /// What happened. One that has an id of an earlier mark replaces it: its count has grown.
    pub marks: Vec<TimelineMark>,
    /// Requests with their headers; under load some of them.
    pub requests: Vec<SeenRequest>,
    /// The backends, if something about them has changed that is not in the figures.
    pub backends: Option<Vec<BackendStatus>>,
    /// What stands in front of the fleet, if that has changed.
    pub front: Option<BalancerInfo>,
    /// The check, if it has news.
    pub check: Option<CheckNews>,
}

/// A second that has ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Second {
    /// When it began: seconds since 1970 (UTC).
    pub at: u64,
    /// Requests that ended in it, one count a backend.
    pub counts: Vec<u32>,
    /// At its end: the time from a request's head to its response, in the ten seconds before, of all backends together.
    pub latency: Option<LatencyPercentiles>,
    /// Whether a check ran in it: its load dwarfs all other.
    pub is_check: bool,
}

/// What is shown of a fleet now.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Figures {
    /// Requests of the last second.
    pub rate: u64,
    /// The time from a request's head to its response, in the last ten seconds.
    pub latency: Option<LatencyPercentiles>,
    /// As clients felt it that say so (those of `demo`), in the last ten seconds: from sending a request to the end of its response.
    #[serde(default)]
    pub client: Option<LatencyPercentiles>,
    /// Of each backend, in the order of the fleet.
    pub backends: Vec<BackendFigures>,
}

/// What is shown of a backend now, beside its status.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BackendFigures {
    /// Requests that have ended since the fleet began, health probes apart.
    pub requests: u64,
    /// Of all requests of the last ten seconds, from 0 to 1; null without any.
    pub share: Option<f64>,
    /// What the balancer's algorithm promises for the backends that are ready; null if it promises no shares or is not known.
    pub expected: Option<f64>,
    /// Requests of the last second.
    pub rate: u32,
    /// Of the last ten seconds: responses with 500 or more, or cut off.
    pub errors: u32,
    /// Connections that are open.
    #[serde(default)]
    pub connections: u32,
    /// Of the requests of the last ten seconds, the share that came in HTTP/2, from 0 to 1; null without any.
    #[serde(default)]
    pub http_2: Option<f64>,
    /// Requests that are being processed.
    pub in_flight: u32,
    /// Streams that are open: server-sent events, chunks and downloads.
    #[serde(default)]
    pub streams: u32,
    /// How many of them are open WebSockets.
    #[serde(default)]
    pub websockets: u32,
    /// The time from a request's head to its response, in the last ten seconds, at this backend.
    pub latency: Option<LatencyPercentiles>,
}

/// How long responses took for a client of the balancer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClientTimes {
    /// From sending a request to the end of its response, in microseconds; one a response.
    pub microseconds: Vec<u32>,
}

/// Percentiles of a latency, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LatencyPercentiles {
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p99_9: u64,
}

/// Something that a time line shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TimelineMark {
    /// Its number, from 0.
    pub id: u64,
    /// Milliseconds since 1970 (UTC).
    pub at: u64,
    /// Decides its symbol, and which marks are shown as one.
    pub kind: MarkKind,
    /// Whose; none for the whole fleet.
    pub backend: Option<String>,
    /// How many of its kind fell together.
    pub count: u32,
    /// The sentence that is shown.
    pub text: String,
}

/// What a time line tells apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// A backend began or ended to do something.
    Backend,
    /// Faults were switched on or off.
    Fault,
    /// A backend answered with 500 or more, or did not answer to the end.
    Error,
    /// A request was tried again at another backend, or at the same.
    Retry,
    /// A request was executed more than once.
    Double,
    /// Records were overwritten before the supervisor read them.
    Lost,
    /// Something else stands in front of the fleet, or it balances in another way.
    Front,
    /// A check began or ended.
    Check,
}

impl MarkKind {
    /// Whether many of them are one mark with a count.
    pub fn adds_up(self) -> bool {
        match self {
            MarkKind::Error | MarkKind::Retry | MarkKind::Double | MarkKind::Lost => true,
            MarkKind::Backend | MarkKind::Fault | MarkKind::Front | MarkKind::Check => false,
        }
    }
}

/// A request as a backend received it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReceivedRequest {
    /// When its head had been read.
    pub received: Moment,
    /// The UUID of its response.
    pub response: ResponseId,
    /// The client's id for it, if it sent ours.
    pub request: Option<RequestId>,
    /// The other end of the connection, or the client that a PROXY header tells of; `unix` for a unix socket.
    pub peer: String,
    /// Method of the request, such as `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Status of the backend's response.
    pub status: u16,
    /// Names and values in the order in which they were sent. Long ones are cut, with `…` at their end.
    pub headers: Vec<(String, String)>,
}

/// The same, with its backend and a time for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeenRequest {
    /// The name of the backend.
    pub backend: String,
    /// Milliseconds since 1970 (UTC).
    pub at: u64,
    /// The request as the backend received it.
    #[serde(flatten)]
    pub seen: ReceivedRequest,
}

/// The balancer in front of the fleet.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BalancerInfo {
    /// Where requests go: `http://localhost:8080/uuid`.
    pub url: String,
    /// Its name: `NGINX`; null if it is not known.
    #[serde(default)]
    pub balancer: Option<String>,
    /// How it is configured to select a backend; null if that is not known.
    #[serde(default)]
    pub algorithm: Option<Policy>,
    /// The weight of each backend; empty if none are known.
    #[serde(default)]
    pub weights: Vec<u32>,
    /// The algorithms to which it can be switched; empty if nothing can switch it.
    #[serde(default)]
    pub choices: Vec<Policy>,
    /// Backends that get requests only while no other is ready.
    #[serde(default)]
    pub backups: Vec<String>,
    /// The expectations of a check, as `--expect` takes them.
    #[serde(default)]
    pub expect: Vec<String>,
    /// Whether another algorithm takes effect without cutting off what is in flight; null if that is not known.
    #[serde(default)]
    pub reloads: Option<bool>,
    /// Whether it tries another backend when one refuses the connection; null if that is not known.
    #[serde(default)]
    pub retries: Option<bool>,
    /// Why the last request to balance in another way was not fulfilled.
    #[serde(default)]
    pub problem: Option<String>,
}

impl BalancerInfo {
    /// The share of each backend, given whether it is ready, if the balancer's algorithm promises any.
    pub fn expected(&self, backends: &[(&str, bool)]) -> Option<Vec<f64>> {
        let weighted = self.weights.len() == backends.len() && self.weights.iter().any(|weight| *weight > 0);
        let part = |(place, (name, ready)): (usize, &(&str, bool))| ShareParty {
            weight: if weighted { self.weights[place] } else { 1 },
            role: if self.backups.iter().any(|backup| backup == name) { Role::Backup } else { Role::Active },
            ready: *ready,
        };
        promise::shares(
            self.algorithm.as_ref()?.algorithm(weighted),
            &backends.iter().enumerate().map(part).collect::<Vec<ShareParty>>(),
        )
    }
}

/// How somebody wants the balancer to balance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BalanceRequest {
    /// How it is to pick a backend.
    pub algorithm: Policy,
    /// How often each backend is to get its turn; empty: all alike.
    #[serde(default)]
    pub weights: Vec<u32>,
}

/// How a check goes.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckNews {
    /// Where its requests go.
    pub url: String,
    /// What it does now; empty when it is over.
    pub phase: String,
    /// Requests of its sample that were sent.
    pub sent: u64,
    /// How many there will be; 0 if that is not known.
    pub total: u64,
    /// Once it is over.
    #[serde(default)]
    pub result: Option<CheckResult>,
    /// Why it could not run.
    #[serde(default)]
    pub error: Option<String>,
}

impl CheckNews {
    /// Whether the check has ended.
    pub fn is_over(&self) -> bool {
        self.result.is_some() || self.error.is_some()
    }
}

/// What a check found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckResult {
    /// `pass`, `fail` or `inconclusive`.
    pub verdict: String,
    /// The algorithm that it saw, in words.
    pub algorithm: Option<String>,
    /// All requests that it sent.
    pub sent: u64,
    /// How many had each outcome.
    pub outcomes: Vec<(String, u64)>,
    /// As its clients felt it; null without a response.
    #[serde(default)]
    pub client: Option<LatencyPercentiles>,
    /// One a rule, the worst first: what it says (`fail`, …), in a sentence, and what to try.
    pub findings: Vec<(String, String, Option<String>)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["9001", "9002", "9003", "9004"];

    #[test]
    fn shares_are_expected_where_the_algorithm_promises_them() {
        let front = |algorithm: &str, weights: &[u32]| BalancerInfo {
            algorithm: Some(algorithm.parse().unwrap()),
            weights: weights.to_vec(),
            ..BalancerInfo::default()
        };
        let backends = |ready: &[bool]| -> Vec<(&str, bool)> { NAMES.into_iter().zip(ready.iter().copied()).collect() };
        let two = backends(&[true, true]);
        assert_eq!(front("round-robin", &[]).expected(&two), Some(vec![0.5, 0.5]));
        assert_eq!(front("round-robin", &[3, 1]).expected(&two), Some(vec![0.75, 0.25]));
        assert_eq!(front("round-robin", &[3, 1]).expected(&backends(&[true; 4])), Some(vec![0.25; 4]));
        assert_eq!(front("least-connections", &[]).expected(&two), None);
        assert_eq!(front("header:X-User", &[]).expected(&two), None);
        assert_eq!(BalancerInfo::default().expected(&two), None);
        assert_eq!(front("random", &[]).expected(&[]), None);
        let backup = BalancerInfo { backups: vec!["9003".to_owned()], ..front("round-robin", &[]) };
        assert_eq!(backup.expected(&backends(&[true; 3])), Some(vec![0.5, 0.5, 0.0]));
        assert_eq!(backup.expected(&backends(&[false, false, true])), Some(vec![0.0, 0.0, 1.0]));
    }
}
