//! What a sequence of backends looks like: turns, blocks, or chance.

use crate::observation::Backend;
use crate::statistics::{Dispersion, binomial_at_least, chi_square_at_most, dispersion, ln_multinomial};

/// What a sequence looks like.
#[derive(Clone, PartialEq, Debug)]
pub enum OrderPattern {
    /// Nothing can be said of so few.
    TooFew,
    /// Always the same backend.
    One(Backend),
    /// The same round repeats again and again.
    Turns {
        /// One round of the order that repeats.
        period: Vec<Backend>,
        /// How often it was left, and taken up again at another place.
        exceptions: usize,
    },
    /// From a certain place on each block of a length holds each backend as often as the others do: backend, times.
    Blocks(Vec<(Backend, u32)>),
    /// None of these, and much more even than chance: the variance as a share of that of chance.
    Even(f64),
    /// It looks as independent draws would.
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

impl OrderPattern {
    /// Looks at a sequence.
    pub fn of(sequence: &[Backend]) -> OrderPattern {
        let Some(&first) = sequence.first() else { return OrderPattern::TooFew };
        if sequence.len() < 6 {
            return OrderPattern::TooFew;
        }
        if sequence.iter().all(|backend| *backend == first) {
            return OrderPattern::One(first);
        }
        let found = turns(sequence, Exceptions::Few).or_else(|| blocks(sequence).map(OrderPattern::Blocks));
        found.unwrap_or_else(|| OrderPattern::of_counts(&in_blocks(sequence)))
    }

    /// Whether one rotation alone goes round like that: a backend's next turn comes when all others had theirs, as often as they have any. What
    /// several rotations give may repeat too, but its rounds mix.
    pub fn is_of_one_rotation(&self) -> bool {
        match self {
            OrderPattern::Blocks(_) => true,
            OrderPattern::Turns { period: turns, .. } => {
                let all = counts(turns);
                // Caddy gives each backend its weight in turns at once.
                if are_in_a_row(turns) && all.iter().any(|(_, count)| *count != all[0].1) {
                    return true;
                }
                let rounds = all.iter().fold(0, |divisor, (_, count)| greatest_common_divisor(divisor, *count));
                let length = turns.len() / rounds as usize;
                let twice = [turns.as_slice(), turns].concat();
                (0..length).any(|offset| {
                    let mut rounds = twice[offset..offset + turns.len()].chunks(length).map(counts);
                    rounds.next().is_some_and(|first| rounds.all(|round| round == first))
                })
            }
            OrderPattern::TooFew
            | OrderPattern::One(_)
            | OrderPattern::Even(_)
            | OrderPattern::Chance
            | OrderPattern::Unclear
            | OrderPattern::Clumped => false,
        }
    }

    /// How many rotations of the same backends give these turns if each is asked in turn, as balancers behind a balancer are; None if no
    /// few of them do.
    pub(super) fn interleaved(&self) -> Option<usize> {
        const MOST: usize = 4;
        let OrderPattern::Turns { period, exceptions: 0 } = self else { return None };
        let all = counts(period);
        let is_rotation = |turns: Vec<Backend>| {
            let own = counts(&turns).into_iter().map(|(_, count)| count * (period.len() / turns.len()) as u32);
            own.eq(all.iter().map(|(_, count)| *count))
                && OrderPattern::Turns { period: turns, exceptions: 0 }.is_of_one_rotation()
        };
        let each_of = |rotations: usize| {
            (0..rotations).all(|first| is_rotation(period.iter().copied().skip(first).step_by(rotations).collect()))
        };
        (2..=MOST).filter(|rotations| period.len().is_multiple_of(*rotations)).find(|rotations| each_of(*rotations))
    }

    /// Looks at how evenly blocks of a sequence are filled.
    pub fn of_counts(blocks: &[Vec<u64>]) -> OrderPattern {
        match dispersion(blocks) {
            None => OrderPattern::TooFew,
            Some(Dispersion { too_even, ratio, .. }) if too_even < LEVEL => OrderPattern::Even(ratio),
            Some(Dispersion { too_uneven, .. }) if too_uneven < LEVEL => OrderPattern::Clumped,
            Some(Dispersion { too_even, too_uneven, .. }) if too_even.min(too_uneven) < USUAL => OrderPattern::Unclear,
            Some(_) => OrderPattern::Chance,
        }
    }
}

/// One rotation that is left again and again. What several give whose turns mix agrees with itself a round later no more often than chance.
pub(super) fn loose_rotation(sequence: &[Backend]) -> Option<OrderPattern> {
    let head = &sequence[..sequence.len().min(LOOKED_AT)];
    (head.len() >= 60).then(|| turns(head, Exceptions::Many))?.filter(OrderPattern::is_of_one_rotation)
}

/// Looks at how evenly a sequence is filled in short blocks, and in longer ones: a rotation whose requests overtake each other is even in the
/// long run alone.
pub(crate) fn evenness(sequence: &[Backend]) -> OrderPattern {
    let blocks = in_blocks(sequence);
    let joined = |length: usize| -> Vec<Vec<u64>> {
        let sum =
            |some: &[Vec<u64>]| (0..some[0].len()).map(|place| some.iter().map(|block| block[place]).sum()).collect();
        blocks.chunks_exact(length).map(sum).collect()
    };
    let longer = [4, 16].into_iter().map(|length| OrderPattern::of_counts(&joined(length)));
    let even = longer.into_iter().find(|order| matches!(order, OrderPattern::Even(_)));
    even.unwrap_or_else(|| OrderPattern::of_counts(&blocks))
}

/// Whether equal draws would hardly ever come so near to equal shares.
pub(super) fn is_too_even(sequence: &[Backend]) -> bool {
    let seen = counts(sequence);
    let mean = sequence.len() as f64 / seen.len().max(1) as f64;
    let chi_square: f64 = seen.iter().map(|(_, count)| (f64::from(*count) - mean).powi(2) / mean).sum();
    seen.len() > 1 && chi_square_at_most(chi_square, (seen.len() - 1) as f64) < TOO_EVEN
}

/// How far the backend that is farthest is from an even share, and that share, in requests.
pub(super) fn unevenness(sequence: &[Backend]) -> (f64, f64) {
    let seen = counts(sequence);
    let known = || seen.iter().filter(|(backend, _)| backend.is_known()).map(|(_, count)| f64::from(*count));
    let mean = known().sum::<f64>() / known().count().max(1) as f64;
    (known().map(|count| (count - mean).abs()).fold(0.0, f64::max), mean)
}

/// Of a thousand draws one looks like that, and is not named.
const TOO_EVEN: f64 = 1e-3;

/// The shortest period that a sequence has, if it goes through it three times at least and chance would not. A few exceptions are granted:
/// a backend that was left out for a while, or somebody else's request, after which the turns go on.
///
/// `exceptions`: how many more.
fn turns(sequence: &[Backend], exceptions: Exceptions) -> Option<OrderPattern> {
    let shares = counts(sequence);
    // Chance gives the most frequent backend again with that probability, each time.
    let most = f64::from(shares.iter().map(|(_, count)| *count).max()?) / sequence.len() as f64;
    let agreeing = |period: usize| sequence.iter().zip(&sequence[period..]).filter(|(a, b)| a == b).count();
    if let Some(period) = repeating(sequence) {
        return (sequence.len() >= needed_to_repeat(period))
            .then(|| OrderPattern::Turns { period: period.to_vec(), exceptions: 0 });
    }
    let nearly = |period: &usize| {
        let (compared, agreed) = (sequence.len() - period, agreeing(*period));
        agreed as f64 >= compared as f64 * exceptions.least_agreeing()
            && binomial_at_least(agreed as u64, compared as u64, most) * (*period as f64) < LEVEL
    };
    let length = (2..=(sequence.len() / 3).min(exceptions.longest())).find(nearly)?;
    // The round that is seen most often, wherever it begins.
    let rounds = sequence.windows(2 * length).filter(|two| two[..length] == two[length..]).map(|two| {
        let round = &two[..length];
        (0..length).map(|start| [&round[start..], &round[..start]].concat()).min().unwrap_or_default()
    });
    let mut seen: Vec<(Vec<Backend>, usize)> = Vec::new();
    for round in rounds {
        match seen.iter_mut().find(|(known, _)| *known == round) {
            Some((_, times)) => *times += 1,
            None => seen.push((round, 1)),
        }
    }
    let (period, _) = seen.into_iter().max_by_key(|(_, times)| *times)?;
    if counts(&period).len() < 2 {
        return None;
    }
    Some(OrderPattern::Turns { exceptions: self::exceptions(sequence, &period).len(), period })
}

/// Whether each backend has all of its turns of a round in a row, and some have several.
pub(super) fn are_in_a_row(period: &[Backend]) -> bool {
    let kinds = counts(period).len();
    let next = period.iter().cycle().skip(1);
    kinds < period.len() && period.iter().zip(next).filter(|(turn, next)| turn != next).count() == kinds
}

/// The period of which a sequence of several backends is nothing but repetitions, three at the least.
pub(super) fn repeating(sequence: &[Backend]) -> Option<&[Backend]> {
    let is_of_several = sequence.iter().any(|backend| *backend != sequence[0]);
    let repeats = |period: &usize| sequence.iter().zip(&sequence[*period..]).all(|(one, next)| one == next);
    (2..=sequence.len() / 3).find(repeats).filter(|_| is_of_several).map(|period| &sequence[..period])
}

/// How many requests more show that what repeats so far is no chance: a backend may have its turn but once in many requests.
pub(super) fn lacking_to_repeat(sequence: &[Backend]) -> usize {
    repeating(sequence).map_or(0, |period| needed_to_repeat(period).saturating_sub(sequence.len()))
}

/// The length of a sequence of nothing but this period that independent draws would hardly ever give, whatever their shares: those of the
/// period make it most likely. Against them stands a rotation of which nothing is known but the backends and the length, and each length counts.
pub(super) fn needed_to_repeat(period: &[Backend]) -> usize {
    let length = period.len() as f64;
    let shares = counts(period);
    // What each request tells, and what the first round has to tell of the rotation.
    let each: f64 = shares.iter().map(|(_, count)| f64::from(*count) / length).map(|share| -share * share.ln()).sum();
    let rotation = length * (shares.len() as f64).ln() + length.ln() - LEVEL.ln();
    (rotation / each).ceil() as usize + period.len()
}

/// How often a rotation may be left.
#[derive(Clone, Copy)]
enum Exceptions {
    Few,
    Many,
}

impl Exceptions {
    /// The share of requests that go where one went a round before, at least.
    fn least_agreeing(self) -> f64 {
        match self {
            Exceptions::Few => 0.85,
            Exceptions::Many => 0.6,
        }
    }

    /// A longer period is not looked for.
    fn longest(self) -> usize {
        match self {
            Exceptions::Few => 128,
            Exceptions::Many => 32,
        }
    }
}

/// Of a longer sequence the beginning shows whether it is a rotation that is often left.
const LOOKED_AT: usize = 600;

/// Where a sequence leaves its turns: after each exception it is followed again from the place where most of the next round fits.
pub fn exceptions(sequence: &[Backend], period: &[Backend]) -> Vec<usize> {
    let length = period.len();
    let mut places: Vec<(Backend, usize)> = period.iter().enumerate().map(|(place, turn)| (*turn, place)).collect();
    places.sort_unstable();
    // Each of the next requests speaks for the places from which the turns would come to it: periods may be long.
    let best = |at: usize| {
        let mut fits = vec![0u32; length];
        for (step, backend) in sequence[at..].iter().take(length).enumerate() {
            let first = places.partition_point(|(turn, _)| turn < backend);
            let its = places[first..].iter().take_while(|(turn, _)| turn == backend);
            its.for_each(|(_, place)| fits[(place + length - step) % length] += 1);
        }
        (0..length).max_by_key(|place| fits[*place]).unwrap_or(0)
    };
    let (mut left, mut at, mut place) = (Vec::new(), 0, best(0));
    while at < sequence.len() {
        if sequence[at] != period[place] {
            left.push(at);
            let moved = best(at);
            place =
                if sequence[at] == period[moved] { moved } else { best((at + 1).min(sequence.len() - 1)) + length - 1 };
        }
        at += 1;
        place = (place + 1) % length;
    }
    left
}

/// The steps between places, if they are all the same but for one.
pub fn regular(places: &[usize]) -> Option<usize> {
    let steps = || places.windows(2).map(|pair| pair[1] - pair[0]);
    let (least, most) = (steps().min()?, steps().max()?);
    // One in passing is no rule, and a step of a round or two is none either.
    let is_regular = places.len() >= 4 && most - least <= 1 && least >= 8;
    let mostly = if steps().filter(|step| *step == most).count() * 2 >= places.len() - 1 { most } else { least };
    is_regular.then_some(mostly)
}

/// Whether the same backend comes again, at once or a few requests later, more often than independent draws would give it: in bursts.
pub fn is_clumped(sequence: &[Backend]) -> bool {
    recurrence(sequence) == Some(Recurrence::Bursts)
}

/// How a backend comes again where draws would not give that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Recurrence {
    Bursts,
    /// Others have their turn first, as where some requests of a rotation go elsewhere by chance.
    AfterOthers,
}

/// None where the same backend is at no distance more frequent than draws would give it.
pub(super) fn recurrence(sequence: &[Backend]) -> Option<Recurrence> {
    const LAGS: usize = 4;
    let n = sequence.len() as f64;
    let shares: Vec<f64> = counts(sequence).into_iter().map(|(_, count)| f64::from(count) / n).collect();
    if sequence.len() < 60 || shares.iter().any(|share| share * n < 8.0) {
        return None;
    }
    let power = |exponent: i32| shares.iter().map(|share| share.powi(exponent)).sum::<f64>();
    let (same, thrice) = (power(2), power(3));
    // Pairs that have a request in common are not independent unless shares are even.
    let variance = same * (1.0 - same) + 2.0 * (thrice - same * same);
    let beyond = |lag: usize| {
        let pairs = n - lag as f64;
        let again = sequence.iter().zip(&sequence[lag..]).filter(|(a, b)| a == b).count() as f64;
        (again - same * pairs) / (variance * pairs).sqrt()
    };
    let mut unlike = (1..=LAGS.min(sequence.len() / 8)).map(beyond).filter(|beyond| beyond.abs() > 6.5).peekable();
    let is_rare_at_first = unlike.peek().is_some_and(|first| *first < 0.0);
    unlike.any(|beyond| beyond > 0.0).then_some(if is_rare_at_first {
        Recurrence::AfterOthers
    } else {
        Recurrence::Bursts
    })
}

/// Blocks of the shortest length whose every block from some place on holds the same.
fn blocks(sequence: &[Backend]) -> Option<Vec<(Backend, u32)>> {
    let all = counts(sequence);
    let kinds = all.len();
    let place = |backend: &Backend| all.binary_search_by_key(backend, |(known, _)| *known).unwrap_or_default();
    let places: Vec<usize> = sequence.iter().map(place).collect();
    let evens = Evens::of(&places);
    let mut looked = 0;
    for length in kinds..=sequence.len() / 8 {
        let mut pair = AdjacentBlocks::of(&places, kinds, length);
        for offset in 0..length {
            looked += 1;
            if offset > 0 {
                pair.advance();
            }
            // Of most lengths and places the first two blocks differ already, of nearly all others one of those that follow.
            if pair.differing > 0 || !evens.are_alike(offset, length) {
                continue;
            }
            let mut blocks = sequence[offset..].chunks_exact(length).map(counts);
            let count = (sequence.len() - offset) / length;
            let first = blocks.next()?;
            // Complete blocks of which each is several rounds are what several rotations give now and then.
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

/// How often the first of the backends comes before each place of a sequence: all that is to be known of two backends, and enough of more to
/// tell most blocks apart at once.
struct Evens(Vec<u32>);

impl Evens {
    fn of(places: &[usize]) -> Evens {
        let mut before = 0;
        let sums = places.iter().map(|place| {
            before += u32::from(*place == 0);
            before
        });
        Evens(std::iter::once(0).chain(sums).collect())
    }

    /// Whether it comes as often in each of the blocks from there on.
    fn are_alike(&self, offset: usize, length: usize) -> bool {
        let mut ends = self.0[offset..].iter().step_by(length);
        let Some(mut last) = ends.next() else { return true };
        let mut times = ends.map(|end| end - std::mem::replace(&mut last, end));
        times.next().is_none_or(|first| times.all(|other| other == first))
    }
}

/// Two blocks of a sequence, the one after the other, which move along it: how often each backend is in the first but not in the second.
struct AdjacentBlocks<'a> {
    places: &'a [usize],
    length: usize,
    start: usize,
    difference: Vec<i32>,
    /// Backends that are in one of them more often than in the other.
    differing: usize,
}

impl AdjacentBlocks<'_> {
    fn of(places: &[usize], kinds: usize, length: usize) -> AdjacentBlocks<'_> {
        let mut blocks = AdjacentBlocks { places, length, start: 0, difference: vec![0; kinds], differing: 0 };
        places[..length].iter().for_each(|place| blocks.add(*place, 1));
        places[length..2 * length].iter().for_each(|place| blocks.add(*place, -1));
        blocks
    }

    fn add(&mut self, place: usize, times: i32) {
        let was = self.difference[place];
        self.difference[place] += times;
        self.differing += usize::from(was == 0);
        self.differing -= usize::from(self.difference[place] == 0);
    }

    fn advance(&mut self) {
        let at = |step: usize| self.places[self.start + step];
        let (first, middle, last) = (at(0), at(self.length), at(2 * self.length));
        self.add(first, -1);
        self.add(middle, 2);
        self.add(last, -1);
        self.start += 1;
    }
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

    fn strictly(period: &str) -> OrderPattern {
        OrderPattern::Turns { period: sequence(period), exceptions: 0 }
    }

    #[test]
    fn turns_are_found_with_their_shortest_period() {
        assert_eq!(OrderPattern::of(&sequence(&"bca".repeat(20))), strictly("bca"));
        assert_eq!(OrderPattern::of(&sequence(&"aabacaa".repeat(10))), strictly("aabacaa"));
        assert_eq!(OrderPattern::of(&sequence(&"ab".repeat(3))), OrderPattern::TooFew);
    }

    #[test]
    fn as_many_requests_show_turns_as_chance_would_not_give() {
        // What weights give tells less than equal shares, and a canary of one in a hundred hardly anything.
        for (period, needed) in [("ab".to_owned(), 32), ("abacab".to_owned(), 33), ("a".repeat(99) + "b", 1_749)] {
            assert_eq!(needed_to_repeat(&sequence(&period)), needed, "{period}");
            let of_length = |length: usize| sequence(&period.chars().cycle().take(length).collect::<String>());
            assert_eq!(lacking_to_repeat(&of_length(period.len() * 3)), needed - period.len() * 3);
            assert_ne!(OrderPattern::of(&of_length(needed - 1)), strictly(&period));
            assert_eq!(OrderPattern::of(&of_length(needed)), strictly(&period));
        }
        assert_eq!(lacking_to_repeat(&sequence(&"a".repeat(40))), 0);
        assert_eq!(lacking_to_repeat(&sequence("abbaababb")), 0);
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
        let expected = OrderPattern::Blocks(vec![(Backend(0), 1), (Backend(1), 1), (Backend(2), 1)]);
        assert_eq!(OrderPattern::of(&sequence(&text[2..])), expected);
    }

    #[test]
    fn blocks_that_hold_as_many_of_the_first_backend_are_told_from_others() {
        let evens = |text: &str, offset, length| {
            let places: Vec<usize> = text.bytes().map(|letter| usize::from(letter - b'a')).collect();
            Evens::of(&places).are_alike(offset, length)
        };
        assert_eq!([evens("abbaab", 0, 2), evens("abbaab", 1, 2), evens("abbaabb", 1, 3)], [true, false, true]);
        assert!(evens("aab", 2, 2) && !evens("aabb", 0, 2));
    }

    #[test]
    fn turns_of_one_cursor_are_complete_rounds() {
        for (turns, is_so) in [
            ("abc", true),
            ("aabacaa", true),
            ("abcbcacab", true),
            ("bcabac", true),
            ("aabbcc", false),
            ("bbccaaaa", true),
        ] {
            assert_eq!(strictly(turns).is_of_one_rotation(), is_so, "{turns}");
        }
    }

    #[test]
    fn balancers_in_turn_interleave_their_rotations() {
        for (turns, rotations) in [
            ("bccaab", Some(2)),
            ("aabbcc", Some(2)),
            ("abbcca", Some(2)),
            ("aaabcbc", None),
            ("aaaaabbbbbccccc", None),
        ] {
            assert_eq!(strictly(turns).interleaved(), rotations, "{turns}");
        }
    }

    #[test]
    fn turns_that_are_left_now_and_then_are_still_turns() {
        let mut text = "abc".repeat(100);
        text.insert_str(100, "aa");
        let OrderPattern::Turns { period, exceptions } = OrderPattern::of(&sequence(&text)) else { panic!("{text}") };
        assert!(period == sequence("abc") && (1..=2).contains(&exceptions), "{period:?} {exceptions}");
        // Every 97th turn is skipped.
        let skipping: Vec<Backend> = (0..600u16).map(|turn| Backend((turn + turn / 97) % 3)).collect();
        let OrderPattern::Turns { period, exceptions } = OrderPattern::of(&skipping) else { panic!() };
        assert_eq!((&period, exceptions), (&sequence("abc"), 6));
        assert_eq!(regular(&super::exceptions(&skipping, &period)), Some(97));
        assert_eq!(regular(&[10, 60, 170, 200]), None);
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
        assert_eq!(OrderPattern::of(&draws), OrderPattern::Chance);
        assert!(!is_clumped(&draws));
        // Right on average, and in bursts of five to fifteen.
        let mut bursts = Vec::new();
        for turn in 0..60u16 {
            bursts.extend(vec![Backend(turn % 3); 5 + (draw() % 11) as usize]);
        }
        assert!(is_clumped(&bursts));
        // A rotation of two of which chance sends a tenth to a third one: the same comes again after others.
        let mut turn = 0;
        let mut canary = || {
            if draw() % 10 == 0 {
                Backend(2)
            } else {
                turn += 1;
                Backend(turn % 2)
            }
        };
        let canary: Vec<Backend> = (0..600).map(|_| canary()).collect();
        assert_eq!(recurrence(&canary), Some(Recurrence::AfterOthers));
        assert_eq!(OrderPattern::of(&[Backend(3); 50]), OrderPattern::One(Backend(3)));
    }
}
