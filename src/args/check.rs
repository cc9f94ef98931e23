//! `uuid-generator check …`.

use std::path::PathBuf;

use clap::Args;

use super::choice::ChoiceArgs;
use super::location::LocationArgs;
use super::report::ReportArgs;
use crate::balancer::Balancer;
use crate::config::balancing::BalancingConfig;
use crate::config::check::CheckConfig;
use crate::config::suggest;
use crate::config::text::Count;
use crate::wire::Time;

/// Send requests through a balancer, account for every one of them, and give a verdict
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) check: CheckConfig,

    #[command(flatten)]
    pub(crate) fleet: ChoiceArgs,

    /// Longest time to wait until each named fleet has a ready backend and the URL's port accepts connections [default: no wait; 1m with
    /// --ready]
    #[arg(long, value_name = "TIME", conflicts_with_all = ["start", "with"])]
    pub(crate) wait: Option<Time>,

    /// Wait until this many backends of the named fleets are ready
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["start", "with"])]
    pub(crate) ready: Option<Count<1, 1_000_000>>,

    /// Start a fleet for the check
    #[arg(long, conflicts_with_all = ["fleet", "token_file"])]
    pub(crate) start: bool,

    #[command(flatten)]
    pub(crate) location: LocationArgs,

    #[arg(long, value_name = "BALANCER", help = format!("Start a fleet and this balancer for the check: one of {}", Balancer::names()), value_parser = suggest::text(Balancer::all_that_run().map(|it| it.name).collect()), hide_possible_values = true, conflicts_with_all = ["fleet", "token_file", "start", "identity"], help_heading = "With a balancer of its own")]
    pub(crate) with: Option<String>,

    /// Your own configuration of that balancer instead of a generated one; it must listen on the port of --listen, and runs in a private
    /// copy of this machine
    #[arg(long, value_name = "FILE", requires_all = ["with", "listen"], help_heading = "With a balancer of its own")]
    pub(crate) balancer_config: Option<PathBuf>,

    /// Port of that balancer [default: a free one]
    #[arg(long, value_name = "PORT", requires = "with", help_heading = "With a balancer of its own")]
    pub(crate) listen: Option<u16>,

    #[command(flatten)]
    pub(crate) balancing: BalancingConfig,

    /// Expect what this configuration says about the backends behind the URL: servers, weights, algorithm. An nginx.conf (upstream blocks),
    /// a haproxy.cfg, a Caddyfile, a configuration of Envoy or Traefik, or Kubernetes manifests (HTTPRoute, Ingress)
    #[arg(long, value_name = "FILE", help_heading = "Expectations")]
    pub(crate) from: Option<PathBuf>,

    /// Name of the upstream block (section, cluster, service), if there are several
    #[arg(long, value_name = "NAME", requires = "from", help_heading = "Expectations")]
    pub(crate) upstream: Option<String>,

    #[command(flatten)]
    pub(crate) report: ReportArgs,

    /// Write every request and every attempt to Parquet files: NAME.requests.parquet and NAME.attempts.parquet
    #[arg(long, value_name = "NAME.parquet", conflicts_with = "balancer_config")]
    pub(crate) ledger: Option<PathBuf>,

    /// Print what would be run and expected, and run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// This process is within a private copy of this machine.
    #[arg(long, hide = true)]
    pub(crate) within: bool,
}

const AFTER_HELP: &str = "\
Without a URL, all checks of the file run: tables [[check]], whose keys are these options' names, and `name`.

Before its sample a check warms up and experiments, for at most 30 s. The sample takes at most 60 s, or --duration, or as long as -n \
takes. Progress goes to standard error. CTRL+C stops a check within 2 s, without a verdict.

Examples:
  Is it balanced, and is anything lost?
    uuid-generator check http://localhost:8080/uuid
  Is it round robin, with these weights?
    uuid-generator check localhost:8080/uuid --expect round-robin,5:1:1
  What does an outage cost? And a reload: nothing?
    uuid-generator check localhost:8080/uuid --outage kill:9002@2s,start@6s
    uuid-generator check localhost:8080/uuid --during 'nginx -s reload'
  Test a change to nginx.conf
    uuid-generator check localhost:8080/ --with nginx \\
      --balancer-config nginx.conf --listen 8080 --from nginx.conf
  Send your own requests, at most 200
    uuid-generator check localhost:8080/v1 --body prompt.json --budget 200
  Over TLS, with any certificate
    uuid-generator check https://localhost:8443/uuid --insecure
  Check backends of your own
    uuid-generator check localhost:8080/ --identity header:X-Served-By

Exit status: 0 pass, 1 fail, 2 could not run, 3 inconclusive, 129, 130 or 143 interrupted.";
