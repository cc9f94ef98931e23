//! `uuid-generator rehearse …`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::report::ReportArgs;
use crate::balancer::Balancer;
use crate::config::check::CheckConfig;
use crate::config::rehearse::{AnswerOption, MapOption, NameOption};
use crate::topology::ClientNetwork;

/// Run a balancer with its production configuration, unchanged, in a private copy of this machine where every address in it is a backend of
/// ours, and check it there
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct RehearseArgs {
    /// Balancer, by the name of its program
    #[arg(value_name = "BALANCER", value_parser = rehearsed())]
    pub(crate) balancer: Balancer,

    /// Its configuration, as production uses it: a file, or for HAProxy also a directory with *.cfg
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) check: CheckConfig,

    /// File or directory that HAProxy reads after FILE, as with a further -f; repeatable
    #[arg(long, value_name = "FILE", conflicts_with = "map", help_heading = "Rehearsal")]
    pub(crate) also: Vec<PathBuf>,

    /// Where production has FILE and its directory, if FILE is a copy, as in a repository: /etc/nginx/nginx.conf
    #[arg(long, value_name = "PLACE", conflicts_with = "map", help_heading = "Rehearsal")]
    pub(crate) at: Option<PathBuf>,

    /// Number of addresses of a name in the configuration, and the port in its SRV records; repeatable [default: 1, and 80]
    #[arg(long, value_name = "NAME=COUNT[:PORT]", help_heading = "Rehearsal")]
    pub(crate) name: Vec<NameOption>,

    /// Status that a server which is not a backend responds with, such as auth.internal:9000=204; repeatable
    #[arg(long, value_name = "HOST:PORT=STATUS", help_heading = "Rehearsal")]
    pub(crate) answer: Vec<AnswerOption>,

    /// Network of the clients: each connection has another address of it, which allow lists, limits and hashes see
    #[arg(long, value_name = "NETWORK", help_heading = "Rehearsal")]
    pub(crate) client: Option<ClientNetwork>,

    /// Configuration that replaces FILE by a reload 2 s into the sample: no request may be lost. Its includes are relative to the directory
    /// of FILE
    #[arg(long, value_name = "NEW_FILE", conflicts_with = "during", help_heading = "Rehearsal")]
    pub(crate) then: Option<PathBuf>,

    /// Which certificates the balancer uses
    #[arg(long, value_enum, default_value_t = CertificateChoice::Missing, value_name = "WHICH", help_heading = "Rehearsal")]
    pub(crate) certificate: CertificateChoice,

    /// Upstream block (section, cluster, service) behind the URL, if there are several
    #[arg(long, value_name = "NAME", help_heading = "Rehearsal")]
    pub(crate) upstream: Option<String>,

    /// If private copies of this machine are forbidden: run a copy of the file in which this server is our backend on that loopback port,
    /// directly on this machine; repeatable
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

    /// This process is within the private copy.
    #[arg(long, hide = true)]
    pub(crate) within: bool,
}

/// Those that run with a file of the user's own.
fn rehearsed() -> impl TypedValueParser<Value = Balancer> {
    let known = || Balancer::ALL.into_iter().filter(|balancer| balancer.own.is_some());
    PossibleValuesParser::new(known().map(|balancer| balancer.name))
        .try_map(move |name| known().find(|balancer| balancer.name == name).ok_or("no such balancer"))
}

/// Which certificates the balancer gets to see.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum CertificateChoice {
    /// The file's, and ours in place of those that are missing or cannot be read
    Missing,
    /// Always ours
    StandIn,
    /// Only the file's
    Real,
}

const AFTER_HELP: &str = "\
Nothing on this machine changes: its files are read-only, /run, /tmp, /var/log and /var/cache are private, and no other machine can \
be reached. It needs no root; if the system forbids private namespaces, use sudo.

Examples:
  uuid-generator rehearse nginx /etc/nginx/nginx.conf https://shop.example/cart
  An outage of one backend; a reload
    uuid-generator rehearse nginx nginx.conf http://shop.example/ \\
      --outage kill:10.20.0.11:8080@2s
    uuid-generator rehearse nginx nginx.conf http://shop.example/ \\
      --during 'nginx -s reload'
  A new configuration under load
    uuid-generator rehearse nginx nginx.conf http://shop.example/ \\
      --then nginx.conf.new
  Names that resolve only in production; servers that are not backends
    uuid-generator rehearse haproxy haproxy.cfg http://shop.example/ \\
      --name app.internal=3
    uuid-generator rehearse nginx nginx.conf http://shop.example/ \\
      --answer auth.internal:9000=204
  A repository's copy of what production has in /etc/nginx
    uuid-generator rehearse nginx deploy/nginx.conf https://shop.example/ \\
      --at /etc/nginx/nginx.conf
  Several files of HAProxy
    uuid-generator rehearse haproxy /etc/haproxy/haproxy.cfg \\
      --also /etc/haproxy/conf.d http://shop.example/
  Without a private copy of this machine
    uuid-generator rehearse nginx nginx.conf http://shop.example:8080/ \\
      --map 10.20.0.11:8080=9001 --map 10.20.0.12:8080=9002

Exit status: that of check.";
