//! Rehearsals of files as production has them, of the other balancers: names that only production resolves, services (SRV), certificates
//! of which the key is out of reach, folders that this machine lacks. What each expects is what the balancer itself does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;

use crate::support::TemporaryDirectory;

const HAPROXY: &str = "
global
    log /dev/log local0
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    user haproxy
    group haproxy
    daemon
    maxconn 2000
defaults
    log global
    mode http
    option httplog
    timeout connect 5s
    timeout client 30s
    timeout server 30s
resolvers corp
    nameserver ns1 10.0.0.53:53
    resolve_retries 2
    timeout retry 500ms
frontend shop
    bind *:80
    bind *:443 ssl crt /etc/haproxy-of-a-test/shop.pem
    http-request redirect scheme https unless { ssl_fc }
    acl api path_beg /api
    use_backend api if api
    default_backend web
backend web
    balance roundrobin
    option httpchk GET /healthz
    server app1 app1.internal:8080 check weight 20 resolvers corp init-addr libc,none
    server app2 app2.internal:8080 check weight 10 resolvers corp init-addr libc,none
    server spare 10.50.0.9:8080 check backup
backend api
    balance roundrobin
    server-template api 4 _http._tcp.api.internal check resolvers corp init-addr none
";

const ENVOY: &str = r#"
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 9901 } } }
static_resources:
  listeners:
  - name: web
    address: { socket_address: { address: 0.0.0.0, port_value: 8443 } }
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - certificate_chain: { filename: /etc/envoy-of-a-test/shop.crt }
              private_key: { filename: /etc/envoy-of-a-test/shop.key }
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          route_config:
            virtual_hosts:
            - name: shop
              domains: ["shop.example", "shop.example:*"]
              routes: [ { match: { prefix: "/" }, route: { cluster: web } } ]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: web
    type: STRICT_DNS
    connect_timeout: 1s
    load_assignment:
      cluster_name: web
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: app1.internal, port_value: 8080 } } }
          load_balancing_weight: 2
        - endpoint: { address: { socket_address: { address: app2.internal, port_value: 8080 } } }
          load_balancing_weight: 1
"#;

const TRAEFIK: &str = "
entryPoints: { websecure: { address: \":443\" } }
providers: { file: { filename: dynamic.yml } }
accessLog: { filePath: /var/log/traefik-of-a-test/access.log }
";

const TRAEFIK_SERVICES: &str = r#"
tls: { certificates: [ { certFile: /etc/traefik-of-a-test/shop.crt, keyFile: /etc/traefik-of-a-test/shop.key } ] }
http:
  routers: { shop: { rule: "Host(`shop.example`)", service: web, tls: {} } }
  services:
    web: { loadBalancer: { servers: [ { url: "http://10.30.0.1:8080" }, { url: "http://10.30.0.2:8080" }, { url: "http://app.internal:8080" } ] } }
"#;

const CADDY: &str = "
shop.example {
  reverse_proxy 10.40.0.1:8080 app2.internal:8080 {
    lb_policy round_robin
    health_uri /healthz
    health_interval 1s
  }
}
";

/// One kind of file.
struct Kind {
    balancer: &'static str,
    /// The first is the one that is rehearsed.
    files: &'static [(&'static str, &'static str)],
    url: &'static str,
    options: &'static [&'static str],
    backends: &'static [&'static str],
    shares: &'static str,
    algorithm: &'static str,
}

const NGINX_VERIFIES: &str = "
user root; pid /run/nginx.pid; events {}
http {
    upstream shop { zone s 64k; server 10.20.0.11:8443; server app2.internal:8443; }
    server {
        listen 80;
        location / {
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate /etc/ssl/corp-of-a-test/ca.pem;
            proxy_pass https://shop;
        }
    }
}
";

const KINDS: [Kind; 6] = [
    Kind {
        balancer: "haproxy",
        files: &[("haproxy.cfg", HAPROXY)],
        url: "https://shop.example/",
        options: &[],
        backends: &["app1", "app2", "spare"],
        shares: "app1=20,app2=10,spare=0",
        algorithm: "weighted-round-robin",
    },
    Kind {
        balancer: "haproxy",
        files: &[("haproxy.cfg", HAPROXY)],
        url: "https://shop.example/api/items",
        options: &["--name", "_http._tcp.api.internal=3:9000"],
        backends: &["1.api.internal", "2.api.internal", "3.api.internal"],
        shares: "1.api.internal=1,2.api.internal=1,3.api.internal=1",
        algorithm: "round-robin",
    },
    Kind {
        balancer: "envoy",
        files: &[("envoy.yaml", ENVOY)],
        url: "https://shop.example:8443/",
        options: &[],
        backends: &["app1.internal", "app2.internal"],
        shares: "app1.internal=2,app2.internal=1",
        algorithm: "weighted-round-robin",
    },
    Kind {
        balancer: "traefik",
        files: &[("traefik.yml", TRAEFIK), ("dynamic.yml", TRAEFIK_SERVICES)],
        url: "https://shop.example/",
        options: &[],
        backends: &["10.30.0.1:8080", "10.30.0.2:8080", "app.internal"],
        shares: "10.30.0.1:8080=1,10.30.0.2:8080=1,app.internal=1",
        algorithm: "round-robin",
    },
    Kind {
        balancer: "nginx",
        files: &[("nginx.conf", NGINX_VERIFIES)],
        url: "http://shop.example/",
        options: &[],
        backends: &["10.20.0.11:8443", "app2.internal"],
        shares: "10.20.0.11:8443=1,app2.internal=1",
        algorithm: "round-robin",
    },
    Kind {
        balancer: "caddy",
        files: &[("Caddyfile", CADDY)],
        url: "https://shop.example/",
        options: &[],
        backends: &["10.40.0.1:8080", "app2.internal"],
        shares: "10.40.0.1:8080=1,app2.internal=1",
        algorithm: "round-robin",
    },
];

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// As an unprivileged user if this one is root.
fn rehearse(place: &TemporaryDirectory, kind: &Kind, words: &[&str]) -> Output {
    for (name, text) in kind.files {
        fs::write(place.path().join(name), text).unwrap();
    }
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = env!("CARGO_BIN_EXE_uuid-generator");
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
        command
    } else {
        Command::new(program)
    };
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.balancers/programs");
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}:/usr/sbin", programs.display())).current_dir("/");
    command.args(["rehearse", kind.balancer]).arg(place.path().join(kind.files[0].0)).arg(kind.url);
    command.args(kind.options).args(words).output().unwrap()
}

/// Of files of this machine that a rehearsal could change: their lengths and times.
fn state() -> Vec<String> {
    let files = [
        "/run/nginx.pid",
        "/run/haproxy.pid",
        "/etc",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/var/log",
        "/var/cache",
        "/var/lib",
    ];
    let state = |file: &&str| {
        let metadata = fs::metadata(file).ok();
        let facts = metadata.map(|it| (it.len(), it.modified().unwrap()));
        format!("{file}: {facts:?}")
    };
    files.iter().map(state).collect()
}

fn expect_what_it_says(kind: &Kind) {
    let place = TemporaryDirectory::new();
    let about = format!("{} {}", kind.balancer, kind.url);
    let output = rehearse(&place, kind, &["-n", "300", "--no-experiments", "--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{about}: {}", said(&output)));
    // Without experiments nothing is found out of the algorithm.
    assert_eq!(output.status.code(), Some(3), "{about}: {report:#}");
    assert_eq!(report["checks"][0]["fleet"]["backends"], serde_json::json!(kind.backends), "{about}");
    let text = report.to_string();
    assert!(text.contains(kind.shares), "{about}: {report:#}");
    assert!(text.contains(&format!("{} was expected", kind.algorithm)), "{about}: {report:#}");
    let findings = report["checks"][0]["findings"].as_array().unwrap();
    let failed: Vec<_> = findings.iter().filter(|it| it["level"] == "fail").collect();
    assert!(failed.is_empty(), "{about}: {failed:#?}");
    // The balancer itself does what was read.
    let weights: Vec<f64> = kind.shares.split(',').map(|it| it.rsplit_once('=').unwrap().1.parse().unwrap()).collect();
    let rows = report["checks"][0]["shares"]["rows"].as_array().unwrap();
    for (row, weight) in rows.iter().zip(&weights) {
        let expected = 300.0 * weight / weights.iter().sum::<f64>();
        let count = row["count"].as_u64().unwrap() as f64;
        assert!((count - expected).abs() <= 15.0, "{about}: {rows:#?}");
    }
}

#[test]
fn files_of_all_balancers_are_expected_to_do_what_they_say_by_their_own_names() {
    let before = state();
    thread::scope(|scope| {
        for kind in &KINDS {
            scope.spawn(|| expect_what_it_says(kind));
        }
    });
    assert_eq!(before, state());
}

#[test]
fn what_a_balancer_takes_from_elsewhere_is_named_and_refused_in_its_own_words() {
    const ELSEWHERE: &str = "providers: { docker: {} }\nentryPoints: { web: { address: \":80\" } }\n";
    let traefik = Kind { files: &[("traefik.yml", ELSEWHERE)], url: "http://shop.example/", ..KINDS[3] };
    let place = TemporaryDirectory::new();
    let output = rehearse(&place, &traefik, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for part in ["asked no backend", "provider docker: services come from elsewhere"] {
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
    let broken = Kind { files: &[("haproxy.cfg", "defaults\n mode http\nfrontend a\n bindd :80\n")], ..KINDS[0] };
    let output = rehearse(&place, &broken, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for part in ["does not start", "unknown keyword 'bindd'"] {
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
}

const HOSTS: &str = "
user root; pid /run/nginx.pid; events {}
http {
    upstream shop { zone s 64k; server 10.20.0.11:8080; server 10.20.0.12:8080; server 127.0.0.1:8081; }
    server { listen 80; location / { proxy_connect_timeout 700ms; proxy_pass http://shop; } }
}
";

#[test]
fn a_host_may_be_silent_or_known_to_be_out_of_reach_and_come_back() {
    let nginx = Kind { balancer: "nginx", files: &[("nginx.conf", HOSTS)], url: "http://shop.example/", ..KINDS[0] };
    let mut longest = Vec::new();
    for how in ["gone", "unreachable"] {
        let place = TemporaryDirectory::new();
        let outage = format!("{how}:10.20.0.12:8080@300ms,back@1500ms");
        let words = ["--outage", &outage, "--duration", "2s", "--rate", "200", "--no-experiments", "--format", "json"];
        let output = rehearse(&place, &nginx, &words);
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{how}: {}", said(&output)));
        let check = &report["checks"][0];
        // NGINX tries another one each time.
        assert_eq!(check["outage"]["client_errors"], 0, "{how}: {report:#}");
        let done: Vec<bool> =
            check["outage"]["steps"].as_array().unwrap().iter().map(|it| it["done"].as_bool().unwrap()).collect();
        assert_eq!(done, [true, true], "{how}: {report:#}");
        let failed = check["findings"].as_array().unwrap().iter().filter(|it| it["level"] == "fail").count();
        assert_eq!(failed, 0, "{how}: {report:#}");
        longest.push(check["latency"]["client"]["max"].as_f64().unwrap());
    }
    // A silent host is waited for until the time limit.
    assert!(longest[0] >= 0.7, "{longest:?}");
    let place = TemporaryDirectory::new();
    let output = rehearse(&place, &nginx, &["--outage", "gone:127.0.0.1:8081@1s"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("127.0.0.1:8081 runs on the balancer's own host"), "{}", said(&output));
}

#[test]
fn a_file_that_takes_the_place_of_another_loses_nothing_and_both_fleets_are_there() {
    const NEW: &str = "
user root; pid /run/nginx.pid; events {}
http {
    upstream shop { zone s 64k; server 10.20.0.11:8080; server app4.internal:8080; }
    server { listen 80; location / { proxy_pass http://shop; } }
}
";
    let nginx = Kind {
        balancer: "nginx",
        files: &[("nginx.conf", HOSTS), ("new.conf", NEW)],
        url: "http://shop.example/",
        ..KINDS[0]
    };
    let place = TemporaryDirectory::new();
    let then = place.path().join("new.conf");
    let words = [
        "--then",
        &then.to_string_lossy(),
        "--duration",
        "4s",
        "--rate",
        "200",
        "--no-experiments",
        "--format",
        "json",
    ];
    let output = rehearse(&place, &nginx, &words);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let check = &report["checks"][0];
    let names = ["10.20.0.11:8080", "10.20.0.12:8080", "127.0.0.1:8081", "app4.internal"];
    assert_eq!(check["fleet"]["backends"], serde_json::json!(names), "{report:#}");
    assert_eq!(
        (&check["outage"]["client_errors"], &check["outage"]["steps"][0]["done"]),
        (&0.into(), &true.into()),
        "{report:#}"
    );
    let failed: Vec<_> = check["findings"].as_array().unwrap().iter().filter(|it| it["level"] == "fail").collect();
    assert!(failed.is_empty(), "{failed:#?}");
    // The new one balances from then on, and that of the first file alone gets no more.
    let counts: Vec<u64> =
        check["shares"]["rows"].as_array().unwrap().iter().map(|it| it["count"].as_u64().unwrap()).collect();
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert!(counts[0] > counts[3] && counts[3] > counts[1], "{counts:?}");
}
