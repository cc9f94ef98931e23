//! From the evidence to a name: what fits, what else is not excluded, and what was seen. What was not tried excludes nothing.

use super::Algorithm;
use super::evidence::{Evidence, Hold, Key, Missing, Trial, Why};
use super::experiments::backends;
use super::load::{Uphill, uphill};
use super::order::{Order, counts, greatest_common_divisor, in_blocks};
use crate::observation::Backend;
use crate::statistics::{binomial_at_least, binomial_at_most, lower_bound};

/// What follows from the evidence.
#[derive(Clone, PartialEq, Debug)]
pub struct Inference {
    /// None if nothing fits, or if too much does.
    pub kind: Option<Algorithm>,
    /// What it may be as well: what no experiment excludes.
    pub or: Vec<Algorithm>,
    /// In words.
    pub label: String,
    /// Whether connections are balanced, and all requests of one go the same way.
    pub per_connection: bool,
    /// Whether that was tried.
    pub is_unit_known: bool,
    /// What it keys on.
    pub key: Option<Key>,
    /// The turns that repeat.
    pub turns: Option<Vec<Backend>>,
    /// How often each backend has its turn, where it has turns.
    pub weights: Vec<(Backend, u32)>,
    /// Independent rotations seen, at least; None if that has no meaning or is not known.
    pub cursors: Option<u32>,
    /// How often the rotation was left.
    pub exceptions: usize,
    /// What was seen, an experiment a line.
    pub evidence: Vec<String>,
    /// What follows for the reader.
    pub hint: Option<String>,
}

/// A false conclusion from chance alone is less likely than that.
const LEVEL: f64 = 1e-8;

/// Whether the load of a backend counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Load {
    /// Busy backends are avoided: always, or only more often than not.
    Follows {
        partly: bool,
    },
    Ignores,
    Unknown,
}

impl Inference {
    /// The name, if it is certain: nothing else fits.
    pub fn certain(&self) -> Option<Algorithm> {
        self.kind.filter(|_| self.or.is_empty())
    }

    /// Everything that it may be; empty if that could be anything.
    pub fn candidates(&self) -> Vec<Algorithm> {
        self.kind.into_iter().chain(self.or.iter().copied()).collect()
    }
}

impl Evidence {
    /// Names the algorithm. `names` are those of the backends.
    pub fn infer(&self, names: &[String]) -> Inference {
        let mut inference = Inference {
            kind: None,
            or: Vec::new(),
            label: "none that is known here".to_owned(),
            per_connection: false,
            is_unit_known: !self.missing.contains(&Missing::Connections(Why::NoTime)),
            key: None,
            turns: None,
            weights: Vec::new(),
            cursors: None,
            exceptions: 0,
            evidence: Vec::new(),
            hint: None,
        };
        let fresh = Order::of(&backends(&self.fresh));
        match &fresh {
            Order::TooFew if self.fresh.is_empty() && self.sample.len() >= 6 => {
                self.infer_sample(names, &mut inference)
            }
            Order::TooFew if self.fresh.len() < 6 => "too few responses to say".clone_into(&mut inference.label),
            Order::One(backend) if backend.is_known() => self.infer_key(*backend, names, &mut inference),
            Order::One(_) => "no backend was reached by the experiments".clone_into(&mut inference.label),
            Order::TooFew
            | Order::Turns { .. }
            | Order::Blocks(_)
            | Order::Even(_)
            | Order::Chance
            | Order::Unclear
            | Order::Clumped => self.infer_spread(&fresh, names, &mut inference),
        }
        self.contradict(&mut inference);
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
        inference.evidence.extend(self.missing.iter().map(|missing| describe_missing(*missing)));
        inference
    }

    /// A name that the sample refutes is none.
    fn contradict(&self, inference: &mut Inference) {
        let one_for_all = match inference.kind {
            Some(Algorithm::One) => true,
            Some(Algorithm::Source | Algorithm::Uri) => !inference.per_connection,
            Some(_) | None => false,
        };
        let sampled: Vec<(Backend, u32)> =
            counts(&self.sample).into_iter().filter(|(backend, _)| backend.is_known()).collect();
        if one_for_all && sampled.len() > 1 {
            inference.evidence.push(format!(
                "the sample, which varied nothing, went to {} backends: that is not \"{}\"",
                sampled.len(),
                inference.label
            ));
            (inference.kind, inference.key) = (None, None);
            "changed between the experiments and the sample".clone_into(&mut inference.label);
        }
    }

    /// All fresh connections went to one backend: what does it key on?
    fn infer_key(&self, only: Backend, names: &[String], inference: &mut Inference) {
        let tried = self.fresh.len();
        inference.evidence.push(format!("{tried} new connections: all to {}", name(names, only)));
        self.describe_keys(inference);
        match self.key() {
            Some((kind, label, key)) => {
                (inference.kind, inference.label, inference.key) = (Some(kind), label, Some(key));
            }
            None => self.infer_one(only, names, inference),
        }
    }

    /// Nothing that was varied decides. What never sent a second request while the first was in flight may still look at load.
    fn infer_one(&self, only: Backend, names: &[String], inference: &mut Inference) {
        if self.members == Some(1) {
            inference.kind = Some(Algorithm::One);
            "all to the only active backend".clone_into(&mut inference.label);
            return;
        }
        let load = self.load(names, inference);
        if self.remembers() {
            return self.name_least_time(names, inference);
        }
        if matches!(load, Load::Follows { .. }) {
            inference.kind = Some(Algorithm::LeastConnections);
            "least connections, the first among equals".clone_into(&mut inference.label);
            return;
        }
        // What was not varied may still decide.
        if self.keys.iter().any(|(_, trial)| trial.spread() > 1) {
            inference.label =
                format!("not known: {} without, several backends with what was varied", name(names, only));
            return;
        }
        inference.or = self.untried();
        if load == Load::Unknown {
            inference.or.push(Algorithm::LeastConnections);
        }
        if inference.or.is_empty() {
            inference.kind = Some(Algorithm::One);
            "all to one".clone_into(&mut inference.label);
        } else {
            inference.label = format!("not known: {} got all requests, and not all was tried", name(names, only));
            inference.or.push(Algorithm::One);
        }
    }

    /// Algorithms of which the experiments that would have shown them are missing.
    fn untried(&self) -> Vec<Algorithm> {
        let open = |missing: &Missing| match missing {
            Missing::Source(_) => vec![Algorithm::Source],
            Missing::Path(_) => vec![Algorithm::Uri],
            Missing::Body(_) => vec![Algorithm::Body],
            Missing::Header(_) => vec![Algorithm::Header],
            Missing::Cookie(_) => vec![Algorithm::Cookie],
            Missing::Jar(_) => vec![Algorithm::Sticky],
            Missing::Load(_) => vec![Algorithm::LeastConnections],
            Missing::Order { .. } | Missing::Connections(_) => Vec::new(),
        };
        self.missing.iter().flat_map(open).collect()
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
            |key| (*key == Key::Path).then_some(Algorithm::Uri),
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
        let order = Order::of(head);
        inference.evidence.push(format!("{} requests of the sample: {}", head.len(), describe(&order, head, names)));
        inference.or = Algorithm::ALL.to_vec();
        if let Order::Turns { .. } | Order::Blocks(_) | Order::Even(_) = order {
            // By load it would be even too.
            use Algorithm::{LeastConnections, LeastTime, RoundRobin, TwoChoices, WeightedRoundRobin};
            inference.or = vec![RoundRobin, WeightedRoundRobin, TwoChoices, LeastConnections, LeastTime];
        }
        "not known without experiments".clone_into(&mut inference.label);
    }

    /// Fresh connections went to several backends.
    fn infer_spread(&self, fresh: &Order, names: &[String], inference: &mut Inference) {
        let sequence = backends(&self.fresh);
        let kept = Order::of(&backends(&self.kept));
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
                describe(&kept, &sequence, names)
            ));
        }
        let sticky = self.sticky(inference);
        let unit = &self.connections;
        if sticky.is_none() && inference.is_unit_known && unit.decides() {
            inference.per_connection = true;
            inference.evidence.push(format!(
                "{} connections, {} requests each: all of a connection went to one backend, so connections are balanced, not requests",
                unit.rows.len(),
                unit.rows.iter().map(Vec::len).max().unwrap_or(0)
            ));
        }
        if let Some(label) = sticky {
            (inference.kind, inference.label) = (Some(Algorithm::Sticky), label);
            return;
        }
        if let Some((kind, label, key)) = self.key()
            && !matches!(kind, Algorithm::Source | Algorithm::Uri)
        {
            self.describe_keys(inference);
            let label = format!("{label}; requests without it are spread");
            (inference.kind, inference.label, inference.key) = (Some(kind), label, Some(key));
            return;
        }
        let mixed = Order::of(&self.mixed.iter().map(|flight| flight.pick.backend).collect::<Vec<Backend>>());
        let ordered = if inference.per_connection { fresh } else { &kept };
        let rotation = [fresh, ordered, &mixed].into_iter().find(|order| order.is_of_one_cursor());
        let load = self.load(names, inference);
        if self.remembers() {
            return self.name_least_time(names, inference);
        }
        let sample = if self.sample.is_empty() { backends(&self.more) } else { self.sample.clone() };
        let sample = Order::of_counts(&in_blocks(&sample));
        match rotation {
            Some(Order::Turns { period, exceptions }) => {
                inference.exceptions = *exceptions;
                self.name_rotation(counts(period), Some(period.clone()), fresh, load, inference);
            }
            Some(Order::Blocks(weights)) => self.name_rotation(weights.clone(), None, fresh, load, inference),
            _ => match (fresh, ordered) {
                // What several rotations give may repeat too, but then each of them is seen on its own connection.
                (Order::Turns { period, .. }, Order::Turns { .. }) => {
                    inference.label = format!("a fixed order of {} that is no rotation", period.len());
                    inference.turns = Some(period.clone());
                }
                _ => self.name_unordered(fresh, &sample, load, inference),
            },
        }
        inference.or.extend(self.untried().into_iter().filter(|open| match open {
            // Requests that have both alike were spread.
            Algorithm::Source | Algorithm::Uri => false,
            // Requests without any follow a rule of their own.
            Algorithm::Header | Algorithm::Cookie | Algorithm::Body => {
                rotation.is_none() && !matches!(load, Load::Follows { .. })
            }
            _ => true,
        }));
        if inference.per_connection {
            inference.label = format!("{}, of connections (layer 4, or kept to one backend)", inference.label);
        }
    }

    /// What the cookies are called that keep a client at its backend.
    fn sticky(&self, inference: &mut Inference) -> Option<String> {
        let (cookies, trial) = self.jar.as_ref()?;
        let what = format!("cookie {}", cookies.join(", "));
        inference.evidence.push(format!(
            "{} clients that bring back the {what}: {}",
            trial.rows.len(),
            describe_trial(trial)
        ));
        let requests: usize = trial.rows.iter().map(Vec::len).sum();
        // A few that stray are a fault of one that is sticky; without any stickiness half of them would, at the least.
        let sticky = trial.spread() > 1 && requests >= 40 && trial.strayed() < 0.15;
        sticky.then(|| format!("sticky by the balancer's {what}"))
    }

    fn name_rotation(
        &self,
        weights: Vec<(Backend, u32)>,
        turns: Option<Vec<Backend>>,
        fresh: &Order,
        load: Load,
        inference: &mut Inference,
    ) {
        let equal = weights.iter().all(|(_, weight)| *weight == weights[0].1);
        let rotation = if equal { Algorithm::RoundRobin } else { Algorithm::WeightedRoundRobin };
        (inference.turns, inference.weights) = (turns, reduced(weights));
        match load {
            Load::Follows { .. } => {
                inference.kind = Some(Algorithm::LeastConnections);
                "least connections, in turns among equals".clone_into(&mut inference.label);
                return;
            }
            Load::Ignores => inference.kind = Some(rotation),
            Load::Unknown => {
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

    fn count_rotations(&self, fresh: &Order, inference: &mut Inference) {
        let is_strict = match fresh {
            Order::Turns { exceptions, .. } => *exceptions == 0 && fresh.is_of_one_cursor(),
            Order::Blocks(_) => true,
            _ => false,
        };
        inference.cursors = match (self.cursors, is_strict) {
            (Some((_, cursors)), _) => Some(cursors as u32),
            (None, true) => Some(1),
            // Connections in sequence that rotate no more than those of others do.
            (None, false) if self.is_undisturbed() && !self.kept.is_empty() && !fresh.is_of_one_cursor() => Some(2),
            (None, false) => None,
        };
        if let Some((connections, cursors)) = self.cursors {
            let several =
                if cursors == 1 { "one rotation".to_owned() } else { format!("{cursors} rotations, each for itself") };
            inference.evidence.push(format!("{connections} connections against each other: {several}"));
        }
        if inference.cursors.is_some_and(|cursors| cursors > 1) {
            inference.hint = Some(
                "several rotations: each worker process (or balancer) has its own. In NGINX a `zone` in the upstream block makes workers share one".to_owned(),
            );
        }
    }

    /// Whether nothing but the balancer moved its rotations.
    fn is_undisturbed(&self) -> bool {
        let reached = self.fresh.iter().chain(&self.kept).all(|pick| pick.backend.is_known());
        self.others * 100 <= self.fresh.len() as u64 && self.failing.is_empty() && reached
    }

    fn name_unordered(&self, fresh: &Order, sample: &Order, load: Load, inference: &mut Inference) {
        use Algorithm::{LeastConnections, LeastTime, Random, RoundRobin, TwoChoices};
        if !(self.sample.is_empty() && self.more.is_empty()) {
            let what = match sample {
                Order::Even(ratio) => format!("far more even than chance ({:.0} % of its variance)", ratio * 100.0),
                Order::Chance => "as even as chance".to_owned(),
                Order::Clumped => "less even than chance".to_owned(),
                Order::TooFew | Order::One(_) | Order::Turns { .. } | Order::Blocks(_) | Order::Unclear => {
                    "not clear".to_owned()
                }
            };
            inference.evidence.push(format!("{} requests in blocks: {what}", self.sample.len().max(self.more.len())));
        }
        // One after the other with nothing in flight, load says nothing: even is a rotation. Side by side load evens out too.
        let is_serial = !self.kept.is_empty();
        let even_in_series = is_serial && matches!(fresh, Order::Even(_) | Order::Turns { .. });
        let even = matches!(fresh, Order::Even(_) | Order::Turns { .. }) || matches!(sample, Order::Even(_));
        // Under load a machine that shares out its time in slices can make chance look clumped, never more even.
        let chance = matches!(fresh, Order::Chance)
            && matches!(sample, Order::Chance | Order::Clumped | Order::Unclear | Order::TooFew);
        match load {
            Load::Follows { partly } => self.name_by_load(partly, even_in_series, inference),
            Load::Ignores | Load::Unknown if !even && !chance => {
                inference.or =
                    vec![RoundRobin, Algorithm::WeightedRoundRobin, Random, TwoChoices, LeastConnections, LeastTime];
                if load == Load::Ignores {
                    inference.or.retain(|algorithm| !algorithm.follows_load());
                }
                "not known: no order, and not surely chance".clone_into(&mut inference.label);
            }
            Load::Ignores if even => self.name_rotations(inference),
            Load::Unknown if even_in_series => {
                self.name_rotations(inference);
                inference.or.extend([LeastConnections, LeastTime]);
            }
            Load::Unknown if even => {
                inference.or = vec![RoundRobin, Algorithm::WeightedRoundRobin, LeastConnections, TwoChoices, LeastTime];
                "more even than chance: round robin, or by load".clone_into(&mut inference.label);
            }
            Load::Ignores | Load::Unknown => {
                inference.kind = Some(Random);
                "random".clone_into(&mut inference.label);
                // Others' requests, and rounds that leave out a failing backend, make rotations look like chance.
                // So does a starved machine where requests go side by side, until a long sample shows that they are not even.
                let is_short = !is_serial && self.sample.len() < 2_000;
                if matches!(sample, Order::TooFew | Order::Unclear) || !self.is_undisturbed() || is_short {
                    inference.or.extend([RoundRobin, Algorithm::WeightedRoundRobin]);
                }
                if load == Load::Unknown {
                    inference.or.extend([TwoChoices, LeastConnections]);
                }
            }
        }
    }

    fn name_rotations(&self, inference: &mut Inference) {
        use Algorithm::{RoundRobin, WeightedRoundRobin};
        let longest =
            [backends(&self.fresh), backends(&self.more), self.sample.clone()].into_iter().max_by_key(Vec::len);
        let seen = counts(&longest.unwrap_or_default());
        let known = || seen.iter().filter(|(backend, _)| backend.is_known()).map(|(_, count)| f64::from(*count));
        let mean = known().sum::<f64>() / known().count().max(1) as f64;
        let off = known().map(|count| (count - mean).abs()).fold(0.0, f64::max);
        let (name, other) =
            if off > mean * 0.1 + 8.0 { (WeightedRoundRobin, RoundRobin) } else { (RoundRobin, WeightedRoundRobin) };
        inference.kind = Some(name);
        if !self.failing.is_empty() || (off > mean * 0.02 + 8.0 && off < mean * 0.2 + 16.0) {
            inference.or.push(other);
        }
        let several = self.is_undisturbed() && !self.kept.is_empty();
        if several {
            inference.label = format!("{}, with several rotations", name.label());
            inference.cursors = Some(2);
            inference.hint = Some(
                "far more even than chance, and no order: several workers or balancers, each with its own rotation"
                    .to_owned(),
            );
        } else {
            name.label().clone_into(&mut inference.label);
        }
    }

    fn name_by_load(&self, partly: bool, even_in_series: bool, inference: &mut Inference) {
        use Algorithm::{LeastConnections, LeastTime, TwoChoices};
        if !self.mixed.is_empty() {
            let seen = uphill(&self.mixed, &self.failing);
            let never = seen.taken * 50 <= seen.chances;
            inference.kind = Some(LeastConnections);
            "least connections".clone_into(&mut inference.label);
            let mut several: Vec<Backend> = self.mixed.iter().map(|flight| flight.pick.backend).collect();
            several.retain(|backend| backend.is_known() && !self.failing.contains(backend));
            let several = counts(&several).len();
            if !never || several < 3 {
                inference.or.push(TwoChoices);
            }
            if !never || seen.chances < 60 {
                inference.or.push(LeastTime);
            }
            if !inference.or.is_empty() {
                "least connections, or another that looks at load".clone_into(&mut inference.label);
            }
            return;
        }
        // Least connections never picks a busy one while another is idle, also not for those that are held. With all busy but one, two
        // choices take a busy one a third of the time at least. One that was not under way yet, or not any more, is no proof.
        let spread: Vec<&Hold> = self.held_most.iter().filter(|hold| hold.is_spread()).collect();
        let others: usize = spread.iter().map(|hold| hold.others.len()).sum();
        let there: usize = spread.iter().map(|hold| hold.to_busy()).sum();
        let avoided = !spread.is_empty() && there * 10 < others;
        let two = Algorithm::TwoChoices.label().to_owned();
        (inference.kind, inference.label) = match (self.held_most.is_empty(), avoided) {
            (false, true) => (Some(LeastConnections), "least connections, by chance among equals".to_owned()),
            // Two random choices are chance while all are idle; what is even then are workers that each see their own load alone.
            (_, false) if partly && even_in_series => {
                (Some(LeastConnections), "least connections, each worker for itself".to_owned())
            }
            (false, false) => (Some(TwoChoices), two),
            (true, _) if partly => (Some(TwoChoices), two),
            (true, _) => {
                inference.or = vec![TwoChoices];
                (Some(LeastConnections), "least connections, or the less loaded of two random choices".to_owned())
            }
        };
    }

    fn name_least_time(&self, names: &[String], inference: &mut Inference) {
        (inference.kind, inference.label) = (Some(Algorithm::LeastTime), Algorithm::LeastTime.label().to_owned());
        if let Some((slow, there, others, usual)) = (0..self.after.len()).find_map(|round| self.memory(round)) {
            inference.evidence.push(format!(
                "after a slow response of {}: {there} of {others} requests went there (usually {:.0} %)",
                name(names, slow),
                usual * 100.0
            ));
        }
    }

    /// Whether backends with requests in flight are avoided.
    fn load(&self, names: &[String], inference: &mut Inference) -> Load {
        if !self.mixed.is_empty() {
            return self.load_of_mixed(inference);
        }
        let holds: Vec<&Hold> = self
            .held_one
            .iter()
            .filter(|hold| hold.busy.iter().all(|busy| !self.failing.contains(busy)) && !hold.others.is_empty())
            .collect();
        let others: usize = holds.iter().map(|hold| hold.others.len()).sum();
        if others == 0 {
            return Load::Unknown;
        }
        let idle = backends(&[self.fresh.as_slice(), &self.kept].concat());
        let seen = |backend: Backend| idle.iter().filter(|it| **it == backend).count() as u64;
        let total = idle.len().max(1);
        let weighted = |share: &dyn Fn(Backend) -> f64| {
            let expected = |hold: &&Hold| hold.busy.first().map_or(0.0, |busy| share(*busy)) * hold.others.len() as f64;
            holds.iter().map(expected).sum::<f64>() / others as f64
        };
        let usual = weighted(&|busy| seen(busy) as f64 / total as f64);
        let low = weighted(&|busy| lower_bound(seen(busy), total as u64));
        let there: usize = holds.iter().map(|hold| hold.to_busy()).sum();
        let mut busy: Vec<&str> = holds.iter().filter_map(|hold| Some(name(names, *hold.busy.first()?))).collect();
        busy.dedup();
        inference.evidence.push(format!(
            "while a request was in flight at {}: {there} of {others} others went there too ({:.0} % expected if load is ignored)",
            busy.join(", "),
            usual * 100.0
        ));
        if !self.held_most.is_empty() {
            let most: usize = self.held_most.iter().map(|hold| hold.others.len()).sum();
            let there: usize = self.held_most.iter().map(Hold::to_busy).sum();
            inference.evidence.push(format!("with one in flight at all but one: {there} of {most} went to a busy one"));
        }
        let (share, there, others) = (there as f64 / others as f64, there as u64, others as u64);
        if binomial_at_most(there, others, low) < LEVEL && share < low * 0.7 {
            return Load::Follows { partly: share > usual * 0.1 };
        }
        // What fails looks idle and is chosen for that. Even two choices with replacement halve the share, at the least.
        let rotates = [&self.fresh, &self.kept].into_iter().any(|picks| Order::of(&backends(picks)).is_of_one_cursor());
        if (self.failing.is_empty() || rotates) && binomial_at_least(there, others, usual * 0.6) < 1e-3 {
            Load::Ignores
        } else {
            Load::Unknown
        }
    }

    fn load_of_mixed(&self, inference: &mut Inference) -> Load {
        let order = Order::of(&self.mixed.iter().map(|flight| flight.pick.backend).collect::<Vec<Backend>>());
        let Uphill { chances, taken, expected } = uphill(&self.mixed, &self.failing);
        let rotates = order.is_of_one_cursor();
        inference.evidence.push(format!(
            "{} requests side by side, some much slower: {}{taken} of {chances} went to a backend that had more in flight than another              ({expected:.0} expected if load is ignored)",
            self.mixed.len(),
            if rotates { "the rotation went on regardless; " } else { "" }
        ));
        // All to one while others idle is not by load.
        let mut reached: Vec<Backend> = self.mixed.iter().map(|flight| flight.pick.backend).collect();
        reached.retain(|backend| backend.is_known());
        let overlaps = self.mixed.windows(2).filter(|pair| pair[0].to > pair[1].from).count();
        if counts(&reached).len() == 1 && self.members.is_some_and(|members| members > 1) && overlaps >= 60 {
            return Load::Ignores;
        }
        let share = if chances == 0 { 0.0 } else { expected / chances as f64 };
        if (taken as f64) < expected * 0.7 && binomial_at_most(taken, chances, share) < LEVEL {
            // In turns among equals it goes on as if it were a rotation until loads differ.
            return Load::Follows { partly: taken as f64 > expected * 0.1 };
        }
        // What fails looks idle and is chosen for that.
        if !rotates && !self.failing.is_empty() {
            return Load::Unknown;
        }
        // A rotation that goes on while loads differ ignores them.
        if rotates && taken >= 10
            || taken as f64 > expected * 0.6 && binomial_at_least(taken, chances, share * 0.6) < 1e-3
        {
            return Load::Ignores;
        }
        Load::Unknown
    }
}

/// What is known of its turns.
fn pattern(inference: &Inference) -> &'static str {
    match &inference.turns {
        Some(turns) if is_smooth(turns, &inference.weights) => ", smooth (in the order of NGINX)",
        Some(_) | None => "",
    }
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

fn name(names: &[String], backend: Backend) -> &str {
    names.get(usize::from(backend.0)).map_or("nobody", String::as_str)
}

fn singular(key: &Key) -> String {
    match key {
        Key::Network | Key::Host => "source address".to_owned(),
        Key::Path => "URI".to_owned(),
        Key::Body => "the request's body".to_owned(),
        Key::Header(name) => format!("the header {name}"),
        Key::Cookie(name) => format!("the client's cookie {name}"),
    }
}

fn describe_missing(missing: Missing) -> String {
    let because = |why: Why| match why {
        Why::NotWanted => "no experiments were wanted",
        Why::NoTime => "responses are slow, it does not fit into the experiments' time",
        Why::NoRequests => "it does not fit into the requests that are allowed",
        Why::Cached => "a cache, or the balancer itself, gave the responses",
        Why::Impossible => "the balancer is not on this machine",
        Why::NotOurs => "the backends are not ours and cannot be asked to take their time",
        Why::NotKept => "the balancer does not keep connections",
    };
    match missing {
        Missing::Order { sent, why } => format!("order: only {sent} requests: {}", because(why)),
        Missing::Connections(why) => format!("connections or requests: not tried: {}", because(why)),
        Missing::Source(why) => format!("source addresses: not tried: {}", because(why)),
        Missing::Path(why) => format!("paths: not tried: {}", because(why)),
        Missing::Body(why) => format!("bodies: not tried: {}", because(why)),
        Missing::Header(why) => format!("headers: not tried: {}", because(why)),
        Missing::Cookie(why) => format!("cookies: not tried: {}", because(why)),
        Missing::Jar(why) => format!("the balancer's cookies: not tried: {}", because(why)),
        Missing::Load(why) => format!("load: not tried: {}", because(why)),
    }
}

fn describe_trial(trial: &Trial) -> String {
    match (trial.spread(), trial.moved()) {
        (0, _) => "no response".to_owned(),
        (1, 0) => "all to the same backend".to_owned(),
        (spread, 0) => format!("{spread} backends, each value always the same one"),
        (spread, moved) => format!("{spread} backends, {moved} of {} values changed theirs", trial.rows.len()),
    }
}

/// A few turns in the backends' names, and what they look like.
fn describe(order: &Order, sequence: &[Backend], names: &[String]) -> String {
    let turn =
        |backends: &[Backend]| backends.iter().map(|backend| name(names, *backend)).collect::<Vec<_>>().join(" ");
    let but = |exceptions: usize| match exceptions {
        0 => "without exception".to_owned(),
        1 => "with 1 exception".to_owned(),
        count => format!("with {count} exceptions"),
    };
    match order {
        Order::TooFew => "too few of some to compare".to_owned(),
        Order::One(backend) => format!("all to {}", name(names, *backend)),
        Order::Turns { period, exceptions } if period.len() <= 12 => format!("{}, {}", turn(period), but(*exceptions)),
        Order::Turns { period, exceptions } => format!("a turn of {}, {}", period.len(), but(*exceptions)),
        Order::Blocks(weights) => {
            let length: u32 = weights.iter().map(|(_, weight)| weight).sum();
            format!("each block of {length} complete, in changing order")
        }
        Order::Even(ratio) => format!("no fixed order; variance is {:.0} % of random selection's", ratio * 100.0),
        Order::Chance => format!("like chance: {} …", turn(&sequence[..sequence.len().min(6)])),
        Order::Unclear => "neither order nor clearly chance".to_owned(),
        Order::Clumped => "the same backend again more often than by chance".to_owned(),
    }
}

fn reduced(mut weights: Vec<(Backend, u32)>) -> Vec<(Backend, u32)> {
    let divisor = weights.iter().fold(0, |divisor, (_, weight)| greatest_common_divisor(divisor, *weight));
    weights.iter_mut().for_each(|(_, weight)| *weight /= divisor.max(1));
    weights
}
