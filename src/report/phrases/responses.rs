//! The phrases of responses as they came.

use verdict::facts::connections::{ConnectionLimit, LostSyns, SlowOpenings};
use verdict::facts::requests::Extent;
use verdict::facts::responses::{Altered, Compression, Deviation, FieldChanges, TextWitness};
use verdict::numbers::{count_of, grouped};
use verdict::response::DIGEST_HEADER;

use super::phrase::{Phrase, by_lines, listed};
use crate::balancer::Balancer;
use crate::report::hints;

pub(super) fn altered(facts: &Altered, product: Option<Balancer>) -> Phrase {
    let flaws: Vec<String> = facts.flaws.iter().map(|(flaw, _)| flaw.clone()).collect();
    let how = if flaws.is_empty() { String::new() } else { format!(": {}", listed(&flaws)) };
    let hint = if !facts.configured.is_empty() {
        hints::OF_CONFIGURED_BODIES.to_owned()
    } else if facts.beyond_limits == facts.requests {
        "HTTP sets no limits, but clients do: this one reads 128 fields and 64 KiB of a head, others less. Compare the responses with \
         and without the balancer (curl -i)"
            .to_owned()
    } else if facts.malformed {
        "the balancer, or a module of it, writes what HTTP forbids; where a response ends in the wrong place, clients read what \
         is left over as the next one: check its version and what rewrites responses"
            .to_owned()
    } else if facts.calls_over_http_1 {
        hints::of_calls_over_http_1(product)
    } else if facts.without_call_status > 0 {
        "the balancer loses trailers: NGINX's proxy_http_version 2 does, grpc_pass keeps them; a stream that HAProxy cuts at \
         `timeout server` ends like that, too"
            .to_owned()
    } else if facts.coded_calls > 0 {
        hints::of_coded_calls(product)
    } else if facts.fields == facts.requests {
        hints::of_response_fields(false, product)
    } else {
        hints::of_responses(product)
    };
    let requests = if facts.requests == 1 { "1 request".to_owned() } else { count_of(facts.requests, "request") };
    // One alone stands in the sentence.
    let several = facts.flaws.iter().filter(|_| facts.flaws.len() > 1);
    let mut lines: Vec<String> = several.map(|(flaw, count)| format!("{}× {flaw}", grouped(*count))).collect();
    if facts.calls_over_http_1 {
        lines.push("all calls arrived at backends in HTTP/1, none in HTTP/2".to_owned());
    }
    let what = if facts.beyond_limits == facts.requests {
        "that this client does not read"
    } else {
        "that is not what the backend wrote"
    };
    Phrase::of(format!("{requests} got a response {what}{how}{}", by_lines(&facts.configured)))
        .because(lines)
        .try_this(hint)
}

/// `Cache-Control: public instead of no-store`.
fn clause(it: &Deviation) -> String {
    let Deviation { field, written, received, .. } = it;
    let name = if field == "status" { "status".to_owned() } else { field.clone() };
    match (written, received.as_slice()) {
        (None, []) => format!("{name} changed"),
        (None, added) => format!("{name} added: {}", added.join(" | ")),
        (Some(written), []) => format!("{name} lost: {written}"),
        (Some(written), [only]) => format!("{name} changed: {only} instead of {written}"),
        (Some(_), several) => format!("{name} doubled: {}", several.join(" | ")),
    }
}

pub(super) fn fields(facts: &FieldChanges, product: Option<Balancer>) -> Phrase {
    let whom = match facts.extent {
        Extent::All => format!("all {}", count_of(facts.of, "response")),
        Extent::Backends | Extent::Urls | Extent::Bodies | Extent::Clients | Extent::Ways | Extent::Some => {
            format!("{} of {}", grouped(facts.changed), count_of(facts.of, "response"))
        }
    };
    let mut names: Vec<String> = facts.deviations.iter().map(|it| it.field.clone()).collect();
    names.dedup();
    let what = if names.is_empty() { "header fields".to_owned() } else { format!("header {}", listed(&names)) };
    let how = match facts.deviations.as_slice() {
        [only] => format!(": {}", clause(only)),
        _ => String::new(),
    };
    let several = facts.deviations.iter().filter(|_| facts.deviations.len() > 1);
    let mut lines: Vec<String> = several.map(|it| format!("{} ({}×)", clause(it), grouped(it.count))).collect();
    lines.push(
        match facts.extent {
            Extent::All => "it hits all responses: a setting of the balancer",
            Extent::Backends => "it hits all responses of some backends, and none of others",
            Extent::Urls => "it hits all responses of some URLs, and none of others",
            Extent::Bodies => "it hits all responses to some of the bodies, and none to others: a route by the body, or a fault (--expect intact)",
            Extent::Clients => "it hits some clients' responses",
            Extent::Ways => "it hits all responses, in several ways",
            Extent::Some => "it hits some responses and not others that are alike",
        }
        .to_owned(),
    );
    if facts.deviations.iter().any(|it| it.field == DIGEST_HEADER) {
        lines.push(
            "other fields and bodies are compared by Response-Digest: without it hardly any change is seen".to_owned(),
        );
    }
    let cacheable = facts.deviations.iter().any(|it| it.field.eq_ignore_ascii_case("cache-control"));
    let hint = hints::of_response_fields(cacheable, product);
    Phrase::of(format!("{what} of {whom} is not what the backend wrote{how}")).because(lines).try_this(hint)
}

/// Content codings that the check undoes.
const KNOWN_CODINGS: [&str; 5] = ["gzip", "x-gzip", "deflate", "br", "zstd"];

pub(super) fn compressed(facts: &Compression, product: Option<Balancer>) -> Phrase {
    let is_known = |word: &&String| KNOWN_CODINGS.iter().any(|known| word.eq_ignore_ascii_case(known));
    let others: Vec<&String> = facts.words.iter().filter(|word| !is_known(word)).collect();
    let what = match others.as_slice() {
        [] => "they are compared with what backends wrote after decompression".to_owned(),
        others => format!("bodies in {} are not compared", listed(others)),
    };
    let (some, all) = (grouped(facts.compressed), count_of(facts.of, "response"));
    let is_partial = (1..facts.of).contains(&facts.compressed);
    let whom = if is_partial { format!("{some} of {all}") } else { "responses".to_owned() };
    let phrase = Phrase::of(format!("{whom} are compressed on the way ({}); {what}", listed(&facts.words)));
    if facts.is_asked {
        return phrase;
    }
    let phrase =
        phrase.because(vec!["no request has Accept-Encoding: who cannot decompress cannot read them".to_owned()]);
    if is_partial || facts.is_forbidden { phrase.try_this(hints::of_response_fields(false, product)) } else { phrase }
}

pub(super) fn connection_limit(facts: ConnectionLimit, product: Option<Balancer>) -> Phrase {
    let ConnectionLimit { at_once, wanted, is_asked } = facts;
    let used = format!("the check used no more, instead of {}", grouped(wanted));
    let phrase = Phrase::of(format!("a limit of {} at once: {used}", count_of(at_once, "connection"))).because(vec![
        "three times a further connection was not served, and then served as soon as one of these had ended".to_owned(),
    ]);
    if is_asked { phrase.try_this(hints::of_connection_limit(at_once, product)) } else { phrase }
}

pub(super) fn lost_syns(facts: &LostSyns) -> Phrase {
    let all: u64 = facts.after.iter().map(|it| it.connections).sum();
    let each = |it: &SlowOpenings| format!("{} s: {}", it.seconds, count_of(it.connections, "connection"));
    let what = if all == 1 {
        "a connection took whole seconds".to_owned()
    } else {
        format!("{} took whole seconds", count_of(all, "connection"))
    };
    Phrase::of(format!("{what} to open: the first SYN, or its reply, was lost, and the kernel sent it again"))
        .because(facts.after.iter().map(each).collect())
        .try_this(
            "no fault of the selection. Kubernetes: traffic from outside of the pod network is masqueraded, and ports are used \
             again too soon; check from inside a pod. Elsewhere: a full accept queue (net.core.somaxconn, the listener's backlog), \
             a full connection table, a filter",
        )
}

pub(super) fn cookies(facts: &TextWitness) -> Phrase {
    // Without the attribute nobody knows what to change.
    let (first, more) = facts.words.split_first().map_or(("", 0), |(first, more)| (first.as_str(), more.len()));
    let others = if more > 0 { format!(" (and {} more)", grouped(more as u64)) } else { String::new() };
    Phrase::of(format!("browsers do not keep a cookie that was set, or never send it back: {first}{others}"))
        .because(facts.words.clone())
        .try_this("change the attribute in the balancer's configuration, or use https:// where it is Secure")
}
