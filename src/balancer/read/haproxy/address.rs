//! The address of a server line of a `haproxy.cfg`.

use crate::balancer::read::configuration::UpstreamServer;
use crate::balancer::read::endpoint::Endpoint;

pub(super) fn endpoint(address: &str) -> Endpoint {
    let plain = address.split_once('@').map_or(address, |(kind, rest)| match kind {
        "ipv4" | "ipv6" | "unix" => rest,
        _ => address,
    });
    if plain.contains('$') {
        return Endpoint::Other;
    }
    if plain.starts_with('/') {
        return Endpoint::Unix(plain.to_owned());
    }
    match plain.rsplit_once(':') {
        // `[::1]:80` and `::1:80` are both an address and a port; a service (SRV) brings its own port.
        Some((host, port)) => port.parse().map_or(Endpoint::Other, |port| Endpoint::Tcp(host.to_owned(), port)),
        None if plain.starts_with('_') => Endpoint::Tcp(plain.to_owned(), 0),
        // The port of the client's connection.
        None => Endpoint::Other,
    }
}

/// Where the sockets of servers are for a HAProxy that runs below that directory.
pub(super) fn lock_up<'s>(root: &str, servers: impl Iterator<Item = &'s mut UpstreamServer>) {
    for server in servers {
        if let Endpoint::Unix(path) = &mut server.endpoint {
            *path = format!("{}{path}", root.trim_end_matches('/'));
        }
    }
}

/// Where a line of `peers`, `mailers` or `ring` leads.
pub(super) fn companion(words: &[String]) -> Option<Endpoint> {
    match words {
        [kind, _, address, ..] if matches!(kind.as_str(), "peer" | "mailer" | "server") => Some(endpoint(address)),
        _ => None,
    }
}
