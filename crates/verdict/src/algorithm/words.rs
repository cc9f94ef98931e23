//! The evidence of an algorithm in words, a line each.

use super::evidence::{Key, KeyTrial, Missing, SkipReason};
use super::inference::Inference;
use super::order::OrderPattern;
use crate::numbers::count_of;
use crate::observation::Backend;

/// What is known of its turns.
pub(super) fn pattern(inference: &Inference) -> &'static str {
    match &inference.turns {
        Some(turns) if is_smooth(turns, &inference.weights) => ", smooth (in the order of NGINX)",
        Some(_) | None => "",
    }
}

/// Whether turns are those of smooth weighted round robin, wherever they begin: each round every backend gains its weight, and the one that has
/// most is picked and pays the sum (nginx, `ngx_http_upstream_get_peer`). Equal ones may stand in any order.
fn is_smooth(turns: &[Backend], weights: &[(Backend, u32)]) -> bool {
    let sum: i64 = weights.iter().map(|(_, weight)| i64::from(*weight)).sum();
    let from = |start: usize| {
        let mut credit: Vec<i64> = vec![0; weights.len()];
        turns.iter().cycle().skip(start).take(turns.len()).all(|turn| {
            credit.iter_mut().zip(weights).for_each(|(credit, (_, weight))| *credit += i64::from(*weight));
            let most = credit.iter().max().copied();
            let Some(place) = weights.iter().position(|(backend, _)| backend == turn) else { return false };
            let picked = Some(credit[place]) == most;
            credit[place] -= sum;
            picked
        })
    };
    (0..turns.len()).any(from)
}

pub(super) fn name(names: &[String], backend: Backend) -> &str {
    names.get(usize::from(backend.0)).map_or("nobody", String::as_str)
}

pub(super) fn singular(key: &Key) -> String {
    match key {
        Key::Network | Key::Host => "source address".to_owned(),
        Key::Path => "URI".to_owned(),
        Key::Query => "a parameter of the query".to_owned(),
        Key::Body => "the request's body".to_owned(),
        Key::Header(name) => format!("the header {name}"),
        Key::Cookie(name) => format!("the client's cookie {name}"),
    }
}

/// What was not tried, a line for each reason.
pub(super) fn describe_missing(missing: &[Missing]) -> Vec<String> {
    let mut reasons: Vec<(SkipReason, Vec<&str>)> = Vec::new();
    let mut lines = Vec::new();
    for missing in missing {
        let (why, what) = match *missing {
            Missing::Order { why, .. } => (why, "the order"),
            Missing::Connections(why) => (why, "connections or requests"),
            Missing::Source(why) => (why, "source addresses"),
            Missing::Path(why) => (why, "paths"),
            Missing::Body(why) => (why, "bodies"),
            Missing::Header(why) => (why, "headers"),
            Missing::Cookie(why) => (why, "cookies"),
            Missing::Jar(why) => (why, "the balancer's cookies"),
            Missing::Load(why) => (why, "load"),
        };
        match (missing, reasons.iter_mut().find(|(known, _)| *known == why)) {
            (Missing::Order { sent: sent @ 1.., .. }, _) => {
                lines.push(format!("order: only {}: {}", count_of(*sent as u64, "request"), because(why)));
            }
            (_, Some((_, all))) => all.push(what),
            (_, None) => reasons.push((why, vec![what])),
        }
    }
    let listed = |(why, what): (SkipReason, Vec<&str>)| format!("not tried: {} ({})", what.join(", "), because(why));
    lines.extend(reasons.into_iter().map(listed));
    lines
}

fn because(why: SkipReason) -> &'static str {
    match why {
        SkipReason::NotWanted => "--no-experiments",
        SkipReason::NoTime => "responses are slow: more than the experiments' time allows",
        SkipReason::NoRequests => "more than the requests that are allowed",
        SkipReason::Cached => "a cache, or the balancer itself, gave the responses",
        SkipReason::Impossible => "this client has no addresses of several networks",
        SkipReason::NotOurs => "the backends are not ours and cannot be asked to take their time",
        SkipReason::Own => "your own credentials, cookies and Host are left as they are",
        SkipReason::NotKept => "the balancer does not keep connections",
    }
}

pub(super) fn describe_trial(trial: &KeyTrial) -> String {
    match (trial.spread(), trial.moved()) {
        (0, _) => "no response".to_owned(),
        (1, 0) => "all to the same backend".to_owned(),
        (spread, 0) => format!("{spread} backends, each value always the same one"),
        (spread, moved) => format!("{spread} backends, {moved} of {} values changed theirs", trial.rows.len()),
    }
}

/// A few turns in the backends' names, and what they look like.
pub(super) fn describe(order: &OrderPattern, sequence: &[Backend], names: &[String]) -> String {
    let turn =
        |backends: &[Backend]| backends.iter().map(|backend| name(names, *backend)).collect::<Vec<_>>().join(" ");
    let but = |exceptions: usize| match exceptions {
        0 => "without exception".to_owned(),
        1 => "with 1 exception".to_owned(),
        count => format!("with {count} exceptions"),
    };
    match order {
        OrderPattern::TooFew => "too few of some to compare".to_owned(),
        OrderPattern::One(backend) => format!("all to {}", name(names, *backend)),
        OrderPattern::Turns { period, exceptions } if period.len() <= 12 => {
            format!("{}, {}", turn(period), but(*exceptions))
        }
        OrderPattern::Turns { period, exceptions } => format!("a turn of {}, {}", period.len(), but(*exceptions)),
        OrderPattern::Blocks(weights) => {
            let length: u32 = weights.iter().map(|(_, weight)| weight).sum();
            format!("each block of {length} complete, in changing order")
        }
        OrderPattern::Even(ratio) => {
            format!("no fixed order; variance is {:.0} % of random selection's", ratio * 100.0)
        }
        OrderPattern::Chance => format!("like chance: {} …", turn(&sequence[..sequence.len().min(6)])),
        OrderPattern::Unclear => "neither order nor clearly chance".to_owned(),
        OrderPattern::Clumped => "the same backend again more often than by chance".to_owned(),
    }
}
