//! Reads the `reverse_proxy` handlers of Caddy's JSON: their upstreams and selection policy. What is not understood is named, and
//! nothing is promised for its handler.

use std::time::Duration;

use serde_json::Value;

use crate::balancer::read::configuration::{Configuration, Takes, Upstream, UpstreamMethod, UpstreamServer};
use crate::balancer::read::document::{at, entries, get, items, keys, number, objects, text, times};
use crate::balancer::read::endpoint::{Endpoint, endpoint_of_url};
use crate::balancer::read::key_changes::KeyChanges;
use crate::balancer::read::reported::ReportedServers;
use crate::balancer::read::time::{self, LoneNumber};
use crate::topology::Policy;
use verdict::timeline::Avoidance;

/// Keys of a handler that decide nothing about who gets a request, or are read here.
const UNDERSTOOD: [&str; 14] = [
    "buffer_requests",
    "buffer_responses",
    "dynamic_upstreams",
    "flush_interval",
    "handle_response",
    "handler",
    "headers",
    "health_checks",
    "load_balancing",
    "request_buffers",
    "response_buffers",
    "rewrite",
    "transport",
    "upstreams",
];

/// All handlers, in the order of the configuration. The same one behind several hosts is one.
pub(crate) fn read(file: &str, json: &Value) -> Configuration {
    let mut configuration = Configuration::default();
    let apps = at(json, &["apps", "http"]).unwrap_or(&Value::Null);
    let handlers =
        objects(apps).into_iter().filter(|it| it.get("handler").and_then(Value::as_str) == Some("reverse_proxy"));
    let mut known: Vec<&Value> = Vec::new();
    for handler in handlers {
        // `forward_auth`: it asks with a method of its own, and no client gets that response.
        let asks_only = at(handler, &["rewrite", "method"]).is_some() && get(handler, "handle_response").is_some();
        if known.contains(&handler) || asks_only {
            continue;
        }
        known.push(handler);
        let protocol = at(handler, &["transport", "protocol"]).and_then(text).filter(|it| it == "fastcgi");
        configuration.foreign.extend(protocol.map(|it| format!("{file}: reverse_proxy with the transport {it}")));
        let limits = [
            at(handler, &["transport", "response_header_timeout"]),
            at(handler, &["transport", "read_timeout"]),
            // Then it is taken for ill.
            at(handler, &["health_checks", "passive", "unhealthy_latency"]),
        ];
        for limit in limits.into_iter().flatten() {
            time::shorten(&mut configuration.patience, time::of(limit, LoneNumber::Nanoseconds));
        }
        let name = format!("reverse_proxy-{}", known.len());
        configuration.upstreams.push(upstream(file, &name, handler));
    }
    key_changes(file, apps).apply(&mut configuration.upstreams);
    for server in objects(apps).iter().filter(|it| get(it, "trusted_proxies").is_some()) {
        let named: Vec<String> = items(get(server, "client_ip_headers")).filter_map(text).collect();
        let usual = named.is_empty().then(|| "X-Forwarded-For".to_owned());
        configuration.client_headers.extend(named.into_iter().chain(usual));
    }
    let handles = |it: &&&Value, name: &str| get(it, "handler").and_then(text).as_deref() == Some(name);
    for own in objects(apps).iter().filter(|it| handles(it, "static_response")) {
        let status = get(own, "status_code").map_or(Some(200), |it| number(it).and_then(|it| u16::try_from(it).ok()));
        if let Some(status) = status {
            configuration.responds(status, format!("{file}: respond, redir: {status}"));
        }
    }
    for matcher in objects(apps).iter().flat_map(|it| items(get(it, "match"))) {
        let hosts: Vec<String> = items(get(matcher, "host")).filter_map(text).collect();
        configuration.routes.extend((!hosts.is_empty()).then(|| format!("{file}: {}", hosts.join(", "))));
    }
    for tls in objects(apps).iter().filter_map(|it| at(it, &["transport", "tls"])) {
        let files = items(get(tls, "root_ca_pem_files")).chain(items(at(tls, &["ca", "pem_files"])));
        configuration.authorities.extend(files.filter_map(text));
    }
    for pair in items(at(json, &["apps", "tls", "certificates", "load_files"])) {
        let file = |key| get(pair, key).and_then(text);
        configuration.certificates.extend(file("certificate").zip(file("key")));
    }
    configuration
}

/// Handlers that change headers, before a server is selected by one. A rewritten URI changes nothing: Caddy hashes what the client asked for.
fn key_changes(file: &str, apps: &Value) -> KeyChanges {
    let mut changes = KeyChanges::default();
    for it in objects(apps).iter().filter(|it| get(it, "handler").and_then(text).as_deref() == Some("headers")) {
        let set = ["add", "set", "replace"].iter().flat_map(|how| entries(at(it, &["request", how])));
        let dropped = items(at(it, &["request", "delete"])).filter_map(text);
        for name in set.map(|(name, _)| name.clone()).chain(dropped) {
            changes.header(&name, format!("{file}: request_header {name}"));
        }
    }
    changes
}

fn upstream(file: &str, name: &str, handler: &Value) -> Upstream {
    let place = format!("{file}, {name}");
    let mut upstream = Upstream::named(name);
    let mut unknown: Vec<String> =
        keys(handler).into_iter().filter(|key| !UNDERSTOOD.contains(&key.as_str())).collect();
    for server in items(get(handler, "upstreams")) {
        let dial = get(server, "dial").and_then(text).unwrap_or_default();
        // A name with several addresses is one upstream.
        let mut own = UpstreamServer { takes: Takes::One, ..UpstreamServer::at(&dial, endpoint(&dial), &place) };
        limit(&mut own, "max_requests", server);
        upstream.servers.push(own);
    }
    if let Some(source) = get(handler, "dynamic_upstreams") {
        match resolved(source, &place) {
            Some(server) => upstream.servers = vec![server],
            None => unknown.push("dynamic_upstreams".to_owned()),
        }
    }
    for key in ["expect_body", "expect_status"] {
        let expected = at(handler, &["health_checks", "active", key]).and_then(text);
        let is_special = |it: &String| key == "expect_body" || !["2", "200"].contains(&it.as_str());
        upstream.health.extend(expected.filter(is_special).map(|it| format!("{place}: {key} {it}")));
    }
    if let Some(passive) = at(handler, &["health_checks", "passive"]) {
        upstream.servers.iter_mut().for_each(|server| limit(server, "unhealthy_request_count", passive));
        upstream.avoids(duration(passive, "fail_duration").filter(|it| !it.is_zero()).map(Avoidance::of));
        // Whoever takes longer gets nothing for a while.
        unknown.extend(get(passive, "unhealthy_latency").map(|_| "unhealthy_latency".to_owned()));
    }
    let active = at(handler, &["health_checks", "active"]);
    upstream.avoids(active.and_then(checked).map(Avoidance::of));
    let selection = at(handler, &["load_balancing", "selection_policy"]);
    let own = |key: &str| selection.and_then(|it| get(it, key));
    let policy = match own("policy").and_then(text).as_deref() {
        None | Some("random") => Some(Policy::Random),
        Some("round_robin") => Some(Policy::RoundRobin),
        Some("first") => first(&mut upstream),
        Some("weighted_round_robin") => weigh(&mut upstream, own("weights")),
        Some("least_conn") => Some(Policy::LeastConnections),
        Some("random_choose") if own("choose").map_or(Some(2), number) == Some(2) => Some(Policy::TwoChoices),
        Some("ip_hash" | "client_ip_hash") => Some(Policy::Source),
        Some("uri_hash") => Some(Policy::Uri),
        Some("header") => own("field").and_then(text).and_then(|it| it.parse().ok()).map(Policy::Header),
        Some("cookie") => {
            let name = own("name").and_then(text).unwrap_or_else(|| "lb".to_owned());
            name.parse().ok().map(Policy::Sticky)
        }
        Some(_) => None,
    };
    if policy.is_none() {
        let policy = own("policy").and_then(text).unwrap_or_default();
        unknown.push(format!("lb_policy {policy}"));
    }
    upstream.method = match policy.filter(|_| unknown.is_empty()) {
        Some(policy) => UpstreamMethod::Known(policy),
        None => UpstreamMethod::Unknown(format!("{place}: {}", unknown.join(", "))),
    };
    upstream
}

fn duration(source: &Value, key: &str) -> Option<Duration> {
    get(source, key).and_then(|it| time::of(it, LoneNumber::Nanoseconds))
}

/// How long active health checks need to find a server well or ill; None without a place that they ask.
fn checked(active: &Value) -> Option<Duration> {
    const INTERVAL: Duration = Duration::from_secs(30);
    const TIMEOUT: Duration = Duration::from_secs(5);
    ["uri", "path", "port"].iter().find_map(|key| get(active, key))?;
    let of = |key, usual| duration(active, key).filter(|it| !it.is_zero()).unwrap_or(usual);
    Some((of("interval", INTERVAL) + of("timeout", TIMEOUT)) * times(active, "passes").max(times(active, "fails")))
}

/// Caddy passes over a server that has as many requests in flight.
fn limit(server: &mut UpstreamServer, key: &str, source: &Value) {
    if let Some(most) = get(source, key) {
        server.limit(number(most).and_then(|most| usize::try_from(most).ok()), format!("{key} {most}"));
    }
}

/// The addresses of a name, or the services of one; None where something else brings upstreams.
fn resolved(source: &Value, place: &str) -> Option<UpstreamServer> {
    let of = |key: &str| get(source, key).and_then(text);
    let name = of("name").filter(|name| !name.contains('{'))?;
    let (address, endpoint) = match of("source")?.as_str() {
        "a" => {
            let port = of("port").unwrap_or_else(|| "80".to_owned()).parse().ok()?;
            (format!("{name}:{port}"), Endpoint::Tcp(name, port))
        }
        "srv" => {
            let service = match (of("service"), of("proto")) {
                (Some(service), Some(proto)) => format!("_{service}._{proto}.{name}"),
                _ => name,
            };
            // Each service brings its port.
            (service.clone(), Endpoint::Tcp(service, 0))
        }
        _ => return None,
    };
    Some(UpstreamServer { takes: Takes::Resolved, ..UpstreamServer::at(&address, endpoint, place) })
}

/// The others get nothing while the first one can, as if they were its backups.
fn first(upstream: &mut Upstream) -> Option<Policy> {
    let [first, others @ ..] = upstream.servers.as_mut_slice() else { return None };
    others.iter_mut().for_each(|server| server.backup = true);
    // Of several addresses, too, the first one alone gets requests.
    (first.takes != Takes::Resolved).then_some(Policy::RoundRobin)
}

/// Caddy gives the rest of its upstreams the weight 1.
fn weigh(upstream: &mut Upstream, weights: Option<&Value>) -> Option<Policy> {
    let weights: Option<Vec<u32>> =
        items(weights).map(|it| number(it).and_then(|weight| u32::try_from(weight).ok())).collect();
    let weights = weights.filter(|weights| weights.len() == upstream.servers.len())?;
    for (server, weight) in upstream.servers.iter_mut().zip(weights) {
        (server.weight, server.down) = (weight.max(1), weight == 0);
    }
    upstream.turns_in_a_row = true;
    Some(Policy::RoundRobin)
}

/// Of a network address: `10.0.0.1:80`, `unix//run/app.sock`, a range of ports or a variable.
fn endpoint(dial: &str) -> Endpoint {
    if let Some(path) = dial.strip_prefix("unix/") {
        return Endpoint::Unix(path.to_owned());
    }
    if dial.contains('{') {
        return Endpoint::Other;
    }
    match dial.strip_prefix("tcp/").unwrap_or(dial).rsplit_once(':') {
        Some((host, port)) => {
            let host = host.trim_matches(['[', ']']);
            let host = if host.is_empty() { "localhost" } else { host };
            port.parse().map_or(Endpoint::Other, |port| Endpoint::Tcp(host.to_owned(), port))
        }
        None => Endpoint::Other,
    }
}

/// Reads `/reverse_proxy/upstreams`: those of all handlers.
pub(crate) fn read_upstreams(json: &Value) -> Option<ReportedServers> {
    let endpoint = |upstream: &Value| {
        let address = upstream.get("address")?.as_str()?;
        let path = address.strip_prefix("unix/").map(|path| Endpoint::Unix(path.to_owned()));
        Some(path.unwrap_or_else(|| endpoint_of_url(&format!("http://{address}"))))
    };
    json.as_array()?.iter().map(endpoint).collect::<Option<_>>().map(ReportedServers::All)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_that_are_resolved_again_and_again_are_servers() {
        let of_source = |source: Value| {
            let it = of(json!({"handler": "reverse_proxy", "dynamic_upstreams": source,
                "load_balancing": {"selection_policy": {"policy": "round_robin"}}}));
            let endpoint = it.servers.first().map(|server| (server.endpoint.clone(), server.takes));
            (endpoint, matches!(it.method, UpstreamMethod::Known(Policy::RoundRobin)))
        };
        let tcp = |host: &str, port| Some((Endpoint::Tcp(host.to_owned(), port), Takes::Resolved));
        let a = json!({"source": "a", "name": "api.internal", "port": "9000"});
        assert_eq!(of_source(a), (tcp("api.internal", 9000), true));
        let srv = json!({"source": "srv", "service": "http", "proto": "tcp", "name": "app.internal"});
        assert_eq!(of_source(srv), (tcp("_http._tcp.app.internal", 0), true));
        let whole = json!({"source": "srv", "name": "_http._tcp.app.internal"});
        assert_eq!(of_source(whole), (tcp("_http._tcp.app.internal", 0), true));
        for other in [json!({"source": "multi", "sources": []}), json!({"source": "a", "name": "{http.request.host}"})]
        {
            assert_eq!(of_source(other), (None, false));
        }
    }

    fn of(handler: Value) -> Upstream {
        let routes = json!([{"handle": [{"handler": "subroute", "routes": [{"handle": [handler]}]}]}]);
        read("Caddyfile", &json!({"apps": {"http": {"servers": {"srv0": {"routes": routes}}}}})).upstreams.remove(0)
    }

    fn handler(selection: Value) -> Value {
        let upstreams = json!([{"dial": "10.0.0.1:80"}, {"dial": "app.internal:8080"}]);
        json!({"handler": "reverse_proxy", "upstreams": upstreams, "load_balancing": {"selection_policy": selection}})
    }

    #[test]
    fn upstreams_are_read_wherever_their_handler_stands() {
        let upstreams = json!([{"dial": "10.0.0.1:80"}, {"dial": "unix//run/a.sock"}, {"dial": "[fd00::1]:81"}, {"dial": "{env.APP}"}]);
        let it = of(json!({"handler": "reverse_proxy", "upstreams": upstreams}));
        let endpoints: Vec<Endpoint> = it.servers.iter().map(|it| it.endpoint.clone()).collect();
        let tcp = |host: &str, port| Endpoint::Tcp(host.to_owned(), port);
        assert_eq!(
            endpoints,
            [tcp("10.0.0.1", 80), Endpoint::Unix("/run/a.sock".to_owned()), tcp("fd00::1", 81), Endpoint::Other]
        );
        assert_eq!(it.method, UpstreamMethod::Known(Policy::Random), "Caddy's default");
    }

    #[test]
    fn policies_are_known_or_promise_nothing() {
        for (selection, expected) in [
            (json!({"policy": "round_robin"}), Some(Policy::RoundRobin)),
            (json!({"policy": "random_choose"}), Some(Policy::TwoChoices)),
            (json!({"policy": "random_choose", "choose": 3}), None),
            (json!({"policy": "cookie"}), Some(Policy::Sticky("lb".parse().unwrap()))),
            (
                json!({"policy": "header", "field": "X-User", "fallback": {"policy": "first"}}),
                Some(Policy::Header("X-User".parse().unwrap())),
            ),
            (json!({"policy": "query", "key": "q"}), None),
        ] {
            let method = of(handler(selection.clone())).method;
            match expected {
                Some(policy) => assert_eq!(method, UpstreamMethod::Known(policy), "{selection}"),
                None => assert!(matches!(method, UpstreamMethod::Unknown(_)), "{selection}"),
            }
        }
        let it = of(handler(json!({"policy": "weighted_round_robin", "weights": [3, 0]})));
        let weights: Vec<(u32, bool)> = it.servers.iter().map(|it| (it.weight, it.down)).collect();
        assert_eq!((it.method, weights), (UpstreamMethod::Known(Policy::RoundRobin), vec![(3, false), (1, true)]));
        assert!(it.turns_in_a_row);
        let it = of(handler(json!({"policy": "first"})));
        let backups: Vec<bool> = it.servers.iter().map(|it| it.backup).collect();
        assert_eq!((it.method, backups), (UpstreamMethod::Known(Policy::RoundRobin), vec![false, true]));
        let names = json!({"source": "a", "name": "app.internal", "port": "80"});
        let it = of(json!({"handler": "reverse_proxy", "dynamic_upstreams": names,
            "load_balancing": {"selection_policy": {"policy": "first"}}}));
        assert!(matches!(it.method, UpstreamMethod::Unknown(_)), "{it:?}");
    }

    #[test]
    fn what_other_handlers_set_is_no_key() {
        let of_routes = |before: Value, selection: Value| {
            let routes = json!([{"handle": [before, handler(selection)]}]);
            let json = json!({"apps": {"http": {"servers": {"srv0": {"routes": routes}}}}});
            read("Caddyfile", &json).upstreams.remove(0).method
        };
        let (by_uri, by_header) = (json!({"policy": "uri_hash"}), json!({"policy": "header", "field": "X-User"}));
        let header = |how: &str, value: Value| json!({"handler": "headers", "request": {how: value}});
        for (before, selection, is_key) in [
            (json!({"handler": "rewrite", "uri": "/index.php"}), &by_uri, true),
            (header("set", json!({"X-User": ["fixed"]})), &by_header, false),
            (header("delete", json!(["x-user"])), &by_header, false),
            (header("set", json!({"X-Other": ["fixed"]})), &by_header, true),
        ] {
            let method = of_routes(before.clone(), selection.clone());
            assert_eq!(matches!(method, UpstreamMethod::Known(_)), is_key, "{before} {selection}: {method:?}");
        }
    }

    #[test]
    fn servers_are_full_at_their_own_limit_or_that_of_all() {
        let of_passive = |passive: Value| {
            let mut it = handler(json!({"policy": "round_robin"}));
            it["upstreams"][0]["max_requests"] = json!(3);
            it["health_checks"] = json!({"passive": passive});
            of(it)
        };
        let it = of_passive(json!({"unhealthy_request_count": 8, "fail_duration": "30s"}));
        let limits: Vec<_> = it.servers.iter().map(|it| it.at_once.as_ref().map(|it| it.most)).collect();
        assert_eq!((limits, &it.method), (vec![Some(3), Some(8)], &UpstreamMethod::Known(Policy::RoundRobin)));
        let it = of_passive(json!({"unhealthy_latency": 500_000_000}));
        assert!(matches!(&it.method, UpstreamMethod::Unknown(why) if why.contains("unhealthy_latency")), "{it:?}");
    }

    #[test]
    fn a_server_is_avoided_for_its_failures_or_until_its_checks_pass() {
        for (checks, seconds) in [
            (json!({}), None),
            (json!({"passive": {"max_fails": 3}}), None),
            (json!({"passive": {"fail_duration": 45_000_000_000_u64}}), Some(45)),
            (json!({"active": {"uri": "/health"}}), Some(35)),
            (json!({"active": {"uri": "/h", "interval": "10s", "timeout": "2s", "passes": 3}}), Some(36)),
            (json!({"active": {"interval": "10s"}}), None),
            (json!({"passive": {"fail_duration": "1m"}, "active": {"port": 8081, "interval": "5s"}}), Some(60)),
        ] {
            let mut it = handler(json!({"policy": "round_robin"}));
            it["health_checks"] = checks.clone();
            assert_eq!(of(it).keeps_away, seconds.map(|it| Avoidance::of(Duration::from_secs(it))), "{checks}");
        }
    }

    #[test]
    fn the_same_handler_behind_several_hosts_is_one() {
        let one = handler(json!({"policy": "round_robin"}));
        let server = |handler: &Value| json!({"routes": [{"handle": [handler]}]});
        let json = json!({"apps": {"http": {"servers": {"srv0": server(&one), "srv1": server(&one)}}}});
        assert_eq!(read("Caddyfile", &json).upstreams.len(), 1);
    }
}
