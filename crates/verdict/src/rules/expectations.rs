//! What the user requires: shares, an algorithm, backups, and what else has a name.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use crate::algorithm::Algorithm;
use crate::facts::shares::{Misfit, SharesSource};
use crate::outcome::Outcome;
use crate::rules::requirement::Requirement;
use crate::tally::SessionLife;

/// A balancer that is right fails at most that often: 4 in ten million for its shares, the rest for all other rules together, which are
/// exact except for the naming of the algorithm (1 in a hundred million each).
pub const FALSE_ALARM: f64 = 4e-7;

/// What the user requires.
#[derive(Clone, PartialEq, Debug)]
pub struct Expectations {
    /// Of the shares; None leaves it to the algorithm that is seen: even, where it promises that.
    pub shares: Option<ExpectedWeights>,
    /// Groups of backends between which requests are divided, where what each backend gets of them is not known; else empty.
    pub groups: Vec<ExpectedGroup>,
    /// Where the expected shares come from.
    pub shares_by: SharesSource,
    /// The algorithm that the balancer must have.
    pub algorithm: Option<Algorithm>,
    /// What decides about the shares and is not understood, such as a line of a configuration: then nothing is required of
    /// them, not even what the algorithm that is seen would promise.
    pub not_understood: Vec<String>,
    /// All backends that the configuration has, backups too: of a drill those that it has in the end; empty where that is not known.
    pub listed: Vec<String>,
    /// Backends that get nothing while any other can: backups, and what is marked as down.
    pub backups: Vec<String>,
    /// No client may see an error, whatever happens meanwhile; None leaves it to what happens.
    pub lossless: Option<bool>,
    /// A client stays with the backend that opened its session.
    pub sessions: bool,
    /// What else is required by name, such as `intact`.
    pub required: Vec<Requirement>,
    /// Outcomes that are not held against the balancer.
    pub allowed: Vec<Outcome>,
    /// Deviations of a share that must be detected, 0 to 1.
    pub tolerance: f64,
    /// Deviations of a share that are granted, 0 to 1.
    pub margin: f64,
    /// How long the share of a backend grows after its return, as the balancer is configured (slow start).
    pub slow_start: Option<Duration>,
    /// How long sessions last, as the balancer is configured.
    pub session_life: Option<SessionLife>,
    /// What the balancer is configured to do to responses itself.
    pub configured: ConfiguredResponses,
}

/// What a configuration says that the balancer does to responses itself, each with its place in the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConfiguredResponses {
    /// Statuses with which it responds in place of a backend.
    pub statuses: BTreeMap<u16, Vec<String>>,
    /// What rewrites bodies.
    pub bodies: Vec<String>,
    /// What has it store responses that backends forbid it to store.
    pub stored: Vec<String>,
}

impl ConfiguredResponses {
    /// Adds those of another file.
    pub fn extend(&mut self, other: &ConfiguredResponses) {
        for (status, lines) in &other.statuses {
            self.statuses.entry(*status).or_default().extend_from_slice(lines);
        }
        self.bodies.extend_from_slice(&other.bodies);
        self.stored.extend_from_slice(&other.stored);
    }
}

impl Expectations {
    /// How long after its return a backend may get less than its share.
    pub(crate) fn growth(&self) -> Duration {
        let required = self
            .required
            .iter()
            .filter_map(|it| if let Requirement::SlowStart(time) = it { Some(*time) } else { None });
        required.chain(self.slow_start).max().unwrap_or_default()
    }
}

impl Default for Expectations {
    fn default() -> Self {
        Expectations {
            shares: None,
            groups: Vec::new(),
            shares_by: SharesSource::Default,
            algorithm: None,
            not_understood: Vec::new(),
            listed: Vec::new(),
            backups: Vec::new(),
            lossless: None,
            sessions: false,
            required: Vec::new(),
            allowed: Vec::new(),
            tolerance: 0.02,
            margin: 0.0,
            slow_start: None,
            session_life: None,
            configured: ConfiguredResponses::default(),
        }
    }
}

impl Expectations {
    /// The deviation that must be detected: of small shares a quarter, lest the tolerance be more than the share.
    pub fn tolerance_of(&self, shares: &[f64]) -> f64 {
        if self.margin > 0.0 {
            return self.tolerance;
        }
        let least = shares.iter().copied().filter(|share| *share > 0.0).fold(1.0, f64::min);
        self.tolerance.min(least / 4.0)
    }

    /// Whether the user requires shares: by number, or by an algorithm that promises even ones.
    pub fn requires_shares(&self) -> bool {
        self.shares.is_some() || self.algorithm == Some(Algorithm::RoundRobin)
    }

    /// Whether a configuration says what is expected: it does so of one group of servers, and another URL may lead to another.
    pub fn are_by_file(&self) -> bool {
        matches!(self.shares_by, SharesSource::File { .. })
    }

    /// Whether a backend is to be reached while all is well.
    pub fn takes_part(&self, name: &str) -> bool {
        !self.backups.iter().any(|backup| backup == name)
    }

    /// A backend is a backup; the user and a file may both say it.
    pub fn expect_backup(&mut self, name: String) {
        if self.takes_part(&name) {
            self.backups.push(name);
        }
    }

    /// The expected share of each backend; or what does not fit.
    pub fn shares(&self, names: &[String]) -> Result<Vec<f64>, Misfit> {
        let mut shares = self.shares.as_ref().unwrap_or(&ExpectedWeights::Even).shares(names)?;
        for (share, name) in shares.iter_mut().zip(names) {
            *share *= f64::from(u8::from(self.takes_part(name)));
        }
        let sum: f64 = shares.iter().sum();
        if sum == 0.0 {
            return Err(Misfit::NobodyTakesPart);
        }
        Ok(shares.into_iter().map(|share| share / sum).collect())
    }
}

/// Backends that get what the weight of all of them says: those of a Service, an upstream, a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpectedGroup {
    /// As the configuration names it.
    pub name: String,
    /// Relative to the other groups.
    pub weight: u32,
    /// By name; none of them is in another group.
    pub backends: Vec<String>,
}

impl ExpectedGroup {
    /// The share of each.
    pub fn shares(groups: &[ExpectedGroup]) -> Vec<f64> {
        let sum: u64 = groups.iter().map(|group| u64::from(group.weight)).sum();
        groups.iter().map(|group| f64::from(group.weight) / sum.max(1) as f64).collect()
    }
}

/// The shares that backends are expected to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExpectedWeights {
    /// Each backend has the same share.
    Even,
    /// One weight for each backend, in the order of the fleet.
    ByPlace(Vec<u32>),
    /// By name; those that are not named get nothing.
    ByName(Vec<(String, u32)>),
}

impl FromStr for ExpectedWeights {
    type Err = String;

    fn from_str(text: &str) -> Result<ExpectedWeights, String> {
        let wrong = || {
            format!(
                "{text}: expected `even`, weights in the fleet's order such as 5:1:1, or by name such as 9001=5,9002=1"
            )
        };
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
        let weights = match text {
            "even" => return Ok(ExpectedWeights::Even),
            named if named.contains('=') => {
                let pair = |pair: &str| {
                    let (name, weight) = pair.split_once('=').ok_or_else(wrong)?;
                    Ok((name.trim().to_owned(), number(weight)?))
                };
                ExpectedWeights::ByName(named.split(',').map(pair).collect::<Result<_, String>>()?)
            }
            placed if placed.contains(':') => {
                ExpectedWeights::ByPlace(placed.split(':').map(number).collect::<Result<_, _>>()?)
            }
            _ => return Err(wrong()),
        };
        let any = match &weights {
            ExpectedWeights::Even => true,
            ExpectedWeights::ByPlace(weights) => weights.iter().any(|weight| *weight > 0),
            ExpectedWeights::ByName(weights) => weights.iter().any(|(_, weight)| *weight > 0),
        };
        if any { Ok(weights) } else { Err(format!("{text}: at least one weight must not be 0")) }
    }
}

impl std::fmt::Display for ExpectedWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExpectedWeights::Even => f.write_str("even"),
            ExpectedWeights::ByPlace(weights) => {
                f.write_str(&weights.iter().map(u32::to_string).collect::<Vec<_>>().join(":"))
            }
            ExpectedWeights::ByName(weights) => {
                let pairs: Vec<String> = weights.iter().map(|(name, weight)| format!("{name}={weight}")).collect();
                f.write_str(&pairs.join(","))
            }
        }
    }
}

impl ExpectedWeights {
    /// The expected share of each backend; or what does not fit.
    pub fn shares(&self, names: &[String]) -> Result<Vec<f64>, Misfit> {
        let weights: Vec<u32> = match self {
            ExpectedWeights::Even => vec![1; names.len()],
            ExpectedWeights::ByPlace(weights) if weights.len() == names.len() => weights.clone(),
            ExpectedWeights::ByPlace(weights) => {
                return Err(Misfit::OtherNumber { weights: weights.len(), backends: names.to_vec() });
            }
            ExpectedWeights::ByName(weights) => {
                if let Some((unknown, _)) = weights.iter().find(|(name, _)| !names.contains(name)) {
                    return Err(Misfit::NoSuchBackend { name: unknown.clone(), backends: names.to_vec() });
                }
                let weight =
                    |name: &String| weights.iter().find(|(known, _)| known == name).map_or(0, |(_, weight)| *weight);
                names.iter().map(weight).collect()
            }
        };
        let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        Ok(weights.iter().map(|weight| f64::from(*weight) / sum as f64).collect())
    }
}
