//! Reads services of Traefik's dynamic configuration: their servers, weights and strategy. What is not understood is named, and
//! nothing is promised for its service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use sha1_smol::Sha1;

use crate::balancer::read::configuration::{Configuration, Takes, Upstream, UpstreamMethod, UpstreamServer};
use crate::balancer::read::document::{at, entries, get, items, keys, number, text};
use crate::balancer::read::endpoint::{Endpoint, endpoint_of_url};
use crate::balancer::read::reported::ReportedServers;
use crate::balancer::read::time::{self, LoneNumber};
use crate::topology::Policy;
use verdict::rules::AVOIDED;
use verdict::timeline::Avoidance;

/// Keys of a load balancer that decide nothing about who gets a request, or are read here.
const UNDERSTOOD: [&str; 11] = [
    "health_check",
    "pass_host_header",
    "passive_health_check",
    "proxy_protocol",
    "response_forwarding",
    "server_status",
    "servers",
    "servers_transport",
    "sticky",
    "strategy",
    "termination_delay",
];

/// Where the static configuration says that the dynamic one is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum DynamicSource {
    File(String),
    Folder(String),
}

/// The files that the static configuration takes the dynamic one from; and the providers of which nothing is known here.
pub(crate) fn dynamic(file: &str, fixed: &Value) -> (Option<DynamicSource>, Vec<String>) {
    let named = |key| at(fixed, &["providers", "file", key]).and_then(text);
    let dynamic = named("filename").map(DynamicSource::File).or(named("directory").map(DynamicSource::Folder));
    let others = entries(get(fixed, "providers")).map(|(name, _)| name);
    let others = others.filter(|name| !["file", "providersThrottleDuration"].contains(&name.as_str()));
    (dynamic, others.map(|name| format!("{file}: provider {name}: services come from elsewhere")).collect())
}

/// The resolvers of certificates of the static configuration, and the file in which each keeps them.
pub(crate) fn storages(fixed: &Value) -> Vec<(String, String)> {
    let all = entries(get(fixed, "certificates_resolvers"));
    let acme = all.filter_map(|(name, it)| Some((name, get(it, "acme")?)));
    acme.map(|(name, it)| {
        (name.to_owned(), get(it, "storage").and_then(text).unwrap_or_else(|| "acme.json".to_owned()))
    })
    .collect()
}

/// All services of dynamic configurations, each with the name of its file.
pub(crate) fn read(documents: &[(String, Value)]) -> Configuration {
    let mut configuration = Configuration::default();
    for (file, document) in documents {
        for (_, transport) in entries(at(document, &["http", "serversTransports"])) {
            // A path, or the certificate itself.
            let files = items(transport.get("rootCAs")).filter_map(text).filter(|it| !it.contains("BEGIN"));
            configuration.authorities.extend(files);
            configuration.names.extend(get(transport, "server_name").and_then(text));
            let limit = at(transport, &["forwarding_timeouts", "response_header_timeout"]);
            time::shorten(&mut configuration.patience, limit.and_then(|it| time::of(it, LoneNumber::Seconds)));
        }
        for (name, it) in entries(at(document, &["http", "middlewares"])) {
            let redirect = get(it, "redirect_scheme").or_else(|| get(it, "redirect_regex"));
            if let Some(redirect) = redirect {
                let is_permanent = get(redirect, "permanent").and_then(text).is_some_and(|it| it == "true");
                configuration.responds(if is_permanent { 301 } else { 302 }, format!("{file}, middleware {name}"));
            }
            for status in refusing(it) {
                configuration.responds(status, format!("{file}, middleware {name}"));
            }
        }
        for (name, router) in entries(at(document, &["http", "routers"])) {
            let rule = get(router, "rule").and_then(text);
            configuration.routes.extend(rule.map(|rule| format!("{file}, router {name}: {rule}")));
        }
        for pair in items(at(document, &["tls", "certificates"])) {
            let file = |key| get(pair, key).and_then(text);
            configuration.certificates.extend(file("cert_file").zip(file("key_file")));
        }
    }
    configuration.upstreams =
        ["http", "tcp"].into_iter().flat_map(|kind| Services::of(documents, kind).groups()).collect();
    configuration
}

/// Statuses with which a middleware refuses requests.
fn refusing(middleware: &Value) -> impl Iterator<Item = u16> {
    const USUAL: [(&str, &str, u16); 9] = [
        ("basic_auth", "", 401),
        ("buffering", "", 413),
        ("circuit_breaker", "response_code", 503),
        ("digest_auth", "", 401),
        ("forward_auth", "", 401),
        ("in_flight_req", "", 429),
        ("ip_allow_list", "reject_status_code", 403),
        ("ip_white_list", "", 403),
        ("rate_limit", "", 429),
    ];
    USUAL.into_iter().filter_map(|(kind, key, usual)| {
        let written = get(get(middleware, kind)?, key).and_then(number).and_then(|it| u16::try_from(it).ok());
        Some(written.unwrap_or(usual))
    })
}

/// Services by name, each with its file.
struct Services<'d> {
    documents: &'d [(String, Value)],
    /// `http` or `tcp`: names of one are not those of the other.
    kind: &'static str,
    all: BTreeMap<&'d str, (&'d str, &'d Value)>,
}

/// Services refer to each other; more levels than this are a circle.
const DEEPEST: usize = 8;

impl Services<'_> {
    fn of<'d>(documents: &'d [(String, Value)], kind: &'static str) -> Services<'d> {
        let services = documents.iter().flat_map(|(file, document)| {
            entries(at(document, &[kind, "services"])).map(move |(name, it)| (name.as_str(), (file.as_str(), it)))
        });
        Services { documents, kind, all: services.collect() }
    }

    /// Those to which routers lead. One that is only a part of others is no group of its own.
    fn groups(&self) -> Vec<Upstream> {
        let routers = self.documents.iter().flat_map(|(_, document)| entries(at(document, &[self.kind, "routers"])));
        let mut direct: BTreeSet<String> =
            routers.filter_map(|(_, it)| get(it, "service").and_then(own_name)).collect();
        let mirrored = self.all.values().filter_map(|(_, it)| at(it, &["mirroring", "service"]).and_then(own_name));
        direct.extend(mirrored);
        let parts: BTreeSet<String> =
            self.all.values().flat_map(|(_, it)| weighted_parts(it)).map(|(name, _)| name).collect();
        let is_group = |name: &&&str| direct.contains(**name) || !parts.contains(**name);
        self.all.keys().filter(is_group).filter_map(|name| self.upstream(name, 0)).collect()
    }

    fn upstream(&self, name: &str, deep: usize) -> Option<Upstream> {
        let (file, service) = self.all.get(name).filter(|_| deep < DEEPEST)?;
        if let Some(balancer) = get(service, "load_balancer") {
            return Some(upstream(file, name, balancer));
        }
        let mut unknown = unknown_of_weighted(service);
        let mut parts = Vec::new();
        for (part, weight) in weighted_parts(service) {
            match self.upstream(&part, deep + 1) {
                Some(upstream) => parts.push((upstream, weight.unwrap_or(0))),
                None => unknown.push(part.clone()),
            }
            if weight.is_none() {
                unknown.push(format!("weight of {part}"));
            }
        }
        if parts.is_empty() {
            return None;
        }
        if let Some(failover) = failover(service, &parts) {
            return Some(failover);
        }
        let mut joined = Upstream::split(parts);
        if !unknown.is_empty() {
            joined.method = UpstreamMethod::Unknown(format!("{file}, service {name}: {}", unknown.join(", ")));
        }
        Some(joined)
    }
}

/// The name of a service of these files, whichever provider it says that it means.
fn own_name(value: &Value) -> Option<String> {
    let name = text(value)?;
    Some(name.split('@').next().unwrap_or(&name).to_owned())
}

/// The services over which a service spreads requests, in order, each with its weight: 1 where none is written, None if it is no number.
fn weighted_parts(service: &Value) -> Vec<(String, Option<u32>)> {
    let weight = |it: &Value| match get(it, "weight") {
        Some(weight) => number(weight).and_then(|it| u32::try_from(it).ok()),
        None => Some(1),
    };
    if let Some(weighted) = get(service, "weighted").or(get(service, "highest_random_weight")) {
        let services = items(get(weighted, "services"));
        return services.filter_map(|it| Some((get(it, "name").and_then(own_name)?, weight(it)))).collect();
    }
    let failover = get(service, "failover");
    let named = |key| failover.and_then(|it| get(it, key)).and_then(own_name);
    ["service", "fallback"].into_iter().filter_map(named).map(|name| (name, Some(1))).collect()
}

/// What keeps a service over others from dividing requests by weight alone.
fn unknown_of_weighted(service: &Value) -> Vec<String> {
    match get(service, "weighted") {
        Some(weighted) => {
            keys(weighted).into_iter().filter(|key| !["services", "health_check"].contains(&key.as_str())).collect()
        }
        None => keys(service),
    }
}

/// A service with a fallback that gets nothing while it is healthy itself.
fn failover(service: &Value, parts: &[(Upstream, u32)]) -> Option<Upstream> {
    let failover = get(service, "failover")?;
    let part = |key| {
        let own = get(failover, key).and_then(own_name)?;
        parts.iter().map(|(part, _)| part).find(|part| part.name == own)
    };
    let (main, fallback) = (part("service")?, part("fallback")?);
    // It may look at the status of responses too.
    if keys(failover).iter().any(|key| !["service", "fallback", "health_check"].contains(&key.as_str())) {
        return None;
    }
    let mut joined = Upstream { name: format!("{}+{}", main.name, fallback.name), ..main.clone() };
    joined.servers.extend(fallback.servers.iter().map(|server| UpstreamServer { backup: true, ..server.clone() }));
    Some(joined)
}

fn upstream(file: &str, name: &str, balancer: &Value) -> Upstream {
    let place = format!("{file}, service {name}");
    let mut upstream = Upstream::named(name);
    let mut unknown: Vec<String> =
        keys(balancer).into_iter().filter(|key| !UNDERSTOOD.contains(&key.as_str())).collect();
    for server in items(get(balancer, "servers")) {
        // Of TCP an address.
        let url = get(server, "url").or_else(|| get(server, "address")).and_then(text).unwrap_or_default();
        // A name with several addresses is one server.
        let mut it = UpstreamServer { takes: Takes::One, ..UpstreamServer::at(&url, endpoint_of_url(&url), &place) };
        if let Some(weight) = get(server, "weight") {
            match number(weight).and_then(|weight| u32::try_from(weight).ok()) {
                Some(0) => it.down = true,
                Some(weight) => it.weight = weight,
                None => unknown.push(format!("weight of {url}")),
            }
        }
        upstream.servers.push(it);
    }
    let active = upstream.servers.iter().filter(|it| !it.down);
    let weights: Vec<u32> = active.map(|it| it.weight).collect();
    let even = weights.windows(2).all(|pair| pair[0] == pair[1]);
    let policy = match get(balancer, "strategy").and_then(text).as_deref() {
        None | Some("wrr") => Some(Policy::RoundRobin),
        Some("p2c") if even => Some(Policy::TwoChoices),
        Some("hrw") if even => Some(Policy::Source),
        Some("leasttime") if even => Some(Policy::LeastTime),
        Some(other) => {
            unknown.push(format!("strategy {other}"));
            None
        }
    };
    let policy = match get(balancer, "sticky") {
        None => policy,
        Some(sticky) => get(sticky, "cookie").and_then(|cookie| {
            let cookie = get(cookie, "name").and_then(text).unwrap_or_else(|| unnamed_cookie(name));
            cookie.parse().ok().map(Policy::Sticky)
        }),
    };
    upstream.avoids(avoidance(balancer));
    let status = at(balancer, &["health_check", "status"]).and_then(text);
    // A backend of ours responds 200.
    let status = status.filter(|it| !["0", "200"].contains(&it.as_str()));
    upstream.health.extend(status.map(|it| format!("{place}: healthCheck: status {it}")));
    upstream.method = match policy.filter(|_| unknown.is_empty()) {
        Some(policy) => UpstreamMethod::Known(policy),
        None if unknown.is_empty() => UpstreamMethod::Unknown(format!("{place}: sticky")),
        None => UpstreamMethod::Unknown(format!("{place}: {}", unknown.join(", "))),
    };
    upstream
}

/// How Traefik calls the cookie of a service of a file where nothing is written: by a hash of the service's name.
fn unnamed_cookie(service: &str) -> String {
    let hash = Sha1::from(format!("_TRAEFIK_BACKEND_{service}@file")).digest().to_string();
    format!("_{}", &hash[..5])
}

/// One success is enough for a health check, and one failure; what clients met counts for a window.
fn avoidance(balancer: &Value) -> Option<Avoidance> {
    let seconds = |source: &Value, key: &str, usual| {
        get(source, key).map_or(Some(Duration::from_secs(usual)), |it| time::of(it, LoneNumber::Seconds))
    };
    let active = get(balancer, "health_check").map(|check| {
        let interval = seconds(check, "interval", 30)?;
        let longer = get(check, "unhealthy_interval").map_or(Some(interval), |it| time::of(it, LoneNumber::Seconds))?;
        Some(interval.max(longer) + seconds(check, "timeout", 5)?)
    });
    let passive = get(balancer, "passive_health_check").map(|check| seconds(check, "failure_window", 10));
    let times = active.into_iter().chain(passive).map(|it| it.unwrap_or(AVOIDED));
    times.max().map(Avoidance::of)
}

/// Reads `/api/rawdata`: services of the file provider.
pub(crate) fn read_services(json: &Value) -> Option<ReportedServers> {
    json.get("services")?;
    let mut groups: BTreeMap<String, Vec<(Endpoint, u64)>> = BTreeMap::new();
    for (name, service) in ["services", "tcpServices"].iter().flat_map(|kind| entries(json.get(kind))) {
        let (Some(name), Some(balancer)) = (name.strip_suffix("@file"), service.get("loadBalancer")) else { continue };
        let servers = groups.entry(name.to_owned()).or_default();
        for server in items(balancer.get("servers")) {
            let weight = server.get("weight").and_then(Value::as_u64).unwrap_or(1);
            let place = server.get("url").or_else(|| server.get("address"))?.as_str()?;
            servers.extend((weight > 0).then_some((endpoint_of_url(place), weight)));
        }
    }
    Some(ReportedServers::Groups(groups))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(services: Value) -> Vec<Upstream> {
        read(&[("dynamic.yml".to_owned(), json!({"http": {"services": services}}))]).upstreams
    }

    #[test]
    fn a_limit_responds_itself() {
        let middlewares = json!({"a": {"rateLimit": {"average": 100}}, "b": {"inFlightReq": {"amount": 5}}, "c": {"compress": {}},
                "d": {"circuitBreaker": {"expression": "NetworkErrorRatio() > 0.3"}}, "e": {"circuitBreaker": {"responseCode": 502}}});
        let read = read(&[("dynamic.yml".to_owned(), json!({"http": {"middlewares": middlewares}}))]);
        let lines = ["dynamic.yml, middleware a", "dynamic.yml, middleware b"].map(str::to_owned).to_vec();
        let line = |name: &str| vec![format!("dynamic.yml, middleware {name}")];
        assert_eq!(read.responses.statuses, BTreeMap::from([(429, lines), (502, line("e")), (503, line("d"))]));
    }

    #[test]
    fn rules_of_routers_say_where_requests_go() {
        let routers = json!({"main": {"rule": "Host(`shop.example`)", "service": "web"}});
        let read = read(&[("dynamic.yml".to_owned(), json!({"http": {"routers": routers}}))]);
        assert_eq!(read.routes, ["dynamic.yml, router main: Host(`shop.example`)"]);
    }

    #[test]
    fn services_have_servers_weights_and_a_strategy() {
        let servers = json!([{"url": "http://10.0.0.1:8080", "weight": 3}, {"url": "http://app.internal"}, {"url": "http://[fd00::1]:80/x", "weight": 0}]);
        let all = of(json!({"web": {"loadBalancer": {"servers": servers, "healthCheck": {"path": "/h"}}}}));
        let servers: Vec<_> = all[0].servers.iter().map(|it| (it.endpoint.clone(), it.weight, it.down)).collect();
        let tcp = |host: &str, port| Endpoint::Tcp(host.to_owned(), port);
        assert_eq!(
            servers,
            [(tcp("10.0.0.1", 8080), 3, false), (tcp("app.internal", 80), 1, false), (tcp("fd00::1", 80), 1, true)]
        );
        assert_eq!(
            (&all[0].method, all[0].servers[0].place.as_str()),
            (&UpstreamMethod::Known(Policy::RoundRobin), "dynamic.yml, service web")
        );
    }

    #[test]
    fn a_server_is_avoided_until_its_next_check_or_for_a_window() {
        for (more, seconds) in [
            (json!({}), None),
            (json!({"healthCheck": {"path": "/h"}}), Some(35)),
            (json!({"healthCheck": {"interval": "10", "timeout": "1s", "unhealthyInterval": "90s"}}), Some(91)),
            (json!({"passiveHealthCheck": {}}), Some(10)),
            (json!({"passiveHealthCheck": {"failureWindow": "40s"}, "healthCheck": {"interval": "2s"}}), Some(40)),
            (json!({"healthCheck": {"interval": "often"}}), Some(60)),
        ] {
            let mut balancer = json!({"servers": [{"url": "http://10.0.0.1:80"}]});
            balancer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let keeps_away = of(json!({"web": {"loadBalancer": balancer}}))[0].keeps_away;
            assert_eq!(keeps_away, seconds.map(|it| Avoidance::of(Duration::from_secs(it))), "{more}");
        }
    }

    #[test]
    fn a_health_check_may_want_another_status() {
        for (check, expected) in [
            (json!({"path": "/h"}), vec![]),
            (json!({"path": "/h", "status": 200}), vec![]),
            (json!({"path": "/h", "status": 204}), vec!["dynamic.yml, service web: healthCheck: status 204"]),
        ] {
            let balancer = json!({"servers": [{"url": "http://10.0.0.1:80"}], "healthCheck": check});
            assert_eq!(of(json!({"web": {"loadBalancer": balancer}}))[0].health, expected);
        }
    }

    #[test]
    fn services_of_tcp_are_groups_too() {
        let http = json!({"services": {"web": {"loadBalancer": {"servers": [{"url": "http://10.0.0.1:80"}]}}}});
        let servers = json!([{"address": "10.0.0.2:5432"}, {"address": "[fd00::1]:5432", "tls": true}]);
        let weighted = json!({"services": [{"name": "web", "weight": 3}, {"name": "other"}]});
        let one = |servers: Value| json!({"loadBalancer": {"servers": servers, "proxyProtocol": {"version": 2}}});
        let tcp = json!({"services": {"web": one(servers), "other": one(json!([])), "both": {"weighted": weighted}}});
        let document = json!({"http": http, "tcp": tcp});
        let all = read(&[("dynamic.yml".to_owned(), document)]).upstreams;
        let names: Vec<(&str, usize)> = all.iter().map(|it| (it.name.as_str(), it.servers.len())).collect();
        assert_eq!(names, [("web", 1), ("web+other", 2)]);
        let server = &all[1].servers[1];
        assert_eq!((&server.endpoint, server.takes), (&Endpoint::Tcp("fd00::1".to_owned(), 5432), Takes::One));
        assert!(matches!(&all[1].method, UpstreamMethod::Split(parts) if parts[0].weight == 3), "{all:?}");
    }

    #[test]
    fn what_decides_and_is_not_understood_promises_nothing() {
        let servers = json!([{"url": "http://10.0.0.1:80"}, {"url": "http://10.0.0.2:80"}]);
        for (more, expected) in [
            (json!({"strategy": "p2c"}), Some(Policy::TwoChoices)),
            (json!({"strategy": "hrw"}), Some(Policy::Source)),
            (json!({"sticky": {"cookie": {"name": "srv"}}}), Some(Policy::Sticky("srv".parse().unwrap()))),
            (json!({"sticky": {"cookie": {}}}), Some(Policy::Sticky("_7052b".parse().unwrap()))),
            (json!({"sticky": {}}), None),
            (json!({"strategy": "new"}), None),
            (json!({"somethingNew": {}}), None),
        ] {
            let mut balancer = json!({"servers": servers.clone()});
            balancer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let all = of(json!({"web": {"loadBalancer": balancer}}));
            match expected {
                Some(policy) => assert_eq!(all[0].method, UpstreamMethod::Known(policy), "{more}"),
                None => assert!(matches!(all[0].method, UpstreamMethod::Unknown(_)), "{more}"),
            }
        }
    }

    #[test]
    fn a_cookie_without_a_name_is_called_as_traefik_calls_it() {
        assert_eq!(unnamed_cookie("app"), "_fb0b0");
    }

    #[test]
    fn services_behind_another_one_are_one_group_that_its_weights_divide() {
        let lb = |host: &str| json!({"loadBalancer": {"servers": [{"url": format!("http://{host}:80")}]}});
        let weighted = |more: Value| {
            let mut it = json!({"services": [{"name": "a", "weight": 99}, {"name": "b@file"}]});
            it.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"a": lb("10.0.0.1"), "b": lb("10.0.0.2"), "c": lb("10.0.0.3"), "canary": {"weighted": it}})
        };
        let names = |all: &[Upstream]| all.iter().map(|it| (it.name.clone(), it.servers.len())).collect::<Vec<_>>();
        let all = of(weighted(json!({"healthCheck": {}})));
        assert_eq!(names(&all), [("c".to_owned(), 1), ("a+b".to_owned(), 2)]);
        let UpstreamMethod::Split(parts) = &all[1].method else { panic!("{all:?}") };
        assert_eq!(parts.iter().map(|it| it.weight).collect::<Vec<_>>(), [99, 1]);
        for more in [
            json!({"sticky": {"cookie": {}}}),
            json!({"services": [{"name": "a"}, {"name": "elsewhere@docker"}]}),
            json!({"services": [{"name": "a"}, {"name": "b", "weight": "x"}]}),
        ] {
            let all = of(weighted(more.clone()));
            assert!(matches!(all.last().unwrap().method, UpstreamMethod::Unknown(_)), "{more}: {all:?}");
        }
        // A router of its own leads to one of them: which of the two groups is behind a URL is not known from here.
        let routers = json!({"direct": {"service": "a@file"}, "both": {"service": "canary"}});
        let document = json!({"http": {"routers": routers, "services": weighted(json!({}))}});
        let all = read(&[("dynamic.yml".to_owned(), document)]).upstreams;
        assert_eq!(names(&all).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "c", "a+b"]);
    }

    #[test]
    fn a_fallback_gets_nothing_while_its_service_is_healthy() {
        let lb = |host: &str| json!({"loadBalancer": {"servers": [{"url": format!("http://{host}:80")}]}});
        let of_failover = |more: Value| {
            let mut failover = json!({"service": "a@file", "fallback": "b"});
            failover.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            of(json!({"a": lb("10.0.0.1"), "b": lb("10.0.0.2"), "both": {"failover": failover}})).remove(0)
        };
        let it = of_failover(json!({"healthCheck": {}}));
        let backups: Vec<bool> = it.servers.iter().map(|it| it.backup).collect();
        assert_eq!((it.method, backups), (UpstreamMethod::Known(Policy::RoundRobin), vec![false, true]));
        assert!(matches!(of_failover(json!({"errors": {"status": ["500"]}})).method, UpstreamMethod::Unknown(_)));
    }

    #[test]
    fn the_static_file_names_the_dynamic_ones() {
        let fixed = json!({"providers": {"file": {"filename": "dynamic.yml"}, "docker": {}, "kubernetesIngress": {}}});
        let (dynamic, not_read) = dynamic("traefik.yml", &fixed);
        assert_eq!(dynamic, Some(DynamicSource::File("dynamic.yml".to_owned())));
        assert_eq!(not_read.len(), 2, "{not_read:?}");
    }
}
