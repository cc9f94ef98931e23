//! HAProxy: a whole `haproxy.cfg`, or its frontend and backend.

use std::path::{Path, PathBuf};

use crate::balancer::limits::{FEWEST, LEAST_TIME, VersionLimits, head, time};
use crate::balancer::lines::Lines;
use crate::balancer::options::{BalancerVersion, Options};
use crate::balancer::own::{Own, SCRATCH};
use crate::balancer::path::quoted;
use crate::balancer::product::{Likelihood, Product, Program, ReloadSignal, SeveralFiles};
use crate::balancer::read::reported::ServerReport;
use crate::balancer::read::{self, files};
use crate::balancer::topic::HintTopic;
use crate::balancer::written::{File, StartCommand, Unsupported, WrittenConfig};
use crate::error::Problem;
use crate::topology::{BackendHttp, Policy, Topology};

pub(crate) const HAPROXY: Product = Product {
    name: "haproxy",
    title: "HAProxy",
    newest: BalancerVersion(2, 6, 12),
    program: Program::OnPath { version_argument: "-v" },
    install: "sudo apt-get install haproxy",
    reload: Some(ReloadSignal::Usr2),
    // It draws from a hash ring with few points, whose arcs differ.
    retries_refused: true,
    usual_fail_timeout: std::time::Duration::ZERO,
    avoids_longer_each_time: false,
    matches_port_of_host: false,
    random_spread: Some((0.16, 0.08)),
    write,
    directive,
    of_calls: || None,
    calls_itself: &["haproxy"],
    own_pages: &[
        "your browser sent an invalid request",
        "request forbidden by administrative rules",
        "your browser didn't send a complete request in time",
        "the server returned an invalid or incomplete response",
        "no server is available to handle this request",
        "the server didn't respond in time",
    ],
    own: Some(own),
    alone: Some(|file| vec!["-f".into(), file.into()]),
    several: Some(SeveralFiles { of_folder: files::haproxy_folder, read: files::haproxy_files }),
    read: Some(files::haproxy),
    recognises: |file| Likelihood::surely_if(file.extension == "cfg"),
    reports: Some(ServerReport::Socket { command: "show servers state\n", read: read::haproxy::states::read_states }),
    renew: Some(renew),
    store: None,
};

/// What decides there; empty where it has nothing of the kind.
fn directive(topic: HintTopic) -> &'static str {
    match topic {
        HintTopic::Verify => "ssl verify required ca-file FILE verifyhost NAME on the server",
        HintTopic::VerifyName => "verifyhost NAME on the server",
        HintTopic::Revocation => "crl-file FILE on the server",
        HintTopic::ServerName => "sni str(NAME) on the server",
        HintTopic::ClientCertificate => "crt FILE on the server",
        HintTopic::BodyLimit => "tune.bufsize, or a deny rule on req.body_size",
        HintTopic::HeadLimit => "tune.bufsize, tune.http.maxhdr",
        HintTopic::SlowRequest => "timeout http-request, timeout client",
        HintTopic::RateLimit => "stick-table http_req_rate",
        HintTopic::Overload => "maxconn, timeout queue",
        HintTopic::NoBackend => "check, fall and rise of the servers, option redispatch",
        HintTopic::Timeout => "timeout server",
        HintTopic::UnusableRequest => "bind … ssl, verify required or accept-proxy",
        HintTopic::Redirect => "http-request redirect",
        HintTopic::Credentials => "http-request auth",
        HintTopic::Access => "http-request deny",
        HintTopic::Route => "use_backend, default_backend",
        HintTopic::Methods => "http-request deny with METH_…",
        HintTopic::RetriesOfPost => "http-request disable-l7-retry if METH_POST",
        HintTopic::Repeats => "retry-on, timeout server",
        HintTopic::Unprocessed => "retry-on all-retryable-errors, option redispatch 1",
        HintTopic::OtherHost => "option redispatch 1",
        HintTopic::Mirror => "filter spoe",
        HintTopic::Connections => "maxconn, tcp-request connection reject",
        HintTopic::IdleTimeout => "timeout http-keep-alive",
        HintTopic::KeptToBackends => "pool-purge-delay, http-reuse",
        HintTopic::Loss => "timeout server, timeout client, hard-stop-after",
        HintTopic::Cache => "http-request cache-use",
        HintTopic::AddressBehindProxy => "http-request set-src hdr(x-forwarded-for), or balance hdr(X-Forwarded-For)",
        HintTopic::Rewrite => "http-request set-path, replace-path",
        HintTopic::Escapes => "no http-request normalize-uri",
        HintTopic::Query => "http-request set-query, set-uri",
        HintTopic::Host => "http-request set-header Host",
        HintTopic::Method => "http-request set-method",
        HintTopic::Body => "a Lua or SPOE filter",
        HintTopic::RequestFields => "http-request set-header, del-header",
        HintTopic::ResponseFields => "http-response set-header, del-header",
        HintTopic::Responses => "http-response return, http-error, a Lua filter",
        HintTopic::ForwardedFor => "http-request set-header X-Forwarded-For %[src]",
        HintTopic::Sessions => "peers and expire of the stick table, cookie … insert, maxidle, maxlife",
        HintTopic::Hashes => "hash-type consistent",
        HintTopic::Reload => "-W and USR2, load-server-state-from-file where servers are down",
        HintTopic::Upgrade => "no http-request del-header Upgrade",
        HintTopic::Buffering => "option http-no-delay",
        HintTopic::Bandwidth => "filter bwlim-out",
        HintTopic::StreamIdle => "timeout tunnel, timeout server, timeout client",
        HintTopic::StreamAge => "timeout server, hard-stop-after",
        HintTopic::StreamReload => "hard-stop-after",
        HintTopic::StreamShares => "balance leastconn",
        HintTopic::Recovery => "check inter, fall, rise and slowstart of the server, observe layer7",
        HintTopic::Panic | HintTopic::Deadline | HintTopic::Rotations => "",
        HintTopic::Underscores => "",
        HintTopic::BackendHttp2 => "proto h2 on the server",
        HintTopic::Leaving => "option abortonclose",
        HintTopic::Compression => "compression type without application/grpc",
        HintTopic::AllAddresses => "server-template with resolvers",
    }
}

/// From here on all that is written is known: `balance hash` is the latest of it.
const OLDEST: BalancerVersion = BalancerVersion(2, 6, 0);
const NAME: &str = "haproxy.cfg";

/// A master hands its listening sockets to new workers; without one, a new process takes over from the old ones.
fn renew(file: &Path, further: &[PathBuf]) -> String {
    let files = || std::iter::once(file).chain(further.iter().map(PathBuf::as_path));
    let texts: Vec<String> = files().map(|file| std::fs::read_to_string(file).unwrap_or_default()).collect();
    let options = files().map(|file| format!("-f {}", quoted(file))).collect::<Vec<_>>().join(" ");
    let pids = "$(for it in /proc/[0-9]*; do grep -qx haproxy $it/comm && echo ${it#/proc/}; done)";
    let take_over =
        if texts.iter().flat_map(|text| text.lines()).any(|line| line.trim_start().starts_with("master-worker")) {
            format!("kill -USR2 {pids}")
        } else {
            format!("haproxy -D {options} -sf {pids}")
        };
    format!("haproxy -q -c {options} && {take_over}")
}

/// A `haproxy.cfg`, or what goes behind the `defaults` of one.
fn write(topology: &Topology, options: &Options) -> Result<WrittenConfig, Unsupported> {
    let body = frontend_and_backend(topology, options)?;
    let mut text = Lines::default();
    text.add(0, format!("# {}", head(&HAPROXY, options, topology)));
    if options.snippet {
        text.add(0, "# Put it behind `defaults` that have timeouts.").add(0, "").block(0, &body);
        return Ok(WrittenConfig { files: vec![File { name: NAME, text: text.0 }], run: None, overview: None });
    }
    let run = StartCommand::of(&[], &format!("haproxy -W -db -f {NAME}"));
    text.add(0, format!("# In the foreground, in the folder of this file: {run}"))
        .add(0, "# Reload it: kill -USR2; let it end what it began, and end: kill -USR1")
        .add(0, "global")
        .add(4, "log stdout format raw local0 notice")
        .add(4, "maxconn 4096")
        .add(4, format!("nbthread {}", options.workers()))
        .add(0, "")
        .add(0, "defaults")
        .add(4, "mode http")
        .add(4, "log global")
        .add(4, "timeout http-request 10s")
        .add(4, "timeout connect 5s")
        .add(4, "timeout client 60s")
        .add(4, "timeout server 60s")
        .add(4, "# WebSockets may be silent for longer.")
        .add(4, "timeout tunnel 1h")
        .add(0, "")
        .block(0, &body);
    Ok(WrittenConfig { files: vec![File { name: NAME, text: text.0 }], run: Some(run), overview: None })
}

fn frontend_and_backend(topology: &Topology, options: &Options) -> Result<String, Unsupported> {
    let limits = VersionLimits::of(&HAPROXY, options);
    limits.refuse_workers_in_snippet(options)?;
    limits.refuse_if_older_than(OLDEST)?;
    let watches = topology.health.is_some() || topology.failure.is_some();
    limits.refuse_if(
        topology.backups().next().is_some() && !watches,
        "use a backup (--backup) unless it finds out who is down",
        "add --health-path /readyz, or --max-fails 1",
    )?;
    let mut text = Lines::default();
    frontend(topology, options, &mut text);
    text.add(0, "")
        .add(0, "# What HAProxy calls a backend is the whole fleet; a server is one of it.")
        .add(0, "backend uuid");
    text.add(4, "mode http");
    for line in balance(topology, limits)? {
        text.add(4, line);
    }
    backend(topology, &mut text);
    Ok(text.0)
}

fn frontend(topology: &Topology, options: &Options, text: &mut Lines) {
    let path = &topology.path;
    let listen = options.listen();
    let bind = listen.address.map_or(format!(":{}", listen.port), |_| listen.to_string());
    let own = topology.listen_tls().map_or_else(String::new, |file| format!(" ssl crt {file} alpn h2,http/1.1"));
    text.add(0, "frontend uuid").add(4, "mode http").add(4, format!("bind {bind}{own}"));
    text.maybe(4, topology.timeouts.stream.map(|it| format!("timeout client {}", time(it))));
    text.add(4, "option forwardfor");
    if !path.is_root() {
        text.add(4, format!("http-request return status 404 unless {{ path {path} }} || {{ path_beg {path}/ }}"));
    }
    let proto = if topology.listen_tls.is_some() { "https" } else { "http" };
    text.add(4, format!("http-request set-header X-Forwarded-Proto {proto}"))
        .add(4, "http-request set-header X-Forwarded-Host %[req.hdr(Host)]")
        .add(4, "default_backend uuid");
}

/// How requests are forwarded, and the servers.
fn backend(topology: &Topology, text: &mut Lines) {
    let path = &topology.path;
    if !path.is_root() {
        text.add(4, format!("http-request replace-path ^{}/?(.*) /\\1", path.as_str().replace('.', "\\.")));
    }
    let timeouts = &topology.timeouts;
    text.maybe(4, timeouts.connect.map(|it| format!("timeout connect {}", time(it))));
    text.maybe(4, timeouts.answer.or(timeouts.stream).map(|it| format!("timeout server {}", time(it))));
    text.maybe(4, timeouts.stream.map(|it| format!("timeout tunnel {}", time(it))));
    if topology.http == BackendHttp::One {
        text.add(4, "# Else events of a stream wait for those that follow, for 200 ms.").add(4, "option http-no-delay");
    }
    retries(topology, text);
    if let Some(health) = &topology.health {
        text.add(4, "option httpchk")
            .add(4, format!("http-check send meth GET uri {} ver HTTP/1.1 hdr Host uuid", health.path))
            .add(4, "http-check expect status 200")
            .add(4, format!("timeout check {}", time(health.timeout)));
    }
    match topology.keep_alive {
        Some(0) => text.add(4, "option http-server-close"),
        Some(_) => text.add(4, "# Also for the first request of a client's connection.").add(4, "http-reuse always"),
        None => &mut *text,
    };
    if let (None, Some(_)) = (&topology.health, &topology.failure) {
        text.add(4, "# Who is down is taken back when it accepts a connection.");
    }
    if topology.failure.is_some() {
        text.add(4, "# Errors in a row; statuses of 500 and above are such too.");
    }
    let each = format!("{}{}", checks(topology), connections(topology));
    text.maybe(4, (!each.is_empty()).then(|| format!("default-server{each}")));
    for backend in &topology.backends {
        let address = topology.socket(backend.generator).map(|socket| format!("unix@{socket}"));
        let address = address.unwrap_or_else(|| topology.address(backend.generator));
        let mut line = format!("server {} {address}", server_name(&backend.name));
        if topology.is_weighted() {
            line += &format!(" weight {}", backend.weight);
        }
        if let Policy::Sticky(_) = topology.policy {
            line += &format!(" cookie {}", server_name(&backend.name));
        }
        if backend.backup {
            line += " backup";
        }
        text.add(4, line);
    }
}

/// How each server is watched: words of `default-server`.
fn checks(topology: &Topology) -> String {
    let mut each = match (&topology.health, &topology.failure) {
        (None, None) => String::new(),
        (Some(health), failure) => {
            let down = failure.as_ref().map(|failure| format!(" downinter {}", time(failure.fail_timeout)));
            let (interval, rise, fall) = (time(health.interval), health.rise, health.fall);
            format!(" check inter {interval} rise {rise} fall {fall}{}", down.unwrap_or_default())
        }
        (None, Some(failure)) => format!(" check inter {} rise 1", time(failure.fail_timeout)),
    };
    if let Some(failure) = &topology.failure {
        each += &format!(" observe layer7 error-limit {} on-error mark-down", failure.max_fails);
    }
    each
}

/// How connections to each server are made: words of `default-server`.
fn connections(topology: &Topology) -> String {
    let mut each = String::new();
    if let Some(count @ 1..) = topology.keep_alive {
        each += &format!(" pool-max-conn {count}");
    }
    if topology.proxy_protocol {
        each += " send-proxy";
    }
    if let Some(tls) = topology.backend_tls() {
        each += &match tls.authority {
            Some(file) => format!(" ssl verify required ca-file {file} verifyhost {}", tls.name),
            None => " ssl verify none".to_owned(),
        };
        if let Some(file) = tls.revoked {
            each += &format!(" crl-file {file}");
        }
        if let Some(file) = tls.certificate {
            each += &format!(" crt {file}");
        }
        each += &format!(" sni str({})", tls.name);
    }
    each += match (topology.http, topology.tls) {
        (BackendHttp::One, _) => "",
        (BackendHttp::Two | BackendHttp::Grpc, false) => " proto h2",
        (BackendHttp::Two | BackendHttp::Grpc, true) => " alpn h2",
    };
    each
}

/// HAProxy takes letters, digits and any of `-_.:` in the name of a server.
fn server_name(name: &str) -> String {
    name.trim_matches(['[', ']']).replace("]:", ":").replace('/', "_")
}

fn balance(topology: &Topology, limits: VersionLimits) -> Result<Vec<String>, Unsupported> {
    let hash = |balance: String| vec![balance, "hash-type consistent".to_owned()];
    Ok(match &topology.policy {
        Policy::RoundRobin => vec!["balance roundrobin".to_owned()],
        Policy::LeastConnections => vec!["balance leastconn".to_owned()],
        Policy::LeastTime => return Err(limits.cannot(LEAST_TIME, FEWEST)),
        Policy::Random => vec!["balance random(1)".to_owned()],
        Policy::TwoChoices => vec!["balance random(2)".to_owned()],
        Policy::Source => hash("balance source".to_owned()),
        Policy::Uri => hash("balance uri whole".to_owned()),
        Policy::Header(name) => hash(format!("balance hdr({name})")),
        Policy::Cookie(name) => hash(format!("balance hash req.cook({name})")),
        Policy::Sticky(name) => {
            vec![
                "balance roundrobin".to_owned(),
                format!("cookie {name} insert indirect nocache httponly attr SameSite=Lax"),
            ]
        }
    })
}

fn retries(topology: &Topology, text: &mut Lines) {
    match &topology.retries {
        None => {
            if let Policy::Sticky(_) = topology.policy {
                text.add(4, "# Else a client whose backend is down gets 503 for ever.").add(4, "option redispatch");
            }
        }
        Some(retries) => {
            text.add(4, format!("retries {}", retries.attempts));
            if retries.attempts > 0 {
                text.add(4, "# To another backend, from the first retry on.")
                    .add(4, "option redispatch 1")
                    .add(4, "retry-on conn-failure empty-response response-timeout");
                if !retries.non_idempotent {
                    text.add(
                        4,
                        format!("http-request disable-l7-retry unless {{ method {} }}", http::IDEMPOTENT.join(" ")),
                    );
                }
            }
        }
    }
}

/// With a pid file of its own, whatever the file says. HAProxy takes over a socket that another one listens on: then it is not run.
fn own(file: &Path) -> anyhow::Result<Own> {
    let text = std::fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    for (line, path) in sockets(&text) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            let problem = format!("a process of this machine listens on {path}, and HAProxy would take it over");
            let problem = Problem::new(problem).on(format!("{}, line {line}", file.display()));
            return Err(problem.hint("give the file another path there, or stop that process").into());
        }
    }
    let pid = format!("{SCRATCH}/haproxy.pid");
    Ok(Own::beside(file, &["-W", "-db", "-p", &pid, "-f", &file.to_string_lossy()]))
}

/// The unix sockets on which a file lets HAProxy listen, each with its line.
fn sockets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = match (words.next()?, words.next()?) {
            ("stats", "socket") => words.next()?,
            ("bind", address) => address,
            _ => return None,
        };
        let path = address.strip_prefix("unix@").unwrap_or(address);
        path.starts_with('/').then_some((index + 1, path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_somebody_listens_on_is_not_taken_over() {
        let folder = std::env::temp_dir().join(format!("uuid-generator-haproxy-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let (socket, file) = (folder.join("admin.sock"), folder.join("haproxy.cfg"));
        let text = format!("global\n stats socket {} mode 660 # a\nfrontend f\n bind 127.0.0.1:80\n", socket.display());
        std::fs::write(&file, &text).unwrap();
        assert_eq!(sockets(&text).collect::<Vec<_>>(), [(2, socket.to_str().unwrap())]);
        assert!(own(&file).is_ok(), "nobody listens there");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(own(&file).unwrap_err().to_string().contains("line 2: a process"));
        drop(listener);
        assert!(own(&file).is_ok(), "a stale socket is nobody's");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
