//! What is done to the fleet meanwhile, as `--outage` and `--during` say it.

use std::time::Duration;

use crate::check::scenario::{self, Scenario};
use crate::config::nearest::nearest;
use crate::error::Problem;
use crate::wire::Time;

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
    fn a_command_runs_after_a_second_or_at_its_time() {
        assert_eq!(timed("nginx -s reload"), ("nginx -s reload".to_owned(), Duration::from_secs(1)));
        assert_eq!(timed("nginx -s reload@250ms"), ("nginx -s reload".to_owned(), Duration::from_millis(250)));
        assert_eq!(timed("nginx -s reload@0s"), ("nginx -s reload".to_owned(), Duration::ZERO));
        assert_eq!(timed("ssh me@host"), ("ssh me@host".to_owned(), Duration::from_secs(1)));
    }
}
