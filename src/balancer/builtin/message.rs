//! Requests and answers: where they end, what of them matters, and what is changed on their way.

use std::net::IpAddr;

use crate::chunks::Chunks;
use crate::wire::{GENERATOR_HEADER, REQUEST_HEADER, RESPONSE_HEADER, RequestId};

use crate::balancer::builtin::choice::{cookie_value, hash};
use crate::balancer::builtin::{Algorithm, Behaviour, Defect, InFlight, Link};

/// A body, as far as it has not come yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    Length(u64),
    Chunks(Chunks),
    UntilClose,
    Ended,
}

impl Body {
    /// How many of these bytes belong to it; none if they are no chunks.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Body::Length(left) => {
                let taken = (*left).min(bytes.len() as u64);
                *left -= taken;
                if *left == 0 {
                    *self = Body::Ended;
                }
                Some(taken as usize)
            }
            Body::Chunks(chunks) => {
                let mut rest = bytes;
                while !rest.is_empty() && !chunks.is_over() {
                    (_, rest) = chunks.take(rest).ok()?;
                }
                if chunks.is_over() {
                    *self = Body::Ended;
                }
                Some(bytes.len() - rest.len())
            }
            Body::UntilClose => Some(bytes.len()),
            Body::Ended => Some(0),
        }
    }
}

/// A whole request.
#[derive(Clone, Default)]
pub(super) struct Request {
    pub(super) is_get: bool,
    pub(super) is_head: bool,
    pub(super) is_post: bool,
    pub(super) is_idempotent: bool,
    /// HTTP/1.0.
    pub(super) is_old: bool,
    /// The client wants to keep its connection.
    pub(super) keeps: bool,
    /// With its body, as it came.
    pub(super) length: usize,
    /// As it goes to backends, if that is not as it came.
    pub(super) rewritten: Option<Vec<u8>>,
    pub(super) id: Option<RequestId>,
    /// What the algorithm hashes.
    pub(super) key: Option<u64>,
    /// The backend that its cookie names.
    pub(super) pinned: Option<usize>,
}

#[derive(Debug)]
pub(super) struct NoRequest;

pub(super) enum Parsed {
    Whole(Request),
    /// The client waits for leave to send the body.
    Waits,
    Part,
}

impl Request {
    pub(super) fn parse(bytes: &[u8], peer: IpAddr, behaviour: &Behaviour) -> Result<Parsed, NoRequest> {
        if bytes.is_empty() {
            return Ok(Parsed::Part);
        }
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut head = httparse::Request::new(&mut headers);
        let end = match head.parse(bytes).map_err(|_| NoRequest)? {
            httparse::Status::Complete(end) => end,
            httparse::Status::Partial => return Ok(Parsed::Part),
        };
        let (method, target) = (head.method.unwrap_or(""), head.path.unwrap_or(""));
        let mut request = Request {
            is_get: method == "GET",
            is_head: method == "HEAD",
            is_post: method == "POST",
            is_idempotent: !matches!(method, "POST" | "PATCH"),
            is_old: head.version == Some(0),
            keeps: head.version == Some(1),
            ..Request::default()
        };
        request.key = match &behaviour.algorithm {
            Algorithm::UriHash => Some(hash(target.as_bytes())),
            Algorithm::SourceHash { block } => Some(match peer {
                IpAddr::V4(v4) => hash(&v4.octets()[..if *block { 3 } else { 4 }]),
                IpAddr::V6(v6) => hash(&v6.octets()),
            }),
            _ => None,
        };
        let strips_id = behaviour.defect == Defect::StripsRequestHeader;
        let mut body = Body::Ended;
        let mut expects = false;
        // One bit each.
        let mut stripped: u128 = 0;
        for (number, header) in head.headers.iter().enumerate() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                6 if is("Expect") => {
                    expects = true;
                    stripped |= 1 << number;
                }
                6 if is("Cookie") => request.read_cookies(header.value, behaviour),
                10 if is("Connection") => {
                    stripped |= 1 << number;
                    let has = |option: &[u8]| {
                        header.value.split(|byte| *byte == b',').any(|it| it.trim_ascii().eq_ignore_ascii_case(option))
                    };
                    request.keeps = (request.keeps || has(b"keep-alive")) && !has(b"close");
                }
                10 if is("Keep-Alive") => stripped |= 1 << number,
                14 if is("Content-Length") => {
                    let length = str::from_utf8(header.value).ok().and_then(|text| text.parse().ok());
                    body = Body::Length(length.ok_or(NoRequest)?);
                }
                16 if is(REQUEST_HEADER) => {
                    request.id = RequestId::from_bytes(header.value).ok();
                    if strips_id {
                        stripped |= 1 << number;
                    }
                }
                17 if is("Transfer-Encoding") => body = Body::Chunks(Chunks::new()),
                _ => {}
            }
            if let Algorithm::HeaderHash(name) = &behaviour.algorithm
                && is(name)
                && !header.value.is_empty()
            {
                request.key = Some(hash(header.value));
            }
        }
        if let Body::Length(0) = body {
            body = Body::Ended;
        }
        let taken = body.take(&bytes[end..]).ok_or(NoRequest)?;
        if !matches!(body, Body::Ended) {
            return Ok(if expects { Parsed::Waits } else { Parsed::Part });
        }
        request.length = end + taken;
        if stripped != 0 || !behaviour.keeps_connections {
            let mut out = Vec::with_capacity(request.length + 32);
            out.extend_from_slice(format!("{method} {target} HTTP/1.{}\r\n", head.version.unwrap_or(1)).as_bytes());
            for (_, header) in head.headers.iter().enumerate().filter(|(number, _)| stripped & 1 << number == 0) {
                for part in [header.name.as_bytes(), b": ", header.value, b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
            if !behaviour.keeps_connections {
                out.extend_from_slice(b"Connection: close\r\n");
            }
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(&bytes[end..request.length]);
            request.rewritten = Some(out);
        }
        Ok(Parsed::Whole(request))
    }

    pub(super) fn read_cookies(&mut self, value: &[u8], behaviour: &Behaviour) {
        let (Algorithm::CookieHash(name) | Algorithm::StickyCookie(name)) = &behaviour.algorithm else { return };
        let cookies = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let mut values = cookies.filter_map(|cookie| cookie.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        let Some(value) = values.next().filter(|value| !value.is_empty()) else { return };
        match &behaviour.algorithm {
            Algorithm::StickyCookie(_) => {
                self.pinned = (0..128).find(|place| cookie_value(*place).as_bytes() == value);
            }
            _ => self.key = Some(hash(value)),
        }
    }
}

/// An answer, as far as it has come.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Without what it says of its connection to the backend.
    pub(super) bytes: Vec<u8>,
    /// Length of its head.
    pub(super) head: usize,
    pub(super) body: Body,
    /// Its body ends with the connection.
    pub(super) is_unframed: bool,
    /// The backend keeps the connection.
    pub(super) keeps: bool,
    /// Where the rest comes from, or what can be used again.
    pub(super) link: Option<Link>,
    pub(super) in_flight: Option<InFlight>,
}

impl Answer {
    pub(super) fn error(status: &str, request: &Request) -> Answer {
        let page = format!("<h1>{status}</h1>\n");
        let head = format!(
            "HTTP/1.1 {status}\r\nServer: the tests' own\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
            page.len()
        );
        Answer {
            status: status[..3].parse().expect("begins with the code"),
            head: head.len(),
            bytes: if request.is_head { head.into() } else { (head + &page).into() },
            body: Body::Ended,
            is_unframed: false,
            keeps: true,
            link: None,
            in_flight: None,
        }
    }

    /// Once its head has come. What it says before it (RFC 9110 §15.2) is taken away. `None` if it is no answer.
    pub(super) fn parse(read: &mut Vec<u8>, request: &Request, defect: Defect) -> Option<Option<Answer>> {
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(end) = head.parse(read).ok()? else { return Some(None) };
        let (status, is_new) = (head.code?, head.version == Some(1));
        if (100..200).contains(&status) {
            read.drain(..end);
            return if read.is_empty() { Some(None) } else { Answer::parse(read, request, defect) };
        }
        let strips_ours = defect == Defect::StripsAnswerHeaders;
        let mut keeps = is_new && !request.is_old;
        let (mut length, mut is_chunked) = (None, false);
        let mut stripped: u128 = 0;
        for (number, header) in head.headers.iter().enumerate() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                10 if is("Connection") => {
                    stripped |= 1 << number;
                    keeps &= !header.value.eq_ignore_ascii_case(b"close");
                }
                10 if is("Keep-Alive") => stripped |= 1 << number,
                14 if is("Content-Length") => length = Some(str::from_utf8(header.value).ok()?.parse().ok()?),
                17 if is("Transfer-Encoding") => is_chunked = true,
                9 | 16 if strips_ours && (is(RESPONSE_HEADER) || is(GENERATOR_HEADER) || is(REQUEST_HEADER)) => {
                    stripped |= 1 << number;
                }
                _ => {}
            }
        }
        let body = match (is_chunked, length) {
            _ if request.is_head || matches!(status, 204 | 304) => Body::Ended,
            (true, _) => Body::Chunks(Chunks::new()),
            (false, Some(0)) => Body::Ended,
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::UntilClose,
        };
        let (mut bytes, mut new_end) = (Vec::new(), end);
        if stripped != 0 {
            bytes.reserve(read.len());
            bytes.extend_from_slice(format!("HTTP/1.1 {status} {}\r\n", head.reason.unwrap_or("")).as_bytes());
            for (_, header) in head.headers.iter().enumerate().filter(|(number, _)| stripped & 1 << number == 0) {
                for part in [header.name.as_bytes(), b": ", header.value, b"\r\n"] {
                    bytes.extend_from_slice(part);
                }
            }
            bytes.extend_from_slice(b"\r\n");
            new_end = bytes.len();
            bytes.extend_from_slice(&read[end..]);
        } else {
            bytes = std::mem::take(read);
            bytes[..8].copy_from_slice(b"HTTP/1.1");
        }
        let mut answer = Answer {
            status,
            bytes,
            head: new_end,
            body,
            is_unframed: matches!(body, Body::UntilClose),
            keeps: keeps && !matches!(body, Body::UntilClose),
            link: None,
            in_flight: None,
        };
        answer.take(new_end);
        Some(Some(answer))
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.body, Body::Ended)
    }

    /// These bytes have come now. What is not its own is cut off.
    pub(super) fn take(&mut self, from: usize) {
        match self.body.take(&self.bytes[from..]) {
            Some(taken) => {
                self.keeps &= from + taken == self.bytes.len();
                self.bytes.truncate(from + taken);
            }
            // Whatever it is, the client may judge.
            None => (self.body, self.is_unframed, self.keeps) = (Body::UntilClose, true, false),
        }
    }

    /// Adds a line to its head.
    pub(super) fn add(&mut self, line: &str) {
        let place = self.head - 2;
        self.bytes.splice(place..place, line.bytes());
        self.head += line.len();
    }

    /// Of what has come.
    pub(super) fn copy(&self) -> Answer {
        Answer { bytes: self.bytes.clone(), link: None, in_flight: None, ..*self }
    }
}
