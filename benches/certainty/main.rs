//! How sure a verdict is: the pure part of the check over simulated balancers whose truth is known. Writes docs/results/CERTAINTY.md.
//! With `--quick` a hundredth of the runs, and nothing is written; with `--runs=20000` a fifth of them.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use testbed::simulated::{Chance, Picks, Simulated, SimulatedHealth};
use uuid::Uuid;
use verdict::algorithm::Algorithm;
use verdict::algorithm::experiments::{self, Pace, ProbeRequest, Setting, Subject};
use verdict::ledger::{Arrival, BackendRecords, Ledger};
use verdict::observation::{Backend, ClientOutcome, Echo, Observation};
use verdict::rules::{FALSE_ALARM, is_certain};
use verdict::statistics::{POWER, ln_e_value, multinomial, needs};
use verdict::tally::Tally;
use verdict::{AttemptEnd, Moment};

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let wanted = std::env::args().find_map(|argument| argument.strip_prefix("--runs=")?.parse().ok());
    let runs = wanted.unwrap_or(if quick { 1_000 } else { 100_000 });
    let mut text = String::from(INTRODUCTION);
    shares(&mut text, runs);
    anytime(&mut text, runs / 10);
    stickiness(&mut text, runs);
    names(&mut text, runs / 10);
    trouble(&mut text, runs / 50);
    sizes(&mut text, runs / 50);
    run_planted(&mut text, runs / 50);
    account(&mut text, quick);
    print!("{text}");
    if !quick {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/CERTAINTY.md"), text)
            .expect("CERTAINTY.md can be written");
    }
}

const INTRODUCTION: &str = "\
# How sure a verdict is

Written by `cargo bench --bench certainty`: the part of the check that judges, over simulated balancers whose truth is known. What is exact
(a lost request, one executed twice, a stale or a swapped answer) needs no simulation: one such request fails the check, and `tests/ledger.rs`
and `tests/check.rs` plant each of them.

";

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

fn draws(chance: &mut Chance, count: u64, shares: &[f64]) -> Vec<u64> {
    let mut bounds: Vec<u64> = Vec::new();
    let mut sum = 0.0;
    for share in shares {
        sum += share;
        bounds.push((sum * u64::MAX as f64) as u64);
    }
    *bounds.last_mut().expect("there are shares") = u64::MAX;
    let mut counts = vec![0; shares.len()];
    for _ in 0..count {
        let draw = chance.draw();
        counts[bounds.iter().position(|bound| draw <= *bound).expect("the last bound is the largest")] += 1;
    }
    counts
}

fn shares(text: &mut String, runs: u64) {
    let _ = writeln!(
        text,
        "## Shares\n\nA random balancer, as many requests as the default tolerance of 2 percentage points needs, {runs} runs each. A right one \
         fails with a probability of {FALSE_ALARM:.0e} at most, so none is expected to; that the p values are right shows in how many are \
         below 0.001. A wrong one must fail in {:.1} % of the runs.\n\n| expected | true | requests | failed | p < 0.001 |\n|---|---|---|---|---|",
        POWER * 100.0
    );
    let even = |count: usize| vec![1.0 / count as f64; count];
    let cases: [(&str, Vec<f64>, Vec<f64>); 8] = [
        ("even of 2", even(2), even(2)),
        ("even of 3", even(3), even(3)),
        ("even of 10", even(10), even(10)),
        ("5:1:1", vec![5.0 / 7.0, 1.0 / 7.0, 1.0 / 7.0], vec![5.0 / 7.0, 1.0 / 7.0, 1.0 / 7.0]),
        ("even of 2", even(2), vec![0.52, 0.48]),
        ("even of 3", even(3), vec![1.0 / 3.0 + 0.02, 1.0 / 3.0 - 0.01, 1.0 / 3.0 - 0.01]),
        ("even of 10", even(10), [vec![0.12], vec![0.88 / 9.0; 9]].concat()),
        ("5:1:1", vec![5.0 / 7.0, 1.0 / 7.0, 1.0 / 7.0], vec![5.0 / 7.0 - 0.02, 1.0 / 7.0 + 0.02, 1.0 / 7.0]),
    ];
    for (name, expected, truth) in cases {
        let count = needs(0.02, &expected, FALSE_ALARM);
        let [failed, below] = sum(runs, |seed| {
            let p = multinomial(&draws(&mut Chance::of(seed), count, &truth), &expected, 0.0).p;
            [u64::from(p < FALSE_ALARM), u64::from(p < 1e-3)]
        });
        let truth: Vec<String> = truth.iter().take(3).map(|share| format!("{:.1} %", share * 100.0)).collect();
        let more = if expected.len() > 3 { ", …" } else { "" };
        let below = format!("{:.3} %", below as f64 / runs as f64 * 100.0);
        let failed = format!("{:.3} %", failed as f64 / runs as f64 * 100.0);
        let _ = writeln!(text, "| {name} | {}{more} | {count} | {failed} | {below} |", truth.join(", "));
    }
    let [failed] = sum(runs, |seed| {
        let mut chance = Chance::of(seed);
        let (backends, count) = (2 + chance.below(9), 30 + chance.below(271) as u64);
        let counts = draws(&mut chance, count, &even(backends));
        [u64::from(multinomial(&counts, &even(backends), 0.0).p < FALSE_ALARM)]
    });
    let _ = writeln!(
        text,
        "\nOf {runs} small samples, 30 to 300 requests to 2 to 10 backends that are right, {failed} fail.\n"
    );
}

/// When a sample ends because its shares are wrong for certain; and how rarely it looks so for one that is right.
fn anytime(text: &mut String, runs: u64) {
    const MOST: u64 = 2_000;
    let _ = writeln!(
        text,
        "## How soon\n\nThe sample ends as soon as an e-process is certain, at half the level of the rule: requests until then, {runs} runs each.\n\n\
         | expected | true | median | 95th percentile |\n|---|---|---|---|"
    );
    let even = vec![1.0 / 3.0; 3];
    let canary = vec![0.8, 0.2];
    let wrong: [(&str, &[f64], &str, [f64; 3]); 3] = [
        ("even of 3", &even, "all to one", [1.0, 0.0, 0.0]),
        ("even of 3", &even, "one is not reached", [0.5, 0.5, 0.0]),
        ("80 %, 20 %", &canary, "60 %, 40 %", [0.6, 0.4, 0.0]),
    ];
    for (name, expected, what, truth) in wrong {
        let mut after: Vec<u64> = (1..=runs)
            .map(|seed| {
                let mut counts = vec![0; expected.len()];
                let mut chance = Chance::of(seed);
                let certain = (1..=MOST).find(|_| {
                    counts[place_of(&mut chance, &truth)] += 1;
                    is_certain(ln_e_value(&counts, expected))
                });
                certain.unwrap_or(MOST + 1)
            })
            .collect();
        after.sort_unstable();
        let at = |share: f64| after[(after.len() as f64 * share) as usize];
        let _ = writeln!(text, "| {name} | {what} | {} | {} |", at(0.5), at(0.95));
    }
    let _ = writeln!(
        text,
        "\nOf a balancer that is right the e-value exceeds a number with a probability of one in that number at most, however often one looks \
         (Ville's inequality); {runs} runs of {MOST} requests, looked at after each one.\n\n\
         | shares | over 10 | over 100 | over 1,000 | over 5,000,000: a false alarm |\n|---|---|---|---|---|"
    );
    let right: [(&str, Vec<f64>); 4] = [
        ("even of 3", even.clone()),
        ("80 %, 20 %", canary.clone()),
        ("even of 10", vec![0.1; 10]),
        ("5:1:1", vec![5.0 / 7.0, 1.0 / 7.0, 1.0 / 7.0]),
    ];
    for (name, shares) in right {
        let over = sum(runs, |seed| {
            let mut counts = vec![0; shares.len()];
            let mut chance = Chance::of(seed);
            let highest = (0..MOST).fold(f64::NEG_INFINITY, |highest, _| {
                counts[place_of(&mut chance, &shares)] += 1;
                ln_e_value(&counts, &shares).max(highest)
            });
            [10.0f64, 100.0, 1e3, 5e6].map(|bound| u64::from(highest > bound.ln()))
        });
        let percent = |count: u64| format!("{:.3} %", count as f64 / runs as f64 * 100.0);
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} |",
            percent(over[0]),
            percent(over[1]),
            percent(over[2]),
            over[3]
        );
    }
    text.push('\n');
}

fn place_of(chance: &mut Chance, shares: &[f64]) -> usize {
    let mut left = chance.unit();
    let last = shares.iter().rposition(|share| *share > 0.0).unwrap_or(0);
    shares[..last]
        .iter()
        .position(|share| {
            left -= share;
            left < 0.0
        })
        .unwrap_or(last)
}

fn stickiness(text: &mut String, runs: u64) {
    let count = 1400;
    let [found] = sum(runs, |seed| {
        let mut chance = Chance::of(seed);
        [u64::from((0..count).any(|_| chance.unit() < 1.0 / 200.0))]
    });
    let _ = writeln!(
        text,
        "## Stickiness\n\nClients that are sent elsewhere 1 time in 200 are found among {count} later requests, the fewest that pass, in {:.2} % of \
         {runs} runs; the default sample has forty times as many.\n",
        found as f64 / runs as f64 * 100.0
    );
}

fn names(text: &mut String, runs: u64) {
    let _ = writeln!(
        text,
        "## Names of algorithms\n\nAll experiments and a sample of 20,000 requests through a simulated balancer, {runs} runs each. *Open* are runs in which \
         the report says that it cannot tell the right name from another; *wrong* those in which it gives another name.\n\n\
         | balancer | backends | rotations | named | open | wrong |\n|---|---|---|---|---|---|"
    );
    let cases: [(&str, Picks, usize, usize, Algorithm); 21] = [
        ("round robin", Picks::Turns(vec![1; 3]), 3, 1, Algorithm::RoundRobin),
        ("round robin", Picks::Turns(vec![1; 3]), 3, 4, Algorithm::RoundRobin),
        ("round robin", Picks::Turns(vec![1; 2]), 2, 16, Algorithm::RoundRobin),
        ("permuted blocks", Picks::Permutations, 3, 1, Algorithm::RoundRobin),
        ("smooth 5:1:1", Picks::Turns(vec![5, 1, 1]), 3, 1, Algorithm::WeightedRoundRobin),
        ("blocks 5:1:1", Picks::Blocks(vec![5, 1, 1]), 3, 1, Algorithm::WeightedRoundRobin),
        ("random", Picks::Random(vec![1.0; 3]), 3, 1, Algorithm::Random),
        ("random 5:1:1", Picks::Random(vec![5.0, 1.0, 1.0]), 3, 1, Algorithm::Random),
        ("least connections, in turns", Picks::LeastInTurns, 3, 1, Algorithm::LeastConnections),
        ("least connections, by chance", Picks::LeastByChance, 3, 1, Algorithm::LeastConnections),
        ("least connections, the first", Picks::LeastFirst, 3, 1, Algorithm::LeastConnections),
        ("least connections, 5:1:1", Picks::LeastWeighted(vec![5, 1, 1]), 3, 1, Algorithm::LeastConnections),
        ("least time, in turns", Picks::LeastTime { quick: 20.0 }, 3, 1, Algorithm::LeastTime),
        ("least time, regardless of load", Picks::LeastTime { quick: 0.0 }, 3, 1, Algorithm::LeastTime),
        ("least time, by chance", Picks::Soonest, 3, 1, Algorithm::LeastTime),
        ("two distinct choices", Picks::TwoDistinct, 3, 1, Algorithm::TwoChoices),
        ("two choices with replacement", Picks::TwoWithReplacement, 3, 1, Algorithm::TwoChoices),
        ("source address, ip_hash", Picks::Source { network_only: true }, 3, 2, Algorithm::Source),
        ("URI", Picks::Uri, 2, 1, Algorithm::Uri),
        ("header", Picks::Header("X-User"), 3, 1, Algorithm::Header),
        ("cookie, forgets 1 in 200", Picks::Sticky { forgets: 0.005 }, 3, 1, Algorithm::Sticky),
    ];
    for (name, picks, backends, rotations, kind) in cases {
        let [named, open, wrong] = sum(runs, |seed| {
            let (seen, or) = infer(backends, picks.clone(), rotations, seed);
            let known = seen == Some(kind) && or.is_empty();
            let open = !known && (seen.is_none() || seen == Some(kind) || or.contains(&kind));
            [u64::from(known), u64::from(open), u64::from(!known && !open)]
        });
        let share = |count: u64| format!("{:.2} %", count as f64 / runs as f64 * 100.0);
        let _ = writeln!(text, "| {name} | {backends} | {rotations} | {} | {} | {wrong} |", share(named), share(open));
    }
    text.push('\n');
}

fn infer(backends: usize, picks: Picks, rotations: usize, seed: u64) -> (Option<Algorithm>, Vec<Algorithm>) {
    let mut subject = Simulated::new(backends, picks, rotations, seed);
    let setting = Setting {
        backends: Some(backends),
        can_hold: true,
        is_followed: true,
        budget: Duration::from_secs(6),
        ..Setting::default()
    };
    let mut evidence = experiments::run(&mut subject, &setting);
    let mut chance = Chance::of(seed ^ 77);
    let order: Vec<Backend> = (0..20_000)
        .map(|_| Backend(subject.pick(chance.below(rotations), &ProbeRequest::default()).0 as u16))
        .collect();
    evidence.sample = order;
    let names: Vec<String> = (0..backends).map(|place| (9001 + place).to_string()).collect();
    let inference = evidence.infer(&names);
    (inference.kind, inference.or)
}

/// Where a check goes wrong most easily: slow, unequal, failing backends, requests of others, a starved machine.
fn trouble(text: &mut String, runs: u64) {
    let _ = writeln!(
        text,
        "## Names where something is wrong\n\nThe same experiments, which then go side by side, within 20 s, and a sample of 2,000 requests over 32 connections; {runs} \
         runs over all algorithms above. No run may give a wrong name.\n\n| backends | named | open | wrong |\n|---|---|---|---|"
    );
    type With = fn(&mut Simulated);
    let conditions: [(&str, With); 15] = [
        ("20 ms", |it| it.speed = vec![20.0; 3]),
        ("500 ms", |it| it.speed = vec![500.0; 3]),
        ("20, 100 and 500 ms", |it| it.speed = vec![20.0, 100.0, 500.0]),
        ("50 ms, one request at a time each", |it| {
            it.speed = vec![50.0; 3];
            it.limit = Some(1);
        }),
        ("every 100th request is dropped", |it| it.drops = Some((100, true))),
        ("20 % of the requests are copied", |it| it.copies = 0.2),
        ("50 ms", |it| it.speed = vec![50.0; 3]),
        ("250 ms", |it| it.speed = vec![250.0; 3]),
        ("1 s", |it| it.speed = vec![1000.0; 3]),
        ("10, 100 and 10 ms", |it| it.speed = vec![10.0, 100.0, 10.0]),
        ("one dead, nothing is retried", |it| {
            it.health[1] = SimulatedHealth::Dead;
            it.retries = false;
        }),
        ("one closes 10 % of its connections", |it| it.health[1] = SimulatedHealth::Closes(0.1)),
        ("one closes 10 %, and is left out for 10 s", |it| {
            it.health[1] = SimulatedHealth::Closes(0.1);
            it.fail_timeout = 10_000.0;
        }),
        ("one request of others for each of ours", |it| it.others = 1.0),
        ("100 ms, order disturbed by 30 ms", |it| {
            it.speed = vec![100.0; 3];
            it.jitter = 30.0;
        }),
    ];
    let algorithms: [(Picks, usize, Algorithm); 13] = [
        (Picks::Turns(vec![1; 3]), 1, Algorithm::RoundRobin),
        (Picks::Turns(vec![1; 3]), 4, Algorithm::RoundRobin),
        (Picks::Turns(vec![5, 1, 1]), 1, Algorithm::WeightedRoundRobin),
        (Picks::Random(vec![36.0, 29.0, 35.0]), 1, Algorithm::Random),
        (Picks::LeastInTurns, 1, Algorithm::LeastConnections),
        (Picks::LeastByChance, 1, Algorithm::LeastConnections),
        (Picks::LeastWeighted(vec![5, 1, 1]), 1, Algorithm::LeastConnections),
        (Picks::TwoDistinct, 1, Algorithm::TwoChoices),
        (Picks::Source { network_only: true }, 1, Algorithm::Source),
        (Picks::Uri, 1, Algorithm::Uri),
        (Picks::Body, 1, Algorithm::Body),
        (Picks::Header("X-User"), 1, Algorithm::Header),
        (Picks::Sticky { forgets: 0.0 }, 1, Algorithm::Sticky),
    ];
    for (name, with) in conditions {
        let [named, open, wrong] = sum(runs, |seed| {
            let (picks, rotations, truth) = &algorithms[(seed % algorithms.len() as u64) as usize];
            let (seen, or) = infer_in_trouble(picks.clone(), *rotations, seed, with);
            let known = seen == Some(*truth) && or.is_empty();
            let open = !known && (seen.is_none() || seen == Some(*truth) || or.contains(truth));
            [u64::from(known), u64::from(open), u64::from(!known && !open)]
        });
        let share = |count: u64| format!("{:.2} %", count as f64 / runs as f64 * 100.0);
        let _ = writeln!(text, "| {name} | {} | {} | {wrong} |", share(named), share(open));
    }
    text.push('\n');
}

fn infer_in_trouble(
    picks: Picks,
    rotations: usize,
    seed: u64,
    with: impl Fn(&mut Simulated),
) -> (Option<Algorithm>, Vec<Algorithm>) {
    let mut subject = Simulated::new(3, picks, rotations, seed);
    with(&mut subject);
    let setting = Setting {
        backends: Some(3),
        can_hold: true,
        has_body: true,
        is_followed: true,
        budget: Duration::from_secs(20),
        ..Setting::default()
    };
    let mut evidence = experiments::run(&mut subject, &setting);
    subject.complete(&mut evidence);
    subject.jitter = 0.0;
    let pace = Pace { width: 32, gap: Duration::ZERO, until: Duration::MAX };
    let replies = subject.send_all(&vec![ProbeRequest::default(); 2_000], &pace);
    if !evidence.infer(&[]).kind.is_some_and(Algorithm::pins) {
        evidence.sample = replies.into_iter().filter_map(|reply| reply.pick).map(|pick| pick.backend).collect();
    }
    let inference = evidence.infer(&[]);
    (inference.kind, inference.or)
}

/// From 2 to 1,000 backends, in 20 s of services that take 0.3 ms.
fn sizes(text: &mut String, runs: u64) {
    let _ = writeln!(
        text,
        "## Names with few and with many backends\n\nRound robin, least connections, random, a header and a cookie, {runs} runs each with 2 to 100 backends, \
         a fiftieth of them with 1,000.\n\n| backends | named | open | wrong |\n|---|---|---|---|"
    );
    for backends in [2, 10, 100, 1_000] {
        let algorithms = [
            (Picks::Turns(vec![1; backends]), Algorithm::RoundRobin),
            (Picks::LeastInTurns, Algorithm::LeastConnections),
            (Picks::Random(vec![1.0; backends]), Algorithm::Random),
            (Picks::Header("X-User"), Algorithm::Header),
            (Picks::Sticky { forgets: 0.0 }, Algorithm::Sticky),
        ];
        let runs = if backends == 1_000 { (runs / 50).max(5) } else { runs };
        let [named, open, wrong] = sum(runs, |seed| {
            let (picks, truth) = &algorithms[(seed % algorithms.len() as u64) as usize];
            let (seen, or) = infer(backends, picks.clone(), 1, seed);
            let known = seen == Some(*truth) && or.is_empty();
            let open = !known && (seen.is_none() || seen == Some(*truth) || or.contains(truth));
            [u64::from(known), u64::from(open), u64::from(!known && !open)]
        });
        let share = |count: u64| format!("{:.2} %", count as f64 / runs as f64 * 100.0);
        let _ = writeln!(text, "| {backends} | {} | {} | {wrong} |", share(named), share(open));
    }
    text.push('\n');
}

/// What no right balancer does must not pass for one.
fn run_planted(text: &mut String, runs: u64) {
    let _ = writeln!(
        text,
        "## Planted defects\n\nA selection that no algorithm has, {runs} runs each: how often it passes for one that is named for certain and without breaks.\n\n\
         | defect | passes |\n|---|---|"
    );
    let defects = [
        ("every 97th turn is skipped", Picks::Skips(97)),
        ("ten requests in a row to each backend", Picks::Bursts(10)),
        ("5 to 15 requests in a row, right on average", Picks::UnevenBursts(10)),
    ];
    for (name, picks) in defects {
        let [passes] = sum(runs, |seed| {
            let mut subject = Simulated::new(3, picks.clone(), 1, seed);
            let setting = Setting {
                backends: Some(3),
                can_hold: true,
                is_followed: true,
                budget: Duration::from_secs(6),
                ..Setting::default()
            };
            let evidence = experiments::run(&mut subject, &setting);
            let inference = evidence.infer(&[]);
            [u64::from(inference.certain().is_some() && inference.breaks.is_none())]
        });
        let _ = writeln!(text, "| {name} | {:.2} % |", passes as f64 / runs as f64 * 100.0);
    }
    text.push('\n');
}

/// How fast both ends are joined, and what that takes.
fn account(text: &mut String, quick: bool) {
    let count: u32 = if quick { 100_000 } else { 10_000_000 };
    let (observations, arrivals) = (observations(count), arrivals(count));
    let start = processor_time();
    let ledger = Ledger::join(observations, arrivals, BackendRecords::Kept);
    let tally = Tally::of(&ledger, 0, 0..count);
    let took = processor_time() - start;
    let memory = peak_memory() / 1024.0 / 1024.0;
    let delivered = tally.outcomes[0];
    let _ = writeln!(
        text,
        "## The account\n\n{count} requests, {delivered} of them delivered: joined and counted in {took:.2} s of one core's time, {:.2} s a million; the most memory that this \
         process had meanwhile, both ends together: {memory:.2} GiB.",
        took / f64::from(count) * 1e6
    );
}

fn observations(count: u32) -> Vec<Observation> {
    let mut all = Vec::with_capacity(count as usize);
    all.extend((0..count).map(|sequence| Observation {
        due: Moment(u64::from(sequence) * 10_000),
        ended: Moment(u64::from(sequence) * 10_000 + 500_000),
        response: Uuid::from_u128(u128::from(sequence) * 0x1_0000_0001_0000_0003 + 1),
        waited: 0,
        client: 0,
        backend: Backend((sequence % 3) as u16),
        status: 200,
        outcome: ClientOutcome::Response,
        echo: Echo::Own,
        reused: true,
        flaw: None,
    }));
    all
}

/// In the order in which three journals are read: each in its own order.
fn arrivals(count: u32) -> Vec<Arrival> {
    let mut all = Vec::with_capacity(count as usize);
    for batch in 0..count.div_ceil(3000) {
        for backend in 0..3 {
            let sequences = (batch * 3000..((batch + 1) * 3000).min(count)).filter(|sequence| sequence % 3 == backend);
            all.extend(sequences.map(|sequence| Arrival {
                received: Moment(u64::from(sequence) * 10_000 + 100_000),
                response: Uuid::from_u128(u128::from(sequence) * 0x1_0000_0001_0000_0003 + 1),
                sequence,
                took: 100,
                backend: Backend(backend as u16),
                status: 200,
                end: AttemptEnd::Completed,
                differences: verdict::request::Differences::NONE,
                way: verdict::arrived::WayNumber::default(),
            }));
        }
    }
    all
}

/// Seconds that this thread has run: what else runs on the machine does not count.
fn processor_time() -> f64 {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedule.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).map_or(f64::NAN, |it| it / 1e9)
}

/// The largest resident memory so far, in KiB.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN)
}
