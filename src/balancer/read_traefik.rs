//! PURE. Reads services of Traefik's dynamic configuration: their servers, weights and strategy. What is not understood is named, and
//! nothing is promised for its service.

use serde_json::Value;

use crate::balancer::document::{at, entries, get, items, keys, number, text};
use crate::balancer::read::{Configuration, Upstream, UpstreamMethod, UpstreamServer, endpoint_of_url};
use crate::topology::Policy;

/// Keys of a load balancer that decide nothing about who gets a request, or are read here.
const UNDERSTOOD: [&str; 9] = [
    "health_check",
    "pass_host_header",
    "passive_health_check",
    "response_forwarding",
    "server_status",
    "servers",
    "servers_transport",
    "sticky",
    "strategy",
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
    let others = keys(get(fixed, "providers").unwrap_or(&Value::Null)).into_iter();
    let others = others.filter(|name| !["file", "providers_throttle_duration"].contains(&name.as_str()));
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
        for (name, service) in entries(at(document, &["http", "services"])) {
            if let Some(balancer) = get(service, "load_balancer") {
                configuration.upstreams.push(upstream(file, name, balancer));
            }
        }
        for (_, transport) in entries(at(document, &["http", "serversTransports"])) {
            // A path, or the certificate itself.
            let files = items(transport.get("rootCAs")).filter_map(text).filter(|it| !it.contains("BEGIN"));
            configuration.authorities.extend(files);
            configuration.names.extend(get(transport, "server_name").and_then(text));
        }
        for pair in items(at(document, &["tls", "certificates"])) {
            let file = |key| get(pair, key).and_then(text);
            configuration.certificates.extend(file("cert_file").zip(file("key_file")));
        }
    }
    // What spreads requests over services; several stand above each other.
    for (file, document) in documents {
        for (name, service) in entries(at(document, &["http", "services"])) {
            join(file, name, service, &mut configuration.upstreams);
        }
    }
    configuration
}

/// A service over others: their servers are one group, of which no more is understood.
fn join(file: &str, name: &str, service: &Value, upstreams: &mut Vec<Upstream>) {
    let names: Vec<String> = if let Some(weighted) = get(service, "weighted").or(get(service, "highest_random_weight"))
    {
        items(get(weighted, "services")).filter_map(|it| get(it, "name").and_then(text)).collect()
    } else if let Some(failover) = get(service, "failover") {
        ["service", "fallback"].iter().filter_map(|key| get(failover, key).and_then(text)).collect()
    } else {
        return;
    };
    // Of the file itself, whichever provider it says that it means.
    let is_part = |upstream: &Upstream| {
        names.iter().any(|name| upstream.name.split('+').any(|own| own == name.split('@').next().unwrap_or(name)))
    };
    let (parts, others): (Vec<Upstream>, Vec<Upstream>) = upstreams.drain(..).partition(is_part);
    *upstreams = others;
    if parts.is_empty() {
        return;
    }
    if let Some(failover) = failover(service, &parts) {
        upstreams.push(failover);
        return;
    }
    let joined_name = parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join("+");
    let mut joined = Upstream::named(&joined_name);
    joined.method = UpstreamMethod::Unknown(format!("{file}, service {name}: {}", keys(service).join(", ")));
    joined.servers = parts.into_iter().flat_map(|part| part.servers).collect();
    upstreams.push(joined);
}

/// A service with a fallback that gets nothing while it is healthy itself.
fn failover(service: &Value, parts: &[Upstream]) -> Option<Upstream> {
    let failover = get(service, "failover")?;
    let part = |key| {
        let name = get(failover, key).and_then(text)?;
        let own = name.split('@').next().unwrap_or(&name).to_owned();
        parts.iter().find(|part| part.name == own)
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
        let url = get(server, "url").and_then(text).unwrap_or_default();
        let mut it = UpstreamServer::at(&url, endpoint_of_url(&url), &place);
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
        Some(sticky) => {
            at(sticky, &["cookie", "name"]).and_then(text).and_then(|it| it.parse().ok()).map(Policy::Sticky)
        }
    };
    upstream.method = match policy.filter(|_| unknown.is_empty()) {
        Some(policy) => UpstreamMethod::Known(policy),
        // Without a name the cookie is called by a hash of the service's.
        None if unknown.is_empty() => UpstreamMethod::Unknown(format!("{place}: sticky")),
        None => UpstreamMethod::Unknown(format!("{place}: {}", unknown.join(", "))),
    };
    upstream
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::read::Endpoint;
    use serde_json::json;

    fn of(services: Value) -> Vec<Upstream> {
        read(&[("dynamic.yml".to_owned(), json!({"http": {"services": services}}))]).upstreams
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
    fn what_decides_and_is_not_understood_promises_nothing() {
        let servers = json!([{"url": "http://10.0.0.1:80"}, {"url": "http://10.0.0.2:80"}]);
        for (more, expected) in [
            (json!({"strategy": "p2c"}), Some(Policy::TwoChoices)),
            (json!({"strategy": "hrw"}), Some(Policy::Source)),
            (json!({"sticky": {"cookie": {"name": "srv"}}}), Some(Policy::Sticky("srv".parse().unwrap()))),
            (json!({"sticky": {"cookie": {}}}), None),
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
    fn services_behind_another_one_are_one_group() {
        let lb = |host: &str| json!({"loadBalancer": {"servers": [{"url": format!("http://{host}:80")}]}});
        let all = of(json!({"a": lb("10.0.0.1"), "b": lb("10.0.0.2"), "c": lb("10.0.0.3"),
            "canary": {"weighted": {"services": [{"name": "a", "weight": 99}, {"name": "b@file", "weight": 1}]}}}));
        let names: Vec<(&str, usize)> = all.iter().map(|it| (it.name.as_str(), it.servers.len())).collect();
        assert_eq!(names, [("c", 1), ("a+b", 2)]);
        assert!(matches!(all[1].method, UpstreamMethod::Unknown(_)));
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
