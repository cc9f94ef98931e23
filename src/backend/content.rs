//! What a backend says of a request: the page, or the same facts as JSON or text.

use std::fmt::Write as _;

use http::RequestHead;
use http::encode::Decimal;
use serde_json::json;
use verdict::response::ContentKind;

use crate::wire::{BackendIdentity, End, ResponseId, page};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PageFormat {
    /// The page of the original program.
    Html,
    /// All that the backend saw, for programs.
    Json,
    /// Plain text, for a terminal.
    Text,
}

/// A `?format=` that is none of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownFormat;

impl PageFormat {
    /// What the query asks for, else what Accept prefers, else the page.
    pub(super) fn wanted(request: &RequestHead, states_preference: bool) -> Result<PageFormat, UnknownFormat> {
        let asked =
            request.query().and_then(|query| query.split('&').find_map(|parameter| parameter.strip_prefix("format=")));
        match asked {
            Some("html") => Ok(PageFormat::Html),
            Some("json") => Ok(PageFormat::Json),
            Some("text") => Ok(PageFormat::Text),
            Some(_) => Err(UnknownFormat),
            None if states_preference => Ok(PageFormat::choose(request)),
            None => Ok(PageFormat::Html),
        }
    }

    /// RFC 9110 §12.5.1: the highest quality wins; among equals the most specific range, then the first. A client that accepts
    /// none of ours gets the page all the same, as from the original.
    fn choose(request: &RequestHead) -> PageFormat {
        let ranges = request.fields.elements("accept").filter_map(|range| {
            let mut parts = str::from_utf8(range).ok()?.split(';').map(str::trim);
            let (format, specificity) = match parts.next()?.to_ascii_lowercase().as_str() {
                "text/html" | "application/xhtml+xml" => (PageFormat::Html, 2),
                "application/json" => (PageFormat::Json, 2),
                "text/plain" => (PageFormat::Text, 2),
                "application/*" => (PageFormat::Json, 1),
                "text/*" => (PageFormat::Html, 1),
                "*/*" => (PageFormat::Html, 0),
                _ => return None,
            };
            let quality = parts.find_map(|parameter| parameter.strip_prefix("q=")?.parse::<f32>().ok());
            Some((quality.unwrap_or(1.0), specificity, format)).filter(|(quality, ..)| *quality > 0.0)
        });
        ranges
            .reduce(|best, next| if (next.0, next.1) > (best.0, best.1) { next } else { best })
            .map_or(PageFormat::Html, |(_, _, format)| format)
    }

    pub(super) fn content(self) -> ContentKind {
        match self {
            PageFormat::Html => ContentKind::Html,
            PageFormat::Json => ContentKind::Json,
            PageFormat::Text => ContentKind::Text,
        }
    }
}

/// What is the same on all pages of a backend, written once; and what is the same on those that one host is asked for, as most are.
#[derive(Debug)]
pub(super) struct PageText {
    before_title: Box<[u8]>,
    /// The page from its title to the UUID.
    before_uuid: Box<[u8]>,
    /// The title of the last page before it is escaped, and that page up to its UUID.
    title: Vec<u8>,
    titled: Vec<u8>,
}

impl PageText {
    pub(super) fn new(colour: &str, identity: &BackendIdentity) -> PageText {
        let before_title = [page::START, colour, page::TITLE].concat().into_bytes();
        let mut before_uuid = page::HEADLINE.as_bytes().to_vec();
        match identity.number {
            Some(number) => {
                before_uuid.extend_from_slice(page::GENERATOR.as_bytes());
                before_uuid.extend_from_slice(Decimal::new().of(u64::from(number.0)));
            }
            None => {
                before_uuid.extend_from_slice(page::BACKEND.as_bytes());
                escape(&mut before_uuid, identity.name.as_bytes());
            }
        }
        before_uuid.extend_from_slice(page::UUID.as_bytes());
        let (before_title, before_uuid) = (before_title.into(), before_uuid.into());
        PageText { before_title, before_uuid, title: Vec::new(), titled: Vec::new() }
    }

    /// A page with that title, up to its UUID.
    fn until_uuid(&mut self, title: &[u8]) -> &[u8] {
        if self.titled.is_empty() || self.title != title {
            self.title.clear();
            self.title.extend_from_slice(title);
            self.titled.clear();
            self.titled.extend_from_slice(&self.before_title);
            escape(&mut self.titled, title);
            self.titled.extend_from_slice(&self.before_uuid);
        }
        &self.titled
    }
}

/// What a backend saw of a request and what it adds.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageFacts<'a> {
    /// The session that it belongs to, where one was asked for.
    pub(crate) session: Option<&'a str>,
    pub(crate) request: &'a RequestHead<'a, 'a>,
    pub(crate) identity: &'a BackendIdentity,
    /// The fresh UUID, which is the id of this response.
    pub(crate) answer: ResponseId,
    /// When it arrived, in nanoseconds since 1970 (UTC).
    pub(crate) unix: u64,
    /// The client's end of the connection, or the client that a PROXY header tells of.
    pub(crate) peer: End,
    /// If there was such a header: who sent it.
    pub(crate) via: Option<End>,
    /// Our end of the connection.
    pub(crate) local: End,
    /// Number of the connection in this backend, from 1.
    pub(crate) connection: u64,
    /// Number of the request on the connection, from 1.
    pub(crate) request_number: u32,
}

/// Appends the facts in that form.
pub(super) fn write(out: &mut Vec<u8>, format: PageFormat, facts: &PageFacts, page: &mut PageText) {
    match format {
        PageFormat::Html => write_page(out, facts, page),
        PageFormat::Json => out.extend_from_slice(&facts.json()),
        PageFormat::Text => out.extend_from_slice(facts.text().as_bytes()),
    }
}

fn write_page(out: &mut Vec<u8>, facts: &PageFacts, page: &mut PageText) {
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
    out.extend_from_slice(page.until_uuid(title));
    out.extend_from_slice(facts.answer.0.hyphenated().encode_lower(&mut uuid).as_bytes());
    out.extend_from_slice(page::END.as_bytes());
}

const fn entity(byte: u8) -> Option<&'static [u8]> {
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

fn escape(out: &mut Vec<u8>, text: &[u8]) {
    const HAS_ENTITY: [bool; 256] = {
        let (mut table, mut byte) = ([false; 256], 0);
        while byte < 256 {
            table[byte] = entity(byte as u8).is_some();
            byte += 1;
        }
        table
    };
    if !text.iter().any(|byte| HAS_ENTITY[usize::from(*byte)]) {
        return out.extend_from_slice(text);
    }
    for byte in text {
        match entity(*byte) {
            Some(entity) => out.extend_from_slice(entity),
            None => out.push(*byte),
        }
    }
}

impl PageFacts<'_> {
    /// One member of the object a line, and one header a line.
    fn json(&self) -> Vec<u8> {
        let request = self.request;
        let headers = request.fields.iter().map(|field| json!([field.name, readable(field.value)]).to_string());
        let headers = match headers.collect::<Vec<_>>() {
            none if none.is_empty() => "[]".to_owned(),
            some => format!("[\n    {}\n  ]", some.join(",\n    ")),
        };
        let number = self.identity.number.map(|number| ("generator", json!(number).to_string()));
        let first = [
            ("backend", json!(self.identity.name).to_string()),
            ("instance", json!(self.identity.instance).to_string()),
            ("uuid", json!(self.answer).to_string()),
            ("time", json!(self.time()).to_string()),
            ("method", json!(request.method).to_string()),
            ("path", json!(request.path()).to_string()),
            ("query", json!(request.query()).to_string()),
            ("version", json!(request.version.as_str()).to_string()),
            ("host", json!(request.host.map(readable)).to_string()),
            ("peer", json!(self.peer.to_string()).to_string()),
        ];
        let via = self.via.map(|via| ("via", json!(via.to_string()).to_string()));
        let session = self.session.map(|session| ("session", json!(session).to_string()));
        let last = [
            ("connection", json!(self.connection).to_string()),
            ("request", json!(self.request_number).to_string()),
            ("headers", headers),
        ];
        let entries = number.into_iter().chain(first).chain(via).chain(session).chain(last);
        let lines: Vec<String> = entries.map(|(name, value)| format!("  \"{name}\": {value}")).collect();
        format!("{{\n{}\n}}\n", lines.join(",\n")).into_bytes()
    }

    fn text(&self) -> String {
        let request = self.request;
        let headline = match self.identity.number {
            Some(number) => format!("{}{number}", page::GENERATOR),
            None => format!("{}{}", page::BACKEND, self.identity.name),
        };
        let mut text = format!("{headline}\nUUID={}\n", self.answer);
        let mut tell = |name: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{name}: {value}").expect("a string takes all");
        };
        tell("instance", &self.identity.instance);
        tell("time", &self.time());
        tell("method", &request.method);
        tell("path", &request.path());
        tell("query", &request.query().unwrap_or("-"));
        tell("version", &request.version.as_str());
        tell("host", &request.host.map_or("-".to_owned(), readable));
        tell("peer", &self.peer);
        if let Some(via) = &self.via {
            tell("via", via);
        }
        tell("connection", &self.connection);
        tell("request", &self.request_number);
        tell("headers", &request.fields.len());
        for field in request.fields.iter() {
            tell(&format!("  {}", field.name), &readable(field.value));
        }
        text
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
    use crate::wire::{Generator, Instance};
    use http::{Room, Strictness};

    const INSTANCE: Instance = Instance(0x4d2);

    fn with<T>(head: &str, see: impl FnOnce(&RequestHead) -> T) -> T {
        let mut room = Room::<100>::new();
        see(&RequestHead::parse(head.as_bytes(), &mut room, 9999, Strictness::Strict).unwrap().unwrap())
    }

    fn body(head: &str) -> String {
        body_of(&BackendIdentity { name: "9001".to_owned(), number: Some(Generator(9001)), instance: INSTANCE }, head)
    }

    fn body_of(identity: &BackendIdentity, head: &str) -> String {
        with(head, |request| {
            let facts = PageFacts {
                request,
                identity,
                answer: ResponseId("550e8400-e29b-41d4-a716-446655440000".parse().unwrap()),
                unix: 1_795_428_000_123_456_789,
                peer: End::Address("127.0.0.1:5000".parse().unwrap()),
                via: None,
                local: End::Address("[::1]:9001".parse().unwrap()),
                connection: 3,
                request_number: 2,
                session: None,
            };
            let mut out = Vec::new();
            let mut page = PageText::new("0072b2", identity);
            write(&mut out, PageFormat::wanted(request, true).unwrap(), &facts, &mut page);
            String::from_utf8(out).unwrap()
        })
    }

    #[test]
    fn the_page_is_that_of_the_original() {
        let page = body("GET /uuid HTTP/1.1\r\nHost: localhost:9001\r\n\r\n");
        assert_eq!(page.len(), 356);
        assert!(page.starts_with("<!DOCTYPE html>"));
        assert!(page.contains("<title>localhost:9001</title>"));
        assert!(page.contains("border-top: 24px solid #0072b2 }"));
        assert!(page.contains("<h1>Generator #9001</h1>\n<h1>UUID=550e8400-e29b-41d4-a716-446655440000</h1>"));
    }

    #[test]
    fn each_page_has_the_title_of_its_own_request() {
        let identity = BackendIdentity { name: "9001".to_owned(), number: Some(Generator(9001)), instance: INSTANCE };
        let mut page = PageText::new("0072b2", &identity);
        for title in ["", "a", "a", "<b>", "a", ""] {
            let alone = PageText::new("0072b2", &identity).until_uuid(title.as_bytes()).to_vec();
            assert_eq!(page.until_uuid(title.as_bytes()), alone);
        }
        assert!(str::from_utf8(page.until_uuid(b"<b>")).unwrap().contains("<title>&lt;b&gt;</title>"));
    }

    #[test]
    fn a_host_cannot_inject_a_script_and_a_missing_one_is_our_own_address() {
        let page = body("GET / HTTP/1.1\r\nHost: a&b'c\r\n\r\n");
        assert!(page.contains("<title>a&amp;b&#39;c</title>"), "{page}");
        assert!(body("GET / HTTP/1.0\r\n\r\n").contains("<title>[::1]:9001</title>"));
        // What is no host is refused before; the page is safe all the same.
        let mut escaped = Vec::new();
        escape(&mut escaped, "<script>\"\u{e9}".as_bytes());
        assert_eq!(String::from_utf8(escaped).unwrap(), "&lt;script&gt;&quot;\u{fffd}\u{fffd}");
    }

    #[test]
    fn json_tells_all_headers_in_order_and_as_received() {
        let answer = body(
            "PUT /a/b?format=json&x=1 HTTP/1.0\r\nX-b: 1\r\nhost: h\r\nX-A: \"\r\nx-b: 2\r\n\
             Check-Request-Id: 00000000000004d2-000000000000002a\r\n\r\n",
        );
        let json: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(
            json,
            json!({
                "generator": 9001, "backend": "9001", "instance": "00000000000004d2", "uuid": "550e8400-e29b-41d4-a716-446655440000", "time": "2026-11-23T10:00:00.123456Z",
                "method": "PUT", "path": "/a/b", "query": "format=json&x=1", "version": "HTTP/1.0", "host": "h",
                "peer": "127.0.0.1:5000", "connection": 3, "request": 2,
                "headers": [["X-b", "1"], ["host", "h"], ["X-A", "\""], ["x-b", "2"],
                            ["Check-Request-Id", "00000000000004d2-000000000000002a"]],
            })
        );
    }

    #[test]
    fn a_backend_with_a_name_says_it_in_each_form() {
        let identity = BackendIdentity { name: "app<1".to_owned(), number: None, instance: INSTANCE };
        let page = body_of(&identity, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(page.contains("<h1>Backend app&lt;1</h1>\n<h1>UUID="), "{page}");
        let json = body_of(&identity, "GET /?format=json HTTP/1.1\r\nHost: h\r\n\r\n");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["backend"], &json["generator"]), (&json!("app<1"), &json!(null)));
        let text = body_of(&identity, "GET /?format=text HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(text.starts_with("Backend app<1\nUUID="), "{text}");
    }

    #[test]
    fn text_tells_the_same() {
        let answer = body("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/plain\r\n\r\n");
        assert_eq!(
            answer,
            "Generator #9001\nUUID=550e8400-e29b-41d4-a716-446655440000\ninstance: 00000000000004d2\ntime: 2026-11-23T10:00:00.123456Z\nmethod: GET\n\
             path: /\nquery: -\nversion: HTTP/1.1\nhost: h\npeer: 127.0.0.1:5000\nconnection: 3\nrequest: 2\nheaders: 2\n  \
             Host: h\n  Accept: text/plain\n"
        );
    }

    #[test]
    fn the_format_is_what_the_client_prefers() {
        let wanted = |request: &RequestHead| PageFormat::wanted(request, true);
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, format) in [
            ("*/*", PageFormat::Html),
            ("application/json", PageFormat::Json),
            ("text/plain", PageFormat::Text),
            (browser, PageFormat::Html),
            ("application/json, text/plain, */*", PageFormat::Json),
            ("text/plain;q=0.5, application/json;q=0.4", PageFormat::Text),
            ("application/json;q=0, */*", PageFormat::Html),
            ("image/png", PageFormat::Html),
            ("APPLICATION/JSON", PageFormat::Json),
            ("text/*", PageFormat::Html),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\n\r\n");
            assert_eq!(with(&head, wanted), Ok(format), "{accept}");
            let head = format!("GET /?a&format=text HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\n\r\n");
            assert_eq!(with(&head, wanted), Ok(PageFormat::Text), "{accept}");
        }
        assert_eq!(with("GET /?format=xml HTTP/1.1\r\nHost: h\r\n\r\n", wanted), Err(UnknownFormat));
    }
}
