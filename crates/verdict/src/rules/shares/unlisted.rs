//! Where the configuration promises no shares, it lists its servers all the same: who gets requests and is none of them is a finding.

use super::{Conclusion, Finding, Level, Selections, failing};
use crate::outcome::Outcome;

/// None where all that got requests are listed, or where it is not known who is.
pub(super) fn judge(selections: &Selections) -> Option<Finding> {
    let Selections { case, counts, .. } = selections;
    let (listed, is_split) = (&case.expectations.listed, !case.expectations.groups.is_empty());
    // A list without any backend of ours names others, or places of which something else makes servers.
    if is_split || !case.names.iter().any(|name| listed.contains(name)) {
        return None;
    }
    let got = case.names.iter().zip(counts).filter(|(_, count)| **count > 0).map(|(name, _)| name);
    let unlisted: Vec<String> =
        got.filter(|name| !listed.contains(name) && case.expectations.takes_part(name)).cloned().collect();
    if unlisted.is_empty() {
        return None;
    }
    // A method that is not understood may have servers of its own; what fails may be sent to a place outside of the list; of
    // copies it is not known which was first; and what the file says may be about the first URL alone.
    let is_open = !case.expectations.not_understood.is_empty()
        || failing(case, counts).contains(&true)
        || [Outcome::Duplicated, Outcome::Balancer].iter().any(|it| case.tally.of_outcome(*it) > 0)
        || case.tally.unordered > 0
        || case.urls.are_several();
    let level = if is_open { Level::Inconclusive } else { Level::Fail };
    Some(selections.find(level, Conclusion::Unlisted(unlisted)).shown_by(case.order()))
}
