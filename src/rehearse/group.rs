//! PURE but for names. Which of those that were asked are the backends behind the URLs: the servers of one block of the file, if our
//! reader knows the file; else all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::Result;
use world::names::{NameQuery, WorldNames};

use crate::balancer::expected::Expected;
use crate::balancer::read::{Endpoint, Takes, Upstream, UpstreamMethod, UpstreamServer};
use crate::error::Problem;
use crate::rehearse::naming::{self, Listens, RehearsedBackend};
use crate::rehearse::order::{RehearsalPlan, addresses_of};
use crate::rehearse::responder::Responder;

/// Requests of visits, as servers saw them.
#[derive(Default)]
pub(crate) struct Visits {
    /// Who got a request.
    pub(crate) asked: BTreeSet<SocketAddr>,
    /// The most servers that one visit brought a request to, and which.
    pub(crate) together: BTreeSet<SocketAddr>,
}

impl Visits {
    /// Notes the visit since these counts. Those of whom the user says that they are no backends are passed over.
    pub(super) fn add(&mut self, responders: &[Responder], before: &[u64], others: &BTreeSet<SocketAddr>) {
        let now = responders.iter().zip(before).filter(|(responder, before)| responder.requests() > **before);
        let now = now.map(|(responder, _)| responder.address);
        let asked: BTreeSet<SocketAddr> = now.filter(|address| !others.contains(address)).collect();
        if asked.len() > self.together.len() {
            self.together.clone_from(&asked);
        }
        self.asked.extend(asked);
    }
}

/// The backends behind the URLs.
pub(crate) struct Group {
    /// The block of the file and where it stands, if it is known.
    pub(crate) name: Option<(String, String)>,
    pub(crate) addresses: Vec<SocketAddr>,
    /// The paths of unix sockets.
    pub(crate) sockets: Vec<String>,
    /// Why nothing is expected of shares.
    pub(crate) unknown: Vec<String>,
    upstream: Option<Upstream>,
}

/// Finds it. `refused` are those that may be backends.
pub(crate) fn choose(
    order: &RehearsalPlan,
    names: &WorldNames,
    refused: &[SocketAddr],
    visits: &Visits,
) -> Result<Group> {
    let upstreams: Vec<&Upstream> = order.read.iter().flat_map(|read| &read.upstreams).collect();
    let is_asked = |upstream: &&&Upstream| {
        let mut all = upstream.servers.iter().flat_map(|server| addresses(server, names));
        all.any(|address| visits.asked.contains(&address))
    };
    // Unix sockets are not seen on the wire: without anybody else it is they that were asked.
    let has_sockets =
        |upstream: &&&Upstream| visits.asked.is_empty() && upstream.servers.iter().any(|it| socket(it).is_some());
    let candidates: Vec<&&Upstream> = match &order.upstream {
        Some(name) => upstreams.iter().filter(|upstream| upstream.name == *name).collect(),
        None => upstreams.iter().filter(|it| is_asked(it) || has_sockets(it)).collect(),
    };
    let all_names = |all: &[&&Upstream]| all.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
    match (candidates.as_slice(), &order.upstream) {
        ([one], _) => Ok(Group::of(one, names)),
        ([], Some(name)) => Err(Problem::new(format!(
            "has no upstream {name}, only {}",
            all_names(&upstreams.iter().collect::<Vec<_>>())
        ))
        .on(order.file.display())
        .into()),
        ([first, rest @ ..], _) if rest.iter().all(|other| alike(first, other, names)) => Ok(Group::of(first, names)),
        ([], None) if visits.together.len() > 1 => {
            let asked: Vec<String> = visits.together.iter().map(ToString::to_string).collect();
            Err(Problem::new(format!("one request brought requests to several servers: {}", asked.join(", ")))
                .on(order.balancer.title)
                .hint("say which of them are no backends: --answer HOST:PORT=204")
                .into())
        }
        ([], None) => {
            let why = match &order.read {
                Some(_) => format!("{}: no upstream block has the servers that were asked", order.file.display()),
                None => format!("{}: files of {} are not read", order.file.display(), order.balancer.title),
            };
            Ok(Group::unknown(refused.to_vec(), why))
        }
        (several, _) if visits.together.len() > 1 => {
            Err(Problem::new(format!("several upstream blocks are behind the URL: {}", all_names(several)))
                .on(order.file.display())
                .hint("choose one with --upstream; the servers of the others respond 204")
                .into())
        }
        (several, _) => {
            let why =
                format!("{}: several upstream blocks are behind the URL: {}", order.file.display(), all_names(several));
            let mut all: Vec<SocketAddr> =
                several.iter().flat_map(|it| &it.servers).flat_map(|it| addresses(it, names)).collect();
            all.sort();
            all.dedup();
            Ok(Group::unknown(all, why))
        }
    }
}

/// Whether it is the same to expect one or the other.
fn alike(one: &Upstream, other: &Upstream, names: &WorldNames) -> bool {
    let expected = |upstream: &Upstream| Group::of(upstream, names).expected(names);
    expected(one) == expected(other)
}

fn addresses(server: &UpstreamServer, names: &WorldNames) -> Vec<SocketAddr> {
    match &server.endpoint {
        // A service (SRV) brings its port.
        Endpoint::Tcp(host, _) if host.starts_with('_') => {
            let service = names.asked().into_iter().find(|asked| asked.name == host.to_ascii_lowercase());
            let port = |asked: &NameQuery| asked.service.unwrap_or(80);
            service.iter().flat_map(|it| it.addresses.iter().map(|ip| SocketAddr::new(*ip, port(it)))).collect()
        }
        Endpoint::Tcp(host, port) => addresses_of(host, *port),
        Endpoint::Unix(_) | Endpoint::Other => Vec::new(),
    }
}

fn listens(server: &UpstreamServer, names: &WorldNames) -> Vec<Listens> {
    let ports = addresses(server, names).into_iter().map(Listens::Port);
    ports.chain(socket(server).map(Listens::Socket)).collect()
}

fn socket(server: &UpstreamServer) -> Option<String> {
    match &server.endpoint {
        Endpoint::Unix(path) => Some(path.clone()),
        Endpoint::Tcp(..) | Endpoint::Other => None,
    }
}

impl Group {
    fn of(upstream: &Upstream, names: &WorldNames) -> Group {
        let mut all: Vec<SocketAddr> = upstream.servers.iter().flat_map(|server| addresses(server, names)).collect();
        let mut seen = BTreeSet::new();
        all.retain(|address| seen.insert(*address));
        let place = upstream.servers.first().map(|server| server.place.clone()).unwrap_or_default();
        let name = Some((upstream.name.clone(), place));
        let sockets = upstream.servers.iter().filter_map(socket).collect();
        Group { name, addresses: all, sockets, unknown: Vec::new(), upstream: Some(upstream.clone()) }
    }

    fn unknown(addresses: Vec<SocketAddr>, why: String) -> Group {
        Group { name: None, addresses, sockets: Vec::new(), unknown: vec![why], upstream: None }
    }

    /// With the names by which the file knows them.
    pub(crate) fn backends(&self, names: &WorldNames) -> Vec<RehearsedBackend> {
        let counts: BTreeMap<String, usize> =
            names.asked().into_iter().map(|asked| (asked.name, asked.addresses.len())).collect();
        let name_of = |ip| {
            let (name, place) = names.name_of(ip)?;
            let count = counts.get(&name).copied().unwrap_or(1);
            Some((name, place, count))
        };
        let mut backends = naming::name(&self.addresses, &name_of);
        let of_socket = |path: &String| {
            let listens = Listens::Socket(path.clone());
            RehearsedBackend { name: listens.to_string(), listens }
        };
        backends.extend(self.sockets.iter().map(of_socket));
        for server in self.upstream.iter().flat_map(|upstream| &upstream.servers) {
            let all = listens(server, names);
            let (Some(name), [one]) = (&server.name, all.as_slice()) else { continue };
            let is_taken = backends.iter().any(|backend| backend.name == *name);
            if let Some(backend) = backends.iter_mut().find(|backend| backend.listens == *one && !is_taken) {
                backend.name.clone_from(name);
            }
        }
        backends
    }

    /// What the file says of them.
    pub(crate) fn expected(&self, names: &WorldNames) -> Option<Expected> {
        let backends = self.backends(names);
        let mut upstream = self.upstream.clone()?;
        for server in &upstream.servers {
            let count = listens(server, names).len();
            let most = match server.takes {
                Takes::All => usize::MAX,
                Takes::One => 1,
                Takes::AtMost(most) => most,
            };
            if count > most {
                let why = format!("{}: server {} uses {most} of {count} addresses", server.place, server.address);
                upstream.method = UpstreamMethod::Unknown(why);
                break;
            }
        }
        let named = |server: &UpstreamServer| {
            let all = listens(server, names);
            let of = |place: &Listens| backends.iter().find(|it| it.listens == *place).map(|it| it.name.clone());
            all.iter().filter_map(of).collect()
        };
        Some(Expected::of_named(&upstream, &named))
    }
}
