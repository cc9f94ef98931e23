//! NGINX, open source: a whole `nginx.conf`, or the lines that go inside `http { … }`, or as a file into `conf.d`.

use std::path::Path;

use crate::balancer::limits::{FEWEST, LEAST_TIME, VersionLimits, head, time};
use crate::balancer::lines::Lines;
use crate::balancer::options::{BalancerVersion, Options};
use crate::balancer::own::{Own, SCRATCH};
use crate::balancer::path::quoted;
use crate::balancer::product::{Likelihood, Product, Program, ReloadSignal};
use crate::balancer::read;
use crate::balancer::read::reported::ServerReport;
use crate::balancer::topic::HintTopic;
use crate::balancer::written::{File, StartCommand, Unsupported, WrittenConfig};
use crate::error::Problem;
use crate::topology::{BackendHttp, Policy, Topology};

/// NGINX Open Source; NGINX Plus can do more.
pub(crate) const NGINX: Product = Product {
    name: "nginx",
    title: "NGINX",
    newest: BalancerVersion(1, 31, 3),
    program: Program::OnPath { version_argument: "-v" },
    install: "sudo apt-get install nginx",
    reload: Some(ReloadSignal::Hup),
    retries_refused: true,
    usual_fail_timeout: std::time::Duration::from_secs(10),
    avoids_longer_each_time: false,
    matches_port_of_host: false,
    random_spread: None,
    write,
    directive,
    of_calls: || Some(&NGINX_OF_CALLS),
    calls_itself: &["nginx", "openresty", "tengine", "angie"],
    own_pages: &[],
    own: Some(own),
    alone: Some(|file| vec!["-c".into(), file.into()]),
    several: None,
    read: Some(read::nginx::files::read),
    recognises: |file| if file.is_document() { Likelihood::No } else { Likelihood::IfNoOther },
    reports: Some(ServerReport::Printed(read::nginx::files::printed)),
    renew: Some(|file, _| {
        let file = quoted(file);
        format!("nginx -t -q -c {file} && nginx -s reload -c {file}")
    }),
    store: None,
};

/// With `grpc_pass`, which takes no directive of `proxy_pass`.
const NGINX_OF_CALLS: Product = Product { directive: directive_of_calls, ..NGINX };

fn directive_of_calls(topic: HintTopic) -> &'static str {
    match topic {
        HintTopic::Verify => "grpc_ssl_verify on; grpc_ssl_trusted_certificate FILE; grpc_ssl_name NAME",
        HintTopic::VerifyName => "grpc_ssl_verify on; grpc_ssl_name NAME",
        HintTopic::Revocation => "grpc_ssl_crl FILE",
        HintTopic::ServerName => "grpc_ssl_server_name on; grpc_ssl_name NAME",
        HintTopic::ClientCertificate => "grpc_ssl_certificate FILE; grpc_ssl_certificate_key FILE",
        HintTopic::NoBackend => "server, max_fails, fail_timeout and grpc_next_upstream",
        HintTopic::Timeout => "grpc_read_timeout",
        HintTopic::RetriesOfPost => "grpc_next_upstream without non_idempotent",
        HintTopic::Repeats => "grpc_next_upstream timeout, grpc_read_timeout, mirror",
        HintTopic::Unprocessed => "grpc_next_upstream with error, non_idempotent",
        HintTopic::Loss => "grpc_read_timeout, worker_shutdown_timeout",
        HintTopic::Host => "grpc_set_header Host $host",
        HintTopic::RequestFields => "grpc_set_header, ignore_invalid_headers",
        HintTopic::ResponseFields => "add_header, add_trailer, grpc_hide_header",
        HintTopic::Responses => "error_page with grpc_intercept_errors",
        HintTopic::ForwardedFor => "grpc_set_header X-Forwarded-For $remote_addr",
        HintTopic::BodyLimit
        | HintTopic::HeadLimit
        | HintTopic::SlowRequest
        | HintTopic::RateLimit
        | HintTopic::Overload
        | HintTopic::UnusableRequest
        | HintTopic::Redirect
        | HintTopic::Credentials
        | HintTopic::Access
        | HintTopic::Route
        | HintTopic::Methods
        | HintTopic::OtherHost
        | HintTopic::Mirror
        | HintTopic::Connections
        | HintTopic::IdleTimeout
        | HintTopic::KeptToBackends
        | HintTopic::Cache
        | HintTopic::AddressBehindProxy
        | HintTopic::Rewrite
        | HintTopic::Escapes
        | HintTopic::Query
        | HintTopic::Method
        | HintTopic::Body
        | HintTopic::Sessions
        | HintTopic::Hashes
        | HintTopic::Reload
        | HintTopic::Upgrade
        | HintTopic::Buffering
        | HintTopic::Bandwidth
        | HintTopic::StreamIdle
        | HintTopic::StreamAge
        | HintTopic::StreamReload
        | HintTopic::StreamShares
        | HintTopic::Rotations
        | HintTopic::Recovery
        | HintTopic::Panic
        | HintTopic::Deadline
        | HintTopic::Underscores
        | HintTopic::BackendHttp2
        | HintTopic::Compression
        | HintTopic::AllAddresses => directive(topic),
        HintTopic::Leaving => "",
    }
}

/// What decides there; empty where it has nothing of the kind.
fn directive(topic: HintTopic) -> &'static str {
    match topic {
        HintTopic::Verify => "proxy_ssl_verify on; proxy_ssl_trusted_certificate FILE; proxy_ssl_name NAME",
        HintTopic::VerifyName => "proxy_ssl_verify on; proxy_ssl_name NAME",
        HintTopic::Revocation => "proxy_ssl_crl FILE",
        HintTopic::ServerName => "proxy_ssl_server_name on; proxy_ssl_name NAME",
        HintTopic::ClientCertificate => "proxy_ssl_certificate FILE; proxy_ssl_certificate_key FILE",
        HintTopic::BodyLimit => "client_max_body_size",
        HintTopic::HeadLimit => "large_client_header_buffers",
        HintTopic::SlowRequest => "client_header_timeout, client_body_timeout",
        HintTopic::RateLimit => "limit_req, limit_conn",
        HintTopic::Overload => "limit_req, limit_conn",
        HintTopic::NoBackend => "server, max_fails, fail_timeout, max_conns and proxy_next_upstream",
        HintTopic::Timeout => "proxy_read_timeout",
        HintTopic::UnusableRequest => "ssl_verify_client, listen … ssl or proxy_protocol",
        HintTopic::Redirect => "return, rewrite, and location /uuid/ without /uuid",
        HintTopic::Credentials => "auth_basic, auth_request, auth_jwt",
        HintTopic::Access => "allow, deny",
        HintTopic::Route => "location, server_name",
        HintTopic::Methods => "limit_except",
        HintTopic::RetriesOfPost => "proxy_next_upstream without non_idempotent, no error_page that passes it on again",
        HintTopic::Repeats => "proxy_next_upstream timeout, proxy_read_timeout, mirror",
        HintTopic::Unprocessed => "proxy_next_upstream with error, non_idempotent",
        HintTopic::OtherHost => "",
        HintTopic::Mirror => "mirror",
        HintTopic::Connections => "worker_connections, worker_rlimit_nofile",
        HintTopic::IdleTimeout => "keepalive_timeout, keepalive_requests",
        HintTopic::KeptToBackends => "keepalive_timeout of the upstream",
        HintTopic::Loss => "proxy_read_timeout, worker_shutdown_timeout, proxy_ignore_client_abort",
        HintTopic::Cache => "proxy_cache off, proxy_ignore_headers without Cache-Control",
        HintTopic::AddressBehindProxy => "real_ip_header and set_real_ip_from",
        HintTopic::Rewrite => "a path in proxy_pass (a / alone is one), rewrite",
        HintTopic::Escapes => "proxy_pass without a path, merge_slashes off",
        HintTopic::Query => "proxy_pass with variables needs $is_args$args",
        HintTopic::Host => "proxy_set_header Host $host",
        HintTopic::Method => "proxy_method, proxy_cache_convert_head, error_page",
        HintTopic::Body => "proxy_pass_request_body, proxy_set_body",
        HintTopic::RequestFields => "proxy_set_header, proxy_pass_request_headers, ignore_invalid_headers",
        HintTopic::ResponseFields => "add_header, expires, proxy_hide_header",
        HintTopic::Responses => "sub_filter, error_page with proxy_intercept_errors",
        HintTopic::ForwardedFor => "proxy_set_header X-Forwarded-For $remote_addr",
        HintTopic::Sessions => "sticky with a zone, hash … consistent",
        HintTopic::Hashes => "hash … consistent",
        HintTopic::Reload => "HUP, or USR2 and QUIT, but not TERM",
        HintTopic::Upgrade => {
            "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade"
        }
        HintTopic::Buffering => "proxy_buffering off, proxy_http_version 1.1, gzip off for text/event-stream",
        HintTopic::Bandwidth => "limit_rate, proxy_limit_rate",
        HintTopic::StreamIdle => "proxy_read_timeout, proxy_send_timeout, proxy_timeout of stream",
        HintTopic::StreamAge => "worker_shutdown_timeout, proxy_read_timeout",
        HintTopic::StreamReload => "worker_shutdown_timeout",
        HintTopic::StreamShares => "least_conn, with a zone for several workers",
        HintTopic::Rotations => "zone in the upstream block",
        HintTopic::Recovery => "max_fails and fail_timeout of the server",
        HintTopic::Panic | HintTopic::Deadline | HintTopic::AllAddresses => "",
        HintTopic::Underscores => "underscores_in_headers on",
        HintTopic::BackendHttp2 => "grpc_pass",
        HintTopic::Leaving => "proxy_ignore_client_abort off",
        HintTopic::Compression => "gzip off",
    }
}

/// Connections to backends are kept, and HTTP/1.1 is spoken to them, without a directive that says so.
const KEEPS_CONNECTIONS: BalancerVersion = BalancerVersion(1, 29, 7);
/// Speaks HTTP/2 to backends other than those of `grpc_pass`.
const HTTP2_TO_BACKENDS: BalancerVersion = BalancerVersion(1, 29, 4);
/// HTTP/2 is a directive; before, it is a word of `listen`.
const HTTP2_DIRECTIVE: BalancerVersion = BalancerVersion(1, 25, 1);
const STICKY: BalancerVersion = BalancerVersion(1, 29, 6);
const RANDOM: BalancerVersion = BalancerVersion(1, 15, 1);
const MEASURES: BalancerVersion = BalancerVersion(1, 31, 0);
const NAME: &str = "nginx.conf";

/// An upstream named `uuid` of all backends and a server that balances `/uuid` over them, as the original program ships it.
pub(crate) fn lines(topology: &Topology) -> String {
    let mut text = Lines::default();
    text.add(0, "upstream uuid {").add(4, "zone uuid 64k;");
    for backend in &topology.backends {
        text.add(4, format!("server {};", topology.address(backend.generator)));
    }
    text.add(0, "}")
        .add(0, "")
        .add(0, "server {")
        .add(4, "listen 80;")
        .add(4, "listen [::]:80;")
        .add(4, "server_name localhost;")
        .add(0, "");
    text.add(4, "location /uuid {");
    for line in backend_tls(topology, "proxy") {
        text.add(8, line);
    }
    text.add(8, format!("{}/;", pass(topology))).add(4, "}").add(0, "}");
    text.0
}

/// Where requests go; directives of gRPC's module have its name in front.
fn pass(topology: &Topology) -> &'static str {
    match (topology.http, topology.tls) {
        (BackendHttp::One | BackendHttp::Two, false) => "proxy_pass http://uuid",
        (BackendHttp::One | BackendHttp::Two, true) => "proxy_pass https://uuid",
        (BackendHttp::Grpc, false) => "grpc_pass grpc://uuid",
        (BackendHttp::Grpc, true) => "grpc_pass grpcs://uuid",
    }
}

/// Whose certificates are accepted, and for which name: NGINX verifies none by itself, and would take the upstream's name.
fn backend_tls(topology: &Topology, module: &str) -> Vec<String> {
    let Some(tls) = topology.backend_tls() else { return Vec::new() };
    let mut lines = vec![format!("{module}_ssl_server_name on;"), format!("{module}_ssl_name {};", tls.name)];
    match tls.authority {
        Some(file) => {
            lines.extend([format!("{module}_ssl_trusted_certificate {file};"), format!("{module}_ssl_verify on;")]);
        }
        None => lines.push(format!("{module}_ssl_verify off;")),
    }
    lines.extend(tls.revoked.map(|file| format!("{module}_ssl_crl {file};")));
    if let Some(file) = tls.certificate {
        lines.push(format!("{module}_ssl_certificate {file};"));
        lines.push(format!("{module}_ssl_certificate_key {file};"));
    }
    lines
}

/// An `nginx.conf`, or what goes inside its `http { … }`.
fn write(topology: &Topology, options: &Options) -> Result<WrittenConfig, Unsupported> {
    let body = upstream_and_server(topology, options)?;
    let head = head(&NGINX, options, topology);
    let mut text = Lines::default();
    text.add(0, format!("# {head}"));
    if options.snippet {
        text.add(0, "# Put it inside `http { … }`, or as a file into /etc/nginx/conf.d.").add(0, "").block(0, &body);
        return Ok(WrittenConfig {
            files: vec![File { name: "load_balancer.conf", text: text.0 }],
            run: None,
            overview: None,
        });
    }
    let run = StartCommand::of(&[], &format!("nginx -p . -e stderr -c {NAME}"));
    text.add(0, format!("# In the foreground, in the folder of this file: {run}"))
        .add(0, "# Reload it: kill -HUP; let it end what it began, and end: kill -QUIT")
        .add(0, "daemon off;")
        .add(0, format!("worker_processes {};", options.workers()))
        .add(0, "pid nginx.pid;")
        .add(0, "error_log stderr;")
        .add(0, "")
        .add(0, "events {")
        .add(4, "worker_connections 4096;")
        .add(0, "}")
        .add(0, "")
        .add(0, "http {")
        .add(4, "access_log off;")
        .add(4, "# What does not fit into memory, in the folder of this file.");
    for kind in ["client_body", "proxy", "fastcgi", "scgi", "uwsgi"] {
        text.add(4, format!("{kind}_temp_path temp_{kind};"));
    }
    text.add(0, "").block(4, &body).add(0, "}");
    Ok(WrittenConfig { files: vec![File { name: NAME, text: text.0 }], run: Some(run), overview: None })
}

fn upstream_and_server(topology: &Topology, options: &Options) -> Result<String, Unsupported> {
    let limits = VersionLimits::of(&NGINX, options);
    refuse(topology, options, limits)?;
    let mut text = Lines::default();
    // Over HTTP/2 a handshake of WebSocket would break the connection: those fields are not allowed there.
    if topology.http == BackendHttp::One {
        upgrade_maps(topology, limits, &mut text);
    }
    upstream(topology, limits, &mut text)?;
    text.add(0, "")
        .add(0, "server {")
        .add(4, format!("listen {}{};", options.listen(), listen_words(topology, limits)));
    if speaks_http2(topology) && limits.version >= HTTP2_DIRECTIVE {
        text.add(4, "http2 on;");
    }
    if let Some(file) = topology.listen_tls() {
        text.add(4, format!("ssl_certificate {file};")).add(4, format!("ssl_certificate_key {file};"));
    }
    text.add(0, "");
    forwarding(topology, &mut text);
    text.add(0, "");
    locations(topology, &mut text);
    text.add(0, "}");
    Ok(text.0)
}

fn refuse(topology: &Topology, options: &Options, limits: VersionLimits) -> Result<(), Unsupported> {
    limits.refuse_workers_in_snippet(options)?;
    limits.refuse_if(
        topology.health.is_some(),
        "probe the health of backends (--health-path): that takes NGINX Plus",
        "--max-fails and --fail-timeout avoid a backend that fails requests",
    )?;
    limits.refuse_if(
        topology.proxy_protocol,
        "speak the PROXY protocol to HTTP backends (--proxy-protocol), only in its stream module",
        "HAProxy, Envoy and Caddy can; or send the client's address in a header: proxy_set_header X-Forwarded-For",
    )?;
    limits.refuse_if(
        topology.http == BackendHttp::Two && limits.version < HTTP2_TO_BACKENDS,
        &format!("speak HTTP/2 to backends (--backend-protocol h2c, h2): from {HTTP2_TO_BACKENDS}"),
        "--backend-protocol grpc, or grpcs: grpc_pass carries any request over HTTP/2",
    )
}

fn upgrade_maps(topology: &Topology, limits: VersionLimits, text: &mut Lines) {
    let otherwise = if closes(topology, limits) { "close" } else { "\"\"" };
    text.add(0, "# Handshakes of WebSockets are passed on, and no other upgrade.")
        .add(0, "map $http_upgrade $uuid_upgrade {")
        .add(4, "~*^websocket$ websocket;")
        .add(4, "default \"\";")
        .add(0, "}")
        .add(0, "map $uuid_upgrade $uuid_connection {")
        .add(4, "websocket upgrade;")
        .add(4, format!("default {otherwise};"))
        .add(0, "}")
        .add(0, "");
}

fn upstream(topology: &Topology, limits: VersionLimits, text: &mut Lines) -> Result<(), Unsupported> {
    text.add(0, "upstream uuid {");
    text.add(4, "# The workers share what they know; else each goes in its own order.").add(4, "zone uuid 64k;");
    for line in method(topology, limits)? {
        text.add(4, line);
    }
    let failure = match &topology.failure {
        None => String::new(),
        Some(failure) if failure.fail_timeout.subsec_nanos() == 0 => {
            format!(" max_fails={} fail_timeout={}", failure.max_fails, time(failure.fail_timeout))
        }
        Some(_) => return Err(limits.cannot("avoid a backend for a part of a second", "--fail-timeout 1s")),
    };
    for backend in &topology.backends {
        let address = topology.socket(backend.generator).map(|socket| format!("unix:{socket}"));
        let address = address.unwrap_or_else(|| topology.address(backend.generator));
        let weight = if backend.weight.get() > 1 { format!(" weight={}", backend.weight) } else { String::new() };
        let backup = if backend.backup { " backup" } else { "" };
        text.add(4, format!("server {address}{weight}{failure}{backup};"));
    }
    if let Policy::Sticky(name) = &topology.policy {
        text.add(4, format!("sticky cookie {name} path=/ httponly samesite=lax;"));
    }
    let keeps_by_itself = limits.version >= KEEPS_CONNECTIONS;
    match topology.keep_alive {
        Some(0) if keeps_by_itself => {
            text.add(4, "# A connection for each request.").add(4, "keepalive 0;");
        }
        Some(count @ 1..) => {
            text.add(4, "# Idle connections that each worker keeps.").add(4, format!("keepalive {count};"));
        }
        Some(0) | None => (),
    }
    text.add(0, "}");
    Ok(())
}

/// How requests are forwarded, wherever they are passed: fields, protocol, TLS, timeouts, retries.
fn forwarding(topology: &Topology, text: &mut Lines) {
    let module = if topology.http == BackendHttp::Grpc { "grpc" } else { "proxy" };
    text.add(4, format!("{module}_set_header Host $http_host;"))
        .add(4, format!("{module}_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"))
        .add(4, format!("{module}_set_header X-Forwarded-Proto $scheme;"))
        .add(4, format!("{module}_set_header X-Forwarded-Host $http_host;"));
    match topology.http {
        BackendHttp::One => {
            text.add(4, "proxy_http_version 1.1;")
                .add(4, "proxy_set_header Upgrade $uuid_upgrade;")
                .add(4, "proxy_set_header Connection $uuid_connection;");
        }
        BackendHttp::Two => {
            text.add(4, "# Without trailers: those NGINX passes on with grpc_pass alone.")
                .add(4, "proxy_http_version 2;");
        }
        BackendHttp::Grpc => {
            text.add(4, "# A stream of messages has no length that is known before.").add(4, "client_max_body_size 0;");
        }
    }
    for line in backend_tls(topology, module) {
        text.add(4, line);
    }
    text.maybe(4, topology.timeouts.connect.map(|it| format!("{module}_connect_timeout {};", time(it))));
    if let Some(silence) = topology.timeouts.answer.or(topology.timeouts.stream).map(time) {
        text.add(4, format!("{module}_send_timeout {silence};")).add(4, format!("{module}_read_timeout {silence};"));
    }
    match &topology.retries {
        None => (),
        Some(retries) if retries.attempts == 0 => {
            text.add(4, format!("{module}_next_upstream off;"));
        }
        Some(retries) => {
            let also = if retries.non_idempotent { " non_idempotent" } else { "" };
            text.add(4, format!("{module}_next_upstream error timeout{also};"));
            text.add(4, format!("{module}_next_upstream_tries {}; # the first one counts", retries.attempts + 1));
        }
    }
}

fn locations(topology: &Topology, text: &mut Lines) {
    let path = &topology.path;
    if path.is_root() {
        text.add(4, "location / {").add(8, format!("{};", pass(topology))).add(4, "}");
        return;
    }
    // One location for both would also take what only begins alike, and give what is below two slashes.
    for location in [format!("= {path}"), format!("{path}/")] {
        text.add(4, format!("location {location} {{"));
        if topology.http == BackendHttp::Grpc {
            // grpc_pass takes no path.
            let pattern = path.as_str().replace('.', "\\.");
            text.add(8, format!("rewrite ^{pattern}/?(.*)$ /$1 break;")).add(8, format!("{};", pass(topology)));
        } else {
            text.add(8, format!("{}/;", pass(topology)));
        }
        text.add(4, "}");
    }
}

/// Each request to a backend has a connection of its own.
fn closes(topology: &Topology, limits: VersionLimits) -> bool {
    match topology.keep_alive {
        Some(count) => count == 0,
        None => limits.version < KEEPS_CONNECTIONS,
    }
}

/// Clients may speak HTTP/2: by ALPN, or without TLS.
fn speaks_http2(topology: &Topology) -> bool {
    topology.listen_tls.is_some() || topology.speaks_clear_http2()
}

fn listen_words(topology: &Topology, limits: VersionLimits) -> &'static str {
    let is_old = speaks_http2(topology) && limits.version < HTTP2_DIRECTIVE;
    match (topology.listen_tls.is_some(), is_old) {
        (true, true) => " ssl http2",
        (true, false) => " ssl",
        // Such a port speaks nothing else.
        (false, true) => " http2",
        (false, false) => "",
    }
}

/// The lines that go before the servers: NGINX reads what those may say by them.
fn method(topology: &Topology, limits: VersionLimits) -> Result<Vec<String>, Unsupported> {
    let has_backup = topology.backups().next().is_some();
    let no_backup = |method: &str| {
        let what = format!("have a backup (--backup) with the method `{method}`");
        limits.refuse_if(has_backup, &what, "round-robin, least-connections and sticky may have one")
    };
    let hash = |key: &str, comment: &str| {
        no_backup("hash")?;
        Ok(vec![format!("# {comment}"), format!("hash {key} consistent;")])
    };
    match &topology.policy {
        Policy::RoundRobin => Ok(Vec::new()),
        Policy::LeastConnections => Ok(vec!["least_conn;".to_owned()]),
        Policy::LeastTime => {
            limits.refuse_if(limits.version < MEASURES, &format!("{LEAST_TIME}: from {MEASURES}"), FEWEST)?;
            let comment = "# By the time until the head of a response; `last_byte` goes by that until its end.";
            Ok(vec![comment.to_owned(), "least_time header;".to_owned()])
        }
        Policy::Random | Policy::TwoChoices => {
            no_backup("random")?;
            limits.refuse_if(
                limits.version < RANDOM,
                &format!("pick by chance: from {RANDOM}"),
                "--algorithm least-connections",
            )?;
            let two = topology.policy == Policy::TwoChoices;
            Ok(vec![if two { "random two least_conn;" } else { "random;" }.to_owned()])
        }
        Policy::Source => {
            hash("$remote_addr", "The whole address; `ip_hash` looks at the first three of its four numbers only.")
        }
        Policy::Uri => hash("$request_uri", "Path and query, as the client sent them."),
        Policy::Header(name) => {
            limits.refuse_if(
                !name.is_plain(b"-"),
                &format!("name the header {name} in a variable"),
                "a header whose name has only letters, digits, `-` and `_`",
            )?;
            let variable = name.as_str().to_ascii_lowercase().replace('-', "_");
            hash(&format!("$http_{variable}"), "Requests without the header go round robin.")
        }
        Policy::Cookie(name) => {
            limits.refuse_if(
                !name.is_plain(b""),
                &format!("name the cookie {name} in a variable"),
                "a cookie whose name has only letters, digits and `_`",
            )?;
            hash(&format!("$cookie_{name}"), "Requests without the cookie go round robin.")
        }
        Policy::Sticky(name) => {
            let what = format!("stick to a backend by a cookie of its own (--algorithm sticky): from {STICKY}");
            let nearest = format!(
                "--algorithm cookie:{name} goes by a cookie that the client brings, --algorithm source by its address"
            );
            limits.refuse_if(limits.version < STICKY, &what, &nearest)?;
            Ok(Vec::new())
        }
    }
}

/// In the foreground. What is wrong with the file NGINX itself says best.
fn own(file: &Path) -> anyhow::Result<Own> {
    let main = read::nginx::files::read(file).map(|configuration| configuration.main).unwrap_or_default();
    let value = |name: &str| main.iter().find_map(|words| words.strip_prefix([name.to_owned()].as_slice()));
    let mut globals = String::new();
    match value("daemon").map(<[String]>::concat).as_deref() {
        Some("on") => {
            let problem =
                Problem::new("has `daemon on`, but a balancer that is started here must run in the foreground");
            return Err(problem.on(file.display()).hint("leave that line out").into());
        }
        Some(_) => {}
        None => globals += "daemon off; ",
    }
    // Another NGINX may be the one of that pid file, also of the one that is compiled in.
    let mut covered = Vec::new();
    match value("pid").map(<[String]>::concat) {
        Some(pid) => covered.extend(Some(Path::new(&pid).to_owned()).filter(|pid| pid.is_absolute())),
        None => globals += &format!("pid {SCRATCH}/nginx.pid;"),
    }
    let file = file.to_string_lossy();
    let mut arguments = ["-p", SCRATCH, "-e", "stderr", "-c", &file].map(str::to_owned).to_vec();
    if !globals.is_empty() {
        arguments.extend(["-g".to_owned(), globals]);
    }
    Ok(Own { arguments, covered, ..Own::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Ports;

    fn of_the_original() -> Topology {
        Topology::of("localhost".parse().unwrap(), Ports::of_the_original().meant().unwrap())
    }

    #[test]
    fn the_live_view_shows_the_lines_that_the_terminal_shows() {
        let page = include_str!("../fleet/page/balancer.js");
        let topology = of_the_original();
        for line in lines(&topology).lines().filter(|line| !line.is_empty() && !line.contains("    server 1")) {
            let line = line.replace("proxy_pass http://uuid/;", "://uuid/;");
            assert!(page.contains(line.trim_start()), "{line}");
        }
    }

    fn without_comments(text: &str) -> String {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n"));
        lines.collect::<String>().trim_start().to_owned()
    }

    #[test]
    fn the_file_that_is_shipped_is_what_is_written_for_the_default_fleet() {
        let shipped = without_comments(include_str!("../../load_balancer.conf"));
        assert_eq!(shipped, lines(&of_the_original()));
    }
}
