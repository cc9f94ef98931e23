//! PURE. Latency, slices of time and what an outage did: figures of the ledger for reports.

use std::ops::Range;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::check::scenario::{Scenario, StepResult};
use crate::wire::Moment;
use verdict::ledger::{Arrival, Entry, Ledger, Records};
use verdict::observation::{Backend, ClientOutcome};
use verdict::outcome::Outcome;
use verdict::report::{Affected, Latency, Percentiles, Slice};

/// Nanoseconds, to three digits.
type Times = Histogram<u64>;

fn times() -> Times {
    Times::new(3).expect("three digits are allowed")
}

/// The three latencies of the sample, and how often the client's was how long: (seconds, count).
pub fn latency(ledger: &Ledger, sample: Range<u32>, open_loop: bool) -> (Option<Latency>, Vec<(f64, u64)>) {
    let (mut client, mut backend, mut between) = (times(), times(), times());
    for entry in ledger.entries().filter(|entry| sample.contains(&entry.sequence)) {
        let observation = entry.observation;
        if !matches!(observation.sight, ClientOutcome::Answer | ClientOutcome::Altered) {
            continue;
        }
        client += observation.ended.0.saturating_sub(observation.due.0);
        if let Some(attempt) =
            entry.delivered().filter(|_| !matches!(entry.outcome, Outcome::Retried | Outcome::Duplicated))
        {
            let there = u64::from(attempt.took) * 100;
            backend += there;
            between += observation.ended.0.saturating_sub(observation.sent().0).saturating_sub(there);
        }
    }
    if client.is_empty() {
        return (None, Vec::new());
    }
    let both = |times: &Times| (ledger.records() == Records::Kept && !times.is_empty()).then(|| percentiles(times));
    let latency = Latency { client: percentiles(&client), backend: both(&backend), between: both(&between), open_loop };
    let buckets = client.iter_log((client.min() / 2).max(1000), 1.25);
    let plot = buckets.map(|bucket| (bucket.value_iterated_to() as f64 / 1e9, bucket.count_since_last_iteration()));
    (Some(latency), plot.filter(|(_, count)| *count > 0).collect())
}

fn percentiles(times: &Times) -> Percentiles {
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e9;
    Percentiles {
        min: times.min() as f64 / 1e9,
        mean: times.mean() / 1e9,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p99_9: at(0.999),
        p99_99: at(0.9999),
        max: times.max() as f64 / 1e9,
    }
}

const SLICES: u64 = 120;

/// The sample in slices of equal length, and that length in seconds.
pub fn slices(
    ledger: &Ledger,
    sample: Range<u32>,
    started: Moment,
    ended: Moment,
    backends: usize,
) -> (Vec<Slice>, f64) {
    let length = (ended.0.saturating_sub(started.0) / SLICES).max(1_000_000);
    let count = (ended.0.saturating_sub(started.0) / length + 1) as usize;
    let mut slices = vec![Slice { responses: vec![0; backends], ..Slice::default() }; count];
    let mut taken: Vec<Option<Histogram<u64>>> = vec![None; count];
    for entry in ledger.entries().filter(|entry| sample.contains(&entry.sequence)) {
        let observation = entry.observation;
        let place = (observation.due.0.saturating_sub(started.0) / length) as usize;
        let Some(slice) = slices.get_mut(place) else { continue };
        slice.errors += u64::from(entry.is_client_error());
        if let Some(answers) = slice.responses.get_mut(usize::from(observation.backend.0)) {
            *answers += 1;
        }
        if matches!(observation.sight, ClientOutcome::Answer | ClientOutcome::Altered) {
            let times = taken[place].get_or_insert_with(|| Histogram::new(2).expect("two digits are allowed"));
            *times += observation.ended.0.saturating_sub(observation.due.0);
        }
    }
    for (slice, times) in slices.iter_mut().zip(taken) {
        slice.p50 = times.as_ref().map(|times| times.value_at_quantile(0.5) as f64 / 1e9);
        slice.p99 = times.as_ref().map(|times| times.value_at_quantile(0.99) as f64 / 1e9);
    }
    (slices, length as f64 / 1e9)
}

/// Traffic that ends so shortly before a backend is mended has not stopped.
const STILL: Duration = Duration::from_millis(300);

/// What was done to the fleet, and what that did to the sample.
pub fn outage(
    ledger: &Ledger,
    sample: Range<u32>,
    started: Moment,
    done: &[StepResult],
    names: &[String],
) -> Option<verdict::report::Outage> {
    let first = done.first()?.at;
    let seconds = |at: Moment| at.since(started).as_secs_f64();
    let step = |done: &StepResult| verdict::report::Step {
        at: seconds(done.at),
        what: done.step.to_string(),
        result: done.result.clone(),
    };
    let mut outage = verdict::report::Outage {
        steps: done.iter().map(step).collect(),
        client_errors: 0,
        retries: 0,
        double_executions: 0,
        backends: Vec::new(),
    };
    let mut windows: Vec<Window> = windows(done, names);
    for window in &mut windows {
        let until = ledger.entries().find(|entry| entry.observation.sent() >= window.broken).map(|it| it.sequence);
        let until = until.unwrap_or(sample.end);
        let latest = until.saturating_sub(LATEST.max(20 * names.len() as u32))..until;
        let before = latest.filter_map(|sequence| ledger.entry(sequence));
        window.before = before.map(|entry| window.attempts_here(&entry).count() as u64).sum();
    }
    for entry in ledger.entries().filter(|entry| sample.contains(&entry.sequence)) {
        windows.iter_mut().for_each(|window| window.see(&entry));
        if entry.observation.ended < first {
            continue;
        }
        outage.client_errors += u64::from(entry.is_client_error() && !entry.is_benign_race());
        outage.retries += u64::from(entry.outcome == Outcome::Retried);
        outage.double_executions += u64::from(entry.outcome == Outcome::Duplicated);
    }
    outage.backends = windows.into_iter().map(|window| window.told(names)).collect();
    Some(outage)
}

/// From the break of a backend to its mend.
struct Window {
    backend: Backend,
    broken: Moment,
    mended: Option<Moment>,
    before: u64,
    last: Option<Moment>,
    back: Option<Moment>,
    errors: u64,
}

fn windows(done: &[StepResult], names: &[String]) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    for step in done {
        let Some(breaks) = step.step.action.breaks() else { continue };
        let touched = (0..names.len()).filter(|place| match step.step.backend {
            Some(backend) => names[*place] == backend.to_string(),
            None => true,
        });
        for place in touched {
            let backend = Backend(place as u16);
            let open = windows.iter_mut().find(|window| window.backend == backend && window.mended.is_none());
            match (breaks, open) {
                (true, None) => windows.push(Window::new(backend, step.at)),
                (false, Some(window)) => window.mended = Some(step.at),
                (true, Some(_)) | (false, None) => {}
            }
        }
    }
    windows
}

impl Window {
    fn new(backend: Backend, broken: Moment) -> Window {
        Window { backend, broken, mended: None, before: 0, last: None, back: None, errors: 0 }
    }

    fn attempts_here<'a>(&self, entry: &Entry<'a>) -> impl Iterator<Item = &'a Arrival> + use<'a> {
        let backend = self.backend;
        entry.attempts.iter().filter(move |attempt| attempt.backend == backend)
    }

    fn see(&mut self, entry: &Entry) {
        let observation = entry.observation;
        let until = self.mended.unwrap_or(Moment(u64::MAX));
        let within = |at: Moment| at >= self.broken && at < until;
        let error = entry.is_client_error() && !entry.is_benign_race();
        if error && observation.ended >= self.broken && observation.sent() < until {
            self.errors += 1;
            self.last = self.last.max(Some(observation.ended.min(until)));
        }
        for attempt in self.attempts_here(entry) {
            // One that is paused receives when it goes on what was sent to it before.
            let sent = observation.sent();
            let directed = if attempt.received >= until && sent < until { sent } else { attempt.received };
            if within(directed) {
                self.last = self.last.max(Some(directed));
            }
        }
        let here = entry.delivered().is_some_and(|attempt| attempt.backend == self.backend);
        if here && self.mended.is_some_and(|mended| observation.ended >= mended) && !error {
            self.back = Some(self.back.map_or(observation.ended, |back| back.min(observation.ended)));
        }
    }

    fn told(self, names: &[String]) -> Affected {
        let stopped = match (self.last, self.mended) {
            (None, _) => Some(Duration::ZERO),
            (Some(last), Some(mended)) if mended.since(last) < STILL => None,
            (Some(last), _) => Some(last.since(self.broken)),
        };
        Affected {
            backend: names.get(usize::from(self.backend.0)).cloned().unwrap_or_default(),
            received_before: self.before,
            stopped_after: stopped.map(|time| time.as_secs_f64()),
            back_after: self.mended.and_then(|mended| Some(self.back?.since(mended).as_secs_f64())),
            client_errors: self.errors,
        }
    }
}

/// Of the latest requests before a break, or twenty a backend if that is more, one must have reached it, or its outage shows nothing.
const LATEST: u32 = 100;

/// How long a sample with that plan lasts, if nobody says it: the last step, and then some time to see what follows.
pub fn duration_of(scenario: &Scenario) -> Duration {
    // Balancers keep away from what has failed: NGINX for 10 s.
    let mended = scenario.steps.iter().any(|step| step.action.breaks() == Some(false));
    scenario.end() + Duration::from_secs(if mended { 12 } else { 5 })
}
