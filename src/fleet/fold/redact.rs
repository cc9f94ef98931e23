//! What a reader without the token sees of requests: names and lengths, no values that may be secret.

use crate::wire::{BalancerInfo, CheckNews, Frame, RecordView, SeenRequest, Snapshot};

/// Headers whose values are shown to everybody: they describe the transport and the media, not who asks. All others are hidden,
/// also those that nobody has heard of: a key of somebody's own API has any name.
const SHOWN: [&str; 33] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "check-request-id",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "date",
    "dnt",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "max-forwards",
    "pragma",
    "priority",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// The value of a header as everybody may see it.
pub(crate) fn value(name: &str, value: &str) -> String {
    let is_shown = SHOWN.iter().any(|shown| shown.eq_ignore_ascii_case(name));
    if is_shown { value.to_owned() } else { length(value) }
}

/// A request target or URL without the values of its query, its matrix parameters, and without user and password.
pub(crate) fn target(target: &str) -> String {
    let (before, query) = match target.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (target, None),
    };
    let mut shown = path(&without_user(before));
    if let Some(query) = query {
        shown.push('?');
        shown.push_str(&parameters(query, '&'));
    }
    shown
}

/// RFC 3986 §3.2.1: what comes before `@` in an authority.
fn without_user(target: &str) -> String {
    let Some((scheme, rest)) = target.split_once("://") else { return target.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((user, host)) => format!("{scheme}://{}@{host}{path}", length(user)),
        None => target.to_owned(),
    }
}

/// `/a;jsessionid=…/b`: RFC 3986 §3.3.
fn path(path: &str) -> String {
    let segment = |segment: &str| match segment.split_once(';') {
        Some((name, matrix)) => format!("{name};{}", parameters(matrix, ';')),
        None => segment.to_owned(),
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn parameters(text: &str, separator: char) -> String {
    let parameter = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) => format!("{name}={}", length(value)),
        None if parameter.is_empty() => String::new(),
        None => length(parameter),
    };
    text.split(separator).map(parameter).collect::<Vec<_>>().join(&separator.to_string())
}

fn length(text: &str) -> String {
    match (text.strip_suffix('…'), text.len()) {
        (Some(clipped), _) => format!("<more than {} bytes>", clipped.len()),
        (None, 1) => "<1 byte>".to_owned(),
        (None, bytes) => format!("<{bytes} bytes>"),
    }
}

/// A record as everybody may see it: a digest would let a short secret be guessed.
pub(crate) fn record(record: RecordView) -> RecordView {
    RecordView { path: target(&record.path), body_digest: None, ..record }
}

/// A frame as everybody may see it.
pub(crate) fn frame(frame: &Frame) -> Frame {
    Frame {
        requests: frame.requests.iter().map(request).collect(),
        front: frame.front.as_ref().map(front),
        check: frame.check.as_ref().map(check),
        ..frame.clone()
    }
}

/// A snapshot as everybody may see it.
pub(crate) fn snapshot(snapshot: &Snapshot) -> Snapshot {
    Snapshot {
        owner: false,
        requests: snapshot.requests.iter().map(request).collect(),
        front: snapshot.front.as_ref().map(front),
        check: snapshot.check.as_ref().map(check),
        ..snapshot.clone()
    }
}

fn request(request: &SeenRequest) -> SeenRequest {
    let mut shown = request.clone();
    shown.seen.path = target(&shown.seen.path);
    for (name, of) in &mut shown.seen.headers {
        *of = value(name, of);
    }
    shown
}

fn front(front: &BalancerInfo) -> BalancerInfo {
    BalancerInfo { url: target(&front.url), ..front.clone() }
}

/// Findings may quote what a balancer sent: they are for the owner.
fn check(check: &CheckNews) -> CheckNews {
    let mut shown = CheckNews { url: target(&check.url), ..check.clone() };
    if let Some(result) = &mut shown.result {
        result.findings.clear();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_headers_are_hidden_unless_they_are_known_to_be_harmless() {
        for (name, sent, shown) in [
            ("Authorization", "Basic c2VjcmV0OjEyMw==", "<22 bytes>"),
            ("Cookie", "a=1", "<3 bytes>"),
            ("X-Api-Key", "k", "<1 byte>"),
            ("Referer", "http://x/?token=1", "<17 bytes>"),
            ("X-Any", "abc…", "<more than 3 bytes>"),
            ("HOST", "example.org", "example.org"),
            ("x-forwarded-for", "10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(value(name, sent), shown, "{name}");
        }
    }

    #[test]
    fn targets_keep_their_names_and_lose_their_values() {
        for (sent, shown) in [
            ("/uuid", "/uuid"),
            ("/a?token=s3cret&x=&s3cret", "/a?token=<6 bytes>&x=<0 bytes>&<6 bytes>"),
            ("/a?", "/a?"),
            ("/a;jsessionid=abc/b;c", "/a;jsessionid=<3 bytes>/b;<1 byte>"),
            ("/a?b?c=d", "/a?b?c=<1 byte>"),
            ("http://me:pw@host:80/a?b=c", "http://<5 bytes>@host:80/a?b=<1 byte>"),
            ("/a?b=cut…", "/a?b=<more than 3 bytes>"),
            ("*", "*"),
        ] {
            assert_eq!(target(sent), shown);
            for secret in ["s3cret", "abc", "pw"] {
                assert!(!target(sent).contains(secret), "{sent}");
            }
        }
    }
}
