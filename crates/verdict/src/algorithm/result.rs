//! What each experiment showed, as data: reports make the prose.

use serde::{Deserialize, Serialize};

use super::Algorithm;
use super::evidence::{Key, KeyTrial};
use super::missing::Missing;
use super::order::OrderPattern;
use super::selection::Selection;
use crate::observation::Backend;

/// One experiment: what was seen, and what that excludes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExperimentResult {
    /// Which experiment it was, and what was seen.
    #[serde(flatten)]
    pub facts: ExperimentFacts,
    /// Algorithms that would not have given that. What is not listed is not excluded by this experiment alone.
    pub excludes: Vec<Algorithm>,
}

/// Which experiment was made, and what was seen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "experiment", rename_all = "snake_case")]
pub enum ExperimentFacts {
    /// New connections in sequence, a request each.
    NewConnections {
        /// Their number.
        requests: u64,
        /// The order in which they met backends.
        order: OrderFacts,
    },
    /// Requests in sequence on one connection.
    OneConnection {
        /// Their number.
        requests: u64,
        /// The order in which they met backends.
        order: OrderFacts,
    },
    /// The beginning of the sample, in the order in which it was sent.
    Sample {
        /// Requests that were looked at.
        requests: u64,
        /// The order in which they met backends.
        order: OrderFacts,
    },
    /// A long run of requests, cut into blocks: how evenly they are filled.
    Blocks {
        /// Their number.
        requests: u64,
        /// How even they are.
        order: OrderFacts,
    },
    /// Several requests on each of several connections: all of a connection went to one backend.
    Connections {
        /// Connections.
        connections: u64,
        /// Requests on each.
        requests: u64,
    },
    /// One thing was varied, all else alike.
    Key {
        /// What was varied.
        key: Key,
        /// Values that were tried.
        values: u64,
        /// Requests with each of them.
        requests: u64,
        /// Where they went.
        spread: KeySpread,
    },
    /// Clients brought back what their first response had given them.
    GivenCookies {
        /// What that was: `cookie SERVERID`, `session in X-Session`.
        given: Vec<String>,
        /// Clients.
        clients: u64,
        /// Requests of each, the first included.
        #[serde(default)]
        requests: u64,
        /// Where they went.
        spread: KeySpread,
    },
    /// Requests of one value at once, where that value has its backend as long as they come one by one.
    BusyKey {
        /// Requests.
        requests: u64,
        /// Those that went elsewhere than one by one.
        elsewhere: u64,
    },
    /// Requests beside one that was held in flight.
    BesideOne {
        /// Backends where one was held.
        busy: Vec<String>,
        /// Requests meanwhile.
        requests: u64,
        /// Those that went to the busy backend too.
        to_busy: u64,
        /// The share that goes there if load is ignored.
        expected: f64,
    },
    /// Requests in sequence beside one that was held, round after round, where turns are strict: all backends kept theirs.
    TurnsBeside {
        /// Requests that were held.
        held: u64,
        /// Requests meanwhile.
        requests: u64,
        /// Those that went to the busy backend in its turn.
        to_busy: u64,
        /// How often the turns were left all the same.
        left: u64,
    },
    /// Requests beside one in flight at each of several backends: at all but one, or of many at half of them.
    BesideMost {
        /// Requests meanwhile.
        requests: u64,
        /// Those that went to a busy backend.
        to_busy: u64,
        /// Backends that were busy.
        #[serde(default)]
        busy: u64,
        /// All backends.
        #[serde(default)]
        backends: u64,
    },
    /// Requests beside one in flight at each backend.
    BesideAll {
        /// Requests meanwhile.
        requests: u64,
        /// Those that waited until one was over, or were refused.
        waited: u64,
    },
    /// Connections that rotate each for themselves, beside requests in flight at their worker.
    BesideWorkers {
        /// Connections.
        connections: u64,
        /// Those that were surely beside a request in flight at their worker.
        beside: u64,
        /// Those whose rotation left out a backend.
        left_out: u64,
    },
    /// Requests side by side, some much slower than others.
    SideBySide {
        /// Their number.
        requests: u64,
        /// How far any backend was ahead of its turns, or behind, at most; null if that was not looked at.
        drift: Option<f64>,
        /// Requests for which some backend had more in flight than another.
        chances: u64,
        /// Those that went to such a backend.
        uphill: u64,
        /// How many would have if load is ignored.
        expected: f64,
        /// Whether some waited until another request at the same backend was over.
        waited: bool,
    },
    /// The beginning of the sample, where backends that are not ours take longer than others by themselves.
    SampleSideBySide {
        /// Requests that were looked at.
        requests: u64,
        /// The most of them at once.
        at_once: u64,
        /// How far any backend was ahead of its turns, or behind, at most.
        drift: f64,
        /// Requests for which some backend surely had more in flight than another.
        chances: u64,
        /// Those that went to such a backend.
        uphill: u64,
        /// How many would have if load is ignored.
        expected: f64,
    },
    /// Requests after a slow response of one backend, with nothing in flight.
    AfterSlow {
        /// That backend.
        backend: String,
        /// Requests afterwards.
        requests: u64,
        /// Those that went there.
        there: u64,
        /// The share that usually goes there.
        usual: f64,
    },
    /// Connections that were tried against each other: two share a rotation if the one moves the position of the other.
    Rotations {
        /// Connections.
        connections: u64,
        /// Rotations that they showed.
        rotations: u64,
    },
    /// The sample, which varied nothing, went to several backends.
    SampleSpreads {
        /// Backends that it reached.
        backends: u64,
        /// The selection that this refutes.
        refuted: Selection,
    },
    /// The sample, with many requests in flight, has other shares than the weights that requests in sequence show.
    SampleDiffers,
    /// Requests of others during the experiments.
    Others {
        /// Their number.
        requests: u64,
    },
    /// An experiment that was not made, or not to its end.
    NotMade {
        /// Which one, and why.
        missing: Missing,
    },
}

/// The order in which requests met backends.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum OrderFacts {
    /// Too few to say.
    TooFew,
    /// Always the same backend.
    One {
        /// That backend.
        backend: String,
    },
    /// The same round again and again.
    Turns {
        /// Requests of a round.
        length: u64,
        /// Backends of a round in their order; empty if it is longer than twelve.
        round: Vec<String>,
        /// How often it was left, and taken up again at another place.
        exceptions: u64,
    },
    /// Each block of this length is complete, in changing order.
    Blocks {
        /// Requests of a block.
        length: u64,
    },
    /// No fixed order, and much more even than chance.
    Even {
        /// The variance as a share of that of chance.
        variance: f64,
    },
    /// As independent draws give it.
    Chance {
        /// The first of them.
        first: Vec<String>,
    },
    /// Neither order nor clearly chance.
    Unclear,
    /// The same backend again more often than by chance.
    Clumped,
}

/// Where requests of several values went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeySpread {
    /// Backends that they reached.
    pub backends: u64,
    /// Values that did not always have the same one.
    pub moved: u64,
}

impl KeySpread {
    pub(super) fn of(trial: &KeyTrial) -> KeySpread {
        KeySpread { backends: trial.spread() as u64, moved: trial.moved() as u64 }
    }
}

/// A round that is longer is not written out.
const LONGEST_ROUND: usize = 12;
/// Requests that show what chance looks like.
const FIRST: usize = 6;

impl OrderFacts {
    pub(super) fn of(order: &OrderPattern, sequence: &[Backend], names: &[String]) -> OrderFacts {
        let named = |backends: &[Backend]| backends.iter().map(|backend| name(names, *backend).to_owned()).collect();
        match order {
            OrderPattern::TooFew => OrderFacts::TooFew,
            OrderPattern::One(backend) => OrderFacts::One { backend: name(names, *backend).to_owned() },
            OrderPattern::Turns { period, exceptions } => OrderFacts::Turns {
                length: period.len() as u64,
                round: if period.len() <= LONGEST_ROUND { named(period) } else { Vec::new() },
                exceptions: *exceptions as u64,
            },
            OrderPattern::Blocks(weights) => {
                OrderFacts::Blocks { length: weights.iter().map(|(_, weight)| u64::from(*weight)).sum() }
            }
            OrderPattern::Even(variance) => OrderFacts::Even { variance: *variance },
            OrderPattern::Chance => OrderFacts::Chance { first: named(&sequence[..sequence.len().min(FIRST)]) },
            OrderPattern::Unclear => OrderFacts::Unclear,
            OrderPattern::Clumped => OrderFacts::Clumped,
        }
    }
}

/// As the fleet calls it.
pub(super) fn name(names: &[String], backend: Backend) -> &str {
    names.get(usize::from(backend.0)).map_or("nobody", String::as_str)
}

/// Whoever selects without a look at load or time.
pub(super) const REGARDLESS_OF_LOAD: &[Algorithm] =
    &[Algorithm::RoundRobin, Algorithm::WeightedRoundRobin, Algorithm::Random];
/// Whoever never prefers a busy backend to an idle one by its own rule.
pub(super) const BY_LOAD: &[Algorithm] = &[Algorithm::LeastConnections, Algorithm::TwoChoices];
/// Whoever spreads requests that are all alike.
pub(super) const SPREADING: &[Algorithm] =
    &[Algorithm::RoundRobin, Algorithm::WeightedRoundRobin, Algorithm::Random, Algorithm::TwoChoices];
/// Whoever sends requests that are all alike to one backend.
pub(super) const BY_WHAT_IS_ALIKE: &[Algorithm] = &[Algorithm::Source, Algorithm::Uri, Algorithm::One];
