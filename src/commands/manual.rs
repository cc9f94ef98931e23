//! `completions` and `man`: what a shell and `man` need to know of the command line.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::print::print;
use crate::args::Args;
use crate::error::Problem;

const NAME: &str = "uuid-generator";
/// In the script for bash: clap_complete mangles a hyphen in one way where it defines a command and in another where it looks it up.
const PLAIN_NAME: &str = "uuid_generator";

/// Completions for a shell.
pub(super) fn completions(shell: Shell) -> Result<ExitCode> {
    print(script(shell).as_bytes())
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    match shell {
        Shell::Bash => {
            let mut command = completed().name("uuidgenerator").bin_name("uuidgenerator");
            clap_complete::generate(shell, &mut command, "uuidgenerator", &mut script);
            let text = String::from_utf8_lossy(&script);
            // What it registers for, and how it names its own function.
            let lines = text.lines().map(|line| {
                if line.contains("complete -F") {
                    line.replace(" uuidgenerator", &format!(" {NAME}"))
                        .replace("_uuidgenerator", &format!("_{PLAIN_NAME}"))
                } else {
                    line.replace("_uuidgenerator()", &format!("_{PLAIN_NAME}()"))
                }
            });
            lines.map(|line| line + "\n").collect()
        }
        _ => {
            clap_complete::generate(shell, &mut completed(), NAME, &mut script);
            let script = String::from_utf8_lossy(&script).into_owned();
            if shell == Shell::Fish { script + &positionals_for_fish() } else { script }
        }
    }
}

/// The command as help shows it, and those below it: what is hidden there is completed nowhere.
fn visible(command: &Command) -> Command {
    let arguments = command.get_arguments().filter(|it| !it.is_hide_set()).cloned();
    let below = command.get_subcommands().filter(|it| !it.is_hide_set()).map(visible);
    // A name of a command lives as long as the program, which ends when the script is written.
    let name: &'static str = command.get_name().to_owned().leak();
    let shown = Command::new(name).args(arguments).subcommands(below);
    let shown = command.get_about().into_iter().fold(shown, |shown, about| shown.about(about.clone()));
    if command.get_version().is_some() { shown.version(env!("CARGO_PKG_VERSION")) } else { shown }
}

/// The command line, and with it the commands that have a manual page.
fn completed() -> Command {
    let all = visible(&Args::command());
    let names = |command: &Command| -> Vec<&'static str> {
        command.get_subcommands().map(|below| &*below.get_name().to_owned().leak()).collect()
    };
    let pages: Vec<&'static str> = names(&all).into_iter().chain(all.get_subcommands().flat_map(names)).collect();
    all.mut_subcommand("man", |man| {
        man.mut_arg("command", |argument| argument.value_parser(PossibleValuesParser::new(pages)))
    })
}

/// For fish, clap_complete knows the values of options and not those of arguments, such as the balancer of `config`.
fn positionals_for_fish() -> String {
    let mut lines = String::new();
    for command in completed().get_subcommands() {
        for argument in command.get_positionals() {
            let values = argument.get_possible_values();
            let values: Vec<&str> = values.iter().map(clap::builder::PossibleValue::get_name).collect();
            if !values.is_empty() {
                let (condition, words) = (command.get_name(), values.join(" "));
                lines += &format!(
                    "complete -c {NAME} -n \"__fish_uuid_generator_using_subcommand {condition}\" -f -a \"{words}\"\n"
                );
            }
        }
    }
    lines
}

/// The manual page of a command, or of the program.
pub(super) fn manual(path: &[String]) -> Result<ExitCode> {
    let mut command = Args::command();
    command.build();
    let mut name = NAME.to_owned();
    for word in path {
        name = format!("{name}-{word}");
        let below = command.find_subcommand(word).cloned();
        command = below.ok_or_else(|| {
            Problem::new("no such command").on(format!("man {word}")).hint(format!("{NAME} --help lists them"))
        })?;
    }
    print(&page(command, &name).context("failed to write the page")?)
}

/// The sections that `man` knows; those that a help text ends with come after them.
fn page(command: Command, name: &str) -> std::io::Result<Vec<u8>> {
    let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let has_version = command.get_version().is_some();
    let man = Man::new(command).title(name.to_owned());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    page.extend(sections(&help).bytes());
    if has_version {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

/// `Examples:` and `Exit status:` become sections, what stands before them is notes.
fn sections(help: &str) -> String {
    let (before, status) = help.split_once("\nExit status:").unwrap_or((help, ""));
    let (notes, examples) = before.split_once("Examples:\n").unwrap_or((before, ""));
    let mut out = String::new();
    for (title, text, verbatim) in
        [("NOTES", notes.trim(), false), ("EXAMPLES", examples.trim_end(), true), ("EXIT STATUS", status.trim(), false)]
    {
        if text.is_empty() {
            continue;
        }
        out += &format!(".SH {}\n", if title.contains(' ') { format!("\"{title}\"") } else { title.to_owned() });
        let text: String = text.lines().map(|line| format!("{}\n", roff(line))).collect();
        out += &if verbatim { format!(".nf\n{text}.fi\n") } else { text };
    }
    out
}

/// Nothing of a line is taken for a request of troff.
fn roff(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_page_has_the_sections_that_man_knows() {
        let mut command = Args::command();
        command.build();
        let check = command.find_subcommand("check").unwrap().clone();
        let page = String::from_utf8(page(check, "uuid-generator-check").unwrap()).unwrap();
        for part in [
            ".TH uuid-generator-check 1",
            ".SH NAME",
            ".SH OPTIONS",
            "\\-\\-expect",
            ".SH EXAMPLES\n.nf\n",
            ".SH \"EXIT STATUS\"\n0 pass",
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
    }

    #[test]
    fn scripts_offer_what_help_shows_and_nothing_that_it_hides() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            for hidden in ["end-with-parent", "within", "errors", "guard"] {
                let forms =
                    [format!("--{hidden}"), format!("-l {hidden} "), format!("-a \"{hidden}\""), format!("'{hidden}:")];
                assert!(!forms.iter().any(|form| script.contains(form)), "{shell} offers {hidden}");
            }
            for shown in ["balancer-config", "healthcheck", "version"] {
                assert!(script.contains(shown), "{shell} does not offer {shown}");
            }
        }
    }

    #[test]
    fn the_script_for_bash_registers_the_program_by_its_name() {
        let script = script(Shell::Bash);
        assert!(
            script.contains("complete -F _uuid_generator -o nosort -o bashdefault -o default uuid-generator\n"),
            "{script}"
        );
        assert!(script.contains("_uuid_generator() {"));
    }
}
