//! The rule of backups: they get nothing while another backend can, before an outage and after recovery from it.

use std::collections::HashSet;
use std::time::Duration;

use crate::facts::backups::{BackupFacts, BackupUse};
use crate::finding::{self, Finding, Level};
use crate::ledger::Arrival;
use crate::observation::Backend;
use crate::outcome::Outcome;
use crate::rules::case::{Case, Drill};
use crate::rules::idle::BusyBackends;
use crate::{AttemptEnd, Moment};

/// Requests that are shown.
const SHOWN: usize = 2;
/// Health checks need some of their intervals to find a backend well again.
const INTERVALS: f64 = 6.0;
const LEAST: Duration = Duration::from_secs(4);
/// Traffic in the last time of a sample goes on.
const LAST: Duration = Duration::from_secs(1);

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let backups: Vec<String> = case.expectations.backups.iter().filter(|name| !case.is_mirror(name)).cloned().collect();
    if backups.is_empty() {
        return None;
    }
    let Use { got, when, failures, avoided, may_overflow, level } =
        if case.has_records() { by_records(case)? } else { by_clients(case) };
    let requests = got.len() as u64;
    // What others have no room for, as their number of requests at once is limited, is for backups.
    let (got, may_overflow) = match level {
        Level::Fail => find_idle(case, got, |backend| is_other(case, backend)),
        _ => (got, may_overflow),
    };
    let level = if may_overflow { Level::Inconclusive } else { level };
    let keeps_away = case.keeps_away.map(|time| time.as_secs_f64());
    let facts = BackupFacts {
        backups,
        requests,
        when,
        failures,
        avoided,
        keeps_away,
        without_records: !case.has_records(),
        may_overflow,
    };
    let (level, facts, shown) = if got.is_empty() {
        match never_used(case) {
            Some((level, failed)) => {
                let (when, failures) = (Some(BackupUse::Never), failed.len() as u64);
                (level, BackupFacts { when, failures, ..facts }, failed)
            }
            None => (Level::Pass, facts, got),
        }
    } else {
        (level, facts, got)
    };
    let shown = &shown[..shown.len().min(SHOWN)];
    Some(Finding::new(level, finding::Facts::Backups(facts)).shown_by(case.witnesses(shown)))
}

/// One cause is one finding: others lack what backups got.
pub(crate) fn absorb_shares(findings: &mut Vec<Finding>) {
    let is_used = |it: &Finding| it.level > Level::Note && matches!(it.facts, finding::Facts::Backups(_));
    if findings.iter().any(is_used) {
        findings.retain(|it| it.level == Level::Fail || !matches!(it.facts, finding::Facts::Shares(_)));
    }
}

/// What backups got.
struct Use {
    /// Numbers of the requests.
    got: Vec<u32>,
    when: Option<BackupUse>,
    /// Requests that others failed.
    failures: u64,
    /// Others that a balancer may keep away from.
    avoided: Vec<String>,
    /// Whether all others that could have had them were at work each time.
    may_overflow: bool,
    /// What is to be thought of it.
    level: Level,
}

fn by_records(case: &Case) -> Option<Use> {
    let arrivals = || case.judged_arrivals().iter().filter(|it| is_backup(case, it.backend));
    if case.drill == Drill::None {
        let failed = [Outcome::Retried, Outcome::Lost, Outcome::NotReached, Outcome::Balancer];
        let failures: u64 = failed.iter().map(|outcome| case.tally.of_outcome(*outcome)).sum();
        // Where others failed, backups had to help.
        let avoided = others_of(case, &case.fleets.unsteady);
        let level = if failures > 0 || !avoided.is_empty() { Level::Inconclusive } else { Level::Fail };
        let got = sequences(arrivals(), |_| true);
        return Some(Use { got, when: None, failures, avoided, may_overflow: false, level });
    }
    let first = case.first_step()?;
    let recovery = find_recovery(case);
    let width = |arrival: &Arrival| case.ledger.half_width(arrival.backend);
    let before = sequences(arrivals(), |it| it.received.after(width(it)) < first);
    let after = sequences(arrivals(), |it| recovery.is_some_and(|since| it.received.before(width(it)) >= since));
    let avoided = others_of(case, &case.fleets.unwell);
    let mut may_overflow = false;
    let (got, when, level) = match (before.is_empty(), after.is_empty()) {
        // The sample may have ended before it was time to give the traffic back.
        (true, true) if recovery.is_some_and(|since| since > case.sampled.1) => {
            let still = sequences(arrivals(), |it| it.received.after(LAST) >= case.sampled.1);
            (still, BackupUse::AtTheEnd, Level::Inconclusive)
        }
        (true, true) => match beside_sound_ones(case, arrivals) {
            (got, _) if got.is_empty() => (got, BackupUse::After, Level::Pass),
            (got, are_busy) => {
                may_overflow = are_busy;
                (got, BackupUse::During, Level::Inconclusive)
            }
        },
        (true, false) => (after, BackupUse::After, Level::Fail),
        // Until the first step, others may have been avoided for what was before the check.
        (false, true) if !avoided.is_empty() => (before, BackupUse::Before, Level::Inconclusive),
        (false, true) => (before, BackupUse::Before, Level::Fail),
        (false, false) => ([before, after].concat(), BackupUse::Both, Level::Fail),
    };
    let avoided = if when == BackupUse::Before { avoided } else { Vec::new() };
    Some(Use { got, when: Some(when), failures: 0, avoided, may_overflow, level })
}

/// Requests that backups got while some of the others were broken, and there was one to which nothing was done, and which failed nothing: those for
/// which such a one was certainly idle; all of them, and true, if none was. A balancer may mean it so: Envoy leaves a priority by degrees.
fn beside_sound_ones<'a, I: Iterator<Item = &'a Arrival>>(case: &Case, arrivals: impl Fn() -> I) -> (Vec<u32>, bool) {
    let is_avoided =
        |name: &String| [&case.fleets.unsteady, &case.fleets.unwell].into_iter().any(|it| it.contains(name));
    let failed = case.ledger.arrivals().iter().filter(|it| it.end != AttemptEnd::Completed || it.status >= 500);
    let failed: HashSet<Backend> = failed.map(|arrival| arrival.backend).collect();
    let is_sound = |backend: Backend| {
        is_other(case, backend)
            && !case.outages.iter().any(|window| window.backend == backend)
            && !case.names.get(usize::from(backend.0)).is_some_and(is_avoided)
            && !failed.contains(&backend)
    };
    // What is done to all, or by a command, may have been done to any.
    let is_any = case.steps.iter().any(|step| step.backend.is_none());
    if is_any || !(0..case.backends).any(|place| is_sound(Backend(place as u16))) {
        return (Vec::new(), false);
    }
    let is_meanwhile = |at: Moment| case.outages.iter().any(|window| window.contains(at));
    find_idle(case, sequences(arrivals(), |it| is_meanwhile(it.received)), is_sound)
}

/// Whether a backend is to be used before backups are.
fn is_other(case: &Case, backend: Backend) -> bool {
    !is_backup(case, backend) && !case.ledger.is_mirror(backend)
}

/// Those of these requests for which one of the backends that are meant was certainly idle; all of them, and true, if none was.
fn find_idle(case: &Case, got: Vec<u32>, is_meant: impl Fn(Backend) -> bool) -> (Vec<u32>, bool) {
    let busy = BusyBackends::of(case, is_meant);
    let idle = busy.find_idle(got.iter().filter_map(|sequence| case.ledger.entry(*sequence)));
    if idle.is_empty() { (got, true) } else { (idle, false) }
}

/// Another backend may have failed a request before its backup got it, which only records would tell.
fn by_clients(case: &Case) -> Use {
    let first = case.first_step();
    let entries = case.ledger.entries().filter(|entry| case.judged.includes(entry));
    let used = entries.filter(|entry| {
        let is_before = first.is_none_or(|first| entry.observation.ended < first);
        is_before && is_backup(case, entry.observation.backend)
    });
    let got = used.map(|entry| entry.sequence).collect();
    let when = first.map(|_| BackupUse::Before);
    Use { got, when, failures: 0, avoided: Vec::new(), may_overflow: false, level: Level::Inconclusive }
}

/// All others were broken at once, these requests failed, and no backup got one: it takes over late, or never.
fn never_used(case: &Case) -> Option<(Level, Vec<u32>)> {
    let all = || (0..case.backends).map(|place| Backend(place as u16));
    let others = || all().filter(|backend| is_other(case, *backend));
    let windows_of = |backend: Backend| case.outages.iter().filter(move |window| window.backend == backend);
    let from = others().map(|it| windows_of(it).map(|window| window.broken).min()).collect::<Option<Vec<_>>>()?;
    let from = from.into_iter().max()?;
    let then = |backend: Backend| windows_of(backend).find(|window| window.contains(from));
    let ends = others().map(|it| Some(then(it)?.mended.unwrap_or(case.sampled.1))).collect::<Option<Vec<_>>>()?;
    let until = ends.into_iter().min().filter(|until| *until > from)?;
    let is_meanwhile = |at: Moment| at >= from && at < until;
    let of_backups = || case.outages.iter().filter(|window| is_backup(case, window.backend));
    let is_broken_too = of_backups().any(|it| is_meanwhile(it.broken) || it.contains(from));
    let got = case.judged_arrivals().iter().any(|it| is_backup(case, it.backend) && is_meanwhile(it.received));
    let entries = case.ledger.entries().filter(|entry| case.sample.contains(&entry.sequence));
    let failed = entries.filter(|entry| is_meanwhile(entry.observation.sent()) && case.done().is_error(entry));
    let failed: Vec<u32> = failed.map(|entry| entry.sequence).collect();
    // Health checks need their time to find out that the others are gone.
    let level = if until.since(from) > patience(case, case.detection()) { Level::Inconclusive } else { Level::Note };
    (!got && !is_broken_too && !failed.is_empty()).then_some((level, failed))
}

/// Whether that backend is to get nothing while another can.
fn is_backup(case: &Case, backend: Backend) -> bool {
    let name = case.names.get(usize::from(backend.0));
    name.is_some_and(|name| !case.is_mirror(name) && !case.expectations.takes_part(name))
}

/// Those of these backends that are no backups.
fn others_of(case: &Case, names: &[String]) -> Vec<String> {
    names.iter().filter(|name| !case.is_mirror(name) && case.expectations.takes_part(name)).cloned().collect()
}

/// The requests of these attempts that count.
fn sequences<'a>(arrivals: impl Iterator<Item = &'a Arrival>, counts: impl Fn(&Arrival) -> bool) -> Vec<u32> {
    arrivals.filter(|arrival| counts(arrival)).map(|arrival| arrival.sequence).collect()
}

/// From when on all broken backends must have been found well again; None if one was not mended.
fn find_recovery(case: &Case) -> Option<Moment> {
    let mended: Vec<Moment> = case.outages.iter().map(|window| window.mended).collect::<Option<_>>()?;
    let ended = case.steps.iter().map(|step| step.ended).max()?;
    let last = mended.into_iter().max()?.max(ended);
    Some(last.after(patience(case, case.avoidance())))
}

/// How long a balancer may take to find that a backend is well, or gone: as long as its health checks need, or else `by_itself`.
fn patience(case: &Case, by_itself: Duration) -> Duration {
    if case.health_checks == 0 || case.keeps_away.is_some() {
        return by_itself;
    }
    let run = case.sampled.1.since(case.began).as_secs_f64();
    let interval = run * case.backends as f64 / case.health_checks as f64;
    LEAST.max(Duration::from_secs_f64(interval * INTERVALS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::BackendRecords;
    use crate::observation::ClientOutcome;
    use crate::rules::trial::{RuleTrial, inference};
    use crate::timeline::{OutageWindow, StepSpan};

    /// 8 s, 9001 and 9002 gone from 1 s to 3 s; then the backup is given up after `held`.
    fn outage(held: u64, health_checks: u64, early: bool) -> RuleTrial {
        let mut trial = RuleTrial::new();
        trial.expectations.backups = vec!["9003".to_owned()];
        (trial.drill.kind, trial.fleet.health_checks) = (Drill::Rough, health_checks);
        let at = |millisecond: usize| RuleTrial::due(millisecond);
        trial.drill.windows = [0, 1]
            .map(|place| OutageWindow {
                backend: Backend(place),
                broken: at(1000),
                mended: Some(at(3000)),
                is_restarted: false,
            })
            .to_vec();
        let step = |from, is_rough| StepSpan {
            backend: Some(Backend(0)),
            begun: at(from),
            ended: at(from),
            is_done: true,
            is_rough,
        };
        trial.drill.steps = vec![step(1000, true), step(3000, false)];
        for turn in 0..8000u64 {
            let on_backup = (1000..3000 + held).contains(&turn) || early && turn == 500;
            trial.delivered(if on_backup { 2 } else { (turn % 2) as u16 }, 200);
        }
        trial
    }

    #[test]
    fn a_backup_that_keeps_the_traffic_after_recovery_fails_and_one_that_gives_it_back_passes() {
        assert_eq!(outage(5000, 96, false).level("backups"), Some(Level::Fail));
        assert_eq!(outage(600, 96, false).level("backups"), Some(Level::Pass));
        // Without health checks it may take fail_timeout.
        assert_eq!(outage(5000, 0, false).level("backups"), Some(Level::Inconclusive));
        assert_eq!(outage(600, 96, true).level("backups"), Some(Level::Fail));
    }

    #[test]
    fn a_balancer_may_keep_away_from_what_failed_as_long_as_its_configuration_says() {
        // Another 20 s, the backup in use for the first 17 of them.
        let kept = |keeps_away: Option<u64>, longer: bool| {
            let mut trial = outage(5000, 0, false);
            trial.drill.keeps_away = keeps_away.map(Duration::from_secs);
            for turn in 0..20_000u64 {
                trial.delivered(if turn < 17_000 || longer { 2 } else { (turn % 2) as u16 }, 200);
            }
            trial.level("backups")
        };
        assert_eq!(kept(Some(10), false), Some(Level::Fail));
        assert_eq!(kept(Some(30), false), Some(Level::Pass));
        assert_eq!((kept(None, false), kept(None, true)), (Some(Level::Pass), Some(Level::Inconclusive)));
    }

    #[test]
    fn others_that_were_broken_a_moment_ago_excuse_a_backup_until_the_first_step() {
        let mut trial = outage(600, 96, true);
        trial.fleet.fleets.unwell = vec!["9003".to_owned()];
        assert_eq!(trial.level("backups"), Some(Level::Fail), "the backup itself");
        trial.fleet.fleets.unwell.push("9001".to_owned());
        assert_eq!(trial.level("backups"), Some(Level::Inconclusive));
        let finding::Facts::Backups(facts) = trial.facts("backups") else { panic!() };
        assert_eq!(facts.avoided, ["9001"]);
        (trial.drill.kind, trial.drill.steps, trial.drill.windows) = (Drill::None, Vec::new(), Vec::new());
        assert_eq!(trial.level("backups"), Some(Level::Fail), "it was well throughout");
        trial.fleet.fleets.unsteady = vec!["9001".to_owned()];
        assert_eq!(trial.level("backups"), Some(Level::Inconclusive));
    }

    #[test]
    fn a_backup_that_never_takes_over_is_named() {
        let unused = |from: usize, until: usize, takes_over: bool| {
            let mut trial = outage(600, 0, false);
            let at = |millisecond: usize| RuleTrial::due(millisecond);
            trial.drill.windows = [0, 1]
                .map(|place| OutageWindow {
                    backend: Backend(place),
                    broken: at(from),
                    mended: Some(at(until)),
                    is_restarted: false,
                })
                .to_vec();
            (trial.observations, trial.arrivals) = (Vec::new(), Vec::new());
            for turn in 0..20_000 {
                if !(from..until).contains(&turn) {
                    trial.delivered((turn % 2) as u16, 200);
                } else if takes_over {
                    trial.delivered(2, 200);
                } else {
                    trial.failed(ClientOutcome::Reset, false);
                }
            }
            trial.level("backups")
        };
        assert_eq!(unused(1000, 3000, false), Some(Level::Note));
        assert_eq!(unused(1000, 15_000, false), Some(Level::Inconclusive));
        assert_eq!(unused(1000, 3000, true), Some(Level::Pass));
    }

    #[test]
    fn a_backup_that_is_used_while_only_some_of_the_others_are_broken_is_not_known_to_be_one() {
        // 9001 is gone from 1 s to 3 s; the backup gets a part of the rest.
        let spills = |to_backup: u64| {
            let mut trial = outage(0, 96, false);
            trial.drill.windows.truncate(1);
            (trial.observations, trial.arrivals) = (Vec::new(), Vec::new());
            for turn in 0..8000u64 {
                let usual = if (1000..3000).contains(&turn) { 1 } else { (turn % 2) as u16 };
                let spilt = (1000..3000).contains(&turn) && turn % 10 < to_backup;
                trial.delivered(if spilt { 2 } else { usual }, 200);
            }
            trial
        };
        assert_eq!(spills(0).level("backups"), Some(Level::Pass));
        let trial = spills(3);
        assert_eq!(trial.level("backups"), Some(Level::Inconclusive));
        let finding::Facts::Backups(facts) = trial.facts("backups") else { panic!() };
        assert_eq!((facts.when, facts.requests), (Some(BackupUse::During), 600));
        // The other one was at work all the time.
        let mut busy = trial.clone();
        for (sequence, observation) in busy.observations.iter_mut().enumerate() {
            let is_own = observation.backend == Backend(1) && (990..3000).contains(&sequence);
            observation.ended =
                if is_own { observation.ended.after(Duration::from_millis(50)) } else { observation.ended };
        }
        assert_eq!(busy.level("backups"), Some(Level::Inconclusive));
        let finding::Facts::Backups(facts) = busy.facts("backups") else { panic!() };
        assert_eq!((facts.when, facts.may_overflow, facts.requests), (Some(BackupUse::During), true, 600));
        // The balancer may keep away from the other one, too.
        let mut unwell = trial.clone();
        unwell.fleet.fleets.unwell = vec!["9002".to_owned()];
        let mut failing = trial.clone();
        failing.delivered(1, 503);
        let mut by_command = trial;
        by_command.drill.steps[0].backend = None;
        for excused in [unwell, failing, by_command] {
            assert_eq!(excused.level("backups"), Some(Level::Pass));
        }
    }

    #[test]
    fn it_says_when_the_backup_was_used_and_shows_requests_that_it_got() {
        for (trial, when, shown) in [
            (outage(5000, 96, false), BackupUse::After, 2),
            (outage(600, 96, true), BackupUse::Before, 1),
            (outage(5000, 96, true), BackupUse::Both, 2),
            (outage(5000, 0, false), BackupUse::AtTheEnd, 2),
        ] {
            let found = trial.judge_by(|case| judge(case).expect("the backup was used"));
            let finding::Facts::Backups(facts) = &found.facts else { panic!("{found:?}") };
            assert_eq!((facts.when, found.witness.len()), (Some(when), shown));
        }
    }

    #[test]
    fn a_backup_that_helps_where_others_have_no_room_is_right() {
        let mut trial = RuleTrial::new();
        trial.expectations.backups = vec!["9003".to_owned()];
        for round in 0..100u64 {
            for client in 0..6u16 {
                trial.send(u32::from(client), client / 2, round * 1_000 + u64::from(client));
                trial.observations.last_mut().unwrap().ended = Moment((round * 1_000 + 990) * 1_000);
            }
        }
        assert_eq!(trial.level("backups"), Some(Level::Inconclusive));
        let finding::Facts::Backups(facts) = trial.facts("backups") else { panic!() };
        assert!(facts.may_overflow && facts.requests == 200, "{facts:?}");
        trial.send(0, 2, 200_000);
        assert_eq!(trial.level("backups"), Some(Level::Fail), "nobody else was busy then");
    }

    #[test]
    fn without_records_a_backup_that_responds_may_stand_in_for_others() {
        let of = |places: [u16; 3]| {
            let mut trial = RuleTrial::new();
            trial.expectations.backups = vec!["9003".to_owned()];
            trial.fleet.records = BackendRecords::None;
            (0..300).for_each(|turn| {
                trial.delivered(places[turn % 3], 200);
            });
            trial
        };
        assert_eq!(of([0, 1, 0]).level("backups"), Some(Level::Pass));
        let trial = of([0, 1, 2]);
        assert_eq!(trial.level("backups"), Some(Level::Inconclusive));
        assert_eq!(trial.level("shares"), Some(Level::Fail), "what gets its turn is no backup");
        let mut unknown = trial.clone();
        unknown.inference = inference(None);
        assert_eq!((unknown.level("backups"), unknown.level("shares")), (Some(Level::Inconclusive), None));
        let finding::Facts::Backups(facts) = trial.facts("backups") else { panic!() };
        assert_eq!((facts.requests, facts.without_records), (100, true));
    }
}
