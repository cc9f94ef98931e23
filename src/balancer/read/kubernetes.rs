//! Reads routes of Kubernetes (HTTPRoute, GRPCRoute, Ingress): Services with their weights, and the pods behind them as far as
//! manifests name them. How the pods of a Service share its requests no route says: the controller decides that, and nothing is
//! promised of it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::balancer::read::configuration::{Configuration, Upstream, UpstreamMethod, UpstreamServer};
use crate::balancer::read::document::{at, entries, get, items, keys, number, text};
use crate::balancer::read::endpoint::{Endpoint, PodSet};
use crate::balancer::read::nginx::variables::keyed;
use crate::topology::Policy;

/// Kinds of objects that create pods.
const WORKLOADS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"];
/// Annotations of an Ingress that ingress-nginx obeys begin so.
const INGRESS_NGINX: &str = "nginx.ingress.kubernetes.io/";

/// Reads the documents of a file: manifests, or lists of them as `kubectl get -o yaml` prints them. Errors: no route is among them.
pub(crate) fn read(file: &str, documents: &[Value]) -> Result<Configuration, String> {
    let documents: Vec<&Value> = documents.iter().flat_map(flat).collect();
    let manifests = Manifests { file, documents: &documents };
    let mut configuration = Configuration::default();
    for document in &documents {
        match kind(document).as_str() {
            "HTTPRoute" | "GRPCRoute" => configuration.upstreams.extend(manifests.rules(document)),
            "Ingress" if !is_canary(document) => configuration.upstreams.extend(manifests.ingress(document)),
            "TCPRoute" | "TLSRoute" | "UDPRoute" | "IngressRoute" | "HTTPProxy" | "VirtualService" => {
                configuration.not_read.push(manifests.place(document));
            }
            _ => {}
        }
    }
    if configuration.upstreams.is_empty() {
        let mut kinds: Vec<String> = documents.iter().map(|it| kind(it)).filter(|it| !it.is_empty()).collect();
        kinds.dedup();
        let only = if kinds.is_empty() {
            ", nor any other manifest".to_owned()
        } else {
            format!(", only {}", kinds.join(", "))
        };
        return Err(format!("no HTTPRoute, GRPCRoute or Ingress with a Service is in it{only}"));
    }
    Ok(configuration)
}

/// The items of a list, and of lists in it; else the document itself.
fn flat(document: &Value) -> Vec<&Value> {
    match get(document, "items").filter(|_| kind(document).ends_with("List")) {
        Some(all) => items(Some(all)).flat_map(flat).collect(),
        None => vec![document],
    }
}

fn kind(document: &Value) -> String {
    get(document, "kind").and_then(text).unwrap_or_default()
}

fn name(document: &Value) -> String {
    at(document, &["metadata", "name"]).and_then(text).unwrap_or_default()
}

/// Those that are written; a namespace that is not is the same for all manifests.
fn namespace(document: &Value) -> Option<String> {
    at(document, &["metadata", "namespace"]).and_then(text)
}

fn annotation(document: &Value, name: &str) -> Option<String> {
    at(document, &["metadata", "annotations"]).and_then(|it| it.get(format!("{INGRESS_NGINX}{name}"))).and_then(text)
}

fn is_canary(ingress: &Value) -> bool {
    annotation(ingress, "canary").as_deref() == Some("true")
}
#[derive(Clone, Copy)]
struct Manifests<'d> {
    file: &'d str,
    documents: &'d [&'d Value],
}

/// What decides who gets a request, where that is not understood.
type Undecided = Vec<String>;

impl Manifests<'_> {
    fn place(self, document: &Value) -> String {
        format!("{}, {} {}", self.file, kind(document), name(document))
    }

    /// Each rule of a route that has Services is a group.
    fn rules(self, route: &Value) -> Vec<Upstream> {
        let rules: Vec<&Value> = items(at(route, &["spec", "rules"])).collect();
        let mut groups = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            if items(get(rule, "backend_refs")).next().is_none() {
                continue;
            }
            let own = get(rule, "name").and_then(text).unwrap_or_else(|| (number + 1).to_string());
            let (name, place) = match rules.len() {
                1 => (name(route), self.place(route)),
                _ => (format!("{}/{own}", name(route)), format!("{}, rule {own}", self.place(route))),
            };
            groups.push(self.rule(route, rule, name, &place));
        }
        groups
    }

    fn rule(self, route: &Value, rule: &Value, name: String, place: &str) -> Upstream {
        let (mut undecided, mut remarks) = (Undecided::new(), Vec::new());
        for key in keys(rule) {
            match key.as_str() {
                "name" | "matches" | "backend_refs" | "timeouts" | "retry" | "session_persistence" | "filters" => {}
                other => undecided.push(format!("{place}: {other}")),
            }
        }
        for filter in items(get(rule, "filters")) {
            self.filter(filter, place, &mut undecided, &mut remarks);
        }
        let mut parts = Vec::new();
        for reference in items(get(rule, "backend_refs")) {
            for filter in items(get(reference, "filters")) {
                self.filter(filter, place, &mut undecided, &mut remarks);
            }
            let weight = match get(reference, "weight").map(number) {
                None => 1,
                Some(Some(weight)) if u32::try_from(weight).is_ok() => weight as u32,
                Some(_) => {
                    undecided.push(format!("{place}: a weight that is no number"));
                    1
                }
            };
            parts.push((self.service(route, reference, place, &mut undecided), weight));
        }
        let mut upstream = group(name, parts, place, &mut undecided);
        if let Some(session) = get(rule, "session_persistence") {
            sticky(&mut upstream, session_cookie(session), place, "sessionPersistence", &mut undecided);
        }
        decide(&mut upstream, undecided);
        upstream.not_understood = remarks;
        upstream
    }

    /// What a filter changes of who gets a request.
    fn filter(self, filter: &Value, place: &str, undecided: &mut Undecided, remarks: &mut Vec<String>) {
        match get(filter, "type").and_then(text).as_deref() {
            // They change what is sent, and nothing of who gets it.
            Some("RequestHeaderModifier" | "ResponseHeaderModifier" | "URLRewrite" | "CORS") => {}
            Some("RequestMirror") => {
                let mirror = at(filter, &["requestMirror", "backendRef", "name"]).and_then(text).unwrap_or_default();
                remarks.push(format!(
                    "{place}: copies of requests go to Service {mirror}; if its pods are in a fleet of this check, they count as duplicates"
                ));
            }
            Some("RequestRedirect") => undecided.push(format!("{place}: RequestRedirect responds itself")),
            Some(other) => remarks.push(format!("{place}: filter {other}")),
            None => undecided.push(format!("{place}: a filter without a type")),
        }
    }

    /// The Service of a reference, as a group of one server.
    fn service(self, of: &Value, reference: &Value, place: &str, undecided: &mut Undecided) -> Upstream {
        let own = get(reference, "name").and_then(text).unwrap_or_default();
        let kind = get(reference, "kind").and_then(text).unwrap_or_else(|| "Service".to_owned());
        let foreign = get(reference, "group").and_then(text).is_some_and(|group| !group.is_empty());
        if kind != "Service" || foreign {
            undecided.push(format!("{place}: {kind} {own} is no Service"));
        }
        let space = get(reference, "namespace").and_then(text).or_else(|| namespace(of));
        let server = UpstreamServer::at(&format!("Service {own}"), Endpoint::Pods(self.pods(&own, space)), place);
        let method = UpstreamMethod::Unknown(format!(
            "{place}: the controller decides how the pods of Service {own} share its requests"
        ));
        Upstream { servers: vec![server], method, ..Upstream::named(&own) }
    }

    /// The pods of a Service: of the workloads that its selector selects; where its manifest is elsewhere, of the one that is called as it.
    fn pods(self, service: &str, space: Option<String>) -> PodSet {
        let is_here = |it: &&&Value| namespace(it).is_none_or(|own| space.as_ref().is_none_or(|space| *space == own));
        let here = || self.documents.iter().filter(is_here);
        let named = PodSet { workloads: vec![service.to_owned()], backends: Vec::new() };
        let Some(manifest) = here().find(|it| kind(it) == "Service" && name(it) == service) else { return named };
        let selector: Vec<_> = entries(at(manifest, &["spec", "selector"])).collect();
        let is_selected = |workload: &&&Value| {
            let labels = at(workload, &["spec", "template", "metadata", "labels"]);
            !selector.is_empty() && selector.iter().all(|(key, value)| labels.and_then(|it| it.get(key)) == Some(value))
        };
        let workloads: Vec<&&Value> =
            here().filter(|it| WORKLOADS.contains(&kind(it).as_str())).filter(is_selected).collect();
        if workloads.is_empty() {
            return named;
        }
        PodSet {
            workloads: workloads.iter().map(|it| name(it)).collect(),
            backends: workloads.iter().flat_map(|it| backends_of(it)).collect(),
        }
    }

    /// Each Service of an Ingress is a group, with the canaries that take some of its requests.
    fn ingress(self, ingress: &Value) -> Vec<Upstream> {
        let place = self.place(ingress);
        let mut found: Vec<(String, Upstream)> = Vec::new();
        for (at, reference) in ingress_backends(ingress) {
            let mut undecided = Undecided::new();
            let service = self.service(ingress, reference, &place, &mut undecided);
            if found.iter().any(|(_, known)| known.name == service.name) {
                continue;
            }
            let own = service.name.clone();
            let mut parts = self.canaries(ingress, &at, &place, &mut undecided);
            let canaries: u32 = parts.iter().map(|(_, weight)| *weight).sum();
            parts.insert(0, (service, 100u32.saturating_sub(canaries)));
            let mut upstream = group(own.clone(), parts, &place, &mut undecided);
            self.annotations(ingress, &mut upstream, &place, &mut undecided);
            decide(&mut upstream, undecided);
            found.push((own, upstream));
        }
        let alone = found.len() == 1;
        let name = |own: String| if alone { name(ingress) } else { format!("{}/{own}", name(ingress)) };
        found.into_iter().map(|(own, upstream)| Upstream { name: name(own), ..upstream }).collect()
    }

    /// Other Ingresses of ingress-nginx that take a part of the requests of the same host and path, with the percentage.
    fn canaries(self, of: &Value, at: &IngressPath, place: &str, undecided: &mut Undecided) -> Vec<(Upstream, u32)> {
        let mut parts = Vec::new();
        let others = self.documents.iter().filter(|it| kind(it) == "Ingress" && is_canary(it));
        for canary in others.filter(|it| namespace(it) == namespace(of)) {
            let Some((_, reference)) = ingress_backends(canary).into_iter().find(|(its, _)| its == at) else {
                continue;
            };
            let place = self.place(canary);
            let by: Vec<&str> = ["canary-by-header", "canary-by-cookie", "canary-weight-total"]
                .into_iter()
                .filter(|name| annotation(canary, name).is_some())
                .collect();
            let weight = annotation(canary, "canary-weight").map_or(Some(0), |it| it.parse().ok());
            undecided.extend(by.iter().map(|by| format!("{place}: {by}")));
            match weight.filter(|weight| *weight <= 100) {
                Some(weight) => parts.push((self.service(canary, reference, &place, undecided), weight)),
                None => undecided.push(format!("{place}: canary-weight")),
            }
        }
        if parts.len() > 1 {
            undecided.push(format!("{place}: several canaries of one path"));
        }
        parts
    }

    /// How ingress-nginx selects where annotations say so.
    fn annotations(self, ingress: &Value, upstream: &mut Upstream, place: &str, undecided: &mut Undecided) {
        let said = |name: &str| annotation(ingress, name);
        match said("affinity").as_deref() {
            None => {}
            Some("cookie") => {
                let cookie = said("session-cookie-name").unwrap_or_else(|| "INGRESSCOOKIE".to_owned());
                sticky(upstream, Some(cookie), place, "affinity", undecided);
            }
            Some(other) => undecided.push(format!("{place}: affinity {other}")),
        }
        if let Some(key) = said("upstream-hash-by") {
            match keyed(&key).filter(|_| upstream.servers.len() == 1) {
                Some(policy) => upstream.method = UpstreamMethod::Known(policy),
                None => undecided.push(format!("{place}: upstream-hash-by {key}")),
            }
        }
    }
}

/// Services as one group: of one Service, or divided between several by their weights.
fn group(name: String, mut parts: Vec<(Upstream, u32)>, place: &str, undecided: &mut Undecided) -> Upstream {
    if parts.iter().all(|(_, weight)| *weight == 0) {
        undecided.push(format!("{place}: all weights are 0, and the gateway responds with an error"));
    }
    match parts.as_slice() {
        [(_, weight)] if *weight > 0 => {
            let mut only = Upstream { name, ..parts.remove(0).0 };
            if let UpstreamMethod::Unknown(why) = &mut only.method {
                *why += " (require it: --expect even)";
            }
            only
        }
        _ => Upstream { name, ..Upstream::split(parts) },
    }
}

/// Notes that something decides which is not understood.
fn decide(upstream: &mut Upstream, undecided: Undecided) {
    if !undecided.is_empty() {
        upstream.method = UpstreamMethod::Unknown(undecided.join("; "));
    }
}

/// A cookie keeps a client at its pod, if that is all there is to know.
fn sticky(upstream: &mut Upstream, cookie: Option<String>, place: &str, by: &str, undecided: &mut Undecided) {
    match cookie.and_then(|name| name.parse().ok()) {
        Some(cookie) if upstream.servers.len() == 1 => upstream.method = UpstreamMethod::Known(Policy::Sticky(cookie)),
        _ => undecided.push(format!("{place}: {by}")),
    }
}

/// The cookie of `sessionPersistence`: its name stood in `sessionName` before it had a block of its own.
fn session_cookie(session: &Value) -> Option<String> {
    let is_cookie = get(session, "type").and_then(text).is_none_or(|it| it == "Cookie");
    let name = at(session, &["cookie", "name"]).or_else(|| get(session, "session_name")).and_then(text);
    name.filter(|_| is_cookie)
}

/// Where an Ingress has a Service: host and path.
type IngressPath = (String, String);

fn ingress_backends(ingress: &Value) -> Vec<(IngressPath, &Value)> {
    let mut found = Vec::new();
    for rule in items(at(ingress, &["spec", "rules"])) {
        let host = get(rule, "host").and_then(text).unwrap_or_default();
        for path in items(at(rule, &["http", "paths"])) {
            let place = (host.clone(), get(path, "path").and_then(text).unwrap_or_default());
            found.extend(at(path, &["backend", "service"]).map(|service| (place, service)));
        }
    }
    found.extend(at(ingress, &["spec", "defaultBackend", "service"]).map(|it| (Default::default(), it)));
    found
}

/// Backends as arguments of this program call them in a workload's pods: `--backends=9001=0.0.0.0:9001`.
fn backends_of(workload: &Value) -> Vec<String> {
    let containers = items(at(workload, &["spec", "template", "spec", "containers"]));
    let arguments = containers.flat_map(|it| items(get(it, "args"))).filter_map(text);
    let mut names: BTreeMap<String, ()> = BTreeMap::new();
    for argument in arguments {
        let Some(list) = argument.strip_prefix("--backends=") else { continue };
        let named = list.split(',').filter_map(|it| Some(it.split_once('=')?.0)).filter(|it| !it.contains("$("));
        names.extend(named.map(|it| (it.to_owned(), ())));
    }
    names.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::expected::Expected;
    use crate::balancer::read::document;

    fn of(yaml: &str) -> Configuration {
        read("route.yaml", &document::parse_all(yaml).unwrap()).unwrap()
    }

    fn route(rules: &str) -> Upstream {
        of(&format!(
            "{{ kind: HTTPRoute, metadata: {{ name: shop }}, spec: {{ rules: [{{ matches: [], {rules} }}] }} }}"
        ))
        .upstreams
        .remove(0)
    }

    /// What is expected where each of these is a pod or a backend of the fleet.
    fn expected(upstream: &Upstream, fleet: &[&str]) -> Expected {
        Expected::of_named(upstream, &|server| {
            let Endpoint::Pods(pods) = &server.endpoint else { panic!("{server:?}") };
            fleet.iter().filter(|it| pods.has(it, None)).map(|it| (*it).to_owned()).collect()
        })
    }

    fn shares(expected: &Expected) -> Option<String> {
        expected.shares.as_ref().map(ToString::to_string)
    }

    const TWO: &str = "backendRefs: [{ name: stable, port: 80, weight: 90 }, { name: canary, port: 80, weight: 10 }]";

    #[test]
    fn services_with_one_pod_each_get_the_shares_of_their_weights() {
        let it = expected(&route(TWO), &["stable-7d9b5c6f48-x2x4z", "canary-0"]);
        assert_eq!(shares(&it).as_deref(), Some("stable-7d9b5c6f48-x2x4z=9,canary-0=1"), "{it:?}");
        // No weight is 1, and none at all takes part in nothing.
        let refs = "backendRefs: [{ name: a }, { name: b, weight: 3 }, { name: c, weight: 0 }]";
        let it = expected(&route(refs), &["a-0", "b-0", "c-0"]);
        assert_eq!((shares(&it).as_deref(), it.backups), (Some("a-0=1,b-0=3,c-0=0"), vec!["c-0".to_owned()]));
    }

    #[test]
    fn how_pods_of_a_service_share_its_requests_is_the_controllers() {
        for (upstream, fleet) in [
            (route(TWO), vec!["stable-0", "stable-1", "canary-0"]),
            (route("backendRefs: [{ name: uuid, port: 80 }]"), vec!["uuid-0", "uuid-1"]),
        ] {
            let it = expected(&upstream, &fleet);
            assert_eq!((shares(&it), it.algorithm), (None, None));
            assert!(it.unknown.iter().any(|why| why.contains("the controller decides")), "{it:?}");
        }
        // What the Services get is the route's.
        let it = expected(&route(TWO), &["stable-0", "stable-1", "canary-0"]);
        let groups: Vec<(&str, u32, usize)> =
            it.groups.iter().map(|it| (it.name.as_str(), it.weight, it.backends.len())).collect();
        assert_eq!(groups, [("stable", 90, 2), ("canary", 10, 1)]);
        // A Service without a pod in the fleet makes nothing of another's shares.
        let it = expected(&route(TWO), &["stable-0"]);
        assert_eq!((shares(&it), it.unknown.len()), (None, 1), "{it:?}");
    }

    #[test]
    fn filters_that_change_requests_select_nobody_and_others_are_said() {
        let filters = "filters: [{ type: URLRewrite, urlRewrite: {} }, { type: RequestHeaderModifier }, { type: RequestMirror, requestMirror: { backendRef: { name: dark } } }]";
        let upstream = route(&format!("{filters}, {TWO}"));
        assert!(matches!(upstream.method, UpstreamMethod::Split(_)), "{upstream:?}");
        assert!(upstream.not_understood[0].contains("Service dark"), "{upstream:?}");
        for rule in [
            "filters: [{ type: RequestRedirect }]",
            "somethingNew: {}",
            "sessionPersistence: { type: Cookie, cookie: { name: s } }",
        ] {
            let upstream = route(&format!("{rule}, {TWO}"));
            assert!(matches!(upstream.method, UpstreamMethod::Unknown(_)), "{rule}: {upstream:?}");
        }
        for refs in
            ["[{ name: a, weight: x }]", "[{ name: a, kind: ServiceImport, group: x }]", "[{ name: a, weight: 0 }]"]
        {
            let upstream = route(&format!("backendRefs: {refs}"));
            assert!(matches!(upstream.method, UpstreamMethod::Unknown(_)), "{refs}: {upstream:?}");
        }
    }

    #[test]
    fn a_session_of_one_service_is_sticky_by_its_cookie() {
        for session in ["{ type: Cookie, cookie: { name: srv } }", "{ sessionName: srv }"] {
            let upstream = route(&format!("sessionPersistence: {session}, backendRefs: [{{ name: a }}]"));
            assert_eq!(upstream.method, UpstreamMethod::Known(Policy::Sticky("srv".parse().unwrap())));
        }
        for session in ["{ type: Header, sessionName: srv }", "{}"] {
            let upstream = route(&format!("sessionPersistence: {session}, backendRefs: [{{ name: a }}]"));
            assert!(matches!(upstream.method, UpstreamMethod::Unknown(_)), "{upstream:?}");
        }
    }

    #[test]
    fn pods_are_those_of_the_workloads_that_a_service_selects() {
        let yaml = "
kind: List
items:
- { kind: Service, metadata: { name: front }, spec: { selector: { app: shop, track: stable } } }
- { kind: Service, metadata: { name: dark }, spec: { selector: { app: shop, track: dark } } }
- kind: Deployment
  metadata: { name: shop }
  spec: { template: { metadata: { labels: { app: shop, track: stable, v: '2' } } } }
- kind: Deployment
  metadata: { name: other }
  spec:
    template:
      metadata: { labels: { app: shop, track: dark } }
      spec: { containers: [{ args: [\"--backends=9001=0.0.0.0:9001,$(POD_NAME)=0.0.0.0:2\"] }] }
---
kind: HTTPRoute
metadata: { name: shop }
spec:
  rules:
  - { name: home, backendRefs: [{ name: front, weight: 3 }, { name: dark }] }
  - { filters: [{ type: RequestRedirect }] }
  - { backendRefs: [{ name: elsewhere }] }
";
        let read = of(yaml);
        let names: Vec<&str> = read.upstreams.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["shop/home", "shop/3"]);
        let it = expected(&read.upstreams[0], &["shop-66bdcf5d8-x2x4z", "shop-66bdcf5d8-bcdfg", "9001"]);
        assert_eq!(shares(&it), None);
        let it = expected(&read.upstreams[0], &["shop-66bdcf5d8-bcdfg", "9001", "front-0"]);
        assert_eq!(shares(&it).as_deref(), Some("shop-66bdcf5d8-bcdfg=3,9001=1"), "{it:?}");
    }

    #[test]
    fn an_ingress_has_a_group_for_each_service_and_canaries_take_their_part() {
        let ingress = |name: &str, annotations: &str, service: &str| {
            format!(
                "---\nkind: Ingress\nmetadata: {{ name: {name}, annotations: {{ {annotations} }} }}\nspec: {{ rules: [{{ host: a, http: {{ paths: [{{ path: /, backend: {{ service: {{ name: {service}, port: {{ number: 80 }} }} }} }}] }} }}] }}\n"
            )
        };
        let note = |name: &str, value: &str| format!("{INGRESS_NGINX}{name}: '{value}'");
        let canary = |weight: &str| {
            let notes = [note("canary", "true"), note("canary-weight", weight)].join(", ");
            of(&(ingress("web", "", "stable") + &ingress("web-canary", &notes, "canary"))).upstreams
        };
        let [upstream] = &canary("20")[..] else { panic!() };
        assert_eq!(shares(&expected(upstream, &["stable-0", "canary-0"])).as_deref(), Some("stable-0=4,canary-0=1"));
        assert!(matches!(canary("many")[0].method, UpstreamMethod::Unknown(_)));
        let one = |annotations: String| of(&ingress("web", &annotations, "stable")).upstreams.remove(0);
        assert_eq!(one(note("upstream-hash-by", "$request_uri")).method, UpstreamMethod::Known(Policy::Uri));
        let sticky = one([note("affinity", "cookie"), note("session-cookie-name", "route")].join(", "));
        assert_eq!(sticky.method, UpstreamMethod::Known(Policy::Sticky("route".parse().unwrap())));
        assert!(matches!(one(String::new()).method, UpstreamMethod::Unknown(_)));
    }

    #[test]
    fn what_has_no_route_is_said_with_what_it_has() {
        let nothing = |yaml: &str| read("a", &document::parse_all(yaml).unwrap()).unwrap_err();
        assert!(nothing("kind: Service\n---\nkind: Service\n---\nkind: Secret").ends_with("only Service, Secret"));
        assert!(nothing("a: 1").ends_with("nor any other manifest"));
        let redirect =
            "{ kind: HTTPRoute, metadata: { name: a }, spec: { rules: [{ filters: [{ type: RequestRedirect }] }] } }";
        assert!(nothing(redirect).ends_with("only HTTPRoute"));
    }
}
