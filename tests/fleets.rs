//! Several fleets behind one balancer, as on several hosts: joined they are one, and what is not known is not judged.

use std::process::Command;
use std::time::Duration;

use crate::support::{Fleet, PROGRAM, TemporaryDirectory, in_place, ports, program, run, send};
use rustix::process::Signal;
use testbed::planted::{PlantedAlgorithm, PlantedBalancer};
use verdict::facts::fleets::ChangeKind;
use verdict::finding::{Facts, Finding, Level};
use verdict::report::{Check, Report, Verdict};

const TOKEN: &str = "0123456789abcdef-of-a-test";

fn fleet_in(place: TemporaryDirectory, mut command: Command, backends: &str) -> Fleet {
    command.args(["--backends", backends, "--control", "127.0.0.1:0", "--log", "off"]);
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
