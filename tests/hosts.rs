//! Hosts that are network namespaces, by the script that users have: examples/several-hosts/run. It takes root.

use std::path::Path;
use std::process::Command;

use crate::support::{PROGRAM, TemporaryDirectory, in_place, run};
use verdict::facts::fleets::{ChangeKind, FleetFacts};
use verdict::finding::{Facts, Level, Rule};
use verdict::report::{Check, Report};

/// What the check of three hosts says; none where namespaces cannot be had.
fn hosts(options: &[&str]) -> Option<Check> {
    let place = TemporaryDirectory::new();
    if !run(in_place(Command::new("unshare"), &place).args(["--net", "--time", "true"])).status.success() {
        eprintln!("not run: network and time namespaces need root");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/several-hosts/run");
    let mut command = in_place(Command::new(script), &place);
    command.env("PROGRAM", PROGRAM).args(["--hosts", "3", "--backends", "4"]).args(options);
    let output = run(command.args(["--no-experiments", "--format", "json"]));
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    let [check] = report.checks.try_into().unwrap();
    let outcomes: u64 = check.account.outcomes.iter().map(|it| it.count).sum();
    assert_eq!(outcomes, check.account.sent, "{:?}", check.account);
    assert!(check.findings.iter().all(|it| it.rule() != Rule::Records), "{:?}", check.findings);
    assert!(check.findings.iter().all(|it| it.level != Level::Fail), "{:?}", check.findings);
    Some(check)
}

fn fleets(check: &Check) -> &FleetFacts {
    let facts = check.findings.iter().find_map(|finding| match &finding.facts {
        Facts::Fleets(facts) => Some(facts),
        _ => None,
    });
    facts.unwrap_or_else(|| panic!("{:?}", check.findings))
}

#[test]
fn three_hosts_of_which_one_has_another_clock_account_for_every_request() {
    let Some(check) = hosts(&["-n", "4000"]) else { return };
    let facts = fleets(&check);
    assert!(facts.fleets == 3 && facts.changes.is_empty() && facts.strangers.is_empty(), "{facts:?}");
    // Less than the slowest response took: two exchanges bound it at any time.
    assert!(facts.half_width.is_some_and(|half| half > 0.0 && half < 1.0) && facts.unjoined.is_empty(), "{facts:?}");
    let rows = &check.shares.as_ref().unwrap().rows;
    assert!(rows.len() == 12 && rows.iter().all(|row| row.count.abs_diff(333) <= 2), "{rows:?}");
    assert_eq!(check.account.attempts, check.account.sent);
}

#[test]
fn hosts_behind_gates_that_translate_addresses_are_found_by_one_name_that_has_them_all() {
    if !run(Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin:/sbin command -v iptables-restore"])).status.success()
    {
        eprintln!("not run: gates need iptables");
        return;
    }
    let Some(check) = hosts(&["--network", "nat", "--fleets", "name", "-n", "4000"]) else { return };
    let facts = fleets(&check);
    assert!(facts.fleets == 3 && facts.changes.is_empty() && facts.strangers.is_empty(), "{facts:?}");
    let rows = &check.shares.as_ref().unwrap().rows;
    assert!(rows.len() == 12 && rows.iter().all(|row| row.count.abs_diff(333) <= 2), "{rows:?}");
    assert_eq!(check.account.attempts, check.account.sent);
}

#[test]
fn a_host_that_joins_is_read_from_its_first_record_on() {
    let Some(check) = hosts(&["--joins", "2", "--rate", "200", "--duration", "7s"]) else { return };
    let facts = fleets(&check);
    let [change] = &facts.changes[..] else { panic!("{facts:?}") };
    assert_eq!((change.kind, change.backends.len()), (ChangeKind::Joined, 4));
    assert!(facts.strangers.is_empty(), "{facts:?}");
}
