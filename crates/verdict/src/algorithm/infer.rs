//! From the evidence to a name: what fits, what else is not excluded, and what was seen. What was not tried excludes nothing.

use super::Algorithm;
use super::evidence::{Evidence, Key, Missing, SkipReason, backends};
use super::inference::{Inference, RotationBreaks};
use super::load::LoadEffect;
use super::order::{
    OrderPattern, counts, evenness, exceptions, greatest_common_divisor, is_clumped, is_too_even, regular, unevenness,
};
use super::words::{describe, describe_missing, describe_trial, name, pattern, singular};
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
            ..Inference::of(None, "none that is known here")
        };
        let fresh = self.order_of_fresh();
        match &fresh {
            OrderPattern::TooFew if self.fresh.is_empty() && self.sample.len() >= 6 => {
                self.infer_sample(names, &mut inference);
            }
            OrderPattern::TooFew if self.fresh.len() < 6 => "too few responses to say".clone_into(&mut inference.label),
            OrderPattern::One(backend) if backend.is_known() => self.infer_key(*backend, names, &mut inference),
            OrderPattern::One(_) => "no backend was reached by the experiments".clone_into(&mut inference.label),
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
        let kind = inference.kind;
        inference.or.retain(|other| Some(*other) != kind);
        inference.or.sort_by_key(|other| Algorithm::ALL.iter().position(|known| known == other));
        inference.or.dedup();
        if self.others > 0 && !self.is_undisturbed() {
            inference.evidence.push(format!(
                "{} requests of others during the experiments: the order says nothing of how many rotations there are",
                self.others
            ));
        }
        inference.evidence.extend(describe_missing(&self.missing));
        inference
    }

    /// In the order in which backends had them; bursts show in the order in which they were sent, for a machine that shares out its
    /// time in slices makes some where there are none.
    fn order_of_fresh(&self) -> OrderPattern {
        let order = OrderPattern::of(&backends(&self.fresh));
        let mut sent = self.fresh.clone();
        sent.sort_by_key(|pick| pick.sequence);
        if order == OrderPattern::Chance && is_clumped(&backends(&sent)) { OrderPattern::Clumped } else { order }
    }

    /// Where a rotation was left for no reason that shows.
    fn breaks(&self, period: &[Backend]) -> Option<RotationBreaks> {
        if self.kept.is_empty() || self.others > 0 || !self.is_undisturbed() || !self.failing.is_empty() {
            return None;
        }
        let left = exceptions(&backends(&self.fresh), period);
        // New connections may reach another worker now and then, with a rotation of its own; one connection does not.
        let kept = backends(&self.kept);
        let OrderPattern::Turns { period, .. } = OrderPattern::of(&kept) else { return None };
        let every = regular(&left);
        // What is left every hundred requests is left once or twice in those of one connection.
        if left.len() < 3 || exceptions(&kept, &period).len() < if every.is_some() { 1 } else { 2 } {
            return None;
        }
        let at = left.iter().filter_map(|place| Some(self.fresh.get(*place)?.sequence)).collect();
        Some(RotationBreaks { requests: self.fresh.len(), at, every })
    }

    /// All fresh connections went to one backend: what does it key on?
    fn infer_key(&self, only: Backend, names: &[String], inference: &mut Inference) {
        let tried = self.fresh.len();
        inference.evidence.push(format!("{tried} new connections: all to {}", name(names, only)));
        self.describe_keys(inference);
        match self.key() {
            Some((kind, label, key)) => {
                (inference.kind, inference.label, inference.key) = (Some(kind), label, Some(key));
                self.find_bound(inference);
            }
            None => self.infer_one(only, names, inference),
        }
    }

    /// Nothing that was varied decides. What never sent a second request while the first was in flight may still look at load.
    fn infer_one(&self, only: Backend, names: &[String], inference: &mut Inference) {
        if self.backends == Some(1) {
            inference.kind = Some(Algorithm::One);
            "all to the only active backend".clone_into(&mut inference.label);
            return;
        }
        // Whoever is asked to take its time is asked so in the path: a hash of it looks like a choice by load.
        let is_path_known = self.has_tried(&[Key::Path]);
        let load = if is_path_known { self.load(names, inference) } else { LoadEffect::Unknown };
        if is_path_known && self.remembers() {
            return self.name_least_time(names, inference);
        }
        if matches!(load, LoadEffect::Follows { .. }) {
            inference.kind = Some(Algorithm::LeastConnections);
            "least connections, the first among equals".clone_into(&mut inference.label);
            return self.consider_time(inference);
        }
        // What was not varied may still decide.
        if self.keys.iter().any(|(_, trial)| trial.spread() > 1) {
            inference.label = format!("not known: all to {}, until what was varied reaches several", name(names, only));
            return;
        }
        inference.or = self.untried();
        if load == LoadEffect::Unknown {
            inference.or.extend([Algorithm::LeastConnections, Algorithm::LeastTime]);
        }
        if inference.or.is_empty() {
            inference.kind = Some(Algorithm::One);
            "all to one, whatever was varied".clone_into(&mut inference.label);
        } else {
            inference.label = format!("not known: all to {}, and not all was tried", name(names, only));
            inference.or.push(Algorithm::One);
        }
    }

    fn describe_keys(&self, inference: &mut Inference) {
        for (key, trial) in &self.keys {
            let times = trial.rows.iter().map(Vec::len).max().unwrap_or(0);
            inference.evidence.push(format!(
                "{} {key}, {times} requests each: {}",
                trial.rows.len(),
                describe_trial(trial)
            ));
        }
    }

    /// What decides, all else alike.
    fn key(&self) -> Option<(Algorithm, String, Key)> {
        let decides = |wanted: &dyn Fn(&Key) -> bool| {
            self.keys.iter().find(|(key, trial)| wanted(key) && trial.decides()).map(|(key, _)| key.clone())
        };
        let network = decides(&|key| *key == Key::Network);
        let host = decides(&|key| *key == Key::Host);
        let others: [fn(&Key) -> Option<Algorithm>; 4] = [
            |key| matches!(key, Key::Path | Key::Query).then_some(Algorithm::Uri),
            |key| (*key == Key::Body).then_some(Algorithm::Body),
            |key| matches!(key, Key::Header(_)).then_some(Algorithm::Header),
            |key| matches!(key, Key::Cookie(_)).then_some(Algorithm::Cookie),
        ];
        match (network, host) {
            (Some(key), None) => {
                let label = "by source address, of which the last number does not count (ip_hash does so)";
                Some((Algorithm::Source, label.to_owned(), key))
            }
            (Some(key), Some(_)) | (None, Some(key)) => Some((Algorithm::Source, "by source address".to_owned(), key)),
            (None, None) => others.iter().find_map(|kind_of| {
                let key = decides(&|key| kind_of(key).is_some())?;
                let kind = kind_of(&key)?;
                Some((kind, format!("by {}", singular(&key)), key))
            }),
        }
    }

    /// Without experiments the sample says what it can: many requests at once, in the order in which they were sent.
    fn infer_sample(&self, names: &[String], inference: &mut Inference) {
        let head = &self.sample[..self.sample.len().min(2_000)];
        let order = OrderPattern::of(head);
        inference.evidence.push(format!("{} requests of the sample: {}", head.len(), describe(&order, head, names)));
        inference.or = Algorithm::ALL.to_vec();
        if let OrderPattern::Turns { .. } | OrderPattern::Blocks(_) | OrderPattern::Even(_) = order {
            // By load it would be even too.
            use Algorithm::{LeastConnections, LeastTime, RoundRobin, TwoChoices, WeightedRoundRobin};
            inference.or = vec![RoundRobin, WeightedRoundRobin, TwoChoices, LeastConnections, LeastTime];
        }
        "not known without experiments".clone_into(&mut inference.label);
    }

    /// Fresh connections went to several backends.
    fn infer_spread(&self, fresh: &OrderPattern, names: &[String], inference: &mut Inference) {
        let kept = OrderPattern::of(&backends(&self.kept));
        self.describe_orders(fresh, &kept, names, inference);
        let cookie = self.sticky(inference);
        if cookie.is_none() {
            self.find_unit(inference);
        }
        if self.name_by_value(cookie, inference) {
            return;
        }
        let mixed = OrderPattern::of(&self.mixed.iter().map(|flight| flight.pick.backend).collect::<Vec<Backend>>());
        let ordered = if inference.per_connection { fresh } else { &kept };
        let rotation = [fresh, ordered, &mixed].into_iter().find(|order| order.is_of_one_rotation());
        let load = self.load(names, inference);
        if self.remembers() {
            return self.name_least_time(names, inference);
        }
        match rotation {
            Some(OrderPattern::Turns { period, exceptions }) => {
                inference.exceptions = *exceptions;
                self.name_rotation(counts(period), Some(period.clone()), fresh, load, inference);
                self.look_for_breaks(fresh, inference);
            }
            Some(OrderPattern::Blocks(weights)) => self.name_rotation(weights.clone(), None, fresh, load, inference),
            _ => self.name_without_rotation(fresh, ordered, load, inference),
        }
        self.doubt(load, inference);
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
            inference.label = format!("{}, of connections (layer 4, or kept to one backend)", inference.label);
        }
    }

    fn describe_orders(&self, fresh: &OrderPattern, kept: &OrderPattern, names: &[String], inference: &mut Inference) {
        let sequence = backends(&self.fresh);
        inference.evidence.push(format!(
            "{} new connections in sequence: {}",
            sequence.len(),
            describe(fresh, &sequence, names)
        ));
        if !self.kept.is_empty() {
            let sequence = backends(&self.kept);
            inference.evidence.push(format!(
                "{} requests on one connection: {}",
                sequence.len(),
                describe(kept, &sequence, names)
            ));
        }
    }

    /// Whether connections are balanced, not requests.
    fn find_unit(&self, inference: &mut Inference) {
        let unit = &self.connections;
        if inference.is_unit_known && unit.decides() {
            inference.per_connection = true;
            inference.evidence.push(format!(
                "{} connections, {} requests each: all of a connection went to one backend, so connections are balanced, not requests",
                unit.rows.len(),
                unit.rows.iter().map(Vec::len).max().unwrap_or(0)
            ));
        }
    }

    /// Whether a value of requests selects: a cookie that the client was given, or one that only some requests have, which leaves the
    /// others spread.
    fn name_by_value(&self, cookie: Option<(Algorithm, String)>, inference: &mut Inference) -> bool {
        let is_sticky = matches!(cookie, Some((Algorithm::Sticky, _)));
        let of_some = |(kind, ..): &(Algorithm, String, Key)| !matches!(kind, Algorithm::Source | Algorithm::Uri);
        if let Some((kind, label, key)) = self.key().filter(of_some).filter(|_| !is_sticky) {
            self.describe_keys(inference);
            let label = format!("{label}; requests without it are spread");
            (inference.kind, inference.label, inference.key) = (Some(kind), label, Some(key));
            self.find_bound(inference);
            return true;
        }
        let Some((kind, label)) = cookie else { return false };
        (inference.kind, inference.label) = (Some(kind), label);
        true
    }

    /// What no single rotation gave.
    fn name_without_rotation(
        &self,
        fresh: &OrderPattern,
        ordered: &OrderPattern,
        load: LoadEffect,
        inference: &mut Inference,
    ) {
        let (OrderPattern::Turns { period, .. }, OrderPattern::Turns { .. }) = (fresh, ordered) else {
            return self.name_unordered(fresh, &evenness(&self.long_sample()), load, inference);
        };
        inference.turns = Some(period.clone());
        // What several rotations give may repeat too, but then each of them is seen on its own connection.
        if let (Some(rotations), Some(_)) = (fresh.interleaved(), ordered.interleaved()) {
            // A balancer before others that rotate; one that gives each backend several in a row looks the same.
            inference.label = format!("a fixed order of {}, as {rotations} rotations in turn give", period.len());
            inference.or = vec![Algorithm::RoundRobin, Algorithm::WeightedRoundRobin];
        } else {
            inference.label = format!("a fixed order of {} that is no rotation", period.len());
            // Weights, each backend's turns in a row: only they would give that.
            inference.or = vec![Algorithm::WeightedRoundRobin];
            if is_clumped(&backends(&self.fresh)) {
                inference.excludes_others = self.is_undisturbed() && self.failing.is_empty();
                return;
            }
            // As a ring has its points: HAProxy goes through those of a consistent hash for requests that lack its key.
            inference.or.extend([Algorithm::Header, Algorithm::Cookie, Algorithm::Uri, Algorithm::Body]);
            let hint = "HAProxy with hash-type consistent selects so for requests without the key: name it with --key-header or --key-cookie";
            inference.hint = Some(hint.to_owned());
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
            (inference.kind, inference.label) = (None, "like chance, and more even on the whole".to_owned());
            inference.or.extend([Algorithm::Random, Algorithm::RoundRobin]);
        }
    }

    /// Backends in the order of the longest run of requests that there is: the sample, or what experiments sent for want of one.
    fn long_sample(&self) -> Vec<Backend> {
        if self.sample.is_empty() { backends(&self.more) } else { self.sample.clone() }
    }

    /// How cookies that the client is given select its backend, and what they are called: they name it, or their value is hashed.
    fn sticky(&self, inference: &mut Inference) -> Option<(Algorithm, String)> {
        let (given, trial) = self.jar.as_ref()?;
        let what = given.join(" and ");
        inference.evidence.push(format!(
            "{} clients that bring back the {what}: {}",
            trial.rows.len(),
            describe_trial(trial)
        ));
        let requests: usize = trial.rows.iter().map(Vec::len).sum();
        // A few that stray are a fault of one that is sticky; without any stickiness half of them would, at the least.
        let sticky = trial.spread() > 1 && requests >= 40 && trial.strayed() < 0.15;
        let is_session = given.iter().any(|it| it.starts_with("session"));
        let whose = if is_session { "the backends'" } else { "the balancer's" };
        // Whoever opens a session is who has it.
        let is_by_value = !is_session && self.leads_elsewhere();
        sticky.then(|| {
            if is_by_value {
                (Algorithm::Cookie, format!("by the value of {whose} {what}; requests without it are spread"))
            } else {
                (Algorithm::Sticky, format!("sticky by {whose} {what}"))
            }
        })
    }

    fn name_rotation(
        &self,
        weights: Vec<(Backend, u32)>,
        turns: Option<Vec<Backend>>,
        fresh: &OrderPattern,
        load: LoadEffect,
        inference: &mut Inference,
    ) {
        let equal = weights.iter().all(|(_, weight)| *weight == weights[0].1);
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
            "a rotation; while requests fail, its weights are not known".clone_into(&mut inference.label);
            return;
        }
        match load {
            LoadEffect::Follows { partly } => {
                let is_one = fresh.is_of_one_rotation();
                inference.kind = Some(Algorithm::LeastConnections);
                let what = if equal { "" } else { ", with weights" };
                inference.label = format!("least connections{what}, round robin among equals");
                // Each of several workers remembers its own times alone, which one slow response hardly shows.
                let is_open =
                    partly && self.mixed.is_empty() && !is_one && self.leaves_rotations_afterwards() != Some(false);
                inference.or.extend(is_open.then_some(Algorithm::LeastTime));
                return self.consider_time(inference);
            }
            LoadEffect::Ignores => inference.kind = Some(rotation),
            LoadEffect::Unknown => {
                inference.kind = Some(rotation);
                inference.or = vec![Algorithm::LeastConnections, Algorithm::LeastTime];
            }
        }
        inference.label = if equal {
            "round robin".to_owned()
        } else {
            let weights: Vec<String> = inference.weights.iter().map(|(_, weight)| weight.to_string()).collect();
            format!("weighted round robin {}{}", weights.join(":"), pattern(inference))
        };
        if inference.turns.is_none() {
            inference.label.push_str(", in an order that changes from round to round");
        }
        self.count_rotations(fresh, inference);
    }

    /// Weights that hardly differ look like turns that are left at regular intervals, or hardly ever; then shares are not even.
    fn look_for_breaks(&self, fresh: &OrderPattern, inference: &mut Inference) {
        let OrderPattern::Turns { period, exceptions } = fresh else { return };
        if inference.kind != Some(Algorithm::RoundRobin) {
            return;
        }
        inference.breaks = self.breaks(period);
        let is_like_weights = match &inference.breaks {
            Some(breaks) => breaks.every.is_some(),
            None => *exceptions > 0,
        };
        let (off, mean) = unevenness(&self.sample);
        if is_like_weights && off > UNEVEN && off < mean * 0.2 {
            inference.or.push(Algorithm::WeightedRoundRobin);
        }
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
            // Connections in sequence that rotate no more than those of others do.
            (None, false) if self.is_undisturbed() && !self.kept.is_empty() && !fresh.is_of_one_rotation() => Some(2),
            (None, false) => None,
        };
        if let Some((connections, rotations)) = self.rotations {
            let several = if rotations == 1 {
                "one rotation".to_owned()
            } else {
                format!("{rotations} rotations, each for itself")
            };
            inference.evidence.push(format!("{connections} connections against each other: {several}"));
        }
        if inference.rotations.is_some_and(|rotations| rotations > 1) {
            inference.hint = Some(
                "several rotations: each worker process (or balancer) has its own. In NGINX a `zone` in the upstream block makes workers share one".to_owned(),
            );
        }
    }

    /// Whether nothing but the balancer moved its rotations.
    pub(super) fn is_undisturbed(&self) -> bool {
        let reached = self.fresh.iter().chain(&self.kept).all(|pick| pick.backend.is_known());
        let is_alone = self.others * 100 <= self.fresh.len() as u64 && self.copied == 0;
        is_alone && self.failing.is_empty() && reached && self.lost == 0
    }

    fn name_unordered(&self, fresh: &OrderPattern, sample: &OrderPattern, load: LoadEffect, inference: &mut Inference) {
        use Algorithm::{LeastConnections, LeastTime, Random, RoundRobin, TwoChoices};
        if !(self.sample.is_empty() && self.more.is_empty()) {
            let what = describe_evenness(sample);
            inference.evidence.push(format!("{} requests in blocks: {what}", self.sample.len().max(self.more.len())));
        }
        // One after the other with nothing in flight, load says nothing: even is a rotation. Side by side load evens out too.
        let is_serial = !self.kept.is_empty();
        let even_in_series = is_serial && matches!(fresh, OrderPattern::Even(_) | OrderPattern::Turns { .. });
        let even = matches!(fresh, OrderPattern::Even(_) | OrderPattern::Turns { .. })
            || matches!(sample, OrderPattern::Even(_));
        // Under load a machine that shares out its time in slices can make chance look clumped, never more even.
        let chance = matches!(fresh, OrderPattern::Chance)
            && matches!(
                sample,
                OrderPattern::Chance | OrderPattern::Clumped | OrderPattern::Unclear | OrderPattern::TooFew
            );
        // What is held meets bursts, not draws: only where those that wait are drawn by lot that does not matter.
        let load = if *fresh == OrderPattern::Clumped && self.mixed.is_empty() { LoadEffect::Unknown } else { load };
        match load {
            LoadEffect::Follows { partly } => self.name_by_load(fresh, partly, even_in_series, inference),
            LoadEffect::Ignores | LoadEffect::Unknown if !even && !chance => {
                inference.or =
                    vec![RoundRobin, Algorithm::WeightedRoundRobin, Random, TwoChoices, LeastConnections, LeastTime];
                if load == LoadEffect::Ignores {
                    inference.or.retain(|algorithm| !algorithm.follows_load());
                }
                match fresh {
                    // Side by side a starved machine makes bursts too.
                    OrderPattern::Clumped if is_serial => "in bursts: the same backend again more often than by chance",
                    _ => "not known: no order, and not surely chance",
                }
                .clone_into(&mut inference.label);
                // One after the other on one connection, and in bursts too: neither a rotation nor a draw gives that.
                if *fresh == OrderPattern::Clumped && self.is_undisturbed() && is_clumped(&backends(&self.kept)) {
                    inference.or.retain(|algorithm| algorithm.follows_load());
                    inference.excludes_others = true;
                }
            }
            LoadEffect::Ignores | LoadEffect::Unknown if even && self.is_drawn(fresh) => {
                inference.or = vec![TwoChoices, LeastConnections, LeastTime, Random, RoundRobin];
                "like chance one by one, and more even side by side".clone_into(&mut inference.label);
            }
            // Side by side nothing tells the rotations of many workers from what each of them has in flight.
            LoadEffect::Ignores if even && (is_serial || self.keeps_pace() || !self.may_count_apart()) => {
                self.name_rotations(inference);
            }
            LoadEffect::Unknown if even_in_series => {
                self.name_rotations(inference);
                inference.or.extend([LeastConnections, LeastTime]);
            }
            LoadEffect::Ignores | LoadEffect::Unknown if even => {
                inference.or = vec![RoundRobin, Algorithm::WeightedRoundRobin, LeastConnections, TwoChoices, LeastTime];
                "more even than chance: round robin, or by load".clone_into(&mut inference.label);
            }
            LoadEffect::Ignores | LoadEffect::Unknown if self.copied > 0 => {
                inference.or = vec![Random, RoundRobin, Algorithm::WeightedRoundRobin];
                inference.or.extend([TwoChoices, LeastConnections].into_iter().filter(|_| load == LoadEffect::Unknown));
                "like chance; copies of requests may take turns of a rotation".clone_into(&mut inference.label);
            }
            LoadEffect::Ignores | LoadEffect::Unknown => {
                inference.kind = Some(Random);
                "random".clone_into(&mut inference.label);
                // Others' requests, and rounds that leave out a failing backend, make rotations look like chance.
                // So does a starved machine where requests go side by side, until a long sample shows that they are not even.
                let is_short = !is_serial && self.sample.len() < 2_000;
                if matches!(sample, OrderPattern::TooFew | OrderPattern::Unclear) || !self.is_undisturbed() || is_short
                {
                    inference.or.extend([RoundRobin, Algorithm::WeightedRoundRobin]);
                }
                if load == LoadEffect::Unknown {
                    inference.or.extend([TwoChoices, LeastConnections]);
                }
                // What was fast lately gets more, and who that is changes as if by chance.
                let may_be_by_time = !self.forgets() || !is_serial && *sample == OrderPattern::Clumped;
                inference.or.extend(may_be_by_time.then_some(LeastTime));
            }
        }
    }

    /// Whether requests in sequence are drawn, on one connection too: what rotates in workers shows there.
    fn is_drawn(&self, fresh: &OrderPattern) -> bool {
        let rotates =
            |order| matches!(order, OrderPattern::Turns { .. } | OrderPattern::Blocks(_) | OrderPattern::Even(_));
        *fresh == OrderPattern::Chance && !self.kept.is_empty() && !rotates(OrderPattern::of(&backends(&self.kept)))
    }

    fn name_rotations(&self, inference: &mut Inference) {
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
        let several = self.is_undisturbed() && !self.kept.is_empty();
        if several {
            inference.label = format!("{}, with several rotations", name.label());
            inference.rotations = Some(2);
            inference.hint = Some(
                "far more even than chance, and no order: several workers or balancers, each with its own rotation"
                    .to_owned(),
            );
        } else {
            name.label().clone_into(&mut inference.label);
        }
    }
}

/// Rotations of equal weights are not further off than that.
const UNEVEN: f64 = 32.0;

fn reduce(mut weights: Vec<(Backend, u32)>) -> Vec<(Backend, u32)> {
    let divisor = weights.iter().fold(0, |divisor, (_, weight)| greatest_common_divisor(divisor, *weight));
    weights.iter_mut().for_each(|(_, weight)| *weight /= divisor.max(1));
    weights
}

/// How even what a sample gave is, against chance.
fn describe_evenness(sample: &OrderPattern) -> String {
    match sample {
        OrderPattern::Even(ratio) => format!("far more even than chance ({:.0} % of its variance)", ratio * 100.0),
        OrderPattern::Chance => "as even as chance".to_owned(),
        OrderPattern::Clumped => "less even than chance".to_owned(),
        OrderPattern::TooFew
        | OrderPattern::One(_)
        | OrderPattern::Turns { .. }
        | OrderPattern::Blocks(_)
        | OrderPattern::Unclear => "not clear".to_owned(),
    }
}
