//! PURE. Reads an answer of HTTP/1 from bytes as they come and verifies it on the way: who gave it, to which request, and
//! whether its body is what a backend writes. Nothing of it is stored that need not be.

use std::mem::{MaybeUninit, take};

use httparse::{Header, ParserConfig, Response, Status};
use uuid::Uuid;

use crate::check::observation::{Backend, Echo, Observation, Sight};
use crate::check::traffic::chunks::Chunks;
use crate::check::traffic::identity::{Backends, Identity};
use crate::check::traffic::notes::{Notes, Sample};
use crate::check::traffic::page::{Page, Search, UUID_BYTES};
use crate::wire::{ANSWER_HEADER, GENERATOR_HEADER, REQUEST_HEADER};

/// Bytes of a status line and its headers, and of interim answers before them.
pub const HEAD_LIMIT: usize = 64 * 1024;
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
    /// It is over: whole ([`Sight::Answer`], [`Sight::Altered`]) or not; then the connection is of no further use.
    Over(Sight),
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// In order.
    Closed,
    /// By a reset.
    Reset,
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
    Over(Sight),
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
        self.reusable && matches!(self.stage, Stage::Over(Sight::Answer | Sight::Altered))
    }

    /// Values of Set-Cookie.
    pub fn cookies(&self) -> &[String] {
        &self.cookies
    }

    /// Status line and headers, if they were wanted.
    pub fn head_text(&self) -> String {
        String::from_utf8_lossy(&self.head_text).into_owned()
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
                    false if self.head.len() >= HEAD_LIMIT => self.over(Sight::Malformed),
                    false => Step::More,
                }
            }
            Stage::Length(_) | Stage::Chunked(_) | Stage::UntilClosed => self.read_body(input, rules, book),
            // Nothing was asked that this could answer.
            Stage::Over(_) if !input.is_empty() => self.over(Sight::Malformed),
            Stage::Over(sight) => Step::Over(sight),
        };
        if let Step::Over(sight) = step {
            self.settle(sight, input, book);
        }
        step
    }

    /// The connection has ended; `None` if nothing of an answer had come.
    pub fn end(&mut self, ending: Ending, rules: &Rules, book: &mut Book) -> Option<Sight> {
        let sight = match (self.stage, ending) {
            (Stage::Over(sight), _) => return Some(sight),
            (Stage::UntilClosed, Ending::Closed) => self.verify(rules, book),
            (Stage::Head, _) if self.head.is_empty() && !self.interim => return None,
            (Stage::Head, _) if parses(&self.head) => Sight::Truncated,
            (Stage::Head, _) => Sight::Malformed,
            (Stage::Length(_) | Stage::Chunked(_) | Stage::UntilClosed, _) => Sight::Truncated,
        };
        self.over(sight);
        self.settle(sight, &[], book);
        Some(sight)
    }

    /// Nothing more is waited for.
    pub fn give_up(&mut self, sight: Sight, book: &mut Book) {
        self.over(sight);
        self.settle(sight, &[], book);
    }

    fn over(&mut self, sight: Sight) -> Step {
        self.stage = Stage::Over(sight);
        Step::Over(sight)
    }

    /// Keeps an example of what is unusual.
    fn settle(&mut self, sight: Sight, input: &[u8], book: &mut Book) {
        if let Some(sample) = self.sample.take() {
            book.notes.keep(*sample, sight);
        } else if matches!(sight, Sight::Altered | Sight::Malformed) {
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
                Ok(_) | Err(_) => return self.over(Sight::Malformed),
            };
            let (head, rest) = bytes.split_at(length);
            let (Some(status), Some(minor_version)) = (response.code, response.version) else {
                return self.over(Sight::Malformed);
            };
            match status {
                // It ends the use of HTTP/1 on the connection, and nobody has asked for that.
                101 => return self.over(Sight::Malformed),
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
                        return self.over(Sight::Malformed);
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
                9 if name.eq_ignore_ascii_case(ANSWER_HEADER) => self.see_answer(value),
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
                if last.eq_ignore_ascii_case(b"chunked") { Framing::Chunked } else { Framing::UntilClosed }
            }
            (None, Some(length)) => Framing::Length(length),
            (None, None) => Framing::UntilClosed,
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
        let number = decimal(value).and_then(|number| u16::try_from(number).ok());
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
            Framing::Length(length) if length > rules.body_limit => Stage::Over(Sight::TooLarge),
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
                        true => self.over(Sight::TooLarge),
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
                        return self.over(Sight::Malformed);
                    };
                    input = rest;
                    self.take(data);
                    if self.body_read > rules.body_limit {
                        return self.over(Sight::TooLarge);
                    }
                }
                Stage::Head | Stage::Over(_) => return Step::More,
            }
        }
    }

    fn take(&mut self, data: &[u8]) {
        self.body_read += data.len() as u64;
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
        self.over(if surplus.is_empty() { sight } else { Sight::Malformed })
    }

    /// The body has ended.
    fn verify(&mut self, rules: &Rules, book: &mut Book) -> Sight {
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
        if self.altered { Sight::Altered } else { Sight::Answer }
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
