//! Subsets of a cluster of Envoy (`lb_subset_config`): the endpoints whose metadata are what a route wants (`metadata_match`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::balancer::read::configuration::Upstream;
use crate::balancer::read::document::{at, get, items, keys, text};

/// The metadata that decide.
const NAMESPACE: &str = "envoy.lb";

/// Filters that may give a request metadata of its own.
const COMPUTING: [&str; 6] =
    ["DynamicModuleFilter", "ExternalProcessor", "HeaderToMetadata", "JwtAuthentication", "Lua", "Wasm"];

/// What a route wants, or what an endpoint has.
pub(super) type Metadata = BTreeMap<String, Value>;

/// Some of the endpoints of a cluster.
pub(super) struct Subset {
    /// The cluster's name, with what was wanted.
    pub(super) name: String,
    /// Places in the list of all endpoints.
    pub(super) members: Vec<usize>,
    /// Whether the cluster has subsets at all.
    pub(super) is_part: bool,
}

impl Subset {
    /// All endpoints of a cluster that has no subsets.
    pub(super) fn whole(name: &str, endpoints: usize) -> Subset {
        Subset { name: name.to_owned(), members: (0..endpoints).collect(), is_part: false }
    }
}

/// Of an endpoint.
pub(super) fn metadata(endpoint: &Value) -> Metadata {
    of_namespace(at(endpoint, &["metadata", "filter_metadata"]))
}

/// Of a route, or of one of the clusters between which a route divides requests.
fn wanted(route: &Value) -> Metadata {
    of_namespace(at(route, &["metadata_match", "filter_metadata"]))
}

fn of_namespace(metadata: Option<&Value>) -> Metadata {
    let own = metadata.and_then(|it| it.get(NAMESPACE)).and_then(Value::as_object);
    own.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The group that a route leads to by the name of a cluster.
pub(super) fn led_to<'u>(route: &Value, cluster: &str, upstreams: &'u [Upstream]) -> Option<&'u Upstream> {
    let wanted = name_of(cluster, &wanted(route));
    let of_cluster = |it: &&Upstream| it.whole() == cluster;
    // Without subsets Envoy passes over what is wanted.
    upstreams.iter().filter(of_cluster).find(|it| it.name == wanted || it.part_of.is_none())
}

fn name_of(cluster: &str, wanted: &Metadata) -> String {
    let pairs: Vec<String> = wanted
        .iter()
        .map(|(key, value)| format!("{key}={}", text(value).unwrap_or_else(|| value.to_string())))
        .collect();
    if pairs.is_empty() { cluster.to_owned() } else { format!("{cluster} ({})", pairs.join(", ")) }
}

/// Those that routes to the cluster select, each once; or what is not understood. A route that finds none has none.
pub(super) fn all(
    config: &Value,
    name: &str,
    endpoints: &[Metadata],
    objects: &[&Value],
) -> Result<Vec<Subset>, String> {
    let Some(config) = get(config, "lb_subset_config") else { return Ok(vec![Subset::whole(name, endpoints.len())]) };
    let config = SubsetConfig::read(config)?;
    if let Some(filter) = objects.iter().find_map(|it| computing(it)) {
        return Err(format!("lb_subset_config, and {filter} may choose"));
    }
    let mut found: Vec<Subset> = Vec::new();
    for wanted in routes(name, objects)? {
        let members = config.select(&wanted, endpoints);
        if !members.is_empty() {
            found.push(Subset { name: name_of(name, &wanted), members, is_part: true });
        }
    }
    Ok(found)
}

/// What routes to a cluster want, each once.
fn routes(cluster: &str, objects: &[&Value]) -> Result<Vec<Metadata>, String> {
    let by_header =
        |it: &&&Value| ["cluster_header", "cluster_specifier_plugin"].iter().any(|key| get(it, key).is_some());
    if objects.iter().any(|it| by_header(&it)) {
        return Err("lb_subset_config, and a route that computes its cluster".to_owned());
    }
    let is_it = |it: &&Value, key: &str| get(it, key).and_then(text).as_deref() == Some(cluster);
    let direct = objects.iter().copied().filter(|it| is_it(it, "cluster"));
    let split = objects.iter().filter_map(|it| get(it, "weighted_clusters"));
    let parts = split.flat_map(|it| items(get(it, "clusters"))).filter(|it| is_it(it, "name"));
    let mut all: Vec<Metadata> = Vec::new();
    for wanted in direct.chain(parts).map(wanted) {
        if !all.contains(&wanted) {
            all.push(wanted);
        }
    }
    if all.is_empty() {
        all.push(Metadata::new());
    }
    Ok(all)
}

/// The filter that an object configures, if it may give requests metadata.
fn computing(object: &Value) -> Option<String> {
    let kind = object.get("@type").and_then(text)?;
    let kind = kind.rsplit('.').next()?;
    COMPUTING.contains(&kind).then(|| kind.to_owned()).or_else(|| {
        let is_ours = get(object, "metadata_namespace").and_then(text).as_deref() == Some(NAMESPACE);
        is_ours.then(|| kind.to_owned())
    })
}

/// Which endpoints a request gets that no subset is for.
enum Fallback {
    None,
    Any,
    Default(Metadata),
}

struct SubsetConfig {
    fallback: Fallback,
    /// Each the keys of which a route wants all and no others.
    selectors: Vec<BTreeSet<String>>,
}

impl SubsetConfig {
    fn read(config: &Value) -> Result<SubsetConfig, String> {
        const UNDERSTOOD: [&str; 3] = ["default_subset", "fallback_policy", "subset_selectors"];
        if let Some(key) = keys(config).into_iter().find(|key| !UNDERSTOOD.contains(&key.as_str())) {
            return Err(format!("lb_subset_config: {key}"));
        }
        let fallback = match get(config, "fallback_policy").and_then(text).as_deref() {
            None | Some("NO_FALLBACK" | "0") => Fallback::None,
            Some("ANY_ENDPOINT" | "1") => Fallback::Any,
            Some("DEFAULT_SUBSET" | "2") => {
                let pairs = get(config, "default_subset").and_then(Value::as_object);
                Fallback::Default(pairs.into_iter().flatten().map(|(key, it)| (key.clone(), it.clone())).collect())
            }
            Some(other) => return Err(format!("lb_subset_config: fallback_policy {other}")),
        };
        let mut selectors = Vec::new();
        for selector in items(get(config, "subset_selectors")) {
            if let Some(key) = keys(selector).into_iter().find(|key| key != "keys") {
                return Err(format!("lb_subset_config: {key} of a selector"));
            }
            selectors.push(items(get(selector, "keys")).filter_map(text).collect());
        }
        Ok(SubsetConfig { fallback, selectors })
    }

    fn select(&self, wanted: &Metadata, endpoints: &[Metadata]) -> Vec<usize> {
        let with = |wanted: &Metadata| -> Vec<usize> {
            let fits =
                |own: &Metadata| wanted.iter().all(|(key, value)| own.get(key).is_some_and(|it| is_same(it, value)));
            (0..).zip(endpoints).filter(|(_, own)| fits(own)).map(|(place, _)| place).collect()
        };
        let has_selector = self.selectors.iter().any(|keys| keys.iter().eq(wanted.keys()));
        let own = if has_selector { with(wanted) } else { Vec::new() };
        match &self.fallback {
            _ if !own.is_empty() => own,
            Fallback::None => own,
            Fallback::Any => (0..endpoints.len()).collect(),
            Fallback::Default(default) => with(default),
        }
    }
}

/// 1 is 1.0.
fn is_same(one: &Value, other: &Value) -> bool {
    one == other || one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| one.total_cmp(&other).is_eq())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matching(pairs: Value) -> Value {
        json!({"filter_metadata": {"envoy.lb": pairs}})
    }

    fn subsets(config: Value, routes: &[Value]) -> Result<Vec<(String, Vec<usize>)>, String> {
        let endpoint = |pairs: Value| metadata(&json!({"metadata": matching(pairs)}));
        let endpoints = [
            endpoint(json!({"version": "v1", "canary": false})),
            endpoint(json!({"version": "v2", "canary": true})),
            endpoint(json!({"version": "v1", "canary": true})),
        ];
        let config = json!({"lb_subset_config": config});
        let found = all(&config, "app", &endpoints, &routes.iter().collect::<Vec<_>>())?;
        Ok(found.into_iter().map(|it| (it.name, it.members)).collect())
    }

    fn route(pairs: Value) -> Value {
        json!({"cluster": "app", "metadata_match": matching(pairs)})
    }

    #[test]
    fn a_route_selects_the_endpoints_that_have_all_that_it_wants() {
        let by_version = json!({"subset_selectors": [{"keys": ["version"]}]});
        let routes =
            [route(json!({"version": "v1"})), route(json!({"version": "v2"})), route(json!({"version": "v3"}))];
        let found = subsets(by_version.clone(), &routes).unwrap();
        assert_eq!(found, [("app (version=v1)".to_owned(), vec![0, 2]), ("app (version=v2)".to_owned(), vec![1])]);
        let both = json!({"subsetSelectors": [{"keys": ["version", "canary"]}]});
        let routes = [route(json!({"version": "v1", "canary": true}))];
        assert_eq!(subsets(both, &routes).unwrap(), [("app (canary=true, version=v1)".to_owned(), vec![2])]);
        // No selector has these keys, and no route leads there.
        assert_eq!(subsets(by_version, &[route(json!({"canary": true}))]).unwrap(), []);
        let parts =
            json!({"weighted_clusters": {"clusters": [{"name": "app", "weight": 1}, {"name": "other", "weight": 1}]}});
        assert_eq!(
            subsets(json!({"fallback_policy": "ANY_ENDPOINT"}), &[parts]).unwrap(),
            [("app".to_owned(), vec![0, 1, 2])]
        );
    }

    #[test]
    fn who_finds_no_subset_gets_what_the_cluster_falls_back_to() {
        let plain = [json!({"cluster": "app"})];
        let default = json!({"fallback_policy": "DEFAULT_SUBSET", "default_subset": {"canary": true}});
        for (config, members) in [
            (json!({}), None),
            (json!({"fallback_policy": "NO_FALLBACK"}), None),
            (json!({"fallback_policy": "ANY_ENDPOINT"}), Some(vec![0, 1, 2])),
            (default, Some(vec![1, 2])),
        ] {
            let found = subsets(config.clone(), &plain).unwrap();
            assert_eq!(found.first().map(|(_, members)| members.clone()), members, "{config}");
        }
    }

    #[test]
    fn what_else_may_choose_a_subset_leaves_it_open() {
        let lua = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"});
        let set = json!({"@type": "type.googleapis.com/x.SetMetadata", "metadata_namespace": "envoy.lb"});
        for (config, more) in [
            (json!({"panic_mode_any": true}), json!({})),
            (json!({"fallback_policy": "OTHER"}), json!({})),
            (json!({"subset_selectors": [{"keys": ["version"], "fallback_policy": "ANY_ENDPOINT"}]}), json!({})),
            (json!({}), json!({"cluster_header": "x-cluster"})),
            (json!({}), lua),
            (json!({}), set),
        ] {
            assert!(subsets(config.clone(), &[json!({"cluster": "app"}), more]).is_err(), "{config}");
        }
    }

    #[test]
    fn a_route_leads_to_its_subset_and_what_it_wants_counts_for_nothing_without_subsets() {
        let part = |name: &str| Upstream { part_of: Some("app".to_owned()), ..Upstream::named(name) };
        let upstreams = [part("app"), part("app (version=v1)"), Upstream::named("other")];
        let found = |cluster: &str, route: Value| led_to(&route, cluster, &upstreams).map(|it| it.name.clone());
        assert_eq!(found("app", route(json!({"version": "v1"}))).as_deref(), Some("app (version=v1)"));
        assert_eq!(found("app", json!({})).as_deref(), Some("app"));
        assert_eq!(found("app", route(json!({"version": "v9"}))), None);
        assert_eq!(found("other", route(json!({"version": "v1"}))).as_deref(), Some("other"));
    }
}
