//! How a fleet starts: whole, or not at all with one message that says why. And that nothing of it outlives its supervisor.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{
    DefaultPorts, Fleet, PROGRAM, TemporaryDirectory, after_time, error_of, eventually, http, in_place, is_free, list,
    lives, ports, program, refuses, run, send,
};
use rustix::process::{Signal, getuid};

const NOBODY: u32 = 65534;

// Whole.

#[test]
fn with_no_arguments_three_backends_serve_on_both_loopback_addresses() {
    let _lock = DefaultPorts::wait();
    let place = TemporaryDirectory::new();
    let fleet = Fleet::spawn(program(&place), place);
    for port in [9001, 9002, 9003] {
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            http::get(&format!("http://{host}:{port}/")).unwrap().expect_page_of(port);
        }
    }
    assert_eq!(fleet.status().backends.len(), 3);
    assert_eq!(fleet.control, "http://127.0.0.1:9000");
}

#[test]
fn the_api_moves_to_a_free_port_when_its_default_is_taken() {
    let _lock = DefaultPorts::wait();
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 9000)).unwrap();
    let place = TemporaryDirectory::new();
    let mut command = program(&place);
    command.args(["--ports", &list(&ports(1))]);
    let fleet = Fleet::spawn(command, place);
    assert_ne!(fleet.control, "http://127.0.0.1:9000");
    let view = fleet.view();
    fleet.expect_said(&format!("The live view: {view}   (127.0.0.1:9000 is taken)"));
    assert!(view.starts_with(&format!("{}/#token=", fleet.control)));
    assert_eq!(fleet.status().control, fleet.control);
}

#[test]
fn a_start_says_how_to_stop_where_each_backend_is_and_the_lines_for_nginx() {
    let (fleet, ports) = Fleet::of(2, &[]);
    let [first, second] = ports[..] else { unreachable!() };
    let said = fleet.output.wait_until("the end of the introduction", |lines| {
        lines.last().is_some_and(|line| line.contains("http://localhost/uuid"))
    });
    assert_eq!(said[..2], ["2 backends, each in a process of its own. CTRL+C stops them.", ""]);
    let started: Vec<&str> = said[2..4].iter().map(|line| after_time(line)).collect();
    assert_eq!(started, [first, second].map(|port| format!("App server started - http://localhost:{port}")));
    assert!(said[2..4].iter().all(|line| line.find(' ') == Some("HH:MM:SS".len())), "{said:?}");
    let advice = said[4..].join("\n");
    let lines = format!(
        "upstream uuid {{\n    zone uuid 64k;\n    server 127.0.0.1:{first};\n    server 127.0.0.1:{second};\n}}\n\n\
         server {{\n    listen 80;\n    listen [::]:80;\n    server_name localhost;\n\n    location /uuid {{\n        proxy_pass http://uuid/;\n    }}\n}}\n"
    );
    assert!(advice.contains(&lines), "{advice}");
    assert!(advice.contains(&fleet.control), "{advice}");
}

#[test]
fn a_backend_answers_as_soon_as_it_is_said_to_have_started() {
    let ports = ports(20);
    let place = TemporaryDirectory::new();
    let mut command = program(&place);
    command.args(["--control", "127.0.0.1:0", "--ports", &list(&ports)]);
    let fleet = Fleet::begin(command, place);
    for port in ports {
        let line = fleet.output.wait_for(&format!(":{port}"));
        assert_eq!(after_time(&line), format!("App server started - http://localhost:{port}"));
        http::expect_page(port);
    }
}

#[test]
fn three_hundred_backends_start_and_answer() {
    let (fleet, ports) = Fleet::of(300, &[]);
    for port in &ports {
        http::expect_page(*port);
    }
    let (said, _) = fleet.stop();
    assert_eq!(said.iter().filter(|line| line.contains("App server stopped")).count(), 300);
}

#[test]
fn a_soft_limit_of_files_is_raised() {
    let ports = ports(20);
    let place = TemporaryDirectory::new();
    let command = limited(&["--nofile=32:1024"], &["--ports", &list(&ports)], &place);
    let fleet = Fleet::spawn(command, place);
    assert_eq!(fleet.status().backends.len(), 20);
}

#[test]
fn a_fleet_needs_no_rights() {
    let ports = ports(3);
    let place = TemporaryDirectory::new();
    let fleet = Fleet::spawn(as_nobody(&[], &["--ports", &list(&ports)], &place), place);
    for port in ports {
        http::expect_page(port);
    }
    let (said, _) = fleet.stop();
    assert_eq!(said.iter().filter(|line| line.contains("App server stopped")).count(), 3);
}

// Or not at all.

#[test]
fn one_message_names_every_port_that_cannot_be_had_and_the_others_are_not_bound() {
    let ports = ports(5);
    let [free, taken, other, taken_by_six, api] = ports[..] else { unreachable!() };
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).unwrap();
    let _taken_by_six = TcpListener::bind((Ipv6Addr::LOCALHOST, taken_by_six)).unwrap();
    let _api = TcpListener::bind((Ipv4Addr::LOCALHOST, api)).unwrap();
    let asked_for = format!("{free},{taken},{other},{taken_by_six},{free},0,70000");
    let error = refused(&["--ports", &asked_for, "--control", &format!("127.0.0.1:{api}")]);
    for problem in [
        format!("backend {taken} on 127.0.0.1:{taken}: address already in use"),
        format!("backend {taken_by_six} on [::1]:{taken_by_six}: address already in use"),
        format!("{free}: named more than once; each backend has a port of its own (from --ports)"),
        "0: no port, those are 1 to 65535 (from --ports)".to_owned(),
        "70000: no port, those are 1 to 65535 (from --ports)".to_owned(),
        format!("the API on 127.0.0.1:{api}: address already in use"),
    ] {
        assert_eq!(error.matches(&format!("\n  {problem}\n")).count(), 1, "{problem}\n{error}");
    }
    for hint in ["choose other ports with --ports", &format!("sport = :{taken}"), "--control"] {
        assert!(error.lines().any(|line| line.starts_with("  hint: ") && line.contains(hint)), "{hint}\n{error}");
    }
    assert!(!error.contains(&format!("backend {other}")), "{error}");
    assert!(is_free(free) && is_free(other));
}

#[test]
fn a_fleet_on_the_ports_of_another_does_not_start_and_leaves_that_alone() {
    let (fleet, ports) = Fleet::of(2, &[]);
    let before = fleet.status();
    let error = refused(&["--ports", &list(&ports), "--control", "127.0.0.1:0"]);
    assert_eq!(error.matches("address already in use").count(), 2, "{error}");
    assert_eq!(fleet.status(), before);
    for port in ports {
        http::expect_page(port);
    }
}

#[test]
fn a_host_that_this_machine_is_not_is_named() {
    let port = list(&ports(1));
    let error = refused(&["--ports", &port, "--host", "no-such-host.invalid"]);
    assert!(error.contains("\n  host no-such-host.invalid: it does not resolve ("), "{error}");
    assert!(error.contains("\n  hint: choose another host with --host"), "{error}");
    // RFC 5737: for documentation, no machine's.
    let error = refused(&["--ports", &port, "--host", "203.0.113.1"]);
    assert!(
        error.contains(&format!("backend {port} on 203.0.113.1:{port}: this machine has no such address")),
        "{error}"
    );
}

#[test]
fn a_port_without_permission_is_named() {
    let first_for_all: u16 = setting("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    assert!(
        first_for_all >= 2,
        "every user of this machine may have every port, so nothing can be seen here: set net.ipv4.ip_unprivileged_port_start to 1024"
    );
    let port = first_for_all.min(81) - 1;
    let place = TemporaryDirectory::new();
    let error = refused_as(&mut as_nobody(&[], &["--ports", &port.to_string()], &place), &place);
    assert!(error.contains(&format!("\n  backend {port} on 127.0.0.1:{port}: permission denied\n")), "{error}");
    assert!(error.contains("\n  hint: ports below 1024 need root"), "{error}");
}

#[test]
fn a_folder_of_sockets_without_permission_is_named() {
    let port = ports(1)[0];
    let (place, folder) = (TemporaryDirectory::new(), TemporaryDirectory::new());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let shown = folder.path().display().to_string();
    let flags = ["--ports", &port.to_string(), "--sockets", &shown];
    let error = refused_as(&mut as_nobody(&[], &flags, &place), &place);
    assert!(error.contains(&format!("\n  backend {port} on {shown}/{port}.sock: permission denied\n")), "{error}");
    assert!(error.contains("\n  hint: choose a folder in which you may write"), "{error}");
    assert!(is_free(port));
}

#[test]
fn a_limit_of_files_that_the_fleet_would_exceed_is_named() {
    let ports = ports(3);
    let place = TemporaryDirectory::new();
    let error = refused_as(&mut limited(&["--nofile=40:40"], &["--ports", &list(&ports)], &place), &place);
    assert!(error.contains("\n  3 backends need 66 open files in the supervisor: the limit is 40\n"), "{error}");
    assert!(error.contains("ulimit -n"), "{error}");
}

#[test]
fn a_limit_of_processes_that_the_fleet_would_exceed_is_named() {
    let ports = ports(3);
    let place = TemporaryDirectory::new();
    let limit = ["prlimit", "--nproc=3:3"];
    let error = refused_as(&mut as_nobody(&limit, &["--ports", &list(&ports)], &place), &place);
    assert!(error.contains("\n  3 backends need 7 more processes: this user has "), "{error}");
    assert!(error.contains(" and the limit is 3\n"), "{error}");
    assert!(error.contains("ulimit -u"), "{error}");
}

#[test]
fn more_than_a_thousand_backends_are_refused() {
    // Not the ports of other tests: it looks whether it could have them.
    let error = refused(&["--ports", "2000-3000", "--control", "127.0.0.1:0"]);
    assert!(error.contains("\n  1001 backends: a fleet has 1000 at most (from --ports)\n"), "{error}");
}

// And not beyond its end.

#[test]
fn no_backend_outlives_a_supervisor_that_is_killed_by_a_second_not_even_a_paused_one() {
    let (mut fleet, ports) = Fleet::of(4, &[]);
    let backends: Vec<u32> = ports.iter().map(|port| fleet.backend_pid(*port)).collect();
    fleet.act("pause", ports[1]);
    send(backends[2], Signal::STOP);
    let _busy = http::Unfinished::send(&fleet, ports[3], "/busy");
    assert!(backends.iter().all(|pid| lives(*pid)));
    fleet.signal(Signal::KILL);
    let killed = Instant::now();
    fleet.wait();
    eventually("all backends have ended", || !backends.iter().any(|pid| lives(*pid)));
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    assert!(ports.into_iter().all(refuses));
    assert_eq!(fleet.place.processes(), [0; 0]);
}

#[test]
fn a_stop_that_comes_while_the_fleet_starts_is_obeyed() {
    let ports = ports(100);
    let place = TemporaryDirectory::new();
    let mut command = program(&place);
    command.args(["--control", "127.0.0.1:0", "--ports", &list(&ports)]);
    let mut fleet = Fleet::begin(command, place);
    fleet.expect_said("100 backends, each in a process of its own.");
    fleet.signal(Signal::INT);
    assert_eq!(fleet.wait().code(), Some(0));
    assert_eq!(fleet.place.processes(), [0; 0]);
    assert!(ports.into_iter().all(is_free));
}

// How.

/// What it says with these flags; nothing is left running.
fn refused(flags: &[&str]) -> String {
    let place = TemporaryDirectory::new();
    refused_as(program(&place).args(flags), &place)
}

fn refused_as(command: &mut Command, place: &TemporaryDirectory) -> String {
    let error = error_of(&run(command));
    assert!(error.starts_with("error: failed to start the fleet; nothing is left running\n  "), "{error}");
    assert_eq!(error.matches("error").count(), 1, "{error}");
    assert_eq!(place.processes(), [0; 0]);
    error
}

/// Within these limits, as util-linux's prlimit writes them.
fn limited(limits: &[&str], flags: &[&str], place: &TemporaryDirectory) -> Command {
    let mut command = Command::new("prlimit");
    command.args(limits).arg(PROGRAM).args(["--control", "127.0.0.1:0"]).args(flags);
    in_place(command, place)
}

/// As a user without rights, which is somebody else only if the tests run as root. `through` is a command that runs it.
fn as_nobody(through: &[&str], flags: &[&str], place: &TemporaryDirectory) -> Command {
    let mut words: Vec<String> = Vec::new();
    let mut copy = PROGRAM.to_owned();
    if getuid().is_root() {
        chown(place.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        words.extend(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(str::to_owned));
        // The original may lie where only root comes.
        copy = place.path().join("program").to_str().unwrap().to_owned();
        fs::copy(PROGRAM, &copy).unwrap();
    }
    words.extend(through.iter().map(|word| (*word).to_owned()));
    words.push(copy);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(["--control", "127.0.0.1:0"]).args(flags);
    in_place(command, place)
}

fn setting<T: std::str::FromStr<Err: std::fmt::Debug>>(path: &str) -> T {
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}
