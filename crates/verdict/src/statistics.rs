//! The tests behind the rules, with the sources of their formulas. All probabilities are exact or bounded from above.

use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc_inv;
use statrs::function::gamma::{gamma_lr, gamma_ur, ln_gamma};

/// P(X ≥ x) of a binomial distribution: the regularised incomplete beta function (NIST DLMF 8.17.5).
pub fn binomial_at_least(x: u64, n: u64, p: f64) -> f64 {
    match x {
        0 => 1.0,
        _ if x > n || p <= 0.0 => 0.0,
        _ if p >= 1.0 => 1.0,
        _ => beta_reg(x as f64, (n - x + 1) as f64, p),
    }
}

/// P(X ≤ x) of a binomial distribution.
pub fn binomial_at_most(x: u64, n: u64, p: f64) -> f64 {
    if x >= n { 1.0 } else { binomial_at_least(n - x, n, 1.0 - p) }
}

/// A share that is surely exceeded by the true one of which `x` in `n` were seen: 4 standard deviations below (Wilson's interval, 1927).
pub fn lower_bound(x: u64, n: u64) -> f64 {
    if n == 0 {
        return 0.0;
    }
    let (n, p, z) = (n as f64, x as f64 / n as f64, 4.0);
    let centre = p + z * z / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - spread) / (1.0 + z * z / n)).max(0.0)
}

/// P(χ² ≥ x) with that many degrees of freedom.
pub fn chi_square_at_least(x: f64, freedom: f64) -> f64 {
    if x <= 0.0 { 1.0 } else { gamma_ur(freedom / 2.0, x / 2.0) }
}

/// P(χ² ≤ x) with that many degrees of freedom.
pub fn chi_square_at_most(x: f64, freedom: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { gamma_lr(freedom / 2.0, x / 2.0) }
}

/// The z above which a standard normal value lies with probability `p`.
pub fn normal_quantile(p: f64) -> f64 {
    std::f64::consts::SQRT_2 * erfc_inv(2.0 * p)
}

/// ln of the probability that draws with these probabilities fall exactly so.
pub fn ln_multinomial(counts: &[u64], probabilities: &[f64]) -> f64 {
    let n: u64 = counts.iter().sum();
    let cells = counts.iter().zip(probabilities);
    ln_gamma(n as f64 + 1.0)
        + cells.map(|(count, p)| *count as f64 * p.ln() - ln_gamma(*count as f64 + 1.0)).sum::<f64>()
}

/// Whether counts are draws with given probabilities.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Multinomial {
    /// Pearson's χ² (1900) of the counts.
    pub chi_square: f64,
    /// P(as uneven or more), by χ² or by the worst cell, whichever is smaller, corrected for looking at all of them.
    pub p: f64,
}

/// Two tests at half the level each: Pearson's χ² over all cells, which finds many small deviations, and the exact binomial test of each
/// cell with Bonferroni's correction, which finds a large one and names it. χ² is an approximation: where a cell expects less
/// than 20, only the exact tests speak.
/// A deviation of each share by `margin` is granted; then only the exact tests speak too.
pub fn multinomial(counts: &[u64], probabilities: &[f64], margin: f64) -> Multinomial {
    let n: u64 = counts.iter().sum();
    let expected = |p: &f64| *p * n as f64;
    let cells = || counts.iter().zip(probabilities);
    let chi_square: f64 =
        cells().filter(|(_, p)| **p > 0.0).map(|(c, p)| (*c as f64 - expected(p)).powi(2) / expected(p)).sum();
    let by_cell = |(count, p): (&u64, &f64)| match (*count, *p) {
        (1.., 0.0) => 0.0,
        _ => {
            let (least, most) = ((*p - margin).max(0.0), (*p + margin).min(1.0));
            binomial_at_least(*count, n, most).min(binomial_at_most(*count, n, least))
        }
    };
    let exact = cells().map(by_cell).fold(1.0, f64::min) * 2.0 * counts.len() as f64;
    let approximate = if margin == 0.0 && probabilities.iter().all(|p| *p == 0.0 || expected(p) >= 20.0) {
        chi_square_at_least(chi_square, counts.len() as f64 - 1.0)
    } else {
        1.0
    };
    Multinomial { chi_square, p: (2.0 * exact.min(approximate)).min(1.0) }
}

/// With so high a probability a deviation of the size that is claimed to be detected is detected.
pub const POWER: f64 = 0.999;

/// The smallest deviation of the share of any one cell that [`multinomial`] at that level detects with probability [`POWER`] in `n` draws:
/// the normal approximation to the binomial test of that cell (Fleiss, Statistical Methods for Rates and Proportions, §2.2). In a cell that
/// must get nothing one draw suffices.
pub fn detects(n: u64, probabilities: &[f64], level: f64) -> f64 {
    let in_cell = |p: &f64| match *p {
        p if p >= 1.0 => 0.0,
        p if p <= 0.0 => 1.0 - (1.0 - POWER).powf((n as f64).recip()),
        p => detects_in_cell(n, p, probabilities.len(), level),
    };
    probabilities.iter().map(in_cell).fold(0.0, f64::max)
}

fn detects_in_cell(n: u64, p: f64, cells: usize, level: f64) -> f64 {
    let (alpha, beta) = quantiles(cells, level);
    let sd = |p: f64| (p * (1.0 - p)).max(0.0).sqrt();
    let step = |deviation: f64| (alpha * sd(p) + beta * sd(widest(p, deviation))) / (n as f64).sqrt();
    // The fixed point is where a deviation is just as large as what it can be told from.
    (0..30).fold(step(0.0), |deviation, _| step(deviation)).min(1.0)
}

/// The share that deviates so much and varies most.
fn widest(p: f64, deviation: f64) -> f64 {
    if p < 0.5 { (p + deviation).min(0.5) } else { (p - deviation).max(0.5) }
}

fn quantiles(cells: usize, level: f64) -> (f64, f64) {
    (normal_quantile(level / (4.0 * cells as f64)), normal_quantile(1.0 - POWER))
}

/// How many draws [`multinomial`] at that level needs to detect a deviation of any share by `tolerance` with probability [`POWER`]; a
/// twentieth more than the approximation says, for what it leaves out.
pub fn needs(tolerance: f64, probabilities: &[f64], level: f64) -> u64 {
    let (alpha, beta) = quantiles(probabilities.len(), level);
    let sd = |p: f64| (p * (1.0 - p)).max(0.0).sqrt();
    let in_cell = |p: &f64| match *p {
        p if p >= 1.0 => 0.0,
        p if p <= 0.0 => (1.0 - POWER).ln() / (1.0 - tolerance).ln(),
        p => ((alpha * sd(p) + beta * sd(widest(p, tolerance))) / tolerance).powi(2),
    };
    let n = probabilities.iter().map(in_cell).fold(0.0, f64::max);
    (n * 1.05).ceil() as u64
}

/// ln of an e-process against draws with given probabilities: at no time, however often one looks, does it exceed ln(1/α) with a
/// probability of more than α if the draws are such (Ville's inequality 1939; Robbins 1970; Ramdas, Grünwald, Vovk and Shafer 2023,
/// "Game-theoretic statistics and safe anytime-valid inference"). It is a mixture of three bets, each a
/// martingale of its own: on any other shares alike (Dirichlet, all parameters 1), on nearly twice the share of the smallest, the error that
/// is feared of a canary, and on a cell that gets nothing.
pub fn ln_e_value(counts: &[u64], probabilities: &[f64]) -> f64 {
    if counts.iter().zip(probabilities).any(|(count, p)| *count > 0 && *p <= 0.0) {
        return f64::INFINITY;
    }
    let cells: Vec<(f64, f64)> =
        counts.iter().zip(probabilities).filter(|(_, p)| **p > 0.0).map(|(count, p)| (*count as f64, *p)).collect();
    let (k, n) = (cells.len() as f64, cells.iter().map(|(count, _)| count).sum::<f64>());
    if k < 2.0 {
        return 0.0;
    }
    let null: f64 = cells.iter().map(|(count, p)| count * p.ln()).sum();
    let any = ln_gamma(k) - ln_gamma(k + n) + cells.iter().map(|(count, _)| ln_gamma(count + 1.0)).sum::<f64>() - null;
    let smallest = cells.iter().map(|(_, p)| *p).fold(1.0, f64::min);
    let least: Vec<&(f64, f64)> = cells.iter().filter(|(_, p)| *p == smallest && smallest < 0.5).collect();
    let bets = least.iter().map(|(count, p)| {
        count * FEARED.ln() + (n - count) * ((1.0 - FEARED * p) / (1.0 - p)).ln() - (least.len() as f64).ln()
    });
    let doubled: Vec<f64> = bets.collect();
    let missed = cells.iter().filter(|(count, _)| *count == 0.0).map(|(_, p)| -n * (1.0 - p).ln() - k.ln());
    let missed: Vec<f64> = missed.collect();
    let of_any = if doubled.is_empty() { 1.0 - ON_MISSED } else { 1.0 - ON_MISSED - ON_DOUBLED };
    ln_sum([(of_any, any)].into_iter().chain(of(ON_DOUBLED, &doubled)).chain(of(ON_MISSED, &missed)))
}

/// What is bet on the error of a canary: a multiple of the smallest share. Less than the double that is feared, for what lags behind is found last.
const FEARED: f64 = 1.85;
/// The share of the stake on that.
const ON_DOUBLED: f64 = 0.9;
/// The share of the stake on a cell that gets nothing.
const ON_MISSED: f64 = 0.06;

fn of(stake: f64, bets: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    bets.iter().map(move |bet| (stake, *bet))
}

/// ln of a weighted sum of exponentials.
fn ln_sum(parts: impl Iterator<Item = (f64, f64)>) -> f64 {
    let parts: Vec<(f64, f64)> = parts.collect();
    let most = parts.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    most + parts.iter().map(|(weight, value)| weight * (value - most).exp()).sum::<f64>().ln()
}

/// From where to where a share lies with a probability of 1 − α, whenever one looks: the shares that [`ln_e_value`]'s first bet, on two
/// cells, does not exclude.
pub fn confidence_sequence(x: u64, n: u64, alpha: f64) -> (f64, f64) {
    let limit = -alpha.ln();
    let excluded = |p: f64| {
        let (x, rest) = (x as f64, (n - x) as f64);
        let null = if x > 0.0 { x * p.ln() } else { 0.0 } + if rest > 0.0 { rest * (1.0 - p).ln() } else { 0.0 };
        ln_gamma(x + 1.0) + ln_gamma(rest + 1.0) - ln_gamma(n as f64 + 2.0) - null > limit
    };
    let centre = (x as f64 / n.max(1) as f64).clamp(1e-9, 1.0 - 1e-9);
    let search = |mut inside: f64, mut outside: f64| {
        if !excluded(outside) {
            return outside;
        }
        for _ in 0..50 {
            let middle = f64::midpoint(inside, outside);
            if excluded(middle) { outside = middle } else { inside = middle }
        }
        outside
    };
    (search(centre, 1e-12), search(centre, 1.0 - 1e-12))
}

/// How evenly draws follow each other: the counts in blocks of equal length against those of independent draws.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Dispersion {
    /// P(as even or more) of independent draws.
    pub too_even: f64,
    /// P(as uneven or more) of independent draws.
    pub too_uneven: f64,
    /// The variance that was seen, as a share of that of independent draws.
    pub ratio: f64,
}

/// The index of dispersion (Fisher, Statistical Methods for Research Workers, §19) in its form for several cells: a test of homogeneity of
/// the blocks. None with less than 4 blocks or less than 8 expected of a cell in a block.
pub fn dispersion(blocks: &[Vec<u64>]) -> Option<Dispersion> {
    let cells = blocks.first()?.len();
    let totals: Vec<u64> = (0..cells).map(|cell| blocks.iter().map(|block| block[cell]).sum()).collect();
    let n: u64 = totals.iter().sum();
    let used: Vec<usize> = (0..cells).filter(|cell| totals[*cell] > 0).collect();
    let expected = |cell: usize, block: &[u64]| totals[cell] as f64 / n as f64 * block.iter().sum::<u64>() as f64;
    if blocks.len() < 4 || used.len() < 2 {
        return None;
    }
    if blocks.iter().any(|block| used.iter().any(|cell| expected(*cell, block) < 8.0)) {
        return None;
    }
    let term =
        |cell: usize, block: &Vec<u64>| (block[cell] as f64 - expected(cell, block)).powi(2) / expected(cell, block);
    let chi_square: f64 = blocks.iter().map(|block| used.iter().map(|cell| term(*cell, block)).sum::<f64>()).sum();
    let freedom = ((blocks.len() - 1) * (used.len() - 1)) as f64;
    Some(Dispersion {
        too_even: chi_square_at_most(chi_square, freedom),
        too_uneven: chi_square_at_least(chi_square, freedom),
        ratio: chi_square / freedom,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * b.abs().max(1e-300) * 1e3
    }

    #[test]
    fn tails_are_those_of_the_tables() {
        // 10 coins: P(≥ 9) = 11/1024, P(≤ 1) the same.
        assert!(close(binomial_at_least(9, 10, 0.5), 11.0 / 1024.0));
        assert!(close(binomial_at_most(1, 10, 0.5), 11.0 / 1024.0));
        assert!(close(binomial_at_least(40, 40, 0.1), 1e-40));
        // χ² with 2 degrees of freedom is an exponential distribution.
        assert!(close(chi_square_at_least(30.0, 2.0), (-15.0f64).exp()));
        assert!((normal_quantile(0.025) - 1.959_963_985).abs() < 1e-6);
        assert!((normal_quantile(1e-8) - 5.612_001_244).abs() < 1e-5);
        assert!(close(ln_multinomial(&[1, 1], &[0.5, 0.5]).exp(), 0.5));
    }

    #[test]
    fn a_split_of_52_to_48_is_told_from_even_and_an_even_one_is_not() {
        let even = [0.5, 0.5];
        let n = needs(0.02, &even, 4e-7);
        assert!((40_000..50_000).contains(&n), "{n}");
        assert!((detects(n, &even, 4e-7) - 0.02).abs() < 0.001);
        let share = |p: f64| multinomial(&[(n as f64 * p) as u64, (n as f64 * (1.0 - p)) as u64], &even, 0.0).p;
        assert!(share(0.52) < 1e-12 && share(0.505) > 1e-3);
    }

    #[test]
    fn a_deviation_that_is_granted_does_not_fail_and_twice_that_does() {
        let even = [0.5, 0.5];
        let n = needs(0.04, &even, 4e-7);
        let share = |p: f64| multinomial(&[(n as f64 * p) as u64, (n as f64 * (1.0 - p)) as u64], &even, 0.04).p;
        assert!(share(0.53) > 0.9 && share(0.54) > 0.3 && share(0.58) < 4e-7);
    }

    #[test]
    fn what_should_get_nothing_and_gets_something_is_impossible() {
        assert_eq!(multinomial(&[500, 500, 1], &[0.5, 0.5, 0.0], 0.0).p, 0.0);
    }

    #[test]
    fn nothing_shows_that_a_backend_gets_nothing_but_requests_that_went_elsewhere() {
        let idle = [1.0, 0.0];
        assert_eq!(detects(0, &idle, 4e-7), 1.0);
        let n = needs(0.02, &idle, 4e-7);
        // 0.98^342 is a thousandth.
        assert!((342..400).contains(&n), "{n}");
        assert!(detects(n, &idle, 4e-7) <= 0.02);
    }

    /// Uniform draws from xorshift64*, repeatable by their seed.
    fn draws(mut state: u64) -> impl FnMut() -> f64 {
        state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    #[test]
    fn however_often_one_looks_what_is_right_is_not_accused() {
        for expected in [vec![1.0 / 3.0; 3], vec![0.8, 0.2], vec![0.1; 10], vec![5.0 / 7.0, 1.0 / 7.0, 1.0 / 7.0]] {
            let mut draw = draws(7);
            let mut highest = f64::NEG_INFINITY;
            for _ in 0..60 {
                let mut counts = vec![0; expected.len()];
                for _ in 0..500 {
                    let (mut cell, mut left) = (0, draw());
                    while cell + 1 < expected.len() && left >= expected[cell] {
                        left -= expected[cell];
                        cell += 1;
                    }
                    counts[cell] += 1;
                    highest = highest.max(ln_e_value(&counts, &expected));
                }
            }
            // Of 60 runs none should exceed 1,000, by Ville's inequality with a probability of 94 %.
            assert!(highest < 1000f64.ln(), "{expected:?}: {highest}");
        }
    }

    #[test]
    fn a_share_lies_in_its_confidence_sequence() {
        let (low, high) = confidence_sequence(330, 1000, 1e-3);
        assert!(low < 0.30 && low > 0.25 && high > 0.36 && high < 0.42, "{low} {high}");
        assert_eq!(confidence_sequence(0, 0, 1e-3), (1e-12, 1.0 - 1e-12));
        assert!(confidence_sequence(0, 1000, 1e-3).1 < 0.02);
    }

    #[test]
    fn dispersion_tells_turns_from_chance() {
        let turns = vec![vec![100, 100, 100]; 20];
        assert!(dispersion(&turns).unwrap().too_even < 1e-12);
        let clumps: Vec<Vec<u64>> =
            (0..20).map(|i| if i % 2 == 0 { vec![150, 75, 75] } else { vec![50, 125, 125] }).collect();
        assert!(dispersion(&clumps).unwrap().too_uneven < 1e-12);
        assert_eq!(dispersion(&turns[..3]), None);
    }
}
