//! One request and its response: how it is treated, what is recorded of it, what is responded. Its bytes are `connection`'s.

use std::time::Duration;

use http::ws::{self, NoUpgrade};
use http::{Digest, Framing, HttpVersion, Malformed, RequestHead, digest};
use uuid::Uuid;
use verdict::notes::Note;
use verdict::request::{Differences, RequestComparison, SentBody};
use verdict::response::ContentKind;

use crate::backend::arrival::CheckHeaders;
use crate::backend::ask::{RequestedContent, RequestedResponse};
use crate::backend::content::{self, PageFacts, PageFormat};
use crate::backend::fault::{Effect, RequestKind, Treatment};
use crate::backend::grpc::GrpcCall;
use crate::backend::response::{Response, ResponseBody};
use crate::backend::session::Session;
use crate::backend::state::ProcessState;
use crate::journal::Claim;
use crate::wire::{
    ArrivedHead, AttemptConnection, AttemptEnd, ClippedText, End, Generator, Moment, ReceivedAttempt, Refusal,
    RequestId, ResponseId, Revision, Secured,
};

/// Where a request came: the connection, and its place on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arriving<'c> {
    /// The client's end of the connection, or the client that a PROXY header tells of.
    pub(super) peer: End,
    /// If there was such a header: who sent it.
    pub(super) via: Option<End>,
    pub(super) local: End,
    /// Number of the connection in this backend, from 1.
    pub(super) connection: u64,
    /// Number of the request on the connection, from 1.
    pub(super) request_number: u32,
    pub(super) tls: Option<&'c Secured>,
}

/// A request that was read, at least its head, and that has not been responded to.
pub(super) struct Exchange {
    pub(super) claim: Claim,
    pub(super) response: Response,
    pub(super) treatment: Treatment,
    /// Where it is one of gRPC: then that says what is responded.
    pub(super) call: Option<Box<GrpcCall>>,
    body: Option<Box<IncomingBody>>,
}

/// A request body of which not all has been read.
struct IncomingBody {
    framing: Framing,
    length: u64,
    digest: Sum,
    comparison: Option<RequestComparison>,
    /// How the head differs from what the client sent.
    differences: Differences,
}

/// The digest of a body. One that comes in one piece needs no state, nor does a short one before its end is known to have come.
enum Sum {
    Nothing,
    Whole(u64),
    Short(Vec<u8>),
    Pieces(Digest),
}

/// Pieces are kept as they came up to this length: not more than the state of a digest has.
const SHORT_BODY: usize = 256;

impl Exchange {
    /// Decides what a request gets, and claims its record.
    pub(super) fn begin(head: &RequestHead, at: &Arriving, now: Moment, state: &mut ProcessState) -> Exchange {
        let arrival = arrived(head, at);
        let (mut response, treatment, call) = match GrpcCall::of(head, now, || ResponseId(Uuid::new_v4())) {
            Some(call) => respond_to_call(call, head, &arrival, at, now, state),
            None => {
                let (response, treatment) = respond(head, &arrival, at, now, state);
                (response, treatment, None)
            }
        };
        response.request = arrival.request;
        let claim = state.journal.claim(&ReceivedAttempt {
            life: response.life().as_ref(),
            call: call.as_ref().map(|call| &call.record),
            ..read(head, &arrival.arrived(), &response, at, now, state.generator)
        });
        let body = (head.framing != Framing::None).then(|| {
            Box::new(IncomingBody {
                framing: head.framing,
                length: 0,
                digest: Sum::Nothing,
                comparison: arrival.comparison,
                differences: arrival.differences(),
            })
        });
        Exchange { claim, response, treatment, call, body }
    }

    /// A request on a stream beyond those that may be open at once: nothing is done with it but its record.
    pub(super) fn refuse_stream(head: &RequestHead, at: &Arriving, now: Moment, state: &mut ProcessState) {
        let arrival = arrived(head, at);
        let mut response = Response::of(503, ContentKind::Line, ResponseBody::Bytes(Vec::new()));
        (response.answer, response.request) = (Some(ResponseId(Uuid::new_v4())), arrival.request);
        let claim = state.journal.claim(&read(head, &arrival.arrived(), &response, at, now, state.generator));
        state.journal.complete(claim, now, 0, AttemptEnd::Refused);
    }

    /// A request that cannot be read.
    pub(super) fn refused(
        refusal: Refusal,
        request: Option<RequestId>,
        at: &Arriving,
        now: Moment,
        state: &mut ProcessState,
    ) -> Exchange {
        let mut response = refuse(refusal, state);
        (response.answer, response.request) = (Some(ResponseId(Uuid::new_v4())), request);
        let attempt = ReceivedAttempt { refusal: Some(refusal), ..received(&response, at, now, state.generator) };
        let claim = state.journal.claim(&attempt);
        Exchange { claim, response, treatment: Treatment::NORMAL, call: None, body: None }
    }

    /// Takes the next piece of its body.
    pub(super) fn see(&mut self, data: &[u8]) {
        let Some(body) = &mut self.body else { return };
        let is_whole = body.framing == Framing::Length(data.len() as u64);
        match &mut body.digest {
            Sum::Nothing if is_whole => body.digest = Sum::Whole(digest(data)),
            Sum::Nothing if data.len() <= SHORT_BODY => body.digest = Sum::Short(data.to_vec()),
            Sum::Nothing => body.digest = Sum::Pieces(Digest::of(data)),
            Sum::Short(earlier) => {
                let mut pieces = Digest::of(earlier);
                pieces.update(data);
                body.digest = Sum::Pieces(pieces);
            }
            Sum::Pieces(pieces) => pieces.update(data),
            // Nothing follows what was all of it.
            Sum::Whole(_) => {}
        }
        body.length += data.len() as u64;
    }

    /// The request's body has ended.
    pub(super) fn whole(&mut self, state: &mut ProcessState) {
        if let Some(body) = self.body.take() {
            let arrived = body.arrived();
            let mut differences = body.differences;
            if let Some(mut comparison) = body.comparison {
                comparison.see_body(arrived);
                differences = comparison.differences;
            }
            state.journal.revise(&mut self.claim, &Revision { body: arrived, differences, refusal: None });
        }
    }

    /// Its body cannot be read: it gets a refusal instead of what it asked for.
    pub(super) fn refuse_body(&mut self, why: Malformed, state: &mut ProcessState) {
        let refusal = Refusal::Malformed(why);
        let response = refuse(refusal, state);
        self.response = Response { answer: self.response.answer, request: self.response.request, ..response };
        self.treatment = Treatment::NORMAL;
        self.claim.revise_status(self.response.status);
        if let Some(body) = self.body.take() {
            let revision = Revision { body: body.arrived(), differences: body.differences, refusal: Some(refusal) };
            state.journal.revise(&mut self.claim, &revision);
        }
    }
}

impl IncomingBody {
    fn arrived(&self) -> SentBody {
        let digest = match &self.digest {
            Sum::Nothing => digest(b""),
            Sum::Whole(digest) => *digest,
            Sum::Short(bytes) => digest(bytes),
            Sum::Pieces(pieces) => pieces.finish(),
        };
        SentBody { length: self.length, digest }
    }
}

fn arrived<'h>(head: &'h RequestHead, at: &Arriving) -> CheckHeaders<'h> {
    let mut arrival = CheckHeaders::of(head);
    // A header may name nobody: health checks of the balancer's own.
    if at.via.is_some_and(|via| via != at.peer) {
        arrival.notes.add(Note::Proxied);
    }
    arrival
}

/// Of an attempt whose head was read.
fn read<'a>(
    head: &RequestHead<'_, 'a>,
    arrived: &'a ArrivedHead<'a>,
    response: &Response,
    at: &Arriving<'a>,
    now: Moment,
    generator: Generator,
) -> ReceivedAttempt<'a> {
    ReceivedAttempt {
        method: ClippedText::new(head.method.as_bytes()),
        path: ClippedText::new(head.target.as_bytes()),
        arrived,
        ..received(response, at, now, generator)
    }
}

/// Of an attempt without a head.
fn received<'a>(response: &Response, at: &Arriving<'a>, now: Moment, generator: Generator) -> ReceivedAttempt<'a> {
    ReceivedAttempt {
        received: now,
        generator,
        response: response.answer,
        request: response.request,
        on: AttemptConnection { number: at.connection, request_number: at.request_number, peer: at.peer, tls: at.tls },
        method: ClippedText::new(b""),
        path: ClippedText::new(b""),
        status: response.status,
        arrived: &ArrivedHead::NOTHING,
        refusal: None,
        life: None,
        call: None,
    }
}

fn refuse(refusal: Refusal, state: &mut ProcessState) -> Response {
    Response::line(status_of(refusal), &format!("refused: {refusal}"), state.buffer())
}

/// The status that RFC 9110 and 9112 want for it.
fn status_of(refusal: Refusal) -> u16 {
    match refusal {
        Refusal::TooSlow => 408,
        Refusal::NoTls => 400,
        Refusal::Malformed(Malformed::HeadTooLarge | Malformed::TooManyFields) => 431,
        Refusal::Malformed(Malformed::FirstLineTooLong) => 414,
        Refusal::Malformed(Malformed::Version) => 505,
        Refusal::Malformed(Malformed::EncodingUnknown) => 501,
        Refusal::Malformed(_) => 400,
    }
}

/// What the request gets, before faults change it on its way.
fn respond(
    head: &RequestHead,
    arrival: &CheckHeaders,
    at: &Arriving,
    now: Moment,
    state: &mut ProcessState,
) -> (Response, Treatment) {
    let buffer = state.buffer();
    if let Some((status, text)) = state.health.of(head.path(), state.draining) {
        return (Response::line(status, text, buffer), Treatment::NORMAL);
    }
    let mut treatment = if state.faults.are_none() {
        Treatment::NORMAL
    } else {
        let kind = if head.version == HttpVersion::Http2 { RequestKind::Stream } else { RequestKind::Plain };
        state.faults.treat(arrival.request, kind, chance)
    };
    let answer = ResponseId(Uuid::new_v4());
    let asked = RequestedResponse::of(head);
    treatment.delay += asked.as_ref().map_or(Duration::ZERO, |asked| asked.delay);
    let mut response = match (treatment.effect, asked) {
        (Effect::Status(status), _) => {
            Response::line(status, &format!("status {status}, a fault that is switched on"), buffer)
        }
        (Effect::FirstFailed, _) => {
            Response::line(503, "one of the first attempts, a fault that is switched on", buffer)
        }
        // RFC 9110 §9.3.6 and §9.3.8: a backend opens no tunnel, and gives no request back with its credentials in it.
        _ if matches!(head.method, "CONNECT" | "TRACE") => {
            Response::line(405, "CONNECT and TRACE are not served here", buffer)
        }
        (_, Err(bad)) => Response::line(400, bad.why(), buffer),
        (_, Ok(asked)) => fulfil(asked.what, &ContentRequest { head, arrival, at, answer, now }, buffer, state),
    };
    response.answer = Some(answer);
    if state.show.wants(now) {
        state.show.add(head, arrival.request, at.peer.to_string(), answer, response.status, now);
    }
    (response, treatment)
}

/// A request that gets what it asks for.
struct ContentRequest<'a> {
    head: &'a RequestHead<'a, 'a>,
    arrival: &'a CheckHeaders<'a>,
    at: &'a Arriving<'a>,
    answer: ResponseId,
    now: Moment,
}

fn fulfil(what: RequestedContent, asked: &ContentRequest, buffer: Vec<u8>, state: &mut ProcessState) -> Response {
    match what {
        RequestedContent::Page => page(None, asked, buffer, state),
        RequestedContent::Session => page(Some(Session::of(asked.head, asked.answer)), asked, buffer, state),
        RequestedContent::Status(status) => Response::line(status, &format!("status {status}, as asked"), buffer),
        RequestedContent::Bytes(length) => {
            state.recycle(buffer);
            Response::of(200, ContentKind::Bytes, ResponseBody::Pattern(length))
        }
        RequestedContent::Paced(pace) => {
            state.recycle(buffer);
            Response::of(200, pace.content(), ResponseBody::Paced { pace, first: pace.first(asked.head) })
        }
        RequestedContent::Socket(ask) => match ws::upgrade(asked.head) {
            Ok(accept) => {
                state.recycle(buffer);
                Response::of(101, ContentKind::Line, ResponseBody::Socket { accept, ask })
            }
            Err(why @ (NoUpgrade::NotAsked | NoUpgrade::Version)) => Response::line(426, why.as_str(), buffer),
            Err(why @ NoUpgrade::Key) => Response::line(400, why.as_str(), buffer),
        },
    }
}

/// The page with number and UUID, in the format that the request prefers.
fn page(session: Option<Session>, asked: &ContentRequest, mut body: Vec<u8>, state: &mut ProcessState) -> Response {
    let ContentRequest { head, arrival, at, answer, now } = *asked;
    let Ok(format) = PageFormat::wanted(head, arrival.states_preference) else {
        return Response::line(400, "unknown format: expected html, json or text", body);
    };
    let facts = PageFacts {
        session: session.as_ref().map(Session::id),
        request: head,
        identity: &state.identity,
        answer,
        unix: state.calendar.unix(now),
        peer: at.peer,
        via: at.via,
        local: at.local,
        connection: at.connection,
        request_number: at.request_number,
    };
    content::write(&mut body, format, &facts, &mut state.page);
    Response { session: session.map(Box::new), ..Response::of(200, format.content(), ResponseBody::Bytes(body)) }
}

/// What a call gets: its head; what follows is up to the call.
fn respond_to_call(
    call: Box<GrpcCall>,
    head: &RequestHead,
    arrival: &CheckHeaders,
    at: &Arriving,
    now: Moment,
    state: &mut ProcessState,
) -> (Response, Treatment, Option<Box<GrpcCall>>) {
    let is_about_itself = call.is_about_itself();
    let treatment = if is_about_itself || state.faults.are_none() {
        Treatment::NORMAL
    } else {
        state.faults.treat(arrival.request, RequestKind::Call, chance)
    };
    let answer = call.response;
    let (mut response, call) = match treatment.effect {
        Effect::Status(status) => {
            let text = format!("status {status}, a fault that is switched on");
            (Response::line(status, &text, state.buffer()), None)
        }
        _ if head.method != "POST" => (Response::line(405, "a gRPC call is a POST", state.buffer()), None),
        _ => {
            let body = ResponseBody::Messages { digest: None };
            (Response::of(200, ContentKind::Grpc, body), Some(call))
        }
    };
    response.answer = Some(answer).filter(|_| !is_about_itself);
    if !is_about_itself && state.show.wants(now) {
        state.show.add(head, arrival.request, at.peer.to_string(), answer, response.status, now);
    }
    (response, treatment, call)
}

/// Uniform from 0 and below 1: of a fresh UUID 53 bits that are random.
fn chance() -> f64 {
    const BITS: u32 = 53;
    (Uuid::new_v4().as_u128() as u64 & ((1 << BITS) - 1)) as f64 / (1u64 << BITS) as f64
}
