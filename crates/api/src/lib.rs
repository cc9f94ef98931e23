//! The shapes that other programs read and write: the fleet's API, its live view, faults and times as they are typed. JSON with a
//! version; `schemas/openapi.json` is held to them. And what backends serve as gRPC.

mod fault;
mod fleet;
pub mod generator;
mod live;
mod policy;
mod time;

pub use fault::{BadFault, Fault, FaultKind, FaultShare};
pub use fleet::{
    Action, BackendState, BackendStatus, CallView, FailedHandshakes, FleetStatus, RecordView, RecordsPage, TlsStatus,
    TlsView,
};
pub use live::{
    BackendFigures, BalanceRequest, BalancerInfo, CheckNews, CheckResult, ClientTimes, FRAME, Figures, Frame, History,
    LatencyPercentiles, MarkKind, ReceivedRequest, Second, SeenRequest, Snapshot, TimelineMark,
};
pub use policy::{FieldName, Policy};
pub use time::Time;
pub use verdict::BadCertificate;
