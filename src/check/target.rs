//! Where requests go: a URL, read and resolved, and whom its TLS trusts.

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use hyper::Uri;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::check::load::{Target, Tls};
use crate::check::plan::Trust;

/// Reads a URL and resolves its host. Of several addresses the first that takes a connection is used, IPv4 before IPv6.
pub fn resolve(url: &str, trust: &Trust, patience: Duration) -> Result<Target> {
    let hint = "write it as http://localhost:8080/uuid";
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = with_scheme.parse().map_err(|why| anyhow!("{url}: no URL ({why})\n  hint: {hint}"))?;
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        other => bail!("{url}: {}:// is not spoken, only http:// and https://\n  hint: {hint}", other.unwrap_or("?")),
    };
    let option = match trust {
        Trust::Machine => None,
        Trust::Also(_) => Some("--ca"),
        Trust::Anyone => Some("--insecure"),
    };
    if let (false, Some(option)) = (secure, option) {
        bail!(
            "{url}: {option} is about TLS, and that URL has none\n  hint: begin it with https://, or leave {option} out"
        );
    }
    let authority = uri.authority().with_context(|| format!("{url}: the URL names no host\n  hint: {hint}"))?;
    if authority.as_str().contains('@') {
        bail!("{url}: a user in the URL is not sent\n  hint: use --header 'Authorization: Basic …'");
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let tls = secure.then(|| tls(host, trust)).transpose().with_context(|| url.to_owned())?;
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
        tls: tls.clone(),
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

fn tls(host: &str, trust: &Trust) -> Result<Tls> {
    let name = ServerName::try_from(host.to_owned()).with_context(|| format!("no certificate can be for {host}"))?;
    let given = match trust {
        Trust::Machine => Vec::new(),
        Trust::Also(file) => certificates(file)?,
        Trust::Anyone => return Ok(Tls::trusting_anyone(name)),
    };
    let mut authorities = RootCertStore::empty();
    // Files of the machine that cannot be read vouch for nobody, as do certificates in them that are none.
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in &given {
        authorities.add(certificate.clone()).with_context(|| {
            let Trust::Also(file) = trust else { return String::new() };
            format!("--ca {}: a certificate in it cannot be used", file.display())
        })?;
    }
    if authorities.is_empty() {
        bail!(
            "nobody whom this machine trusts is known, for it holds no certificate of an authority\n  hint: --ca FILE trusts those of a PEM file, --insecure trusts anyone, or install \
             ca-certificates"
        );
    }
    Ok(Tls::trusting(name, authorities, given)?)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let about = || format!("--ca {}", file.display());
    let text = std::fs::read(file).with_context(about)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().with_context(about)?;
    if found.is_empty() {
        bail!(
            "{}: it holds no certificate\n  hint: expected PEM, which begins with -----BEGIN CERTIFICATE-----",
            about()
        );
    }
    Ok(found)
}
