//! PURE. The experiments that give the evidence: what is sent, in which order, and when enough is known. Who sends it is a [`Subject`].

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::algorithm::order::{Order, counts, in_blocks};
use crate::algorithm::{Evidence, Hold, Key, Trial};
use crate::observation::Backend;

/// What is sent through the balancer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Request {
    /// From this address instead of the usual one.
    pub source: Option<IpAddr>,
    /// What is appended to path and query to make it another one.
    pub path: Option<u32>,
    /// Headers besides the usual ones.
    pub headers: Vec<(String, String)>,
    /// On a connection that is kept under this number, or on a new one.
    pub connection: Option<usize>,
}

/// What came back.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Reply {
    /// Who answered; None if nobody did whom we know.
    pub backend: Option<Backend>,
    /// Cookies that were set: name and value.
    pub cookies: Vec<(String, String)>,
}

/// A balancer under experiment.
pub trait Subject {
    /// Sends one request and waits for its answer.
    fn send(&mut self, request: &Request) -> Reply;
    /// Sends one request on each of so many connections at once, and keeps them.
    fn open(&mut self, connections: usize);
    /// Sends a request that its backend answers only after that time, if it can be asked to, and does not wait.
    fn hold(&mut self, delay: Duration) -> bool;
    /// Waits for all that are held. For each who answered it, and whether it was in flight until now.
    fn release(&mut self) -> Vec<(Option<Backend>, bool)>;
    /// Whether source addresses can be chosen: the balancer is on this machine.
    fn has_sources(&self) -> bool;
    /// What one request took lately.
    fn pace(&self) -> Duration;
    /// What all of it has taken until now.
    fn elapsed(&self) -> Duration;
}

/// What is known before.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Setting {
    /// Backends that are ready, if that is known.
    pub members: Option<usize>,
    /// Whether backends can be asked to take their time.
    pub can_hold: bool,
    /// Headers that the balancer might key on, besides the usual ones.
    pub headers: Vec<String>,
    /// Cookies likewise.
    pub cookies: Vec<String>,
    /// Whether nothing is broken or varied in the sample that follows, so that it is evidence too.
    pub is_followed: bool,
    /// What all of it may take.
    pub budget: Duration,
}

const FRESH: usize = 600;
const KEPT: usize = 150;
/// In place of a sample.
const MORE: usize = 6000;
const VALUES: u32 = 24;
const TIMES: usize = 3;
const CLIENTS: usize = 12;
const CURSOR_CONNECTIONS: usize = 32;
const OTHERS: usize = 400;
const HEADERS: [&str; 8] =
    ["X-User", "X-User-Id", "X-Session-Id", "X-Api-Key", "X-Forwarded-For", "X-Real-IP", "Authorization", "User-Agent"];
const COOKIES: [&str; 9] =
    ["session", "sessionid", "sid", "user", "id", "route", "SERVERID", "JSESSIONID", "PHPSESSID"];

/// Does all experiments that make sense.
pub fn run(subject: &mut dyn Subject, setting: &Setting) -> Evidence {
    let mut evidence = Evidence { members: setting.members, ..Evidence::default() };
    let first = subject.send(&Request::default());
    let cookies = first.cookies;
    let members = setting.members.unwrap_or(8).max(2);
    let wanted = FRESH.max(12 * members);
    let count = wanted.min(affordable(subject, setting, 0.4));
    if count < wanted.min(60) {
        evidence
            .missing
            .push(format!("answers are slow: {count} requests are all that fit into the experiments' time"));
    }
    for done in 0..count {
        evidence.fresh.extend(subject.send(&Request::default()).backend);
        // What never changes in so many will not.
        if done == 60 + 12 * members && matches!(Order::of(&evidence.fresh), Order::One(_)) {
            break;
        }
    }
    if evidence.fresh.len() * 2 < count.min(60) {
        let fresh = evidence.fresh.len();
        evidence.missing.push(format!(
            "{fresh} new answers of backends to the first requests: a cache, or the balancer itself, gave the others"
        ));
        return evidence;
    }
    if matches!(Order::of(&evidence.fresh), Order::One(_)) {
        if setting.members != Some(1) {
            evidence.keys = keys(subject, setting);
            // Among equals it may always take the first.
            if setting.can_hold && !evidence.keys.iter().any(|(_, trial)| trial.spread() > 1) {
                hold(subject, setting, &mut evidence);
            }
        }
        return evidence;
    }
    let kept = Request { connection: Some(0), ..Request::default() };
    let kept_count = KEPT.max(4 * members).min(affordable(subject, setting, 0.5));
    evidence.kept = (0..kept_count).filter_map(|_| subject.send(&kept).backend).collect();
    if !cookies.is_empty() {
        let names = cookies.iter().map(|(name, _)| name.clone()).collect();
        evidence.jar = Some((names, jar(subject)));
    }
    if let (Order::Turns(turns), false) = (Order::of(&evidence.kept), Order::of(&evidence.fresh).is_of_one_cursor())
        && counts(&turns).len() == turns.len()
    {
        evidence.cursors = cursors(subject, &turns);
    }
    evidence.keys = keys(subject, setting);
    match setting.can_hold {
        true => hold(subject, setting, &mut evidence),
        false => evidence.missing.push("backends are not ours and cannot be held busy: load was not tried".to_owned()),
    }
    // Many cursors, each for itself, look like chance until many requests are compared.
    if !setting.is_followed && matches!(Order::of(&evidence.fresh), Order::Chance) {
        let more = MORE.min(affordable(subject, setting, 1.0));
        let more: Vec<Backend> = (0..more).filter_map(|_| subject.send(&Request::default()).backend).collect();
        evidence.sample = in_blocks(&more);
    }
    evidence
}

/// How many requests fit into that share of the time, less what is gone.
fn affordable(subject: &dyn Subject, setting: &Setting, share: f64) -> usize {
    let left = setting.budget.mul_f64(share).saturating_sub(subject.elapsed());
    (left.as_nanos() / subject.pace().as_nanos().max(50_000)).min(100_000) as usize
}

fn trial(subject: &mut dyn Subject, values: u32, request: impl Fn(u32) -> Request) -> Trial {
    let mut rows = vec![Vec::new(); values as usize];
    for place in rounds(rows.len(), TIMES) {
        rows[place].extend(subject.send(&request(place as u32 + 1)).backend);
    }
    Trial { rows }
}

/// Each place so often, but never in a row: what keeps to one backend for a while would seem to keep to it for what is sent meanwhile. Every
/// other round goes backwards, or what goes in turns would come to the same backend with the same place.
fn rounds(places: usize, times: usize) -> impl Iterator<Item = usize> {
    let round = move |round: usize| {
        (0..places).map(move |place| if round.is_multiple_of(2) { place } else { places - 1 - place })
    };
    (0..times).flat_map(round)
}

/// Varies one thing at a time.
fn keys(subject: &mut dyn Subject, setting: &Setting) -> Vec<(Key, Trial)> {
    let mut keys = Vec::new();
    let values = VALUES.min((affordable(subject, setting, 0.8) / (TIMES * 5)) as u32);
    if values < 8 {
        return keys;
    }
    if subject.has_sources() {
        let from = |a, b| Request { source: Some(IpAddr::V4(Ipv4Addr::new(127, 0, a, b))), ..Request::default() };
        keys.push((Key::Network, trial(subject, values, |value| from(value as u8, 1))));
        keys.push((Key::Host, trial(subject, values, |value| from(0, value as u8 + 1))));
    }
    keys.push((Key::Path, trial(subject, values, |value| Request { path: Some(value), ..Request::default() })));
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
    find(subject, values, &names(&HEADERS, &setting.headers), header, Key::Header, &mut keys);
    find(subject, values, &names(&COOKIES, &setting.cookies), cookie, Key::Cookie, &mut keys);
    keys
}

fn header_value(name: &str, value: u32) -> String {
    match name {
        "X-Forwarded-For" | "X-Real-IP" => format!("10.1.{value}.7"),
        "Authorization" => format!("Bearer value-{value}"),
        _ => format!("value-{value}"),
    }
}

/// Varies all of these at once, and if that makes a difference finds out which of them does.
fn find(
    subject: &mut dyn Subject,
    values: u32,
    names: &[String],
    request: impl Fn(&[String], u32) -> Request,
    key: impl Fn(String) -> Key,
    keys: &mut Vec<(Key, Trial)>,
) {
    let all = trial(subject, values, |value| request(names, value));
    if !all.decides() {
        keys.push((key(names.join(", ")), all));
        return;
    }
    let mut left = names;
    while left.len() > 1 {
        let (some, rest) = left.split_at(left.len() / 2);
        left = if trial(subject, values, |value| request(some, value)).decides() { some } else { rest };
    }
    let one = trial(subject, values, |value| request(left, value));
    keys.push((key(left.join(", ")), one));
}

/// Clients that bring back the cookies that they were given.
fn jar(subject: &mut dyn Subject) -> Trial {
    let firsts: Vec<Reply> = (0..CLIENTS).map(|_| subject.send(&Request::default())).collect();
    let mut rows: Vec<Vec<Backend>> = firsts.iter().map(|first| first.backend.into_iter().collect()).collect();
    for place in rounds(CLIENTS, TIMES * 2 + 1).skip(CLIENTS) {
        let cookies = firsts[place].cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let cookies = cookies.collect::<Vec<String>>().join("; ");
        let again = Request { headers: vec![("Cookie".to_owned(), cookies)], ..Request::default() };
        rows[place].extend(subject.send(&again).backend);
    }
    Trial { rows }
}

/// How many cursors a number of connections show: two share one if a request on the one moves the turn of the other.
fn cursors(subject: &mut dyn Subject, turns: &[Backend]) -> Option<(usize, usize)> {
    subject.open(CURSOR_CONNECTIONS);
    let mut place = |connection: usize| {
        let backend = subject.send(&Request { connection: Some(connection), ..Request::default() }).backend?;
        turns.iter().position(|turn| *turn == backend)
    };
    let next = |place: usize, steps: usize| (place + steps) % turns.len();
    let mut groups: Vec<usize> = Vec::new();
    for connection in 0..CURSOR_CONNECTIONS {
        let mut known = false;
        for &representative in &groups {
            let before = place(representative)?;
            let between = place(connection)?;
            let after = place(representative)?;
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

/// Keeps backends busy with one request and looks where others go, meanwhile and afterwards.
fn hold(subject: &mut dyn Subject, setting: &Setting, evidence: &mut Evidence) {
    let seen = counts(&evidence.fresh);
    let rarest = seen.iter().map(|(_, count)| *count as usize).min().unwrap_or(1);
    // So many that the one that is held would usually get 260 of them.
    let others = (260 * evidence.fresh.len() / rarest).clamp(OTHERS, OTHERS * 8);
    let members = setting.members.unwrap_or(seen.len());
    let mut forgiven = false;
    while !forgiven && evidence.after.len() < MEMORIES.min(members) {
        let held = hold_at(subject, setting, 1, OTHERS / 10);
        let Some(busy) = held.first().map(|hold| hold.busy.clone()) else { break };
        evidence.held_one.extend(held);
        let idle = others.min(affordable(subject, setting, 0.9));
        let after = (0..idle).filter_map(|_| subject.send(&Request::default()).backend).collect();
        let after = Hold { busy, others: after };
        forgiven = after.to_busy() > 0;
        evidence.after.push(after);
    }
    if evidence.held_one.is_empty() {
        evidence.missing.push("no request could be held in flight: load was not tried".to_owned());
        return;
    }
    if !forgiven {
        // What was done to some is done to all, or they would get nothing in the sample either.
        hold_at(subject, setting, members.saturating_sub(evidence.after.len()), 1);
        return;
    }
    evidence.held_one.extend(hold_at(subject, setting, 1, others));
    let backends = seen.len();
    let there: usize = evidence.held_one.iter().map(Hold::to_busy).sum();
    let sent: usize = evidence.held_one.iter().map(|hold| hold.others.len()).sum();
    if there * backends * 2 < sent && (3..=9).contains(&backends) {
        evidence.held_most = hold_at(subject, setting, backends - 1, OTHERS / 4);
    }
}

/// How often it is tried whether a slow answer is remembered, while it seems so.
const MEMORIES: usize = 3;
/// A request is held for so long: less than any time that a balancer waits for an answer, lest it take the backend for dead.
const HOLD: Duration = Duration::from_millis(400);
/// In so many rounds it must be done.
const ROUNDS: usize = 24;

/// Round after round, until so many others were sent while requests were held.
fn hold_at(subject: &mut dyn Subject, setting: &Setting, count: usize, wanted: usize) -> Vec<Hold> {
    let mut holds: Vec<Hold> = Vec::new();
    let mut sent = 0;
    // Half of the time is for the unforeseen.
    let mut share = 0.5;
    for _ in 0..ROUNDS {
        if sent >= wanted || subject.elapsed() > setting.budget {
            break;
        }
        let fitting = (HOLD.as_secs_f64() * share / subject.pace().as_secs_f64().max(5e-5)) as usize;
        let holding = (0..count).all(|_| subject.hold(HOLD));
        let others: Vec<Backend> = match holding {
            true => (0..fitting.min(wanted)).filter_map(|_| subject.send(&Request::default()).backend).collect(),
            false => Vec::new(),
        };
        let held = subject.release();
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
