//! Defects that no right balancer has: how often they are found.

use std::fmt::Write as _;
use std::time::Duration;

use testbed::simulated::{Chance, Picks, Simulated};
use verdict::algorithm::experiments::{self, Setting};
use verdict::ledger::{Arrival, BackendRecords, Ledger};
use verdict::observation::{Backend, ClientOutcome, Echo, Observation};
use verdict::outcome::Outcome;

use crate::account::{arrivals, observations};
use crate::{percent, sum};

/// Requests of a check in which defects of single requests are planted.
const REQUESTS: u32 = 1_000;

pub(crate) fn write(text: &mut String, runs: u64) {
    let _ = writeln!(
        text,
        "## Planted defects\n\n{runs} runs each. A defect of single requests hits each of {REQUESTS} with a probability of 1 %; one such request fails the check, so that it \
         is missed where it hits none: {:.3} % of the runs. A selection that no algorithm has is found unless it passes for one that is named for \
         certain and without breaks.\n\n| defect | found |\n|---|---|",
        0.99f64.powi(REQUESTS as i32) * 100.0
    );
    for (name, plant, outcome) in DEFECTS {
        let [found] = sum(runs / 10, |seed| [u64::from(finds(seed, *plant, *outcome))]);
        let _ = writeln!(text, "| {name} | {} |", percent(found, runs / 10));
    }
    let selections = [
        ("every 97th turn is skipped", Picks::Skips(97)),
        ("every 500th turn is skipped", Picks::Skips(500)),
        ("ten requests in a row to each backend", Picks::Bursts(10)),
        ("5 to 15 requests in a row, right on average", Picks::UnevenBursts(10)),
    ];
    for (name, picks) in selections {
        let [found] = sum(runs, |seed| [u64::from(!passes(picks.clone(), seed))]);
        let _ = writeln!(text, "| {name} | {} |", percent(found, runs));
    }
    text.push('\n');
}

type Plant = fn(&mut Observation, &Arrival) -> Planted;

/// What becomes of the record of a request.
enum Planted {
    Kept,
    Gone,
    /// Another backend executes it too, that much later.
    Twice(Duration),
}

const DEFECTS: &[(&str, Plant, Outcome)] = &[
    ("1 % dropped", drop_it, Outcome::NotReached),
    ("1 % received and not answered", lose, Outcome::Lost),
    ("1 % executed twice at once", |_, _| Planted::Twice(Duration::ZERO), Outcome::Duplicated),
    ("1 % executed again 2 s later", |_, _| Planted::Twice(Duration::from_secs(2)), Outcome::Duplicated),
    ("1 % altered", alter, Outcome::Altered),
    ("1 % stale: a worker that keeps a response", keep, Outcome::Stale),
];

fn drop_it(seen: &mut Observation, _: &Arrival) -> Planted {
    lose(seen, &arrivals(1)[0]);
    Planted::Gone
}

fn lose(seen: &mut Observation, _: &Arrival) -> Planted {
    (seen.outcome, seen.status, seen.backend, seen.echo) = (ClientOutcome::Closed, 0, Backend::UNKNOWN, Echo::None);
    seen.response = uuid::Uuid::nil();
    Planted::Kept
}

fn alter(seen: &mut Observation, _: &Arrival) -> Planted {
    seen.outcome = ClientOutcome::Altered;
    Planted::Kept
}

/// The response to the first request again.
fn keep(seen: &mut Observation, _: &Arrival) -> Planted {
    (seen.response, seen.echo) = (arrivals(1)[0].response, Echo::Other);
    Planted::Gone
}

fn finds(seed: u64, plant: Plant, outcome: Outcome) -> bool {
    let mut chance = Chance::of(seed);
    let mut seen = observations(REQUESTS);
    let mut recorded = Vec::new();
    for arrival in arrivals(REQUESTS) {
        let planted = if arrival.sequence > 0 && chance.unit() < 0.01 {
            plant(&mut seen[arrival.sequence as usize], &arrival)
        } else {
            Planted::Kept
        };
        match planted {
            Planted::Kept => recorded.push(arrival),
            Planted::Gone => {}
            Planted::Twice(later) => {
                let response = uuid::Uuid::from_u128(arrival.response.as_u128() ^ 1 << 100);
                let backend = Backend((arrival.backend.0 + 1) % 3);
                recorded.push(arrival);
                recorded.push(Arrival { response, backend, received: arrival.received.after(later), ..arrival });
            }
        }
    }
    let ledger = Ledger::join(seen, recorded, BackendRecords::Kept);
    ledger.entries().any(|entry| entry.outcome == outcome)
}

/// Whether a selection is named for certain, and without breaks.
fn passes(picks: Picks, seed: u64) -> bool {
    let mut subject = Simulated::new(3, picks, 1, seed);
    let setting = Setting {
        backends: Some(3),
        can_hold: true,
        is_followed: true,
        budget: Duration::from_secs(6),
        ..Setting::default()
    };
    let inference = experiments::run(&mut subject, &setting).infer(&[]);
    inference.certain().is_some() && inference.breaks.is_none()
}
