//! Several fleets behind one balancer, as on several hosts: joined they are one, and what is not known is not judged.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use api::BackendState;

use crate::support::{Fleet, PATIENCE, PROGRAM, TemporaryDirectory, error_of, in_place, ports, program, run, send};
use rustix::process::Signal;
use testbed::planted::{PlantedAlgorithm, PlantedBalancer};
use verdict::facts::fleets::ChangeKind;
use verdict::facts::records::RecordGap;
use verdict::finding::{Facts, Finding, Level};
use verdict::report::{Check, Report, Verdict};

const TOKEN: &str = "0123456789abcdef-of-a-test";

fn fleet_in(place: TemporaryDirectory, command: Command, backends: &str) -> Fleet {
    fleet_at(place, command, backends, 0)
}

fn fleet_at(place: TemporaryDirectory, mut command: Command, backends: &str, control: u16) -> Fleet {
    command.args(["--backends", backends, "--control", &format!("127.0.0.1:{control}"), "--log", "off"]);
    command.env("UUID_GENERATOR_TOKEN", TOKEN);
    Fleet::spawn(command, place)
}

fn fleet(backends: &str) -> Fleet {
    let place = TemporaryDirectory::new();
    let command = program(&place);
    fleet_in(place, command, backends)
}

/// Three fleets; two of them call their backends alike.
struct Hosts {
    fleets: Vec<Fleet>,
    balancer: PlantedBalancer,
}

impl Hosts {
    fn start() -> Hosts {
        let ports = ports(4);
        let fleets = [
            fleet(&format!("app=127.0.0.1:{},first=127.0.0.1:{}", ports[0], ports[1])),
            fleet(&format!("app=127.0.0.1:{}", ports[2])),
            fleet(&format!("other=127.0.0.1:{}", ports[3])),
        ];
        Hosts { fleets: fleets.into(), balancer: PlantedBalancer::start(&ports, PlantedAlgorithm::RoundRobin) }
    }

    /// What a check from elsewhere says that knows some of the fleets.
    fn check(&self, known: &[usize], options: &[&str]) -> Check {
        check(&self.balancer, known.iter().map(|fleet| self.fleets[*fleet].control.clone()), options)
    }
}

fn check(balancer: &PlantedBalancer, fleets: impl IntoIterator<Item = String>, options: &[&str]) -> Check {
    let elsewhere = TemporaryDirectory::new();
    let mut command = program(&elsewhere);
    command.args(["check", &balancer.url("/uuid"), "--format", "json"]).args(options);
    command.env("UUID_GENERATOR_TOKEN", TOKEN);
    for control in fleets {
        command.args(["--fleet", &control]);
    }
    let output = run(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    let [check] = report.checks.try_into().unwrap();
    let outcomes: u64 = check.account.outcomes.iter().map(|it| it.count).sum();
    assert_eq!(outcomes, check.account.sent, "{:?}", check.account);
    check
}

fn gaps(check: &Check) -> Vec<RecordGap> {
    let of_records = |finding: &Finding| match &finding.facts {
        Facts::Records(facts) => Some(facts.gaps.clone()),
        _ => None,
    };
    check.findings.iter().find_map(of_records).unwrap_or_default()
}

#[track_caller]
fn fleets_of(check: &Check) -> (&Finding, &verdict::facts::fleets::FleetFacts) {
    let found = check.findings.iter().find_map(|finding| match &finding.facts {
        Facts::Fleets(facts) => Some((finding, facts)),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{:?}", check.findings))
}

#[test]
fn several_fleets_are_judged_as_one_and_backends_of_one_name_are_told_apart() {
    let hosts = Hosts::start();
    let check = hosts.check(&[0, 1, 2], &["-n", "4000", "--expect", "even"]);
    assert_eq!(check.verdict, Verdict::Pass, "{:?}", check.findings);
    let names = check.fleet.as_ref().unwrap().backends.clone();
    let at = |place: usize| hosts.fleets[place].control.trim_start_matches("http://").to_owned();
    assert_eq!(names, [format!("app@{}", at(0)), "first".to_owned(), format!("app@{}", at(1)), "other".to_owned()]);
    let shares: Vec<u64> = check.shares.as_ref().unwrap().rows.iter().map(|row| row.count).collect();
    assert!(shares.len() == 4 && shares.iter().all(|count| count.abs_diff(1000) <= 2), "{shares:?}");
    let (finding, facts) = fleets_of(&check);
    assert_eq!((finding.level, facts.fleets, facts.half_width), (Level::Note, 3, None));
    // An outage goes to the fleet that has the backend, by the name that tells it apart.
    let victim = format!("kill:{}@300ms,start@900ms", names[2]);
    let check = hosts.check(&[0, 1, 2], &["--outage", &victim, "--duration", "2s", "--no-experiments"]);
    let broken: Vec<&str> = check.outage.as_ref().unwrap().backends.iter().map(|it| it.backend.as_str()).collect();
    assert_eq!(broken, [names[2].as_str()], "{:?}", check.outage);
    assert_eq!(hosts.fleets[1].status().backends[0].restarts, 1);
    assert_eq!(hosts.fleets[0].status().backends[0].restarts, 0);
}

#[test]
fn a_fleet_that_is_not_known_leaves_shares_open_whoever_responds_first() {
    let hosts = Hosts::start();
    for known in [&[0][..], &[1, 2], &[2]] {
        let check = hosts.check(known, &["-n", "2000"]);
        assert_eq!(check.verdict, Verdict::Inconclusive, "{known:?} {:?}", check.findings);
        let (finding, facts) = fleets_of(&check);
        assert!(finding.level == Level::Inconclusive && !facts.strangers.is_empty(), "{facts:?}");
    }
}

#[test]
fn replicas_with_one_name_are_told_apart_where_no_fleet_is_known() {
    let ports = ports(3);
    let fleets: Vec<Fleet> = ports.iter().map(|port| fleet(&format!("app=127.0.0.1:{port}"))).collect();
    let balancer = PlantedBalancer::start(&ports, PlantedAlgorithm::RoundRobin);
    let check = check(&balancer, [], &["-n", "2000"]);
    let rows = &check.shares.as_ref().unwrap().rows;
    assert_eq!(rows.len(), 3, "{rows:?} {:?}", check.findings);
    drop(fleets);
}

#[test]
fn a_host_that_is_gone_is_an_event_and_what_it_received_last_is_unknown() {
    let hosts = Hosts::start();
    let victim = hosts.fleets[2].pid();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(3));
        send(victim, Signal::KILL);
    });
    let check = hosts.check(&[0, 1, 2], &["--rate", "200", "--duration", "4s", "--no-experiments"]);
    killer.join().unwrap();
    let (finding, facts) = fleets_of(&check);
    assert_eq!(finding.level, Level::Inconclusive);
    let [change] = &facts.changes[..] else { panic!("{facts:?}") };
    assert_eq!((change.kind, &change.backends[..]), (ChangeKind::Gone, &["other".to_owned()][..]));
    let shares = check.findings.iter().find(|finding| matches!(finding.facts, Facts::Shares(_)));
    assert!(shares.is_none_or(|finding| finding.level != Level::Fail), "{shares:?}");
}

#[test]
fn a_host_with_another_clock_is_converted_and_the_width_is_said() {
    let place = TemporaryDirectory::new();
    let mut unshare = in_place(Command::new("unshare"), &place);
    unshare.args(["--time", "--monotonic", "100000", "--fork", "--kill-child", "true"]);
    if !unshare.output().is_ok_and(|output| output.status.success()) {
        eprintln!("not run: a time namespace needs root");
        return;
    }
    let ports = ports(2);
    let here = fleet(&format!("here=127.0.0.1:{}", ports[0]));
    let mut unshare = in_place(Command::new("unshare"), &place);
    unshare.args(["--time", "--monotonic", "100000", "--fork", "--kill-child", PROGRAM]);
    let there = fleet_in(place, unshare, &format!("there=127.0.0.1:{}", ports[1]));
    let balancer = PlantedBalancer::start(&ports, PlantedAlgorithm::RoundRobin);
    let check = check(&balancer, [here.control.clone(), there.control.clone()], &["-n", "3000", "--expect", "even"]);
    assert_eq!(check.verdict, Verdict::Pass, "{:?}", check.findings);
    let (finding, facts) = fleets_of(&check);
    let half_width = facts.half_width.expect("another clock");
    assert!(half_width < 0.05, "{half_width}");
    assert!(finding.summary().contains("clocks of 2 hosts agree to ± "), "{}", finding.summary());
}

#[test]
fn a_fleet_that_is_reached_by_two_addresses_counts_once() {
    let ports = ports(2);
    let one = fleet(&format!("first=127.0.0.1:{},second=127.0.0.1:{}", ports[0], ports[1]));
    let balancer = PlantedBalancer::start(&ports, PlantedAlgorithm::RoundRobin);
    let other_name = one.control.replace("127.0.0.1", "localhost");
    let check = check(&balancer, [one.control.clone(), other_name], &["-n", "2000", "--expect", "even"]);
    assert_eq!(check.verdict, Verdict::Pass, "{:?}", check.findings);
    assert_eq!(check.fleet.as_ref().unwrap().backends, ["first", "second"]);
    assert_eq!(gaps(&check), []);
}

#[test]
fn a_fleet_whose_token_is_another_is_an_error_and_one_that_is_not_there_is_a_gap() {
    let hosts = Hosts::start();
    let place = TemporaryDirectory::new();
    let foreign_port = ports(1)[0];
    let mut foreign = program(&place);
    foreign.args([
        "--backends",
        &format!("foreign=127.0.0.1:{foreign_port}"),
        "--control",
        "127.0.0.1:0",
        "--log",
        "off",
    ]);
    let foreign = Fleet::spawn(foreign, place);
    let elsewhere = TemporaryDirectory::new();
    let mut command = program(&elsewhere);
    command.args(["check", &hosts.balancer.url("/uuid"), "-n", "500"]).env("UUID_GENERATOR_TOKEN", TOKEN);
    for control in [&hosts.fleets[0].control, &hosts.fleets[1].control, &foreign.control] {
        command.args(["--fleet", control]);
    }
    let output = run(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains(&foreign.control) && said.contains("token"), "{said}");
    // What is no address of an API is told apart from a fleet of another version.
    let mistaken = |url: String| {
        let place = TemporaryDirectory::new();
        error_of(&run(program(&place).args(["fleet", "status", "--fleet", &url])))
    };
    let error = mistaken(format!("http://127.0.0.1:{foreign_port}"));
    assert!(error.contains("is not the API of a fleet") && error.contains("that a fleet prints"), "{error}");
    let error = mistaken(format!("{}/v1", foreign.control));
    assert!(error.contains("expected a process id, or a URL such as http://127.0.0.1:9000"), "{error}");
    let nobody = format!("http://127.0.0.1:{}", ports(1)[0]);
    let known = hosts.fleets.iter().map(|fleet| fleet.control.clone());
    let check = check(&hosts.balancer, known.chain([nobody.clone()]), &["-n", "500", "--no-experiments"]);
    assert_eq!(check.verdict, Verdict::Inconclusive);
    assert_eq!(gaps(&check), [RecordGap::NoFleet { control: nobody }]);
}

#[test]
fn a_fleet_that_is_started_again_meanwhile_accounts_for_all_and_leaves_shares_open() {
    let ports = ports(3);
    let (own, control) = (ports[1], ports[2]);
    let start = move || {
        let place = TemporaryDirectory::new();
        let command = program(&place);
        fleet_at(place, command, &format!("again=127.0.0.1:{own}"), control)
    };
    let stays = fleet(&format!("stays=127.0.0.1:{}", ports[0]));
    let again = start();
    let known = [stays.control.clone(), again.control.clone()];
    let balancer = PlantedBalancer::start(&ports[..2], PlantedAlgorithm::RoundRobin);
    let restarter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1500));
        drop(again);
        start()
    });
    let check = check(&balancer, known, &["--rate", "200", "--duration", "4s", "--no-experiments"]);
    let _successor = restarter.join().unwrap();
    let (finding, facts) = fleets_of(&check);
    assert_eq!(finding.level, Level::Inconclusive);
    let kinds: Vec<(ChangeKind, &[String])> = facts.changes.iter().map(|it| (it.kind, &it.backends[..])).collect();
    let its = ["again".to_owned()];
    assert_eq!(kinds, [(ChangeKind::Gone, &its[..]), (ChangeKind::Joined, &its[..])], "{facts:?}");
    assert!(facts.strangers.is_empty(), "{facts:?}");
    let rows = &check.shares.as_ref().unwrap().rows;
    assert!(rows.len() == 2 && rows.iter().all(|row| row.count > 100), "{rows:?}");
    // A request that the ending backend breaks off fails the check, cut off or as this balancer's own 502: it tries no other.
    let failed = check.findings.iter().filter(|it| it.level == Level::Fail).map(|it| it.rule().id());
    let unexpected: Vec<_> = failed.filter(|id| !["failures", "balancer"].contains(id)).collect();
    assert!(unexpected.is_empty(), "{unexpected:?} {:?}", check.findings);
}

#[test]
fn a_supervisor_that_does_not_respond_for_a_while_loses_nothing() {
    let hosts = Hosts::start();
    let victim = hosts.fleets[2].pid();
    let pauser = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        send(victim, Signal::STOP);
        std::thread::sleep(Duration::from_millis(2500));
        send(victim, Signal::CONT);
    });
    let check = hosts.check(&[0, 1, 2], &["--rate", "200", "--duration", "5s", "--no-experiments"]);
    pauser.join().unwrap();
    let (finding, facts) = fleets_of(&check);
    assert_eq!((finding.level, &facts.changes[..]), (Level::Note, &[][..]));
    assert!(check.findings.iter().all(|it| it.level != Level::Fail), "{:?}", check.findings);
    assert_eq!((check.account.attempts, gaps(&check)), (check.account.sent, vec![]));
}

/// A view of fleets at these addresses.
fn view(controls: &[String]) -> Fleet {
    let place = TemporaryDirectory::new();
    let mut command = program(&place);
    command.args(["view", "--control", "127.0.0.1:0"]).env("UUID_GENERATOR_TOKEN", TOKEN);
    for control in controls {
        command.args(["--fleet", control]);
    }
    let mut view = Fleet::begin(command, place);
    view.expect_said("The live view of ");
    let said = view.output.all().join("\n");
    view.control = format!("http://{}", said.split("http://").nth(1).unwrap().split('/').next().unwrap());
    view
}

/// What a page gets first.
fn snapshot(view: &Fleet) -> String {
    let mut stream = TcpStream::connect(view.control.strip_prefix("http://").unwrap()).unwrap();
    let head = format!("GET /v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    lines.skip_while(|line| line != "event: snapshot").nth(1).unwrap()
}

#[test]
fn a_view_grows_by_fleets_that_join_and_a_pod_that_comes_back_elsewhere_is_itself() {
    let ports = ports(5);
    let control = |place: usize| format!("http://127.0.0.1:{}", ports[place]);
    let pod = |place: usize| {
        let folder = TemporaryDirectory::new();
        let mut command = program(&folder);
        command.env("POD_NAME", "web-0").env("POD_NAMESPACE", "shop");
        fleet_at(folder, command, &format!("web-0=127.0.0.1:{}", ports[3]), ports[place])
    };
    let steady = {
        let folder = TemporaryDirectory::new();
        let command = program(&folder);
        fleet_at(folder, command, &format!("web-1=127.0.0.1:{}", ports[4]), ports[0])
    };
    let view = view(&[control(0), control(1), control(2)]);
    let wait_for = |expected: &[(&str, BackendState)]| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = view.status().backends;
            let seen: Vec<(&str, BackendState)> = status.iter().map(|it| (it.name.as_str(), it.state)).collect();
            if seen == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{seen:?}, expected {expected:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait_for(&[("web-1", BackendState::Ready)]);
    let before = pod(1);
    wait_for(&[("web-1", BackendState::Ready), ("web-0", BackendState::Ready)]);
    before.stop();
    wait_for(&[("web-1", BackendState::Ready), ("web-0", BackendState::Gone)]);
    let after = pod(2);
    wait_for(&[("web-1", BackendState::Ready), ("web-0", BackendState::Ready)]);
    let snapshot = snapshot(&view);
    for text in ["joins with its fleet", "gone: its fleet cannot be reached"] {
        assert!(snapshot.contains(text), "{text}: {snapshot}");
    }
    // What is done to it goes to where it is now.
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(view.call("POST", "/v1/fleet/kill?backends=web-0", "127.0.0.1", &bearer).status, 200);
    assert_eq!(after.status().backends[0].state, BackendState::Gone);
    wait_for(&[("web-1", BackendState::Ready), ("web-0", BackendState::Gone)]);
    view.stop();
    after.stop();
    steady.stop();
}

#[test]
fn one_view_shows_all_fleets_counts_over_them_and_hands_on_what_is_to_be_done() {
    let hosts = Hosts::start();
    let view = view(&hosts.fleets.iter().map(|fleet| fleet.control.clone()).collect::<Vec<_>>());
    let names: Vec<String> = view.status().backends.into_iter().map(|it| it.name).collect();
    let at = |place: usize| hosts.fleets[place].control.trim_start_matches("http://").to_owned();
    assert_eq!(names, [format!("app@{}", at(0)), "first".to_owned(), format!("app@{}", at(1)), "other".to_owned()]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    // Records from before it looked are not shown: it has to look first.
    let counts = || {
        let metrics = view.call("GET", "/metrics", "127.0.0.1", &bearer).body;
        let of = |name: &str| {
            metrics.lines().filter(|line| line.contains("duration_seconds_count{") && line.contains(name)).count()
        };
        names.iter().all(|name| of(name) > 0)
    };
    let deadline = Instant::now() + PATIENCE;
    while !counts() {
        assert!(Instant::now() < deadline, "{}", view.call("GET", "/metrics", "127.0.0.1", &bearer).body);
        let check = hosts.check(&[0, 1, 2], &["-n", "100", "--no-experiments"]);
        assert_eq!(check.account.sent, 100);
    }
    let records = view.call("GET", "/v1/records/batch", "127.0.0.1", &bearer);
    assert!(records.status == 404 && records.body.contains("name each of them with --fleet"), "{}", records.body);
    let path = format!("/v1/fleet/kill?backends={}", names[2]);
    assert_eq!(view.call("POST", &path, "127.0.0.1", &bearer).status, 200);
    assert_eq!(hosts.fleets[1].status().backends[0].state, BackendState::Gone);
    assert_eq!(hosts.fleets[0].status().backends[0].state, BackendState::Ready);
    while view.status().backends[2].state != BackendState::Gone {
        assert!(Instant::now() < deadline, "{:?}", view.status());
        std::thread::sleep(Duration::from_millis(20));
    }
    view.stop();
}

#[test]
fn a_view_shows_what_is_open_at_each_backend_while_nothing_else_changes() {
    let mut places = ports(3);
    places.sort_unstable();
    let [low, high, other] = places.try_into().unwrap();
    let place = TemporaryDirectory::new();
    let mut command = program(&place);
    // In another order than that of their numbers.
    command.args(["--ports", &format!("{high},{low}"), "--control", "127.0.0.1:0", "--log", "off"]);
    command.env("UUID_GENERATOR_TOKEN", TOKEN);
    let fleets = [Fleet::spawn(command, place), fleet(&format!("other=127.0.0.1:{other}"))];
    let view = view(&fleets.iter().map(|fleet| fleet.control.clone()).collect::<Vec<_>>());
    let shows = |wanted: [usize; 3]| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let backends = view.status().backends;
            let open: Vec<usize> = backends.iter().map(|it| it.connections).collect();
            if open == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{open:?}, and {wanted:?} are open");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    shows([0, 0, 0]);
    let at_high = TcpStream::connect(("127.0.0.1", high)).unwrap();
    shows([1, 0, 0]);
    let _at_other = TcpStream::connect(("127.0.0.1", other)).unwrap();
    shows([1, 0, 1]);
    drop(at_high);
    shows([0, 0, 1]);
    view.stop();
}

#[test]
fn a_file_names_backends_by_their_pods_or_by_their_hosts() {
    let (place, all) = (TemporaryDirectory::new(), ports(2));
    let pods = ["stable-7d9b5c6f48-x2x4z", "canary-0"];
    let fleets: Vec<Fleet> = std::iter::zip(pods, &all)
        .map(|(pod, port)| {
            let place = TemporaryDirectory::new();
            let mut command = program(&place);
            command.env("POD_NAME", pod);
            fleet_in(place, command, &format!("{pod}=127.0.0.1:{port}"))
        })
        .collect();
    // Twice in the list, the second gets two of three.
    let balancer = PlantedBalancer::start(&[all[0], all[1], all[1]], PlantedAlgorithm::RoundRobin);
    let route = |stable: u32| {
        let refs = format!("[{{ name: stable, port: 80, weight: {stable} }}, {{ name: canary, port: 80, weight: 2 }}]");
        format!("kind: HTTPRoute\nmetadata: {{ name: shop }}\nspec: {{ rules: [{{ backendRefs: {refs} }}] }}\n")
    };
    let nginx = format!("upstream u {{ server 127.0.0.1:{}; server 127.0.0.1:{} weight=2; }}", all[0], all[1]);
    for (name, text, weights, verdict) in [
        ("route.yaml", route(1), [1, 2], Verdict::Pass),
        // Without experiments nothing is proven of a deviation, nor of an algorithm.
        ("other.yaml", route(2), [1, 1], Verdict::Inconclusive),
        ("nginx.conf", nginx, [1, 2], Verdict::Inconclusive),
    ] {
        let file = place.path().join(name);
        std::fs::write(&file, text).unwrap();
        let options = ["-n", "6000", "--no-experiments", "--tolerance", "10%", "--from", file.to_str().unwrap()];
        let check = check(&balancer, fleets.iter().map(|fleet| fleet.control.clone()), &options);
        let expected = check.findings.iter().find_map(|finding| match &finding.facts {
            Facts::Shares(facts) => Some(facts.expected.clone()),
            _ => None,
        });
        let weights = format!("{}={},{}={}", pods[0], weights[0], pods[1], weights[1]);
        assert_eq!((check.verdict, expected), (verdict, Some(weights)), "{name}: {:?}", check.findings);
    }
}
