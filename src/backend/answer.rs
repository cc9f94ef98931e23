//! PURE. What a backend says: the page, the same facts as JSON or text, and the head around them.

use std::fmt::Write as _;

use serde_json::json;

use crate::backend::request::Request;
use crate::wire::{End, GENERATOR_HEADER, Generator, REQUEST_HEADER, RESPONSE_HEADER, RequestId, ResponseId, page};

/// In which form the facts are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// The page of the original program.
    Html,
    /// All that the backend saw, for programs.
    Json,
    /// The same for a terminal.
    Text,
}

/// A `?format=` that is none of ours.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownFormat;

impl Format {
    /// What the query asks for, else what Accept prefers, else the page.
    pub fn wanted(request: &Request) -> Result<Format, UnknownFormat> {
        let asked =
            request.query().and_then(|query| query.split('&').find_map(|parameter| parameter.strip_prefix("format=")));
        match asked {
            Some("html") => Ok(Format::Html),
            Some("json") => Ok(Format::Json),
            Some("text") => Ok(Format::Text),
            Some(_) => Err(UnknownFormat),
            None if request.states_preference => Ok(Format::accepted(request)),
            None => Ok(Format::Html),
        }
    }

    /// RFC 9110 §12.5.1: the highest quality wins; among equals the most specific range, then the first. A client that accepts
    /// none of ours gets the page all the same, as from the original.
    fn accepted(request: &Request) -> Format {
        let values = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("accept"));
        let ranges = values.flat_map(|header| header.value.split(|byte| *byte == b',')).filter_map(|range| {
            let mut parts = str::from_utf8(range).ok()?.split(';').map(str::trim);
            let (format, specificity) = match parts.next()?.to_ascii_lowercase().as_str() {
                "text/html" | "application/xhtml+xml" => (Format::Html, 2),
                "application/json" => (Format::Json, 2),
                "text/plain" => (Format::Text, 2),
                "application/*" => (Format::Json, 1),
                "text/*" => (Format::Html, 1),
                "*/*" => (Format::Html, 0),
                _ => return None,
            };
            let quality = parts.find_map(|parameter| parameter.strip_prefix("q=")?.parse::<f32>().ok());
            Some((quality.unwrap_or(1.0), specificity, format)).filter(|(quality, ..)| *quality > 0.0)
        });
        ranges
            .reduce(|best, next| match (next.0, next.1) > (best.0, best.1) {
                true => next,
                false => best,
            })
            .map_or(Format::Html, |(_, _, format)| format)
    }

    fn media_type(self) -> &'static str {
        match self {
            Format::Html => "text/html; charset=utf-8",
            Format::Json => "application/json",
            Format::Text => "text/plain; charset=utf-8",
        }
    }
}

/// What an answer's head says beside its body.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The status code.
    pub status: u16,
    /// As RFC 9110 §5.6.7 writes it.
    pub date: &'a str,
    /// Who answers.
    pub generator: Generator,
    /// The answer's own id; health has none.
    pub answer: Option<ResponseId>,
    /// Echoed.
    pub request: Option<RequestId>,
    /// What becomes of the connection.
    pub connection: Connection,
    /// A HEAD request gets the head alone.
    pub head_only: bool,
}

/// What the answer says of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connection {
    /// Kept, as HTTP/1.1 does unless told otherwise.
    Kept,
    /// Kept for a client of HTTP/1.0 that asked for it.
    KeptForOld,
    /// Ends after this answer.
    Close,
}

/// What a backend saw of a request and what it adds.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What arrived.
    pub request: &'a Request<'a, 'a>,
    /// Of the page.
    pub colour: &'static str,
    /// Who answers.
    pub generator: Generator,
    /// The fresh UUID.
    pub answer: ResponseId,
    /// When it arrived, in nanoseconds since 1970 (UTC).
    pub unix: u64,
    /// The client's end of the connection, or the client that a PROXY header tells of.
    pub peer: End,
    /// If there was such a header: who sent it.
    pub via: Option<End>,
    /// Our end of the connection.
    pub local: End,
    /// Number of the connection in this backend, from 1.
    pub connection: u64,
    /// Number of the request on the connection, from 1.
    pub request_number: u32,
}

/// Appends the whole answer that tells the facts.
pub fn facts(out: &mut Vec<u8>, head: &Head, format: Format, facts: &Facts) {
    match format {
        Format::Html => page(out, head, facts),
        Format::Json => message(out, head, format, &facts.json()),
        Format::Text => message(out, head, format, facts.text().as_bytes()),
    }
}

/// Appends an answer of one line of text.
pub fn line(out: &mut Vec<u8>, head: &Head, text: &str) {
    message(out, head, Format::Text, format!("{text}\n").as_bytes());
}

/// Appends the head of an answer with a body of so many bytes, which [`pattern`] writes.
pub fn head_of_bytes(out: &mut Vec<u8>, head: &Head, length: u64) {
    begin(out, head, "application/octet-stream", length);
}

/// Appends bytes of a body of `length` bytes from `position` on, and returns where it ended: at the end, or some 64 KiB later.
/// The body repeats 64 characters, whatever its length.
pub fn pattern(out: &mut Vec<u8>, position: u64, length: u64) -> u64 {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const REPEATED: usize = 1024;
    let start = out.len();
    let skip = (position % CHARACTERS.len() as u64) as usize;
    let bytes = (REPEATED * CHARACTERS.len()).min(usize::try_from(length - position).unwrap_or(usize::MAX));
    out.extend_from_slice(&CHARACTERS[skip..]);
    while out.len() - start < bytes {
        out.extend_from_slice(CHARACTERS);
    }
    out.truncate(start + bytes);
    position + bytes as u64
}

/// Where the body of an answer begins.
pub fn body_start(answer: &[u8]) -> usize {
    const END: &[u8] = b"\r\n\r\n";
    answer.windows(END.len()).position(|bytes| bytes == END).map_or(answer.len(), |end| end + END.len())
}

/// Makes an answer that was to keep its connection end it: the backend has begun to drain since it was written.
pub fn close_after(answer: &mut Vec<u8>) {
    const END: &[u8] = b"\r\n\r\n";
    const KEPT: &[u8] = b"\r\nConnection: keep-alive";
    const CLOSE: &[u8] = b"\r\nConnection: close";
    let Some(end) = body_start(answer).checked_sub(END.len()) else { return };
    let start = if answer[..end].ends_with(KEPT) { end - KEPT.len() } else { end };
    answer.splice(start..end, CLOSE.iter().copied());
}

fn message(out: &mut Vec<u8>, head: &Head, format: Format, body: &[u8]) {
    let body = if has_body(head.status) { body } else { b"" };
    begin(out, head, format.media_type(), body.len() as u64);
    if !head.head_only {
        out.extend_from_slice(body);
    }
}

fn page(out: &mut Vec<u8>, head: &Head, facts: &Facts) {
    let own_address;
    let title = match facts.request.host {
        Some(host) => host,
        None => {
            own_address = match facts.local {
                End::Address(address) => address.to_string(),
                End::Unix => "localhost".to_owned(),
            };
            own_address.as_bytes()
        }
    };
    let mut uuid = [0; uuid::fmt::Hyphenated::LENGTH];
    let uuid = facts.answer.0.hyphenated().encode_lower(&mut uuid);
    let mut number = Decimal::new();
    let number = number.of(u64::from(facts.generator.0));
    let fixed = page::START.len()
        + facts.colour.len()
        + page::TITLE.len()
        + page::NUMBER.len()
        + page::UUID.len()
        + page::END.len();
    let escaped = escaped_length(title);
    let length = fixed + escaped + number.len() + uuid.len();
    begin(out, head, Format::Html.media_type(), length as u64);
    if head.head_only {
        return;
    }
    out.extend_from_slice(page::START.as_bytes());
    out.extend_from_slice(facts.colour.as_bytes());
    out.extend_from_slice(page::TITLE.as_bytes());
    match escaped == title.len() {
        true => out.extend_from_slice(title),
        false => escape(out, title),
    }
    out.extend_from_slice(page::NUMBER.as_bytes());
    out.extend_from_slice(number);
    out.extend_from_slice(page::UUID.as_bytes());
    out.extend_from_slice(uuid.as_bytes());
    out.extend_from_slice(page::END.as_bytes());
}

fn entity(byte: u8) -> Option<&'static [u8]> {
    Some(match byte {
        b'&' => b"&amp;",
        b'<' => b"&lt;",
        b'>' => b"&gt;",
        b'"' => b"&quot;",
        b'\'' => b"&#39;",
        // A byte of no ASCII: it need not be UTF-8, which the page says it is.
        128.. => "\u{fffd}".as_bytes(),
        _ => return None,
    })
}

fn escaped_length(text: &[u8]) -> usize {
    text.iter().map(|byte| entity(*byte).map_or(1, <[u8]>::len)).sum()
}

fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match entity(*byte) {
            Some(entity) => out.extend_from_slice(entity),
            None => out.push(*byte),
        }
    }
}

fn begin(out: &mut Vec<u8>, head: &Head, media_type: &str, body_length: u64) {
    let mut decimal = Decimal::new();
    out.extend_from_slice(b"HTTP/1.1 ");
    match head.status {
        200 => out.extend_from_slice(b"200 OK"),
        other => {
            out.extend_from_slice(decimal.of(u64::from(other)));
            out.push(b' ');
            out.extend_from_slice(reason(other).as_bytes());
        }
    }
    if has_length(head.status) {
        out.extend_from_slice(b"\r\nContent-Type: ");
        out.extend_from_slice(media_type.as_bytes());
        out.extend_from_slice(b"\r\nContent-Length: ");
        out.extend_from_slice(decimal.of(body_length));
    }
    out.extend_from_slice(b"\r\nDate: ");
    out.extend_from_slice(head.date.as_bytes());
    out.extend_from_slice(b"\r\nCache-Control: no-store\r\n");
    out.extend_from_slice(GENERATOR_HEADER.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(decimal.of(u64::from(head.generator.0)));
    if let Some(answer) = head.answer {
        let mut uuid = [0; uuid::fmt::Hyphenated::LENGTH];
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(RESPONSE_HEADER.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(answer.0.hyphenated().encode_lower(&mut uuid).as_bytes());
    }
    if let Some(request) = head.request {
        out.extend_from_slice(format!("\r\n{REQUEST_HEADER}: {request}").as_bytes());
    }
    out.extend_from_slice(match head.connection {
        Connection::Kept => b"\r\n\r\n".as_slice(),
        Connection::KeptForOld => b"\r\nConnection: keep-alive\r\n\r\n",
        Connection::Close => b"\r\nConnection: close\r\n\r\n",
    });
}

/// As registered with IANA; a status that is not has none, which RFC 9112 §4 allows.
fn reason(status: u16) -> &'static str {
    hyper::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("")
}

/// RFC 9110 §15.3.5, §15.3.6, §15.4.5: answers that have no body, whatever is said of its length.
fn has_body(status: u16) -> bool {
    !matches!(status, 204 | 205 | 304)
}

/// RFC 9110 §8.6: 204 says nothing of a length, and of 304 it would be that of another answer.
fn has_length(status: u16) -> bool {
    !matches!(status, 204 | 304)
}

/// Writes a number without the machinery of `fmt`, which would cost more than the page.
struct Decimal([u8; 20]);

impl Decimal {
    fn new() -> Decimal {
        Decimal([0; 20])
    }

    fn of(&mut self, mut number: u64) -> &[u8] {
        let mut start = self.0.len();
        loop {
            start -= 1;
            self.0[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return &self.0[start..];
            }
        }
    }
}

impl Facts<'_> {
    /// One member of the object a line, and one header a line.
    fn json(&self) -> Vec<u8> {
        let request = self.request;
        let headers = request.headers.iter().map(|header| json!([header.name, readable(header.value)]).to_string());
        let headers = match headers.collect::<Vec<_>>() {
            none if none.is_empty() => "[]".to_owned(),
            some => format!("[\n    {}\n  ]", some.join(",\n    ")),
        };
        let first = [
            ("generator", json!(self.generator).to_string()),
            ("uuid", json!(self.answer).to_string()),
            ("time", json!(self.time()).to_string()),
            ("method", json!(request.method).to_string()),
            ("path", json!(request.path()).to_string()),
            ("query", json!(request.query()).to_string()),
            ("version", json!(self.version()).to_string()),
            ("host", json!(request.host.map(readable)).to_string()),
            ("peer", json!(self.peer.to_string()).to_string()),
        ];
        let via = self.via.map(|via| ("via", json!(via.to_string()).to_string()));
        let last = [
            ("connection", json!(self.connection).to_string()),
            ("request", json!(self.request_number).to_string()),
            ("headers", headers),
        ];
        let members = first.into_iter().chain(via).chain(last);
        let lines: Vec<String> = members.map(|(name, value)| format!("  \"{name}\": {value}")).collect();
        format!("{{\n{}\n}}\n", lines.join(",\n")).into_bytes()
    }

    fn text(&self) -> String {
        let request = self.request;
        let mut text = format!("Generator #{}\nUUID={}\n", self.generator, self.answer);
        let mut tell = |name: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{name}: {value}").expect("a string takes all");
        };
        tell("time", &self.time());
        tell("method", &request.method);
        tell("path", &request.path());
        tell("query", &request.query().unwrap_or("-"));
        tell("version", &self.version());
        tell("host", &request.host.map_or("-".to_owned(), readable));
        tell("peer", &self.peer);
        if let Some(via) = &self.via {
            tell("via", via);
        }
        tell("connection", &self.connection);
        tell("request", &self.request_number);
        tell("headers", &request.headers.len());
        for header in request.headers {
            tell(&format!("  {}", header.name), &readable(header.value));
        }
        text
    }

    fn version(&self) -> &'static str {
        match self.request.minor_version {
            0 => "HTTP/1.0",
            _ => "HTTP/1.1",
        }
    }

    fn time(&self) -> String {
        jiff::Timestamp::from_nanosecond(i128::from(self.unix))
            .map_or_else(|_| "out of range".to_owned(), |time| format!("{time:.6}"))
    }
}

/// Header values that are no UTF-8 are read as Latin-1, which loses nothing.
fn readable(value: &[u8]) -> String {
    match str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::request::{header_room, parse};

    fn with<T>(head: &str, see: impl FnOnce(&Request) -> T) -> T {
        let mut room = header_room();
        let (request, _) = parse(head.as_bytes(), &mut room, 9999).unwrap().unwrap();
        see(&request)
    }

    fn answered(head: &str) -> String {
        with(head, |request| {
            let format = Format::wanted(request).unwrap();
            let answer = ResponseId("550e8400-e29b-41d4-a716-446655440000".parse().unwrap());
            let head = Head {
                status: 200,
                date: "Mon, 23 Nov 2026 10:00:00 GMT",
                generator: Generator(9001),
                answer: Some(answer),
                request: request.id,
                connection: Connection::Kept,
                head_only: request.method == "HEAD",
            };
            let mut out = Vec::new();
            let told = Facts {
                colour: "0072b2",
                request,
                generator: Generator(9001),
                answer,
                unix: 1_795_428_000_123_456_789,
                peer: End::Address("127.0.0.1:5000".parse().unwrap()),
                via: None,
                local: End::Address("[::1]:9001".parse().unwrap()),
                connection: 3,
                request_number: 2,
            };
            facts(&mut out, &head, format, &told);
            String::from_utf8(out).unwrap()
        })
    }

    fn body(answer: &str) -> &str {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = head.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        assert_eq!(length.parse(), Ok(body.len()), "{answer}");
        body
    }

    #[test]
    fn the_page_is_that_of_the_original() {
        let answer = answered("GET /uuid HTTP/1.1\r\nHost: localhost:9001\r\n\r\n");
        assert!(
            answer.starts_with(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 356\r\n\
             Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nCache-Control: no-store\r\nGenerator-Number: 9001\r\n\
             Answer-Id: 550e8400-e29b-41d4-a716-446655440000\r\n\r\n"
            ),
            "{answer}"
        );
        let page = body(&answer);
        assert!(page.starts_with("<!DOCTYPE html>"));
        assert!(page.contains("<title>localhost:9001</title>"));
        assert!(page.contains("border-top: 24px solid #0072b2 }"));
        assert!(page.contains("<h1>Generator #9001</h1>\n<h1>UUID=550e8400-e29b-41d4-a716-446655440000</h1>"));
    }

    #[test]
    fn a_host_cannot_inject_a_script_and_a_missing_one_is_our_own_address() {
        let answer = answered("GET / HTTP/1.1\r\nHost: <script>alert('\"&\")</script>\u{e9}\r\n\r\n");
        assert!(
            body(&answer)
                .contains("<title>&lt;script&gt;alert(&#39;&quot;&amp;&quot;)&lt;/script&gt;\u{fffd}\u{fffd}</title>"),
            "{answer}"
        );
        assert!(body(&answered("GET / HTTP/1.0\r\n\r\n")).contains("<title>[::1]:9001</title>"));
    }

    #[test]
    fn a_head_request_gets_the_length_and_no_body() {
        let head = answered("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        let whole = answered("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(head, whole.split_inclusive("\r\n\r\n").next().unwrap());
    }

    #[test]
    fn an_answer_can_still_be_made_to_end_its_connection() {
        for kept in
            ["HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", "HTTP/1.1 200 OK\r\nA: b\r\nConnection: keep-alive\r\n\r\nbody"]
        {
            let mut answer = kept.as_bytes().to_vec();
            close_after(&mut answer);
            assert_eq!(answer, b"HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nbody");
        }
    }

    #[test]
    fn json_tells_all_headers_in_order_and_as_received() {
        let answer = answered(
            "PUT /a/b?format=json&x=1 HTTP/1.0\r\nX-b: 1\r\nhost: h\r\nX-A: \"\r\nx-b: 2\r\n\
             Check-Request-Id: 00000000000004d2-000000000000002a\r\n\r\n",
        );
        assert!(answer.contains("\r\nCheck-Request-Id: 00000000000004d2-000000000000002a\r\n"));
        let json: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
        assert_eq!(
            json,
            json!({
                "generator": 9001, "uuid": "550e8400-e29b-41d4-a716-446655440000", "time": "2026-11-23T10:00:00.123456Z",
                "method": "PUT", "path": "/a/b", "query": "format=json&x=1", "version": "HTTP/1.0", "host": "h",
                "peer": "127.0.0.1:5000", "connection": 3, "request": 2,
                "headers": [["X-b", "1"], ["host", "h"], ["X-A", "\""], ["x-b", "2"],
                            ["Check-Request-Id", "00000000000004d2-000000000000002a"]],
            })
        );
    }

    #[test]
    fn text_tells_the_same() {
        let answer = answered("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/plain\r\n\r\n");
        assert_eq!(
            body(&answer),
            "Generator #9001\nUUID=550e8400-e29b-41d4-a716-446655440000\ntime: 2026-11-23T10:00:00.123456Z\nmethod: GET\n\
             path: /\nquery: -\nversion: HTTP/1.1\nhost: h\npeer: 127.0.0.1:5000\nconnection: 3\nrequest: 2\nheaders: 2\n  \
             Host: h\n  Accept: text/plain\n"
        );
    }

    #[test]
    fn the_format_is_what_the_client_prefers() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, format) in [
            ("*/*", Format::Html),
            ("application/json", Format::Json),
            ("text/plain", Format::Text),
            (browser, Format::Html),
            ("application/json, text/plain, */*", Format::Json),
            ("text/plain;q=0.5, application/json;q=0.4", Format::Text),
            ("application/json;q=0, */*", Format::Html),
            ("image/png", Format::Html),
            ("APPLICATION/JSON", Format::Json),
            ("text/*", Format::Html),
        ] {
            let head = format!("GET / HTTP/1.1\r\nAccept: {accept}\r\n\r\n");
            assert_eq!(with(&head, Format::wanted), Ok(format), "{accept}");
            let head = format!("GET /?a&format=text HTTP/1.1\r\nAccept: {accept}\r\n\r\n");
            assert_eq!(with(&head, Format::wanted), Ok(Format::Text), "{accept}");
        }
        assert_eq!(with("GET /?format=xml HTTP/1.1\r\n\r\n", Format::wanted), Err(UnknownFormat));
    }
}
