//! From the evidence of experiments to a name: what fits, what else is not excluded, and what was seen.

use std::fmt;

use crate::algorithm::Algorithm;
use crate::algorithm::order::{Order, counts, greatest_common_divisor};
use crate::observation::Backend;
use crate::statistics::{binomial_at_least, binomial_at_most};

/// What was varied to find out what a balancer keys on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Key {
    /// The client's address, in the third of its four numbers.
    Network,
    /// The client's address, in the last of its four numbers.
    Host,
    /// The path and the query.
    Path,
    /// A header of that name.
    Header(String),
    /// A cookie of that name.
    Cookie(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Network => f.write_str("source addresses 127.0.N.1"),
            Key::Host => f.write_str("source addresses 127.0.0.N"),
            Key::Path => f.write_str("paths"),
            Key::Header(name) => write!(f, "values of {}", several("header", name)),
            Key::Cookie(name) => write!(f, "values of {}", several("cookie", name)),
        }
    }
}

/// `the header X-User`, `8 usual headers (X-User, …)`.
fn several(what: &str, names: &str) -> String {
    match names.split(", ").count() {
        1 => format!("the {what} {names}"),
        count => format!("{count} usual {what}s ({}, …)", names.split(", ").next().unwrap_or_default()),
    }
}

/// For each value of something: who answered, each time that it was sent.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Trial {
    /// A row a value.
    pub rows: Vec<Vec<Backend>>,
}

impl Trial {
    /// How many backends answered.
    pub fn spread(&self) -> usize {
        counts(&self.rows.concat()).len()
    }

    /// How many values did not always have the same backend.
    pub fn moved(&self) -> usize {
        self.rows.iter().filter(|row| row.windows(2).any(|pair| pair[0] != pair[1])).count()
    }

    /// The share of requests that went elsewhere than the first of their value.
    fn strayed(&self) -> f64 {
        let later = self.rows.iter().flat_map(|row| row.iter().skip(1).map(|it| Some(it) != row.first()));
        let (count, strayed) = later.fold((0, 0), |(count, strayed), strays| (count + 1, strayed + u32::from(strays)));
        f64::from(strayed) / f64::from(count.max(1))
    }

    /// Whether each value has its backend, and not all the same one.
    pub fn decides(&self) -> bool {
        let repeated = self.rows.iter().filter(|row| row.len() > 1).count();
        repeated >= 8 && self.spread() > 1 && self.moved() == 0
    }
}

/// Requests held in flight, and where others went meanwhile.
#[derive(Clone, PartialEq, Debug)]
pub struct Hold {
    /// Where those in flight are.
    pub busy: Vec<Backend>,
    /// Where the others went, one after the other.
    pub others: Vec<Backend>,
}

impl Hold {
    /// How many others went to where one was held.
    pub fn to_busy(&self) -> usize {
        self.others.iter().filter(|other| self.busy.contains(other)).count()
    }

    /// Whether those in flight are each at another backend.
    fn is_spread(&self) -> bool {
        counts(&self.busy).len() == self.busy.len()
    }
}

/// What was seen.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Evidence {
    /// Backends that are ready, if that is known.
    pub members: Option<usize>,
    /// One request after the other, a new connection each.
    pub fresh: Vec<Backend>,
    /// One request after the other, on one connection.
    pub kept: Vec<Backend>,
    /// Connections that were tried against each other, and the cursors that they showed.
    pub cursors: Option<(usize, usize)>,
    /// Clients that bring back the cookies they were given, a row each; and the names of those cookies.
    pub jar: Option<(Vec<String>, Trial)>,
    /// One thing varied, all else alike.
    pub keys: Vec<(Key, Trial)>,
    /// With one request in flight, in rounds.
    pub held_one: Vec<Hold>,
    /// With nothing in flight any more, after one request took its time; again and again while where it was got nothing.
    pub after: Vec<Hold>,
    /// With one request in flight at all backends but one, in rounds.
    pub held_most: Vec<Hold>,
    /// How often each backend was picked in blocks of the large sample, or of further requests.
    pub sample: Vec<Vec<u64>>,
    /// Why experiments are missing.
    pub missing: Vec<String>,
}

/// What follows from the evidence.
#[derive(Clone, PartialEq, Debug)]
pub struct Inference {
    /// None if nothing fits.
    pub kind: Option<Algorithm>,
    /// What it may be as well.
    pub or: Vec<Algorithm>,
    /// In words.
    pub label: String,
    /// Whether connections are balanced, and all requests of one go the same way.
    pub per_connection: bool,
    /// What it keys on.
    pub key: Option<Key>,
    /// The turns that repeat.
    pub turns: Option<Vec<Backend>>,
    /// How often each backend has its turn, where it has turns.
    pub weights: Vec<(Backend, u32)>,
    /// Independent cursors seen, at least.
    pub cursors: Option<u32>,
    /// What was seen, an experiment a line.
    pub evidence: Vec<String>,
    /// What follows for the reader.
    pub hint: Option<String>,
}

/// A false conclusion from chance alone is less likely than that.
const LEVEL: f64 = 1e-8;

impl Evidence {
    /// Names the algorithm. `names` are those of the backends.
    pub fn infer(&self, names: &[String]) -> Inference {
        let mut inference = Inference {
            kind: None,
            or: Vec::new(),
            label: "none that is known here".to_owned(),
            per_connection: false,
            key: None,
            turns: None,
            weights: Vec::new(),
            cursors: None,
            evidence: Vec::new(),
            hint: None,
        };
        let fresh = Order::of(&self.fresh);
        match &fresh {
            Order::TooFew if !self.remembers() => inference.label = "too few answers to say".to_owned(),
            Order::One(backend) => self.infer_key(*backend, names, &mut inference),
            Order::TooFew
            | Order::Turns(_)
            | Order::Blocks(_)
            | Order::Even(_)
            | Order::Chance
            | Order::Unclear
            | Order::Clumped => {
                self.infer_spread(&fresh, names, &mut inference);
            }
        }
        inference.evidence.extend(self.missing.iter().cloned());
        inference
    }

    /// All fresh connections went to one backend: what does it key on?
    fn infer_key(&self, only: Backend, names: &[String], inference: &mut Inference) {
        let tried = self.fresh.len();
        inference.evidence.push(format!("{tried} new connections: all to {}", name(names, only)));
        self.tell_keys(inference);
        match self.key() {
            Some((kind, label, key)) => {
                (inference.kind, inference.label, inference.key) = (Some(kind), label, Some(key));
            }
            None => self.infer_one(names, inference),
        }
    }

    /// Nothing that was varied decides. What never sent a second request while the first was in flight may still look at load.
    fn infer_one(&self, names: &[String], inference: &mut Inference) {
        let load = self.load(names, inference);
        match load {
            _ if self.remembers() => self.say_least_time(names, inference),
            Load::Follows { .. } => {
                inference.kind = Some(Algorithm::LeastConnections);
                inference.label = "least connections, the first among equals".to_owned();
            }
            Load::Ignores | Load::Unknown => {
                inference.kind = Some(Algorithm::One);
                inference.label = match self.members {
                    Some(1) => "all to one, the only backend that takes part".to_owned(),
                    _ => "all to one".to_owned(),
                };
                // What was not varied may still decide.
                if self.members != Some(1) && self.keys.iter().any(|(_, trial)| trial.spread() > 1) {
                    (inference.kind, inference.label) = (None, "by something that was not varied alone".to_owned());
                }
            }
        }
    }

    fn tell_keys(&self, inference: &mut Inference) {
        for (key, trial) in &self.keys {
            inference.evidence.push(format!("{} {key}, three requests each: {}", trial.rows.len(), told(trial)));
        }
    }

    /// What decides, all else alike.
    fn key(&self) -> Option<(Algorithm, String, Key)> {
        let decides = |wanted: &dyn Fn(&Key) -> bool| {
            self.keys.iter().find(|(key, trial)| wanted(key) && trial.decides()).map(|(key, _)| key.clone())
        };
        let network = decides(&|key| *key == Key::Network);
        let host = decides(&|key| *key == Key::Host);
        let others: [fn(&Key) -> Option<Algorithm>; 3] = [
            |key| (*key == Key::Path).then_some(Algorithm::Uri),
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

    /// Fresh connections went to several backends.
    fn infer_spread(&self, fresh: &Order, names: &[String], inference: &mut Inference) {
        let kept = Order::of(&self.kept);
        inference.evidence.push(format!(
            "{} new connections, one after the other: {}",
            self.fresh.len(),
            seen(fresh, &self.fresh, names)
        ));
        if !self.kept.is_empty() {
            inference.evidence.push(format!(
                "{} requests on one connection: {}",
                self.kept.len(),
                seen(&kept, &self.kept, names)
            ));
        }
        if let Some((cookies, trial)) = &self.jar {
            let what = format!("cookie {}", cookies.join(", "));
            inference.evidence.push(format!(
                "{} clients that bring back the {what}: {}",
                trial.rows.len(),
                told(trial)
            ));
            let requests: usize = trial.rows.iter().map(Vec::len).sum();
            // A few that stray are a fault of one that is sticky; without any stickiness half of them would, at the least.
            if trial.spread() > 1 && requests >= 60 && trial.strayed() < 0.15 {
                inference.kind = Some(Algorithm::Sticky);
                inference.label = format!("sticky by the balancer's {what}");
                inference.cursors = None;
                return;
            }
        }
        if let Some((kind, label, key)) = self.key() {
            self.tell_keys(inference);
            let label = format!("{label}; requests without it are spread");
            (inference.kind, inference.label, inference.key) = (Some(kind), label, Some(key));
            return;
        }
        // Who answered soonest lately may be the same for a while, on whatever connection.
        if let (Order::One(backend), false) = (&kept, self.remembers()) {
            inference.per_connection = true;
            inference.evidence.push(format!(
                "so connections are balanced, not requests: all of one went to {}",
                name(names, *backend)
            ));
        }
        let ordered = if inference.per_connection { fresh } else { &kept };
        let orders = || [fresh, ordered].into_iter();
        let turns = orders().find(|it| it.is_of_one_cursor()).or(orders().find(|it| matches!(it, Order::Turns(_))));
        let load = self.load(names, inference);
        if self.remembers() {
            return self.say_least_time(names, inference);
        }
        let sample = Order::of_counts(&self.sample);
        match turns {
            Some(Order::Turns(period)) => {
                self.infer_turns(counts(period), Some(period.clone()), fresh, load, inference)
            }
            Some(Order::Blocks(weights)) => self.infer_turns(weights.clone(), None, fresh, load, inference),
            _ => self.infer_unordered(fresh, &sample, load, inference),
        }
        if inference.per_connection {
            inference.label = format!("{}, of connections (layer 4, or kept to one backend)", inference.label);
        }
    }

    fn infer_turns(
        &self,
        weights: Vec<(Backend, u32)>,
        turns: Option<Vec<Backend>>,
        fresh: &Order,
        load: Load,
        inference: &mut Inference,
    ) {
        let equal = weights.iter().all(|(_, weight)| *weight == weights[0].1);
        let turning = if equal { Algorithm::RoundRobin } else { Algorithm::WeightedRoundRobin };
        (inference.turns, inference.weights) = (turns, reduced(weights));
        match load {
            Load::Follows { .. } => {
                inference.kind = Some(Algorithm::LeastConnections);
                inference.label = "least connections, in turns among equals".to_owned();
                return;
            }
            Load::Ignores => inference.kind = Some(turning),
            Load::Unknown => {
                inference.kind = Some(turning);
                inference.or = vec![Algorithm::LeastConnections];
            }
        }
        inference.label = match equal {
            true => "round robin".to_owned(),
            false => {
                let weights: Vec<String> = inference.weights.iter().map(|(_, weight)| weight.to_string()).collect();
                format!("weighted round robin {}{}", weights.join(":"), self.pattern(inference))
            }
        };
        if inference.turns.is_none() {
            inference.label.push_str(", in an order that changes from round to round");
        }
        inference.cursors = match (self.cursors, fresh.is_of_one_cursor()) {
            (Some((_, cursors)), _) => Some(cursors as u32),
            (None, true) => Some(1),
            (None, false) => Some(2),
        };
        if let Some((connections, cursors)) = self.cursors {
            let several = if cursors == 1 {
                "one cursor".to_owned()
            } else {
                format!("{cursors} cursors, each in turn for itself")
            };
            inference.evidence.push(format!("{connections} connections against each other: {several}"));
        }
        if inference.cursors.is_some_and(|cursors| cursors > 1) {
            inference.hint = Some(
                "several cursors: each worker process (or balancer) goes round for itself. In NGINX a `zone` in the upstream block makes workers share one".to_owned(),
            );
        }
    }

    fn infer_unordered(&self, fresh: &Order, sample: &Order, load: Load, inference: &mut Inference) {
        if !self.sample.is_empty() {
            let what = match sample {
                Order::Even(ratio) => format!("far more even than chance ({:.0} % of its variance)", ratio * 100.0),
                Order::Chance => "as even as chance".to_owned(),
                Order::Clumped => "less even than chance".to_owned(),
                Order::TooFew | Order::One(_) | Order::Turns(_) | Order::Blocks(_) | Order::Unclear => {
                    "not clear".to_owned()
                }
            };
            inference.evidence.push(format!("{} blocks of requests: {what}", self.sample.len()));
        }
        if let Load::Follows { partly } = load {
            // Least connections never picks a busy one while another is idle, also not for those that are held. With all busy but one, two
            // choices take a busy one a third of the time at least. One that was not under way yet, or not any more, is no proof.
            let spread: Vec<&Hold> = self.held_most.iter().filter(|hold| hold.is_spread()).collect();
            let others: usize = spread.iter().map(|hold| hold.others.len()).sum();
            let there: usize = spread.iter().map(|hold| hold.to_busy()).sum();
            let avoided = !spread.is_empty() && there * 10 < others;
            (inference.kind, inference.label) = match (self.held_most.is_empty(), avoided) {
                (false, true) => {
                    (Some(Algorithm::LeastConnections), "least connections, by chance among equals".to_owned())
                }
                (false, false) => (Some(Algorithm::TwoChoices), Algorithm::TwoChoices.label().to_owned()),
                (true, _) if partly => (Some(Algorithm::TwoChoices), Algorithm::TwoChoices.label().to_owned()),
                (true, _) => {
                    inference.or = vec![Algorithm::TwoChoices];
                    (
                        Some(Algorithm::LeastConnections),
                        "least connections, or the less loaded of two random choices".to_owned(),
                    )
                }
            };
            return;
        }
        let even = matches!(fresh, Order::Even(_)) || matches!(sample, Order::Even(_));
        // Under load a machine that shares out its time in slices can make chance look clumped, never more even.
        let chance = matches!(fresh, Order::Chance)
            && matches!(sample, Order::Chance | Order::Clumped | Order::Unclear | Order::TooFew);
        match (even, chance) {
            (true, _) => {
                inference.kind = Some(Algorithm::RoundRobin);
                inference.label = "round robin, with several cursors".to_owned();
                inference.cursors = Some(2);
                inference.hint = Some(
                    "far more even than chance, and no order: several workers or balancers, each in turn for itself"
                        .to_owned(),
                );
            }
            (false, true) => {
                inference.kind = Some(Algorithm::Random);
                inference.label = "random".to_owned();
                if matches!(sample, Order::TooFew | Order::Unclear) {
                    inference.or.push(Algorithm::RoundRobin);
                }
                if load == Load::Unknown {
                    inference.or.push(Algorithm::TwoChoices);
                    inference.or.push(Algorithm::LeastConnections);
                }
            }
            (false, false) => {}
        }
    }

    /// An answer that took its time and is remembered: whose it was, how many of how many later requests went there, and which share of those
    /// before it did.
    fn memory(&self) -> Option<(Backend, u64, u64, f64)> {
        let mut rounds = self.after.iter().enumerate().filter_map(|(round, hold)| {
            let slow = *hold.busy.first()?;
            let usual = match round.checked_sub(1) {
                None => self.usual(slow),
                Some(before) => share(slow, self.after[before].others.iter()),
            };
            Some((slow, hold.to_busy() as u64, hold.others.len() as u64, usual))
        });
        rounds.find(|(_, there, others, usual)| {
            binomial_at_most(*there, *others, *usual) < LEVEL && (*there as f64) < *others as f64 * usual * 0.7
        })
    }

    fn say_least_time(&self, names: &[String], inference: &mut Inference) {
        (inference.kind, inference.label) = (Some(Algorithm::LeastTime), Algorithm::LeastTime.label().to_owned());
        if let Some((slow, there, others, usual)) = self.memory() {
            inference.evidence.push(format!(
                "after an answer of {} that took its time: {there} of {others} went there (else {:.0} %)",
                name(names, slow),
                usual * 100.0
            ));
        }
    }

    /// Whether a backend whose answer took its time is avoided afterwards.
    fn remembers(&self) -> bool {
        self.memory().is_some()
    }

    /// How often a backend was picked while nothing was in flight.
    fn usual(&self, backend: Backend) -> f64 {
        share(backend, self.fresh.iter().chain(&self.kept))
    }

    /// Whether backends with a request in flight are avoided.
    fn load(&self, names: &[String], inference: &mut Inference) -> Load {
        let others: usize = self.held_one.iter().map(|hold| hold.others.len()).sum();
        if others == 0 {
            return Load::Unknown;
        }
        let expected = |hold: &Hold| hold.busy.first().map_or(0.0, |busy| self.usual(*busy)) * hold.others.len() as f64;
        let usual = self.held_one.iter().map(expected).sum::<f64>() / others as f64;
        let there: usize = self.held_one.iter().map(Hold::to_busy).sum();
        let mut busy: Vec<&str> =
            self.held_one.iter().filter_map(|hold| Some(name(names, *hold.busy.first()?))).collect();
        busy.dedup();
        inference.evidence.push(format!(
            "while a request was in flight at {}: {there} of {others} others went there too (else {:.0} %)",
            busy.join(", "),
            usual * 100.0
        ));
        if !self.held_most.is_empty() {
            let most: usize = self.held_most.iter().map(|hold| hold.others.len()).sum();
            let there: usize = self.held_most.iter().map(Hold::to_busy).sum();
            inference
                .evidence
                .push(format!("with one in flight at each but one: {there} of {most} went to a busy one"));
        }
        let (share, there, others) = (there as f64 / others as f64, there as u64, others as u64);
        if binomial_at_most(there, others, usual) < LEVEL && share < usual * 0.7 {
            return Load::Follows { partly: share > usual * 0.1 };
        }
        // Even two choices with replacement halve the share, at the least.
        match binomial_at_least(there, others, usual * 0.6) < 1e-3 {
            true => Load::Ignores,
            false => Load::Unknown,
        }
    }

    /// What is known of its turns.
    fn pattern(&self, inference: &Inference) -> &'static str {
        match &inference.turns {
            Some(turns) if is_smooth(turns, &inference.weights) => ", smooth (in the order of NGINX)",
            Some(_) | None => "",
        }
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

/// Whether the load of a backend counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Load {
    Follows { partly: bool },
    Ignores,
    Unknown,
}

fn share<'a>(of: Backend, sequence: impl Iterator<Item = &'a Backend> + Clone) -> f64 {
    sequence.clone().filter(|it| **it == of).count() as f64 / sequence.count().max(1) as f64
}

fn name(names: &[String], backend: Backend) -> &str {
    names.get(usize::from(backend.0)).map_or("?", String::as_str)
}

fn singular(key: &Key) -> String {
    match key {
        Key::Network | Key::Host => "source address".to_owned(),
        Key::Path => "URI".to_owned(),
        Key::Header(name) => format!("the header {name}"),
        Key::Cookie(name) => format!("the client's cookie {name}"),
    }
}

fn told(trial: &Trial) -> String {
    match (trial.spread(), trial.moved()) {
        (0, _) => "no answer".to_owned(),
        (1, _) => "all to the same backend".to_owned(),
        (spread, 0) => format!("{spread} backends, each always the same one"),
        (spread, moved) => format!("{spread} backends, {moved} of {} changed theirs", trial.rows.len()),
    }
}

/// A few turns in the backends' names, and what they look like.
fn seen(order: &Order, sequence: &[Backend], names: &[String]) -> String {
    let turn =
        |backends: &[Backend]| backends.iter().map(|backend| name(names, *backend)).collect::<Vec<_>>().join(" ");
    match order {
        Order::TooFew => "too few of some to compare".to_owned(),
        Order::One(backend) => format!("all to {}", name(names, *backend)),
        Order::Turns(period) if period.len() <= 12 => format!("{}, without exception", turn(period)),
        Order::Turns(period) => format!("a turn of {}, without exception", period.len()),
        Order::Blocks(weights) => {
            let length: u32 = weights.iter().map(|(_, weight)| weight).sum();
            format!("each block of {length} complete, in changing order")
        }
        Order::Even(ratio) => format!("no order, {:.0} % of the variance of chance", ratio * 100.0),
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
