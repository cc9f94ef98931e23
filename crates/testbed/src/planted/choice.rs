//! What a worker knows of the backends, and the choices that need no more than that.

use std::time::Instant;

use crate::planted::behaviour::{Ejection, Ties};

/// Backends by their places.
pub(super) type Places = u128;

pub(super) fn places(these: Places) -> impl Iterator<Item = usize> {
    (0..128).filter(move |place| these & 1 << place != 0)
}

/// What one worker knows.
pub(super) struct Worker {
    pub(super) next: usize,
    pub(super) credit: Vec<i64>,
    pub(super) block: Vec<usize>,
    pub(super) peers: Vec<PlantedPeer>,
}

#[derive(Clone, Default)]
pub(super) struct PlantedPeer {
    pub(super) in_flight: usize,
    pub(super) fails: u32,
    pub(super) failed: Option<Instant>,
    pub(super) checked: Option<Instant>,
}

impl Worker {
    pub(super) fn new(backends: usize) -> Worker {
        Worker { next: 0, credit: vec![0; backends], block: Vec::new(), peers: vec![PlantedPeer::default(); backends] }
    }

    pub(super) fn round_robin(&mut self, open: Places) -> usize {
        while open & 1 << self.next == 0 {
            self.next = (self.next + 1) % self.peers.len();
        }
        let chosen = self.next;
        self.next = (chosen + 1) % self.peers.len();
        chosen
    }

    pub(super) fn smooth(&mut self, weights: &[u32], open: Places) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        for place in places(open).filter(|place| weights[*place] > 0) {
            self.credit[place] += i64::from(weights[place]);
            total += i64::from(weights[place]);
            if best.is_none_or(|best| self.credit[place] > self.credit[best]) {
                best = Some(place);
            }
        }
        self.credit[best?] -= total;
        best
    }

    /// `next` counts through all the weights.
    pub(super) fn blocks(&mut self, weights: &[u32], open: Places) -> Option<usize> {
        let total = weights.iter().sum::<u32>() as usize;
        for _ in 0..total {
            let mut position = self.next as u32;
            self.next = (self.next + 1) % total;
            let place = weights.iter().position(|weight| match position.checked_sub(*weight) {
                Some(rest) => {
                    position = rest;
                    false
                }
                None => true,
            });
            if let Some(place) = place.filter(|place| open & 1 << place != 0) {
                return Some(place);
            }
        }
        None
    }

    pub(super) fn fewest(&mut self, ties: Ties, open: Places, random: &mut Random) -> usize {
        let fewest = places(open).map(|place| self.peers[place].in_flight).min().expect("some are open");
        let tied = places(open).filter(|place| self.peers[*place].in_flight == fewest);
        let tied = tied.fold(0, |tied: Places, place| tied | 1 << place);
        match ties {
            Ties::RoundRobin => self.round_robin(tied),
            Ties::Random => random.among(tied),
        }
    }

    pub(super) fn shuffled(&mut self, open: Places, random: &mut Random) -> usize {
        loop {
            if self.block.is_empty() {
                self.block = (0..self.peers.len()).collect();
                for index in (1..self.block.len()).rev() {
                    self.block.swap(index, random.below(index + 1));
                }
            }
            if let Some(place) = self.block.pop().filter(|place| open & 1 << place != 0) {
                return place;
            }
        }
    }

    pub(super) fn is_out(&self, place: usize, ejection: &Ejection, now: Instant) -> bool {
        let peer = &self.peers[place];
        let recently = peer.checked.is_some_and(|checked| now - checked <= ejection.fail_timeout);
        peer.fails >= ejection.max_fails && recently
    }
}

/// A generator of random numbers that a seed repeats: SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// The bias is below 2⁻⁵⁰ for all that is asked here.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    pub(super) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn among(&mut self, open: Places) -> usize {
        let nth = self.below(open.count_ones() as usize);
        places(open).nth(nth).expect("some are open")
    }

    pub(super) fn weighted(&mut self, weights: &[u32], open: Places) -> Option<usize> {
        let total = places(open).map(|place| weights[place] as usize).sum();
        let mut drawn = (total > 0).then(|| self.below(total))?;
        places(open).find(|place| match drawn.checked_sub(weights[*place] as usize) {
            Some(rest) => {
                drawn = rest;
                false
            }
            None => true,
        })
    }
}

pub(super) fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// FNV-1a, its result mixed once more.
pub(super) fn hash(key: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    mixed(key.iter().fold(0xcbf2_9ce4_8422_2325, fnv))
}

/// Rendezvous hashing: who is not there is as if it had never been.
pub(super) fn owner(key: u64, open: Places) -> usize {
    places(open).max_by_key(|place| mixed(key ^ mixed(*place as u64 + 1))).expect("some are open")
}

/// Names a backend in a cookie.
pub(super) fn cookie_value(place: usize) -> String {
    format!("{:016x}", mixed(place as u64 + 0xc00_c1e))
}
