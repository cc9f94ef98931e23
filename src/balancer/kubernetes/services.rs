//! The Services in front of the pods, and the Secret with their token.

use super::cluster::{CONTROL, Cluster, Component, HEADLESS};
use crate::balancer::lines::Lines;
use crate::topology::BackendHttp;

pub(super) fn write(cluster: Cluster<'_>, text: &mut Lines) {
    let port = cluster.port;
    let protocol = if cluster.topology.http == BackendHttp::One { "" } else { ", appProtocol: kubernetes.io/h2c" };
    if cluster.is_weighted() {
        for backend in &cluster.topology.backends {
            let component = Component::Backend(&backend.name);
            service(cluster, &format!("uuid-{}", backend.name), component, text);
            text.add(2, "ports:").add(2, format!("- {{ name: http, port: {port}, targetPort: http{protocol} }}"));
        }
    }
    service(cluster, "uuid", Component::Fleet, text);
    text.add(2, "ports:").add(2, format!("- {{ name: http, port: {port}, targetPort: http{protocol} }}"));
    service(cluster, HEADLESS, Component::Fleet, text);
    text.add(2, "# The address of each pod, by DNS, from its start: a check asks all of their APIs.")
        .add(2, "clusterIP: None")
        .add(2, "publishNotReadyAddresses: true")
        .add(2, "ports:")
        .add(2, format!("- {{ name: control, port: {CONTROL}, targetPort: control }}"));
}

fn service(cluster: Cluster<'_>, name: &str, component: Component<'_>, text: &mut Lines) {
    cluster.document(text, "v1", "Service", name, component);
    text.add(0, "spec:").add(2, format!("selector: {{ {component} }}"));
}

pub(super) fn secret(cluster: Cluster<'_>, token: &str) -> String {
    let mut text = Lines::default();
    text.add(0, "# Who has it may kill backends: --token-secret names a Secret of your own instead.");
    cluster.document(&mut text, "v1", "Secret", &cluster.secret(), Component::Fleet);
    text.add(0, "type: Opaque").add(0, "stringData:").add(2, format!("token: \"{token}\""));
    text.0
}
