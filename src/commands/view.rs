//! `view`: the live view of several fleets, until somebody ends it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::choice::choices;
use super::print::print;
use crate::args::view::ViewArgs;
use crate::view::View;

/// Serves the live view until a signal comes.
pub(super) async fn run(args: ViewArgs) -> Result<ExitCode> {
    let choices = choices(&args.fleet)?;
    let listen = |kind| signal(kind).context("failed to listen to signals");
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let token = choices.iter().find_map(|choice| choice.token.clone());
    let view = View::start(&choices, args.control, token).await?;
    print(format!("The live view of {}: {}\n", fleets(view.fleets()), view.view()).as_bytes())?;
    tokio::select! {
        () = view.run() => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn fleets(count: usize) -> String {
    if count == 1 { "one fleet".to_owned() } else { format!("{count} fleets") }
}
