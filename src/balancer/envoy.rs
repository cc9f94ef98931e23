//! PURE. Envoy: a whole static configuration, without an admin port; or its listener and cluster.

use crate::balancer::lines::Lines;
use crate::balancer::{Balancer, Cannot, FEWEST, File, IDEMPOTENT, LEAST_TIME, Limits, Options, Run, Version, Written};
use crate::topology::{Algorithm, Member, Topology};
use std::time::Duration;

/// From here on all that is written is documented: `selection_method` is the latest of it.
const OLDEST: Version = Version(1, 32, 0);
const NAME: &str = "envoy.yaml";

/// An `envoy.yaml`; a snippet is what goes below its `static_resources:`.
pub fn write(topology: &Topology, options: &Options) -> Result<Written, Cannot> {
    let limits = Limits::of(Balancer::Envoy, options);
    refuse(topology, limits)?;
    let mut body = listener(topology, options);
    body += &cluster(topology, limits)?;
    let mut text = Lines::default();
    text.add(0, format!("# {}", options.head(Balancer::Envoy, topology)));
    if options.snippet {
        text.add(0, "# Put it below `static_resources:`.").block(0, &body);
        return Ok(Written { files: vec![File { name: NAME, text: text.0 }], run: None });
    }
    let workers = options.workers();
    let run =
        Run::of(&[], &format!("envoy -c {NAME} --concurrency {workers} --disable-hot-restart --log-level warning"));
    text.add(0, format!("# In the foreground, in the folder of this file: {run}"))
        .add(0, "# It has no admin port: nothing here says `admin`.")
        .add(0, "static_resources:")
        .block(2, &body);
    Ok(Written { files: vec![File { name: NAME, text: text.0 }], run: Some(run) })
}

fn refuse(topology: &Topology, limits: Limits) -> Result<(), Cannot> {
    limits.refuse_if_older_than(OLDEST)?;
    limits.refuse_if(
        topology.is_weighted() && topology.algorithm == Algorithm::Random,
        "give weights to a random choice",
        "--algorithm round-robin has weights",
    )?;
    limits.refuse_if(
        topology.is_weighted() && topology.algorithm == Algorithm::TwoChoices,
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
        .add(2, "filter_chains:")
        .add(2, "- filters:")
        .add(4, "- name: envoy.filters.network.http_connection_manager")
        .add(6, "typed_config:")
        .add(8, "\"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager")
        .add(8, "stat_prefix: uuid")
        .add(8, "route_config:")
        .add(10, "virtual_hosts:")
        .add(10, "- name: uuid")
        .add(12, "domains: [\"*\"]")
        .add(12, "routes:");
    let retries = topology.retries.as_ref().filter(|retries| retries.attempts > 0);
    match retries {
        None => route(topology, None, &mut text),
        Some(retries) if retries.non_idempotent => route(topology, Some((retries.attempts, AGAIN, "")), &mut text),
        Some(retries) => {
            text.add(12, "# These may be executed twice.");
            let methods = format!("^({})$", IDEMPOTENT.join("|"));
            route(topology, Some((retries.attempts, AGAIN, &methods)), &mut text);
            text.add(12, "# All others are tried again only where they were not sent.");
            route(topology, Some((retries.attempts, AGAIN_IF_NOT_SENT, "")), &mut text);
        }
    }
    text.add(8, "http_filters:");
    if let Algorithm::Sticky(name) = &topology.algorithm {
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
    text.0
}

const AGAIN: &str = "connect-failure,refused-stream,reset";
const AGAIN_IF_NOT_SENT: &str = "connect-failure,refused-stream";

/// One route: so often tried again on what, for methods that match.
fn route(topology: &Topology, again: Option<(u32, &str, &str)>, text: &mut Lines) {
    text.add(12, "- match:");
    match topology.path.is_root() {
        true => text.add(16, "prefix: /"),
        false => text.add(16, format!("path_separated_prefix: {}", topology.path)),
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
    let policy = match &topology.algorithm {
        Algorithm::Source => Some("connection_properties: { source_ip: true }".to_owned()),
        Algorithm::Uri => Some("header: { header_name: \":path\" }".to_owned()),
        Algorithm::Header(name) => Some(format!("header: {{ header_name: {name} }}")),
        Algorithm::Cookie(name) => Some(format!("cookie: {{ name: {name} }}")),
        Algorithm::RoundRobin | Algorithm::LeastConnections | Algorithm::Random => None,
        Algorithm::LeastTime | Algorithm::TwoChoices | Algorithm::Sticky(_) => None,
    };
    text.maybe(16, policy.map(|policy| format!("hash_policy: [{{ {policy} }}]")));
    let answer = topology.timeouts.answer;
    let attempts = again.map_or(1, |(count, _, _)| count + 1);
    text.maybe(16, answer.map(|answer| format!("timeout: {}", seconds(answer * attempts))));
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

fn cluster(topology: &Topology, limits: Limits) -> Result<String, Cannot> {
    let mut text = Lines::default();
    let host = topology.host.in_balancer();
    let host = host.trim_matches(['[', ']']);
    let known = topology.sockets.is_some() || host.parse::<std::net::IpAddr>().is_ok();
    text.add(0, "clusters:")
        .add(0, "- name: uuid")
        .add(2, format!("type: {}", if known { "STATIC" } else { "STRICT_DNS" }));
    text.maybe(2, topology.timeouts.connect.map(|connect| format!("connect_timeout: {}", seconds(connect))));
    match &topology.algorithm {
        Algorithm::RoundRobin | Algorithm::Sticky(_) => {
            text.add(2, "lb_policy: ROUND_ROBIN # each worker in its own order")
        }
        Algorithm::LeastTime => return Err(limits.cannot(LEAST_TIME, FEWEST)),
        Algorithm::Random => text.add(2, "lb_policy: RANDOM"),
        Algorithm::TwoChoices => {
            text.add(2, "lb_policy: LEAST_REQUEST").add(2, "least_request_lb_config: { choice_count: 2 }")
        }
        Algorithm::LeastConnections => text
            .add(2, "# Requests in flight from this worker; LEAST_REQUEST without it looks at two backends only.")
            .add(2, "load_balancing_policy:")
            .add(4, "policies:")
            .add(4, "- typed_extension_config:")
            .add(8, "name: envoy.load_balancing_policies.least_request")
            .add(8, "typed_config:")
            .add(
                10,
                "\"@type\": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
            )
            .add(10, "selection_method: FULL_SCAN"),
        Algorithm::Source | Algorithm::Uri | Algorithm::Header(_) | Algorithm::Cookie(_) => {
            text.add(2, "lb_policy: RING_HASH # requests without the key go anywhere")
        }
    };
    if let Some(health) = &topology.health {
        text.add(2, "health_checks:")
            .add(2, format!("- timeout: {}", seconds(health.timeout)))
            .add(4, format!("interval: {}", seconds(health.interval)))
            .add(4, format!("no_traffic_interval: {}", seconds(health.interval)))
            .add(4, format!("unhealthy_threshold: {}", health.fall))
            .add(4, format!("healthy_threshold: {}", health.rise))
            .add(4, format!("http_health_check: {{ path: {} }}", health.path))
            .add(2, "# Else it balances over all, the ill too, when less than half are well.")
            .add(2, "common_lb_config: { healthy_panic_threshold: { value: 0 } }");
    }
    if let Some(failure) = &topology.failure {
        text.add(2, "# Errors in a row; statuses of 500 and above are such too. Each time it is avoided for longer.")
            .add(2, "outlier_detection:")
            .add(4, format!("consecutive_5xx: {}", failure.max_fails))
            .add(4, "interval: 0.5s")
            .add(4, format!("base_ejection_time: {}", seconds(failure.fail_timeout)))
            .add(4, "max_ejection_percent: 100");
    }
    if topology.keep_alive == Some(0) {
        text.add(2, "typed_extension_protocol_options:")
            .add(4, "envoy.extensions.upstreams.http.v3.HttpProtocolOptions:")
            .add(6, "\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions")
            .add(6, "common_http_protocol_options: { max_requests_per_connection: 1 }")
            .add(6, "explicit_http_config: { http_protocol_options: {} }");
    }
    if topology.proxy_protocol {
        text.add(2, "transport_socket:")
            .add(4, "name: envoy.transport_sockets.upstream_proxy_protocol")
            .add(4, "typed_config:")
            .add(6, "\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport")
            .add(6, "config: { version: V1 }")
            .add(6, "transport_socket:")
            .add(8, "name: envoy.transport_sockets.raw_buffer")
            .add(8, "typed_config:")
            .add(10, "\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer");
    }
    text.add(2, "load_assignment:").add(4, "cluster_name: uuid").add(4, "endpoints:").add(4, "- lb_endpoints:");
    endpoints(topology, host, topology.active(), &mut text);
    if topology.backups().next().is_some() {
        text.add(4, "# Backups.").add(4, "- priority: 1").add(6, "lb_endpoints:");
        endpoints(topology, host, topology.backups(), &mut text);
    }
    Ok(text.0)
}

fn endpoints<'a>(topology: &Topology, host: &str, members: impl Iterator<Item = &'a Member>, text: &mut Lines) {
    for member in members {
        let address = match topology.socket(member.generator) {
            Some(socket) => format!("{{ pipe: {{ path: {socket} }} }}"),
            None => socket_address(host, member.generator.0),
        };
        text.add(6, format!("- endpoint: {{ address: {address} }}"));
        if topology.is_weighted() {
            text.add(8, format!("load_balancing_weight: {}", member.weight));
        }
    }
}

fn socket_address(host: &str, port: u16) -> String {
    format!("{{ socket_address: {{ address: \"{host}\", port_value: {port} }} }}")
}

/// `10s`, `0.25s`
fn seconds(duration: Duration) -> String {
    let millis = duration.as_millis().max(1);
    match millis % 1000 {
        0 => format!("{}s", millis / 1000),
        part => format!("{}.{part:03}s", millis / 1000),
    }
}
