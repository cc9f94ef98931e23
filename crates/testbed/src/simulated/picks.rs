//! How a simulated balancer selects a backend.

use verdict::algorithm::experiments::ProbeRequest;

use super::Simulated;

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
    /// The fewest requests in flight for its weight, as NGINX and HAProxy.
    LeastPerWeight {
        weights: Vec<i64>,
        among_equals: AmongEquals,
    },
    /// The first among equals.
    LeastFirst,
    /// By the smoothed time of responses times the requests in flight; a quick answer counts as that number of milliseconds.
    LeastTime {
        quick: f64,
    },
    /// By the smoothed time of responses alone, which chance decides: the same one for a while.
    Soonest,
    TwoDistinct,
    /// The less loaded of two distinct draws, and the first in the file where both are alike: Caddy's `random_choose 2`.
    TwoInOrder,
    TwoWithReplacement,
    Source {
        network_only: bool,
    },
    Uri,
    /// By the beginning of the path alone, as HAProxy's `uri depth 1`.
    UriFront,
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
    /// In rotation, and that share of the requests goes where the one before went.
    Doubles(f64),
    /// That share of the requests to the last backend by chance, and the others in rotation among the others.
    Canary(f64),
    One,
}

/// Who is next among backends that are equally loaded.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum AmongEquals {
    /// In smooth rotation by weight, as NGINX.
    ByWeight,
    /// Each in its turn, as HAProxy.
    InTurn,
}

impl Simulated {
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
        let mut active = self.active();
        // Who has no weight gains none and is not selected.
        active.retain(|place| weights[*place] > 0);
        let turns = &mut self.turns[rotation];
        active.iter().for_each(|place| turns[*place] += weights[*place]);
        let best = active.iter().copied().rev().max_by_key(|place| turns[*place]).unwrap();
        turns[best] -= active.iter().map(|place| weights[*place]).sum::<i64>();
        best
    }

    /// All backends once, in a new order each time.
    fn shuffled(&mut self, rotation: usize) -> usize {
        if self.queue[rotation].is_empty() {
            let mut block = self.active();
            for place in (1..block.len()).rev() {
                block.swap(place, self.chance.below(place + 1));
            }
            self.queue[rotation] = block;
        }
        self.queue[rotation].pop().unwrap()
    }

    fn draw(&mut self, shares: &[f64]) -> usize {
        let active = self.active();
        let draw = self.chance.unit() * active.iter().map(|place| shares[*place]).sum::<f64>();
        let mut sum = 0.0;
        let found = active.iter().find(|place| {
            sum += shares[**place];
            draw < sum
        });
        found.copied().unwrap_or(active[active.len() - 1])
    }

    /// The active backends in the order in which a rotation comes to them.
    fn after(&self, rotation: usize) -> Vec<usize> {
        let order = (0..self.backends).map(|step| (self.next[rotation] + 1 + step) % self.backends);
        let active = self.active();
        order.filter(|place| active.contains(place)).collect()
    }

    /// The fewest requests in flight at an active backend.
    fn least_load(&self, rotation: usize) -> usize {
        self.active().into_iter().map(|place| self.load(rotation, place)).min().unwrap()
    }

    fn go_to(&mut self, rotation: usize, place: usize) -> usize {
        self.next[rotation] = place;
        place
    }

    fn advance(&mut self, rotation: usize, steps: usize) -> usize {
        self.go_to(rotation, (self.next[rotation] + steps) % self.backends)
    }

    /// The pick of one request, and the cookies that the balancer gives with its response.
    pub fn pick(&mut self, rotation: usize, request: &ProbeRequest) -> (usize, Vec<(String, String)>) {
        let backend = match self.picks.clone() {
            Picks::Turns(weights) => self.smooth(rotation, &weights),
            Picks::Blocks(weights) => self.pick_in_blocks(rotation, &weights),
            Picks::Permutations => self.shuffled(rotation),
            Picks::Random(shares) => self.draw(&shares),
            Picks::LeastInTurns => self.pick_least_in_turns(rotation),
            Picks::LeastByChance => self.pick_least_by_chance(rotation),
            Picks::LeastPerWeight { weights, among_equals } => {
                self.pick_least_per_weight(rotation, &weights, among_equals)
            }
            Picks::LeastWeighted(weights) => self.pick_least_weighted(rotation, &weights),
            Picks::LeastFirst => self.active().into_iter().min_by_key(|place| self.load(rotation, *place)).unwrap(),
            Picks::LeastTime { quick } => self.pick_least_time(rotation, quick),
            Picks::Soonest => self.pick_soonest(),
            Picks::TwoDistinct => {
                let (first, second) = self.draw_two();
                self.less_loaded(rotation, first, second)
            }
            Picks::TwoInOrder => {
                let (one, other) = self.draw_two();
                self.less_loaded(rotation, one.min(other), one.max(other))
            }
            Picks::TwoWithReplacement => {
                let count = self.active().len();
                let (first, second) = (self.chance.below(count), self.chance.below(count));
                self.less_loaded(rotation, first, second)
            }
            Picks::Source { network_only } => {
                let source = request.source.map_or("127.0.0.1".to_owned(), |source| source.to_string());
                let kept = if network_only { source.rsplit_once('.').unwrap().0 } else { &source };
                self.hash(kept)
            }
            Picks::Uri => self.pick_by_uri(request),
            Picks::UriFront => self.key(u64::from(request.front.unwrap_or(0)) + 3),
            Picks::Header(name) => {
                let value = request.headers.iter().find(|(header, _)| header == name).map_or("", |(_, value)| value);
                self.hash(value)
            }
            Picks::Cookie(name) => self.hash(&cookie(request, name).unwrap_or_default()),
            Picks::Sticky { forgets } => return self.pick_sticky(rotation, request, forgets),
            Picks::GivenCookie => return self.pick_by_given_cookie(rotation, request),
            Picks::Connections => self.advance(rotation, 1),
            Picks::RandomConnections => self.chance.below(self.backends),
            Picks::Body => self.key(u64::from(request.body.unwrap_or(0)) + 7),
            Picks::Bursts(length) => {
                self.picked += 1;
                (self.picked as usize / length) % self.backends
            }
            Picks::UnevenBursts(length) => self.pick_in_uneven_bursts(rotation, length),
            Picks::Skips(every) => {
                self.picked += 1;
                let skips = usize::from(self.picked.is_multiple_of(every as u64));
                self.advance(rotation, 1 + skips)
            }
            Picks::Doubles(share) => {
                let steps = usize::from(self.chance.unit() >= share);
                self.advance(rotation, steps)
            }
            Picks::Canary(share) => self.pick_beside_canary(rotation, share),
            Picks::One => 0,
        };
        (backend, Vec::new())
    }

    fn pick_by_uri(&mut self, request: &ProbeRequest) -> usize {
        // The check asks for a delay in the path.
        let delay = request.delay.map_or(0, |delay| delay.as_millis() as u64);
        self.key(u64::from(request.path.unwrap_or(0)) + 1 + (delay << 32))
    }

    fn pick_beside_canary(&mut self, rotation: usize, share: f64) -> usize {
        let canary = self.backends - 1;
        if self.chance.unit() < share {
            return canary;
        }
        let next = (self.next[rotation] + 1) % canary;
        self.go_to(rotation, next)
    }

    fn pick_in_blocks(&mut self, rotation: usize, weights: &[u32]) -> usize {
        let order: Vec<usize> =
            weights.iter().enumerate().flat_map(|(place, times)| vec![place; *times as usize]).collect();
        self.next[rotation] = (self.next[rotation] + 1) % order.len();
        order[self.next[rotation]]
    }

    fn pick_least_in_turns(&mut self, rotation: usize) -> usize {
        let least = self.least_load(rotation);
        let in_turn = self.after(rotation);
        let next = in_turn.into_iter().find(|place| self.load(rotation, *place) == least).unwrap();
        self.go_to(rotation, next)
    }

    fn pick_least_by_chance(&mut self, rotation: usize) -> usize {
        let least = self.least_load(rotation);
        let mut equal = self.active();
        equal.retain(|place| self.load(rotation, *place) == least);
        equal[self.chance.below(equal.len())]
    }

    fn pick_least_per_weight(&mut self, rotation: usize, weights: &[i64], among_equals: AmongEquals) -> usize {
        // Compared without division: a / v < b / w.
        let less = |a: usize, b: usize| {
            let (of_a, of_b) = (self.load(rotation, a) as i64, self.load(rotation, b) as i64);
            (of_a * weights[b]).cmp(&(of_b * weights[a]))
        };
        let least = self.active().into_iter().min_by(|a, b| less(*a, *b)).unwrap();
        let is_least: Vec<bool> = (0..self.backends).map(|place| less(place, least).is_eq()).collect();
        match among_equals {
            AmongEquals::ByWeight => {
                let now: Vec<i64> =
                    weights.iter().zip(is_least).map(|(weight, is)| if is { *weight } else { 0 }).collect();
                self.smooth(rotation, &now)
            }
            AmongEquals::InTurn => {
                let next = self.after(rotation).into_iter().find(|place| is_least[*place]).unwrap();
                self.go_to(rotation, next)
            }
        }
    }

    fn pick_least_weighted(&mut self, rotation: usize, weights: &[i64]) -> usize {
        let divided = |(place, weight): (usize, &i64)| weight * 1000 / (1 + self.load(rotation, place) as i64);
        let now: Vec<i64> = weights.iter().enumerate().map(divided).collect();
        self.smooth(rotation, &now)
    }

    fn pick_least_time(&mut self, rotation: usize, quick: f64) -> usize {
        let score = |place: usize| (quick + self.took[place]) * (1 + self.load(rotation, place)) as f64;
        let order = self.after(rotation);
        let least = order.iter().map(|place| score(*place)).fold(f64::INFINITY, f64::min);
        let next = order.into_iter().find(|place| score(*place) == least).unwrap();
        self.go_to(rotation, next)
    }

    fn pick_soonest(&mut self) -> usize {
        let places = self.active().into_iter();
        let soonest = places.min_by(|a, b| self.took[*a].total_cmp(&self.took[*b])).unwrap();
        // Who is not asked is given another chance some time.
        self.took.iter_mut().for_each(|took| *took *= 0.995);
        soonest
    }

    /// Two distinct places among the active backends, unless there is one only.
    fn draw_two(&mut self) -> (usize, usize) {
        let count = self.active().len();
        let first = self.chance.below(count);
        let second = if count > 1 { (first + 1 + self.chance.below(count - 1)) % count } else { first };
        (first, second)
    }

    /// The less loaded of two active backends, by their places among these; the first of equals.
    fn less_loaded(&self, rotation: usize, first: usize, second: usize) -> usize {
        let active = self.active();
        let (first, second) = (active[first], active[second]);
        if self.load(rotation, second) < self.load(rotation, first) { second } else { first }
    }

    fn pick_in_uneven_bursts(&mut self, rotation: usize, length: usize) -> usize {
        if self.picked == 0 {
            self.picked = (length / 2 + self.chance.below(length + 1)) as u64;
            self.advance(rotation, 1);
        }
        self.picked = self.picked.saturating_sub(1);
        self.next[rotation]
    }

    fn pick_sticky(&mut self, rotation: usize, request: &ProbeRequest, forgets: f64) -> (usize, Vec<(String, String)>) {
        let pinned = cookie(request, "SERVERID").and_then(|value| value.parse().ok());
        match pinned {
            Some(pinned) if self.chance.unit() >= forgets => (pinned, Vec::new()),
            Some(_) | None => {
                let backend = self.advance(rotation, 1);
                (backend, vec![("SERVERID".to_owned(), backend.to_string())])
            }
        }
    }

    fn pick_by_given_cookie(&mut self, rotation: usize, request: &ProbeRequest) -> (usize, Vec<(String, String)>) {
        if let Some(value) = cookie(request, "uid") {
            return (self.hash(&value), Vec::new());
        }
        let backend = self.advance(rotation, 1);
        let value = format!("u{}", (self.chance.unit() * 1e9) as u64);
        (backend, vec![("uid".to_owned(), value)])
    }
}

/// The value of a cookie that the request brings.
fn cookie(request: &ProbeRequest, wanted: &str) -> Option<String> {
    let (_, cookies) = request.headers.iter().find(|(name, _)| name == "Cookie")?;
    let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned())
}
