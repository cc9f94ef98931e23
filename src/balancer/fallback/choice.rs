//! Which backend of the built-in balancer gets a request. One chooser is what one worker process knows.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SelectionMethod {
    /// NGINX's smooth round robin: 5:1:1 gives `aabacaa`.
    RoundRobin,
    /// A draw by weight.
    Random,
    /// The fewest requests in flight, in turn among equals.
    LeastConnections,
    /// Of two that are drawn, the one with fewer requests in flight.
    TwoChoices,
    /// By a hash of the client's address.
    Source,
    /// By a hash of path and query.
    Uri,
}

/// What one worker knows of the backends.
pub(crate) struct Chooser {
    selection: SelectionMethod,
    peers: Vec<CandidateBackend>,
    /// Failures after which a backend is avoided, and for how long.
    ejection: Option<(u32, Duration)>,
    random: u64,
}

struct CandidateBackend {
    weight: i64,
    credit: i64,
    in_flight: usize,
    fails: u32,
    failed: Option<Instant>,
}

impl Chooser {
    pub(crate) fn new(
        selection: SelectionMethod,
        weights: &[u32],
        ejection: Option<(u32, Duration)>,
        seed: u64,
    ) -> Chooser {
        let peer = |weight: &u32| CandidateBackend {
            weight: i64::from(*weight),
            credit: 0,
            in_flight: 0,
            fails: 0,
            failed: None,
        };
        Chooser { selection, peers: weights.iter().map(peer).collect(), ejection, random: seed }
    }

    /// One that was not tried; none if all were. When all others are avoided, none is.
    pub(crate) fn choose(&mut self, key: u64, tried: &[bool], now: Instant) -> Option<usize> {
        let untried: Vec<usize> = (0..self.peers.len()).filter(|index| !tried[*index]).collect();
        let well: Vec<usize> = untried.iter().copied().filter(|index| !self.is_out(*index, now)).collect();
        let open = if well.is_empty() { untried } else { well };
        let fewest = || open.iter().map(|index| self.peers[*index].in_flight).min();
        Some(match (self.selection, open.as_slice()) {
            (_, []) => return None,
            (_, [only]) => *only,
            (SelectionMethod::RoundRobin, _) => self.in_turn(&open),
            (SelectionMethod::Random, _) => self.draw(&open),
            (SelectionMethod::LeastConnections, _) => {
                let fewest = fewest()?;
                let equals: Vec<usize> =
                    open.iter().copied().filter(|index| self.peers[*index].in_flight == fewest).collect();
                self.in_turn(&equals)
            }
            (SelectionMethod::TwoChoices, _) => {
                let first = self.draw(&open);
                let others: Vec<usize> = open.iter().copied().filter(|index| *index != first).collect();
                let second = self.draw(&others);
                if self.peers[second].in_flight < self.peers[first].in_flight { second } else { first }
            }
            // Rendezvous hashing: who is not there is as if it had never been.
            (SelectionMethod::Source | SelectionMethod::Uri, _) => {
                *open.iter().max_by_key(|index| mix(key ^ mix(**index as u64 + 1)))?
            }
        })
    }

    pub(crate) fn begin(&mut self, index: usize) {
        self.peers[index].in_flight += 1;
    }

    pub(crate) fn end(&mut self, index: usize) {
        self.peers[index].in_flight -= 1;
    }

    pub(crate) fn succeeded(&mut self, index: usize) {
        (self.peers[index].fails, self.peers[index].failed) = (0, None);
    }

    pub(crate) fn failed(&mut self, index: usize, now: Instant) {
        let peer = &mut self.peers[index];
        peer.fails += 1;
        peer.failed = Some(now);
    }

    fn is_out(&self, index: usize, now: Instant) -> bool {
        let Some((max_fails, fail_timeout)) = self.ejection else { return false };
        let peer = &self.peers[index];
        peer.fails >= max_fails && peer.failed.is_some_and(|failed| now.duration_since(failed) < fail_timeout)
    }

    fn in_turn(&mut self, open: &[usize]) -> usize {
        let mut best = open[0];
        let mut total = 0;
        for index in open {
            let peer = &mut self.peers[*index];
            peer.credit += peer.weight;
            total += peer.weight;
            if self.peers[*index].credit > self.peers[best].credit {
                best = *index;
            }
        }
        self.peers[best].credit -= total;
        best
    }

    fn draw(&mut self, open: &[usize]) -> usize {
        let total: i64 = open.iter().map(|index| self.peers[*index].weight).sum();
        // SplitMix64; its bias is below 2⁻⁵⁰ here.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = ((u128::from(mix(self.random)) * total as u128) >> 64) as i64;
        for index in open {
            drawn -= self.peers[*index].weight;
            if drawn < 0 {
                return *index;
            }
        }
        open[open.len() - 1]
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(chooser: &mut Chooser, count: u64) -> String {
        let choose = |key| chooser.choose(key, &[false; 3], Instant::now()).unwrap();
        (0..count).map(choose).map(|index| ["a", "b", "c"][index]).collect()
    }

    #[test]
    fn turns_are_smooth() {
        assert_eq!(chosen(&mut Chooser::new(SelectionMethod::RoundRobin, &[1, 1, 1], None, 7), 6), "abcabc");
        assert_eq!(chosen(&mut Chooser::new(SelectionMethod::RoundRobin, &[5, 1, 1], None, 7), 7), "aabacaa");
        assert_eq!(chosen(&mut Chooser::new(SelectionMethod::LeastConnections, &[1, 1, 1], None, 7), 6), "abcabc");
    }

    #[test]
    fn draws_are_by_weight() {
        let drawn = chosen(&mut Chooser::new(SelectionMethod::Random, &[2, 1, 1], None, 7), 40_000);
        let share = drawn.matches('a').count() as f64 / 40_000.0;
        assert!((share - 0.5).abs() < 0.02, "{share}");
    }

    #[test]
    fn load_decides_where_it_is_asked_for() {
        for selection in [SelectionMethod::LeastConnections, SelectionMethod::TwoChoices] {
            let mut chooser = Chooser::new(selection, &[1, 1, 1], None, 7);
            chooser.begin(0);
            chooser.begin(1);
            let drawn = chosen(&mut chooser, 30);
            assert!(drawn.matches('c').count() >= 10, "{selection:?}: {drawn}");
        }
    }

    #[test]
    fn a_key_stays_and_moves_only_when_its_backend_is_tried() {
        let mut chooser = Chooser::new(SelectionMethod::Uri, &[1, 1, 1], None, 7);
        let now = Instant::now();
        for key in 0..100 {
            let first = chooser.choose(key, &[false; 3], now).unwrap();
            assert_eq!(chooser.choose(key, &[false; 3], now), Some(first));
            let mut tried = [false; 3];
            tried[(first + 1) % 3] = true;
            assert_eq!(chooser.choose(key, &tried, now), Some(first));
            tried[first] = true;
            assert_eq!(chooser.choose(key, &tried, now), Some((first + 2) % 3));
        }
    }

    #[test]
    fn a_backend_that_failed_is_avoided_for_a_while_unless_all_did() {
        let second = Duration::from_secs(1);
        let mut chooser = Chooser::new(SelectionMethod::RoundRobin, &[1, 1], Some((2, second)), 7);
        let now = Instant::now();
        chooser.failed(0, now);
        assert!((0..4).any(|_| chooser.choose(0, &[false; 2], now) == Some(0)));
        chooser.failed(0, now);
        assert!((0..4).all(|_| chooser.choose(0, &[false; 2], now) == Some(1)));
        assert!((0..4).any(|_| chooser.choose(0, &[false; 2], now + second) == Some(0)));
        chooser.failed(1, now);
        chooser.failed(1, now);
        assert!((0..4).any(|_| chooser.choose(0, &[false; 2], now) == Some(0)));
        assert_eq!(chooser.choose(0, &[true; 2], now), None);
    }
}
