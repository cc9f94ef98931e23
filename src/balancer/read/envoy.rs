//! PURE. Reads clusters of Envoy: their endpoints, weights and policy (`envoy.config.cluster.v3.Cluster`). What is not understood is named,
//! and nothing is promised for its cluster.

mod avoidance;
mod hashes;
mod splits;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::balancer::read::configuration::{Configuration, Takes, Upstream, UpstreamMethod, UpstreamServer};
use crate::balancer::read::document::{at, get, items, keys, number, objects, text};
use crate::balancer::read::endpoint::Endpoint;
use crate::balancer::read::reported::ReportedServers;
use crate::balancer::read::time::{self, LoneNumber};
use crate::topology::Policy;

/// Fields of a cluster that decide nothing about who gets a request, or are read here.
const UNDERSTOOD: [&str; 39] = [
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

/// Fields of a policy's own configuration that are read, or change nothing for servers that have been there from the beginning.
const POLICY: [&str; 5] = ["@type", "active_request_bias", "choice_count", "selection_method", "slow_start_config"];

/// Other files that the configuration names, by their paths in it.
pub(crate) type NamedFiles<'l> = &'l dyn Fn(&str) -> Result<Value, String>;

/// All clusters of a bootstrap configuration, and of files that it takes clusters and endpoints from.
pub(crate) fn read(file: &str, bootstrap: &Value, load: NamedFiles) -> Configuration {
    let mut configuration = Configuration::default();
    let mut documents = vec![(file.to_owned(), bootstrap.clone())];
    for (kind, config) in [("clusters", "cds_config"), ("listeners", "lds_config")] {
        let Some(source) = at(bootstrap, &["dynamic_resources", config]) else { continue };
        match path(source) {
            Some(path) => match load(&path) {
                Ok(document) => documents.push((path, document)),
                Err(why) => configuration.not_read.push(format!("{file}: {config} {path}: {why}")),
            },
            None => configuration.not_read.push(format!("{file}: {config}: {kind} come from elsewhere")),
        }
    }
    load_named(&mut documents, load, &mut configuration.not_read);
    let all: Vec<&Value> = documents.iter().flat_map(|(_, document)| objects(document)).collect();
    for (name, document) in &documents {
        let clusters = items(at(document, &["static_resources", "clusters"])).chain(items(get(document, "resources")));
        for cluster in
            clusters.filter(|it| get(it, "load_assignment").is_some() || get(it, "eds_cluster_config").is_some())
        {
            configuration.upstreams.extend(upstream(name, cluster, &all, load, &mut configuration.not_read));
        }
    }
    splits::join(file, bootstrap, &all, &mut configuration.upstreams);
    // A session goes to its own backend whatever the cluster's policy is.
    if all.iter().any(|it| get(it, "name").and_then(Value::as_str) == Some("envoy.filters.http.stateful_session")) {
        for upstream in &mut configuration.upstreams {
            upstream.method = UpstreamMethod::Unknown(format!("{file}: stateful_session"));
        }
    }
    // With as many zones as that cluster has, a zone keeps its requests to itself.
    if let Some(local) = at(bootstrap, &["cluster_manager", "local_cluster_name"]).and_then(text) {
        let is_zoned = |it: &&&Value| items(at(it, &["load_assignment", "endpoints"])).count() > 1;
        let zoned: BTreeSet<String> =
            all.iter().filter(is_zoned).filter_map(|it| get(it, "name").and_then(text)).collect();
        for upstream in configuration.upstreams.iter_mut().filter(|it| zoned.contains(&it.name)) {
            upstream.method = UpstreamMethod::Unknown(format!("{file}: local_cluster_name {local}: zones"));
        }
    }
    configuration.companions = companions(&all, &configuration.upstreams);
    for host in &all {
        let domains: Vec<String> = items(get(host, "domains")).filter_map(text).collect();
        configuration.routes.extend((!domains.is_empty()).then(|| format!("{file}: domains {}", domains.join(", "))));
    }
    for route in &all {
        let is_route = ["cluster", "weighted_clusters", "cluster_header"].iter().any(|key| get(route, key).is_some());
        let limits = [get(route, "timeout").filter(|_| is_route), get(route, "per_try_timeout")];
        for limit in limits.into_iter().flatten() {
            time::shorten(&mut configuration.patience, time::of(limit, LoneNumber::Seconds));
        }
    }
    for (what, status) in all.iter().flat_map(|it| own_responses(it)) {
        configuration.responds(status, format!("{file}: {what}"));
    }
    configuration.authorities =
        all.iter().filter_map(|it| at(it, &["trusted_ca", "filename"]).and_then(text)).collect();
    configuration.certificates = all.iter().filter_map(|it| certificate(it)).collect();
    configuration
}

/// Servers of clusters that filters ask for what they need, such as whether a request may pass.
fn companions(all: &[&Value], upstreams: &[Upstream]) -> Vec<Endpoint> {
    let asks = [["server_uri", "cluster"], ["http_uri", "cluster"], ["envoy_grpc", "cluster_name"]];
    let named = |it: &&Value| asks.iter().filter_map(|path| at(it, path).and_then(text)).collect::<Vec<_>>();
    let names: BTreeSet<String> = all.iter().flat_map(named).collect();
    let asked = upstreams.iter().filter(|it| names.contains(&it.name));
    asked.flat_map(|it| &it.servers).map(|server| server.endpoint.clone()).collect()
}

/// Files that other files of it name, for routes, secrets and endpoints.
fn load_named(documents: &mut Vec<(String, Value)>, load: NamedFiles, not_read: &mut Vec<String>) {
    let mut next = 0;
    while let Some((file, document)) = documents.get(next).cloned() {
        next += 1;
        // What a cluster or the whole takes from elsewhere is named where it is read.
        let is_read_there = |key: &str| ["eds_config", "cds_config", "lds_config"].contains(&key);
        let sources = objects(&document).into_iter().flat_map(|object| {
            let named = keys(object).into_iter().filter(|key| !is_read_there(key));
            named.filter_map(|key| at(object, &[&key, "path_config_source", "path"]).and_then(text)).collect::<Vec<_>>()
        });
        for path in sources {
            if documents.iter().any(|(known, _)| *known == path) {
                continue;
            }
            let loaded = load(&path).unwrap_or_else(|why| {
                not_read.push(format!("{file}: {path}: {why}"));
                Value::Null
            });
            documents.push((path, loaded));
        }
    }
}

fn path(source: &Value) -> Option<String> {
    let path = at(source, &["path_config_source", "path"]).or_else(|| get(source, "path"))?;
    text(path)
}

/// Statuses with which Envoy itself responds by a part of its configuration.
fn own_responses(object: &Value) -> impl Iterator<Item = (&'static str, u16)> {
    let number = |path: &[&str]| at(object, path).and_then(number).and_then(|it| u16::try_from(it).ok());
    let redirect = get(object, "redirect").map(|it| match get(it, "response_code").and_then(text).as_deref() {
        Some("FOUND") => 302,
        Some("SEE_OTHER") => 303,
        Some("TEMPORARY_REDIRECT") => 307,
        Some("PERMANENT_REDIRECT") => 308,
        Some(_) | None => 301,
    });
    let direct = number(&["direct_response", "status"]);
    let fault = number(&["abort", "http_status"]);
    // Of a local rate limit.
    let limited =
        get(object, "token_bucket").map(|_| match at(object, &["status", "code"]).and_then(text).as_deref() {
            Some("ServiceUnavailable") => 503,
            Some(_) | None => 429,
        });
    [("direct_response", direct), ("redirect", redirect), ("fault: abort", fault), ("token_bucket", limited)]
        .into_iter()
        .filter_map(|(what, status)| Some((what, status?)))
}

fn certificate(object: &Value) -> Option<(String, String)> {
    let file = |key| at(object, &[key, "filename"]).and_then(text);
    Some((file("certificate_chain")?, file("private_key")?))
}

fn upstream(
    file: &str,
    cluster: &Value,
    all: &[&Value],
    load: NamedFiles,
    not_read: &mut Vec<String>,
) -> Option<Upstream> {
    let name = get(cluster, "name").and_then(text)?;
    let place = format!("{file}, cluster {name}");
    let mut upstream = Upstream::named(&name);
    let mut unknown: Vec<String> =
        keys(cluster).into_iter().filter(|key| !UNDERSTOOD.contains(&key.as_str())).collect();
    let kind = get(cluster, "type").and_then(text).unwrap_or_else(|| "STATIC".to_owned()).to_uppercase();
    let assignment = match kind.as_str() {
        "EDS" => {
            let source = at(cluster, &["eds_cluster_config", "eds_config"]).and_then(path);
            let found = source.ok_or_else(|| "it comes from elsewhere".to_owned()).and_then(|path| load(&path));
            match found {
                Ok(document) => {
                    let service = at(cluster, &["eds_cluster_config", "service_name"]).and_then(text);
                    let wanted = service.unwrap_or_else(|| name.clone());
                    let is_it = |it: &&Value| get(it, "cluster_name").and_then(text) == Some(wanted.clone());
                    items(get(&document, "resources")).find(is_it).cloned()
                }
                Err(why) => {
                    not_read.push(format!("{place}: eds_config: {why}"));
                    None
                }
            }
        }
        "STATIC" | "STRICT_DNS" | "LOGICAL_DNS" => get(cluster, "load_assignment").cloned(),
        other => {
            unknown.push(format!("type {other}"));
            get(cluster, "load_assignment").cloned()
        }
    }?;
    let takes = match (kind.as_str(), get(cluster, "dns_lookup_family").and_then(text).as_deref()) {
        ("LOGICAL_DNS", _) => Takes::One,
        ("STRICT_DNS", Some("ALL")) => Takes::All,
        ("STRICT_DNS", _) => Takes::OneFamily,
        _ => Takes::All,
    };
    for locality in items(get(&assignment, "endpoints")) {
        if get(locality, "priority").and_then(number).is_some_and(|priority| priority > 0) {
            // Some requests go there as soon as some of the first priority are ill.
            unknown.push("priority".to_owned());
        }
        for endpoint in items(get(locality, "lb_endpoints")) {
            upstream.servers.push(server(endpoint, takes, &place, &mut unknown));
        }
    }
    if get(&assignment, "policy").is_some() {
        unknown.push("policy of load_assignment".to_owned());
    }
    let even = upstream.servers.windows(2).all(|pair| pair[0].weight == pair[1].weight);
    match policy(cluster, even, all, &mut unknown) {
        Some(policy) if unknown.is_empty() => upstream.method = UpstreamMethod::Known(policy),
        _ => upstream.method = UpstreamMethod::Unknown(format!("{place}: {}", unknown.join(", "))),
    }
    upstream.slow_start = slow_start(cluster);
    upstream.keeps_away = avoidance::of(cluster);
    upstream.health = items(get(cluster, "health_checks"))
        .filter_map(expected_of_health)
        .map(|key| format!("{place}: http_health_check: {key}"))
        .collect();
    Some(upstream)
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

/// None where requests do not go by the policy's name alone.
fn policy(cluster: &Value, even: bool, all: &[&Value], unknown: &mut Vec<String>) -> Option<Policy> {
    if let Some(config) = get(cluster, "common_lb_config") {
        for key in keys(config) {
            if !["healthy_panic_threshold", "update_merge_window", "ignore_new_hosts_until_first_hc"]
                .contains(&key.as_str())
            {
                unknown.push(format!("common_lb_config: {key}"));
            }
        }
    }
    if let Some(policies) = get(cluster, "load_balancing_policy") {
        let first = items(get(policies, "policies")).next().and_then(|it| get(it, "typed_extension_config"));
        let name = first.and_then(|it| get(it, "name")).and_then(text).unwrap_or_default();
        let config = first.and_then(|it| get(it, "typed_config"));
        // Such as weights of localities.
        let more = config.map(keys).unwrap_or_default();
        unknown
            .extend(more.into_iter().filter(|key| !POLICY.contains(&key.as_str())).map(|key| format!("{name}: {key}")));
        let scan = config.and_then(|it| get(it, "selection_method")).and_then(text);
        return match (name.as_str(), scan.as_deref()) {
            ("envoy.load_balancing_policies.round_robin", _) => Some(Policy::RoundRobin),
            ("envoy.load_balancing_policies.random", _) if even => Some(Policy::Random),
            ("envoy.load_balancing_policies.least_request", Some("FULL_SCAN")) if even => {
                Some(Policy::LeastConnections)
            }
            ("envoy.load_balancing_policies.least_request", None | Some("N_CHOICES")) => {
                two_choices(config, even, unknown)
            }
            ("envoy.load_balancing_policies.ring_hash" | "envoy.load_balancing_policies.maglev", _) => {
                hashed(cluster, all, &name, unknown)
            }
            _ => {
                unknown.push(format!("load_balancing_policy {name}"));
                None
            }
        };
    }
    match get(cluster, "lb_policy").and_then(text).as_deref() {
        None | Some("ROUND_ROBIN") => Some(Policy::RoundRobin),
        Some("RANDOM") if even => Some(Policy::Random),
        Some("LEAST_REQUEST") => two_choices(get(cluster, "least_request_lb_config"), even, unknown),
        Some(ring @ ("RING_HASH" | "MAGLEV")) => hashed(cluster, all, ring, unknown),
        // Weights of RANDOM and others are documented as ignored, or as turns.
        Some(other) => {
            unknown.push(format!("lb_policy {other}"));
            None
        }
    }
}

fn hashed(cluster: &Value, all: &[&Value], ring: &str, unknown: &mut Vec<String>) -> Option<Policy> {
    let policy = get(cluster, "name").and_then(text).and_then(|name| hashes::policy(&name, all));
    if policy.is_none() {
        unknown.push(format!("{ring}: hash_policy of its routes"));
    }
    policy
}

fn two_choices(config: Option<&Value>, even: bool, unknown: &mut Vec<String>) -> Option<Policy> {
    let choices = config.and_then(|it| get(it, "choice_count")).map_or(Some(2), number);
    if even && choices == Some(2) {
        return Some(Policy::TwoChoices);
    }
    // With different weights it takes turns, which move with the requests in flight.
    unknown.push(if even { "choice_count".to_owned() } else { "LEAST_REQUEST with weights".to_owned() });
    None
}

/// Reads `/clusters?format=json`.
pub(crate) fn read_clusters(json: &Value) -> Option<ReportedServers> {
    let mut groups: BTreeMap<String, Vec<(Endpoint, u64)>> = BTreeMap::new();
    for cluster in json.get("cluster_statuses")?.as_array()? {
        let servers = groups.entry(cluster.get("name")?.as_str()?.to_owned()).or_default();
        for host in cluster.get("host_statuses").and_then(Value::as_array).into_iter().flatten() {
            let endpoint = match (host.pointer("/address/socket_address"), host.pointer("/address/pipe/path")) {
                (Some(address), _) => {
                    let port = u16::try_from(address.get("port_value")?.as_u64()?).ok()?;
                    Endpoint::Tcp(address.get("address")?.as_str()?.to_owned(), port)
                }
                (None, Some(path)) => Endpoint::Unix(path.as_str()?.to_owned()),
                (None, None) => return None,
            };
            servers.push((endpoint, host.get("weight").and_then(Value::as_u64).unwrap_or(1)));
        }
    }
    Some(ReportedServers::Groups(groups))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(cluster: Value) -> Upstream {
        let bootstrap = json!({"static_resources": {"clusters": [cluster]}});
        read("envoy.yaml", &bootstrap, &|_| Err("none".to_owned())).upstreams.remove(0)
    }

    fn endpoint(host: &str, more: Value) -> Value {
        let mut it = json!({"endpoint": {"address": {"socket_address": {"address": host, "port_value": 8080}}}});
        it.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        it
    }

    fn cluster(more: Value) -> Value {
        let endpoints = [endpoint("10.0.0.1", json!({})), endpoint("10.0.0.2", json!({}))];
        let mut it = json!({"name": "web", "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": "web", "endpoints": [{"lb_endpoints": endpoints}]}});
        it.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        it
    }

    #[test]
    fn a_rate_limit_responds_itself() {
        for (limit, status) in [
            (json!({"token_bucket": {"max_tokens": 10}}), 429),
            (json!({"token_bucket": {"max_tokens": 10}, "status": {"code": "ServiceUnavailable"}}), 503),
        ] {
            assert_eq!(own_responses(&limit).collect::<Vec<_>>(), [("token_bucket", status)]);
        }
    }

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

    #[test]
    fn endpoints_have_addresses_weights_and_health() {
        let endpoints = json!([
            endpoint("10.0.0.1", json!({"load_balancing_weight": 3})),
            endpoint("fd00::1", json!({"loadBalancingWeight": {"value": 1}, "healthStatus": "DRAINING"})),
            {"endpoint": {"address": {"pipe": {"path": "/run/a.sock"}}}},
        ]);
        let it = of(cluster(json!({"load_assignment": {"endpoints": [{"lb_endpoints": endpoints}]}})));
        let servers: Vec<_> = it.servers.iter().map(|it| (it.address.as_str(), it.weight, it.down)).collect();
        assert_eq!(servers, [("10.0.0.1:8080", 3, false), ("[fd00::1]:8080", 1, true), ("unix:/run/a.sock", 1, false)]);
        assert_eq!(
            (it.method, it.servers[0].place.as_str()),
            (UpstreamMethod::Known(Policy::RoundRobin), "envoy.yaml, cluster web")
        );
    }

    #[test]
    fn a_policy_is_known_where_it_alone_decides() {
        for (more, expected) in [
            (json!({"lb_policy": "LEAST_REQUEST"}), Policy::TwoChoices),
            (json!({"lbPolicy": "RANDOM"}), Policy::Random),
            (json!({"common_lb_config": {"healthy_panic_threshold": {"value": 0}}}), Policy::RoundRobin),
        ] {
            assert_eq!(of(cluster(more.clone())).method, UpstreamMethod::Known(expected), "{more}");
        }
        let typed = |kind: &str, config: Value| {
            let name = format!("envoy.load_balancing_policies.{kind}");
            json!({"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": name, "typed_config": config}}]}})
        };
        let slow_start = json!({"slow_start_config": {"slow_start_window": "30s"}});
        for more in [typed("round_robin", slow_start.clone()), json!({"round_robin_lb_config": slow_start})] {
            let of = of(cluster(more));
            let expected = (UpstreamMethod::Known(Policy::RoundRobin), Some(Duration::from_secs(30)));
            assert_eq!((of.method, of.slow_start), expected);
        }
        for more in [
            typed("round_robin", json!({"locality_lb_config": {"locality_weighted_lb_config": {}}})),
            typed("least_request", json!({"locality_lb_config": {"zone_aware_lb_config": {}}})),
            json!({"lb_policy": "RING_HASH"}),
            json!({"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"choice_count": 5}}),
            json!({"lb_subset_config": {}}),
            json!({"common_lb_config": {"locality_weighted_lb_config": {}}}),
            json!({"type": "ORIGINAL_DST"}),
            json!({"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": "mine"}}]}}),
        ] {
            assert!(matches!(of(cluster(more.clone())).method, UpstreamMethod::Unknown(_)), "{more}");
        }
    }

    #[test]
    fn what_comes_from_other_files_is_read_there_and_what_comes_from_elsewhere_is_named() {
        let bootstrap = json!({"dynamic_resources": {"cds_config": {"path_config_source": {"path": "c.yaml"}},
            "lds_config": {"api_config_source": {}}}});
        let eds =
            json!({"eds_cluster_config": {"eds_config": {"path_config_source": {"path": "e.yaml"}}}, "type": "EDS"});
        let load = |path: &str| match path {
            "c.yaml" => Ok(json!({"resources": [cluster(eds.clone())]})),
            "e.yaml" => Ok(json!({"resources": [{"cluster_name": "web",
                "endpoints": [{"lb_endpoints": [endpoint("10.0.0.9", json!({}))]}]}]})),
            other => Err(other.to_owned()),
        };
        let it = read("envoy.yaml", &bootstrap, &load);
        assert_eq!(it.upstreams[0].servers[0].address, "10.0.0.9:8080");
        assert_eq!(it.not_read, ["envoy.yaml: lds_config: listeners come from elsewhere"]);
    }

    #[test]
    fn a_cluster_that_a_filter_asks_has_companions() {
        let mut authz = cluster(json!({}));
        authz["name"] = "authz".into();
        let filter = json!({"http_service": {"server_uri": {"uri": "http://authz", "cluster": "authz"}}});
        let bootstrap = json!({"static_resources": {"clusters": [cluster(json!({})), authz], "listeners": [filter]}});
        let it = read("envoy.yaml", &bootstrap, &|_| Err(String::new()));
        assert_eq!((it.companions.len(), it.upstreams.len()), (2, 2));
    }

    #[test]
    fn secrets_and_routes_of_other_files_are_read_too() {
        let source = |path: &str| json!({"path_config_source": {"path": path}});
        let bootstrap = json!({"static_resources": {"clusters": [cluster(json!({}))], "listeners": [
            {"rds": {"config_source": source("r.yaml")}, "tls": [{"name": "shop", "sds_config": source("s.yaml")}]}]}});
        let load = |path: &str| match path {
            "r.yaml" => Ok(json!({"resources": [{"weightedClusters": {"clusters": [{"name": "web"}]}}]})),
            "s.yaml" => Ok(json!({"resources": [{"tls_certificate": {"certificate_chain": {"filename": "/c.crt"},
                "private_key": {"filename": "/c.key"}}}]})),
            other => Err(other.to_owned()),
        };
        let it = read("envoy.yaml", &bootstrap, &load);
        assert_eq!(it.certificates, [("/c.crt".to_owned(), "/c.key".to_owned())]);
        assert!(matches!(it.upstreams[0].method, UpstreamMethod::Unknown(_)), "{:?}", it.upstreams);
        assert_eq!(it.not_read, Vec::<String>::new());
        let it = read("envoy.yaml", &bootstrap, &|path| Err(format!("no {path}")));
        assert_eq!(it.not_read, ["envoy.yaml: r.yaml: no r.yaml", "envoy.yaml: s.yaml: no s.yaml"]);
    }

    #[test]
    fn a_route_over_several_clusters_is_one_group_that_its_weights_divide() {
        let of_route = |route: Value| {
            let mut canary = cluster(json!({}));
            canary["name"] = "canary".into();
            let clusters = [cluster(json!({})), canary];
            let bootstrap = json!({"static_resources": {"clusters": clusters, "listeners": [{"routes": route}]}});
            read("envoy.yaml", &bootstrap, &|_| Err(String::new())).upstreams
        };
        let split = |more: Value| {
            let mut it =
                json!({"clusters": [{"name": "web", "weight": 99}, {"name": "canary", "weight": {"value": 1}}]});
            it.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"route": {"weighted_clusters": it}})
        };
        let it = of_route(json!([split(json!({})), split(json!({}))]));
        assert_eq!((it.len(), it[0].name.as_str(), it[0].servers.len()), (1, "web+canary", 4));
        let UpstreamMethod::Split(parts) = &it[0].method else { panic!("{it:?}") };
        assert_eq!(parts.iter().map(|it| (it.weight, it.servers)).collect::<Vec<_>>(), [(99, 2), (1, 2)]);
        // A route of its own leads to one of them: which of the two groups is behind a URL is not known from here.
        let it = of_route(json!([split(json!({})), {"route": {"cluster": "web"}}]));
        assert_eq!(it.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["web", "web+canary"]);
        for more in [
            json!({"header_name": "x-canary"}),
            json!({"clusters": [{"name": "web", "weight": 1}, {"cluster_header": "x", "weight": 1}]}),
            json!({"clusters": [{"name": "web", "weight": 1}, {"name": "canary"}]}),
        ] {
            let it = of_route(json!([split(more.clone())]));
            assert!(it.iter().any(|it| matches!(it.method, UpstreamMethod::Unknown(_))), "{more}: {it:?}");
        }
    }
}
