//! The phrases of streams and WebSockets.

use verdict::facts::streams::{Alive, CloseCodes, Cuts, Delay, Delays, Messages, Summary, Truncations, Upgrades};
use verdict::finding::Level;
use verdict::life::{NO_CODE, StreamKind};
use verdict::numbers::{count_of, grouped};

use super::phrase::{Phrase, listed};
use crate::balancer::Balancer;
use crate::report::hints;

fn seconds(time: f64) -> String {
    if time < 0.001 {
        format!("{:.1} ms", time * 1e3)
    } else if time < 0.999_5 {
        format!("{:.0} ms", time * 1e3)
    } else {
        format!("{time:.1} s")
    }
}

/// `15.0 s`, or `14.9 to 15.2 s`.
fn span((least, most): (f64, f64)) -> String {
    if most - least < 0.1 { seconds(most) } else { format!("{} to {}", seconds(least), seconds(most)) }
}

fn unit(websockets: bool) -> &'static str {
    if websockets { "WebSocket" } else { "stream" }
}

fn distribution(delay: &Delay) -> String {
    format!("p50 {}, p90 {}, largest {}", seconds(delay.p50), seconds(delay.p90), seconds(delay.max))
}

pub(super) fn summary(facts: &Summary) -> Phrase {
    let unit = unit(facts.kind == StreamKind::Websocket);
    let mut parts = vec![format!("{} of {} opened", grouped(facts.streams), count_of(facts.of, unit))];
    if facts.written > 0 {
        let came = format!("{} of {} came", grouped(facts.came), count_of(facts.written, "event"));
        parts.push(match &facts.delay {
            Some(delay) => format!("{came} ({})", distribution(delay)),
            None => came,
        });
    }
    if facts.sent > 0 {
        parts.push(format!("{} of {} came back", grouped(facts.echoed), count_of(facts.sent, "message")));
    }
    if facts.resumed > 0 {
        parts.push(format!("{} resumed without a gap", grouped(facts.resumed)));
    }
    Phrase::of(parts.join("; ")).because(vec![format!("{} ended as planned", count_of(facts.ended, unit))])
}

pub(super) fn upgrade(facts: &Upgrades, product: Option<Balancer>) -> Phrase {
    let of = count_of(facts.of, "WebSocket handshake");
    let what = match facts.status {
        Some(status) if facts.stripped == 0 => {
            format!("the balancer itself refused {} of {of} with {status}", grouped(facts.refused))
        }
        _ => format!("{} of {of} reached the backend without Upgrade: it saw a plain request", grouped(facts.stripped)),
    };
    Phrase::of(what).try_this(hints::of_upgrade(product))
}

pub(super) fn messages(facts: &Messages) -> Phrase {
    let parts = [
        (facts.lost, "lost"),
        (facts.doubled, "doubled"),
        (facts.misordered, "out of order"),
        (facts.foreign, "of another stream or altered"),
        (facts.unreceived, "lost on the way to the backend"),
        (facts.misplaced, "at the backend not in order"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", grouped(*count)))
        .collect();
    Phrase::of(format!("events of {} of {}: {}", grouped(facts.streams), count_of(facts.of, "stream"), listed(&parts)))
        .because(vec!["events are numbered by who writes them".to_owned()])
        .try_this("look for a filter, a cache or a module of the balancer that touches bodies")
}

pub(super) fn delays(facts: &Delays, level: Level, product: Option<Balancer>) -> Phrase {
    let Delays { websockets, delay, withheld, limit, beyond, streams, is_backlog } = facts;
    let mut lines = Vec::new();
    if delay.events > 0 {
        lines.push(format!("{}: {}", count_of(delay.events, "event"), distribution(delay)));
    }
    if *withheld > 0 && !(*websockets && limit.is_none()) {
        lines.push(format!("{} were written and had not come when the client left", count_of(*withheld, "event")));
    }
    if *streams > 0 {
        let held = count_of(*streams, unit(*websockets));
        lines.push(format!("{held}: more than half of the events later than that"));
    }
    let total = delay.events + withheld;
    match (level, limit) {
        (Level::Pass, Some(limit)) => {
            Phrase::of(format!("events come unbuffered: nine of ten within {}", seconds(*limit))).because(lines)
        }
        (Level::Inconclusive, _) if total == 0 => {
            Phrase::of("no event came, so nothing is known of its delay").because(lines)
        }
        (Level::Inconclusive, None) if *websockets => Phrase::of(format!(
            "{} had not come when the client left",
            count_of(*withheld, "message")
        ))
        .because(lines)
        .try_this(
            "look for what makes the balancer stop forwarding, or forward late, on connections that it keeps open",
        ),
        (Level::Inconclusive, _) => {
            lines.push(format!(
                "the client or the backends themselves were late, one time in forty by {} or more",
                seconds(delay.lateness)
            ));
            Phrase::of("events came late, and this machine is too busy to tell")
                .because(lines)
                .try_this("repeat the check on a machine with less load")
        }
        (_, limit) => {
            let what = match limit {
                Some(limit) => {
                    format!("{} of {} came later than {}", grouped(*beyond), count_of(total, "event"), seconds(*limit))
                }
                None if *is_backlog && *withheld > 0 => format!(
                    "events come more slowly than backends write them: {} had not come when the client left",
                    grouped(*withheld)
                ),
                None if *withheld > 0 => format!("{} were held back", count_of(*withheld, "event")),
                None if *is_backlog => format!(
                    "events come more slowly than backends write them: half of them {} late or more",
                    seconds(delay.p50)
                ),
                None => format!("events are buffered: half of them for {} or longer", seconds(delay.p50)),
            };
            Phrase::of(what).because(lines).try_this(match (websockets, is_backlog) {
                (true, _) => hints::of_slow_websockets().to_owned(),
                (false, true) => hints::of_backlog(product),
                (false, false) => hints::of_buffering(product),
            })
        }
    }
}

pub(super) fn cuts(facts: &Cuts, level: Level, product: Option<Balancer>) -> Phrase {
    let unit = unit(facts.websockets);
    let mut lines = Vec::new();
    if facts.excused > 0 {
        lines.push(format!("{} ended with a backend that was broken", count_of(facts.excused, unit)));
    }
    if facts.resumed > 0 {
        lines.push(format!("{} resumed without a gap", count_of(facts.resumed, unit)));
    }
    if facts.streams == 0 {
        let cut = if facts.excused > 0 { "none was cut apart from those of broken backends" } else { "none was cut" };
        return Phrase::of(format!("{} of {}: {cut}", facts.of - facts.excused, count_of(facts.of, unit)))
            .because(lines);
    }
    let by_others = facts.streams - facts.by_backend;
    let who = match (facts.by_balancer + facts.closed_properly(), facts.by_backend) {
        (0, 0) => "it is not known by whom".to_owned(),
        (balancer, 0) if balancer == facts.streams => "by the balancer".to_owned(),
        (0, backend) if backend == facts.streams => "by the backends themselves".to_owned(),
        (balancer, backend) => format!("{balancer} by the balancer, {backend} by backends"),
    };
    let idle = was_silent(facts.age, facts.idle);
    let when = match (facts.at_step == facts.streams, idle) {
        (true, _) => "right after a step of the scenario".to_owned(),
        (_, true) => format!("after {} idle", span(facts.idle)),
        _ => format!("after {} alive, at event {}", span(facts.age), facts.event),
    };
    lines.push(format!("alive {}, silent {}, the median at event {}", span(facts.age), span(facts.idle), facts.event));
    let codes: Vec<String> =
        facts.closed.iter().map(|(code, count)| format!("{count}× {}", code_name(*code))).collect();
    if !codes.is_empty() {
        lines.push(format!("closed with a close frame: {}", listed(&codes)));
    }
    let phrase = Phrase::of(format!("{} of {} cut {when}, {who}", grouped(facts.streams), count_of(facts.of, unit)))
        .because(lines);
    match level {
        Level::Fail | Level::Note if by_others > 0 => {
            let leaves = |code: &u16| matches!(code, 1001 | 1012);
            let leaving: u64 = facts.closed.iter().filter(|(code, _)| leaves(code)).map(|(_, count)| count).sum();
            // Who says that it goes away ends, or is reloaded: neither age nor silence is a reason for that.
            let cause = match (facts.at_step.max(leaving) == facts.streams, idle) {
                (true, _) => hints::Cut::Step,
                (_, true) => hints::Cut::Idle,
                _ => hints::Cut::Age,
            };
            phrase.try_this(hints::of_cut(cause, product))
        }
        Level::Inconclusive => phrase
            .try_this("no record says who ended them: check whether a backend crashed (uuid-generator fleet status)"),
        _ => phrase,
    }
}

/// Whether silence explains the end of all of them.
fn was_silent(age: (f64, f64), idle: (f64, f64)) -> bool {
    idle.0 >= 0.5 && idle.0 >= 0.5 * age.1
}

fn code_name(code: u16) -> String {
    match code {
        NO_CODE => "no code".to_owned(),
        1000 => "1000 (normal)".to_owned(),
        1001 => "1001 (going away)".to_owned(),
        1011 => "1011 (internal error)".to_owned(),
        1012 => "1012 (service restart)".to_owned(),
        code => code.to_string(),
    }
}

pub(super) fn truncated(facts: &Truncations, product: Option<Balancer>) -> Phrase {
    let what = if facts.streams > 0 { facts.streams } else { facts.excused };
    Phrase::of(format!(
        "{} of {} look whole and are not: the balancer ended them in order, and their backends had not",
        grouped(what),
        count_of(facts.of, "stream"),
    ))
    .because(vec![format!("alive {}, silent {}", span(facts.age), span(facts.idle))])
    .try_this(hints::of_cut(
        if was_silent(facts.age, facts.idle) { hints::Cut::Idle } else { hints::Cut::Age },
        product,
    ))
}

pub(super) fn close_codes(facts: &CloseCodes, level: Level) -> Phrase {
    let each = |from: &str, to: &str, changed: &[(u16, Option<u16>, u64)]| -> Vec<String> {
        let line = |(sent, came, count): &(u16, Option<u16>, u64)| {
            let came = came.map_or("none".to_owned(), code_name);
            format!("{count}× {from} sent {}, {to} got {came}", code_name(*sent))
        };
        changed.iter().map(line).collect()
    };
    let mut lines = each("backend", "client", &facts.changed);
    lines.extend(each("client", "backend", &facts.changed_upwards));
    Phrase::of(format!(
        "close frames of {} of {} did not arrive as they were sent",
        grouped(facts.streams),
        count_of(facts.of, "WebSocket"),
    ))
    .because(lines)
    .try_this(match level {
        Level::Inconclusive => {
            "check again with another --duration: they are lost, or the balancer cut the connections just then"
        }
        _ => "look for a module or a gateway that takes WebSockets apart instead of passing them on",
    })
}

pub(super) fn alive(facts: &Alive, level: Level, product: Option<Balancer>) -> Phrase {
    let list = |alive: &[(String, u64)]| {
        listed(&alive.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>())
    };
    let mut lines = Vec::new();
    let now = facts.last.as_ref().unwrap_or(&facts.first);
    if facts.last.is_some() {
        lines.push(format!("before: {}", list(&facts.first)));
    }
    let phrase = Phrase::of(match (facts.is_expected, level) {
        (true, Level::Pass) => format!("alive at once, evenly: {}", list(now)),
        (true, Level::Fail) => format!("alive at once, not evenly: {}", list(now)),
        (true, _) => format!("alive at once: {}, too few to tell whether that is even", list(now)),
        (false, _) => format!("alive at once: {}", list(now)),
    })
    .because(lines);
    match level {
        Level::Fail => phrase.try_this(hints::of_alive(product)),
        Level::Inconclusive => phrase.try_this("open more of them: -c 300"),
        Level::Pass | Level::Note => phrase,
    }
}
