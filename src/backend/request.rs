//! PURE. The head of a request: from bytes to what it asks for, and what is wrong with it. It never reads a body; it says
//! how the body is framed (RFC 9112 §6).

use std::mem::MaybeUninit;

use httparse::Header;

use crate::wire::{REQUEST_HEADER, RequestId};

/// More headers than this are refused with 431.
pub const MAX_HEADERS: usize = 100;

/// Room for the headers of one request.
pub type HeaderRoom<'b> = [MaybeUninit<Header<'b>>; MAX_HEADERS];

/// Room for the headers of one request, not yet filled.
pub fn header_room<'b>() -> HeaderRoom<'b> {
    [const { MaybeUninit::uninit() }; MAX_HEADERS]
}

/// A request's head, borrowed from the bytes it came in.
#[derive(Debug)]
pub struct Request<'h, 'b> {
    /// As received: methods are case-sensitive.
    pub method: &'b str,
    /// As received: path and query, or an absolute URI, or `*`.
    pub target: &'b str,
    /// All headers, in order and as received.
    pub headers: &'h [Header<'b>],
    /// The minor version: 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor_version: u8,
    /// From the target if that is absolute, else the Host header.
    pub host: Option<&'b [u8]>,
    /// What comes after the head.
    pub body: Body,
    /// Whether the client wants the connection kept.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Our own header, if it holds an id.
    pub id: Option<RequestId>,
    /// Whether an Accept header is there that asks for more than `*/*`.
    pub states_preference: bool,
}

/// How a body is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// RFC 9112 §7.1.
    Chunked,
}

/// Why a head cannot be served. The connection ends after the answer: where the next request would begin is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Of the answer.
    pub status: u16,
    /// For the person who sent it.
    pub why: &'static str,
}

const fn refuse(status: u16, why: &'static str) -> Refusal {
    Refusal { status, why }
}

/// Refusal of a head that takes longer than the limit says.
pub const TOO_SLOW: Refusal = refuse(408, "the request's head did not arrive in time");
/// Refusal of a body whose chunks cannot be told apart.
pub const BAD_CHUNK: Refusal = refuse(400, "the body is not chunked as RFC 9112 section 7.1 says");
const TOO_LARGE: Refusal = refuse(431, "the request's line and headers are larger than the limit");
const TOO_LONG: Refusal = refuse(414, "the request's line is longer than the limit");
const TOO_MANY: Refusal = refuse(431, "more than 100 headers");
const VERSION: Refusal = refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
const GRAMMAR: Refusal = refuse(400, "not a request as HTTP/1.1 writes it (RFC 9112)");
const PROXY: Refusal =
    refuse(400, "a PROXY header: it comes first on a connection, and only where --proxy-protocol is set");
const TWO_HOSTS: Refusal = refuse(400, "more than one Host header (RFC 9112 section 3.2)");
const TWO_LENGTHS: Refusal = refuse(400, "Content-Length is no single number (RFC 9112 section 6.3)");
const LENGTH_AND_CHUNKED: Refusal = refuse(400, "both Content-Length and Transfer-Encoding (RFC 9112 section 6.1)");
const ENCODING: Refusal = refuse(501, "a Transfer-Encoding other than chunked");
const ENCODING_IN_1_0: Refusal = refuse(400, "Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)");

/// Reads a head from the start of `bytes`, which has no leading empty lines, and returns it with its length in bytes;
/// `None` if it is not complete.
pub fn parse<'h, 'b>(
    bytes: &'b [u8],
    room: &'h mut HeaderRoom<'b>,
    limit: usize,
) -> Result<Option<(Request<'h, 'b>, usize)>, Refusal> {
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(length)) if length <= limit => length,
        Ok(httparse::Status::Partial) if bytes.len() < limit => return Ok(None),
        Ok(_) => return Err(if bytes[..limit].contains(&b'\n') { TOO_LARGE } else { TOO_LONG }),
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_MANY),
        Err(_) if begins_with_proxy_header(bytes) => return Err(PROXY),
        Err(httparse::Error::Version) => return Err(VERSION),
        Err(_) => return Err(GRAMMAR),
    };
    let (Some(method), Some(target), Some(minor_version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(GRAMMAR);
    };
    let mut request = Request {
        method,
        target,
        headers: parsed.headers,
        minor_version,
        host: None,
        body: Body::None,
        keep_alive: minor_version == 1,
        expects_continue: false,
        id: None,
        states_preference: false,
    };
    request.understand_headers()?;
    if let Some(authority) = authority(target) {
        request.host = Some(authority.as_bytes());
    }
    Ok(Some((request, length)))
}

/// Of version 1, or of version 2 without the empty lines at its start.
fn begins_with_proxy_header(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PROXY ") || bytes.starts_with(b"\0\r\nQUIT\n")
}

impl<'b> Request<'_, 'b> {
    fn understand_headers(&mut self) -> Result<(), Refusal> {
        let (mut length, mut encoding) = (None, None);
        let mut close = false;
        for header in self.headers {
            let (name, value) = (header.name, header.value);
            // By length first: most headers are none of these.
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    if self.host.replace(value).is_some() {
                        return Err(TWO_HOSTS);
                    }
                }
                6 if name.eq_ignore_ascii_case("accept") => self.states_preference |= value != b"*/*",
                6 if name.eq_ignore_ascii_case("expect") => {
                    self.expects_continue = self.minor_version == 1 && value.eq_ignore_ascii_case(b"100-continue");
                }
                10 if name.eq_ignore_ascii_case("connection") => {
                    for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                        close |= option.eq_ignore_ascii_case(b"close");
                        self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if name.eq_ignore_ascii_case("content-length") => {
                    let value = content_length(value).ok_or(TWO_LENGTHS)?;
                    if length.replace(value).is_some_and(|earlier| earlier != value) {
                        return Err(TWO_LENGTHS);
                    }
                }
                16 if name.eq_ignore_ascii_case(REQUEST_HEADER) => self.id = RequestId::from_bytes(value).ok(),
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    if encoding.replace(value).is_some() || !value.eq_ignore_ascii_case(b"chunked") {
                        return Err(ENCODING);
                    }
                }
                _ => {}
            }
        }
        self.keep_alive &= !close;
        self.body = match (encoding, length) {
            (None, None | Some(0)) => Body::None,
            (None, Some(length)) => Body::Length(length),
            (Some(_), Some(_)) => return Err(LENGTH_AND_CHUNKED),
            (Some(_), None) if self.minor_version == 0 => return Err(ENCODING_IN_1_0),
            (Some(_), None) => Body::Chunked,
        };
        Ok(())
    }

    /// The path, without query; of an absolute URI its path.
    pub fn path(&self) -> &'b str {
        let after_authority = match authority(self.target) {
            Some(authority) => {
                let start = self.target.find(authority).unwrap_or(0) + authority.len();
                &self.target[start..]
            }
            None => self.target,
        };
        let path = &after_authority[..end_of_path(after_authority)];
        if path.is_empty() { "/" } else { path }
    }

    /// What follows the first `?`, if there is one.
    pub fn query(&self) -> Option<&'b str> {
        let question = self.target.bytes().position(|byte| byte == b'?')?;
        Some(&self.target[question + 1..])
    }
}

/// The authority of an absolute URI: `localhost:9001` of `http://localhost:9001/uuid`.
fn authority(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return None;
    }
    let (_, rest) = target.split_once("://")?;
    rest.split(['/', '?', '#']).next().filter(|authority| !authority.is_empty())
}

fn end_of_path(target: &str) -> usize {
    target.bytes().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(target.len())
}

/// `Content-Length: 5`, or `5, 5` as intermediaries may fold equal ones (RFC 9110 §8.6).
fn content_length(value: &[u8]) -> Option<u64> {
    let mut values = value.split(|byte| *byte == b',').map(|part| {
        let digits = part.trim_ascii();
        let number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        number.then(|| str::from_utf8(digits).ok()?.parse().ok()).flatten()
    });
    let first = values.next()??;
    values.all(|other| other == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1024;

    fn with<T>(text: &str, see: impl FnOnce(Request) -> T) -> Result<Option<T>, Refusal> {
        let mut room = header_room();
        Ok(parse(text.as_bytes(), &mut room, LIMIT)?.map(|(request, _)| see(request)))
    }

    fn refusal(text: &str) -> Refusal {
        with(text, |request| panic!("{text:?} was understood: {request:?}")).unwrap_err()
    }

    #[test]
    fn a_request_is_understood() {
        let text = "POST /uuid?a=b HTTP/1.1\r\nhOST: example.org\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\
                    Check-Request-Id: 00000000000004d2-000000000000002a\r\n\r\n";
        with(text, |request| {
            assert_eq!((request.method, request.path(), request.query()), ("POST", "/uuid", Some("a=b")));
            assert_eq!(request.host, Some(&b"example.org"[..]));
            assert_eq!(request.headers[0].name, "hOST");
            assert_eq!(request.body, Body::Length(5));
            assert_eq!(request.id, Some(RequestId { run: 1234, sequence: 42 }));
            assert!(request.keep_alive && request.expects_continue && !request.states_preference);
        })
        .unwrap()
        .unwrap();
    }

    #[test]
    fn connections_are_kept_as_the_version_and_the_header_say() {
        for (text, kept) in [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nConnection: keep-alive, Close\r\n\r\n", false),
        ] {
            assert_eq!(with(text, |request| request.keep_alive), Ok(Some(kept)), "{text:?}");
        }
    }

    #[test]
    fn an_absolute_target_names_host_and_path() {
        for (target, host, path) in [
            ("http://a:1/x/y?q", "a:1", "/x/y"),
            ("http://a", "a", "/"),
            ("http://a?q=/b", "a", "/"),
            ("/x?u=http://b/", "h", "/x"),
            ("*", "h", "*"),
        ] {
            let text = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            with(&text, |request| {
                assert_eq!((request.host, request.path()), (Some(host.as_bytes()), path), "{target}");
            })
            .unwrap()
            .unwrap();
        }
    }

    #[test]
    fn an_incomplete_head_waits_and_one_over_the_limit_is_refused() {
        assert_eq!(with("GET / HTTP/1.1\r\nHost: a\r\n", |_| ()), Ok(None));
        let long = "a".repeat(LIMIT);
        assert_eq!(refusal(&format!("GET /{long}")).status, 414);
        assert_eq!(refusal(&format!("GET / HTTP/1.1\r\nA: {long}")).status, 431);
        assert_eq!(refusal(&format!("GET / HTTP/1.1\r\nA: {long}\r\n\r\n")).status, 431);
        assert_eq!(refusal(&format!("GET / HTTP/1.1\r\n{}\r\n", "A:b\r\n".repeat(101))).status, 431);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (status, head) in [
            (400, "GET /\r\n\r\n"),
            (400, "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"),
            (400, "\u{16}\u{3}\u{1}\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nContent-Length: +5\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (400, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (501, "GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
            (501, "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ] {
            assert_eq!(refusal(head).status, status, "{head:?}");
        }
        assert_eq!(
            with("GET / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n", |request| request.body),
            Ok(Some(Body::Length(5)))
        );
    }
}
