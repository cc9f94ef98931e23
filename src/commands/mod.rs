//! What each command does with what was typed: it joins the rooms that do not know each other.

mod backends;
mod check;
mod config;
mod demo;
mod fault;
mod fleet;
mod healthcheck;
mod print;
mod send;
mod top;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use tokio::runtime::Builder;

use crate::args::{Args, Command};
use crate::fleet as supervisor;
use print::print;

/// Does what was typed.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    if args.end_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    match args.command {
        None => {
            let plan = args.fleet.merge()?.resolve();
            block_on(supervisor::run(plan))
        }
        Some(Command::Demo(args)) => block_on(demo::run(*args)),
        Some(Command::Check(args)) => block_on(check::run(*args)),
        Some(Command::Send(args)) => send::run(args),
        Some(Command::Config(args)) => config::run(*args),
        Some(Command::Fleet(args)) => block_on(fleet::run(args)),
        Some(Command::Fault(args)) => block_on(fault::run(args)),
        Some(Command::Top(args)) => block_on(top::run(args)),
        Some(Command::Healthcheck(args)) => block_on(healthcheck::run(args)),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "uuid-generator", &mut script);
            print(&script)
        }
        Some(Command::Man) => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Args::command()).render(&mut page).context("failed to write the page")?;
            print(&page)
        }
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

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    /// All help, of every command.
    fn help() -> String {
        let mut command = Args::command();
        command.build();
        let mut text = command.render_long_help().to_string();
        for subcommand in command.get_subcommands_mut() {
            text += &subcommand.render_long_help().to_string();
            for below in subcommand.get_subcommands_mut() {
                text += &below.render_long_help().to_string();
            }
        }
        text
    }

    #[test]
    fn help_speaks_the_words_of_the_field() {
        const NEVER: [&str; 14] = [
            "told",
            "said",
            "beside them",
            "from here",
            "in turns",
            "as the balancer has it",
            "so many",
            "for so long",
            "is struck",
            "stands for",
            "fate",
            "cursor",
            "errand",
            "wish",
        ];
        let help = help().to_lowercase();
        let words: Vec<&str> = help.split(|c: char| !c.is_alphanumeric()).collect();
        let words = format!(" {} ", words.join(" "));
        for never in NEVER {
            assert!(!words.contains(&format!(" {never} ")), "help says {never:?}");
        }
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
