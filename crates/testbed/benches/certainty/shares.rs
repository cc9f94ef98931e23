//! Shares and stickiness: how often what is right fails, how surely and how soon what is wrong does.

use std::fmt::Write as _;

use testbed::passage::{TwoCells, certain_by, fewest, percentile};
use testbed::simulated::Chance;
use verdict::rules::FALSE_ALARM;
use verdict::statistics::{POWER, ln_e_value, multinomial, needs};

use crate::{percent, sum};

pub(crate) fn write(text: &mut String, runs: u64) {
    shares(text, runs);
    how_soon(text);
    right_at_any_time(text, runs / 10);
    stickiness(text, runs);
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

/// When a sample ends because its shares are wrong for certain.
fn how_soon(text: &mut String) {
    text.push_str(
        "## How soon\n\nThe sample ends as soon as an e-process is certain, at half the level of the rule: requests until then, exactly (the sum over all ways that \
         counts can go).\n\n| expected | true | median | 95th percentile |\n|---|---|---|---|\n",
    );
    let even: &[f64] = &[1.0 / 3.0; 3];
    let wrong = [
        ("even of 3", even, "all to one", TwoCells { cells: (0, 1), share: 1.0 }),
        ("even of 3", even, "one is not reached", TwoCells { cells: (0, 1), share: 0.5 }),
        ("80 %, 20 %", &[0.8, 0.2], "60 %, 40 %", TwoCells { cells: (0, 1), share: 0.6 }),
    ];
    for (expected, shares, what, truth) in wrong {
        let by = certain_by(truth, shares, 600);
        let at =
            |probability| percentile(&by, probability).map_or("over 600".to_owned(), |requests| requests.to_string());
        let _ = writeln!(text, "| {expected} | {what} | {} | {} |", at(0.5), at(0.95));
    }
    let divergence = 0.4 * (0.4f64 / 0.2).ln() + 0.6 * (0.6f64 / 0.8).ln();
    let level = FALSE_ALARM / 2.0;
    let _ = writeln!(
        text,
        "\nFor the canary no test can do much better. One request tells {divergence:.3} nats on average (the divergence of Kullback and Leibler of 40 % from \
         20 %), so that a sequential test of level {level:.0e} needs {:.0} requests on average at the least (Wald 1945); and none, sequential or not, finds it with 95 % \
         by fewer than {} requests (Neyman and Pearson 1933).\n",
        -level.ln() / divergence,
        fewest(0.4, 0.2, level, 0.95),
    );
}

/// How rarely shares that are right look wrong, however often one looks.
fn right_at_any_time(text: &mut String, runs: u64) {
    const MOST: u64 = 2_000;
    let exactly = certain_by(TwoCells { cells: (0, 1), share: 0.8 }, &[0.8, 0.2], MOST as usize);
    let _ = writeln!(
        text,
        "\nOf a balancer that is right the e-value exceeds a number with a probability of one in that number at most, however often one looks \
         (Ville's inequality); {runs} runs of {MOST} requests, looked at after each one.\n\n\
         | shares | over 10 | over 100 | over 1,000 | over 5,000,000: a false alarm |\n|---|---|---|---|---|"
    );
    let right: [(&str, Vec<f64>); 4] = [
        ("even of 3", vec![1.0 / 3.0; 3]),
        ("80 %, 20 %", vec![0.8, 0.2]),
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
        let [ten, hundred, thousand, alarms] = over;
        let [ten, hundred, thousand] = [ten, hundred, thousand].map(|count| percent(count, runs));
        let _ = writeln!(text, "| {name} | {ten} | {hundred} | {thousand} | {alarms} |");
    }
    let alarm = exactly.last().copied().unwrap_or(0.0);
    let _ = writeln!(
        text,
        "\nFor 80 %, 20 % the probability of a false alarm within {MOST} requests is {alarm:.1e} exactly.\n"
    );
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
