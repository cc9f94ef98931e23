//! What becomes of the events of a fleet: lines of the log, figures for Prometheus, the live view, and the records that are kept.

pub(crate) mod live;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod records;
pub(crate) mod redact;
