//! The rule of stickiness: a client, or a key, stays with its backend while that is up.

use crate::algorithm::Algorithm;
use crate::facts::stickiness::{ENOUGH, Facts};
use crate::finding::{self, Finding, Level};
use crate::rules::case::{Case, Drill};

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
