use proptest::prelude::*;

use super::*;
use crate::check::load::request::id;
use crate::wire::page;
use verdict::observation::Echo;
use verdict::response::{ContentKind, WrittenHead, dated_digest_value, digest_value, of_body, of_pattern};

const UUID: &str = "550e8400-e29b-41d4-a716-446655440000";

/// All that is learnt of a response.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Learnt {
    outcome: Option<ClientOutcome>,
    status: u16,
    answer: String,
    backend: Option<String>,
    echo: Echo,
    reusable: bool,
    cookies: Vec<String>,
    flaw: Option<Flaw>,
}

struct Client {
    identity: Identity,
    body_limit: u64,
    head_only: bool,
}

const CLIENT: Client = Client { identity: Identity::Fleet, body_limit: 10_000, head_only: false };

impl Client {
    fn identified_by(identity: Identity) -> Client {
        Client { identity, ..CLIENT }
    }

    /// Reads the pieces; `None` for the end of a connection that stays open.
    fn read<'p>(&self, pieces: impl IntoIterator<Item = &'p [u8]>, ending: Option<Ending>) -> Learnt {
        let mut backends = BackendNames::new(vec!["9001".to_owned()]);
        let mut samples = Samples::default();
        let rules = Rules {
            identity: &self.identity,
            body_limit: self.body_limit,
            cookies: true,
            heads: false,
            session: None,
            grpc: false,
        };
        let mut notes = ResponseNotes { backends: &mut backends, samples: &mut samples };
        let mut reader = ResponseReader::new();
        reader.begin(Question { id: id(1, 2), sequence: 2, head_only: self.head_only, conditional: false });
        let mut outcome = None;
        for piece in pieces {
            if let ReadStep::Over(over) = reader.feed(piece, &rules, &mut notes) {
                outcome = Some(over);
                if over != ClientOutcome::Response {
                    break;
                }
            }
        }
        if let (None, Some(ending)) = (outcome, ending) {
            outcome = reader.end(ending, &rules, &mut notes);
        }
        let mut observation = crate::check::load::engine::unanswered(Default::default(), 0, false);
        reader.note(&mut observation);
        Learnt {
            outcome,
            status: observation.status,
            answer: observation.response_id().map_or(String::new(), |id| id.to_string()),
            backend: backends.name(observation.backend).map(str::to_owned),
            echo: observation.echo,
            reusable: reader.is_reusable(),
            cookies: reader.cookies().to_vec(),
            flaw: observation.flaw,
        }
    }

    fn whole(&self, answer: impl AsRef<[u8]>) -> Learnt {
        self.read([answer.as_ref()], None)
    }

    fn closed(&self, answer: impl AsRef<[u8]>) -> Learnt {
        self.read([answer.as_ref()], Some(Ending::Closed))
    }
}

#[test]
fn a_session_cookie_that_is_another_clients_is_a_flaw_and_one_of_the_balancers_own_is_none() {
    let other = "650e8400-e29b-41d4-a716-446655440000";
    let flaw = |session: &str, cookie: &str| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nGenerator-Number: 9001\r\nResponse-Id: {UUID}\r\n\
             X-Session: {session}\r\nSet-Cookie: {cookie}; Path=/\r\n\r\n"
        );
        CLIENT.whole(head).flaw
    };
    let own = flaw(UUID, &format!("session={UUID}"));
    assert_eq!(flaw(UUID, &format!("session={other}")), own.or(Some(Flaw::Field)));
    assert_ne!(own, Some(Flaw::Field));
    // A name that a balancer chose too, and a session that was brought.
    assert_eq!(flaw(UUID, "session=a1b2"), own);
    assert_eq!(flaw(other, &format!("session={other}")), own);
}

fn body() -> String {
    format!(
        "{}0072b2{}localhost:9001{}{}9001{}{UUID}{}",
        page::START,
        page::TITLE,
        page::HEADLINE,
        page::GENERATOR,
        page::UUID,
        page::END
    )
}

fn headers() -> String {
    format!(
        "Content-Type: text/html; charset=utf-8\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nGenerator-Number: 9001\r\n\
         Vary: Accept\r\nResponse-Id: {UUID}\r\nCheck-Request-Id: 0000000000000001-0000000000000002\r\n"
    )
}

fn answer(framing: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}{framing}\r\n{body}")
}

fn sized(headers: &str, body: &str) -> String {
    answer(&format!("Content-Length: {}\r\n", body.len()), headers, body)
}

fn chunked(headers: &str, body: &str) -> String {
    let (first, second) = body.split_at(body.len() / 3);
    let body = format!("{:x}\r\n{first}\r\n{:X};a=b\r\n{second}\r\n0\r\nTrailer: x\r\n\r\n", first.len(), second.len());
    answer("Transfer-Encoding: chunked\r\n", headers, &body)
}

fn page_answer() -> String {
    sized(&headers(), &body())
}

/// Of a page without a digest, which backends write.
fn ours() -> Learnt {
    Learnt {
        outcome: Some(ClientOutcome::Response),
        status: 200,
        answer: UUID.to_owned(),
        backend: Some("9001".to_owned()),
        echo: Echo::Own,
        reusable: true,
        cookies: Vec::new(),
        flaw: Some(Flaw::Field),
    }
}

#[test]
fn a_page_is_understood_however_its_end_is_told() {
    assert_eq!(CLIENT.whole(page_answer()), ours());
    assert_eq!(CLIENT.whole(chunked(&headers(), &body())), ours());
    let until_closed = answer("", &headers(), &body());
    assert_eq!(CLIENT.whole(&until_closed).outcome, None);
    assert_eq!(CLIENT.closed(&until_closed), Learnt { reusable: false, ..ours() });
    let interim =
        format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n{}", page_answer());
    assert_eq!(CLIENT.whole(interim), ours());
}

#[test]
fn what_has_no_body_ends_with_its_head() {
    let head = answer("Content-Length: 316\r\n", &headers(), "");
    let client = Client { head_only: true, ..CLIENT };
    assert_eq!(client.whole(&head), Learnt { flaw: None, ..ours() });
    let learnt = client.whole(page_answer());
    let flaw = Some(Flaw::Malformed(Malformed::BodyAfterHead));
    assert_eq!(learnt, Learnt { outcome: Some(ClientOutcome::Altered), flaw, reusable: false, ..ours() });
    let bare = |status: u16| CLIENT.whole(format!("HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n"));
    assert_eq!((bare(204).outcome, bare(204).reusable), (Some(ClientOutcome::Response), true));
    let flaw = Some(Flaw::Malformed(Malformed::NotModifiedUnasked));
    assert_eq!((bare(304).outcome, bare(304).flaw), (Some(ClientOutcome::Altered), flaw));
    let head = WrittenHead { status: 304, content: ContentKind::Line }.head_digest();
    let digest = String::from_utf8(digest_value(head, of_body(b"")).to_vec()).unwrap();
    let own = format!(
        "Cache-Control: no-store\r\nGenerator-Number: 9001\r\nResponse-Id: {UUID}\r\nResponse-Digest: {digest}\r\n"
    );
    let written = CLIENT.whole(format!("HTTP/1.1 304 x\r\n{own}\r\n"));
    assert_eq!((written.outcome, written.flaw), (Some(ClientOutcome::Response), None), "its backend wrote it");
    assert_eq!(CLIENT.whole("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").status, 502);
}

#[test]
fn a_response_to_head_announces_the_content_of_get_or_none_at_all() {
    let head = WrittenHead { status: 200, content: ContentKind::Line }.head_digest();
    let flaw_of = |content: &[u8], length: &str| {
        let digest = String::from_utf8(digest_value(head, of_body(content)).to_vec()).unwrap();
        let own = format!("Cache-Control: no-store\r\nContent-Type: {}\r\n", ContentKind::Line.media_type());
        let named = format!("Generator-Number: 9001\r\nResponse-Id: {UUID}\r\nResponse-Digest: {digest}\r\n");
        Client { head_only: true, ..CLIENT }.whole(format!("HTTP/1.1 200 x\r\n{own}{named}{length}\r\n")).flaw
    };
    let flaw = Some(Flaw::Malformed(Malformed::LengthOfHead));
    assert_eq!(flaw_of(b"uuid", "Content-Length: 0\r\n"), flaw);
    assert_eq!(flaw_of(b"uuid", "Content-Length: 4\r\n"), None);
    assert_eq!(flaw_of(b"uuid", ""), None, "it may be left out");
    assert_eq!(flaw_of(b"", "Content-Length: 0\r\n"), None);
}

#[test]
fn a_connection_is_reused_only_where_both_ends_may() {
    let reusable = |version: &str, header: &str| {
        CLIENT.whole(format!("HTTP/1.{version} 200 OK\r\n{header}Content-Length: 1\r\n\r\nx")).reusable
    };
    assert!(reusable("1", ""));
    assert!(!reusable("1", "Connection: close\r\n"));
    assert!(!reusable("1", "connection: x, Close\r\n"));
    assert!(!reusable("0", ""));
    assert!(reusable("0", "Connection: keep-alive\r\n"));
    assert!(!reusable("1", "Connection: keep-alive\r\nConnection: close\r\n"));
    let two_framings = answer("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "", "0\r\n\r\n");
    let learnt = CLIENT.whole(two_framings);
    let flaw = Some(Flaw::Malformed(Malformed::LengthAndEncoding));
    assert_eq!((learnt.outcome, learnt.flaw, learnt.reusable), (Some(ClientOutcome::Altered), flaw, false));
}

#[test]
fn a_length_that_comes_twice_is_none_that_a_backend_of_ours_wrote() {
    let flaw_of = |client: Client, lengths: &str| client.whole(answer(lengths, "", "x")).flaw;
    let flaw = Some(Flaw::Malformed(Malformed::LengthTwice));
    assert_eq!(flaw_of(CLIENT, "Content-Length: 1\r\n"), None);
    assert_eq!(flaw_of(CLIENT, "Content-Length: 1\r\nContent-Length: 1\r\n"), flaw);
    assert_eq!(flaw_of(CLIENT, "Content-Length: 1, 1\r\n"), flaw);
}

#[test]
fn what_is_no_http_is_malformed() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
        answer("Content-Length: x\r\n", "", ""),
        answer("Content-Length: 1\r\nContent-Length: 2\r\n", "", "x"),
        answer("Transfer-Encoding: chunked\r\n", "", "x\r\n"),
        answer("Transfer-Encoding: chunked\r\n", "", "1\r\nab\r\n"),
        format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(HEAD_LIMIT)),
        "x".repeat(HEAD_LIMIT + 1),
    ] {
        let learnt = CLIENT.whole(&bytes);
        assert_eq!(learnt.outcome, Some(ClientOutcome::Malformed), "{bytes:.100}");
        assert!(matches!(learnt.flaw, Some(Flaw::Malformed(_))), "{bytes:.100}");
    }
}

#[test]
fn bytes_after_a_response_are_named_and_do_not_make_it_unread() {
    let flaw = Some(Flaw::Malformed(Malformed::Surplus));
    for bytes in [page_answer() + "y", page_answer() + &page_answer()] {
        let altered = Learnt { outcome: Some(ClientOutcome::Altered), flaw, reusable: false, ..ours() };
        assert_eq!(CLIENT.whole(&bytes), altered);
    }
}

/// With the digest that a backend gives it.
fn digested(fields: &str, content: ContentKind, body: &str, digest: u32) -> String {
    let head = WrittenHead { status: 200, content }.head_digest();
    let digest = String::from_utf8(digest_value(head, digest).to_vec()).unwrap();
    let own = format!("Generator-Number: 9001\r\nResponse-Id: {UUID}\r\nResponse-Digest: {digest}\r\n");
    sized(&format!("{fields}{own}"), body)
}

const LINE: &str = "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n";

#[test]
fn a_response_is_compared_with_its_digest() {
    let good = digested(LINE, ContentKind::Line, "hello\n", of_body(b"hello\n"));
    let echo = Learnt { echo: Echo::None, flaw: None, ..ours() };
    assert_eq!(CLIENT.whole(&good), echo);
    assert_eq!(CLIENT.read(good.as_bytes().chunks(3), None), echo);
    let flawed = |text: String| (CLIENT.whole(&text).outcome.unwrap(), CLIENT.whole(&text).flaw);
    assert_eq!(flawed(good.replace("hello", "hallo")), (ClientOutcome::Altered, Some(Flaw::Body)));
    assert_eq!(flawed(good.replace("200 OK", "203 x")), (ClientOutcome::Altered, Some(Flaw::Status)));
    for (from, to) in [
        ("no-store", "public"),
        ("Cache-Control: no-store\r\n", ""),
        ("Cache-Control: no-store\r\n", "Cache-Control: no-store\r\nCache-Control: public\r\n"),
        ("text/plain; charset=utf-8", "application/octet-stream"),
        ("Generator", "Location: /x\r\nGenerator"),
    ] {
        assert_eq!(flawed(good.replace(from, to)), (ClientOutcome::Response, Some(Flaw::Field)), "{to}");
    }
    assert_eq!(flawed(good.replace("no-store", "no-store\r\nVary: Accept-Encoding")).1, None);
}

#[test]
fn a_digest_that_is_lost_is_a_flaw_and_content_that_never_has_one_is_none() {
    let good = digested(LINE, ContentKind::Line, "hello\n", of_body(b"hello\n"));
    let without = |text: &str| -> String {
        text.split_inclusive("\r\n").filter(|line| !line.starts_with("Response-Digest")).collect()
    };
    let flaw_of = |text: &str| (CLIENT.whole(text).outcome.unwrap(), CLIENT.whole(text).flaw);
    let lost = (ClientOutcome::Response, Some(Flaw::Field));
    assert_eq!(flaw_of(&without(&good)), lost, "no id is to be in it");
    assert_eq!(flaw_of(&page_answer()), lost);
    // Written while it is sent.
    for events in
        ["{\"event\":1,\"written\":2,\"response\":\"ID\"}\n", "id: 1\ndata: {\"event\":1,\"response\":\"ID\"}\n\n"]
    {
        let answer = without(&digested(LINE, ContentKind::Line, &events.replace("ID", UUID), 0));
        for pieces in [1, 5, 10_000] {
            assert_eq!(CLIENT.read(answer.as_bytes().chunks(pieces), None).flaw, None, "{answer}");
        }
    }
}

#[test]
fn a_date_may_be_that_of_another_clock_and_no_other() {
    let head = WrittenHead { status: 200, content: ContentKind::Line }.head_digest();
    // Sun, 06 Nov 1994 08:49:37 GMT
    let digest = String::from_utf8(dated_digest_value(head, of_body(b"hello\n"), 784_111_777).to_vec()).unwrap();
    let with = |dates: &str| {
        let own = format!("{LINE}Generator-Number: 9001\r\nResponse-Id: {UUID}\r\nResponse-Digest: {digest}\r\n");
        CLIENT.whole(sized(&format!("{own}{dates}"), "hello\n")).flaw
    };
    for right in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT", "Sun, 06 Nov 1994 08:46:00 GMT"] {
        assert_eq!(with(&format!("Date: {right}\r\n")), None, "{right}");
    }
    for wrong in ["", "Date: Sun, 06 Nov 1994 09:49:37 GMT\r\n", "Date: now\r\n"] {
        assert_eq!(with(wrong), Some(Flaw::Field), "{wrong}");
    }
    let line = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    assert_eq!(with(&line.repeat(2)), Some(Flaw::Field));
}

#[test]
fn a_generated_body_is_known_by_its_pattern_however_long() {
    let length = 5000;
    let body: String = String::from_utf8(verdict::response::PATTERN.repeat(100)[..length].to_vec()).unwrap();
    let fields = "Content-Type: application/octet-stream\r\nCache-Control: no-store\r\n";
    let good = digested(fields, ContentKind::Bytes, &body, of_pattern(length as u64));
    for pieces in [1, 64, 100, 4096] {
        assert_eq!(CLIENT.read(good.as_bytes().chunks(pieces), None).flaw, None, "{pieces}");
    }
    let at = good.len() - 7;
    let wrong = format!("{}!{}", &good[..at], &good[at + 1..]);
    for pieces in [1, 64, 100, 10_000] {
        assert_eq!(CLIENT.read(wrong.as_bytes().chunks(pieces), None).flaw, Some(Flaw::Body), "{pieces}");
    }
    // A body that only begins like the pattern has a digest of its own.
    let text = format!("{}and more", &body[..200]);
    let other = digested(LINE, ContentKind::Line, &text, of_body(text.as_bytes()));
    for pieces in [1, 64, 100, 10_000] {
        assert_eq!(CLIENT.read(other.as_bytes().chunks(pieces), None).flaw, None, "{pieces}");
    }
}

fn compress(body: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn backends_whose_bodies_are_compressed_are_named_by_what_these_say() {
    let name = |identity: &str, coding: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n", body.len());
        let bytes = [head.as_bytes(), body].concat();
        let client = Client::identified_by(Identity::Json(identity.to_owned()));
        let at_once = client.whole(&bytes).backend;
        assert_eq!(client.read(bytes.chunks(1), None).backend, at_once);
        at_once
    };
    let json = br#"{"host":"web-2"}"#;
    assert_eq!(name("/host", "gzip", &compress(json)).as_deref(), Some("web-2"));
    let stored = [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, 16, 0x81, 0, 0], &json[..]].concat();
    assert_eq!(name("/host", "zstd", &stored).as_deref(), Some("web-2"));
    assert_eq!(name("/host", "gzip", json), None);
}

#[test]
fn a_body_that_was_compressed_on_the_way_is_compared_all_the_same() {
    let head = WrittenHead { status: 200, content: ContentKind::Line }.head_digest();
    let digest = String::from_utf8(digest_value(head, of_body(b"hello")).to_vec()).unwrap();
    let fields = format!(
        "{LINE}Generator-Number: 9001\r\nResponse-Id: {UUID}\r\nResponse-Digest: {digest}\r\nContent-Encoding: gzip\r\n\
         Vary: Accept-Encoding\r\n"
    );
    let response = |body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let flaw = |bytes: Vec<u8>| (CLIENT.whole(&bytes).flaw, CLIENT.read(bytes.chunks(1), None).flaw);
    assert_eq!(flaw(response(&compress(b"hello"))), (None, None));
    assert_eq!(flaw(response(&compress(b"hallo"))), (Some(Flaw::Body), Some(Flaw::Body)));
    let cut = compress(b"hello");
    assert_eq!(flaw(response(&cut[..cut.len() - 9])), (Some(Flaw::Coding), Some(Flaw::Coding)));
    assert_eq!(flaw(response(b"hello")), (Some(Flaw::Coding), Some(Flaw::Coding)));
}

#[test]
fn bodies_in_brotli_and_zstandard_are_compared_too() {
    // Both have a way to store content as it is.
    let brotli = |body: &[u8; 5]| [&[0x0b, 0x02, 0x80], &body[..], &[0x03]].concat();
    let zstd = |body: &[u8; 5]| [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 0x29, 0, 0], &body[..]].concat();
    let head = WrittenHead { status: 200, content: ContentKind::Line }.head_digest();
    let digest = String::from_utf8(digest_value(head, of_body(b"hello")).to_vec()).unwrap();
    let response = |coding: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 200 OK\r\n{LINE}Generator-Number: 9001\r\nResponse-Id: {UUID}\r\nResponse-Digest: {digest}\r\n\
             Content-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let flaw = |bytes: Vec<u8>| (CLIENT.whole(&bytes).flaw, CLIENT.read(bytes.chunks(1), None).flaw);
    for (coding, right, wrong) in [("br", brotli(b"hello"), brotli(b"hallo")), ("zstd", zstd(b"hello"), zstd(b"hallo"))]
    {
        assert_eq!(flaw(response(coding, &right)), (None, None), "{coding}");
        assert_eq!(flaw(response(coding, &wrong)), (Some(Flaw::Body), Some(Flaw::Body)), "{coding}");
        let cut = &right[..right.len() - 2];
        assert_eq!(flaw(response(coding, cut)), (Some(Flaw::Coding), Some(Flaw::Coding)), "{coding}");
        assert_eq!(flaw(response(coding, b"hello")), (Some(Flaw::Coding), Some(Flaw::Coding)), "{coding}");
    }
}

#[test]
fn a_body_beyond_the_limit_is_too_large() {
    let client = Client { body_limit: 400, ..CLIENT };
    let long = "x".repeat(401);
    for bytes in [answer("Content-Length: 401\r\n", "", ""), answer("", "", &long), chunked("", &long)] {
        assert_eq!(client.whole(&bytes).outcome, Some(ClientOutcome::TooLarge), "{bytes:.100}");
    }
    assert_eq!(client.whole(chunked(&headers(), &body())), ours());
}

#[test]
fn what_the_head_does_not_say_the_page_does() {
    let stripped = Learnt { echo: Echo::None, ..ours() };
    assert_eq!(CLIENT.whole(sized("Content-Type: text/html\r\n", &body())), stripped);
    assert_eq!(CLIENT.whole(chunked("", &body())), stripped);
    // The digest alone has come through: it tells whether the page is whole, not who wrote it.
    let digested = |digest: u32| {
        let head = WrittenHead { status: 200, content: ContentKind::Html }.head_digest();
        let digest = String::from_utf8(digest_value(head, digest).to_vec()).unwrap();
        CLIENT.whole(sized(&format!("Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nVary: Accept\r\nResponse-Digest: {digest}\r\n"), &body()))
    };
    let digest = of_body(body().as_bytes());
    assert_eq!(digested(digest), Learnt { flaw: None, ..stripped });
    assert_eq!(digested(!digest).outcome, Some(ClientOutcome::Altered));
    let without = |name: &str| {
        let lines: Vec<&str> =
            headers().leak().split_inclusive("\r\n").filter(|line| !line.starts_with(name)).collect();
        CLIENT.whole(sized(&lines.concat(), &body()))
    };
    assert_eq!(without("Response-Id"), ours());
    assert_eq!(without("Generator-Number"), ours());
}

#[test]
fn an_answer_of_somebody_else_is_an_answer_of_nobody() {
    let learnt = CLIENT.whole(sized("Content-Type: text/html\r\nServer: nginx\r\n", "<h1>It works</h1>"));
    assert_eq!(learnt, Learnt { answer: String::new(), backend: None, echo: Echo::None, flaw: None, ..ours() });
}

#[test]
fn other_formats_hold_the_id_of_their_head() {
    let json = |body: &str| CLIENT.whole(sized(&headers().replace("text/html", "application/json"), body)).outcome;
    assert_eq!(
        json(&format!("{{\n  \"generator\": 9001,\n  \"uuid\": \"{UUID}\"\n}}\n")),
        Some(ClientOutcome::Response)
    );
    assert_eq!(json("{}"), Some(ClientOutcome::Altered));
    assert_eq!(json(&UUID.replace('5', "6")), Some(ClientOutcome::Altered));
    let refused = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nGenerator-Number: 9001\r\nResponse-Id: {UUID}\r\n"
    );
    assert_eq!(CLIENT.whole(refused + "Content-Length: 2\r\n\r\nno").outcome, Some(ClientOutcome::Response));
    let health =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nGenerator-Number: 9001\r\nContent-Length: 3\r\n\r\nok\n";
    assert_eq!(CLIENT.whole(health), Learnt { answer: String::new(), echo: Echo::None, ..ours() });
}

#[test]
fn another_number_or_id_than_the_pages_is_an_altered_answer() {
    for (from, to) in [
        ("Generator-Number: 9001", "Generator-Number: 9002"),
        ("Generator-Number: 9001", "Generator-Number: 09001"),
        ("Generator-Number: 9001", "Generator-Number: 9001\r\nGenerator-Number: 9002"),
        ("Generator-Number: 9001", "Generator-Number: many"),
        ("Response-Id: 5", "Response-Id: 6"),
        ("Response-Id: 550e8400", "Response-Id: 550E8400"),
        ("Response-Id: ", "Response-Id: x"),
        ("UUID=5", "UUID=6"),
        ("Generator #9001", "Generator #9002"),
        ("Generator #9001", "Generator #1001"),
    ] {
        let altered = page_answer().replace(from, to);
        assert_ne!(altered, page_answer());
        assert_eq!(CLIENT.whole(&altered).outcome, Some(ClientOutcome::Altered), "{to}");
    }
    let empty = sized(&headers(), "");
    assert_eq!(CLIENT.whole(empty).outcome, Some(ClientOutcome::Altered));
}

#[test]
fn a_backend_with_a_name_is_known_by_its_header_and_by_its_page() {
    let named = |text: String| {
        text.replace("Generator-Number: 9001", "Backend-Name: app-1").replace("Generator #9001", "Backend app-1")
    };
    let expected = Learnt { backend: Some("app-1".to_owned()), ..ours() };
    assert_eq!(CLIENT.whole(sized(&named(headers()), &named(body()))), expected);
    let of_page = Learnt { echo: Echo::None, ..expected };
    assert_eq!(CLIENT.whole(sized("Content-Type: text/html\r\n", &named(body()))), of_page);
    for (head, page) in [(named(headers()), body()), (headers(), named(body()))] {
        assert_eq!(CLIENT.whole(sized(&head, &page)).outcome, Some(ClientOutcome::Altered));
    }
    let twice = headers() + "Backend-Instance: 0000000000000001\r\nBackend-Instance: 0000000000000002\r\n";
    assert_eq!(CLIENT.whole(sized(&twice, &body())).outcome, Some(ClientOutcome::Altered));
}

#[test]
fn the_echo_tells_whose_answer_it_is() {
    let echo = |text: &str| CLIENT.whole(page_answer().replace("0000000000000001-0000000000000002", text)).echo;
    assert_eq!(echo("0000000000000001-0000000000000002"), Echo::Own);
    assert_eq!(echo("0000000000000001-0000000000000003"), Echo::Other);
    assert_eq!(echo("x"), Echo::Other);
    let own = "Check-Request-Id: 0000000000000001-0000000000000002\r\n";
    let twice = page_answer().replace(own, &format!("Check-Request-Id: x\r\n{own}"));
    assert_eq!(CLIENT.whole(twice).echo, Echo::Other);
}

#[test]
fn backends_that_are_not_ours_are_named_by_header_json_or_expression() {
    let named = |identity: Identity, headers: &str, body: &str| {
        Client::identified_by(identity).whole(sized(headers, body)).backend
    };
    let name = Some("web 2".to_owned());
    assert_eq!(named(Identity::Header("x-served-by".to_owned()), "X-Served-By: web 2\r\n", "x"), name);
    // NGINX's `$upstream_addr`: the last one responded.
    let address = |value: &str| {
        named(Identity::Header("x-up".to_owned()), &format!("X-Up: {value}\r\n"), "x").unwrap_or_default()
    };
    assert_eq!(address("10.0.0.1:80, 10.0.0.2:80"), "10.0.0.2:80");
    assert_eq!(address("10.0.0.1:80 : [::1]:80"), "[::1]:80");
    assert_eq!(address("cache-a, 10.0.0.2:80"), "cache-a, 10.0.0.2:80");
    assert_eq!(named(Identity::Json("/host/name".to_owned()), "", r#"{"host":{"name":"web 2"}}"#), name);
    assert_eq!(named(Identity::Json("/n".to_owned()), "", r#"{"n":2}"#).as_deref(), Some("2"));
    assert_eq!(named(Identity::Json("/n".to_owned()), "", "{"), None);
    let expression = |text: &str| Identity::Regex(regex_lite::Regex::new(text).unwrap());
    assert_eq!(named(expression("Hostname: (.*)"), "", "a\nHostname: web 2\nb"), name);
    assert_eq!(named(expression("web [0-9]+"), "", "a web 2 b"), name);
    assert_eq!(named(expression("none"), "", "a web 2 b"), None);
    // Their answers are not ours, and not compared with ours.
    let client = Client::identified_by(Identity::Header("x".to_owned()));
    assert_eq!(client.whole(sized(&headers(), "other")).outcome, Some(ClientOutcome::Response));
}

#[test]
fn cookies_are_collected() {
    let set = sized("Set-Cookie: a=b; Path=/\r\nSET-COOKIE: c=d\r\n", "");
    assert_eq!(CLIENT.whole(set).cookies, ["a=b; Path=/", "c=d"]);
}

/// Of every kind, good and bad.
fn answers() -> Vec<String> {
    let json = format!("{{\"uuid\": \"{UUID}\"}}");
    vec![
        page_answer(),
        chunked(&headers(), &body()),
        answer("", &headers(), &body()),
        chunked("", &body()),
        sized("Set-Cookie: a=b\r\n", "x"),
        chunked(&headers().replace("text/html", "application/json"), &json),
        sized(&headers().replace("text/html", "text/plain"), &format!("{}{UUID}", "5".repeat(90))),
        sized(&headers(), &body().replace("UUID=5", "UUID=6")),
        format!("HTTP/1.1 100 Continue\r\n\r\n{}", page_answer()),
        page_answer() + "surplus",
        sized("", "x") + "HTTP/1.1 200 OK\r\n\r\n",
        answer("Transfer-Encoding: chunked\r\n", "", "5\r\nabcdefgh"),
        "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n".to_owned(),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "\u{1}nonsense".to_owned(),
        "220 smtp.example ESMTP\r\n".to_owned(),
    ]
}

#[test]
fn an_answer_that_is_cut_short_is_never_whole() {
    for answer in [page_answer(), chunked(&headers(), &body()), sized("", "x"), chunked("", &body())] {
        for end in 1..answer.len() {
            for ending in [Ending::Closed, Ending::Reset] {
                let learnt = CLIENT.read([&answer.as_bytes()[..end]], Some(ending));
                assert_eq!(learnt.outcome, Some(ClientOutcome::Truncated), "{end} of {answer}");
            }
        }
    }
    for ending in [Ending::Closed, Ending::Reset] {
        assert_eq!(CLIENT.read([], Some(ending)).outcome, None);
    }
    let until_closed = answer("", &headers(), &body());
    assert_eq!(CLIENT.read([until_closed.as_bytes()], Some(Ending::Reset)).outcome, Some(ClientOutcome::Truncated));
    for end in until_closed.len() - body().len()..until_closed.len() {
        assert_eq!(CLIENT.closed(&until_closed[..end]).outcome, Some(ClientOutcome::Altered), "{end}");
    }
}

#[test]
fn any_other_byte_in_the_page_is_noticed() {
    let (answer, body) = (page_answer(), body());
    let start = answer.len() - body.len();
    let title = start + page::START.len() + page::COLOUR_DIGITS + page::TITLE.len();
    let title = title..title + "localhost:9001".len();
    for place in start..answer.len() {
        for other in [b' ', b'0', b'9', b'<', b'X', 0, 0xff, answer.as_bytes()[place] ^ 0x20] {
            if answer.as_bytes()[place] != other && (other == b'<' || !title.contains(&place)) {
                let mut bytes = answer.clone().into_bytes();
                bytes[place] = other;
                assert_eq!(CLIENT.whole(&bytes).outcome, Some(ClientOutcome::Altered), "byte {place}: {other}");
            }
        }
    }
    for place in start..=answer.len() {
        for text in ["x", "<script></script>", "\0"] {
            let altered = format!("{}{text}{}", &body[..place - start], &body[place - start..]);
            let in_title = (title.start..=title.end).contains(&place) && !text.contains('<');
            let expected = if in_title { ClientOutcome::Response } else { ClientOutcome::Altered };
            assert_eq!(CLIENT.whole(sized(&headers(), &altered)).outcome, Some(expected), "{altered}");
        }
    }
}

proptest! {
    #[test]
    fn it_does_not_matter_in_which_pieces_an_answer_comes(
        which in 0..answers().len(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        closes: bool,
    ) {
        let answer = answers()[which].clone().into_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(answer.len())).collect();
        cuts.extend([0, answer.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &answer[pair[0]..pair[1]]).filter(|piece| !piece.is_empty());
        let ending = closes.then_some(Ending::Closed);
        prop_assert_eq!(CLIENT.read(pieces, ending), CLIENT.read([&answer[..]], ending));
    }

    #[test]
    fn no_bytes_make_it_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..20)) {
        CLIENT.read(pieces.iter().map(Vec::as_slice), Some(Ending::Closed));
    }
}

#[test]
fn it_does_not_matter_that_an_answer_comes_byte_by_byte() {
    for answer in answers() {
        for ending in [Ending::Closed, Ending::Reset] {
            let whole = CLIENT.read([answer.as_bytes()], Some(ending));
            assert_eq!(CLIENT.read(answer.as_bytes().chunks(1), Some(ending)), whole, "{answer}");
        }
    }
}
