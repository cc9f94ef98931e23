//! What a Mac runs, on this machine: `UUID_GENERATOR_PORTABLE=1` takes the means that every Unix has.

use std::fs;
use std::process::Command;

use crate::support::http::{self, Connection, GET};
use crate::support::{
    Fleet, TemporaryDirectory, children, eventually, list, lives, ports, program, refuses, run, send,
};
use api::BackendState;
use rustix::process::Signal;

fn portable(place: &TemporaryDirectory) -> Command {
    let mut command = program(place);
    command.env("UUID_GENERATOR_PORTABLE", "1");
    command
}

fn fleet() -> (Fleet, Vec<u16>) {
    let place = TemporaryDirectory::new();
    let ports = ports(2);
    let mut command = portable(&place);
    command.args(["--control", "127.0.0.1:0", "--ports", &list(&ports)]);
    (Fleet::spawn(command, place), ports)
}

/// What a process has open, as the kernel names it.
fn open_files(pid: u32) -> Vec<String> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    files.filter_map(|file| Some(fs::read_link(file.path()).ok()?.to_string_lossy().into_owned())).collect()
}

#[test]
fn a_portable_fleet_lives_and_dies_as_any_other() {
    let (fleet, ports) = fleet();
    let [first, second] = [0, 1].map(|place| fleet.backend_pid(ports[place]));
    let open = open_files(first);
    assert!(!open.iter().any(|it| ["eventpoll", "timerfd", "memfd:"].iter().any(|own| it.contains(own))), "{open:?}");
    let mut kept = Connection::to(ports[0]);
    kept.ask(GET).expect_page_of(ports[0]);
    kept.ask(GET).expect_page_of(ports[0]);
    http::expect_page(ports[1]);
    eventually("all is recorded", || fleet.backend(ports[0]).attempts == 2 && fleet.backend(ports[1]).attempts == 1);

    fleet.act("pause", ports[0]);
    assert_eq!(fleet.backend(ports[0]).state, BackendState::Paused);
    fleet.act("resume", ports[0]);
    kept.ask(GET).expect_page_of(ports[0]);

    send(second, Signal::KILL);
    eventually("its end is noticed", || fleet.backend(ports[1]).state == BackendState::Gone);
    assert!(refuses(ports[1]));
    fleet.act("start", ports[1]);
    http::expect_page(ports[1]);
    fleet.act("drain", ports[1]);
    eventually("it has drained", || refuses(ports[1]));

    let backends = children(fleet.pid());
    send(fleet.pid(), Signal::KILL);
    eventually("backends end with their supervisor", || !backends.iter().any(|pid| lives(*pid)));
}

#[test]
fn a_portable_check_starts_a_fleet_and_a_balancer_and_leaves_nothing() {
    let place = TemporaryDirectory::new();
    let check = ["check", "--with", "builtin", "--ports", &list(&ports(3)), "--expect", "round-robin", "-n", "2000"];
    let output = run(portable(&place).env("TMPDIR", place.path()).args(check));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("PASS"), "{said}");
    eventually("all has ended", || place.processes().is_empty());
}
