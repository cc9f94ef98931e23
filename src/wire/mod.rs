//! What crosses a process: names, ids, records and messages. It knows no socket, no clock and no file.

mod api;
mod batch;
mod channel;
mod event;
mod fault;
mod id;
mod live;
pub mod page;
mod record;
mod time;

pub use api::{Action, FleetStatus, MemberState, MemberStatus, RecordView, RecordsPage};
pub use batch::{BatchHead, NotABatch, read_batch, write_batch};
pub use channel::{Assignment, Limits, Order, Report, Starvation};
pub use event::{Cause, Change, Departure, Event};
pub use fault::{BadFault, Fault, Share};
pub use id::{
    ANSWER_HEADER, AnswerId, GENERATOR_HEADER, Generator, NotARequestId, REQUEST_HEADER, RequestId, run_from_text,
};
pub use live::{
    CheckNews, CheckResult, FRAME, Frame, Front, HISTORY, Latency, Mark, MarkKind, STRIP, Seen, SeenRequest, Snapshot,
    Wish,
};
pub use record::{Clipped, METHOD_BYTES, Outcome, PATH_BYTES, RECORD_WORDS, Record};
pub use time::{Calendar, Moment, Time};

/// Paths that answer for the process: 200 as long as it answers at all.
pub const LIVENESS_PATHS: [&str; 3] = ["/livez", "/healthz", "/health"];
/// Paths that answer for the traffic: 503 while the backend drains or was told to be unready.
pub const READINESS_PATHS: [&str; 2] = ["/readyz", "/ready"];
