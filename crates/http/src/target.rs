//! What a request is aimed at: the four forms of a target (RFC 9112 §3.2), and what a host may be (RFC 3986 §3.2.2).

use crate::Malformed;

/// The target of a request, in one of its four forms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestTarget<'b> {
    /// `/path?query`: of every method but CONNECT.
    Origin(PathAndQuery<'b>),
    /// `http://host:port/path?query`: as proxies get it, and every server accepts it.
    Absolute {
        /// Host and port, as received.
        authority: &'b str,
        /// What follows it.
        rest: PathAndQuery<'b>,
    },
    /// `host:port`, the form of CONNECT.
    Authority(&'b str),
    /// `*`, a form of OPTIONS.
    Asterisk,
}

/// A path, and what follows the first `?`, if there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathAndQuery<'b> {
    path: &'b str,
    query: Option<&'b str>,
}

impl<'b> PathAndQuery<'b> {
    fn of(text: &'b str) -> PathAndQuery<'b> {
        let (path, query) = match text.bytes().position(|byte| byte == b'?') {
            Some(question) => (&text[..question], Some(&text[question + 1..])),
            None => (text, None),
        };
        PathAndQuery { path: if path.is_empty() { "/" } else { path }, query }
    }
}

impl<'b> RequestTarget<'b> {
    /// Reads the target of a request with this method.
    pub fn parse(method: &str, target: &'b str) -> Result<RequestTarget<'b>, Malformed> {
        if target.as_bytes().contains(&b'#') {
            return Err(Malformed::Fragment);
        }
        if method == "CONNECT" {
            let port = target.rsplit_once(':').filter(|(host, port)| !host.is_empty() && is_port(port));
            return match port {
                Some(_) if is_host(target.as_bytes()) => Ok(RequestTarget::Authority(target)),
                Some(_) | None => Err(Malformed::Target),
            };
        }
        if target.starts_with('/') {
            return Ok(RequestTarget::Origin(PathAndQuery::of(target)));
        }
        if target == "*" {
            return if method == "OPTIONS" { Ok(RequestTarget::Asterisk) } else { Err(Malformed::Target) };
        }
        let (scheme, rest) = target.split_once("://").ok_or(Malformed::Target)?;
        if !is_scheme(scheme) {
            return Err(Malformed::Target);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        // RFC 9110 §4.2.1: no empty host. §4.2.4: a user in front of it is an old trick against people.
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        if !host.is_empty() && is_host(authority.as_bytes()) {
            Ok(RequestTarget::Absolute { authority, rest: PathAndQuery::of(rest) })
        } else {
            Err(Malformed::Target)
        }
    }

    /// The host and port that the target itself names: it goes before a Host field (RFC 9112 §3.2.2).
    pub fn authority(self) -> Option<&'b str> {
        match self {
            RequestTarget::Absolute { authority, .. } | RequestTarget::Authority(authority) => Some(authority),
            RequestTarget::Origin(_) | RequestTarget::Asterisk => None,
        }
    }

    /// The path, without query: `/` where there is none, `*` of [`RequestTarget::Asterisk`], empty of [`RequestTarget::Authority`].
    pub fn path(self) -> &'b str {
        match self {
            RequestTarget::Origin(target) | RequestTarget::Absolute { rest: target, .. } => target.path,
            RequestTarget::Authority(_) => "",
            RequestTarget::Asterisk => "*",
        }
    }

    /// What follows the first `?`, if there is one.
    pub fn query(self) -> Option<&'b str> {
        match self {
            RequestTarget::Origin(target) | RequestTarget::Absolute { rest: target, .. } => target.query,
            RequestTarget::Authority(_) | RequestTarget::Asterisk => None,
        }
    }
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text can be the value of a Host field: a name or an address, with or without a port; empty where the target
/// has no authority (RFC 9110 §7.2).
pub fn is_host(text: &[u8]) -> bool {
    let port = match text {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let literal = &rest[..end];
            if literal.is_empty() || !literal.iter().all(|byte| *byte == b':' || is_name_byte(*byte) && *byte != b'%') {
                return false;
            }
            &rest[end + 1..]
        }
        _ => {
            let end = text.iter().position(|byte| !is_name_byte(*byte)).unwrap_or(text.len());
            if !percents_are_right(&text[..end]) {
                return false;
            }
            &text[end..]
        }
    };
    match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Unreserved characters, sub-delims and what begins an encoded byte, looked up: each request has a Host.
fn is_name_byte(byte: u8) -> bool {
    const NAME_BYTES: [bool; 256] = {
        let (mut table, mut byte) = ([false; 256], 0);
        while byte < 128 {
            let is_unreserved = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'.' | b'_' | b'~');
            let is_sub_delim = matches!(byte as u8, b'!' | b'$' | b'&' | b'\''..=b',' | b';' | b'=');
            table[byte] = is_unreserved || is_sub_delim || byte as u8 == b'%';
            byte += 1;
        }
        table
    };
    NAME_BYTES[usize::from(byte)]
}

/// In a name of a host some bytes may be percent-encoded.
fn percents_are_right(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'%');
    parts.next();
    parts.all(|after| matches!(after, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_the_form_that_its_method_allows() {
        for (method, target, authority, path, query) in [
            ("GET", "/x/y?q", None, "/x/y", Some("q")),
            ("GET", "//x", None, "//x", None),
            ("GET", "/x?u=http://b/", None, "/x", Some("u=http://b/")),
            ("GET", "http://a:1/x/y?q?r", Some("a:1"), "/x/y", Some("q?r")),
            ("GET", "HTTP://a", Some("a"), "/", None),
            ("GET", "http://a?q=/b", Some("a"), "/", Some("q=/b")),
            ("GET", "http://[::1]:80/", Some("[::1]:80"), "/", None),
            ("OPTIONS", "*", None, "*", None),
            ("CONNECT", "a:80", Some("a:80"), "", None),
        ] {
            let read = RequestTarget::parse(method, target).unwrap_or_else(|why| panic!("{method} {target}: {why}"));
            assert_eq!((read.authority(), read.path(), read.query()), (authority, path, query), "{method} {target}");
        }
        for (method, target, why) in [
            ("GET", "/x#y", Malformed::Fragment),
            ("GET", "http://a/#", Malformed::Fragment),
            ("GET", "*", Malformed::Target),
            ("GET", "a:80", Malformed::Target),
            ("GET", "x", Malformed::Target),
            ("GET", "http:///x", Malformed::Target),
            ("GET", "http://:80/x", Malformed::Target),
            ("GET", "http://u@a/x", Malformed::Target),
            ("GET", "1http://a/x", Malformed::Target),
            ("OPTIONS", "**", Malformed::Target),
            ("CONNECT", "/x", Malformed::Target),
            ("CONNECT", "a", Malformed::Target),
            ("CONNECT", "a:", Malformed::Target),
            ("CONNECT", "http://a:80", Malformed::Target),
        ] {
            assert_eq!(RequestTarget::parse(method, target), Err(why), "{method} {target}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in [
            "",
            "a",
            "localhost:9001",
            "app.example.com",
            "a_b-c~d",
            "127.0.0.1:1",
            "[::1]",
            "[2001:db8::1]:80",
            "a:",
            "%61",
            "x,y",
            ":80",
        ] {
            assert!(is_host(host.as_bytes()), "{host:?}");
        }
        for host in [
            "a b", "a/b", "a?b", "a<b>", "a:80:80", "a:x", "[::1", "[]", "[::1]x", "u@a", "a\"", "%6", "%", "ä",
            "a b/c?<>", "a\\b", "a#b",
        ] {
            assert!(!is_host(host.as_bytes()), "{host:?}");
        }
    }
}
