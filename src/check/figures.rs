//! Latency, slices of time and what an outage did: figures of the ledger for reports.

use std::ops::Range;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::check::scenario::{Scenario, StepResult};
use crate::wire::Moment;
use verdict::ledger::{BackendRecords, Ledger};
use verdict::observation::{Backend, ClientOutcome};
use verdict::outcome::Outcome;
use verdict::report::{DrillStep, Latency, Outage, Percentiles, Slice, SlowBackend};
use verdict::timeline::{OutageWindow, Outages, StepSpan, timelines};

/// Nanoseconds, to three digits.
type LatencyHistogram = Histogram<u64>;

fn times() -> LatencyHistogram {
    LatencyHistogram::new(3).expect("three digits are allowed")
}

/// The three latencies of the sample, and how often the client's was how long: (seconds, count).
pub(crate) fn latency(
    ledger: &Ledger,
    sample: Range<u32>,
    open_loop: bool,
    names: &[String],
) -> (Option<Latency>, Vec<(f64, u64)>) {
    let (mut client, mut backend, mut between) = (times(), times(), times());
    let mut by_backend: Vec<Option<LatencyHistogram>> = vec![None; names.len()];
    for entry in ledger.entries().filter(|entry| sample.contains(&entry.sequence)) {
        let observation = entry.observation;
        if !matches!(observation.outcome, ClientOutcome::Response | ClientOutcome::Altered) {
            continue;
        }
        client += observation.ended.0.saturating_sub(observation.due.0);
        // Requests of one backend may come in a crowd, and wait in front of it: what its own records say is of it alone.
        let there = match ledger.records() {
            BackendRecords::Kept => entry.delivered().map(|attempt| u64::from(attempt.took) * 100),
            BackendRecords::None => Some(observation.ended.0.saturating_sub(observation.sent().0)),
        };
        let own = by_backend.get_mut(usize::from(observation.backend.0)).filter(|_| entry.attempts.len() <= 1);
        if let (Some(own), Some(there)) = (own, there) {
            *own.get_or_insert_with(|| Histogram::new(2).expect("two digits are allowed")) += there;
        }
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
    let both = |times: &LatencyHistogram| {
        (ledger.records() == BackendRecords::Kept && !times.is_empty()).then(|| percentiles(times))
    };
    let enough =
        |times: &LatencyHistogram| (times.len() >= LEAST_TIMES).then(|| times.value_at_quantile(0.5) as f64 / 1e9);
    let medians = names.iter().zip(&by_backend);
    let medians: Vec<(&str, f64)> =
        medians.filter_map(|(name, times)| Some((name.as_str(), times.as_ref().and_then(enough)?))).collect();
    let latency = Latency {
        client: percentiles(&client),
        backend: both(&backend),
        between: both(&between),
        slow: slow_backends(&medians),
        open_loop,
    };
    let buckets = client.iter_log((client.min() / 2).max(1000), 1.25);
    let plot = buckets.map(|bucket| (bucket.value_iterated_to() as f64 / 1e9, bucket.count_since_last_iteration()));
    (Some(latency), plot.filter(|(_, count)| *count > 0).collect())
}

/// Requests of a backend whose median says something.
const LEAST_TIMES: u64 = 20;

/// Those that take three times as long as the others do, and 5 ms longer: the medians of backends that are alike are closer together.
fn slow_backends(medians: &[(&str, f64)]) -> Vec<SlowBackend> {
    let mut sorted: Vec<f64> = medians.iter().map(|(_, p50)| *p50).collect();
    sorted.sort_by(f64::total_cmp);
    // The slowest is not among the others, and where others are as slow, it is those who are quick that they are compared with.
    let Some(others) = sorted.len().checked_sub(2).map(|last| sorted[last / 2]) else { return Vec::new() };
    let is_slow = |p50: f64| p50 >= 3.0 * others && p50 >= others + 5e-3;
    let slow = medians.iter().filter(|(_, p50)| is_slow(*p50));
    slow.map(|(name, p50)| SlowBackend { backend: (*name).to_owned(), p50: *p50, others }).collect()
}

fn percentiles(times: &LatencyHistogram) -> Percentiles {
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
pub(crate) fn slices(
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
        if matches!(observation.outcome, ClientOutcome::Response | ClientOutcome::Altered) {
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

const TOO_LATE: &str = "the sample was over: give it a longer --duration, or a larger -n";

/// What was done to the fleet, and what that did to the sample.
pub(crate) fn outage(
    ledger: &Ledger,
    sample: Range<u32>,
    (started, ended): (Moment, Moment),
    steps: &[StepResult],
    outages: &Outages,
    names: &[String],
) -> Option<Outage> {
    let first = steps.first()?.at;
    // What breaks something when the last request has been sent tries nothing.
    let is_late = |it: &StepResult| it.is_done && it.at >= ended && it.step.action.breaks() != Some(false);
    let step = |result: &StepResult| DrillStep {
        at: result.at.since(started).as_secs_f64(),
        what: result.step.to_string(),
        done: result.is_done && !is_late(result),
        result: if is_late(result) { Some(TOO_LATE.to_owned()) } else { result.result.clone() },
    };
    let backends = timelines(ledger, sample.clone(), (started, ended), outages, names);
    let steps = steps.iter().map(step).collect();
    let mut outage = Outage { steps, client_errors: 0, retries: 0, double_executions: 0, backends };
    let entries = ledger.entries().filter(|entry| sample.contains(&entry.sequence));
    for entry in entries.filter(|entry| entry.observation.ended >= first) {
        outage.client_errors += u64::from(outages.is_error(&entry));
        outage.retries += u64::from(entry.outcome == Outcome::Retried);
        outage.double_executions += u64::from(entry.outcome == Outcome::Duplicated);
    }
    Some(outage)
}

/// What is refused is refused at once. A step that failed later may have been carried out all the same, such as one whose fleet answered too
/// late: it excuses errors, and mends nothing.
const LATE: Duration = Duration::from_secs(1);

/// From each break of a backend to its mend; what was refused broke and mended nothing.
pub(crate) fn windows(steps: &[StepResult], names: &[String]) -> Vec<OutageWindow> {
    let mut windows: Vec<OutageWindow> = Vec::new();
    for result in steps {
        let Some(breaks) = result.step.action.breaks() else { continue };
        let is_late = result.ended.since(result.at) >= LATE;
        if !(result.is_done || breaks && is_late) {
            continue;
        }
        let touched = (0..names.len()).filter(|place| match &result.step.backend {
            Some(backend) => names[*place] == *backend,
            None => true,
        });
        for place in touched {
            let backend = Backend(place as u16);
            let open = windows.iter_mut().find(|window| window.backend == backend && window.mended.is_none());
            match (breaks, open) {
                (true, None) => {
                    windows.push(OutageWindow { backend, broken: result.at, mended: None, is_restarted: false });
                }
                (false, Some(window)) => {
                    window.mended = Some(result.at);
                    window.is_restarted = result.step.action.starts();
                }
                (true, Some(_)) | (false, None) => {}
            }
        }
    }
    windows
}

/// When each step was carried out.
pub(crate) fn spans(steps: &[StepResult], names: &[String]) -> Vec<StepSpan> {
    let span = |result: &StepResult| StepSpan {
        backend: result.step.backend.as_ref().and_then(|backend| {
            let place = names.iter().position(|name| name == backend)?;
            Some(Backend(place as u16))
        }),
        begun: result.at,
        ended: result.ended,
        is_done: result.is_done,
        is_rough: result.step.action.is_rough(),
    };
    steps.iter().map(span).collect()
}

/// How long a sample with that plan lasts, if nobody says it: the last step, and then some time to see what follows.
pub(crate) fn duration_of(scenario: &Scenario) -> Duration {
    // Balancers keep away from what has failed: NGINX for 10 s.
    let mended = scenario.steps.iter().any(|step| step.action.breaks() == Some(false));
    scenario.end() + Duration::from_secs(if mended { 12 } else { 5 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(step: &str, at: u64, is_done: bool) -> StepResult {
        let scenario: Scenario = step.parse().unwrap();
        let at = Moment(at);
        StepResult { step: scenario.steps[0].clone(), at, ended: at, is_done, result: None }
    }

    #[test]
    fn a_backend_is_slow_beside_others_that_are_quick_and_none_is_where_all_are_alike() {
        let slow = |medians: &[(&str, f64)]| -> Vec<String> {
            slow_backends(medians).into_iter().map(|it| format!("{} {} {}", it.backend, it.p50, it.others)).collect()
        };
        assert_eq!(slow(&[("9001", 0.001), ("9002", 0.3), ("9003", 0.002)]), ["9002 0.3 0.001"]);
        assert_eq!(slow(&[("9001", 0.001), ("9002", 0.3)]), ["9002 0.3 0.001"]);
        assert_eq!(slow(&[("a", 0.2), ("b", 0.3), ("c", 0.001)]), ["a 0.2 0.001", "b 0.3 0.001"]);
        // Three times as long, and not long; long, and not three times as long; one alone.
        assert!(slow(&[("9001", 0.001), ("9002", 0.0055), ("9003", 0.001)]).is_empty());
        assert!(slow(&[("9001", 0.1), ("9002", 0.25), ("9003", 0.1)]).is_empty());
        assert!(slow(&[("9001", 0.3)]).is_empty() && slow(&[]).is_empty());
    }

    #[test]
    fn what_was_not_done_breaks_and_mends_nothing() {
        let names = ["9001".to_owned(), "9002".to_owned()];
        let window = |broken, mended: Option<u64>| OutageWindow {
            backend: Backend(1),
            broken: Moment(broken),
            mended: mended.map(Moment),
            is_restarted: mended.is_some(),
        };
        let all = [result("kill:9002@1s", 1, true), result("start:9002@3s", 3, true), result("kill:9002@5s", 5, true)];
        assert_eq!(windows(&all, &names), [window(1, Some(3)), window(5, None)]);
        let half = [result("kill:9002@1s", 1, true), result("start:9002@3s", 3, false)];
        assert_eq!(windows(&half, &names), [window(1, None)]);
        assert_eq!(windows(&[result("kill:9002@1s", 1, false)], &names), []);
        let paused = [result("pause:9002@1s", 1, true), result("resume:9002@3s", 3, true)];
        assert_eq!(windows(&paused, &names), [OutageWindow { is_restarted: false, ..window(1, Some(3)) }]);
        let late = |step| StepResult { ended: Moment(5_000_000_001), ..result(step, 1, false) };
        assert_eq!(windows(&[late("reset:9002@1s")], &names), [window(1, None)]);
        assert_eq!(windows(&[result("kill:9002@1s", 1, true), late("start:9002@1s")], &names), [window(1, None)]);
    }
}
