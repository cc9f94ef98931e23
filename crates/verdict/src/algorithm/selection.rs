//! What requests show of how backends are selected, in more detail than the name of an algorithm has.

use serde::{Deserialize, Serialize};

use super::Algorithm;
use super::evidence::Key;

/// How backends are selected, as far as requests show it. Reports word it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "seen", rename_all = "kebab-case")]
pub enum Selection {
    /// As the algorithm of that name selects.
    Named {
        /// That algorithm.
        algorithm: Algorithm,
    },
    /// One selection is made for each connection, not for each request.
    OfConnections {
        /// How each of these selections is made.
        each: Box<Selection>,
    },
    /// No algorithm that is known here selects so.
    NoneKnown,
    /// There were no experiments.
    NotExamined,
    /// Too few responses came.
    TooFewResponses,
    /// No backend got a request of the experiments.
    NoBackendReached,
    /// A limit refused requests of the experiments, each of which may have been anybody's turn.
    BehindALimit,
    /// The experiments show one selection and the sample another.
    Changed,
    /// There is one backend.
    OnlyBackend,
    /// All requests went to the same backend, whatever was varied.
    AllToOne,
    /// All requests went to that backend, and what may decide was not tried.
    AllToOneUntried {
        /// The name of the backend.
        backend: String,
    },
    /// All requests went to that backend until something was varied.
    AllToOneUntilVaried {
        /// The name of the backend.
        backend: String,
    },
    /// All requests in sequence went to one backend, and those under load to several.
    AllToOneUntilLoad,
    /// Each backend has its turn.
    Rotation {
        /// How often each has its turn in a round; empty if all have it equally often.
        weights: Vec<u32>,
        /// The order of the turns.
        order: RoundOrder,
    },
    /// A rotation whose weights are not known, because requests fail.
    RotationWithFailures,
    /// Even as several rotations are, each of its own worker or balancer.
    SeveralRotations {
        /// The algorithm of each.
        algorithm: Algorithm,
    },
    /// A rotation of some backends, and a few requests to others.
    RotationBesides {
        /// The names of the backends that have turns.
        turns: Vec<String>,
        /// The names of the others.
        others: Vec<String>,
        /// The share of all requests that the others get.
        #[serde(default)]
        share: f64,
    },
    /// A rotation of some backends at first, and later others got as many requests.
    RotationAtFirst {
        /// The names of the backends that had turns.
        turns: Vec<String>,
        /// The names of the others.
        others: Vec<String>,
    },
    /// A rotation on most connections, while some keep to one backend.
    RotationOfSome {
        /// Connections that keep to a backend.
        kept: u64,
        /// Connections that were looked at.
        of: u64,
        /// The names of these backends.
        backends: Vec<String>,
    },
    /// A rotation of new connections, and another one of the requests on one.
    RotationsByConnection {
        /// How often each backend has its turn among new connections.
        new: Vec<u32>,
        /// How often among requests on one connection.
        kept: Vec<u32>,
    },
    /// Each connection begins with the same backend, and goes on to the same others.
    ByPlaceOnConnection {
        /// The backends of its first requests.
        round: Vec<String>,
    },
    /// An order that repeats.
    FixedOrder {
        /// After that many requests.
        length: u64,
        /// As that many rotations in turn give; null if none do.
        rotations: Option<u32>,
    },
    /// By the first numbers of the client's address: the last one does not count.
    ByNetwork,
    /// By a key of the request.
    ByKey {
        /// That key.
        key: Key,
        /// Whether requests without it are spread.
        others_spread: bool,
    },
    /// By the value of cookies that the balancer gives.
    ByGivenCookie {
        /// Their names.
        cookies: Vec<String>,
    },
    /// By cookies that name the backend.
    Sticky {
        /// Their names.
        cookies: Vec<String>,
        /// Who gives them.
        given_by: CookieGiver,
    },
    /// By what backends have in flight.
    ByLoad {
        /// What is known of that.
        how: LoadSelection,
    },
    /// Each worker selects by what it has in flight itself, or by times that it measures itself.
    ByLoadOfEachWorker {
        /// The algorithm of each worker.
        algorithm: Algorithm,
    },
    /// Like chance in sequence, and more even in a long sample.
    LikeChanceButEvenOnTheWhole,
    /// Like chance in sequence, and more even side by side.
    LikeChanceButEvenSideBySide,
    /// Like chance, and copies of requests may take turns of a rotation.
    LikeChanceWithCopies,
    /// More even than chance: in rotation or by load.
    MoreEvenThanChance,
    /// The same backend again more often than by chance.
    Bursts,
    /// No order, and not surely chance.
    NoOrder,
}

/// In which order the turns of a round are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RoundOrder {
    /// The same in each round.
    Fixed,
    /// That of smooth weighted round robin.
    Smooth,
    /// Another from round to round.
    Changing,
}

/// Who gives a client its cookies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CookieGiver {
    /// The balancer does.
    Balancer,
    /// The backends do: they open sessions.
    Backends,
}

/// What is known of a selection that looks at load.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LoadSelection {
    /// Least connections, the first of those with equally many.
    FirstAmongEquals,
    /// Least connections, in turn among those with equally many.
    TurnsAmongEquals,
    /// The same with weights.
    WeightedTurnsAmongEquals,
    /// Least connections, by chance among those with equally many.
    ChanceAmongEquals,
    /// Least connections, or another algorithm that looks at load.
    LeastConnectionsOrOther,
    /// Least connections, or the less loaded of two random choices.
    LeastConnectionsOrTwoChoices,
    /// Least connections, or the least loaded of several random choices.
    LeastConnectionsOrSeveralChoices,
    /// The least loaded of two random choices, or of more.
    SeveralChoices,
    /// An idle backend was left out for busy ones.
    LeavesOutIdle,
    /// Others change the load too.
    ChangedByOthers,
    /// A part of the requests takes no notice of it.
    InPart,
}

impl Selection {
    /// By that key, whether or not other requests lack it.
    pub(super) fn by(key: &Key) -> Selection {
        Selection::ByKey { key: key.clone(), others_spread: false }
    }

    /// One that is made for requests with the key alone.
    pub(super) fn with_others_spread(self) -> Selection {
        match self {
            Selection::ByKey { key, .. } => Selection::ByKey { key, others_spread: true },
            other => other,
        }
    }
}

impl From<Algorithm> for Selection {
    fn from(algorithm: Algorithm) -> Selection {
        Selection::Named { algorithm }
    }
}
