//! PURE. Kubernetes: a Deployment and a Service for each backend, a Service for all, a headless one, and an HTTPRoute with weights.

use std::time::Duration;

use crate::balancer::limits::{Limits, head, time};
use crate::balancer::lines::Lines;
use crate::balancer::options::{Listen, Options, Version};
use crate::balancer::product::{Product, Program};
use crate::balancer::written::{File, Unsupported, Written};
use crate::topology::{BackendConfig, Policy, Topology};

/// Kubernetes, with whatever implements its Gateway API.
pub(crate) const KUBERNETES: Product = Product {
    name: "kubernetes",
    title: "Kubernetes with Gateway API",
    // Of the Gateway API.
    newest: Version(1, 6, 1),
    program: Program::Elsewhere,
    install: "it is no program",
    reload: None,
    retries_refused: false,
    usual_fail_timeout: Duration::from_secs(10),
    avoids_longer_each_time: true,
    random_spread: None,
    write,
    own: None,
    alone: None,
    read: None,
};

/// Of the Gateway API: HTTPRoute is v1 from here on.
const OLDEST: Version = Version(1, 0, 0);
const SESSIONS: Version = Version(1, 1, 0);
/// From here on a session's cookie is told in a block of its own.
const SESSION_COOKIES: Version = Version(1, 7, 0);
/// Timeouts are in the standard channel from here on.
const TIMEOUTS: Version = Version(1, 2, 0);
const EXPERIMENTAL: &str = "# In the experimental channel of the Gateway API.";
const NAME: &str = "uuid.yaml";
const CONTROLLERS: &str = "the policies of your Gateway's controller may: see its documentation";

/// One file of documents; a snippet is the HTTPRoute.
fn write(topology: &Topology, options: &Options) -> Result<Written, Unsupported> {
    let limits = Limits::of(&KUBERNETES, options);
    refuse(topology, options, limits)?;
    let mut text = Lines::default();
    text.add(0, format!("# {}", head(&KUBERNETES, options, topology)));
    let port = options.listen.map_or(80, |listen| listen.port);
    if !options.snippet {
        text.add(0, format!("# kubectl apply -f {NAME}, with an image that has uuid-generator as its program."))
            .add(0, "# A Deployment for each backend: its number is its port, and so shows on its page.");
        text.add(0, "# In a pod it listens on all interfaces, whatever --host says.");
        for backend in &topology.backends {
            let number = backend.generator;
            deployment(topology, backend, &mut text);
            service(&format!("uuid-{number}"), &format!("app: uuid, backend: \"{number}\""), port, None, &mut text);
        }
        let for_whom = "# All of them, for those who do not come through the Gateway.";
        service("uuid", "app: uuid", port, Some(for_whom), &mut text);
        service("uuid-headless", "app: uuid", port, Some(HEADLESS), &mut text);
        text.add(0, "---");
    }
    route(topology, limits.version, port, &mut text);
    Ok(Written { files: vec![File { name: NAME, text: text.0 }], run: None })
}

fn refuse(topology: &Topology, options: &Options, limits: Limits) -> Result<(), Unsupported> {
    limits.refuse_if_older_than(OLDEST)?;
    if let Some(Listen { address: Some(_), .. }) = options.listen {
        return Err(limits.cannot(
            "listen on an address that you choose (--listen)",
            "--listen with a port alone is the Services' port",
        ));
    }
    let one = "choose an algorithm, only shares";
    match &topology.policy {
        Policy::RoundRobin => (),
        Policy::Sticky(_) => limits.refuse_if(
            limits.version < SESSIONS,
            &format!(
                "stick to a backend (--algorithm sticky): from Gateway API {SESSIONS}, in its experimental channel"
            ),
            CONTROLLERS,
        )?,
        Policy::LeastConnections | Policy::LeastTime | Policy::Random | Policy::TwoChoices => {
            return Err(limits.cannot(one, CONTROLLERS));
        }
        Policy::Source | Policy::Uri | Policy::Header(_) | Policy::Cookie(_) => {
            return Err(limits.cannot(one, CONTROLLERS));
        }
    }
    for (so, what, nearest) in [
        (topology.backups().next().is_some(), "have a backup (--backup)", CONTROLLERS),
        (
            topology.failure.is_some(),
            "avoid backends that fail requests (--max-fails)",
            "--health-path /readyz: a backend that is not ready gets no requests",
        ),
        (topology.retries.is_some(), "configure retries (--retries)", CONTROLLERS),
        (topology.keep_alive.is_some(), "configure connections to backends (--keep-alive)", CONTROLLERS),
        (topology.proxy_protocol, "speak the PROXY protocol to backends (--proxy-protocol)", CONTROLLERS),
        (topology.is_named(), "give pods addresses (--backends)", "--ports: each pod has an address of its own"),
        (topology.sockets.is_some(), "reach pods by unix sockets (--sockets)", "their ports"),
        (topology.timeouts.connect.is_some(), "limit the time of a connection (--connect-timeout)", "--answer-timeout"),
        (options.workers.is_some(), "configure the Gateway's workers (--workers)", CONTROLLERS),
    ] {
        limits.refuse_if(so, what, nearest)?;
    }
    limits.refuse_if(
        options.snippet && topology.health.is_some(),
        "probe health in a snippet (--health-path): the probes stand in the Deployments",
        "leave out --snippet",
    )?;
    let whole = |time: Duration| time.subsec_nanos() == 0;
    let health = topology.health.as_ref();
    limits.refuse_if(
        health.is_some_and(|health| !whole(health.interval) || !whole(health.timeout)),
        "probe in parts of a second",
        "--health-interval 1s",
    )
}

fn deployment(topology: &Topology, backend: &BackendConfig, text: &mut Lines) {
    let number = backend.generator;
    text.add(0, "---")
        .add(0, "apiVersion: apps/v1")
        .add(0, "kind: Deployment")
        .add(0, "metadata:")
        .add(2, format!("name: uuid-{number}"))
        .add(2, "labels: { app: uuid }")
        .add(0, "spec:")
        .add(2, "replicas: 1")
        .add(2, "selector:")
        .add(4, format!("matchLabels: {{ app: uuid, backend: \"{number}\" }}"))
        .add(2, "template:")
        .add(4, "metadata:")
        .add(6, format!("labels: {{ app: uuid, backend: \"{number}\" }}"))
        .add(4, "spec:")
        .add(6, "# Longer than its own grace, 10 s, in which it answers what is in flight.")
        .add(6, "terminationGracePeriodSeconds: 30")
        .add(6, "containers:")
        .add(6, "- name: uuid-generator")
        .add(8, "image: uuid-generator:latest")
        .add(8, format!("args: [\"--host\", \"0.0.0.0\", \"--ports\", \"{number}\"]"))
        .add(8, "ports:")
        .add(8, format!("- {{ name: http, containerPort: {number} }}"));
    let readiness = topology.health.as_ref().map_or("/readyz", |health| health.path.as_str());
    probe("readinessProbe", readiness, topology, text);
    probe("livenessProbe", "/livez", topology, text);
    text.add(8, "securityContext:")
        .add(10, "runAsNonRoot: true")
        .add(10, "runAsUser: 65534")
        .add(10, "allowPrivilegeEscalation: false")
        .add(10, "capabilities: { drop: [ALL] }");
}

fn probe(kind: &str, path: &str, topology: &Topology, text: &mut Lines) {
    text.add(8, format!("{kind}:")).add(10, format!("httpGet: {{ path: {path}, port: http }}"));
    if let Some(health) = topology.health.as_ref().filter(|_| kind == "readinessProbe") {
        text.add(10, format!("periodSeconds: {}", health.interval.as_secs()))
            .add(10, format!("timeoutSeconds: {}", health.timeout.as_secs()))
            .add(10, format!("successThreshold: {}", health.rise))
            .add(10, format!("failureThreshold: {}", health.fall));
    }
}

/// What the headless one is for.
const HEADLESS: &str = "# The address of each, by DNS.";

fn service(name: &str, selector: &str, port: u16, comment: Option<&str>, text: &mut Lines) {
    text.add(0, "---").maybe(0, comment);
    text.add(0, "apiVersion: v1")
        .add(0, "kind: Service")
        .add(0, "metadata:")
        .add(2, format!("name: {name}"))
        .add(2, "labels: { app: uuid }")
        .add(0, "spec:");
    text.maybe(2, (comment == Some(HEADLESS)).then_some("clusterIP: None"));
    text.add(2, format!("selector: {{ {selector} }}")).add(2, "ports:");
    text.add(2, format!("- {{ name: http, port: {port}, targetPort: http }}"));
}

fn route(topology: &Topology, version: Version, port: u16, text: &mut Lines) {
    text.add(0, "# Gateway API. The Gateway's controller decides the order; the shares are as the weights say.")
        .add(0, "apiVersion: gateway.networking.k8s.io/v1")
        .add(0, "kind: HTTPRoute")
        .add(0, "metadata:")
        .add(2, "name: uuid")
        .add(0, "spec:")
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
        let cookie = match version < SESSION_COOKIES {
            true => format!("sessionName: {name}"),
            false => format!("cookie: {{ name: {name} }}"),
        };
        text.add(4, EXPERIMENTAL).add(4, format!("sessionPersistence: {{ type: Cookie, {cookie} }}"));
    }
    text.add(4, "backendRefs:");
    for backend in &topology.backends {
        text.add(4, format!("- {{ name: uuid-{}, port: {port}, weight: {} }}", backend.generator, backend.weight));
    }
}
