//! The experiments that give the evidence: what is sent, in which order, and when enough is known. Who sends it is a [`Subject`].
//!
//! Fast services are asked one request after the other. Where that does not fit into the time, requests go side by side, each a little
//! after the one before: the order in which they reach backends is evidence just the same.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::Moment;
use crate::algorithm::evidence::{Evidence, Flight, Hold, Key, Missing, Pick, Trial, Why, backends};
use crate::algorithm::order::{Order, counts};
pub use crate::algorithm::subject::{Pace, Reply, Request, Setting, Subject};
use crate::observation::Backend;

const FRESH: usize = 600;
const KEPT: usize = 150;
/// In place of a sample.
const MORE: usize = 6000;
const VALUES: u32 = 24;
const TIMES: usize = 3;
const CLIENTS: usize = 16;
const CONNECTIONS: usize = 16;
/// Requests on each of these.
const ROUNDS_ON_CONNECTION: usize = 3;
const CURSOR_CONNECTIONS: usize = 32;
const OTHERS: usize = 400;
/// Requests of all experiments one after the other, roughly.
const SERIAL: f64 = 2_000.0;
/// In flight at most, where requests go side by side.
const WIDTH: usize = 96;
/// From one to the next: a balancer that is not starved has picked by then.
const GAP: Duration = Duration::from_millis(2);
const HEADERS: [&str; 8] =
    ["X-User", "X-User-Id", "X-Session-Id", "X-Api-Key", "X-Forwarded-For", "X-Real-IP", "Authorization", "User-Agent"];
const COOKIES: [&str; 9] =
    ["session", "sessionid", "sid", "user", "id", "route", "SERVERID", "JSESSIONID", "PHPSESSID"];

/// Does all experiments that make sense.
pub fn run(subject: &mut dyn Subject, setting: &Setting) -> Evidence {
    let evidence = Evidence { backends: setting.backends, ..Evidence::default() };
    let mut lab = Lab { subject, setting, evidence, chance: 0x2545_f491_4f6c_dd1d, usual: Duration::ZERO, sent: 0 };
    lab.run();
    lab.evidence
}

struct Lab<'a> {
    subject: &'a mut dyn Subject,
    setting: &'a Setting,
    evidence: Evidence,
    chance: u64,
    /// What a request takes, smoothed.
    usual: Duration,
    sent: u64,
}

impl Lab<'_> {
    fn run(&mut self) {
        let size = self.setting.backends.unwrap_or(8).max(2);
        if self.setting.budget.is_zero() {
            return self.miss_all(Why::NotWanted);
        }
        let first = self.pilot(size);
        if self.left().is_zero() {
            return self.miss_all(Why::NoTime);
        }
        self.connections();
        let wanted = if self.is_serial() { FRESH.max(12 * size) } else { 200.max(20 * size) };
        self.fresh(wanted, size);
        let is_one = matches!(Order::of(&backends(&self.evidence.fresh)), Order::One(_));
        if is_one && self.setting.backends == Some(1) {
            return;
        }
        if !is_one && self.is_serial() {
            let kept = Request { connection: Some(0), ..Request::default() };
            let count = self.affordable(KEPT.max(4 * size), 0.5);
            self.evidence.kept = self.series(&vec![kept; count], 0.5).into_iter().filter_map(|it| it.pick).collect();
        }
        if let (false, false) = (is_one, first.is_empty()) {
            let names = first.iter().map(|(name, _)| name.clone()).collect();
            if let Some(jar) = self.jar() {
                self.evidence.jar = Some((names, jar));
            }
        }
        if !is_one && self.is_serial() {
            let kept = Order::of(&backends(&self.evidence.kept));
            if let (Order::Turns { period, exceptions: 0 }, false) =
                (kept, Order::of(&backends(&self.evidence.fresh)).is_of_one_rotation())
                && counts(&period).len() == period.len()
            {
                self.evidence.rotations = self.rotations(&period);
            }
        }
        // What is more likely comes first, should the time not suffice for both.
        if is_one {
            self.keys(true);
            // Among equals a balancer that looks at load may always take the first.
            if !self.evidence.keys.iter().any(|(_, trial)| trial.spread() > 1) {
                self.load();
            }
        } else {
            self.load();
            self.keys(false);
        }
        // Many rotations, each for itself, look like chance until many requests are compared.
        let is_chance = matches!(Order::of(&backends(&self.evidence.fresh)), Order::Chance);
        if !self.setting.is_followed && is_chance && self.is_serial() {
            let count = self.affordable(MORE, 1.0);
            let more: Vec<Pick> =
                self.series(&vec![Request::default(); count], 1.0).into_iter().filter_map(|it| it.pick).collect();
            self.evidence.more = more;
        }
    }

    /// A few side by side: what a request takes, and which cookies come with the first response.
    fn pilot(&mut self, size: usize) -> Vec<(String, String)> {
        let count = (2 * size).clamp(8, 64);
        let pace = Pace { width: count, gap: self.gap(), until: self.setting.budget };
        let replies = self.subject.send_all(&vec![Request::default(); count], &pace);
        self.sent += replies.len() as u64;
        // The mean without the slowest: a busy machine makes one of a few slow now and then.
        let mut took: Vec<Duration> = replies.iter().map(|reply| reply.took).collect();
        took.sort_unstable();
        took.truncate((took.len() * 7).div_ceil(8));
        self.usual = took.iter().sum::<Duration>() / took.len().max(1) as u32;
        replies.into_iter().map(|reply| reply.cookies).find(|cookies| !cookies.is_empty()).unwrap_or_default()
    }

    fn fresh(&mut self, wanted: usize, size: usize) {
        let count = self.affordable(wanted, 0.4);
        if count < wanted.min(60) {
            self.evidence.missing.push(Missing::Order { sent: count, why: self.why_not() });
        }
        // What never changes in so many will not.
        let enough = 60 + 12 * size;
        for part in [count.min(enough), count.saturating_sub(enough)] {
            let replies = self.series(&vec![Request::default(); part], 0.4);
            self.evidence.fresh.extend(replies.into_iter().filter_map(|reply| reply.pick));
            if matches!(Order::of(&backends(&self.evidence.fresh)), Order::One(_)) {
                break;
            }
        }
        let fresh = self.evidence.fresh.len();
        if fresh * 2 < count.min(60) {
            self.evidence.missing.push(Missing::Order { sent: fresh, why: Why::Cached });
        }
    }

    /// Whether all requests of a connection go the same way. Connections take it in turns, in another order each round, so that what keeps
    /// to a backend for a while, or what rotates, is not taken for it.
    fn connections(&mut self) {
        let mut rows = vec![Vec::new(); CONNECTIONS];
        let mut reused = 0;
        for round in 0..ROUNDS_ON_CONNECTION {
            let places = self.shuffled(CONNECTIONS);
            let requests: Vec<Request> =
                places.iter().map(|slot| Request { connection: Some(*slot), ..Request::default() }).collect();
            let replies = self.series(&requests, 0.5);
            for (slot, reply) in places.into_iter().zip(replies) {
                // The first, and those on a connection that was kept indeed.
                if round == 0 || reply.reused {
                    reused += usize::from(reply.reused);
                    rows[slot].extend(reply.pick);
                } else {
                    rows[slot] = reply.pick.into_iter().collect();
                }
            }
        }
        let sent: usize = rows.iter().map(Vec::len).sum();
        if sent < CONNECTIONS * 2 && reused > 0 || sent == 0 {
            self.evidence.missing.push(Missing::Connections(Why::NoTime));
        } else if reused < CONNECTIONS {
            self.evidence.missing.push(Missing::Connections(Why::NotKept));
        }
        self.evidence.connections = Trial { rows };
    }

    fn trial(&mut self, values: u32, request: impl Fn(u32) -> Request) -> Trial {
        let mut rows = vec![Vec::new(); values as usize];
        let places: Vec<usize> = (0..TIMES).flat_map(|_| self.shuffled(values as usize)).collect();
        let requests: Vec<Request> = places.iter().map(|place| request(*place as u32 + 1)).collect();
        for (place, reply) in places.into_iter().zip(self.series(&requests, 0.9)) {
            rows[place].extend(reply.pick);
        }
        Trial { rows }
    }

    /// Varies one thing at a time. Address and path cannot decide where requests that have both alike went to several backends.
    fn keys(&mut self, is_one: bool) {
        let needed = VALUES as usize * TIMES;
        if is_one {
            if !self.subject.has_sources() {
                self.evidence.missing.push(Missing::Source(Why::Impossible));
            } else if self.affordable(2 * needed, 0.9) < 2 * needed {
                self.evidence.missing.push(Missing::Source(self.why_not()));
            } else {
                let from =
                    |a, b| Request { source: Some(IpAddr::V4(Ipv4Addr::new(127, 0, a, b))), ..Request::default() };
                let network = self.trial(VALUES, |value| from(value as u8, 1));
                self.evidence.keys.push((Key::Network, network));
                let host = self.trial(VALUES, |value| from(0, value as u8 + 1));
                self.evidence.keys.push((Key::Host, host));
            }
            if self.setting.keeps_path {
                self.evidence.missing.push(Missing::Path(Why::NotOurs));
            } else if self.affordable(needed, 0.9) < needed {
                self.evidence.missing.push(Missing::Path(self.why_not()));
            } else {
                let path = self.trial(VALUES, |value| Request { path: Some(value), ..Request::default() });
                self.evidence.keys.push((Key::Path, path));
            }
        }
        if self.setting.has_body {
            if self.affordable(needed, 0.9) < needed {
                self.evidence.missing.push(Missing::Body(self.why_not()));
            } else {
                let body = self.trial(VALUES, |value| Request { body: Some(value), ..Request::default() });
                self.evidence.keys.push((Key::Body, body));
            }
        }
        let names = |usual: &[&str], more: &[String]| -> Vec<String> {
            let usual = usual.iter().map(|name| (*name).to_owned());
            more.iter().cloned().chain(usual.filter(|name| !more.contains(name))).collect()
        };
        let header = |names: &[String], value: u32| Request {
            headers: names.iter().map(|name| (name.clone(), header_value(name, value))).collect(),
            ..Request::default()
        };
        let cookie = |names: &[String], value: u32| {
            let pairs: Vec<String> = names.iter().map(|name| format!("{name}=value-{value}")).collect();
            Request { headers: vec![("Cookie".to_owned(), pairs.join("; "))], ..Request::default() }
        };
        match self.affordable(needed, 0.9) < needed {
            true => self.evidence.missing.push(Missing::Header(self.why_not())),
            false => self.find(&names(&HEADERS, &self.setting.headers), header, Key::Header),
        }
        match self.affordable(needed, 0.9) < needed {
            true => self.evidence.missing.push(Missing::Cookie(self.why_not())),
            false => self.find(&names(&COOKIES, &self.setting.cookies), cookie, Key::Cookie),
        }
    }

    /// Varies all of these at once, and if that makes a difference finds out which of them does.
    fn find(&mut self, names: &[String], request: impl Fn(&[String], u32) -> Request, key: impl Fn(String) -> Key) {
        let all = self.trial(VALUES, |value| request(names, value));
        if !all.decides() {
            self.evidence.keys.push((key(names.join(", ")), all));
            return;
        }
        let mut left = names;
        // The same value of the same name, whatever stands beside it, must go the same way.
        let mut rows = all;
        while left.len() > 1 {
            let (some, rest) = left.split_at(left.len() / 2);
            let trial = self.trial(VALUES, |value| request(some, value));
            if trial.decides() {
                rows = rows.with(trial);
                left = some;
            } else {
                left = rest;
            }
        }
        let one = self.trial(VALUES, |value| request(left, value));
        self.evidence.keys.push((key(left.join(", ")), rows.with(one)));
    }

    /// Clients that bring back the cookies that they were given.
    fn jar(&mut self) -> Option<Trial> {
        let rounds = if self.is_serial() { TIMES * 2 } else { 4 };
        if self.affordable(CLIENTS * (rounds + 1), 0.8) < CLIENTS * (rounds + 1) {
            self.evidence.missing.push(Missing::Jar(self.why_not()));
            return None;
        }
        let mut firsts = self.series(&vec![Request::default(); CLIENTS], 0.9);
        // Without a cookie there is nothing to bring back.
        firsts.retain(|first| !first.cookies.is_empty());
        // The first response gives the cookie, whoever was tried before it; those that follow are bound to it.
        let mut rows: Vec<Vec<Pick>> = vec![Vec::new(); firsts.len()];
        for _ in 0..rounds {
            let places = self.shuffled(firsts.len());
            let again = |place: &usize| {
                let cookies = firsts[*place].cookies.iter().map(|(name, value)| format!("{name}={value}"));
                let cookies = cookies.collect::<Vec<String>>().join("; ");
                Request { headers: vec![("Cookie".to_owned(), cookies)], ..Request::default() }
            };
            let requests: Vec<Request> = places.iter().map(again).collect();
            for (place, reply) in places.into_iter().zip(self.series(&requests, 0.9)) {
                rows[place].extend(reply.pick);
            }
        }
        Some(Trial { rows })
    }

    /// How many rotations a number of connections show: two share one if a request on the one moves the position of the other.
    fn rotations(&mut self, turns: &[Backend]) -> Option<(usize, usize)> {
        let open = |slot: usize| Request { connection: Some(slot), ..Request::default() };
        self.series(&(0..CURSOR_CONNECTIONS).map(open).collect::<Vec<Request>>(), 0.8);
        let mut sequences: Vec<(Pick, usize)> = Vec::new();
        let mut place = |lab: &mut Self, connection: usize| {
            let pick = lab.one(&open(connection)).pick?;
            sequences.push((pick, connection));
            turns.iter().position(|turn| *turn == pick.backend)
        };
        let next = |place: usize, steps: usize| (place + steps) % turns.len();
        let mut groups: Vec<usize> = Vec::new();
        for connection in 0..CURSOR_CONNECTIONS {
            let mut known = false;
            for &representative in &groups {
                let before = place(self, representative)?;
                let between = place(self, connection)?;
                let after = place(self, representative)?;
                match (after == next(before, 2) && between == next(before, 1), after == next(before, 1)) {
                    (true, _) => known = true,
                    (false, true) => {}
                    // Somebody else's requests move the turns too.
                    (false, false) => return None,
                }
                if known {
                    break;
                }
            }
            if !known {
                groups.push(connection);
            }
        }
        Some((CURSOR_CONNECTIONS, groups.len()))
    }

    fn load(&mut self) {
        if !self.setting.can_hold {
            self.evidence.missing.push(Missing::Load(Why::NotOurs));
        } else if self.is_serial() {
            self.hold();
        } else {
            self.mixed();
        }
    }

    /// Requests of which each third takes much longer, without order: what balances by load then never gives one to a backend that has
    /// more in flight than another, and what rotates goes on as before.
    fn mixed(&mut self) {
        let delay = self.usual.clamp(Duration::from_millis(100), Duration::from_secs(1));
        let each = self.usual + delay / 3;
        let gap = self.gap().max(Duration::from_millis(4)).max(each / 48);
        let size = self.setting.backends.unwrap_or(4);
        let time = self.left().saturating_sub(self.usual + delay).as_secs_f64();
        let count = ((time / gap.as_secs_f64()) as usize).min((24 * size).clamp(240, 600)).min(self.requests_left());
        if count < 120 {
            self.evidence.missing.push(Missing::Load(self.why_not()));
            return;
        }
        let requests: Vec<Request> = (0..count)
            .map(|_| Request {
                delay: Some(if self.below(3) == 0 { delay } else { Duration::ZERO }),
                ..Request::default()
            })
            .collect();
        let pace = Pace { width: 200, gap, until: self.setting.budget };
        let replies = self.subject.send_all(&requests, &pace);
        self.sent += replies.len() as u64;
        self.evidence.mixed = replies
            .into_iter()
            .filter_map(|reply| {
                let to = Moment(reply.sent.0 + reply.took.as_nanos() as u64);
                Some(Flight { pick: reply.pick?, from: reply.sent, to })
            })
            .collect();
    }

    /// Keeps backends busy with one request and looks where others go, meanwhile and afterwards.
    fn hold(&mut self) {
        let fresh = backends(&self.evidence.fresh);
        let seen = counts(&fresh);
        let rarest = seen.iter().map(|(_, count)| *count as usize).min().unwrap_or(1);
        // So many that the one that is held would usually get 260 of them.
        let others = (260 * fresh.len() / rarest.max(1)).clamp(OTHERS, OTHERS * 8);
        let size = self.setting.backends.unwrap_or(seen.len());
        let mut avoided = true;
        while avoided && self.evidence.after.len() < MEMORIES.min(size) {
            let held = self.hold_at(1, OTHERS / 10);
            let Some(busy) = held.first().map(|hold| hold.busy.clone()) else { break };
            self.evidence.held_one.extend(held);
            let idle = self.affordable(others, 0.9);
            let after = self.series(&vec![Request::default(); idle], 0.9);
            let after = Hold { busy, others: after.into_iter().filter_map(|reply| reply.pick).collect() };
            self.evidence.after.push(after);
            avoided = self.evidence.is_avoided(self.evidence.after.len() - 1);
        }
        if self.evidence.held_one.is_empty() {
            // Some responses take longer than anything can be held.
            return self.mixed();
        }
        if avoided {
            // What was done to some is done to all, or they would get nothing in the sample either.
            self.hold_at(size.saturating_sub(self.evidence.after.len()), 1);
            return;
        }
        let more = self.hold_at(1, others);
        self.evidence.held_one.extend(more);
        let backends = seen.len();
        let there: usize = self.evidence.held_one.iter().map(Hold::to_busy).sum();
        let sent: usize = self.evidence.held_one.iter().map(|hold| hold.others.len()).sum();
        if there * backends * 2 < sent && (3..=9).contains(&backends) {
            self.evidence.held_most = self.hold_at(backends - 1, OTHERS / 4);
        }
    }

    /// Round after round, until so many others were sent while requests were held.
    fn hold_at(&mut self, count: usize, wanted: usize) -> Vec<Hold> {
        let mut holds: Vec<Hold> = Vec::new();
        let mut sent = 0;
        // Half of the time is for the unforeseen.
        let mut share = 0.5;
        for _ in 0..ROUNDS {
            if sent >= wanted || self.left().is_zero() || self.requests_left() == 0 {
                break;
            }
            let fitting = (HOLD.as_secs_f64() * share / self.usual.as_secs_f64().max(5e-5)) as usize;
            let holding = (0..count).all(|_| self.subject.hold(HOLD));
            let until = self.subject.elapsed() + HOLD.mul_f64(0.9);
            let mut others: Vec<Pick> = Vec::new();
            for _ in 0..if holding { fitting.min(wanted) } else { 0 } {
                others.extend(self.one(&Request::default()).pick);
                if self.subject.elapsed() > until {
                    break;
                }
            }
            let held = self.subject.release();
            self.sent += held.len() as u64;
            let busy: Vec<Backend> =
                held.iter().filter_map(|(backend, outlasted)| backend.filter(|_| *outlasted)).collect();
            match holding && busy.len() == count && !others.is_empty() {
                true => {
                    sent += others.len();
                    holds.push(Hold { busy, others });
                }
                false => share *= 0.6,
            }
            // Answers come at once: nobody holds them.
            if holds.is_empty() && share < 0.1 {
                break;
            }
        }
        holds
    }

    /// Whether the rest fits into the time one request after the other.
    fn is_serial(&self) -> bool {
        self.setting.rate.is_none()
            && self.setting.requests.is_none()
            && self.usual.as_secs_f64() * SERIAL < self.setting.budget.as_secs_f64() * 0.75
    }

    fn gap(&self) -> Duration {
        self.setting.rate.map_or(GAP, |rate| GAP.max(Duration::from_secs_f64(1.0 / rate.max(0.01))))
    }

    fn left(&self) -> Duration {
        self.setting.budget.saturating_sub(self.subject.elapsed())
    }

    fn requests_left(&self) -> usize {
        self.setting.requests.map_or(usize::MAX, |most| most.saturating_sub(self.sent) as usize)
    }

    fn why_not(&self) -> Why {
        if self.requests_left() < VALUES as usize * TIMES { Why::NoRequests } else { Why::NoTime }
    }

    /// How many of so many requests fit into that share of the time, less what is gone.
    fn affordable(&self, wanted: usize, share: f64) -> usize {
        let left = self.setting.budget.mul_f64(share).saturating_sub(self.subject.elapsed()).as_secs_f64();
        let usual = self.usual.as_secs_f64().max(5e-5);
        let fits = match self.is_serial() {
            true => left / usual,
            // They end together, one response after the last was sent.
            false => (left - usual).max(0.0) / (usual / WIDTH as f64).max(self.gap().as_secs_f64()),
        };
        wanted.min(fits as usize).min(self.requests_left())
    }

    /// Requests one after the other, or side by side where that takes too long; fewer if the time is over.
    fn series(&mut self, requests: &[Request], share: f64) -> Vec<Reply> {
        let until = self.setting.budget.mul_f64(share);
        let mut replies = Vec::with_capacity(requests.len());
        if self.is_serial() {
            for request in requests {
                if self.subject.elapsed() > until {
                    break;
                }
                replies.push(self.one(request));
                // It has become slow.
                if !self.is_serial() {
                    break;
                }
            }
        }
        let rest = &requests[replies.len()..];
        if !rest.is_empty() && !self.is_serial() {
            let fitting = rest.len().min(self.requests_left());
            let pace = Pace { width: WIDTH, gap: self.gap(), until };
            let more = self.subject.send_all(&rest[..fitting], &pace);
            self.sent += more.len() as u64;
            replies.extend(more);
        }
        replies
    }

    fn one(&mut self, request: &Request) -> Reply {
        let reply = self.subject.send(request);
        self.sent += 1;
        self.usual = (self.usual * 31 + reply.took) / 32;
        reply
    }

    fn miss_all(&mut self, why: Why) {
        self.evidence.missing = vec![
            Missing::Order { sent: 0, why },
            Missing::Connections(Why::NoTime),
            Missing::Source(why),
            Missing::Path(why),
            Missing::Header(why),
            Missing::Cookie(why),
            Missing::Load(why),
        ];
    }

    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*: any order will do that has nothing to do with the balancer's.
        self.chance ^= self.chance >> 12;
        self.chance ^= self.chance << 25;
        self.chance ^= self.chance >> 27;
        ((u128::from(self.chance.wrapping_mul(0x2545_f491_4f6c_dd1d)) * bound as u128) >> 64) as usize
    }

    /// Each once, in an order that no rotation has.
    fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut places: Vec<usize> = (0..count).collect();
        for place in (1..count).rev() {
            places.swap(place, self.below(place + 1));
        }
        places
    }
}

fn header_value(name: &str, value: u32) -> String {
    match name {
        "X-Forwarded-For" | "X-Real-IP" => format!("10.1.{value}.7"),
        "Authorization" => format!("Bearer value-{value}"),
        _ => format!("value-{value}"),
    }
}

/// How often it is tried whether a slow response is remembered, while it seems so.
const MEMORIES: usize = 3;
/// A request is held that long: less than any time that a balancer waits for a response, lest it take the backend for dead.
const HOLD: Duration = Duration::from_millis(400);
/// In so many rounds it must be done.
const ROUNDS: usize = 24;
