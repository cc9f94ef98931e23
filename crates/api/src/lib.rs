//! The shapes that other programs read and write: the fleet's API, its live view, faults and times as they are typed. JSON with a
//! version; `schemas/openapi.json` is held to them.

mod fault;
mod fleet;
mod live;
mod time;

pub use fault::{BadFault, Fault, Share};
pub use fleet::{Action, FleetStatus, MemberState, MemberStatus, RecordView, RecordsPage};
pub use live::{
    CheckNews, CheckResult, FRAME, Frame, Front, HISTORY, Latency, Mark, MarkKind, STRIP, Seen, SeenRequest, Snapshot,
    Wish,
};
pub use time::Time;
