//! Routes of Envoy that divide requests between clusters by chance: `weighted_clusters`, and a `runtime_fraction` with the route that
//! gets what it leaves. Weights and fractions are those of the file where no layer of the runtime sets others.

use std::collections::BTreeSet;

use serde_json::Value;

use super::subsets::led_to;
use crate::balancer::read::configuration::{Upstream, UpstreamMethod};
use crate::balancer::read::document::{at, get, items, keys, number, text};

/// Makes one group of the clusters of each such route. A cluster that no other route leads to is a group of its own no more.
pub(super) fn join(file: &str, bootstrap: &Value, all: &[&Value], upstreams: &mut Vec<Upstream>) {
    let is_fixed = is_runtime_fixed(bootstrap);
    let mut joined: Vec<Upstream> = Vec::new();
    let mut parts: BTreeSet<String> = BTreeSet::new();
    for route in all.iter().filter(|it| get(it, "weighted_clusters").is_some()) {
        let Some(one) = weighted(file, route, is_fixed, upstreams) else { continue };
        parts.extend(items(at(route, &["weighted_clusters", "clusters"])).filter_map(|it| {
            let name = get(it, "name").and_then(text)?;
            Some(led_to(it, &name, upstreams)?.name.clone())
        }));
        if !joined.contains(&one) {
            joined.push(one);
        }
    }
    match fractions(all, is_fixed, upstreams) {
        Some(fractions) => joined.extend(fractions),
        // Then several routes may be behind one URL.
        None => {
            joined.iter_mut().for_each(|it| it.method = UpstreamMethod::Unknown(format!("{file}: runtime_fraction")));
        }
    }
    let direct = all.iter().filter_map(|it| led_to(it, &get(it, "cluster").and_then(text)?, upstreams));
    let direct: BTreeSet<String> = direct.map(|it| it.name.clone()).collect();
    upstreams.retain(|it| !parts.contains(&it.name) || direct.contains(&it.name));
    upstreams.append(&mut joined);
}

/// Whether nothing but an administrator changes values of the runtime.
fn is_runtime_fixed(bootstrap: &Value) -> bool {
    let mut layers = items(at(bootstrap, &["layered_runtime", "layers"]));
    layers.all(|layer| get(layer, "admin_layer").is_some())
}

/// The clusters of a route that are known, divided by its weights.
fn weighted(file: &str, route: &Value, is_runtime_fixed: bool, upstreams: &[Upstream]) -> Option<Upstream> {
    let split = get(route, "weighted_clusters")?;
    let is_understood = |key: &str| match key {
        "clusters" | "total_weight" => true,
        "runtime_key_prefix" => is_runtime_fixed,
        _ => false,
    };
    let mut unknown: Vec<String> = keys(split).into_iter().filter(|key| !is_understood(key)).collect();
    // It chooses among the endpoints of each, too.
    unknown.extend(get(route, "metadata_match").map(|_| "metadata_match".to_owned()));
    let mut parts = Vec::new();
    for entry in items(get(split, "clusters")) {
        let name = get(entry, "name").and_then(text).unwrap_or_else(|| "a cluster that a header names".to_owned());
        let weight = get(entry, "weight").and_then(number).and_then(|it| u32::try_from(it).ok());
        match (led_to(entry, &name, upstreams), weight) {
            (Some(cluster), Some(weight)) => parts.push((cluster.clone(), weight)),
            (Some(cluster), None) => {
                unknown.push(format!("weight of {name}"));
                parts.push((cluster.clone(), 0));
            }
            (None, _) => unknown.push(name),
        }
    }
    if parts.is_empty() {
        return None;
    }
    let mut joined = Upstream::split(parts);
    if !unknown.is_empty() {
        joined.method = UpstreamMethod::Unknown(format!("{file}: weighted_clusters: {}", unknown.join(", ")));
    }
    Some(joined)
}

/// A group of each route that takes a fraction, and the one that gets the others; None where one of them is not understood.
fn fractions(all: &[&Value], is_runtime_fixed: bool, upstreams: &[Upstream]) -> Option<Vec<Upstream>> {
    let mut groups: Vec<Upstream> = Vec::new();
    for host in all.iter().filter(|it| get(it, "routes").is_some()) {
        let routes: Vec<&Value> = items(get(host, "routes")).collect();
        for (place, route) in routes.iter().enumerate() {
            let Some(fraction) = at(route, &["match", "runtime_fraction"]) else { continue };
            let (part, whole) = percentage(fraction).filter(|_| is_runtime_fixed)?;
            let others = routes[place + 1..].iter().find(|other| catches(other, route))?;
            let cluster = |route: &Value| {
                let action = get(route, "route")?;
                led_to(action, &get(action, "cluster").and_then(text)?, upstreams).cloned()
            };
            let (taken, left) = (cluster(route)?, cluster(others)?);
            let group = Upstream::split(vec![(left, whole - part), (taken, part)]);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
    }
    Some(groups)
}

/// Whether a route gets each request that the other one would take, and leaves none to others by chance.
fn catches(route: &Value, other: &Value) -> bool {
    let [own, others] = [route, other].map(|it| get(it, "match").cloned().unwrap_or_default());
    let path = |it: &Value| ["prefix", "path"].iter().find_map(|key| get(it, key).and_then(text));
    let is_wider = || {
        let prefix = get(&own, "prefix").and_then(text).filter(|_| keys(&own).len() == 1);
        prefix.zip(path(&others)).is_some_and(|(prefix, path)| path.starts_with(&prefix))
    };
    let mut rest = others.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.retain(|key, _| !["runtime_fraction", "runtimeFraction"].contains(&key.as_str()));
    }
    own == rest || is_wider()
}

/// `default_value` of a fraction: its part, and of how many.
fn percentage(fraction: &Value) -> Option<(u32, u32)> {
    let value = get(fraction, "default_value")?;
    let whole = match get(value, "denominator").and_then(text).as_deref() {
        None | Some("HUNDRED") => 100,
        Some("TEN_THOUSAND") => 10_000,
        Some("MILLION") => 1_000_000,
        Some(_) => return None,
    };
    let part = get(value, "numerator").map_or(Some(0), |it| number(it).and_then(|it| u32::try_from(it).ok()))?;
    (part <= whole).then_some((part, whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::read::configuration::{SplitPart, UpstreamServer};
    use crate::balancer::read::endpoint::Endpoint;
    use serde_json::json;

    fn groups(bootstrap: &Value, routes: Value) -> Vec<Upstream> {
        let mut upstreams: Vec<Upstream> = ["blue", "green", "red"].map(Upstream::named).into();
        upstreams.iter_mut().for_each(|it| it.servers.push(UpstreamServer::at("a", Endpoint::Other, "e.yaml")));
        let host = json!({ "routes": routes });
        let objects: Vec<&Value> = crate::balancer::read::document::objects(&host);
        join("e.yaml", bootstrap, &objects, &mut upstreams);
        upstreams.split_off(upstreams.iter().position(|it| it.name.contains('+')).unwrap_or(upstreams.len()))
    }

    fn parts(group: &Upstream) -> Option<Vec<(&str, u32)>> {
        let UpstreamMethod::Split(parts) = &group.method else { return None };
        Some(parts.iter().map(|SplitPart { name, weight, .. }| (name.as_str(), *weight)).collect())
    }

    fn fraction(prefix: &str, percent: u32) -> Value {
        let value = json!({"numerator": percent, "denominator": "HUNDRED"});
        json!({"match": {"prefix": prefix, "runtime_fraction": {"default_value": value, "runtime_key": "canary"}},
            "route": {"cluster": "green"}})
    }

    #[test]
    fn a_fraction_leaves_the_rest_to_the_next_route_that_catches_its_requests() {
        let others = json!({"match": {"prefix": "/"}, "route": {"cluster": "blue"}});
        for between in ["/shop", "/"] {
            let all = groups(&json!({}), json!([fraction(between, 20), others]));
            assert_eq!(
                all.iter().map(parts).collect::<Vec<_>>(),
                [Some(vec![("blue", 80), ("green", 20)])],
                "{between}"
            );
        }
        // Whom another route leads to is not the rest; a route that takes a fraction too leaves some to a third one.
        let elsewhere = json!({"match": {"prefix": "/other"}, "route": {"cluster": "red"}});
        let all = groups(&json!({}), json!([fraction("/shop", 5), elsewhere, others]));
        assert_eq!(all.iter().map(parts).collect::<Vec<_>>(), [Some(vec![("blue", 95), ("green", 5)])]);
        assert!(groups(&json!({}), json!([fraction("/shop", 5), elsewhere])).is_empty());
    }

    #[test]
    fn weights_and_fractions_hold_where_no_layer_of_the_runtime_sets_others() {
        let clusters = json!([{"name": "blue", "weight": 9}, {"name": "green", "weight": 1}]);
        let split = json!({"runtime_key_prefix": "w", "clusters": clusters});
        let routes = || json!([{"match": {"prefix": "/"}, "route": {"weighted_clusters": split}}]);
        let weights = Some(vec![("blue", 9), ("green", 1)]);
        let admin = json!({"layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]}});
        for bootstrap in [json!({}), admin] {
            assert_eq!(parts(&groups(&bootstrap, routes())[0]), weights, "{bootstrap}");
        }
        let layer = json!({"layered_runtime": {"layers": [{"name": "a", "static_layer": {"w.blue": 50}}]}});
        assert_eq!(parts(&groups(&layer, routes())[0]), None);
        let with_fraction =
            json!([fraction("/shop", 5), {"match": {"prefix": "/"}, "route": {"weighted_clusters": split}}]);
        assert_eq!(parts(&groups(&json!({}), with_fraction)[0]), None, "three parts");
    }
}
