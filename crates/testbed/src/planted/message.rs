//! Requests and answers: where they end, what of them matters, and what is changed on their way.

use std::net::IpAddr;

use http::{
    BodyDecoder, Field, HttpVersion, IDEMPOTENT, RequestContext, RequestHead, ResponseHead, Room, Strictness, encode,
    reason,
};
use verdict::{GENERATOR_HEADER, REQUEST_HEADER, RESPONSE_HEADER, RequestId};

use crate::planted::behaviour::{Behaviour, Defect, PlantedAlgorithm};
use crate::planted::choice::{cookie_value, hash};
use crate::planted::link::{PlantedInFlight, PlantedLink};

/// Bytes that a head may have.
const HEAD: usize = 64 << 10;

/// How many of these bytes belong to a body; none if they are no chunks.
fn take(body: &mut BodyDecoder, bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    while !rest.is_empty() && !body.is_done() {
        (_, rest) = body.take(rest).ok()?;
    }
    Some(bytes.len() - rest.len())
}

/// A request that has been read to its end.
#[derive(Clone, Default)]
pub(super) struct PlantedRequest {
    pub(super) is_get: bool,
    pub(super) is_head: bool,
    pub(super) is_post: bool,
    pub(super) is_idempotent: bool,
    /// Its client speaks HTTP/1.0.
    pub(super) is_old: bool,
    /// The client wants to keep its connection.
    pub(super) keeps: bool,
    /// Length of the request as it came, with its body.
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
    Whole(PlantedRequest),
    /// The client waits for leave to send the body.
    Waits,
    Part,
}

/// The request anew, without the fields whose bits are set.
fn rewrite(head: &RequestHead, stripped: u128, behaviour: &Behaviour, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.length + body.len() + 32);
    out.extend_from_slice(format!("{} {} {}\r\n", head.method, head.target, head.version.as_str()).as_bytes());
    let fields = head.fields.iter().enumerate().filter(|(number, _)| stripped & 1 << number == 0);
    fields.for_each(|(_, Field { name, value })| encode::field(&mut out, name, value));
    if !behaviour.keeps_connections {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

impl PlantedRequest {
    pub(super) fn parse(bytes: &[u8], peer: IpAddr, behaviour: &Behaviour) -> Result<Parsed, NoRequest> {
        if bytes.is_empty() {
            return Ok(Parsed::Part);
        }
        let mut room: Room = Room::new();
        let parsed = RequestHead::parse(bytes, &mut room, HEAD, Strictness::Strict).map_err(|_| NoRequest)?;
        let Some(head) = parsed else { return Ok(Parsed::Part) };
        let (method, target, end) = (head.method, head.target, head.length);
        let mut request = PlantedRequest {
            is_get: method == "GET",
            is_head: method == "HEAD",
            is_post: method == "POST",
            is_idempotent: IDEMPOTENT.contains(&method),
            is_old: head.version == HttpVersion::Http10,
            keeps: head.persistent,
            ..PlantedRequest::default()
        };
        request.key = match &behaviour.algorithm {
            PlantedAlgorithm::UriHash => Some(hash(target.as_bytes())),
            PlantedAlgorithm::SourceHash { block } => Some(match peer {
                IpAddr::V4(v4) => hash(&v4.octets()[..if *block { 3 } else { 4 }]),
                IpAddr::V6(v6) => hash(&v6.octets()),
            }),
            _ => None,
        };
        let strips_id = behaviour.defect == Defect::StripsRequestHeader;
        let mut body = BodyDecoder::new(head.framing);
        // One bit each.
        let mut stripped: u128 = 0;
        for (number, header) in head.fields.iter().enumerate() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                6 if is("Expect") => stripped |= 1 << number,
                6 if is("Cookie") => request.read_cookies(header.value, behaviour),
                10 if is("Connection") || is("Keep-Alive") => stripped |= 1 << number,
                16 if is(REQUEST_HEADER) => {
                    request.id = RequestId::from_bytes(header.value).ok();
                    if strips_id {
                        stripped |= 1 << number;
                    }
                }
                _ => {}
            }
            if let PlantedAlgorithm::HeaderHash(name) = &behaviour.algorithm
                && is(name)
                && !header.value.is_empty()
            {
                request.key = Some(hash(header.value));
            }
        }
        let taken = take(&mut body, &bytes[end..]).ok_or(NoRequest)?;
        if !body.is_done() {
            return Ok(if head.expects_continue { Parsed::Waits } else { Parsed::Part });
        }
        request.length = end + taken;
        if stripped != 0 || !behaviour.keeps_connections {
            request.rewritten = Some(rewrite(&head, stripped, behaviour, &bytes[end..request.length]));
        }
        Ok(Parsed::Whole(request))
    }

    pub(super) fn read_cookies(&mut self, value: &[u8], behaviour: &Behaviour) {
        let (PlantedAlgorithm::CookieHash(name) | PlantedAlgorithm::StickyCookie(name)) = &behaviour.algorithm else {
            return;
        };
        let cookies = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let mut values = cookies.filter_map(|cookie| cookie.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        let Some(value) = values.next().filter(|value| !value.is_empty()) else { return };
        match &behaviour.algorithm {
            PlantedAlgorithm::StickyCookie(_) => {
                self.pinned = (0..128).find(|place| cookie_value(*place).as_bytes() == value);
            }
            _ => self.key = Some(hash(value)),
        }
    }
}

/// An answer, as far as it has come.
pub(super) struct PlantedResponse {
    pub(super) status: u16,
    /// Without what it says of its connection to the backend.
    pub(super) bytes: Vec<u8>,
    /// Length of its head.
    pub(super) head: usize,
    pub(super) body: BodyDecoder,
    /// Its body ends with the connection.
    pub(super) is_unframed: bool,
    /// The backend keeps the connection.
    pub(super) keeps: bool,
    /// Where the rest comes from, or what can be used again.
    pub(super) link: Option<PlantedLink>,
    pub(super) in_flight: Option<PlantedInFlight>,
}

impl PlantedResponse {
    pub(super) fn error(status: &str, request: &PlantedRequest) -> PlantedResponse {
        let page = format!("<h1>{status}</h1>\n");
        let head = format!(
            "HTTP/1.1 {status}\r\nServer: planted\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
            page.len()
        );
        PlantedResponse {
            status: status[..3].parse().expect("begins with the code"),
            head: head.len(),
            bytes: if request.is_head { head.into() } else { (head + &page).into() },
            body: BodyDecoder::Done,
            is_unframed: false,
            keeps: true,
            link: None,
            in_flight: None,
        }
    }

    /// Once its head has come. What it says before it (RFC 9110 §15.2) is taken away. `None` if it is no response.
    pub(super) fn parse(
        read: &mut Vec<u8>,
        request: &PlantedRequest,
        defect: Defect,
    ) -> Option<Option<PlantedResponse>> {
        let asked = if request.is_head { RequestContext::Head } else { RequestContext::Other };
        let (status, end, keeps, body, kept) = {
            let mut room: Room = Room::new();
            let Some(head) = ResponseHead::parse(read, &mut room, HEAD, asked, Strictness::Lenient).ok()? else {
                return Some(None);
            };
            let strips_ours = defect == Defect::StripsAnswerHeaders;
            let ours = [RESPONSE_HEADER, GENERATOR_HEADER, REQUEST_HEADER];
            let goes = |field: &Field| {
                let is = |name: &&str| field.name.eq_ignore_ascii_case(name);
                !(["Connection", "Keep-Alive"].iter().any(is) || strips_ours && ours.iter().any(is))
            };
            let fields = || head.fields.iter().filter(goes);
            // As it came, unless something is taken away.
            let kept = (fields().count() < head.fields.len()).then(|| {
                let mut kept = format!("HTTP/1.1 {} {}\r\n", head.status, reason(head.status)).into_bytes();
                fields().for_each(|Field { name, value }| encode::field(&mut kept, name, value));
                kept.extend_from_slice(b"\r\n");
                kept
            });
            (head.status, head.length, head.persistent && !request.is_old, BodyDecoder::new(head.framing), kept)
        };
        if (100..200).contains(&status) {
            read.drain(..end);
            return if read.is_empty() { Some(None) } else { PlantedResponse::parse(read, request, defect) };
        }
        let (bytes, new_end) = match kept {
            Some(mut kept) => {
                let new_end = kept.len();
                kept.extend_from_slice(&read[end..]);
                (kept, new_end)
            }
            None => {
                let mut bytes = std::mem::take(read);
                bytes[..8].copy_from_slice(b"HTTP/1.1");
                (bytes, end)
            }
        };
        let mut answer = PlantedResponse {
            status,
            bytes,
            head: new_end,
            body,
            is_unframed: matches!(body, BodyDecoder::UntilClose),
            keeps,
            link: None,
            in_flight: None,
        };
        answer.take(new_end);
        Some(Some(answer))
    }

    pub(super) fn is_complete(&self) -> bool {
        self.body.is_done()
    }

    /// These bytes have come now. What is not its own is cut off.
    pub(super) fn take(&mut self, from: usize) {
        match take(&mut self.body, &self.bytes[from..]) {
            Some(taken) => {
                self.keeps &= from + taken == self.bytes.len();
                self.bytes.truncate(from + taken);
            }
            // Whatever it is, the client may judge.
            None => (self.body, self.is_unframed, self.keeps) = (BodyDecoder::UntilClose, true, false),
        }
    }

    /// Adds a line to its head.
    pub(super) fn add(&mut self, line: &str) {
        let place = self.head - 2;
        self.bytes.splice(place..place, line.bytes());
        self.head += line.len();
    }

    /// A copy of what has come so far.
    pub(super) fn copy(&self) -> PlantedResponse {
        PlantedResponse { bytes: self.bytes.clone(), link: None, in_flight: None, ..*self }
    }
}
