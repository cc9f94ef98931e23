//! `uuid-generator config …`.

use std::path::PathBuf;

use clap::Args;

use super::location::LocationArgs;
use crate::balancer::{Balancer, BalancerVersion, DnsLabel, Image, Listen};
use crate::config::balancing::BalancingConfig;
use crate::config::text::Count;

/// Write a complete configuration of a balancer in front of the fleet, to run in the foreground without root
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct ConfigArgs {
    /// Balancer, or what runs one: Kubernetes, compose
    pub(crate) balancer: Balancer,

    #[command(flatten)]
    pub(crate) location: LocationArgs,

    /// Address of the balancer: a port on all IPv4 addresses, or an address and a port [default: 127.0.0.1:8080; 80 in a snippet]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<Listen>,

    #[command(flatten)]
    pub(crate) balancing: BalancingConfig,

    /// Image of the fleet and of the check, with a tag other than latest [default: uuid-generator and this version]
    #[arg(long, value_name = "NAME:TAG", help_heading = "Kubernetes and compose")]
    pub(crate) image: Option<Image>,

    /// Number of backends, in Kubernetes each in its own pod [default: as many as --ports]
    #[arg(long, value_name = "COUNT", help_heading = "Kubernetes and compose")]
    pub(crate) replicas: Option<Count<1, 1000>>,

    /// Namespace in Kubernetes [default: the one of kubectl's context]
    #[arg(long, value_name = "NAME", help_heading = "Kubernetes and compose")]
    pub(crate) namespace: Option<DnsLabel>,

    /// Secret in Kubernetes with the fleets' token under the key `token` [default: one is written, with a random token]
    #[arg(long, value_name = "NAME", help_heading = "Kubernetes and compose")]
    pub(crate) token_secret: Option<DnsLabel>,

    /// Write only the part to include in an existing configuration
    #[arg(long, help_heading = "Output")]
    pub(crate) snippet: bool,

    /// Directory to write files to, created if it does not exist [default: text to standard output]
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    pub(crate) output: Option<PathBuf>,

    /// Version of the balancer [default: that of the program on PATH, else the newest]
    #[arg(long, value_name = "VERSION", help_heading = "Output")]
    pub(crate) for_version: Option<BalancerVersion>,
}

const AFTER_HELP: &str = "\
Options that the balancer does not support, in its free edition or in that version, are errors that name the nearest alternative.

Examples:
  Round robin over the fleet, on port 8080
    uuid-generator config nginx > nginx.conf
  To include in an existing configuration
    uuid-generator config nginx --snippet
  More
    uuid-generator config haproxy --algorithm source --health-path /readyz
    uuid-generator config traefik --weights 5:1:1 --output traefik
    uuid-generator config kubernetes --replicas 5 --output manifests
    uuid-generator config compose --output compose

Exit status: 0 written, 2 could not.";
