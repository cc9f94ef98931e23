//! What a run of checks found, as one value: the shape of the JSON report.

use serde::{Deserialize, Serialize};

use crate::numbers::grouped;

/// Version of this shape. It grows when a field goes or changes its meaning, not when one is added.
pub const VERSION: u32 = 1;

/// All checks of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// Of this shape.
    pub version: u32,
    /// The program and its version.
    pub tool: String,
    /// When it began: RFC 3339.
    pub started: String,
    /// The worst of its checks.
    pub verdict: Verdict,
    /// In the order in which they ran.
    pub checks: Vec<Check>,
}

/// A judgement. Ordered from best to worst.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All that was required holds.
    Pass,
    /// What was seen is not enough to say.
    Inconclusive,
    /// Something that was required does not hold.
    Fail,
}

/// One check: what was sent, what became of it, and what follows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// As the configuration file names it; null from the command line.
    pub name: Option<String>,
    /// The balancer.
    pub url: String,
    /// Its fleet; null if its backends are not ours.
    pub fleet: Option<Fleet>,
    /// What was sent.
    pub traffic: Traffic,
    /// The one fate of each request.
    pub account: Account,
    /// Who answered how often; null if that could not be known.
    pub shares: Option<Shares>,
    /// How the balancer picks a backend; null if it was not looked at.
    pub algorithm: Option<Algorithm>,
    /// How long it took; null without an answer.
    pub latency: Option<Latency>,
    /// What was broken meanwhile, and what that did; null if nothing was.
    pub outage: Option<Outage>,
    /// One a rule, the worst first.
    pub findings: Vec<Finding>,
    /// The worst of the findings.
    pub verdict: Verdict,
    /// What the plots show.
    pub plots: Plots,
}

/// The fleet behind the balancer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fleet {
    /// Its API.
    pub control: String,
    /// Generator numbers.
    pub backends: Vec<String>,
}

/// The sample that was judged. The requests before it, which look whether all is stable and how the balancer picks, are counted in the account alone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Traffic {
    /// Such as `GET`.
    pub method: String,
    /// Connections at once, at most.
    pub connections: u32,
    /// Whether connections were used again.
    pub kept: bool,
    /// Requests a second that were asked for (open loop); null in a closed loop.
    pub rate: Option<f64>,
    /// Requests of the sample.
    pub requests: u64,
    /// How long it lasted, in seconds.
    pub seconds: f64,
    /// What was reached.
    pub requests_per_second: f64,
    /// In words, if something was varied from request to request: what the balancer keys on.
    pub varied: Option<String>,
}

/// Every request of the run has one fate; their counts add up to `sent`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Account {
    /// All requests of the run.
    pub sent: u64,
    /// Only those that occurred.
    pub fates: Vec<OutcomeCount>,
    /// Answers with a status of 400 or more that a backend gave.
    pub backend_errors: u64,
    /// Requests that a client would call failed: no answer, a broken one, or a status of 400 or more.
    pub client_errors: u64,
    /// Attempts at backends, all requests of the run together.
    pub attempts: u64,
    /// Records beside the run.
    pub beside: Beside,
    /// Why not every request can be explained; empty if all are.
    pub gaps: Vec<String>,
}

/// How many requests have a fate.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OutcomeCount {
    /// Such as `delivered`.
    pub fate: String,
    /// What that means, in a sentence.
    pub meaning: String,
    /// How many.
    pub count: u64,
    /// The first of them; none for what is as it should be.
    pub examples: Vec<Example>,
}

/// A request, its attempts and its answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Example {
    /// Its id, as in the header and in the records.
    pub request: String,
    /// Seconds since the check began.
    pub at: f64,
    /// What the client saw, in words.
    pub seen: String,
    /// Each attempt in words, in order.
    pub attempts: Vec<String>,
}

/// Records that are not of a request of this run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Beside {
    /// Requests of this run before the backends that answer were the same for a while.
    #[serde(default)]
    pub warm_up: u64,
    /// Health probes.
    pub health_probes: u64,
    /// Requests of others.
    pub foreign: u64,
    /// Records with an id of this run that was never sent.
    pub unexplained: u64,
}

/// Who answered how often.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shares {
    /// One a backend, in the fleet's order.
    pub rows: Vec<Share>,
    /// What was expected, in words: `even`, `5:1:1`.
    pub expected: String,
    /// By whom: `--expect`, `the topology`, `nothing else was said`.
    pub expected_by: String,
    /// What was counted: `requests`, or `keys` for an algorithm that pins.
    pub unit: String,
    /// How it was tested; null if shares are not what is promised.
    pub test: Option<Test>,
}

/// A backend's share.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Share {
    /// Its name: the generator number.
    pub backend: String,
    /// How many it got.
    pub count: u64,
    /// Of all, 0 to 1.
    pub share: f64,
    /// Of all, 0 to 1; null if nothing is expected.
    pub expected: Option<f64>,
}

/// A test of the shares.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Test {
    /// Its name, such as `multinomial` or `bounded discrepancy`.
    pub name: String,
    /// What it found, in words with figures.
    pub result: String,
    /// p value, for statistical tests.
    pub p: Option<f64>,
    /// How often it fails a balancer that is right.
    pub false_alarm: f64,
    /// The smallest deviation of a share, in percentage points / 100, that so many requests detect with 99.9 % probability.
    pub detects: f64,
    /// Where it is described.
    pub source: String,
}

/// How the balancer picks a backend.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Algorithm {
    /// As it is named for `--expect`, such as `round-robin`; null if nothing fits.
    pub name: Option<String>,
    /// In words.
    pub label: String,
    /// What else it may be: cannot be told apart from here.
    pub or: Vec<String>,
    /// Independent cursors seen, at least; null if that has no meaning.
    pub cursors: Option<u32>,
    /// What was seen, an experiment a line.
    pub evidence: Vec<String>,
    /// What follows for the reader.
    pub hint: Option<String>,
}

/// Times in seconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Latency {
    /// From when a request was due until its answer had come.
    pub client: Percentiles,
    /// From when the backend had read it until it had written the answer; null if backends are not ours.
    pub backend: Option<Percentiles>,
    /// The difference, request by request: balancer and network.
    pub between: Option<Percentiles>,
    /// What the figures are worth, in a sentence: open loop or closed.
    pub note: String,
}

/// Of a distribution of seconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Percentiles {
    /// Smallest.
    pub min: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90 %
    pub p90: f64,
    /// 99 %
    pub p99: f64,
    /// 99.9 %
    pub p99_9: f64,
    /// 99.99 %
    pub p99_99: f64,
    /// Largest.
    pub max: f64,
}

/// What was broken during the sample, and what that did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Outage {
    /// What was done when.
    pub steps: Vec<Step>,
    /// Requests that a client would call failed, from the first step on.
    pub client_errors: u64,
    /// Requests delivered after a retry, from the first step on.
    pub retries: u64,
    /// Requests executed more than once, from the first step on.
    pub double_executions: u64,
    /// What happened to each backend that was touched.
    pub backends: Vec<Affected>,
}

/// Something that was done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Step {
    /// Seconds since the sample began.
    pub at: f64,
    /// In words, as typed.
    pub what: String,
    /// What came of it, if it went wrong or said something.
    pub result: Option<String>,
}

/// A backend that was touched.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Affected {
    /// Its name.
    pub backend: String,
    /// Attempts that it received of the latest requests before the break: of 100, or of twenty a backend. With none, its outage shows nothing.
    pub received_before: u64,
    /// Seconds from the break until the last client error or the last request sent there; null if it never stopped.
    pub stopped_after: Option<f64>,
    /// Seconds from the mend until its first delivered answer; null if it did not come back.
    pub back_after: Option<f64>,
    /// Client errors between the break and the mend.
    pub client_errors: u64,
}

/// One rule's result, with its evidence.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// Its name, such as `account`, `shares`, `post-retried`.
    pub rule: String,
    /// What it says.
    pub outcome: Level,
    /// In a sentence.
    pub summary: String,
    /// Figures and examples.
    pub evidence: Vec<String>,
    /// What to try.
    pub hint: Option<String>,
    /// RFC section, documentation, paper.
    pub source: Option<String>,
}

/// What a rule says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It holds.
    Pass,
    /// Worth knowing, judged by nobody.
    Note,
    /// Cannot be said.
    Inconclusive,
    /// It does not hold.
    Fail,
}

/// What the plots show.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plots {
    /// Who answered the first requests of the sample, in the order in which they reached backends: places in `shares.rows`; null for no backend.
    pub strip: Vec<Option<u16>>,
    /// The sample in slices of equal length.
    pub slices: Vec<Slice>,
    /// Length of a slice in seconds.
    pub slice_seconds: f64,
    /// Client latency: how many requests took up to so many seconds: (seconds, count), seconds ascending, for a histogram.
    pub latency: Vec<(f64, u64)>,
}

/// A slice of the sample's time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Slice {
    /// Answers by backend, places as in `shares.rows`.
    pub answers: Vec<u64>,
    /// Requests that failed for the client.
    pub errors: u64,
    /// Median of the client's time, seconds; null without an answer.
    pub p50: Option<f64>,
    /// 99 % of the client's time, seconds.
    pub p99: Option<f64>,
}

impl Beside {
    /// In words; None if there is nothing.
    pub fn told(&self) -> Option<String> {
        let counts = [
            (self.health_probes, "health probes"),
            (self.foreign, "requests of others"),
            (self.unexplained, "records that no request explains"),
            (self.warm_up, "requests before, until all was stable"),
        ];
        let told =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{} {what}", grouped(*count)));
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| told.join(", "))
    }
}

impl Percentiles {
    /// As the tables show them: p50, p90, p99, p99.9, p99.99 and the largest.
    pub fn columns(&self) -> [f64; 6] {
        [self.p50, self.p90, self.p99, self.p99_9, self.p99_99, self.max]
    }
}
