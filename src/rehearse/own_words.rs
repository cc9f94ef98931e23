//! What a running balancer itself says of its servers, compared with what was read from its file; where the two differ, nothing is expected.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use hyper::Uri;
use serde_json::Value;

use crate::balancer::read::reported::{ReportedServers, ServerReport};
use crate::balancer::read::{Configuration, Endpoint, Upstream};
use crate::rehearse::naming::Listens;
use crate::rehearse::order::RehearsalPlan;
use crate::remote;

/// The longest time that a response may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Names are resolved, and services are read, within this time.
const SETTLED: Duration = Duration::from_secs(3);
const GLANCE: Duration = Duration::from_millis(100);
/// The longest response that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// Where a server listens, by the names of the world; one that has several addresses for the same is at one place.
pub(super) type PlacesOf<'p> = &'p dyn Fn(&Endpoint) -> Vec<Listens>;

/// Servers and their weights.
pub(super) type Servers = BTreeMap<Listens, u64>;

/// What a balancer says of its servers, with names resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
enum OwnWords {
    /// The servers of each group, with their weights.
    Groups(BTreeMap<String, Servers>),
    /// All of them, in no groups.
    All(BTreeSet<Listens>),
}

impl OwnWords {
    fn of(reported: ReportedServers, places: PlacesOf) -> OwnWords {
        match reported {
            ReportedServers::Groups(groups) => {
                OwnWords::Groups(groups.into_iter().map(|(name, servers)| (name, resolved(&servers, places))).collect())
            }
            ReportedServers::All(all) => OwnWords::All(all.iter().flat_map(places).collect()),
        }
    }
}

/// Where the balancer's own words and `read` of that group differ, if they do and it says anything.
pub(super) async fn contradiction(
    order: &RehearsalPlan,
    group: &str,
    read: &Servers,
    listening: &[SocketAddr],
    places: PlacesOf<'_>,
) -> Option<String> {
    let begun = Instant::now();
    loop {
        let difference = difference(&ask(order, listening, places).await?, group, read);
        // Names are not resolved at once.
        if difference.is_none() || begun.elapsed() > SETTLED {
            return difference.map(|it| format!("{} itself says otherwise: {it}", order.balancer.title));
        }
        thread::sleep(GLANCE);
    }
}

async fn ask(order: &RehearsalPlan, listening: &[SocketAddr], places: PlacesOf<'_>) -> Option<OwnWords> {
    let of = |reported| OwnWords::of(reported, places);
    match order.balancer.reports? {
        ServerReport::Printed(print) => Some(printed(&print(&order.file)?, places)),
        ServerReport::Socket { command, read } => {
            sockets().iter().find_map(|socket| read(&send(socket, command)?)).map(of)
        }
        ServerReport::Api { path, read } => of_apis(listening, path, read).await.map(of),
    }
}

async fn of_apis(
    listening: &[SocketAddr],
    path: &str,
    read: fn(&Value) -> Option<ReportedServers>,
) -> Option<ReportedServers> {
    let ports: BTreeSet<u16> = listening.iter().map(SocketAddr::port).collect();
    for port in ports {
        let Ok(url) = format!("http://127.0.0.1:{port}{path}").parse::<Uri>() else { continue };
        let Ok((200, body)) = remote::get(&url, PATIENCE).await else { continue };
        if let Some(reported) = serde_json::from_slice(&body).ok().as_ref().and_then(read) {
            return Some(reported);
        }
    }
    None
}

/// The unix sockets on which somebody listens in this network.
fn sockets() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let path = |line: &str| line.split_whitespace().nth(7).filter(|path| path.starts_with('/')).map(PathBuf::from);
    let all: BTreeSet<PathBuf> = text.lines().filter_map(path).collect();
    all.into_iter().collect()
}

fn send(socket: &Path, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(command.as_bytes()).ok()?;
    let mut text = String::new();
    stream.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The groups of a configuration that the balancer printed.
fn printed(configuration: &Configuration, places: PlacesOf) -> OwnWords {
    OwnWords::Groups(configuration.groups().map(|it| (it.name.clone(), servers(it, places))).collect())
}

fn resolved(servers: &[(Endpoint, u64)], places: PlacesOf) -> Servers {
    let mut all = Servers::new();
    for (endpoint, weight) in servers {
        for place in places(endpoint) {
            *all.entry(place).or_default() += weight;
        }
    }
    all
}

/// Of an upstream that was read: those that get requests.
pub(super) fn servers(upstream: &Upstream, places: PlacesOf) -> Servers {
    let mut all = Servers::new();
    for server in upstream.servers.iter().filter(|it| !it.down) {
        for place in places(&server.endpoint) {
            *all.entry(place).or_default() += u64::from(server.weight);
        }
    }
    all
}

/// Where the two differ: in who is there, or in how the weights relate.
fn difference(words: &OwnWords, group: &str, read: &Servers) -> Option<String> {
    let list = |all: BTreeSet<&Listens>| all.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let known: BTreeSet<&Listens> = read.keys().collect();
    match words {
        OwnWords::All(all) => {
            let missing: BTreeSet<&Listens> = known.into_iter().filter(|it| !all.contains(it)).collect();
            (!missing.is_empty()).then(|| format!("it does not know {}", list(missing)))
        }
        OwnWords::Groups(groups) => {
            let Some(own) = groups.get(group) else {
                return Some(format!("it does not know {group}"));
            };
            let there: BTreeSet<&Listens> = own.keys().collect();
            // HAProxy does not say which socket a server has.
            let has_sockets = there.iter().any(|it| it.address().is_none());
            let known: BTreeSet<&Listens> =
                known.into_iter().filter(|it| has_sockets || it.address().is_some()).collect();
            if there != known {
                return Some(format!("servers of {group}: {}, and {} were read", list(there), list(known)));
            }
            let first = own.iter().next();
            let unlike = |(place, weight): (&Listens, &u64)| {
                first.is_some_and(|(other, its)| weight * read[other] != read[place] * its)
            };
            let all = || own.iter().map(|(place, weight)| format!("{place}={weight}")).collect::<Vec<_>>().join(", ");
            own.iter().any(unlike).then(|| format!("weights of {group}: {}", all()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::Balancer;
    use serde_json::json;

    fn port(address: &str) -> Listens {
        Listens::Port(address.parse().unwrap())
    }

    fn read(weights: &[(&str, u64)]) -> Servers {
        weights.iter().map(|(address, weight)| (port(address), *weight)).collect()
    }

    fn addresses(endpoint: &Endpoint) -> Vec<Listens> {
        match endpoint {
            Endpoint::Tcp(host, at) => vec![port(&format!("{host}:{at}"))],
            Endpoint::Unix(path) => vec![Listens::Socket(path.clone())],
            Endpoint::Pods(_) | Endpoint::Other => Vec::new(),
        }
    }

    fn of_text(balancer: &str, text: &str) -> Option<OwnWords> {
        match Balancer::of_text(balancer).and_then(|it| it.reports) {
            Some(ServerReport::Socket { read, .. }) => read(text).map(|it| OwnWords::of(it, &addresses)),
            Some(ServerReport::Api { .. } | ServerReport::Printed(_)) | None => panic!("no socket of {balancer}"),
        }
    }

    fn of_json(balancer: &str, json: &Value) -> Option<OwnWords> {
        match Balancer::of_text(balancer).and_then(|it| it.reports) {
            Some(ServerReport::Api { read, .. }) => read(json).map(|it| OwnWords::of(it, &addresses)),
            Some(ServerReport::Socket { .. } | ServerReport::Printed(_)) | None => panic!("no API of {balancer}"),
        }
    }

    /// As HAProxy 2.6 prints them.
    const STATES: &str = "\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
3 web 1 app1 10.0.0.1 2 0 20 20 5 6 3 4 6 0 0 0 - 8080 - 0 0 - - 0
3 web 2 app2 10.0.0.2 2 0 10 10 5 6 3 4 6 0 0 0 - 8080 - 0 0 - - 0
3 web 3 app3 10.0.0.3 0 4 10 10 5 6 3 4 6 0 0 0 - 8080 - 0 0 - - 0
";

    #[test]
    fn what_haproxy_says_is_compared_with_what_was_read() {
        let words = of_text("haproxy", STATES).unwrap();
        let right = [("10.0.0.1:8080", 2), ("10.0.0.2:8080", 1)];
        assert_eq!(difference(&words, "web", &read(&right)), None);
        for (weights, what) in [
            (&[("10.0.0.1:8080", 1), ("10.0.0.2:8080", 1)][..], "weights of web: 10.0.0.1:8080=20, 10.0.0.2:8080=10"),
            (&[("10.0.0.1:8080", 1)], "servers of web: 10.0.0.1:8080, 10.0.0.2:8080, and 10.0.0.1:8080 were read"),
        ] {
            assert_eq!(difference(&words, "web", &read(weights)).as_deref(), Some(what));
        }
        assert_eq!(difference(&words, "api", &read(&right)).as_deref(), Some("it does not know api"));
        assert_eq!(of_text("haproxy", "Unknown command.\n"), None);
    }

    #[test]
    fn apis_are_read() {
        let envoy = json!({"cluster_statuses": [{"name": "web", "host_statuses": [
            {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}, "weight": 3},
            {"address": {"pipe": {"path": "/run/app.sock"}}},
        ]}]});
        let both = Servers::from([(port("10.0.0.1:80"), 6), (Listens::Socket("/run/app.sock".to_owned()), 2)]);
        assert_eq!(difference(&of_json("envoy", &envoy).unwrap(), "web", &both), None);
        let traefik = json!({
            "services": {"api@internal": {}, "web@file": {"loadBalancer": {"servers": [
                {"url": "http://10.0.0.1:80", "weight": 3}, {"url": "http://10.0.0.2:80"},
                {"url": "http://10.0.0.3:80", "weight": 0},
            ]}}},
            "tcpServices": {"database@file": {"loadBalancer": {"servers": [{"address": "10.0.0.4:5432"}]}}},
        });
        let words = of_json("traefik", &traefik).unwrap();
        assert_eq!(difference(&words, "database", &read(&[("10.0.0.4:5432", 1)])), None);
        assert_eq!(difference(&words, "web", &read(&[("10.0.0.1:80", 3), ("10.0.0.2:80", 1)])), None);
        let caddy = of_json("caddy", &json!([{"address": "10.0.0.1:80", "num_requests": 0, "fails": 0}])).unwrap();
        assert_eq!(difference(&caddy, "", &read(&[("10.0.0.1:80", 1)])), None);
        let missing = difference(&caddy, "", &read(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)]));
        assert_eq!(missing.as_deref(), Some("it does not know 10.0.0.2:80"));
        for balancer in ["envoy", "traefik", "caddy"] {
            assert_eq!(of_json(balancer, &json!({})), None, "{balancer}");
        }
    }
}
