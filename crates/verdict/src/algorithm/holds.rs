//! What requests beside one that is held may be compared with: backends that were there before.

use super::evidence::{Evidence, Hold, Pick, backends};
use super::load::LEVEL;
use super::order::{OrderPattern, counts};
use crate::observation::Backend;
use crate::statistics::binomial_at_least;

impl Evidence {
    /// Where one was held at a backend that does not fail, and where the others went, but for backends that got hardly anything before: what
    /// joined since takes from all others, busy or not.
    pub(super) fn holds(&self) -> Vec<Hold> {
        let is_alive = |hold: &&Hold| hold.busy.iter().all(|busy| !self.failing.contains(busy));
        let holds: Vec<&Hold> = self.held_one.iter().filter(is_alive).collect();
        let joined = self.joined(&holds);
        let without = |hold: &Hold| {
            let is_old = |other: &&Pick| !joined.contains(&other.backend);
            Hold { busy: hold.busy.clone(), others: hold.others.iter().filter(is_old).copied().collect() }
        };
        holds.into_iter().map(without).filter(|hold| !hold.others.is_empty()).collect()
    }

    /// Backends that got more than twice as much beside what was held elsewhere as if busy ones had got nothing. Where all went to one before,
    /// others get something by load alone.
    fn joined(&self, holds: &[&Hold]) -> Vec<Backend> {
        if matches!(OrderPattern::of(&backends(&self.fresh)), OrderPattern::One(_)) {
            return Vec::new();
        }
        let share = |backend: Backend| {
            let (seen, total) = self.usual_of(backend);
            seen as f64 / total as f64
        };
        let reached: Vec<Backend> =
            holds.iter().flat_map(|hold| hold.others.iter().map(|other| other.backend)).collect();
        let has_joined = |backend: Backend| {
            let elsewhere = || holds.iter().filter(move |hold| !hold.busy.contains(&backend));
            let others: usize = elsewhere().map(|hold| hold.others.len()).sum();
            let there = elsewhere().flat_map(|hold| &hold.others).filter(|other| other.backend == backend).count();
            let most = |hold: &&&Hold| {
                let busy = hold.busy.first().map_or(0.0, |busy| share(*busy));
                (share(backend) / (1.0 - busy).max(share(backend)).max(f64::EPSILON)) * hold.others.len() as f64
            };
            let most = 2.0 * elsewhere().map(|hold| most(&hold)).sum::<f64>() / others.max(1) as f64;
            there > 0 && binomial_at_least(there as u64, others as u64, most.min(1.0)) < LEVEL
        };
        let known = counts(&reached).into_iter().map(|(backend, _)| backend).filter(|backend| backend.is_known());
        known.filter(|backend| has_joined(*backend)).collect()
    }
}
