//! The Job that checks the Service: Complete if the check passes, Failed if it fails.

use super::cluster::{CONTROL, Cluster, Component, HEADLESS};
use super::container;
use crate::balancer::lines::Lines;

pub(super) fn write(cluster: Cluster<'_>) -> String {
    let port = if cluster.port == 80 { String::new() } else { format!(":{}", cluster.port) };
    let mut text = Lines::default();
    text.add(0, "# kubectl wait --for=condition=complete --timeout=5m job/check && kubectl logs job/check")
        .add(0, "# It runs once: kubectl delete job check, before it is applied again.");
    cluster.document(&mut text, "batch/v1", "Job", "check", Component::Check);
    text.add(0, "spec:")
        .add(2, "# Fail (1) and could not run (2) are final; inconclusive (3) is tried twice more.")
        .add(2, "backoffLimit: 2")
        .add(2, "podFailurePolicy:")
        .add(4, "rules:")
        .add(4, "- action: Ignore")
        .add(6, "onPodConditions: [{ type: DisruptionTarget, status: \"True\" }]")
        .add(4, "- action: FailJob")
        .add(6, "onExitCodes: { containerName: check, operator: In, values: [1, 2] }")
        .add(2, "template:")
        .add(4, "metadata:")
        .add(6, format!("labels: {{ {} }}", Component::Check))
        .add(4, "spec:")
        .add(6, "restartPolicy: Never");
    container::pod(&mut text);
    text.add(6, "containers:")
        .add(6, "- name: check")
        .add(8, format!("image: {}", cluster.options.containers.image()))
        .add(8, "args:")
        .add(8, "- check")
        .add(8, "# The Service, which kube-proxy balances; or the URL of your Gateway or Ingress.")
        .add(8, format!("- http://uuid{port}/"))
        .add(8, format!("- --fleet=http://{HEADLESS}:{CONTROL}"))
        .add(8, format!("- --ready={}", cluster.replicas()))
        .add(8, "- --wait=3m")
        .add(8, "env:");
    container::token(cluster, &mut text);
    text.add(8, "# The last lines of a check that does not pass are in the pod's status.")
        .add(8, "terminationMessagePolicy: FallbackToLogsOnError");
    container::resources(("100m", "64Mi"), "512Mi", &mut text);
    container::security(&mut text);
    text.0
}
