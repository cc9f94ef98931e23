//! PURE. Reads an answer of HTTP/1 from bytes as they come and verifies it on the way: who gave it, to which request, and
//! whether its body is what a backend writes. Nothing of it is stored that need not be.

use std::mem::{MaybeUninit, take};

use httparse::{Header, ParserConfig, Response, Status};
use uuid::Uuid;

use crate::check::load::identity::{Backends, Identity};
use crate::check::load::notes::{Notes, Sample};
use crate::check::load::page::{Page, Search, UUID_BYTES};
use crate::chunks::Chunks;
use crate::io::stream::Ending;
use crate::wire::{GENERATOR_HEADER, REQUEST_HEADER, RESPONSE_HEADER};
use verdict::observation::{Backend, ClientOutcome, Echo, Observation};

/// Bytes of a status line and its headers, and of interim answers before them.
pub const HEAD_LIMIT: usize = 64 * 1024;
/// Of a body that people look at.
const TEXT_LIMIT: usize = 16 * 1024;
/// So much of a body is kept where the backend's name stands in it.
pub const KEPT_LIMIT: usize = 1024 * 1024;
/// Characters of a request's id.
pub const ID_BYTES: usize = 33;
const MAX_HEADERS: usize = 128;

/// What is the same for all answers of a run.
#[derive(Debug)]
pub struct Rules<'a> {
    /// Where the backend's name is found.
    pub identity: &'a Identity,
    /// Bytes of a body; more are not read.
    pub body_limit: u64,
    /// Whether cookies are wanted.
    pub cookies: bool,
    /// Whether heads are wanted as text.
    pub heads: bool,
}

/// What is learnt beside the answer at hand.
#[derive(Debug)]
pub struct Book<'a> {
    /// Names of backends.
    pub backends: &'a mut Backends,
    /// What is told to people.
    pub notes: &'a mut Notes,
}

/// How far an answer has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// More bytes must come, or the end of the connection.
    More,
    /// It is over: whole ([`ClientOutcome::Answer`], [`ClientOutcome::Altered`]) or not; then the connection is of no further use.
    Over(ClientOutcome),
}

/// Reads one answer after another, of one connection.
#[derive(Debug)]
pub struct Reader {
    stage: Stage,
    /// Bytes of a head that is not complete.
    head: Vec<u8>,
    asked: Asked,
    /// 0 until the head has come.
    status: u16,
    backend: Backend,
    echo: Echo,
    generator: Option<u16>,
    answer: Option<[u8; UUID_BYTES]>,
    answer_id: Uuid,
    /// The head contradicts itself.
    contradicts: bool,
    altered: bool,
    reusable: bool,
    interim: bool,
    html: bool,
    encoded: bool,
    body_read: u64,
    verification: Verification,
    /// Of a body in which the backend's name stands.
    kept: Vec<u8>,
    cookies: Vec<String>,
    head_text: Vec<u8>,
    /// As much of the body, where heads are wanted as text.
    body_text: Vec<u8>,
    sample: Option<Box<Sample>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Asked {
    id: [u8; ID_BYTES],
    head_only: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Head,
    /// So many bytes of a body of known length.
    Length(u64),
    Chunked(Chunks),
    /// The body ends with the connection.
    UntilClosed,
    Over(ClientOutcome),
}

#[derive(Debug)]
enum Verification {
    None,
    Page(Page),
    Search(Search),
    Keep,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader::new()
    }
}

impl Reader {
    /// Expects nothing yet.
    pub fn new() -> Reader {
        Reader {
            stage: Stage::Head,
            head: Vec::new(),
            asked: Asked { id: [0; ID_BYTES], head_only: false },
            status: 0,
            backend: Backend::UNKNOWN,
            echo: Echo::None,
            generator: None,
            answer: None,
            answer_id: Uuid::nil(),
            contradicts: false,
            altered: false,
            reusable: false,
            interim: false,
            html: false,
            encoded: false,
            body_read: 0,
            verification: Verification::None,
            kept: Vec::new(),
            cookies: Vec::new(),
            head_text: Vec::new(),
            body_text: Vec::new(),
            sample: None,
        }
    }

    /// Expects the answer to the request with that id.
    pub fn begin(&mut self, id: &[u8; ID_BYTES], head_only: bool) {
        self.stage = Stage::Head;
        self.head.clear();
        self.asked = Asked { id: *id, head_only };
        self.interim = false;
        self.forget();
    }

    fn forget(&mut self) {
        self.status = 0;
        self.backend = Backend::UNKNOWN;
        self.echo = Echo::None;
        self.generator = None;
        self.answer = None;
        self.answer_id = Uuid::nil();
        self.contradicts = false;
        self.altered = false;
        self.reusable = false;
        self.html = false;
        self.encoded = false;
        self.body_read = 0;
        self.verification = Verification::None;
        self.kept.clear();
        self.cookies.clear();
    }

    /// Whether the connection may carry another request after this answer.
    pub fn is_reusable(&self) -> bool {
        self.reusable && matches!(self.stage, Stage::Over(ClientOutcome::Answer | ClientOutcome::Altered))
    }

    /// Values of Set-Cookie.
    pub fn cookies(&self) -> &[String] {
        &self.cookies
    }

    /// Status line and headers, if they were wanted.
    pub fn head_text(&self) -> String {
        String::from_utf8_lossy(&self.head_text).into_owned()
    }

    /// The beginning of its body, where heads are wanted.
    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body_text).into_owned()
    }

    /// What the answer said, as far as it came.
    pub fn note(&self, observation: &mut Observation) {
        observation.status = self.status;
        observation.answer = self.answer_id;
        observation.backend = self.backend;
        observation.echo = self.echo;
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, input: &[u8], rules: &Rules, book: &mut Book) -> Step {
        let step = match self.stage {
            Stage::Head if self.head.is_empty() => self.read_head(input, rules, book),
            Stage::Head => {
                let complete = input.contains(&b'\n');
                self.head.extend_from_slice(input);
                match complete {
                    true => {
                        let head = take(&mut self.head);
                        self.read_head(&head, rules, book)
                    }
                    false if self.head.len() >= HEAD_LIMIT => self.over(ClientOutcome::Malformed),
                    false => Step::More,
                }
            }
            Stage::Length(_) | Stage::Chunked(_) | Stage::UntilClosed => self.read_body(input, rules, book),
            // Nothing was asked that this could answer.
            Stage::Over(_) if !input.is_empty() => self.over(ClientOutcome::Malformed),
            Stage::Over(sight) => Step::Over(sight),
        };
        if let Step::Over(sight) = step {
            self.settle(sight, input, book);
        }
        step
    }

    /// The connection has ended; `None` if nothing of an answer had come.
    pub fn end(&mut self, ending: Ending, rules: &Rules, book: &mut Book) -> Option<ClientOutcome> {
        let sight = match (self.stage, ending) {
            (Stage::Over(sight), _) => return Some(sight),
            (Stage::UntilClosed, Ending::Closed) => self.verify(rules, book),
            (Stage::Head, _) if self.head.is_empty() && !self.interim => return None,
            (Stage::Head, _) if parses(&self.head) => ClientOutcome::Truncated,
            (Stage::Head, _) => ClientOutcome::Malformed,
            (Stage::Length(_) | Stage::Chunked(_) | Stage::UntilClosed, _) => ClientOutcome::Truncated,
        };
        self.over(sight);
        self.settle(sight, &[], book);
        Some(sight)
    }

    /// Nothing more is waited for.
    pub fn give_up(&mut self, sight: ClientOutcome, book: &mut Book) {
        self.over(sight);
        self.settle(sight, &[], book);
    }

    fn over(&mut self, sight: ClientOutcome) -> Step {
        self.stage = Stage::Over(sight);
        Step::Over(sight)
    }

    /// Keeps an example of what is unusual.
    fn settle(&mut self, sight: ClientOutcome, input: &[u8], book: &mut Book) {
        if let Some(sample) = self.sample.take() {
            book.notes.keep(*sample, sight);
        } else if matches!(sight, ClientOutcome::Altered | ClientOutcome::Malformed) {
            book.notes.keep_bytes(self.status, sight, if self.head.is_empty() { input } else { &self.head });
        }
    }

    // The head.

    fn read_head(&mut self, mut bytes: &[u8], rules: &Rules, book: &mut Book) -> Step {
        loop {
            let mut room = [const { MaybeUninit::uninit() }; MAX_HEADERS];
            let mut response = Response::new(&mut []);
            let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut room);
            let length = match parsed {
                Ok(Status::Complete(length)) if length <= HEAD_LIMIT => length,
                Ok(Status::Partial) if bytes.len() < HEAD_LIMIT => {
                    self.head = bytes.to_vec();
                    return Step::More;
                }
                Ok(_) | Err(_) => return self.over(ClientOutcome::Malformed),
            };
            let (head, rest) = bytes.split_at(length);
            let (Some(status), Some(minor_version)) = (response.code, response.version) else {
                return self.over(ClientOutcome::Malformed);
            };
            match status {
                // It ends the use of HTTP/1 on the connection, and nobody has asked for that.
                101 => return self.over(ClientOutcome::Malformed),
                100..200 => {
                    self.interim = true;
                    bytes = rest;
                    if bytes.is_empty() {
                        return Step::More;
                    }
                }
                _ => {
                    self.status = status;
                    let Ok(framing) = self.understand(response.headers, minor_version, rules, book) else {
                        return self.over(ClientOutcome::Malformed);
                    };
                    if rules.heads {
                        self.head_text = head.to_vec();
                    }
                    self.begin_body(framing, head, rules, book);
                    return match self.stage {
                        Stage::Over(sight) => Step::Over(sight),
                        _ => self.read_body(rest, rules, book),
                    };
                }
            }
        }
    }

    fn understand(
        &mut self,
        headers: &[Header],
        minor_version: u8,
        rules: &Rules,
        book: &mut Book,
    ) -> Result<Framing, Contradiction> {
        let (mut length, mut encoding) = (None, None);
        let (mut close, mut keep_alive) = (false, false);
        for Header { name, value } in headers {
            // By length first: most names are none of these.
            match name.len() {
                3 if name.eq_ignore_ascii_case("via") => Notes::see(&mut book.notes.vias, value),
                6 if name.eq_ignore_ascii_case("server") => Notes::see(&mut book.notes.servers, value),
                9 if name.eq_ignore_ascii_case(RESPONSE_HEADER) => self.see_answer(value),
                10 if name.eq_ignore_ascii_case("connection") => {
                    for word in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                        close |= word.eq_ignore_ascii_case(b"close");
                        keep_alive |= word.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                10 if name.eq_ignore_ascii_case("set-cookie") => {
                    let name = value.split(|byte| *byte == b'=').next().unwrap_or_default();
                    Notes::see(&mut book.notes.cookies, name.trim_ascii());
                    if rules.cookies {
                        self.cookies.push(String::from_utf8_lossy(value).into_owned());
                    }
                }
                12 if name.eq_ignore_ascii_case("content-type") => {
                    const HTML: &[u8] = b"text/html";
                    self.html = value.get(..HTML.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(HTML));
                }
                14 if name.eq_ignore_ascii_case("content-length") => {
                    let said = decimal(value.trim_ascii()).ok_or(Contradiction)?;
                    if length.replace(said).is_some_and(|earlier| earlier != said) {
                        return Err(Contradiction);
                    }
                }
                16 if name.eq_ignore_ascii_case(GENERATOR_HEADER) => self.see_generator(value),
                16 if name.eq_ignore_ascii_case(REQUEST_HEADER) => {
                    let own = *value == self.asked.id && self.echo != Echo::Other;
                    self.echo = if own { Echo::Own } else { Echo::Other };
                }
                16 if name.eq_ignore_ascii_case("content-encoding") => {
                    self.encoded = !value.eq_ignore_ascii_case(b"identity");
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    encoding = Some(value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii());
                }
                _ => {}
            }
            if let Identity::Header(wanted) = rules.identity
                && name.eq_ignore_ascii_case(wanted)
            {
                self.backend = book.backends.of_name(&String::from_utf8_lossy(value));
            }
        }
        self.reusable = !close && (minor_version == 1 || keep_alive);
        if self.asked.head_only || matches!(self.status, 204 | 304) {
            return Ok(Framing::None);
        }
        // RFC 9112 section 6.3; section 6.1 on 1.0 and on both fields.
        Ok(match (encoding, length) {
            (Some(last), length) => {
                self.reusable &= minor_version == 1 && length.is_none();
                match last.eq_ignore_ascii_case(b"chunked") {
                    true => Framing::Chunked,
                    false => {
                        self.reusable = false;
                        Framing::UntilClosed
                    }
                }
            }
            (None, Some(length)) => Framing::Length(length),
            (None, None) => {
                self.reusable = false;
                Framing::UntilClosed
            }
        })
    }

    fn see_answer(&mut self, value: &[u8]) {
        let text: Option<[u8; UUID_BYTES]> = value.try_into().ok();
        let id = text.and_then(|text| Uuid::try_parse_ascii(&text).ok()).filter(|id| !id.is_nil());
        self.contradicts |= id.is_none() || self.answer.is_some_and(|earlier| text != Some(earlier));
        if let (Some(id), None) = (id, self.answer) {
            self.answer = text;
            self.answer_id = id;
        }
    }

    fn see_generator(&mut self, value: &[u8]) {
        // As a number is written: no zero before it.
        let written = decimal(value).filter(|_| value.len() == 1 || value[0] != b'0');
        let number = written.and_then(|number| u16::try_from(number).ok());
        self.contradicts |= number.is_none() || self.generator.is_some_and(|earlier| number != Some(earlier));
        self.generator = self.generator.or(number);
    }

    fn begin_body(&mut self, framing: Framing, head: &[u8], rules: &Rules, book: &mut Book) {
        let named = self.generator.is_some() || self.answer.is_some();
        self.verification = match (rules.identity, self.answer) {
            (Identity::Fleet, answer) => {
                if let Some(number) = self.generator {
                    self.backend = book.backends.of_generator(number);
                }
                match answer {
                    _ if framing == Framing::None || self.encoded => Verification::None,
                    _ if self.html || !named => Verification::Page(Page::new()),
                    // What a backend says of a request that it refuses has an id in its head alone.
                    Some(answer) if self.status == 200 => Verification::Search(Search::new(answer)),
                    _ => Verification::None,
                }
            }
            (Identity::Header(_), _) => Verification::None,
            (Identity::Json(_) | Identity::Regex(_), _) => Verification::Keep,
        };
        let usual = self.status == 200 && (self.answer.is_some() || !rules.identity.is_fleet());
        if !usual && book.notes.wants(self.status, self.answer.is_some()) {
            self.sample = Some(Box::new(Sample::new(self.status, self.answer.is_some(), head)));
        }
        self.stage = match framing {
            Framing::None => Stage::Length(0),
            Framing::Length(length) if length > rules.body_limit => Stage::Over(ClientOutcome::TooLarge),
            Framing::Length(length) => Stage::Length(length),
            Framing::Chunked => Stage::Chunked(Chunks::new()),
            Framing::UntilClosed => Stage::UntilClosed,
        };
    }

    // The body.

    fn read_body(&mut self, mut input: &[u8], rules: &Rules, book: &mut Book) -> Step {
        loop {
            match &mut self.stage {
                Stage::Length(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    *left -= here as u64;
                    let done = *left == 0;
                    let (data, rest) = input.split_at(here);
                    self.take(data);
                    return match done {
                        true => self.whole(rest, rules, book),
                        false => Step::More,
                    };
                }
                Stage::UntilClosed => {
                    self.take(input);
                    return match self.body_read > rules.body_limit {
                        true => self.over(ClientOutcome::TooLarge),
                        false => Step::More,
                    };
                }
                Stage::Chunked(chunks) => {
                    if chunks.is_over() {
                        return self.whole(input, rules, book);
                    }
                    if input.is_empty() {
                        return Step::More;
                    }
                    let Ok((data, rest)) = chunks.take(input) else {
                        return self.over(ClientOutcome::Malformed);
                    };
                    input = rest;
                    self.take(data);
                    if self.body_read > rules.body_limit {
                        return self.over(ClientOutcome::TooLarge);
                    }
                }
                Stage::Head | Stage::Over(_) => return Step::More,
            }
        }
    }

    fn take(&mut self, data: &[u8]) {
        self.body_read += data.len() as u64;
        if !self.head_text.is_empty() {
            let room = TEXT_LIMIT - self.body_text.len();
            self.body_text.extend_from_slice(&data[..data.len().min(room)]);
        }
        match &mut self.verification {
            Verification::None => {}
            Verification::Page(page) => page.feed(data),
            Verification::Search(search) => search.feed(data),
            Verification::Keep => {
                let room = KEPT_LIMIT - self.kept.len();
                self.kept.extend_from_slice(&data[..data.len().min(room)]);
            }
        }
        if let Some(sample) = &mut self.sample {
            sample.add(data);
        }
    }

    fn whole(&mut self, surplus: &[u8], rules: &Rules, book: &mut Book) -> Step {
        let sight = self.verify(rules, book);
        self.over(if surplus.is_empty() { sight } else { ClientOutcome::Malformed })
    }

    /// The body has ended.
    fn verify(&mut self, rules: &Rules, book: &mut Book) -> ClientOutcome {
        match &self.verification {
            Verification::None => {}
            Verification::Search(search) => self.altered = !search.has_found(),
            Verification::Page(page) => match page.whole() {
                Some((number, uuid)) => {
                    self.altered = self.generator.is_some_and(|said| said != number)
                        || self.answer.is_some_and(|said| said != *uuid);
                    if self.generator.is_none() {
                        self.backend = book.backends.of_generator(number);
                    }
                    if self.answer.is_none() {
                        self.answer_id = Uuid::try_parse_ascii(uuid).unwrap_or_default();
                    }
                }
                None => self.altered = self.generator.is_some() || self.answer.is_some(),
            },
            Verification::Keep => {
                if let Some(name) = rules.identity.find(&self.kept) {
                    self.backend = book.backends.of_name(&name);
                }
            }
        }
        self.altered |= self.contradicts && rules.identity.is_fleet();
        if self.altered { ClientOutcome::Altered } else { ClientOutcome::Answer }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClosed,
}

struct Contradiction;

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = (1..=19).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    digits.then(|| text.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

/// Whether it can be the start of a head.
fn parses(head: &[u8]) -> bool {
    let mut room = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = Response::new(&mut []);
    ParserConfig::default().parse_response_with_uninit_headers(&mut response, head, &mut room).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::check::load::request::id;
    use crate::wire::page;

    const UUID: &str = "550e8400-e29b-41d4-a716-446655440000";

    /// All that is learnt of an answer.
    #[derive(Clone, PartialEq, Eq, Debug)]
    struct Learnt {
        sight: Option<ClientOutcome>,
        status: u16,
        answer: String,
        backend: Option<String>,
        echo: Echo,
        reusable: bool,
        cookies: Vec<String>,
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
            let mut backends = Backends::new(vec!["9001".to_owned()]);
            let mut notes = Notes::default();
            let rules = Rules { identity: &self.identity, body_limit: self.body_limit, cookies: true, heads: false };
            let mut book = Book { backends: &mut backends, notes: &mut notes };
            let mut reader = Reader::new();
            reader.begin(&id(1, 2), self.head_only);
            let mut sight = None;
            for piece in pieces {
                if let Step::Over(over) = reader.feed(piece, &rules, &mut book) {
                    sight = Some(over);
                    if !matches!(over, ClientOutcome::Answer | ClientOutcome::Altered) {
                        break;
                    }
                }
            }
            if let (None, Some(ending)) = (sight, ending) {
                sight = reader.end(ending, &rules, &mut book);
            }
            let mut observation = Observation {
                due: Default::default(),
                ended: Default::default(),
                answer: Uuid::nil(),
                waited: 0,
                client: 0,
                backend: Backend::UNKNOWN,
                status: 0,
                sight: ClientOutcome::TimedOut,
                echo: Echo::None,
                reused: false,
            };
            reader.note(&mut observation);
            Learnt {
                sight,
                status: observation.status,
                answer: observation.answer().map_or(String::new(), |id| id.to_string()),
                backend: backends.name(observation.backend).map(str::to_owned),
                echo: observation.echo,
                reusable: reader.is_reusable(),
                cookies: reader.cookies().to_vec(),
            }
        }

        fn whole(&self, answer: impl AsRef<[u8]>) -> Learnt {
            self.read([answer.as_ref()], None)
        }

        fn closed(&self, answer: impl AsRef<[u8]>) -> Learnt {
            self.read([answer.as_ref()], Some(Ending::Closed))
        }
    }

    fn body() -> String {
        format!(
            "{}0072b2{}localhost:9001{}9001{}{UUID}{}",
            page::START,
            page::TITLE,
            page::NUMBER,
            page::UUID,
            page::END
        )
    }

    fn headers() -> String {
        format!(
            "Content-Type: text/html; charset=utf-8\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nGenerator-Number: 9001\r\n\
             Answer-Id: {UUID}\r\nCheck-Request-Id: 0000000000000001-0000000000000002\r\n"
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
        let body =
            format!("{:x}\r\n{first}\r\n{:X};a=b\r\n{second}\r\n0\r\nTrailer: x\r\n\r\n", first.len(), second.len());
        answer("Transfer-Encoding: chunked\r\n", headers, &body)
    }

    fn page_answer() -> String {
        sized(&headers(), &body())
    }

    fn ours() -> Learnt {
        Learnt {
            sight: Some(ClientOutcome::Answer),
            status: 200,
            answer: UUID.to_owned(),
            backend: Some("9001".to_owned()),
            echo: Echo::Own,
            reusable: true,
            cookies: Vec::new(),
        }
    }

    #[test]
    fn a_page_is_understood_however_its_end_is_told() {
        assert_eq!(CLIENT.whole(page_answer()), ours());
        assert_eq!(CLIENT.whole(chunked(&headers(), &body())), ours());
        let until_closed = answer("", &headers(), &body());
        assert_eq!(CLIENT.whole(&until_closed).sight, None);
        assert_eq!(CLIENT.closed(&until_closed), Learnt { reusable: false, ..ours() });
        let interim =
            format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n{}", page_answer());
        assert_eq!(CLIENT.whole(interim), ours());
    }

    #[test]
    fn what_has_no_body_ends_with_its_head() {
        let head = answer("Content-Length: 316\r\n", &headers(), "");
        let client = Client { head_only: true, ..CLIENT };
        assert_eq!(client.whole(&head), ours());
        assert_eq!(client.whole(page_answer()).sight, Some(ClientOutcome::Malformed), "a body that HEAD must not have");
        for status in [204, 304] {
            let bare = format!("HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n");
            assert_eq!(CLIENT.whole(&bare).sight, Some(ClientOutcome::Answer));
            assert!(CLIENT.whole(bare).reusable);
        }
        assert_eq!(CLIENT.whole("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").status, 502);
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
        assert_eq!(CLIENT.whole(&two_framings).sight, Some(ClientOutcome::Answer));
        assert!(!CLIENT.whole(two_framings).reusable);
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
            sized("", "x") + "y",
            page_answer() + &page_answer(),
            format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(HEAD_LIMIT)),
            "x".repeat(HEAD_LIMIT + 1),
        ] {
            assert_eq!(CLIENT.whole(&bytes).sight, Some(ClientOutcome::Malformed), "{bytes:.100}");
        }
    }

    #[test]
    fn a_body_beyond_the_limit_is_too_large() {
        let client = Client { body_limit: 400, ..CLIENT };
        let long = "x".repeat(401);
        for bytes in [answer("Content-Length: 401\r\n", "", ""), answer("", "", &long), chunked("", &long)] {
            assert_eq!(client.whole(&bytes).sight, Some(ClientOutcome::TooLarge), "{bytes:.100}");
        }
        assert_eq!(client.whole(chunked(&headers(), &body())), ours());
    }

    #[test]
    fn what_the_head_does_not_say_the_page_does() {
        let stripped = Learnt { echo: Echo::None, ..ours() };
        assert_eq!(CLIENT.whole(sized("Content-Type: text/html\r\n", &body())), stripped);
        assert_eq!(CLIENT.whole(chunked("", &body())), stripped);
        let without = |name: &str| {
            let lines: Vec<&str> =
                headers().leak().split_inclusive("\r\n").filter(|line| !line.starts_with(name)).collect();
            CLIENT.whole(sized(&lines.concat(), &body()))
        };
        assert_eq!(without("Answer-Id"), ours());
        assert_eq!(without("Generator-Number"), ours());
    }

    #[test]
    fn an_answer_of_somebody_else_is_an_answer_of_nobody() {
        let learnt = CLIENT.whole(sized("Content-Type: text/html\r\nServer: nginx\r\n", "<h1>It works</h1>"));
        assert_eq!(learnt, Learnt { answer: String::new(), backend: None, echo: Echo::None, ..ours() });
    }

    #[test]
    fn other_formats_hold_the_id_of_their_head() {
        let json = |body: &str| CLIENT.whole(sized(&headers().replace("text/html", "application/json"), body)).sight;
        assert_eq!(
            json(&format!("{{\n  \"generator\": 9001,\n  \"uuid\": \"{UUID}\"\n}}\n")),
            Some(ClientOutcome::Answer)
        );
        assert_eq!(json("{}"), Some(ClientOutcome::Altered));
        assert_eq!(json(&UUID.replace('5', "6")), Some(ClientOutcome::Altered));
        let refused = format!(
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nGenerator-Number: 9001\r\nAnswer-Id: {UUID}\r\n"
        );
        assert_eq!(CLIENT.whole(refused + "Content-Length: 2\r\n\r\nno").sight, Some(ClientOutcome::Answer));
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
            ("Answer-Id: 5", "Answer-Id: 6"),
            ("Answer-Id: 550e8400", "Answer-Id: 550E8400"),
            ("Answer-Id: ", "Answer-Id: x"),
            ("UUID=5", "UUID=6"),
            ("Generator #9001", "Generator #9002"),
            ("Generator #9001", "Generator #1001"),
        ] {
            let altered = page_answer().replace(from, to);
            assert_ne!(altered, page_answer());
            assert_eq!(CLIENT.whole(&altered).sight, Some(ClientOutcome::Altered), "{to}");
        }
        let empty = sized(&headers(), "");
        assert_eq!(CLIENT.whole(empty).sight, Some(ClientOutcome::Altered));
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
        assert_eq!(named(Identity::Json("/host/name".to_owned()), "", r#"{"host":{"name":"web 2"}}"#), name);
        assert_eq!(named(Identity::Json("/n".to_owned()), "", r#"{"n":2}"#).as_deref(), Some("2"));
        assert_eq!(named(Identity::Json("/n".to_owned()), "", "{"), None);
        let expression = |text: &str| Identity::Regex(regex_lite::Regex::new(text).unwrap());
        assert_eq!(named(expression("Hostname: (.*)"), "", "a\nHostname: web 2\nb"), name);
        assert_eq!(named(expression("web [0-9]+"), "", "a web 2 b"), name);
        assert_eq!(named(expression("none"), "", "a web 2 b"), None);
        // Their answers are not ours, and not compared with ours.
        let client = Client::identified_by(Identity::Header("x".to_owned()));
        assert_eq!(client.whole(sized(&headers(), "other")).sight, Some(ClientOutcome::Answer));
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
                    assert_eq!(learnt.sight, Some(ClientOutcome::Truncated), "{end} of {answer}");
                }
            }
        }
        for ending in [Ending::Closed, Ending::Reset] {
            assert_eq!(CLIENT.read([], Some(ending)).sight, None);
        }
        let until_closed = answer("", &headers(), &body());
        assert_eq!(CLIENT.read([until_closed.as_bytes()], Some(Ending::Reset)).sight, Some(ClientOutcome::Truncated));
        for end in until_closed.len() - body().len()..until_closed.len() {
            assert_eq!(CLIENT.closed(&until_closed[..end]).sight, Some(ClientOutcome::Altered), "{end}");
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
                    assert_eq!(CLIENT.whole(&bytes).sight, Some(ClientOutcome::Altered), "byte {place}: {other}");
                }
            }
        }
        for place in start..=answer.len() {
            for text in ["x", "<script></script>", "\0"] {
                let altered = format!("{}{text}{}", &body[..place - start], &body[place - start..]);
                let in_title = (title.start..=title.end).contains(&place) && !text.contains('<');
                let expected = if in_title { ClientOutcome::Answer } else { ClientOutcome::Altered };
                assert_eq!(CLIENT.whole(sized(&headers(), &altered)).sight, Some(expected), "{altered}");
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
}
