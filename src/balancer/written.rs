//! A configuration that was written, or why it could not be.

use std::fmt;

use crate::balancer::options::BalancerVersion;
use crate::error::Problem;

/// The files of a configuration, and how the balancer is started with them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct WrittenConfig {
    /// Its files. Their names are relative to the folder in which the balancer is started.
    pub(crate) files: Vec<File>,
    /// How it is started in that folder, in the foreground; nothing for a snippet.
    pub(crate) run: Option<StartCommand>,
    /// Names the others to a tool that reads a whole folder; in one text with them it has no place.
    pub(crate) overview: Option<File>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct File {
    /// Name of the file, without its folder.
    pub(crate) name: &'static str,
    /// Its content, which ends with a newline.
    pub(crate) text: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StartCommand {
    /// Variables that are added to the environment.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
}

impl StartCommand {
    pub(crate) fn of(environment: &[(&'static str, &str)], command: &str) -> StartCommand {
        StartCommand {
            environment: environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            command: command.split(' ').map(str::to_owned).collect(),
        }
    }
}

/// As it is typed in a shell.
impl fmt::Display for StartCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(f, "{name}={value} ")?;
        }
        f.write_str(&self.command.join(" "))
    }
}

/// A balancer does not support something, in its free edition or in that version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unsupported {
    /// Such as `stick to a backend by a cookie of its own (--algorithm sticky): from 1.29.6`.
    pub(crate) what: String,
    /// Title of the balancer.
    pub(crate) title: &'static str,
    /// For which the configuration was to be written.
    pub(crate) version: BalancerVersion,
    /// The nearest that it supports, as options.
    pub(crate) nearest: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unsupported { what, title, version, nearest: _ } = self;
        write!(f, "{title} {version} cannot {what}")
    }
}

impl std::error::Error for Unsupported {}

impl From<Unsupported> for Problem {
    fn from(unsupported: Unsupported) -> Problem {
        Problem::new(unsupported.to_string()).hint(unsupported.nearest)
    }
}
