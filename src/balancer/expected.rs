//! What a check may expect of a balancer that an `upstream` block configures. What of it is not understood, or is about no backend
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

    /// Of a check whose requests have these headers: a balancer that takes the client's address from one of them goes by that one.
    pub(crate) fn with_headers<'h>(
        mut self,
        configuration: &Configuration,
        sent: impl IntoIterator<Item = &'h str>,
    ) -> Expected {
        let is_taken = |sent: &&str| configuration.client_headers.iter().any(|it| it.eq_ignore_ascii_case(sent));
        if self.algorithm == Some(Algorithm::Source)
            && let Some(name) = sent.into_iter().find(is_taken)
        {
            self.algorithm = None;
            self.unknown.push(format!(
                "source: the balancer may take a client's address from the header {name}, which the check sends"
            ));
        }
        self
    }

    fn with(upstream: &Upstream, weights: WeightsOf) -> Expected {
        let upstream = &Upstream { servers: with_the_only_backup(&upstream.servers), ..upstream.clone() };
        let mut expected = Expected {
            remarks: upstream.not_understood.clone(),
            keeps_away: upstream.keeps_away,
            slow_start: upstream.slow_start,
            session_life: upstream.session_life.clone(),
            limits: limits(&upstream.servers),
            listed: listed(&upstream.servers, weights),
            ..Expected::default()
        };
        if !upstream.servers.is_empty() && !upstream.servers.iter().any(is_active) {
            let why =
                format!("{}: no server is active, and which of its backups get requests is not read", upstream.name);
            expected.unknown.push(why);
            return expected;
        }
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
        let active: Vec<&UpstreamServer> = upstream.servers.iter().filter(|server| is_active(server)).collect();
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
        let is_uneven = upstream.draws_from_ring && Promise::of(kind) == Promise::Draw;
        let promises = Promise::of(kind) != Promise::Nothing && !is_uneven || !several;
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
        if weights.iter().all(|(_, weight)| *weight == 0) {
            self.unknown.push("no server is active".to_owned());
            return;
        }
        self.backups = weights.iter().filter(|(_, weight)| *weight == 0).map(|(name, _)| name.clone()).collect();
        self.shares = Some(ExpectedWeights::ByName(weights));
    }
}

fn is_active(server: &UpstreamServer) -> bool {
    !server.backup && !server.down
}

/// Where no server is active, and one of them is a backup, that one gets all requests.
fn with_the_only_backup(servers: &[UpstreamServer]) -> Vec<UpstreamServer> {
    let mut servers = servers.to_vec();
    if !servers.iter().any(is_active) {
        let mut backups = servers.iter_mut().filter(|server| !server.down);
        if let (Some(only), None) = (backups.next(), backups.next()) {
            only.backup = false;
        }
    }
    servers
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
            let why = match fleet {
                Some(_) => "is no backend of the fleet",
                None => "may be any backend: no fleet is known",
            };
            others.push(format!("{}: server {} {why}", server.place, server.address));
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
    let active = || servers.iter().filter(|server| is_active(server));
    if let Some(named) = active().find(is_name)
        && !active().all(|server| is_name(&server) && same_host(server, named))
    {
        let what = "the name may have several addresses, each of which counts: write the address";
        others.push(format!("{}: server {}: {what}", named.place, named.address));
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
mod tests;
