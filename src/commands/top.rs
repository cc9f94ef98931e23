//! `top`: the live view for those who are on a terminal.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::top::TopArgs;
use crate::remote::Remote;
use crate::top;

/// Until `q`, CTRL+C or the end of the fleet.
pub(super) async fn run(args: TopArgs) -> Result<ExitCode> {
    top::run(Remote::find(args.fleet, &[])?).await?;
    Ok(ExitCode::SUCCESS)
}
