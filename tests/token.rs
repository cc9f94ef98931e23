//! A fleet whose token somebody chose, as it is reached from elsewhere; what a container sets around it, and how it ends there.

use std::time::{Duration, Instant};

use crate::support::http::get;
use crate::support::{Fleet, TemporaryDirectory, error_of, eventually, list, ports, program, run};
use api::BackendState;

const TOKEN: &str = "0123456789abcdef-of-a-test";

/// A fleet that other machines can reach, and its ports.
fn open_fleet(flags: &[&str]) -> (Fleet, Vec<u16>) {
    let (place, ports) = (TemporaryDirectory::new(), ports(2));
    std::fs::write(place.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let mut command = program(&place);
    command.args(["--ports", &list(&ports), "--control", "0.0.0.0:0", "--token-file", "token"]).args(flags);
    (Fleet::spawn(command, place), ports)
}

#[test]
fn a_token_that_was_given_opens_the_fleet_from_elsewhere_and_is_never_printed() {
    let (fleet, ports) = open_fleet(&[]);
    let elsewhere = TemporaryDirectory::new();
    let fleet_is = ["--fleet", &fleet.control];
    let command = |words: &[&str], token: Option<&str>| {
        let mut command = program(&elsewhere);
        command.args(words).args(fleet_is);
        if let Some(token) = token {
            command.env("UUID_GENERATOR_TOKEN", token);
        }
        run(&mut command)
    };
    for words in [&["fleet", "status"][..], &["fault", "hang"], &["healthcheck"], &["send"]] {
        let error = error_of(&command(words, None));
        assert!(error.contains("requires its token"), "{words:?}: {error}");
        let error = error_of(&command(words, Some("fedcba9876543210")));
        assert!(error.contains("rejects the token that was given"), "{words:?}: {error}");
    }
    let status = command(&["fleet", "status"], Some(TOKEN));
    assert!(String::from_utf8_lossy(&status.stdout).contains(&ports[1].to_string()));
    assert!(command(&["healthcheck"], Some(TOKEN)).status.success());
    let victim = ports[0].to_string();
    assert!(command(&["fault", &victim, "status", "503"], Some(TOKEN)).status.success());
    assert_eq!(get(&format!("http://localhost:{victim}/")).unwrap().status, 503);
    std::fs::write(elsewhere.path().join("file"), TOKEN).unwrap();
    assert!(command(&["fleet", "kill", &victim, "--token-file", "file"], None).status.success());
    let output = command(&["healthcheck"], Some(TOKEN));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("not healthy: {victim} is gone")));
    let said = [fleet.output.all(), fleet.log.all()].concat().join("\n");
    assert!(said.contains("The live view: http://127.0.0.1:") && !said.contains(TOKEN), "{said}");
}

#[test]
fn a_view_does_not_begin_where_a_fleet_gives_it_no_records() {
    // Its API is on loopback, as at the end of a tunnel: anybody may see who is there.
    let (fleet, place) = (Fleet::of(1, &[]).0, TemporaryDirectory::new());
    let mut command = program(&place);
    command.args(["view", "--control", "127.0.0.1:0", "--fleet", &fleet.control]);
    let error = error_of(&run(command.env("UUID_GENERATOR_TOKEN", "fedcba9876543210")));
    assert!(error.contains("rejects the token that was given"), "{error}");
}

#[test]
fn a_token_that_is_none_is_refused_and_not_repeated() {
    let place = TemporaryDirectory::new();
    for token in ["short", "with spaces in it, and long", ""] {
        let error = error_of(&run(program(&place).args(["fleet", "status"]).env("UUID_GENERATOR_TOKEN", token)));
        assert!(error.contains("UUID_GENERATOR_TOKEN: expected a token of 16"), "{error}");
        assert!(token.is_empty() || !error.contains(token), "{error}");
    }
    let error = error_of(&run(program(&place).args(["--token-file", "missing"])));
    assert!(error.contains("--token-file missing: failed to read") && error.contains("openssl"), "{error}");
}

#[test]
fn metrics_need_the_token_unless_they_have_an_address_of_their_own() {
    let port = ports(1)[0];
    let (fleet, _) = open_fleet(&["--metrics", &format!("127.0.0.1:{port}")]);
    assert_eq!(get(&format!("{}/metrics", fleet.control)).unwrap().status, 401);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(fleet.call("GET", "/metrics", "fleet.example", &bearer).status, 200);
    let open = get(&format!("http://127.0.0.1:{port}/metrics")).unwrap();
    assert!(open.status == 200 && open.body.ends_with("# EOF\n"), "{}", open.body);
    assert_eq!(get(&format!("http://127.0.0.1:{port}/v1/fleet")).unwrap().status, 404);
}

#[test]
fn what_kubernetes_says_of_services_keeps_no_fleet_from_starting() {
    let (place, ports) = (TemporaryDirectory::new(), ports(1));
    let mut command = program(&place);
    command.args(["--ports", &list(&ports), "--control", "127.0.0.1:0"]);
    for (name, value) in [
        ("SERVICE_HOST", "10.0.0.1"),
        ("SERVICE_PORT_http", "80"),
        ("PORT", "tcp://10.0.0.1:80"),
        ("PORT_80_TCP_ADDR", "10.0.0.1"),
    ] {
        command.env(format!("UUID_GENERATOR_{name}"), value);
    }
    let fleet = Fleet::spawn(command, place);
    assert_eq!(fleet.status().backends.len(), 1);
}

#[test]
fn a_backend_is_unready_and_goes_on_accepting_before_it_drains() {
    let delay = Duration::from_secs(1);
    let (fleet, ports) = Fleet::of(2, &["--drain-delay", "1s"]);
    let url = |path: &str| format!("http://localhost:{}{path}", ports[0]);
    let begun = Instant::now();
    crate::support::send(fleet.pid(), rustix::process::Signal::TERM);
    eventually("it is unready", || get(&url("/readyz")).is_ok_and(|answer| answer.status == 503));
    assert_eq!(fleet.backend(ports[1]).state, BackendState::Unready);
    while begun.elapsed() < delay * 8 / 10 {
        assert_eq!(get(&url("/")).unwrap().status, 200);
    }
    fleet.log.wait_for_end();
    assert!(begun.elapsed() >= delay);
    assert!(get(&url("/")).is_err());
}
