//! From the evidence to a name: what fits, and what else is not excluded. What was not tried excludes nothing.

use super::Algorithm;
use super::evidence::{Evidence, Key, backends};
use super::inference::{AlgorithmRemark, Inference};
use super::load::LoadEffect;
use super::missing::{Missing, SkipReason};
use super::order::{OrderPattern, Recurrence, evenness, recurrence};
use super::result::{ExperimentFacts, OrderFacts, SPREADING, name};
use super::selection::{LoadSelection, Selection};
use crate::observation::Backend;

impl Evidence {
    /// Names the algorithm. `names` are those of the backends.
    pub fn infer(&self, names: &[String]) -> Inference {
        self.without_losses().infer_known(names)
    }

    fn infer_known(&self, names: &[String]) -> Inference {
        let mut inference = Inference {
            // Connections that are not kept are the same as requests.
            is_unit_known: !self
                .missing
                .iter()
                .any(|it| matches!(it, Missing::Connections(why) if *why != SkipReason::NotKept)),
            ..Inference::of(None, Selection::NoneKnown)
        };
        let fresh = self.order_of_fresh();
        match &fresh {
            OrderPattern::TooFew if self.fresh.is_empty() && self.sample.len() >= 6 => {
                self.infer_sample(names, &mut inference);
            }
            OrderPattern::TooFew if self.fresh.is_empty() && self.is_order_unwanted() => {
                inference.selection = Selection::NotExamined;
            }
            OrderPattern::TooFew if self.fresh.len() < 6 => inference.selection = Selection::TooFewResponses,
            OrderPattern::One(backend) if backend.is_known() => self.infer_all_to_one(*backend, names, &mut inference),
            OrderPattern::One(_) => inference.selection = Selection::NoBackendReached,
            OrderPattern::TooFew
            | OrderPattern::Turns { .. }
            | OrderPattern::Blocks(_)
            | OrderPattern::Even(_)
            | OrderPattern::Chance
            | OrderPattern::Unclear
            | OrderPattern::Clumped => self.infer_spread(&fresh, names, &mut inference),
        }
        self.contradict(&mut inference, names);
        let needs_key = |kind: &Algorithm| {
            matches!(kind, Algorithm::Header | Algorithm::Cookie | Algorithm::Body | Algorithm::Sticky)
        };
        inference.untried = self.untried().into_iter().filter(needs_key).collect();
        if !inference.kind.is_some_and(Algorithm::pins) {
            inference.untried.extend(&self.unnamed);
        }
        let kind = inference.kind;
        inference.or.retain(|other| Some(*other) != kind);
        inference.or.sort_by_key(|other| Algorithm::ALL.iter().position(|known| known == other));
        inference.or.dedup();
        if self.others > 0 && !self.is_undisturbed() {
            inference.note(ExperimentFacts::Others { requests: self.others });
        }
        self.missing.iter().for_each(|missing| inference.note(ExperimentFacts::NotMade { missing: *missing }));
        inference.reconcile();
        inference
    }

    fn is_order_unwanted(&self) -> bool {
        self.missing.contains(&Missing::Order { sent: 0, why: SkipReason::NotWanted })
    }

    /// In the order in which backends had them; bursts show in the order in which they were sent, for a machine that shares out its
    /// time in slices makes some where there are none.
    fn order_of_fresh(&self) -> OrderPattern {
        let order = OrderPattern::of(&backends(&self.fresh));
        let mut sent = self.fresh.clone();
        sent.sort_by_key(|pick| pick.sequence);
        if order != OrderPattern::Chance {
            return order;
        }
        match recurrence(&backends(&sent)) {
            None => OrderPattern::Chance,
            Some(Recurrence::AfterOthers) => OrderPattern::Unclear,
            Some(Recurrence::Bursts) => OrderPattern::Clumped,
        }
    }

    /// All fresh connections went to one backend: what does it key on?
    fn infer_all_to_one(&self, only: Backend, names: &[String], inference: &mut Inference) {
        let sole = OrderFacts::One { backend: name(names, only).to_owned() };
        let facts = ExperimentFacts::NewConnections { requests: self.fresh.len() as u64, order: sole };
        // The only backend gets all, whatever selects it.
        inference.exclude(facts, if self.backends == Some(1) { &[] } else { SPREADING });
        if !self.infer_key(inference) {
            self.infer_one(only, names, inference);
        }
    }

    /// Nothing that was varied decides. What never sent a second request while the first was in flight may still look at load.
    fn infer_one(&self, only: Backend, names: &[String], inference: &mut Inference) {
        if self.backends == Some(1) {
            inference.kind = Some(Algorithm::One);
            inference.selection = Selection::OnlyBackend;
            return;
        }
        if let Some(round) = self.round_of_each_connection() {
            let round = round.into_iter().map(|backend| name(names, backend).to_owned()).collect();
            inference.selection = Selection::ByPlaceOnConnection { round };
            inference.remark = Some(AlgorithmRemark::FirstOfConnections);
            inference.or = vec![Algorithm::RoundRobin, Algorithm::WeightedRoundRobin];
            return;
        }
        // Whoever is asked to take its time is asked so in the path: a hash of it looks like a choice by load.
        let is_path_known = self.has_tried(&[Key::Path]);
        let load = if is_path_known { self.load(names, inference) } else { LoadEffect::Unknown };
        if is_path_known && self.remembers() {
            return self.name_least_time(names, inference);
        }
        if let LoadEffect::Follows { side_by_side, .. } = load {
            inference.kind = Some(Algorithm::LeastConnections);
            inference.selection = Selection::ByLoad { how: LoadSelection::FirstAmongEquals };
            return self.consider_time(side_by_side, inference);
        }
        // What was not varied may still decide.
        if self.keys.iter().any(|(_, trial)| trial.spread() > 1) {
            inference.selection = Selection::AllToOneUntilVaried { backend: name(names, only).to_owned() };
            return;
        }
        inference.or = self.untried();
        if load == LoadEffect::Unknown {
            inference.or.extend([Algorithm::LeastConnections, Algorithm::LeastTime]);
        }
        if inference.or.is_empty() {
            inference.kind = Some(Algorithm::One);
            inference.selection = Selection::AllToOne;
        } else {
            inference.selection = Selection::AllToOneUntried { backend: name(names, only).to_owned() };
            inference.or.push(Algorithm::One);
        }
    }

    /// Without experiments the sample says what it can: many requests at once, in the order in which they were sent.
    fn infer_sample(&self, names: &[String], inference: &mut Inference) {
        let head = &self.sample[..self.sample.len().min(2_000)];
        let order = match (OrderPattern::of(head), evenness(head)) {
            // Requests that overtake each other hide a rotation in short blocks.
            (OrderPattern::Chance | OrderPattern::Unclear | OrderPattern::Clumped, OrderPattern::Even(ratio)) => {
                OrderPattern::Even(ratio)
            }
            (order, _) => order,
        };
        let facts = OrderFacts::of(&order, head, names);
        inference.note(ExperimentFacts::Sample { requests: head.len() as u64, order: facts });
        inference.or = Algorithm::ALL.to_vec();
        if let OrderPattern::Turns { .. } | OrderPattern::Blocks(_) | OrderPattern::Even(_) = order {
            // By load it would be even too.
            use Algorithm::{LeastConnections, LeastTime, RoundRobin, TwoChoices, WeightedRoundRobin};
            inference.or = vec![RoundRobin, WeightedRoundRobin, TwoChoices, LeastConnections, LeastTime];
        }
        inference.selection = Selection::NotExamined;
    }

    /// Backends in the order of the longest run of requests that there is: the sample, or what experiments sent for want of one.
    pub(super) fn long_sample(&self) -> Vec<Backend> {
        if self.sample.is_empty() { backends(&self.more) } else { self.sample.clone() }
    }

    /// Whether nothing but the balancer moved its rotations.
    pub(super) fn is_undisturbed(&self) -> bool {
        let reached = self.fresh.iter().chain(&self.kept).all(|pick| pick.backend.is_known());
        let is_alone = self.others * 100 <= self.fresh.len() as u64 && self.copied == 0;
        is_alone && self.failing.is_empty() && reached && self.lost == 0
    }
}
