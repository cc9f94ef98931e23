//! `uuid-generator config …`: configuration for a balancer, from the fleet's settings and what was typed.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::balancer::{Balancer, For, Listen, Options, Version, Written, installed};
use crate::cli::balancing::Balancing;
use crate::cli::settings::FleetFlags;

/// Write configuration for a balancer in front of the fleet: complete, to be run in the foreground, without root
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Typed {
    /// Which one
    balancer: Balancer,

    #[command(flatten)]
    fleet: FleetFlags,

    /// Where the balancer listens: a port of all IPv4 addresses, or an address and a port [default: 8080; 80 in a snippet]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Listen>,

    #[command(flatten)]
    balancing: Balancing,

    /// Only what is included in a configuration that is there already
    #[arg(long, help_heading = "Output")]
    snippet: bool,

    /// Write files into this folder, which is made if it is not there [default: text to standard output]
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    output: Option<PathBuf>,

    /// For this version of the balancer [default: that of the program on PATH, else the newest]
    #[arg(long, value_name = "VERSION", help_heading = "Output")]
    for_version: Option<Version>,
}

const AFTER_HELP: &str = "\
What the balancer cannot be told, in its free edition or in that version, is an error that names the nearest thing.

Examples:
  uuid-generator config nginx > nginx.conf            round robin over the fleet, on port 8080
  uuid-generator config nginx --snippet               to include, as load_balancer.conf
  uuid-generator config haproxy --algorithm source --health-path /readyz
  uuid-generator config traefik --weights 5:1:1 --output traefik

Exit status: 0 written, 2 could not.";

impl Typed {
    /// Writes it.
    pub fn run(self) -> Result<ExitCode> {
        let settings = self.fleet.settings().complete()?;
        let (topology, workers) = self.balancing.clone().or(settings.balancing()).tell(&settings)?;
        let version = match self.for_version {
            Some(version) => For::Asked(version),
            None => installed::version(&self.balancer).map_or(For::Newest, For::Found),
        };
        let options = Options { listen: self.listen, snippet: self.snippet, version, workers };
        let written = self.balancer.write(&topology, &options)?;
        match &self.output {
            Some(folder) => {
                save(&written, folder)?;
                super::show(said(&written, folder).as_bytes())
            }
            None => super::show(shown(&written).as_bytes()),
        }
    }
}

/// One file as it is; several with their names between them.
fn shown(written: &Written) -> String {
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

fn save(written: &Written, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("failed to make the folder {}", folder.display()))?;
    for file in &written.files {
        let path = folder.join(file.name);
        std::fs::write(&path, &file.text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

/// What was written where, and how it is used.
fn said(written: &Written, folder: &Path) -> String {
    let mut text = String::new();
    for file in &written.files {
        let _ = writeln!(text, "{}", folder.join(file.name).display());
    }
    if let Some(run) = &written.run {
        let _ = writeln!(text, "\ncd {} && {run}", folder.display());
    }
    text
}
