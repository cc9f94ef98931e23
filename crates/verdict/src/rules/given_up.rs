//! The rule of requests that their clients gave up: how soon backends stop working on them is described.

use std::time::Duration;

use crate::AttemptEnd;
use crate::facts::account::GivenUp;
use crate::finding::{Facts, Finding, Level};
use crate::ledger::{Arrival, Entry};
use crate::observation::ClientOutcome;
use crate::rules::case::{Case, Drill};

/// Requests that are shown.
const EXAMPLES: usize = 3;

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    // Who broke a backend knows why it does not stop.
    if case.drill != Drill::None {
        return None;
    }
    let mut facts = GivenUp { requests: 0, stopped: 0, after: None, executed: 0 };
    let (mut after, mut examples) = (Vec::new(), Vec::new());
    let given_up = |entry: &Entry| entry.observation.outcome == ClientOutcome::TimedOut;
    for entry in case.ledger.entries().filter(|entry| given_up(entry) && case.judged.includes(entry)) {
        let left = entry.observation.ended;
        let was_at_work = |attempt: &&Arrival| {
            // Whose clock is not the client's may be further off than this takes.
            case.ledger.half_width(attempt.backend) == Duration::ZERO
                && (attempt.end == AttemptEnd::Received || attempt.responded() >= left)
        };
        let Some(attempt) = entry.attempts.last().filter(was_at_work) else { continue };
        facts.requests += 1;
        match attempt.end {
            AttemptEnd::CutOff => {
                facts.stopped += 1;
                after.push(attempt.responded().since(left).as_secs_f64());
            }
            AttemptEnd::Completed => {
                facts.executed += 1;
                examples.push(entry.sequence);
            }
            // It had not ended when the check did, or never began.
            AttemptEnd::Received | AttemptEnd::Refused => {}
        }
    }
    after.sort_by(f64::total_cmp);
    examples.truncate(EXAMPLES);
    facts.after = after.get(after.len() / 2).copied().zip(after.last().copied());
    (facts.requests > 0).then(|| Finding::new(Level::Note, Facts::GivenUp(facts)).shown_by(case.witnesses(&examples)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::trial::{MILLISECOND, RuleTrial};

    /// Requests that a client gave up after half a millisecond, with how their attempts ended, and after how many tenths of microseconds.
    fn given_up(ends: &[(AttemptEnd, u32)]) -> RuleTrial {
        let mut trial = RuleTrial::new();
        for (end, took) in ends {
            let left = trial.failed(ClientOutcome::TimedOut, false).ended;
            trial.attempt(0, 200, *end);
            let arrival = trial.arrivals.last_mut().unwrap();
            (arrival.received.0, arrival.took) = (left.0 - MILLISECOND / 2, *took);
        }
        trial
    }

    #[test]
    fn backends_stop_soon_or_go_on_for_nobody() {
        use AttemptEnd::{Completed, CutOff, Received};
        // The fifth had ended before: its response was lost.
        let trial = given_up(&[
            (CutOff, 5_010),
            (CutOff, 5_030),
            (CutOff, 5_020),
            (Completed, 90_000),
            (Completed, 400),
            (Received, 0),
        ]);
        let found = trial.judge_by(judge).unwrap();
        let Facts::GivenUp(facts) = &found.facts else { panic!("{found:?}") };
        assert_eq!((found.level, facts.requests, facts.stopped, facts.executed), (Level::Note, 5, 3, 1));
        let (median, most) = facts.after.unwrap();
        assert!((median - 2e-6).abs() < 1e-9 && (most - 3e-6).abs() < 1e-9, "{median} {most}");
        assert_eq!(found.witness.len(), 1, "the one that went on");
        assert_eq!(given_up(&[]).judge_by(judge), None);
    }
}
