//! Names for a balancer whose new connections go to several backends.

use super::Algorithm;
use super::evidence::{Evidence, backends};
use super::inference::{AlgorithmRemark, Inference};
use super::load::{LONG_SAMPLE, LoadEffect};
use super::order::{OrderPattern, are_in_a_row, counts, evenness, is_clumped, is_too_even, loose_rotation};
use super::result::{BY_WHAT_IS_ALIKE, ExperimentFacts, OrderFacts};
use super::rotation::reduce;
use super::selection::Selection;
use crate::observation::Backend;

/// Whether the turns of an order have exceptions, and those of a strict one are fewer and give backends other shares. More of them repeat where
/// a turn is skipped at even intervals.
fn nearly_has_other_turns(order: &OrderPattern, strict: &OrderPattern) -> bool {
    use OrderPattern::Turns;
    match (order, strict) {
        (Turns { period, exceptions: 1.. }, Turns { period: other, exceptions: 0 }) => {
            other.len() < period.len() && reduce(counts(period)) != reduce(counts(other))
        }
        _ => false,
    }
}

impl Evidence {
    /// Fresh connections went to several backends.
    pub(super) fn infer_spread(&self, fresh: &OrderPattern, names: &[String], inference: &mut Inference) {
        let kept = self.order_of_kept();
        self.describe_orders(fresh, &kept, names, inference);
        let cookie = self.sticky(inference);
        if cookie.is_none() {
            self.find_unit(inference);
        }
        if self.name_by_value(cookie, inference) {
            return;
        }
        // What new connections nearly repeat is several rotations, where those on one connection are strict and have other weights.
        let fresh = if !inference.per_connection && nearly_has_other_turns(fresh, &kept) {
            &OrderPattern::Unclear
        } else {
            fresh
        };
        let mixed = OrderPattern::of(&self.mixed.iter().map(|flight| flight.pick.backend).collect::<Vec<Backend>>());
        let ordered = if inference.per_connection { fresh } else { &kept };
        let rotation = [fresh, ordered, &mixed].into_iter().find(|order| order.is_of_one_rotation());
        let load = self.load(names, inference);
        if self.remembers() {
            return self.name_least_time(names, inference);
        }
        // Where a backend may have been full its clients had to go elsewhere.
        let may_have_strayed = self.jar.is_some() && load == LoadEffect::Unknown;
        match rotation {
            Some(OrderPattern::Turns { period, exceptions }) => {
                inference.exceptions = *exceptions;
                self.name_rotation(counts(period), Some(period.clone()), fresh, load, inference);
                if fresh.is_of_one_rotation() {
                    self.look_for_breaks(fresh, inference);
                } else if load == LoadEffect::Ignores && !inference.per_connection {
                    self.look_for_breaks_on_one(period, inference);
                }
            }
            Some(OrderPattern::Blocks(weights)) => self.name_rotation(weights.clone(), None, fresh, load, inference),
            _ => self.name_without_rotation(fresh, ordered, load, inference),
        }
        self.doubt(load, inference);
        inference.or.extend(may_have_strayed.then_some([Algorithm::Sticky, Algorithm::Cookie]).into_iter().flatten());
        inference.or.extend(self.untried().into_iter().filter(|open| match open {
            // Requests that have both alike were spread.
            Algorithm::Source | Algorithm::Uri => false,
            // Requests without any follow a rule of their own.
            Algorithm::Header | Algorithm::Cookie | Algorithm::Body => {
                rotation.is_none() && !matches!(load, LoadEffect::Follows { .. })
            }
            _ => true,
        }));
        if inference.per_connection {
            inference.selection = Selection::OfConnections { each: Box::new(inference.selection.clone()) };
        }
    }

    /// On one connection nobody else has a part in the order: a rotation shows there however often it is left. Of many workers each may look at
    /// load alone, and leaves its turns where a request of its own lingers: then it need not be one.
    fn order_of_kept(&self) -> OrderPattern {
        let sequence = backends(&self.kept);
        let order = OrderPattern::of(&sequence);
        use OrderPattern::{Chance, Even, TooFew, Unclear};
        let is_open = matches!(order, Even(_) | Chance | Unclear | TooFew);
        if !is_open || !self.is_undisturbed() || self.may_count_apart() {
            return order;
        }
        loose_rotation(&sequence).unwrap_or(order)
    }

    fn describe_orders(&self, fresh: &OrderPattern, kept: &OrderPattern, names: &[String], inference: &mut Inference) {
        let sequence = backends(&self.fresh);
        let (requests, order) = (sequence.len() as u64, OrderFacts::of(fresh, &sequence, names));
        let is_spread = *fresh != OrderPattern::TooFew;
        let excludes = if is_spread { BY_WHAT_IS_ALIKE } else { &[] };
        inference.exclude(ExperimentFacts::NewConnections { requests, order }, excludes);
        if !self.kept.is_empty() {
            let sequence = backends(&self.kept);
            let (requests, order) = (sequence.len() as u64, OrderFacts::of(kept, &sequence, names));
            inference.note(ExperimentFacts::OneConnection { requests, order });
        }
    }

    /// What no single rotation gave.
    fn name_without_rotation(
        &self,
        fresh: &OrderPattern,
        ordered: &OrderPattern,
        load: LoadEffect,
        inference: &mut Inference,
    ) {
        let on_one = matches!(ordered, OrderPattern::Turns { .. });
        let period = match fresh {
            // Long ones do not repeat on the one connection, which is short.
            OrderPattern::Turns { period, .. } if on_one || are_in_a_row(period) => period,
            _ => return self.name_unordered(fresh, &evenness(&self.long_sample()), load, inference),
        };
        inference.turns = Some(period.clone());
        // What several rotations give may repeat too, but then each of them is seen on its own connection.
        if let (Some(rotations), Some(_)) = (fresh.interleaved(), ordered.interleaved()) {
            // A balancer before others that rotate; one that gives each backend several in a row looks the same.
            inference.selection =
                Selection::FixedOrder { length: period.len() as u64, rotations: Some(rotations as u32) };
            inference.or = vec![Algorithm::RoundRobin, Algorithm::WeightedRoundRobin];
        } else {
            inference.selection = Selection::FixedOrder { length: period.len() as u64, rotations: None };
            // Weights, each backend's turns in a row: only they would give that.
            inference.or = vec![Algorithm::WeightedRoundRobin];
            if is_clumped(&backends(&self.fresh)) {
                let is_surely_one = on_one || is_clumped(&backends(&self.kept));
                inference.excludes_others = is_surely_one && self.is_undisturbed() && self.failing.is_empty();
                return;
            }
            // As a ring has its points: HAProxy goes through those of a consistent hash for requests that lack its key.
            inference.or.extend([Algorithm::Header, Algorithm::Cookie, Algorithm::Uri, Algorithm::Body]);
            inference.remark = Some(AlgorithmRemark::Ring);
        }
    }

    /// Adds what also fits, because of what was not tried or what disturbed.
    fn doubt(&self, load: LoadEffect, inference: &mut Inference) {
        if self.kept.is_empty() {
            self.widen(load, inference);
        }
        if inference.kind == Some(Algorithm::WeightedRoundRobin) && !self.is_undisturbed() {
            // Requests beside those that are held change what a balancer with weights sees of load.
            inference.or.push(Algorithm::LeastConnections);
        }
        if inference.kind == Some(Algorithm::Random) && is_too_even(&self.long_sample()) {
            // What draws is uneven on the whole, if a little: what overtakes on its way looks like draws.
            (inference.kind, inference.selection) = (None, Selection::LikeChanceButEvenOnTheWhole);
            inference.or.extend([Algorithm::Random, Algorithm::RoundRobin]);
        }
    }

    fn name_unordered(&self, fresh: &OrderPattern, sample: &OrderPattern, load: LoadEffect, inference: &mut Inference) {
        use Algorithm::{LeastConnections, LeastTime, Random, RoundRobin, TwoChoices};
        if !(self.sample.is_empty() && self.more.is_empty()) {
            let requests = self.sample.len().max(self.more.len()) as u64;
            inference.note(ExperimentFacts::Blocks { requests, order: OrderFacts::of(sample, &[], &[]) });
        }
        // One after the other with nothing in flight, load says nothing: even is a rotation. Side by side load evens out too.
        let is_serial = !self.kept.is_empty();
        // Long turns of one backend after the other repeat too, and are even on the whole: rotations they are not.
        // What reaches nobody for a while is no burst.
        let shows_bursts = is_serial && self.fresh.iter().all(|pick| pick.backend.is_known());
        let in_bursts = shows_bursts && is_clumped(&backends(&self.fresh));
        let in_turns = matches!(fresh, OrderPattern::Even(_) | OrderPattern::Turns { .. }) && !in_bursts;
        let even_in_series = is_serial && in_turns;
        let even = in_turns || matches!(sample, OrderPattern::Even(_)) && !in_bursts;
        // Under load a machine that shares out its time in slices can make chance look clumped, never more even.
        let chance = matches!(fresh, OrderPattern::Chance)
            && matches!(
                sample,
                OrderPattern::Chance | OrderPattern::Clumped | OrderPattern::Unclear | OrderPattern::TooFew
            );
        // What is held meets bursts, not draws: only where those that wait are drawn by lot that does not matter.
        let meets_bursts = *fresh == OrderPattern::Clumped || in_bursts && load == LoadEffect::Ignores;
        let load = if meets_bursts && self.mixed.is_empty() { LoadEffect::Unknown } else { load };
        match load {
            LoadEffect::Follows { side_by_side: Some(seen), .. } => self.name_by_flights(fresh, &seen, inference),
            LoadEffect::Follows { partly, side_by_side: None } => self.name_by_holds(partly, even_in_series, inference),
            LoadEffect::Ignores | LoadEffect::Unknown if !even && !chance => {
                inference.or =
                    vec![RoundRobin, Algorithm::WeightedRoundRobin, Random, TwoChoices, LeastConnections, LeastTime];
                if load == LoadEffect::Ignores {
                    inference.or.retain(|algorithm| !algorithm.follows_load());
                }
                // Side by side a starved machine makes bursts too.
                let is_burst = in_bursts || shows_bursts && *fresh == OrderPattern::Clumped;
                inference.selection = if is_burst { Selection::Bursts } else { Selection::NoOrder };
                // One after the other on one connection, and in bursts too: neither a rotation nor a draw gives that.
                if is_burst && self.is_undisturbed() && is_clumped(&backends(&self.kept)) {
                    inference.or.retain(|algorithm| algorithm.follows_load());
                    inference.excludes_others = true;
                }
            }
            LoadEffect::Ignores | LoadEffect::Unknown if even && self.is_drawn(fresh) => {
                inference.or = vec![TwoChoices, LeastConnections, LeastTime, Random, RoundRobin];
                inference.selection = Selection::LikeChanceButEvenSideBySide;
            }
            // Side by side nothing tells the rotations of many workers from what each of them has in flight.
            LoadEffect::Ignores if even && (is_serial || self.keeps_pace() || !self.may_count_apart()) => {
                self.name_rotations(fresh, inference);
            }
            LoadEffect::Unknown if even_in_series => {
                self.name_rotations(fresh, inference);
                inference.or.extend([LeastConnections, LeastTime]);
            }
            LoadEffect::Ignores | LoadEffect::Unknown if even => {
                inference.or = vec![RoundRobin, Algorithm::WeightedRoundRobin, LeastConnections, TwoChoices, LeastTime];
                inference.selection = Selection::MoreEvenThanChance;
            }
            LoadEffect::Ignores | LoadEffect::Unknown if self.copied > 0 => {
                inference.or = vec![Random, RoundRobin, Algorithm::WeightedRoundRobin];
                inference.or.extend([TwoChoices, LeastConnections].into_iter().filter(|_| load == LoadEffect::Unknown));
                inference.selection = Selection::LikeChanceWithCopies;
            }
            LoadEffect::Ignores | LoadEffect::Unknown => self.name_chance(sample, load, inference),
        }
    }

    /// Draws, and what looks like them.
    fn name_chance(&self, sample: &OrderPattern, load: LoadEffect, inference: &mut Inference) {
        use Algorithm::{LeastConnections, LeastTime, RoundRobin, TwoChoices};
        inference.set(Algorithm::Random);
        let is_serial = !self.kept.is_empty();
        // Others' requests, and rounds that leave out a failing backend, make rotations look like chance.
        // So does a starved machine where requests go side by side, until a long sample shows that they are not even.
        let is_short = !is_serial && self.sample.len() < 2_000;
        if matches!(sample, OrderPattern::TooFew | OrderPattern::Unclear) || !self.is_undisturbed() || is_short {
            inference.or.extend([RoundRobin, Algorithm::WeightedRoundRobin]);
        }
        if load == LoadEffect::Unknown {
            inference.or.extend([TwoChoices, LeastConnections]);
        }
        // What looks at load in workers that know of their own requests alone looks like draws, until a long sample is too even for that.
        let is_sample_long = self.sample.len() >= LONG_SAMPLE;
        let is_known_in_sequence = self.sample.is_empty() && !self.more.is_empty();
        if !is_sample_long && !is_known_in_sequence && !inference.per_connection {
            inference.or.extend([TwoChoices, LeastConnections]);
        }
        // What was fast lately gets more, and who that is changes as if by chance.
        let is_surely_drawn = is_serial || is_sample_long && *sample == OrderPattern::Chance;
        inference.or.extend((!self.forgets() || !is_surely_drawn).then_some(LeastTime));
    }

    /// Whether requests in sequence are drawn, on one connection too: what rotates in workers shows there.
    fn is_drawn(&self, fresh: &OrderPattern) -> bool {
        let rotates =
            |order| matches!(order, OrderPattern::Turns { .. } | OrderPattern::Blocks(_) | OrderPattern::Even(_));
        *fresh == OrderPattern::Chance && !self.kept.is_empty() && !rotates(OrderPattern::of(&backends(&self.kept)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_with_exceptions_and_strict_ones_differ_by_the_shares_that_they_give() {
        let turns = |period: &[u16], exceptions| OrderPattern::Turns {
            period: period.iter().copied().map(Backend).collect(),
            exceptions,
        };
        assert!(nearly_has_other_turns(&turns(&[0, 1, 2, 1, 2], 5), &turns(&[0, 1, 2], 0)));
        assert!(!nearly_has_other_turns(&turns(&[0, 1, 2, 1, 2], 5), &turns(&[0, 1, 2], 1)));
        assert!(!nearly_has_other_turns(&turns(&[0, 1, 2, 0, 2, 1], 5), &turns(&[0, 1, 2], 0)));
        assert!(!nearly_has_other_turns(&turns(&[0, 1, 2], 1), &turns(&[0, 1, 2, 0, 1], 0)));
    }
}
