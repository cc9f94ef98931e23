//! What the live view is told: once all of it, then ten times a second what has changed. Places are those of `FleetStatus::members`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use verdict::algorithm::Algorithm;
use verdict::promise::{self, Part, Role};
use verdict::{Generator, Moment, RequestId, ResponseId};

use crate::{FleetStatus, MemberStatus};

/// From one frame to the next.
pub const FRAME: Duration = Duration::from_millis(100);
/// Seconds of the past that the live view shows.
pub const HISTORY: usize = 300;
/// Cells of the order strip: the latest requests, each with the backend that got it.
pub const STRIP: usize = 360;

/// All that is known when somebody begins to look.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Snapshot {
    /// Of this shape.
    pub version: u32,
    /// Whether the reader gave the fleet's token: it may change something, and nothing is hidden from it.
    pub owner: bool,
    /// Milliseconds since 1970 (UTC).
    pub at: u64,
    /// The fleet and its members.
    pub fleet: FleetStatus,
    /// Requests of each second that has ended, the latest last, one count a member.
    pub seconds: Vec<Vec<u32>>,
    /// Those of the second that has not ended, without what the next frame will bring.
    pub running: Vec<u32>,
    /// At the end of each of those seconds: the time from a request's head to its answer, in the ten seconds before, of all members together.
    pub latency: Vec<Option<Latency>>,
    /// The latest requests in the order in which they reached backends: the place of the one that got each.
    pub strip: Vec<u16>,
    /// What happened, the latest last.
    pub marks: Vec<Mark>,
    /// The latest requests with their headers, the latest last.
    pub requests: Vec<SeenRequest>,
    /// What stands before the fleet, if that is known.
    pub front: Option<Front>,
    /// The latest check, if there was one.
    pub check: Option<CheckNews>,
}

/// What has happened since the frame before.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Frame {
    /// Milliseconds since 1970 (UTC).
    pub at: u64,
    /// Requests that ended, one count a member.
    pub counts: Vec<u32>,
    /// Of those, the ones that were answered with 500 or more or cut off.
    pub errors: Vec<u32>,
    /// In flight now, one count a member.
    pub in_flight: Vec<u32>,
    /// Those of them that come last, in the order in which they reached backends: the place of the one that got each.
    pub strip: Vec<u16>,
    /// The time from a request's head to its answer, in the last ten seconds; all members together, then one a member.
    pub latency: Vec<Option<Latency>>,
    /// What happened.
    pub marks: Vec<Mark>,
    /// Requests with their headers; under load some of them.
    pub requests: Vec<SeenRequest>,
    /// The members, if something about them has changed that is not counted above.
    pub members: Option<Vec<MemberStatus>>,
    /// What stands before the fleet, if that has changed.
    pub front: Option<Front>,
    /// The check, if it has news.
    pub check: Option<CheckNews>,
}

/// Percentiles, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Latency {
    /// Median.
    pub p50: u64,
    /// 90 %
    pub p90: u64,
    /// 99 %
    pub p99: u64,
    /// 99.9 %
    pub p99_9: u64,
}

/// Something that a time line shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mark {
    /// Milliseconds since 1970 (UTC).
    pub at: u64,
    /// Of what kind.
    pub kind: MarkKind,
    /// Whose; none for the whole fleet.
    pub generator: Option<Generator>,
    /// How many of its kind fell together.
    pub count: u32,
    /// In words.
    pub text: String,
}

/// What a time line tells apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// A member began or ended to do something.
    Member,
    /// Faults were switched on or off.
    Fault,
    /// A backend answered with 500 or more, or did not answer to the end.
    Error,
    /// A request was tried again at another backend, or at the same.
    Retry,
    /// A request was executed more than once.
    Double,
    /// Records were lost.
    Lost,
    /// Something else stands before the fleet, or it balances in another way.
    Front,
    /// A check began or ended.
    Check,
}

impl MarkKind {
    /// Whether many of them are one mark with a count.
    pub fn adds_up(self) -> bool {
        match self {
            MarkKind::Error | MarkKind::Retry | MarkKind::Double | MarkKind::Lost => true,
            MarkKind::Member | MarkKind::Fault | MarkKind::Front | MarkKind::Check => false,
        }
    }
}

impl Mark {
    /// Of the same kind, of the same member, in the same second, and one that adds up.
    pub fn is_like(&self, other: &Mark) -> bool {
        self.kind.adds_up()
            && (self.kind, self.generator, self.at / 1000) == (other.kind, other.generator, other.at / 1000)
    }
}

/// A request as a backend received it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Seen {
    /// When its head had been read.
    pub received: Moment,
    /// The UUID of its answer.
    pub answer: ResponseId,
    /// The client's id for it, if it sent ours.
    pub request: Option<RequestId>,
    /// The other end of the connection, or the client that a PROXY header tells of; `unix` for a unix socket.
    pub peer: String,
    /// Such as `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Of its answer.
    pub status: u16,
    /// Names and values in the order in which they were sent. Long ones are cut, with `…` at their end.
    pub headers: Vec<(String, String)>,
}

/// The same, with its backend and a time for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeenRequest {
    /// The backend.
    pub generator: Generator,
    /// Milliseconds since 1970 (UTC).
    pub at: u64,
    /// What it received.
    #[serde(flatten)]
    pub seen: Seen,
}

/// What stands before the fleet.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Front {
    /// Where requests go: `http://localhost:8080/uuid`.
    pub url: String,
    /// Its name: `NGINX`; none if nobody said.
    #[serde(default)]
    pub balancer: Option<String>,
    /// How it was told to pick a backend; none if nobody said.
    #[serde(default)]
    pub algorithm: Option<String>,
    /// How often each member gets its turn; empty if nobody said.
    #[serde(default)]
    pub weights: Vec<u32>,
    /// The algorithms that it can be told; empty if nobody is there to tell it.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Members that get requests only while no other is ready.
    #[serde(default)]
    pub backups: Vec<Generator>,
    /// What a check is told to expect of it.
    #[serde(default)]
    pub expect: Vec<String>,
    /// Why the last wish was not fulfilled.
    #[serde(default)]
    pub problem: Option<String>,
}

impl Front {
    /// The share of each member, given whether it is ready, if the balancer's algorithm promises any.
    pub fn expected(&self, members: &[(Generator, bool)]) -> Option<Vec<f64>> {
        let algorithm: Algorithm = self.algorithm.as_deref()?.parse().ok()?;
        let weighted = self.weights.len() == members.len() && self.weights.iter().any(|weight| *weight > 0);
        let part = |(place, (generator, ready)): (usize, &(Generator, bool))| Part {
            weight: if weighted { self.weights[place] } else { 1 },
            role: if self.backups.contains(generator) { Role::Backup } else { Role::Active },
            ready: *ready,
        };
        promise::shares(algorithm, &members.iter().enumerate().map(part).collect::<Vec<Part>>())
    }
}

/// What somebody who looks wants of the balancer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// How it is to pick a backend.
    pub algorithm: String,
    /// How often each member is to get its turn; empty: all alike.
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
    /// How many had each fate.
    pub fates: Vec<(String, u64)>,
    /// One a rule, the worst first: what it says (`fail`, …), in a sentence, and what to try.
    pub findings: Vec<(String, String, Option<String>)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_expected_where_the_algorithm_promises_them() {
        let front = |algorithm: &str, weights: &[u32]| Front {
            algorithm: Some(algorithm.to_owned()),
            weights: weights.to_vec(),
            ..Front::default()
        };
        let members =
            |ready: &[bool]| -> Vec<(Generator, bool)> { (9001..).map(Generator).zip(ready.iter().copied()).collect() };
        let two = members(&[true, true]);
        assert_eq!(front("round-robin", &[]).expected(&two), Some(vec![0.5, 0.5]));
        assert_eq!(front("round-robin", &[3, 1]).expected(&two), Some(vec![0.75, 0.25]));
        assert_eq!(front("round-robin", &[3, 1]).expected(&members(&[true; 4])), Some(vec![0.25; 4]));
        assert_eq!(front("least-connections", &[]).expected(&two), None);
        assert_eq!(front("header:X-User", &[]).expected(&two), None);
        assert_eq!(Front::default().expected(&two), None);
        assert_eq!(front("random", &[]).expected(&[]), None);
        let backup = Front { backups: vec![Generator(9003)], ..front("round-robin", &[]) };
        assert_eq!(backup.expected(&members(&[true; 3])), Some(vec![0.5, 0.5, 0.0]));
        assert_eq!(backup.expected(&members(&[false, false, true])), Some(vec![0.0, 0.0, 1.0]));
    }
}
