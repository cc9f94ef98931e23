//! Heads of requests and responses, read from bytes: fields in order and as received, and what of them every reader needs.

use std::mem::MaybeUninit;

use httparse::Header;

use crate::Malformed;
use crate::framing::{Framing, FramingFields, RequestContext, Strictness};
use crate::proxy_protocol;
use crate::target::{RequestTarget, is_host};
use crate::token::{is_token, list, trim};
use crate::version::HttpVersion;

/// Room for the fields of one head, at most `N` of them: that is the reader's limit.
#[derive(Debug)]
pub struct Room<'b, const N: usize = 100> {
    fields: [MaybeUninit<Header<'b>>; N],
    /// For heads that the usual parser does not read.
    spare: Vec<Header<'b>>,
}

impl<const N: usize> Room<'_, N> {
    /// Room that no head has filled.
    pub fn new() -> Self {
        Room { fields: [const { MaybeUninit::uninit() }; N], spare: Vec::new() }
    }
}

impl<const N: usize> Default for Room<'_, N> {
    fn default() -> Self {
        Room::new()
    }
}

/// One field line, as received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'b> {
    /// Names are compared without regard to case.
    pub name: &'b str,
    /// Without the white space around it.
    pub value: &'b [u8],
}

/// The fields of a head, in order and as received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fields<'h, 'b>(pub(crate) &'h [Header<'b>]);

impl<'h, 'b: 'h> Fields<'h, 'b> {
    /// One after the other.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Field<'b>> + Clone + use<'h, 'b> {
        self.0.iter().map(|Header { name, value }| Field { name, value })
    }

    /// How many field lines there are.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The values of all lines with this name, in order.
    pub fn all(self, name: &str) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b, '_> {
        self.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// The value of the first line with this name.
    pub fn first(self, name: &str) -> Option<&'b [u8]> {
        self.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// The elements of the lists in all lines with this name: RFC 9110 §5.6.1.
    pub fn elements(self, name: &str) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b, '_> {
        self.all(name).flat_map(list)
    }
}

/// Whether a Content-Type is of that media type, whatever its parameters are.
pub fn is_media_type(content_type: Option<&[u8]>, media_type: &str) -> bool {
    let essence = content_type.and_then(|value| value.split(|byte| *byte == b';').next());
    essence.is_some_and(|essence| trim(essence).eq_ignore_ascii_case(media_type.as_bytes()))
}

/// What Connection fields say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnectionOptions {
    /// The sender closes the connection after this message.
    pub close: bool,
    /// A sender of HTTP/1.0 would keep it.
    pub keep_alive: bool,
}

impl ConnectionOptions {
    fn see(&mut self, value: &[u8]) {
        for option in list(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Whether the connection persists after this message (RFC 9112 §9.3).
    pub fn persist(self, version: HttpVersion) -> bool {
        !self.close && (version == HttpVersion::Http11 || self.keep_alive)
    }
}

/// Whether a field belongs to one connection, not to the message (RFC 9110 §7.6.1), apart from those that Connection names.
pub fn is_hop_by_hop(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    NAMES.iter().any(|it| name.eq_ignore_ascii_case(it))
}

/// The head of a request, borrowed from the bytes that it came in.
#[derive(Debug)]
pub struct RequestHead<'h, 'b> {
    /// As received: methods are case-sensitive.
    pub method: &'b str,
    /// The request target as received.
    pub target: &'b str,
    /// The target's form, parsed.
    pub form: RequestTarget<'b>,
    /// Later minor versions count as 1.1.
    pub version: HttpVersion,
    /// In order and as received.
    pub fields: Fields<'h, 'b>,
    /// From the target if that names one, else from the Host field.
    pub host: Option<&'b [u8]>,
    /// What follows the head.
    pub framing: Framing,
    /// Whether another request may follow on the connection.
    pub persistent: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Bytes of the head.
    pub length: usize,
}

/// The head of a response, borrowed from the bytes that it came in.
#[derive(Debug)]
pub struct ResponseHead<'h, 'b> {
    /// The status code, of three digits.
    pub status: u16,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: HttpVersion,
    /// In order and as received.
    pub fields: Fields<'h, 'b>,
    /// What follows the head.
    pub framing: Framing,
    /// Whether the connection may carry another request after this response.
    pub persistent: bool,
    /// Bytes of the head.
    pub length: usize,
    /// Those bytes, as received.
    pub bytes: &'b [u8],
}

impl<'h, 'b> RequestHead<'h, 'b> {
    /// Reads a head of at most `limit` bytes from the start of `bytes`, which has no leading empty lines; `None` if it is not
    /// complete.
    pub fn parse<const N: usize>(
        bytes: &'b [u8],
        room: &'h mut Room<'b, N>,
        limit: usize,
        mode: Strictness,
    ) -> Result<Option<Self>, Malformed> {
        // What lies beyond the limit must not decide what is wrong with the head.
        let bytes = &bytes[..bytes.len().min(limit)];
        if proxy_protocol::may_follow_empty_lines(bytes) {
            return Ok(None);
        }
        let mut parsed = httparse::Request::new(&mut []);
        let length = match parsed.parse_with_uninit_headers(bytes, &mut room.fields) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < limit => return Ok(None),
            Ok(httparse::Status::Partial) => return Err(too_large(bytes)),
            Err(httparse::Error::Version) if proxy_protocol::is_header(bytes) => {
                return Err(Malformed::ProxyUnexpected);
            }
            Err(httparse::Error::Version) => return Self::of_later_version(bytes, &mut room.spare, N, limit, mode),
            Err(_) if proxy_protocol::is_header(bytes) => return Err(Malformed::ProxyUnexpected),
            // The first byte of a TLS record that holds a handshake: no method begins with it.
            Err(_) if bytes.starts_with(b"\x16") => return Err(Malformed::TlsUnexpected),
            Err(error) => return Err(why(error, Malformed::RequestLine, bytes)),
        };
        let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(Malformed::RequestLine);
        };
        let version = if minor == 0 { HttpVersion::Http10 } else { HttpVersion::Http11 };
        Self::understand(method, target, version, Fields(parsed.headers), length, mode).map(Some)
    }

    /// HTTP/1.2 to HTTP/1.9, which nobody sends, are processed as HTTP/1.1.
    fn of_later_version(
        bytes: &'b [u8],
        spare: &'h mut Vec<Header<'b>>,
        most: usize,
        limit: usize,
        mode: Strictness,
    ) -> Result<Option<Self>, Malformed> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            // The version itself may be all that has come: the line tells.
            return if bytes.len() < limit { Ok(None) } else { Err(Malformed::FirstLineTooLong) };
        };
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        let line = str::from_utf8(line).map_err(|_| Malformed::RequestLine)?;
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
            return Err(Malformed::Version);
        };
        if let Some(last) = words.next_back() {
            return Err(if last.starts_with("HTTP/1.") { Malformed::TargetSpace } else { Malformed::Version });
        }
        let is_text = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_text(method)
            || !is_text(target)
            || !matches!(version.as_bytes(), b"HTTP/1.2" | [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'3'..=b'9'])
        {
            return Err(Malformed::Version);
        }
        spare.clear();
        spare.resize(most, httparse::EMPTY_HEADER);
        let (length, count) = match httparse::parse_headers(&bytes[end + 1..], spare) {
            Ok(httparse::Status::Complete((length, fields))) => (end + 1 + length, fields.len()),
            Ok(httparse::Status::Partial) if bytes.len() < limit => return Ok(None),
            Ok(httparse::Status::Partial) => return Err(too_large(bytes)),
            Err(error) => return Err(why(error, Malformed::RequestLine, bytes)),
        };
        Self::understand(method, target, HttpVersion::Http11, Fields(&spare[..count]), length, mode).map(Some)
    }

    fn understand(
        method: &'b str,
        target: &'b str,
        version: HttpVersion,
        fields: Fields<'h, 'b>,
        length: usize,
        mode: Strictness,
    ) -> Result<Self, Malformed> {
        let form = RequestTarget::parse(method, target)?;
        let mut framing = FramingFields::default();
        let mut connection = ConnectionOptions::default();
        let (mut host, mut expects_continue) = (None, false);
        for Field { name, value } in fields.iter() {
            // By length first: most fields are none of these.
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    if !is_host(value) {
                        return Err(Malformed::HostInvalid);
                    }
                    if host.replace(value).is_some() {
                        return Err(Malformed::HostTwice);
                    }
                }
                6 if name.eq_ignore_ascii_case("expect") => {
                    expects_continue = version == HttpVersion::Http11 && value.eq_ignore_ascii_case(b"100-continue");
                }
                10 if name.eq_ignore_ascii_case("connection") => connection.see(value),
                14 if name.eq_ignore_ascii_case("content-length") => framing.content_length(value)?,
                17 if name.eq_ignore_ascii_case("transfer-encoding") => framing.transfer_encoding(value),
                _ => {}
            }
        }
        if host.is_none() && version == HttpVersion::Http11 {
            return Err(Malformed::HostMissing);
        }
        let (framing, goes_on) = framing.of_request(version, mode)?;
        Ok(RequestHead {
            method,
            target,
            form,
            version,
            fields,
            host: form.authority().map(str::as_bytes).or(host),
            framing,
            persistent: goes_on && connection.persist(version),
            expects_continue,
            length,
        })
    }

    /// The path, without query.
    pub fn path(&self) -> &'b str {
        self.form.path()
    }

    /// What follows the first `?`, if there is one.
    pub fn query(&self) -> Option<&'b str> {
        self.form.query()
    }
}

impl<'h, 'b> ResponseHead<'h, 'b> {
    /// Reads a head of at most `limit` bytes from the start of `bytes`; `None` if it is not complete.
    pub fn parse<const N: usize>(
        bytes: &'b [u8],
        room: &'h mut Room<'b, N>,
        limit: usize,
        asked: RequestContext,
        mode: Strictness,
    ) -> Result<Option<Self>, Malformed> {
        let bytes = &bytes[..bytes.len().min(limit)];
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let length = match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut room.fields) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < limit => return Ok(None),
            Ok(httparse::Status::Partial) => return Err(too_large(bytes)),
            Err(_) if bytes.starts_with(b"\x15\x03") => return Err(Malformed::TlsUnexpected),
            Err(error) => return Err(why(error, Malformed::StatusLine, bytes)),
        };
        let (Some(status), Some(minor)) = (parsed.code, parsed.version) else { return Err(Malformed::StatusLine) };
        if status < 100 {
            return Err(Malformed::StatusLine);
        }
        let version = if minor == 0 { HttpVersion::Http10 } else { HttpVersion::Http11 };
        let fields = Fields(parsed.headers);
        let mut framing = FramingFields::default();
        let mut connection = ConnectionOptions::default();
        for Field { name, value } in fields.iter() {
            match name.len() {
                10 if name.eq_ignore_ascii_case("connection") => connection.see(value),
                14 if name.eq_ignore_ascii_case("content-length") => framing.content_length(value)?,
                17 if name.eq_ignore_ascii_case("transfer-encoding") => framing.transfer_encoding(value),
                _ => {}
            }
        }
        let (framing, goes_on) = framing.of_response(status, version, asked, mode)?;
        let persistent = goes_on && connection.persist(version);
        Ok(Some(ResponseHead { status, version, fields, framing, persistent, length, bytes: &bytes[..length] }))
    }

    /// Whether it is only a word on the way: the response proper is still to come. 101 is final: HTTP ends with it.
    pub fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..200)
    }
}

/// Of a head that fills its limit and is not complete.
fn too_large(bytes: &[u8]) -> Malformed {
    if bytes.contains(&b'\n') { Malformed::HeadTooLarge } else { Malformed::FirstLineTooLong }
}

fn why(error: httparse::Error, first_line: Malformed, bytes: &[u8]) -> Malformed {
    match error {
        httparse::Error::HeaderName if is_folded(bytes) => Malformed::FieldFolded,
        httparse::Error::HeaderName => Malformed::FieldName,
        httparse::Error::HeaderValue => Malformed::FieldValue,
        httparse::Error::NewLine => Malformed::LineEnd,
        httparse::Error::TooManyHeaders => Malformed::TooManyFields,
        httparse::Error::Version => Malformed::Version,
        httparse::Error::Status | httparse::Error::Token => first_line,
    }
}

/// Whether the first line of the head that is no field goes on with the field before it. What stands before the first field folds none.
fn is_folded(head: &[u8]) -> bool {
    let is_field = |line: &[u8]| line.iter().position(|byte| *byte == b':').is_some_and(|at| is_token(&line[..at]));
    let mut lines = head.trim_ascii_start().split(|byte| *byte == b'\n').skip(1).enumerate();
    let other = lines.find(|(_, line)| !is_field(line));
    other.is_some_and(|(place, line)| place > 0 && matches!(line.first(), Some(b' ' | b'\t')))
}

/// The phrase that IANA registered for a status; a status without one has none, which RFC 9112 §4 allows.
pub fn reason(status: u16) -> &'static str {
    http1::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1024;

    fn with<T>(text: &str, mode: Strictness, see: impl FnOnce(RequestHead) -> T) -> Result<Option<T>, Malformed> {
        let mut room = Room::<100>::new();
        Ok(RequestHead::parse(text.as_bytes(), &mut room, LIMIT, mode)?.map(see))
    }

    fn refusal(text: &str) -> Malformed {
        with(text, Strictness::Strict, |request| panic!("{text:?} was understood: {request:?}")).unwrap_err()
    }

    #[test]
    fn a_request_is_understood() {
        let text =
            "POST /uuid?a=b HTTP/1.1\r\nhOST: example.org\r\nContent-Length: 5\r\nX: \r\nExpect: 100-continue\r\n\r\n";
        with(&format!("{text}12345"), Strictness::Strict, |request| {
            assert_eq!((request.method, request.path(), request.query()), ("POST", "/uuid", Some("a=b")));
            assert_eq!(request.host, Some(&b"example.org"[..]));
            assert_eq!(request.fields.iter().next(), Some(Field { name: "hOST", value: b"example.org" }));
            assert_eq!((request.fields.len(), request.fields.first("x")), (4, Some(&b""[..])));
            assert_eq!((request.framing, request.length), (Framing::Length(5), text.len()));
            assert!(request.persistent && request.expects_continue);
        })
        .unwrap()
        .unwrap();
    }

    #[test]
    fn connections_persist_as_the_version_and_the_fields_say() {
        for (text, kept) in [
            ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", true),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Close\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: h\r\nConnection: x\r\nConnection: close\r\n\r\n", false),
        ] {
            assert_eq!(with(text, Strictness::Strict, |request| request.persistent), Ok(Some(kept)), "{text:?}");
        }
    }

    #[test]
    fn a_target_that_names_a_host_goes_before_the_field() {
        let text = "GET http://a:1/x HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(
            with(text, Strictness::Strict, |request| request.host.map(<[u8]>::to_vec)),
            Ok(Some(Some(b"a:1".to_vec())))
        );
    }

    #[test]
    fn an_incomplete_head_waits_and_one_over_the_limit_is_refused() {
        assert_eq!(with("GET / HTTP/1.1\r\nHost: a\r\n", Strictness::Strict, |_| ()), Ok(None));
        assert_eq!(with("GET / HTTP/1.2", Strictness::Strict, |_| ()), Ok(None));
        assert_eq!(with("GET / HTTP/1.2\r\nHost: a\r\n", Strictness::Strict, |_| ()), Ok(None));
        let long = "a".repeat(LIMIT);
        assert_eq!(refusal(&format!("GET /{long}")), Malformed::FirstLineTooLong);
        for version in ["1.1", "1.2"] {
            assert_eq!(refusal(&format!("GET / HTTP/{version}\r\nA: {long}")), Malformed::HeadTooLarge);
            assert_eq!(refusal(&format!("GET / HTTP/{version}\r\nA: {long}\r\n\r\n")), Malformed::HeadTooLarge);
            let many = "A:b\r\n".repeat(101);
            assert_eq!(refusal(&format!("GET / HTTP/{version}\r\n{many}\r\n")), Malformed::TooManyFields);
        }
    }

    #[test]
    fn later_minor_versions_are_processed_as_1_1() {
        let text = "GET /x?y HTTP/1.2\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
        with(text, Strictness::Strict, |request| {
            assert_eq!((request.method, request.path(), request.query()), ("GET", "/x", Some("y")));
            assert_eq!((request.version, request.framing), (HttpVersion::Http11, Framing::Length(2)));
            assert_eq!((request.length, request.persistent), (text.len(), true));
        })
        .unwrap()
        .unwrap();
        assert_eq!(refusal("GET / HTTP/1.2\r\n\r\n"), Malformed::HostMissing);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused_by_name() {
        use Malformed::*;
        for (why, head) in [
            (RequestLine, "GET /\r\n\r\n"),
            (ProxyUnexpected, "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"),
            (TlsUnexpected, "\u{16}\u{3}\u{1}\r\n\r\n"),
            (FieldName, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
            (FieldFolded, "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"),
            (FieldName, "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n folded\r\n\r\n"),
            (FieldName, "GET / HTTP/1.1\r\nHost: a\r\ncolonless\r\n folded\r\n\r\n"),
            (FieldName, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
            (FieldValue, "GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n"),
            (FieldValue, "GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n"),
            (HostMissing, "GET / HTTP/1.1\r\n\r\n"),
            (HostMissing, "GET http://a/ HTTP/1.1\r\n\r\n"),
            (HostTwice, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
            (HostInvalid, "GET / HTTP/1.1\r\nHost: a b/c?<>\r\n\r\n"),
            (HostInvalid, "GET / HTTP/1.0\r\nHost: a/b\r\n\r\n"),
            (Target, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
            (Fragment, "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"),
            (LengthInvalid, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n"),
            (LengthsDiffer, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
            (LengthAndEncoding, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (EncodingNotLast, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
            (
                EncodingUnknown,
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            (TargetSpace, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
            (TargetSpace, "GET /a b/c?d e HTTP/1.0\r\n\r\n"),
            (Version, "GET /a b c\r\n\r\n"),
            (Version, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            (LineEnd, "GET / HTTP/1.10\r\n\r\n"),
            (Version, "GET / HTTP/0.9\r\n\r\n"),
        ] {
            assert_eq!(refusal(head), why, "{head:?}");
        }
    }

    fn response<T>(
        text: &str,
        asked: RequestContext,
        see: impl FnOnce(ResponseHead) -> T,
    ) -> Result<Option<T>, Malformed> {
        let mut room = Room::<128>::new();
        Ok(ResponseHead::parse(text.as_bytes(), &mut room, LIMIT, asked, Strictness::Lenient)?.map(see))
    }

    #[test]
    fn a_response_is_understood() {
        for (text, asked, framing, persistent) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", RequestContext::Other, Framing::Length(5), true),
            ("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", RequestContext::Head, Framing::None, true),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", RequestContext::Other, Framing::Length(5), false),
            ("HTTP/1.1 200 OK\r\n\r\n", RequestContext::Other, Framing::UntilClose, false),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", RequestContext::Other, Framing::None, true),
        ] {
            let read = response(text, asked, |it| (it.framing, it.persistent, it.length));
            assert_eq!(read, Ok(Some((framing, persistent, text.len()))), "{text:?}");
        }
        assert_eq!(
            response("HTTP/1.1 103 Early Hints\r\n\r\n", RequestContext::Other, |it| it.is_interim()),
            Ok(Some(true))
        );
        assert_eq!(response("HTTP/1.1 101 x\r\n\r\n", RequestContext::Other, |it| it.is_interim()), Ok(Some(false)));
        assert_eq!(response("HTTP/1.1 2", RequestContext::Other, |_| ()), Ok(None));
        for text in ["HTTP/1.1 20x OK\r\n\r\n", "SSH-2.0-x\r\n", "HTTP/1.1 099 x\r\n\r\n"] {
            assert!(response(text, RequestContext::Other, |_| ()).is_err(), "{text:?}");
        }
    }
}
