//! One connection of HTTP/2: bytes in, responses of many streams out, each attempt in the journal before its response leaves.
//! It owns no socket; the server feeds it and reports how much of its output was written.

mod active;
mod calling;
mod leaving;
mod pacing;
mod sending;

use std::collections::VecDeque;

use http::h2::server::{Server, ServerEvent};
use http::h2::{AnnouncedSettings, Block, ErrorCode, Follows};
use http::{Framing, Malformed, StreamId, Written};

use crate::backend::exchange::{Arriving, Exchange};
use crate::backend::fault::{Effect, Treatment};
use crate::backend::multiplexed::active::{Active, StreamPhase};
use crate::backend::multiplexed::calling::{CallProgress, Calling};
use crate::backend::multiplexed::leaving::{LeavingResponse, RequestRest};
use crate::backend::multiplexed::pacing::{PacingProgress, StreamPacing};
use crate::backend::multiplexed::sending::{BodyPart, Sending, SendingProgress};
use crate::backend::paced::Paced;
use crate::backend::response::{Response, ResponseBody};
use crate::backend::state::ProcessState;
use crate::backend::turn::ConnectionTurn;
use crate::backend::waiting::{Origin, Waiting};
use crate::journal::Claim;
use crate::wire::{AttemptEnd, Moment, REQUEST_HEADER, Refusal, RequestId, ResponseId};
use verdict::life::LifeEnd;

pub(super) struct StreamConnection {
    origin: Origin,
    http: Server,
    /// A frame that is not complete yet.
    inbox: Vec<u8>,
    /// Requests that have come and whose responses are not in the output to their end.
    active: Vec<Active>,
    /// Those whose responses are, in the order in which they leave.
    leaving: VecDeque<LeavingResponse>,
    /// Which of the responses that go on has the next piece.
    next_piece: usize,
    stage: StreamStage,
    /// Its client knows that no more streams are wanted.
    is_draining: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum StreamStage {
    Open,
    /// No more streams are taken; it ends with the last of those that are open.
    Leaving,
    /// Nothing more is read.
    Over,
    /// Nothing more is read, and what was written and not sent is dropped.
    Reset,
}

/// That one turn adds to the output, each of at most [`leaving::PIECE`].
const PIECES_A_TURN: usize = 4;
/// GOAWAY with it says that streams are still taken.
const LAST_STREAM: u32 = (1 << 31) - 1;
const HTTP_1_1_REQUIRED: ErrorCode = ErrorCode(13);

impl StreamConnection {
    /// On which nothing has come but perhaps the preface; appends what a server says first.
    pub(super) fn new(origin: Origin, state: &ProcessState, out: &mut Vec<u8>) -> StreamConnection {
        let settings = AnnouncedSettings {
            max_head: state.limits.field_bytes,
            max_streams: most_streams(state),
            ..AnnouncedSettings::SERVER
        };
        let mut http = Server::new(settings);
        http.begin(settings, out);
        StreamConnection {
            origin,
            http,
            inbox: Vec::new(),
            active: Vec::new(),
            leaving: VecDeque::new(),
            next_piece: 0,
            stage: StreamStage::Open,
            is_draining: false,
        }
    }

    pub(super) fn waiting(&self) -> Waiting {
        match self.stage {
            StreamStage::Reset => Waiting::Reset,
            StreamStage::Over => Waiting::Over,
            StreamStage::Leaving if self.is_idle() => Waiting::Over,
            StreamStage::Open | StreamStage::Leaving if !self.is_idle() => Waiting::Streams {
                due: self.due(),
                more: self.active.iter().any(|it| it.can_go_on(&self.http)),
                body: self.active.iter().any(Active::waits_for_client),
            },
            StreamStage::Open | StreamStage::Leaving if self.inbox.is_empty() && self.http.has_settings() => {
                Waiting::Idle
            }
            StreamStage::Open | StreamStage::Leaving => Waiting::Head,
        }
    }

    fn is_idle(&self) -> bool {
        self.active.is_empty() && self.leaving.is_empty()
    }

    /// When the next thing that is held back is due.
    fn due(&self) -> Option<Moment> {
        self.active.iter().filter_map(Active::due).filter(|due| *due > Moment(0)).min()
    }

    /// Whether new connections get another certificate than this one has.
    pub(super) fn is_left(&self, state: &ProcessState) -> bool {
        self.origin.tls.as_ref().is_some_and(|tls| tls.bad != state.bad_certificate())
    }

    pub(super) fn has_begun(&self) -> bool {
        self.http.requests() > 0
    }

    pub(super) fn left_something_unread(&self) -> bool {
        self.http.left_something_unread()
    }

    /// Takes what has arrived and appends to `out` what is to be written.
    pub(super) fn receive(&mut self, input: &[u8], turn: &mut ConnectionTurn) {
        if self.inbox.is_empty() {
            let rest = self.converse(input, turn);
            self.inbox.extend_from_slice(rest);
        } else {
            self.inbox.extend_from_slice(input);
            let inbox = std::mem::take(&mut self.inbox);
            let rest = self.converse(&inbox, turn).len();
            self.inbox = inbox;
            self.inbox.drain(..self.inbox.len() - rest);
        }
        if self.inbox.is_empty() {
            // An idle connection holds no memory for frames.
            self.inbox = Vec::new();
        }
        // One that began after the backend had announced it, for a request that it still gets a response to.
        if self.has_begun() {
            self.wind_down(turn);
        }
    }

    fn converse<'b>(&mut self, input: &'b [u8], turn: &mut ConnectionTurn) -> &'b [u8] {
        let mut rest = input;
        let mut block = std::mem::take(&mut turn.state.block);
        while let Some((stream, event)) = self.http.receive(&mut rest, &mut block, turn.now.0, turn.out) {
            match event {
                ServerEvent::Head(request) => {
                    let lines = request.lines();
                    let head = request.head(&lines);
                    let rest_of_it = match head.framing {
                        Framing::None => RequestRest::Nothing,
                        _ if head.expects_continue && rest.is_empty() => RequestRest::ContentOnceAsked,
                        _ => RequestRest::Content,
                    };
                    let exchange = Exchange::begin(&head, &self.arriving(), turn.now, turn.state);
                    if self.turns_away(stream, exchange.treatment.effect, turn) {
                        turn.state.journal.complete(exchange.claim, turn.now, 0, AttemptEnd::Refused);
                    } else {
                        self.take_up(stream, exchange, rest_of_it, turn);
                    }
                }
                ServerEvent::Refused(request) => {
                    Exchange::refuse_stream(&request.head(&request.lines()), &self.arriving(), turn.now, turn.state);
                }
                ServerEvent::Data(data) => match self.place(stream).map(|place| (place, &mut self.active[place].phase))
                {
                    Some((_, StreamPhase::Reading(exchange))) => exchange.see(data),
                    Some((place, StreamPhase::Calling(calling))) => {
                        calling.receive(data, turn);
                        self.drive_call(place, turn);
                    }
                    _ => {}
                },
                ServerEvent::Trailers(_) => {}
                ServerEvent::End => self.end_request(stream, turn),
                ServerEvent::Malformed(why) => {
                    let request = find_id(&block);
                    self.refuse(stream, why, request, turn);
                }
                ServerEvent::Reset(code) => self.cancel(stream, code, turn),
                ServerEvent::GoAway(_) => self.stage = StreamStage::Leaving,
                ServerEvent::Broken(why) => {
                    if self.active.is_empty() && self.http.requests() == 0 {
                        // Of a connection on which nothing else came there would be no record at all.
                        self.refuse(StreamId(0), why, None, turn);
                    }
                    self.stage = StreamStage::Over;
                }
            }
            if self.is_over() {
                self.http.stop();
            }
        }
        turn.state.block = block;
        rest
    }

    /// The request is whole.
    fn end_request(&mut self, stream: StreamId, turn: &mut ConnectionTurn) {
        let Some(place) = self.place(stream) else { return };
        if let StreamPhase::Calling(calling) = &mut self.active[place].phase {
            calling.finish(turn);
            self.drive_call(place, turn);
        } else if let StreamPhase::Reading(_) = self.active[place].phase
            && let StreamPhase::Reading(mut exchange) = self.active.swap_remove(place).phase
        {
            exchange.whole(turn.state);
            self.hold_back(stream, *exchange, turn);
        }
    }

    /// A request has come, at least its head.
    fn take_up(&mut self, stream: StreamId, mut exchange: Exchange, rest: RequestRest, turn: &mut ConnectionTurn) {
        if let Some(call) = exchange.call.take() {
            let mut calling = Box::new(Calling::new(exchange, call));
            if rest == RequestRest::Nothing {
                calling.finish(turn);
            }
            self.active.push(Active { stream, phase: StreamPhase::Calling(calling) });
            self.drive_call(self.active.len() - 1, turn);
        } else if rest == RequestRest::Nothing {
            self.hold_back(stream, exchange, turn);
        } else {
            if rest == RequestRest::ContentOnceAsked {
                self.http.write_continue(stream, turn.out);
            }
            self.active.push(Active { stream, phase: StreamPhase::Reading(Box::new(exchange)) });
        }
    }

    fn drive_call(&mut self, place: usize, turn: &mut ConnectionTurn) {
        let Active { stream, phase } = &mut self.active[place];
        let (stream, StreamPhase::Calling(calling)) = (*stream, phase) else { return };
        match calling.drive(stream, &mut self.http, turn) {
            CallProgress::Open => {}
            CallProgress::Written => {
                if let StreamPhase::Calling(calling) = self.active.swap_remove(place).phase {
                    self.leaving.push_back(calling.into_leaving(stream));
                }
            }
            CallProgress::Reset => {
                if let StreamPhase::Calling(calling) = self.active.swap_remove(place).phase {
                    turn.cut_off(calling.into_claim(), 0);
                }
            }
            CallProgress::EndConnection => {
                self.stage = StreamStage::Over;
                self.http.stop();
            }
            CallProgress::ResetConnection => self.stage = StreamStage::Reset,
        }
    }

    fn arriving(&self) -> Arriving<'_> {
        let Origin { peer, via, local, number, ref tls } = self.origin;
        let request_number = self.http.requests();
        Arriving { peer, via, local, connection: number, request_number, tls: tls.as_deref() }
    }

    fn place(&self, stream: StreamId) -> Option<usize> {
        // What comes belongs most often to the request that came last.
        self.active.iter().rposition(|it| it.stream == stream)
    }

    fn take(&mut self, stream: StreamId) -> Option<Active> {
        self.place(stream).map(|place| self.active.swap_remove(place))
    }

    /// Faults that do nothing with a request, and say so: whoever sent it may send it elsewhere. Whether it was one of them.
    fn turns_away(&mut self, stream: StreamId, effect: Effect, turn: &mut ConnectionTurn) -> bool {
        match effect {
            Effect::RefuseStream => self.http.reset(stream, ErrorCode::REFUSED_STREAM, turn.out),
            Effect::GoAway => {
                self.http.go_away(StreamId(stream.0.saturating_sub(2)), ErrorCode::NO_ERROR, turn.out);
                self.stage = StreamStage::Leaving;
            }
            _ => return false,
        }
        true
    }

    /// The request has been read: its response is due, or will be.
    fn hold_back(&mut self, stream: StreamId, exchange: Exchange, turn: &mut ConnectionTurn) {
        if exchange.treatment.delay.is_zero() {
            return self.deliver(stream, exchange, turn);
        }
        let until = turn.now.after(exchange.treatment.delay);
        self.active.push(Active { stream, phase: StreamPhase::Delayed(until, Box::new(exchange)) });
    }

    /// Moments have come for which responses were held back.
    pub(super) fn release(&mut self, turn: &mut ConnectionTurn) {
        let now = turn.now;
        let is_due = |it: &Active| it.due().is_some_and(|due| due <= now);
        // What ends the whole connection leaves the others where they are, due or not.
        while !self.is_over()
            && let Some(place) = self.active.iter().position(is_due)
        {
            match self.active[place].phase {
                StreamPhase::Calling(_) => self.drive_call(place, turn),
                StreamPhase::Pacing(..) => self.send_events(place, turn),
                _ => {
                    let Active { stream, phase } = self.active.swap_remove(place);
                    if let StreamPhase::Delayed(_, exchange) = phase {
                        self.deliver(stream, *exchange, turn);
                    }
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.stage, StreamStage::Over | StreamStage::Reset)
    }

    /// Responds to what cannot be read: a head that is too large, with a status; anything else was reset for it.
    fn refuse(&mut self, stream: StreamId, why: Malformed, request: Option<RequestId>, turn: &mut ConnectionTurn) {
        let is_open = self.http.is_sending(stream);
        match self.take(stream).map(|it| it.phase) {
            Some(StreamPhase::Reading(mut exchange)) => {
                exchange.refuse_body(why, turn.state);
                if is_open {
                    return self.deliver(stream, *exchange, turn);
                }
                turn.cut_off(exchange.claim, 0);
            }
            Some(phase) => self.end_phase(stream, phase, LifeEnd::Backend, turn),
            None => {
                if let Some(leaving) = take_leaving(&mut self.leaving, stream) {
                    return self.give_up(stream, leaving.claim, turn);
                }
                let exchange =
                    Exchange::refused(Refusal::Malformed(why), request, &self.arriving(), turn.now, turn.state);
                if is_open {
                    self.deliver(stream, exchange, turn);
                    // What may follow of the request is of no use.
                    self.http.reset(stream, ErrorCode::NO_ERROR, turn.out);
                } else {
                    turn.cut_off(exchange.claim, 0);
                }
            }
        }
    }

    /// Writes the response, or what the request gets instead.
    fn deliver(&mut self, stream: StreamId, exchange: Exchange, turn: &mut ConnectionTurn) {
        let Exchange { claim, response, treatment: Treatment { effect, .. }, .. } = exchange;
        match effect {
            Effect::Close => self.stage = StreamStage::Over,
            Effect::Reset => self.stage = StreamStage::Reset,
            Effect::ResetStream(code) => {
                self.http.reset(stream, code, turn.out);
                return turn.cut_off(claim, 0);
            }
            Effect::Hang | Effect::RefuseStream | Effect::GoAway => {}
            // What is done to calls is done where there is one.
            Effect::HalfMessage | Effect::GrpcStatus(_) | Effect::TrailersOnly(_) => {
                return self.respond(stream, claim, response, BodyPart::Whole, turn);
            }
            Effect::CloseMidway => return self.respond(stream, claim, response, BodyPart::Half, turn),
            Effect::Answer | Effect::Status(_) | Effect::FirstFailed => {
                return self.respond(stream, claim, response, BodyPart::Whole, turn);
            }
        }
        self.active.push(Active { stream, phase: StreamPhase::Hanging(claim) });
    }

    fn respond(
        &mut self,
        stream: StreamId,
        claim: Claim,
        response: Response,
        part: BodyPart,
        turn: &mut ConnectionTurn,
    ) {
        if matches!(response.body, ResponseBody::Socket { .. }) {
            // No request of HTTP/2 can ask for one in the way of HTTP/1.
            self.http.reset(stream, HTTP_1_1_REQUIRED, turn.out);
            return turn.cut_off(claim, 0);
        }
        let head_only = self.http.is_head_only(stream);
        let length = if head_only { 0 } else { response.known_length().unwrap_or_default() };
        let is_paced = matches!(response.body, ResponseBody::Paced { .. }) && !head_only;
        let is_cut = part == BodyPart::Half;
        let ends = length == 0 && !is_cut && !is_paced;
        let stamp = turn.state.stamp(turn.now);
        self.http
            .respond(stream, response.status, Follows::after(ends), turn.out, |out| response.write_block(&stamp, out));
        let end = if is_cut { length / 2 } else { length };
        let phase = match response.body {
            ResponseBody::Bytes(bytes) if !is_cut && self.http.capacity(stream) >= bytes.len() && length > 0 => {
                self.http.data(stream, &bytes, Follows::Nothing, turn.out);
                turn.state.recycle(bytes);
                return self.leaving.push_back(LeavingResponse::whole(stream, claim));
            }
            ResponseBody::Paced { pace, first } if is_paced => {
                let answer = response.answer.unwrap_or(ResponseId(uuid::Uuid::nil()));
                let cut_after = is_cut.then_some(pace.count / 2);
                let pacing = StreamPacing::new(Paced::new(pace, first, answer, turn.now), cut_after);
                self.active.push(Active { stream, phase: StreamPhase::Pacing(claim, pacing) });
                return self.send_events(self.active.len() - 1, turn);
            }
            body if ends => {
                turn.state.recycle_body(body);
                return self.leaving.push_back(LeavingResponse::whole(stream, claim));
            }
            body => StreamPhase::Sending(claim, Sending::new(body, end, part)),
        };
        self.active.push(Active { stream, phase });
    }

    /// There is room for more of the responses that go on: each has a piece, in turn.
    pub(super) fn go_on(&mut self, turn: &mut ConnectionTurn) {
        for _ in 0..PIECES_A_TURN {
            let count = self.active.len();
            let places = (0..count).map(|step| (self.next_piece + step) % count);
            let Some(place) = places.into_iter().find(|place| self.active[*place].can_go_on(&self.http)) else {
                return;
            };
            self.next_piece = place + 1;
            match self.active[place].phase {
                StreamPhase::Pacing(..) => self.send_events(place, turn),
                StreamPhase::Calling(_) => self.drive_call(place, turn),
                _ => self.send_piece(place, turn),
            }
        }
    }

    /// Writes the events that are due, and sends what windows let through.
    fn send_events(&mut self, place: usize, turn: &mut ConnectionTurn) {
        let Active { stream, phase } = &mut self.active[place];
        let (stream, StreamPhase::Pacing(claim, pacing)) = (*stream, phase) else { return };
        match pacing.send(stream, claim, &mut self.http, turn) {
            PacingProgress::Open => {}
            PacingProgress::Written => {
                if let StreamPhase::Pacing(claim, _) = self.active.swap_remove(place).phase {
                    self.leaving.push_back(LeavingResponse::whole(stream, claim));
                }
            }
            PacingProgress::Cut => {
                self.stage = StreamStage::Over;
                self.http.stop();
            }
        }
    }

    fn send_piece(&mut self, place: usize, turn: &mut ConnectionTurn) {
        let Active { stream, phase } = &mut self.active[place];
        let (stream, StreamPhase::Sending(_, sending)) = (*stream, phase) else { return };
        match sending.send(stream, &mut self.http, turn) {
            SendingProgress::Open => {}
            SendingProgress::Written => {
                if let StreamPhase::Sending(claim, sending) = self.active.swap_remove(place).phase {
                    turn.state.recycle_body(sending.into_body());
                    self.leaving.push_back(LeavingResponse::whole(stream, claim));
                }
            }
            SendingProgress::Cut => {
                self.stage = StreamStage::Over;
                self.http.stop();
            }
        }
    }

    /// That many bytes of the output have been written.
    pub(super) fn wrote(&mut self, bytes: usize, now: Moment, state: &mut ProcessState) {
        for Written { stream, bytes } in self.http.wrote(bytes) {
            if let Some(leaving) = take_leaving(&mut self.leaving, stream) {
                state.journal.complete(leaving.claim, now, bytes, leaving.end);
            }
        }
    }

    /// The client does not want a response any more.
    fn cancel(&mut self, stream: StreamId, code: ErrorCode, turn: &mut ConnectionTurn) {
        if let Some(leaving) = take_leaving(&mut self.leaving, stream) {
            return self.give_up(stream, leaving.claim, turn);
        }
        let Some(Active { mut phase, .. }) = self.take(stream) else { return };
        if let StreamPhase::Calling(calling) = &mut phase {
            calling.cancel(code, turn);
        }
        self.end_phase(stream, phase, LifeEnd::Reset, turn);
    }

    /// A stream has ended before its response had left.
    fn end_phase(&mut self, stream: StreamId, phase: StreamPhase, how: LifeEnd, turn: &mut ConnectionTurn) {
        let claim = match phase {
            StreamPhase::Reading(exchange) | StreamPhase::Delayed(_, exchange) => exchange.claim,
            StreamPhase::Pacing(claim, pacing) => pacing.end(claim, how, turn),
            StreamPhase::Calling(calling) => calling.into_claim(),
            StreamPhase::Sending(claim, _) | StreamPhase::Hanging(claim) => claim,
        };
        self.give_up(stream, claim, turn);
    }

    /// A response does not leave to its end.
    fn give_up(&mut self, stream: StreamId, claim: Claim, turn: &mut ConnectionTurn) {
        let bytes = self.http.cut_off(stream).bytes;
        turn.cut_off(claim, bytes);
    }

    /// The connection has ended: what was not responded to its end is recorded as cut off.
    pub(super) fn end(&mut self, how: LifeEnd, now: Moment, state: &mut ProcessState) {
        let turn = &mut ConnectionTurn { now, state, out: &mut Vec::new() };
        for Active { stream, phase } in std::mem::take(&mut self.active) {
            self.end_phase(stream, phase, how, turn);
        }
        for LeavingResponse { stream, claim, .. } in std::mem::take(&mut self.leaving) {
            self.give_up(stream, claim, turn);
        }
    }

    /// Nothing is asked for too long, or a frame does not end: says that it ends.
    pub(super) fn expire(&mut self, out: &mut Vec<u8>) {
        if self.is_idle() && self.stage == StreamStage::Open {
            self.http.go_away(self.http.last_stream(), ErrorCode::NO_ERROR, out);
            self.stage = StreamStage::Leaving;
        }
    }

    /// A backend that drains, or has another certificate now, wants no new streams here, and takes those that are on their way
    /// (RFC 9113 §6.8). The limit of streams may have changed, and the health that calls watch.
    pub(super) fn announce(&mut self, turn: &mut ConnectionTurn) {
        let watching: Vec<StreamId> = self.active.iter().filter(|it| it.is_call()).map(|it| it.stream).collect();
        for stream in watching {
            if let Some(place) = self.place(stream) {
                self.drive_call(place, turn);
            }
        }
        if self.stage != StreamStage::Open {
            return;
        }
        self.wind_down(turn);
        self.http.limit_streams(most_streams(turn.state), turn.out);
    }

    fn wind_down(&mut self, turn: &mut ConnectionTurn) {
        let is_unwanted = turn.state.draining || self.is_left(turn.state);
        if is_unwanted && !self.is_draining && self.stage == StreamStage::Open {
            self.is_draining = true;
            self.http.go_away(StreamId(LAST_STREAM), ErrorCode::NO_ERROR, turn.out);
        }
    }
}

fn take_leaving(leaving: &mut VecDeque<LeavingResponse>, stream: StreamId) -> Option<LeavingResponse> {
    let place = leaving.iter().position(|it| it.stream == stream)?;
    leaving.remove(place)
}

fn most_streams(state: &ProcessState) -> u32 {
    state.faults.max_streams().unwrap_or(AnnouncedSettings::SERVER.max_streams)
}

/// The id of a request whose head is not as it must be, so that its client learns which of its requests was refused.
fn find_id(block: &Block) -> Option<RequestId> {
    let mut values = block.iter().filter(|(name, _)| name.eq_ignore_ascii_case(REQUEST_HEADER.as_bytes()));
    values.next().and_then(|(_, value)| RequestId::from_bytes(value).ok())
}

#[cfg(test)]
mod tests;
