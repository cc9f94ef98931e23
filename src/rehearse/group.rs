//! Which of those that were asked are the backends behind the URLs: the servers of one block of the file, if our
//! reader knows the file; else all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::Result;
use verdict::promise::Promise;
use verdict::surroundings::Surrounding;
use world::names::{NameQuery, WorldNames};

use crate::balancer::HintTopic;
use crate::balancer::expected::Expected;
use crate::balancer::read::{Configuration, Endpoint, SplitPart, Takes, Upstream, UpstreamMethod, UpstreamServer};
use crate::error::Problem;
use crate::rehearse::naming::{self, Listens, RehearsedBackend};
use crate::rehearse::order::{RehearsalPlan, addresses_of, is_here};
use crate::rehearse::own_words::{self, Servers};
use crate::topology::Policy;

/// Requests of visits, as servers saw them.
#[derive(Default)]
pub(crate) struct Visits {
    /// Whose response the client got; where that is not known, who got a request.
    pub(crate) asked: BTreeSet<Listens>,
    /// The most servers that one visit brought a request to and of which none is known to have responded to the client.
    pub(crate) together: BTreeSet<Listens>,
    /// Who was asked for a request to which another one responded.
    pub(crate) beside: BTreeSet<Listens>,
    /// Those that no visit and an earlier check brought requests to, such as a server that takes over in an outage.
    pub(crate) later: BTreeSet<Listens>,
}

impl Visits {
    /// Notes a visit that asked those and was answered by `responder`. Those of whom the user says that they are no backends are passed
    /// over.
    pub(super) fn add(&mut self, mut asked: BTreeSet<Listens>, responder: Option<&str>, others: &BTreeSet<Listens>) {
        // A mirror and a server that only permits are asked too; a cache responds for nobody.
        if let Some(one) = asked.iter().find(|it| Some(it.to_string().as_str()) == responder).cloned() {
            asked.remove(&one);
            self.beside.append(&mut asked);
            asked = BTreeSet::from([one]);
        }
        asked.retain(|it| !others.contains(it));
        if asked.len() > self.together.len() {
            self.together.clone_from(&asked);
        }
        self.asked.extend(asked);
    }
}

/// Whether a part of a split is none of those.
fn lacks_a_part(
    upstream: &Upstream,
    asked: &BTreeSet<Listens>,
    listens: &dyn Fn(&[UpstreamServer]) -> BTreeSet<Listens>,
) -> bool {
    let UpstreamMethod::Split(parts) = &upstream.method else { return false };
    let mut servers = upstream.servers.as_slice();
    let is_lacking = |part: &SplitPart| {
        let (own, rest) = servers.split_at(part.servers.min(servers.len()));
        servers = rest;
        part.weight > 0 && asked.is_disjoint(&listens(own))
    };
    parts.iter().any(is_lacking)
}

/// The backends behind the URLs.
pub(crate) struct Group {
    /// The block of the file and its place, if it is known.
    pub(crate) name: Option<(String, String)>,
    /// In the order of the file.
    pub(crate) listens: Vec<Listens>,
    /// Why nothing is expected of shares.
    pub(crate) unknown: Vec<String>,
    upstream: Option<Upstream>,
    /// The blocks that have names for its servers; one that visits reached goes before others.
    naming: Vec<Upstream>,
}

/// Finds it. `found` are those that may be backends.
pub(crate) fn choose(order: &RehearsalPlan, names: &WorldNames, found: &[Listens], visits: &Visits) -> Result<Group> {
    let upstreams: Vec<&Upstream> = order.read.iter().flat_map(Configuration::groups).collect();
    let candidates = candidates(&upstreams, order, names, visits);
    let all_names = |all: &[&Upstream]| all.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
    match (candidates.as_slice(), &order.upstream) {
        ([one], _) => Ok(Group::of(one, names)),
        ([], Some(name)) => Err(Problem::new(format!("has no upstream {name}, only {}", all_names(&upstreams)))
            .on(order.file.display())
            .hint("give one of these names, or leave --upstream out")
            .into()),
        ([first, rest @ ..], _) if rest.iter().all(|other| alike(first, other, names)) => Ok(Group::of(first, names)),
        ([], None) if visits.together.len() > 1 => {
            let asked: Vec<String> = visits.together.iter().map(ToString::to_string).collect();
            Err(Problem::new(format!("one request caused requests to several servers: {}", asked.join(", ")))
                .on(order.balancer.title)
                .hint("say which of them are not backends: --answer HOST:PORT=204")
                .into())
        }
        ([], None) => {
            let why = match &order.read {
                Some(read) => {
                    let nowhere =
                        format!("{}: no upstream block has the servers that were asked", order.file.display());
                    [nowhere].into_iter().chain(read.not_read.iter().map(|what| format!("not read: {what}"))).collect()
                }
                None => {
                    let of_none =
                        || format!("{}: files of {} are not read", order.file.display(), order.balancer.title);
                    vec![order.refused.clone().unwrap_or_else(of_none)]
                }
            };
            let companions = companions(order, names);
            // Those that nobody asked may be backups.
            let is_asked = |it: &Listens| visits.asked.contains(it) || visits.later.contains(it);
            let is_beside = |it: &Listens| (visits.beside.contains(it) || companions.contains(it)) && !is_asked(it);
            let mut all: Vec<Listens> = found.iter().filter(|it| !is_beside(it)).cloned().collect();
            all.sort();
            Ok(Group::unknown(all, why, Vec::new()))
        }
        (several, _) if visits.together.len() > 1 => {
            Err(Problem::new(format!("several upstream blocks are behind the URL: {}", all_names(several)))
                .on(order.file.display())
                .hint("choose one with --upstream; the servers of the others respond 204")
                .into())
        }
        (several, _) => {
            let why = format!(
                "{}: several upstream blocks may be behind the URL: {}; --upstream NAME says which",
                order.file.display(),
                all_names(several)
            );
            let mut all: Vec<Listens> =
                several.iter().flat_map(|it| &it.servers).flat_map(|it| listens(it, names)).collect();
            let mut seen = BTreeSet::new();
            all.retain(|it| seen.insert(it.clone()));
            Ok(Group::unknown(all, vec![why], several.iter().copied().cloned().collect()))
        }
    }
}

/// The one that was chosen by its name, or those whose servers were asked.
fn candidates<'u>(
    upstreams: &[&'u Upstream],
    order: &RehearsalPlan,
    names: &WorldNames,
    visits: &Visits,
) -> Vec<&'u Upstream> {
    if let Some(name) = &order.upstream {
        return upstreams.iter().copied().filter(|upstream| upstream.name == *name).collect();
    }
    let servers = |all: &[UpstreamServer]| -> BTreeSet<Listens> {
        all.iter().flat_map(|server| listens(server, names)).collect()
    };
    let all: BTreeSet<Listens> = visits.asked.union(&visits.later).cloned().collect();
    let mut asked: Vec<&Upstream> =
        upstreams.iter().copied().filter(|it| !all.is_disjoint(&servers(&it.servers))).collect();
    asked.sort_by_key(|it| visits.asked.is_disjoint(&servers(&it.servers)));
    // Another URL may lead elsewhere.
    if order.urls.len() > 1 {
        return asked;
    }
    // A split has what several of its groups have. Where one of them alone is asked, it is the group's own route: a part that is asked
    // later is missed, and then known.
    let with_all: Vec<&Upstream> = asked.iter().copied().filter(|it| all.is_subset(&servers(&it.servers))).collect();
    let whole: Vec<&Upstream> = with_all.iter().copied().filter(|it| !lacks_a_part(it, &all, &servers)).collect();
    [whole, with_all, asked].into_iter().find(|some| !some.is_empty()).unwrap_or_default()
}

/// Where those are that the balancer itself speaks to.
pub(super) fn companions(order: &RehearsalPlan, names: &WorldNames) -> BTreeSet<Listens> {
    order.read.iter().flat_map(|read| &read.companions).flat_map(|it| listens_at(it, names)).collect()
}

/// Where the servers of all blocks of the file are.
pub(super) fn all_of(order: &RehearsalPlan, names: &WorldNames) -> BTreeSet<Listens> {
    let read = order.read.iter().chain(&order.then_read);
    read.flat_map(Configuration::groups).flat_map(|it| &it.servers).flat_map(|it| listens(it, names)).collect()
}

/// Which of these places a server does not use, if it is not known that it uses all.
fn left_out(takes: Takes, places: &[Listens]) -> Option<String> {
    let count = places.len();
    let only = |most| (count > most).then(|| format!("uses {most} of {count} addresses"));
    match takes {
        Takes::All | Takes::Resolved => None,
        Takes::OneFamily => (families(places) > 1).then(|| "uses its IPv4 or its IPv6 addresses".to_owned()),
        Takes::One => only(1),
        Takes::AtMost(most) => only(most),
    }
}

/// Servers that use some of the addresses of their names, and it is not known which: each gets its share, wherever of its addresses.
fn as_split(upstream: &Upstream, taken: Vec<Option<String>>) -> UpstreamMethod {
    let why = taken.iter().flatten().next().cloned().unwrap_or_default();
    let divides = |policy: &Policy| Promise::of(policy.algorithm(true)) != Promise::Nothing;
    // Of a name whose addresses are servers of their own, how many there are decides.
    let is_one = |server: &UpstreamServer| matches!(server.takes, Takes::One);
    match &upstream.method {
        UpstreamMethod::Known(policy) if divides(policy) && upstream.servers.iter().all(is_one) => {}
        UpstreamMethod::Known(_) | UpstreamMethod::Unknown(_) | UpstreamMethod::Split(_) => {
            return UpstreamMethod::Unknown(why);
        }
    }
    let part = |(server, why): (&UpstreamServer, Option<String>)| SplitPart {
        name: server.address.clone(),
        weight: if server.backup || server.down { 0 } else { server.weight },
        servers: 1,
        method: why.map_or_else(|| upstream.method.clone(), UpstreamMethod::Unknown),
    };
    UpstreamMethod::Split(upstream.servers.iter().zip(taken).map(part).collect())
}

/// Whether it is the same to expect one or the other: of the same servers.
fn alike(one: &Upstream, other: &Upstream, names: &WorldNames) -> bool {
    let [one, other] = [one, other].map(|upstream| Group::of(upstream, names));
    let servers = |group: &Group| group.listens.iter().cloned().collect::<BTreeSet<Listens>>();
    servers(&one) == servers(&other) && one.expected(names) == other.expected(names)
}

fn addresses(endpoint: &Endpoint, names: &WorldNames) -> Vec<SocketAddr> {
    match endpoint {
        // A service (SRV) brings its port.
        Endpoint::Tcp(host, _) if host.starts_with('_') => {
            let service = names.asked().into_iter().find(|asked| asked.name == host.to_ascii_lowercase());
            let port = |asked: &NameQuery| asked.service.unwrap_or(80);
            service.iter().flat_map(|it| it.addresses.iter().map(|ip| SocketAddr::new(*ip, port(it)))).collect()
        }
        Endpoint::Tcp(host, port) => addresses_of(host, *port),
        Endpoint::Unix(_) | Endpoint::Pods(_) | Endpoint::Other => Vec::new(),
    }
}

pub(super) fn listens(server: &UpstreamServer, names: &WorldNames) -> Vec<Listens> {
    listens_at(&server.endpoint, names)
}

/// What a line of a health check leaves open.
pub(crate) fn in_doubt(line: &String) -> String {
    format!("{line}: a backend of a rehearsal need not meet it")
}

/// How many of IPv4 and IPv6 there are.
fn families(places: &[Listens]) -> usize {
    places.iter().filter_map(Listens::address).map(|it| it.is_ipv4()).collect::<BTreeSet<bool>>().len()
}

/// Which address stands for each of the others: those that a name has on the balancer's own host, as `localhost` has them, are of one
/// server, unless each of them counts as one.
#[derive(Default)]
struct Homes(BTreeMap<Listens, Listens>);

impl Homes {
    fn of<'s>(servers: impl IntoIterator<Item = &'s UpstreamServer>, names: &WorldNames) -> Homes {
        let mut homes = Homes::default();
        for server in servers.into_iter().filter(|it| matches!(it.takes, Takes::One | Takes::OneFamily)) {
            let all = listens(server, names);
            let is_one = server.takes == Takes::One || families(&all) == all.len();
            if is_one && all.iter().all(|it| it.address().is_some_and(|at| is_here(at.ip()))) {
                homes.unite(&all);
            }
        }
        homes
    }

    fn unite(&mut self, all: &[Listens]) {
        let all = self.each(all);
        let Some((first, others)) = all.split_first() else { return };
        self.0.extend(others.iter().map(|other| (other.clone(), first.clone())));
    }

    fn get<'l>(&'l self, it: &'l Listens) -> &'l Listens {
        self.0.get(it).map_or(it, |home| self.get(home))
    }

    /// Each once, in this order.
    fn each(&self, all: &[Listens]) -> Vec<Listens> {
        let mut seen = BTreeSet::new();
        all.iter().map(|it| self.get(it)).filter(|it| seen.insert(*it)).cloned().collect()
    }
}

fn listens_at(endpoint: &Endpoint, names: &WorldNames) -> Vec<Listens> {
    match endpoint {
        Endpoint::Unix(path) => vec![Listens::Socket(path.clone())],
        Endpoint::Tcp(..) | Endpoint::Pods(_) | Endpoint::Other => {
            addresses(endpoint, names).into_iter().map(Listens::Port).collect()
        }
    }
}

impl Group {
    fn of(upstream: &Upstream, names: &WorldNames) -> Group {
        let mut all: Vec<Listens> = upstream.servers.iter().flat_map(|server| listens(server, names)).collect();
        let mut seen = BTreeSet::new();
        all.retain(|it| seen.insert(it.clone()));
        let place = upstream.servers.first().map(|server| server.place.clone()).unwrap_or_default();
        let name = Some((upstream.name.clone(), place));
        let naming = vec![upstream.clone()];
        Group { name, listens: all, unknown: Vec::new(), upstream: Some(upstream.clone()), naming }
    }

    fn unknown(listens: Vec<Listens>, unknown: Vec<String>, naming: Vec<Upstream>) -> Group {
        Group { name: None, listens, unknown, upstream: None, naming }
    }

    /// A line by which its health checks want more of a backend than ours need give.
    pub(super) fn health(&self) -> Option<&String> {
        self.naming.iter().flat_map(|upstream| &upstream.health).next()
    }

    /// The paths of its unix sockets.
    pub(crate) fn sockets(&self) -> Vec<String> {
        let path = |it: &Listens| match it {
            Listens::Socket(path) => Some(path.clone()),
            Listens::Port(_) => None,
        };
        self.listens.iter().filter_map(path).collect()
    }

    fn homes(&self, names: &WorldNames) -> Homes {
        Homes::of(self.naming.iter().flat_map(|it| &it.servers), names)
    }

    /// Where a server is: by one address for all that are the same backend.
    pub(super) fn places<'n>(&self, names: &'n WorldNames) -> impl Fn(&Endpoint) -> Vec<Listens> + use<'n> {
        let homes = self.homes(names);
        move |endpoint| homes.each(&listens_at(endpoint, names))
    }

    /// What was read of them, if it is understood: the block, and its servers with their weights.
    pub(super) fn understood(&self, names: &WorldNames) -> Option<(&str, Servers)> {
        let is_whole = |it: &&Upstream| matches!(it.method, UpstreamMethod::Known(_)) && it.part_of.is_none();
        let upstream = self.upstream.as_ref().filter(is_whole)?;
        Some((&upstream.name, own_words::servers(upstream, &self.places(names))))
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
        let homes = self.homes(names);
        let mut backends = naming::name(&homes.each(&self.listens), &name_of);
        for backend in &mut backends {
            let is_further = |it: &&Listens| **it != backend.listens && *homes.get(it) == backend.listens;
            backend.further = self.listens.iter().filter(is_further).cloned().collect();
        }
        // By the first that has a name for it, and gets something.
        let (off, on): (Vec<&UpstreamServer>, Vec<&UpstreamServer>) =
            self.naming.iter().flat_map(|upstream| &upstream.servers).partition(|server| server.down);
        let mut unnamed: BTreeSet<Listens> = backends.iter().map(|backend| backend.listens.clone()).collect();
        for server in on.into_iter().chain(off) {
            let all = homes.each(&listens(server, names));
            let (Some(name), [one]) = (&server.name, all.as_slice()) else { continue };
            let is_taken = backends.iter().any(|backend| backend.name == *name);
            let own = backends.iter_mut().find(|backend| backend.listens == *one && !is_taken);
            if let Some(backend) = own.filter(|_| unnamed.remove(one)) {
                backend.name.clone_from(name);
            }
        }
        backends
    }

    /// Servers that it lists more than once, each of which is one backend. Groups of a split may share one.
    pub(crate) fn repeated(&self) -> Vec<Surrounding> {
        let whole = self.upstream.iter().filter(|it| !matches!(it.method, UpstreamMethod::Split(_)));
        let mut counts: Vec<(&UpstreamServer, usize)> = Vec::new();
        for server in whole.flat_map(|it| &it.servers).filter(|it| it.endpoint != Endpoint::Other) {
            match counts.iter_mut().find(|(known, _)| known.endpoint == server.endpoint) {
                Some((_, times)) => *times += 1,
                None => counts.push((server, 1)),
            }
        }
        let repeated = counts.into_iter().filter(|(_, times)| *times > 1);
        repeated.map(|(it, times)| Surrounding::RepeatedServer { server: it.address.clone(), times }).collect()
    }

    /// Names of which it uses one address at a time.
    pub(crate) fn one_address(&self, order: &RehearsalPlan, names: &WorldNames) -> Vec<Surrounding> {
        let places = self.places(names);
        let directive = (order.balancer.directive)(HintTopic::AllAddresses);
        let note = |server: &UpstreamServer| {
            let Endpoint::Tcp(host, _) = &server.endpoint else { return None };
            let addresses = places(&server.endpoint).len();
            (server.takes == Takes::One && addresses > 1).then(|| Surrounding::OneAddress {
                name: host.clone(),
                addresses,
                place: server.place.clone(),
                instead: directive.to_owned(),
            })
        };
        self.upstream.iter().flat_map(|upstream| &upstream.servers).filter_map(note).collect()
    }

    /// What the file says of them.
    pub(crate) fn expected(&self, names: &WorldNames) -> Option<Expected> {
        let backends = self.backends(names);
        let mut upstream = self.upstream.clone()?;
        let places = self.places(names);
        let left_out = |server: &UpstreamServer| {
            let why = left_out(server.takes, &places(&server.endpoint))?;
            Some(format!("{}: server {} {why}", server.place, server.address))
        };
        let in_doubt = self.health().map(in_doubt);
        let taken: Vec<Option<String>> = upstream.servers.iter().map(left_out).collect();
        if let Some(why) = in_doubt {
            upstream.method = UpstreamMethod::Unknown(why);
        } else if taken.iter().any(Option::is_some) {
            upstream.method = as_split(&upstream, taken);
        }
        let named = |server: &UpstreamServer| {
            let all = places(&server.endpoint);
            let of = |place: &Listens| backends.iter().find(|it| it.listens == *place).map(|it| it.name.clone());
            all.iter().filter_map(of).collect()
        };
        Some(Expected::of_named(&upstream, &named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_response_the_client_gets_is_asked_and_others_are_asked_beside() {
        let [app, other, auth] =
            ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.9:80"].map(|it| Listens::Port(it.parse().unwrap()));
        let mut visits = Visits::default();
        visits.add(BTreeSet::from([app.clone(), auth.clone()]), Some("10.0.0.1:80"), &BTreeSet::new());
        visits.add(BTreeSet::from([other.clone(), auth.clone()]), Some("10.0.0.2:80"), &BTreeSet::new());
        // From a cache.
        visits.add(BTreeSet::new(), Some("10.0.0.2:80"), &BTreeSet::new());
        assert_eq!(visits.asked, BTreeSet::from([app.clone(), other]));
        assert_eq!((visits.beside, visits.together.len()), (BTreeSet::from([auth.clone()]), 1));
        // A balancer that takes the name off leaves it open.
        let mut visits = Visits::default();
        visits.add(BTreeSet::from([app.clone(), auth.clone()]), None, &BTreeSet::new());
        assert_eq!(visits.together.len(), 2);
        let mut visits = Visits::default();
        visits.add(BTreeSet::from([app.clone(), auth.clone()]), None, &BTreeSet::from([auth]));
        assert_eq!((visits.asked, visits.beside.len()), (BTreeSet::from([app]), 0));
    }

    #[test]
    fn addresses_of_this_host_are_one_server_unless_each_counts() {
        let names = WorldNames::new(Vec::new());
        let [four, six, other] =
            ["127.0.0.1:80", "[::1]:80", "127.0.0.2:80"].map(|it| Listens::Port(it.parse().unwrap()));
        let mut homes = Homes::default();
        homes.unite(&[other.clone(), six.clone()]);
        homes.unite(&[four.clone(), six.clone()]);
        assert_eq!(homes.each(&[four.clone(), six.clone(), other]), std::slice::from_ref(&four));
        // A single address of its own, and another host's.
        let server = |host: &str, takes| {
            let endpoint = Endpoint::Tcp(host.to_owned(), 80);
            UpstreamServer { takes, ..UpstreamServer::at(host, endpoint, "f") }
        };
        let servers = [server("127.0.0.1", Takes::One), server("10.0.0.1", Takes::One)];
        assert!(Homes::of(&servers, &names).0.is_empty());
        let both = [four, six];
        for (takes, expected) in [
            (Takes::All, None),
            (Takes::OneFamily, Some("uses its IPv4 or its IPv6 addresses")),
            (Takes::One, Some("uses 1 of 2 addresses")),
            (Takes::AtMost(1), Some("uses 1 of 2 addresses")),
            (Takes::AtMost(2), None),
        ] {
            assert_eq!(left_out(takes, &both).as_deref(), expected);
            assert_eq!(left_out(takes, &both[..1]), None);
        }
    }

    #[test]
    fn servers_that_use_one_address_of_a_name_get_their_shares_wherever() {
        let mut group = Upstream::named("web");
        group.method = UpstreamMethod::Known(Policy::RoundRobin);
        for (name, weight) in [("app", 3), ("other", 1)] {
            let endpoint = Endpoint::Tcp(name.to_owned(), 80);
            group.servers.push(UpstreamServer {
                takes: Takes::One,
                weight,
                ..UpstreamServer::at(name, endpoint, "haproxy.cfg")
            });
        }
        let taken = || vec![Some("uses 1 of 2 addresses".to_owned()), None];
        let expected_of = |group: &Upstream| {
            let group = Upstream { method: as_split(group, taken()), ..group.clone() };
            Expected::of_named(&group, &|server| match server.address.as_str() {
                "app" => vec!["app-1".to_owned(), "app-2".to_owned()],
                other => vec![other.to_owned()],
            })
        };
        let expected = expected_of(&group);
        let groups: Vec<(&str, u32, usize)> =
            expected.groups.iter().map(|it| (it.name.as_str(), it.weight, it.backends.len())).collect();
        assert_eq!((groups, expected.shares), (vec![("app", 3, 2), ("other", 1, 1)], None));
        assert_eq!(expected.unknown, ["uses 1 of 2 addresses"]);
        // Shares that nobody promises are not judged, and one server alone gets everything.
        group.method = UpstreamMethod::Known(Policy::LeastConnections);
        assert!(expected_of(&group).groups.is_empty());
        group.method = UpstreamMethod::Known(Policy::RoundRobin);
        group.servers.pop();
        assert!(expected_of(&group).groups.is_empty());
    }

    #[test]
    fn a_split_lacks_a_part_that_should_get_something_and_was_not_asked() {
        let group = |name: &str, address: &str| {
            let mut group = Upstream::named(name);
            let ip = Endpoint::Tcp(address.to_owned(), 80);
            group.servers.push(UpstreamServer::at(address, ip, "a.yaml"));
            group
        };
        let listens = |all: &[UpstreamServer]| {
            all.iter().flat_map(|it| addresses_of(&it.address, 80)).map(Listens::Port).collect::<BTreeSet<_>>()
        };
        let split = Upstream::split(vec![(group("blue", "10.0.0.1"), 80), (group("green", "10.0.0.2"), 20)]);
        let is_lacking = |asked: &[&str], upstream: &Upstream| {
            let asked = asked.iter().map(|it| Listens::Port(it.parse().unwrap())).collect();
            lacks_a_part(upstream, &asked, &listens)
        };
        assert!(is_lacking(&["10.0.0.1:80"], &split) && is_lacking(&["10.0.0.2:80"], &split));
        assert!(!is_lacking(&["10.0.0.1:80", "10.0.0.2:80"], &split));
        assert!(!is_lacking(&["10.0.0.1:80"], &group("blue", "10.0.0.1")));
        let idle = Upstream::split(vec![(group("blue", "10.0.0.1"), 1), (group("green", "10.0.0.2"), 0)]);
        assert!(!is_lacking(&["10.0.0.1:80"], &idle));
    }
}
