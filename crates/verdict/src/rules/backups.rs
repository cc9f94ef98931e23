//! The rule of backups: they get nothing while another backend can, before an outage and after recovery from it.

use std::time::Duration;

use crate::Moment;
use crate::facts::backups::{BackupFacts, BackupUse};
use crate::finding::{self, Finding, Level};
use crate::ledger::Arrival;
use crate::outcome::Outcome;
use crate::rules::case::{Case, Drill};

/// Requests that are shown.
const SHOWN: usize = 2;
/// Health checks need some of their intervals to find a backend well again.
const INTERVALS: f64 = 6.0;
const LEAST: Duration = Duration::from_secs(4);
/// Traffic in the last time of a sample goes on.
const LAST: Duration = Duration::from_secs(1);
/// A balancer without health checks tries a failed backend again after that time: NGINX's fail_timeout.
const PASSIVE: Duration = Duration::from_secs(10);

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    if !case.has_records() {
        return None;
    }
    let backups: Vec<usize> = (0..case.backends)
        .filter(|place| !case.is_mirror(&case.names[*place]) && !case.expectations.takes_part(&case.names[*place]))
        .collect();
    let is_backup = |arrival: &&Arrival| backups.contains(&usize::from(arrival.backend.0));
    let arrivals = || case.judged_arrivals().iter().filter(is_backup);
    let failures: u64 = [Outcome::Retried, Outcome::Lost, Outcome::NotReached, Outcome::Balancer]
        .iter()
        .map(|outcome| case.tally.of_outcome(*outcome))
        .sum();
    let (got, when, level) = if case.drill == Drill::None {
        // Where others failed, backups had to help.
        (sequences(arrivals(), |_| true), None, if failures > 0 { Level::Inconclusive } else { Level::Fail })
    } else {
        let first = case.steps.iter().map(|step| step.begun).min()?;
        let recovery = find_recovery(case);
        let width = |arrival: &Arrival| case.ledger.half_width(arrival.backend);
        let before = sequences(arrivals(), |it| it.received.after(width(it)) < first);
        let after = sequences(arrivals(), |it| recovery.is_some_and(|since| it.received.before(width(it)) >= since));
        match (before.is_empty(), after.is_empty()) {
            // The sample may have ended before it was time to give the traffic back.
            (true, true) if recovery.is_some_and(|since| since > case.sampled.1) => {
                let still = sequences(arrivals(), |it| it.received.after(LAST) >= case.sampled.1);
                (still, Some(BackupUse::AtTheEnd), Level::Inconclusive)
            }
            (true, _) => (after, Some(BackupUse::After), Level::Fail),
            (false, true) => (before, Some(BackupUse::Before), Level::Fail),
            (false, false) => ([before, after].concat(), Some(BackupUse::Both), Level::Fail),
        }
    };
    if got.is_empty() {
        return None;
    }
    let backups = backups.iter().map(|place| case.names[*place].clone()).collect();
    let failures = if case.drill == Drill::None { failures } else { 0 };
    let facts = BackupFacts { backups, requests: got.len() as u64, when, failures };
    let shown = &got[..got.len().min(SHOWN)];
    Some(Finding::new(level, finding::Facts::Backups(facts)).shown_by(case.witnesses(shown)))
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
    let patience = if case.health_checks == 0 {
        PASSIVE
    } else {
        let run = case.sampled.1.since(case.began).as_secs_f64();
        let interval = run * case.backends as f64 / case.health_checks as f64;
        LEAST.max(Duration::from_secs_f64(interval * INTERVALS))
    };
    Some(last.after(patience))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Backend;
    use crate::rules::trial::RuleTrial;
    use crate::timeline::{OutageWindow, StepSpan};

    /// 8 s, 9001 and 9002 gone from 1 s to 3 s; then the backup is given up after `held`.
    fn outage(held: u64, health_checks: u64, early: bool) -> RuleTrial {
        let mut trial = RuleTrial::new();
        trial.expectations.backups = vec!["9003".to_owned()];
        (trial.drill.kind, trial.fleet.health_checks) = (Drill::Rough, health_checks);
        let at = |millisecond: usize| RuleTrial::due(millisecond);
        trial.drill.windows = [0, 1]
            .map(|place| OutageWindow { backend: Backend(place), broken: at(1000), mended: Some(at(3000)) })
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
        assert_eq!(outage(600, 96, false).level("backups"), None);
        // Without health checks it may take fail_timeout.
        assert_eq!(outage(5000, 0, false).level("backups"), Some(Level::Inconclusive));
        assert_eq!(outage(600, 96, true).level("backups"), Some(Level::Fail));
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
}
