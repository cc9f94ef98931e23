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
mod supervisor;
mod waiting;

pub(crate) use backends::machine_name;
pub(crate) use certificates::{TlsPlan, authority_file, revocation_list_of};
pub(crate) use fold::log::LogMode;
pub(crate) use plan::{ControlAddress, FleetPlan};
pub(crate) use supervisor::run;
