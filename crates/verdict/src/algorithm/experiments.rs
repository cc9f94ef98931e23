//! The experiments that give the evidence: what is sent, in which order, and when enough is known. Who sends it is a [`Subject`].
//!
//! Fast services are asked one request after the other. Where that does not fit into the time, requests go side by side, each a little
//! after the one before: the order in which they reach backends is evidence just the same.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::algorithm::Algorithm;
use crate::algorithm::evidence::{Evidence, Given, Key, KeyTrial, Pick, backends};
use crate::algorithm::lab::{Lab, TIMES, VALUES, variation};
use crate::algorithm::missing::{Missing, SkipReason};
use crate::algorithm::order::{OrderPattern, counts, lacking_to_repeat, needed_to_repeat, repeating};
pub use crate::algorithm::subject::{Pace, ProbeReply, ProbeRequest, Released, Setting, Subject};
use crate::observation::Backend;

const FRESH: usize = 600;
const KEPT: usize = 150;
/// Requests for each backend in which strict turns show, the first of which tell whether there are any.
const FEW_TURNS: usize = 20;
const FIRST_TURNS: usize = 8;
/// Requests on kept connections where the service is slow.
const LEAST_KEPT: usize = 60;
/// Requests that take the place of a sample.
const MORE: usize = 6000;
const CLIENTS: usize = 16;
/// Clients at a backend, of all, that are few.
const FEW_CLIENTS: u32 = 3;
/// How often as many clients are looked for, where all met one backend.
const SEARCHES: usize = 8;
const CONNECTIONS: usize = 16;
/// Requests on each of these.
const ROUNDS_ON_CONNECTION: usize = 3;
pub(super) const CURSOR_CONNECTIONS: usize = 32;
/// Of these, the ones that are compared however long it takes.
const LEAST_COMPARED: usize = 12;
const HEADERS: [&str; 8] =
    ["X-User", "X-User-Id", "X-Session-Id", "X-Api-Key", "X-Forwarded-For", "X-Real-IP", "Authorization", "User-Agent"];
const COOKIES: [&str; 9] =
    ["session", "sessionid", "sid", "user", "id", "route", "SERVERID", "JSESSIONID", "PHPSESSID"];

/// Does all experiments that make sense.
pub fn run(subject: &mut dyn Subject, setting: &Setting) -> Evidence {
    let evidence = Evidence { backends: setting.backends, unnamed: setting.unnamed(), ..Evidence::default() };
    let mut lab = Lab::new(subject, setting, evidence);
    lab.run();
    lab.evidence
}

impl Lab<'_> {
    fn run(&mut self) {
        let size = self.setting.backends.unwrap_or(8).max(2);
        if self.setting.budget.is_zero() {
            self.evidence.missing = Missing::all(SkipReason::NotWanted);
            return;
        }
        // One is kept, one is held, and others are sent.
        if !self.may_open(3) {
            self.evidence.missing = Missing::all(SkipReason::FewConnections);
            return;
        }
        let given = self.pilot(size);
        if self.left().is_zero() {
            self.evidence.missing = Missing::all(SkipReason::NoTime);
            return;
        }
        self.connections();
        let in_turn = self.order(size);
        let is_one = matches!(self.evidence.order_so_far(), OrderPattern::One(_));
        let gives_cookies = !given.is_nothing();
        if is_one && self.setting.backends == Some(1) {
            return;
        }
        if !is_one {
            if gives_cookies && let Some(jar) = self.jar() {
                self.evidence.jar = Some((given, jar));
            }
            self.find_rotations();
        }
        self.decisive(is_one, in_turn && !self.is_serial());
        // Of clients of one key nobody knows whether a cookie would keep them, too.
        if is_one && gives_cookies && self.evidence.keys.iter().any(|(_, trial)| trial.decides()) {
            self.evidence.missing.push(Missing::Jar(SkipReason::AllToOne));
        }
        self.crowd();
        self.keep_longer(size);
        self.more();
    }

    /// The order of new connections, and of requests on one, where these go one after the other; whether they do.
    fn order(&mut self, size: usize) -> bool {
        let mut wanted = if self.is_serial() { FRESH.max(12 * size) } else { 200.max(20 * size) };
        let mut in_turn = self.is_serial() || self.fits_in_turn(wanted);
        // Strict turns show in fewer requests, where there is time for these one after the other.
        let is_short = !in_turn && self.fits_in_turn(FEW_TURNS * size);
        let few = if is_short { self.begins_in_turns(size) } else { None };
        if let Some(few) = few {
            (wanted, in_turn) = (few, true);
        }
        self.fresh(wanted, size, in_turn);
        if in_turn && !matches!(self.evidence.order_so_far(), OrderPattern::One(_)) {
            let wanted = if self.is_serial() { KEPT } else { few.unwrap_or(LEAST_KEPT) }.max(4 * size);
            self.keep(wanted, 0.5);
            let more = lacking_to_repeat(&backends(&self.evidence.kept)).min(MORE);
            self.keep(more, 0.5);
            while self.needs_more_breaks() && self.keep(wanted, 0.5) > 0 {}
        }
        in_turn
    }

    /// More requests on the one connection, until that share of the time is over, and how many reached a backend.
    fn keep(&mut self, count: usize, share: f64) -> usize {
        let requests = vec![ProbeRequest { connection: Some(0), ..ProbeRequest::default() }; count];
        let before = self.evidence.kept.len();
        for reply in self.in_turn(&requests, share) {
            let Some(pick) = reply.pick else { continue };
            self.evidence.opened.extend((!reply.reused).then_some(pick.sequence));
            self.evidence.kept.push(pick);
        }
        self.evidence.kept.len() - before
    }

    /// Without records it is not known who else moves the turns.
    fn needs_more_breaks(&self) -> bool {
        self.setting.can_hold && self.evidence.needs_more_breaks()
    }

    /// Strict turns of slow services as long as those of fast ones, where there is time: a turn may be left now and then.
    fn keep_longer(&mut self, size: usize) {
        let is_strict = self.evidence.order_so_far().is_of_one_rotation() && !self.evidence.kept.is_empty();
        let is_recorded = self.setting.can_hold;
        if !is_recorded || !is_strict || self.evidence.infer(&[]).kind != Some(Algorithm::RoundRobin) {
            return;
        }
        let seen = |lab: &Self| lab.evidence.fresh.len() + lab.evidence.kept.len();
        while seen(self) < FRESH + KEPT || self.needs_more_breaks() {
            if self.keep(LEAST_KEPT.max(4 * size), 0.7) == 0 {
                return;
            }
        }
    }

    /// How many rotations there are, where one connection has strict turns and new ones have not.
    fn find_rotations(&mut self) {
        if !self.is_serial() || !self.may_open(CONNECTIONS + CURSOR_CONNECTIONS) {
            return;
        }
        let kept = OrderPattern::of(&backends(&self.evidence.kept));
        if let (OrderPattern::Turns { period, exceptions: 0 }, false) =
            (kept, self.evidence.order_so_far().is_of_one_rotation())
            && counts(&period).len() == period.len()
        {
            self.evidence.rotations = self.rotations(&period);
        }
    }

    /// What decides: keys or load. What is more likely comes first, should the time not suffice for both.
    fn decisive(&mut self, is_one: bool, is_side_by_side: bool) {
        let decides = |lab: &Self| lab.evidence.keys.iter().any(|(_, trial)| trial.decides());
        if is_one {
            // Among equals a balancer that looks at load may always take the first. Side by side keys would look as if they mattered to it.
            if is_side_by_side {
                self.load();
            }
            if self.evidence.follows_load() {
                // Slow ones have a path of their own, which may be what decides.
                self.path(VALUES as usize * TIMES);
            } else {
                self.keys(true);
            }
            if !is_side_by_side && !decides(self) {
                self.load();
            }
        } else if self.setting.headers.is_empty() && self.setting.cookies.is_empty() {
            self.load();
            self.keys(false);
        } else {
            // The user has named a key.
            self.keys(false);
            if !decides(self) {
                self.load();
            }
        }
    }

    /// Many rotations, each for itself, look like chance until many requests are compared.
    fn more(&mut self) {
        let is_chance = matches!(self.evidence.order_so_far(), OrderPattern::Chance);
        if !self.setting.is_followed && is_chance && self.is_serial() {
            let count = self.affordable(MORE, 1.0);
            let more = self.series(&vec![ProbeRequest::default(); count], 1.0);
            self.evidence.more = more.into_iter().filter_map(|it| it.pick).collect();
        }
    }

    /// A few side by side: what a request takes, and which cookies, or which session, come with the first response.
    fn pilot(&mut self, size: usize) -> Given {
        let count = (2 * size).clamp(8, 64);
        let pace = Pace { width: count, gap: self.gap(), until: self.setting.budget };
        let replies = self.subject.send_all(&vec![ProbeRequest::default(); count], &pace);
        self.sent += replies.len() as u64;
        self.varies = variation(replies.iter());
        // The mean without the slowest: a busy machine makes one of a few slow now and then.
        let mut took: Vec<Duration> = replies.iter().map(|reply| reply.took).collect();
        took.sort_unstable();
        took.truncate((took.len() * 7).div_ceil(8));
        self.usual = took.iter().sum::<Duration>() / took.len().max(1) as u32;
        let given = |reply: ProbeReply| Given {
            cookies: reply.cookies.into_iter().map(|(name, _)| name).collect(),
            session: reply.session.map(|(name, _)| name),
        };
        replies.into_iter().map(given).find(|given| !given.is_nothing()).unwrap_or_default()
    }

    /// The number of requests that prove strict turns, if the first that are sent one after the other have any, and there is time.
    fn begins_in_turns(&mut self, size: usize) -> Option<usize> {
        let first = self.in_turn(&vec![ProbeRequest::default(); FIRST_TURNS * size], 0.4);
        self.evidence.fresh = first.into_iter().filter_map(|reply| reply.pick).collect();
        let seen = backends(&self.evidence.fresh);
        let (begin, end) = seen.split_at(seen.len() / 2);
        // Chance would look like that now and then; more of them decide. Turns may be left just then.
        let few = match repeating(&seen) {
            Some(period) => needed_to_repeat(period).max(seen.len()),
            None => needed_to_repeat(repeating(end).or_else(|| repeating(begin))?) + seen.len(),
        };
        self.fits_in_turn(few * 2 - seen.len()).then_some(few)
    }

    fn fresh(&mut self, wanted: usize, size: usize, in_turn: bool) {
        let count = if in_turn { wanted } else { self.affordable(wanted, 0.4) };
        if count < wanted.min(60) {
            self.evidence.missing.push(Missing::Order { sent: count, why: self.why_not(wanted.min(60)) });
        }
        let count = count.saturating_sub(self.evidence.fresh.len());
        // What does not change in this number of requests never will.
        let enough = 60 + 12 * size;
        for part in [count.min(enough), count.saturating_sub(enough)] {
            let requests = vec![ProbeRequest::default(); part];
            let replies = if in_turn { self.in_turn(&requests, 0.4) } else { self.series(&requests, 0.4) };
            self.evidence.fresh.extend(replies.into_iter().filter_map(|reply| reply.pick));
            if matches!(self.evidence.order_so_far(), OrderPattern::One(_)) {
                break;
            }
        }
        if in_turn {
            let more = lacking_to_repeat(&backends(&self.evidence.fresh)).min(MORE);
            let replies = self.in_turn(&vec![ProbeRequest::default(); more], 0.4);
            self.evidence.fresh.extend(replies.into_iter().filter_map(|reply| reply.pick));
        }
        self.evidence.in_turn = in_turn;
        let fresh = self.evidence.fresh.len();
        if fresh * 2 < count.min(60) {
            self.evidence.missing.push(Missing::Order { sent: fresh, why: SkipReason::Cached });
        }
    }

    /// Whether all requests of a connection go the same way. Connections take it in turns, in another order each round, so that what keeps
    /// to a backend for a while, or what rotates, is not taken for it.
    fn connections(&mut self) {
        if !self.may_open(CONNECTIONS) {
            return self.evidence.missing.push(Missing::Connections(SkipReason::FewConnections));
        }
        let mut rows = vec![Vec::new(); CONNECTIONS];
        let mut reused = 0;
        let mut replied = 0;
        for round in 0..ROUNDS_ON_CONNECTION {
            let places = self.shuffled(CONNECTIONS);
            let requests: Vec<ProbeRequest> =
                places.iter().map(|slot| ProbeRequest { connection: Some(*slot), ..ProbeRequest::default() }).collect();
            let replies = self.series(&requests, 0.5);
            replied += replies.len();
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
            let is_cached = replied >= CONNECTIONS * 2;
            let why = if is_cached { SkipReason::Cached } else { self.why_not(CONNECTIONS * 2) };
            self.evidence.missing.push(Missing::Connections(why));
        } else if reused < CONNECTIONS {
            self.evidence.missing.push(Missing::Connections(SkipReason::NotKept));
        }
        self.evidence.connections = KeyTrial { rows };
    }

    fn trial(&mut self, values: u32, request: impl Fn(u32) -> ProbeRequest) -> KeyTrial {
        let mut rows = vec![Vec::new(); values as usize];
        let places: Vec<usize> = (0..TIMES).flat_map(|_| self.shuffled(values as usize)).collect();
        let requests: Vec<ProbeRequest> = places.iter().map(|place| request(*place as u32 + 1)).collect();
        for (place, reply) in places.into_iter().zip(self.series(&requests, 0.9)) {
            rows[place].extend(reply.pick);
        }
        KeyTrial { rows }
    }

    /// Varies one thing at a time. Address and path cannot decide where requests that have both alike went to several backends.
    fn keys(&mut self, is_one: bool) {
        let needed = VALUES as usize * TIMES;
        if is_one {
            if !self.subject.has_sources() {
                self.evidence.missing.push(Missing::Source(SkipReason::Impossible));
            } else if self.affordable(2 * needed, 0.9) < 2 * needed {
                self.evidence.missing.push(Missing::Source(self.why_not(2 * needed)));
            } else {
                let from = |a, b| ProbeRequest {
                    source: Some(IpAddr::V4(Ipv4Addr::new(127, 0, a, b))),
                    ..ProbeRequest::default()
                };
                let network = self.trial(VALUES, |value| from(value as u8, 1));
                self.evidence.keys.push((Key::Network, network));
                let host = self.trial(VALUES, |value| from(0, value as u8 + 1));
                self.evidence.keys.push((Key::Host, host));
            }
            self.path(needed);
            self.own_keys(needed);
        }
        if self.setting.has_body {
            if self.affordable(needed, 0.9) < needed {
                self.evidence.missing.push(Missing::Body(self.why_not(needed)));
            } else {
                let body = self.trial(VALUES, |value| ProbeRequest { body: Some(value), ..ProbeRequest::default() });
                self.evidence.keys.push((Key::Body, body));
            }
        }
        let names = |usual: &[&str], more: &[String]| -> Vec<String> {
            let usual = usual.iter().map(|name| (*name).to_owned());
            more.iter().cloned().chain(usual.filter(|name| !more.contains(name))).collect()
        };
        let header =
            |names: &[String], value: u32| ProbeRequest { headers: values_of(names, value), ..ProbeRequest::default() };
        let cookie = |names: &[String], value: u32| {
            let pairs: Vec<String> = names.iter().map(|name| format!("{name}=value-{value}")).collect();
            ProbeRequest { headers: vec![("Cookie".to_owned(), pairs.join("; "))], ..ProbeRequest::default() }
        };
        if self.affordable(needed, 0.9) < needed {
            self.evidence.missing.push(Missing::Header(self.why_not(needed)));
        } else {
            self.find(&names(&HEADERS, &self.setting.headers), header, Key::Header, Missing::Header);
        }
        if self.affordable(needed, 0.9) < needed {
            self.evidence.missing.push(Missing::Cookie(self.why_not(needed)));
        } else {
            self.find(&names(&COOKIES, &self.setting.cookies), cookie, Key::Cookie, Missing::Cookie);
        }
        if is_one {
            self.path_front(needed);
        }
    }

    /// A balancer may look at the first directories of the path alone (HAProxy's `balance uri depth`): the last thing to try, if there is time.
    fn path_front(&mut self, needed: usize) {
        let decides = self.evidence.keys.iter().any(|(_, trial)| trial.decides());
        if decides || self.setting.keeps_path.is_some() || self.affordable(needed, 0.9) < needed {
            return;
        }
        let front = self.trial(VALUES, |value| ProbeRequest { front: Some(value), ..ProbeRequest::default() });
        self.evidence.keys.push((Key::PathFront, front));
    }

    fn path(&mut self, needed: usize) {
        if let Some(why) = self.setting.keeps_path {
            self.evidence.missing.push(Missing::Path(why));
        } else if self.affordable(needed, 0.9) < needed {
            self.evidence.missing.push(Missing::Path(self.why_not(needed)));
        } else {
            let path = self.trial(VALUES, |value| ProbeRequest { path: Some(value), ..ProbeRequest::default() });
            self.evidence.keys.push((Key::Path, path));
        }
    }

    /// Varies what the user's own requests have: a value that is the same in all of them may decide.
    fn own_keys(&mut self, needed: usize) {
        if !self.setting.kept_headers.is_empty() {
            self.evidence.missing.push(Missing::Header(SkipReason::Own));
        }
        if self.setting.kept_headers.iter().any(|name| name.eq_ignore_ascii_case("Cookie")) {
            self.evidence.missing.push(Missing::Cookie(SkipReason::Own));
        }
        let own = &self.setting.own_headers;
        if self.setting.has_query && self.setting.keeps_path.is_none() && self.affordable(needed, 0.9) >= needed {
            let query = self.trial(VALUES, |value| ProbeRequest { query: Some(value), ..ProbeRequest::default() });
            self.evidence.keys.push((Key::Query, query));
        } else if self.setting.has_query {
            let why = self.setting.keeps_path.unwrap_or_else(|| self.why_not(needed));
            self.evidence.missing.push(Missing::Path(why));
        }
        if own.is_empty() {
            return;
        }
        if self.setting.keeps_path.is_some() || self.affordable(needed, 0.9) < needed {
            let why = self.setting.keeps_path.unwrap_or_else(|| self.why_not(needed));
            return self.evidence.missing.push(Missing::Header(why));
        }
        let replaced = |names: &[String], value: u32| ProbeRequest {
            replaced: values_of(names, value),
            ..ProbeRequest::default()
        };
        self.find(own, replaced, Key::Header, Missing::Header);
    }

    /// Whether the time ended meanwhile: a trial that was cut short excludes nothing.
    fn is_over(&self) -> bool {
        self.affordable(1, 0.9) == 0
    }

    /// Varies all of these at once, and if that makes a difference finds out which of them does.
    fn find(
        &mut self,
        names: &[String],
        request: impl Fn(&[String], u32) -> ProbeRequest,
        key: impl Fn(String) -> Key,
        missing: impl Fn(SkipReason) -> Missing,
    ) {
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
            if self.is_over() {
                return self.evidence.missing.push(missing(self.why_not(VALUES as usize * TIMES)));
            }
            if trial.decides() {
                rows = rows.with(trial);
                left = some;
            } else {
                left = rest;
            }
        }
        let one = self.trial(VALUES, |value| request(left, value));
        if self.is_over() {
            return self.evidence.missing.push(missing(self.why_not(VALUES as usize * TIMES)));
        }
        self.evidence.keys.push((key(left.join(", ")), rows.with(one)));
    }

    /// Clients that bring back the cookies that they were given.
    fn jar(&mut self) -> Option<KeyTrial> {
        let rounds = if self.is_serial() { TIMES * 2 } else { 4 };
        if self.affordable(CLIENTS * (rounds + 1), 0.8) < CLIENTS * (rounds + 1) {
            self.evidence.missing.push(Missing::Jar(self.why_not(CLIENTS * (rounds + 1))));
            return None;
        }
        let firsts = self.first_clients();
        // The first response gives the cookie, whoever was tried before it; those that follow are bound to it.
        self.evidence.givers = firsts.iter().map(|first| first.pick).collect();
        let mut rows: Vec<Vec<Pick>> = vec![Vec::new(); firsts.len()];
        let again = |first: &ProbeReply| {
            let cookies = first.cookies.iter().map(|(name, value)| format!("{name}={value}"));
            let cookies = cookies.collect::<Vec<String>>().join("; ");
            let cookies = (!cookies.is_empty()).then(|| ("Cookie".to_owned(), cookies));
            let headers = cookies.into_iter().chain(first.session.clone()).collect();
            ProbeRequest { headers, ..ProbeRequest::default() }
        };
        self.clients = firsts.iter().map(again).collect();
        // A few that met another backend than the rest come back to it by chance more easily.
        let met: Vec<Pick> = self.evidence.givers.iter().copied().flatten().collect();
        let are_few = counts(&backends(&met)).iter().any(|(_, clients)| (1..=FEW_CLIENTS).contains(clients));
        for _ in 0..if are_few { rounds * 2 } else { rounds } {
            let places = self.shuffled(firsts.len());
            let requests: Vec<ProbeRequest> = places.iter().map(|place| self.clients[*place].clone()).collect();
            for (place, reply) in places.into_iter().zip(self.series(&requests, 0.9)) {
                rows[place].extend(reply.pick);
            }
        }
        Some(KeyTrial { rows })
    }

    /// The first responses of clients, each with something to bring back: of all backends, as far as a few times as many clients meet them.
    fn first_clients(&mut self) -> Vec<ProbeReply> {
        let mut firsts: Vec<ProbeReply> = Vec::new();
        let is_spread = |backends: &[Backend]| counts(backends).len() > 1;
        for _ in 0..SEARCHES {
            let more = self.series(&vec![ProbeRequest::default(); CLIENTS], 0.9);
            // Without a cookie or a session there is nothing to bring back.
            firsts.extend(more.into_iter().filter(|first| !first.cookies.is_empty() || first.session.is_some()));
            let met: Vec<Backend> = firsts.iter().filter_map(|first| Some(first.pick?.backend)).collect();
            if is_spread(&met) || !is_spread(&backends(&self.evidence.fresh)) || self.is_over() {
                break;
            }
        }
        // Those that came last met whom the others had not.
        firsts.split_off(firsts.len().saturating_sub(CLIENTS))
    }

    /// How many rotations a number of connections show: two share one if a request on the one moves the position of the other.
    fn rotations(&mut self, turns: &[Backend]) -> Option<(usize, usize)> {
        let open = |slot: usize| ProbeRequest { connection: Some(slot), ..ProbeRequest::default() };
        self.series(&(0..CURSOR_CONNECTIONS).map(open).collect::<Vec<ProbeRequest>>(), 0.8);
        let mut sequences: Vec<(Pick, usize)> = Vec::new();
        let mut place = |lab: &mut Self, connection: usize| {
            let pick = lab.one(&open(connection)).pick?;
            sequences.push((pick, connection));
            turns.iter().position(|turn| *turn == pick.backend)
        };
        let next = |place: usize, steps: usize| (place + steps) % turns.len();
        let mut groups: Vec<usize> = Vec::new();
        let until = self.subject.elapsed() + self.setting.budget.mul_f64(0.2);
        for connection in 0..CURSOR_CONNECTIONS {
            // Of many a machine that is busy compares some.
            if self.subject.elapsed() > until && connection >= LEAST_COMPARED {
                return Some((connection, groups.len()));
            }
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
}

pub(super) fn values_of(names: &[String], value: u32) -> Vec<(String, String)> {
    names.iter().map(|name| (name.clone(), header_value(name, value))).collect()
}

/// Whether a request arrived with the X-Forwarded-For that an experiment sent, to which nobody has added anything.
pub(crate) fn is_own_forwarded_for(arrived: &str) -> bool {
    let value = arrived.strip_prefix(OWN_CLIENTS.0).and_then(|rest| rest.strip_suffix(OWN_CLIENTS.1));
    value.is_some_and(|value| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Addresses that experiments give as the client's, around the value that they vary.
const OWN_CLIENTS: (&str, &str) = ("10.1.", ".7");

fn header_value(name: &str, value: u32) -> String {
    match name {
        "X-Forwarded-For" | "X-Real-IP" => format!("{}{value}{}", OWN_CLIENTS.0, OWN_CLIENTS.1),
        "Authorization" => format!("Bearer value-{value}"),
        _ => format!("value-{value}"),
    }
}
