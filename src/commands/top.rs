//! `top`: the live view for those who are on a terminal.

use std::process::ExitCode;

use anyhow::Result;

use super::choice::choice;
use crate::args::top::TopArgs;
use crate::top;

/// Until `q`, CTRL+C or the end of the fleet.
pub(super) async fn run(args: TopArgs) -> Result<ExitCode> {
    top::run(choice(&args.fleet)?.find(&[])?).await?;
    Ok(ExitCode::SUCCESS)
}
