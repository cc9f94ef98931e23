//! Where requests go: a URL, read and resolved, and whom its TLS trusts.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper::Uri;
use hyper::http::uri::Authority;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use socket2::{Domain, Socket, Type};

use crate::check::grpc;
use crate::check::load::{LoadTarget, Tls, connect};
use crate::check::plan::{CheckPlan, ClientCertificate, Route, RouteTo, TargetPlan, Trust};
use crate::error::Problem;
use verdict::life::StreamKind;

/// A URL as it is written.
struct ReadUrl {
    authority: Authority,
    port: u16,
    path: String,
    protocol: UrlProtocol,
}

impl ReadUrl {
    fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }
}

/// Finds what is wrong with the URLs of a plan, and options that none of them leaves an effect, before anything starts.
pub(crate) fn examine(plan: &CheckPlan) -> Result<(), Problem> {
    let urls: Vec<ReadUrl> = plan.target.urls().map(|url| read(url, plan)).collect::<Result<_, _>>()?;
    let is_idle = |route: &&Route| !urls.iter().any(|url| fits(route, url.host(), url.port));
    match plan.target.routes.iter().find(is_idle) {
        None => Ok(()),
        Some(route) => {
            let all: Vec<String> = urls.iter().map(|url| format!("{}:{}", url.host(), url.port)).collect();
            let problem = Problem::new(format!("no URL has that host and port; they have {}", all.join(", ")));
            Err(problem.on(route).hint("write the host and the port of the URL, 80 or 443 where it names none"))
        }
    }
}

/// Takes a URL apart, and refuses options that its protocol leaves without effect.
fn read(url: &str, plan: &CheckPlan) -> Result<ReadUrl, Problem> {
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = with_scheme.parse().map_err(|why| no_url(url, format!("not a URL ({why})")))?;
    let protocol = protocol(url, uri.scheme_str(), plan)?;
    refuse_misfits(url, &protocol, plan)?;
    let authority = uri.authority().ok_or_else(|| no_url(url, "the URL names no host".to_owned()))?.clone();
    if authority.as_str().contains('@') {
        let problem = Problem::new("a user in the URL is not sent").on(url);
        return Err(problem.hint("use --header 'Authorization: Basic …'"));
    }
    let port = port(url, &authority, if protocol.secure { 443 } else { 80 })?;
    // Written out, an empty path is `/` before a query too (RFC 9112 §3.2.1).
    let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let path = if plan.request.grpc { grpc::path_of(&path).to_owned() } else { path };
    Ok(ReadUrl { authority, port, path, protocol })
}

/// Reads a URL and resolves its host, by the routes of the plan first. Of several addresses the first that takes a connection is
/// used, IPv4 before IPv6.
pub(crate) fn resolve(url: &str, plan: &CheckPlan) -> Result<LoadTarget> {
    let read = read(url, plan)?;
    let UrlProtocol { secure, http2 } = read.protocol;
    let (host, port) = (read.host(), read.port);
    let tls = secure.then(|| tls(host, &plan.target)).transpose().with_context(|| url.to_owned())?;
    let addresses = addresses(url, host, port, &plan.target.routes)?;
    // Who lets in a network of clients alone may let in nobody else.
    let from = connect::address_of(plan.target.clients, None);
    let address = reachable(url, host, &addresses, from, plan.load.timeout)?;
    Ok(LoadTarget {
        address,
        host: read.authority.as_str().to_owned(),
        tls: if http2 { tls.map(Tls::with_http2) } else { tls },
        haproxy_protocol: plan.target.haproxy_protocol,
        clients: plan.target.clients,
        http2,
        path: read.path,
    })
}

/// The port of a URL; the usual one where it has none. What is no port is not taken for none.
fn port(url: &str, authority: &Authority, usual: u16) -> Result<u16, Problem> {
    match (authority.port_u16(), &authority.as_str()[authority.host().len()..]) {
        (Some(port), _) => Ok(port),
        (None, "" | ":") => Ok(usual),
        (None, _) => Err(no_url(url, "a port is a number up to 65535".to_owned())),
    }
}

fn no_url(url: &str, what: String) -> Problem {
    Problem::new(what).on(url).hint("write it as http://localhost:8080/uuid")
}

/// What is spoken to the balancer.
struct UrlProtocol {
    /// Whether its connections are TLS.
    secure: bool,
    http2: bool,
}

/// What the scheme and `--http2` ask for.
fn protocol(url: &str, scheme: Option<&str>, plan: &CheckPlan) -> Result<UrlProtocol, Problem> {
    let (secure, http2) = match scheme {
        Some("http" | "ws") => (false, false),
        Some("https" | "wss") => (true, false),
        Some("h2c") => (false, true),
        Some("grpc" | "grpcs") if !plan.request.grpc => {
            let problem = Problem::new("only a check calls methods of gRPC").on(url);
            return Err(problem.hint("use uuid-generator check, or begin the URL with h2c://"));
        }
        Some("grpc") => (false, true),
        Some("grpcs") => (true, true),
        other => {
            let scheme = other.unwrap_or("?");
            let spoken = "expected http://, https://, h2c://, grpc://, grpcs://, ws:// or wss://";
            return Err(no_url(url, format!("unsupported scheme {scheme}://, {spoken}")));
        }
    };
    Ok(UrlProtocol { secure, http2: http2 || plan.target.http2 })
}

/// Options that a URL's protocol leaves without effect.
fn refuse_misfits(url: &str, protocol: &UrlProtocol, plan: &CheckPlan) -> Result<(), Problem> {
    if plan.load.multiplex > 1 && !protocol.http2 {
        let problem = Problem::new("--streams needs HTTP/2, and that URL does not ask for it").on(url);
        return Err(problem.hint("add --http2, or begin the URL with h2c://"));
    }
    if protocol.http2 && plan.streams.as_ref().is_some_and(|streams| streams.kind == StreamKind::Websocket) {
        let problem = Problem::new("WebSockets are opened over HTTP/1.1, and that URL asks for HTTP/2").on(url);
        return Err(problem.hint("begin it with ws:// or wss://, and leave --http2 out"));
    }
    let option = match plan.target.trust {
        _ if plan.target.client_certificate.is_some() => Some("--cert"),
        Trust::Machine => None,
        Trust::Also(_) => Some("--ca"),
        Trust::Anyone => Some("--insecure"),
    };
    // One that another URL needs is about that one.
    if let (false, Some(option)) = (protocol.secure || plan.target.urls().any(is_secure), option) {
        let problem = Problem::new(format!("{option} is for TLS, and that URL has none")).on(url);
        return Err(problem.hint(format!("begin it with https://, or leave {option} out")));
    }
    Ok(())
}

/// The first address that takes a connection.
fn reachable(
    url: &str,
    host: &str,
    addresses: &[SocketAddr],
    from: Option<IpAddr>,
    patience: Duration,
) -> Result<SocketAddr> {
    let mut first = None;
    for address in addresses {
        match try_to_connect(*address, from, patience) {
            Ok(()) => return Ok(*address),
            Err(error) => first = first.or(Some((address, error))),
        }
    }
    let Some((address, error)) = first else { bail!("{url}: the name {host} has no address") };
    let (why, hint) = unreached(&error, patience);
    Err(Problem::new(format!("failed to reach {url} at {address}: {why}")).hint(hint).into())
}

fn unreached(error: &io::Error, patience: Duration) -> (String, &'static str) {
    const NOT_THERE: &str = "is the balancer running, and listening on that port?";
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ("nothing listens there (connection refused)".to_owned(), NOT_THERE),
        io::ErrorKind::TimedOut => (format!("no connection within {patience:?}"), NOT_THERE),
        io::ErrorKind::ConnectionReset => (
            "the connection is taken and reset at once".to_owned(),
            "does the balancer let in clients with this address, and as many connections? HAProxy tcp-request connection reject",
        ),
        _ => (error.to_string(), NOT_THERE),
    }
}

fn try_to_connect(to: SocketAddr, from: Option<IpAddr>, patience: Duration) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(ip) = from.filter(|ip| ip.is_ipv4() == to.is_ipv4()) {
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    socket.connect_timeout(&to.into(), patience)
}

/// Whether a URL as it is typed is about TLS.
pub(crate) fn is_secure(url: &str) -> bool {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    ["https", "wss", "grpcs"].iter().any(|secure| scheme.eq_ignore_ascii_case(secure))
}

/// A URL that is a backend's own is no balancer's.
pub(crate) fn refuse_a_backend(url: &str, target: &LoadTarget, names: &[String]) -> Result<()> {
    let port = target.address.port().to_string();
    if target.address.ip().is_loopback() && names.contains(&port) {
        let problem = Problem::new(format!("that is backend {port} itself: there is no balancer in between"));
        let hint = "give the URL at which the balancer listens, such as http://localhost:8080/uuid";
        return Err(problem.on(url).hint(hint).into());
    }
    Ok(())
}

/// Whether a route is for connections to that host and port.
fn fits(route: &Route, host: &str, port: u16) -> bool {
    let is_host = route.host.as_ref().is_none_or(|it| it.trim_matches(['[', ']']).eq_ignore_ascii_case(host));
    is_host && route.port.is_none_or(|it| it == port)
}

/// Where connections to a host and a port go.
fn addresses(url: &str, host: &str, port: u16, routes: &[Route]) -> Result<Vec<SocketAddr>> {
    let (host, port) = match routes.iter().find(|route| fits(route, host, port)).map(|route| &route.to) {
        Some(RouteTo::Address(address)) => return Ok(vec![SocketAddr::new(*address, port)]),
        Some(RouteTo::Host(other, other_port)) => {
            let other = other.as_deref().map_or(host, |other| other.trim_matches(['[', ']']));
            (other, other_port.unwrap_or(port))
        }
        None => (host, port),
    };
    let mut addresses: Vec<SocketAddr> = match (host, host.parse::<IpAddr>()) {
        (_, Ok(address)) => vec![SocketAddr::new(address, port)],
        ("localhost", _) => vec![([127, 0, 0, 1], port).into(), (std::net::Ipv6Addr::LOCALHOST, port).into()],
        _ => (host, port)
            .to_socket_addrs()
            .map_err(|why| {
                let hint = format!("is it spelt right? --resolve {host}:{port}:ADDRESS tries a name before DNS has it");
                Problem::new(format!("the name {host} does not resolve ({why})")).on(url).hint(hint)
            })?
            .collect(),
    };
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

fn tls(host: &str, plan: &TargetPlan) -> Result<Tls> {
    let name = ServerName::try_from(host.to_owned()).with_context(|| format!("no certificate can be for {host}"))?;
    let tls = match &plan.trust {
        Trust::Anyone => Tls::trusting_anyone(name),
        Trust::Machine => trusting(name, None)?,
        Trust::Also(file) => trusting(name, Some(file))?,
    };
    match &plan.client_certificate {
        None => Ok(tls),
        Some(ClientCertificate { certificate, key }) => {
            let chain = certificates("--cert", certificate)?;
            let about = || format!("--key {}", key.display());
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|why| {
                Problem::new(why.to_string()).on(about()).hint("expected a private key in PEM, without a password")
            })?;
            tls.with_certificate(chain, secret).with_context(about)
        }
    }
}

fn trusting(name: ServerName<'static>, file: Option<&Path>) -> Result<Tls> {
    let given = file.map(|file| certificates("--ca", file)).transpose()?.unwrap_or_default();
    let mut authorities = RootCertStore::empty();
    // A file of the machine that cannot be read, or that holds no certificate, is no authority.
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in &given {
        authorities.add(certificate.clone()).with_context(|| {
            let file = file.map(Path::display).map(|file| file.to_string()).unwrap_or_default();
            format!("--ca {file}: a certificate in it cannot be used")
        })?;
    }
    if authorities.is_empty() {
        let what = "certificate verify failed: this machine trusts no authority (it holds no certificate of one)";
        let hint = "--ca FILE trusts those of a PEM file, --insecure trusts anyone, or install ca-certificates";
        return Err(Problem::new(what).hint(hint).into());
    }
    Ok(Tls::trusting(name, authorities, given)?)
}

fn certificates(option: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let about = || format!("{option} {}", file.display());
    let text = std::fs::read(file).with_context(about)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().with_context(about)?;
    if found.is_empty() {
        let hint = "expected PEM, which begins with -----BEGIN CERTIFICATE-----";
        return Err(Problem::new("it holds no certificate").on(about()).hint(hint).into());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::plan::Backing;
    use crate::error::describe_for_people;

    #[test]
    fn who_takes_connections_and_resets_them_is_there() {
        let of = |kind: io::ErrorKind| unreached(&kind.into(), Duration::from_secs(10));
        assert!(of(io::ErrorKind::ConnectionReset).1.contains("let in clients"));
        assert!(of(io::ErrorKind::ConnectionRefused).1.contains("listening on that port"));
        assert_eq!(of(io::ErrorKind::TimedOut).0, "no connection within 10s");
    }

    #[test]
    fn what_is_no_port_is_not_taken_for_the_usual_one() {
        let of = |text: &str| port(text, &text.parse().unwrap(), 80).ok();
        assert_eq!(["a", "a:", "a:81", "[::1]", "[::1]:82"].map(of), [80, 80, 81, 80, 82].map(Some));
        assert_eq!(["a:99999", "[::1]:65536"].map(of), [None, None]);
    }

    #[test]
    fn an_option_that_no_url_gives_an_effect_is_refused_before_anything_starts() {
        let examined = |url: &str, further: &[&str], change: &dyn Fn(&mut CheckPlan)| {
            let mut plan = CheckPlan::new(url.to_owned(), Backing::Any);
            plan.target.further_urls = further.iter().map(|url| (*url).to_owned()).collect();
            change(&mut plan);
            examine(&plan).map_err(|problem| problem.to_string())
        };
        let insecure = |plan: &mut CheckPlan| plan.target.trust = Trust::Anyone;
        assert!(examined("http://a/", &[], &insecure).unwrap_err().contains("--insecure is for TLS"));
        assert_eq!(examined("http://a/", &["https://b/"], &insecure), Ok(()));
        let to = |host: Option<&str>, port, to: RouteTo| {
            let route = Route { host: host.map(str::to_owned), port, to };
            move |plan: &mut CheckPlan| plan.target.routes = vec![route.clone()]
        };
        let there = || RouteTo::Address([127, 0, 0, 1].into());
        let error = examined("http://a:8080/", &["b"], &to(Some("a"), Some(80), there())).unwrap_err();
        assert_eq!(error, "--resolve a:80:127.0.0.1: no URL has that host and port; they have a:8080, b:80");
        let elsewhere = to(Some("c"), None, RouteTo::Host(None, Some(81)));
        assert!(examined("a", &[], &elsewhere).unwrap_err().starts_with("--connect-to c:::81: "));
        for (url, host, port) in [("https://a/", Some("A"), Some(443)), ("http://[::1]:81/", Some("::1"), Some(81))] {
            assert_eq!(examined(url, &[], &to(host, port, there())), Ok(()), "{url}");
        }
        assert_eq!(examined("a:5", &["b"], &to(None, Some(80), there())), Ok(()));
    }

    #[test]
    fn the_first_route_that_fits_leads_elsewhere() {
        let route = |host: Option<&str>, port, to| Route { host: host.map(str::to_owned), port, to };
        let here: IpAddr = [127, 0, 0, 1].into();
        let routes = [
            route(Some("app.example.com"), Some(8080), RouteTo::Address([127, 0, 0, 9].into())),
            route(Some("APP.example.com"), None, RouteTo::Host(Some("127.0.0.8".to_owned()), None)),
            route(None, Some(81), RouteTo::Host(None, Some(82))),
        ];
        let to = |host: &str, port| addresses("u", host, port, &routes).unwrap();
        assert_eq!(to("app.example.com", 8080), [([127, 0, 0, 9], 8080).into()]);
        assert_eq!(to("app.example.com", 80), [([127, 0, 0, 8], 80).into()]);
        assert_eq!(to("127.0.0.1", 81), [SocketAddr::new(here, 82)]);
        assert_eq!(to("127.0.0.1", 80), [SocketAddr::new(here, 80)]);
        let error = addresses("u", "no.such.name.invalid", 80, &[]).unwrap_err();
        assert!(describe_for_people(&error).contains("\n  hint: is it spelt right? --resolve"), "{error:#}");
    }
}
