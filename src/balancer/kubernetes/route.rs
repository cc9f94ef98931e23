//! The HTTPRoute: one reference to the Service of all pods, or one for each backend where they have weights.

use super::cluster::{Cluster, Component};
use crate::balancer::limits::time;
use crate::balancer::lines::Lines;
use crate::balancer::options::BalancerVersion;
use crate::topology::Policy;

/// From here on a session's cookie is configured in a block of its own.
const SESSION_COOKIES: BalancerVersion = BalancerVersion(1, 7, 0);
/// Timeouts are in the standard channel from here on.
const TIMEOUTS: BalancerVersion = BalancerVersion(1, 2, 0);
const EXPERIMENTAL: &str = "# In the experimental channel of the Gateway API.";

pub(super) fn write(cluster: Cluster<'_>, version: BalancerVersion, head: &str) -> String {
    let (topology, port) = (cluster.topology, cluster.port);
    let mut text = Lines::default();
    if cluster.options.snippet {
        text.add(0, format!("# {head}"));
    }
    text.add(0, "# Gateway API. The Gateway's controller decides the order.");
    cluster.document(&mut text, "gateway.networking.k8s.io/v1", "HTTPRoute", "uuid", Component::Fleet);
    text.add(0, "spec:")
        .add(2, "parentRefs:")
        .add(2, "- name: gateway # the name of your Gateway")
        .add(2, "rules:")
        .add(2, "- matches:")
        .add(4, format!("- path: {{ type: PathPrefix, value: {} }}", topology.path));
    if !topology.path.is_root() {
        text.add(4, "filters:")
            .add(4, "- type: URLRewrite")
            .add(6, "urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: / } }");
    }
    if let Some(answer) = topology.timeouts.answer {
        text.maybe(4, (version < TIMEOUTS).then_some(EXPERIMENTAL));
        text.add(4, format!("timeouts: {{ backendRequest: {} }}", time(answer)));
    }
    if let Policy::Sticky(name) = &topology.policy {
        let cookie = if version < SESSION_COOKIES {
            format!("sessionName: {name}")
        } else {
            format!("cookie: {{ name: {name} }}")
        };
        text.add(4, EXPERIMENTAL).add(4, format!("sessionPersistence: {{ type: Cookie, {cookie} }}"));
    }
    text.add(4, "backendRefs:");
    if cluster.is_weighted() {
        for backend in &topology.backends {
            text.add(4, format!("- {{ name: uuid-{}, port: {port}, weight: {} }}", backend.name, backend.weight));
        }
    } else {
        // A Service without pods keeps its share, and its requests get a 503: one Service has all of them.
        text.add(4, format!("- {{ name: uuid, port: {port} }}"));
    }
    text.0
}
