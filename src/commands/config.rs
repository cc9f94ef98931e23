//! `config`: configuration for a balancer, from the fleet's settings and what was typed.

use std::fmt::Write;
use std::num::NonZeroU16;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::print::print;
use crate::args::config::ConfigArgs;
use crate::balancer::run::installed;
use crate::balancer::{Containers, FleetToken, For, Options, Program, WrittenConfig};
use crate::config::Layer;
use crate::config::text::Count;
use crate::error::Problem;

/// Writes the configuration, to standard output or into a folder.
pub(super) fn run(args: ConfigArgs) -> Result<ExitCode> {
    refuse_idle(&args)?;
    let fleet = args.location.config().merge()?;
    let of_file = args.balancing.only_in(&fleet.balancing());
    let (topology, workers) = args.balancing.or(fleet.balancing()).resolve(fleet.topology()?)?;
    let version = match args.for_version {
        Some(version) => For::Asked(version),
        None => installed::version(&args.balancer).map_or(For::Newest, For::Found),
    };
    let containers = Containers {
        image: args.image,
        replicas: args.replicas.and_then(|Count(count)| NonZeroU16::new(count as u16)),
        namespace: args.namespace,
        token: Some(match args.token_secret {
            Some(name) => FleetToken::Secret(name),
            None => FleetToken::New(uuid::Uuid::new_v4().simple().to_string()),
        }),
        faults: fleet.faults(),
    };
    let options = Options { listen: args.listen, snippet: args.snippet, version, workers, containers };
    let written = args.balancer.write(&topology, &options).map_err(Problem::from).map_err(|problem| match of_file {
        Some(of_file) => problem.within(of_file),
        None => problem,
    })?;
    match &args.output {
        Some(folder) => {
            save(&written, folder)?;
            print(usage(&written, folder).as_bytes())
        }
        None => print(text(&written).as_bytes()),
    }
}

/// What was typed of the fleet, and has no place in this configuration. In a file it is for the fleet as well.
fn refuse_idle(args: &ConfigArgs) -> Result<(), Problem> {
    let (title, is_of_containers) = (args.balancer.title, args.balancer.program == Program::Elsewhere);
    if args.location.names_faults() && !is_of_containers {
        let problem = Problem::new(format!("a configuration of {title} has no faults: backends have them"));
        return Err(problem.on("--fault").hint("give it to the fleet: uuid-generator --fault latency:100ms"));
    }
    if args.location.names_host() && is_of_containers {
        let problem = Problem::new(format!("with {title} backends listen on all addresses of their containers"));
        return Err(problem.on("--host").hint("leave it out"));
    }
    Ok(())
}

/// One file as it is; several with their names between them.
fn text(written: &WrittenConfig) -> String {
    match written.files.as_slice() {
        [file] => file.text.clone(),
        files => {
            let mut text = String::new();
            for file in files {
                let gap = if text.is_empty() { "" } else { "\n" };
                let _ = write!(text, "{gap}# ==> {} <==\n{}", file.name, file.text);
            }
            text
        }
    }
}

fn save(written: &WrittenConfig, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("failed to make the folder {}", folder.display()))?;
    for file in written.files.iter().chain(&written.overview) {
        let path = folder.join(file.name);
        std::fs::write(&path, &file.text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

/// What was written where, and the command that runs it.
fn usage(written: &WrittenConfig, folder: &Path) -> String {
    let mut text = String::new();
    for file in written.files.iter().chain(&written.overview) {
        let _ = writeln!(text, "{}", folder.join(file.name).display());
    }
    if let Some(run) = &written.run {
        let _ = writeln!(text, "\ncd {} && {run}", folder.display());
    }
    text
}
