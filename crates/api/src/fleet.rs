//! What the supervisor's API sends and takes: shapes, all of them with a version.

use std::fmt;

use serde::{Deserialize, Serialize};

use verdict::life::Life;
use verdict::{AttemptEnd, BadCertificate, Generator, HandshakeFailure, Instance, RequestId, ResponseId};

use crate::Fault;

/// The whole fleet, as the API gives it and `fleet status --format json` prints it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FleetStatus {
    /// Version of this JSON shape.
    pub version: u32,
    /// The supervisor's process id.
    pub pid: u32,
    /// The base of its API.
    pub control: String,
    /// When it started: RFC 3339.
    pub started: String,
    /// The machine, as it calls itself: a pod has its name.
    #[serde(default)]
    pub host: String,
    /// The pod and its namespace, where the environment says them (POD_NAME, POD_NAMESPACE).
    #[serde(default)]
    pub pod: Option<String>,
    /// The namespace of that pod.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Which run of a supervisor it is, at random: one fleet that is reached by two addresses is one.
    #[serde(default)]
    pub instance: Option<Instance>,
    /// Fleets of which this is the same have one monotonic clock: the machine's boot, and the time namespace.
    #[serde(default)]
    pub clock: Option<String>,
    /// In the order in which they were named.
    pub backends: Vec<BackendStatus>,
}

/// A backend as the API shows it: what it is, where it listens, what it does now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BackendStatus {
    /// What people call it: its port in a fleet of ports.
    pub name: String,
    /// What binary records call it.
    pub id: Generator,
    /// Its process, at random: responses carry it. The latest of those that it has had, this one last.
    #[serde(default)]
    pub instances: Vec<Instance>,
    /// Where clients of this machine find it.
    pub url: String,
    /// Whether it serves, drains or is gone.
    pub state: BackendState,
    /// Since when: RFC 3339.
    pub since: String,
    /// Its process; null when it is gone.
    pub pid: Option<u32>,
    /// What its readiness was set to.
    pub ready: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// Attempts that have ended, of all its processes.
    pub attempts: u64,
    /// Connections that are open.
    #[serde(default)]
    pub connections: usize,
    /// Attempts that have been received and have not ended.
    pub in_flight: usize,
    /// Streams that are open: server-sent events, chunks and downloads.
    #[serde(default)]
    pub streams: usize,
    /// How many of them are open WebSockets.
    #[serde(default)]
    pub websockets: usize,
    /// Records that were overwritten before they could be read.
    pub lost: u64,
    /// How its last process ended; null if none has.
    pub last_end: Option<String>,
    /// When it was last put right, in RFC 3339: started again, resumed, ready again, or without faults that fail requests; null if it
    /// never was. A balancer may avoid it for some time after that.
    #[serde(default)]
    pub mended: Option<String>,
    /// The faults that are switched on in its process.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What can be done to it in its state.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// Its TLS; null if it speaks none.
    #[serde(default)]
    pub tls: Option<TlsStatus>,
}

/// TLS of a backend.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TlsStatus {
    /// Handshakes that ended well, of its process.
    pub completed: u64,
    /// Handshakes that resumed an earlier session.
    pub resumed: u64,
    /// Handshakes that did not succeed, counted by reason.
    pub failed: Vec<FailedHandshakes>,
    /// Kinds of bad certificates that it can serve.
    pub bad_certificates: Vec<BadCertificate>,
    /// Whether clients must show a certificate.
    pub asks_clients: bool,
}

/// Handshakes that failed alike.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FailedHandshakes {
    /// What was wrong with the certificate that was served; null if nothing.
    pub bad_certificate: Option<BadCertificate>,
    /// Why: `alert certificate_expired` is the client's, in the words of RFC 8446 §6.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub reason: HandshakeFailure,
    /// How many handshakes failed for this reason.
    pub count: u64,
}

/// TLS of the connection on which a request came.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TlsView {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: String,
    /// Name of the cipher suite in IANA's registry.
    pub cipher: String,
    /// The name that the client asked for (SNI), cut after 32 bytes; null if none.
    pub server_name: Option<String>,
    /// What was agreed by ALPN: `http/1.1` or `h2`; null without ALPN.
    pub protocol: Option<String>,
    /// What was wrong with the certificate that was served; null if nothing.
    pub bad_certificate: Option<BadCertificate>,
    /// Whether it resumed an earlier session, without a certificate.
    pub resumed: bool,
    /// The common name of the client's certificate, cut after 24 bytes; null if it showed none.
    pub client_certificate: Option<String>,
}

/// What a backend does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// Its process has been started and does not accept yet.
    Starting,
    /// It accepts connections, and its readiness answers 200.
    Ready,
    /// It accepts connections, and its readiness was set to fail.
    Unready,
    /// It answers what is in flight and then ends.
    Draining,
    /// Stopped by SIGSTOP: connections are established by the kernel, nobody answers.
    Paused,
    /// It has no process; its port refuses connections.
    Gone,
}

impl fmt::Display for BackendState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            BackendState::Starting => "starting",
            BackendState::Ready => "ready",
            BackendState::Unready => "unready",
            BackendState::Draining => "draining",
            BackendState::Paused => "paused",
            BackendState::Gone => "gone",
        })
    }
}

http::named_enum! {
    /// What can be done to backends.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[serde(rename_all = "lowercase")]
    pub enum Action {
        /// SIGKILL: gone at once, whatever is in flight.
        Kill => "kill",
        /// SIGSTOP: connections are established by the kernel, nobody answers.
        Pause => "pause",
        /// SIGCONT: a paused process goes on.
        Resume => "resume",
        /// Accept nothing more, answer what is in flight, end.
        Drain => "drain",
        /// A new process for a backend that is gone.
        Start => "start",
        /// Readiness answers 200 again.
        Ready => "ready",
        /// Readiness answers 503; everything else goes on.
        Unready => "unready",
    }

    /// As it is typed, and as it stands in the API's paths.
    fn name;
}

impl Action {
    /// All that make sense for a backend in that state.
    pub fn all_for(state: BackendState) -> Vec<Action> {
        Action::ALL.into_iter().filter(|action| action.applies_to(state)).collect()
    }

    /// Whether it makes sense for a backend in that state.
    pub fn applies_to(self, state: BackendState) -> bool {
        use BackendState::{Draining, Gone, Paused, Ready, Starting, Unready};
        match (self, state) {
            (Action::Start, state) => state == Gone,
            (_, Gone) => false,
            (Action::Kill, Starting | Ready | Unready | Draining | Paused) => true,
            (Action::Pause, state) => state != Paused,
            (Action::Resume, state) => state == Paused,
            (Action::Drain, state) => state != Draining,
            (Action::Ready | Action::Unready, Starting | Ready | Unready | Paused) => true,
            (Action::Ready | Action::Unready, Draining) => false,
        }
    }
}

/// A record as the API and the log for programs give it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordView {
    /// The name of the backend.
    pub backend: String,
    /// The UUID of its response; null for health.
    pub response: Option<ResponseId>,
    /// The client's id; null if it sent none of ours.
    pub request: Option<RequestId>,
    /// RFC 3339, to the nanosecond.
    pub received: String,
    /// RFC 3339, to the nanosecond; null if its backend ended before.
    pub responded: Option<String>,
    /// Number of the connection in its backend process, from 1.
    pub connection: u64,
    /// Number of the request on that connection, from 1.
    pub request_number: u32,
    /// The other end of the connection, or the client that a PROXY header tells of; `unix` for a unix socket.
    pub peer: String,
    /// `-` if the request could not be understood.
    pub method: String,
    /// Path and query; cut after 64 to 136 bytes, with `…` at its end then.
    pub path: String,
    /// Status of the response.
    pub status: u16,
    /// Bytes of the response that were written.
    pub bytes: u64,
    /// `received`, `completed`, `cut-off` or `refused`.
    pub outcome: AttemptEnd,
    /// Why the backend refused to read the request; null if it did not.
    #[serde(default)]
    pub refusal: Option<String>,
    /// Host and port that the request named, cut after 32 bytes; `-` if none.
    #[serde(default)]
    pub host: String,
    /// X-Forwarded-For as it arrived, cut after 40 bytes; null without one.
    #[serde(default)]
    pub forwarded_for: Option<String>,
    /// Content of the request that arrived, in bytes.
    #[serde(default)]
    pub body_bytes: u64,
    /// XXH3-64 of that content in hexadecimal digits; null without content.
    #[serde(default)]
    pub body_digest: Option<String>,
    /// Parts that arrived other than the client says that it sent them: `method`, `path`, `query`, `host`, `body-length`,
    /// `body`, `field-lost`, `field-changed`, `field-doubled`; `unreadable` if what the client says cannot be read.
    #[serde(default)]
    pub differences: Vec<String>,
    /// Which of the client's own fields differ, by their place among those that it named.
    #[serde(default)]
    pub differing_fields: Vec<usize>,
    /// Fields that others may have added or left (`x-forwarded-for`, `via`, `keep-alive`, …), and `compared`, `chunked`,
    /// `http/1.0`.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Of a stream or a WebSocket: what went over it, and how it ended; null for every other request.
    #[serde(default)]
    pub life: Option<Life>,
    /// Of a gRPC call: its status, and what went over it; null for every other request.
    #[serde(default)]
    pub call: Option<CallView>,
    /// TLS of its connection; null if it had none.
    #[serde(default)]
    pub tls: Option<TlsView>,
}

/// A gRPC call, as its backend saw it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CallView {
    /// The status that the backend wrote, such as `OK`; null if it wrote none.
    pub status: Option<String>,
    /// Whether the head of the response had the status, and nothing followed.
    pub trailers_only: bool,
    /// Nanoseconds that the client waits: `grpc-timeout` as it arrived; null without one.
    pub timeout_ns: Option<u64>,
    /// The code with which the client reset the stream, such as `CANCEL`; null if it did not.
    pub cancelled: Option<String>,
    /// Messages that came from the client.
    pub received: u32,
    /// Number of the last of them, if it was a check's; else 0.
    pub last_received: u32,
    /// Messages of a check whose number did not follow the one before.
    pub misplaced: u16,
    /// Messages that the backend wrote.
    pub written: u32,
}

/// The response to a query.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordsPage {
    /// Version of this JSON shape.
    pub version: u32,
    /// Ask from this number on for what comes after this page.
    pub next: u64,
    /// Records that were asked for by number and are kept no more.
    pub missed: u64,
    /// Records that were overwritten in their journals before the supervisor could read them, since the fleet began.
    pub lost: u64,
    /// Ended attempts, in the order in which they ended.
    pub records: Vec<RecordView>,
    /// Attempts that have been received and have not ended yet.
    pub in_flight: Vec<RecordView>,
}
