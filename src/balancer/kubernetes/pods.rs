//! The pods: a Deployment of all backends, or one for each where they have weights; and how many of them may be missing at once.

use super::cluster::{CONTROL, Cluster, Component};
use super::container;
use crate::balancer::containers::FleetToken;
use crate::balancer::lines::Lines;

pub(super) fn write(cluster: Cluster<'_>, text: &mut Lines) {
    let backends = &cluster.topology.backends;
    if cluster.is_weighted() {
        for backend in backends {
            let name = format!("uuid-{}", backend.name);
            deployment(cluster, &name, Component::Backend(&backend.name), 1, backend.generator.0, text);
        }
    } else if let Some(first) = backends.first() {
        deployment(cluster, "uuid", Component::Fleet, cluster.replicas(), first.generator.0, text);
    }
    cluster.document(text, "policy/v1", "PodDisruptionBudget", "uuid", Component::Fleet);
    text.add(0, "spec:")
        .add(2, "maxUnavailable: 1")
        .add(2, format!("selector: {{ matchLabels: {{ {} }} }}", Component::Fleet));
}

fn deployment(
    cluster: Cluster<'_>,
    name: &str,
    component: Component<'_>,
    replicas: usize,
    port: u16,
    text: &mut Lines,
) {
    cluster.document(text, "apps/v1", "Deployment", name, component);
    text.add(0, "spec:")
        .add(2, format!("replicas: {replicas}"))
        .add(2, "# A new pod is ready before an old one ends.")
        .add(2, "strategy: { type: RollingUpdate, rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }")
        .add(2, format!("selector: {{ matchLabels: {{ {component} }} }}"))
        .add(2, "template:")
        .add(4, "metadata:")
        .add(6, format!("labels: {{ {component} }}"));
    if let Some(FleetToken::New(token)) = &cluster.options.containers.token {
        text.add(6, "# Another token starts other pods.")
            .add(6, format!("annotations: {{ checksum/token: \"{:08x}\" }}", checksum(token)));
    }
    text.add(4, "spec:");
    container::pod(text);
    text.add(6, "# 5 s in which balancers learn that the pod ends, then 10 s for what is in flight.")
        .add(6, "terminationGracePeriodSeconds: 30")
        .add(6, "containers:")
        .add(6, "- name: backend")
        .add(8, format!("image: {}", cluster.options.containers.image()));
    // Named by its pod where pods are replicas; where it has weights, by what people weighed.
    let backends = match component {
        Component::Backend(name) => format!("{name}=0.0.0.0:{port}"),
        Component::Fleet | Component::Check => format!("$(POD_NAME)=0.0.0.0:{port}"),
    };
    text.add(8, "args:")
        .add(8, format!("- --backends={backends}"))
        .add(8, format!("- --control=0.0.0.0:{CONTROL}"))
        .add(8, "- --drain-delay=5s");
    if let Some(faults) = &cluster.options.containers.faults {
        text.add(8, format!("- --fault={faults}"));
    }
    text.add(8, "env:");
    for (variable, field) in [("POD_NAME", "metadata.name"), ("POD_NAMESPACE", "metadata.namespace")] {
        text.add(8, format!("- {{ name: {variable}, valueFrom: {{ fieldRef: {{ fieldPath: {field} }} }} }}"));
    }
    container::token(cluster, text);
    text.add(8, "ports:")
        .add(8, format!("- {{ name: http, containerPort: {port} }}"))
        .add(8, format!("- {{ name: control, containerPort: {CONTROL} }}"));
    readiness(cluster, text);
    text.add(8, "# Of the supervisor: a backend that is killed or paused in an experiment restarts no container.")
        .add(8, "livenessProbe:")
        .add(10, "httpGet: { path: /livez, port: control }")
        .add(10, "periodSeconds: 10")
        .add(10, "timeoutSeconds: 5");
    text.add(8, "# Records take three quarters of the limit at most.");
    container::resources(("50m", "64Mi"), "64Mi", text);
    container::security(text);
}

fn readiness(cluster: Cluster<'_>, text: &mut Lines) {
    let health = cluster.topology.health.as_ref();
    let path = health.map_or("/readyz", |health| health.path.as_str());
    text.add(8, "readinessProbe:").add(10, format!("httpGet: {{ path: {path}, port: http }}"));
    match health {
        Some(health) => text
            .add(10, format!("periodSeconds: {}", health.interval.as_secs()))
            .add(10, format!("timeoutSeconds: {}", health.timeout.as_secs()))
            .add(10, format!("successThreshold: {}", health.rise))
            .add(10, format!("failureThreshold: {}", health.fall)),
        // By default a backend that is gone would get requests for half a minute.
        None => text.add(10, "periodSeconds: 1").add(10, "failureThreshold: 1"),
    };
}

/// FNV-1a with 32 bits: it says that a token changed, and is too short to say which it is.
fn checksum(token: &str) -> u32 {
    token.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
