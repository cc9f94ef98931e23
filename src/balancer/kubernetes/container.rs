//! What all pods and containers of ours have in common.

use super::cluster::Cluster;
use crate::balancer::lines::Lines;

/// What all pods of ours have: they run under Pod Security "restricted", and need nothing of the cluster.
pub(super) fn pod(text: &mut Lines) {
    text.add(6, "automountServiceAccountToken: false")
        .add(6, "enableServiceLinks: false")
        .add(6, "securityContext:")
        .add(8, "runAsNonRoot: true")
        .add(8, "runAsUser: 65534")
        .add(8, "runAsGroup: 65534")
        .add(8, "seccompProfile: { type: RuntimeDefault }");
}

/// The security context of every container.
pub(super) fn security(text: &mut Lines) {
    text.add(8, "securityContext:")
        .add(10, "allowPrivilegeEscalation: false")
        .add(10, "readOnlyRootFilesystem: true")
        .add(10, "capabilities: { drop: [ALL] }");
}

pub(super) fn resources((cpu, memory): (&str, &str), limit: &str, text: &mut Lines) {
    text.add(8, "resources:")
        .add(10, format!("requests: {{ cpu: {cpu}, memory: {memory} }}"))
        .add(10, format!("limits: {{ memory: {limit} }}"));
}

/// An element of `env`.
pub(super) fn token(cluster: Cluster<'_>, text: &mut Lines) {
    text.add(8, "- name: UUID_GENERATOR_TOKEN")
        .add(10, format!("valueFrom: {{ secretKeyRef: {{ name: {}, key: token }} }}", cluster.secret()));
}
