//! One connection's conversation: bytes in, answers out, each attempt in the journal before its answer leaves.
//! It owns no socket; the server feeds it and tells it how much of its answers has been written.

use std::collections::VecDeque;
use std::time::{Duration, UNIX_EPOCH};

use uuid::Uuid;

use crate::backend::answer::{self, Connection, Facts, Format, Head, UnknownFormat};
use crate::backend::ask::{Ask, What};
use crate::backend::body::Discard;
use crate::backend::fault::{Faults, Outcome, Treatment};
use crate::backend::health::Health;
use crate::backend::proxy::{self, Opening};
use crate::backend::request::{self, Body, Refusal, Request};
use crate::backend::show::Show;
use crate::chunks::BadChunk;
use crate::journal::{Claim, Writer};
use crate::wire::{
    AsArrived, AttemptEnd, Calendar, Clipped, End, Fault, Generator, Limits, Moment, Record, ResponseId, page,
};

/// What all conversations of a backend share.
pub struct Site {
    /// Who answers.
    pub generator: Generator,
    /// Where attempts are recorded.
    pub journal: Writer,
    /// What readiness answers.
    pub health: Health,
    /// How it misbehaves.
    faults: Faults,
    /// Its requests, for those who look.
    pub show: Show,
    /// Of its page.
    colour: &'static str,
    /// Whether connections may begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Whether answers announce the end of their connections.
    pub draining: bool,
    /// Bounds.
    pub limits: Limits,
    calendar: Calendar,
    date: Date,
}

impl Site {
    /// For a backend that begins to answer.
    pub fn new(generator: Generator, place: u16, journal: Writer, limits: Limits, calendar: Calendar) -> Site {
        Site {
            generator,
            journal,
            health: Health::default(),
            faults: Faults::default(),
            show: Show::default(),
            colour: page::colour(place),
            proxy_protocol: false,
            draining: false,
            limits,
            calendar,
            date: Date { second: u64::MAX, text: String::new() },
        }
    }

    /// Misbehaves in these ways and no others any more.
    pub fn misbehave(&mut self, faults: Vec<Fault>) {
        self.faults.set(faults);
        self.health.unhealthy = self.faults.are_unhealthy();
    }
}

/// The Date header, written anew once a second.
struct Date {
    second: u64,
    text: String,
}

impl Date {
    fn at(&mut self, unix: u64) -> &str {
        let second = unix / 1_000_000_000;
        if self.second != second {
            self.second = second;
            self.text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        }
        &self.text
    }
}

/// One connection's conversation.
pub struct Dialogue {
    peer: End,
    /// If a header told of the peer: who sent it.
    via: Option<End>,
    local: End,
    connection: u64,
    requests: u32,
    /// A head that is not complete yet, or what came while an answer was held back.
    inbox: Vec<u8>,
    stage: Stage,
    unread: bool,
    /// Answers that have been handed over and not been written to their end, and how much of the first has been.
    unwritten: VecDeque<Unwritten>,
    written: u64,
}

enum Stage {
    /// Nothing has come but perhaps a part of a PROXY header.
    Opening,
    /// Waiting for a request's head.
    Head,
    /// Reading a body, the answer to which is held back until it has ended.
    Body { discard: Discard, held: Box<Held> },
    /// The answer is held back until then. Meanwhile nothing is read: answers keep their order.
    Delayed { until: Moment, held: Box<Held> },
    /// The answer's body is being made, piece by piece.
    Streaming(Stream),
    /// Nothing is said and nothing is read any more.
    Hanging,
    /// Nothing more is read.
    Over,
    /// The same, and what was said is to be forgotten.
    Reset,
}

struct Held {
    claim: Claim,
    answer: Vec<u8>,
    /// Bytes of body that follow, not made yet.
    more: u64,
    keep_alive: bool,
    treatment: Treatment,
}

struct Stream {
    position: u64,
    end: u64,
    length: u64,
    keep_alive: bool,
}

struct Unwritten {
    /// None for `100 Continue`.
    claim: Option<Claim>,
    bytes: u64,
}

/// What the conversation waits for, which is what bounds its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// The next request, or the end.
    Idle,
    /// The rest of a PROXY header.
    Opening,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// This moment; then [`Dialogue::release`].
    Moment(Moment),
    /// That what was said has been written; then [`Dialogue::go_on`].
    Room,
    /// The end: the client gets no answer.
    End,
    /// That the client has read all: nothing more is answered on this connection.
    Over,
    /// Nothing: the connection is to be reset.
    Reset,
}

impl Dialogue {
    /// A conversation that has just begun, the `connection`th of its backend.
    pub fn new(peer: End, local: End, connection: u64, site: &Site) -> Dialogue {
        Dialogue {
            peer,
            via: None,
            local,
            connection,
            requests: 0,
            inbox: Vec::new(),
            stage: if site.proxy_protocol { Stage::Opening } else { Stage::Head },
            unread: false,
            unwritten: VecDeque::new(),
            written: 0,
        }
    }

    /// What it waits for.
    pub fn waiting(&self) -> Waiting {
        match self.stage {
            Stage::Opening | Stage::Head if self.inbox.is_empty() => Waiting::Idle,
            Stage::Opening => Waiting::Opening,
            Stage::Head => Waiting::Head,
            Stage::Body { .. } => Waiting::Body,
            Stage::Delayed { until, .. } => Waiting::Moment(until),
            Stage::Streaming(_) => Waiting::Room,
            Stage::Hanging => Waiting::End,
            Stage::Reset => Waiting::Reset,
            Stage::Over => Waiting::Over,
        }
    }

    /// Whether a request has come on this connection.
    pub fn has_begun(&self) -> bool {
        self.requests > 0
    }

    /// Whether the conversation is over though the client had more to say.
    pub fn left_something_unread(&self) -> bool {
        self.unread
    }

    /// Takes what has arrived and appends to `out` what is to be answered.
    pub fn receive(&mut self, input: &[u8], now: Moment, site: &mut Site, out: &mut Vec<u8>) {
        if self.inbox.is_empty() {
            let rest = self.converse(input, now, site, out);
            self.inbox.extend_from_slice(rest);
            return;
        }
        self.inbox.extend_from_slice(input);
        // A head that arrives byte by byte is not read anew for each byte; a PROXY header is short, and need not have lines.
        if matches!(self.stage, Stage::Opening)
            || input.contains(&b'\n')
            || self.inbox.len() >= site.limits.header_bytes as usize
        {
            self.take_up(now, site, out);
        }
    }

    /// The moment has come for which the conversation waited.
    pub fn release(&mut self, now: Moment, site: &mut Site, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Delayed { until, held } if now >= until => {
                self.deliver(*held, site, out);
                self.take_up(now, site, out);
            }
            other => self.stage = other,
        }
    }

    /// All that was said has been written, and there is room for more.
    pub fn go_on(&mut self, now: Moment, site: &mut Site, out: &mut Vec<u8>) {
        let Stage::Streaming(stream) = &mut self.stage else { return };
        stream.position = stream.end.min(answer::pattern(out, stream.position, stream.end));
        if stream.position == stream.end {
            // One that ends before its length breaks its word.
            let kept = stream.keep_alive && stream.end == stream.length;
            self.say_last_unless(kept);
            self.take_up(now, site, out);
        }
    }

    /// Reads what came earlier.
    fn take_up(&mut self, now: Moment, site: &mut Site, out: &mut Vec<u8>) {
        let inbox = std::mem::take(&mut self.inbox);
        let rest = self.converse(&inbox, now, site, out).len();
        self.inbox = inbox;
        self.inbox.drain(..self.inbox.len() - rest);
    }

    /// Ends the wait for a head, or what comes before it, that takes too long.
    pub fn expire(&mut self, now: Moment, site: &mut Site, out: &mut Vec<u8>) {
        if matches!(self.waiting(), Waiting::Opening | Waiting::Head) {
            self.refuse(request::TOO_SLOW, now, site, out);
        }
    }

    /// So many bytes of the answers have been written.
    pub fn wrote(&mut self, bytes: usize, now: Moment, site: &mut Site) {
        self.written += bytes as u64;
        while let Some(first) = self.unwritten.front()
            && first.bytes <= self.written
            && let Some(Unwritten { claim, bytes }) = self.unwritten.pop_front()
        {
            self.written -= bytes;
            if let Some(claim) = claim {
                site.journal.complete(claim, now, bytes, AttemptEnd::Completed);
            }
        }
    }

    /// The connection has ended: what was not answered to its end is recorded as cut off.
    pub fn end(&mut self, now: Moment, site: &mut Site) {
        for Unwritten { claim, .. } in self.unwritten.drain(..) {
            let written = std::mem::take(&mut self.written);
            if let Some(claim) = claim {
                site.journal.complete(claim, now, written, AttemptEnd::CutOff);
            }
        }
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Body { held, .. } | Stage::Delayed { held, .. } => {
                site.journal.complete(held.claim, now, 0, AttemptEnd::CutOff);
            }
            Stage::Opening | Stage::Head | Stage::Streaming(_) | Stage::Hanging | Stage::Over | Stage::Reset => {}
        }
    }

    /// Answers all requests that are complete in `bytes` and returns what remains of an incomplete one.
    fn converse<'b>(&mut self, bytes: &'b [u8], now: Moment, site: &mut Site, out: &mut Vec<u8>) -> &'b [u8] {
        let mut rest = bytes;
        loop {
            match &mut self.stage {
                Stage::Over | Stage::Reset | Stage::Hanging => {
                    self.unread |= !rest.is_empty();
                    return &[];
                }
                Stage::Delayed { .. } | Stage::Streaming(_) => return rest,
                Stage::Body { discard, .. } => {
                    match discard.take(rest) {
                        Ok(after) => rest = after,
                        Err(BadChunk) => {
                            self.refuse_body(site, out);
                            return &[];
                        }
                    }
                    if !discard.is_done() {
                        return &[];
                    }
                    if let Stage::Body { held, .. } = std::mem::replace(&mut self.stage, Stage::Head) {
                        self.hold_back(held, now, site, out);
                    }
                }
                Stage::Opening => match proxy::parse(rest) {
                    Ok(None) => return rest,
                    Ok(Some(opening)) => {
                        self.stage = Stage::Head;
                        if let Opening::Header { bytes, client } = opening {
                            rest = &rest[bytes..];
                            self.via = Some(self.peer);
                            self.peer = client.unwrap_or(self.peer);
                        }
                    }
                    Err(refusal) => {
                        self.refuse(refusal, now, site, out);
                        return &[];
                    }
                },
                Stage::Head => {
                    rest = without_leading_lines(rest);
                    if rest.is_empty() {
                        return rest;
                    }
                    let mut room = request::header_room();
                    match request::parse(rest, &mut room, site.limits.header_bytes as usize) {
                        Ok(None) => return rest,
                        Ok(Some((request, length))) => {
                            rest = &rest[length..];
                            self.attempt(&request, rest.is_empty(), now, site, out);
                        }
                        Err(refusal) => {
                            self.refuse(refusal, now, site, out);
                            return &[];
                        }
                    }
                }
            }
        }
    }

    /// Answers a request, at once or when its body has ended.
    fn attempt(&mut self, request: &Request, nothing_follows: bool, now: Moment, site: &mut Site, out: &mut Vec<u8>) {
        self.requests = self.requests.saturating_add(1);
        let keep_alive = request.keep_alive && !site.draining;
        let connection = match (keep_alive, request.minor_version) {
            (false, _) => Connection::Close,
            (true, 0) => Connection::KeptForOld,
            (true, _) => Connection::Kept,
        };
        let head_only = request.method == "HEAD";
        let start = out.len();
        let (claim, more, treatment) = self.answer(request, connection, head_only, now, site, out);
        if request.body == Body::None && more == 0 && treatment == Treatment::NORMAL {
            self.unwritten.push_back(Unwritten { claim: Some(claim), bytes: (out.len() - start) as u64 });
            self.say_last_unless(keep_alive);
            return;
        }
        let held = Box::new(Held { claim, answer: out.split_off(start), more, keep_alive, treatment });
        if request.body == Body::None {
            self.hold_back(held, now, site, out);
            return;
        }
        if request.expects_continue && nothing_follows {
            const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
            out.extend_from_slice(CONTINUE);
            self.unwritten.push_back(Unwritten { claim: None, bytes: CONTINUE.len() as u64 });
        }
        self.stage = Stage::Body { discard: Discard::new(request.body), held };
    }

    /// The request has been read: its answer is due, or will be.
    fn hold_back(&mut self, held: Box<Held>, now: Moment, site: &Site, out: &mut Vec<u8>) {
        if held.treatment.delay.is_zero() {
            self.deliver(*held, site, out);
        } else {
            self.stage = Stage::Delayed { until: now.after(held.treatment.delay), held };
        }
    }

    /// Says what was held back, or what the request gets instead.
    fn deliver(&mut self, held: Held, site: &Site, out: &mut Vec<u8>) {
        let Held { claim, mut answer, more, mut keep_alive, treatment } = held;
        if keep_alive && site.draining {
            keep_alive = false;
            answer::close_after(&mut answer);
        }
        let bytes = answer.len() as u64 + more;
        self.unwritten.push_back(Unwritten { claim: Some(claim), bytes });
        match treatment.fate {
            Outcome::Answer | Outcome::Status(_) | Outcome::FirstFailed => {
                out.extend_from_slice(&answer);
                self.stream(Stream { position: 0, end: more, length: more, keep_alive });
            }
            Outcome::CloseMidway => {
                let body = answer::body_start(&answer);
                let half = match answer.len() - body {
                    // Of a head alone, half of it.
                    0 if more == 0 => body / 2,
                    here => body + here / 2,
                };
                out.extend_from_slice(&answer[..half]);
                self.stream(Stream { position: 0, end: more / 2, length: more, keep_alive: false });
            }
            Outcome::Close => self.stage = Stage::Over,
            Outcome::Reset => self.stage = Stage::Reset,
            Outcome::Hang => self.stage = Stage::Hanging,
        }
    }

    fn stream(&mut self, stream: Stream) {
        match stream.end {
            0 => self.say_last_unless(stream.keep_alive),
            _ => self.stage = Stage::Streaming(stream),
        }
    }

    /// What was just said is the last on this connection, unless it is kept.
    fn say_last_unless(&mut self, kept: bool) {
        self.stage = if kept { Stage::Head } else { Stage::Over };
    }

    /// Records the attempt and writes its answer, but for so many bytes of a body that are made later.
    fn answer(
        &self,
        request: &Request,
        connection: Connection,
        head_only: bool,
        now: Moment,
        site: &mut Site,
        out: &mut Vec<u8>,
    ) -> (Claim, u64, Treatment) {
        let unix = site.calendar.unix(now);
        let head = Head {
            status: 200,
            date: site.date.at(unix),
            generator: site.generator,
            answer: None,
            request: request.id,
            connection,
            head_only,
        };
        if let Some((status, text)) = site.health.of(request.path(), site.draining) {
            answer::line(out, &Head { status, ..head }, text);
            return (self.claim(request, status, None, now, site), 0, Treatment::NORMAL);
        }
        let mut treatment = match site.faults.are_none() {
            true => Treatment::NORMAL,
            false => site.faults.treat(request.id, chance),
        };
        let answer = ResponseId(Uuid::new_v4());
        let head = Head { answer: Some(answer), ..head };
        let mut more = 0;
        let mut line = |status: u16, text: &str| {
            answer::line(out, &Head { status, ..head }, text);
            status
        };
        let asked = Ask::of(request);
        let status = match (treatment.fate, asked, Format::wanted(request)) {
            (Outcome::Status(status), ..) => line(status, &format!("status {status}, a fault that is switched on")),
            (Outcome::FirstFailed, ..) => line(503, "one of the first attempts, a fault that is switched on"),
            (_, Err(bad), _) => line(400, bad.why()),
            (_, Ok(Ask { what: What::Page, .. }), Err(UnknownFormat)) => {
                line(400, "unknown format: expected html, json or text")
            }
            (_, Ok(Ask { what: What::Status(status), .. }), _) => line(status, &format!("status {status}, as asked")),
            (_, Ok(Ask { what: What::Bytes(length), .. }), _) => {
                answer::head_of_bytes(out, &head, length);
                more = if head_only { 0 } else { length };
                200
            }
            (_, Ok(Ask { what: What::Page, .. }), Ok(format)) => {
                let facts = Facts {
                    request,
                    colour: site.colour,
                    generator: site.generator,
                    answer,
                    unix,
                    peer: self.peer,
                    via: self.via,
                    local: self.local,
                    connection: self.connection,
                    request_number: self.requests,
                };
                answer::facts(out, &head, format, &facts);
                200
            }
        };
        if site.show.wants(now) {
            site.show.add(request, self.peer.to_string(), answer, status, now);
        }
        treatment.delay += asked.map_or(Duration::ZERO, |ask| ask.delay);
        (self.claim(request, status, Some(answer), now, site), more, treatment)
    }

    fn claim(&self, request: &Request, status: u16, answer: Option<ResponseId>, now: Moment, site: &mut Site) -> Claim {
        site.journal.claim(Record {
            request: request.id,
            method: Clipped::new(request.method.as_bytes()),
            path: Clipped::new(request.target.as_bytes()),
            ..self.record(status, answer, now, site.generator)
        })
    }

    fn record(&self, status: u16, answer: Option<ResponseId>, now: Moment, generator: Generator) -> Record {
        Record {
            number: 0,
            received: now,
            answered: Moment(0),
            generator,
            answer,
            request: None,
            connection: self.connection,
            request_number: self.requests,
            peer: self.peer,
            method: Clipped::new(b""),
            path: Clipped::new(b""),
            status,
            bytes: 0,
            outcome: AttemptEnd::Received,
            arrived: AsArrived::default(),
        }
    }

    /// Answers a head that cannot be served, and ends the conversation.
    fn refuse(&mut self, refusal: Refusal, now: Moment, site: &mut Site, out: &mut Vec<u8>) {
        self.requests = self.requests.saturating_add(1);
        self.inbox.clear();
        let record = self.record(refusal.status, Some(ResponseId(Uuid::new_v4())), now, site.generator);
        let claim = site.journal.claim(record);
        self.explain(claim, refusal, site, out);
    }

    /// Answers a body that cannot be read instead of the request that it came with, and ends the conversation.
    fn refuse_body(&mut self, site: &mut Site, out: &mut Vec<u8>) {
        if let Stage::Body { mut held, .. } = std::mem::replace(&mut self.stage, Stage::Over) {
            held.claim.revise_status(request::BAD_CHUNK.status);
            self.explain(held.claim, request::BAD_CHUNK, site, out);
        }
    }

    fn explain(&mut self, claim: Claim, refusal: Refusal, site: &mut Site, out: &mut Vec<u8>) {
        let start = out.len();
        let record = site.journal.record(&claim);
        let head = Head {
            status: refusal.status,
            date: site.date.at(site.calendar.unix(record.received)),
            generator: site.generator,
            answer: record.answer,
            request: record.request,
            connection: Connection::Close,
            head_only: record.method.as_bytes() == b"HEAD",
        };
        answer::line(out, &head, refusal.why);
        self.unread = true;
        self.unwritten.push_back(Unwritten { claim: Some(claim), bytes: (out.len() - start) as u64 });
        self.stage = Stage::Over;
    }
}

/// Uniform from 0 and below 1: of a fresh UUID 53 bits that are random.
fn chance() -> f64 {
    const BITS: u32 = 53;
    (Uuid::new_v4().as_u128() as u64 & ((1 << BITS) - 1)) as f64 / (1u64 << BITS) as f64
}

/// RFC 9112 §2.2: empty lines before a request are ignored.
fn without_leading_lines(mut bytes: &[u8]) -> &[u8] {
    while let [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}
