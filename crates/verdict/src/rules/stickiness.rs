//! The rule of stickiness: a client, or a key, stays with its backend while that is up.

use crate::algorithm::Algorithm;
use crate::facts::stickiness::{ENOUGH, Facts};
use crate::finding::{self, Finding, Level};
use crate::report::Outage;
use crate::rules::case::{Case, Drill};

/// It is a rule where the algorithm has affinity, as it seems or as it should.
pub(crate) fn judge(case: &Case, outage: Option<&Outage>) -> Option<Finding> {
    let pins = |kind: Option<Algorithm>| kind.is_some_and(Algorithm::pins);
    if !case.varied || !(pins(case.inference.kind) || pins(case.expectations.algorithm)) {
        return None;
    }
    let pinned = &case.tally.pins;
    // A reload takes no backend away, so it excuses no move.
    let is_backend_away = outage.is_some_and(|outage| !outage.backends.is_empty()) || case.drill == Drill::Rough;
    let level = match (pinned.left, case.drill) {
        (0, _) if pinned.later >= ENOUGH => Level::Pass,
        (0, Drill::None) => Level::Inconclusive,
        (_, Drill::None) if pinned.left_alive == 0 && pinned.left_gone > 0 => Level::Inconclusive,
        // It is not what the sample was for.
        (0, Drill::Graceful | Drill::Rough) => Level::Note,
        // Those that left may have to: what is left of a hash without a backend is another one.
        (_, Drill::Graceful | Drill::Rough) if is_backend_away || pinned.left_alive == 0 || pinned.left_gone > 0 => {
            Level::Note
        }
        (_, Drill::None | Drill::Graceful | Drill::Rough) => Level::Fail,
    };
    let facts = Facts {
        clients: pinned.clients,
        later: pinned.later,
        left: pinned.left,
        left_alive: pinned.left_alive,
        left_gone: pinned.left_gone,
        is_backend_away,
    };
    Some(Finding::new(level, finding::Facts::Stickiness(facts)).shown_by(case.witnesses(&pinned.examples)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::rig::Rig;

    /// A hundred clients that come every 10 ms for 4 s; from the middle on their backend is that of `later`.
    fn rig(later: impl Fn(u16) -> u16) -> Rig {
        let mut rig = Rig::of(3, Some(Algorithm::Header));
        rig.varied = true;
        for round in 0..400u64 {
            for client in 0..100u16 {
                let own = client % 3;
                let backend = if round < 200 { own } else { later(own) };
                rig.send(u32::from(client), backend, round * 10_000 + u64::from(client) * 10);
            }
        }
        rig
    }

    fn finding(rig: &Rig) -> (Level, Facts) {
        let found = rig.judge(|case| judge(case, rig.outage.as_ref())).expect("it is judged");
        let finding::Facts::Stickiness(facts) = found.facts else { panic!("another rule") };
        (found.level, facts)
    }

    #[test]
    fn who_stays_passes_and_who_leaves_a_backend_that_is_there_fails() {
        assert_eq!(finding(&rig(|own| own)).0, Level::Pass);
        let (level, facts) = finding(&rig(|own| (own + 1) % 3));
        assert!(level == Level::Fail && facts.left_gone == 0 && facts.left_alive > facts.left / 2, "{facts:?}");
    }

    #[test]
    fn a_reload_excuses_no_move_and_a_backend_that_is_gone_does() {
        let mut reload = rig(|own| (own + 1) % 3);
        reload.drill = Drill::Graceful;
        assert_eq!(finding(&reload).0, Level::Fail);
        let mut gone = rig(|own| if own == 2 { 1 } else { own });
        gone.drill = Drill::Graceful;
        let (level, facts) = finding(&gone);
        assert!(level == Level::Note && facts.left_alive == 0 && facts.left_gone > 0, "{level:?} {facts:?}");
        gone.drill = Drill::None;
        assert_ne!(finding(&gone).0, Level::Fail);
    }

    #[test]
    fn a_client_whose_backend_fails_a_request_has_not_left_it() {
        let mut rig = rig(|own| own);
        rig.send(4, 2, 5_000_000);
        rig.after_failure_at(1);
        assert_eq!(finding(&rig).1.left, 0);
    }
}
