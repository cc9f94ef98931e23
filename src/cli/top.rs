//! `uuid-generator top`: the live view for those who are on a terminal.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::remote::Remote;
use crate::top;

/// Watch a running fleet in this terminal, and break it by keys
#[derive(Args)]
pub struct Typed {
    /// The process id of the fleet's supervisor, when more than one fleet of yours runs
    #[arg(long, value_name = "PID")]
    fleet: Option<u32>,
}

impl Typed {
    /// Until `q`, CTRL+C or the end of the fleet.
    pub async fn run(self) -> Result<ExitCode> {
        top::run(Remote::find(self.fleet, &[])?).await?;
        Ok(ExitCode::SUCCESS)
    }
}
