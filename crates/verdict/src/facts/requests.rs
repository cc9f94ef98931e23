//! What rules say of requests as they arrived at backends.

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;

/// A part of requests that did not arrive as it was sent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RequestChange {
    /// Attempts in which it changed.
    pub changed: u64,
    /// Attempts in which it was compared.
    pub of: u64,
    /// Whether it hits all requests or some.
    pub extent: Extent,
    /// As it was sent: a method, path, query, Host, or the length of a body in bytes; null where it is not kept.
    pub sent: Option<String>,
    /// As it arrived, with the number of attempts; the first different ones.
    pub arrived: Vec<(String, u64)>,
    /// What became of a path; null for other parts.
    pub path: Option<PathChange>,
    /// Path and query of the URLs whose requests it hits, as sent; empty if there is one URL.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Names of the user's own fields that were lost, changed or doubled, with the number of attempts.
    pub fields: Vec<(String, u64)>,
    /// Deadlines of calls that arrived shorter than the way to backends explains; null if none did.
    #[serde(default)]
    pub shortened: Option<ShortenedDeadlines>,
    /// The expectation that forbids it, as it is typed; null if none does.
    pub expected: Option<String>,
}

/// Calls that arrived with less time than their clients wait, in seconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShortenedDeadlines {
    /// Attempts that did.
    pub attempts: u64,
    /// As it was sent.
    pub sent: f64,
    /// The shortest that arrived.
    pub shortest: f64,
    /// The longest of those.
    pub longest: f64,
}

/// Which requests a change hits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// All requests: a rewrite.
    All,
    /// All requests to some backends, and none to others.
    Backends,
    /// All requests to some of several URLs, and none to others.
    Urls,
    /// All requests with some of several bodies, and none with others.
    Bodies,
    /// All requests of some clients, and none of others: clients differ in path, header or the like.
    Clients,
    /// Requests that are alike arrive at one backend in several ways: some in one, and some in another.
    Ways,
    /// Some requests and not others, though all are alike.
    Some,
}

/// What became of a path.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PathChange {
    /// Escapes such as `%2F` were decoded.
    pub decoded: bool,
    /// Several slashes became one.
    pub merged: bool,
    /// This was put in front.
    pub added: Option<String>,
    /// This was taken from the front.
    pub removed: Option<String>,
}

impl PathChange {
    /// How one path became the other; None if it was replaced.
    pub fn between(sent: &str, arrived: &str) -> Option<PathChange> {
        for (decode, merge) in [(false, false), (true, false), (false, true), (true, true)] {
            let decoded_path = if decode { decoded(sent) } else { sent.to_owned() };
            let path = if merge { merged(&decoded_path) } else { decoded_path.clone() };
            let change = PathChange {
                decoded: decode && decoded_path != sent,
                merged: merge && path != decoded_path,
                ..PathChange::default()
            };
            if (decode, merge) != (change.decoded, change.merged) {
                continue;
            }
            if path == arrived {
                return Some(change);
            }
            if let Some(removed) = path.strip_suffix(arrived).filter(|_| arrived.len() > 1) {
                return Some(PathChange { removed: Some(removed.to_owned()), ..change });
            }
            if let Some(added) = arrived.strip_suffix(path.as_str()).filter(|_| path.len() > 1 || arrived == "//") {
                return Some(PathChange { added: Some(added.to_owned()), ..change });
            }
        }
        None
    }
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        match digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn merged(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !merged.ends_with('/') {
            merged.push(character);
        }
    }
    merged
}

/// X-Forwarded-For as it arrived.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClientAddress {
    /// What the client claimed in X-Forwarded-For; null if it sent none.
    pub claimed: Option<String>,
    /// As it arrived, with the number of attempts; the first different ones.
    pub arrived: Vec<(String, u64)>,
    /// Attempts that came without it.
    pub without: u64,
    /// Attempts that came with another address than the client's, as far as that is known.
    #[serde(default)]
    pub other: u64,
    /// Clients that PROXY headers named, with the number of attempts; the first different ones.
    #[serde(default)]
    pub proxied: Vec<(String, u64)>,
    /// What follows from both addresses.
    pub conclusion: ClientAddressConclusion,
    /// The expectation, as it is typed; null if there is none.
    pub expected: Option<String>,
}

/// What backends can learn of the client's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddressConclusion {
    /// The balancer writes it, whatever the client claims.
    Replaced,
    /// The balancer appends it to what the client claims: only the last entry can be trusted.
    Appended,
    /// What the client claims arrives as it was sent, and nothing else does.
    Believed,
    /// Some requests arrive with it, and some without.
    Mixed,
    /// Each request arrives once, some with the client's address, and others without it or with another.
    Partial,
    /// X-Forwarded-For does not arrive.
    Absent,
    /// What the balancer writes is not the client's address.
    Other,
    /// X-Forwarded-For does not arrive, and PROXY headers name the client.
    Proxied,
    /// X-Forwarded-For does not arrive, and PROXY headers name somebody else.
    ProxiedOther,
}

/// Fields that say how a request came to the balancer, and that do not arrive once with each request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WayFields {
    /// One a field.
    pub fields: Vec<WayField>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WayField {
    /// Its name, in lower case.
    pub name: String,
    /// Attempts of the sample that had it.
    pub attempts: u64,
    /// All attempts of the sample.
    pub of: u64,
    /// Attempts that had two values of it.
    pub twice: u64,
    /// Attempts that had another value than the others: not `http`, or not the Host that was sent; 0 where all or none had.
    #[serde(default)]
    pub other: u64,
}

/// Whether requests arrive as they were sent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Intact {
    /// Attempts of which the backend knew what had been sent.
    pub compared: u64,
    /// All attempts whose requests were compared.
    pub of: u64,
    /// Attempts that backends refused to read: of these nothing is compared.
    #[serde(default)]
    pub refused: u64,
    /// The expectation, as it is typed.
    pub expected: String,
    /// Fields that are to be preserved and were not sent.
    pub not_sent: Vec<String>,
}

pub(crate) const METHOD_CHANGED: RuleDescription = RuleDescription {
    requires: "requests arrive with the method that was sent; with --allow stale a cache may fetch with GET what it responds to HEAD",
    sound: "by construction: the backend compares the method with what the request says was sent",
    source: Some("RFC 9110 §7.6"),
};

pub(crate) const PATH_CHANGED: RuleDescription = RuleDescription {
    requires: "paths arrive as they were sent, or all are rewritten alike; with --expect path:preserved or intact: as they were sent",
    sound: "by construction: the backend compares digests of the path; a rewrite of all requests is a note, one of some requests of \
            the sample that are alike, at their first attempt, is a failure, and one of all with the same body is inconclusive",
    source: Some("RFC 3986 §6.2.2"),
};

pub(crate) const QUERY_CHANGED: RuleDescription = RuleDescription {
    requires: "queries arrive as they were sent, or all are rewritten alike; with --expect intact: as they were sent",
    sound: "as for path-changed",
    source: None,
};

pub(crate) const HOST_CHANGED: RuleDescription = RuleDescription {
    requires: "Host arrives as it was sent, or is rewritten for all requests, or by backend; with --expect host:preserved or intact: \
               as it was sent; a note where like requests arrive at one backend with several",
    sound: "as for path-changed; a tier or a route may have a Host of its own, so that several at one backend are no failure",
    source: Some("RFC 9110 §7.2"),
};

pub(crate) const BODY_CHANGED: RuleDescription = RuleDescription {
    requires: "bodies of requests arrive whole and unchanged",
    sound: "by construction: length and digest of what a backend read to its end and responded to with a status below 400",
    source: Some("RFC 9110 §8.6"),
};

pub(crate) const FIELD_CHANGED: RuleDescription = RuleDescription {
    requires: "the user's own fields arrive once, as they were sent, or all are rewritten alike; with --expect intact or \
               header:NAME:preserved: as they were sent",
    sound: "as for path-changed; fields of the connection, forwarding fields and Via are left out, a doubled field fails",
    source: Some("RFC 9110 §7.6"),
};

pub(crate) const CLIENT_ADDRESS: RuleDescription = RuleDescription {
    requires: "with --expect client-address: the last entry of X-Forwarded-For is written by the balancer, or a PROXY header names the \
               client; otherwise a claim that is passed on is a note",
    sound: "by construction: the backend recorded the field, and whom the header names; an address that cannot be the client's is \
            inconclusive, for what translates addresses on the way makes one too, but not in some requests to one URL only",
    source: Some("RFC 7239 §8.1"),
};

pub(crate) const WAY_FIELDS: RuleDescription = RuleDescription {
    requires: "nothing: says where X-Forwarded-Proto or X-Forwarded-Host arrives with some of like requests only, with two values, or \
               with one value in some and with another in others",
    sound: "by construction: the backend recorded the fields; requests are alike where there is one URL, nothing is varied, and each arrived \
            once",
    source: None,
};

pub(crate) const INTACT: RuleDescription = RuleDescription {
    requires: "--expect intact, path:preserved, host:preserved, header:NAME:preserved",
    sound: "by construction: it passes if all attempts were compared and the rules above object to none",
    source: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_path_is_named() {
        let none = PathChange::default();
        let removed = |text: &str| PathChange { removed: Some(text.to_owned()), ..PathChange::default() };
        for (sent, arrived, expected) in [
            ("/uuid/x", "/x", Some(removed("/uuid"))),
            ("/a%2Fb", "/a/b", Some(PathChange { decoded: true, ..none.clone() })),
            ("/a//b", "/a/b", Some(PathChange { merged: true, ..none.clone() })),
            (
                "/api/queues/%2F/orders",
                "/queues/orders",
                Some(PathChange { decoded: true, merged: true, ..removed("/api") }),
            ),
            ("/a", "/v1/a", Some(PathChange { added: Some("/v1".to_owned()), ..none.clone() })),
            ("/", "//", Some(PathChange { added: Some("/".to_owned()), ..none.clone() })),
            ("/uuid/x", "/wrong", None),
            ("/uuid", "/", None),
        ] {
            assert_eq!(PathChange::between(sent, arrived), expected, "{sent} {arrived}");
        }
    }
}
