//! How soon the sample of a check ends because its shares are wrong for certain: exactly, not by simulation.

use verdict::rules::is_certain;
use verdict::statistics::{binomial_at_least, ln_e_value};

/// Draws of which the one cell gets a share and another the rest.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TwoCells {
    /// The cell that gets the share, and the one that gets the rest.
    pub cells: (usize, usize),
    pub share: f64,
}

/// The probability that it is certain after at most 1, 2, … `most` requests that shares are not the expected ones: the sum over all ways that
/// counts can go, each as long as it is not certain.
pub fn certain_by(truth: TwoCells, expected: &[f64], most: usize) -> Vec<f64> {
    let is_out = |requests: usize, there: usize| {
        let mut counts = vec![0; expected.len()];
        counts[truth.cells.0] = there as u64;
        counts[truth.cells.1] = (requests - there) as u64;
        is_certain(ln_e_value(&counts, expected))
    };
    let mut at = vec![1.0];
    let (mut certain, mut by) = (0.0, Vec::with_capacity(most));
    for requests in 1..=most {
        let mut next = vec![0.0; requests + 1];
        for (there, probability) in at.iter().enumerate() {
            next[there + 1] += probability * truth.share;
            next[there] += probability * (1.0 - truth.share);
        }
        for (there, probability) in next.iter_mut().enumerate() {
            // What is less likely than that changes no digit that is shown.
            if *probability > 1e-30 && is_out(requests, there) {
                certain += *probability;
                *probability = 0.0;
            }
        }
        at = next;
        by.push(certain);
    }
    by
}

/// The number of requests by which it is certain with that probability.
pub fn percentile(by: &[f64], probability: f64) -> Option<usize> {
    by.iter().position(|certain| *certain >= probability).map(|place| place + 1)
}

/// The fewest requests by which any test, whether it looks once or after each of them, finds `truth` in place of `expected` with that probability
/// and accuses what is right with `level` at most. Whatever has decided by then is a test of that many requests, and of those none has more power
/// than the likelihood ratio (Neyman and Pearson 1933).
pub fn fewest(truth: f64, expected: f64, level: f64, probability: f64) -> u64 {
    let power = |requests: u64| {
        let critical = (0..=requests).find(|least| binomial_at_least(*least, requests, expected) <= level);
        critical.map_or(0.0, |least| binomial_at_least(least, requests, truth))
    };
    (1..).find(|requests| power(*requests) >= probability).unwrap_or(u64::MAX)
}
