//! What a rule requires, and why it can be relied on.

/// What a rule is, for the documentation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleDescription {
    /// What has to hold.
    pub requires: &'static str,
    /// Why a balancer that is right does not fail it: by construction, or at which level.
    pub sound: &'static str,
    /// RFC section, documentation, paper.
    pub source: Option<&'static str>,
}
