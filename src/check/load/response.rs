//! PURE. Reads a response as it comes and notes what it is: who gave it and to what (`identify`), and whether it is as it was
//! written (`verify`). Where it ends is the http crate's. Nothing of it is stored that need not be.

use http::RequestContext;
use http::grpc::{self, GrpcStatus, MessageReader};
use http::h1::client::{Ended, Receiver, ResponseEvent, ResponseProgress};
use http::h2::client as h2;
use http::{Field, Framing, HttpVersion, Malformed, ResponseHead};

use crate::check::load::affinity::{self, SessionPlace};
use crate::check::load::identify::{BackendNames, Identify, Identity};
use crate::check::load::page::UUID_BYTES;
use crate::check::load::request::ID_BYTES;
use crate::check::load::samples::Samples;
use crate::check::load::verify::{BodyComparison, Kind, Verify};
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

/// Of a body that people look at.
const TEXT_LIMIT: usize = 16 * 1024;

/// What is the same for all responses of a run.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    /// Where the backend's name is found.
    pub(super) identity: &'a Identity,
    /// Bytes of a body; more are not read.
    pub(super) body_limit: u64,
    /// Whether cookies are wanted.
    pub(super) cookies: bool,
    /// Whether heads are wanted as text.
    pub(super) heads: bool,
    /// Where backends open a session, if that is wanted.
    pub(super) session: Option<&'a SessionPlace>,
    /// Whether requests are calls of gRPC.
    pub(super) grpc: bool,
}

/// What is learnt beside the response at hand.
#[derive(Debug)]
pub(super) struct ResponseNotes<'a> {
    pub(super) backends: &'a mut BackendNames,
    /// What a report shows.
    pub(super) samples: &'a mut Samples,
}

/// What the response depends on of the request that it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Question {
    pub(super) id: [u8; ID_BYTES],
    pub(super) sequence: u64,
    pub(super) head_only: bool,
    /// Whether 304 may answer it.
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
    /// The body in which that stands.
    session_body: Vec<u8>,
    head_text: Vec<u8>,
    /// The beginning of the body, where heads are wanted.
    body_text: Vec<u8>,
    /// Names and values of the fields that a digest covers, of a response of ours whose head differs; empty of any other.
    differing: Vec<(String, String)>,
}

/// What is known of the response to a call of gRPC.
#[derive(Debug)]
struct CallResponse {
    status: Option<GrpcStatus>,
    messages: MessageReader,
    /// What is no message has come.
    is_broken: bool,
}

impl CallResponse {
    fn see_status(&mut self, name: &str, value: &[u8]) {
        if name == grpc::STATUS_FIELD {
            self.status = GrpcStatus::of_field(value);
        }
    }

    fn see_data(&mut self, mut data: &[u8]) {
        while !self.is_broken {
            match self.messages.next(&mut data) {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => self.is_broken = true,
            }
        }
    }
}

const NO_QUESTION: Question = Question { id: [0; ID_BYTES], sequence: 0, head_only: false, conditional: false };

impl ResponseReader {
    /// A reader that expects no response yet.
    pub(super) fn new() -> ResponseReader {
        ResponseReader { receiver: Receiver::new(HEAD_LIMIT), response: CurrentResponse::to(NO_QUESTION) }
    }

    /// Expects the response to that.
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
        String::from_utf8_lossy(&self.response.body_text).into_owned()
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
    pub(super) fn feed(&mut self, input: &[u8], rules: &Rules, book: &mut ResponseNotes) -> ReadStep {
        let ResponseReader { receiver, response } = self;
        let progress = receiver.receive(input, &mut |event| response.see(event, rules, book));
        let outcome = match progress {
            _ if response.is_too_large(rules) => ClientOutcome::TooLarge,
            ResponseProgress::More => return ReadStep::More,
            ResponseProgress::Whole => response.whole(rules, book),
            ResponseProgress::WholeAndMore(why) => {
                response.whole(rules, book);
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
    pub(super) fn take(&mut self, event: h2::ClientEvent, rules: &Rules, book: &mut ResponseNotes) -> ReadStep {
        let response = &mut self.response;
        response.is_of_stream = true;
        let ended = match event {
            h2::ClientEvent::Malformed(why) | h2::ClientEvent::Broken(why) => return ReadStep::Over(self.fail(why)),
            h2::ClientEvent::Interim(status) => {
                response.continues |= status == 100;
                None
            }
            h2::ClientEvent::Head(head) => {
                let lines = head.lines();
                let head = head.head(&lines);
                response.see_head(&head, rules, book);
                (head.framing == Framing::None).then(|| response.whole(rules, book))
            }
            h2::ClientEvent::Data(data) => {
                response.see(ResponseEvent::Data(data), rules, book);
                None
            }
            h2::ClientEvent::End => Some(response.whole(rules, book)),
            h2::ClientEvent::Reset(_) if response.status != 0 => Some(ClientOutcome::Truncated),
            h2::ClientEvent::Reset(_) => Some(ClientOutcome::StreamReset),
            h2::ClientEvent::Trailers(trailers) => {
                if let Some(call) = &mut response.call {
                    trailers.iter().for_each(|field| call.see_status(field.name, field.value));
                }
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
    pub(super) fn end(&mut self, ending: Ending, rules: &Rules, book: &mut ResponseNotes) -> Option<ClientOutcome> {
        if let Some(over) = self.response.over {
            return Some(over);
        }
        let outcome = match self.receiver.end(ending == Ending::Closed) {
            Ended::Before => return None,
            Ended::Whole => self.response.whole(rules, book),
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
            session_body: Vec::new(),
            head_text: Vec::new(),
            body_text: Vec::new(),
            differing: Vec::new(),
        }
    }

    fn see(&mut self, event: ResponseEvent, rules: &Rules, book: &mut ResponseNotes) {
        match event {
            ResponseEvent::Interim(status) => self.continues |= status == 100,
            ResponseEvent::Head(head) => self.see_head(&head, rules, book),
            ResponseEvent::Data(data) => {
                self.received += data.len() as u64;
                if let Some(call) = &mut self.call {
                    call.see_data(data);
                }
                if self.received <= rules.body_limit {
                    self.verify.see_data(data);
                    self.who.see_data(data, rules.identity);
                }
                if rules.session.is_some_and(SessionPlace::is_in_body) {
                    let room = affinity::BODY_LIMIT - self.session_body.len();
                    self.session_body.extend_from_slice(&data[..data.len().min(room)]);
                }
                if rules.heads {
                    let room = TEXT_LIMIT - self.body_text.len();
                    self.body_text.extend_from_slice(&data[..data.len().min(room)]);
                }
            }
            // Backends write none.
            ResponseEvent::Trailers(_) => {}
        }
    }

    fn is_too_large(&self, rules: &Rules) -> bool {
        self.announces_too_much || self.received > rules.body_limit || self.verify.length() > rules.body_limit
    }

    fn begin_call(&mut self, head: &ResponseHead, rules: &Rules) {
        let messages = MessageReader::new(u32::try_from(rules.body_limit).unwrap_or(u32::MAX));
        let call = self.call.insert(Box::new(CallResponse { status: None, messages, is_broken: false }));
        head.fields.iter().for_each(|field| call.see_status(field.name, field.value));
    }

    fn see_head(&mut self, head: &ResponseHead, rules: &Rules, book: &mut ResponseNotes) {
        self.status = head.status;
        if rules.grpc && head.status == 200 {
            self.begin_call(head, rules);
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
                        Samples::see(&mut book.samples.codings, value);
                    }
                }
                _ => {}
            }
            self.verify.see_field(name, value);
            if let Identity::Header(wanted) = rules.identity
                && name.eq_ignore_ascii_case(wanted)
            {
                self.who.see_name(value);
            }
            if rules.session.and_then(SessionPlace::in_head).is_some_and(|wanted| name.eq_ignore_ascii_case(wanted)) {
                self.session = str::from_utf8(value).ok().filter(|id| affinity::is_id(id)).map(str::to_owned);
            }
        }
        self.end_head(head, html, rules, book);
        let is_foreign = !self.who.is_ours() || rules.identity.is_fleet();
        if is_foreign && let Some(server) = server {
            Samples::see(&mut book.samples.servers, server);
        }
        if let Some(via) = via {
            Samples::see(&mut book.samples.vias, via);
        }
    }

    /// All fields of the head are known.
    fn end_head(&mut self, head: &ResponseHead, html: bool, rules: &Rules, book: &mut ResponseNotes) {
        self.who.end_head(rules.identity, book.backends);
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
            fleet: rules.identity.is_fleet(),
        };
        self.verify.end_head(kind, &self.who);
        if head.status == 304 && !self.question.conditional {
            self.flaw = Some(Flaw::Malformed(Malformed::NotModifiedUnasked));
        }
        if rules.heads {
            self.head_text = if head.version == HttpVersion::Http2 { text_of(head) } else { head.bytes.to_vec() };
        }
        if self.verify.head_differs() {
            let covered = |name: &str| COVERED.iter().any(|it| name.eq_ignore_ascii_case(it));
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let fields = head.fields.iter().filter(|field| covered(field.name));
            self.differing = fields.map(|field| (field.name.to_owned(), text(field.value))).collect();
        }
    }

    /// Whole; what comes of it.
    fn whole(&mut self, rules: &Rules, book: &mut ResponseNotes) -> ClientOutcome {
        self.who.end_body(rules.identity, book.backends);
        if let Some(place) = rules.session.filter(|place| place.is_in_body()) {
            self.session = place.find(&self.session_body);
        }
        let BodyComparison { flaw, changes, digest_changed } = self.verify.end(&mut self.who, book.backends);
        for change in changes {
            self.deviate(change, book);
        }
        if digest_changed {
            book.samples.deviate(DIGEST_HEADER, None, &[], self.question.sequence);
        }
        self.flaw = self.flaw.or(flaw);
        self.compare_call();
        self.compare_session(book);
        match self.flaw {
            // A field that a balancer sets is a matter of its configuration: the rules judge it.
            None | Some(Flaw::Field) => ClientOutcome::Response,
            Some(
                Flaw::Malformed(_)
                | Flaw::Status
                | Flaw::Body
                | Flaw::Identity
                | Flaw::Coding
                | Flaw::NoCallStatus
                | Flaw::CutMessage,
            ) => ClientOutcome::Altered,
        }
    }

    /// A call has ended as its status says; one without has not.
    fn compare_call(&mut self) {
        let Some(call) = &self.call else { return };
        match call.status {
            None => self.flaw = Some(Flaw::NoCallStatus),
            Some(GrpcStatus::OK) if call.is_broken || !call.messages.is_between_messages() => {
                self.flaw = Some(Flaw::CutMessage);
            }
            Some(GrpcStatus::OK) => {}
            // A call that failed need not have the message in which a backend names itself.
            Some(status) => {
                self.status = status_of_call(status);
                self.flaw = self.flaw.filter(|flaw| *flaw != Flaw::Body);
            }
        }
    }

    /// Our backend opens a session with the id of this response: the cookie of that name has no other, unless it is another client's.
    fn compare_session(&mut self, book: &mut ResponseNotes) {
        let Some(opened) = self.opened.filter(|opened| *opened == self.who.response_id) else { return };
        let of_cookie = |cookie: &String| {
            let (name, rest) = cookie.split_once('=')?;
            let value = rest.split(';').next().unwrap_or_default().trim();
            Uuid::try_parse(value).ok().filter(|_| name.trim() == SESSION_COOKIE && value.len() == UUID_BYTES)
        };
        if let Some(other) = self.cookies.iter().filter_map(of_cookie).find(|other| *other != opened) {
            let (written, received) = (format!("{SESSION_COOKIE}={opened}"), format!("{SESSION_COOKIE}={other}"));
            book.samples.deviate("Set-Cookie", Some(&written), &[&received], self.question.sequence);
            self.flaw = self.flaw.or(Some(Flaw::Field));
        }
    }

    fn deviate(&self, change: HeadChange, book: &mut ResponseNotes) {
        let sequence = self.question.sequence;
        let (name, written) = match change {
            HeadChange::Status { written } => {
                let (written, received) = (written.to_string(), self.status.to_string());
                return book.samples.deviate("status", Some(&written), &[&received], sequence);
            }
            HeadChange::Lost { name, written } | HeadChange::Changed { name, written } => (name, Some(written)),
            HeadChange::Doubled { name } | HeadChange::Added { name } => (name, None),
        };
        let named = self.differing.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
        let received: Vec<&str> = named.map(|(_, value)| value.as_str()).collect();
        // A field that came twice came once as it was written.
        let written = match change {
            HeadChange::Doubled { .. } => received.first().copied(),
            HeadChange::Status { .. }
            | HeadChange::Lost { .. }
            | HeadChange::Changed { .. }
            | HeadChange::Added { .. } => written,
        };
        book.samples.deviate(name, written, &received, sequence);
    }
}

/// A head of HTTP/2 as people write it.
fn text_of(head: &ResponseHead) -> Vec<u8> {
    let mut text = format!("HTTP/2 {}\r\n", head.status).into_bytes();
    head.fields.iter().for_each(|Field { name, value }| http::encode::field(&mut text, name, value));
    http::encode::end_of_head(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::check::load::request::id;
    use crate::wire::page;
    use verdict::observation::Echo;
    use verdict::response::{ContentKind, WrittenHead, digest_value, of_body, of_pattern};

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
            let mut book = ResponseNotes { backends: &mut backends, samples: &mut samples };
            let mut reader = ResponseReader::new();
            reader.begin(Question { id: id(1, 2), sequence: 2, head_only: self.head_only, conditional: false });
            let mut outcome = None;
            for piece in pieces {
                if let ReadStep::Over(over) = reader.feed(piece, &rules, &mut book) {
                    outcome = Some(over);
                    if over != ClientOutcome::Response {
                        break;
                    }
                }
            }
            if let (None, Some(ending)) = (outcome, ending) {
                outcome = reader.end(ending, &rules, &mut book);
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
             Response-Id: {UUID}\r\nCheck-Request-Id: 0000000000000001-0000000000000002\r\n"
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
            outcome: Some(ClientOutcome::Response),
            status: 200,
            answer: UUID.to_owned(),
            backend: Some("9001".to_owned()),
            echo: Echo::Own,
            reusable: true,
            cookies: Vec::new(),
            flaw: None,
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
        assert_eq!(client.whole(&head), ours());
        let learnt = client.whole(page_answer());
        let flaw = Some(Flaw::Malformed(Malformed::BodyAfterHead));
        assert_eq!(learnt, Learnt { outcome: Some(ClientOutcome::Altered), flaw, reusable: false, ..ours() });
        let bare = |status: u16| CLIENT.whole(format!("HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n"));
        assert_eq!((bare(204).outcome, bare(204).reusable), (Some(ClientOutcome::Response), true));
        let flaw = Some(Flaw::Malformed(Malformed::NotModifiedUnasked));
        assert_eq!((bare(304).outcome, bare(304).flaw), (Some(ClientOutcome::Altered), flaw));
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
        assert_eq!(CLIENT.whole(&two_framings).outcome, Some(ClientOutcome::Response));
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
        let echo = Learnt { echo: Echo::None, ..ours() };
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

    #[test]
    fn a_body_that_was_compressed_on_the_way_is_compared_all_the_same() {
        use std::io::Write;
        let compress = |body: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        };
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
        for (coding, right, wrong) in
            [("br", brotli(b"hello"), brotli(b"hallo")), ("zstd", zstd(b"hello"), zstd(b"hallo"))]
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
        assert_eq!(digested(digest), stripped);
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
        assert_eq!(learnt, Learnt { answer: String::new(), backend: None, echo: Echo::None, ..ours() });
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
}
