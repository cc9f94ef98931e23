//! What the ledger means: one rule or one family of rules a file, each with its facts, its description and its judgement.

pub mod account;
pub mod algorithm;
pub mod backups;
pub mod reach;
pub mod records;
pub mod requirement;
pub mod resilience;
pub mod responses;
pub mod shares;
pub mod stickiness;

use std::str::FromStr;

use crate::Moment;
use crate::algorithm::{Algorithm, Inference};
use crate::arrived::{OtherRequests, RequestChanges};
use crate::finding::{AttemptWitness, ClientWitness, Finding, Level, RequestWitness, Witness};
use crate::id::RequestId;
use crate::ledger::{Entry, Ledger, Records};
use crate::observation::Backend;
use crate::outcome::Outcome;
use crate::report::{Outage, Shares, Verdict};
use crate::tally::Tally;
pub use requirement::Requirement;

/// A balancer that is right fails at most that often: 4 in ten million for its shares, the rest for all other rules together, which are
/// exact except for the naming of the algorithm (1 in a hundred million each).
pub const FALSE_ALARM: f64 = 4e-7;

/// What the user requires.
#[derive(Clone, PartialEq, Debug)]
pub struct Expectations {
    /// Of the shares; None leaves it to the algorithm that is seen: even, where it promises that.
    pub shares: Option<Weights>,
    /// Who said so.
    pub shares_by: String,
    /// Of the algorithm.
    pub algorithm: Option<Algorithm>,
    /// What decides about the shares and is not understood, such as a line of a configuration: then nothing is required of them, not even what the
    /// algorithm that is seen would promise.
    pub not_understood: Vec<String>,
    /// Backends that get nothing while any other can: backups, and what is marked as down.
    pub backups: Vec<String>,
    /// No client may see an error, whatever happens meanwhile; None leaves it to what happens.
    pub lossless: Option<bool>,
    /// What else is required by name, such as `intact`.
    pub required: Vec<Requirement>,
    /// Outcomes that are not held against the balancer.
    pub allowed: Vec<Outcome>,
    /// Deviations of a share that must be detected, 0 to 1.
    pub tolerance: f64,
    /// Deviations of a share that are granted, 0 to 1.
    pub margin: f64,
}

impl Default for Expectations {
    fn default() -> Self {
        Expectations {
            shares: None,
            shares_by: "default".to_owned(),
            algorithm: None,
            not_understood: Vec::new(),
            backups: Vec::new(),
            lossless: None,
            required: Vec::new(),
            allowed: Vec::new(),
            tolerance: 0.02,
            margin: 0.0,
        }
    }
}

impl Expectations {
    /// Whether a backend is to be reached while all is well.
    pub fn takes_part(&self, name: &str) -> bool {
        !self.backups.iter().any(|backup| backup == name)
    }

    /// The expected share of each backend; or what does not fit.
    pub fn shares(&self, names: &[String]) -> Result<Vec<f64>, String> {
        let mut shares = self.shares.as_ref().unwrap_or(&Weights::Even).shares(names)?;
        for (share, name) in shares.iter_mut().zip(names) {
            *share *= f64::from(u8::from(self.takes_part(name)));
        }
        let sum: f64 = shares.iter().sum();
        if sum == 0.0 {
            return Err("all backends are backups, or are expected to get nothing".to_owned());
        }
        Ok(shares.into_iter().map(|share| share / sum).collect())
    }
}

/// Expected shares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Weights {
    /// All alike.
    Even,
    /// In the order of the fleet.
    ByPlace(Vec<u32>),
    /// By name; those that are not named get nothing.
    ByName(Vec<(String, u32)>),
}

impl FromStr for Weights {
    type Err = String;

    fn from_str(text: &str) -> Result<Weights, String> {
        let wrong = || {
            format!(
                "{text}: expected `even`, weights in the fleet's order such as 5:1:1, or by name such as 9001=5,9002=1"
            )
        };
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
        let weights = match text {
            "even" => return Ok(Weights::Even),
            named if named.contains('=') => {
                let pair = |pair: &str| {
                    let (name, weight) = pair.split_once('=').ok_or_else(wrong)?;
                    Ok((name.trim().to_owned(), number(weight)?))
                };
                Weights::ByName(named.split(',').map(pair).collect::<Result<_, String>>()?)
            }
            placed if placed.contains(':') => {
                Weights::ByPlace(placed.split(':').map(number).collect::<Result<_, _>>()?)
            }
            _ => return Err(wrong()),
        };
        let any = match &weights {
            Weights::Even => true,
            Weights::ByPlace(weights) => weights.iter().any(|weight| *weight > 0),
            Weights::ByName(weights) => weights.iter().any(|(_, weight)| *weight > 0),
        };
        if any { Ok(weights) } else { Err(format!("{text}: at least one weight must not be 0")) }
    }
}

impl std::fmt::Display for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Weights::Even => f.write_str("even"),
            Weights::ByPlace(weights) => f.write_str(&weights.iter().map(u32::to_string).collect::<Vec<_>>().join(":")),
            Weights::ByName(weights) => {
                let pairs: Vec<String> = weights.iter().map(|(name, weight)| format!("{name}={weight}")).collect();
                f.write_str(&pairs.join(","))
            }
        }
    }
}

impl Weights {
    /// The expected share of each backend; or what does not fit.
    pub fn shares(&self, names: &[String]) -> Result<Vec<f64>, String> {
        let weights: Vec<u32> = match self {
            Weights::Even => vec![1; names.len()],
            Weights::ByPlace(weights) if weights.len() == names.len() => weights.clone(),
            Weights::ByPlace(weights) => {
                let (weights, backends) = (weights.len(), names.len());
                return Err(format!(
                    "{self} has {weights} weights, and there are {backends} backends: {}",
                    names.join(", ")
                ));
            }
            Weights::ByName(weights) => {
                if let Some((unknown, _)) = weights.iter().find(|(name, _)| !names.contains(name)) {
                    return Err(format!("{self}: there is no backend {unknown}, only {}", names.join(", ")));
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

/// Everything that the rules look at.
pub struct Case<'a> {
    /// Both ends of each request.
    pub ledger: &'a Ledger,
    /// The same, counted.
    pub tally: &'a Tally,
    /// Names of the backends, by place. The fleet's own come first.
    pub names: &'a [String],
    /// How many of them are to be reached: those that were ready. All of them without a fleet.
    pub members: usize,
    /// What is required.
    pub expectations: &'a Expectations,
    /// How the balancer picks.
    pub inference: &'a Inference,
    /// Why records are missing.
    pub gaps: &'a [String],
    /// How requests arrived at backends.
    pub changes: &'a RequestChanges,
    /// What else arrived there.
    pub others: &'a OtherRequests,
    /// What was sent, such as `POST`.
    pub method: &'a str,
    /// Something was broken on purpose.
    pub drill: Drill,
    /// Clients, paths or the like differed from request to request.
    pub varied: bool,
    /// Of the run, as in the ids of its requests.
    pub run: u64,
    /// When the check began.
    pub began: Moment,
}

/// What is done to the fleet meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drill {
    /// Nothing.
    None,
    /// Something that a good balancer hides: a drain, a reload.
    Graceful,
    /// Something that may cost requests: a kill, a pause, a fault.
    Rough,
}

impl Case<'_> {
    /// Whether no client may see an error.
    fn lossless(&self) -> bool {
        self.expectations.lossless.unwrap_or(self.drill != Drill::Rough)
    }

    /// RFC 9110 §9.2.2
    fn is_idempotent(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
    }

    /// These requests, seen from both ends.
    pub fn witnesses(&self, sequences: &[u32]) -> Vec<Witness> {
        let entries = sequences.iter().filter_map(|sequence| self.ledger.entry(*sequence));
        entries.map(|entry| Witness::Request(self.witness(&entry))).collect()
    }

    /// A request, seen from both ends.
    pub fn witness(&self, entry: &Entry) -> RequestWitness {
        let observation = entry.observation;
        let since = |at: Moment| at.since(self.began).as_secs_f64();
        let name = |backend: Backend| self.names.get(usize::from(backend.0)).cloned();
        let attempts = entry.attempts.iter().map(|attempt| AttemptWitness {
            backend: name(attempt.backend).unwrap_or_else(|| "?".to_owned()),
            at: since(attempt.received),
            end: attempt.end,
            status: (attempt.status > 0).then_some(attempt.status),
            seconds: f64::from(attempt.took) / 1e7,
        });
        RequestWitness {
            id: RequestId { run: self.run, sequence: u64::from(entry.sequence) }.to_string(),
            number: entry.sequence,
            at: since(observation.due),
            client: ClientWitness::of(observation, name(observation.backend)),
            attempts: attempts.collect(),
        }
    }

    fn has_records(&self) -> bool {
        self.ledger.records() == Records::Kept
    }
}

/// Applies all rules: the findings, the worst first, the shares, and the verdict.
pub fn judge(case: &Case, outage: Option<&Outage>) -> (Vec<Finding>, Option<Shares>, Verdict) {
    let (shares, share_findings) = shares::judge(case);
    let mut findings: Vec<Finding> = records::judge(case).into_iter().collect();
    findings.extend(account::judge(case));
    findings.extend(reach::judge(case));
    findings.extend(backups::judge(case));
    findings.extend(share_findings);
    findings.extend(algorithm::judge(case));
    findings.extend(stickiness::judge(case));
    findings.extend(resilience::judge(case, outage));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let verdict = Verdict::of(&findings);
    (findings, shares, verdict)
}

impl Verdict {
    /// The worst of the findings; without any, nothing is known.
    pub fn of(findings: &[Finding]) -> Verdict {
        match findings.iter().map(|finding| finding.level).max() {
            Some(Level::Fail) => Verdict::Fail,
            Some(Level::Pass | Level::Note) => Verdict::Pass,
            Some(Level::Inconclusive) | None => Verdict::Inconclusive,
        }
    }
}
