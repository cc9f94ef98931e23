//! The request as it was sent and as it arrived: what the client says of it in a header, and in what the backend found it
//! changed.
//!
//! # `Check-Request-Sent`
//!
//! Seven parts with semicolons between them:
//!
//! | part | example | |
//! |---|---|---|
//! | version | `1` | of this format |
//! | method | `POST` | |
//! | path | `9f2d33a1` | digest of the path as sent, without query |
//! | query | `00b1c2d3` | digest of what follows `?`; `-` without a query |
//! | host | `5a5a0102` | digest of the Host field in lower case; `-` without one |
//! | body | `1000:0123456789abcdef` | length and digest of the content; `-` without a body |
//! | fields | `0a0b0c0d11223344,…` | of each end-to-end field of the user's own: digest of its name in lower case, digest of its value |
//!
//! Digests of parts are the low 32 bits of XXH3-64, that of the body is whole. Several lines of a name are one field, their
//! values joined with `, ` (RFC 9110 §5.3).

use std::fmt;
use std::time::Duration;

use http::grpc::{TIMEOUT_FIELD, parse_timeout};
use http::{Fields, digest, encode, is_hop_by_hop};

/// Header of a request: what its client sent.
pub const SENT_HEADER: &str = "Check-Request-Sent";

/// Fields of the user's own beyond this number share its last bit in a [`FieldMask`].
pub const MASKED_FIELDS: usize = 16;

/// A request as its client sends it, for the backends to compare with what arrives.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The method, which is case-sensitive.
    pub method: &'a str,
    /// As in the request line: path and query.
    pub target: &'a str,
    /// Value of the Host field; none with HTTP/1.0.
    pub host: Option<&'a str>,
    /// Length and [`http::digest`] of the content; none without a body.
    pub body: Option<SentBody>,
    /// Fields of the user's own, in order; those that belong to the connection are left out by [`Sent::write`].
    pub fields: &'a [(String, String)],
}

/// How long the client of a call waits, as the call says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SentDeadline {
    /// Among the [judged fields](Sent::judged_fields).
    pub place: usize,
    /// How long that is.
    pub time: Duration,
}

impl SentDeadline {
    /// By how much one that arrived is shorter, for whoever passes a call on passes on the time that is left; none where it is longer. It may be
    /// rounded: clients of gRPC write as few as three digits of it.
    pub fn shortened_to(&self, arrived: Duration) -> Option<Duration> {
        (arrived <= self.time + self.rounding()).then(|| self.time.saturating_sub(arrived))
    }

    /// By how much it may differ with nothing but its last digits.
    pub fn rounding(&self) -> Duration {
        self.time / 100 + Duration::from_millis(1)
    }
}

/// Length and digest of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SentBody {
    /// Bytes of content, without framing.
    pub length: u64,
    /// XXH3-64 of the content.
    pub digest: u64,
}

impl SentBody {
    /// Length and digest of a whole content.
    pub fn of(content: &[u8]) -> SentBody {
        SentBody { length: content.len() as u64, digest: digest(content) }
    }
}

impl Sent<'_> {
    /// How large its head is by itself, as HTTP/2 counts it (RFC 9113 section 6.5.2).
    pub fn head_bytes(&self) -> u64 {
        const EACH: usize = 32;
        let fields = self.fields.iter().map(|(name, value)| name.len() + value.len() + EACH);
        (self.target.len() + EACH + fields.sum::<usize>()) as u64
    }

    /// Appends the value of the header.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (path, query) = split_target(self.target);
        out.extend_from_slice(b"1;");
        out.extend_from_slice(self.method.as_bytes());
        out.push(b';');
        out.extend_from_slice(&encode::hexadecimal::<8>(u64::from(short(path.as_bytes()))));
        out.push(b';');
        or_none(out, query.map(|query| short(query.as_bytes())));
        out.push(b';');
        or_none(out, self.host.map(|host| short_of_lower_case(host.as_bytes())));
        out.push(b';');
        match self.body {
            None => out.push(b'-'),
            Some(body) => {
                out.extend_from_slice(encode::Decimal::new().of(body.length));
                out.push(b':');
                out.extend_from_slice(&encode::hexadecimal::<16>(body.digest));
            }
        }
        out.push(b';');
        for (index, name) in self.judged_fields().into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let values = self.values(name).map(str::as_bytes);
            let name = short_of_lower_case(name.as_bytes());
            let value = combined(values, separator_of(name));
            out.extend_from_slice(&encode::hexadecimal::<8>(u64::from(name)));
            out.extend_from_slice(&encode::hexadecimal::<8>(u64::from(short(&value))));
        }
    }

    /// The names of the fields that the header tells of, in its order: bit `n` of a [`FieldMask`] is the `n`th of them.
    pub fn judged_fields(&self) -> Vec<&str> {
        let named_by_connection: Vec<&str> =
            self.values("connection").flat_map(|value| value.split(',')).map(str::trim).collect();
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.fields {
            let is_of_the_message = !is_hop_by_hop(name)
                && !OTHERWISE_COMPARED.iter().any(|it| name.eq_ignore_ascii_case(it))
                && !named_by_connection.iter().any(|it| name.eq_ignore_ascii_case(it));
            if is_of_the_message && !names.iter().any(|it| it.eq_ignore_ascii_case(name)) {
                names.push(name);
            }
        }
        names
    }

    /// The deadline of a call, if it carries one.
    pub fn deadline(&self) -> Option<SentDeadline> {
        let place = self.judged_fields().iter().position(|name| name.eq_ignore_ascii_case(TIMEOUT_FIELD))?;
        let time = self.values(TIMEOUT_FIELD).next().and_then(|value| parse_timeout(value.as_bytes()))?;
        Some(SentDeadline { place, time })
    }

    fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.fields.iter().filter(move |(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Fields of a message that are parts of their own here, or are spent on the way.
const OTHERWISE_COMPARED: [&str; 6] =
    ["host", "content-length", "expect", "max-forwards", "check-request-id", "check-request-sent"];

/// In place of the name of a field that is not compared: those after it keep their places.
pub const UNNAMED: &str = "";

/// Path and query of a target as a client writes it.
fn split_target(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

fn or_none(out: &mut Vec<u8>, part: Option<u32>) {
    match part {
        Some(part) => out.extend_from_slice(&encode::hexadecimal::<8>(u64::from(part))),
        None => out.push(b'-'),
    }
}

fn short(bytes: &[u8]) -> u32 {
    digest(bytes) as u32
}

fn short_of_lower_case(bytes: &[u8]) -> u32 {
    const USUAL: usize = 64;
    let mut room = [0; USUAL];
    match room.get_mut(..bytes.len()) {
        Some(lower) => {
            lower.copy_from_slice(bytes);
            lower.make_ascii_lowercase();
            short(lower)
        }
        None => short(&bytes.to_ascii_lowercase()),
    }
}

http::named_enum! {
    /// A part of a request that can differ between what was sent and what arrived.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    #[repr(u16)]
    pub enum RequestPart {
        /// The method.
        Method = 1 => "method",
        /// The path.
        Path = 1 << 1 => "path",
        /// The query.
        Query = 1 << 2 => "query",
        /// The Host field.
        Host = 1 << 3 => "host",
        /// How much content arrived.
        BodyLength = 1 << 4 => "body-length",
        /// The content, though its length is right.
        Body = 1 << 5 => "body",
        /// A field of the user's own did not arrive.
        FieldLost = 1 << 6 => "field-lost",
        /// One arrived with another value.
        FieldChanged = 1 << 7 => "field-changed",
        /// One arrived more than once.
        FieldDoubled = 1 << 8 => "field-doubled",
        /// The header that says what was sent arrived and cannot be read: nothing is judged.
        Unreadable = 1 << 9 => "unreadable",
    }

    /// As it stands in the API and in reports for programs.
    fn name;
}

/// In which parts a request arrived other than it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Differences(u16);

impl Differences {
    /// Nothing differs.
    pub const NONE: Differences = Differences(0);

    /// As [`Differences::bits`] wrote them; bits without a meaning are dropped.
    pub fn from_bits(bits: u16) -> Differences {
        RequestPart::ALL.into_iter().filter(|part| bits & *part as u16 != 0).collect()
    }

    /// One bit for each part, as records have it.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Adds a part that differs.
    pub fn add(&mut self, part: RequestPart) {
        self.0 |= part as u16;
    }

    /// Without that part.
    pub fn without(self, part: RequestPart) -> Differences {
        Differences(self.0 & !(part as u16))
    }

    /// Whether it is one of them.
    pub fn contains(self, part: RequestPart) -> bool {
        self.0 & part as u16 != 0
    }

    /// Whether all arrived as it was sent.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = RequestPart> {
        RequestPart::ALL.into_iter().filter(move |part| self.contains(*part))
    }
}

impl FromIterator<RequestPart> for Differences {
    fn from_iter<I: IntoIterator<Item = RequestPart>>(parts: I) -> Differences {
        let mut differences = Differences::NONE;
        parts.into_iter().for_each(|part| differences.add(part));
        differences
    }
}

/// Names with commas: `path, query`.
impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, part.name())?;
        }
        Ok(())
    }
}

/// Which of the [judged fields](Sent::judged_fields) did not arrive as they were sent: bit `n` is the `n`th, the last bit also
/// all after it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct FieldMask(pub u16);

impl FieldMask {
    fn add(&mut self, index: usize) {
        self.0 |= 1 << index.min(MASKED_FIELDS - 1);
    }

    /// Without that one.
    pub(crate) fn without(self, index: usize) -> FieldMask {
        FieldMask(self.0 & !(1 << index.min(MASKED_FIELDS - 1)))
    }

    /// The indices that are set.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..MASKED_FIELDS).filter(move |index| self.0 & 1 << index != 0)
    }
}

/// A request as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'h, 'b> {
    /// The method, which is case-sensitive.
    pub method: &'b str,
    /// The path without its query, as it arrived.
    pub path: &'b str,
    /// What follows `?`.
    pub query: Option<&'b str>,
    /// The Host field, or `:authority`.
    pub host: Option<&'b [u8]>,
    /// All fields in order and as received.
    pub fields: Fields<'h, 'b>,
}

/// What a comparison of the head found, and what is left to compare when the body has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RequestComparison {
    /// Parts that differ.
    pub differences: Differences,
    /// Fields that differ.
    pub fields: FieldMask,
    /// The body that was sent; `None` also where nothing is judged.
    pub body: Option<SentBody>,
}

impl RequestComparison {
    /// Compares a head with the value of its [`SENT_HEADER`].
    pub fn of_head(sent: &[u8], arrived: &Arrived) -> RequestComparison {
        compare(sent, arrived).unwrap_or(RequestComparison {
            differences: [RequestPart::Unreadable].into_iter().collect(),
            ..RequestComparison::default()
        })
    }

    /// Compares the body that came.
    pub fn see_body(&mut self, arrived: SentBody) {
        if self.differences.contains(RequestPart::Unreadable) {
            return;
        }
        let sent = self.body.unwrap_or_else(|| SentBody::of(b""));
        if sent.length != arrived.length {
            self.differences.add(RequestPart::BodyLength);
        } else if sent.digest != arrived.digest {
            self.differences.add(RequestPart::Body);
        }
    }
}

/// Whether a [`SENT_HEADER`] says that this Host was sent; none if it cannot be read.
pub fn states_host(sent: &[u8], host: &[u8]) -> Option<bool> {
    let stated = sent.strip_prefix(b"1;")?.splitn(5, |byte| *byte == b';').nth(3)?;
    Some(optional(stated)? == Some(short_of_lower_case(host)))
}

fn compare(sent: &[u8], arrived: &Arrived) -> Option<RequestComparison> {
    let mut parts = sent.splitn(7, |byte| *byte == b';');
    let mut part = || parts.next();
    if part()? != b"1" {
        return None;
    }
    let (method, path, query, host, body, fields) = (part()?, part()?, part()?, part()?, part()?, part()?);
    let mut differences = Differences::NONE;
    if method != arrived.method.as_bytes() {
        differences.add(RequestPart::Method);
    }
    if hexadecimal(path)? as u32 != short(arrived.path.as_bytes()) {
        differences.add(RequestPart::Path);
    }
    if optional(query)? != arrived.query.map(|query| short(query.as_bytes())) {
        differences.add(RequestPart::Query);
    }
    if optional(host)? != arrived.host.map(short_of_lower_case) {
        differences.add(RequestPart::Host);
    }
    let body = match body {
        b"-" => None,
        stated => {
            let colon = stated.iter().position(|byte| *byte == b':')?;
            let length = str::from_utf8(&stated[..colon]).ok()?.parse().ok()?;
            Some(SentBody { length, digest: hexadecimal(&stated[colon + 1..]).filter(|_| stated.len() == colon + 17)? })
        }
    };
    let mut mask = FieldMask::default();
    if !fields.is_empty() {
        for (index, pair) in fields.split(|byte| *byte == b',').enumerate() {
            let (name, value) = pair.split_at_checked(8).filter(|_| pair.len() == 16)?;
            let (name, value) = (hexadecimal(name)? as u32, hexadecimal(value)? as u32);
            if name == short(UNNAMED.as_bytes()) {
                continue;
            }
            if let Some(difference) = of_field(name, value, arrived.fields) {
                differences.add(difference);
                mask.add(index);
            }
        }
    }
    Some(RequestComparison { differences, fields: mask, body })
}

fn of_field(name: u32, value: u32, fields: Fields) -> Option<RequestPart> {
    let mut lines = fields.iter().filter(|field| short_of_lower_case(field.name.as_bytes()) == name);
    let Some(first) = lines.next() else { return Some(RequestPart::FieldLost) };
    let separator = separator_of(name);
    let combined = combined(std::iter::once(first).chain(lines).map(|line| line.value), separator);
    if short(&combined) == value {
        None
    } else if is_repeated(&combined, separator, value) {
        Some(RequestPart::FieldDoubled)
    } else {
        Some(RequestPart::FieldChanged)
    }
}

/// What stands between the values of a field in one line, by the digest of its name.
fn separator_of(name: u32) -> u8 {
    if name == short(b"cookie") { b';' } else { b',' }
}

/// The lines of a field as one, without the optional space around separators: whoever passes a message on may combine them (RFC 9110 §5.3,
/// RFC 9113 §8.2.3 for cookies), and writes that space or not.
fn combined<'v>(lines: impl Iterator<Item = &'v [u8]>, separator: u8) -> Vec<u8> {
    let is_space = |byte: u8| matches!(byte, b' ' | b'\t');
    let mut combined = Vec::new();
    for (index, line) in lines.enumerate() {
        if index > 0 {
            combined.push(separator);
        }
        for byte in line {
            if is_space(*byte) && combined.last() == Some(&separator) {
                continue;
            }
            while *byte == separator && combined.last().is_some_and(|last| is_space(*last)) {
                combined.pop();
            }
            combined.push(*byte);
        }
    }
    combined
}

/// Whether the field is the value that was sent, twice.
fn is_repeated(combined: &[u8], separator: u8, value: u32) -> bool {
    let (one, rest) = combined.split_at(combined.len() / 2);
    rest.strip_prefix(&[separator]) == Some(one) && short(one) == value
}

fn optional(part: &[u8]) -> Option<Option<u32>> {
    match part {
        b"-" => Some(None),
        digits if digits.len() == 8 => Some(Some(hexadecimal(digits)? as u32)),
        _ => None,
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{RequestHead, Room, Strictness};

    fn own(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// What a backend finds in the request of this head, sent as `sent` says.
    fn compared(sent: &Sent, head: &str, body: &[u8]) -> RequestComparison {
        let mut value = Vec::new();
        sent.write(&mut value);
        found(&value, head, body)
    }

    fn found(value: &[u8], head: &str, body: &[u8]) -> RequestComparison {
        let head = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
        let mut room = Room::<100>::new();
        let request = RequestHead::parse(head.as_bytes(), &mut room, 9999, Strictness::Strict).unwrap().unwrap();
        let arrived = Arrived {
            method: request.method,
            path: request.path(),
            query: request.query(),
            host: request.host,
            fields: request.fields,
        };
        let mut comparison = RequestComparison::of_head(value, &arrived);
        comparison.see_body(SentBody::of(body));
        comparison
    }

    #[test]
    fn a_request_that_arrives_as_it_was_sent_differs_in_nothing() {
        let fields = own(&[("X-A", "1"), ("Accept", "*/*"), ("x-a", "2"), ("Connection", "x-hop"), ("X-Hop", "1")]);
        let sent = Sent {
            method: "POST",
            target: "/a%2Fb?c",
            host: Some("App.example:80"),
            body: Some(SentBody::of(b"abc")),
            fields: &fields,
        };
        assert_eq!(sent.judged_fields(), ["X-A", "Accept"]);
        for head in [
            "POST /a%2Fb?c HTTP/1.1\nHost: app.EXAMPLE:80\nX-A: 1\nX-A: 2\nAccept: */*\nX-Forwarded-For: 1.2.3.4",
            "POST http://app.example:80/a%2Fb?c HTTP/1.1\nHost: x\naccept: */*\nx-a: 1, 2",
        ] {
            let comparison = compared(&sent, head, b"abc");
            assert_eq!((comparison.differences, comparison.fields), (Differences::NONE, FieldMask(0)), "{head}");
        }
    }

    #[test]
    fn lines_of_a_field_may_come_as_one_and_cookies_too() {
        let fields = own(&[("Accept", "a"), ("Accept", "b, c"), ("Cookie", "a=1"), ("Cookie", "b=2; c=3")]);
        let sent = Sent { method: "GET", target: "/", host: Some("h"), body: None, fields: &fields };
        for accept in ["a\nAccept: b, c", "a, b, c", "a,b,c", "a , b,\tc"] {
            for cookie in ["a=1\nCookie: b=2; c=3", "a=1; b=2; c=3", "a=1;b=2;c=3", "a=1\nCookie: b=2\nCookie: c=3"] {
                let head = format!("GET / HTTP/1.1\nHost: h\nAccept: {accept}\nCookie: {cookie}");
                assert_eq!(compared(&sent, &head, b"").differences, Differences::NONE, "{head}");
            }
        }
        for (accept, cookie, fields) in [("a, c, b", "a=1; b=2; c=3", 1), ("a, b, c", "a=1, b=2; c=3", 2)] {
            let head = format!("GET / HTTP/1.1\nHost: h\nAccept: {accept}\nCookie: {cookie}");
            assert_eq!(compared(&sent, &head, b"").fields, FieldMask(fields), "{head}");
        }
        let twice = "GET / HTTP/1.1\nHost: h\nAccept: a, b, c\nCookie: a=1; b=2; c=3; a=1; b=2; c=3";
        assert!(compared(&sent, twice, b"").differences.contains(RequestPart::FieldDoubled));
    }

    #[test]
    fn a_field_that_is_not_compared_keeps_its_place() {
        let fields = own(&[("X-A", "1"), (UNNAMED, ""), ("X-B", "2")]);
        let sent = Sent { method: "GET", target: "/", host: Some("h"), body: None, fields: &fields };
        assert_eq!(compared(&sent, "GET / HTTP/1.1\nHost: h\nX-A: 1\nX-B: 3", b"").fields, FieldMask(4));
    }

    #[test]
    fn each_change_is_named() {
        use RequestPart::*;
        let fields = own(&[("X-A", "1"), ("X-B", "2")]);
        let sent =
            Sent { method: "POST", target: "/a?c", host: Some("h"), body: Some(SentBody::of(b"abc")), fields: &fields };
        let head = "POST /a?c HTTP/1.1\nHost: h\nX-A: 1\nX-B: 2";
        let rows: [(&str, &str, &[u8], RequestPart, u16); 16] = [
            ("POST", "GET", b"abc", Method, 0),
            ("/a?c", "//a?c", b"abc", Path, 0),
            ("/a?c", "/A?c", b"abc", Path, 0),
            ("/a?c", "/a", b"abc", Query, 0),
            ("/a?c", "/a?", b"abc", Query, 0),
            ("/a?c", "/a?c&d", b"abc", Query, 0),
            ("Host: h", "Host: other", b"abc", Host, 0),
            ("", "", b"ab", BodyLength, 0),
            ("", "", b"", BodyLength, 0),
            ("", "", b"abd", Body, 0),
            ("\nX-A: 1", "", b"abc", FieldLost, 1),
            ("\nX-B: 2", "", b"abc", FieldLost, 2),
            ("X-B: 2", "X-B: 3", b"abc", FieldChanged, 2),
            ("X-A: 1", "X-A: 1\nx-a: 1", b"abc", FieldDoubled, 1),
            ("X-A: 1", "X-A: 1, 1", b"abc", FieldDoubled, 1),
            ("X-A: 1", "X-A: 1\nX-A: 3", b"abc", FieldChanged, 1),
        ];
        for (was, is, body, part, mask) in rows {
            let head = head.replacen(was, is, 1);
            let comparison = compared(&sent, &head, body);
            let expected: Differences = [part].into_iter().collect();
            assert_eq!((comparison.differences, comparison.fields), (expected, FieldMask(mask)), "{head} {body:?}");
        }
    }

    #[test]
    fn a_body_that_nobody_sent_and_a_query_that_nobody_asked_are_differences() {
        let sent = Sent { method: "GET", target: "/", host: None, body: None, fields: &[] };
        let comparison = compared(&sent, "GET /?x HTTP/1.0", b"x");
        assert_eq!(comparison.differences.to_string(), "query, body-length");
        assert!(compared(&sent, "GET / HTTP/1.0", b"").differences.is_empty());
    }

    #[test]
    fn beyond_the_mask_fields_share_its_last_bit() {
        let fields: Vec<_> = (0..20).map(|index| (format!("X-{index}"), "v".to_owned())).collect();
        let sent = Sent { method: "GET", target: "/", host: Some("h"), body: None, fields: &fields };
        let comparison = compared(&sent, "GET / HTTP/1.1\nHost: h\nX-0: v", b"");
        assert_eq!((comparison.fields, comparison.differences.to_string()), (FieldMask(0xfffe), "field-lost".into()));
    }

    #[test]
    fn what_cannot_be_read_is_not_judged() {
        for value in [
            "",
            "1",
            "2;GET;0;0;0;-;",
            "1;GET;00000000;-;-;-",
            "1;GET;x;-;-;-;",
            "1;GET;00000000;-;-;5;",
            "1;GET;00000000;-;-;5:0;",
            "1;GET;00000000;-;-;-;12",
            "1;GET;00000000;0;-;-;",
        ] {
            let comparison = found(value.as_bytes(), "GET / HTTP/1.1\nHost: h", b"x");
            assert_eq!(comparison.differences.to_string(), "unreadable", "{value:?}");
        }
    }

    #[test]
    fn differences_survive_a_record() {
        for part in RequestPart::ALL {
            let differences: Differences = [part].into_iter().collect();
            assert_eq!(Differences::from_bits(differences.bits()), differences);
            assert_eq!(differences.iter().collect::<Vec<_>>(), [part]);
        }
    }
}
