//! What the sample, which is under load, says against a name that requests in sequence gave.

use super::Algorithm;
use super::evidence::{Evidence, backends};
use super::inference::{AlgorithmRemark, Inference};
use super::load::LoadEffect;
use super::order::{OrderPattern, counts, exceptions};
use super::result::{ExperimentFacts, name};
use super::rotation::reduce;
use super::selection::Selection;
use crate::observation::Backend;

/// Rotations, all of which may begin at the same backend, that are granted.
const ROTATIONS: f64 = 64.0;
/// The sample is looked at in this number of parts.
const PARTS: usize = 10;
/// The logarithm of a probability that is no chance.
const UNLIKELY: f64 = -18.0;
/// Turns that are left so often are other turns: weights whose fractions add up leave them now and then.
const FEWEST_LEFT: usize = 3;

impl Evidence {
    /// A name that the sample refutes is none.
    pub(super) fn contradict(&self, inference: &mut Inference, names: &[String]) {
        self.doubt_rotation(inference, names);
        self.doubt_connections(inference, names);
        self.doubt_one_rotation(inference);
        let one_for_all = match inference.kind {
            Some(Algorithm::One) => true,
            Some(Algorithm::Source | Algorithm::Uri) => !inference.per_connection,
            Some(_) | None => false,
        };
        let sampled: Vec<(Backend, u32)> =
            counts(&self.sample).into_iter().filter(|(backend, _)| backend.is_known()).collect();
        if one_for_all && sampled.len() > 1 {
            inference.note(ExperimentFacts::SampleSpreads {
                backends: sampled.len() as u64,
                refuted: inference.selection.clone(),
            });
            (inference.kind, inference.key) = (None, None);
            if self.is_spread_throughout() {
                inference.selection = Selection::AllToOneUntilLoad;
                inference.remark = Some(AlgorithmRemark::FillsInOrder);
            } else {
                inference.selection = Selection::Changed;
            }
        }
        if inference.certain() == Some(Algorithm::WeightedRoundRobin) && self.sample_has_other_weights(inference) {
            inference.note(ExperimentFacts::SampleDiffers);
            inference.or.extend([Algorithm::LeastConnections, Algorithm::LeastTime]);
        }
    }

    /// A rotation that leaves out a backend which gets requests all the same is a part of the truth: a canary goes by a rule of its own.
    fn doubt_rotation(&self, inference: &mut Inference, names: &[String]) {
        let is_rotation = matches!(inference.kind, Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin));
        if !is_rotation || inference.weights.is_empty() {
            return;
        }
        let all = [backends(&self.fresh), backends(&self.kept), self.sample.clone()].concat();
        let is_outside = |backend: &Backend| {
            let takes_turns = inference.weights.iter().any(|(known, _)| known == backend);
            backend.is_known() && !takes_turns && !self.failing.contains(backend)
        };
        let outside: Vec<Backend> = counts(&all).into_iter().map(|(it, _)| it).filter(is_outside).collect();
        if outside.is_empty() {
            return;
        }
        let named = |backends: &mut dyn Iterator<Item = Backend>| -> Vec<String> {
            backends.map(|backend| name(names, backend).to_owned()).collect()
        };
        let turns = named(&mut inference.weights.iter().map(|(backend, _)| *backend));
        let others = named(&mut outside.iter().copied());
        let have_joined = have_joined(&all, &outside, &inference.weights);
        (inference.selection, inference.remark) = if have_joined {
            (Selection::RotationAtFirst { turns, others }, Some(AlgorithmRemark::Joined))
        } else {
            let beside = all.iter().filter(|backend| outside.contains(backend)).count();
            let share = beside as f64 / all.len() as f64;
            (Selection::RotationBesides { turns, others, share }, Some(AlgorithmRemark::Canary))
        };
        (inference.kind, inference.breaks, inference.rotations) = (None, None, None);
        inference.or.extend([Algorithm::RoundRobin, Algorithm::WeightedRoundRobin, Algorithm::Random]);
    }

    /// A rotation that some connections take no part in is a part of the truth: something else decides where these go.
    fn doubt_connections(&self, inference: &mut Inference, names: &[String]) {
        let is_rotation = matches!(inference.kind, Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin));
        let Some((kept, of, whose)) = self.kept_connections().filter(|_| is_rotation && !inference.per_connection)
        else {
            return;
        };
        inference.selection = Selection::RotationOfSome {
            kept: kept as u64,
            of: of as u64,
            backends: whose.into_iter().map(|backend| name(names, backend).to_owned()).collect(),
        };
        inference.remark = Some(AlgorithmRemark::KeptConnections);
        (inference.kind, inference.breaks, inference.rotations) = (None, None, None);
        inference.or.extend([Algorithm::RoundRobin, Algorithm::WeightedRoundRobin]);
    }

    /// One rotation has the same turns for new connections and on one: where both are strict and their weights differ, there are two.
    fn doubt_one_rotation(&self, inference: &mut Inference) {
        let is_rotation = matches!(inference.kind, Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin));
        if !is_rotation || inference.per_connection || !self.is_undisturbed() {
            return;
        }
        let [new, kept] = [backends(&self.fresh), backends(&self.kept)];
        let strict = |sequence: &[Backend]| match OrderPattern::of(sequence) {
            OrderPattern::Turns { period, exceptions: 0 } => Some(period),
            _ => None,
        };
        let Some((of_new, of_kept)) = strict(&new).zip(strict(&kept)) else { return };
        let weights = |period: &[Backend]| reduce(counts(period));
        let leaves = |sequence: &[Backend], period: &[Backend]| exceptions(sequence, period).len() >= FEWEST_LEFT;
        if weights(&of_new) == weights(&of_kept) || !leaves(&new, &of_kept) || !leaves(&kept, &of_new) {
            return;
        }
        let listed = |period: &[Backend]| weights(period).into_iter().map(|(_, weight)| weight).collect();
        inference.selection = Selection::RotationsByConnection { new: listed(&of_new), kept: listed(&of_kept) };
        inference.remark = Some(AlgorithmRemark::KeptConnections);
        (inference.kind, inference.turns, inference.breaks, inference.rotations) = (None, None, None, None);
        inference.weights.clear();
        inference.or.extend([Algorithm::RoundRobin, Algorithm::WeightedRoundRobin]);
    }

    /// Whether several backends get requests from the beginning of the sample to its end: then nothing changed meanwhile, or just before.
    fn is_spread_throughout(&self) -> bool {
        let parts: Vec<&[Backend]> = self.sample.chunks((self.sample.len() / PARTS).max(1)).take(PARTS).collect();
        let is_spread = |part: &&[Backend]| counts(part).iter().filter(|(backend, _)| backend.is_known()).count() > 1;
        self.sample.len() >= PARTS * 10 && parts.iter().filter(|part| is_spread(part)).count() + 1 >= PARTS
    }

    /// Least request with weights (Envoy) rotates by them as long as requests come one by one.
    fn sample_has_other_weights(&self, inference: &Inference) -> bool {
        let sum: u32 = inference.weights.iter().map(|(_, weight)| weight).sum();
        let sampled = counts(&self.sample);
        let total: u32 = sampled.iter().map(|(_, count)| count).sum();
        inference.weights.iter().any(|(backend, weight)| {
            let got = sampled.iter().find(|(it, _)| it == backend).map_or(0, |(_, count)| *count);
            let expected = f64::from(*weight) / f64::from(sum.max(1)) * f64::from(total);
            total > 0 && (f64::from(got) - expected).abs() > ROTATIONS * f64::from(*weight)
        })
    }

    /// What requests side by side leave open: where backends take a limited number at a time, the next request goes to whoever is free, in turn, whatever selects.
    pub(super) fn widen(&self, load: LoadEffect, inference: &mut Inference) {
        use Algorithm::{LeastConnections, LeastTime, RoundRobin, WeightedRoundRobin};
        match (inference.kind, load) {
            // One after the other nothing waits for a place.
            (Some(RoundRobin | WeightedRoundRobin), LoadEffect::Unknown) if self.in_turn => {
                inference.or.extend([LeastConnections, LeastTime]);
            }
            (Some(RoundRobin | WeightedRoundRobin), LoadEffect::Unknown) => {
                inference.or.extend(Algorithm::ALL.into_iter().filter(|open| *open != Algorithm::One));
            }
            // What has weights and looks at load may be as regular where requests come at even intervals.
            (Some(WeightedRoundRobin), _) if inference.turns.is_none() || inference.exceptions > 0 => {
                inference.or.push(LeastConnections);
            }
            _ => {}
        }
    }

    /// A hash that sends requests elsewhere while their backend is busy.
    pub(super) fn find_bound(&self, inference: &mut Inference) {
        inference.bound = self.bound();
        if let Some((strayed, sent)) = inference.bound {
            inference.note(ExperimentFacts::BusyKey { requests: sent as u64, elsewhere: strayed as u64 });
        }
    }
}

/// Whether backends that have no turn of this rotation got requests from some time on alone, and then nearly as many as those that have:
/// they are no exception to it.
fn have_joined(sequence: &[Backend], outside: &[Backend], turns: &[(Backend, u32)]) -> bool {
    let is_outside = |backend: &&Backend| outside.contains(backend);
    let Some(first) = sequence.iter().position(|backend| outside.contains(backend)) else { return false };
    let later = &sequence[first..];
    let share = later.iter().filter(is_outside).count() as f64 / later.len() as f64;
    let rarest = turns.iter().map(|(turn, _)| later.iter().filter(|it| *it == turn).count()).min().unwrap_or(0);
    let as_many = share * 2.0 * later.len() as f64 >= (rarest * outside.len()) as f64;
    // Draws of that share would hardly ever have left them out until then.
    as_many && (1.0 - share).ln() * (first as f64) < UNLIKELY
}
