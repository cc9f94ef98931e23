//! The rule of stickiness: a client, or a key, stays with its backend while that is up.

use serde::{Deserialize, Serialize};

use crate::algorithm::Algorithm;
use crate::finding::{self, Description, Finding, Level};
use crate::rules::{Case, Drill};

/// How often clients left their backends.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Facts {
    /// Clients that got a response.
    pub clients: u64,
    /// Requests that were sent after their client had got its first response.
    pub later: u64,
    /// Of those, the ones that went to another backend.
    pub left: u64,
}

pub(crate) const STICKINESS: Description = Description {
    requires: "a client stays with its backend, where the algorithm has affinity",
    sound: "by construction: the response to a later request of a client came from another backend",
    source: None,
};

/// A client that forgets 1 time in 200 shows in so many requests with a probability of 99.9 %.
pub const ENOUGH: u64 = 1400;

/// It is a rule where the algorithm has affinity, as it seems or as it should.
pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let pins = |kind: Option<Algorithm>| kind.is_some_and(Algorithm::pins);
    if !case.varied || !(pins(case.inference.kind) || pins(case.expectations.algorithm)) {
        return None;
    }
    let pinned = &case.tally.pins;
    let level = match (pinned.left, case.drill) {
        (0, _) if pinned.later >= ENOUGH => Level::Pass,
        (0, Drill::None) => Level::Inconclusive,
        // It is not what the sample was for.
        (0, Drill::Graceful | Drill::Rough) => Level::Note,
        (_, Drill::None) => Level::Fail,
        (_, Drill::Graceful | Drill::Rough) => Level::Note,
    };
    let facts = Facts { clients: pinned.clients, later: pinned.later, left: pinned.left };
    Some(Finding::new(level, finding::Facts::Stickiness(facts)).shown_by(case.witnesses(&pinned.examples)))
}
