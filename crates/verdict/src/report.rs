//! What a run of checks found, as one value: the shape of the JSON report.

use serde::{Deserialize, Serialize};

use crate::algorithm::{AlgorithmRemark, ExperimentResult, Selection};
pub use crate::facts::resilience::DrillStep;
pub use crate::facts::shares::{Share, ShareTest, SharesSource, Test, Unit};
use crate::finding::{Finding, Level, Witness};
use crate::life::StreamKind;
use crate::outcome::Outcome;
use crate::surroundings::SurroundingLine;
pub use crate::timeline::{Affected, Pause};

/// Version of this shape. It grows when a field goes or changes its meaning, not when one is added.
pub const VERSION: u32 = 2;

/// All checks of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// Version of this JSON shape.
    pub version: u32,
    /// The program and its version.
    pub tool: String,
    /// When it began: RFC 3339.
    pub started: String,
    /// The worst of its checks; inconclusive at best if one of them could not run.
    pub verdict: Verdict,
    /// In the order in which they ran.
    pub checks: Vec<Check>,
    /// Those that could not run: of them nothing is judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<CheckError>,
}

/// Why a check could not run, or was stopped.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckError {
    /// Name of the check, or its URL; null if no check could run.
    pub check: Option<String>,
    /// What failed, on what.
    pub error: String,
    /// What a person can do about it; null if that is not known.
    pub hint: Option<String>,
}

impl Report {
    /// Of checks that ended, and of those that could not run.
    pub fn new(tool: &str, started: String, checks: Vec<Check>, errors: Vec<CheckError>) -> Report {
        let worst = checks.iter().map(|check| check.verdict).max();
        // What could not run has not passed.
        let verdict = worst.unwrap_or(Verdict::Inconclusive);
        let verdict = if errors.is_empty() { verdict } else { verdict.max(Verdict::Inconclusive) };
        Report { version: VERSION, tool: tool.to_owned(), started, verdict, checks, errors }
    }

    /// How many checks there were to run.
    pub fn wanted(&self) -> usize {
        self.checks.len() + self.errors.len()
    }
}

/// A judgement. Ordered from best to worst.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All expectations are met.
    Pass,
    /// The evidence does not suffice.
    Inconclusive,
    /// An expectation is not met.
    Fail,
}

/// One check: what was sent, what became of it, and what follows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// As the configuration file names it; null from the command line.
    pub name: Option<String>,
    /// URL of the balancer that was checked.
    pub url: String,
    /// Which balancer it is, by its configuration or by what it writes into responses (Server, Via); null if neither says.
    pub balancer: Option<String>,
    /// Its fleet; null if its backends are not ours.
    pub fleet: Option<FleetReport>,
    /// In a rehearsal: what differs from production, such as an address that was invented for a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surroundings: Vec<SurroundingLine>,
    /// What of the balancer's file was not understood, a line each: it is not judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_understood: Vec<String>,
    /// How long all of it took, in seconds: warm-up, experiments, sample, and what was waited for.
    #[serde(default)]
    pub seconds: f64,
    /// The load that the check generated.
    pub traffic: TrafficSummary,
    /// The one outcome of each request.
    pub account: Account,
    /// What the balancer does to a request; null without records.
    pub forwarding: Option<Forwarding>,
    /// Which backend got how much; null if that could not be known.
    pub shares: Option<Shares>,
    /// How the balancer selects a backend; null if that was not examined.
    pub algorithm: Option<AlgorithmReport>,
    /// How long it took; null without a response.
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
pub struct FleetReport {
    /// Address of its API.
    pub control: String,
    /// Names of its backends.
    pub backends: Vec<String>,
    /// Those that were not ready when the check began: of them nothing was expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_ready: Vec<String>,
}

/// The sample that was judged. The requests before it, which look whether all is stable and how the balancer picks, are counted in the account alone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrafficSummary {
    /// Method of the requests, such as `GET`.
    pub method: String,
    /// Connections at once, at most.
    pub connections: u32,
    /// Whether connections were used again.
    pub kept: bool,
    /// Requests on each of them at once, at most: more than one with HTTP/2 alone.
    #[serde(default = "one")]
    pub multiplex: u32,
    /// Whether requests were calls of gRPC: statuses are then those of HTTP that mean the same (503 is UNAVAILABLE).
    #[serde(default)]
    pub grpc: bool,
    /// Requests a second that were asked for (open loop); null in a closed loop.
    pub rate: Option<f64>,
    /// Requests of the sample.
    pub requests: u64,
    /// When its first request was due, in RFC 3339.
    #[serde(default)]
    pub started: String,
    /// How long it lasted, in seconds.
    pub seconds: f64,
    /// The rate that was reached, in requests a second.
    pub requests_per_second: f64,
    /// Of a check of streams: what goes over them; null for requests.
    #[serde(default)]
    pub streams: Option<StreamKind>,
    /// In what the requests of virtual clients differ; null if there is one client.
    pub varied: Option<Variation>,
}

/// In what the requests of virtual clients differ: what the balancer keys on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Variation {
    /// How many clients there were.
    pub clients: u32,
    /// What each had of its own.
    pub by: VariedPart,
}

/// What each virtual client has of its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum VariedPart {
    /// Its address.
    Source,
    /// The path that it requests.
    Path,
    /// The value of the header of that name.
    Header(String),
    /// The value of the cookie of that name.
    Cookie(String),
    /// The session that a backend opened for it.
    Session,
    /// The cookies that it was given.
    Cookies,
}

fn one() -> u32 {
    1
}

/// Every request of the run has one outcome; their counts add up to `sent`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Account {
    /// All requests of the run.
    pub sent: u64,
    /// The outcomes that occurred; others are left out.
    pub outcomes: Vec<OutcomeCount>,
    /// Responses with a status of 400 or more that a backend gave.
    pub backend_errors: u64,
    /// Requests that a client would call failed: no response, a broken one, or a status of 400 or more.
    pub client_errors: u64,
    /// Attempts at backends, all requests of the run together.
    pub attempts: u64,
    /// Requests and records that are not part of the account.
    pub not_counted: NotCounted,
    /// The sample's requests by URL; empty if there is one.
    #[serde(default)]
    pub urls: Vec<UrlOutcomes>,
}

/// The requests of a sample to one of several URLs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UrlOutcomes {
    /// The URL as the user gave it.
    pub url: String,
    /// How many had which outcome; only those that occurred.
    pub outcomes: Vec<(Outcome, u64)>,
}

/// How many requests have an outcome.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OutcomeCount {
    /// The outcome.
    pub outcome: Outcome,
    /// How many requests had it.
    pub count: u64,
    /// The first of them; none of those that were delivered.
    pub examples: Vec<Witness>,
}

/// Requests and records that are not part of the account.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NotCounted {
    /// Requests of this run, sent until the backends that respond were the same for a while.
    #[serde(default)]
    pub warm_up: u64,
    /// Those among them that a client would call failed.
    #[serde(default)]
    pub warm_up_errors: u64,
    /// Health checks that arrived at backends.
    pub health_checks: u64,
    /// Requests of other clients that arrived at backends.
    pub others: u64,
    /// Records with an id of this run that was never sent.
    pub unexplained: u64,
    /// Requests of experiments with another path or a delay that failed: nobody else sends them.
    #[serde(default)]
    pub experiments: u64,
}

/// What the balancer does to a request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Forwarding {
    /// Attempts that arrived at backends.
    pub attempts: u64,
    /// Attempts of which the backend knew what had been sent.
    pub compared: u64,
    /// Parts that arrived other than they were sent.
    pub rewrites: Vec<Rewrite>,
    /// Fields that were added on the way.
    pub added: Vec<Added>,
    /// Fields that belong to one connection and arrived all the same (RFC 9110 §7.6.1), with the number of attempts.
    pub leaked: Vec<(String, u64)>,
    /// Attempts that arrived in HTTP/1.0.
    pub http_1_0: u64,
    /// Attempts in HTTP/2.
    #[serde(default)]
    pub http_2: u64,
    /// Whether the client spoke HTTP/2 to the balancer; none where that differs from URL to URL.
    #[serde(default)]
    pub client_http_2: Option<bool>,
    /// Clients that PROXY headers named, with the number of attempts; the first different ones.
    #[serde(default)]
    pub proxied: Vec<(String, u64)>,
    /// The connections that it held to backends, over the whole run; of a run with an outage none.
    #[serde(default)]
    pub upstream: Vec<HeldConnections>,
    /// Values of Via in responses: what names itself on the way.
    #[serde(default)]
    pub vias: Vec<String>,
    /// Values of Server in responses, which no backend of this program writes.
    #[serde(default)]
    pub servers: Vec<String>,
}

/// What the balancer held to one backend.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeldConnections {
    /// Name of the backend.
    pub backend: String,
    /// Connections on which requests of the run came.
    pub connections: u64,
    /// The most requests at once on one of them: more than one need HTTP/2.
    pub at_once: u64,
}

/// A part that arrived other than it was sent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rewrite {
    /// The part that was rewritten: `path`, `host`, `body-length`, `field-lost`, …
    pub part: String,
    /// As it was sent; null where it is not kept.
    pub sent: Option<String>,
    /// As it arrived, with the number of attempts; the first different ones.
    pub arrived: Vec<(String, u64)>,
    /// Attempts in which it differed.
    pub attempts: u64,
    /// Of the user's own fields those that it is about; empty for other parts.
    #[serde(default)]
    pub fields: Vec<String>,
}

/// A field that was added on the way.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Added {
    /// Name of the field, in lower case.
    pub name: String,
    /// Its value, if it is kept and always the same.
    pub value: Option<String>,
    /// Attempts that had it.
    pub attempts: u64,
    /// Attempts that came without it.
    #[serde(default)]
    pub missing: u64,
    /// Attempts that came with two values of it, where backends expect one.
    #[serde(default)]
    pub twice: u64,
}

/// Which backend got how much.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shares {
    /// One a backend, in the fleet's order.
    pub rows: Vec<Share>,
    /// What was expected, in words: `even`, `5:1:1`.
    pub expected: String,
    /// Where the expected shares come from.
    pub expected_by: SharesSource,
    /// What was counted: requests or clients.
    pub unit: Unit,
    /// How it was tested; null if shares are not what is promised.
    pub test: Option<Test>,
}

/// How the balancer selects a backend.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AlgorithmReport {
    /// As it is named for `--expect`, such as `round-robin`; null if nothing fits.
    pub name: Option<String>,
    /// How it selects, as far as requests show it.
    pub selection: Selection,
    /// The same in a few words, such as `weighted round robin 5:1:1`; only in a report that has been written.
    pub label: String,
    /// What else fits what was seen.
    pub or: Vec<String>,
    /// Independent rotations seen, at least; null if that has no meaning.
    pub rotations: Option<u32>,
    /// What each experiment showed, and what that excludes.
    #[serde(default)]
    pub experiments: Vec<ExperimentResult>,
    /// What the reader should know besides; null for nothing.
    #[serde(default)]
    pub remark: Option<AlgorithmRemark>,
    /// The experiments in sentences, a line each; only in a report that has been written.
    pub evidence: Vec<String>,
    /// The remark in a sentence.
    pub hint: Option<String>,
}

/// Latencies as the client measured them, in seconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Latency {
    /// From when a request was due until its response had come.
    pub client: Percentiles,
    /// From when the backend had read it until it had written the response; null if backends are not ours.
    pub backend: Option<Percentiles>,
    /// The difference, request by request: balancer and network.
    pub between: Option<Percentiles>,
    /// Backends that took much longer than the others; a description, no judgement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slow: Vec<SlowBackend>,
    /// Whether requests were sent on schedule (open loop), so that a slow response delays none after it.
    pub open_loop: bool,
}

/// A backend that is much slower than the others.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SlowBackend {
    /// Its name.
    pub backend: String,
    /// The median of its times in seconds, of requests that it alone received: from when it had read them, or, of backends that are not ours, from
    /// when the client had sent them.
    pub p50: f64,
    /// The median of these medians of the other backends, in seconds.
    pub others: f64,
}

/// Percentiles of a distribution of seconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Percentiles {
    /// The smallest value.
    pub min: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p99_9: f64,
    /// 99.99th percentile.
    pub p99_99: f64,
    /// The largest value.
    pub max: f64,
}

/// What was broken during the sample, and what that did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Outage {
    /// What was done when.
    pub steps: Vec<DrillStep>,
    /// Requests that a client would call failed, from the first step on.
    pub client_errors: u64,
    /// Requests delivered after a retry, from the first step on.
    pub retries: u64,
    /// Requests executed more than once, from the first step on.
    pub double_executions: u64,
    /// What happened to each backend that was touched.
    pub backends: Vec<Affected>,
}

/// What the plots show.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plots {
    /// Which backends were selected for the first requests: places in `shares.rows`; null for no backend.
    pub strip: Vec<Option<u16>>,
    /// Whether the strip's requests are those of the experiments, sent one after another, and so in the order of selection. If not, they are the
    /// first of the sample in the order in which they were sent: those that were on their way at once may have been selected for in another.
    #[serde(default)]
    pub strip_in_sequence: bool,
    /// The sample in slices of equal length.
    pub slices: Vec<Slice>,
    /// Length of a slice in seconds.
    pub slice_seconds: f64,
    /// Client latency: how many requests took up to a number of seconds: (seconds, count), seconds ascending, for a histogram.
    pub latency: Vec<(f64, u64)>,
}

/// A slice of the sample's time.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Slice {
    /// Responses by backend, places as in `shares.rows`.
    pub responses: Vec<u64>,
    /// Requests that failed for the client.
    pub errors: u64,
    /// Median of the client's time, seconds; null without a response.
    pub p50: Option<f64>,
    /// 99 % of the client's time, seconds.
    pub p99: Option<f64>,
}

impl Percentiles {
    /// As the tables show them: p50, p90, p99, p99.9, p99.99 and the largest.
    pub fn columns(&self) -> [f64; 6] {
        [self.p50, self.p90, self.p99, self.p99_9, self.p99_99, self.max]
    }
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
