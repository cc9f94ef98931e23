//! `uuid-generator demo`.

use std::net::SocketAddr;

use clap::Args;

use super::location::LocationArgs;
use crate::balancer::Balancer;
use crate::config::balancing::BalancingConfig;
use crate::config::suggest;

/// See a real balancer balance: a fleet, the balancer, a first check, and light traffic until CTRL+C
#[derive(Args)]
pub(crate) struct DemoArgs {
    #[arg(long, value_name = "BALANCER", value_parser = suggest::text(Balancer::all_that_run().map(|it| it.name).collect()), hide_possible_values = true, help = format!("Balancer: one of {} [default: the first that is installed]", Balancer::names()))]
    pub(crate) with: Option<String>,

    #[command(flatten)]
    pub(crate) location: LocationArgs,

    /// Port of the balancer on loopback [default: 8080, or a free one]
    #[arg(long, value_name = "PORT")]
    pub(crate) listen: Option<u16>,

    /// Address of the live view [default: 127.0.0.1:9000, or a free port]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) control: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) balancing: BalancingConfig,
}
