//! `config`: what is written for each balancer, that real ones take it, and that they do what was asked.
//! With UPDATE_SNAPSHOTS=1 the files of `tests/snapshots` are written anew instead of compared.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::support::balancers::{Installed, Running, installed};
use crate::support::{Fleet, TemporaryDirectory, error_of, eventually, program, run};
use uuid_generator::balancer::{Balancer, Cannot, For, Options, Written};
use uuid_generator::topology::{Algorithm, Failure, Health, Retries, Timeouts, Topology, Weights};
use uuid_generator::wire::Generator;
use verdict::algorithm::Algorithm as Seen;

const ALL: &str = "--algorithm sticky --weights 5:1:1 --retries 2 --keep-alive 0 --workers 2 --answer-timeout 2s --listen 127.0.0.1:8080";
const ROUTE: &str = "--snippet --algorithm sticky --answer-timeout 2s";

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
        ("kubernetes", "kubernetes --for-version 1.4.0 --weights 5:1:1".to_owned()),
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
            "error: --retry-non-idempotent: with --retries 0 nothing is tried again\n",
        ),
        ("nginx --backup 9009", "error: --backup 9009: the fleet has no such backend\n"),
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

/// One thing that is asked for besides the algorithm.
type Ask = (&'static str, fn(&mut Topology, &mut Options));

const ASKS: [Ask; 17] = [
    ("nothing", |_, _| ()),
    ("weights", |topology, _| weigh(topology, "5:1:1")),
    ("backup", |topology, _| topology.members[2].backup = true),
    ("backup and health", |topology, _| {
        topology.members[2].backup = true;
        topology.health = Some(health(1, 1));
    }),
    ("one and two backups", |topology, _| {
        topology.members[1].backup = true;
        topology.members[2].backup = true;
        topology.failure = Some(failure());
    }),
    ("health", |topology, _| topology.health = Some(health(1, 1))),
    ("health that counts", |topology, _| topology.health = Some(health(2, 3))),
    ("failure", |topology, _| topology.failure = Some(failure())),
    ("retries", |topology, _| topology.retries = Some(Retries { attempts: 2, non_idempotent: false })),
    ("all retries", |topology, _| topology.retries = Some(Retries { attempts: 2, non_idempotent: true })),
    ("kept connections", |topology, _| topology.keep_alive = Some(7)),
    ("PROXY protocol", |topology, _| topology.proxy_protocol = true),
    ("sockets", |topology, _| topology.sockets = Some("/run/uuid".parse().unwrap())),
    ("another path", |topology, _| topology.path = "/a.b/c".parse().unwrap()),
    ("no path", |topology, _| topology.path = "/".parse().unwrap()),
    ("timeouts", |topology, _| {
        topology.timeouts =
            Timeouts { connect: Some(Duration::from_millis(250)), answer: Some(Duration::from_secs(2)) };
    }),
    ("workers", |_, options| options.workers = NonZeroU32::new(2)),
];

fn weigh(topology: &mut Topology, weights: &str) {
    let Weights(weights) = weights.parse().unwrap();
    for (member, weight) in topology.members.iter_mut().zip(weights) {
        member.weight = weight;
    }
}

fn health(rise: u32, fall: u32) -> Health {
    let [rise, fall] = [rise, fall].map(|count| NonZeroU32::new(count).unwrap());
    let (interval, timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    Health { path: "/readyz".parse().unwrap(), interval, timeout, rise, fall }
}

fn failure() -> Failure {
    Failure { max_fails: NonZeroU32::new(2).unwrap(), fail_timeout: Duration::from_secs(3) }
}

fn fleet_of(ports: &[u16]) -> Topology {
    Topology::of("localhost".parse().unwrap(), ports.iter().copied().map(Generator).collect())
}

/// Every algorithm with every single thing that can be asked for.
fn combinations() -> impl Iterator<Item = (Algorithm, Ask)> {
    Algorithm::examples().into_iter().flat_map(|algorithm| ASKS.map(|ask| (algorithm.clone(), ask)))
}

fn written(balancer: Balancer, algorithm: &Algorithm, ask: Ask, options: Options) -> Result<Written, Cannot> {
    let (mut topology, mut options) = (fleet_of(&[9001, 9002, 9003]), options);
    topology.algorithm = algorithm.clone();
    ask.1(&mut topology, &mut options);
    balancer.write(&topology, &options)
}

#[test]
fn what_is_asked_for_is_written_or_refused_and_never_left_out() {
    let of = |balancer, options: Options| {
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        let plain = |algorithm: &Algorithm| written(balancer, algorithm, ASKS[0], options).ok();
        for (algorithm, ask) in combinations() {
            match written(balancer, &algorithm, ask, options) {
                Err(cannot) => {
                    assert!(cannot.what.len() > 10 && cannot.nearest.len() > 4, "{cannot}");
                    assert_eq!(cannot.balancer, balancer);
                }
                Ok(written) => {
                    let text: String = written.files.iter().map(|file| file.text.as_str()).collect();
                    assert!(text.ends_with('\n') && !text.contains("\n\n\n") && !text.contains(" \n"), "{text}");
                    assert_eq!(written.run.is_some(), !options.snippet && balancer != Balancer::Kubernetes);
                    if ask.0 != "nothing" {
                        let plain = plain(&algorithm).expect("more was asked for, and less is refused");
                        assert_ne!(plain, written, "{balancer}: {} is left out with {algorithm}", ask.0);
                    } else if let Some(other) = texts.insert(text, algorithm.to_string()) {
                        panic!("{balancer}: {algorithm} and {other} are the same");
                    }
                }
            }
        }
        texts.len()
    };
    let whole: Vec<usize> = Balancer::ALL.map(|balancer| of(balancer, Options::WHOLE)).to_vec();
    assert_eq!(whole, [10, 9, 9, 5, 8, 2], "algorithms of {:?}", Balancer::ALL);
    for balancer in Balancer::ALL {
        of(balancer, Options::SNIPPET);
    }
    let old = Options { version: For::Asked("1.22.1".parse().unwrap()), ..Options::WHOLE };
    assert_eq!(of(Balancer::Nginx, old), 8);
    for balancer in [Balancer::Haproxy, Balancer::Envoy, Balancer::Traefik, Balancer::Caddy, Balancer::Kubernetes] {
        let ancient = Options { version: For::Asked("0.9".parse().unwrap()), ..Options::WHOLE };
        assert_eq!(of(balancer, ancient), 0, "{balancer}");
    }
}

#[test]
fn real_balancers_take_all_that_is_written_for_them() {
    let mut taken = BTreeMap::new();
    for installed in installed() {
        for (algorithm, ask) in combinations() {
            let options = Options { version: installed.found(), ..Options::WHOLE };
            let Ok(written) = written(installed.balancer, &algorithm, ask, options) else { continue };
            *taken.entry(installed.program.clone()).or_insert(0) += 1;
            if installed.balancer == Balancer::Traefik {
                continue;
            }
            if let Err(said) = installed.takes(&written) {
                panic!("{installed:?} does not take {algorithm} with {}: {said}\n{}", ask.0, written.files[0].text);
            }
        }
    }
    assert_eq!(taken.len(), 6, "{taken:?}");
    assert!(taken.values().all(|count| *count > 30), "{taken:?}");
}

#[test]
fn traefik_takes_all_that_is_written_for_it() {
    let traefik = installed().into_iter().find(|installed| installed.balancer == Balancer::Traefik).unwrap();
    // Each algorithm, and each thing that can be asked for with round robin: a start takes its time.
    let combinations =
        combinations().filter(|(algorithm, ask)| ask.0 == "nothing" || *algorithm == Algorithm::RoundRobin);
    for (algorithm, ask) in combinations {
        let address = Running::address();
        let listen = Some(address.to_string().parse().unwrap());
        let options = Options { version: traefik.found(), listen, ..Options::WHOLE };
        let Ok(written) = written(Balancer::Traefik, &algorithm, ask, options) else { continue };
        let path = match ask.0 {
            "another path" => "/a.b/c",
            _ => "/uuid",
        };
        let running = traefik.start(&written, address, path);
        let said = running.said();
        let errors = said.lines().filter(|line| line.contains("ERR"));
        // Nobody is behind it, which its probes tell.
        let errors: Vec<&str> = errors.filter(|line| !line.contains("Health check failed")).collect();
        assert!(errors.is_empty(), "{algorithm} with {}: {errors:?}", ask.0);
    }
}

/// Three backends and each real balancer in front of them.
fn with_each(mut try_out: impl FnMut(&Installed, &Fleet, &[u16])) {
    let (fleet, ports) = Fleet::of(3, &[]);
    for installed in installed() {
        try_out(&installed, &fleet, &ports);
    }
}

fn start(installed: &Installed, topology: &Topology) -> Option<Running> {
    let address = Running::address();
    let listen = Some(address.to_string().parse().unwrap());
    let options = Options { listen, version: installed.found(), ..Options::WHOLE };
    let written = installed.balancer.write(topology, &options).ok()?;
    Some(installed.start(&written, address, topology.path.as_str()))
}

#[test]
fn real_balancers_go_round_and_take_the_path_away() {
    with_each(|installed, _, ports| {
        let running = start(installed, &fleet_of(ports)).unwrap();
        let counted = counts(running.backends(30, "/uuid", ""));
        assert!(
            counted.values().all(|count| (9..=11).contains(count)) && counted.len() == 3,
            "{installed:?}: {counted:?}"
        );
        let seen = |path: &str| {
            let answer = running.ask(path, "").unwrap();
            let line =
                answer.text.lines().find(|line| line.contains("\"path\"")).unwrap_or_else(|| panic!("{answer:?}"));
            line.trim().trim_end_matches(',').to_owned()
        };
        assert_eq!(seen("/uuid?format=json"), "\"path\": \"/\"", "{installed:?}");
        // The lines that are shipped for NGINX give it a slash too many.
        let below = if installed.balancer == Balancer::Nginx { "\"path\": \"//a/b\"" } else { "\"path\": \"/a/b\"" };
        assert_eq!(seen("/uuid/a/b?format=json"), below, "{installed:?}");
        assert_eq!(running.ask("/other", "").unwrap().status, 404, "{installed:?}");
    });
}

#[test]
fn real_balancers_have_weights() {
    with_each(|installed, _, ports| {
        let mut topology = fleet_of(ports);
        weigh(&mut topology, "5:1:1");
        let running = start(installed, &topology).unwrap();
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
            let mut topology = fleet_of(ports);
            topology.algorithm = algorithm.parse().unwrap();
            let Some(running) = start(installed, &topology) else { continue };
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
        let mut topology = fleet_of(ports);
        topology.algorithm = "sticky:place".parse().unwrap();
        let Some(running) = start(installed, &topology) else { return };
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
        let mut topology = fleet_of(&ports[..2]);
        topology.members[1].backup = true;
        match installed.balancer {
            Balancer::Nginx => {
                topology.failure = Some(Failure { max_fails: NonZeroU32::MIN, fail_timeout: Duration::from_secs(1) })
            }
            _ => {
                let fast = Duration::from_millis(200);
                topology.health = Some(Health { interval: fast, timeout: fast, ..health(1, 1) });
            }
        }
        let running = start(installed, &topology).unwrap();
        let is = |port: u16| {
            move |answer: crate::support::balancers::Answer| answer.status == 200 && answer.backend() == port
        };
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
        let mut topology = fleet_of(ports);
        topology.retries = Some(Retries { attempts: 2, non_idempotent: false });
        let running = start(installed, &topology).unwrap();
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
            let mut topology = fleet_of(ports);
            topology.retries = Some(Retries { attempts: 2, non_idempotent });
            let Some(running) = start(installed, &topology) else {
                assert_eq!((installed.balancer, non_idempotent), (Balancer::Traefik, true));
                continue;
            };
            assert!(fleet.program(&["fault", &ports[1].to_string(), "close"]).status.success());
            let name = format!("/post-{}-{}-{non_idempotent}", installed.balancer, installed.version);
            let answers = (0..9).map(|_| running.post(&format!("/uuid{name}")).unwrap().status);
            let failed = answers.filter(|status| *status != 200).count();
            assert!(fleet.program(&["fault", &ports[1].to_string(), "clear"]).status.success());
            let attempts = || fleet.records().records.iter().filter(|it| it.path.ends_with(&name)).count();
            crate::support::eventually("all attempts have ended", || attempts() >= 9);
            match non_idempotent {
                false => assert_eq!((attempts(), failed > 0), (9, true), "{installed:?}"),
                true => {
                    assert!(attempts() > 9 && failed == 0, "{installed:?}: {} attempts, {failed} failed", attempts())
                }
            }
        }
    });
}

#[test]
fn real_balancers_keep_connections_or_not() {
    for (keep_alive, path) in [(0, "/uuid/none"), (8, "/uuid/kept")] {
        with_each(|installed, fleet, ports| {
            let mut topology = fleet_of(ports);
            topology.keep_alive = Some(keep_alive);
            let Some(running) = start(installed, &topology) else {
                assert_eq!((installed.balancer, keep_alive), (Balancer::Envoy, 8));
                return;
            };
            let path = format!("{path}/{}-{}", installed.balancer, installed.version);
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
        let mut topology = fleet_of(&[port]);
        topology.proxy_protocol = true;
        match start(&installed, &topology) {
            None => refused.push(installed.balancer),
            Some(running) => {
                let answer = running.ask("/uuid", "").unwrap();
                assert!(answer.text.contains("PROXY TCP4 127.0.0.1 "), "{installed:?}: {answer:?}");
            }
        }
        topology.proxy_protocol = false;
        topology.sockets = Some(place.path().to_str().unwrap().parse().unwrap());
        match start(&installed, &topology) {
            None => refused.push(installed.balancer),
            Some(running) => {
                let answer = running.ask("/uuid", "").unwrap();
                assert!(
                    answer.text.contains("over /") && answer.text.contains("GET / HTTP/1."),
                    "{installed:?}: {answer:?}"
                );
            }
        }
    }
    assert_eq!(refused, [Balancer::Nginx, Balancer::Nginx, Balancer::Traefik, Balancer::Traefik]);
}

#[test]
fn real_balancers_reach_a_fleet_on_unix_sockets_and_tell_it_who_the_client_is() {
    let folder = TemporaryDirectory::new();
    // Debian's programs run as another user.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let sockets = folder.path().to_str().unwrap();
    let (fleet, ports) = Fleet::of(2, &["--sockets", sockets, "--proxy-protocol"]);
    for installed in installed() {
        let mut topology = fleet_of(&ports);
        topology.sockets = Some(sockets.parse().unwrap());
        let ways = [false, true].map(|proxy_protocol| {
            topology.proxy_protocol = proxy_protocol;
            start(&installed, &topology).map(|running| {
                let answer = running.ask("/uuid?format=json", "").unwrap();
                let told = answer.text.split_once("\r\n\r\n").unwrap().1;
                let told: serde_json::Value = serde_json::from_str(told).unwrap();
                let text = |name: &str| told[name].as_str().map(str::to_owned);
                (text("peer").unwrap().starts_with("127.0.0.1:"), text("via"))
            })
        });
        let (plain, proxied) = (Some((false, None)), Some((true, Some("unix".to_owned()))));
        let expected = match installed.balancer {
            Balancer::Haproxy | Balancer::Envoy | Balancer::Caddy => [plain, proxied],
            Balancer::Nginx => [plain, None],
            Balancer::Traefik | Balancer::Kubernetes => [None, None],
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

#[test]
fn a_check_knows_each_algorithm_by_the_same_word() {
    for algorithm in Algorithm::examples() {
        assert_eq!(algorithm.word().parse::<Seen>().unwrap().name(), algorithm.word());
    }
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
