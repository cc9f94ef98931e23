//! The rule of the algorithm: it is the one that was expected.

use serde::{Deserialize, Serialize};

use crate::algorithm::{Algorithm, ExperimentResult, Selection};
use crate::facts::RuleDescription;

/// What was expected, and what is seen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AlgorithmFacts {
    /// The one that `--expect` names.
    pub expected: Algorithm,
    /// Those that fit what was seen; none if nothing fits.
    pub candidates: Vec<Algorithm>,
    /// How it selects, as far as requests show it.
    pub selection: Selection,
    /// What each experiment showed.
    pub experiments: Vec<ExperimentResult>,
}

pub(crate) const ALGORITHM: RuleDescription = RuleDescription {
    requires: "the algorithm is the one of --expect",
    sound: "level 1e-8 an experiment: it fails if the experiments exclude the expected algorithm; beside a limit they exclude nothing; with \
            fewer than two backends that it need not avoid for what was before the check it is inconclusive",
    source: None,
};
