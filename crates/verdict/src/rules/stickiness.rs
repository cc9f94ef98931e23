//! PURE. The rule of stickiness: a client, or a key, stays with its backend while that is up.

use crate::algorithm::Algorithm;
use crate::numbers::{count_of, grouped};
use crate::report::{Finding, Level};
use crate::rules::{Case, Drill, finding};

/// How often a client left its backend. It is a rule where the algorithm pins, as it seems or as it should.
pub fn judge(case: &Case) -> Option<Finding> {
    let pins = |kind: Option<Algorithm>| kind.is_some_and(Algorithm::pins);
    if !case.varied || !(pins(case.inference.kind) || pins(case.expectations.algorithm)) {
        return None;
    }
    let pinned = &case.tally.pins;
    if pinned.left == 0 {
        // A client that forgets 1 time in 200 shows in 1,400 requests with a probability of 99.9 %.
        let outcome = match (pinned.later >= 1400, case.drill) {
            (true, _) => Level::Pass,
            (false, Drill::None) => Level::Inconclusive,
            // It is not what the sample was for.
            (false, Drill::Graceful | Drill::Rough) => Level::Note,
        };
        let (clients, later) = (count_of(pinned.clients, "client"), grouped(pinned.later));
        let mut found =
            finding("stickiness", outcome, format!("{clients} came back {later} times, always to the same backend"));
        if outcome == Level::Inconclusive {
            found.hint = Some("too few to say: 1,400 find one slip in 200 with a probability of 99.9 %".to_owned());
        }
        return Some(found);
    }
    let outcome = if case.drill == Drill::None { Level::Fail } else { Level::Note };
    let share = pinned.left as f64 / pinned.later.max(1) as f64 * 100.0;
    let times = count_of(pinned.left, "time");
    let later = grouped(pinned.later);
    let mut found = finding(
        "stickiness",
        outcome,
        format!("clients left their backend {times} in {later} requests ({share:.2} %)"),
    );
    found.evidence = case.told(&pinned.examples);
    found.hint = Some("while a backend is up, its clients must stay: look for a second cookie, several balancers without a shared secret, or health checks that flap".to_owned());
    Some(found)
}
