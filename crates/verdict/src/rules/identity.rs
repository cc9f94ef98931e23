//! The rule of the identity: one constant name is no identity, and what the check had to guess from a text is for the user to confirm.

use crate::facts::identity::Facts;
use crate::finding::{self, Finding, Level};
use crate::rules::case::Case;

/// Names that are shown.
const SHOWN: usize = 4;

/// Where the names of backends were found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// As `--identity` takes it.
    pub place: String,
    /// By the user.
    pub chosen: bool,
    /// It is a header or a member of JSON that says by its name what it is.
    pub named: bool,
}

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let identity = case.identity?;
    let level = match (case.names.len(), identity.chosen || identity.named) {
        (0 | 1, _) | (_, false) => Level::Inconclusive,
        (_, true) if identity.chosen => return None,
        (_, true) => Level::Note,
    };
    let facts = Facts {
        place: identity.place.clone(),
        chosen: identity.chosen,
        named: identity.named,
        values: case.names.iter().take(SHOWN).cloned().collect(),
        count: case.names.len() as u64,
    };
    Some(Finding::new(level, finding::Facts::Identity(facts)))
}
