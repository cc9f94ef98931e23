//! What is to be rehearsed, and where its URLs lead.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use hyper::Uri;
use world::names::Size;

use crate::balancer::Balancer;
use crate::balancer::read::Configuration;
use crate::check::is_secure;
use crate::check::plan::CheckPlan;
use crate::error::Problem;
use crate::topology::ClientNetwork;

#[derive(Clone)]
pub(crate) struct RehearsalPlan {
    pub(crate) balancer: Balancer,
    /// The balancer's configuration.
    pub(crate) file: PathBuf,
    /// Those that it reads after that one.
    pub(crate) further: Vec<PathBuf>,
    /// What our reader made of the file; None if it reads none of this balancer.
    pub(crate) read: Option<Configuration>,
    /// Why it was not read.
    pub(crate) refused: Option<String>,
    pub(crate) urls: Vec<String>,
    /// The check that is made there.
    pub(crate) check: CheckPlan,
    /// Addresses of names that have not just one.
    pub(crate) names: Vec<Size>,
    /// Servers that are no backends, by host and port, and their status.
    pub(crate) answers: Vec<(String, u16, u16)>,
    pub(crate) certificates: Certificates,
    /// The file that takes its place while requests are sent.
    pub(crate) then: Option<PathBuf>,
    /// What our reader made of that one.
    pub(crate) then_read: Option<Configuration>,
    /// Why that one was not read.
    pub(crate) then_refused: Option<String>,
    /// Where clients are, if not on this machine.
    pub(crate) clients: Option<ClientNetwork>,
    /// The block behind the URLs, if the user names it.
    pub(crate) upstream: Option<String>,
}

impl RehearsalPlan {
    /// What the balancer is started with; None if it does not run here.
    pub(crate) fn arguments(&self) -> Option<Vec<OsString>> {
        let alone = self.balancer.alone?;
        Some([&self.file].into_iter().chain(&self.further).flat_map(|file| alone(file)).collect())
    }

    /// The rehearsal of the file that takes the place of this one.
    pub(super) fn after(&self) -> Option<RehearsalPlan> {
        let file = self.then.clone()?;
        let (read, refused) = (self.then_read.clone(), self.then_refused.clone());
        Some(RehearsalPlan { file, read, refused, then: None, then_read: None, then_refused: None, ..self.clone() })
    }
}

/// Which certificates the balancer gets to see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Certificates {
    /// Ours where the file's cannot be used.
    Missing,
    Ours,
    TheFiles,
}

pub(crate) struct UrlTarget {
    pub(crate) secure: bool,
    /// An IPv6 address has no brackets here.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl UrlTarget {
    /// The target of a URL as it is typed.
    pub(crate) fn of(url: &str) -> Result<UrlTarget, Problem> {
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let expected = || Problem::new("not a URL").on(url).hint("write it as https://shop.example/cart");
        let uri: Uri = with_scheme.parse().map_err(|_| expected())?;
        let secure = is_secure(url);
        let authority = uri.authority().ok_or_else(expected)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(UrlTarget { secure, host, port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }) })
    }

    /// None if it is a name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// The addresses of a host and a port as the balancer finds them.
pub(crate) fn addresses_of(host: &str, port: u16) -> Vec<SocketAddr> {
    let bare = host.trim_matches(['[', ']']);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return vec![SocketAddr::new(ip, port)];
    }
    let mut all: Vec<SocketAddr> = (bare, port).to_socket_addrs().into_iter().flatten().collect();
    all.sort();
    all.dedup();
    all
}

/// Addresses of this network itself: whoever is asked there must listen here.
pub(crate) fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || world::is_own(ip)
}
