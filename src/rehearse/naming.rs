//! What backends are called that a configuration names by their addresses, or by names that have several.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use verdict::surroundings::Surrounding;

use crate::balancer::read::{Configuration, Endpoint, Upstream};

/// A backend: what it is called, and where it listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RehearsedBackend {
    pub(crate) name: String,
    pub(crate) listens: Listens,
    /// Its other addresses, where one name of it has several.
    pub(crate) further: Vec<Listens>,
    /// Where else it listens, since its health is checked there.
    pub(crate) health: Vec<Listens>,
}

impl RehearsedBackend {
    /// Where it gets requests.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Listens> {
        [&self.listens].into_iter().chain(&self.further)
    }

    /// Of its own; None: it listens on the balancer's.
    pub(crate) fn host(&self) -> Option<IpAddr> {
        match &self.listens {
            Listens::Port(address) => Some(address.ip()).filter(|ip| !ip.is_loopback()),
            Listens::Socket(_) => None,
        }
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Listens {
    Port(SocketAddr),
    /// The path of a unix socket.
    Socket(String),
}

impl Listens {
    /// None of a unix socket.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Listens::Port(address) => Some(*address),
            Listens::Socket(_) => None,
        }
    }
}

impl fmt::Display for Listens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listens::Port(address) => address.fmt(f),
            Listens::Socket(path) => write!(f, "unix:{path}"),
        }
    }
}

/// Whose address that is, which of its addresses (from 1), and how many it has.
pub(crate) type NameOf<'n> = &'n dyn Fn(IpAddr) -> Option<(String, usize, usize)>;

/// By the address that the file writes, or the name; with its number if the name has several addresses, with the port if it is asked on
/// several.
pub(crate) fn name(all: &[Listens], name_of: NameOf) -> Vec<RehearsedBackend> {
    let mut ports: BTreeMap<IpAddr, usize> = BTreeMap::new();
    all.iter().filter_map(Listens::address).for_each(|address| *ports.entry(address.ip()).or_default() += 1);
    let one = |listens: &Listens| {
        let known =
            listens.address().and_then(|it| Some((it, name_of(it.ip())?))).filter(|(_, (name, ..))| is_plain(name));
        let name = match known {
            None => listens.to_string(),
            Some((address, (name, place, several))) => {
                let number = if several > 1 { format!("-{place}") } else { String::new() };
                let port = if ports[&address.ip()] > 1 { format!("-{}", address.port()) } else { String::new() };
                format!("{name}{number}{port}")
            }
        };
        RehearsedBackend { name, listens: listens.clone(), further: Vec::new(), health: Vec::new() }
    };
    all.iter().map(one).collect()
}

/// Those of several files: one that listens where another does is the same, and keeps its first name.
pub(crate) fn merge(groups: impl Iterator<Item = Vec<RehearsedBackend>>) -> Vec<RehearsedBackend> {
    let mut all: Vec<RehearsedBackend> = Vec::new();
    for mut backend in groups.flatten() {
        let same = |it: &Listens| all.iter().position(|known| known.addresses().any(|at| at == it));
        if let Some(known) = backend.addresses().find_map(same) {
            let new: Vec<Listens> = backend.addresses().filter(|it| same(it).is_none()).cloned().collect();
            all[known].further.extend(new);
            continue;
        }
        if all.iter().any(|known| known.name == backend.name) {
            backend.name += "-new";
        }
        all.push(backend);
    }
    all
}

/// Hosts of servers without a group that are called almost as a group is: every name is found in a rehearsal, a mistyped one too.
pub(crate) fn mistyped(read: &Configuration) -> Vec<Surrounding> {
    let servers = read.implied.iter().flat_map(|group| &group.servers);
    let hosts = servers.filter_map(|server| match &server.endpoint {
        Endpoint::Tcp(host, _) => Some(host.to_ascii_lowercase()),
        Endpoint::Unix(_) | Endpoint::Pods(_) | Endpoint::Other => None,
    });
    let without_digits = |name: &str| name.replace(|it: char| it.is_ascii_digit(), "");
    let note = |host: &String| {
        let is_slip = |group: &&Upstream| {
            let name = group.name.to_ascii_lowercase();
            let shorter = name.len().min(host.len());
            let off = strsim::osa_distance(&name, host);
            // A letter that is missing, or too much, is a slip in a short name, too.
            let is_near = match off {
                1 => shorter > SHORT || name.len() != host.len() && shorter > 1,
                2 => shorter >= LONG,
                _ => false,
            };
            is_near && without_digits(&name) != without_digits(host)
        };
        let group = read.upstreams.iter().find(is_slip)?;
        Some(Surrounding::SimilarName {
            name: host.clone(),
            upstream: group.name.clone(),
            place: group.servers.first()?.place.clone(),
        })
    };
    hosts.collect::<BTreeSet<String>>().iter().filter_map(note).collect()
}

/// Names of this length differ in a letter on purpose: `app`, `api`.
const SHORT: usize = 4;

/// Names of this length hardly differ in two letters on purpose.
const LONG: usize = 8;

/// What may stand in headers and commands.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.len() <= 50 && name.starts_with(|it: char| it.is_ascii_alphanumeric()) && name.bytes().all(plain)
}

/// Backends as `--backends` takes them.
pub(crate) fn option(backends: &[RehearsedBackend]) -> String {
    let typed = |backend: &RehearsedBackend| -> Vec<String> {
        let name = &backend.name;
        let one = |listens: &Listens| match listens.to_string() {
            own if own == *name => own,
            other => format!("{name}={other}"),
        };
        backend.addresses().chain(&backend.health).map(one).collect()
    };
    backends.iter().flat_map(typed).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::read::UpstreamServer;

    #[test]
    fn a_backend_of_two_files_is_one_and_a_name_that_moves_is_two() {
        let at = |name: &str, address: &str| RehearsedBackend {
            name: name.to_owned(),
            listens: Listens::Port(address.parse().unwrap()),
            further: Vec::new(),
            health: Vec::new(),
        };
        let both =
            RehearsedBackend { further: vec![Listens::Port("[::1]:80".parse().unwrap())], ..at("a", "127.0.0.1:80") };
        let merged = merge([vec![at("[::1]:80", "[::1]:80")], vec![both]].into_iter());
        assert_eq!(option(&merged), "[::1]:80,[::1]:80=127.0.0.1:80");
        let groups = [
            vec![at("app1", "10.0.0.1:80"), at("app2", "10.0.0.2:80")],
            vec![at("first", "10.0.0.1:80"), at("app2", "10.0.0.3:80")],
        ];
        let merged = merge(groups.into_iter());
        assert_eq!(option(&merged), "app1=10.0.0.1:80,app2=10.0.0.2:80,app2-new=10.0.0.3:80");
    }

    #[test]
    fn a_host_that_is_called_almost_as_a_group_may_be_mistyped() {
        let server = |host: &str| {
            let endpoint = Endpoint::Tcp(host.to_owned(), 80);
            Upstream { servers: vec![UpstreamServer::at(host, endpoint, "f, line 1")], ..Upstream::named(host) }
        };
        let noted = |group: &str, host: &str| {
            let upstreams = vec![Upstream { name: group.to_owned(), ..server("10.0.0.1") }];
            mistyped(&Configuration { upstreams, implied: vec![server(host)], ..Configuration::default() })
        };
        for (group, host) in [("backend", "backnd"), ("app", "ap"), ("api", "apii"), ("upstream_api", "upsteram_ap")] {
            assert_eq!(noted(group, host).len(), 1, "{group} {host}");
        }
        let apart = [("api", "app"), ("a", "b"), ("a", "ab"), ("app1", "app"), ("backend1", "backend2")];
        for (group, host) in apart.into_iter().chain([("backend", "frontend"), ("backend", "10.0.0.1")]) {
            assert_eq!(noted(group, host), [], "{group} {host}");
        }
    }

    #[test]
    fn a_backend_listens_where_its_health_is_checked_too() {
        let at = |address: &str| Listens::Port(address.parse().unwrap());
        let backend = |name: &str, address: &str, health: &str| RehearsedBackend {
            name: name.to_owned(),
            listens: at(address),
            further: Vec::new(),
            health: vec![at(health)],
        };
        let all =
            [backend("s1", "10.0.0.1:80", "10.0.0.1:9999"), backend("10.0.0.2:80", "10.0.0.2:80", "10.0.0.2:9999")];
        let typed = "s1=10.0.0.1:80,s1=10.0.0.1:9999,10.0.0.2:80,10.0.0.2:80=10.0.0.2:9999";
        assert_eq!(option(&all), typed);
        let read: crate::topology::NamedBackends = typed.parse().unwrap();
        assert_eq!(
            read.0.iter().map(|it| (it.name.as_str(), it.addresses.len())).collect::<Vec<_>>(),
            [("s1", 2), ("10.0.0.2:80", 2)]
        );
    }

    #[test]
    fn a_backend_is_called_as_the_file_calls_it() {
        let name_of = |ip: IpAddr| match ip.to_string().as_str() {
            "198.18.0.1" => Some(("app1.internal".to_owned(), 1, 1)),
            "198.18.0.2" => Some(("pool.internal".to_owned(), 1, 2)),
            "198.18.0.3" => Some(("pool.internal".to_owned(), 2, 2)),
            _ => None,
        };
        let addresses =
            ["10.20.0.11:8080", "198.18.0.1:80", "198.18.0.2:80", "198.18.0.3:80", "198.18.0.3:81", "[fd00::5]:80"];
        let backends = name(&addresses.map(|it| Listens::Port(it.parse().unwrap())), &name_of);
        assert_eq!(
            option(&backends),
            "10.20.0.11:8080,app1.internal=198.18.0.1:80,pool.internal-1=198.18.0.2:80,pool.internal-2-80=198.18.0.3:80,\
             pool.internal-2-81=198.18.0.3:81,[fd00::5]:80"
        );
    }
}
