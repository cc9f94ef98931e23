//! PURE. What a sequence of backends looks like: turns, blocks, or chance.

use crate::observation::Backend;
use crate::statistics::{Dispersion, dispersion, ln_multinomial};

/// What a sequence looks like.
#[derive(Clone, PartialEq, Debug)]
pub enum Order {
    /// Nothing can be said of so few.
    TooFew,
    /// Always the same backend.
    One(Backend),
    /// The same turns again and again, without an exception.
    Turns(Vec<Backend>),
    /// From a certain place on each block of a length holds each backend as often as the others do: backend, times.
    Blocks(Vec<(Backend, u32)>),
    /// None of these, and much more even than chance: the variance as a share of that of chance.
    Even(f64),
    /// As independent draws would look.
    Chance,
    /// Neither like chance nor surely unlike it: more of it would tell.
    Unclear,
    /// Much less even than chance.
    Clumped,
}

/// A false conclusion from chance alone is less likely than that.
const LEVEL: f64 = 1e-8;
/// What chance would give more often than that looks like chance.
const USUAL: f64 = 1e-4;

impl Order {
    /// Looks at a sequence.
    pub fn of(sequence: &[Backend]) -> Order {
        let Some(&first) = sequence.first() else { return Order::TooFew };
        if sequence.len() < 6 {
            return Order::TooFew;
        }
        if sequence.iter().all(|backend| *backend == first) {
            return Order::One(first);
        }
        let found = turns(sequence).map(Order::Turns).or_else(|| blocks(sequence).map(Order::Blocks));
        found.unwrap_or_else(|| Order::of_counts(&in_blocks(sequence)))
    }

    /// Whether one cursor alone goes round like that: a backend's next turn comes when all others had theirs, as often as they have any. What
    /// several cursors give may repeat too, but its rounds mix.
    pub fn is_of_one_cursor(&self) -> bool {
        match self {
            Order::Blocks(_) => true,
            Order::Turns(turns) => {
                let all = counts(turns);
                let rounds = all.iter().fold(0, |divisor, (_, count)| greatest_common_divisor(divisor, *count));
                let length = turns.len() / rounds as usize;
                let twice = [turns.as_slice(), turns].concat();
                (0..length).any(|offset| {
                    let mut rounds = twice[offset..offset + turns.len()].chunks(length).map(counts);
                    rounds.next().is_some_and(|first| rounds.all(|round| round == first))
                })
            }
            Order::TooFew | Order::One(_) | Order::Even(_) | Order::Chance | Order::Unclear | Order::Clumped => false,
        }
    }

    /// Looks at how evenly blocks of a sequence are filled.
    pub fn of_counts(blocks: &[Vec<u64>]) -> Order {
        match dispersion(blocks) {
            None => Order::TooFew,
            Some(Dispersion { too_even, ratio, .. }) if too_even < LEVEL => Order::Even(ratio),
            Some(Dispersion { too_uneven, .. }) if too_uneven < LEVEL => Order::Clumped,
            Some(Dispersion { too_even, too_uneven, .. }) if too_even.min(too_uneven) < USUAL => Order::Unclear,
            Some(_) => Order::Chance,
        }
    }
}

/// The shortest period that a sequence has, if it goes through it three times at least and chance would not.
fn turns(sequence: &[Backend]) -> Option<Vec<Backend>> {
    let repeats = |period: &usize| sequence.iter().zip(&sequence[*period..]).all(|(a, b)| a == b);
    let period = (2..=sequence.len() / 3).find(repeats)?;
    // Chance gives the most frequent backend again with that probability, each time.
    let shares = counts(sequence);
    let most = *shares.iter().map(|(_, count)| count).max()? as f64 / sequence.len() as f64;
    let by_chance = most.powf((sequence.len() - period) as f64) * period as f64;
    (by_chance < LEVEL).then(|| sequence[..period].to_vec())
}

/// Blocks of the shortest length whose every block from some place on holds the same.
fn blocks(sequence: &[Backend]) -> Option<Vec<(Backend, u32)>> {
    let kinds = counts(sequence).len();
    let mut looked = 0;
    for length in kinds..=sequence.len() / 8 {
        for offset in 0..length {
            looked += 1;
            let mut blocks = sequence[offset..].chunks_exact(length).map(counts);
            let count = (sequence.len() - offset) / length;
            let first = blocks.next()?;
            // Complete blocks of which each is several rounds are what several cursors give now and then.
            if first.len() == kinds && is_one_round(&first) && blocks.all(|block| block == first) {
                let shares: Vec<f64> = first.iter().map(|(_, n)| f64::from(*n) / length as f64).collect();
                let times: Vec<u64> = first.iter().map(|(_, n)| u64::from(*n)).collect();
                let by_chance = ln_multinomial(&times, &shares) * (count - 1) as f64 + f64::from(looked).ln();
                if by_chance < LEVEL.ln() {
                    return Some(first);
                }
            }
        }
    }
    None
}

fn is_one_round(weights: &[(Backend, u32)]) -> bool {
    weights.iter().fold(0, |divisor, (_, weight)| greatest_common_divisor(divisor, *weight)) == 1
}

/// Of two numbers; of 0 and another that other.
pub fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// How often each occurs, by place.
pub fn counts(sequence: &[Backend]) -> Vec<(Backend, u32)> {
    let mut counts: Vec<(Backend, u32)> = Vec::new();
    for backend in sequence {
        match counts.binary_search_by_key(backend, |(known, _)| *known) {
            Ok(place) => counts[place].1 += 1,
            Err(place) => counts.insert(place, (*backend, 1)),
        }
    }
    counts
}

/// A sequence cut into blocks that are long enough to be compared, and how often each backend is in each.
pub fn in_blocks(sequence: &[Backend]) -> Vec<Vec<u64>> {
    let all = counts(sequence);
    let Some(rarest) = all.iter().map(|(_, count)| *count).min() else { return Vec::new() };
    // Twenty of the rarest a block, if there are many; no less than nine.
    let per_block = (f64::from(rarest) / 40.0).clamp(9.0, 1000.0);
    let length = (per_block * sequence.len() as f64 / f64::from(rarest)).ceil() as usize;
    let block = |block: &[Backend]| {
        all.iter().map(|(backend, _)| block.iter().filter(|it| *it == backend).count() as u64).collect()
    };
    sequence.chunks_exact(length).map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(text: &str) -> Vec<Backend> {
        text.bytes().map(|letter| Backend(u16::from(letter - b'a'))).collect()
    }

    #[test]
    fn turns_are_found_with_their_shortest_period() {
        assert_eq!(Order::of(&sequence(&"bca".repeat(20))), Order::Turns(sequence("bca")));
        assert_eq!(Order::of(&sequence(&"aabacaa".repeat(10))), Order::Turns(sequence("aabacaa")));
        assert_eq!(Order::of(&sequence(&"ab".repeat(3))), Order::TooFew);
    }

    #[test]
    fn blocks_in_changing_order_are_found_wherever_they_begin() {
        let blocks = ["abc", "bca", "cab", "acb", "cba", "bac", "abc", "acb", "bca", "cba"];
        let text: String = blocks
            .iter()
            .cycle()
            .take(60)
            .scan(0usize, |turn, block| {
                *turn += 1;
                // Some are turned round, so that there is no period.
                Some(if (*turn).is_multiple_of(7) || turn.is_power_of_two() {
                    block.chars().rev().collect()
                } else {
                    block.to_string()
                })
            })
            .collect();
        let expected = Order::Blocks(vec![(Backend(0), 1), (Backend(1), 1), (Backend(2), 1)]);
        assert_eq!(Order::of(&sequence(&text[2..])), expected);
    }

    #[test]
    fn turns_of_one_cursor_are_complete_rounds() {
        for (turns, is_so) in
            [("abc", true), ("aabacaa", true), ("abcbcacab", true), ("bcabac", true), ("aabbcc", false)]
        {
            assert_eq!(Order::Turns(sequence(turns)).is_of_one_cursor(), is_so, "{turns}");
        }
    }

    #[test]
    fn one_exception_is_no_turn_but_still_even() {
        let mut text = "abc".repeat(100);
        text.insert_str(100, "aa");
        assert!(matches!(Order::of(&sequence(&text)), Order::Even(_)));
    }

    #[test]
    fn draws_look_like_chance() {
        let mut state = 88_172_645_463_325_252u64;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let draws: Vec<Backend> = (0..600).map(|_| Backend((draw() % 3) as u16)).collect();
        assert_eq!(Order::of(&draws), Order::Chance);
        assert_eq!(Order::of(&[Backend(3); 50]), Order::One(Backend(3)));
    }
}
