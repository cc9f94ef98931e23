//! The rule of the shares: each backend gets what was expected, tested as its algorithm allows.

use serde::{Deserialize, Serialize};

use crate::algorithm::{Algorithm, Selection};
use crate::facts::RuleDescription;

/// Where expected shares come from.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SharesSource {
    /// Nothing says what is expected.
    #[default]
    Default,
    /// The user, with `--expect`.
    User,
    /// The weights of this program's own balancer or demo.
    Topology,
    /// The configuration of the balancer.
    File {
        /// Its name, as the user gave it.
        name: String,
    },
}

/// How many of the units that were counted one backend had, and how many were expected.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Share {
    /// Its name: the generator number.
    pub backend: String,
    /// How many it got.
    pub count: u64,
    /// The part of all that it got, 0 to 1.
    pub share: f64,
    /// Of all, 0 to 1; null if nothing is expected.
    pub expected: Option<f64>,
    /// From where to where the true share lies with a probability of 99.9 %, however often one looked; null for what is no draw.
    #[serde(default)]
    pub interval: Option<(f64, f64)>,
}

/// What is counted for the shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// One selection is counted for each request.
    Requests,
    /// Clients, for an algorithm with affinity.
    Clients,
}

impl Unit {
    /// The plural that sentences use.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Requests => "requests",
            Unit::Clients => "clients",
        }
    }
}

/// A test of the shares.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Test {
    /// How the shares were compared with what is expected.
    pub method: ShareTest,
    /// The largest difference between what a backend got and what it should have got.
    pub deviation: f64,
    /// The largest difference that the algorithm allows; null for statistical tests.
    pub bound: Option<f64>,
    /// Pearson's statistic; null for others.
    pub chi_square: Option<f64>,
    /// p value; null for those that are not statistical.
    pub p: Option<f64>,
    /// ln of the e-value, which holds however often one looks; null for those that are not statistical.
    #[serde(default)]
    pub ln_e: Option<f64>,
    /// False-positive rate, 0 to 1.
    pub false_alarm: f64,
    /// The smallest deviation of a share, 0 to 1, that it detects with a probability of 99.9 %.
    pub detects: f64,
}

impl ShareTest {
    /// Where it is described.
    pub fn source(self) -> &'static str {
        match self {
            ShareTest::BoundedDiscrepancy => "NGINX smooth weighted round robin",
            ShareTest::Multinomial => "Pearson 1900",
        }
    }
}

/// How shares are tested.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ShareTest {
    /// A rotation is never more than its own period off.
    BoundedDiscrepancy,
    /// Pearson's χ², and the exact binomial test of each share with Bonferroni's correction.
    Multinomial,
}

/// What was expected, and how far the shares are from it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShareFacts {
    /// What was counted: requests or clients.
    pub unit: Unit,
    /// How many of those.
    pub total: u64,
    /// What was expected: `even`, `5:1:1`, `even, without 9003`.
    pub expected: String,
    /// What follows from the test.
    pub conclusion: Conclusion,
    /// The backend that is farthest from what was expected; null if nothing was tested.
    pub widest: Option<Share>,
    /// How the shares were tested; null if they were not.
    pub test: Option<Test>,
    /// How the balancer selects, as far as requests show it; where the user names an algorithm that promises no shares, that one.
    pub selection: Selection,
    /// The weights that the requests show, as `--expect` takes them; null if none were expected, or none show.
    pub seen_weights: Option<String>,
    /// What fits what was seen and promises no shares, where the algorithm is not certain.
    #[serde(default)]
    pub without_promise: Vec<Algorithm>,
    /// Which part of the sample was judged, where something was done to backends or the balancer; null for all of it.
    #[serde(default)]
    pub part: Option<SamplePart>,
    /// How many would detect the deviation of `--tolerance`; null where they suffice.
    #[serde(default)]
    pub needed: Option<u64>,
    /// Requests for which a backend was too slow for the balancer, the warm-up included: where backends failed, that is why.
    #[serde(default)]
    pub given_up: u64,
    /// Since when that backend got nothing, where it had its share until then: seconds since the sample began; null where that is not so.
    #[serde(default)]
    pub stopped: Option<f64>,
}

/// A part of a sample in which something was done to backends or the balancer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SamplePart {
    /// The part until the first step begins.
    Before,
    /// From when all is mended and the balancer has had the time to notice.
    After,
}

/// What follows from the shares.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// They are as expected.
    AsExpected,
    /// The shares are not those that are required.
    Deviates,
    /// They are not, and backends failed meanwhile, which moves shares.
    Disturbed,
    /// They are not, and backends were put right shortly before, which a balancer may still avoid.
    Avoided,
    /// Required shares hold after recovery from an outage too, and no request that counts was sent then.
    OutageThroughout,
    /// They are not even, and that is not proven to be wrong.
    Unproven(Unproven),
    /// The sample is too small to detect the deviation of `--tolerance`.
    TooFew,
    /// The algorithm promises no shares, so none are expected.
    NotPromised,
    /// What decides about them is not understood: these lines of the configuration.
    NotUnderstood(Vec<String>),
    /// These backends had their shares until the last step, and got nothing since, though nothing was done to them.
    LeftOut(Vec<String>),
    /// These backends got requests, and are not among those that the configuration lists.
    Unlisted(Vec<String>),
    /// The expected weights do not fit the backends.
    Misfit(Misfit),
}

/// Why expected weights do not fit the backends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Misfit {
    /// They are given by place, and there are more or fewer than backends.
    OtherNumber {
        /// The number of weights.
        weights: usize,
        /// All backends.
        backends: Vec<String>,
    },
    /// They are given by name, and no backend has this one.
    NoSuchBackend {
        /// The name that none has.
        name: String,
        /// All backends.
        backends: Vec<String>,
    },
    /// All backends are backups, or have a weight of 0.
    NobodyTakesPart,
}

/// Why uneven shares are not held against a balancer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Unproven {
    /// The algorithm is not known for certain: it may be one that promises no shares.
    Algorithm,
    /// Random selection from a hash ring, whose arcs differ by design, looks like that.
    Ring,
    /// A rotation with weights, and it is not known which weights are meant.
    Weights,
    /// Whether connections are balanced or requests is not known.
    Unit,
    /// There are several URLs, and the algorithm is known of the first.
    Urls,
    /// Requests with attempts at several hosts in an unknown order, as close as their clocks agree, may be what is missing.
    Order,
    /// Requests that were executed more than once, and which of their attempts is the copy, may be what is missing.
    Copies,
    /// Requests of others that reached backends meanwhile may have taken the turns that are missing.
    Others,
    /// Backends that were not ready when the check began got requests: not every balancer looks at readiness.
    Unready,
    /// One request after the other shares are even, and under load they are not: a limit of connections does so, and a fault too.
    Load,
}

pub(crate) const SHARES: RuleDescription = RuleDescription {
    requires: "each backend gets the share that its weight says",
    sound: "it fails only where --expect requires the shares, where the algorithm is round robin for certain, or where the \
            configuration that is understood lists the servers, none failed, and another one got requests; round robin: by \
            construction, a rotation is never more than its own period off, and 64 rotations are granted; draws: level 4e-7 (e-process, \
            exact binomial with Bonferroni's correction, Pearson's χ²); backends that failed are left out of the comparison; \
            what requests of others may have taken is granted; \
            in a drill required shares are judged before its first step and after recovery from it",
    source: Some("Pearson 1900; NGINX smooth weighted round robin"),
};
