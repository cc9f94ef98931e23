//! Required shares where something was done to backends or the balancer: they hold before the first step and after the last one, whatever
//! happens in between.

use std::time::Duration;

use crate::Moment;
use crate::facts::shares::{Conclusion, SamplePart, Share, ShareFacts, Unit};
use crate::finding::{self, Finding, Level};
use crate::observation::{Backend, Observation};
use crate::promise::Promise;
use crate::rules::case::Case;
use crate::rules::share_test::{among, needed, test};
use crate::tally::directed;
use crate::timeline::OutageWindow;

/// A balancer that was reloaded has its new processes within that time.
const SETTLED: Duration = Duration::from_secs(1);

/// Requests of a part of the sample.
struct Part {
    part: SamplePart,
    counts: Vec<u64>,
    /// Backends at which an attempt of these requests failed.
    failing: Vec<bool>,
    /// Whether some request reached nobody, or had more than one attempt.
    is_disturbed: bool,
}

/// The part that decides: the latter, unless the former fails. What was not seen in the latter stays open, whatever the former shows.
pub(super) fn judge(case: &Case, expected: &[f64], facts: &dyn Fn(Conclusion) -> ShareFacts) -> (Level, ShareFacts) {
    let places = expected.len();
    let begun = case.first_step();
    let before = Part::of(case, SamplePart::Before, places, |it| begun.is_some_and(|begun| it.ended < begun));
    let since = |since: Option<Moment>| {
        Part::of(case, SamplePart::After, places, |it| since.is_some_and(|since| it.sent() > since))
    };
    let before = before.map(|part| part.judge(case, expected, facts));
    if let Some(failed) = before.filter(|(level, _)| *level == Level::Fail) {
        return failed;
    }
    if let Some(after) = since(find_notice(case)) {
        return after.judge(case, expected, facts);
    }
    // Sooner than a balancer must have noticed, what is not as required is none of its faults yet.
    match since(seen_again(case)).map(|after| after.judge(case, expected, facts)) {
        Some((level, facts)) if level != Level::Fail => (level, facts),
        _ => (Level::Inconclusive, facts(Conclusion::OutageThroughout)),
    }
}

/// Whom a step that was done to the balancer, not to a backend, leaves without requests. It may be meant to, so it fails nobody.
pub(super) fn find_left_out(case: &Case, facts: &dyn Fn(Conclusion) -> ShareFacts) -> Option<Finding> {
    /// Requests that it would have got since; chance gives none of them with a probability of e to minus this number.
    const MISSED: f64 = 40.0;
    /// Fewer requests before the step show no share.
    const SEEN: u64 = 10;
    let is_promised = case.inference.certain().is_some_and(|kind| Promise::of(kind) != Promise::Nothing);
    if !is_promised || case.steps.iter().all(|step| step.backend.is_some()) {
        return None;
    }
    let (begun, settled) = (case.first_step()?, find_settling(case)?);
    let of = |part, is_part: &dyn Fn(&Observation) -> bool| Part::of(case, part, case.backends, is_part);
    let before = of(SamplePart::Before, &|it| it.ended < begun)?;
    let after = of(SamplePart::After, &|it| it.sent() > settled)?;
    let (whole, later): (u64, u64) = (before.counts.iter().sum(), after.counts.iter().sum());
    let share = |place: usize| before.counts[place] as f64 / whole as f64;
    let failed = case.failed_somewhere();
    let is_left = |place: &usize| {
        let backend = Backend(*place as u16);
        let is_touched = case.is_changed(*place) || failed[*place] || case.ledger.is_mirror(backend);
        let is_due = before.counts[*place] >= SEEN && share(*place) * later as f64 >= MISSED;
        is_due && after.counts[*place] == 0 && !is_touched
    };
    // What is listed in the end is to have its share; who is not was taken out on purpose.
    let listed = &case.expectations.listed;
    let is_meant = |place: &usize| !listed.is_empty() && !listed.contains(&case.names[*place]);
    let left: Vec<usize> = (0..case.backends).filter(|place| is_left(place) && !is_meant(place)).collect();
    let first = *left.first()?;
    let widest = Share {
        backend: case.names[first].clone(),
        count: before.counts[first],
        share: share(first),
        expected: None,
        interval: None,
    };
    let sample = case.ledger.entries().filter(|entry| case.sample.contains(&entry.sequence));
    let last = sample.filter(|entry| directed(entry) == Some(Backend(first as u16))).last()?;
    let stopped = Some(case.seconds(last.observation.sent()));
    let names = left.iter().map(|place| case.names[*place].clone()).collect();
    let facts = ShareFacts { widest: Some(widest), stopped, total: later, ..facts(Conclusion::LeftOut(names)) };
    Some(Finding::new(Level::Inconclusive, finding::Facts::Shares(facts)))
}

/// From when on all that was broken is mended, and the balancer has had the time to notice and to give it its whole share; None if
/// something stayed broken.
fn find_notice(case: &Case) -> Option<Moment> {
    let time = case.avoidance() + case.expectations.growth();
    let noticed: Vec<Moment> =
        case.outages.iter().map(|window| Some(window.mended?.after(time))).collect::<Option<_>>()?;
    noticed.into_iter().chain(find_settling(case)).max()
}

/// From when on all that was broken gets requests again.
fn seen_again(case: &Case) -> Option<Moment> {
    let again = |window: &OutageWindow| {
        let mended = window.mended?;
        let mut later = case.ledger.entries().filter(|entry| entry.observation.sent() > mended);
        let first = later.find(|entry| directed(entry) == Some(window.backend))?;
        Some(first.observation.ended.after(SETTLED))
    };
    let again: Vec<Moment> = case.outages.iter().map(again).collect::<Option<_>>()?;
    again.into_iter().chain(find_settling(case)).max()
}

/// When the last step was done and what it started is there.
fn find_settling(case: &Case) -> Option<Moment> {
    Some(case.steps.iter().map(|step| step.ended).max()?.after(SETTLED))
}

impl Part {
    /// None without a request that counts.
    fn of(case: &Case, part: SamplePart, places: usize, is_part: impl Fn(&Observation) -> bool) -> Option<Part> {
        let mut of = Part { part, counts: vec![0; places], failing: vec![false; places], is_disturbed: false };
        let entries = case.ledger.entries().filter(|entry| case.sample.contains(&entry.sequence));
        for entry in entries.filter(|entry| is_part(entry.observation)) {
            for failed in entry.attempts.iter().filter(|attempt| !attempt.executed()) {
                of.failing.get_mut(usize::from(failed.backend.0)).into_iter().for_each(|failing| *failing = true);
            }
            of.is_disturbed |= entry.is_client_error() || entry.attempts.len() > 1;
            let backend = directed(&entry);
            if let Some(count) = backend.and_then(|backend| of.counts.get_mut(usize::from(backend.0))) {
                *count += 1;
            }
        }
        of.counts.iter().any(|count| *count > 0).then_some(of)
    }

    fn judge(&self, case: &Case, expected: &[f64], facts: &dyn Fn(Conclusion) -> ShareFacts) -> (Level, ShareFacts) {
        let counts = &self.counts;
        let total: u64 = counts.iter().sum();
        let (of_all, level) = test(case, counts, expected, Unit::Requests);
        // A backend that fails is avoided for a while: the others are compared with each other.
        let sound: Vec<usize> = (0..counts.len()).filter(|place| !self.failing[*place]).collect();
        let (seen, wanted) = among(&sound, counts, expected);
        let is_comparable = seen.iter().filter(|count| **count > 0).count() > 1;
        let (test, level, conclusion) = match level {
            Level::Pass | Level::Note => (of_all, level, Conclusion::AsExpected),
            Level::Inconclusive if !self.is_disturbed => (of_all, level, Conclusion::TooFew),
            Level::Fail if !self.is_disturbed => (of_all, level, Conclusion::Deviates),
            Level::Inconclusive | Level::Fail => match test(case, &seen, &wanted, Unit::Requests) {
                (test, Level::Fail) if is_comparable => (test, Level::Fail, Conclusion::Deviates),
                _ => (of_all, Level::Inconclusive, Conclusion::Disturbed),
            },
        };
        let row = |place: usize| Share {
            backend: case.names.get(place).cloned().unwrap_or_else(|| "?".to_owned()),
            count: counts[place],
            share: counts[place] as f64 / total as f64,
            expected: Some(expected[place]),
            interval: None,
        };
        let off = |row: &Share| (row.share - row.expected.unwrap_or_default()).abs();
        let needed = (conclusion == Conclusion::TooFew).then(|| needed(case, &test, expected)).flatten();
        let widest = (0..expected.len()).map(row).max_by(|a, b| off(a).total_cmp(&off(b)));
        (level, ShareFacts { total, widest, test: Some(test), needed, part: Some(self.part), ..facts(conclusion) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::algorithm::Algorithm;
    use crate::facts::shares::SharesSource;
    use crate::finding::Facts;
    use crate::observation::Backend;
    use crate::rules::case::Drill;
    use crate::rules::requirement::Requirement;
    use crate::rules::trial::RuleTrial;
    use crate::timeline::StepSpan;

    /// Two seconds of requests, a millisecond apart, in which 9001 fails one in thirty of its own; a reload at one second.
    fn failing_throughout(later: fn(u16) -> u16) -> RuleTrial {
        let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin));
        for turn in 0..4_000u16 {
            let backend = if turn < 1_000 { turn % 3 } else { later(turn) };
            trial.send(0, backend, u64::from(turn) * 1_000);
            if backend == 0 && turn % 30 == 0 {
                (trial.observations.last_mut().unwrap().status, trial.arrivals.last_mut().unwrap().status) = (503, 503);
            }
        }
        let at = Moment(1_000_000_000);
        trial.drill.kind = Drill::Graceful;
        trial.drill.steps = vec![StepSpan { backend: None, begun: at, ended: at, is_done: true, is_rough: false }];
        trial.expectations.shares = Some("even".parse().unwrap());
        trial.expectations.shares_by = SharesSource::User;
        trial
    }

    fn found(trial: &RuleTrial) -> (Level, Conclusion) {
        match trial.facts("shares") {
            Facts::Shares(facts) => (trial.level("shares").unwrap(), facts.conclusion),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn errors_in_both_parts_of_a_drill_leave_required_shares_judged_by_what_is_comparable() {
        assert_eq!(found(&failing_throughout(|turn| turn % 3)), (Level::Pass, Conclusion::AsExpected));
        // Less for the one that fails may be because of that; an unequal share of the sound ones is not.
        let less_for_the_failing = |turn| [0, 1, 2, 1, 2][usize::from(turn % 5)];
        assert_eq!(found(&failing_throughout(less_for_the_failing)), (Level::Inconclusive, Conclusion::Disturbed));
        let less_for_a_sound_one = |turn| [0, 1, 2, 2, 2][usize::from(turn % 5)];
        assert_eq!(found(&failing_throughout(less_for_a_sound_one)), (Level::Fail, Conclusion::Deviates));
    }

    #[test]
    fn required_shares_of_a_drill_after_which_nothing_is_seen_are_inconclusive() {
        let mut throughout = failing_throughout(|turn| turn % 3);
        throughout.drill.steps[0].ended = Moment(3_900_000_000);
        assert_eq!(found(&throughout), (Level::Inconclusive, Conclusion::OutageThroughout));
        throughout.drill.steps[0].begun = Moment(0);
        assert_eq!(found(&throughout), (Level::Inconclusive, Conclusion::OutageThroughout));
    }

    /// Two seconds of requests, a reload at one second; none require shares.
    fn reloaded(later: fn(u16) -> u16) -> RuleTrial {
        let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin));
        for turn in 0..4_000u16 {
            trial.send(0, if turn < 1_000 { turn % 3 } else { later(turn) }, u64::from(turn) * 1_000);
        }
        trial.drill = failing_throughout(|turn| turn % 3).drill;
        trial
    }

    #[test]
    fn a_backend_that_a_reload_leaves_out_is_told_and_fails_nobody() {
        let without_the_last = || reloaded(|turn| turn % 2);
        assert_eq!(found(&without_the_last()), (Level::Inconclusive, Conclusion::LeftOut(vec!["9003".to_owned()])));
        assert_eq!(reloaded(|turn| turn % 3).level("shares"), None);
        let mut meant = without_the_last();
        meant.expectations.listed = vec!["9001".to_owned(), "9002".to_owned()];
        assert_eq!(meant.level("shares"), None);
        meant.expectations.listed.push("9003".to_owned());
        assert_eq!(meant.level("shares"), Some(Level::Inconclusive));
        // What somebody did to it himself, or what failed, may be avoided; and some promise nobody anything.
        let mut drained = without_the_last();
        drained.drill.steps.push(StepSpan { backend: Some(Backend(2)), ..drained.drill.steps[0] });
        assert_eq!(drained.level("shares"), None);
        let mut by_load = without_the_last();
        by_load.inference = crate::rules::trial::inference(Some(Algorithm::LeastConnections));
        assert_eq!(by_load.level("shares"), None);
        let mut ended = without_the_last();
        ended.fleet.fleets.unsteady = vec!["9003".to_owned()];
        assert_eq!(ended.level("shares"), None);
    }

    /// A minute of requests; 9003 is out for a second, and its share grows until half a minute is over.
    #[test]
    fn the_share_of_a_backend_may_grow_as_long_as_its_slow_start_lasts() {
        let grown = |slow_start: Option<u64>, required: Option<u64>, at_last: fn(u16) -> u16| {
            let mut trial = failing_throughout(|_| 0);
            trial.drill.keeps_away = Some(Duration::from_secs(10));
            (trial.observations, trial.arrivals) = (Vec::new(), Vec::new());
            for turn in 0..6_000u16 {
                let backend = match turn {
                    0..1_000 => turn % 3,
                    1_000..1_100 => turn % 2,
                    1_100..3_000 => [0, 1, 0, 1, 2][usize::from(turn % 5)],
                    _ => at_last(turn),
                };
                trial.send(0, backend, u64::from(turn) * 10_000);
            }
            let (broken, mended) = (Moment(10_000_000_000), Some(Moment(11_000_000_000)));
            trial.drill.windows = vec![OutageWindow { backend: Backend(2), broken, mended, is_restarted: false }];
            trial.expectations.slow_start = slow_start.map(Duration::from_secs);
            let required = required.map(|time| Requirement::SlowStart(Duration::from_secs(time)));
            trial.expectations.required.extend(required);
            found(&trial)
        };
        let even = |turn: u16| turn % 3;
        assert_eq!(grown(None, None, even), (Level::Fail, Conclusion::Deviates));
        assert_eq!(grown(Some(20), None, even), (Level::Pass, Conclusion::AsExpected));
        assert_eq!(grown(None, Some(20), even), (Level::Pass, Conclusion::AsExpected));
        assert_eq!(grown(Some(20), None, |turn| turn % 2), (Level::Fail, Conclusion::Deviates));
        assert_eq!(grown(Some(60), None, even), (Level::Inconclusive, Conclusion::OutageThroughout));
    }

    #[test]
    fn a_backend_that_is_not_back_may_be_avoided_for_as_long_as_the_configuration_says() {
        // 25 s of requests; 9003 is out for two of them, and does not come back.
        let mut trial = failing_throughout(|_| 0);
        (trial.observations, trial.arrivals) = (Vec::new(), Vec::new());
        for turn in 0..2_500u16 {
            trial.send(0, if turn < 100 { turn % 3 } else { turn % 2 }, u64::from(turn) * 10_000);
        }
        let (broken, mended) = (Moment(1_000_000_000), Some(Moment(3_000_000_000)));
        trial.drill.windows = vec![OutageWindow { backend: Backend(2), broken, mended, is_restarted: false }];
        assert_eq!(found(&trial), (Level::Inconclusive, Conclusion::OutageThroughout));
        trial.drill.keeps_away = Some(Duration::from_secs(30));
        assert_eq!(found(&trial), (Level::Inconclusive, Conclusion::OutageThroughout));
        trial.drill.keeps_away = Some(Duration::from_secs(10));
        assert_eq!(found(&trial), (Level::Fail, Conclusion::Deviates));
    }

    #[test]
    fn a_backend_that_is_seen_again_before_it_must_be_has_its_share_or_is_no_fault_yet() {
        let broken = |again: u16| {
            let mut trial = failing_throughout(|_| 0);
            (trial.observations, trial.arrivals) = (Vec::new(), Vec::new());
            for turn in 0..4_000u16 {
                let backend = if (1_000..again).contains(&turn) { turn % 2 } else { turn % 3 };
                trial.send(0, backend, u64::from(turn) * 1_000);
            }
            let (broken, mended) = (Moment(1_000_000_000), Some(Moment(1_500_000_000)));
            trial.drill.windows = vec![OutageWindow { backend: Backend(2), broken, mended, is_restarted: false }];
            trial
        };
        assert_eq!(found(&broken(2_000)), (Level::Pass, Conclusion::AsExpected));
        assert_eq!(found(&broken(4_000)), (Level::Inconclusive, Conclusion::OutageThroughout));
    }
}
