//! Where requests go: a URL, read and resolved.

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use hyper::Uri;

use crate::check::traffic::Target;

/// Reads a URL and resolves its host. Of several addresses the first that takes a connection is used, IPv4 before IPv6.
pub fn resolve(url: &str, patience: Duration) -> Result<Target> {
    let hint = "write it as http://localhost:8080/uuid";
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = with_scheme.parse().map_err(|why| anyhow!("{url}: no URL ({why})\n  hint: {hint}"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => bail!(
            "{url}: TLS is not spoken yet\n  hint: give the balancer a listener without TLS for the check, on loopback"
        ),
        other => bail!("{url}: {}:// is not spoken, only http://\n  hint: {hint}", other.unwrap_or("?")),
    }
    let authority = uri.authority().with_context(|| format!("{url}: the URL names no host\n  hint: {hint}"))?;
    if authority.as_str().contains('@') {
        bail!("{url}: a user in the URL is not sent\n  hint: use --header 'Authorization: Basic …'");
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(80);
    let mut addresses: Vec<SocketAddr> = match (host, host.parse::<IpAddr>()) {
        (_, Ok(address)) => vec![SocketAddr::new(address, port)],
        ("localhost", _) => vec![([127, 0, 0, 1], port).into(), (std::net::Ipv6Addr::LOCALHOST, port).into()],
        _ => (host, port)
            .to_socket_addrs()
            .map_err(|why| anyhow!("{url}: the name {host} does not resolve ({why})\n  hint: is it spelt right?"))?
            .collect(),
    };
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let target = |address| Target {
        address,
        host: authority.as_str().to_owned(),
        path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
    };
    let mut first = None;
    for address in &addresses {
        match TcpStream::connect_timeout(address, patience) {
            Ok(_) => return Ok(target(*address)),
            Err(error) => first = first.or(Some((address, error))),
        }
    }
    match first {
        None => bail!("{url}: the name {host} has no address"),
        Some((address, error)) => {
            let why = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".to_owned(),
                std::io::ErrorKind::TimedOut => format!("no connection within {patience:?}"),
                _ => error.to_string(),
            };
            bail!("failed to reach {url} at {address}: {why}\n  hint: does the balancer run, and listen on that port?")
        }
    }
}
