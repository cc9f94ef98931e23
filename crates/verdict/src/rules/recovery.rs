//! The rule of recovery: each expectation of how soon errors end, a backend is out of rotation, and is back.

use std::collections::HashMap;
use std::time::Duration;

use crate::Moment;
use crate::algorithm::Algorithm;
use crate::facts::recovery::{Measured, Quantity, RecoveryFacts, Unknown};
use crate::finding::{self, Finding, Level};
use crate::ledger::Entry;
use crate::observation::Backend;
use crate::report::Outage;
use crate::rules::case::{Case, Drill};
use crate::rules::requirement::Requirement;
use crate::timeline::Affected;

/// Balancers let a weight grow in steps of their own: what is far from the limit, whatever chance did, is clear, what is near is not.
const CLEARLY: f64 = 2.0;
const ROUGHLY: f64 = 1.5;

/// One finding for each such expectation: it is judged, or it is said why not.
pub(crate) fn judge(case: &Case, outage: Option<&Outage>) -> Vec<Finding> {
    let required = case.expectations.required.iter();
    required
        .filter_map(|required| Some(finding(required.to_string(), RecoveryLimit::of(required)?, case, outage)))
        .collect()
}

/// What an expectation bounds, and by how much.
#[derive(Clone, Copy)]
enum RecoveryLimit {
    Back(Duration),
    Ejected(u32),
    ErrorsEnd(Duration),
    SlowStart(Duration),
}

impl RecoveryLimit {
    fn of(required: &Requirement) -> Option<RecoveryLimit> {
        match required {
            Requirement::Back(limit) => Some(RecoveryLimit::Back(*limit)),
            Requirement::Ejected(limit) => Some(RecoveryLimit::Ejected(*limit)),
            Requirement::ErrorsEnd(limit) => Some(RecoveryLimit::ErrorsEnd(*limit)),
            Requirement::SlowStart(time) => Some(RecoveryLimit::SlowStart(*time)),
            Requirement::Intact
            | Requirement::PathPreserved
            | Requirement::HostPreserved
            | Requirement::ClientAddress
            | Requirement::HeaderPreserved(_)
            | Requirement::Mirrored(_)
            | Requirement::Status { .. }
            | Requirement::Unbuffered(_)
            | Requirement::Uncut
            | Requirement::AliveEven
            | Requirement::Tls(_)
            | Requirement::Per(_) => None,
        }
    }

    fn back(self) -> Option<Duration> {
        match self {
            RecoveryLimit::Back(limit) => Some(limit),
            RecoveryLimit::Ejected(_) | RecoveryLimit::ErrorsEnd(_) | RecoveryLimit::SlowStart(_) => None,
        }
    }

    fn quantity(self) -> Quantity {
        match self {
            RecoveryLimit::Back(_) => Quantity::Back,
            RecoveryLimit::Ejected(_) => Quantity::Ejected,
            RecoveryLimit::ErrorsEnd(_) => Quantity::ErrorsEnd,
            RecoveryLimit::SlowStart(_) => Quantity::SlowStart,
        }
    }
}

fn finding(expected: String, limit: RecoveryLimit, case: &Case, outage: Option<&Outage>) -> Finding {
    let affected = outage.map(|outage| outage.backends.as_slice()).unwrap_or_default();
    let length = case.sampled.1.since(case.sampled.0).as_secs_f64();
    let circumstances = |it: &Affected| Circumstances {
        length,
        drill: case.drill,
        are_kept_elsewhere: are_kept_elsewhere(case, it),
        by_load: may_be_by_load(case),
        passed_over: limit.back().is_some_and(|limit| it.is_passed_over(sent_elsewhere_after(limit, it, case))),
        limited: case.limit.is_some(),
    };
    let measured = |it: &Affected| measure(limit, it, circumstances(it));
    let backends: Vec<Measured> = affected.iter().map(measured).collect();
    let is_done = outage.is_some_and(|outage| outage.steps.iter().all(|step| step.done));
    let level = if backends.iter().any(|it| it.holds == Some(false)) {
        Level::Fail
    } else if backends.is_empty() || !is_done || backends.iter().any(|it| it.holds.is_none()) {
        Level::Inconclusive
    } else {
        Level::Pass
    };
    Finding::new(level, finding::Facts::Recovery(RecoveryFacts { expected, quantity: limit.quantity(), backends }))
}

/// Whether each client that sent something since that backend is well had a response of another one before: a balancer that writes a
/// client's backend into a cookie, or remembers it, leaves it there.
fn are_kept_elsewhere(case: &Case, affected: &Affected) -> bool {
    let pins = |kind: Option<Algorithm>| kind.is_some_and(Algorithm::pins);
    let (true, Some(mended)) = (case.varied, affected.mended) else { return false };
    if !pins(case.inference.kind) && !pins(case.expectations.algorithm) {
        return false;
    }
    let is_own = |backend: Backend| case.names.get(usize::from(backend.0)) == Some(&affected.backend);
    let sample = || case.ledger.entries().filter(|entry| case.sample.contains(&entry.sequence));
    let mut kept: HashMap<u32, Moment> = HashMap::new();
    for entry in sample().filter(|entry| entry.delivered().is_some_and(|it| !is_own(it.backend))) {
        let since = kept.entry(entry.observation.client).or_insert(entry.observation.ended);
        *since = (*since).min(entry.observation.ended);
    }
    let mut later = sample().filter(|entry| case.seconds(entry.observation.sent()) > mended);
    later.all(|entry| kept.get(&entry.observation.client).is_some_and(|since| *since <= entry.observation.sent()))
}

/// Requests that were sent when a backend had to be back, and before it was.
fn sent_elsewhere_after(limit: Duration, affected: &Affected, case: &Case) -> u64 {
    let Some(mended) = affected.mended else { return 0 };
    let until = affected.back_after.map_or(f64::INFINITY, |back| mended + back);
    let is_own = |backend: Backend| case.names.get(usize::from(backend.0)) == Some(&affected.backend);
    let sample = case.ledger.entries().filter(|entry| case.sample.contains(&entry.sequence));
    let meanwhile = sample.filter(|entry| {
        let sent = case.seconds(entry.observation.sent());
        sent > mended + limit.as_secs_f64() && sent < until
    });
    let is_elsewhere = |entry: &Entry| !case.is_limited(entry) && entry.attempts.iter().all(|it| !is_own(it.backend));
    meanwhile.filter(is_elsewhere).count() as u64
}

/// Whether load may decide: as long as nothing is in flight a weight that grows shows nowhere then.
fn may_be_by_load(case: &Case) -> bool {
    let candidates = case.inference.candidates();
    let may_be = candidates.is_empty() || candidates.iter().any(|it| it.follows_load());
    may_be && case.expectations.algorithm.is_none_or(Algorithm::follows_load)
}

/// What is known besides what happened to one backend.
#[derive(Clone, Copy)]
struct Circumstances {
    /// Seconds that the sample took.
    length: f64,
    drill: Drill,
    are_kept_elsewhere: bool,
    by_load: bool,
    /// Whether requests that were sent when it had to be back show that it was not.
    passed_over: bool,
    /// Whether a limit refuses requests, whatever becomes of backends.
    limited: bool,
}

fn measure(limit: RecoveryLimit, affected: &Affected, known: Circumstances) -> Measured {
    let judged = if affected.received_before == 0 {
        Err(Unknown::Idle)
    } else {
        match limit {
            RecoveryLimit::Back(_) if affected.back_after.is_none() && known.are_kept_elsewhere => Err(Unknown::Kept),
            RecoveryLimit::Back(limit) => back(affected, limit, known),
            RecoveryLimit::Ejected(limit) => match ejected(affected, limit, known.drill) {
                Ok((_, false)) if known.limited && affected.pauses.is_empty() => Err(Unknown::Limited),
                judged => judged,
            },
            RecoveryLimit::ErrorsEnd(limit) => match errors_end(affected, limit) {
                (_, false) if known.limited => Err(Unknown::Limited),
                judged => Ok(judged),
            },
            RecoveryLimit::SlowStart(time) => match slow_start(affected, time, known.length) {
                Ok((_, false)) if known.by_load => Err(Unknown::ByLoad),
                judged => judged,
            },
        }
    };
    let is_most = affected.pauses.iter().all(|pause| pause.failures_before < affected.failures_since);
    let (backend, stayed) = (affected.backend.clone(), affected.stopped_after.is_none() && is_most);
    match judged {
        Ok((value, holds)) => Measured { backend, value, holds: Some(holds), unknown: None, stayed },
        Err(why) => Measured { backend, value: None, holds: None, unknown: Some(why), stayed },
    }
}

type JudgedBackend = Result<(Option<f64>, bool), Unknown>;

fn back(affected: &Affected, limit: Duration, known: Circumstances) -> JudgedBackend {
    let mended = affected.mended.ok_or(Unknown::NotMended)?;
    match affected.back_after {
        Some(seconds) if seconds <= limit.as_secs_f64() => Ok((Some(seconds), true)),
        // It may have been in rotation, and not yet its turn.
        Some(_) if !known.passed_over => Err(Unknown::TooFew),
        Some(seconds) => Ok((Some(seconds), false)),
        None if known.length - mended <= limit.as_secs_f64() => Err(Unknown::TooShort),
        None if !known.passed_over => Err(Unknown::TooFew),
        None => Ok((None, false)),
    }
}

fn ejected(affected: &Affected, limit: u32, drill: Drill) -> JudgedBackend {
    let limit = u64::from(limit);
    // Who tries it again has to leave it out again.
    let most = affected.pauses.iter().map(|pause| pause.failures_before).max().unwrap_or_default();
    let most = if affected.failures_since > limit { most.max(affected.failures_since) } else { most };
    // What was in flight at the same time failed before the balancer could know of any.
    let known = affected.pauses.iter().map(|pause| pause.known_before).max().unwrap_or_default();
    let known = known.max(affected.known_since);
    match affected.pauses.first() {
        Some(_) if known >= limit && most > limit => Ok((Some(most as f64), false)),
        Some(_) if most > limit => Err(Unknown::AtOnce),
        // Whatever made it, the outage did not.
        Some(pause) if affected.mended.is_some_and(|mended| pause.from >= mended) => Err(Unknown::NeverOut),
        // A process that is gone or paused records nothing of what fails there; one that is drained or unready fails nothing.
        Some(pause) if pause.failures_before == 0 && drill == Drill::Rough => Err(Unknown::Unrecorded),
        Some(_) => Ok((Some(most as f64), true)),
        // It was never out of rotation, and more requests failed than were to put it there.
        None if affected.stopped_after.is_none() && affected.client_errors > limit => {
            Ok((Some(affected.client_errors as f64), false))
        }
        None if affected.stopped_after.is_none() => Err(Unknown::NeverOut),
        None => Err(Unknown::Unrecorded),
    }
}

fn errors_end(affected: &Affected, limit: Duration) -> (Option<f64>, bool) {
    (affected.errors_end_after, affected.errors_end_after.is_none_or(|seconds| seconds <= limit.as_secs_f64()))
}

fn slow_start(affected: &Affected, time: Duration, length: f64) -> JudgedBackend {
    let mended = affected.mended.ok_or(Unknown::NotMended)?;
    let back = affected.back_after.ok_or(Unknown::TooShort)?;
    let time = time.as_secs_f64();
    let error = affected.ramp_error.ok_or(Unknown::Unclear)?;
    match affected.ramp {
        Some(ramp) if (ramp + error) * CLEARLY < time || ramp - error > time * CLEARLY => Ok((Some(ramp), false)),
        Some(ramp) if error * CLEARLY <= time && ramp * ROUGHLY >= time && ramp <= time * ROUGHLY => {
            Ok((Some(ramp), true))
        }
        Some(_) => Err(Unknown::Unclear),
        None if length - mended - back > time * CLEARLY => Ok((None, false)),
        None => Err(Unknown::TooShort),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::trial::RuleTrial;
    use crate::timeline::Pause;

    const SECOND: Duration = Duration::from_secs(1);
    const OTHERWISE: Circumstances = Circumstances {
        length: 20.0,
        drill: Drill::Rough,
        are_kept_elsewhere: false,
        by_load: false,
        passed_over: true,
        limited: false,
    };

    /// Broken at 2 s, mended at 6 s of a sample of 20 s.
    fn affected() -> Affected {
        Affected {
            backend: "9002".to_owned(),
            broken: 2.0,
            mended: Some(6.0),
            received_before: 33,
            stopped_after: Some(0.4),
            errors_end_after: Some(0.4),
            client_errors: 3,
            back_after: Some(4.0),
            ramp: Some(8.0),
            ramp_error: Some(0.5),
            pauses: vec![Pause { from: 2.4, until: Some(10.0), failures_before: 3, known_before: 2 }],
            ..Affected::default()
        }
    }

    fn holds(required: Requirement, affected: &Affected) -> Result<bool, Unknown> {
        let limit = RecoveryLimit::of(&required).expect("it bounds recovery");
        let measured = measure(limit, affected, OTHERWISE);
        measured.holds.ok_or_else(|| measured.unknown.unwrap())
    }

    #[test]
    fn a_backend_is_back_in_time_or_not_or_the_sample_was_too_short() {
        assert_eq!(holds(Requirement::Back(5 * SECOND), &affected()), Ok(true));
        assert_eq!(holds(Requirement::Back(3 * SECOND), &affected()), Ok(false));
        let away = Affected { back_after: None, ..affected() };
        assert_eq!(holds(Requirement::Back(5 * SECOND), &away), Ok(false));
        assert_eq!(holds(Requirement::Back(30 * SECOND), &away), Err(Unknown::TooShort));
        let broken = Affected { mended: None, ..affected() };
        assert_eq!(holds(Requirement::Back(5 * SECOND), &broken), Err(Unknown::NotMended));
    }

    #[test]
    fn a_backend_that_has_not_had_its_turn_yet_may_be_back() {
        let few = Circumstances { passed_over: false, ..OTHERWISE };
        let away = Affected { back_after: None, ..affected() };
        for (it, limit, unknown) in [
            (affected(), 3, Some(Unknown::TooFew)),
            (affected(), 5, None),
            (away.clone(), 3, Some(Unknown::TooFew)),
            (away, 30, Some(Unknown::TooShort)),
        ] {
            assert_eq!(measure(RecoveryLimit::Back(limit * SECOND), &it, few).unknown, unknown);
        }
        // Mended at 6 s, and sent elsewhere ten times a second from then on.
        let passed_over = |requests: u64| {
            let mut trial = RuleTrial::of(3, Some(Algorithm::Random));
            for turn in 0..requests {
                trial.send(0, 0, 9_001_000 + turn * 100_000);
            }
            let away = Affected { back_after: None, received_before: 33, sent_before: 100, ..affected() };
            trial.judge_by(|case| away.is_passed_over(sent_elsewhere_after(3 * SECOND, &away, case)))
        };
        assert!(!passed_over(40) && passed_over(50));
    }

    #[test]
    fn clients_that_were_moved_and_stay_do_not_show_that_a_backend_is_not_back() {
        let kept = |kind: Algorithm, of_a_new_client: bool| {
            let mut trial = RuleTrial::of(3, Some(kind));
            trial.varied = true;
            for second in 0..20u64 {
                for client in 0..9u16 {
                    let is_moved = client % 3 == 1 && second >= 2;
                    let backend = if is_moved { 2 } else { client % 3 };
                    trial.send(u32::from(client), backend, second * 1_000_000 + u64::from(client) * 1_000);
                }
            }
            if of_a_new_client {
                trial.send(9, 0, 20_000_000);
            }
            trial.judge_by(|case| are_kept_elsewhere(case, &affected()))
        };
        assert!(kept(Algorithm::Sticky, false) && kept(Algorithm::Source, false));
        assert!(!kept(Algorithm::Sticky, true) && !kept(Algorithm::RoundRobin, false));
        let away = Affected { back_after: None, ..affected() };
        let back = |are_kept| {
            measure(RecoveryLimit::Back(SECOND), &away, Circumstances { are_kept_elsewhere: are_kept, ..OTHERWISE })
        };
        assert_eq!((back(true).unknown, back(false).holds), (Some(Unknown::Kept), Some(false)));
    }

    #[test]
    fn a_backend_without_traffic_shows_nothing() {
        let idle = Affected { received_before: 0, ..affected() };
        for required in [Requirement::Back(SECOND), Requirement::Ejected(1), Requirement::ErrorsEnd(SECOND)] {
            assert_eq!(holds(required, &idle), Err(Unknown::Idle));
        }
    }

    #[test]
    fn an_ejection_counts_recorded_failures_and_a_backend_that_is_gone_has_none() {
        assert_eq!(holds(Requirement::Ejected(3), &affected()), Ok(true));
        assert_eq!(holds(Requirement::Ejected(2), &affected()), Ok(false));
        let pause = Pause { from: 2.4, until: None, failures_before: 0, known_before: 0 };
        let gone = Affected { pauses: vec![pause], ..affected() };
        assert_eq!(holds(Requirement::Ejected(2), &gone), Err(Unknown::Unrecorded));
        let drained = measure(RecoveryLimit::Ejected(0), &gone, Circumstances { drill: Drill::Graceful, ..OTHERWISE });
        assert_eq!(drained.holds, Some(true));
        let tried_again = Affected { stopped_after: None, failures_since: 3, ..affected() };
        assert_eq!(holds(Requirement::Ejected(3), &tried_again), Ok(true));
        let kept_then = Affected { failures_since: 100, known_since: 90, ..tried_again };
        assert_eq!(holds(Requirement::Ejected(5), &kept_then), Ok(false));
        assert!(measure(RecoveryLimit::Ejected(5), &kept_then, OTHERWISE).stayed);
        // All of them failed when the time of the first was over.
        let hung = Affected { known_since: 0, ..kept_then.clone() };
        assert_eq!(holds(Requirement::Ejected(5), &hung), Err(Unknown::AtOnce));
        let kept = Affected { pauses: Vec::new(), stopped_after: None, client_errors: 50, ..affected() };
        assert_eq!(holds(Requirement::Ejected(5), &kept), Ok(false));
        let few = Affected { client_errors: 2, ..kept };
        assert_eq!(holds(Requirement::Ejected(5), &few), Err(Unknown::NeverOut));
        let stopped = Affected { stopped_after: Some(0.0), ..few };
        assert_eq!(holds(Requirement::Ejected(5), &stopped), Err(Unknown::Unrecorded));
        let after_its_mend = Pause { from: 6.6, until: Some(7.1), failures_before: 2, known_before: 1 };
        let paused_later = Affected { pauses: vec![after_its_mend], ..affected() };
        assert_eq!(holds(Requirement::Ejected(5), &paused_later), Err(Unknown::NeverOut));
        assert_eq!(holds(Requirement::Ejected(1), &paused_later), Ok(false));
    }

    #[test]
    fn errors_end_in_time_and_no_error_ends_at_once() {
        assert_eq!(holds(Requirement::ErrorsEnd(SECOND), &affected()), Ok(true));
        assert_eq!(holds(Requirement::ErrorsEnd(SECOND / 5), &affected()), Ok(false));
        let none = Affected { errors_end_after: None, client_errors: 0, ..affected() };
        assert_eq!(holds(Requirement::ErrorsEnd(SECOND), &none), Ok(true));
    }

    #[test]
    fn a_ramp_is_judged_where_it_is_clear() {
        assert_eq!(holds(Requirement::SlowStart(10 * SECOND), &affected()), Ok(true));
        let at_once = Affected { ramp: Some(0.1), ..affected() };
        assert_eq!(holds(Requirement::SlowStart(10 * SECOND), &at_once), Ok(false));
        let near = Affected { ramp: Some(5.5), ..affected() };
        assert_eq!(holds(Requirement::SlowStart(10 * SECOND), &near), Err(Unknown::Unclear));
        let by_chance = Affected { ramp_error: Some(6.0), ..at_once };
        assert_eq!(holds(Requirement::SlowStart(10 * SECOND), &by_chance), Err(Unknown::Unclear));
        // All that were broken grow at once: their shares are as before.
        let with_others = Affected { ramp_error: None, ..by_chance };
        assert_eq!(holds(Requirement::SlowStart(10 * SECOND), &with_others), Err(Unknown::Unclear));
        let open = Affected { ramp: None, ..affected() };
        assert_eq!(holds(Requirement::SlowStart(10 * SECOND), &open), Err(Unknown::TooShort));
        assert_eq!(holds(Requirement::SlowStart(2 * SECOND), &open), Ok(false));
    }

    #[test]
    fn load_hides_a_weight_that_grows_but_not_one_that_is_seen_to_grow() {
        let by_load = |affected: &Affected| {
            let known = Circumstances { by_load: true, ..OTHERWISE };
            let measured = measure(RecoveryLimit::SlowStart(10 * SECOND), affected, known);
            measured.holds.ok_or_else(|| measured.unknown.unwrap())
        };
        assert_eq!(by_load(&Affected { ramp: Some(0.1), ..affected() }), Err(Unknown::ByLoad));
        assert_eq!(by_load(&affected()), Ok(true));
        let may_be = |kind: Option<Algorithm>, expected: Option<Algorithm>| {
            let mut trial = RuleTrial::of(3, kind);
            trial.expectations.algorithm = expected;
            trial.judge_by(may_be_by_load)
        };
        use Algorithm::{LeastConnections, RoundRobin};
        assert!(may_be(Some(LeastConnections), None) && may_be(None, None));
        assert!(!may_be(Some(RoundRobin), None) && !may_be(Some(LeastConnections), Some(RoundRobin)));
    }
}
