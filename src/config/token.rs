//! The token of a fleet as a person gives it: a file, or the environment. A command line would show it to every user of the machine.

use std::path::Path;

use super::environment;
use crate::error::Problem;
use crate::wire::Token;

/// The variable without the prefix of ours.
pub(super) const VARIABLE: &str = "TOKEN";

/// The token in the file, if one is named, or in the environment.
pub(crate) fn read(file: Option<&Path>) -> Result<Option<Token>, Problem> {
    match file {
        Some(file) => of_file(file).map(Some),
        None => match environment::variables().remove(VARIABLE) {
            Some(value) => of_variable(value.to_str().unwrap_or_default()).map(Some),
            None => Ok(None),
        },
    }
}

pub(super) fn of_variable(value: &str) -> Result<Token, Problem> {
    value.parse().map_err(|why| wrong(why).on(format!("{}{VARIABLE}", environment::PREFIX)))
}

pub(super) fn of_file(file: &Path) -> Result<Token, Problem> {
    let text = std::fs::read_to_string(file).map_err(|why| {
        Problem::new(format!("failed to read the token: {why}"))
            .on(format!("--token-file {}", file.display()))
            .hint(format!("make one: (umask 077; openssl rand -hex 16 > {})", file.display()))
    })?;
    text.parse().map_err(|why| wrong(why).on(format!("--token-file {}", file.display())))
}

fn wrong(why: crate::wire::NotAToken) -> Problem {
    Problem::new(why.to_string()).hint("make one: openssl rand -hex 16")
}
