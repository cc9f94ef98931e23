//! How often each algorithm is named, left open, or named wrong, where all is well and where something is wrong.

use std::fmt::Write as _;
use std::time::Duration;

use testbed::simulated::{AmongEquals, Picks, Simulated, SimulatedHealth, Stalls};
use verdict::algorithm::experiments::{self, Pace, ProbeRequest, Setting, Subject};
use verdict::algorithm::{Algorithm, Inference};

use crate::{percent, sum};

/// A simulated balancer whose algorithm is known.
struct Truth {
    name: &'static str,
    make: fn(usize) -> Picks,
    rotations: usize,
    is_blind: bool,
    algorithm: Algorithm,
}

impl Truth {
    const fn of(name: &'static str, make: fn(usize) -> Picks, rotations: usize, algorithm: Algorithm) -> Truth {
        Truth { name, make, rotations, is_blind: false, algorithm }
    }

    /// Workers of which each knows of its own requests alone.
    const fn of_blind_workers(
        name: &'static str,
        make: fn(usize) -> Picks,
        rotations: usize,
        algorithm: Algorithm,
    ) -> Truth {
        Truth { name, make, rotations, is_blind: true, algorithm }
    }

    fn balancer(&self, backends: usize, seed: u64) -> Simulated {
        let mut balancer = Simulated::new(backends, (self.make)(backends), self.rotations, seed);
        balancer.is_apart = self.is_blind;
        balancer
    }
}

fn weights(backends: usize) -> Vec<i64> {
    let mut weights = vec![1; backends];
    weights[0] = 5;
    weights
}

fn even(backends: usize) -> Vec<i64> {
    vec![1; backends]
}

const TRUTHS: &[Truth] = &[
    Truth::of("round robin", |n| Picks::Turns(even(n)), 1, Algorithm::RoundRobin),
    Truth::of("round robin, 4 workers", |n| Picks::Turns(even(n)), 4, Algorithm::RoundRobin),
    Truth::of("round robin, 16 workers", |n| Picks::Turns(even(n)), 16, Algorithm::RoundRobin),
    Truth::of("permuted blocks", |_| Picks::Permutations, 1, Algorithm::RoundRobin),
    Truth::of("smooth 5:1:1", |n| Picks::Turns(weights(n)), 1, Algorithm::WeightedRoundRobin),
    Truth::of(
        "blocks 5:1:1",
        |n| Picks::Blocks(weights(n).into_iter().map(|it| it as u32).collect()),
        1,
        Algorithm::WeightedRoundRobin,
    ),
    Truth::of("random", |n| Picks::Random(vec![1.0; n]), 1, Algorithm::Random),
    Truth::of("random 36:29:35", |_| Picks::Random(vec![36.0, 29.0, 35.0]), 1, Algorithm::Random),
    Truth::of("least conn., in turns", |_| Picks::LeastInTurns, 1, Algorithm::LeastConnections),
    Truth::of("least conn., by chance", |_| Picks::LeastByChance, 1, Algorithm::LeastConnections),
    Truth::of("least conn., the first", |_| Picks::LeastFirst, 1, Algorithm::LeastConnections),
    Truth::of_blind_workers("least conn., 2 workers", |_| Picks::LeastInTurns, 2, Algorithm::LeastConnections),
    Truth::of_blind_workers("least conn., 8 workers", |_| Picks::LeastInTurns, 8, Algorithm::LeastConnections),
    Truth::of_blind_workers("least conn., 16 workers", |_| Picks::LeastInTurns, 16, Algorithm::LeastConnections),
    Truth::of_blind_workers("least conn., 32 workers", |_| Picks::LeastInTurns, 32, Algorithm::LeastConnections),
    Truth::of("least conn. 5:1:1, Envoy", |n| Picks::LeastWeighted(weights(n)), 1, Algorithm::LeastConnections),
    Truth::of(
        "least conn. 5:1:1, NGINX",
        |n| Picks::LeastPerWeight { weights: weights(n), among_equals: AmongEquals::ByWeight },
        1,
        Algorithm::LeastConnections,
    ),
    Truth::of(
        "least conn. 5:1:1, HAProxy",
        |n| Picks::LeastPerWeight { weights: weights(n), among_equals: AmongEquals::InTurn },
        1,
        Algorithm::LeastConnections,
    ),
    Truth::of("least time, in turns", |_| Picks::LeastTime { quick: 20.0 }, 1, Algorithm::LeastTime),
    Truth::of("least time, by chance", |_| Picks::Soonest, 1, Algorithm::LeastTime),
    Truth::of("two distinct choices", |_| Picks::TwoDistinct, 1, Algorithm::TwoChoices),
    Truth::of("two choices", |_| Picks::TwoWithReplacement, 1, Algorithm::TwoChoices),
    Truth::of_blind_workers("two choices, 4 workers", |_| Picks::TwoDistinct, 4, Algorithm::TwoChoices),
    Truth::of_blind_workers("two choices, 8 workers", |_| Picks::TwoDistinct, 8, Algorithm::TwoChoices),
    Truth::of_blind_workers("two choices, 16 workers", |_| Picks::TwoDistinct, 16, Algorithm::TwoChoices),
    Truth::of("ip_hash", |_| Picks::Source { network_only: true }, 2, Algorithm::Source),
    Truth::of("URI", |_| Picks::Uri, 1, Algorithm::Uri),
    Truth::of("body", |_| Picks::Body, 1, Algorithm::Body),
    Truth::of("header", |_| Picks::Header("X-User"), 1, Algorithm::Header),
    Truth::of("sticky", |_| Picks::Sticky { forgets: 0.0 }, 1, Algorithm::Sticky),
];

/// What is around a balancer.
struct Condition {
    name: &'static str,
    with: fn(&mut Simulated),
    rate: Option<f64>,
    /// Requests of the sample.
    sample: usize,
    backends: usize,
    /// How many times as long as another's a run of it takes; as many times fewer are made.
    cost: u64,
}

impl Condition {
    const fn of(name: &'static str, with: fn(&mut Simulated)) -> Condition {
        Condition { name, with, rate: None, sample: 2_000, backends: 3, cost: 1 }
    }
}

/// A request may count as in flight a little longer than its client waits: a thread of the balancer is not scheduled.
const LINGERING: Stalls = Stalls { share: 0.1, mean: 10.0 };
/// A machine on which other programs want each core three times over.
const STARVED: Stalls = Stalls { share: 0.2, mean: 8.0 };

const CONDITIONS: &[Condition] = &[
    Condition::of("all is well", |_| {}),
    Condition::of("starved CPU", |it| it.stalls = Some(STARVED)),
    Condition::of("starved CPU, in flight a little longer", |it| {
        it.stalls = Some(STARVED);
        it.lingers = Some(LINGERING);
    }),
    Condition {
        rate: Some(300.0),
        cost: 2,
        ..Condition::of("starved CPU, --rate 300", |it| it.stalls = Some(STARVED))
    },
    Condition::of("20 ms", |it| it.speed = vec![20.0; it.backends]),
    Condition::of("20 ms, starved CPU", |it| {
        it.speed = vec![20.0; it.backends];
        it.stalls = Some(STARVED);
    }),
    Condition { cost: 4, ..Condition::of("50 ms", |it| it.speed = vec![50.0; it.backends]) },
    Condition {
        cost: 4,
        ..Condition::of("100 ms, order disturbed by 30 ms", |it| {
            it.speed = vec![100.0; it.backends];
            it.jitter = 30.0;
        })
    },
    Condition { cost: 2, ..Condition::of("250 ms", |it| it.speed = vec![250.0; it.backends]) },
    Condition { cost: 2, ..Condition::of("500 ms", |it| it.speed = vec![500.0; it.backends]) },
    Condition { cost: 2, ..Condition::of("1,000 ms", |it| it.speed = vec![1_000.0; it.backends]) },
    Condition::of("0.3, 100 and 10 ms", |it| it.speed = vec![0.3, 100.0, 10.0]),
    Condition::of("10, 100 and 10 ms", |it| it.speed = vec![10.0, 100.0, 10.0]),
    Condition { cost: 2, ..Condition::of("20, 100 and 500 ms", |it| it.speed = vec![20.0, 100.0, 500.0]) },
    Condition::of("50 ms, one request at a time each", |it| {
        it.speed = vec![50.0; it.backends];
        it.limit = Some(1);
    }),
    Condition::of("one dead, nothing is retried", |it| {
        it.health[1] = SimulatedHealth::Dead;
        it.retries = false;
    }),
    Condition::of("one dead, out for 10 s", |it| {
        it.health[1] = SimulatedHealth::Dead;
        it.fail_timeout = 10_000.0;
    }),
    Condition::of("one closes 10 % of its connections", |it| it.health[1] = SimulatedHealth::Closes(0.1)),
    Condition::of("one closes 10 %, and is left out for 10 s", |it| {
        it.health[1] = SimulatedHealth::Closes(0.1);
        it.fail_timeout = 10_000.0;
    }),
    Condition::of("one paused, given up after 100 ms, out for 10 s", |it| {
        it.health[1] = SimulatedHealth::Paused(100.0);
        it.fail_timeout = 10_000.0;
    }),
    Condition::of("one ejected", |it| it.out_until[1] = f64::INFINITY),
    Condition::of("one request of others for each of ours", |it| it.others = 1.0),
    Condition::of("one of others for 50 of ours", |it| it.others = 0.02),
    Condition::of("every 100th request is dropped", |it| it.drops = Some((100, true))),
    Condition::of("20 % of the requests are copied", |it| it.copies = 0.2),
    Condition { sample: 30, ..Condition::of("a sample of 30", |_| {}) },
    Condition { sample: 300, ..Condition::of("a sample of 300", |_| {}) },
    Condition {
        sample: 20_000,
        cost: 2,
        ..Condition::of("20 ms, a sample of 20,000", |it| it.speed = vec![20.0; it.backends])
    },
    Condition { backends: 2, ..Condition::of("2 backends", |_| {}) },
    Condition { backends: 10, cost: 3, ..Condition::of("10 backends", |_| {}) },
    Condition { backends: 100, cost: 10, ..Condition::of("100 backends", |_| {}) },
    Condition { backends: 1_000, cost: 200, ..Condition::of("1,000 backends", |_| {}) },
];

/// What becomes of the name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Naming {
    Named,
    Open,
    Wrong,
}

impl Naming {
    fn of(seen: &Inference, truth: Algorithm) -> Naming {
        if seen.evidence.iter().any(|experiment| experiment.excludes.contains(&truth)) {
            Naming::Wrong
        } else if seen.certain() == Some(truth) {
            Naming::Named
        } else if seen.kind.is_none() && !seen.excludes_others || seen.candidates().contains(&truth) {
            Naming::Open
        } else {
            Naming::Wrong
        }
    }
}

fn infer(truth: &Truth, condition: &Condition, seed: u64) -> Inference {
    let mut subject = truth.balancer(condition.backends, seed);
    (condition.with)(&mut subject);
    let setting = Setting {
        backends: Some(condition.backends),
        can_hold: true,
        has_body: true,
        is_followed: true,
        rate: condition.rate,
        budget: Duration::from_secs(20),
        ..Setting::default()
    };
    let mut evidence = experiments::run(&mut subject, &setting);
    subject.complete(&mut evidence);
    subject.jitter = 0.0;
    let pace = Pace { width: 32, gap: Duration::ZERO, until: Duration::MAX };
    let replies = subject.send_all(&vec![ProbeRequest::default(); condition.sample], &pace);
    // As a check, which varies in its sample what pins: nothing pins but what a key or a cookie decides.
    let may_pin = evidence.jar.is_some() || evidence.keys.iter().any(|(_, trial)| trial.decides());
    if may_pin {
        let inference = evidence.infer(&[]);
        if inference.kind.is_some_and(Algorithm::pins) {
            return inference;
        }
    }
    subject.add_sample(&mut evidence, replies);
    evidence.infer(&[])
}

/// Whether there is such a balancer of that number of backends.
fn exists(truth: &Truth, condition: &Condition) -> bool {
    let is_of_three = truth.name.contains("36:29:35");
    let by_weight = truth.name.contains(":1:1") && condition.backends > 10;
    let is_slow_to_simulate = condition.backends == 1_000
        && !matches!(truth.name, "round robin" | "header" | "sticky" | "ip_hash" | "random" | "least conn., in turns");
    (condition.backends == 3 || !(is_of_three || by_weight)) && !is_slow_to_simulate
}

/// What became of the names of one balancer under one condition.
struct Cell {
    runs: u64,
    named: u64,
    wrong: u64,
}

/// Each balancer under each condition, as far as `wanted` says so of the name of the row: under a condition the runs are shared out to all.
pub(crate) fn write(text: &mut String, runs: u64, wanted: impl Fn(&str) -> bool, show: Option<&str>) {
    let _ = writeln!(text, "{}", introduction());
    let mut all = Cell { runs: 0, named: 0, wrong: 0 };
    for condition in CONDITIONS {
        let truths: Vec<&Truth> = TRUTHS.iter().filter(|truth| exists(truth, condition)).collect();
        let each = runs.div_ceil(truths.len() as u64 * condition.cost);
        let row = |truth: &&Truth| wanted(&format!("{} | {}", condition.name, truth.name));
        let cells: Vec<(&str, Cell)> =
            truths.into_iter().filter(row).map(|truth| (truth.name, measure(truth, condition, each, show))).collect();
        if cells.is_empty() {
            continue;
        }
        let sum = |of: fn(&Cell) -> u64| cells.iter().map(|(_, cell)| of(cell)).sum::<u64>();
        let total = Cell { runs: sum(|it| it.runs), named: sum(|it| it.named), wrong: sum(|it| it.wrong) };
        let always = cells.iter().filter(|(_, cell)| cell.named == cell.runs).count();
        let others = cells.iter().filter(|(_, cell)| cell.named < cell.runs);
        let others: Vec<String> = others.map(|(name, cell)| format!("{name} {}", share(cell))).collect();
        let row = format!(
            "| {} | {} | {} | {} | {always} of {} | {} |",
            condition.name,
            total.runs,
            percent(total.named, total.runs),
            total.wrong,
            cells.len(),
            others.join("; ")
        );
        let _ = writeln!(text, "{row}");
        // Long as it is: what is finished is seen.
        eprintln!("{row}");
        (all.runs, all.named, all.wrong) = (all.runs + total.runs, all.named + total.named, all.wrong + total.wrong);
    }
    let _ = writeln!(text, "\n{} runs, {} of them with a wrong name.\n", all.runs, all.wrong);
}

fn introduction() -> String {
    let balancers = TRUTHS.len();
    format!(
        "\
## Names of algorithms

All experiments within 20 s, and a sample of 2,000 requests over 32 connections, through {balancers} simulated balancers under each condition: \
three backends that take 0.3 ms where nothing else is said. A name is *open* where the report says that it cannot tell it from another, and *wrong* where \
it gives another, or where an experiment excludes the right one; no run may. *Workers* have a rotation each, and those of least connections and of two choices know of their own requests alone, as \
NGINX's do without a `zone`. On a starved CPU each step of a request (to the balancer, to the backend, back) waits 8 ms on average in one of five cases. \
Random is named from a sample of 10,000 requests on, which most checks have by default: in a shorter one the two choices of workers that are blind for each other look the same.

| condition | runs | named | wrong | always named | share that is named, of all others |
|---|---|---|---|---|---|"
    )
}

fn share(cell: &Cell) -> String {
    format!("{:.0} %", (cell.named as f64 / cell.runs as f64 * 100.0).floor())
}

fn measure(truth: &Truth, condition: &Condition, runs: u64, show: Option<&str>) -> Cell {
    let [named, wrong] = sum(runs, |seed| {
        let seen = infer(truth, condition, seed);
        let naming = Naming::of(&seen, truth.algorithm);
        if show.is_some_and(|show| format!("{naming:?}").eq_ignore_ascii_case(show)) {
            eprintln!("{} | {} {seed}: {seen:#?}", condition.name, truth.name);
        }
        [u64::from(naming == Naming::Named), u64::from(naming == Naming::Wrong)]
    });
    Cell { runs, named, wrong }
}
