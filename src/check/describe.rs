//! PURE. A request of the run in words: what the client saw, and each attempt.

use std::time::Duration;

use crate::wire::{AttemptEnd, Moment};
use verdict::ledger::{Arrival, Entry};
use verdict::observation::{ClientOutcome, Observation};

/// What the client saw.
pub fn seen(observation: &Observation, names: &[String]) -> String {
    let after = brief(observation.ended.since(observation.due));
    let from = match names.get(usize::from(observation.backend.0)) {
        Some(name) => format!("from {name}"),
        None => "from the balancer itself".to_owned(),
    };
    let status = observation.status;
    let reused = if observation.reused { "a connection that was kept" } else { "a new connection" };
    match observation.sight {
        ClientOutcome::Answer => format!("{status} {from} after {after}"),
        ClientOutcome::Altered => format!("{status} {from} after {after}, altered"),
        ClientOutcome::Truncated => format!("{status} {from}, cut off after {after}"),
        ClientOutcome::TooLarge => format!("{status} {from}, larger than the limit"),
        ClientOutcome::Malformed => format!("no HTTP, after {after}"),
        ClientOutcome::Closed => format!("{reused} was closed without an answer after {after}"),
        ClientOutcome::Reset => format!("{reused} was reset without an answer after {after}"),
        ClientOutcome::TimedOut if status > 0 => format!("{status} {from}, and no end of it within {after}"),
        ClientOutcome::TimedOut => format!("no answer within {after}"),
        ClientOutcome::Refused => "connection refused".to_owned(),
        ClientOutcome::Unreachable => format!("no connection, after {after}"),
        ClientOutcome::TlsFailed => format!("the TLS handshake failed, after {after}"),
    }
}

/// An attempt.
pub fn attempt(attempt: &Arrival, names: &[String], since: Moment) -> String {
    let name = names.get(usize::from(attempt.backend.0)).map_or("?", String::as_str);
    let at = attempt.received.since(since).as_secs_f64();
    let took = brief(Duration::from_nanos(u64::from(attempt.took) * 100));
    match attempt.outcome {
        AttemptEnd::Completed => format!("{name} at {at:.3} s: answered {} in {took}", attempt.status),
        AttemptEnd::CutOff => format!("{name} at {at:.3} s: cut off after {took}"),
        AttemptEnd::Received => format!("{name} at {at:.3} s: received, never answered"),
    }
}

/// All of it in a line.
pub fn line(entry: &Entry, names: &[String], since: Moment) -> String {
    let at = entry.observation.due.since(since).as_secs_f64();
    let attempts: Vec<String> = entry.attempts.iter().map(|it| attempt(it, names, since)).collect();
    let attempts = if attempts.is_empty() { "at no backend".to_owned() } else { attempts.join("; ") };
    format!("request {} at {at:.3} s: {} · {attempts}", entry.sequence, seen(entry.observation, names))
}

fn brief(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds @ 1.0.. => format!("{seconds:.1} s"),
        seconds @ 0.001.. => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{:.0} µs", seconds * 1e6),
    }
}
