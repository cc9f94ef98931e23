//! Reads a response as it comes and notes what it is: who gave it and to what (`identify`), and whether it is as it was
//! written (`verify`). Where it ends is the http crate's. Nothing of it is stored that need not be.

use http::RequestContext;
use http::grpc::{self, GrpcStatus};
use http::h1::client::{Ended, Receiver, ResponseEvent, ResponseProgress};
use http::h2::client as h2;
use http::{Field, Framing, HttpVersion, Malformed, ResponseHead};

use crate::check::load::affinity::{self, SessionPlace};
use crate::check::load::call_response::CallResponse;
use crate::check::load::identify::{BackendNames, Identify, Identity};
use crate::check::load::page::UUID_BYTES;
use crate::check::load::request::ID_BYTES;
use crate::check::load::samples::Samples;
use crate::check::load::verify::{BodyComparison, Kind, Verify, ambiguous_length};
use crate::check::load::words;
use crate::io::ending::Ending;
use crate::wire::{
    GENERATOR_HEADER, INSTANCE_HEADER, NAME_HEADER, REQUEST_HEADER, RESPONSE_HEADER, SESSION_COOKIE, SESSION_HEADER,
};
use uuid::Uuid;
use verdict::Instance;
use verdict::grpc::status_of_call;
use verdict::observation::{Backend, ClientOutcome, Flaw, Observation};
use verdict::response::{COVERED, DIGEST_HEADER, HeadChange};

/// Bytes of a status line and its headers, and of interim responses before them.
pub(super) const HEAD_LIMIT: usize = 64 * 1024;

/// The field that is compared by what it means: clocks differ by seconds.
const DATE: &str = "Date";

/// Of a body that people look at.
const TEXT_LIMIT: usize = 16 * 1024;

/// What is the same for all responses of a run.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    /// Where the backend's name is found.
    pub(super) identity: &'a Identity,
    /// Bytes of a body; more are not read.
    pub(super) body_limit: u64,
    pub(super) cookies: bool,
    /// Whether heads are wanted as text.
    pub(super) heads: bool,
    /// Where backends open a session, if that is wanted.
    pub(super) session: Option<&'a SessionPlace>,
    /// Whether requests are calls of gRPC.
    pub(super) grpc: bool,
}

/// What is learnt apart from the response itself.
#[derive(Debug)]
pub(super) struct ResponseNotes<'a> {
    pub(super) backends: &'a mut BackendNames,
    /// Where samples of responses are kept for the report.
    pub(super) samples: &'a mut Samples,
}

/// What the response depends on of the request that it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Question {
    pub(super) id: [u8; ID_BYTES],
    pub(super) sequence: u64,
    pub(super) head_only: bool,
    /// Whether the request is conditional: 304 may answer it.
    pub(super) conditional: bool,
}

/// How far a response has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ReadStep {
    /// More bytes must come, or the end of the connection.
    More,
    /// It is over: whole ([`ClientOutcome::Response`], [`ClientOutcome::Altered`]) or not; then the connection is of no further use.
    Over(ClientOutcome),
}

/// Reads one response after another, of one connection.
#[derive(Debug)]
pub(super) struct ResponseReader {
    receiver: Receiver,
    response: CurrentResponse,
}

/// What is known of the response at hand.
#[derive(Debug)]
struct CurrentResponse {
    question: Question,
    /// 0 until the head has come.
    status: u16,
    who: Identify,
    verify: Verify,
    flaw: Option<Flaw>,
    /// 100 has come: the body may be sent.
    continues: bool,
    /// Bytes of the body as it came.
    received: u64,
    announces_too_much: bool,
    /// It came on a stream of HTTP/2, which says nothing of the connection.
    is_of_stream: bool,
    over: Option<ClientOutcome>,
    /// Of a gRPC call: its messages and how it ended.
    call: Option<Box<CallResponse>>,
    cookies: Vec<String>,
    /// The session of our backend that it belongs to, where cookies are wanted.
    opened: Option<Uuid>,
    /// The id of the session that it belongs to.
    session: Option<String>,
    head_text: Vec<u8>,
    kept: KeptContent,
    /// Names and values of the fields that a digest covers, of a response of ours whose head differs; empty of any other.
    differing: Vec<(String, String)>,
}

/// What is kept of a response's content, without its coding.
#[derive(Debug, Default)]
struct KeptContent {
    /// In which the id of the session stands.
    session: Vec<u8>,
    /// The beginning, where heads are wanted, or where it may say why nobody served the request.
    text: Vec<u8>,
}

impl KeptContent {
    fn see(&mut self, content: &[u8], rules: &Rules, wants_text: bool) {
        let keep = |kept: &mut Vec<u8>, limit: usize| {
            let room = limit - kept.len();
            kept.extend_from_slice(&content[..content.len().min(room)]);
        };
        if rules.session.is_some_and(SessionPlace::is_in_body) {
            keep(&mut self.session, affinity::BODY_LIMIT);
        }
        if wants_text {
            keep(&mut self.text, TEXT_LIMIT);
        }
    }
}

const NO_QUESTION: Question = Question { id: [0; ID_BYTES], sequence: 0, head_only: false, conditional: false };

impl ResponseReader {
    /// A reader that expects no response yet.
    pub(super) fn new() -> ResponseReader {
        ResponseReader { receiver: Receiver::new(HEAD_LIMIT), response: CurrentResponse::to(NO_QUESTION) }
    }

    /// Expects the response to this request.
    pub(super) fn begin(&mut self, question: Question) {
        self.receiver.begin(if question.head_only { RequestContext::Head } else { RequestContext::Other });
        self.response = CurrentResponse::to(question);
    }

    /// Whether the connection may carry another request after this response.
    pub(super) fn is_reusable(&self) -> bool {
        (self.receiver.is_reusable() || self.response.is_of_stream)
            && matches!(self.response.over, Some(ClientOutcome::Response | ClientOutcome::Altered))
    }

    /// Whether a body that waits may be sent.
    pub(super) fn continues(&self) -> bool {
        self.response.continues
    }

    /// Whether the head of the final response has come.
    pub(super) fn has_head(&self) -> bool {
        self.response.status != 0
    }

    /// The process that responded, and what it calls itself.
    pub(super) fn process(&self) -> Option<(Instance, Backend)> {
        let who = &self.response.who;
        who.instance.filter(|_| who.backend.is_known()).map(|instance| (instance, who.backend))
    }

    /// Values of its Set-Cookie fields.
    pub(super) fn cookies(&self) -> &[String] {
        &self.response.cookies
    }

    /// The id of its session, where that was wanted and does not stand in a cookie.
    pub(super) fn session(&self) -> Option<&str> {
        self.response.session.as_deref()
    }

    /// Status line and headers, if they were wanted.
    pub(super) fn head_text(&self) -> String {
        String::from_utf8_lossy(&self.response.head_text).into_owned()
    }

    /// The beginning of its body, if heads were wanted.
    pub(super) fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.response.kept.text).into_owned()
    }

    /// What the response said, as far as it came.
    pub(super) fn note(&self, observation: &mut Observation) {
        let CurrentResponse { who, status, flaw, .. } = &self.response;
        observation.status = *status;
        observation.response = who.response_id;
        observation.backend = who.backend;
        observation.echo = who.echo;
        observation.flaw = *flaw;
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, input: &[u8], rules: &Rules, notes: &mut ResponseNotes) -> ReadStep {
        let ResponseReader { receiver, response } = self;
        let progress = receiver.receive(input, &mut |event| response.see(event, rules, notes));
        let outcome = match progress {
            _ if response.is_too_large(rules) => ClientOutcome::TooLarge,
            ResponseProgress::More => return ReadStep::More,
            ResponseProgress::Whole => response.whole(rules, notes),
            ResponseProgress::WholeAndMore(why) => {
                response.whole(rules, notes);
                response.flaw = Some(Flaw::Malformed(why));
                ClientOutcome::Altered
            }
            ResponseProgress::Malformed(why) => {
                response.flaw = Some(Flaw::Malformed(why));
                ClientOutcome::Malformed
            }
        };
        self.response.over = Some(outcome);
        ReadStep::Over(outcome)
    }

    /// Takes what has come on the request's stream of HTTP/2, or on the connection.
    pub(super) fn take(&mut self, event: h2::ClientEvent, rules: &Rules, notes: &mut ResponseNotes) -> ReadStep {
        let response = &mut self.response;
        response.is_of_stream = true;
        let ended = match event {
            h2::ClientEvent::Malformed(why @ Malformed::ContentMissing) if response.status != 0 => {
                response.flaw = Some(Flaw::Malformed(why));
                Some(ClientOutcome::Truncated)
            }
            h2::ClientEvent::Malformed(why) | h2::ClientEvent::Broken(why) => return ReadStep::Over(self.fail(why)),
            h2::ClientEvent::Interim(status) => {
                response.continues |= status == 100;
                None
            }
            h2::ClientEvent::Head(head) => {
                let lines = head.lines();
                let head = head.head(&lines);
                response.see_head(&head, rules, notes);
                (head.framing == Framing::None).then(|| response.whole(rules, notes))
            }
            h2::ClientEvent::Data(data) => {
                response.see(ResponseEvent::Data(data), rules, notes);
                None
            }
            h2::ClientEvent::End => Some(response.whole(rules, notes)),
            h2::ClientEvent::Reset(_) if response.status != 0 => Some(ClientOutcome::Truncated),
            h2::ClientEvent::Reset(_) => Some(ClientOutcome::StreamReset),
            h2::ClientEvent::Trailers(trailers) => {
                if let Some(call) = &mut response.call {
                    trailers.iter().for_each(|field| call.see_end(field.name, field.value));
                }
                let digests = trailers.iter().filter(|field| field.name.eq_ignore_ascii_case(DIGEST_HEADER));
                digests.for_each(|field| response.verify.see_late_digest(field.value));
                None
            }
            h2::ClientEvent::GoAway(_) => None,
        };
        let outcome = if response.is_too_large(rules) { Some(ClientOutcome::TooLarge) } else { ended };
        response.over = outcome;
        outcome.map_or(ReadStep::More, ReadStep::Over)
    }

    /// The connection of HTTP/2 on which it was to come broke the rules.
    pub(super) fn fail(&mut self, why: Malformed) -> ClientOutcome {
        self.response.flaw = Some(Flaw::Malformed(why));
        self.response.over = Some(ClientOutcome::Malformed);
        ClientOutcome::Malformed
    }

    /// A connection of HTTP/2 has ended; `None` if nothing of a response had come.
    pub(super) fn break_off(&mut self) -> Option<ClientOutcome> {
        if self.response.over.is_none() && self.response.status != 0 {
            self.response.over = Some(ClientOutcome::Truncated);
        }
        self.response.over
    }

    /// The connection has ended; `None` if nothing of a response had come.
    pub(super) fn end(&mut self, ending: Ending, rules: &Rules, notes: &mut ResponseNotes) -> Option<ClientOutcome> {
        if let Some(over) = self.response.over {
            return Some(over);
        }
        let outcome = match self.receiver.end(ending.of_transport()) {
            Ended::Before => return None,
            Ended::Whole => self.response.whole(rules, notes),
            Ended::Truncated => ClientOutcome::Truncated,
            Ended::Malformed(why) => {
                self.response.flaw = Some(Flaw::Malformed(why));
                ClientOutcome::Malformed
            }
        };
        self.response.over = Some(outcome);
        Some(outcome)
    }

    /// Nothing more is waited for.
    pub(super) fn give_up(&mut self, outcome: ClientOutcome) {
        self.response.over = Some(outcome);
    }
}

impl CurrentResponse {
    fn to(question: Question) -> CurrentResponse {
        CurrentResponse {
            question,
            status: 0,
            who: Identify::new(question.id),
            verify: Verify::new(),
            flaw: None,
            continues: false,
            received: 0,
            announces_too_much: false,
            is_of_stream: false,
            over: None,
            call: None,
            cookies: Vec::new(),
            opened: None,
            session: None,
            head_text: Vec::new(),
            kept: KeptContent::default(),
            differing: Vec::new(),
        }
    }

    fn see(&mut self, event: ResponseEvent, rules: &Rules, notes: &mut ResponseNotes) {
        match event {
            ResponseEvent::Interim(status) => self.continues |= status == 100,
            ResponseEvent::Head(head) => self.see_head(&head, rules, notes),
            ResponseEvent::Data(data) => {
                self.received += data.len() as u64;
                if let Some(call) = &mut self.call {
                    call.see_data(data);
                }
                if self.received <= rules.body_limit {
                    let wants_text = rules.heads || self.is_of_nobody();
                    let CurrentResponse { verify, who, kept, .. } = self;
                    verify.see_data(data, |content| {
                        who.see_data(content, rules.identity);
                        kept.see(content, rules, wants_text);
                    });
                }
            }
            // Backends write none.
            ResponseEvent::Trailers(_) => {}
        }
    }

    /// Whether it is an error in which no backend has named itself.
    fn is_of_nobody(&self) -> bool {
        self.status >= 400 && !self.who.backend.is_known()
    }

    fn is_too_large(&self, rules: &Rules) -> bool {
        self.announces_too_much || self.received > rules.body_limit || self.verify.length() > rules.body_limit
    }

    fn see_head(&mut self, head: &ResponseHead, rules: &Rules, notes: &mut ResponseNotes) {
        self.status = head.status;
        if rules.grpc && head.status == 200 {
            self.call = Some(Box::new(CallResponse::begin(head, rules.body_limit)));
        }
        let (mut html, mut server, mut via) = (false, None, None);
        for Field { name, value } in head.fields.iter() {
            // By length first: most names are none of these.
            match name.len() {
                3 if name.eq_ignore_ascii_case("via") => via = Some(value),
                6 if name.eq_ignore_ascii_case("server") => server = Some(value),
                11 if name.eq_ignore_ascii_case(RESPONSE_HEADER) => self.who.see_response(value),
                9 if rules.cookies && name.eq_ignore_ascii_case(SESSION_HEADER) => {
                    self.opened = Uuid::try_parse_ascii(value).ok();
                }
                10 if rules.cookies && name.eq_ignore_ascii_case("set-cookie") => {
                    self.cookies.push(String::from_utf8_lossy(value).into_owned());
                }
                12 if name.eq_ignore_ascii_case(NAME_HEADER) => self.who.see_backend_name(value),
                12 if name.eq_ignore_ascii_case("content-type") => {
                    const HTML: &[u8] = b"text/html";
                    html = value.get(..HTML.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(HTML));
                }
                15 if name.eq_ignore_ascii_case(DIGEST_HEADER) => self.verify.see_digest(value),
                16 if name.eq_ignore_ascii_case(GENERATOR_HEADER) => self.who.see_generator(value),
                16 if name.eq_ignore_ascii_case(INSTANCE_HEADER) => self.who.see_instance(value),
                16 if name.eq_ignore_ascii_case(REQUEST_HEADER) => self.who.see_echo(value),
                16 if name.eq_ignore_ascii_case("content-encoding") => {
                    self.verify.see_coding(value);
                    if self.verify.is_coded() {
                        Samples::see(&mut notes.samples.codings, value);
                    }
                }
                _ => {}
            }
            self.verify.see_field(name, value);
            self.who.see_field(rules.identity, name, value);
            if rules.session.and_then(SessionPlace::in_head).is_some_and(|wanted| name.eq_ignore_ascii_case(wanted)) {
                self.session = str::from_utf8(value).ok().filter(|id| affinity::is_id(id)).map(str::to_owned);
            }
        }
        self.end_head(head, html, rules, notes);
        let is_foreign = !self.who.is_ours() || rules.identity.is_fleet();
        if is_foreign && let Some(server) = server {
            Samples::see(&mut notes.samples.servers, server);
        }
        if let Some(via) = via {
            Samples::see(&mut notes.samples.vias, via);
        }
    }

    /// All fields of the head are known.
    fn end_head(&mut self, head: &ResponseHead, html: bool, rules: &Rules, notes: &mut ResponseNotes) {
        self.who.end_head(rules.identity, notes.backends);
        let length = match head.framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked | Framing::UntilClose | Framing::Stream => None,
        };
        if length.is_some_and(|length| length > rules.body_limit) {
            self.announces_too_much = true;
        }
        let kind = Kind {
            status: head.status,
            length,
            has_body: !self.question.head_only && !matches!(head.status, 204 | 304),
            html,
            call: rules.grpc && head.status == 200,
            fleet: rules.identity.is_fleet(),
        };
        self.verify.end_head(kind, &self.who);
        // Our backends write it where their user asks for it.
        if head.status == 304 && !self.question.conditional && !self.verify.is_head_as_written() {
            self.flaw = Some(Flaw::Malformed(Malformed::NotModifiedUnasked));
        }
        if self.question.head_only && self.verify.hides_content(head.fields.first("content-length")) {
            self.flaw = Some(Flaw::Malformed(Malformed::LengthOfHead));
        }
        if let Some(why) = ambiguous_length(head, kind.fleet) {
            self.flaw = Some(Flaw::Malformed(why));
        }
        if rules.heads {
            self.head_text =
                if head.version == HttpVersion::Http2 { words::of_head(head) } else { head.bytes.to_vec() };
        }
        if self.verify.head_differs() || self.verify.changed_date().is_some() {
            let covered = |name: &str| COVERED.iter().chain(&[DATE]).any(|it| name.eq_ignore_ascii_case(it));
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let fields = head.fields.iter().filter(|field| covered(field.name));
            self.differing = fields.map(|field| (field.name.to_owned(), text(field.value))).collect();
        }
    }

    /// The response is whole: verifies it.
    fn whole(&mut self, rules: &Rules, notes: &mut ResponseNotes) -> ClientOutcome {
        let wants_text = rules.heads || self.is_of_nobody();
        let CurrentResponse { verify, who, kept, .. } = self;
        verify.end_data(|content| {
            who.see_data(content, rules.identity);
            kept.see(content, rules, wants_text);
        });
        if self.is_too_large(rules) {
            return ClientOutcome::TooLarge;
        }
        self.who.end_body(rules.identity, notes.backends);
        if let Some(place) = rules.session.filter(|place| place.is_in_body()) {
            self.session = place.find(&self.kept.session);
        }
        let BodyComparison { flaw, changes, digest_changed, digest_lost } =
            self.verify.end(&mut self.who, notes.backends);
        for change in changes {
            self.deviate(change, notes);
        }
        if let Some(written) = self.verify.changed_date() {
            let received: Vec<&str> = self.values_that_differ(DATE).collect();
            notes.samples.deviate_in_date(written, &received, self.question.sequence);
        }
        if self.is_of_nobody()
            && let Some(words) = words::beyond_status(self.status, &self.kept.text)
        {
            notes.samples.see_words(self.status, words, self.question.sequence);
        }
        if digest_changed || digest_lost {
            let written = digest_lost.then_some("digests of head and body");
            notes.samples.deviate(DIGEST_HEADER, written, &[], self.question.sequence);
        }
        let has_content = self.who.backend.is_known() && self.verify.length() > 0;
        notes.samples.see_content(has_content, self.verify.is_coded());
        self.flaw = self.flaw.or(flaw);
        self.compare_call(notes);
        self.compare_session(notes);
        match self.flaw {
            // A field that a balancer sets is a matter of its configuration: the rules judge it.
            None | Some(Flaw::Field) => ClientOutcome::Response,
            Some(Flaw::CutMessage) => ClientOutcome::Truncated,
            Some(
                Flaw::Malformed(_)
                | Flaw::Status
                | Flaw::Body
                | Flaw::Frame
                | Flaw::Identity
                | Flaw::Coding
                | Flaw::NoCallStatus
                | Flaw::TwoCallStatuses
                | Flaw::CodedCall
                | Flaw::UnnamedCoding
                | Flaw::NoEventStream,
            ) => ClientOutcome::Altered,
        }
    }

    /// A call has ended as its status says; one without has not.
    fn compare_call(&mut self, notes: &mut ResponseNotes) {
        let Some(call) = &self.call else { return };
        self.flaw = call.flaw(self.who.is_ours()).or(self.flaw);
        // A call that failed need not have the message in which a backend names itself.
        if let Some(status) = call.status.filter(|status| *status != GrpcStatus::OK) {
            self.status = status_of_call(status);
            self.flaw = self.flaw.filter(|flaw| *flaw != Flaw::Body);
            let words = call.explanations.join(" ");
            if !self.who.backend.is_known()
                && let Some(words) = words::beyond_status(self.status, words.as_bytes())
            {
                notes.samples.see_words(self.status, words, self.question.sequence);
            }
        }
        // Our backends explain failures alone, and write that twice. What has no copy may be the balancer's own end of the call.
        let is_judged = self.who.is_ours() && (call.written.is_some() || call.status == Some(GrpcStatus::OK));
        if is_judged && !call.explanations.iter().eq(&call.written) {
            let received: Vec<&str> = call.explanations.iter().map(String::as_str).collect();
            notes.samples.deviate(grpc::MESSAGE_FIELD, call.written.as_deref(), &received, self.question.sequence);
            self.flaw = self.flaw.or(Some(Flaw::Field));
        }
    }

    /// Our backend opens a session with the id of this response: the cookie of that name has no other, unless it is another client's.
    fn compare_session(&mut self, notes: &mut ResponseNotes) {
        let Some(opened) = self.opened.filter(|opened| *opened == self.who.response_id) else { return };
        let of_cookie = |cookie: &String| {
            let (name, rest) = cookie.split_once('=')?;
            let value = rest.split(';').next().unwrap_or_default().trim();
            Uuid::try_parse(value).ok().filter(|_| name.trim() == SESSION_COOKIE && value.len() == UUID_BYTES)
        };
        if let Some(other) = self.cookies.iter().filter_map(of_cookie).find(|other| *other != opened) {
            let (written, received) = (format!("{SESSION_COOKIE}={opened}"), format!("{SESSION_COOKIE}={other}"));
            notes.samples.deviate("Set-Cookie", Some(&written), &[&received], self.question.sequence);
            self.flaw = self.flaw.or(Some(Flaw::Field));
        }
    }

    fn values_that_differ(&self, name: &str) -> impl Iterator<Item = &str> {
        self.differing.iter().filter(move |(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn deviate(&self, change: HeadChange, notes: &mut ResponseNotes) {
        let sequence = self.question.sequence;
        let (name, written) = match change {
            HeadChange::Status { written } => {
                let (written, received) = (written.to_string(), self.status.to_string());
                return notes.samples.deviate("status", Some(&written), &[&received], sequence);
            }
            HeadChange::Lost { name, written } | HeadChange::Changed { name, written } => (name, Some(written)),
            HeadChange::Doubled { name } | HeadChange::Added { name } => (name, None),
        };
        let received: Vec<&str> = self.values_that_differ(name).collect();
        // A field that came twice came once as it was written.
        let written = match change {
            HeadChange::Doubled { .. } => received.first().copied(),
            HeadChange::Status { .. }
            | HeadChange::Lost { .. }
            | HeadChange::Changed { .. }
            | HeadChange::Added { .. } => written,
        };
        notes.samples.deviate(name, written, &received, sequence);
    }
}

#[cfg(test)]
mod tests;
