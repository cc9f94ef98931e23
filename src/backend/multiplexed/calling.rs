//! A gRPC call on its stream: when it is responded to, what faults make of it, how it leaves.

use http::grpc::{self, GrpcStatus};
use http::h2::server::Server;
use http::h2::{self, EncodedName, ErrorCode, Follows};
use http::{Digest, StreamId, encode};
use verdict::Call;
use verdict::response::{MESSAGE_HEADER, of_body};

use crate::backend::exchange::Exchange;
use crate::backend::fault::Effect;
use crate::backend::grpc::{CallEnd, CallFacts, GrpcCall};
use crate::backend::multiplexed::leaving::{LeavingResponse, PIECE};
use crate::backend::response::ResponseBody;
use crate::backend::turn::ConnectionTurn;
use crate::journal::Claim;
use crate::wire::{AttemptEnd, Moment};

pub(super) struct Calling {
    exchange: Exchange,
    call: Box<GrpcCall>,
    stage: CallStage,
    /// Of its first message half is written.
    is_halved: bool,
    /// Of what has been sent, where the head could not say it.
    digest: Option<Digest>,
    /// What of it the journal has.
    noted: Call,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum CallStage {
    /// There is nothing to respond yet.
    Waiting,
    /// Its response is held back until then.
    Held(Moment),
    /// Its head is out, or in the output.
    Responding,
    /// Its head is out, or in the output, and a fault leaves half of its first message.
    Cutting(AfterHalf),
    /// Half of a message follows, then the end of the connection.
    Breaking,
    /// A call that gets no response.
    Hanging,
}

/// What ends when half of a message is out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AfterHalf {
    /// The whole connection.
    Connection,
    /// The message, with trailers as if all were well.
    Message,
}

/// How far a call has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CallProgress {
    /// The call has not ended.
    Open,
    /// All of its response is in the output.
    Written,
    /// The call's stream has been reset.
    Reset,
    EndConnection,
    /// The connection ends with a reset of TCP.
    ResetConnection,
}

impl Calling {
    pub(super) fn new(exchange: Exchange, call: Box<GrpcCall>) -> Calling {
        let noted = call.record;
        Calling { exchange, call, stage: CallStage::Waiting, is_halved: false, digest: None, noted }
    }

    /// Content of the request has come.
    pub(super) fn receive(&mut self, data: &[u8], turn: &mut ConnectionTurn) {
        self.exchange.see(data);
        self.call.receive(data, &facts(turn));
    }

    /// The request has ended.
    pub(super) fn finish(&mut self, turn: &mut ConnectionTurn) {
        self.exchange.whole(turn.state);
        self.call.finish(&facts(turn));
    }

    /// Does what can be done now.
    pub(super) fn drive(&mut self, stream: StreamId, http: &mut Server, turn: &mut ConnectionTurn) -> CallProgress {
        if self.stage == CallStage::Hanging {
            return CallProgress::Open;
        }
        self.call.advance(&facts(turn));
        if let CallStage::Held(_) = self.stage {
            self.call.expire(turn.now);
        }
        if self.stage == CallStage::Waiting && self.call.can_respond() {
            self.stage = CallStage::Held(turn.now.after(self.exchange.treatment.delay + self.call.delay()));
        }
        let progress = match self.stage {
            CallStage::Held(until) if turn.now < until && !self.call.is_overdue() => CallProgress::Open,
            CallStage::Held(_) => self.open(stream, http, turn),
            CallStage::Waiting | CallStage::Hanging => CallProgress::Open,
            CallStage::Responding | CallStage::Cutting(_) | CallStage::Breaking => self.send(stream, http, turn),
        };
        self.note(turn);
        progress
    }

    /// Begins the response, or does what the request gets instead.
    fn open(&mut self, stream: StreamId, http: &mut Server, turn: &mut ConnectionTurn) -> CallProgress {
        let effect = if self.call.is_overdue() { Effect::Answer } else { self.exchange.treatment.effect };
        let why = "a fault that is switched on";
        match effect {
            Effect::Close => return CallProgress::EndConnection,
            Effect::Reset => return CallProgress::ResetConnection,
            Effect::ResetStream(code) => {
                http.reset(stream, code, turn.out);
                return CallProgress::Reset;
            }
            Effect::Hang => {
                self.stage = CallStage::Hanging;
                return CallProgress::Open;
            }
            Effect::HalfMessage => self.stage = CallStage::Cutting(AfterHalf::Message),
            Effect::CloseMidway => self.stage = CallStage::Cutting(AfterHalf::Connection),
            Effect::GrpcStatus(status) => {
                self.call.fail(status, why);
                self.stage = CallStage::Responding;
            }
            Effect::TrailersOnly(status) => {
                self.call.fail(status, why);
                return self.respond_with_trailers_only(stream, http, turn);
            }
            Effect::FirstFailed => {
                self.call.fail(GrpcStatus::UNAVAILABLE, "one of the first attempts, a fault that is switched on");
                return self.respond_with_trailers_only(stream, http, turn);
            }
            // A status of HTTP was the response to no call, and what is refused has not come this far.
            Effect::Answer | Effect::Status(_) | Effect::RefuseStream | Effect::GoAway => {
                let has_failed = self.call.end().is_some_and(|end| end.status != GrpcStatus::OK);
                if has_failed && self.call.unsent().is_empty() {
                    return self.respond_with_trailers_only(stream, http, turn);
                }
                self.stage = CallStage::Responding;
            }
        }
        self.write_head(None, stream, http, turn);
        self.send(stream, http, turn)
    }

    fn respond_with_trailers_only(
        &mut self,
        stream: StreamId,
        http: &mut Server,
        turn: &mut ConnectionTurn,
    ) -> CallProgress {
        let end = self.call.end().cloned().unwrap_or(CallEnd::OK);
        self.call.record.status = Some(end.status);
        self.call.record.is_trailers_only = true;
        self.write_head(Some(&end), stream, http, turn);
        // What may follow of the request is of no use.
        http.reset(stream, ErrorCode::NO_ERROR, turn.out);
        CallProgress::Written
    }

    fn write_head(&mut self, end: Option<&CallEnd>, stream: StreamId, http: &mut Server, turn: &mut ConnectionTurn) {
        // Where all that follows is known.
        let digest = self.call.end().is_some().then(|| of_body(self.call.unsent()));
        self.digest = digest.is_none().then(Digest::new);
        self.exchange.response.body = ResponseBody::Messages { digest };
        let stamp = turn.state.stamp(turn.now);
        http.respond(stream, self.exchange.response.status, Follows::after(end.is_some()), turn.out, |out| {
            self.exchange.response.write_block(&stamp, out);
            if let Some(end) = end {
                write_end(end, out);
            }
        });
    }

    /// Sends what the client takes of the messages, and then how the call ends.
    fn send(&mut self, stream: StreamId, http: &mut Server, turn: &mut ConnectionTurn) -> CallProgress {
        if let CallStage::Cutting(cut) = self.stage {
            self.is_halved = self.call.halve();
            if !self.is_halved && self.call.end().is_none() {
                // The head alone is out.
                return CallProgress::Open;
            }
            self.stage = match cut {
                AfterHalf::Message => CallStage::Responding,
                AfterHalf::Connection => CallStage::Breaking,
            };
        }
        let unsent = self.call.unsent();
        let piece = unsent.len().min(PIECE).min(http.capacity(stream));
        if piece > 0 {
            http.data(stream, &unsent[..piece], Follows::More, turn.out);
            if let Some(digest) = &mut self.digest {
                digest.update(&unsent[..piece]);
            }
            self.call.note_sent(piece);
        }
        if !self.call.unsent().is_empty() {
            return CallProgress::Open;
        }
        let Some(end) = self.call.end() else { return CallProgress::Open };
        if self.stage == CallStage::Breaking {
            return CallProgress::EndConnection;
        }
        let status = end.status;
        let (digest, response) = (&self.digest, &self.exchange.response);
        http.trailers(stream, turn.out, |out| {
            write_end(end, out);
            if let Some(digest) = digest {
                response.write_late_digest(digest.finish() as u32, out);
            }
        });
        self.call.record.status = Some(status);
        http.reset(stream, ErrorCode::NO_ERROR, turn.out);
        CallProgress::Written
    }

    /// Noted before the kernel has what was written: what a client saw is in the record.
    fn note(&mut self, turn: &mut ConnectionTurn) {
        if self.noted != self.call.record {
            self.noted = self.call.record;
            turn.state.journal.note_call(&mut self.exchange.claim, &self.noted);
        }
    }

    /// Its client does not want it any more.
    pub(super) fn cancel(&mut self, code: ErrorCode, turn: &mut ConnectionTurn) {
        self.call.record.cancelled = Some(code);
        self.note(turn);
    }

    pub(super) fn into_claim(self) -> Claim {
        self.exchange.claim
    }

    /// All that it writes is in the output: half a message ends no response, whatever its trailers say.
    pub(super) fn into_leaving(self, stream: StreamId) -> LeavingResponse {
        let end = if self.is_halved { AttemptEnd::CutOff } else { AttemptEnd::Completed };
        LeavingResponse { stream, claim: self.exchange.claim, end }
    }

    /// Whether it has something to write as soon as there is room.
    pub(super) fn can_go_on(&self, stream: StreamId, http: &Server) -> bool {
        let is_open = matches!(self.stage, CallStage::Responding | CallStage::Cutting(_) | CallStage::Breaking);
        match self.call.unsent() {
            [] => is_open && self.call.due() == Some(Moment(0)),
            _ => is_open && http.capacity(stream) > 0,
        }
    }

    /// When something is due that waits for its time.
    pub(super) fn due(&self) -> Option<Moment> {
        let due = self.call.due().filter(|due| *due > Moment(0));
        match self.stage {
            CallStage::Waiting | CallStage::Responding | CallStage::Cutting(_) | CallStage::Breaking => due,
            CallStage::Held(until) => Some(self.call.deadline().map_or(until, |deadline| deadline.min(until))),
            CallStage::Hanging => None,
        }
    }

    /// Whether its client has to do something next.
    pub(super) fn waits_for_client(&self) -> bool {
        match self.stage {
            CallStage::Waiting => self.call.awaits_request(),
            CallStage::Held(_) | CallStage::Hanging => false,
            CallStage::Responding | CallStage::Cutting(_) | CallStage::Breaking => !self.call.unsent().is_empty(),
        }
    }
}

fn facts<'t>(turn: &'t ConnectionTurn) -> CallFacts<'t> {
    let state = &turn.state;
    CallFacts { now: turn.now, identity: &state.identity, health: state.health, draining: state.draining }
}

fn write_end(end: &CallEnd, out: &mut Vec<u8>) {
    static STATUS: EncodedName = EncodedName::new();
    STATUS.literal(out, grpc::STATUS_FIELD, encode::Decimal::new().of(u64::from(end.status.0)));
    if !end.message.is_empty() {
        let message = grpc::encode_message(&end.message);
        h2::literal(out, grpc::MESSAGE_FIELD, message.as_bytes());
        h2::literal(out, MESSAGE_HEADER, message.as_bytes());
    }
}
