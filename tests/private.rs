//! A file of the user's own in a private copy of this machine: `check --with BALANCER --balancer-config FILE`.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{TemporaryDirectory, eventually, ports, program, run, send};

/// An NGINX that listens on that port, with backends on these, and with the pid file of a service.
fn write(place: &TemporaryDirectory, port: u16, backends: &[u16]) -> String {
    let servers: String = backends.iter().map(|port| format!("server 127.0.0.1:{port}; ")).collect();
    // What an NGINX that is root with one id alone can use.
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|it| format!("{it}_temp_path {it};")).concat();
    let text = format!(
        "user root root; pid {}/nginx.pid; events {{}} http {{ access_log access.log; {temporary} upstream u {{ {servers} }} \
         server {{ listen {port}; location / {{ proxy_pass http://u; }} }} }}",
        place.path().display()
    );
    let file = place.path().join("nginx.conf");
    fs::write(&file, text).unwrap();
    file.to_string_lossy().into_owned()
}

fn words<'w>(file: &'w str, port: &'w str, list: &'w str) -> Vec<&'w str> {
    let words = ["check", "--with", "nginx", "--balancer-config", file, "--listen", port, "--ports", list];
    [&words[..], &["-n", "600"]].concat()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn ports_that_are_taken_here_are_free_there_and_nothing_here_changes() {
    let place = TemporaryDirectory::new();
    let (port, backends) = (ports(1)[0], ports(3));
    let file = write(&place, port, &backends);
    let pid_file = place.path().join("nginx.pid");
    fs::write(&pid_file, "12345\n").unwrap();
    let before: Vec<_> = fs::read_dir(place.path()).unwrap().map(|it| it.unwrap().path()).collect();
    let _taken: Vec<TcpListener> =
        backends.iter().chain([&port]).map(|port| TcpListener::bind(("127.0.0.1", *port)).unwrap()).collect();
    let (port, list) = (port.to_string(), crate::support::list(&backends));
    let report = place.path().join("report.json");
    let format = format!("json={}", report.display());
    let output = run(program(&place).args(words(&file, &port, &list)).args(["--report", &format]));
    assert_eq!(output.status.code(), Some(0), "{} {}", said(&output), String::from_utf8_lossy(&output.stdout));
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), "12345\n");
    let found: serde_json::Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(found["verdict"], "pass", "{found:#}");
    fs::remove_file(&report).unwrap();
    let after: Vec<_> = fs::read_dir(place.path()).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!((before, place.processes()), (after, vec![]));
}

#[test]
fn a_command_of_the_check_may_change_the_file_there_and_it_stays_as_it_was_here() {
    let place = TemporaryDirectory::new();
    let (port, backends) = (ports(1)[0].to_string(), ports(3));
    let file = write(&place, port.parse().unwrap(), &backends);
    let text = fs::read_to_string(&file).unwrap();
    let list = crate::support::list(&backends);
    let during = format!("sed -i 's/upstream u {{/upstream u {{ least_conn;/' {file} && kill -HUP {{pid}}@200ms");
    let options = ["--during", &during, "--duration", "700ms", "--rate", "300", "--no-experiments"];
    let output = run(program(&place).args(words(&file, &port, &list)).args(options));
    assert_eq!(output.status.code(), Some(0), "{} {}", said(&output), String::from_utf8_lossy(&output.stdout));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn a_signal_reaches_the_check_in_its_private_copy() {
    let place = TemporaryDirectory::new();
    let (port, backends) = (ports(1)[0].to_string(), ports(3));
    let file = write(&place, port.parse().unwrap(), &backends);
    let list = crate::support::list(&backends);
    let mut command = program(&place);
    command.args(words(&file, &port, &list)).args(["--duration", "50s", "--rate", "5", "--no-experiments"]);
    let errors = fs::File::create(place.path().join("errors")).unwrap();
    let mut check = command.stdout(Stdio::null()).stderr(errors).spawn().unwrap();
    eventually("requests are sent", || {
        fs::read_to_string(place.path().join("errors")).is_ok_and(|text| text.contains("warming up"))
    });
    send(check.id(), Signal::TERM);
    let status = check.wait().unwrap();
    let errors = fs::read_to_string(place.path().join("errors")).unwrap();
    assert_eq!((status.code(), errors.contains("nothing is judged")), (Some(143), true), "{errors}");
    eventually("all of it has ended", || place.processes().is_empty());
}

/// In a namespace of users that may make no namespaces of processes.
fn forbidden(place: &TemporaryDirectory, words: &[&str]) -> Output {
    let script = "echo 0 > /proc/sys/user/max_pid_namespaces && exec \"$@\"";
    let inner = program(place);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]).arg(inner.get_program()).args(words);
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(place.path());
    run(&mut command)
}

#[test]
fn where_namespaces_are_forbidden_one_line_says_so() {
    let place = TemporaryDirectory::new();
    let (port, backends) = (ports(1)[0].to_string(), ports(3));
    let file = write(&place, port.parse().unwrap(), &backends);
    let list = crate::support::list(&backends);
    let output = forbidden(&place, &words(&file, &port, &list));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("does not let this user make namespaces"), "{}", said(&output));
    assert!(said(&output).contains("nginx runs among what runs here"), "{}", said(&output));
    let begun = std::time::Instant::now();
    let output = forbidden(&place, &["rehearse", "nginx", &file, "http://shop.example/"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for part in ["does not let this user make namespaces", "sudo"] {
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
    assert!(begun.elapsed() < Duration::from_secs(60));
}
