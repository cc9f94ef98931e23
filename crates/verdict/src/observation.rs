//! What the client notes about a request: one value of 48 bytes, for there may be ten million of them.

use std::fmt;
use std::time::Duration;

use http::Malformed;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Moment, ResponseId};

/// One request as the client saw it. Its number in the run is its place among the observations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Observation {
    /// When it was due: in a closed loop when it was sent, in an open loop when the schedule said so, sent or not.
    pub due: Moment,
    /// When the last byte of its response had come, or when it was given up.
    pub ended: Moment,
    /// The id of the response that came; nil without one.
    pub response: Uuid,
    /// From `due` until it was sent, in microseconds.
    pub waited: u32,
    /// Which client sent it: clients have each a source address, path, header, cookie or jar of their own where those vary.
    pub client: u32,
    /// The backend that answered, as the response says.
    pub backend: Backend,
    /// Status code; 0 without a response.
    pub status: u16,
    /// What the client received.
    pub outcome: ClientOutcome,
    /// What the response says of the request's id.
    pub echo: Echo,
    /// Whether its connection had carried a request before.
    pub reused: bool,
    /// What is wrong with the response: of one that is altered or malformed.
    pub flaw: Option<Flaw>,
}

impl Observation {
    /// The id of the response that came.
    pub fn response_id(&self) -> Option<ResponseId> {
        (!self.response.is_nil()).then_some(ResponseId(self.response))
    }

    /// When it was sent.
    pub fn sent(&self) -> Moment {
        Moment(self.due.0 + u64::from(self.waited) * 1000)
    }

    /// How long it took from then until its end.
    pub fn took(&self) -> Duration {
        self.ended.since(self.sent())
    }
}

/// In place of the number of a connection: the request had none.
pub const NO_CONNECTION: u32 = u32::MAX;

/// Who answered: a place in the list of backends of this run. With a fleet, that of its generator number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Backend(pub u16);

impl Backend {
    /// The response does not say.
    pub const UNKNOWN: Backend = Backend(u16::MAX);

    /// Whether the response said.
    pub fn is_known(self) -> bool {
        self != Backend::UNKNOWN
    }
}

/// What came for a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ClientOutcome {
    /// A whole response came back.
    Response,
    /// A whole response, and its body is not what a backend writes: another UUID or generator number than its head says, or other text.
    Altered,
    /// A head, and the connection ended before the body did.
    Truncated,
    /// A body beyond what the client is ready to read.
    TooLarge,
    /// Bytes that are no HTTP.
    Malformed,
    /// The connection ended without a byte of a response.
    Closed,
    /// The connection was reset without a byte of a response.
    Reset,
    /// With HTTP/2: its stream was reset or given back without a byte of a response, and the connection may go on.
    StreamReset,
    /// Nothing, or no end of it, within the time that the client waits.
    TimedOut,
    /// No connection was established: the balancer's port refused.
    Refused,
    /// No connection: another reason.
    Unreachable,
    /// A connection, and the handshake of TLS failed on it: nothing was sent.
    TlsFailed,
    /// It was due, and no connection of the client's was free for it until the end: nothing was sent.
    Unsent,
}

impl ClientOutcome {
    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            ClientOutcome::Response => "response",
            ClientOutcome::Altered => "altered",
            ClientOutcome::Truncated => "truncated",
            ClientOutcome::TooLarge => "too-large",
            ClientOutcome::Malformed => "malformed",
            ClientOutcome::Closed => "closed",
            ClientOutcome::Reset => "reset",
            ClientOutcome::StreamReset => "stream-reset",
            ClientOutcome::TimedOut => "timed-out",
            ClientOutcome::Refused => "refused",
            ClientOutcome::Unreachable => "unreachable",
            ClientOutcome::TlsFailed => "tls-failed",
            ClientOutcome::Unsent => "unsent",
        }
    }
}

/// What is wrong with a response.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Flaw {
    /// HTTP forbids it, or it cannot be read as HTTP.
    Malformed(Malformed),
    /// The status is not the one that the backend wrote.
    Status,
    /// A field of the head is changed, lost or doubled.
    Field,
    /// What Content-Type names is no stream of server-sent events, though the backend wrote one.
    NoEventStream,
    /// The body is not the one that the backend wrote.
    Body,
    /// Its head names another response or backend than its body, or two.
    Identity,
    /// What came over a WebSocket is no frame, or a text that is none.
    Frame,
    /// The content coding cannot be undone.
    Coding,
    /// The response to a call of gRPC ended without a grpc-status: its trailers are lost, or its end is, or no call arrived.
    NoCallStatus,
    /// The response to a call of gRPC has two of them.
    TwoCallStatuses,
    /// A content coding lies over the response to a call of gRPC: its clients do not undo one.
    CodedCall,
    /// A message of a call is compressed, and the response does not say how.
    UnnamedCoding,
    /// The response to a call ended within a message, and says that all went well.
    CutMessage,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Malformed(why) => why.fmt(f),
            Flaw::Status => f.write_str("another status than the backend wrote"),
            Flaw::Field => f.write_str("another header field than the backend wrote"),
            Flaw::NoEventStream => f.write_str("a Content-Type with which no browser reads events (text/event-stream)"),
            Flaw::Body => f.write_str("another body than the backend wrote"),
            Flaw::Frame => {
                f.write_str("bytes that are no WebSocket frame, or no text in one (RFC 6455 sections 5 and 8.1)")
            }
            Flaw::Identity => f.write_str("head and body name different responses or backends"),
            Flaw::Coding => f.write_str("a content coding that cannot be undone"),
            Flaw::NoCallStatus => f.write_str("no grpc-status, though the response looks complete"),
            Flaw::TwoCallStatuses => f.write_str("two grpc-status fields"),
            Flaw::CodedCall => f.write_str("Content-Encoding on a gRPC response, which clients of gRPC do not undo"),
            Flaw::UnnamedCoding => f.write_str("a compressed gRPC message, and no grpc-encoding that says how"),
            Flaw::CutMessage => f.write_str("half of a gRPC message, and a status that says all went well"),
        }
    }
}

/// What a response says of the request's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Echo {
    /// The response carried no id.
    None,
    /// The id that was sent.
    Own,
    /// The id of another request.
    Other,
}

const _: () = assert!(size_of::<Observation>() == 48);
