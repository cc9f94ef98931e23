//! How sure a verdict is: the pure part of the check over simulated balancers whose truth is known. Writes docs/results/CERTAINTY.md.
//! With `--quick` few runs, and nothing is written; `--runs=N` for each row of names, ten times as many for each row of numbers; `--only=TEXT`
//! prints the rows of names that contain it, and `--show=open` or `--show=wrong` what was inferred in each such run.

mod account;
mod names;
mod planted;
mod shares;
mod sound;

use std::thread;

/// Of each row of names.
const RUNS: u64 = 10_000;

fn main() {
    let argument = |name: &str| std::env::args().find_map(|argument| Some(argument.strip_prefix(name)?.to_owned()));
    let quick = std::env::args().any(|argument| argument == "--quick");
    let wanted = argument("--runs=").and_then(|runs| runs.parse().ok());
    let runs: u64 = wanted.unwrap_or(if quick { 52 } else { RUNS });
    let only = argument("--only=");
    if let Some(only) = &only {
        let mut rows = String::new();
        names::write(&mut rows, runs, |row| row.contains(only), argument("--show=").as_deref());
        return print!("{rows}");
    }
    let mut text = introduction(runs);
    sound::write(&mut text);
    shares::write(&mut text, runs * 10);
    names::write(&mut text, runs, |_| true, None);
    planted::write(&mut text, runs);
    account::write(&mut text, quick);
    print!("{text}");
    if !quick {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/results/CERTAINTY.md"), text)
            .expect("CERTAINTY.md can be written");
    }
}

fn introduction(runs: u64) -> String {
    format!(
        "\
# How sure a verdict is

Written by the bench `certainty` with `--runs={runs}` (`make bench` makes {RUNS}): the part of the check that judges, over simulated balancers whose truth is known.
What is exact (a lost request, one executed twice, a stale or a swapped response) needs no simulation: one such request fails the check, and
`tests/ledger.rs` and `tests/check.rs` plant each of them.

"
    )
}

/// Runs `count` experiments on all cores and adds up what they give.
fn sum<const N: usize>(count: u64, experiment: impl Fn(u64) -> [u64; N] + Sync) -> [u64; N] {
    let workers = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let part = |worker: u64| {
        (worker..count).step_by(workers as usize).fold([0; N], |mut sum, seed| {
            sum.iter_mut().zip(experiment(seed + 1)).for_each(|(sum, more)| *sum += more);
            sum
        })
    };
    thread::scope(|scope| {
        let part = &part;
        let parts: Vec<_> = (0..workers).map(|worker| scope.spawn(move || part(worker))).collect();
        parts.into_iter().fold([0; N], |mut sum, part| {
            sum.iter_mut().zip(part.join().expect("no experiment panics")).for_each(|(sum, more)| *sum += more);
            sum
        })
    })
}

fn percent(count: u64, runs: u64) -> String {
    format!("{:.2} %", count as f64 / runs.max(1) as f64 * 100.0)
}
