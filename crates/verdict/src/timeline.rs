//! What an outage did to the traffic of one backend: out, in again, errors before each ejection, the ramp after its return.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ledger::{Arrival, Entry, Ledger};
use crate::observation::Backend;
use crate::ramp::ShareOverTime;
use crate::{AttemptEnd, Moment};

/// From the break of a backend to its mend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutageWindow {
    /// The backend that was out.
    pub backend: Backend,
    /// When the step that broke it was begun.
    pub broken: Moment,
    /// When the step that mended it was begun; none if nothing did.
    pub mended: Option<Moment>,
    /// Whether that step started a new process: nothing that was sent to it earlier could wait there.
    pub is_restarted: bool,
}

impl OutageWindow {
    /// Whether it was broken then.
    pub fn contains(&self, at: Moment) -> bool {
        at >= self.broken && self.mended.is_none_or(|mended| at < mended)
    }
}

/// How long a balancer keeps away from a backend that failed, and needs to notice that one is well, or is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Avoidance {
    /// The first time.
    pub time: Duration,
    /// Whether each further time lasts longer by as much.
    pub grows: bool,
}

impl Avoidance {
    /// The same time again and again.
    pub fn of(time: Duration) -> Avoidance {
        Avoidance { time, grows: false }
    }

    /// Of two reasons to keep away.
    #[must_use]
    pub fn or_longer(self, other: Avoidance) -> Avoidance {
        Avoidance { time: self.time.max(other.time), grows: self.grows || other.grows }
    }

    /// The longest after these outages. Where times grow, the last one is longer than the first by no more than those before it lasted
    /// together, and these were over while the backend was still broken.
    pub fn after(self, outages: &[OutageWindow]) -> Duration {
        let lasted = |it: &OutageWindow| it.mended.map_or(Duration::ZERO, |mended| mended.since(it.broken));
        let of = |backend: Backend| outages.iter().filter(|it| it.backend == backend).map(lasted).sum();
        let broken = outages.iter().map(|it| of(it.backend)).max().filter(|_| self.grows);
        self.time + broken.unwrap_or(Duration::ZERO)
    }
}

/// When a step was carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StepSpan {
    /// Which backend; none where it was done to all of them, or is a command.
    pub backend: Option<Backend>,
    /// When it was begun.
    pub begun: Moment,
    /// When it was done.
    pub ended: Moment,
    /// Whether it was done at all.
    pub is_done: bool,
    /// Whether it may cost requests even behind a good balancer.
    pub is_rough: bool,
}

/// A backend that was broken, and what its traffic did: times are in seconds since the sample began, unless stated otherwise.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Affected {
    /// Name of the backend.
    pub backend: String,
    /// When it was broken.
    pub broken: f64,
    /// When it was mended; null if nothing did that.
    pub mended: Option<f64>,
    /// Attempts that it received of the latest requests before the break: of 100, or of twenty a backend. With none, its outage shows nothing.
    pub received_before: u64,
    /// How many these latest requests were.
    #[serde(default)]
    pub sent_before: u64,
    /// Attempts that it received while it was broken, according to its records.
    pub received_meanwhile: u64,
    /// Seconds from the break until the last attempt that was sent there before the mend, according to its records; 0 without one, null
    /// if it was still sent requests when it was mended, or at the end.
    pub stopped_after: Option<f64>,
    /// Seconds from the break until the last client error before the mend, or after it while the balancer may still avoid the backend;
    /// null without an error.
    pub errors_end_after: Option<f64>,
    /// Client errors between the break and the mend.
    pub client_errors: u64,
    /// Seconds from the mend until its first response to a request that was sent since; null if it did not come back.
    pub back_after: Option<f64>,
    /// Seconds from that response over which its weight grew to what it was before the break; null if it did not by the end, or if that
    /// is not known.
    pub ramp: Option<f64>,
    /// Seconds by which chance may have moved that; null if its share tells nothing of its weight: too few requests came before the
    /// break, or others were broken in that time, too.
    #[serde(default)]
    pub ramp_error: Option<f64>,
    /// When it got nothing.
    pub pauses: Vec<Pause>,
    /// Attempts there that failed since the last of them, or since it was broken.
    #[serde(default)]
    pub failures_since: u64,
}

/// A time in which a backend got nothing, much longer than chance makes it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pause {
    /// When it began, in seconds since the sample began.
    pub from: f64,
    /// Until when; null if until the end.
    pub until: Option<f64>,
    /// Attempts there that failed since it was broken, or since the pause before.
    pub failures_before: u64,
}

/// Traffic that ends so shortly before a backend is mended has not stopped.
const STILL: Duration = Duration::from_millis(300);
/// Of the latest requests before a break, or twenty a backend if that is more, one must have reached it, or its outage shows nothing.
const LATEST: u32 = 100;
/// The rate before a break is that of as much time.
const RATE: Duration = Duration::from_secs(5);
/// How many times longer than the usual gap a pause is: by chance, e^-30.
const GAPS: f64 = 30.0;
const SHORTEST_PAUSE: Duration = Duration::from_millis(300);
/// Of a backend that is in rotation, less likely than that is no chance.
const LEVEL: f64 = 1e-8;
/// What got all requests before may not get all of them when it is back.
const LARGEST_SHARE: f64 = 0.95;

impl Affected {
    /// Whether that number of requests, all of which went elsewhere, shows that it was out of rotation, by the share that it had before.
    pub(crate) fn is_passed_over(&self, requests: u64) -> bool {
        is_passed_over(requests, self.received_before, self.sent_before)
    }
}

fn is_passed_over(requests: u64, received_before: u64, sent_before: u64) -> bool {
    let share = received_before as f64 / sent_before.max(1) as f64;
    requests as f64 * (1.0 - share.min(LARGEST_SHARE)).ln() <= LEVEL.ln()
}

/// What was done to backends.
#[derive(Clone, Copy, Debug)]
pub struct Outages<'a> {
    /// From each break of a backend to its mend.
    pub windows: &'a [OutageWindow],
    /// All steps, in the order of their times.
    pub steps: &'a [StepSpan],
    /// How long a balancer may keep away from a backend that failed.
    pub detection: Duration,
    /// Whether requests may be repeated: a kept connection that is closed at the moment of use is then no error.
    pub may_be_repeated: bool,
}

impl Outages<'_> {
    /// Whether a client would call it failed, and not because a kept connection may be closed at any time.
    pub fn is_error(&self, entry: &Entry) -> bool {
        entry.is_client_error() && !self.is_idle_close(entry)
    }

    /// Whether a kept connection was closed at the moment of use, and nothing else explains that. A balancer whose connection to a broken
    /// backend breaks may close the client's: one that must not repeat its request is left with an error.
    pub fn is_idle_close(&self, entry: &Entry) -> bool {
        let observation = entry.observation;
        let is_in = |window: &OutageWindow| {
            observation.ended >= window.broken
                && window.mended.is_none_or(|mended| observation.sent() <= mended.after(self.detection))
        };
        entry.is_idle_close() && (self.may_be_repeated || !self.windows.iter().any(is_in))
    }

    /// Until when nothing else is done after its return that moves shares; none if another backend was broken or came back meanwhile.
    fn alone_until(&self, window: &OutageWindow, back: Moment, ended: Moment) -> Option<Moment> {
        let others = self.windows.iter().filter(|it| *it != window);
        let next = others.clone().filter(|it| it.broken >= back).map(|it| it.broken).min();
        let commands = self.steps.iter().filter(|step| step.backend.is_none() && step.begun >= back);
        let until = next.into_iter().chain(commands.map(|step| step.begun)).fold(ended, Moment::min);
        let from = window.broken.before(RATE);
        let is_meanwhile = |it: &OutageWindow| it.broken < back && it.mended.is_none_or(|mended| mended > from);
        let is_alone = !others.into_iter().any(is_meanwhile);
        is_alone.then_some(until)
    }

    /// Until when a window explains that no backend responded. After its mend that is so while nothing else is broken, or done by a command.
    fn explained_until(&self, window: &OutageWindow) -> Option<Moment> {
        let mended = window.mended?;
        if self.windows.iter().any(|it| it.broken <= mended && it.mended.is_none_or(|it| it > mended)) {
            return Some(mended);
        }
        let other = self.steps.iter().filter(|step| step.begun > mended && (step.is_rough || step.backend.is_none()));
        let next = other.map(|step| step.begun).min();
        Some(next.map_or(mended.after(self.detection), |next| next.min(mended.after(self.detection))))
    }
}

/// One for each window. `started` and `ended` are those of the sample.
pub fn timelines(
    ledger: &Ledger,
    sample: Range<u32>,
    (started, ended): (Moment, Moment),
    outages: &Outages,
    names: &[String],
) -> Vec<Affected> {
    let timeline = |window| timeline(ledger, &sample, (started, ended), (window, outages), names);
    // What was broken when the last request had ended shows nothing.
    outages.windows.iter().filter(|window| window.broken < ended).map(timeline).collect()
}

fn timeline(
    ledger: &Ledger,
    sample: &Range<u32>,
    (started, ended): (Moment, Moment),
    (window, outages): (&OutageWindow, &Outages),
    names: &[String],
) -> Affected {
    let since = |at: Moment| at.since(started).as_secs_f64();
    let until = window.mended.unwrap_or(ended);
    let explained = outages.explained_until(window).unwrap_or(ended);
    let mut seen = TimelineTraffic::of(window, until, explained, outages, started);
    for entry in ledger.entries().filter(|entry| sample.contains(&entry.sequence)) {
        seen.see(&entry);
    }
    seen.directed.sort_unstable();
    let meanwhile = seen.directed.iter().filter(|(at, _)| *at >= window.broken && *at < until);
    let last = meanwhile.clone().map(|(at, _)| *at).next_back();
    let times: Vec<Moment> = seen.directed.iter().map(|(at, _)| *at).collect();
    let usual = usual_gap(&times, started, window.broken);
    let mut pauses = usual.map_or_else(Vec::new, |usual| pauses(&seen.directed, window, (started, ended), usual));
    let (received_before, sent_before) = received_before(ledger, sample, window, names.len());
    let elsewhere = ledger.entries().filter(|entry| {
        sample.contains(&entry.sequence) && entry.attempts.iter().all(|it| it.backend != window.backend)
    });
    let is_passed_over = |requests| is_passed_over(requests, received_before, sent_before);
    keep_passed_over(&mut pauses, elsewhere.map(|entry| since(entry.observation.sent())), is_passed_over);
    let ramp =
        seen.back.and_then(|back| seen.shares.ramp(window.broken, back, outages.alone_until(window, back, ended)?));
    let failures = seen.directed.iter().filter(|(at, failed)| *failed && *at >= window.broken).count() as u64;
    Affected {
        backend: names.get(usize::from(window.backend.0)).cloned().unwrap_or_default(),
        broken: since(window.broken),
        mended: window.mended.map(since),
        received_before,
        sent_before,
        received_meanwhile: meanwhile.count() as u64,
        stopped_after: match last {
            None => Some(0.0),
            Some(last) if until.since(last) < STILL => None,
            Some(last) => Some(last.since(window.broken).as_secs_f64()),
        },
        errors_end_after: seen.last_error.map(|last| last.since(window.broken).as_secs_f64()),
        client_errors: seen.errors,
        back_after: window.mended.and_then(|mended| Some(seen.back?.since(mended).as_secs_f64())),
        ramp: ramp.and_then(|ramp| ramp.seconds),
        ramp_error: ramp.map(|ramp| ramp.error),
        failures_since: failures - pauses.iter().map(|pause| pause.failures_before).sum::<u64>(),
        pauses,
    }
}

struct TimelineTraffic<'a> {
    window: &'a OutageWindow,
    until: Moment,
    /// Until when it explains that no backend responded.
    explained: Moment,
    outages: &'a Outages<'a>,
    /// When each attempt was sent there, and whether it failed.
    directed: Vec<(Moment, bool)>,
    shares: ShareOverTime,
    errors: u64,
    last_error: Option<Moment>,
    back: Option<Moment>,
}

impl<'a> TimelineTraffic<'a> {
    fn of(
        window: &'a OutageWindow,
        until: Moment,
        explained: Moment,
        outages: &'a Outages,
        started: Moment,
    ) -> TimelineTraffic<'a> {
        TimelineTraffic {
            window,
            until,
            explained,
            outages,
            directed: Vec::new(),
            shares: ShareOverTime::new(started),
            errors: 0,
            last_error: None,
            back: None,
        }
    }

    fn see(&mut self, entry: &Entry) {
        let observation = entry.observation;
        let error = self.outages.is_error(entry);
        if error && observation.ended >= self.window.broken && observation.sent() < self.until {
            self.errors += 1;
            self.last_error = self.last_error.max(Some(observation.ended.min(self.until)));
        } else if error && observation.sent() >= self.until && observation.sent() < self.explained {
            let is_elsewhere = entry.attempts.iter().any(|attempt| attempt.backend != self.window.backend);
            if !is_elsewhere {
                self.last_error = self.last_error.max(Some(observation.ended));
            }
        }
        // By when they were sent: how soon a backend reads says how busy its host is.
        for attempt in entry.attempts {
            self.shares.see(observation.sent(), attempt.backend == self.window.backend);
        }
        for attempt in entry.attempts.iter().filter(|attempt| attempt.backend == self.window.backend) {
            // One that is paused receives when it goes on what was sent to it before.
            let sent = observation.sent();
            let is_late = attempt.received >= self.until && sent < self.until && !self.window.is_restarted;
            self.directed.push((if is_late { sent } else { attempt.received }, has_failed(attempt)));
        }
        let here = entry.delivered().is_some_and(|attempt| attempt.backend == self.window.backend);
        // One that was sent before may have waited for this backend, or been tried here again: nobody selected it since.
        let mended = self.window.mended.is_some_and(|mended| observation.sent() >= mended);
        if here && mended && !error {
            self.back = Some(self.back.map_or(observation.ended, |back| back.min(observation.ended)));
        }
    }
}

fn has_failed(attempt: &Arrival) -> bool {
    attempt.end != AttemptEnd::Completed || attempt.status >= 500
}

/// Attempts that it received of the latest requests before the break, and how many these requests were.
fn received_before(ledger: &Ledger, sample: &Range<u32>, window: &OutageWindow, backends: usize) -> (u64, u64) {
    let mut entries = ledger.entries().filter(|entry| sample.contains(&entry.sequence));
    let first = entries.find(|entry| entry.observation.sent() >= window.broken).map(|entry| entry.sequence);
    let end = first.unwrap_or(sample.end);
    let latest = end.saturating_sub(LATEST.max(20 * backends as u32))..end;
    let here = |it: Entry| it.attempts.iter().filter(|attempt| attempt.backend == window.backend).count() as u64;
    latest
        .filter(|sequence| sample.contains(sequence))
        .filter_map(|sequence| ledger.entry(sequence))
        .fold((0, 0), |(received, sent), entry| (received + here(entry), sent + 1))
}

/// From one request to the next before the break; none if there were too few.
fn usual_gap(times: &[Moment], started: Moment, broken: Moment) -> Option<Duration> {
    let from = started.max(Moment(broken.0.saturating_sub(RATE.as_nanos() as u64)));
    let count = times.iter().filter(|at| **at >= from && **at < broken).count();
    (count >= 10).then(|| broken.since(from) / count as u32)
}

fn pauses(
    directed: &[(Moment, bool)],
    window: &OutageWindow,
    (started, ended): (Moment, Moment),
    usual: Duration,
) -> Vec<Pause> {
    let long = usual.mul_f64(GAPS).max(SHORTEST_PAUSE);
    let since = |at: Moment| at.since(started).as_secs_f64();
    let mut pauses = Vec::new();
    let mut failures = 0;
    let mut before: Option<Moment> = None;
    for (at, failed) in directed {
        if let Some(from) = before
            && at.since(from) >= long
        {
            pauses.push(Pause { from: since(from), until: Some(since(*at)), failures_before: failures });
            failures = 0;
        }
        failures += u64::from(*failed && *at >= window.broken);
        before = Some(*at);
    }
    if let Some(from) = before
        && ended.since(from) >= long
    {
        pauses.push(Pause { from: since(from), until: None, failures_before: failures });
    }
    pauses
}

/// A backend that got nothing while a client sent nothing was in rotation all the same.
fn keep_passed_over(
    pauses: &mut Vec<Pause>,
    sent_elsewhere: impl Iterator<Item = f64>,
    is_passed_over: impl Fn(u64) -> bool,
) {
    if pauses.is_empty() {
        return;
    }
    let mut elsewhere = vec![0; pauses.len()];
    for at in sent_elsewhere {
        let next = pauses.partition_point(|pause| pause.from < at);
        if next > 0 && pauses[next - 1].until.is_none_or(|until| at < until) {
            elsewhere[next - 1] += 1;
        }
    }
    let mut failures = 0;
    let mut elsewhere = elsewhere.into_iter();
    pauses.retain_mut(|pause| {
        pause.failures_before += failures;
        let is_out = elsewhere.next().is_some_and(&is_passed_over);
        failures = if is_out { 0 } else { pause.failures_before };
        is_out
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::WayNumber;
    use crate::ledger::BackendRecords;
    use crate::observation::{ClientOutcome, Echo, Observation};
    use crate::request::Differences;
    use uuid::Uuid;

    const MILLISECOND: u64 = 1_000_000;
    const DETECTION: Duration = Duration::from_secs(1);

    /// A request a millisecond, each to the backend that `choose` says, with what became of it there; none reaches no backend and is an
    /// error of the balancer's.
    fn run(count: u32, choose: impl Fn(u64) -> Option<(u16, u16)>) -> Ledger {
        run_at((0..u64::from(count)).collect(), choose)
    }

    /// The same with requests at these milliseconds.
    fn run_at(times: Vec<u64>, choose: impl Fn(u64) -> Option<(u16, u16)>) -> Ledger {
        let (mut observations, mut arrivals) = (Vec::new(), Vec::new());
        for (sequence, at) in (0u32..).zip(times) {
            let chosen = choose(at);
            let answer = chosen.map_or(Uuid::nil(), |_| Uuid::from_u128(u128::from(sequence) + 1));
            observations.push(Observation {
                due: Moment(at * MILLISECOND),
                ended: Moment(at * MILLISECOND + MILLISECOND / 2),
                response: answer,
                waited: 0,
                client: 0,
                backend: chosen.map_or(Backend::UNKNOWN, |(backend, _)| Backend(backend)),
                status: chosen.map_or(502, |(_, status)| status),
                outcome: ClientOutcome::Response,
                echo: Echo::Own,
                reused: false,
                flaw: None,
            });
            if let Some((backend, status)) = chosen {
                arrivals.push(Arrival {
                    received: Moment(at * MILLISECOND + MILLISECOND / 10),
                    response: answer,
                    sequence,
                    took: 1,
                    backend: Backend(backend),
                    status,
                    end: AttemptEnd::Completed,
                    differences: Differences::NONE,
                    way: WayNumber::default(),
                });
            }
        }
        Ledger::join(observations, arrivals, BackendRecords::Kept)
    }

    fn of(ledger: &Ledger, broken: u64, mended: Option<u64>) -> Affected {
        all_of(ledger, broken, mended).remove(0)
    }

    fn all_of(ledger: &Ledger, broken: u64, mended: Option<u64>) -> Vec<Affected> {
        all_of_one(ledger, broken, mended, false)
    }

    fn all_of_one(ledger: &Ledger, broken: u64, mended: Option<u64>, is_restarted: bool) -> Vec<Affected> {
        let window = OutageWindow {
            backend: Backend(1),
            broken: Moment(broken * MILLISECOND),
            mended: mended.map(|mended| Moment(mended * MILLISECOND)),
            is_restarted,
        };
        let count = ledger.observations().len() as u32;
        let span = (Moment(0), Moment(u64::from(count) * MILLISECOND));
        let outages = Outages { windows: &[window], steps: &[], detection: DETECTION, may_be_repeated: true };
        timelines(ledger, 0..count, span, &outages, &["a".to_owned(), "b".to_owned()])
    }

    #[test]
    fn a_time_that_grows_is_longer_by_no_more_than_its_backend_was_broken() {
        let window = |backend: u16, from: u64, to: Option<u64>| {
            let at = |seconds: u64| Moment(seconds * 1_000_000_000);
            OutageWindow { backend: Backend(backend), broken: at(from), mended: to.map(at), is_restarted: false }
        };
        let outages = [window(0, 0, Some(3)), window(1, 1, Some(2)), window(0, 5, Some(9)), window(1, 8, None)];
        let same = Avoidance::of(Duration::from_secs(10));
        assert_eq!((same.after(&outages), same.after(&[])), (same.time, same.time));
        let longer = Avoidance { grows: true, ..same };
        assert_eq!((longer.after(&outages), longer.after(&[])), (Duration::from_secs(17), same.time));
    }

    #[test]
    fn what_was_broken_after_the_last_request_has_no_times() {
        let ledger = run(1_000, |at| Some(((at % 2) as u16, 200)));
        assert_eq!((all_of(&ledger, 999, None).len(), all_of(&ledger, 1_000, None)), (1, Vec::new()));
    }

    fn near(seconds: f64, expected: f64) -> bool {
        (seconds - expected).abs() < 0.01
    }

    #[test]
    fn a_backend_that_leaves_and_returns_has_its_times() {
        let ledger = run(10_000, |at| {
            let out = (2_000..6_500).contains(&at);
            Some((u16::from(at % 2 == 1 && !out), 200))
        });
        let timeline = of(&ledger, 2_000, Some(6_000));
        assert!((timeline.received_meanwhile, timeline.client_errors) == (0, 0), "{timeline:?}");
        assert!(near(timeline.stopped_after.unwrap(), 0.0) && near(timeline.back_after.unwrap(), 0.5), "{timeline:?}");
        assert!(near(timeline.ramp.unwrap(), 0.0) && timeline.received_before == 50, "{timeline:?}");
        let [pause] = timeline.pauses.as_slice() else { panic!("{timeline:?}") };
        assert!(near(pause.from, 2.0) && near(pause.until.unwrap(), 6.5) && pause.failures_before == 0);
    }

    #[test]
    fn a_request_that_waited_for_a_backend_does_not_bring_it_back() {
        const WAITED: u32 = 5_901;
        let ledger = run(10_000, |at| {
            let here = at % 2 == 1 && (!(2_000..9_000).contains(&at) || at == u64::from(WAITED));
            Some((u16::from(here), 200))
        });
        let (mut sent, mut arrived) = (ledger.observations().to_vec(), ledger.arrivals().to_vec());
        sent[WAITED as usize].ended = Moment(6_020 * MILLISECOND);
        arrived[WAITED as usize].received = Moment(6_010 * MILLISECOND);
        let ledger = Ledger::join(sent, arrived, BackendRecords::Kept);
        let timeline = of(&ledger, 2_000, Some(6_000));
        assert!(near(timeline.back_after.unwrap(), 3.0), "{timeline:?}");
        // A host that was paused got it before the mend; a process that was started then did not.
        assert_eq!((timeline.received_meanwhile, timeline.stopped_after), (1, None));
        let restarted = all_of_one(&ledger, 2_000, Some(6_000), true).remove(0);
        assert_eq!((restarted.received_meanwhile, restarted.stopped_after), (0, Some(0.0)));
        assert!(near(restarted.back_after.unwrap(), 3.0), "{restarted:?}");
    }

    #[test]
    fn errors_go_on_after_a_mend_until_the_balancer_tries_the_backend_again() {
        let ledger = run(5_000, |at| (!(1_000..3_500).contains(&at)).then_some(((at % 2) as u16, 200)));
        let timeline = of(&ledger, 1_000, Some(3_000));
        assert!(near(timeline.errors_end_after.unwrap(), 2.5) && timeline.client_errors == 2_000, "{timeline:?}");
        // What another outage explains then, and what comes too late, is none of this one's.
        assert!(near(of(&ledger, 1_000, Some(2_000)).errors_end_after.unwrap(), 2.0));
        let at = |millisecond: u64| Moment(millisecond * MILLISECOND);
        let window = |broken, mended| OutageWindow {
            backend: Backend(1),
            broken: at(broken),
            mended: Some(at(mended)),
            is_restarted: false,
        };
        let until = |windows: &[OutageWindow], steps: &[StepSpan]| {
            Outages { windows, steps, detection: DETECTION, may_be_repeated: true }.explained_until(&windows[0])
        };
        let first = window(1_000, 2_000);
        assert_eq!(until(&[first], &[]), Some(at(3_000)));
        assert_eq!(until(&[first, window(1_500, 2_500)], &[]), Some(at(2_000)));
        let step = |begun, backend, is_rough| StepSpan {
            backend,
            begun: at(begun),
            ended: at(begun),
            is_done: true,
            is_rough,
        };
        let mends = [step(2_000, None, false), step(2_030, Some(Backend(0)), false)];
        assert_eq!(until(&[first], &mends), Some(at(3_000)));
        assert_eq!(until(&[first], &[step(2_400, None, false)]), Some(at(2_400)));
        assert_eq!(until(&[first], &[step(2_600, Some(Backend(0)), true)]), Some(at(2_600)));
    }

    #[test]
    fn errors_of_the_balancer_itself_are_no_traffic_there() {
        let ledger = run(4_000, |at| if at % 2 == 0 { Some((0, 200)) } else { (at < 2_000).then_some((1, 200)) });
        let timeline = of(&ledger, 2_000, None);
        assert!(
            timeline.stopped_after == Some(0.0) && timeline.received_meanwhile == 0 && timeline.client_errors == 1_000,
            "{timeline:?}"
        );
        assert!(near(timeline.errors_end_after.unwrap(), 2.0) && timeline.back_after.is_none(), "{timeline:?}");
    }

    #[test]
    fn traffic_that_goes_on_is_seen_in_the_records() {
        let ledger = run(4_000, |at| Some(((at % 2) as u16, if at % 2 == 1 && at >= 2_000 { 503 } else { 200 })));
        let timeline = of(&ledger, 2_000, Some(4_000));
        assert!(
            timeline.stopped_after.is_none() && timeline.received_meanwhile == 1_000 && timeline.pauses.is_empty(),
            "{timeline:?}"
        );
    }

    #[test]
    fn a_backend_that_gets_nothing_while_nobody_sends_anything_is_in_rotation() {
        let even = |at: u64| Some(((at % 2) as u16, 200));
        // The client waits: nothing is sent from 3 s to 5 s.
        let waits = |at: &u64| !(3_000..5_000).contains(at);
        let ledger = run_at((0..10_000).filter(waits).collect(), even);
        assert_eq!(of(&ledger, 2_000, Some(6_000)).pauses, []);
        let out = |at: u64| if (3_000..5_000).contains(&at) { Some((0, 200)) } else { even(at) };
        assert_eq!(of(&run(10_000, out), 2_000, Some(6_000)).pauses.len(), 1);
    }

    #[test]
    fn failures_are_counted_before_each_ejection() {
        // Five failures, then a second without traffic, again and again.
        let ledger = run(8_000, |at| {
            let broken = (2_000..6_000).contains(&at);
            let cycle = (at.saturating_sub(2_000)) % 1_010;
            let here = at % 2 == 1 && (!broken || cycle < 10);
            Some((u16::from(here), if here && broken { 500 } else { 200 }))
        });
        let timeline = of(&ledger, 2_000, Some(6_000));
        assert_eq!(
            timeline.pauses.iter().map(|pause| pause.failures_before).collect::<Vec<_>>(),
            [5; 4],
            "{timeline:?}"
        );
    }

    #[test]
    fn a_ramp_lasts_until_as_much_comes_as_before() {
        // After the return a weight that grows over two seconds.
        let ledger = run(10_000, |at| {
            let here = match at {
                2_000..5_000 => false,
                5_000..7_000 => (at * 7919) % 2_000 < 2_000 * (at - 5_000) / (at - 3_000),
                _ => at % 2 == 1,
            };
            Some((u16::from(here), 200))
        });
        let ramp = of(&ledger, 2_000, Some(5_000)).ramp.unwrap();
        assert!((1.8..=2.2).contains(&ramp), "{ramp}");
    }
}
