//! `config`: what is written for each balancer, that real ones take it, and that they do what was asked.
//! With UPDATE_SNAPSHOTS=1 the files of `tests/snapshots` are written anew instead of compared.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use crate::support::balancers::{Installed, Running, installed};
use crate::support::{Fleet, PATIENCE, TemporaryDirectory, error_of, eventually, ports, program, run};

const ALL: &str = "--algorithm sticky --weights 5:1:1 --retries 2 --keep-alive 0 --workers 2 --answer-timeout 2s --listen 127.0.0.1:8080";
const ROUTE: &str = "--snippet --algorithm sticky --answer-timeout 2s";

const TLS: &str = "--backend-protocol https --backend-tls-verify /etc/uuid/ca.pem --listen-tls /etc/uuid/own.pem";

const GRPC: &str = "--backend-protocol grpcs --backend-tls-verify /etc/uuid/ca.pem --listen-tls /etc/uuid/own.pem";

#[test]
fn what_is_written_is_what_was_reviewed() {
    for (name, words) in [
        ("nginx", "nginx --for-version 1.31.3".to_owned()),
        ("nginx-snippet", "nginx --snippet --for-version 1.31.3".to_owned()),
        ("nginx-old", "nginx --for-version 1.22.1 --algorithm header:X-User --keep-alive 16".to_owned()),
        ("nginx-all", format!("nginx --for-version 1.31.3 {ALL} --backup 9003 --max-fails 2 --fail-timeout 3s")),
        ("haproxy", "haproxy --for-version 2.6.12".to_owned()),
        (
            "haproxy-all",
            format!(
                "haproxy --for-version 2.6.12 {ALL} --backup 9003 --health-path /readyz --max-fails 2 --proxy-protocol"
            ),
        ),
        ("envoy", "envoy --for-version 1.40.0".to_owned()),
        (
            "envoy-all",
            format!(
                "envoy --for-version 1.40.0 {ALL} --backup 9003 --health-path /readyz --max-fails 2 --proxy-protocol"
            ),
        ),
        ("traefik", "traefik --for-version 3.7.15".to_owned()),
        (
            "traefik-all",
            format!("traefik --for-version 3.7.15 {ALL} --backup 9003 --health-path /readyz --max-fails 2"),
        ),
        ("caddy", "caddy --for-version 2.11.7".to_owned()),
        ("caddy-all", format!("caddy --for-version 2.11.7 {ALL} --health-path /readyz --max-fails 2 --proxy-protocol")),
        ("kubernetes", "kubernetes --for-version 1.4.0 --replicas 4 --token-secret own".to_owned()),
        ("kubernetes-weights", "kubernetes --for-version 1.4.0 --weights 5:1:1 --token-secret own".to_owned()),
        ("compose", "compose --for-version 1.31.3 --weights 5:1:1 --listen 0.0.0.0:8090 --fault latency:10ms,status:503:5%:9002".to_owned()),
        ("nginx-tls", format!("nginx --for-version 1.31.3 {TLS}")),
        ("nginx-grpc", format!("nginx --for-version 1.31.3 {GRPC}")),
        ("nginx-grpc-old", "nginx --for-version 1.22.1 --backend-protocol grpc --path /a.b".to_owned()),
        ("nginx-h2c", "nginx --for-version 1.31.3 --backend-protocol h2c --stream-timeout 10m".to_owned()),
        ("haproxy-grpc", format!("haproxy --for-version 2.6.12 {GRPC}")),
        ("envoy-grpc", format!("envoy --for-version 1.40.0 {GRPC}")),
        ("traefik-grpc", format!("traefik --for-version 3.7.15 {GRPC}")),
        ("caddy-grpc", format!("caddy --for-version 2.11.7 {GRPC}")),
        ("haproxy-tls", format!("haproxy --for-version 2.6.12 {TLS}")),
        ("envoy-tls", format!("envoy --for-version 1.40.0 {TLS}")),
        ("traefik-tls", format!("traefik --for-version 3.7.15 {TLS}")),
        ("caddy-tls", format!("caddy --for-version 2.11.7 {TLS}")),
        ("kubernetes-snippet", format!("kubernetes --for-version 1.4.0 {ROUTE}")),
        ("kubernetes-1.1", format!("kubernetes --for-version 1.1.0 {ROUTE}")),
        ("kubernetes-1.7", format!("kubernetes --for-version 1.7.0 {ROUTE}")),
    ] {
        let output = config(&words.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        let written = String::from_utf8(output.stdout).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/config-{name}.txt"));
        let written = format!("$ uuid-generator config {words}\n{written}");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(&path, &written).unwrap();
        }
        let reviewed = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(written, reviewed, "{}: see the differences, then UPDATE_SNAPSHOTS=1", path.display());
    }
}

#[test]
fn what_cannot_be_is_an_error_that_names_the_nearest_thing() {
    for (words, error) in [
        (
            "nginx --for-version 1.22.1 --algorithm sticky:session",
            "error: NGINX 1.22.1 cannot stick to a backend by a cookie of its own (--algorithm sticky): from 1.29.6\n  \
             hint: --algorithm cookie:session goes by a cookie that the client brings, --algorithm source by its address\n",
        ),
        (
            "nginx --for-version 1.31.3 --health-path /readyz",
            "error: NGINX 1.31.3 cannot probe the health of backends (--health-path): that takes NGINX Plus\n  \
             hint: --max-fails and --fail-timeout avoid a backend that fails requests\n",
        ),
        ("nginx --weights 1:2", "error: --weights: 2 weights for 3 backends\n"),
        ("nginx --backup 9001-9003", "error: --backup: all backends would be backups\n"),
        (
            "nginx --retries 0 --retry-non-idempotent",
            "error: --retry-non-idempotent: with --retries 0 nothing is retried\n",
        ),
        ("nginx --backup 9009", "error: --backup 9009: the fleet has no such backend\n"),
        (
            "nginx --backend-tls-verify off",
            "error: --backend-tls-verify: there is no TLS to backends\n  hint: switch it on with --backend-protocol https, h2 or grpcs\n",
        ),
        (
            "nginx --backend-tls-cert own.pem",
            "error: --backend-tls-cert: there is no TLS to backends\n  hint: switch it on with --backend-protocol https, h2 or grpcs\n",
        ),
        (
            "nginx --for-version 1.22.1 --backend-protocol h2c",
            "error: NGINX 1.22.1 cannot speak HTTP/2 to backends (--backend-protocol h2c, h2): from 1.29.4\n  \
             hint: --backend-protocol grpc, or grpcs: grpc_pass carries any request over HTTP/2\n",
        ),
        (
            "traefik --for-version 3.7.15 --backend-protocol h2c --retries 2",
            "error: Traefik 3.7.15 cannot retry over HTTP/2 (--retries with --backend-protocol h2c, h2, grpc): it repeats what \
             backends have answered\n  hint: leave out --retries; NGINX, HAProxy and Caddy can\n",
        ),
        (
            "caddy --stream-timeout 1h",
            "error: Caddy 2.11.7 cannot limit how long a stream may be silent (--stream-timeout)\n  \
             hint: leave it out: Caddy ends no stream that is silent\n",
        ),
        (
            "nginx --stream-timeout 1h --answer-timeout 10s",
            "error: --answer-timeout and --stream-timeout: balancers have one timeout for both\n  hint: give one of them\n",
        ),
    ] {
        assert_eq!(error_of(&config(&words.split(' ').collect::<Vec<_>>())), error);
    }
    for words in [
        "apache",
        "nginx --weights 0:1:1",
        "nginx --algorithm fastest",
        "nginx --health-interval 1s",
        "nginx --path uuid",
    ] {
        error_of(&config(&words.split(' ').collect::<Vec<_>>()));
    }
}

#[test]
fn the_fleets_own_settings_say_where_the_backends_are() {
    let place = TemporaryDirectory::new();
    fs::write(place.path().join("uuid-generator.toml"), "ports = \"7001-7002\"\nhost = \"127.0.0.9\"\n").unwrap();
    let output = run(program(&place).args(["config", "traefik", "--output", "a/b"]));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "a/b/traefik.yml\na/b/dynamic.yml\n\ncd a/b && GOMAXPROCS=1 traefik --configfile=traefik.yml\n"
    );
    let dynamic = fs::read_to_string(place.path().join("a/b/dynamic.yml")).unwrap();
    assert!(dynamic.contains("http://127.0.0.9:7001\n") && dynamic.contains("http://127.0.0.9:7002\n"), "{dynamic}");
    let output = run(program(&place).args(["config", "nginx", "--ports", "8000"]));
    assert!(String::from_utf8(output.stdout).unwrap().contains("server 127.0.0.9:8000;"));
}

const ALGORITHMS: [&str; 10] = [
    "round-robin",
    "least-connections",
    "least-time",
    "random",
    "two-choices",
    "source",
    "uri",
    "header:X-User",
    "cookie:session",
    "sticky",
];

/// What is asked for besides the algorithm.
const ASKS: [&str; 22] = [
    "",
    "--weights 5:1:1",
    "--backup 9003",
    "--backup 9003 --health-path /readyz",
    "--backup 9002,9003 --max-fails 2 --fail-timeout 3s",
    "--health-path /readyz",
    "--health-path /readyz --health-rise 2 --health-fall 3",
    "--max-fails 2 --fail-timeout 3s",
    "--retries 2",
    "--retries 2 --retry-non-idempotent",
    "--keep-alive 7",
    "--proxy-protocol",
    "--sockets /run/uuid",
    "--path /a.b/c",
    "--path /",
    "--connect-timeout 250ms --answer-timeout 2s",
    "--workers 2",
    "--stream-timeout 10m",
    "--backend-protocol h2c",
    "--backend-protocol grpc",
    "--backend-protocol h2 --backend-tls-verify off",
    "--backend-protocol grpcs --backend-tls-verify off",
];

/// Every algorithm with every single thing that can be asked for, as options. What is spoken is no matter of the algorithm.
fn combinations() -> impl Iterator<Item = (&'static str, &'static str, Vec<&'static str>)> {
    let options = |algorithm, ask: &'static str| {
        ["--algorithm", algorithm].into_iter().chain(ask.split(' ').filter(|word| !word.is_empty())).collect()
    };
    let all =
        ALGORITHMS.into_iter().flat_map(move |algorithm| ASKS.map(|ask| (algorithm, ask, options(algorithm, ask))));
    all.filter(|(algorithm, ask, _)| {
        *algorithm == "round-robin" || !ask.contains("protocol ") && !ask.contains("stream")
    })
}

#[test]
fn real_balancers_take_all_that_is_written_for_them() {
    let mut taken = BTreeMap::new();
    for installed in installed().into_iter().filter(|installed| installed.name != "traefik") {
        for (algorithm, ask, options) in combinations() {
            let Some(written) = installed.config(&[9001, 9002, 9003], &options) else { continue };
            *taken.entry(installed.program.clone()).or_insert(0) += 1;
            if let Err(said) = installed.takes(&written) {
                let text = fs::read_to_string(written.place.path().join(&written.files[0])).unwrap();
                panic!("{installed:?} does not take {algorithm} with {ask}: {said}\n{text}");
            }
        }
    }
    assert_eq!(taken.len(), 5, "{taken:?}");
    assert!(taken.values().all(|count| *count > 30), "{taken:?}");
}

#[test]
fn traefik_takes_all_that_is_written_for_it() {
    let traefik = installed().into_iter().find(|installed| installed.name == "traefik").unwrap();
    // Each algorithm, and each thing that can be asked for with round robin: a start takes its time.
    let combinations = combinations().filter(|(algorithm, ask, _)| ask.is_empty() || *algorithm == "round-robin");
    // Nobody is behind it: a fleet of another test without TLS would be an error where TLS is spoken.
    let nobody = ports(3);
    let [second, third] = [1, 2].map(|place| nobody[place].to_string());
    for (algorithm, ask, options) in combinations {
        let named = |option: &&str| option.replace("9002", &second).replace("9003", &third);
        let options: Vec<String> = options.iter().map(named).collect();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let path = if ask.contains("/a.b/c") { "/a.b/c" } else { "/uuid" };
        let Some(running) = traefik.start(&nobody, &options, path) else { continue };
        let said = running.said();
        let errors = said.lines().filter(|line| line.contains("ERR"));
        // Its probes tell that.
        let errors: Vec<&str> = errors.filter(|line| !line.contains("Health check failed")).collect();
        assert!(errors.is_empty(), "{algorithm} with {ask}: {errors:?}");
    }
}

/// A backend that answers nobody, and the first bytes of each connection to it.
fn first_bytes() -> (u16, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (came, comes) = mpsc::channel();
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut bytes = vec![0; 24];
            let length = connection.read(&mut bytes).unwrap_or(0);
            if length > 0 && came.send(bytes[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    (port, comes)
}

#[test]
fn real_balancers_speak_http2_where_they_are_told_to() {
    for installed in installed() {
        for protocol in ["http", "h2c", "grpc"] {
            let is_old = installed.name == "nginx" && installed.program.starts_with("/usr");
            if is_old && protocol == "grpc" {
                // Its port speaks nothing but HTTP/2 then.
                continue;
            }
            let (port, comes) = first_bytes();
            let options = ["--backend-protocol", protocol, "--path", "/uuid"];
            let Some(running) = installed.start(&[port], &options, "/uuid") else {
                assert!(is_old && protocol == "h2c", "{installed:?} {protocol}");
                continue;
            };
            running.ask("/uuid", "");
            let bytes = comes.recv_timeout(PATIENCE).unwrap();
            let is_http2 = bytes.starts_with(b"PRI * HTTP/2");
            assert_eq!(is_http2, protocol != "http", "{installed:?} {protocol}: {}", bytes.escape_ascii());
        }
    }
}

#[test]
fn real_balancers_pass_handshakes_of_websockets_on() {
    with_each(|installed, _, ports| {
        for options in [&[][..], &["--keep-alive", "0"], &["--keep-alive", "7"]] {
            let Some(running) = start(installed, ports, options) else { continue };
            let status = running.open_websocket("/uuid/ws");
            assert!(status.starts_with("HTTP/1.1 101 "), "{installed:?} {options:?}: {status}");
            assert_eq!(running.backends(6, "/uuid", "").len(), 6, "{installed:?} {options:?}");
        }
    });
}

/// Three backends and each real balancer in front of them.
fn with_each(mut try_out: impl FnMut(&Installed, &Fleet, &[u16])) {
    let (fleet, ports) = Fleet::of(3, &[]);
    for installed in installed() {
        try_out(&installed, &fleet, &ports);
    }
}

fn start(installed: &Installed, ports: &[u16], options: &[&str]) -> Option<Running> {
    installed.start(ports, options, "/uuid")
}

#[test]
fn real_balancers_go_round_and_take_the_path_away() {
    with_each(|installed, _, ports| {
        let running = start(installed, ports, &[]).unwrap();
        let counted = counts(running.backends(30, "/uuid", ""));
        assert!(
            counted.values().all(|count| (9..=11).contains(count)) && counted.len() == 3,
            "{installed:?}: {counted:?}"
        );
        let seen = |path: &str| {
            let answer = running.ask(path, "").unwrap();
            let line =
                answer.body.lines().find(|line| line.contains("\"path\"")).unwrap_or_else(|| panic!("{answer:?}"));
            line.trim().trim_end_matches(',').to_owned()
        };
        assert_eq!(seen("/uuid?format=json"), "\"path\": \"/\"", "{installed:?}");
        assert_eq!(seen("/uuid/a/b?format=json"), "\"path\": \"/a/b\"", "{installed:?}");
        assert_eq!(running.ask("/uuidx", "").unwrap().status, 404, "{installed:?}");
        let told = running.ask("/uuid?format=json", "X-Forwarded-For: 6.6.6.6\r\n").unwrap().body.to_ascii_lowercase();
        for header in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "127.0.0.1"] {
            assert!(told.contains(header), "{installed:?}: {header}: {told}");
        }
        assert_eq!(running.ask("/other", "").unwrap().status, 404, "{installed:?}");
    });
}

#[test]
fn real_balancers_have_weights() {
    with_each(|installed, _, ports| {
        let running = start(installed, ports, &["--weights", "5:1:1"]).unwrap();
        let counted = counts(running.backends(70, "/uuid", ""));
        assert!((48..=52).contains(&counted[&ports[0]]), "{installed:?}: {counted:?}");
    });
}

#[test]
fn real_balancers_key_on_what_they_were_told() {
    with_each(|installed, _, ports| {
        for (algorithm, path, header) in [
            ("uri", "/uuid/#", ""),
            ("header:X-User", "/uuid", "X-User: #\r\n"),
            ("cookie:session", "/uuid", "Cookie: a=1; session=#\r\n"),
        ] {
            let Some(running) = start(installed, ports, &["--algorithm", algorithm]) else { continue };
            let ask = |user: usize| {
                let user = (user * 7919).to_string();
                running.backends(1, &path.replace('#', &user), &header.replace('#', &user))[0]
            };
            let first: Vec<u16> = (0..40).map(ask).collect();
            assert_eq!(first, (0..40).map(ask).collect::<Vec<_>>(), "{installed:?} {algorithm}");
            assert_eq!(counts(first).len(), 3, "{installed:?} {algorithm}");
        }
    });
}

#[test]
fn real_balancers_stick_by_a_cookie_of_theirs() {
    let mut count = 0;
    with_each(|installed, _, ports| {
        let Some(running) = start(installed, ports, &["--algorithm", "sticky:place"]) else { return };
        count += 1;
        let mut reached = Vec::new();
        for _ in 0..12 {
            let first = running.ask("/uuid", "").unwrap();
            let cookie =
                first.header("Set-Cookie").unwrap_or_else(|| panic!("{installed:?} gives no cookie: {first:?}"));
            assert!(cookie.starts_with("place="), "{installed:?}: {cookie}");
            let back = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
            assert_eq!(running.backends(6, "/uuid", &back), vec![first.backend(); 6], "{installed:?}");
            reached.push(first.backend());
        }
        assert_eq!(counts(reached).len(), 3, "{installed:?}");
    });
    assert_eq!(count, 5, "all but Debian's NGINX");
}

#[test]
fn real_balancers_have_backups_and_come_back_from_them() {
    with_each(|installed, fleet, ports| {
        let backup = ports[1].to_string();
        let watching: &[&str] = match installed.name {
            "nginx" => &["--max-fails", "1", "--fail-timeout", "1s"],
            _ => &["--health-path", "/readyz", "--health-interval", "200ms"],
        };
        let running = start(installed, &ports[..2], &[&["--backup", &backup], watching].concat()).unwrap();
        let is =
            |port: u16| move |answer: crate::support::http::Answer| answer.status == 200 && answer.backend() == port;
        let answers = |port: u16| running.ask("/uuid", "").is_some_and(is(port));
        eventually("the first one answers", || answers(ports[0]));
        assert_eq!(running.backends(6, "/uuid", ""), [ports[0]; 6], "{installed:?}");
        fleet.act("kill", ports[0]);
        eventually("the backup answers", || answers(ports[1]));
        fleet.act("start", ports[0]);
        eventually("the first one answers again", || answers(ports[0]));
    });
}

#[test]
fn real_balancers_try_another_backend() {
    with_each(|installed, fleet, ports| {
        let running = start(installed, ports, &["--retries", "2"]).unwrap();
        fleet.act("kill", ports[1]);
        let counted = counts(running.backends(30, "/uuid", ""));
        assert_eq!(counted.keys().copied().collect::<Vec<_>>(), [ports[0], ports[2]], "{installed:?}");
        fleet.act("start", ports[1]);
    });
}

#[test]
fn real_balancers_execute_no_post_twice_unless_they_are_told_to() {
    with_each(|installed, fleet, ports| {
        for non_idempotent in [false, true] {
            let also: &[&str] = if non_idempotent { &["--retry-non-idempotent"] } else { &[] };
            let Some(running) = start(installed, ports, &[&["--retries", "2"], also].concat()) else {
                assert_eq!((installed.name, non_idempotent), ("traefik", true));
                continue;
            };
            assert!(fleet.program(&["fault", &ports[1].to_string(), "close"]).status.success());
            let name = format!("/post-{}-{}-{non_idempotent}", installed.name, installed.version);
            let answers = (0..9).map(|_| running.post(&format!("/uuid{name}")).unwrap().status);
            let failed = answers.filter(|status| *status != 200).count();
            assert!(fleet.program(&["fault", &ports[1].to_string(), "clear"]).status.success());
            let attempts = || fleet.records().records.iter().filter(|it| it.path.ends_with(&name)).count();
            crate::support::eventually("all attempts have ended", || attempts() >= 9);
            if non_idempotent {
                assert!(attempts() > 9 && failed == 0, "{installed:?}: {} attempts, {failed} failed", attempts());
            } else {
                assert_eq!((attempts(), failed > 0), (9, true), "{installed:?}");
            }
        }
    });
}

#[test]
fn real_balancers_keep_connections_or_not() {
    for (keep_alive, path) in [(0, "/uuid/none"), (8, "/uuid/kept")] {
        with_each(|installed, fleet, ports| {
            let Some(running) = start(installed, ports, &["--keep-alive", &keep_alive.to_string()]) else {
                assert_eq!((installed.name, keep_alive), ("envoy", 8));
                return;
            };
            let path = format!("{path}/{}-{}", installed.name, installed.version);
            running.backends(30, &path, "");
            let name = path.trim_start_matches("/uuid");
            let numbers = || -> Vec<u32> {
                let records = fleet.records().records;
                records.iter().filter(|it| it.path.ends_with(name)).map(|it| it.request_number).collect()
            };
            // The last answer may have come before its record says that it has been written.
            crate::support::eventually("all attempts have ended", || numbers().len() == 30);
            let numbers = numbers();
            let kept = numbers.iter().any(|number| *number > 1);
            assert_eq!(kept, keep_alive > 0, "{installed:?}: {numbers:?}");
        });
    }
}

#[test]
fn real_balancers_say_who_the_client_is_and_use_unix_sockets() {
    let mut refused = Vec::new();
    for installed in installed() {
        let port = crate::support::ports(1)[0];
        let place = TemporaryDirectory::new();
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        let socket = place.path().join(format!("{port}.sock"));
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let unix = UnixListener::bind(&socket).unwrap();
        fs::set_permissions(&socket, Permissions::from_mode(0o777)).unwrap();
        thread::spawn(move || tcp.incoming().for_each(|stream| echo_first_line(stream.unwrap())));
        thread::spawn(move || unix.incoming().for_each(|stream| echo_first_line(stream.unwrap())));
        match start(&installed, &[port], &["--proxy-protocol"]) {
            None => refused.push(installed.name),
            Some(running) => {
                let answer = running.ask("/uuid", "").unwrap();
                assert!(answer.body.contains("PROXY TCP4 127.0.0.1 "), "{installed:?}: {answer:?}");
            }
        }
        match start(&installed, &[port], &["--sockets", place.path().to_str().unwrap()]) {
            None => refused.push(installed.name),
            Some(running) => {
                let answer = running.ask("/uuid", "").unwrap();
                assert!(
                    answer.body.contains("over /") && answer.body.contains("GET / HTTP/1."),
                    "{installed:?}: {answer:?}"
                );
            }
        }
    }
    assert_eq!(refused, ["nginx", "nginx", "traefik", "traefik"]);
}

#[test]
fn real_balancers_reach_a_fleet_on_unix_sockets_and_tell_it_who_the_client_is() {
    let folder = TemporaryDirectory::new();
    // Debian's programs run as another user.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let sockets = folder.path().to_str().unwrap();
    let (fleet, ports) = Fleet::of(2, &["--sockets", sockets, "--proxy-protocol"]);
    for installed in installed() {
        let ways = [&["--sockets", sockets][..], &["--sockets", sockets, "--proxy-protocol"]].map(|options| {
            start(&installed, &ports, options).map(|running| {
                let answer = running.ask("/uuid?format=json", "").unwrap();
                let told = &answer.body;
                let told: serde_json::Value = serde_json::from_str(told).unwrap();
                let text = |name: &str| told[name].as_str().map(str::to_owned);
                (text("peer").unwrap().starts_with("127.0.0.1:"), text("via"))
            })
        });
        let (plain, proxied) = (Some((false, None)), Some((true, Some("unix".to_owned()))));
        let expected = match installed.name {
            "nginx" => [plain, None],
            "traefik" => [None, None],
            _ => [plain, proxied],
        };
        assert_eq!(ways, expected, "{installed:?}");
    }
    let records = fleet.records().records;
    assert!(records.iter().all(|record| record.status == 200), "{records:?}");
}

/// Answers with the first line that came, whatever it is.
fn echo_first_line(stream: impl Read + Write + fmt::Debug) {
    let way = if format!("{stream:?}").contains("UnixStream") { "over /" } else { "over TCP" };
    let mut stream = BufReader::new(stream);
    let mut lines: Vec<String> = Vec::new();
    while lines.last().is_none_or(|line| !line.trim().is_empty()) {
        let mut line = String::new();
        // A connection on which nothing comes is a probe.
        if !matches!(stream.read_line(&mut line), Ok(1..)) {
            return;
        }
        lines.push(line);
    }
    let body = format!("{way}: {}", lines[0]);
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.get_mut().write_all((head + &body).as_bytes());
}

fn counts(backends: Vec<u16>) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for backend in backends {
        *counts.entry(backend).or_insert(0) += 1;
    }
    counts
}

fn config(words: &[&str]) -> std::process::Output {
    let place = TemporaryDirectory::new();
    run(program(&place).arg("config").args(words))
}
