//! `top`: the live view for those who are on a terminal.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Result;
use tokio::task::spawn_local;

use super::choice::choices;
use crate::args::top::TopArgs;
use crate::remote::{FleetChoice, Remote};
use crate::top;
use crate::view::View;

/// Until `q`, CTRL+C or the end of the fleet.
pub(super) async fn run(args: TopArgs) -> Result<ExitCode> {
    let choices = choices(&args.fleet)?;
    let remote = match choices.as_slice() {
        // A name may stand for several.
        [only] if !only.may_change() => only.find(&[])?,
        several => joint(several).await?,
    };
    top::run(remote).await?;
    Ok(ExitCode::SUCCESS)
}

/// A view of all of them, for as long as this process lives.
async fn joint(choices: &[FleetChoice]) -> Result<Remote> {
    let view = View::start(choices, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None).await?;
    let remote = Remote::at(&view.view(), None)?;
    spawn_local(view.run());
    Ok(remote)
}
