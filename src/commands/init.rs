//! `init`: a commented file of settings to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::print::print;
use crate::args::init::InitArgs;
use crate::error::Problem;

/// Each key is commented out with its default, or with an example.
const SETTINGS: &str = include_str!("init.toml");

/// Writes it, unless there is one.
pub(super) fn run(args: &InitArgs) -> Result<ExitCode> {
    let name = args.file.display();
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&args.file) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Problem::new("it exists already")
                .on(name)
                .hint("name another file: uuid-generator init FILE"))?;
        }
        Err(error) => return Err(error).with_context(|| format!("failed to create {name}")),
    };
    file.write_all(SETTINGS.as_bytes()).with_context(|| format!("failed to write {name}"))?;
    print(
        format!("{name} is written: uncomment what you need, then run uuid-generator check --with nginx\n").as_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::SETTINGS;
    use crate::config::fleet::FleetConfig;

    #[test]
    fn the_file_is_understood_as_it_is_and_with_everything_uncommented() {
        let check = "[[check]]";
        assert!(toml::from_str::<FleetConfig>(SETTINGS).is_ok());
        let keys = SETTINGS.lines().map(|line| match line.strip_prefix("#") {
            Some(setting) if !setting.starts_with(' ') => setting,
            Some(_) | None => line,
        });
        let all = keys.collect::<Vec<_>>().join("\n");
        assert!(all.contains(&format!("\n{check}\n")), "{all}");
        let read = toml::from_str::<FleetConfig>(&all).unwrap_or_else(|why| panic!("{why}\n{all}"));
        assert!(read.check.len() >= 2 && read.ports.is_some() && !read.balancer.is_empty());
    }
}
