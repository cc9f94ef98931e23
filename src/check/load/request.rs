//! What requests say: what the user asked for once, and the bytes of each, in which only the id changes.

use std::borrow::Cow;
use std::sync::Arc;

use http::encode;

use crate::wire::{REQUEST_HEADER, RequestId};
use verdict::request::{SENT_HEADER, Sent, SentBody, UNNAMED};

/// Characters of a request's id.
pub(crate) const ID_BYTES: usize = 33;
const HEXADECIMAL: usize = 16;
/// Data of a chunk.
const CHUNK_BYTES: usize = 8 * 1024;
/// A larger body is sent after its head, not with it.
const SMALL_BODY: usize = 16 * 1024;

/// What the user asked to be sent: every request of a check is one of these.
#[derive(Clone, Debug)]
pub(crate) struct RequestSpec {
    /// `GET` and the like.
    pub(crate) method: String,
    /// More fields; one that is named Host or User-Agent replaces ours.
    pub(crate) headers: Vec<(String, String)>,
    /// Bodies; requests take them in turn.
    pub(crate) payloads: Vec<Payload>,
    /// Whether a body waits for `100 Continue`.
    pub(crate) expect_continue: bool,
}
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct BodyTransfer {
    /// In chunks, without a length.
    pub(crate) chunked: bool,
    /// After `100 Continue`, or a second without it.
    pub(crate) expect_continue: bool,
}

/// A body, as it crosses the connection.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    framed: Arc<[u8]>,
    content: Arc<[u8]>,
    sent: SentBody,
    chunked: bool,
}

impl Default for RequestSpec {
    fn default() -> RequestSpec {
        RequestSpec { method: "GET".to_owned(), headers: Vec::new(), payloads: Vec::new(), expect_continue: false }
    }
}

impl RequestSpec {
    /// A request with these fields and bodies. What frames a body is none of the fields: it is `transfer`.
    pub(crate) fn new(
        method: &str,
        headers: &[(String, String)],
        bodies: &[Arc<[u8]>],
        transfer: BodyTransfer,
    ) -> RequestSpec {
        let no_bytes: [Arc<[u8]>; 1] = [Arc::from([])];
        let bodies = if transfer.chunked && bodies.is_empty() { &no_bytes[..] } else { bodies };
        RequestSpec {
            method: method.to_owned(),
            headers: headers.to_vec(),
            payloads: bodies.iter().map(|body| Payload::new(body, transfer.chunked)).collect(),
            expect_continue: transfer.expect_continue,
        }
    }

    /// The body of the request with that number among those to its URL.
    pub(crate) fn payload(&self, number: usize) -> Option<&Payload> {
        self.payloads.get(number % self.payloads.len().max(1))
    }

    /// Another body, sent as the user's are.
    pub(crate) fn payload_of(&self, content: &[u8]) -> Payload {
        Payload::new(&content.into(), self.payloads.first().is_some_and(|it| it.chunked))
    }

    /// The content of the first body; empty without one.
    pub(crate) fn first_body(&self) -> &[u8] {
        self.payloads.first().map_or(&[], |payload| &payload.content)
    }

    /// Whether a 304 would answer it.
    pub(crate) fn is_conditional(&self) -> bool {
        let conditions = ["if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range"];
        self.headers.iter().any(|(name, _)| conditions.iter().any(|it| name.eq_ignore_ascii_case(it)))
    }

    /// The value of its first field of that name; empty without one.
    pub(crate) fn first_header(&self, name: &str) -> &[u8] {
        let named = self.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        named.map_or(&[], |(_, value)| value.as_bytes())
    }

    /// Whether it is a call of gRPC.
    pub(crate) fn is_call(&self) -> bool {
        let is_type = |(name, value): &(String, String)| {
            name.eq_ignore_ascii_case("content-type") && http::grpc::is_content_type(value.as_bytes())
        };
        self.headers.iter().any(is_type)
    }

    /// Its fields, and more: the user's prevail, and cookies are sent together. Those that are replaced have another value.
    pub(crate) fn fields_with<'a>(
        &'a self,
        more: &[(&'a str, &'a str)],
        replaced: &[(&'a str, &'a str)],
    ) -> Vec<(&'a str, Cow<'a, str>)> {
        let mut all: Vec<(&str, Cow<str>)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str()))).collect();
        for (name, own) in &mut all {
            if let Some((_, value)) = replaced.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
                *own = Cow::Borrowed(value);
            }
        }
        for (name, value) in more {
            match all.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                None => all.push((name, Cow::Borrowed(value))),
                Some((_, own)) if name.eq_ignore_ascii_case("cookie") => *own = format!("{own}; {value}").into(),
                Some(_) => {}
            }
        }
        all
    }
}

impl Payload {
    fn new(content: &Arc<[u8]>, chunked: bool) -> Payload {
        let framed = if chunked {
            let mut framed = Vec::with_capacity(content.len() + content.len() / 512 + 16);
            content.chunks(CHUNK_BYTES).for_each(|data| encode::chunk(&mut framed, data));
            encode::last_chunk(&mut framed);
            framed.into()
        } else {
            content.clone()
        };
        Payload { framed, content: content.clone(), sent: SentBody::of(content), chunked }
    }
}

/// The parts of a request that differ from one to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) host: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) payload: Option<&'a Payload>,
    pub(crate) expect_continue: bool,
    /// Whether cookies are not the user's alone: a balancer may take its own away, and so they are not compared.
    pub(crate) given_cookies: bool,
    /// Whether the connection ends with it.
    pub(crate) last: bool,
    /// Whether the request goes over TLS.
    pub(crate) secure: bool,
}

impl Parts<'_> {
    /// The user's own value of a field.
    fn header(&self, wanted: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value)
    }

    /// Whether the body waits for `100 Continue`.
    fn waits(&self) -> bool {
        self.expect_continue && self.payload.is_some_and(|payload| !payload.content.is_empty())
    }

    /// The fields that it has in each version of HTTP, in their order, apart from its id.
    fn fields(&self) -> Vec<(&str, Cow<'_, str>)> {
        let mut fields = vec![(SENT_HEADER, Cow::Owned(self.sent()))];
        if self.header("user-agent").is_none() {
            fields.push(("User-Agent", Cow::Borrowed(AGENT)));
        }
        fields.extend(self.headers.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))));
        let length = match self.payload {
            Some(payload) if payload.chunked => None,
            Some(payload) => Some(payload.content.len()),
            // RFC 9110 §8.6: these methods have a meaning for a body, and say that there is none.
            None => matches!(self.method, "POST" | "PUT" | "PATCH").then_some(0),
        };
        fields.extend(length.map(|length| ("Content-Length", Cow::Owned(length.to_string()))));
        if self.waits() {
            fields.push(("Expect", Cow::Borrowed("100-continue")));
        }
        fields
    }

    /// What a backend compares with what arrives.
    fn sent(&self) -> String {
        // What is not compared keeps its place, for backends know fields by their places.
        let is_given = |name: &str| self.given_cookies && name.eq_ignore_ascii_case("cookie");
        let field = |(name, value): &(&str, &str)| {
            let (name, value) = if is_given(name) { (UNNAMED, "") } else { (*name, *value) };
            (name.to_owned(), value.to_owned())
        };
        let fields: Vec<(String, String)> = self.headers.iter().map(field).collect();
        let body = self.payload.map(|payload| payload.sent);
        let host = self.header("host").unwrap_or(self.host);
        let sent = Sent { method: self.method, target: self.path, host: Some(host), body, fields: &fields };
        let mut value = Vec::with_capacity(64);
        sent.write(&mut value);
        String::from_utf8_lossy(&value).into_owned()
    }
}

/// A head in which the id is replaced, with a small body behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    sequence_at: usize,
    /// The body that follows, where it is not small or waits.
    late: Option<Arc<[u8]>>,
    waits: bool,
    /// The head for a stream of HTTP/2.
    stream: StreamHead,
}

/// A request as HTTP/2 has it, without its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StreamHead {
    pub(crate) method: String,
    pub(crate) scheme: &'static str,
    pub(crate) authority: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Arc<[u8]>,
}

impl StreamHead {
    fn new(parts: &Parts) -> StreamHead {
        // RFC 9113 §8.2.2: what belongs to connections of HTTP/1 has no place; nor has Host in addition to the authority.
        let is_of_http1 = |name: &str, value: &str| {
            matches!(name, "host" | "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade")
                || (name == "te" && !value.eq_ignore_ascii_case("trailers"))
        };
        let lower =
            parts.fields().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        StreamHead {
            method: parts.method.to_owned(),
            scheme: if parts.secure { "https" } else { "http" },
            authority: parts.header("host").unwrap_or(parts.host).to_owned(),
            path: parts.path.to_owned(),
            fields: lower.filter(|(name, value)| !is_of_http1(name, value)).collect(),
            body: parts.payload.map_or_else(|| Arc::from([]), |payload| payload.content.clone()),
        }
    }
}

const AGENT: &str = concat!("uuid-generator/", env!("CARGO_PKG_VERSION"));

impl Template {
    /// A template for the requests of one run.
    pub(crate) fn new(parts: &Parts, run: u64) -> Template {
        let mut bytes = Vec::with_capacity(256);
        encode::request_line(&mut bytes, parts.method, parts.path);
        if parts.header("host").is_none() {
            encode::field(&mut bytes, "Host", parts.host.as_bytes());
        }
        encode::field(&mut bytes, REQUEST_HEADER, RequestId { run, sequence: 0 }.to_string().as_bytes());
        let sequence_at = bytes.len() - "\r\n".len() - HEXADECIMAL;
        for (name, value) in parts.fields() {
            encode::field(&mut bytes, name, value.as_bytes());
        }
        if parts.payload.is_some_and(|payload| payload.chunked) {
            encode::field(&mut bytes, "Transfer-Encoding", b"chunked");
        }
        if parts.last {
            encode::field(&mut bytes, "Connection", b"close");
        }
        let waits = parts.waits();
        encode::end_of_head(&mut bytes);
        let mut late = None;
        if let Some(payload) = parts.payload {
            if waits || payload.framed.len() > SMALL_BODY {
                late = Some(payload.framed.clone());
            } else {
                bytes.extend_from_slice(&payload.framed);
            }
        }
        Template { bytes, sequence_at, late, waits, stream: StreamHead::new(parts) }
    }

    /// The request with that number, as far as it is sent at once.
    pub(crate) fn with(&mut self, sequence: u64) -> &[u8] {
        self.bytes[self.sequence_at..self.sequence_at + HEXADECIMAL].copy_from_slice(&hexadecimal(sequence));
        &self.bytes
    }

    /// The request as HTTP/2 has it.
    pub(crate) fn stream(&self) -> &StreamHead {
        &self.stream
    }

    /// The body, if it is sent after the head.
    pub(crate) fn late(&self) -> Option<&Arc<[u8]>> {
        self.late.as_ref()
    }

    /// Whether that body waits for `100 Continue`.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }
}

/// The id of a request as text.
pub(crate) fn id(run: u64, sequence: u64) -> [u8; ID_BYTES] {
    let mut text = [b'-'; ID_BYTES];
    text[..HEXADECIMAL].copy_from_slice(&hexadecimal(run));
    text[ID_BYTES - HEXADECIMAL..].copy_from_slice(&hexadecimal(sequence));
    text
}

fn hexadecimal(number: u64) -> [u8; HEXADECIMAL] {
    encode::hexadecimal(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Parts = Parts {
        method: "GET",
        path: "/uuid",
        host: "h:1",
        headers: &[],
        payload: None,
        expect_continue: false,
        given_cookies: false,
        last: false,
        secure: false,
    };

    fn spec(bodies: &[&str], transfer: BodyTransfer) -> RequestSpec {
        let bodies: Vec<Arc<[u8]>> = bodies.iter().map(|body| body.as_bytes().into()).collect();
        RequestSpec::new("POST", &[], &bodies, transfer)
    }

    fn sent(parts: &Parts) -> String {
        let mut line = Vec::new();
        encode::field(&mut line, SENT_HEADER, parts.sent().as_bytes());
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_request_tells_what_it_says() {
        let spec = spec(&["abc"], BodyTransfer::default());
        let headers = [("Cookie", "a=b"), ("X-A", "b"), ("Host", "other")];
        let parts = Parts { method: "POST", headers: &headers, payload: spec.payload(0), ..PLAIN };
        let own = Parts { given_cookies: true, ..parts };
        assert_ne!(sent(&parts), sent(&own), "cookies that were given are not compared");
        let other = [("Cookie", "c=d"), ("X-A", "b"), ("Host", "other")];
        assert_eq!(sent(&own), sent(&Parts { headers: &other, ..own }));
        assert_ne!(sent(&own), sent(&Parts { headers: &other[..2], ..own }), "the host is the user's");
        assert!(sent(&parts).starts_with("Check-Request-Sent: 1;POST;"), "{}", sent(&parts));
    }

    #[test]
    fn a_request_differs_from_the_next_in_its_id_alone() {
        let mut template = Template::new(&PLAIN, 0x4d2);
        let text = |sequence| {
            format!(
                "GET /uuid HTTP/1.1\r\nHost: h:1\r\nCheck-Request-Id: {}\r\n{}User-Agent: uuid-generator/{}\r\n\r\n",
                RequestId { run: 0x4d2, sequence },
                sent(&PLAIN),
                env!("CARGO_PKG_VERSION")
            )
        };
        for sequence in [0, 1, 0xfedc_ba98_7654_3210, u64::MAX] {
            assert_eq!(str::from_utf8(template.with(sequence)), Ok(&*text(sequence)));
            assert_eq!(RequestId::from_bytes(&id(0x4d2, sequence)), Ok(RequestId { run: 0x4d2, sequence }));
        }
    }

    #[test]
    fn own_headers_come_first_and_a_body_has_its_length() {
        let headers = [("host", "other"), ("X-A", "b"), ("User-agent", "mine")];
        let spec = spec(&["abc"], BodyTransfer::default());
        let parts =
            Parts { method: "POST", path: "/", headers: &headers, payload: spec.payload(9), last: true, ..PLAIN };
        let text = format!(
            "POST / HTTP/1.1\r\nCheck-Request-Id: {}\r\n{}host: other\r\nX-A: b\r\nUser-agent: mine\r\nContent-Length: 3\r\n\
             Connection: close\r\n\r\nabc",
            RequestId { run: 1, sequence: 2 },
            sent(&parts)
        );
        assert_eq!(str::from_utf8(Template::new(&parts, 1).with(2)), Ok(&*text));
    }

    #[test]
    fn a_body_is_sent_in_chunks_or_after_100_continue_where_that_was_asked_for() {
        let chunked = spec(&["abc"], BodyTransfer { chunked: true, expect_continue: false });
        let parts = Parts { method: "POST", payload: chunked.payload(0), ..PLAIN };
        let text = String::from_utf8(Template::new(&parts, 1).with(2).to_vec()).unwrap();
        assert!(text.ends_with("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{text}");
        assert!(!text.contains("Content-Length"), "{text}");
        let waiting = spec(&["abc"], BodyTransfer { chunked: false, expect_continue: true });
        let parts = Parts { method: "POST", payload: waiting.payload(0), expect_continue: true, ..PLAIN };
        let mut template = Template::new(&parts, 1);
        assert!(waiting.expect_continue && template.waits() && template.late().is_some());
        assert!(template.with(2).ends_with(b"Expect: 100-continue\r\n\r\n"));
    }

    #[test]
    fn a_large_body_in_chunks_is_the_same_body() {
        let content: Arc<[u8]> = (0..40_000u32).map(|number| number as u8).collect();
        let payload = Payload::new(&content, true);
        let (mut body, mut rest, mut read) =
            (http::BodyDecoder::new(http::Framing::Chunked), &payload.framed[..], Vec::new());
        while !body.is_done() {
            let (data, after) = body.take(rest).unwrap();
            read.extend_from_slice(data);
            rest = after;
        }
        assert!(read == *content && rest.is_empty());
        assert_eq!(payload.sent, SentBody { length: 40_000, digest: http::digest(&content) });
    }
}
