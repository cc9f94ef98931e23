//! What each command does with what was typed: it joins the rooms that do not know each other.

mod backends;
mod check;
mod choice;
mod config;
mod demo;
mod fault;
mod fleet;
mod healthcheck;
mod init;
mod manual;
mod mapped;
mod print;
mod private;
mod rehearse;
mod reports;
mod send;
mod top;
mod view;

use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::runtime::Builder;

use crate::args::{Args, Command};
use crate::fleet as supervisor;
use crate::platform::means;

/// Does what was typed.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    if let Some(parent) = args.end_with_parent {
        means().end_with_parent(parent)?;
        // It may have ended before that, and then no signal comes.
        if rustix::process::getppid().is_none_or(|now| now.as_raw_pid() as u32 != parent) {
            return Ok(ExitCode::SUCCESS);
        }
    }
    match args.command {
        None => {
            let mut plan = args.fleet.merge()?.resolve()?;
            plan.network = args.network;
            block_on(supervisor::run(plan))
        }
        Some(Command::Demo(args)) => block_on(demo::run(*args)),
        Some(Command::Check(args)) => {
            check::enter(&args)?;
            block_on(check::run(*args))
        }
        Some(Command::Rehearse(args)) if args.within => block_on(rehearse::within(*args)),
        Some(Command::Rehearse(args)) if mapped::is_needed(&args) => {
            let mapped = mapped::prepare(&args)?;
            check::enter(&mapped.check)?;
            block_on(check::run(mapped.check))
        }
        Some(Command::Rehearse(args)) => rehearse::run(*args),
        Some(Command::Send(args)) => block_on(send::run(args)),
        Some(Command::Config(args)) => config::run(*args),
        Some(Command::Fleet(args)) => block_on(fleet::run(args)),
        Some(Command::Fault(args)) => block_on(fault::run(args)),
        Some(Command::Top(args)) => block_on(top::run(args)),
        Some(Command::View(args)) => block_on(view::run(args)),
        Some(Command::Healthcheck(args)) => block_on(healthcheck::run(args)),
        Some(Command::Init(args)) => init::run(&args),
        Some(Command::Completions { shell }) => manual::completions(shell),
        Some(Command::Man { command }) => manual::manual(&command),
    }
}

fn block_on(command: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    let runtime = Builder::new_current_thread().enable_all().build_local(Default::default());
    let runtime = runtime.context("failed to start the runtime")?;
    let result = runtime.block_on(command);
    // A thread that still waits for a response is not waited for.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    /// Each command with its help, those below another one after it.
    fn help() -> Vec<(String, String)> {
        fn collect(command: &mut clap::Command, found: &mut Vec<(String, String)>) {
            let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
            found.push((name, command.render_long_help().to_string()));
            let shown = |it: &&mut clap::Command| !it.is_hide_set() && it.get_name() != "help";
            command.get_subcommands_mut().filter(shown).for_each(|it| collect(it, found));
        }
        let mut command = Args::command().term_width(80);
        command.build();
        let mut found = Vec::new();
        collect(&mut command, &mut found);
        found
    }

    #[test]
    fn the_reference_of_commands_is_their_help() {
        const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/commands.md");
        let mut text = String::from(
            "# Commands\n\nWritten from the program's own help: do not edit (UPDATE_SNAPSHOTS=1 cargo test).\n",
        );
        for (name, help) in help() {
            let help: Vec<&str> = help.lines().map(str::trim_end).collect();
            text += &format!("\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
        }
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(FILE, &text).unwrap();
        }
        let written = std::fs::read_to_string(FILE).unwrap_or_default();
        assert!(written == text, "docs/reference/commands.md is not the help: UPDATE_SNAPSHOTS=1 writes it anew");
    }

    #[test]
    fn every_option_has_a_help_text_that_begins_with_a_capital() {
        fn look(command: &clap::Command) {
            for argument in command.get_arguments().filter(|it| !it.is_hide_set()) {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                let begins = help.chars().next().is_some_and(char::is_uppercase);
                assert!(begins, "{} {}: {help:?}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(look);
        }
        look(&Args::command());
    }
}
