//! `uuid-generator rehearse …`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::report::ReportArgs;
use crate::balancer::Balancer;
use crate::config::check::CheckConfig;
use crate::config::rehearse::{AnswerOption, MapOption, NameOption};
use crate::topology::ClientNetwork;

/// Run a balancer with its production configuration, unchanged, in a private copy of this machine where every address that it names is a
/// backend of ours, and check it there
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct RehearseArgs {
    /// Balancer, as its program is called
    #[arg(value_name = "BALANCER", value_parser = rehearsed())]
    pub(crate) balancer: Balancer,

    /// Its configuration: the file that production uses
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) check: CheckConfig,

    /// Place that production has for FILE, with the folder around it: /etc/nginx/nginx.conf for a copy in a repository
    #[arg(long, value_name = "PLACE", conflicts_with_all = ["dry_run", "map"], help_heading = "Rehearsal")]
    pub(crate) at: Option<PathBuf>,

    /// Addresses that a name in the configuration has, and the port of its SRV records; repeatable [default: 1, and 80]
    #[arg(long, value_name = "NAME=COUNT[:PORT]", help_heading = "Rehearsal")]
    pub(crate) name: Vec<NameOption>,

    /// Status with which a server responds that is asked and is no backend, such as auth.internal:9000=204; repeatable
    #[arg(long, value_name = "HOST:PORT=STATUS", help_heading = "Rehearsal")]
    pub(crate) answer: Vec<AnswerOption>,

    /// Network of the clients: each connection has an address of it, which allow lists, limits and hashes of addresses see
    #[arg(long, value_name = "NETWORK", help_heading = "Rehearsal")]
    pub(crate) client: Option<ClientNetwork>,

    /// Configuration that takes the place of FILE after 2 s of the sample, by a reload: no request may be lost. What it includes is found
    /// from the folder of FILE
    #[arg(long, value_name = "NEW_FILE", conflicts_with = "during", help_heading = "Rehearsal")]
    pub(crate) then: Option<PathBuf>,

    /// Certificates: of our own where the file's cannot be used, of our own always, or the file's alone
    #[arg(long, value_enum, default_value_t = CertificateChoice::Missing, value_name = "WHICH", help_heading = "Rehearsal")]
    pub(crate) certificate: CertificateChoice,

    /// Upstream block behind the URL, where several are
    #[arg(long, value_name = "NAME", help_heading = "Rehearsal")]
    pub(crate) upstream: Option<String>,

    /// Where no private copy of this machine can be had: a copy of the file in which that server is our backend on that port of
    /// loopback, and which runs among what runs here; repeatable
    #[arg(long, value_name = "SERVER=PORT", conflicts_with_all = ["name", "answer", "client", "then", "certificate", "dry_run", "shell"], help_heading = "Rehearsal")]
    pub(crate) map: Vec<MapOption>,

    /// Print what is read from the file, and start nothing
    #[arg(long, conflicts_with = "shell", help_heading = "Rehearsal")]
    pub(crate) dry_run: bool,

    /// Open a shell in the private copy instead of a check
    #[arg(long, help_heading = "Rehearsal")]
    pub(crate) shell: bool,

    #[command(flatten)]
    pub(crate) report: ReportArgs,

    /// This process is within.
    #[arg(long, hide = true)]
    pub(crate) within: bool,
}

/// Those that run from a file of the user's own.
fn rehearsed() -> impl TypedValueParser<Value = Balancer> {
    let known = || Balancer::ALL.into_iter().filter(|balancer| balancer.own.is_some());
    PossibleValuesParser::new(known().map(|balancer| balancer.name))
        .try_map(move |name| known().find(|balancer| balancer.name == name).ok_or("no such balancer"))
}

/// Which certificates the balancer gets to see.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum CertificateChoice {
    /// Of our own where the file's are missing or cannot be read
    Missing,
    /// Of our own always
    StandIn,
    /// The file's alone
    Real,
}

const AFTER_HELP: &str = "\
Nothing of this machine is written: its files are read-only, /run, /tmp, /var/log and /var/cache are private, and no other machine \
is reached. It needs no root; where the system forbids private namespaces, use sudo.

Examples:
  uuid-generator rehearse nginx /etc/nginx/nginx.conf https://shop.example/cart
  An outage of one backend, a reload
    uuid-generator rehearse nginx nginx.conf http://shop.example/ \\
      --outage kill:10.20.0.11:8080@2s
    uuid-generator rehearse nginx nginx.conf http://shop.example/ \\
      --during 'nginx -s reload'
  A change of the configuration under load
    uuid-generator rehearse nginx nginx.conf http://shop.example/ \\
      --then nginx.conf.new
  Names that only production resolves, servers that are no backends
    uuid-generator rehearse haproxy haproxy.cfg http://shop.example/ \\
      --name app.internal=3
    uuid-generator rehearse nginx nginx.conf http://shop.example/ \\
      --answer auth.internal:9000=204
  A copy in a repository, of what production has in /etc/nginx
    uuid-generator rehearse nginx deploy/nginx/nginx.conf https://shop.example/ \\
      --at /etc/nginx/nginx.conf
  Where no private copy of this machine can be had
    uuid-generator rehearse nginx nginx.conf http://shop.example:8080/ \\
      --map 10.20.0.11:8080=9001 --map 10.20.0.12:8080=9002

Exit status: as that of check.";
