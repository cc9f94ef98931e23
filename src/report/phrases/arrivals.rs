//! The phrases of requests as they arrived.

use verdict::facts::requests::{
    ClientAddress, ClientAddressConclusion, Extent, Intact, PathChange, RequestChange, ShortenedDeadlines, WayField,
    WayFields,
};
use verdict::finding::Level;
use verdict::numbers::{count_of, grouped, time};
use verdict::report::{Forwarding, Rewrite};

use super::phrase::{Phrase, listed};
use crate::balancer::Balancer;
use crate::report::hints;

/// `all 600 requests`, `6 of 600 requests`.
fn whom(facts: &RequestChange) -> String {
    match facts.extent {
        Extent::All | Extent::Ways if facts.changed == facts.of => format!("all {}", count_of(facts.of, "request")),
        Extent::Urls if !facts.urls.is_empty() => {
            format!("all {} to {}", count_of(facts.changed, "request"), listed(&facts.urls))
        }
        Extent::All
        | Extent::Backends
        | Extent::Urls
        | Extent::Bodies
        | Extent::Clients
        | Extent::Ways
        | Extent::Some => {
            format!("{} of {}", grouped(facts.changed), count_of(facts.of, "request"))
        }
    }
}

fn texts(arrived: &[(String, u64)]) -> String {
    let texts: Vec<&str> =
        arrived.iter().map(|(text, _)| if text.is_empty() { "none" } else { text.as_str() }).collect();
    texts.join(", ")
}

/// Both ends, with how often each was seen where there are several.
fn both_ends(facts: &RequestChange) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(sent) = &facts.sent {
        lines.push(format!("sent:    {sent}"));
    }
    for (text, count) in &facts.arrived {
        let text = if text.is_empty() { "none" } else { text.as_str() };
        lines.push(format!("arrived: {text} ({}×)", grouped(*count)));
    }
    lines.push(whom_it_hits(facts.extent).to_owned());
    lines
}

fn whom_it_hits(extent: Extent) -> &'static str {
    match extent {
        Extent::All => "it hits all requests: a rewrite",
        Extent::Backends => "it hits all requests to some backends, and none to others",
        Extent::Urls => "it hits all requests to some URLs, and none to others",
        Extent::Bodies => {
            "it hits all requests with some of the bodies, and none with others: a route by the body, or a fault (--expect intact)"
        }
        Extent::Clients => "it hits some clients' requests",
        Extent::Ways => "requests that are alike arrive at one backend in several ways",
        Extent::Some => "it hits some requests and not others that are alike",
    }
}

fn phrase(facts: &RequestChange, summary: String, hint: Option<String>) -> Phrase {
    let summary = match &facts.expected {
        Some(expected) => format!("{summary}, against --expect {expected}"),
        None => summary,
    };
    Phrase { hint, ..Phrase::of(summary).because(both_ends(facts)) }
}

pub(super) fn method(facts: &RequestChange, product: Option<Balancer>) -> Phrase {
    let sent = facts.sent.as_deref().unwrap_or("?");
    let summary = format!("the method of {} was changed: {sent} arrived as {}", whom(facts), texts(&facts.arrived));
    phrase(facts, summary, Some(hints::of_method(product)))
}

/// What treats some requests in another way.
const OTHER_ROUTE: &str =
    "look for a second route, a second instance with another configuration, or a worker that missed a reload";

pub(super) fn path(facts: &RequestChange, product: Option<Balancer>) -> Phrase {
    let sent = facts.sent.as_deref().unwrap_or("?");
    let how = facts.path.as_ref().and_then(how).map(|how| format!(" ({how})")).unwrap_or_default();
    let arrived = texts(&facts.arrived);
    let summary = format!("the path of {} was rewritten{how}: {sent} arrived as {arrived}", whom(facts));
    let decodes = facts.path.as_ref().is_some_and(|path| path.decoded || path.merged);
    let hint = match facts.extent {
        _ if decodes => Some(hints::of_escapes(product)),
        // Wanted as likely as not, unless the user says otherwise.
        Extent::All | Extent::Urls => facts.expected.as_ref().map(|_| hints::of_rewrite(product)),
        Extent::Backends | Extent::Bodies | Extent::Clients | Extent::Ways | Extent::Some => {
            Some(OTHER_ROUTE.to_owned())
        }
    };
    phrase(facts, summary, hint)
}

fn how(path: &PathChange) -> Option<String> {
    let mut ways = Vec::new();
    if let Some(removed) = &path.removed {
        ways.push(format!("{removed} removed"));
    }
    if let Some(added) = &path.added {
        ways.push(format!("{added} added in front"));
    }
    if path.decoded {
        ways.push("escapes decoded".to_owned());
    }
    if path.merged {
        ways.push("slashes merged".to_owned());
    }
    (!ways.is_empty()).then(|| listed(&ways))
}

/// `/uuid?`
const EMPTY_QUERY: &str = "an empty one (?)";

pub(super) fn query(facts: &RequestChange, product: Option<Balancer>) -> Phrase {
    let sent = facts.sent.as_deref().map_or("none", |sent| if sent.is_empty() { EMPTY_QUERY } else { sent });
    let arrived = match facts.arrived.as_slice() {
        // What is written without a query differs from none by its question mark alone.
        [(only, _)] if only.is_empty() && facts.sent.is_none() => EMPTY_QUERY.to_owned(),
        several => texts(several),
    };
    let summary = format!("the query of {} was changed: {sent} arrived as {arrived}", whom(facts));
    phrase(facts, summary, Some(hints::of_query(product)))
}

pub(super) fn host(facts: &RequestChange, product: Option<Balancer>) -> Phrase {
    let sent = facts.sent.as_deref().unwrap_or("none");
    let summary = format!("Host of {} was changed: {sent} arrived as {}", whom(facts), texts(&facts.arrived));
    let hint = match facts.extent {
        Extent::Ways => OTHER_ROUTE.to_owned(),
        Extent::All | Extent::Backends | Extent::Urls | Extent::Bodies | Extent::Clients | Extent::Some => {
            hints::of_host(product)
        }
    };
    phrase(facts, summary, Some(hint))
}

pub(super) fn body(facts: &RequestChange, product: Option<Balancer>) -> Phrase {
    let summary = match (&facts.sent, facts.arrived.as_slice()) {
        (Some(sent), [(only, _)]) if only == "0" => {
            format!("the body of {} was lost: {sent} bytes sent, none arrived", whom(facts))
        }
        (Some(sent), [(only, _)]) => {
            let way = match (sent.parse::<u64>(), only.parse::<u64>()) {
                (Ok(sent), Ok(arrived)) if sent < arrived => "lengthened",
                (Ok(_), Ok(_)) => "cut",
                // Bodies of several lengths were sent.
                _ => "cut or lengthened",
            };
            format!("the body of {} was {way}: {sent} bytes sent, {only} arrived", whom(facts))
        }
        (None, [(only, _)]) => format!("{} arrived with a body of {only} bytes, though none was sent", whom(facts)),
        (_, []) => format!("the body of {} was changed; its length is the same", whom(facts)),
        (_, [..]) => format!("the body of {} was cut or lengthened", whom(facts)),
    };
    phrase(facts, summary, Some(hints::of_body(product)))
}

pub(super) fn fields(facts: &RequestChange, product: Option<Balancer>) -> Phrase {
    let names: Vec<&str> = facts.fields.iter().map(|(name, _)| name.as_str()).collect();
    let ways: Vec<&str> = facts.arrived.iter().map(|(way, _)| way.as_str()).collect();
    let verb = if names.len() == 1 { "header" } else { "headers" };
    let summary = format!("{verb} {} of {}: {}", listed(&names), whom(facts), listed(&ways));
    let summary = match &facts.expected {
        Some(expected) => format!("{summary}, against --expect {expected}"),
        None => summary,
    };
    let mut lines = vec![whom_it_hits(facts.extent).to_owned()];
    let hint = match facts.shortened {
        Some(deadlines) => {
            lines.insert(0, shortened(deadlines));
            hints::of_deadlines(product)
        }
        None => hints::of_request_fields(&names, product),
    };
    Phrase::of(summary).because(lines).try_this(hint)
}

fn shortened(deadlines: ShortenedDeadlines) -> String {
    let (shortest, longest) = (time(deadlines.shortest), time(deadlines.longest));
    let arrived = if shortest == longest { shortest } else { format!("{shortest} to {longest}") };
    format!("deadline of {}: arrived as {arrived}; the way to backends explains less", time(deadlines.sent))
}

pub(super) fn way_fields(facts: &WayFields) -> Phrase {
    let clause = |it: &WayField| {
        let name = header(&it.name);
        let (some, all) = (grouped(it.attempts), count_of(it.of, "request"));
        match it.twice {
            0 if it.other > 0 => {
                let usual = if it.name == "x-forwarded-proto" { "http" } else { "the Host that was sent" };
                let (has, other) = (grouped(it.attempts - it.other), grouped(it.other));
                format!(
                    "{name} arrives as {usual} with {has} of {all} that are alike, and with another value in {other}"
                )
            }
            0 => format!("{name} arrives with {some} of {all} that are alike"),
            twice if it.attempts == it.of => format!("{name} arrives with two values in {} of {all}", grouped(twice)),
            twice => format!("{name} arrives with {some} of {all}, in {} with two values", grouped(twice)),
        }
    };
    Phrase::of(facts.fields.iter().map(clause).collect::<Vec<_>>().join("; ")).try_this(
        "backends build links and redirects from it: have the outermost balancer set it for every request, in place of what came",
    )
}

pub(super) fn client_address(facts: &ClientAddress, level: Level, product: Option<Balancer>) -> Phrase {
    let claimed = facts.claimed.as_deref().unwrap_or_default();
    let first = facts.arrived.first().map_or("", |(text, _)| text.as_str());
    let summary = match facts.conclusion {
        ClientAddressConclusion::Replaced if facts.claimed.is_some() => {
            format!("X-Forwarded-For: {claimed} of the client arrived as {first}: the balancer overwrites it")
        }
        ClientAddressConclusion::Replaced => format!("X-Forwarded-For arrives as {first}"),
        ClientAddressConclusion::Appended => {
            format!(
                "X-Forwarded-For: {claimed} of the client arrived as {first}: only its last entry is the balancer's"
            )
        }
        ClientAddressConclusion::Believed if facts.claimed.is_none() => {
            "an X-Forwarded-For of an experiment arrived as it was sent, without the client's own address".to_owned()
        }
        ClientAddressConclusion::Believed => {
            format!("a forged X-Forwarded-For: {claimed} arrived as the client sent it, without its own address")
        }
        ClientAddressConclusion::Mixed => {
            format!("X-Forwarded-For is missing in {}", count_of(facts.without, "request"))
        }
        ClientAddressConclusion::Partial => {
            let named = facts.arrived.iter().map(|(_, count)| count).sum::<u64>();
            let (wrong, all) = (facts.without + facts.other, named + facts.without);
            let how = match (facts.without, facts.other) {
                (_, 0) => "no",
                (0, _) => "another",
                _ => "another or no",
            };
            format!(
                "{} of {} arrived with {how} client address in X-Forwarded-For",
                grouped(wrong),
                count_of(all, "request")
            )
        }
        ClientAddressConclusion::Absent => "X-Forwarded-For does not arrive".to_owned(),
        ClientAddressConclusion::Other => {
            format!("X-Forwarded-For arrives as {}, and the client has a loopback address", texts(&facts.arrived))
        }
        ClientAddressConclusion::Proxied => {
            format!("X-Forwarded-For does not arrive; PROXY headers name the client: {}", texts(&facts.proxied))
        }
        ClientAddressConclusion::ProxiedOther => {
            format!("PROXY headers name {}, and the client has a loopback address", texts(&facts.proxied))
        }
    };
    let phrase = Phrase::of(summary);
    match facts.conclusion {
        ClientAddressConclusion::Believed => phrase.try_this(hints::of_forwarded_for(product)),
        ClientAddressConclusion::Partial => phrase
            .because(vec![format!("it arrived as {}", texts(&facts.arrived))])
            .try_this("look for a second route, a second instance, or a worker that missed a reload"),
        ClientAddressConclusion::Absent | ClientAddressConclusion::Mixed if level > Level::Note => {
            phrase.try_this("let the balancer write X-Forwarded-For, or send a PROXY header")
        }
        ClientAddressConclusion::Other | ClientAddressConclusion::ProxiedOther => phrase.try_this(
            "the balancer writes another address, or something on the way to it translates addresses (a published port of a \
             container): check from where clients come",
        ),
        ClientAddressConclusion::Appended if level == Level::Note => {
            phrase.try_this("backends must take the last entry, not the first")
        }
        _ => phrase,
    }
}

pub(super) fn intact(facts: &Intact, level: Level) -> Phrase {
    let Intact { compared, of, expected, .. } = facts;
    if level == Level::Pass {
        return Phrase::of(format!("requests arrive as --expect {expected} says"));
    }
    if !facts.not_sent.is_empty() {
        return Phrase::of(format!("--expect {expected} cannot be judged: no request has {}", listed(&facts.not_sent)))
            .try_this("send it with --header");
    }
    if *of == 0 && facts.refused > 0 {
        return Phrase::of(format!("--expect {expected} cannot be judged: backends refused to read the requests"))
            .try_this("see why they refused them, and fix that first");
    }
    let why = if *of == 0 {
        "the backends keep no records that this check can read".to_owned()
    } else {
        format!("only {} of {} attempts arrived with Check-Request-Sent", grouped(*compared), grouped(*of))
    };
    Phrase::of(format!("--expect {expected} cannot be judged: {why}"))
        .try_this("let the balancer pass Check-Request-Sent to the backends of a fleet of this program")
}

/// What it holds to backends, where requests may share connections: `3 connections to 3 backends, up to 11 requests at once on one`.
fn held(it: &Forwarding) -> Option<String> {
    let most = it.upstream.iter().map(|it| it.at_once).max()?;
    let at_once = match most {
        ..=1 if it.http_2 == 0 => return None,
        // NGINX multiplexes nothing, whatever its clients do.
        ..=1 => "one request at a time on each".to_owned(),
        most => format!("up to {most} requests at once on one"),
    };
    let connections = it.upstream.iter().map(|it| it.connections).sum();
    let backends = count_of(it.upstream.len() as u64, "backend");
    Some(format!("{} to {backends}, {at_once}", count_of(connections, "connection")))
}

/// The version of HTTP that backends get, where it is another than the client's or not always the same.
fn version(it: &Forwarding) -> Option<String> {
    let between = it.attempts.saturating_sub(it.http_1_0 + it.http_2);
    let versions = [("HTTP/1.0", it.http_1_0), ("HTTP/1.1", between), ("HTTP/2", it.http_2)];
    let seen: Vec<(&str, u64)> = versions.into_iter().filter(|(_, attempts)| *attempts > 0).collect();
    let client = it.client_http_2.map(|http2| if http2 { "HTTP/2" } else { "HTTP/1.1" });
    let to_backends = match seen.as_slice() {
        [] => return None,
        [(only, _)] if client.is_none_or(|client| client == *only) => return None,
        [(only, _)] => (*only).to_owned(),
        several => {
            let each = several.iter().map(|(version, attempts)| format!("{version} ({}×)", grouped(*attempts)));
            listed(&each.collect::<Vec<_>>())
        }
    };
    let from_client = client.map(|client| format!("{client} from the client, ")).unwrap_or_default();
    Some(format!("{from_client}{to_backends} to backends"))
}

/// What the balancer does to a request, a clause each; none if it passes requests on as they are.
pub(crate) fn forwarding(it: &Forwarding) -> Vec<String> {
    let mut clauses: Vec<String> = it.rewrites.iter().map(|part| rewrite(part, it.compared)).collect();
    for added in &it.added {
        let value = added.value.as_ref().map(|value| format!(": {value}")).unwrap_or_default();
        let some = of_all(added.attempts, added.attempts + added.missing);
        let twice = match added.twice {
            0 => String::new(),
            twice if twice == added.attempts => ", twice in each".to_owned(),
            twice => format!(", twice in {}", grouped(twice)),
        };
        clauses.push(format!("{}{value} added{some}{twice}", header(&added.name)));
    }
    for (name, _) in &it.leaked {
        clauses.push(format!("{} passed on, though it belongs to the connection", header(name)));
    }
    clauses.extend(version(it));
    if let Some((first, _)) = it.proxied.first() {
        clauses.push(match it.proxied.len() {
            1 => format!("PROXY header: client {first}"),
            _ => format!("PROXY header: {first} and other clients"),
        });
    }
    clauses.extend(held(it));
    clauses.extend(it.vias.iter().map(|via| format!("Via: {via} in responses")));
    clauses.extend(it.servers.iter().map(|server| format!("Server: {server} in responses")));
    if it.compared < it.attempts {
        let missing = grouped(it.attempts - it.compared);
        clauses.push(format!("{missing} attempts not compared: Check-Request-Sent did not arrive"));
    }
    clauses
}

/// What hits some requests only must not read as if it hit all.
fn of_all(some: u64, all: u64) -> String {
    if some < all { format!(" ({} of {})", grouped(some), grouped(all)) } else { String::new() }
}

fn rewrite(it: &Rewrite, compared: u64) -> String {
    if !it.fields.is_empty() {
        let way = it.part.strip_prefix("field-").unwrap_or(&it.part);
        return format!("{} {way} ({}×)", listed(&it.fields), grouped(it.attempts));
    }
    let arrived = match it.arrived.as_slice() {
        [] => return format!("{} ({}×)", it.part.replace('-', " "), grouped(it.attempts)),
        [(only, _)] => only.clone(),
        several => format!("{} different ones", several.len()),
    };
    let arrived = match arrived.as_str() {
        // Of all parts only a query need not have been sent.
        "" if it.sent.is_none() => EMPTY_QUERY,
        "" => "none",
        arrived => arrived,
    };
    let sent = it.sent.as_ref().map(|sent| format!(" {sent}")).unwrap_or_default();
    format!("{}{sent} → {arrived}{}", it.part.replace('-', " "), of_all(it.attempts, compared))
}

/// `x-forwarded-for` as people write it.
fn header(name: &str) -> String {
    let word = |word: &str| match word {
        "te" => "TE".to_owned(),
        word => {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
        }
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}
