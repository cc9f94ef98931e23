//! `uuid-generator init`.

use std::path::PathBuf;

use clap::Args;

/// Write a commented file of settings to start from: the fleet, the balancer, and checks
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct InitArgs {
    /// File to write; it must not exist yet
    #[arg(value_name = "FILE", default_value = crate::config::FILE)]
    pub(crate) file: PathBuf,
}

const AFTER_HELP: &str = "Exit status: 0 written, 2 could not.";
