//! What is done to the fleet meanwhile, as `--outage` and `--during` say it.

use std::time::Duration;

use crate::check::scenario::{self, Scenario};
use crate::config::nearest::nearest;
use crate::error::Problem;
use crate::wire::Time;
use verdict::numbers;

/// The steps of both.
pub(super) fn scenario(outage: Option<&str>, during: Option<&str>) -> Result<Scenario, Problem> {
    let mut scenario = match outage {
        Some(outage) => outage.parse::<Scenario>().map_err(|why| {
            let problem = Problem::new(format!("--outage {why}"));
            match outage.split(',').find_map(meant_action) {
                Some(meant) => problem.hint(format!("did you mean {meant}?")),
                None => problem,
            }
        })?,
        None => Scenario::default(),
    };
    if let Some(during) = during {
        let (command, at) = timed(during);
        scenario.add_command(command, at);
    }
    Ok(scenario)
}

/// What comes after the end of the sample would be seen by no request, and is not carried out.
pub(super) fn refuse_late_steps(scenario: &Scenario, duration: Option<Duration>) -> Result<(), Problem> {
    let Some(duration) = duration else { return Ok(()) };
    let Some(late) = scenario.steps.iter().find(|step| step.at >= duration) else { return Ok(()) };
    let [at, end] = [late.at, duration].map(|time| numbers::time(time.as_secs_f64()));
    let problem = Problem::new(format!("at {at} the sample is over: --duration ends it after {end}"));
    Err(problem.on(late).hint("a longer --duration, or an earlier step"))
}

/// `nginx -s reload@2s`: what, and when.
fn timed(text: &str) -> (String, Duration) {
    let at = text.rsplit_once('@').and_then(|(command, at)| Some((command, Time::from_start(at)?)));
    match at {
        Some((command, at)) => (command.to_owned(), at),
        None => (text.to_owned(), Duration::from_secs(1)),
    }
}

/// What the action of a step may have meant, if it is none.
fn meant_action(step: &str) -> Option<&'static str> {
    let typed = step.trim().split([':', '@']).next().unwrap_or_default();
    let known: Vec<&str> = scenario::words().collect();
    if known.contains(&typed) { None } else { nearest(typed, known) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_after_the_sample_is_refused() {
        let of = |outage: &str, duration| {
            let scenario = scenario(Some(outage), Some("true@1s")).unwrap();
            refuse_late_steps(&scenario, duration).map_err(|problem| problem.to_string())
        };
        let seconds = |number| Some(Duration::from_secs(number));
        assert_eq!(of("kill:9002@2s,start@6s", None), Ok(()));
        assert_eq!(of("kill:9002@2s,start@6s", seconds(7)), Ok(()));
        for duration in [5, 6] {
            let error = of("kill:9002@2s,start:9002@6s", seconds(duration)).unwrap_err();
            assert!(error.starts_with("start 9002: at 6.00 s the sample is over"), "{error}");
        }
        assert!(of("kill:9002@0s", seconds(1)).unwrap_err().starts_with("true: at 1.00 s"));
    }

    #[test]
    fn a_command_runs_after_a_second_or_at_its_time() {
        assert_eq!(timed("nginx -s reload"), ("nginx -s reload".to_owned(), Duration::from_secs(1)));
        assert_eq!(timed("nginx -s reload@250ms"), ("nginx -s reload".to_owned(), Duration::from_millis(250)));
        assert_eq!(timed("nginx -s reload@0s"), ("nginx -s reload".to_owned(), Duration::ZERO));
        assert_eq!(timed("ssh me@host"), ("ssh me@host".to_owned(), Duration::from_secs(1)));
    }
}
