//! A limit: responses of 429, which say so (RFC 6585 section 4), or other refusals that begin with the rate, while as much passes as the limit allows.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::Moment;
use crate::ledger::{Entry, Ledger};
use crate::observation::ClientOutcome;
use crate::tally::Judged;

/// A limit that a sample met.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RateLimit {
    /// The status with which the balancer refused.
    pub status: u16,
    /// How often it did.
    pub refused: u64,
    /// Requests that passed, per second; null if the sample is too short or too unsteady to say.
    pub passed: Option<f64>,
    /// Requests that were sent, per second; null likewise.
    pub sent: Option<f64>,
    /// Where nothing was refused but beside that many requests in flight, and never more passed at once: then it may be a limit of these.
    #[serde(default)]
    pub at_once: Option<u64>,
    /// What is limited, where an experiment has shown it.
    #[serde(default)]
    pub kind: Option<LimitKind>,
    /// Why no request was sent slowly to try it: then the balancer may fail instead; null if it was tried, or the status says it.
    #[serde(default)]
    pub untried: Option<NoTrial>,
}

/// Why no trial follows a sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NoTrial {
    /// Backends are not as they were before it.
    Drill,
    /// It would take more requests than `--budget` allows.
    Budget,
}

/// What a limit limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// Requests in a time: many in flight at once passed at a slow pace.
    Rate,
    /// Requests in flight, and how many: a pace at which all passed was refused while more than these were in flight.
    AtOnce(u64),
}

/// What requests showed that were sent slowly after the sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlowTrial {
    /// Whether none of them was refused.
    pub passed: bool,
    /// How many passed one after the other, from the first on.
    pub requests: u32,
    /// Whether some were refused again that were sent as fast as the sample: an outage does not come back for them.
    pub is_refused_again: bool,
    /// What is limited, if that was seen.
    pub kind: Option<LimitKind>,
}

/// Slices in which as much must have passed; the first one is left out, for a limit may allow a burst.
const SLICES: usize = 9;
/// How far from the median a slice may be.
const SPREAD: f64 = 0.35;
/// The probability with which chance may let all pass that were sent slowly.
const CHANCE: f64 = 1e-6;
/// What is refused less often is no limit that a check should mind.
const SHARE: f64 = 0.02;

impl RateLimit {
    /// What the requests show that are judged, and some that were sent slowly afterwards; None if that was not tried. Other statuses than
    /// 429 are said for much else: they take such a trial. One of 429 takes none: a limit may count over a minute, and what it refuses too.
    /// Where none can follow, `no_trial` says why, and until when it shows what was refused anyway: that may be a limit if it began with the
    /// rate.
    pub fn of(
        ledger: &Ledger,
        judged: Judged,
        sample: Range<u32>,
        slowly: Option<SlowTrial>,
        no_trial: Option<(NoTrial, Moment)>,
    ) -> Option<RateLimit> {
        let is_before = |entry: &Entry| no_trial.is_none_or(|(_, until)| entry.observation.ended < until);
        let refused_often = || {
            let before = || ledger.entries().filter(|it| sample.contains(&it.sequence) && is_before(it));
            let all = if no_trial.is_some() { before().count() } else { sample.len() };
            refusal(before().filter(is_own).map(|entry| entry.observation.status), all)
        };
        let status = refused_often().or_else(|| says_so(ledger, judged).then_some(429))?;
        let is_open = || begins_with_the_rate(ledger.entries().filter(|entry| is_before(entry)), status);
        let untried = no_trial.map(|(why, _)| why).filter(|_| status != 429 && slowly.is_none() && is_open());
        if status != 429 && untried.is_none() && !slowly.is_some_and(|trial| trial.passed) {
            return None;
        }
        let all = ledger.entries().filter(|entry| judged.includes(entry) && is_refused(entry, status));
        let (mut refused, mut in_sample) = (0, 0u64);
        for entry in all {
            refused += 1;
            in_sample += u64::from(sample.contains(&entry.sequence));
        }
        let begun = ledger.entries().find(|entry| is_refused(entry, 429)).map_or(sample.start, |entry| entry.sequence);
        let estimate = estimate(ledger, sample.clone(), status)
            // A sample that is over in an instant: what came before it met the same limit. Of another status only the sample is known well.
            .or_else(|| (status == 429).then(|| estimate(ledger, begun..sample.end, status)).flatten());
        // What was refused before the sample, beside fewer, met no limit of requests at once.
        let in_flight = PassedMeanwhile::of(ledger, 0..sample.end, status);
        let at_once = in_flight.most.filter(|most| *most >= 2 && in_flight.refused_beside(*most));
        // What was refused beside fewer met another limit, whatever the experiment found.
        let kind = slowly.and_then(|trial| trial.kind).filter(|kind| match kind {
            LimitKind::AtOnce(limit) => in_flight.refused_beside(*limit),
            LimitKind::Rate => true,
        });
        let needed = trials(in_sample as f64 / sample.len() as f64);
        // Nothing else explains it: the status says it; or chance would not have let all pass that were sent slowly, and some were refused
        // again that were sent fast.
        let is_certain = status == 429 || slowly.is_some_and(|it| it.requests >= needed && it.is_refused_again);
        let limit = RateLimit { status, refused, passed: None, sent: None, at_once, kind, untried };
        // A burst may be all that passed of a short sample: what passes slowly and is refused again shows as much as a figure.
        (is_certain || untried.is_some()).then_some(match estimate {
            Some((passed, sent)) => RateLimit { passed: Some(passed), sent: Some(sent), ..limit },
            None => limit,
        })
    }

    /// Whether it is what refused that request.
    pub(crate) fn refuses(&self, entry: &Entry) -> bool {
        is_refused(entry, self.status)
    }

    /// Whether it refused any of these requests.
    pub fn refuses_any(&self, ledger: &Ledger, mut requests: Range<u32>) -> bool {
        requests.any(|sequence| ledger.entry(sequence).is_some_and(|entry| self.refuses(&entry)))
    }

    /// A rate that stays below it, in two digits.
    pub fn suggested(&self) -> Option<f64> {
        let below = self.passed? * 0.8;
        let digit = 10f64.powf(below.log10().floor() - 1.0);
        Some(((below / digit).floor() * digit).max(digit))
    }
}

/// Whether more passed before the first refusal than chance lets pass of a balancer that refuses as many at any rate.
fn begins_with_the_rate<'l>(requests: impl Iterator<Item = Entry<'l>>, status: u16) -> bool {
    let (mut before, mut since, mut refused) = (0u32, 0u64, 0u64);
    for entry in requests {
        let is_refused = is_refused(&entry, status);
        if refused == 0 && !is_refused {
            before += 1;
            continue;
        }
        since += 1;
        refused += u64::from(is_refused);
    }
    refused > 0 && before >= trials(refused as f64 / since as f64)
}

/// How many have to pass slowly until chance does not explain it, where that share is refused.
pub fn trials(refused: f64) -> u32 {
    if refused < 1.0 { (CHANCE.ln() / (-refused).ln_1p()).ceil() as u32 } else { 1 }
}

/// Requests per second that passed and that were sent, if as many passed all the time.
fn estimate(ledger: &Ledger, sample: Range<u32>, status: u16) -> Option<(f64, f64)> {
    let entries = || ledger.entries().filter(|entry| sample.contains(&entry.sequence));
    let sent = |entry: &Entry| entry.observation.sent();
    let (first, last) = (entries().map(|it| sent(&it)).min()?, entries().map(|it| sent(&it)).max()?);
    let length = last.since(first).as_secs_f64() / SLICES as f64;
    if length < 0.02 {
        return None;
    }
    let slice = |at: Moment| ((at.since(first).as_secs_f64() / length) as usize).min(SLICES - 1);
    let mut passed = [0u64; SLICES];
    let mut refused = [0u64; SLICES];
    for entry in entries() {
        let counts = if is_refused(&entry, status) { &mut refused } else { &mut passed };
        counts[slice(sent(&entry))] += 1;
    }
    let mut rates: Vec<f64> = passed[1..].iter().map(|count| *count as f64 / length).collect();
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    let chance = 4.0 * (median * length).sqrt() / length;
    let steady = rates.iter().all(|rate| (rate - median).abs() <= (median * SPREAD).max(chance));
    let sent = sample.len() as f64 / last.since(first).as_secs_f64();
    let everywhere = refused[1..].iter().all(|count| *count > 0);
    (steady && everywhere && median > 0.0).then_some((median, sent))
}

/// What was in flight while requests were refused.
struct PassedMeanwhile {
    /// The most requests that passed at once.
    most: Option<u64>,
    /// Beside how many that passed each of the refused was sent.
    beside: Vec<u64>,
}

impl PassedMeanwhile {
    fn of(ledger: &Ledger, requests: Range<u32>, status: u16) -> PassedMeanwhile {
        let mut passed: Vec<(Moment, Moment)> = Vec::new();
        let mut refused: Vec<(Moment, Moment)> = Vec::new();
        for entry in ledger.entries().filter(|entry| requests.contains(&entry.sequence)) {
            let span = (entry.observation.sent(), entry.observation.ended);
            if is_refused(&entry, status) { refused.push(span) } else { passed.push(span) }
        }
        let (mut begins, mut ends): (Vec<Moment>, Vec<Moment>) = passed.iter().copied().unzip();
        begins.sort_unstable();
        ends.sort_unstable();
        let begun = |at: Moment| begins.partition_point(|begin| *begin <= at);
        let over = |at: Moment| ends.partition_point(|end| *end <= at);
        // What was in flight at some time between its begin and its refusal.
        let beside = |(sent, ended): &(Moment, Moment)| begun(*ended).saturating_sub(over(*sent)) as u64;
        PassedMeanwhile {
            most: begins.iter().map(|at| (begun(*at) - over(*at)) as u64).max(),
            beside: refused.iter().map(beside).collect(),
        }
    }

    /// Whether nearly all that were refused were sent while as many, or one fewer, were in flight. A limit of the rate refuses beside fewer
    /// as well, unless services are slow and requests come evenly: nothing tells the two apart then.
    fn refused_beside(&self, limit: u64) -> bool {
        /// The share of refusals that must have come so.
        const NEARLY: f64 = 0.95;
        let full = self.beside.iter().filter(|beside| **beside + 1 >= limit).count();
        !self.beside.is_empty() && full as f64 >= NEARLY * self.beside.len() as f64
    }
}

/// Whether a balancer may refuse so what is too much: with 503, or with a status that blames the client, as HAProxy's `http-request deny` does
/// with 403. Others say that a backend failed, or the balancer did; and some name what is wrong with the request itself, at any rate: its length,
/// its type, its protocol, its head.
pub fn is_refusal(status: u16) -> bool {
    const OF_THE_REQUEST: [u16; 7] = [411, 413, 414, 415, 421, 426, 431];
    status == 503 || (400..500).contains(&status) && !OF_THE_REQUEST.contains(&status)
}

/// The status with which the balancer refuses most, if it does so often. `own`: those of the sample that it gave itself.
pub fn refusal(own: impl Iterator<Item = u16>, sample: usize) -> Option<u16> {
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    own.filter(|status| is_refusal(*status)).for_each(|status| *counts.entry(status).or_default() += 1);
    let (status, refused) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    (refused >= 10 && refused as f64 >= SHARE * sample as f64).then_some(status)
}

/// Whether any request got a status of 429, and no outage may have caused it.
fn says_so(ledger: &Ledger, judged: Judged) -> bool {
    let in_outage = |entry: &Entry| {
        let observation = entry.observation;
        judged.outages.iter().any(|window| window.contains(observation.sent()) || window.contains(observation.ended))
    };
    ledger.entries().any(|entry| is_refused(&entry, 429) && judged.includes(&entry) && !in_outage(&entry))
}

fn is_refused(entry: &Entry, status: u16) -> bool {
    entry.observation.status == status && is_own(entry)
}

/// The balancer itself responded, and no backend had the request.
fn is_own(entry: &Entry) -> bool {
    let observation = entry.observation;
    matches!(observation.outcome, ClientOutcome::Response | ClientOutcome::Altered)
        && !observation.backend.is_known()
        && entry.attempts.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::BackendRecords;
    use crate::observation::{Backend, Echo, Observation};
    use crate::timeline::OutageWindow;
    use uuid::Uuid;

    fn slowly(passed: bool) -> Option<SlowTrial> {
        Some(SlowTrial { passed, requests: 16, is_refused_again: true, kind: None })
    }

    /// One request each 100 µs, and what came of it.
    fn ledger(status: impl Fn(u64) -> u16) -> (Ledger, Range<u32>) {
        const COUNT: u32 = 20_000;
        let observation = |sequence: u32| {
            let at = u64::from(sequence) * 100_000;
            let status = status(at);
            Observation {
                due: Moment(at),
                ended: Moment(at + 50_000),
                response: Uuid::nil(),
                waited: 0,
                client: 0,
                backend: if status == 200 { Backend(0) } else { Backend::UNKNOWN },
                status,
                outcome: ClientOutcome::Response,
                echo: Echo::None,
                reused: false,
                flaw: None,
            }
        };
        (Ledger::join((0..COUNT).map(observation).collect(), Vec::new(), BackendRecords::None), 0..COUNT)
    }

    /// A token each 10 ms, and a burst at first.
    fn limited(status: u16) -> (Ledger, Range<u32>) {
        ledger(move |at| if at < 5_000_000 || at % 10_000_000 == 0 { 200 } else { status })
    }

    #[test]
    fn as_much_passes_as_the_limit_allows() {
        let (ledger, sample) = limited(429);
        let limit = RateLimit::of(&ledger, Judged::from(0), sample, None, None).unwrap();
        assert!((95.0..105.0).contains(&limit.passed.unwrap()) && limit.sent.unwrap() > 9_000.0, "{limit:?}");
        assert!((75.0..=80.0).contains(&limit.suggested().unwrap()), "{limit:?}");
    }

    #[test]
    fn a_sample_that_is_over_in_an_instant_is_measured_by_what_came_before() {
        let (ledger, sample) = limited(429);
        let limit = RateLimit::of(&ledger, Judged::from(0), sample.end - 100..sample.end, None, None).unwrap();
        assert!((95.0..105.0).contains(&limit.passed.unwrap()), "{limit:?}");
        let (ledger, sample) = limited(503);
        let limit = RateLimit::of(&ledger, Judged::from(0), sample.end - 100..sample.end, slowly(true), None);
        assert_eq!(limit.and_then(|limit| limit.passed), None);
    }

    #[test]
    fn other_statuses_are_a_limit_only_if_they_end_when_requests_come_slowly() {
        for status in [403, 420, 503] {
            let (ledger, sample) = limited(status);
            assert_eq!(RateLimit::of(&ledger, Judged::from(0), sample.clone(), None, None), None);
            assert_eq!(RateLimit::of(&ledger, Judged::from(0), sample.clone(), slowly(false), None), None);
            let limit = RateLimit::of(&ledger, Judged::from(0), sample, slowly(true), None);
            assert_eq!(limit.map(|limit| limit.status), Some(status));
        }
    }

    #[test]
    fn what_says_that_a_backend_or_the_request_is_at_fault_is_no_limit() {
        for status in [500, 502, 504, 413, 431] {
            let (ledger, sample) = limited(status);
            assert_eq!(RateLimit::of(&ledger, Judged::from(0), sample, slowly(true), None), None);
        }
    }

    #[test]
    fn a_burst_that_is_too_short_to_measure_shows_that_there_is_a_limit() {
        // All within 5 ms, of which one in 200 passes: at the end of an outage all would, from one moment on.
        let burst = |passes: fn(u64) -> bool, is_refused_again: bool| {
            let (long, _) = ledger(|at| if passes(at / 100_000) { 200 } else { 503 });
            let mut few = long.observations()[..1_000].to_vec();
            for (place, observation) in (0..).zip(&mut few) {
                (observation.due, observation.ended) = (Moment(place * 5_000), Moment(place * 5_000 + 50_000));
            }
            let trial = SlowTrial { is_refused_again, ..slowly(true).unwrap() };
            RateLimit::of(
                &Ledger::join(few, Vec::new(), BackendRecords::Kept),
                Judged::from(0),
                0..1_000,
                Some(trial),
                None,
            )
        };
        let limit = burst(|place| place % 200 == 50, true).unwrap();
        assert_eq!((limit.status, limit.refused, limit.passed), (503, 995, None));
        // The burst of a limit that is far below the rate is all that passes.
        assert_eq!(burst(|place| place < 6, true).map(|limit| limit.refused), Some(994));
        assert_eq!(burst(|place| place > 990, false), None, "an outage that ends");
    }

    #[test]
    fn too_many_requests_is_a_limit_even_where_it_cannot_be_measured() {
        let (ledger, sample) = ledger(|at| if at > 1_000_000_000 { 429 } else { 200 });
        let limit = RateLimit::of(&ledger, Judged::from(0), sample, None, None).unwrap();
        assert_eq!((limit.status, limit.passed, limit.suggested()), (429, None, None));
    }

    /// Such as sixty a minute, of which those count that are refused: what is sent slowly is refused as well.
    #[test]
    fn too_many_requests_is_a_limit_whatever_came_of_requests_that_were_sent_slowly() {
        let found = |ledger: &Ledger, judged: Judged, sample: Range<u32>| {
            RateLimit::of(ledger, judged, sample, slowly(false), None).map(|it| (it.refused, it.at_once))
        };
        let (all, sample) = ledger(|at| if at > 1_000_000_000 { 429 } else { 200 });
        assert_eq!(found(&all, Judged::from(0), sample), Some((9_999, None)));
        // Only experiments met it, or only a few did.
        let (before, sample) = ledger(|at| if (100_000_000..200_000_000).contains(&at) { 429 } else { 200 });
        let sample = 10_000..sample.end;
        assert_eq!(found(&before, Judged::from(0), sample.clone()), Some((1_000, None)));
        let (few, _) = ledger(|at| if at % 500_000_000 == 0 { 429 } else { 200 });
        assert_eq!(found(&few, Judged::from(0), sample.clone()), Some((4, None)));
        // What is not judged, and what an outage may have caused.
        let window = |broken, mended| {
            [OutageWindow { backend: Backend(0), broken: Moment(broken), mended, is_restarted: false }]
        };
        let outage = window(50_000_000, Some(Moment(300_000_000)));
        assert_eq!(found(&before, Judged { outages: &outage, ..Judged::default() }, sample.clone()), None);
        assert_eq!(found(&before, Judged::from(5_000), sample), None);
    }

    #[test]
    fn what_is_refused_beside_as_many_as_ever_pass_at_once_may_be_a_limit_of_these() {
        // Services of 1 ms, a request each 100 µs: two at once pass, and the rest is refused; or one each 2 ms passes.
        let of_sample = |passes: fn(u64) -> bool, first: u32| {
            let (long, sample) = ledger(|at| if passes(at / 100_000) { 200 } else { 503 });
            let mut all = long.observations().to_vec();
            let slow = all.iter_mut().filter(|it| it.status == 200);
            slow.for_each(|it| it.ended = Moment(it.due.0 + 1_000_000));
            let all = Ledger::join(all, Vec::new(), BackendRecords::None);
            RateLimit::of(&all, Judged::from(0), first..sample.end, slowly(true), None).unwrap().at_once
        };
        let passes = |passes| of_sample(passes, 0);
        assert_eq!(passes(|place| place % 10 < 2), Some(2));
        assert_eq!(passes(|place| place % 20 == 0), None);
        assert_eq!(passes(|place| place % 40 < 2), None);
        // What came before the sample was refused beside fewer.
        let later: fn(u64) -> bool = |place| if place < 10_000 { place % 20 == 0 } else { place % 10 < 2 };
        assert_eq!(of_sample(later, 10_000), None);
    }

    #[test]
    fn of_two_limits_with_one_status_the_one_that_refused_the_sample_is_named() {
        // Services of 1 ms, a request each 100 µs. Ten at once pass; or one each 2 ms, of which the experiment knows nothing.
        let kind = |passes: fn(u64) -> bool| {
            let (long, sample) = ledger(|at| if passes(at / 100_000) { 200 } else { 503 });
            let mut all = long.observations().to_vec();
            let slow = all.iter_mut().filter(|it| it.status == 200);
            slow.for_each(|it| it.ended = Moment(it.due.0 + 1_000_000));
            let trial =
                SlowTrial { passed: true, requests: 100, is_refused_again: true, kind: Some(LimitKind::AtOnce(8)) };
            RateLimit::of(
                &Ledger::join(all, Vec::new(), BackendRecords::None),
                Judged::from(0),
                sample,
                Some(trial),
                None,
            )
            .unwrap()
            .kind
        };
        assert_eq!(kind(|place| place % 10 < 8), Some(LimitKind::AtOnce(8)));
        assert_eq!(kind(|place| place % 20 == 0), None);
    }

    #[test]
    fn a_limit_is_certain_where_chance_would_have_refused_some_that_were_sent_slowly() {
        let of = |status: u16, one_in: u64, requests: u32, is_refused_again: bool| {
            let ledger = Ledger::join(
                ledger(|at| if at / 100_000 % one_in == 0 { status } else { 200 }).0.observations().to_vec(),
                Vec::new(),
                BackendRecords::Kept,
            );
            let trial = SlowTrial { passed: true, requests, is_refused_again, kind: None };
            RateLimit::of(&ledger, Judged::from(0), 0..20_000, Some(trial), None).is_some()
        };
        assert!(!of(503, 20, 8, true) && !of(503, 20, 72, true) && !of(503, 2, 8, true));
        assert!(of(503, 2, 72, true) && of(503, 20, 300, true));
        assert!(!of(503, 2, 72, false), "an outage that is over");
    }

    #[test]
    fn what_was_refused_before_a_drill_may_be_a_limit() {
        let of = |refuses: fn(u64) -> bool, step: u64| {
            let (ledger, sample) = ledger(|at| if refuses(at) { 503 } else { 200 });
            RateLimit::of(&ledger, Judged::from(0), sample, None, Some((NoTrial::Drill, Moment(step))))
        };
        let all_the_time: fn(u64) -> bool = |at| at > 100_000_000 && at % 1_000_000 == 0;
        let limit = of(all_the_time, 500_000_000).unwrap();
        assert_eq!((limit.status, limit.refused, limit.untried), (503, 1899, Some(NoTrial::Drill)));
        // A balancer that fails from the first request on has no limit.
        assert_eq!(of(|at| at % 1_000_000 == 0, 500_000_000), None);
        // Only since the step, hardly before it, or before there is anything to compare with.
        assert_eq!(of(|at| at > 500_000_000 && at % 1_000_000 == 0, 500_000_000), None);
        assert_eq!(of(|at| at % 100_000_000 == 0 || at > 500_000_000, 500_000_000), None);
        assert_eq!(of(all_the_time, 0), None);
        let (ledger, sample) = ledger(|at| if all_the_time(at) { 503 } else { 200 });
        let of_budget = |no_trial| RateLimit::of(&ledger, Judged::from(0), sample.clone(), None, no_trial);
        assert_eq!(
            of_budget(Some((NoTrial::Budget, Moment(u64::MAX)))).map(|it| it.untried),
            Some(Some(NoTrial::Budget))
        );
        assert_eq!(of_budget(None), None);
    }

    #[test]
    fn an_outage_or_a_few_refusals_are_no_limit() {
        let outage = ledger(|at| if at > 1_000_000_000 { 503 } else { 200 });
        assert_eq!(RateLimit::of(&outage.0, Judged::from(0), outage.1, slowly(true), None), None);
        let few = ledger(|at| if at % 20_000_000 == 0 { 503 } else { 200 });
        assert_eq!(RateLimit::of(&few.0, Judged::from(0), few.1, slowly(true), None), None);
        let none = ledger(|_| 200);
        assert_eq!(RateLimit::of(&none.0, Judged::from(0), none.1, None, None), None);
    }
}
