//! PURE. What a check may expect of a balancer that an `upstream` block configures. What of it is not understood, or is about no backend
//! of the fleet, is not judged, and said with the line of the file.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::balancer::read::{
    AtOnce, Configuration, Endpoint, SplitPart, Takes, Upstream, UpstreamMethod, UpstreamServer,
};
use crate::topology::Policy;
use verdict::algorithm::Algorithm;
use verdict::promise::Promise;
use verdict::rules::{ExpectedGroup, ExpectedWeights};
use verdict::tally::SessionLife;
use verdict::timeline::Avoidance;

/// What follows from an `upstream` block.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Expected {
    /// How a backend is picked; None if it is not known, or if there is nothing to pick from.
    pub(crate) algorithm: Option<Algorithm>,
    /// The share of each backend, by name; None if none is promised or known.
    pub(crate) shares: Option<ExpectedWeights>,
    /// What groups of backends get of a split, where the share of each backend is not promised; else empty.
    pub(crate) groups: Vec<ExpectedGroup>,
    /// Backends that get nothing while others can.
    pub(crate) backups: Vec<String>,
    /// How long it keeps away from a backend that failed, if it says so.
    pub(crate) keeps_away: Option<Avoidance>,
    /// How long the share of a backend grows after its return, if it does.
    pub(crate) slow_start: Option<Duration>,
    /// How long sessions last, if it ends them.
    pub(crate) session_life: Option<SessionLife>,
    /// A header on which it keys.
    pub(crate) key_header: Option<String>,
    /// A cookie on which it keys.
    pub(crate) key_cookie: Option<String>,
    /// Why nothing can be required of shares and algorithm: what is not understood, with its place.
    pub(crate) unknown: Vec<String>,
    /// What else was not understood; shares and algorithm do not depend on it.
    pub(crate) remarks: Vec<String>,
    /// All backends that it has, backups too, by name; empty where they are not known.
    pub(crate) listed: Vec<String>,
    /// Servers that take no more than a number of requests at once, each with its place.
    pub(crate) limits: Vec<ServerLimit>,
}

/// A server that is full at some time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ServerLimit {
    /// Address of the server, and its place in the file.
    pub(crate) server: String,
    pub(crate) at_once: AtOnce,
}

/// The block of that name, or the only one; else what is wrong, and a hint.
pub(crate) fn choose<'c>(
    configuration: &'c Configuration,
    file: &str,
    name: Option<&str>,
) -> Result<&'c Upstream, (String, String)> {
    let all = configuration.upstreams.as_slice();
    let names = all.iter().map(|upstream| upstream.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, all) {
        (None, [only]) => Ok(only),
        (None, []) => {
            let not_read: String = configuration.not_read.iter().map(|what| format!("\n  {what}")).collect();
            let hint = "give the file that has it; what a running NGINX reads: nginx -T > FILE";
            Err((format!("{file}: has no upstream block{not_read}"), hint.to_owned()))
        }
        (None, _) => {
            Err((format!("{file}: has several upstream blocks"), format!("choose one with --upstream: {names}")))
        }
        (Some(wanted), all) => all.iter().find(|upstream| upstream.name == wanted).ok_or_else(|| {
            (format!("{file}: has no upstream {wanted}, only {names}"), "give one of these names".to_owned())
        }),
    }
}

impl Expected {
    /// Of a fleet whose backends have these ports, if that is known beforehand.
    pub(crate) fn of(upstream: &Upstream, fleet: Option<&[u16]>) -> Expected {
        let mut upstream = upstream.clone();
        // The resolver of production alone knows its servers.
        if let Some(server) = upstream.servers.iter().find(|it| it.takes == Takes::Resolved) {
            let why = format!("{}: resolve of server {}", server.place, server.address);
            upstream.method = UpstreamMethod::Unknown(why);
        }
        Expected::with(&upstream, &|servers| weights(servers, fleet))
    }

    /// Of backends that are called so: a server that has several addresses is as many backends, each with its weight.
    pub(crate) fn of_named(upstream: &Upstream, names: &dyn Fn(&UpstreamServer) -> Vec<String>) -> Expected {
        Expected::with(upstream, &|servers| named_weights(servers, names))
    }

    /// Of a configuration that another one follows while requests are sent: what is expected of both.
    pub(crate) fn until(mut self, next: Option<Expected>) -> Expected {
        let next = next.unwrap_or_default();
        self.shares = None;
        self.groups.clear();
        self.backups.retain(|backup| next.backups.contains(backup));
        self.unknown.push("shares: two configurations follow each other".to_owned());
        self.limits.extend(next.limits);
        self.listed = next.listed;
        self
    }

    /// Of a check that has that number of requests in flight at once: what goes past a full server goes by no algorithm, and backups may get it.
    pub(crate) fn under(mut self, in_flight: usize) -> Expected {
        let lowest = self.limits.iter().min_by_key(|it| it.at_once.most).filter(|it| it.at_once.most < in_flight);
        let Some(ServerLimit { server, at_once: AtOnce { most, written } }) = lowest else { return self };
        let why =
            format!("{server}: {written}, and the check has {in_flight} requests in flight; -c {most} keeps to it");
        self.unknown.push(why);
        (self.algorithm, self.shares) = (None, None);
        self.groups.clear();
        self.backups.clear();
        self
    }

    fn with(upstream: &Upstream, weights: WeightsOf) -> Expected {
        let mut expected = Expected {
            remarks: upstream.not_understood.clone(),
            keeps_away: upstream.keeps_away,
            slow_start: upstream.slow_start,
            session_life: upstream.session_life.clone(),
            limits: limits(&upstream.servers),
            listed: listed(&upstream.servers, weights),
            ..Expected::default()
        };
        let policy = match &upstream.method {
            UpstreamMethod::Known(policy) => policy,
            UpstreamMethod::Split(parts) => {
                match split_weights(parts, &upstream.servers, weights) {
                    Ok(weights) => expected.divide(weights),
                    Err(why) => {
                        expected.unknown = why;
                        expected.groups = groups(parts, &upstream.servers, weights);
                    }
                }
                return expected;
            }
            UpstreamMethod::Unknown(what) => return expected.without_method(what, &upstream.servers, weights),
        };
        let weights = weights(&upstream.servers).unwrap_or_else(|why| {
            expected.unknown = why;
            Vec::new()
        });
        match policy {
            // Another host is another site: it cannot be varied.
            Policy::Header(name) if name.to_string().eq_ignore_ascii_case("host") => {
                expected
                    .unknown
                    .push(format!("{}: the host selects, and all requests of a URL have the same", upstream.name));
                return expected;
            }
            Policy::Header(name) => expected.key_header = Some(name.to_string()),
            Policy::Cookie(name) => expected.key_cookie = Some(name.to_string()),
            Policy::RoundRobin | Policy::LeastConnections | Policy::LeastTime | Policy::Random => {}
            Policy::TwoChoices | Policy::Source | Policy::Uri | Policy::Sticky(_) => {}
        }
        let active: Vec<&UpstreamServer> =
            upstream.servers.iter().filter(|server| !server.backup && !server.down).collect();
        // Equal weights are a plain rotation, unless each server gets all of its turns at once.
        let is_plain = |weight: u32| weight == 1 || !upstream.turns_in_a_row;
        let alike = active.iter().all(|server| server.weight == active[0].weight && is_plain(server.weight));
        // One server alone is picked whatever the method.
        let kind = policy.algorithm(!alike);
        let count =
            if weights.is_empty() { active.len() } else { weights.iter().filter(|(_, weight)| *weight > 0).count() };
        let several = count > 1;
        expected.algorithm = several.then_some(kind);
        if !expected.unknown.is_empty() {
            return expected;
        }
        let promises = Promise::of(kind) != Promise::Nothing || !several;
        expected.divide(weights);
        if !promises {
            expected.shares = None;
        }
        expected
    }

    /// Of servers that are picked in a way that is not understood.
    fn without_method(mut self, what: &str, servers: &[UpstreamServer], weights: WeightsOf) -> Expected {
        // Who those are that a resolver has is not known beforehand.
        let are_known = servers.iter().all(|server| server.takes != Takes::Resolved);
        match weights(servers) {
            // The only one gets all, however it is picked.
            Ok(only) if are_known && matches!(only.as_slice(), [(_, 1..)]) => self.divide(only),
            other => {
                self.unknown = other.err().unwrap_or_default();
                self.unknown.push(what.to_owned());
            }
        }
        self
    }

    /// Requests are divided by these weights; who has none gets nothing while others can.
    fn divide(&mut self, weights: Vec<(String, u32)>) {
        self.backups = weights.iter().filter(|(_, weight)| *weight == 0).map(|(name, _)| name.clone()).collect();
        self.shares = Some(ExpectedWeights::ByName(weights));
    }
}

/// Who those are that a resolver has is not known beforehand.
fn listed(servers: &[UpstreamServer], weights: WeightsOf) -> Vec<String> {
    let are_known = servers.iter().all(|server| server.takes != Takes::Resolved);
    let all = if are_known { weights(servers).unwrap_or_default() } else { Vec::new() };
    all.into_iter().map(|(name, _)| name).collect()
}

fn limits(servers: &[UpstreamServer]) -> Vec<ServerLimit> {
    let limited = servers.iter().filter(|server| !server.down);
    let of = |server: &UpstreamServer| {
        let at_once = server.at_once.clone()?;
        Some(ServerLimit { server: format!("{}: server {}", server.place, server.address), at_once })
    };
    limited.filter_map(of).collect()
}

/// The backends of servers, by name, with their weights; or what is wrong.
type WeightsOf<'w> = &'w dyn Fn(&[UpstreamServer]) -> Result<Vec<(String, u32)>, Vec<String>>;

/// What each backend gets of a split: the weight of its group, divided within the group.
fn split_weights(
    parts: &[SplitPart],
    mut servers: &[UpstreamServer],
    weights: WeightsOf,
) -> Result<Vec<(String, u32)>, Vec<String>> {
    // Each as the weight of its group, its own weight, and the sum of the weights in its group.
    let mut shares: Vec<(String, u64, u64, u64)> = Vec::new();
    for part in parts {
        let (own, rest) = servers.split_at(part.servers.min(servers.len()));
        servers = rest;
        let within = part.weights(own, weights)?;
        let sum: u64 = within.iter().map(|(_, weight)| u64::from(*weight)).sum();
        if sum == 0 && part.weight > 0 {
            return Err(vec![format!("{}: it has a share, and no server that takes part", part.name)]);
        }
        let of_part = u64::from(part.weight);
        shares.extend(within.into_iter().map(|(name, weight)| (name, of_part, u64::from(weight), sum.max(1))));
    }
    let too_many = || vec!["weights of the split: their common multiple is too large".to_owned()];
    let common = shares.iter().try_fold(1u64, |all, (_, _, _, sum)| (all / gcd(all, *sum)).checked_mul(*sum));
    let common = common.ok_or_else(too_many)?;
    let mut whole: Vec<(String, u64)> = Vec::new();
    for (name, of_part, weight, sum) in shares {
        let scaled = of_part.checked_mul(weight).and_then(|it| it.checked_mul(common / sum)).ok_or_else(too_many)?;
        match whole.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = known.checked_add(scaled).ok_or_else(too_many)?,
            None => whole.push((name, scaled)),
        }
    }
    let divisor = whole.iter().fold(0, |all, (_, weight)| gcd(all, *weight)).max(1);
    let reduced = whole.into_iter().map(|(name, weight)| Ok((name, u32::try_from(weight / divisor)?)));
    reduced.collect::<Result<_, std::num::TryFromIntError>>().map_err(|_| too_many())
}

/// The groups of a split, with their backends; none where these are not known, or where one is in several.
fn groups(parts: &[SplitPart], mut servers: &[UpstreamServer], weights: WeightsOf) -> Vec<ExpectedGroup> {
    let mut groups: Vec<ExpectedGroup> = Vec::new();
    for part in parts {
        let (own, rest) = servers.split_at(part.servers.min(servers.len()));
        servers = rest;
        let Ok(backends) = weights(own) else { return Vec::new() };
        let takes_part = backends.iter().any(|(_, weight)| *weight > 0);
        let is_known = |it: &(String, u32)| groups.iter().any(|group| group.backends.contains(&it.0));
        if !takes_part && part.weight > 0 || backends.iter().any(is_known) {
            return Vec::new();
        }
        let backends = backends.into_iter().map(|(name, _)| name).collect();
        groups.push(ExpectedGroup { name: part.name.clone(), weight: part.weight, backends });
    }
    let any = groups.len() > 1 && groups.iter().any(|group| group.weight > 0);
    if any { groups } else { Vec::new() }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl SplitPart {
    /// Of its backends among each other.
    fn weights(&self, servers: &[UpstreamServer], weights: WeightsOf) -> Result<Vec<(String, u32)>, Vec<String>> {
        if let UpstreamMethod::Split(parts) = &self.method {
            return split_weights(parts, servers, weights);
        }
        let within = weights(servers)?;
        let active = within.iter().filter(|(_, weight)| *weight > 0).count();
        // One alone gets all of it, however it is picked.
        match &self.method {
            UpstreamMethod::Unknown(why) if active > 1 => Err(vec![why.clone()]),
            UpstreamMethod::Known(policy) if active > 1 && Promise::of(policy.algorithm(false)) == Promise::Nothing => {
                Err(vec![format!("{}: {policy} promises no shares of its part of a split", self.name)])
            }
            UpstreamMethod::Unknown(_) | UpstreamMethod::Known(_) | UpstreamMethod::Split(_) => Ok(within),
        }
    }
}

/// Whether no server of it can be a backend of a fleet that listens on these ports.
pub(crate) fn is_elsewhere(upstream: &Upstream, fleet: &[u16]) -> bool {
    let is_other = |server: &UpstreamServer| match &server.endpoint {
        Endpoint::Tcp(_, port) => !fleet.contains(port),
        Endpoint::Unix(_) | Endpoint::Pods(_) | Endpoint::Other => false,
    };
    !upstream.servers.is_empty() && upstream.servers.iter().all(is_other)
}

/// Of each backend, by its name: 0 for one that gets nothing while others can. Or the servers that are no backends of the fleet.
fn weights(servers: &[UpstreamServer], fleet: Option<&[u16]>) -> Result<Vec<(String, u32)>, Vec<String>> {
    let mut hosts: BTreeMap<u16, &str> = BTreeMap::new();
    let mut weights: Vec<(String, u32)> = Vec::new();
    let mut others = Vec::new();
    for server in servers {
        let port = match &server.endpoint {
            Endpoint::Tcp(host, port) => {
                // The same port of another host is another backend.
                let known = *hosts.entry(*port).or_insert(host.as_str());
                (known == host).then_some(*port)
            }
            // As our fleets name their sockets.
            Endpoint::Unix(path) => {
                let name = path.rsplit('/').next().and_then(|name| name.strip_suffix(".sock"));
                name.and_then(|name| name.parse().ok())
            }
            Endpoint::Pods(_) | Endpoint::Other => None,
        };
        let Some(port) = port.filter(|port| fleet.is_none_or(|fleet| fleet.contains(port))) else {
            others.push(format!("{}: server {} is no backend of the fleet", server.place, server.address));
            continue;
        };
        let (port, weight) = (port.to_string(), if server.backup || server.down { 0 } else { server.weight });
        // A server that is listed twice gets twice as much.
        match weights.iter_mut().find(|(known, _)| *known == port) {
            Some((_, sum)) => *sum += weight,
            None => weights.push((port, weight)),
        }
    }
    // A server of each address that a name has, as NGINX makes it, counts more than once.
    let is_name = |server: &&UpstreamServer| match &server.endpoint {
        _ if server.takes == Takes::One => false,
        Endpoint::Tcp(host, _) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err(),
        Endpoint::Unix(_) | Endpoint::Pods(_) | Endpoint::Other => false,
    };
    let active = || servers.iter().filter(|server| !server.backup && !server.down);
    if let Some(named) = active().find(is_name)
        && !active().all(|server| is_name(&server) && same_host(server, named))
    {
        others.push(format!("{}: the name in {} may have several addresses", named.place, named.address));
    }
    if others.is_empty() { Ok(weights) } else { Err(others) }
}

/// Of backends with names of their own; or the servers that are none.
fn named_weights(
    servers: &[UpstreamServer],
    names: &dyn Fn(&UpstreamServer) -> Vec<String>,
) -> Result<Vec<(String, u32)>, Vec<String>> {
    let (mut weights, mut others) = (Vec::<(String, u32)>::new(), Vec::new());
    for server in servers {
        let backends = names(server);
        if backends.is_empty() {
            others.push(format!("{}: server {} is no backend of the fleet", server.place, server.address));
        }
        let weight = if server.backup || server.down { 0 } else { server.weight };
        for name in backends {
            match weights.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += weight,
                None => weights.push((name, weight)),
            }
        }
    }
    if others.is_empty() { Ok(weights) } else { Err(others) }
}

fn same_host(one: &UpstreamServer, other: &UpstreamServer) -> bool {
    match (&one.endpoint, &other.endpoint) {
        (Endpoint::Tcp(one, _), Endpoint::Tcp(other, _)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::read::configuration::ConfigFile;
    use crate::balancer::read::nginx;

    fn expected(lines: &str, fleet: &[u16]) -> Expected {
        let source = ConfigFile { name: "nginx.conf".to_owned(), text: format!("upstream u {{ {lines} }}") };
        let read = nginx::read(&source, &|_| Ok(Vec::new())).unwrap();
        Expected::of(choose(&read, "nginx.conf", None).unwrap(), Some(fleet))
    }

    fn shares(expected: &Expected) -> Option<String> {
        expected.shares.as_ref().map(ToString::to_string)
    }

    #[test]
    fn servers_of_production_are_elsewhere_and_one_of_the_fleet_is_enough_to_be_here() {
        for (lines, elsewhere) in [
            ("server 10.1.2.3:8000; server app2.internal:8000;", true),
            ("server 10.1.2.3:8000; server 127.0.0.1:9001;", false),
            ("server unix:/run/app.sock;", false),
        ] {
            let source = ConfigFile { name: "nginx.conf".to_owned(), text: format!("upstream u {{ {lines} }}") };
            let read = nginx::read(&source, &|_| Ok(Vec::new())).unwrap();
            assert_eq!(is_elsewhere(choose(&read, "nginx.conf", None).unwrap(), &[9001, 9002]), elsewhere, "{lines}");
        }
    }

    #[test]
    fn a_server_that_is_listed_twice_is_one_to_pick() {
        let it = expected("server 127.0.0.1:9001; server 127.0.0.1:9001;", &[9001]);
        assert_eq!((it.algorithm, shares(&it).as_deref()), (None, Some("9001=2")));
    }

    #[test]
    fn what_goes_past_a_full_server_goes_by_no_algorithm() {
        let it = expected(
            "server 127.0.0.1:9001 max_conns=20; server 127.0.0.1:9002; server 127.0.0.1:9003 backup;",
            &[9001, 9002, 9003],
        );
        let kept = it.clone().under(20);
        assert_eq!((kept.algorithm, shares(&kept)), (Some(Algorithm::RoundRobin), shares(&it)));
        let full = it.under(32);
        assert_eq!((full.algorithm, full.shares, full.backups), (None, None, vec![]));
        let why = "nginx.conf, line 1: server 127.0.0.1:9001: max_conns=20, and the check has 32 requests in flight; -c 20 keeps to it";
        assert_eq!(full.unknown, [why]);
    }

    #[test]
    fn one_active_server_gets_all_and_has_no_turns() {
        for other in ["backup", "down"] {
            let it = expected(&format!("server 127.0.0.1:9001; server 127.0.0.1:9002 {other};"), &[9001, 9002]);
            assert_eq!((it.algorithm, shares(&it).as_deref()), (None, Some("9001=1,9002=0")), "{other}");
            assert_eq!((it.backups, it.unknown), (vec!["9002".to_owned()], vec![]), "{other}");
        }
    }

    #[test]
    fn the_only_server_gets_all_whatever_the_method() {
        let it = expected("hash $arg_a$arg_b; server 127.0.0.1:9001;", &[9001]);
        assert_eq!((it.algorithm, shares(&it).as_deref(), it.unknown.len()), (None, Some("9001=1"), 0), "{it:?}");
        for lines in [
            "hash $arg_a$arg_b; server 127.0.0.1:9001; server 127.0.0.1:9002 backup;",
            "server app.internal:9001 resolve;",
            "hash $arg_a$arg_b; server 127.0.0.1:9001 down;",
        ] {
            let it = expected(lines, &[9001, 9002]);
            assert_eq!((shares(&it), it.unknown.len()), (None, 1), "{lines}");
        }
    }

    #[test]
    fn equal_weights_are_a_plain_rotation_unless_a_server_has_its_turns_in_a_row() {
        for (turns_in_a_row, weight, algorithm) in [
            (false, 10, Algorithm::RoundRobin),
            (true, 10, Algorithm::WeightedRoundRobin),
            (true, 1, Algorithm::RoundRobin),
        ] {
            let mut upstream = Upstream { turns_in_a_row, ..Upstream::named("app") };
            let server = |address| UpstreamServer { weight, ..UpstreamServer::at(address, Endpoint::Other, "a") };
            upstream.servers = ["a", "b"].map(server).to_vec();
            let it = Expected::of_named(&upstream, &|server| vec![server.address.clone()]);
            assert_eq!((it.algorithm, shares(&it).is_some()), (Some(algorithm), true), "{turns_in_a_row} {weight}");
        }
    }

    #[test]
    fn what_a_resolver_has_is_known_in_a_rehearsal_alone() {
        let it = expected("server 127.0.0.1:9001 resolve; server 127.0.0.1:9002;", &[9001, 9002]);
        assert_eq!(
            (it.algorithm, it.unknown.as_slice()),
            (None, &["nginx.conf, line 1: resolve of server 127.0.0.1:9001".to_owned()][..])
        );
    }

    #[test]
    fn sockets_have_weights_too() {
        let it = expected("server unix:/s/9001.sock weight=5; server unix:/s/9002.sock;", &[9001, 9002]);
        assert_eq!(
            (it.algorithm, shares(&it).as_deref()),
            (Some(Algorithm::WeightedRoundRobin), Some("9001=5,9002=1"))
        );
    }

    #[test]
    fn what_is_no_backend_of_the_fleet_is_named_and_nothing_is_added_up() {
        let it = expected("server 10.0.0.1:3000; server 10.0.0.2:3000 weight=2; server 10.0.0.3:3000 backup;", &[9001]);
        assert_eq!((shares(&it), it.backups.len(), it.unknown.len()), (None, 0, 3));
        assert_eq!(it.unknown[1], "nginx.conf, line 1: server 10.0.0.2:3000 is no backend of the fleet");
        let it = expected("server 10.0.0.1:9001; server 10.0.0.2:9001;", &[9001]);
        assert_eq!((shares(&it), it.unknown.len()), (None, 1), "{it:?}");
    }

    #[test]
    fn names_that_may_have_several_addresses_promise_no_shares_beside_others() {
        let fleet = [9001, 9002];
        let it = expected("server localhost:9001; server 127.0.0.1:9002;", &fleet);
        assert_eq!((shares(&it), it.unknown.len()), (None, 1));
        let it = expected("server localhost:9001; server localhost:9002;", &fleet);
        assert_eq!(shares(&it).as_deref(), Some("9001=1,9002=1"));
    }

    #[test]
    fn a_server_of_several_addresses_is_several_backends_by_name() {
        let lines = "server pool.internal:80 weight=2; server 10.0.0.3:80 weight=2; server 10.0.0.4:80 backup;";
        let source = ConfigFile { name: "nginx.conf".to_owned(), text: format!("upstream u {{ {lines} }}") };
        let read = nginx::read(&source, &|_| Ok(Vec::new())).unwrap();
        let names = |server: &UpstreamServer| match server.address.as_str() {
            "pool.internal:80" => vec!["pool.internal-1".to_owned(), "pool.internal-2".to_owned()],
            other => vec![other.to_owned()],
        };
        let it = Expected::of_named(&read.upstreams[0], &names);
        let shares = shares(&it);
        assert_eq!(shares.as_deref(), Some("pool.internal-1=2,pool.internal-2=2,10.0.0.3:80=2,10.0.0.4:80=0"));
        assert_eq!((it.algorithm, it.backups), (Some(Algorithm::RoundRobin), vec!["10.0.0.4:80".to_owned()]));
        let it = Expected::of_named(&read.upstreams[0], &|_| Vec::new());
        assert_eq!((it.shares, it.unknown.len()), (None, 3));
    }

    #[test]
    fn a_split_gives_each_backend_its_part_of_the_weight_of_its_group() {
        let group = |name: &str, servers: &[(&str, u32)], policy: Policy| {
            let mut group = Upstream::named(name);
            group.method = UpstreamMethod::Known(policy);
            let server = |(address, weight): &(&str, u32)| UpstreamServer {
                weight: *weight,
                ..UpstreamServer::at(address, Endpoint::Other, "a.yml")
            };
            group.servers = servers.iter().map(server).collect();
            group
        };
        let of = |parts: Vec<(Upstream, u32)>| {
            Expected::of_named(&Upstream::split(parts), &|server| match server.address.as_str() {
                "pool" => vec!["pool-1".to_owned(), "pool-2".to_owned()],
                other => vec![other.to_owned()],
            })
        };
        let stable = || group("stable", &[("a", 1), ("b", 2)], Policy::RoundRobin);
        let canary = || group("canary", &[("pool", 1)], Policy::RoundRobin);
        let it = of(vec![(stable(), 90), (canary(), 10)]);
        assert_eq!((shares(&it).as_deref(), it.algorithm), (Some("a=6,b=12,pool-1=1,pool-2=1"), None));
        // A group without weight gets nothing, and one in two groups gets of both.
        let it = of(vec![(stable(), 1), (canary(), 0)]);
        assert_eq!((shares(&it).as_deref(), it.backups.len()), (Some("a=1,b=2,pool-1=0,pool-2=0"), 2));
        let it = of(vec![(stable(), 3), (group("other", &[("a", 1)], Policy::Source), 1)]);
        assert_eq!(shares(&it).as_deref(), Some("a=1,b=1"));
        // One of a split is a split again.
        let nested = Upstream::split(vec![(canary(), 1), (group("c", &[("c", 1)], Policy::RoundRobin), 1)]);
        assert_eq!(shares(&of(vec![(stable(), 1), (nested, 1)])).as_deref(), Some("a=4,b=8,pool-1=3,pool-2=3,c=6"));
        // By load or key within a group of several: nothing is promised.
        let it = of(vec![(group("stable", &[("a", 1), ("b", 1)], Policy::LeastConnections), 9), (canary(), 1)]);
        assert_eq!((shares(&it), it.unknown.len()), (None, 1), "{it:?}");
        let groups: Vec<(&str, u32, usize)> =
            it.groups.iter().map(|it| (it.name.as_str(), it.weight, it.backends.len())).collect();
        assert_eq!(groups, [("stable", 9, 2), ("canary", 1, 2)]);
        let it = of(vec![(group("none", &[], Policy::RoundRobin), 9), (canary(), 1)]);
        assert_eq!((shares(&it), it.unknown.len(), it.groups.len()), (None, 1, 0), "{it:?}");
        // One of both groups is no witness of either.
        let it = of(vec![
            (group("stable", &[("a", 1), ("b", 1)], Policy::LeastConnections), 9),
            (group("canary", &[("b", 1), ("c", 1)], Policy::LeastConnections), 1),
        ]);
        assert_eq!((shares(&it), it.groups.len()), (None, 0), "{it:?}");
    }

    #[test]
    fn the_host_is_a_key_that_no_check_varies() {
        let it = expected("hash $http_host; server 127.0.0.1:9001; server 127.0.0.1:9002;", &[9001, 9002]);
        assert_eq!((it.algorithm, shares(&it), it.key_header.as_deref()), (None, None, None));
        assert_eq!(it.unknown, ["u: the host selects, and all requests of a URL have the same"]);
    }

    #[test]
    fn a_method_that_is_not_understood_promises_nothing() {
        let it = expected("hash $host$arg_a consistent; server 127.0.0.1:9001; server 127.0.0.1:9002;", &[9001, 9002]);
        assert_eq!((it.algorithm, shares(&it)), (None, None));
        assert_eq!(it.unknown, ["nginx.conf, line 1: hash $host$arg_a consistent"]);
    }
}
