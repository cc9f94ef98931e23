//! `uuid-generator config …`.

use std::path::PathBuf;

use clap::Args;

use super::location::LocationArgs;
use crate::balancer::{Balancer, Listen, Version};
use crate::config::balancing::BalancingConfig;

/// Write configuration for a balancer in front of the fleet: complete, to run in the foreground, without root
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct ConfigArgs {
    /// Balancer
    pub(crate) balancer: Balancer,

    #[command(flatten)]
    pub(crate) location: LocationArgs,

    /// Address of the balancer: a port of all IPv4 addresses, or an address and a port [default: 127.0.0.1:8080; 80 in a snippet]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<Listen>,

    #[command(flatten)]
    pub(crate) balancing: BalancingConfig,

    /// Write only what is included in an existing configuration
    #[arg(long, help_heading = "Output")]
    pub(crate) snippet: bool,

    /// Folder to write files into, created if it does not exist [default: text to standard output]
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    pub(crate) output: Option<PathBuf>,

    /// Version of the balancer [default: that of the program on PATH, else the newest]
    #[arg(long, value_name = "VERSION", help_heading = "Output")]
    pub(crate) for_version: Option<Version>,
}

const AFTER_HELP: &str = "\
What the balancer does not support, in its free edition or in that version, is an error that names the nearest alternative.

Examples:
  Round robin over the fleet, on port 8080
    uuid-generator config nginx > nginx.conf
  To include in a configuration that exists
    uuid-generator config nginx --snippet
  More
    uuid-generator config haproxy --algorithm source --health-path /readyz
    uuid-generator config traefik --weights 5:1:1 --output traefik

Exit status: 0 written, 2 could not.";
