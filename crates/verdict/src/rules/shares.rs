//! PURE. The rule of the shares: each backend gets what was expected, tested as its algorithm allows.

use crate::algorithm::Algorithm;
use crate::numbers::grouped;
use crate::observation::Backend;
use crate::outcome::Outcome;
use crate::report::{Finding, Level, Share, Shares, Test};
use crate::rules::{Case, Drill, FALSE_ALARM, Weights, finding};
use crate::statistics::{detects, multinomial};

/// Independent cursors that are granted to round robin before a deviation counts: worker processes times balancers.
const CURSORS: f64 = 64.0;

/// The shares, and whether they are as expected.
pub fn judge(case: &Case) -> (Option<Shares>, Option<Finding>) {
    let pins = case.varied && case.inference.kind.is_some_and(Algorithm::pins);
    let (counts, unit) = match pins {
        true => (&case.tally.pins.by_backend, "clients"),
        false => (&case.tally.firsts, "requests"),
    };
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return (None, None);
    }
    let places = case.names.len().max(counts.len());
    let counts: Vec<u64> = (0..places).map(|place| counts.get(place).copied().unwrap_or(0)).collect();
    let judged = case.expectations.shares.is_some() || promises_even(case);
    let mut shares = Shares {
        rows: Vec::new(),
        expected: expected_in_words(case),
        expected_by: case.expectations.shares_by.clone(),
        unit: unit.to_owned(),
        test: None,
    };
    let expected = case.expectations.shares(&case.names[..case.members]).map(|mut shares| {
        // Backends beyond the fleet are expected to get nothing.
        shares.resize(places, 0.0);
        shares
    });
    let row = |place: usize| Share {
        backend: case.names.get(place).cloned().unwrap_or_else(|| "?".to_owned()),
        count: counts[place],
        share: counts[place] as f64 / total as f64,
        expected: expected.as_ref().ok().filter(|_| judged).map(|expected| expected[place]),
    };
    shares.rows = (0..places).map(row).collect();
    let expected = match expected {
        Ok(expected) => expected,
        Err(why) => return (Some(shares), Some(finding("shares", Level::Inconclusive, why))),
    };
    if case.drill != Drill::None {
        return (Some(shares), None);
    }
    if !judged {
        let why = format!("{}: it promises no shares of {unit}, so they are not judged", case.inference.label);
        shares.expected = "nothing".to_owned();
        return (Some(shares), Some(finding("shares", Level::Note, why)));
    }
    let (test, found) = test(case, &counts, &expected, pins, total);
    shares.test = Some(test);
    (Some(shares), Some(found))
}

fn expected_in_words(case: &Case) -> String {
    let weights = case.expectations.shares.as_ref().unwrap_or(&Weights::Even).to_string();
    match case.expectations.backups.as_slice() {
        [] => weights,
        backups => format!("{weights}, without {}", backups.join(", ")),
    }
}

/// Whether the algorithm itself promises shares: what goes in turns or by chance does.
fn promises_even(case: &Case) -> bool {
    let promises = |kind: Algorithm| !(kind.pins() || kind.follows_load());
    case.inference.kind.is_none_or(promises)
        && case.expectations.algorithm.is_none_or(|kind| promises(kind) && kind != Algorithm::One)
}

fn test(case: &Case, counts: &[u64], expected: &[f64], pins: bool, total: u64) -> (Test, Finding) {
    let turns = !pins && matches!(case.inference.kind, Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin));
    let (mut test, outcome) = match turns {
        true => by_discrepancy(case, counts, expected, total),
        false => by_chance(case, counts, expected, total),
    };
    let share = |count: u64| count as f64 / total as f64 * 100.0;
    let deviation = |place: &usize| (counts[*place] as f64 / total as f64 - expected[*place]).abs();
    let worst = (0..counts.len()).max_by(|a, b| deviation(a).total_cmp(&deviation(b))).unwrap_or(0);
    let told = format!(
        "{} got {:.2} % where {:.2} % were expected",
        case.names.get(worst).map_or("?", String::as_str),
        share(counts[worst]),
        expected[worst] * 100.0
    );
    let disturbed = case.tally.of_fate(Outcome::Retried)
        + case.tally.of_fate(Outcome::Lost)
        + case.tally.of_fate(Outcome::Balancer)
        > 0;
    let outcome = match outcome {
        // Failing backends get less, as they should.
        Level::Fail if disturbed => Level::Inconclusive,
        outcome => outcome,
    };
    let summary = match outcome {
        Level::Fail => format!("shares are not as expected: {told}"),
        Level::Inconclusive if disturbed => format!("{told}; backends failed meanwhile, which moves shares"),
        Level::Inconclusive => format!(
            "too few to say: {} {} detect deviations from {:.1} percentage points on",
            grouped(total),
            if pins { "clients" } else { "requests" },
            test.detects * 100.0
        ),
        Level::Pass | Level::Note => format!(
            "shares are as expected ({}): the largest deviation is {:.2} percentage points",
            expected_in_words(case),
            deviation(&worst) * 100.0
        ),
    };
    let mut found = finding("shares", outcome, summary);
    found.source = Some(test.source.clone());
    if outcome > Level::Pass {
        found.evidence = vec![test.result.clone()];
        found.hint = Some(match outcome {
            Level::Inconclusive if !disturbed => "send more: leave out -n and --duration, and the check sends what --tolerance needs".to_owned(),
            _ if case.inference.kind == Some(Algorithm::WeightedRoundRobin) && case.expectations.shares.is_none() => {
                format!("if these weights are meant, say so: --expect {}", seen_weights(case))
            }
            _ => "compare the weights in the balancer's configuration with what is expected (--expect 5:1:1), and whether all servers are listed once".to_owned(),
        });
    }
    test.detects = test.detects.min(1.0);
    (test, found)
}

/// As the user would write them.
fn seen_weights(case: &Case) -> String {
    let weight = |place: usize| {
        let seen = case.inference.weights.iter().find(|(backend, _)| usize::from(backend.0) == place);
        seen.map_or(0, |(_, weight)| *weight).to_string()
    };
    (0..case.members).map(weight).collect::<Vec<_>>().join(":")
}

/// Round robin is at most one off per cursor, weighted round robin as much as its turns let it be: not a matter of chance.
fn by_discrepancy(case: &Case, counts: &[u64], expected: &[f64], total: u64) -> (Test, Level) {
    let deviation =
        counts.iter().zip(expected).map(|(count, p)| (*count as f64 - p * total as f64).abs()).fold(0.0, f64::max);
    let one = discrepancy(case.inference.turns.as_deref(), &case.inference.weights).max(1.0);
    let seen = f64::from(case.inference.cursors.unwrap_or(1));
    let (near, far) = ((2.0 * seen + 2.0) * one, CURSORS * one);
    let tolerated = case.expectations.tolerance * total as f64;
    let granted = case.expectations.margin * total as f64;
    let (bound, outcome) = match deviation {
        _ if deviation <= near => (
            near,
            if near <= tolerated.max(0.2 * total as f64 / counts.len() as f64) {
                Level::Pass
            } else {
                Level::Inconclusive
            },
        ),
        _ if deviation > far.max(granted) => (far.max(granted), Level::Fail),
        _ if deviation <= granted => (granted, Level::Pass),
        // By chance alone it would be less even: turns are broken.
        _ if multinomial(counts, expected, 0.0).p < FALSE_ALARM => (far, Level::Fail),
        _ => (far, if far <= tolerated { Level::Pass } else { Level::Inconclusive }),
    };
    let test = Test {
        name: "bounded discrepancy".to_owned(),
        result: format!("the largest deviation is {deviation:.1} requests of {}; turns allow {bound:.0}", grouped(total)),
        p: None,
        false_alarm: 0.0,
        detects: bound / total as f64,
        source: "a cursor in turn is never more than its own turns off: nginx ngx_http_upstream_get_peer (smooth weighted round robin)".to_owned(),
    };
    (test, outcome)
}

/// How far a backend can be ahead or behind within the turns, wherever they begin.
fn discrepancy(turns: Option<&[Backend]>, weights: &[(Backend, u32)]) -> f64 {
    let length: u32 = weights.iter().map(|(_, weight)| weight).sum();
    let spread = |(backend, weight): &(Backend, u32)| {
        let share = f64::from(*weight) / f64::from(length);
        let Some(turns) = turns else { return f64::from(*weight) };
        let walk = turns.iter().scan(0.0, |lead, turn| {
            *lead += f64::from(u8::from(turn == backend)) - share;
            Some(*lead)
        });
        let (low, high) = walk.fold((0.0f64, 0.0f64), |(low, high), lead| (low.min(lead), high.max(lead)));
        high - low
    };
    weights.iter().map(spread).fold(0.0, f64::max)
}

fn by_chance(case: &Case, counts: &[u64], expected: &[f64], total: u64) -> (Test, Level) {
    let margin = case.expectations.margin;
    let seen = multinomial(counts, expected, margin);
    let detects = margin + detects(total, expected, FALSE_ALARM);
    let outcome = match seen.p < FALSE_ALARM {
        true => Level::Fail,
        false if detects > case.expectations.tolerance * 1.1 => Level::Inconclusive,
        false => Level::Pass,
    };
    let test = Test {
        name: "multinomial".to_owned(),
        result: format!("χ² = {:.1}, p = {:.2e}; below {FALSE_ALARM:.0e} it fails", seen.chi_square, seen.p),
        p: Some(seen.p),
        false_alarm: FALSE_ALARM,
        detects,
        source: "Pearson's χ², and the exact binomial test of each share with Bonferroni's correction".to_owned(),
    };
    (test, outcome)
}
