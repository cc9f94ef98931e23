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
    /// Those among them that were over when the last request was sent there before the mend: the balancer knew of them.
    #[serde(default)]
    pub known_since: u64,
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
    /// Those among them that were over when the last request was sent there: the balancer knew of them.
    #[serde(default)]
    pub known_before: u64,
}

/// An attempt at the backend that is broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct DirectedAttempt {
    at: Moment,
    /// When its request was sent.
    sent: Moment,
    /// When it was over, of one that failed.
    failed: Option<Moment>,
}

/// How many of these failures were over when that request was sent.
fn count_known(failures: &[Moment], sent: Moment) -> u64 {
    failures.iter().filter(|ended| ended.after(NEWS) <= sent).count() as u64
}

/// Traffic that ends so shortly before a backend is mended has not stopped.
const STILL: Duration = Duration::from_millis(300);
/// Of the latest requests before a break, or twenty a backend if that is more, one must have reached it, or its outage shows nothing.
const LATEST: u32 = 100;
/// The rate before a break is that of as much time.
const RATE: Duration = Duration::from_secs(5);
/// A balancer knows that much later that an attempt has failed.
const NEWS: Duration = Duration::from_millis(2);
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
    let meanwhile = seen.directed.iter().filter(|it| it.at >= window.broken && it.at < until);
    let last_attempt = meanwhile.clone().next_back();
    let last = last_attempt.map(|it| it.at);
    let times: Vec<Moment> = seen.directed.iter().map(|it| it.at).collect();
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
    let failures: Vec<Moment> =
        seen.directed.iter().filter(|it| it.at >= window.broken).filter_map(|it| it.failed).collect();
    let known = last_attempt.map_or(0, |last| count_known(&failures, last.sent));
    let before_pauses: u64 = pauses.iter().map(|pause| pause.failures_before).sum();
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
        failures_since: failures.len() as u64 - before_pauses,
        known_since: known.saturating_sub(before_pauses),
        pauses,
    }
}

struct TimelineTraffic<'a> {
    window: &'a OutageWindow,
    until: Moment,
    /// Until when it explains that no backend responded.
    explained: Moment,
    outages: &'a Outages<'a>,
    directed: Vec<DirectedAttempt>,
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
            let at = if is_late { sent } else { attempt.received };
            let failed = has_failed(attempt).then(|| attempt.responded());
            self.directed.push(DirectedAttempt { at, sent, failed });
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
    directed: &[DirectedAttempt],
    window: &OutageWindow,
    (started, ended): (Moment, Moment),
    usual: Duration,
) -> Vec<Pause> {
    let long = usual.mul_f64(GAPS).max(SHORTEST_PAUSE);
    let since = |at: Moment| at.since(started).as_secs_f64();
    let mut pauses = Vec::new();
    let mut failures: Vec<Moment> = Vec::new();
    let mut before: Option<DirectedAttempt> = None;
    let pause = |last: DirectedAttempt, until: Option<Moment>, failures: &[Moment]| Pause {
        from: since(last.at),
        until: until.map(since),
        failures_before: failures.len() as u64,
        known_before: count_known(failures, last.sent),
    };
    for it in directed {
        if let Some(last) = before
            && it.at.since(last.at) >= long
        {
            pauses.push(pause(last, Some(it.at), &failures));
            failures.clear();
        }
        failures.extend(it.failed.filter(|_| it.at >= window.broken));
        before = Some(*it);
    }
    if let Some(last) = before
        && ended.since(last.at) >= long
    {
        pauses.push(pause(last, None, &failures));
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
    let (mut failures, mut known) = (0, 0);
    let mut elsewhere = elsewhere.into_iter();
    pauses.retain_mut(|pause| {
        pause.failures_before += failures;
        pause.known_before += known;
        let is_out = elsewhere.next().is_some_and(&is_passed_over);
        (failures, known) = if is_out { (0, 0) } else { (pause.failures_before, pause.known_before) };
        is_out
    });
}

#[cfg(test)]
mod tests;
