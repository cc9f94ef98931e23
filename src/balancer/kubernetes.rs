//! Kubernetes: pods of the fleet, Services in front of them, a Job that checks, and an HTTPRoute. With weights each backend is a
//! Deployment with a Service of its own, since an HTTPRoute weighs Services.

mod cluster;
mod container;
mod job;
mod pods;
mod route;
mod services;

use std::time::Duration;

use cluster::Cluster;

use crate::balancer::containers::FleetToken;
use crate::balancer::limits::{VersionLimits, head};
use crate::balancer::lines::Lines;
use crate::balancer::options::{BalancerVersion, Listen, Options};
use crate::balancer::product::{Likelihood, Product, Program, UnknownFile};
use crate::balancer::read;
use crate::balancer::written::{File, Unsupported, WrittenConfig};
use crate::topology::{BackendHttp, Policy, StartFaults, Topology};

/// Kubernetes, with whatever implements its Gateway API.
pub(crate) const KUBERNETES: Product = Product {
    name: "kubernetes",
    title: "Kubernetes with Gateway API",
    // Of the Gateway API.
    newest: BalancerVersion(1, 6, 1),
    program: Program::Elsewhere,
    install: "it is no program",
    reload: None,
    retries_refused: false,
    usual_fail_timeout: Duration::from_secs(10),
    avoids_longer_each_time: true,
    matches_port_of_host: false,
    random_spread: None,
    write,
    directive: |_| "",
    of_calls: || None,
    calls_itself: &[],
    own_pages: &[],
    own: None,
    alone: None,
    several: None,
    read: Some(read::files::kubernetes),
    recognises: |file| Likelihood::surely_if(is_manifest(file)),
    reports: None,
    renew: None,
    store: None,
};

/// A folder of manifests, a manifest, or a template of one, which is no YAML: its reader says what makes one of it.
fn is_manifest(file: &UnknownFile) -> bool {
    let is_template = || file.unparsed.is_some_and(|text| text.lines().any(|line| line.starts_with("apiVersion:")));
    let is_object = || file.has_any(&["kind"]) && file.has_any(&["metadata", "api_version", "items"]);
    file.is_folder || is_object() || is_template()
}

/// Of the Gateway API: HTTPRoute is v1 from here on.
const OLDEST: BalancerVersion = BalancerVersion(1, 0, 0);
const SESSIONS: BalancerVersion = BalancerVersion(1, 1, 0);
const CONTROLLERS: &str = "the policies of your Gateway's controller may: see its documentation";

/// The HTTPRoute alone is the snippet.
fn write(topology: &Topology, options: &Options) -> Result<WrittenConfig, Unsupported> {
    let limits = VersionLimits::of(&KUBERNETES, options);
    refuse(topology, options, limits)?;
    let cluster = Cluster { options, topology, port: options.listen.map_or(80, |listen| listen.port) };
    let head = head(&KUBERNETES, options, topology);
    let route = File { name: "route.yaml", text: route::write(cluster, limits.version, &head) };
    if options.snippet {
        return Ok(WrittenConfig { files: vec![route], run: None, overview: None });
    }
    let mut fleet = Lines::default();
    fleet.add(0, format!("# {head}"));
    pods::write(cluster, &mut fleet);
    services::write(cluster, &mut fleet);
    let mut files = vec![File { name: "fleet.yaml", text: fleet.0 }];
    if let Some(FleetToken::New(token)) = &options.containers.token {
        files.push(File { name: "token.yaml", text: services::secret(cluster, token) });
    }
    files.push(File { name: "check.yaml", text: job::write(cluster) });
    files.push(route);
    let overview = Some(File { name: "kustomization.yaml", text: kustomization(&files) });
    Ok(WrittenConfig { files, run: None, overview })
}

/// The kustomization that `kubectl apply -k` reads.
fn kustomization(files: &[File]) -> String {
    let mut text = Lines::default();
    text.add(0, "apiVersion: kustomize.config.k8s.io/v1beta1").add(0, "kind: Kustomization").add(0, "resources:");
    for File { name, .. } in files {
        match *name {
            "route.yaml" => text
                .add(0, "# Where the Gateway API is installed, with the name of your Gateway in it:")
                .add(0, "# - route.yaml"),
            name => text.add(0, format!("- {name}")),
        };
    }
    text.0
}

fn refuse(topology: &Topology, options: &Options, limits: VersionLimits) -> Result<(), Unsupported> {
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
    for (is_asked_for, what, nearest) in left_out(topology, options) {
        limits.refuse_if(is_asked_for, what, nearest)?;
    }
    Ok(())
}

/// What manifests do not say: whether it is asked for, what it is, and the nearest thing.
fn left_out(topology: &Topology, options: &Options) -> [(bool, &'static str, &'static str); 20] {
    let whole = |time: Duration| time.subsec_nanos() == 0;
    let health = topology.health.as_ref();
    [
        (topology.backups().next().is_some(), "have a backup (--backup)", CONTROLLERS),
        (
            topology.failure.is_some(),
            "avoid backends that fail requests (--max-fails)",
            "--health-path /readyz: a backend that is not ready gets no requests",
        ),
        (topology.retries.is_some(), "configure retries (--retries)", CONTROLLERS),
        (topology.keep_alive.is_some(), "configure connections to backends (--keep-alive)", CONTROLLERS),
        (topology.proxy_protocol, "speak the PROXY protocol to backends (--proxy-protocol)", CONTROLLERS),
        (
            topology.listen_tls.is_some(),
            "show a certificate (--listen-tls)",
            "a listener of your own Gateway with `tls`",
        ),
        (
            topology.listen_http2,
            "let clients speak HTTP/2 without TLS (--listen-http2)",
            "a Gateway whose controller does: most take it from clients that know",
        ),
        (topology.is_named(), "give pods addresses (--backends)", "--replicas: each pod has an address of its own"),
        (topology.sockets.is_some(), "reach pods by unix sockets (--sockets)", "their ports"),
        (topology.tls, "give pods certificates (--tls)", "HTTP to the pods, and TLS at the Gateway"),
        (
            topology.http == BackendHttp::Grpc,
            "route gRPC (--backend-protocol grpc): that takes a GRPCRoute",
            "--backend-protocol h2c: HTTP/2 to the pods",
        ),
        (topology.timeouts.stream.is_some(), "limit how long a stream may be silent (--stream-timeout)", CONTROLLERS),
        (topology.timeouts.connect.is_some(), "limit the time of a connection (--connect-timeout)", "--answer-timeout"),
        (options.workers.is_some(), "configure the Gateway's workers (--workers)", CONTROLLERS),
        (
            topology.is_weighted() && options.containers.replicas.is_some(),
            "weigh replicas of one Deployment (--weights with --replicas)",
            "--weights alone, with as many --ports: each backend is a Deployment then",
        ),
        (
            options.snippet && options.containers.asked().is_some_and(|option| option != "--namespace"),
            "say in a snippet how pods run (--image, --replicas, --token-secret): it is the HTTPRoute alone",
            "leave out --snippet",
        ),
        (
            options.containers.faults.as_ref().is_some_and(StartFaults::are_named),
            "give one pod faults (--fault with a backend's name)",
            "--fault without a name, or `uuid-generator fault` once the pod runs",
        ),
        (
            options.snippet && health.is_some(),
            "probe health in a snippet (--health-path): the probes stand in the Deployments",
            "leave out --snippet",
        ),
        (
            options.snippet && topology.http != BackendHttp::One,
            "say in a snippet what is spoken to pods (--backend-protocol): that stands in the Services",
            "leave out --snippet",
        ),
        (
            health.is_some_and(|health| !whole(health.interval) || !whole(health.timeout)),
            "probe in parts of a second",
            "--health-interval 1s",
        ),
    ]
}
