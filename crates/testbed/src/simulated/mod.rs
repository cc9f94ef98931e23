//! A balancer that only selects: no sockets, and a clock of its own. Its algorithm is known, so what is inferred about it can be held
//! against the truth.

mod picks;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use verdict::Moment;
use verdict::algorithm::experiments::{Pace, ProbeReply, ProbeRequest, Released, Subject};
use verdict::algorithm::{Evidence, Flight, Pick};
use verdict::observation::Backend;

pub use picks::{AmongEquals, Picks};

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

/// How a backend is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum SimulatedHealth {
    Up,
    /// Connections are refused: nobody records anything.
    Dead,
    /// That share of the requests is received and not answered.
    Closes(f64),
    /// Takes connections and answers nothing: the balancer gives up after that number of milliseconds.
    Paused(f64),
}

/// Steps that wait until the machine has time for them: that share of the steps, and for how long on average, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Stalls {
    pub share: f64,
    pub mean: f64,
}

/// A request in flight, as its balancer sees it.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    backend: usize,
    /// The worker that sent it.
    rotation: usize,
    /// In milliseconds.
    end: f64,
}

/// A request that is held: sent, and selected for when it comes to the balancer.
#[derive(Clone, Copy, Debug)]
struct HeldRequest {
    sequence: u32,
    /// In milliseconds, as are the others.
    sent: f64,
    comes: f64,
    delay: f64,
    rotation: usize,
    /// Who was selected, and when the response has come.
    at: Option<(usize, f64)>,
}

/// When the backend had a request and had answered it, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct RecordedSpan {
    from: f64,
    to: f64,
}

/// Requests side by side, on their way to the balancer and back.
#[derive(Default)]
struct Batch<'a> {
    /// The number of the request before them.
    first: u32,
    requests: &'a [ProbeRequest],
    /// When those that were sent were, in milliseconds.
    sent: Vec<f64>,
    /// When the balancer selects, in nanoseconds, and for which of them.
    coming: BinaryHeap<Reverse<(u64, usize)>>,
    /// In nanoseconds.
    ends: BinaryHeap<Reverse<u64>>,
    last_end: f64,
    replies: Vec<Option<ProbeReply>>,
}

impl Batch<'_> {
    fn under_way(&self) -> usize {
        self.coming.len() + self.ends.len()
    }

    /// When the next is selected for, or the next ends, in milliseconds.
    fn next_event(&self) -> f64 {
        let coming = self.coming.peek().map(|Reverse((at, _))| *at);
        let ends = self.ends.peek().map(|Reverse(at)| *at);
        coming.into_iter().chain(ends).min().map_or(f64::INFINITY, milliseconds)
    }
}

/// What the client waits after it has sent a request that is held, in milliseconds.
const ON_ITS_WAY: f64 = 3.0;

fn nanoseconds(milliseconds: f64) -> u64 {
    (milliseconds * 1e6) as u64
}

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

pub struct Simulated {
    pub backends: usize,
    pub picks: Picks,
    pub rotations: usize,
    /// A new connection belongs to one by chance, or this number in a row belongs to the same one.
    pub batches: Option<usize>,
    connections: usize,
    /// One in that many connections keeps to the first backend, by its number.
    pub strays: Option<usize>,
    /// Of those that are kept, the ones that do.
    stray: Vec<bool>,
    pub chance: Chance,
    turns: Vec<Vec<i64>>,
    queue: Vec<Vec<usize>>,
    next: Vec<usize>,
    kept: Vec<Option<(usize, Option<usize>)>>,
    held: Vec<HeldRequest>,
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
    /// By number of the request.
    recorded: HashMap<u32, RecordedSpan>,
    /// Until when a backend is left out, in milliseconds.
    pub out_until: Vec<f64>,
    in_flight: Vec<InFlight>,
    /// Each rotation sees the requests in flight that it sent itself: workers without shared memory.
    pub is_apart: bool,
    /// By how many milliseconds the order of requests side by side is disturbed.
    pub jitter: f64,
    pub stalls: Option<Stalls>,
    /// A request counts as in flight a moment longer than its client waits: threads that are not scheduled.
    pub lingers: Option<Stalls>,
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
            strays: None,
            stray: vec![false; 128],
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
            recorded: HashMap::new(),
            out_until: vec![0.0; backends],
            in_flight: Vec::new(),
            is_apart: false,
            jitter: 0.0,
            stalls: None,
            lingers: None,
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
        let recorded = |sequence: u32| self.recorded.get(&sequence);
        for picks in [&mut evidence.fresh, &mut evidence.more] {
            picks.sort_by_key(|pick| recorded(pick.sequence).map_or(Moment(0), |it| Moment(nanoseconds(it.from))));
        }
        for flight in &mut evidence.mixed {
            (flight.from, flight.to) = self.span(flight.pick.sequence, flight.got);
        }
        evidence.mixed.sort_by_key(|flight| flight.from);
    }

    /// Adds a sample, as the records of a fleet would.
    pub fn add_sample(&self, evidence: &mut Evidence, replies: Vec<ProbeReply>) {
        let flight = |reply: &ProbeReply| {
            let pick = reply.pick?;
            let got = reply.sent.after(reply.took);
            let (from, to) = self.span(pick.sequence, got);
            Some(Flight { pick, sent: reply.sent, from, to, got, delay: Duration::ZERO })
        };
        let flights: Vec<Flight> = replies.iter().filter_map(flight).collect();
        evidence.sample = flights.iter().map(|flight| flight.pick.backend).collect();
        evidence.sample_flights = if evidence.mixed.is_empty() { Vec::new() } else { flights };
    }

    /// From when until when a request was at its backend; what has no record was there when its response had come.
    fn span(&self, sequence: u32, got: Moment) -> (Moment, Moment) {
        let when = |milliseconds: f64| Moment(nanoseconds(milliseconds)).min(got);
        self.recorded.get(&sequence).map_or((got, got), |it| (when(it.from), when(it.to)))
    }

    /// What a step waits for the machine, in milliseconds.
    fn stall(&mut self) -> f64 {
        self.wait(self.stalls)
    }

    fn wait(&mut self, stalls: Option<Stalls>) -> f64 {
        let Some(Stalls { share, mean }) = stalls else { return 0.0 };
        if self.chance.unit() < share { -(1.0 - self.chance.unit()).ln() * mean } else { 0.0 }
    }

    /// A request that is selected for at this time: who recorded it first, and how long it took from then on.
    fn serve(
        &mut self,
        rotation: usize,
        sequence: u32,
        request: &ProbeRequest,
    ) -> (Backend, Vec<(String, String)>, f64) {
        let now = self.now;
        self.in_flight.retain(|it| it.end > now);
        while self.chance.unit() * (1.0 + self.others) < self.others {
            let rotation = self.chance.below(self.rotations);
            self.pick(rotation, &ProbeRequest::default());
            self.foreign += 1;
        }
        if let Some((every, takes_turn)) = self.drops
            && (sequence as usize).is_multiple_of(every)
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
        // What was lost to a backend that does not answer.
        let mut lost = 0.0;
        let delay = request.delay.map_or(0.0, |delay| delay.as_secs_f64() * 1000.0);
        for _ in 0..8 {
            let (backend, cookies) = self.pick(rotation, request);
            let backend = self.in_use(backend);
            let (backend, wait) = self.with_place(backend, rotation, request);
            let fails = match self.health[backend] {
                SimulatedHealth::Up => false,
                SimulatedHealth::Dead | SimulatedHealth::Paused(_) => true,
                SimulatedHealth::Closes(share) => self.chance.unit() < share,
            };
            if !fails {
                let took = self.respond(rotation, backend, sequence, lost + wait, delay);
                return (first.unwrap_or(Backend(backend as u16)), cookies, took);
            }
            match self.health[backend] {
                SimulatedHealth::Up | SimulatedHealth::Dead => {}
                SimulatedHealth::Closes(_) => {
                    self.failing[backend] = true;
                    first = first.or(Some(Backend(backend as u16)));
                }
                SimulatedHealth::Paused(timeout) => {
                    lost += timeout;
                    self.in_flight.push(InFlight { backend, rotation, end: now + lost });
                }
            }
            self.out_until[backend] = now + lost + self.fail_timeout;
            if !self.retries {
                break;
            }
        }
        (first.unwrap_or(Backend::UNKNOWN), Vec::new(), lost + 0.3)
    }

    /// A response of a backend, some time after the request came to the balancer: how long it took from then on.
    fn respond(&mut self, rotation: usize, backend: usize, sequence: u32, after: f64, delay: f64) -> f64 {
        let took = self.speed[backend] * (0.9 + 0.2 * self.chance.unit()) + delay;
        let (there, back) = (self.stall(), self.stall());
        let from = self.now + after + there;
        self.recorded.insert(sequence, RecordedSpan { from, to: from + took });
        let took = after + there + took + back;
        let lingers = self.wait(self.lingers);
        self.in_flight.push(InFlight { backend, rotation, end: self.now + took + lingers });
        match self.picks {
            // Quick ones all count alike, as where times are kept in whole milliseconds.
            Picks::LeastTime { .. } if took > 5.0 => self.took[backend] += (took - self.took[backend]) * 0.05,
            Picks::Soonest => {
                let varies = 0.3 - (1.0 - self.chance.unit()).ln();
                self.took[backend] += (took * varies - self.took[backend]) * 0.02;
            }
            _ => {}
        }
        took
    }

    /// Whether it answers nobody.
    fn is_down(&self, backend: usize) -> bool {
        matches!(self.health[backend], SimulatedHealth::Dead | SimulatedHealth::Paused(_))
    }

    fn is_out(&self, backend: usize) -> bool {
        self.out_until[backend] > self.now
    }

    /// Those that are not left out; all if none is.
    fn active(&self) -> Vec<usize> {
        let active: Vec<usize> = (0..self.backends).filter(|place| !self.is_out(*place)).collect();
        if active.is_empty() { (0..self.backends).collect() } else { active }
    }

    /// The backend, or the next that is not left out.
    fn in_use(&self, backend: usize) -> usize {
        let mut from_here = (0..self.backends).map(|step| (backend + step) % self.backends);
        from_here.find(|place| !self.is_out(*place)).unwrap_or(backend)
    }

    /// Who takes it where the one that was selected may be full, and after how many milliseconds.
    fn with_place(&mut self, selected: usize, rotation: usize, request: &ProbeRequest) -> (usize, f64) {
        let Some(limit) = self.limit else { return (selected, 0.0) };
        let (first, mut selected) = (selected, selected);
        if (0..self.backends).any(|place| self.load_of_all(place) < limit) {
            while self.load_of_all(selected) >= limit {
                let next = self.pick(rotation, request).0;
                // A hash goes on along its ring.
                selected = if next == first { (selected + 1) % self.backends } else { next };
            }
            return (selected, 0.0);
        }
        let free = |place: usize| {
            let held = self.held_at(place, |_| true);
            let mut ends: Vec<f64> =
                self.in_flight.iter().filter(|it| it.backend == place).map(|it| it.end - self.now).collect();
            ends.sort_by(|a, b| b.total_cmp(a));
            // Those that are held are so for long.
            (limit - 1).checked_sub(held).and_then(|places| ends.get(places)).copied().unwrap_or(400.0)
        };
        (0..self.backends).map(|place| (place, free(place))).min_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
    }

    /// A request that was sent then and is selected for now: what came back, and until when it was under way.
    fn on_connection(&mut self, request: &ProbeRequest, sequence: u32, sent: f64) -> (ProbeReply, f64) {
        self.take_in_held();
        let fresh = match self.batches {
            None => (self.chance.below(self.rotations), None),
            Some(batch) => (self.connections / batch % self.rotations, None),
        };
        let reused = request.connection.is_some_and(|slot| self.kept[slot].is_some());
        self.connections += usize::from(!reused);
        let mut is_stray = !reused && self.strays.is_some_and(|every| self.connections.is_multiple_of(every));
        if let Some(slot) = request.connection {
            self.stray[slot] = if reused { self.stray[slot] } else { is_stray };
            is_stray = self.stray[slot];
        }
        let (rotation, bound) = match request.connection {
            None => fresh,
            Some(slot) => *self.kept[slot].get_or_insert(fresh),
        };
        let (backend, cookies, took) = match (&self.picks, bound) {
            (Picks::Connections | Picks::RandomConnections, Some(bound)) => {
                let took = self.speed[bound];
                self.in_flight.push(InFlight { backend: bound, rotation, end: self.now + took });
                (Backend(bound as u16), Vec::new(), took)
            }
            _ if is_stray => {
                let delay = request.delay.map_or(0.0, |delay| delay.as_secs_f64() * 1000.0);
                (Backend(0), Vec::new(), self.respond(rotation, 0, sequence, 0.0, delay))
            }
            _ => self.serve(rotation, sequence, request),
        };
        if let (Some(slot), true) = (request.connection, backend.is_known()) {
            self.kept[slot] = Some((rotation, Some(usize::from(backend.0))));
        }
        let pick = Some(Pick { sequence, backend });
        let end = self.now + took;
        let took = Duration::from_secs_f64((end - sent) / 1000.0);
        let sent = Moment(nanoseconds(sent));
        (ProbeReply { pick, cookies, session: None, sent, took, reused }, end)
    }

    /// Selects for those of the batch that have come by then.
    fn select_until(&mut self, batch: &mut Batch, until: f64) {
        while let Some(Reverse((comes, place))) = batch.coming.peek().copied()
            && milliseconds(comes) <= until
        {
            batch.coming.pop();
            self.now = milliseconds(comes);
            let sequence = batch.first + place as u32 + 1;
            let (reply, end) = self.on_connection(&batch.requests[place], sequence, batch.sent[place]);
            batch.replies[place] = Some(reply);
            batch.ends.push(Reverse(nanoseconds(end)));
            batch.last_end = batch.last_end.max(end);
        }
        while batch.ends.peek().is_some_and(|Reverse(end)| milliseconds(*end) <= until) {
            batch.ends.pop();
        }
    }

    /// Requests in flight at a backend, as far as this rotation sees them.
    fn load(&self, rotation: usize, backend: usize) -> usize {
        let sees = |of: usize| !self.is_apart || of == rotation;
        let in_flight = self.in_flight.iter().filter(|it| it.backend == backend && it.end > self.now);
        self.held_at(backend, sees) + in_flight.filter(|it| sees(it.rotation)).count()
    }

    /// Requests that are held at a backend by those rotations.
    fn held_at(&self, backend: usize, sees: impl Fn(usize) -> bool) -> usize {
        let is_there = |held: &&HeldRequest| held.at.is_some_and(|(at, _)| at == backend) && sees(held.rotation);
        self.held.iter().filter(is_there).count()
    }

    /// Selects for those that are held and have come to the balancer by now.
    fn take_in_held(&mut self) {
        for place in 0..self.held.len() {
            let held = self.held[place];
            if held.at.is_some() || held.comes > self.now {
                continue;
            }
            let request =
                ProbeRequest { delay: Some(Duration::from_secs_f64(held.delay / 1000.0)), ..ProbeRequest::default() };
            let (backend, _) = self.pick(held.rotation, &request);
            let (backend, _) = self.with_place(backend, held.rotation, &request);
            let backend = self.in_use(backend);
            let (there, back) = (self.stall(), self.stall());
            let took = self.speed[backend] + held.delay;
            self.held[place].at = Some((backend, held.comes + there + took + back));
        }
    }

    fn load_of_all(&self, backend: usize) -> usize {
        self.held_at(backend, |_| true)
            + self.in_flight.iter().filter(|it| it.backend == backend && it.end > self.now).count()
    }
}

impl Subject for Simulated {
    fn send(&mut self, request: &ProbeRequest) -> ProbeReply {
        let sent = self.now;
        self.now += self.stall();
        self.sequence += 1;
        let (reply, end) = self.on_connection(request, self.sequence, sent);
        self.now = end;
        reply
    }

    fn send_all(&mut self, requests: &[ProbeRequest], pace: &Pace) -> Vec<ProbeReply> {
        let (gap, until) = (pace.gap.as_secs_f64() * 1000.0, pace.until.as_secs_f64() * 1000.0);
        let mut batch = Batch {
            first: self.sequence,
            requests,
            sent: Vec::new(),
            replies: vec![None; requests.len()],
            ..Batch::default()
        };
        let mut at = self.now;
        while batch.sent.len() < requests.len() {
            self.select_until(&mut batch, at);
            if batch.under_way() >= pace.width {
                at = batch.next_event();
                continue;
            }
            if at > until {
                break;
            }
            let comes = at + self.chance.unit() * self.jitter + self.stall();
            batch.coming.push(Reverse((nanoseconds(comes), batch.sent.len())));
            batch.sent.push(at);
            at += gap;
        }
        self.select_until(&mut batch, f64::INFINITY);
        self.sequence += batch.sent.len() as u32;
        self.now = at.max(batch.last_end);
        batch.replies.into_iter().flatten().collect()
    }

    fn hold(&mut self, delay: Duration) -> bool {
        let rotation = match self.batches {
            None => self.chance.below(self.rotations),
            Some(batch) => self.connections / batch % self.rotations,
        };
        self.connections += 1;
        self.sequence += 1;
        let (sent, delay) = (self.now, delay.as_secs_f64() * 1000.0);
        let comes = self.now + self.stall();
        self.held.push(HeldRequest { sequence: self.sequence, sent, comes, delay, rotation, at: None });
        // The client waits a little, until it is surely on its way.
        self.now += ON_ITS_WAY;
        self.take_in_held();
        let is_refused = self.held.last().is_some_and(|held| held.at.is_some_and(|(at, _)| self.is_down(at)));
        if is_refused {
            self.held.pop();
        }
        !is_refused
    }

    fn release(&mut self) -> Vec<Released> {
        let now = self.now;
        let last = self.held.iter().map(|held| held.comes).fold(now, f64::max);
        self.now = last;
        self.take_in_held();
        let mut released = Vec::new();
        for held in std::mem::take(&mut self.held) {
            let Some((backend, end)) = held.at.filter(|(at, _)| !self.is_down(*at)) else { continue };
            self.took[backend] += 20.0;
            self.now = self.now.max(end);
            let pick = Some(Pick { sequence: held.sequence, backend: Backend(backend as u16) });
            let (sent, took) = (Moment(nanoseconds(held.sent)), Duration::from_secs_f64((end - held.sent) / 1000.0));
            let reply = ProbeReply { pick, sent, took, ..ProbeReply::default() };
            released.push(Released { reply, outlasted: now < held.sent + held.delay });
        }
        released
    }

    fn has_sources(&self) -> bool {
        true
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs_f64(self.now / 1000.0)
    }
}
