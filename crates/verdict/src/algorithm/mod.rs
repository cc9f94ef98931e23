//! How a balancer selects a backend: the names of algorithms, the experiments that vary one thing at a time, and what follows from them.

mod breaks;
mod busy;
mod crowd;
mod evidence;
pub mod experiments;
mod flights;
mod holds;
mod infer;
mod inference;
mod keys;
mod lab;
mod load;
mod missing;
pub mod order;
mod refute;
mod result;
mod rotation;
mod sampled;
mod selection;
mod spread;
mod subject;
mod turns;
mod workers;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use evidence::{Evidence, Flight, Full, Given, HeldTurn, Hold, Key, KeyTrial, Pick, WorkerRow};
pub use inference::{AlgorithmRemark, Inference, RotationBreaks};
pub use missing::{Missing, SkipReason};
pub use result::{ExperimentFacts, ExperimentResult, KeySpread, OrderFacts};
pub use selection::{CookieGiver, LoadSelection, RoundOrder, Selection};

http::named_enum! {
    /// How a balancer selects a backend.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[serde(rename_all = "kebab-case")]
    pub enum Algorithm {
        /// Each backend in turn.
        RoundRobin => "round-robin",
        /// In rotation, some more often than others.
        WeightedRoundRobin => "weighted-round-robin",
        /// An independent draw for each request.
        Random => "random",
        /// The less loaded of two random choices.
        TwoChoices => "two-choices",
        /// The backend with the fewest requests in flight.
        LeastConnections => "least-connections",
        /// The backend that responded fastest lately.
        LeastTime => "least-time",
        /// By the client's address.
        Source => "source",
        /// By path or query.
        Uri => "uri",
        /// By a header of the request.
        Header => "header",
        /// By a cookie that the client brings.
        Cookie => "cookie",
        /// By the request's body.
        Body => "body",
        /// By a cookie that the balancer issues.
        Sticky => "sticky",
        /// Always the same backend.
        One => "one",
    }

    /// As `--expect` and `--algorithm` take it.
    fn name;
}

impl Algorithm {
    /// Whether each client, or each key, stays with one backend.
    pub fn pins(self) -> bool {
        self.is_hash() || self == Algorithm::Sticky
    }

    /// Whether it selects by something that the client brings, and remembers nothing.
    pub fn is_hash(self) -> bool {
        match self {
            Algorithm::Source | Algorithm::Uri | Algorithm::Header | Algorithm::Cookie | Algorithm::Body => true,
            Algorithm::RoundRobin
            | Algorithm::WeightedRoundRobin
            | Algorithm::Random
            | Algorithm::TwoChoices
            | Algorithm::LeastConnections
            | Algorithm::LeastTime
            | Algorithm::Sticky
            | Algorithm::One => false,
        }
    }

    /// Whether the load or the speed of the backends decides.
    pub fn follows_load(self) -> bool {
        matches!(self, Algorithm::TwoChoices | Algorithm::LeastConnections | Algorithm::LeastTime)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The names of algorithms, and those that NGINX, HAProxy, Envoy, Traefik and Caddy have for them.
impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Algorithm, UnknownAlgorithm> {
        let word = text.to_ascii_lowercase().replace('_', "-");
        let known = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == word);
        let alias = || match word.as_str() {
            "wrr" => Some(Algorithm::WeightedRoundRobin),
            "rr" | "roundrobin" => Some(Algorithm::RoundRobin),
            "least-conn" | "leastconn" => Some(Algorithm::LeastConnections),
            "leasttime" => Some(Algorithm::LeastTime),
            "ip-hash" | "source-hash" => Some(Algorithm::Source),
            "uri-hash" => Some(Algorithm::Uri),
            // Envoy's least request takes the less loaded of two.
            "random-two" | "p2c" | "least-request" => Some(Algorithm::TwoChoices),
            _ => None,
        };
        known.or_else(alias).ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}

/// A text that names no algorithm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownAlgorithm(pub String);

impl std::error::Error for UnknownAlgorithm {}

impl fmt::Display for UnknownAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: unknown algorithm; known are {}", self.0, Algorithm::ALL.map(Algorithm::name).join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balancers_have_names_of_their_own_for_algorithms() {
        for (name, algorithm) in [
            ("LEAST_REQUEST", Algorithm::TwoChoices),
            ("leastconn", Algorithm::LeastConnections),
            ("roundrobin", Algorithm::RoundRobin),
            ("ip_hash", Algorithm::Source),
        ] {
            assert_eq!(name.parse(), Ok(algorithm));
        }
        assert!("fastest".parse::<Algorithm>().is_err());
    }
}
