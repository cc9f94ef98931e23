//! Reads clusters of Envoy: their endpoints, weights and policy (`envoy.config.cluster.v3.Cluster`). What is not understood is named,
//! and nothing is promised for its cluster.

mod avoidance;
mod cluster;
mod hashes;
mod policy;
mod priorities;
mod sources;
mod splits;
mod subsets;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::balancer::read::configuration::{Configuration, Upstream, UpstreamMethod};
use crate::balancer::read::document::{at, get, items, number, objects, text};
use crate::balancer::read::endpoint::Endpoint;
use crate::balancer::read::key_changes::KeyChanges;
use crate::balancer::read::reported::ReportedServers;
use crate::balancer::read::time::{self, LoneNumber};
use sources::{NamedFiles, load_named, path};

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
            configuration.upstreams.extend(cluster::upstreams(name, cluster, &all, load, &mut configuration.not_read));
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
        for upstream in configuration.upstreams.iter_mut().filter(|it| zoned.contains(it.whole())) {
            upstream.method = UpstreamMethod::Unknown(format!("{file}: local_cluster_name {local}: zones"));
        }
    }
    key_changes(file, &all).apply(&mut configuration.upstreams);
    let takes_headers = |it: &&&Value| get(it, "use_remote_address").and_then(text).as_deref() != Some("true");
    let managers = all.iter().filter(|it| get(it, "http_filters").is_some());
    configuration.client_headers.extend(managers.filter(takes_headers).map(|_| "X-Forwarded-For".to_owned()));
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

/// Parts that change what requests bring: Envoy hashes what it sends on.
fn key_changes(file: &str, all: &[&Value]) -> KeyChanges {
    let mut changes = KeyChanges::default();
    for it in all {
        // Without a group of its pattern the substitution is the same for all.
        let substitution = at(it, &["regex_rewrite", "substitution"]).and_then(text).filter(|to| !to.contains('\\'));
        substitution.into_iter().for_each(|to| changes.path(format!("{file}: regex_rewrite {to}")));
        let added = items(get(it, "request_headers_to_add")).filter_map(|it| at(it, &["header", "key"]).and_then(text));
        let dropped = items(get(it, "request_headers_to_remove")).filter_map(text);
        added.for_each(|name| changes.header(&name, format!("{file}: request_headers_to_add {name}")));
        dropped.for_each(|name| changes.header(&name, format!("{file}: request_headers_to_remove {name}")));
    }
    changes
}

/// Servers of clusters that filters ask for what they need, such as whether a request may pass.
fn companions(all: &[&Value], upstreams: &[Upstream]) -> Vec<Endpoint> {
    let asks = [["server_uri", "cluster"], ["http_uri", "cluster"], ["envoy_grpc", "cluster_name"]];
    let named = |it: &&Value| asks.iter().filter_map(|path| at(it, path).and_then(text)).collect::<Vec<_>>();
    let names: BTreeSet<String> = all.iter().flat_map(named).collect();
    let asked = upstreams.iter().filter(|it| names.contains(it.whole()));
    asked.flat_map(|it| &it.servers).map(|server| server.endpoint.clone()).collect()
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
    use std::time::Duration;

    use super::*;
    use crate::topology::Policy;
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
        let typed = |kind: &str, mut config: Value| {
            config["@type"] =
                format!("type.googleapis.com/envoy.extensions.load_balancing_policies.x.v3.{kind}").into();
            json!({"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": "any", "typed_config": config}}]}})
        };
        let slow_start = json!({"slow_start_config": {"slow_start_window": "30s"}});
        for more in [typed("RoundRobin", slow_start.clone()), json!({"round_robin_lb_config": slow_start})] {
            let of = of(cluster(more));
            let expected = (UpstreamMethod::Known(Policy::RoundRobin), Some(Duration::from_secs(30)));
            assert_eq!((of.method, of.slow_start), expected);
        }
        for more in [
            typed("RoundRobin", json!({"locality_lb_config": {"locality_weighted_lb_config": {}}})),
            typed("RoundRobin", json!({"locality_lb_config": {"other": {}}})),
            typed("WrrLocality", json!({})),
            json!({"common_lb_config": {"consistent_hashing_lb_config": {"hash_balance_factor": 150}}}),
            json!({"lb_policy": "RING_HASH"}),
            json!({"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"choice_count": 5}}),
            json!({"lb_subset_config": {"list_as_any": true}}),
            json!({"common_lb_config": {"locality_weighted_lb_config": {}}}),
            json!({"type": "ORIGINAL_DST"}),
            json!({"load_balancing_policy": {"policies": [{"typed_extension_config": {"name": "mine"}}]}}),
        ] {
            assert!(matches!(of(cluster(more.clone())).method, UpstreamMethod::Unknown(_)), "{more}");
        }
    }

    #[test]
    fn what_the_routes_set_is_no_key() {
        let of_routes = |header: &str, route: Value| {
            let mut route = route;
            route["route"]["cluster"] = "web".into();
            route["route"]["hash_policy"] = json!([{"header": {"header_name": header}}]);
            let clusters = [cluster(json!({"lb_policy": "RING_HASH"}))];
            let bootstrap = json!({"static_resources": {"clusters": clusters, "listeners": [{"routes": [route]}]}});
            read("envoy.yaml", &bootstrap, &|_| Err(String::new())).upstreams.remove(0).method
        };
        let to = |substitution: &str| json!({"route": {"regex_rewrite": {"substitution": substitution}}});
        let added = json!({"request_headers_to_add": [{"header": {"key": "x-user", "value": "a"}}], "route": {}});
        for (header, route, is_key) in [
            (":path", to("/index"), false),
            (":path", to(r"/new/\1"), true),
            (":path", json!({"route": {"prefix_rewrite": "/x"}}), true),
            ("X-User", added.clone(), false),
            ("X-User", json!({"request_headers_to_remove": ["x-user"], "route": {}}), false),
            ("X-Other", added, true),
        ] {
            let method = of_routes(header, route.clone());
            assert_eq!(matches!(method, UpstreamMethod::Known(_)), is_key, "{header} {route}: {method:?}");
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
