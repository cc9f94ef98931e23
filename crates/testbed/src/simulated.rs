//! A balancer that only selects: no sockets, and a clock of its own. Its algorithm is known, so what is inferred about it can be held
//! against the truth.

use std::collections::HashMap;
use std::time::Duration;

use verdict::Moment;
use verdict::algorithm::experiments::{Pace, ProbeReply, ProbeRequest, Subject};
use verdict::algorithm::{Evidence, Pick};
use verdict::observation::Backend;

/// A small generator of random numbers (xorshift64*), so that every run can be repeated.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn of(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.draw()) * bound as u128) >> 64) as usize
    }

    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[derive(Clone, PartialEq, Debug)]
pub enum Picks {
    /// Smooth weighted turns, as NGINX; weights of 1 are plain round robin.
    Turns(Vec<i64>),
    /// Weighted in blocks: `aaaaabc`.
    Blocks(Vec<u32>),
    /// Each block of k a new permutation, as Traefik.
    Permutations,
    Random(Vec<f64>),
    LeastInTurns,
    LeastByChance,
    /// In rotation by weights that are divided by the requests in flight and one, as Envoy's least request with weights.
    LeastWeighted(Vec<i64>),
    /// The first among equals.
    LeastFirst,
    /// By the smoothed time of responses times the requests in flight; a quick answer counts as that number of milliseconds.
    LeastTime {
        quick: f64,
    },
    /// By the smoothed time of responses alone, which chance decides: the same one for a while.
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
    /// A cookie that it gives itself, by a hash of its value: NGINX's `userid` and `hash $cookie_uid`.
    GivenCookie,
    Connections,
    /// Random for each connection, as kube-proxy.
    RandomConnections,
    /// By a hash of the body.
    Body,
    /// Requests in a row to the same backend, before the next.
    Bursts(usize),
    /// From half to one and a half times as many in a row, and right on average.
    UnevenBursts(usize),
    /// In rotation, and every so often one backend's turn is skipped.
    Skips(usize),
    One,
}

/// How a backend is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum SimulatedHealth {
    Up,
    /// Connections are refused: nobody records anything.
    Dead,
    /// That share of the requests is received and not answered.
    Closes(f64),
}

pub struct Simulated {
    pub backends: usize,
    pub picks: Picks,
    pub rotations: usize,
    /// A new connection belongs to one by chance, or this number in a row belongs to the same one.
    pub batches: Option<usize>,
    connections: usize,
    pub chance: Chance,
    turns: Vec<Vec<i64>>,
    queue: Vec<Vec<usize>>,
    next: Vec<usize>,
    kept: Vec<Option<(usize, Option<usize>)>>,
    /// Rotation and backend.
    held: Vec<(usize, usize)>,
    /// Milliseconds, smoothed, of each backend.
    took: Vec<f64>,
    /// Milliseconds since the experiments began.
    now: f64,
    /// What a backend takes, in milliseconds.
    pub speed: Vec<f64>,
    pub health: Vec<SimulatedHealth>,
    /// A failed request goes to the next pick.
    pub retries: bool,
    /// After a failure a backend is left out for that long, in milliseconds.
    pub fail_timeout: f64,
    /// The limit of requests at a time for each backend: others go elsewhere, or wait until a place is free.
    pub limit: Option<usize>,
    /// The number of requests after which one is dropped: before or after it was given a turn.
    pub drops: Option<(usize, bool)>,
    /// That share of the requests goes to the next pick as well.
    pub copies: f64,
    copied: u64,
    /// How long requests waited for a place, by number.
    waited: HashMap<u32, f64>,
    out_until: Vec<f64>,
    /// Until when those in flight are, by backend.
    in_flight: Vec<(usize, usize, f64)>,
    /// Workers know what they have in flight themselves, and nothing of each other.
    pub is_apart: bool,
    /// By how many milliseconds the order of requests side by side is disturbed.
    pub jitter: f64,
    /// Requests of others for each of ours.
    pub others: f64,
    pub foreign: u64,
    pub failing: Vec<bool>,
    sequence: u32,
    /// Places of requests in order of time, for the account.
    picked: u64,
}

impl Simulated {
    pub fn new(backends: usize, picks: Picks, rotations: usize, seed: u64) -> Simulated {
        let mut chance = Chance::of(seed);
        let next = (0..rotations).map(|_| chance.below(backends)).collect();
        Simulated {
            backends,
            picks,
            rotations,
            batches: None,
            connections: 0,
            chance,
            turns: vec![vec![0; backends]; rotations],
            queue: vec![Vec::new(); rotations],
            next,
            kept: vec![None; 128],
            held: Vec::new(),
            took: vec![0.0; backends],
            now: 0.0,
            speed: vec![0.3; backends],
            health: vec![SimulatedHealth::Up; backends],
            retries: true,
            fail_timeout: 0.0,
            limit: None,
            drops: None,
            copies: 0.0,
            copied: 0,
            waited: HashMap::new(),
            out_until: vec![0.0; backends],
            in_flight: Vec::new(),
            is_apart: false,
            jitter: 0.0,
            others: 0.0,
            foreign: 0,
            failing: vec![false; backends],
            sequence: 0,
            picked: 0,
        }
    }

    /// What the records would add.
    pub fn complete(&self, evidence: &mut Evidence) {
        (evidence.others, evidence.copied) = (self.foreign, self.copied);
        let failing = self.failing.iter().enumerate().filter(|(_, failing)| **failing);
        evidence.failing = failing.map(|(place, _)| Backend(place as u16)).collect();
        evidence.fresh.sort_by_key(|pick| pick.sequence);
        // It selects when a request is sent, and a backend records its times.
        for flight in &mut evidence.mixed {
            let waited = self.waited.get(&flight.pick.sequence).map_or(0.0, |waited| waited * 1e6);
            (flight.from, flight.to) = (Moment(flight.sent.0 + waited as u64), flight.got);
        }
        evidence.mixed.sort_by_key(|flight| flight.from);
    }

    /// A request at this time on this connection: who recorded it first, and how long it took.
    fn serve(&mut self, rotation: usize, request: &ProbeRequest) -> (Backend, Vec<(String, String)>, f64) {
        self.in_flight.retain(|(_, _, end)| *end > self.now);
        while self.chance.unit() * (1.0 + self.others) < self.others {
            let rotation = self.chance.below(self.rotations);
            self.pick(rotation, &ProbeRequest::default());
            self.foreign += 1;
        }
        if let Some((every, takes_turn)) = self.drops
            && (self.sequence as usize + 1).is_multiple_of(every)
        {
            if takes_turn {
                self.pick(rotation, request);
            }
            return (Backend::UNKNOWN, Vec::new(), 0.3);
        }
        if self.copies > 0.0 && self.chance.unit() < self.copies {
            self.pick(rotation, request);
            self.copied += 1;
        }
        let mut first = None;
        let delay = request.delay.map_or(0.0, |delay| delay.as_secs_f64() * 1000.0);
        for _ in 0..8 {
            let (backend, cookies) = self.pick(rotation, request);
            let usable = (0..self.backends).any(|place| self.out_until[place] <= self.now);
            if self.out_until[backend] > self.now && usable {
                continue;
            }
            let (backend, wait) = self.with_place(backend, rotation, request);
            self.waited.insert(self.sequence + 1, wait);
            let fails = match self.health[backend] {
                SimulatedHealth::Up => false,
                SimulatedHealth::Dead => true,
                SimulatedHealth::Closes(share) => self.chance.unit() < share,
            };
            if !fails {
                let took = self.speed[backend] * (0.9 + 0.2 * self.chance.unit()) + delay;
                let took = took + wait;
                self.in_flight.push((rotation, backend, self.now + took));
                // Quick ones all count alike, as where times are kept in whole milliseconds.
                if let (Picks::LeastTime { .. }, true) = (&self.picks, took > 5.0) {
                    self.took[backend] += (took - self.took[backend]) * 0.05;
                }
                return (first.unwrap_or(Backend(backend as u16)), cookies, took);
            }
            self.out_until[backend] = self.now + self.fail_timeout;
            if self.health[backend] != SimulatedHealth::Dead {
                self.failing[backend] = true;
                first = first.or(Some(Backend(backend as u16)));
            }
            if !self.retries {
                break;
            }
        }
        (first.unwrap_or(Backend::UNKNOWN), Vec::new(), 0.3)
    }

    /// Who takes it where the one that was selected may be full, and after how many milliseconds.
    fn with_place(&mut self, selected: usize, rotation: usize, request: &ProbeRequest) -> (usize, f64) {
        let Some(limit) = self.limit else { return (selected, 0.0) };
        let (first, mut selected) = (selected, selected);
        if (0..self.backends).any(|place| self.load(rotation, place) < limit) {
            while self.load(rotation, selected) >= limit {
                let next = self.pick(rotation, request).0;
                // A hash goes on along its ring.
                selected = if next == first { (selected + 1) % self.backends } else { next };
            }
            return (selected, 0.0);
        }
        let free = |place: usize| {
            let held = self.held.iter().filter(|(_, held)| *held == place).count();
            let mut ends: Vec<f64> =
                self.in_flight.iter().filter(|(_, of, _)| *of == place).map(|(_, _, end)| *end - self.now).collect();
            ends.sort_by(|a, b| b.total_cmp(a));
            // Those that are held are so for long.
            (limit - 1).checked_sub(held).and_then(|places| ends.get(places)).copied().unwrap_or(400.0)
        };
        (0..self.backends).map(|place| (place, free(place))).min_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
    }

    fn on_connection(&mut self, request: &ProbeRequest) -> (ProbeReply, f64) {
        let fresh = match self.batches {
            None => (self.chance.below(self.rotations), None),
            Some(batch) => (self.connections / batch % self.rotations, None),
        };
        let reused = request.connection.is_some_and(|slot| self.kept[slot].is_some());
        self.connections += usize::from(!reused);
        let (rotation, bound) = match request.connection {
            None => fresh,
            Some(slot) => *self.kept[slot].get_or_insert(fresh),
        };
        let sent = Moment((self.now * 1e6) as u64);
        let (backend, cookies, took) = match (&self.picks, bound) {
            (Picks::Connections | Picks::RandomConnections, Some(bound)) => {
                let took = self.speed[bound];
                self.in_flight.push((rotation, bound, self.now + took));
                (Backend(bound as u16), Vec::new(), took)
            }
            _ => self.serve(rotation, request),
        };
        if let (Some(slot), true) = (request.connection, backend.is_known()) {
            self.kept[slot] = Some((rotation, Some(usize::from(backend.0))));
        }
        self.sequence += 1;
        let pick = Some(Pick { sequence: self.sequence, backend });
        let took_so = Duration::from_secs_f64(took / 1000.0);
        (ProbeReply { pick, cookies, session: None, sent, took: took_so, reused }, took)
    }

    /// What a worker knows to be in flight at a backend.
    fn load(&self, rotation: usize, backend: usize) -> usize {
        let is_known = |of: usize, place: usize| place == backend && (of == rotation || !self.is_apart);
        let in_flight = self.in_flight.iter().filter(|(of, place, end)| is_known(*of, *place) && *end > self.now);
        self.held.iter().filter(|(of, place)| is_known(*of, *place)).count() + in_flight.count()
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

    /// NGINX's smooth weighted round robin: all gain their weight, the one with most gets the request and pays the sum.
    fn smooth(&mut self, rotation: usize, weights: &[i64]) -> usize {
        let turns = &mut self.turns[rotation];
        turns.iter_mut().zip(weights).for_each(|(turn, weight)| *turn += weight);
        let best = (0..turns.len()).rev().max_by_key(|place| turns[*place]).unwrap();
        turns[best] -= weights.iter().sum::<i64>();
        best
    }

    /// All backends once, in a new order each time.
    fn shuffled(&mut self, rotation: usize) -> usize {
        if self.queue[rotation].is_empty() {
            let mut block: Vec<usize> = (0..self.backends).collect();
            for place in (1..block.len()).rev() {
                block.swap(place, self.chance.below(place + 1));
            }
            self.queue[rotation] = block;
        }
        self.queue[rotation].pop().unwrap()
    }

    fn draw(&mut self, shares: &[f64]) -> usize {
        let draw = self.chance.unit() * shares.iter().sum::<f64>();
        let mut sum = 0.0;
        let place = shares.iter().position(|share| {
            sum += share;
            draw < sum
        });
        place.unwrap_or(shares.len() - 1)
    }

    /// The backends in the order in which a rotation comes to them.
    fn after(&self, rotation: usize) -> impl Iterator<Item = usize> + use<> {
        let (next, backends) = (self.next[rotation], self.backends);
        (0..backends).map(move |step| (next + 1 + step) % backends)
    }

    fn go_to(&mut self, rotation: usize, place: usize) -> usize {
        self.next[rotation] = place;
        place
    }

    fn advance(&mut self, rotation: usize, steps: usize) -> usize {
        self.go_to(rotation, (self.next[rotation] + steps) % self.backends)
    }

    /// The pick of one request.
    pub fn pick(&mut self, rotation: usize, request: &ProbeRequest) -> (usize, Vec<(String, String)>) {
        let cookie = request.headers.iter().find(|(name, _)| name == "Cookie").map(|(_, value)| value.clone());
        let cookie = |wanted: &str| {
            let pairs = cookie.iter().flat_map(|cookies| cookies.split("; ")).filter_map(|pair| pair.split_once('='));
            pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned()).next()
        };
        let backend = match &self.picks.clone() {
            Picks::Turns(weights) => self.smooth(rotation, weights),
            Picks::Blocks(weights) => {
                let order: Vec<usize> =
                    weights.iter().enumerate().flat_map(|(place, times)| vec![place; *times as usize]).collect();
                self.next[rotation] = (self.next[rotation] + 1) % order.len();
                order[self.next[rotation]]
            }
            Picks::Permutations => self.shuffled(rotation),
            Picks::Random(shares) => self.draw(shares),
            Picks::LeastInTurns => {
                let least = (0..self.backends).map(|place| self.load(rotation, place)).min().unwrap();
                let next = self.after(rotation).find(|place| self.load(rotation, *place) == least).unwrap();
                self.go_to(rotation, next)
            }
            Picks::LeastByChance => {
                let least = (0..self.backends).map(|place| self.load(rotation, place)).min().unwrap();
                let equal: Vec<usize> =
                    (0..self.backends).filter(|place| self.load(rotation, *place) == least).collect();
                equal[self.chance.below(equal.len())]
            }
            Picks::LeastWeighted(weights) => {
                let now: Vec<i64> = weights
                    .iter()
                    .enumerate()
                    .map(|(place, weight)| weight * 1000 / (1 + self.load(rotation, place) as i64))
                    .collect();
                self.smooth(rotation, &now)
            }
            Picks::LeastFirst => (0..self.backends).min_by_key(|place| self.load(rotation, *place)).unwrap(),
            Picks::LeastTime { quick } => {
                let score = |place: usize| (quick + self.took[place]) * (1 + self.load(rotation, place)) as f64;
                let least = (0..self.backends).map(score).fold(f64::INFINITY, f64::min);
                let next = self.after(rotation).find(|place| score(*place) == least).unwrap();
                self.go_to(rotation, next)
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
                if self.load(rotation, second) < self.load(rotation, first) { second } else { first }
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
                    let backend = self.advance(rotation, 1);
                    return (backend, vec![("SERVERID".to_owned(), backend.to_string())]);
                }
            },
            Picks::GivenCookie => match cookie("uid") {
                Some(value) => self.hash(&value),
                None => {
                    let backend = self.advance(rotation, 1);
                    let value = format!("u{}", (self.chance.unit() * 1e9) as u64);
                    return (backend, vec![("uid".to_owned(), value)]);
                }
            },
            Picks::Connections => self.advance(rotation, 1),
            Picks::RandomConnections => self.chance.below(self.backends),
            Picks::Body => self.key(u64::from(request.body.unwrap_or(0)) + 7),
            Picks::Bursts(length) => {
                self.picked += 1;
                (self.picked as usize / length) % self.backends
            }
            Picks::UnevenBursts(length) => {
                if self.picked == 0 {
                    self.picked = (length / 2 + self.chance.below(length + 1)) as u64;
                    self.advance(rotation, 1);
                }
                self.picked = self.picked.saturating_sub(1);
                self.next[rotation]
            }
            Picks::Skips(every) => {
                self.picked += 1;
                let skips = usize::from(self.picked.is_multiple_of(*every as u64));
                self.advance(rotation, 1 + skips)
            }
            Picks::One => 0,
        };
        (backend, Vec::new())
    }
}

impl Subject for Simulated {
    fn send(&mut self, request: &ProbeRequest) -> ProbeReply {
        let (reply, took) = self.on_connection(request);
        self.now += took;
        reply
    }

    fn send_all(&mut self, requests: &[ProbeRequest], pace: &Pace) -> Vec<ProbeReply> {
        let gap = pace.gap.as_secs_f64() * 1000.0;
        let until = pace.until.as_secs_f64() * 1000.0;
        let mut at = self.now;
        let mut ends: Vec<f64> = Vec::new();
        let mut replies: Vec<ProbeReply> = Vec::new();
        // In order but for the jitter: neighbours change places where it is larger than the gap.
        let mut order: Vec<(f64, usize)> =
            (0..requests.len()).map(|place| (place as f64 * gap + self.chance.unit() * self.jitter, place)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut placed: Vec<(usize, ProbeReply)> = Vec::new();
        for (_, place) in order {
            ends.retain(|end| *end > at);
            if ends.len() >= pace.width {
                at = ends.iter().copied().fold(f64::INFINITY, f64::min);
            }
            if at > until {
                break;
            }
            self.now = at;
            let (reply, took) = self.on_connection(&requests[place]);
            ends.push(at + took);
            placed.push((place, reply));
            at += gap;
        }
        placed.sort_by_key(|(place, _)| *place);
        // Those before the first that was not sent.
        let sent = placed.into_iter().enumerate().take_while(|(index, (place, _))| index == place);
        replies.extend(sent.map(|(_, (_, reply))| reply));
        self.now = ends.iter().copied().fold(at, f64::max);
        replies
    }

    fn hold(&mut self, _: Duration) -> bool {
        let rotation = self.chance.below(self.rotations);
        let (backend, _) = self.pick(rotation, &ProbeRequest::default());
        let (backend, _) = self.with_place(backend, rotation, &ProbeRequest::default());
        if self.health[backend] == SimulatedHealth::Dead {
            return false;
        }
        self.held.push((rotation, backend));
        true
    }

    fn release(&mut self) -> Vec<(Option<Backend>, bool)> {
        let held = std::mem::take(&mut self.held);
        held.iter().for_each(|(_, backend)| self.took[*backend] += 20.0);
        held.into_iter().map(|(_, backend)| (Some(Backend(backend as u16)), true)).collect()
    }

    fn has_sources(&self) -> bool {
        true
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs_f64(self.now / 1000.0)
    }
}
