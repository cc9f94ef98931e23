//! The supervisor process: binds all addresses, starts a process for each backend, watches them, and does what signals and its API
//! ask. It reaches `backend` only by starting the same executable.

mod api;
mod backend;
mod backends;
mod bind;
mod certificates;
mod fold;
mod limits;
mod plan;
mod printer;
mod process;
mod start;
mod start_error;
mod stops;
mod supervisor;
mod waiting;

/// What a view of several fleets is made of: the same as a fleet's own.
pub(crate) mod joint {
    pub(crate) use super::api::command::{
        CommandReceiver, CommandRefusal, FaultChange, InFlightCount, SupervisorCommand, queues,
    };
    pub(crate) use super::api::feed::{Feed, feed};
    pub(crate) use super::api::server::{Api, Listening, Sources};
    pub(crate) use super::fold::live::LiveView;
    pub(crate) use super::fold::metrics::Metrics;
    pub(crate) use super::fold::records::RecordStore;
}

pub(crate) use certificates::{TlsPlan, authority_file, client_certificate_of, revocation_list_of};
pub(crate) use fold::log::LogMode;
pub(crate) use plan::{ControlAddress, FleetPlan};
pub(crate) use supervisor::run;
