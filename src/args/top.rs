//! `uuid-generator top`.

use clap::Args;

/// Watch a running fleet in this terminal, and inject faults with keys
#[derive(Args)]
pub(crate) struct TopArgs {
    /// Process id of the fleet's supervisor, if more than one fleet of yours runs
    #[arg(long, value_name = "PID")]
    pub(crate) fleet: Option<u32>,
}
