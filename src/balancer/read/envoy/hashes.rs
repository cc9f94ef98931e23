//! What a cluster with a hash ring goes by: the `hash_policy` of the routes that lead to it.

use serde_json::Value;

use crate::balancer::read::document::{at, get, items, keys, text};
use crate::topology::Policy;

/// None where routes differ, combine several keys, or have none: then chance draws from the ring.
pub(super) fn policy(cluster: &str, all: &[&Value]) -> Option<Policy> {
    let leads_there = |it: &&&Value| get(it, "cluster").and_then(text).as_deref() == Some(cluster);
    let mut routes = all.iter().filter(leads_there).map(|route| of_route(route));
    let first = routes.next()??;
    let by_weight = all.iter().filter_map(|it| get(it, "weighted_clusters"));
    let is_part = by_weight.flat_map(|it| items(get(it, "clusters"))).any(|it| {
        let name = get(it, "name").and_then(text);
        name.as_deref() == Some(cluster)
    });
    (!is_part && routes.all(|other| other.as_ref() == Some(&first))).then_some(first)
}

/// Of a route, or of a filter that passes connections on.
fn of_route(route: &Value) -> Option<Policy> {
    let mut policies = items(get(route, "hash_policy"));
    let one = policies.next().filter(|_| policies.next().is_none())?;
    let kinds: Vec<String> = keys(one).into_iter().filter(|key| key != "terminal").collect();
    let [kind] = kinds.as_slice() else { return None };
    let of = |key: &str| at(one, &[kind, key]).and_then(text);
    match kind.as_str() {
        "header" if at(one, &["header", "regex_rewrite"]).is_some() => None,
        "header" => match of("header_name")?.as_str() {
            ":path" => Some(Policy::Uri),
            name => name.parse().ok().map(Policy::Header),
        },
        // With a time to live Envoy gives it to those who have none.
        "cookie" => {
            let name = of("name")?.parse().ok()?;
            Some(if at(one, &["cookie", "ttl"]).is_some() { Policy::Sticky(name) } else { Policy::Cookie(name) })
        }
        "connection_properties" => (of("source_ip")? == "true").then_some(Policy::Source),
        "source_ip" => Some(Policy::Source),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(routes: &[Value]) -> Option<Policy> {
        policy("app", &routes.iter().collect::<Vec<_>>())
    }

    fn route(hash: Value) -> Value {
        json!({"cluster": "app", "hash_policy": hash})
    }

    #[test]
    fn a_ring_goes_by_the_one_key_that_all_routes_to_it_name() {
        let field = |name: &str| name.parse().unwrap();
        let header = || json!([{"header": {"header_name": "x-user"}}]);
        for (hash, expected) in [
            (header(), Some(Policy::Header(field("x-user")))),
            (json!([{"header": {"headerName": ":path"}, "terminal": true}]), Some(Policy::Uri)),
            (json!([{"cookie": {"name": "lb", "ttl": "0s"}}]), Some(Policy::Sticky(field("lb")))),
            (json!([{"cookie": {"name": "sid"}}]), Some(Policy::Cookie(field("sid")))),
            (json!([{"connection_properties": {"source_ip": true}}]), Some(Policy::Source)),
            (json!([{"source_ip": {}}]), Some(Policy::Source)),
            (json!([{"query_parameter": {"name": "q"}}]), None),
            (json!([{"header": {"header_name": "x-user", "regex_rewrite": {}}}]), None),
            (json!([{"header": {"header_name": "x-user"}}, {"cookie": {"name": "sid"}}]), None),
            (json!([]), None),
        ] {
            assert_eq!(of(&[route(hash.clone()), json!({"cluster": "other"})]), expected, "{hash}");
        }
        assert_eq!(of(&[route(header()), route(header())]), Some(Policy::Header(field("x-user"))));
        let split = json!({"weighted_clusters": {"clusters": [{"name": "app", "weight": 1}]}});
        for other in [json!({"cluster": "app"}), route(json!([{"source_ip": {}}])), split] {
            assert_eq!(of(&[route(header()), other.clone()]), None, "{other}");
        }
        assert_eq!(of(&[]), None);
    }
}
