//! A response as a value, until it is encoded: status, content, body, and whose it is.

use http::encode;
use http::grpc;
use http::h1::server::{Length, ServerConnection, StreamId};
use http::h2::{self, EncodedName};
use http::ws::{self, AcceptKey};
use verdict::life::{Life, StreamKind};
use verdict::response::{
    COVERED, ContentKind, DIGEST_HEADER, PATTERN, WrittenHead, dated_digest_value, digest_value, has_content_type,
    of_body, of_pattern,
};

use crate::backend::grpc::CODINGS;
use crate::backend::paced::EventPace;
use crate::backend::session::Session;
use crate::backend::websocket::SocketAsk;
use crate::wire::{
    BackendIdentity, GENERATOR_HEADER, INSTANCE_HEADER, NAME_HEADER, REQUEST_HEADER, RESPONSE_HEADER, RequestId,
    ResponseId, SESSION_HEADER,
};

#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) content: ContentKind,
    pub(super) body: ResponseBody,
    /// The id of this response; none in responses to health checks.
    pub(super) answer: Option<ResponseId>,
    /// The id of the request, which the response repeats.
    pub(super) request: Option<RequestId>,
    /// What it opens, or belongs to.
    pub(super) session: Option<Box<Session>>,
}

#[derive(Debug)]
pub(super) enum ResponseBody {
    Bytes(Vec<u8>),
    /// That many bytes of the pattern, made while they are sent.
    Pattern(u64),
    /// Events at their times, from that number on.
    Paced {
        pace: EventPace,
        first: u32,
    },
    /// Messages of a gRPC call, which writes them itself; the digest of all of them, where it is known before they leave.
    Messages {
        digest: Option<u32>,
    },
    /// A WebSocket, with the proof that its handshake was read.
    Socket {
        accept: AcceptKey,
        ask: Box<SocketAsk>,
    },
}

/// How the line of the Date field begins.
pub(super) const DATE: &str = "Date: ";

http::named_enum! {
    /// Fields whose values are a response's own.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum OwnField {
        Date => "Date",
        ContentLength => "Content-Length",
        ContentRange => "Content-Range",
        Digest => DIGEST_HEADER,
        ProxyAuthenticate => "Proxy-Authenticate",
        Request => REQUEST_HEADER,
        Response => RESPONSE_HEADER,
        Session => SESSION_HEADER,
        SetCookie => "Set-Cookie",
    }
    fn name;
}

impl OwnField {
    /// Appends it to a block of HTTP/2.
    fn literal(self, out: &mut Vec<u8>, value: &[u8]) {
        static ENCODED: [EncodedName; OwnField::ALL.len()] = [const { EncodedName::new() }; OwnField::ALL.len()];
        ENCODED[self as usize].literal(out, self.name(), value);
    }
}

/// What the head says in addition to the response itself.
pub(super) struct Stamp<'a> {
    /// The line of the Date field.
    pub(super) date: &'a str,
    /// Its second since 1970.
    pub(super) second: u32,
    pub(super) identity: &'a BackendIdentity,
    pub(super) usual_heads: &'a [UsualHead],
    pub(super) persistent: bool,
}

/// What is alike in all responses with status 200 and the same content, written once.
pub(super) struct UsualHead {
    content: ContentKind,
    digest: u32,
    lines: Vec<u8>,
    /// The head as HPACK encodes it.
    block: Vec<u8>,
}

impl UsualHead {
    pub(super) fn new(content: ContentKind, identity: &BackendIdentity) -> UsualHead {
        let written = WrittenHead { status: 200, content };
        let (mut lines, mut block) = (Vec::new(), Vec::new());
        each_constant_field(&written, identity, |name, value| {
            encode::field(&mut lines, name, value);
            h2::literal(&mut block, name, value);
        });
        UsualHead { content, digest: written.head_digest(), lines, block }
    }
}

fn each_constant_field(written: &WrittenHead, identity: &BackendIdentity, mut each: impl FnMut(&str, &[u8])) {
    for (name, value) in COVERED.iter().zip(written.values()) {
        if let Some(value) = value {
            each(name, value.as_bytes());
        }
    }
    if written.content == ContentKind::Grpc {
        each(grpc::ACCEPT_ENCODING_FIELD, CODINGS.as_bytes());
    }
    each_field_of_identity(identity, each);
}

fn each_field_of_identity(identity: &BackendIdentity, mut each: impl FnMut(&str, &[u8])) {
    match identity.number {
        Some(number) => each(GENERATOR_HEADER, encode::Decimal::new().of(u64::from(number.0))),
        None => each(NAME_HEADER, identity.name.as_bytes()),
    }
    each(INSTANCE_HEADER, &identity.instance.to_bytes());
}

impl Response {
    pub(super) fn line(status: u16, text: &str, mut buffer: Vec<u8>) -> Response {
        if has_body(status) {
            buffer.extend_from_slice(text.as_bytes());
            buffer.push(b'\n');
        }
        Response::of(status, ContentKind::Line, ResponseBody::Bytes(buffer))
    }

    /// A response that carries no ids yet.
    pub(super) fn of(status: u16, content: ContentKind, body: ResponseBody) -> Response {
        Response { status, content, body, answer: None, request: None, session: None }
    }

    /// Of its body, where it is one whose digest is known before it is written.
    pub(super) fn known_length(&self) -> Option<u64> {
        match &self.body {
            ResponseBody::Bytes(bytes) => Some(bytes.len() as u64),
            ResponseBody::Pattern(length) => Some(*length),
            ResponseBody::Paced { .. } | ResponseBody::Messages { .. } | ResponseBody::Socket { .. } => None,
        }
    }

    fn length(&self) -> Length {
        match &self.body {
            ResponseBody::Paced { pace, .. } => pace.length(),
            ResponseBody::Messages { .. } => Length::Unknown,
            ResponseBody::Bytes(_) | ResponseBody::Pattern(_) | ResponseBody::Socket { .. }
                if !has_content_type(self.status) =>
            {
                Length::Absent
            }
            ResponseBody::Bytes(_) | ResponseBody::Pattern(_) | ResponseBody::Socket { .. } => {
                self.known_length().map_or(Length::Absent, Length::Known)
            }
        }
    }

    /// What its record says of its life.
    pub(super) fn life(&self) -> Option<Life> {
        match &self.body {
            ResponseBody::Bytes(_) | ResponseBody::Pattern(_) | ResponseBody::Messages { .. } => None,
            ResponseBody::Paced { pace, first } => Some(Life::new(pace.kind, *first)),
            ResponseBody::Socket { .. } => Some(Life::new(StreamKind::Websocket, 1)),
        }
    }

    /// The digests of the head and of the body, unless that is written at its times; and what is usual about the head.
    fn digests<'s>(&self, stamp: &Stamp<'s>) -> (Option<[u8; 24]>, Option<&'s UsualHead>) {
        let usual = stamp.usual_heads.iter().find(|usual| self.status == 200 && usual.content == self.content);
        let head = usual.map_or_else(|| self.written().head_digest(), |usual| usual.digest);
        let body = match &self.body {
            ResponseBody::Bytes(bytes) => Some(of_body(bytes)),
            ResponseBody::Pattern(length) => Some(of_pattern(*length)),
            ResponseBody::Messages { digest } => *digest,
            // Not known before.
            ResponseBody::Paced { .. } | ResponseBody::Socket { .. } => None,
        };
        (body.map(|body| dated_digest_value(head, body, stamp.second)), usual)
    }

    /// Appends the digests, where that of the body was not known before it was written.
    pub(super) fn write_late_digest(&self, body: u32, out: &mut Vec<u8>) {
        OwnField::Digest.literal(out, &digest_value(self.written().head_digest(), body));
    }

    fn written(&self) -> WrittenHead {
        WrittenHead { status: self.status, content: self.content }
    }

    /// Appends the head of HTTP/1.
    pub(super) fn write_head(&self, http: &mut ServerConnection, stamp: &Stamp, out: &mut Vec<u8>) -> StreamId {
        let (digest, usual) = self.digests(stamp);
        let fields = |out: &mut Vec<u8>| {
            out.extend_from_slice(stamp.date.as_bytes());
            self.each_own_field(digest.as_ref(), |field, value| encode::field(out, field.name(), value));
            if self.status == 426 {
                encode::field(out, "Upgrade", b"websocket");
                encode::field(out, "Connection", b"Upgrade");
                // RFC 6455 §4.4: where the version was another.
                encode::field(out, "Sec-WebSocket-Version", ws::VERSION.as_bytes());
            }
        };
        if let ResponseBody::Socket { accept, .. } = &self.body {
            return http.upgrade(out, |out| {
                encode::field(out, "Upgrade", b"websocket");
                encode::field(out, "Sec-WebSocket-Accept", accept);
                each_field_of_identity(stamp.identity, |name, value| encode::field(out, name, value));
                fields(out);
            });
        }
        http.respond(self.status, self.length(), stamp.persistent, out, |out| {
            match usual {
                Some(usual) => out.extend_from_slice(&usual.lines),
                None => each_constant_field(&self.written(), stamp.identity, |name, value| {
                    encode::field(out, name, value);
                }),
            }
            fields(out);
        })
    }

    /// Appends the fields of HTTP/2, after the status.
    pub(super) fn write_block(&self, stamp: &Stamp, out: &mut Vec<u8>) {
        let (digest, usual) = self.digests(stamp);
        match usual {
            Some(usual) => out.extend_from_slice(&usual.block),
            None => each_constant_field(&self.written(), stamp.identity, |name, value| h2::literal(out, name, value)),
        }
        let date = stamp.date.strip_prefix(DATE).unwrap_or_default().trim_ascii_end();
        OwnField::Date.literal(out, date.as_bytes());
        self.each_own_field(digest.as_ref(), |field, value| field.literal(out, value));
        if let Length::Known(length) = self.length() {
            OwnField::ContentLength.literal(out, encode::Decimal::new().of(length));
        }
    }

    /// Fields that are this response's own, and those that RFC 9110 requires of a status and that the digest does not cover: they
    /// depend on the body.
    fn each_own_field(&self, digest: Option<&[u8; 24]>, mut each: impl FnMut(OwnField, &[u8])) {
        if let Some(answer) = self.answer {
            let mut uuid = [0; uuid::fmt::Hyphenated::LENGTH];
            each(OwnField::Response, answer.0.hyphenated().encode_lower(&mut uuid).as_bytes());
        }
        if let Some(digest) = digest {
            each(OwnField::Digest, digest);
        }
        if let Some(request) = self.request {
            each(OwnField::Request, &request.to_bytes());
        }
        if let Some(session) = &self.session {
            each(OwnField::Session, session.id().as_bytes());
            if let Some(cookie) = session.set_cookie() {
                each(OwnField::SetCookie, cookie.as_bytes());
            }
        }
        match self.status {
            206 => {
                let length = self.known_length().unwrap_or_default();
                let range = format!("bytes 0-{}/{length}", length.saturating_sub(1));
                each(OwnField::ContentRange, range.as_bytes());
            }
            407 => each(OwnField::ProxyAuthenticate, b"Bearer realm=\"uuid-generator\""),
            416 => each(OwnField::ContentRange, b"bytes */1"),
            _ => {}
        }
    }
}

/// RFC 9110 §15.3.5, §15.3.6, §15.4.5: responses that have no body, whatever is said of its length.
fn has_body(status: u16) -> bool {
    !matches!(status, 204 | 205 | 304)
}

/// Appends bytes of a patterned body of `length` bytes from `position` on, and returns where it ended: at the end, or 64 KiB later.
pub(super) fn pattern(out: &mut Vec<u8>, position: u64, length: u64) -> u64 {
    const REPEATED: usize = 1024;
    let start = out.len();
    let skip = (position % PATTERN.len() as u64) as usize;
    let bytes = (REPEATED * PATTERN.len()).min(usize::try_from(length - position).unwrap_or(usize::MAX));
    out.extend_from_slice(&PATTERN[skip..]);
    while out.len() - start < bytes {
        out.extend_from_slice(PATTERN);
    }
    out.truncate(start + bytes);
    position + bytes as u64
}
