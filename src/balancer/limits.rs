//! What writers share: what a version of a balancer does not support, and the first line of a configuration.

use std::time::Duration;

use crate::balancer::options::{BalancerVersion, For, Options};
use crate::balancer::product::{Product, Program};
use crate::balancer::written::Unsupported;
use crate::topology::Topology;

/// The limits of one version of a balancer: they name it in what they refuse.
#[derive(Clone, Copy)]
pub(crate) struct VersionLimits {
    title: &'static str,
    pub(crate) version: BalancerVersion,
}

impl VersionLimits {
    pub(crate) fn of(product: &Product, options: &Options) -> VersionLimits {
        VersionLimits { title: product.title, version: version(options, product) }
    }

    pub(crate) fn refuse_if(self, condition: bool, what: &str, nearest: &str) -> Result<(), Unsupported> {
        if condition { Err(self.cannot(what, nearest)) } else { Ok(()) }
    }

    pub(crate) fn refuse_if_older_than(self, oldest: BalancerVersion) -> Result<(), Unsupported> {
        let what = format!("be configured: configuration is written from version {oldest} on");
        self.refuse_if(
            self.version < oldest,
            &what,
            "take a newer one, and see whether the older takes what is written for it",
        )
    }

    /// Most balancers set the number of workers in a part of the configuration that is outside of a snippet.
    pub(crate) fn refuse_workers_in_snippet(self, options: &Options) -> Result<(), Unsupported> {
        self.refuse_if(
            options.snippet && options.workers.is_some(),
            "say in a snippet how many workers serve (--workers)",
            "leave out --workers or --snippet",
        )
    }

    /// Go's TLS library, which some balancers are written with, reads none.
    pub(crate) fn refuse_revocation_list(self, topology: &Topology) -> Result<(), Unsupported> {
        self.refuse_if(
            topology.revoked.is_some(),
            "read a revocation list (--backend-tls-crl)",
            "certificates of backends that are valid for hours; NGINX, HAProxy and Envoy read lists",
        )
    }

    pub(crate) fn refuse_stream_timeout(self, topology: &Topology) -> Result<(), Unsupported> {
        self.refuse_if(
            topology.timeouts.stream.is_some(),
            "limit how long a stream may be silent (--stream-timeout)",
            &format!("leave it out: {} ends no stream that is silent", self.title),
        )
    }

    pub(crate) fn cannot(self, what: &str, nearest: &str) -> Unsupported {
        let VersionLimits { title, version } = self;
        Unsupported { what: what.to_owned(), title, version, nearest: nearest.to_owned() }
    }
}

/// What several cannot, and what is nearest to it.
pub(crate) const LEAST_TIME: &str = "go by response times (--algorithm least-time)";
pub(crate) const FEWEST: &str = "--algorithm least-connections: a slow backend has more requests in flight";

/// As most balancers take a time: `10s`, `250ms`.
pub(crate) fn time(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{}ms", millis.max(1)),
    }
}

fn version(options: &Options, product: &Product) -> BalancerVersion {
    match options.version {
        For::Asked(version) | For::Found(version) => version,
        For::Newest => product.newest,
    }
}

/// What the first line of a configuration says.
pub(crate) fn head(product: &Product, options: &Options, topology: &Topology) -> String {
    let (title, version) = (product.title, version(options, product));
    let origin = match options.version {
        For::Asked(_) => String::new(),
        For::Found(_) => ", which was found on PATH".to_owned(),
        For::Newest if !matches!(product.program, Program::OnPath { .. }) => ", the newest known".to_owned(),
        For::Newest => ": none was found on PATH, so the newest known was assumed".to_owned(),
    };
    let count = topology.backends.len();
    let backends = if count == 1 { "1 backend".to_owned() } else { format!("{count} backends") };
    format!("{title} in front of {backends}, written by uuid-generator for version {version}{origin}.")
}
