//! The short help, `-h`: what most people need, on one screen. `--help` has everything.

use clap::Command;
use clap::builder::{Resettable, Str};

/// An argument by its id, and its text where the usual one is too long for a line.
type Shown = (&'static str, &'static str);

/// What the short help of a command shows. Commands that are not listed have few options, and show all.
const SHOWN: &[(&str, &[Shown])] = &[
    ("uuid-generator", &[("ports", "Ports of the backends [default: 9001-9003]")]),
    (
        "check",
        &[
            ("url", "URL of the balancer, such as http://localhost:8080/uuid"),
            ("with", "Start a fleet and this balancer, such as nginx"),
            ("expect", "What is required: even, 5:1:1, round-robin, …"),
            ("from", "Expect what this nginx.conf says"),
            ("identity", "Your own backends: where a response names them"),
            ("requests", "Requests of the sample"),
            ("duration", "Longest duration of the sample"),
            ("rate", "Requests per second"),
            ("header", "Request header, `Name: value`"),
            ("body", "File with a request body"),
            ("insecure", "With https://: trust any certificate"),
            ("outage", "Scenario, such as kill:9002@2s,start@6s"),
            ("during", "Shell command during the sample"),
            ("report", "Report to write: text, json, markdown, junit, …"),
            ("verbose", "Show the evidence of all findings"),
        ],
    ),
    (
        "rehearse",
        &[
            ("balancer", "Balancer, by the name of its program"),
            ("file", "Its configuration: the file that production uses"),
            ("url", "URL, as clients of production use it"),
            ("name", "Addresses of a name, such as app.internal=3"),
            ("answer", "Status of another server"),
            ("upstream", "Upstream block behind the URL"),
            ("expect", "What is required: even, 5:1:1, lossless, …"),
            ("outage", "Scenario, such as kill:10.20.0.11:8080@2s"),
            ("during", "Shell command during the sample"),
            ("report", "Report: text, json, markdown, junit, …"),
            ("dry_run", "Print what is read, start nothing"),
            ("shell", "Open a shell in the private copy"),
        ],
    ),
    ("fleet", &[("fleet", "Fleet: process id of its supervisor, or URL")]),
    (
        "send",
        &[
            ("url", "URL of the balancer"),
            ("requests", "Number of requests"),
            ("header", "Request header, `Name: value`"),
            ("keep_cookies", "Act as one client that keeps cookies"),
            ("timeout", "Response timeout"),
            ("insecure", "With https://: trust any certificate"),
            ("format", "Output format: text or json"),
        ],
    ),
    (
        "config",
        &[
            ("balancer", "Balancer"),
            ("listen", "Address of the balancer [default: 127.0.0.1:8080]"),
            ("ports", "Ports of the backends"),
            ("algorithm", "Algorithm [default: round-robin]"),
            ("weights", "Weights of the backends, such as 5:1:1"),
            ("backup", "Backup servers"),
            ("health_path", "Path of an active health check"),
            ("retries", "Retries of a request that failed at a backend"),
            ("snippet", "Write only the part to include elsewhere"),
            ("output", "Directory to write files to"),
        ],
    ),
    (
        "demo",
        &[
            ("with", "Balancer [default: the first that is installed]"),
            ("listen", "Port of the balancer [default: 8080, or a free one]"),
            ("ports", "Ports of the backends"),
            ("algorithm", "Algorithm [default: round-robin]"),
            ("weights", "Weights of the backends, such as 5:1:1"),
        ],
    ),
];

/// Whether the short help is asked for.
pub(super) fn is_asked(words: impl Iterator<Item = std::ffi::OsString>) -> bool {
    words.take_while(|word| word != "--").any(|word| word == "-h")
}

/// The same command line with a help of one screen.
pub(super) fn short(command: Command) -> Command {
    let name = command.get_name().to_owned();
    // `help` is one more line, and `--help` is named below.
    let command = command.disable_help_subcommand(true).mut_subcommands(short);
    let Some((_, shown)) = SHOWN.iter().find(|(command, _)| *command == name) else { return command };
    let is_program = name == "uuid-generator";
    let path = if is_program { name } else { format!("uuid-generator {name}") };
    // Of two lines that clap writes, one; so that each command has its line.
    let command = if is_program { command.override_usage("uuid-generator [OPTIONS] [COMMAND]") } else { command };
    let command = command.mut_args(|argument| {
        let Some((_, text)) = shown.iter().find(|(id, _)| *id == argument.get_id().as_str()) else {
            return argument.hide_short_help(true);
        };
        let argument = argument.help(*text).help_heading(Resettable::<Str>::Reset);
        if argument.get_action().takes_values() { argument.hide_possible_values(true) } else { argument }
    });
    command.after_help(format!("All options and examples: {path} --help"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn commands(command: &mut Command, found: &mut Vec<(String, String)>) {
        found.push((command.get_name().to_owned(), command.render_help().to_string()));
        for below in command.get_subcommands_mut().filter(|it| it.get_name() != "help") {
            commands(below, found);
        }
    }

    #[test]
    fn the_short_help_of_every_command_fits_a_screen() {
        let mut command = short(super::super::Args::command()).term_width(80);
        command.build();
        let mut found = Vec::new();
        commands(&mut command, &mut found);
        assert!(found.len() > 10, "{}", found.len());
        for (name, help) in &found {
            assert!(help.trim_end().lines().count() <= 25, "{name}\n{help}");
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{name}\n{help}");
        }
    }

    #[test]
    fn everything_that_it_shows_is_there() {
        let command = super::super::Args::command();
        for (name, shown) in SHOWN {
            let command = command.find_subcommand(name).unwrap_or(&command);
            for (id, _) in *shown {
                assert!(command.get_arguments().any(|it| it.get_id() == *id), "{name} has no {id}");
            }
        }
    }

    #[test]
    fn it_is_asked_for_by_h_alone() {
        let words = |words: &[&str]| is_asked(words.iter().map(|word| (*word).into()));
        assert!(words(&["check", "-h"]));
        assert!(!words(&["check", "--help"]) && !words(&["check", "--", "-h"]));
    }
}
