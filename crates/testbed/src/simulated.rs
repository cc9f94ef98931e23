//! A balancer that only picks: no sockets, no time. Its algorithm is known, so what is inferred about it can be held against the truth.

use std::time::Duration;

use verdict::algorithm::experiments::{Reply, Request, Subject};
use verdict::observation::Backend;

/// A small generator of random numbers (xorshift64*), so that every run can be repeated.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn of(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[derive(Clone, PartialEq, Debug)]
pub enum Picks {
    /// Smooth weighted turns, as NGINX; weights of 1 are plain round robin.
    Turns(Vec<i64>),
    /// `aaaaabc`
    Blocks(Vec<u32>),
    /// Each block of k a new permutation, as Traefik.
    Permutations,
    Random(Vec<f64>),
    LeastInTurns,
    LeastByChance,
    /// The first among equals.
    LeastFirst,
    /// By the smoothed time of answers times the requests in flight; a quick answer counts as so many milliseconds.
    LeastTime {
        quick: f64,
    },
    /// By the smoothed time of answers alone, which chance decides: the same one for a while.
    Soonest,
    TwoDistinct,
    TwoWithReplacement,
    Source {
        network_only: bool,
    },
    Uri,
    Header(&'static str),
    Cookie(&'static str),
    Sticky {
        forgets: f64,
    },
    Connections,
    One,
}

pub struct Simulated {
    pub backends: usize,
    pub picks: Picks,
    pub cursors: usize,
    /// A new connection belongs to one by chance, or so many in a row belong to the same one.
    pub batches: Option<usize>,
    connections: usize,
    pub chance: Chance,
    turns: Vec<Vec<i64>>,
    queue: Vec<Vec<usize>>,
    next: Vec<usize>,
    kept: Vec<Option<(usize, Option<usize>)>>,
    held: Vec<usize>,
    /// Milliseconds, smoothed, of each backend.
    took: Vec<f64>,
}

impl Simulated {
    pub fn new(backends: usize, picks: Picks, cursors: usize, seed: u64) -> Simulated {
        let mut chance = Chance::of(seed);
        let next = (0..cursors).map(|_| chance.below(backends)).collect();
        Simulated {
            backends,
            picks,
            cursors,
            batches: None,
            connections: 0,
            chance,
            turns: vec![vec![0; backends]; cursors],
            queue: vec![Vec::new(); cursors],
            next,
            kept: vec![None; 64],
            held: Vec::new(),
            took: vec![0.0; backends],
        }
    }

    fn load(&self, backend: usize) -> usize {
        self.held.iter().filter(|held| **held == backend).count()
    }

    fn key(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) as usize
            % self.backends
    }

    fn hash(&self, text: &str) -> usize {
        self.key(
            text.bytes()
                .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)),
        )
    }

    /// The pick of one request.
    pub fn pick(&mut self, cursor: usize, request: &Request) -> (usize, Vec<(String, String)>) {
        let cookie = request.headers.iter().find(|(name, _)| name == "Cookie").map(|(_, value)| value.clone());
        let cookie = |wanted: &str| {
            let pairs = cookie.iter().flat_map(|cookies| cookies.split("; ")).filter_map(|pair| pair.split_once('='));
            pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned()).next()
        };
        let backend = match &self.picks.clone() {
            Picks::Turns(weights) => {
                let turns = &mut self.turns[cursor];
                turns.iter_mut().zip(weights).for_each(|(turn, weight)| *turn += weight);
                let best = (0..turns.len()).rev().max_by_key(|place| turns[*place]).unwrap();
                turns[best] -= weights.iter().sum::<i64>();
                best
            }
            Picks::Blocks(weights) => {
                let order: Vec<usize> =
                    weights.iter().enumerate().flat_map(|(place, times)| vec![place; *times as usize]).collect();
                self.next[cursor] = (self.next[cursor] + 1) % order.len();
                order[self.next[cursor]]
            }
            Picks::Permutations => {
                if self.queue[cursor].is_empty() {
                    let mut block: Vec<usize> = (0..self.backends).collect();
                    for place in (1..block.len()).rev() {
                        block.swap(place, self.chance.below(place + 1));
                    }
                    self.queue[cursor] = block;
                }
                self.queue[cursor].pop().unwrap()
            }
            Picks::Random(shares) => {
                let draw = self.chance.unit() * shares.iter().sum::<f64>();
                let mut sum = 0.0;
                shares
                    .iter()
                    .position(|share| {
                        sum += share;
                        draw < sum
                    })
                    .unwrap_or(shares.len() - 1)
            }
            Picks::LeastInTurns => {
                let least = (0..self.backends).map(|place| self.load(place)).min().unwrap();
                (0..self.backends)
                    .map(|step| (self.next[cursor] + 1 + step) % self.backends)
                    .find(|place| self.load(*place) == least)
                    .inspect(|place| self.next[cursor] = *place)
                    .unwrap()
            }
            Picks::LeastByChance => {
                let least = (0..self.backends).map(|place| self.load(place)).min().unwrap();
                let equal: Vec<usize> = (0..self.backends).filter(|place| self.load(*place) == least).collect();
                equal[self.chance.below(equal.len())]
            }
            Picks::LeastFirst => (0..self.backends).min_by_key(|place| self.load(*place)).unwrap(),
            Picks::LeastTime { quick } => {
                let score = |place: usize| (quick + self.took[place]) * (1 + self.load(place)) as f64;
                let least = (0..self.backends).map(score).fold(f64::INFINITY, f64::min);
                (0..self.backends)
                    .map(|step| (self.next[cursor] + 1 + step) % self.backends)
                    .find(|place| score(*place) == least)
                    .inspect(|place| self.next[cursor] = *place)
                    .unwrap()
            }
            Picks::Soonest => {
                let places = 0..self.backends;
                let soonest = places.min_by(|a, b| self.took[*a].total_cmp(&self.took[*b])).unwrap();
                let took = 0.1 - self.chance.unit().ln() * 0.1;
                self.took[soonest] += (took - self.took[soonest]) * 0.02;
                soonest
            }
            Picks::TwoDistinct | Picks::TwoWithReplacement => {
                let first = self.chance.below(self.backends);
                let second = match self.picks {
                    Picks::TwoDistinct => (first + 1 + self.chance.below(self.backends - 1)) % self.backends,
                    _ => self.chance.below(self.backends),
                };
                if self.load(second) < self.load(first) { second } else { first }
            }
            Picks::Source { network_only } => {
                let source = request.source.map_or("127.0.0.1".to_owned(), |source| source.to_string());
                let kept = if *network_only { source.rsplit_once('.').unwrap().0 } else { &source };
                self.hash(kept)
            }
            Picks::Uri => self.key(u64::from(request.path.unwrap_or(0)) + 1),
            Picks::Header(name) => {
                let value = request.headers.iter().find(|(header, _)| header == name).map_or("", |(_, value)| value);
                self.hash(value)
            }
            Picks::Cookie(name) => self.hash(&cookie(name).unwrap_or_default()),
            Picks::Sticky { forgets } => match cookie("SERVERID").and_then(|value| value.parse().ok()) {
                Some(pinned) if self.chance.unit() >= *forgets => return (pinned, Vec::new()),
                _ => {
                    self.next[cursor] = (self.next[cursor] + 1) % self.backends;
                    let backend = self.next[cursor];
                    return (backend, vec![("SERVERID".to_owned(), backend.to_string())]);
                }
            },
            Picks::Connections => {
                self.next[cursor] = (self.next[cursor] + 1) % self.backends;
                self.next[cursor]
            }
            Picks::One => 0,
        };
        (backend, Vec::new())
    }
}

impl Subject for Simulated {
    fn send(&mut self, request: &Request) -> Reply {
        let fresh = match self.batches {
            None => (self.chance.below(self.cursors), None),
            Some(batch) => (self.connections / batch % self.cursors, None),
        };
        self.connections += usize::from(request.connection.is_none_or(|slot| self.kept[slot].is_none()));
        let (cursor, bound) = match request.connection {
            None => fresh,
            Some(slot) => *self.kept[slot].get_or_insert(fresh),
        };
        if let (Picks::Connections, Some(bound)) = (&self.picks, bound) {
            return Reply { backend: Some(Backend(bound as u16)), cookies: Vec::new() };
        }
        let (backend, cookies) = self.pick(cursor, request);
        if let Some(slot) = request.connection {
            self.kept[slot] = Some((cursor, Some(backend)));
        }
        Reply { backend: Some(Backend(backend as u16)), cookies }
    }

    fn open(&mut self, connections: usize) {
        for slot in 0..connections {
            self.send(&Request { connection: Some(slot), ..Request::default() });
        }
    }

    fn hold(&mut self, _: Duration) -> bool {
        let cursor = self.chance.below(self.cursors);
        let (backend, _) = self.pick(cursor, &Request::default());
        self.held.push(backend);
        true
    }

    fn release(&mut self) -> Vec<(Option<Backend>, bool)> {
        let held = std::mem::take(&mut self.held);
        held.iter().for_each(|backend| self.took[*backend] += 20.0);
        held.into_iter().map(|backend| (Some(Backend(backend as u16)), true)).collect()
    }

    fn has_sources(&self) -> bool {
        true
    }

    fn pace(&self) -> Duration {
        Duration::from_micros(300)
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}
