//! The phrases of the experiments that name an algorithm, a line each.

use verdict::algorithm::{
    AlgorithmRemark, ExperimentFacts, ExperimentResult, Key, KeySpread, Missing, OrderFacts, SkipReason,
};
use verdict::numbers::count_of;

use crate::balancer::Balancer;
use crate::report::hints;
use crate::report::phrases::selection::selection;

pub(super) fn lines(experiments: &[ExperimentResult]) -> Vec<String> {
    let missing = experiments.iter().filter_map(|experiment| {
        if let ExperimentFacts::NotMade { missing } = experiment.facts { Some(missing) } else { None }
    });
    let missing: Vec<Missing> = missing.collect();
    experiments.iter().filter_map(|experiment| line(&experiment.facts)).chain(not_made(&missing)).collect()
}

/// None for what was not made: that has a line for each reason.
#[expect(clippy::too_many_lines, reason = "a sentence for each experiment")]
fn line(facts: &ExperimentFacts) -> Option<String> {
    use ExperimentFacts as Facts;
    Some(match facts {
        Facts::NewConnections { requests, order } => {
            format!("{requests} new connections in sequence: {}", sequence(order))
        }
        Facts::OneConnection { requests, order } => {
            format!("{requests} requests on one connection: {}", sequence(order))
        }
        Facts::Sample { requests, order } => format!("{requests} requests of the sample: {}", sequence(order)),
        Facts::SideBySide { requests, chances: 0, .. } => format!("{requests} side by side: too few to compare"),
        Facts::Blocks { order: OrderFacts::TooFew, requests } => format!("{requests} in blocks: too few to compare"),
        Facts::Blocks { requests, order } => format!("{requests} requests in blocks: {}", evenness(order)),
        Facts::Connections { connections, requests } => format!(
            "{connections} connections, {requests} requests each: all of a connection went to one backend, so connections are balanced, not requests"
        ),
        Facts::Key { key, values, requests, spread: seen } => {
            format!("{values} {}, {requests} requests each: {}", varied(key), spread(*seen, *values))
        }
        Facts::GivenCookies { given, clients, requests, spread: seen } => format!(
            "{clients} clients that bring back the {}, {requests} requests each: {}",
            given.join(" and "),
            spread(*seen, *clients)
        ),
        Facts::BusyKey { requests, elsewhere } => format!(
            "{requests} requests at once, several of each value: {elsewhere} went elsewhere than one by one: a busy backend is left out"
        ),
        Facts::BesideOne { busy, requests, to_busy, expected } => format!(
            "while a request was in flight at {}: {to_busy} of {requests} others went there too ({:.0} % expected if load is ignored)",
            busy.join(", "),
            expected * 100.0
        ),
        Facts::TurnsBeside { held, requests, to_busy, left } => format!(
            "{requests} requests in sequence, with one in flight at one backend after the other ({held} times): the rotation went on; {to_busy} of them went to the busy backend{}",
            if *left > 0 { format!("; they were left {}", count_of(*left, "time")) } else { String::new() }
        ),
        Facts::BesideMost { requests, to_busy, busy, backends } => {
            let these = if busy + 1 < *backends { format!("{busy} of {backends}") } else { "all but one".to_owned() };
            format!("with one in flight at {these}: {to_busy} of {requests} went to a busy one")
        }
        Facts::BesideAll { requests, waited } => format!(
            "with one in flight at each backend: {waited} of {requests} more waited until one was over, or were refused: each takes one request at a time"
        ),
        Facts::BesideWorkers { connections, beside, left_out } => format!(
            "{connections} connections, {beside} of them surely beside a request in flight at their worker: {left_out} left out a backend"
        ),
        Facts::SideBySide { requests, drift, chances, uphill, expected, waited } => format!(
            "{requests} requests side by side, some much slower: {}{uphill} of {chances} went to a backend that had more in flight than another ({expected:.0} expected if load is ignored){}",
            drift.map_or(String::new(), |drift| format!("no backend was more than {drift:.1} turns ahead or behind; ")),
            if *waited { "; some waited until another request at the same backend was over" } else { "" }
        ),
        Facts::SampleSideBySide { requests, at_once, chances: 0, .. } => {
            format!(
                "{requests} requests of the sample, up to {at_once} at once: no backend had surely more in flight than another"
            )
        }
        Facts::SampleSideBySide { requests, at_once, drift, chances, uphill, expected } => format!(
            "{requests} requests of the sample, up to {at_once} at once: no backend was more than {drift:.1} turns ahead or behind; {uphill} of {chances} went to a slow backend that had more in flight than another ({expected:.0} expected if load is ignored)"
        ),
        Facts::AfterSlow { backend, requests, there, usual } => format!(
            "after a slow response of {backend}: {there} of {requests} requests went there (usually {:.0} %)",
            usual * 100.0
        ),
        Facts::Rotations { connections, rotations: 1 } => {
            format!("{connections} connections against each other: one rotation")
        }
        Facts::Rotations { connections, rotations } => {
            format!("{connections} connections against each other: {rotations} rotations, each for itself")
        }
        Facts::SampleSpreads { backends, refuted } => {
            format!(
                "the sample, which varied nothing, went to {backends} backends: that is not \"{}\"",
                selection(refuted)
            )
        }
        Facts::SampleDiffers => {
            "the sample, with many requests in flight, has other shares than these weights: load may count too"
                .to_owned()
        }
        Facts::Others { requests } => format!(
            "{requests} requests of others during the experiments: the order does not show how many rotations there are"
        ),
        Facts::NotMade { .. } => return None,
    })
}

/// A few backends in their order, and what that looks like.
fn sequence(order: &OrderFacts) -> String {
    let but = |exceptions: u64| match exceptions {
        0 => "without exception".to_owned(),
        1 => "with 1 exception".to_owned(),
        count => format!("with {count} exceptions"),
    };
    match order {
        OrderFacts::TooFew => "too few at some backends to compare".to_owned(),
        OrderFacts::One { backend } => format!("all to {backend}"),
        OrderFacts::Turns { length, round, exceptions } if round.is_empty() => {
            format!("a round of {length} requests, {}", but(*exceptions))
        }
        OrderFacts::Turns { round, exceptions, .. } => format!("{}, {}", round.join(" "), but(*exceptions)),
        OrderFacts::Blocks { length } => format!("each block of {length} complete, in changing order"),
        OrderFacts::Even { variance } => {
            format!("no fixed order; variance is {:.0} % of random selection's", variance * 100.0)
        }
        OrderFacts::Chance { first } => format!("like chance: {} …", first.join(" ")),
        OrderFacts::Unclear => "neither order nor clearly chance".to_owned(),
        OrderFacts::Clumped => "the same backend again more often than by chance".to_owned(),
    }
}

fn evenness(order: &OrderFacts) -> String {
    match order {
        OrderFacts::Even { variance } => {
            format!("far more even than chance ({:.0} % of its variance)", variance * 100.0)
        }
        OrderFacts::Chance { .. } => "as even as chance".to_owned(),
        OrderFacts::Clumped => "less even than chance".to_owned(),
        OrderFacts::TooFew
        | OrderFacts::One { .. }
        | OrderFacts::Turns { .. }
        | OrderFacts::Blocks { .. }
        | OrderFacts::Unclear => "not clear".to_owned(),
    }
}

fn varied(key: &Key) -> String {
    match key {
        Key::Network => "source addresses of several networks".to_owned(),
        Key::Host => "source addresses of one network".to_owned(),
        Key::Path => "paths".to_owned(),
        Key::PathFront => "beginnings of the path".to_owned(),
        Key::Query => "values of the query's parameters".to_owned(),
        Key::Body => "bodies".to_owned(),
        Key::Header(name) => format!("values of {}", one_or_more("header", name)),
        Key::Cookie(name) => format!("values of {}", one_or_more("cookie", name)),
    }
}

/// `the header X-User`, `8 usual headers (X-User, …)`.
fn one_or_more(what: &str, names: &str) -> String {
    match names.split(", ").count() {
        1 => format!("the {what} {names}"),
        count => format!("{count} usual {what}s ({}, …)", names.split(", ").next().unwrap_or_default()),
    }
}

fn spread(seen: KeySpread, values: u64) -> String {
    match (seen.backends, seen.moved) {
        (0, _) => "no response".to_owned(),
        (1, 0) => "all to the same backend".to_owned(),
        (backends, 0) => format!("{backends} backends, each value always the same one"),
        (backends, moved) => format!("{backends} backends, {moved} of {values} values changed theirs"),
    }
}

/// What was not tried, a line for each reason.
fn not_made(missing: &[Missing]) -> Vec<String> {
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
        SkipReason::NoTime => "more than the experiments' time allows",
        SkipReason::NoRequests => "more than the requests that are allowed",
        SkipReason::Cached => "a cache, or the balancer itself, gave the responses",
        SkipReason::NothingWhole => "no response of a backend came back whole",
        SkipReason::Impossible => "this client has no addresses of several networks",
        SkipReason::Impatient => "the balancer waits for a response for less than 100 ms",
        SkipReason::NotOurs => "the backends are not ours and cannot delay responses on request",
        SkipReason::Call => "calls keep their method, and only Generate can hold its response back",
        SkipReason::Own => "your own credentials, cookies and Host are not varied",
        SkipReason::FewConnections => "the balancer serves too few connections at once",
        SkipReason::AllToOne => "without them, all requests of one client go to one backend as well",
        SkipReason::NotKept => "the balancer does not keep connections",
    }
}

/// What the reader should know besides the name.
pub(super) fn remark(remark: AlgorithmRemark, product: Option<Balancer>) -> String {
    let text = match remark {
        AlgorithmRemark::Limit => {
            "a limit of requests at a time (HAProxy's `maxconn`, NGINX's `max_conns`) keeps requests from a busy backend, whatever the \
             algorithm: a check with a higher limit tells whether load counts"
        }
        AlgorithmRemark::FillsInOrder => {
            "a balancer that fills one backend before it takes the next does so (HAProxy's `balance first` with `maxconn`), one that prefers \
             the fastest (least time), and a limit of requests at a time: a check with -c 1 tells"
        }
        AlgorithmRemark::SeveralRotations => return hints::of_rotations(product),
        AlgorithmRemark::Ring => {
            "HAProxy with hash-type consistent selects so for requests without the key: name it with --key-header or --key-cookie"
        }
        AlgorithmRemark::RingOfAnotherKey => {
            "HAProxy with hash-type consistent selects so for requests without the key, and what --key-header and --key-cookie named is not it"
        }
        AlgorithmRemark::Canary => {
            "a second rule sends some requests elsewhere, as for a canary (NGINX split_clients, weighted services): say the shares with --expect"
        }
        AlgorithmRemark::FirstOfConnections => {
            "the first request of each connection reaches the same backend: clients that send one request a connection all do \
             (--new-connections shows it). A rotation is to be shared by all connections"
        }
        AlgorithmRemark::Joined => {
            "a backend joins a rotation when its balancer finds it well again (a health check, fail_timeout, slow start), and may get requests \
             under load alone (a limit, an overflow): check again, and with -c 1"
        }
        AlgorithmRemark::KeptConnections => {
            "something besides the rotation decides for some connections: a hash of the client's port, or a worker or another balancer that \
             takes the other backends for down"
        }
        AlgorithmRemark::SeveralWorkers => {
            "far more even than chance, and no order: several workers or balancers, each with its own rotation"
        }
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_tried_for_one_reason_is_said_in_one_line() {
        let mut missing = Missing::all(SkipReason::NotWanted);
        missing.push(Missing::Jar(SkipReason::NoTime));
        let not_made = |missing| ExperimentResult { facts: ExperimentFacts::NotMade { missing }, excludes: Vec::new() };
        let lines = lines(&missing.into_iter().map(not_made).collect::<Vec<ExperimentResult>>());
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("not tried: the order, connections or requests,"), "{lines:?}");
    }
}
