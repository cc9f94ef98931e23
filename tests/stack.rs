//! A fleet and a balancer in front of it: `demo` and `check --with`, and that nothing of either is left however they end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::certificates::{self, Certified};
use crate::support::{Demo, TemporaryDirectory, children, error_of, eventually, lives, ports, program, run};
use rustix::process::Signal;
use verdict::finding::Level;
use verdict::report::{Report, Verdict};

/// With a place of its own for what is temporary, too.
fn at(place: &TemporaryDirectory) -> Command {
    let mut command = program(place);
    command.env("TMPDIR", place.path());
    command
}

/// Folders that balancers were given.
fn folders(place: &TemporaryDirectory) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.is_dir() && path.file_name().unwrap().to_string_lossy().starts_with("uuid-generator-"))
        .collect()
}

fn check_with(place: &TemporaryDirectory, balancer: &str, options: &[&str]) -> Report {
    check_of(place, balancer, &ports(3), options)
}

fn check_of(place: &TemporaryDirectory, balancer: &str, backends: &[u16], options: &[&str]) -> Report {
    let list = crate::support::list(backends);
    let words = ["check", "--with", balancer, "--ports", &list, "--format", "json", "-n", "3000"];
    let output = run(at(place).args(words).args(options));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{balancer}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn files_of_tls_are_looked_at_before_anything_starts() {
    let place = TemporaryDirectory::new();
    let empty = place.path().join("empty.pem").display().to_string();
    std::fs::write(&empty, "").unwrap();
    for (option, file, what) in [
        ("--listen-tls", "missing.pem", "No such file"),
        ("--listen-tls", &empty, "it holds no certificate"),
        ("--backend-tls-verify", &empty, "it holds no certificate"),
        ("--backend-tls-crl", &empty, "it holds no revocation list"),
        ("--backend-tls-cert", &empty, "it holds no certificate"),
    ] {
        let words = ["check", "--with", "nginx", "--backend-protocol", "https", option, file];
        let said = error_of(&run(at(&place).args(words)));
        assert!(said.contains(&format!("{option} {file}: {what}")), "{said}");
        assert!(folders(&place).is_empty());
    }
}

#[test]
fn a_check_needs_nothing_that_runs_beforehand() {
    for balancer in ["builtin", "nginx"] {
        for (options, algorithm) in [
            (&[][..], "round-robin"),
            (&["--algorithm", "least-connections"], "least-connections"),
            (&["--weights", "5:1:1"], "weighted-round-robin"),
            (&["--algorithm", "source"], "source"),
        ] {
            let place = TemporaryDirectory::new();
            let report = check_with(&place, balancer, options);
            let check = &report.checks[0];
            let named = check.algorithm.as_ref().and_then(|it| it.name.as_deref());
            assert_eq!(
                (report.verdict, named),
                (Verdict::Pass, Some(algorithm)),
                "{balancer} {options:?}: {:#?}",
                check.findings
            );
            assert_eq!(folders(&place), [] as [PathBuf; 0], "{balancer} {options:?}");
            assert_eq!(place.processes(), [] as [u32; 0], "{balancer} {options:?}");
        }
    }
}

#[test]
fn what_the_file_says_once_is_written_run_and_expected_and_a_flag_wins_over_it() {
    let place = TemporaryDirectory::new();
    let backends = ports(3);
    let file = format!(
        "ports = \"{}\"\n[balancer]\nalgorithm = \"least-connections\"\nbackup = {}\npath = \"/x\"\n",
        crate::support::list(&backends),
        backends[2]
    );
    std::fs::write(place.path().join("uuid-generator.toml"), file).unwrap();
    let written = String::from_utf8(run(at(&place).args(["config", "nginx"])).stdout).unwrap();
    for line in ["least_conn;", "location /x", &format!("server 127.0.0.1:{} backup;", backends[2])] {
        assert!(written.contains(line), "{line}: {written}");
    }
    let check = |options: &[&str]| {
        let report = check_of(&place, "nginx", &backends, options);
        let check = report.checks[0].clone();
        let named = check.algorithm.as_ref().and_then(|it| it.name.clone()).unwrap_or_default();
        let counts: Vec<u64> = check.shares.iter().flat_map(|shares| &shares.rows).map(|row| row.count).collect();
        (report.verdict, named, counts[2], check.url.ends_with("/x"))
    };
    assert_eq!(check(&[]), (Verdict::Pass, "least-connections".to_owned(), 0, true));
    assert_eq!(check(&["--algorithm", "round-robin"]), (Verdict::Pass, "round-robin".to_owned(), 0, true));
}

#[test]
fn the_checks_of_the_file_run_on_the_balancer_that_is_started() {
    let place = TemporaryDirectory::new();
    let backends = ports(3);
    let file = format!(
        "ports = \"{}\"\n[balancer]\nweights = \"3:1:1\"\n\
         [[check]]\nname = \"shares\"\nrequests = 3000\n\
         [[check]]\nname = \"even\"\nrequests = 3000\nexpect = [\"even\"]\n\
         [[check]]\nname = \"reload\"\nduring = \"kill -HUP {{pid}}@200ms\"\nduration = \"600ms\"\nrate = 200\n",
        crate::support::list(&backends)
    );
    std::fs::write(place.path().join("uuid-generator.toml"), file).unwrap();
    let output = run(at(&place).args(["check", "--with", "nginx", "--format", "json"]));
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    let verdicts: Vec<_> = report.checks.iter().map(|it| (it.name.as_deref().unwrap_or(""), it.verdict)).collect();
    assert_eq!(verdicts, [("shares", Verdict::Pass), ("even", Verdict::Fail), ("reload", Verdict::Pass)]);
    assert_eq!((output.status.code(), folders(&place), place.processes()), (Some(1), vec![], vec![]));
}

#[test]
fn a_backup_takes_over_when_no_other_is_left_and_nobody_notices() {
    let place = TemporaryDirectory::new();
    let backends = ports(3);
    let [first, second, backup] = [0, 1, 2].map(|place| backends[place].to_string());
    let outage = format!("kill:{first}@300ms,kill:{second}@500ms,start@1500ms");
    let options =
        ["--backup", &backup, "--outage", &outage, "--duration", "2s", "--rate", "200", "--expect", "lossless"];
    let report = check_of(&place, "nginx", &backends, &options);
    let check = &report.checks[0];
    // On a starved machine the experiments may not name the algorithm, so that the verdict is inconclusive; what the backup did is known.
    assert_ne!(report.verdict, Verdict::Fail, "{:#?}", check.findings);
    assert_eq!(check.outage.as_ref().unwrap().client_errors, 0, "{:#?}", check.findings);
    let rows = &check.shares.as_ref().unwrap().rows;
    assert!(rows[2].backend == backup && rows[2].count > 0, "{rows:?}");
}

#[test]
fn a_backup_that_gets_requests_like_any_other_fails() {
    let place = TemporaryDirectory::new();
    let backends = ports(3);
    let expected = format!("backup:{}", backends[2]);
    for algorithm in ["round-robin", "least-connections"] {
        let options = ["--algorithm", algorithm, "--expect", &expected];
        let report = check_of(&place, "builtin", &backends, &options);
        let finding = report.checks[0].findings.iter().find(|it| it.rule().id() == "backups").unwrap();
        assert_eq!((report.verdict, finding.level), (Verdict::Fail, Level::Fail), "{finding:?}");
        assert!(finding.summary().contains("is a backup and got"), "{finding:?}");
    }
}

#[test]
fn the_fleet_and_the_balancer_speak_over_unix_sockets_and_with_the_proxy_protocol_if_both_are_told() {
    let place = TemporaryDirectory::new();
    let folder = place.path().to_string_lossy().into_owned();
    for options in [&["nginx", "--sockets", &folder][..], &["haproxy", "--sockets", &folder, "--proxy-protocol"]] {
        let report = check_of(&place, options[0], &ports(3), &options[1..]);
        assert_eq!(report.verdict, Verdict::Pass, "{options:?}: {:#?}", report.checks[0].findings);
    }
    let words = ["check", "--with", "builtin", "--sockets", &folder];
    assert!(error_of(&run(at(&place).args(words))).contains("cannot be configured with --sockets"));
    let sockets = std::fs::read_dir(place.path()).unwrap().map(|it| it.unwrap().path());
    let sockets = sockets.filter(|path| path.extension().is_some_and(|it| it == "sock"));
    assert_eq!(sockets.collect::<Vec<_>>(), [] as [PathBuf; 0]);
}

#[test]
fn calls_below_a_path_reach_backends_through_a_certificate_that_nobody_else_trusts() {
    let place = TemporaryDirectory::new();
    let Certified { certificates, key } = certificates::localhost();
    let file = place.path().join("own.pem");
    std::fs::write(&file, [certificates, key].concat()).unwrap();
    let options =
        ["--backend-protocol", "grpc", "--path", "/x", "--no-experiments", "--listen-tls", file.to_str().unwrap()];
    let report = check_with(&place, "nginx", &options);
    let failed = |check: &verdict::report::Check| check.findings.iter().any(|it| it.level == Level::Fail);
    assert!(report.checks[0].url.starts_with("grpcs://") && !failed(&report.checks[0]), "{report:#?}");
}

#[test]
fn a_reload_of_the_balancer_that_was_started_loses_nothing() {
    let place = TemporaryDirectory::new();
    let options = ["--during", "kill -HUP {pid}@500ms", "--duration", "1500ms", "--rate", "300", "--workers", "2"];
    let report = check_with(&place, "nginx", &options);
    assert_eq!(report.verdict, Verdict::Pass, "{:#?}", report.checks[0].findings);
}

#[test]
fn a_configuration_that_is_wrong_is_told_in_the_balancers_own_words_and_nothing_is_left() {
    let place = TemporaryDirectory::new();
    let file = place.path().join("wrong.conf");
    std::fs::write(&file, "events {}\nhttp { upstrem uuid {} }\n").unwrap();
    let port = ports(1)[0].to_string();
    let list = crate::support::list(&ports(3));
    let words = ["check", "--with", "nginx", "--listen", &port, "--ports", &list, "--balancer-config"];
    let error = error_of(&run(at(&place).args(words).arg(&file)));
    assert!(error.contains("NGINX ended at once") && error.contains("unknown directive \"upstrem\""), "{error}");
    assert_eq!((folders(&place), place.processes()), (vec![], vec![]));
}

#[test]
fn a_file_that_listens_elsewhere_is_told_where() {
    let place = TemporaryDirectory::new();
    let (own, asked) = (ports(1)[0], ports(1)[0].to_string());
    let file = place.path().join("haproxy.cfg");
    let listen = format!("listen uuid\n    mode http\n    bind 127.0.0.1:{own}\n    server one 127.0.0.1:{own}\n");
    std::fs::write(
        &file,
        format!("defaults\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n{listen}"),
    )
    .unwrap();
    let list = crate::support::list(&ports(3));
    let words = ["check", "--with", "haproxy", "--listen", &asked, "--ports", &list, "--balancer-config"];
    let error = error_of(&run(at(&place).args(words).arg(&file)));
    assert!(error.contains(&format!("HAProxy listens on port {own}, not at 127.0.0.1:{asked}")), "{error}");
    assert_eq!((folders(&place), place.processes()), (vec![], vec![]));
}

#[test]
fn an_nginx_conf_of_ones_own_runs_in_the_foreground_where_it_is_and_what_it_says_is_expected() {
    let place = TemporaryDirectory::new();
    let (port, backends) = (ports(1)[0].to_string(), ports(3));
    let file = place.path().join("nginx.conf");
    let write = |main: &str, servers: &str| {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|it| format!("{it}_temp_path {it};"));
        let http = format!("access_log off; {} include conf.d/*.conf;", temporary.concat());
        std::fs::write(&file, format!("pid nginx.pid; {main} events {{}} http {{ {http} }}")).unwrap();
        let server = format!("server {{ listen 127.0.0.1:{port}; location /uuid {{ proxy_pass http://uuid/; }} }}");
        std::fs::create_dir_all(place.path().join("conf.d")).unwrap();
        let text = format!("upstream uuid {{ {servers} }} {server}");
        std::fs::write(place.path().join("conf.d/uuid.conf"), text).unwrap();
    };
    let servers = format!(
        "server 127.0.0.1:{} weight=3; server 127.0.0.1:{}; server 127.0.0.1:{};",
        backends[0], backends[1], backends[2]
    );
    let file = file.to_string_lossy();
    let list = crate::support::list(&backends);
    let options = ["--listen", &port, "--balancer-config", &file, "--from", &file];
    write("", &servers);
    let report = check_of(&place, "nginx", &backends, &options);
    assert_eq!(report.verdict, Verdict::Pass, "{:#?}", report.checks[0].findings);
    assert_eq!(report.checks[0].algorithm.as_ref().unwrap().name.as_deref(), Some("weighted-round-robin"));
    // The same file, and something else is expected of it.
    let words = [&["check", "--with", "nginx", "--ports", &list], &options[..4], &["--expect", "even"]].concat();
    assert_eq!(run(at(&place).args(words)).status.code(), Some(1));
    write("daemon on;", &servers);
    let error = error_of(&run(at(&place).args(["check", "--with", "nginx", "--ports", &list]).args(options)));
    assert!(error.contains("nginx.conf: has `daemon on`"), "{error}");
    assert_eq!((folders(&place), place.processes()), (vec![], vec![]));
}

#[test]
fn what_a_balancer_leaves_behind_is_ended_with_it() {
    let place = TemporaryDirectory::new();
    let folder = place.path().join("balancer");
    std::fs::create_dir(&folder).unwrap();
    let mut guard = at(&place)
        .arg("guard")
        .args([&folder, &folder])
        .args(["--", "sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $! > orphan; exit 0"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("it has ended", || folder.join("ended").exists());
    let orphan: u32 = std::fs::read_to_string(folder.join("orphan")).unwrap().trim().parse().unwrap();
    assert!(lives(orphan));
    drop(guard.stdin.take());
    assert!(guard.wait().unwrap().success());
    assert!(!lives(orphan) && !folder.exists());
}

#[test]
fn what_cannot_be_started_is_told_before_anything_is() {
    let place = TemporaryDirectory::new();
    for (words, part) in [
        (&["--with", "apache"][..], "expected one of nginx"),
        (&["--with", "builtin", "--weights", "1:2"], "2 weights for 3 backends"),
        (&["--with", "builtin", "--algorithm", "sticky"], "install nginx"),
        (&["--with", "nginx", "--expect", "nonsense"], "no such expectation"),
        (&["http://localhost/", "--with", "nginx"], "has its own URL"),
        (&["http://localhost/", "--ports", "9001"], "--start or --with"),
        (&["--with", "nginx", "--from", "nginx.conf"], "--balancer-config runs a file of your own"),
        (&["http://localhost/", "--retries", "2"], "start one --with nginx"),
        (
            &["--with", "nginx", "--balancer-config", "f", "--listen", "1", "--algorithm", "uri"],
            "the file configures that",
        ),
        (&["--with", "builtin", "--retries", "2"], "cannot be configured with --retries"),
        (&["--with", "nginx", "--health-path", "/readyz"], "cannot probe the health of backends"),
        (&["--with", "nginx", "--retry-non-idempotent"], "give the number of retries"),
    ] {
        let error = error_of(&run(at(&place).arg("check").args(words)));
        assert!(error.contains(part), "{words:?}: {error}");
    }
    assert_eq!((folders(&place), place.processes()), (vec![], vec![]));
}

fn demo(place: &TemporaryDirectory, balancer: &str) -> Demo {
    Demo::start(place, balancer, &ports(3), &ports(1)[0].to_string())
}

#[test]
fn a_demo_shows_a_verdict_and_leaves_nothing_however_it_ends() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        for balancer in ["nginx", "builtin"] {
            let place = TemporaryDirectory::new();
            let mut demo = demo(&place, balancer);
            assert!(demo.said.iter().any(|line| line.starts_with("PASS")), "{:#?}", demo.said);
            let started = place.processes();
            assert!(started.len() >= 5, "a supervisor, three backends, and the demo itself: {started:?}");
            crate::support::http::get(&demo.url).unwrap();
            let status = demo.end(signal);
            assert_eq!(status.success(), signal != Signal::KILL, "{balancer} {signal:?}: {status}");
            eventually("all processes are gone", || started.iter().all(|pid| !lives(*pid)));
            eventually("the balancer's folder is gone", || folders(&place).is_empty());
        }
    }
}

#[test]
fn the_built_in_balancer_takes_the_path_away_and_forwards_nothing_that_can_be_read_in_two_ways() {
    let place = TemporaryDirectory::new();
    let demo = demo(&place, "builtin");
    let (address, path) = demo.url.trim_start_matches("http://").split_once('/').unwrap();
    let address = address.replace("localhost", "127.0.0.1");
    let ask = |text: &str| {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    for (path, fields) in [
        ("uuid", "Content-Length: +5"),
        ("uuid", "Content-Length: 5\r\nContent-Length: 6"),
        ("uuid", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        ("uuid", "Transfer-Encoding: gzip"),
        ("uuid", "Host: another"),
    ] {
        let answer = ask(&format!("POST /{path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\nhello"));
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("built-in balancer"), "{fields}: {answer}");
    }
    let close = "Host: h\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-Forwarded-For: 6.6.6.6";
    let answer = ask(&format!("GET /{path}/a?format=json HTTP/1.1\r\n{close}\r\n\r\n"));
    for part in ["\"path\": \"/a\"", "6.6.6.6, 127.0.0.1", "Connection: close"] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    assert!(!answer.contains("X-Hop"), "{answer}");
    let chunked = "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let answer = ask(&format!("POST /{path} HTTP/1.1\r\nHost: h\r\n{chunked}"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(ask("GET /other HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 404 "));
}

#[test]
fn another_algorithm_costs_no_request_where_the_balancer_reloads() {
    for balancer in ["nginx", "haproxy"] {
        let place = TemporaryDirectory::new();
        let mut demo = demo(&place, balancer);
        let url = demo.url.clone();
        let api = Api::of_the_only_fleet(&place);
        let slow = format!("{url}?delay=1s");
        let held = std::thread::spawn(move || crate::support::http::get(&slow).map(|answer| answer.status));
        eventually("it is in flight", || api.call("GET", "/v1/records?limit=1", "").contains("delay=1s"));
        let guard = children(demo.process.id()).into_iter().find(|child| children(*child).len() == 1).unwrap();
        let family = || (children(guard)[0], children(children(guard)[0]));
        let (main, workers) = family();
        let wished = api.call("POST", "/v1/front/balance", "{\"algorithm\": \"least-connections\"}");
        assert!(wished.contains("least-connections"), "{balancer}: {wished}");
        assert_eq!(held.join().unwrap().unwrap(), 200, "{balancer}");
        let check = run(at(&place).args(["check", &url, "-n", "3000", "--expect", "least-connections"]));
        assert!(check.status.success(), "{balancer}: {}", String::from_utf8_lossy(&check.stdout));
        let (same, successors) = family();
        assert_eq!(main, same, "{balancer}: it goes on");
        assert!(!successors.is_empty() && workers.iter().all(|it| !successors.contains(it)), "{balancer}");
        assert!(demo.end(Signal::INT).success(), "{balancer}");
    }
}

/// That of a fleet that another program has started.
struct Api {
    address: String,
    token: String,
}

impl Api {
    fn of_the_only_fleet(place: &TemporaryDirectory) -> Api {
        let mut files =
            std::fs::read_dir(place.path().join("uuid-generator")).unwrap().map(|file| file.unwrap().path());
        let file = files.find(|path| path.extension().is_some_and(|it| it == "json")).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let word = |name: &str| told[name].as_str().unwrap().to_owned();
        Api { address: word("control").replace("http://", ""), token: word("token") }
    }

    /// The body of the answer.
    fn call(&self, method: &str, path: &str, body: &str) -> String {
        let Api { address, token } = self;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        crate::support::http::Connection::open(address).unwrap().ask(&request).body
    }
}

#[test]
fn what_an_nginx_conf_says_is_expected() {
    let (fleet, backends) = crate::support::Fleet::of(3, &["--log", "off"]);
    let place = TemporaryDirectory::new();
    let file = place.path().join("nginx.conf");
    let write = |lines: &str| {
        let servers: String = backends
            .iter()
            .zip(["", " weight=3", ""])
            .map(|(port, weight)| format!("server 127.0.0.1:{port}{weight};"))
            .collect();
        std::fs::write(&file, format!("http {{ upstream uuid {{ {lines} {servers} }} }}")).unwrap();
    };
    use testbed::planted::{PlantedAlgorithm, PlantedBalancer};
    let told = |balancer: &PlantedBalancer, file: &Path| {
        let words =
            ["check", &balancer.url("/uuid"), "-n", "3000", "--format", "json", "--from", &file.to_string_lossy()];
        let output = fleet.program(&words);
        let report: Report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (report.verdict, crate::support::complaints(&output))
    };
    let weighted = PlantedBalancer::start(&backends, PlantedAlgorithm::SmoothWeighted(vec![1, 3, 1]));
    let even = PlantedBalancer::start(&backends, PlantedAlgorithm::RoundRobin);
    write("");
    assert_eq!(told(&weighted, &file), (Verdict::Pass, String::new()));
    assert_eq!(told(&even, &file).0, Verdict::Fail);
    write("queue 10;");
    assert!(told(&weighted, &file).1.contains("nginx.conf, line 1: queue 10"));
    let error =
        error_of(&fleet.program(&["check", &even.url("/"), "--from", &file.to_string_lossy(), "--upstream", "other"]));
    assert!(error.contains("has no upstream other, only uuid"), "{error}");
}
