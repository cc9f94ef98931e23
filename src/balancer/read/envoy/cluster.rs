//! A cluster of Envoy: where its endpoints are, and which of them get what. A cluster with subsets is several groups, one for each
//! choice of its routes.

use std::time::Duration;

use serde_json::Value;

use super::priorities::{self, EndpointHealth, PanicThreshold};
use super::sources::{NamedFiles, path};
use super::subsets::{self, Subset};
use super::{avoidance, policy};
use crate::balancer::read::configuration::{SplitPart, Takes, Upstream, UpstreamMethod, UpstreamServer};
use crate::balancer::read::document::{at, get, items, keys, number, text};
use crate::balancer::read::endpoint::Endpoint;
use crate::balancer::read::time::{self, LoneNumber};
use crate::topology::Policy;

/// Fields of a cluster that decide nothing about who gets a request, or are read here.
const UNDERSTOOD: [&str; 40] = [
    "@type",
    "alt_stat_name",
    "circuit_breakers",
    "cleanup_interval",
    "close_connections_on_host_health_failure",
    "common_http_protocol_options",
    "common_lb_config",
    "connect_timeout",
    "dns_failure_refresh_rate",
    "dns_jitter",
    "dns_lookup_family",
    "dns_refresh_rate",
    "dns_resolvers",
    "eds_cluster_config",
    "health_checks",
    "http2_protocol_options",
    "http_protocol_options",
    "ignore_health_on_host_removal",
    "lb_policy",
    "lb_subset_config",
    "least_request_lb_config",
    "load_assignment",
    "load_balancing_policy",
    "maglev_lb_config",
    "metadata",
    "name",
    "outlier_detection",
    "per_connection_buffer_limit_bytes",
    "preconnect_policy",
    "respect_dns_ttl",
    "ring_hash_lb_config",
    "round_robin_lb_config",
    "track_cluster_stats",
    "track_timeout_budgets",
    "transport_socket",
    "type",
    "typed_dns_resolver_config",
    "typed_extension_protocol_options",
    "upstream_bind_config",
    "upstream_connection_options",
];

/// Endpoints of one place.
struct Locality {
    name: String,
    /// None where nothing is written.
    weight: Option<u32>,
    /// Those of the first priority get everything while enough of them are healthy.
    priority: u64,
}

struct LocalEndpoint {
    server: UpstreamServer,
    /// Its place in the list of localities.
    locality: usize,
}

struct EnvoyCluster<'c> {
    config: &'c Value,
    name: String,
    /// The file, and the cluster in it.
    place: String,
    localities: Vec<Locality>,
    endpoints: Vec<LocalEndpoint>,
    /// How many percent of the healthy endpoints are enough, of which 100 need not be there.
    overprovisioning: u64,
    /// What decides and is not understood.
    unknown: Vec<String>,
}

/// Each group of endpoints that routes lead to.
pub(super) fn upstreams(
    file: &str,
    config: &Value,
    all: &[&Value],
    load: NamedFiles,
    not_read: &mut Vec<String>,
) -> Vec<Upstream> {
    let Some(name) = get(config, "name").and_then(text) else { return Vec::new() };
    let place = format!("{file}, cluster {name}");
    let mut unknown: Vec<String> = keys(config).into_iter().filter(|key| !UNDERSTOOD.contains(&key.as_str())).collect();
    let kind = get(config, "type").and_then(text).unwrap_or_else(|| "STATIC".to_owned()).to_uppercase();
    if !["EDS", "STATIC", "STRICT_DNS", "LOGICAL_DNS"].contains(&kind.as_str()) {
        unknown.push(format!("type {kind}"));
    }
    let assignment = if kind == "EDS" {
        assigned(config, &name, load).unwrap_or_else(|why| {
            not_read.push(format!("{place}: eds_config: {why}"));
            None
        })
    } else {
        get(config, "load_assignment").cloned()
    };
    let Some(assignment) = assignment else { return Vec::new() };
    let takes = match (kind.as_str(), get(config, "dns_lookup_family").and_then(text).as_deref()) {
        ("LOGICAL_DNS", _) => Takes::One,
        ("STRICT_DNS", Some("ALL")) => Takes::All,
        ("STRICT_DNS", _) => Takes::OneFamily,
        _ => Takes::All,
    };
    let mut cluster = EnvoyCluster {
        config,
        name,
        place,
        localities: Vec::new(),
        endpoints: Vec::new(),
        overprovisioning: at(&assignment, &["policy", "overprovisioning_factor"]).and_then(number).unwrap_or(140),
        unknown,
    };
    let mut metadata = Vec::new();
    for locality in items(get(&assignment, "endpoints")) {
        metadata.extend(items(get(locality, "lb_endpoints")).map(subsets::metadata));
        cluster.locality(locality, takes);
    }
    let policies = keys(get(&assignment, "policy").unwrap_or(&Value::Null)).into_iter();
    let other = policies.filter(|key| key != "overprovisioning_factor");
    cluster.unknown.extend(other.map(|key| format!("policy of load_assignment: {key}")));
    match subsets::all(config, &cluster.name, &metadata, all) {
        Ok(subsets) => subsets.iter().map(|subset| cluster.group(subset, all)).collect(),
        Err(why) => {
            cluster.unknown.push(why);
            vec![cluster.group(&Subset::whole(&cluster.name, metadata.len()), all)]
        }
    }
}

/// What a file has of the endpoints of a cluster; None if they are not in it.
fn assigned(cluster: &Value, name: &str, load: NamedFiles) -> Result<Option<Value>, String> {
    let source = at(cluster, &["eds_cluster_config", "eds_config"]).and_then(path);
    let document = load(&source.ok_or_else(|| "it comes from elsewhere".to_owned())?)?;
    let service = at(cluster, &["eds_cluster_config", "service_name"]).and_then(text);
    let wanted = service.unwrap_or_else(|| name.to_owned());
    let is_it = |it: &&Value| get(it, "cluster_name").and_then(text).as_ref() == Some(&wanted);
    Ok(items(get(&document, "resources")).find(is_it).cloned())
}

impl EnvoyCluster<'_> {
    fn locality(&mut self, locality: &Value, takes: Takes) {
        // Endpoints that are taken from elsewhere.
        let others = ["leds_cluster_locality_config", "load_balancer_endpoints"].into_iter();
        self.unknown.extend(others.filter(|key| get(locality, key).is_some()).map(str::to_owned));
        let place = |key: &&str| at(locality, &["locality", key]).and_then(text);
        let names: Vec<String> = ["region", "zone", "sub_zone"].iter().filter_map(place).collect();
        self.localities.push(Locality {
            name: names.join("/"),
            weight: get(locality, "load_balancing_weight").and_then(number).and_then(|it| u32::try_from(it).ok()),
            priority: get(locality, "priority").and_then(number).unwrap_or(0),
        });
        for endpoint in items(get(locality, "lb_endpoints")) {
            let server = server(endpoint, takes, &self.place, &mut self.unknown);
            self.endpoints.push(LocalEndpoint { server, locality: self.localities.len() - 1 });
        }
    }

    fn group(&self, subset: &Subset, all: &[&Value]) -> Upstream {
        let mut upstream = Upstream::named(&subset.name);
        upstream.part_of = subset.is_part.then(|| self.name.clone());
        upstream.slow_start = slow_start(self.config);
        upstream.keeps_away = avoidance::of(self.config);
        upstream.health = items(get(self.config, "health_checks"))
            .filter_map(expected_of_health)
            .map(|key| format!("{}: http_health_check: {key}", self.place))
            .collect();
        let mut unknown = self.unknown.clone();
        let members: Vec<&LocalEndpoint> = subset.members.iter().map(|place| &self.endpoints[*place]).collect();
        upstream.servers = members.iter().map(|it| it.server.clone()).collect();
        let health = members
            .iter()
            .map(|it| EndpointHealth { priority: self.localities[it.locality].priority, is_well: !it.server.down });
        match priorities::first(health, self.overprovisioning, PanicThreshold::of(self.config)) {
            Ok(first) => {
                let is_spare = |it: &LocalEndpoint| self.localities[it.locality].priority != first;
                upstream.servers.iter_mut().zip(&members).for_each(|(server, it)| server.backup = is_spare(it));
            }
            Err(why) => unknown.push(why.to_owned()),
        }
        let by_locality = policy::is_by_locality(self.config);
        if by_locality {
            self.pass_over_weightless(&mut upstream.servers, &members, &mut unknown);
            unknown.extend(subset.is_part.then(|| "lb_subset_config with weights of localities".to_owned()));
        }
        let active = || upstream.servers.iter().zip(&members).filter(|(server, _)| !server.backup && !server.down);
        // Within a locality where it is selected first.
        let alike = |pair: &[(&UpstreamServer, &&LocalEndpoint)]| {
            pair[0].0.weight == pair[1].0.weight || by_locality && pair[0].1.locality != pair[1].1.locality
        };
        let even = active().collect::<Vec<_>>().windows(2).all(alike);
        let policy = policy::of(self.config, even, all, &mut unknown);
        upstream.method = match policy.filter(|_| unknown.is_empty()) {
            Some(policy) if by_locality => self.by_locality(&policy, &upstream.servers, &members),
            Some(policy) => UpstreamMethod::Known(policy),
            None => UpstreamMethod::Unknown(format!("{}: {}", self.place, unknown.join(", "))),
        };
        upstream
    }

    /// Where localities are selected by their weights, those without one get nothing.
    fn pass_over_weightless(
        &self,
        servers: &mut [UpstreamServer],
        members: &[&LocalEndpoint],
        unknown: &mut Vec<String>,
    ) {
        for (server, it) in servers.iter_mut().zip(members) {
            server.backup |= self.localities[it.locality].weight.unwrap_or(0) == 0;
        }
        let is_twice = |(place, it): (usize, &Locality)| {
            let others = &self.localities[..place];
            others.iter().any(|other| (&other.name, other.priority) == (&it.name, it.priority))
        };
        if self.localities.iter().enumerate().any(is_twice) || servers.iter().all(|server| server.backup) {
            unknown.push("locality_weighted_lb_config: weights of localities".to_owned());
        }
    }

    fn by_locality(&self, policy: &Policy, servers: &[UpstreamServer], members: &[&LocalEndpoint]) -> UpstreamMethod {
        let mut parts: Vec<(usize, SplitPart)> = Vec::new();
        for (server, it) in servers.iter().zip(members) {
            let locality = &self.localities[it.locality];
            match parts.last_mut().filter(|(place, _)| *place == it.locality) {
                Some((_, part)) => part.servers += 1,
                None => {
                    let weight = if server.backup { 0 } else { locality.weight.unwrap_or(0) };
                    let method = UpstreamMethod::Known(policy.clone());
                    parts.push((it.locality, SplitPart { name: locality.name.clone(), weight, servers: 1, method }));
                }
            }
        }
        match parts.iter().filter(|(_, part)| part.weight > 0).count() {
            // The only one gets all.
            1 => UpstreamMethod::Known(policy.clone()),
            _ => UpstreamMethod::Split(parts.into_iter().map(|(_, part)| part).collect()),
        }
    }
}

fn server(endpoint: &Value, takes: Takes, place: &str, unknown: &mut Vec<String>) -> UpstreamServer {
    let address = at(endpoint, &["endpoint", "address"]);
    let socket = address.and_then(|it| get(it, "socket_address"));
    let tcp = socket.and_then(|it| {
        let port = get(it, "port_value").and_then(number).and_then(|port| u16::try_from(port).ok())?;
        Some((get(it, "address").and_then(text)?, port))
    });
    let pipe = address.and_then(|it| at(it, &["pipe", "path"])).and_then(text);
    let (name, endpoint_at) = match (tcp, pipe) {
        (Some((host, port)), _) if host.contains(':') => (format!("[{host}]:{port}"), Endpoint::Tcp(host, port)),
        (Some((host, port)), _) => (format!("{host}:{port}"), Endpoint::Tcp(host, port)),
        (None, Some(path)) => (format!("unix:{path}"), Endpoint::Unix(path)),
        (None, None) => ("an address of another kind".to_owned(), Endpoint::Other),
    };
    let mut server = UpstreamServer::at(&name, endpoint_at, place);
    server.takes = takes;
    if let Some(weight) = get(endpoint, "load_balancing_weight") {
        match number(weight).and_then(|weight| u32::try_from(weight).ok()).filter(|weight| *weight > 0) {
            Some(weight) => server.weight = weight,
            None => unknown.push(format!("load_balancing_weight of {name}")),
        }
    }
    match get(endpoint, "health_status").and_then(text).as_deref() {
        None | Some("UNKNOWN" | "HEALTHY") => {}
        Some("UNHEALTHY" | "DRAINING" | "TIMEOUT") => server.down = true,
        Some(other) => unknown.push(format!("health_status {other} of {name}")),
    }
    server
}

/// Where a health check wants another response than 200.
fn expected_of_health(check: &Value) -> Option<&'static str> {
    let check = get(check, "http_health_check")?;
    let bound = |range: &Value, key| get(range, key).and_then(number);
    let is_success = |range: &&Value| {
        bound(range, "start").is_some_and(|it| it <= 200) && bound(range, "end").is_some_and(|it| it > 200)
    };
    match get(check, "expected_statuses") {
        Some(ranges) if items(Some(ranges)).find(is_success).is_none() => Some("expected_statuses"),
        Some(_) | None => get(check, "receive").map(|_| "receive"),
    }
}

fn slow_start(cluster: &Value) -> Option<Duration> {
    let policy = items(at(cluster, &["load_balancing_policy", "policies"])).next();
    let typed = policy.and_then(|it| at(it, &["typed_extension_config", "typed_config"]));
    let kinds = ["round_robin_lb_config", "least_request_lb_config"].iter().map(|kind| get(cluster, kind));
    let window = kinds.chain([typed]).flatten().find_map(|it| at(it, &["slow_start_config", "slow_start_window"]));
    window.and_then(|it| time::of(it, LoneNumber::Seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_health_check_may_want_more_than_a_success() {
        for (check, expected) in [
            (json!({"path": "/h"}), None),
            (json!({"expected_statuses": [{"start": 100, "end": 101}, {"start": 200, "end": 300}]}), None),
            (json!({"expected_statuses": [{"start": 204, "end": 205}]}), Some("expected_statuses")),
            (json!({"expected_statuses": [{"start": 200, "end": 201}], "receive": [{"text": "00"}]}), Some("receive")),
        ] {
            assert_eq!(expected_of_health(&json!({"http_health_check": check})), expected, "{check}");
        }
    }

    /// Endpoints of a place, with that weight and priority.
    fn place(zone: &str, more: Value, hosts: &[&str]) -> Value {
        let endpoint =
            |host: &&str| json!({"endpoint": {"address": {"socket_address": {"address": host, "port_value": 80}}}});
        let mut place =
            json!({"locality": {"zone": zone}, "lb_endpoints": hosts.iter().map(endpoint).collect::<Vec<_>>()});
        place.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        place
    }

    fn of(more: Value, places: &[Value]) -> Upstream {
        let mut config = json!({"name": "app", "load_assignment": {"endpoints": places}});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        upstreams("e.yaml", &config, &[], &|_| Err(String::new()), &mut Vec::new()).remove(0)
    }

    fn backups(upstream: &Upstream) -> Vec<bool> {
        upstream.servers.iter().map(|it| it.backup).collect()
    }

    #[test]
    fn the_next_priority_has_backups() {
        let places =
            [place("a", json!({"priority": 1}), &["10.0.2.1"]), place("a", json!({}), &["10.0.1.1", "10.0.1.2"])];
        let it = of(json!({}), &places);
        assert_eq!((&it.method, backups(&it)), (&UpstreamMethod::Known(Policy::RoundRobin), vec![true, false, false]));
        let mut ill = places;
        ill[1]["lb_endpoints"][0]["health_status"] = "UNHEALTHY".into();
        let it = of(json!({}), &ill);
        assert!(matches!(&it.method, UpstreamMethod::Unknown(why) if why.contains("priority")), "{it:?}");
        // What another priority weighs is no weight among those that get requests.
        let mut heavy =
            [place("a", json!({}), &["10.0.1.1", "10.0.1.2"]), place("b", json!({"priority": 1}), &["10.0.2.1"])];
        heavy[1]["lb_endpoints"][0]["load_balancing_weight"] = 5.into();
        assert_eq!(of(json!({"lb_policy": "RANDOM"}), &heavy).method, UpstreamMethod::Known(Policy::Random));
    }

    #[test]
    fn localities_divide_requests_by_their_weights_where_the_cluster_says_so() {
        let by_locality = json!({"common_lb_config": {"locality_weighted_lb_config": {}}});
        let weight = |weight: u32| json!({"load_balancing_weight": weight});
        let parts = |it: &Upstream| match &it.method {
            UpstreamMethod::Split(parts) => {
                Some(parts.iter().map(|it| (it.name.clone(), it.weight, it.servers)).collect::<Vec<_>>())
            }
            UpstreamMethod::Known(_) | UpstreamMethod::Unknown(_) => None,
        };
        let places = [
            place("a", weight(3), &["10.0.1.1", "10.0.1.2"]),
            place("b", weight(1), &["10.0.2.1"]),
            place("c", json!({}), &["10.0.3.1"]),
            place("a", json!({"priority": 1, "load_balancing_weight": 9}), &["10.0.4.1"]),
        ];
        let it = of(by_locality.clone(), &places);
        let of_parts = [("a", 3, 2), ("b", 1, 1), ("c", 0, 1), ("a", 0, 1)].map(|(a, b, c)| (a.to_owned(), b, c));
        assert_eq!((parts(&it), backups(&it)), (Some(of_parts.to_vec()), vec![false, false, false, true, true]));
        // Without that they say nothing.
        assert_eq!(of(json!({}), &places).method, UpstreamMethod::Known(Policy::RoundRobin));
        let only = of(by_locality.clone(), &places[1..]);
        assert_eq!(
            (&only.method, backups(&only)),
            (&UpstreamMethod::Known(Policy::RoundRobin), vec![false, true, true])
        );
        for (more, places) in [
            (json!({}), vec![place("a", json!({}), &["10.0.1.1"]), place("b", json!({}), &["10.0.2.1"])]),
            (json!({}), vec![place("a", weight(1), &["10.0.1.1"]), place("a", weight(2), &["10.0.2.1"])]),
            (json!({"lb_subset_config": {"fallback_policy": "ANY_ENDPOINT"}}), places.to_vec()),
        ] {
            let mut more = more;
            more.as_object_mut().unwrap().extend(by_locality.as_object().unwrap().clone());
            let it = of(more, &places);
            assert!(matches!(it.method, UpstreamMethod::Unknown(_)), "{it:?}");
        }
    }
}
