//! The rule of the identity: one constant name is no identity, and what the check had to guess from a text is for the user to confirm.

use crate::facts::identity::{IdentityFacts, IdentitySource};
use crate::finding::{self, Finding, Level};
use crate::rules::case::Case;

/// Names that are shown.
const SHOWN: usize = 4;

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let identity = case.identity?;
    let level = conclusion(identity, case.names.len())?;
    let facts = IdentityFacts {
        place: identity.place.clone(),
        chosen: identity.chosen,
        named: identity.named,
        values: case.names.iter().take(SHOWN).cloned().collect(),
        count: case.names.len() as u64,
        shared: identity.shared.clone(),
    };
    Some(Finding::new(level, finding::Facts::Identity(facts)))
}

/// None where there is nothing to say.
fn conclusion(identity: &IdentitySource, names: usize) -> Option<Level> {
    match names {
        0 | 1 => Some(Level::Inconclusive),
        _ if !identity.chosen && !identity.named => Some(Level::Inconclusive),
        _ if identity.chosen && identity.shared.is_empty() => None,
        _ => Some(Level::Note),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::identity::SharedCounter;

    fn level(names: usize, chosen: bool, named: bool) -> Option<Level> {
        conclusion(&source(chosen, named), names)
    }

    fn source(chosen: bool, named: bool) -> IdentitySource {
        IdentitySource { place: "header:X".to_owned(), chosen, named, shared: Vec::new() }
    }

    #[test]
    fn one_name_is_no_identity_whoever_chose_it() {
        for (chosen, named) in [(true, true), (false, true), (false, false)] {
            assert_eq!(
                (level(0, chosen, named), level(1, chosen, named)),
                (Some(Level::Inconclusive), Some(Level::Inconclusive))
            );
        }
    }

    #[test]
    fn a_guess_is_for_the_user_to_confirm_and_a_choice_needs_no_word() {
        assert_eq!(level(3, false, false), Some(Level::Inconclusive));
        assert_eq!(level(3, false, true), Some(Level::Note));
        assert_eq!(level(3, true, true), None);
    }

    #[test]
    fn a_name_that_several_processes_may_share_is_noted_and_no_more() {
        let shared = SharedCounter {
            name: "app".to_owned(),
            place: "json:/requests".to_owned(),
            processes: 2,
            values: vec![1, 1, 2, 2, 3, 3],
        };
        let chosen = IdentitySource { shared: vec![shared], ..source(true, true) };
        assert_eq!(conclusion(&chosen, 3), Some(Level::Note));
    }
}
