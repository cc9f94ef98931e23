//! The prose of the rule of the fleets.

use std::time::Duration;

use verdict::facts::fleets::{ChangeKind, FleetFacts};
use verdict::numbers::{count_of, grouped};

use super::phrase::{Phrase, listed};

pub(super) fn fleets(facts: &FleetFacts) -> Phrase {
    let mut evidence = evidence(facts);
    let clocks = clocks(facts);
    let summary = match (facts.strangers.as_slice(), facts.shared_names.as_slice(), facts.changes.as_slice()) {
        ([], [], []) if !facts.unjoined.is_empty() => "the time of some records is not known".to_owned(),
        ([], [], []) => {
            let one = format!("the records of {} are joined", count_of(facts.fleets, "fleet"));
            return Phrase::of(clocks.map_or(one.clone(), |clocks| format!("{one}: {clocks}"))).because(evidence);
        }
        ([], [], changes) => format!(
            "{} while the check ran: shares and algorithm are not judged",
            match (
                changes.iter().any(|it| it.kind == ChangeKind::Joined),
                changes.iter().any(|it| it.kind == ChangeKind::Gone)
            ) {
                (true, true) => "fleets joined and left",
                (true, false) => "a fleet joined",
                (false, _) => "a fleet left",
            }
        ),
        ([], shared, _) => {
            let names: Vec<&str> = shared.iter().map(|it| it.name.as_str()).collect();
            format!("several processes respond as {}: shares are of names, not of processes", listed(&names))
        }
        (strangers, _, _) => {
            let names: Vec<&str> = strangers.iter().take(3).map(|it| it.name.as_str()).collect();
            format!("backends of no known fleet respond ({}): shares and algorithm are not judged", names.join(", "))
        }
    };
    evidence.extend(clocks);
    let hint = "name every fleet behind the balancer with --fleet, and check while none joins or leaves";
    Phrase::of(summary).because(evidence).try_this(hint)
}

fn evidence(facts: &FleetFacts) -> Vec<String> {
    let mut evidence = Vec::new();
    for change in &facts.changes {
        let backends = listed(&change.backends);
        evidence.push(match change.kind {
            ChangeKind::Joined => format!("{} joined {}: {backends}", change.host, time(change.at)),
            ChangeKind::Gone => format!(
                "{} is gone: {backends}; it responded last {}, and what it received after that is unknown{}",
                change.host,
                time(change.at),
                change.why.as_ref().map_or_else(String::new, |why| format!(" ({why})")),
            ),
        });
    }
    for stranger in &facts.strangers {
        evidence.push(format!(
            "{}: {} from {} of no known fleet",
            stranger.name,
            count_of(stranger.responses, "response"),
            match stranger.processes {
                1 => "a process".to_owned(),
                more => format!("{} processes", grouped(more)),
            }
        ));
    }
    for shared in &facts.shared_names {
        evidence.push(format!("{} processes respond as {}", grouped(shared.processes), shared.name));
    }
    if !facts.unjoined.is_empty() {
        evidence.push(format!(
            "the clock of {} cannot be compared: it was set during the check, or no request links it to ours",
            listed(&facts.unjoined)
        ));
    }
    evidence
}

/// How well the hosts' clocks agree, where there are several.
fn clocks(facts: &FleetFacts) -> Option<String> {
    let half = facts.half_width?;
    let hosts = count_of(facts.fleets, "host");
    let clocks = format!("clocks of {hosts} agree to ± {}", width(Duration::from_secs_f64(half)));
    Some(match facts.unordered {
        0 => clocks,
        some => format!("{clocks}; the order of attempts of {} is not known", count_of(some, "request")),
    })
}

fn time(seconds: f64) -> String {
    if seconds < 0.0 { format!("{:.2} s before the sample", -seconds) } else { format!("at {seconds:.2} s") }
}

fn width(half: Duration) -> String {
    match half.as_micros() {
        micros @ 0..1000 => format!("{micros} µs"),
        micros => format!("{:.1} ms", micros as f64 / 1000.0),
    }
}
