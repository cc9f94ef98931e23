//! Rotations: their weights, and how many there are.

use super::Algorithm;
use super::evidence::{Evidence, backends};
use super::inference::{AlgorithmRemark, Inference};
use super::load::LoadEffect;
use super::order::{OrderPattern, greatest_common_divisor, unevenness};
use super::result::ExperimentFacts;
use super::selection::{LoadSelection, RoundOrder, Selection};
use crate::observation::Backend;

impl Evidence {
    pub(super) fn name_rotation(
        &self,
        weights: Vec<(Backend, u32)>,
        turns: Option<Vec<Backend>>,
        fresh: &OrderPattern,
        load: LoadEffect,
        inference: &mut Inference,
    ) {
        let (equal, may_be_weights) = are_equal(&weights);
        let rotation = if equal { Algorithm::RoundRobin } else { Algorithm::WeightedRoundRobin };
        (inference.turns, inference.weights) = (turns, reduce(weights));
        let of_all = || inference.weights.iter().map(|(_, weight)| *weight);
        let are_near = of_all().max().unwrap_or(0) <= of_all().min().unwrap_or(0) * 2;
        let is_left = !self.failing.is_empty() || self.lost > 0;
        if !equal && are_near && is_left && !matches!(load, LoadEffect::Follows { .. }) {
            // What is tried again after a failure takes a turn too, and so may what is dropped: then others are first less often.
            inference.or = vec![Algorithm::RoundRobin, Algorithm::WeightedRoundRobin];
            if load == LoadEffect::Unknown {
                inference.or.extend([Algorithm::LeastConnections, Algorithm::LeastTime]);
            }
            inference.selection = Selection::RotationWithFailures;
            return;
        }
        match load {
            LoadEffect::Follows { partly, side_by_side } => {
                let is_one = fresh.is_of_one_rotation();
                inference.kind = Some(Algorithm::LeastConnections);
                let how = if equal { LoadSelection::TurnsAmongEquals } else { LoadSelection::WeightedTurnsAmongEquals };
                inference.selection = Selection::ByLoad { how };
                // Each of several workers remembers its own times alone, which one slow response hardly shows.
                let is_open =
                    partly && side_by_side.is_none() && !is_one && self.leaves_rotations_afterwards() != Some(false);
                inference.or.extend(is_open.then_some(Algorithm::LeastTime));
                return self.consider_time(side_by_side, inference);
            }
            LoadEffect::Ignores => inference.kind = Some(rotation),
            LoadEffect::Unknown => {
                inference.kind = Some(rotation);
                inference.or = vec![Algorithm::LeastConnections, Algorithm::LeastTime];
            }
        }
        inference.or.extend(may_be_weights.then_some(Algorithm::WeightedRoundRobin));
        let order = match &inference.turns {
            None => RoundOrder::Changing,
            Some(turns) if !equal && is_smooth(turns, &inference.weights) => RoundOrder::Smooth,
            Some(_) => RoundOrder::Fixed,
        };
        let weights = if equal { Vec::new() } else { inference.weights.iter().map(|(_, weight)| *weight).collect() };
        inference.selection = Selection::Rotation { weights, order };
        self.count_rotations(fresh, inference);
    }

    fn count_rotations(&self, fresh: &OrderPattern, inference: &mut Inference) {
        let is_strict = match fresh {
            OrderPattern::Turns { exceptions, .. } => *exceptions == 0 && fresh.is_of_one_rotation(),
            OrderPattern::Blocks(_) => true,
            _ => false,
        };
        inference.rotations = match (self.rotations, is_strict) {
            (Some((_, rotations)), _) => Some(rotations as u32),
            (None, true) => Some(1),
            // Connections in sequence that rotate no more than those of others do, while requests on one do.
            (None, false) if self.is_undisturbed() && self.keeps_turns_on_one() && !fresh.is_of_one_rotation() => {
                Some(2)
            }
            (None, false) => None,
        };
        if let Some((connections, rotations)) = self.rotations {
            let (connections, rotations) = (connections as u64, rotations as u64);
            inference.note(ExperimentFacts::Rotations { connections, rotations });
        }
        if inference.rotations.is_some_and(|rotations| rotations > 1) {
            inference.remark = Some(AlgorithmRemark::SeveralRotations);
        }
    }

    /// Whether requests on one connection went round without an exception.
    fn keeps_turns_on_one(&self) -> bool {
        match OrderPattern::of(&backends(&self.kept)) {
            OrderPattern::Turns { exceptions, .. } => exceptions == 0,
            OrderPattern::Blocks(_) => true,
            _ => false,
        }
    }

    pub(super) fn name_rotations(&self, fresh: &OrderPattern, inference: &mut Inference) {
        use Algorithm::{RoundRobin, WeightedRoundRobin};
        let longest =
            [backends(&self.fresh), backends(&self.more), self.sample.clone()].into_iter().max_by_key(Vec::len);
        let (off, mean) = unevenness(&longest.unwrap_or_default());
        let (name, other) =
            if off > mean * 0.1 + 8.0 { (WeightedRoundRobin, RoundRobin) } else { (RoundRobin, WeightedRoundRobin) };
        inference.kind = Some(name);
        if !self.failing.is_empty() || (off > UNEVEN.min(mean * 0.02 + 8.0) && off < mean * 0.2 + 16.0) {
            inference.or.push(other);
        }
        // One whose weights are far apart shows no order in a few requests.
        let is_unordered = *fresh != OrderPattern::TooFew;
        let several = is_unordered && self.is_undisturbed() && !self.kept.is_empty();
        if several {
            inference.selection = Selection::SeveralRotations { algorithm: name };
            inference.rotations = Some(2);
            inference.remark = Some(AlgorithmRemark::SeveralWorkers);
        } else {
            inference.selection = name.into();
        }
    }
}

/// Rotations of equal weights are not further off than that.
pub(super) const UNEVEN: f64 = 32.0;

/// Whether backends have their turns equally often, and whether weights may be the reason all the same: those who are dead have turns that
/// nobody takes, and how many they are is not known.
fn are_equal(weights: &[(Backend, u32)]) -> (bool, bool) {
    let (known, nobody): (Vec<_>, Vec<_>) = weights.iter().partition(|(backend, _)| backend.is_known());
    let Some((_, turns)) = known.first() else { return (true, false) };
    let dead: u32 = nobody.iter().map(|(_, turns)| turns).sum();
    let equal = known.iter().all(|(_, weight)| weight == turns);
    // One that is dead has a turn as each other has; several may be one with a weight, and less than a turn is another's: a refusal, too.
    (equal, equal && dead > 0 && dead != *turns)
}

/// Weights without what divides all of them.
pub(super) fn reduce(mut weights: Vec<(Backend, u32)>) -> Vec<(Backend, u32)> {
    let divisor = weights.iter().fold(0, |divisor, (_, weight)| greatest_common_divisor(divisor, *weight));
    weights.iter_mut().for_each(|(_, weight)| *weight /= divisor.max(1));
    weights
}

/// Whether turns are those of smooth weighted round robin, wherever they begin: each round every backend gains its weight, and the one that has
/// most is picked and pays the sum (nginx, `ngx_http_upstream_get_peer`). Equal ones may stand in any order.
fn is_smooth(turns: &[Backend], weights: &[(Backend, u32)]) -> bool {
    let sum: i64 = weights.iter().map(|(_, weight)| i64::from(*weight)).sum();
    let from = |start: usize| {
        let mut credit: Vec<i64> = vec![0; weights.len()];
        turns.iter().cycle().skip(start).take(turns.len()).all(|turn| {
            credit.iter_mut().zip(weights).for_each(|(credit, (_, weight))| *credit += i64::from(*weight));
            let most = credit.iter().max().copied();
            let Some(place) = weights.iter().position(|(backend, _)| backend == turn) else { return false };
            let picked = Some(credit[place]) == most;
            credit[place] -= sum;
            picked
        })
    };
    (0..turns.len()).any(from)
}
