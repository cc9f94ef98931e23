//! What is done to a running fleet, by command and by its API, what that does to real requests, and what was recorded of them.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::support::http::{Connection, GET, Unfinished};
use crate::support::{
    Fleet, TemporaryDirectory, error_of, eventually, http, is_free, list, lives, ports, program, refuses, send,
};
use api::{BackendState, FleetStatus, RecordView, RecordsPage};
use rustix::process::Signal;
use serde_json::Value;
use verdict::AttemptEnd;

// Status.

#[test]
fn status_is_a_table_for_a_person() {
    let (fleet, ports) = Fleet::of(3, &[]);
    http::expect_page(ports[0]);
    fleet.act("kill", ports[1]);
    fleet.act("pause", ports[2]);
    eventually("the request is recorded", || fleet.backend(ports[0]).attempts == 1);
    let output = fleet.command(&["status"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(text.lines().next(), Some(&*format!("fleet {} · API {}", fleet.pid(), fleet.control)));
    assert_eq!(rows[2], ["BACKEND", "STATE", "PID", "ATTEMPTS", "IN", "FLIGHT", "RESTARTS", "NOTES"]);
    let [one, two, three] = &ports.iter().map(u16::to_string).collect::<Vec<_>>()[..] else { unreachable!() };
    let [first, third] = [0, 2].map(|index| fleet.backend_pid(ports[index]).to_string());
    assert_eq!(rows[3], [one, "ready", &first, "1", "0", "0"]);
    assert_eq!(rows[4], [two, "gone", "-", "0", "0", "0", "signal", "9,", "SIGKILL"]);
    assert_eq!(rows[5], [three, "paused", &third, "0", "0", "0"]);
    let output = fleet.command(&["status", two]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().skip(3).map(|row| row.split_whitespace().next().unwrap()).collect::<Vec<_>>(), [two]);
}

#[test]
fn status_is_json_with_a_version_for_programs() {
    let (fleet, ports) = Fleet::of(2, &[]);
    let output = fleet.command(&["status", "--format", "json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        keys(&status),
        BTreeSet::from(
            ["version", "pid", "control", "started", "host", "pod", "namespace", "instance", "clock", "backends"]
                .map(str::to_owned)
        )
    );
    assert_eq!(status["version"], 2);
    for (backend, port) in status["backends"].as_array().unwrap().iter().zip(&ports) {
        let expected = [
            "name",
            "id",
            "instances",
            "streams",
            "websockets",
            "connections",
            "url",
            "state",
            "since",
            "pid",
            "ready",
            "restarts",
            "attempts",
            "in_flight",
            "lost",
            "last_end",
            "mended",
            "faults",
            "actions",
            "tls",
        ];
        assert_eq!(keys(backend), BTreeSet::from(expected.map(str::to_owned)));
        assert_eq!((&backend["name"], &backend["state"]), (&Value::from(port.to_string()), &Value::from("ready")));
        assert_eq!(backend["url"], format!("http://localhost:{port}"));
        for time in [&backend["since"], &status["started"]] {
            time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        }
    }
    // The command prints what the API says.
    assert_eq!(serde_json::from_value::<FleetStatus>(status).unwrap(), fleet.status());
}

// Actions.

#[test]
fn a_backend_is_gone_when_kill_returns_and_answers_when_start_returns() {
    let (fleet, ports) = Fleet::of(2, &[]);
    let before = fleet.backend_pid(ports[0]);
    fleet.act("kill", ports[0]);
    assert!(!lives(before));
    assert!(refuses(ports[0]));
    http::expect_page(ports[1]);
    fleet.act("start", ports[0]);
    http::expect_page(ports[0]);
    let backend = fleet.backend(ports[0]);
    assert_eq!((backend.state, backend.restarts), (BackendState::Ready, 1));
    assert!(backend.pid.is_some_and(|after| after != before));
}

#[test]
fn a_paused_backend_takes_connections_and_answers_when_it_is_resumed() {
    let (fleet, ports) = Fleet::of(2, &[]);
    fleet.act("pause", ports[0]);
    assert_eq!(fleet.backend(ports[0]).state, BackendState::Paused);
    let mut waiting = Connection::to(ports[0]);
    waiting.send(GET).unwrap();
    waiting.expect_silence(Duration::from_millis(300));
    http::expect_page(ports[1]);
    fleet.act("resume", ports[0]);
    waiting.answer().unwrap().expect_page_of(ports[0]);
    assert_eq!(fleet.backend(ports[0]).state, BackendState::Ready);
}

#[test]
fn what_a_paused_backend_was_sent_holds_up_neither_resume_nor_kill() {
    let (fleet, ports) = Fleet::of(2, &[]);
    fleet.act("pause", ports[0]);
    // More than the way to it takes at once.
    let faults = "latency:1ms:1%,status:503:1%,hang:1%,close:1%".split(',').map(|fault| format!("&fault={fault}"));
    let path = format!("/v1/fleet/fault?backends={}{}", ports[0], faults.collect::<String>().replace('%', "%25"));
    for _ in 0..1000 {
        assert_eq!(fleet.call("POST", &path, "127.0.0.1", &fleet.bearer()).status, 200);
    }
    fleet.act("resume", ports[0]);
    eventually("all of it has been read", || fleet.backend(ports[0]).state == BackendState::Ready);
    fleet.act("pause", ports[0]);
    fleet.act("kill", ports[0]);
    assert_eq!(fleet.backend(ports[0]).state, BackendState::Gone);
}

#[test]
fn a_pause_by_hand_is_seen() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let pid = fleet.backend_pid(ports[0]);
    send(pid, Signal::STOP);
    eventually("it is seen to be paused", || fleet.backend(ports[0]).state == BackendState::Paused);
    send(pid, Signal::CONT);
    eventually("it is seen to go on", || fleet.backend(ports[0]).state == BackendState::Ready);
}

#[test]
fn a_draining_backend_answers_what_is_in_flight_and_is_gone_when_drain_returns() {
    let (fleet, ports) = Fleet::of(2, &["--grace", "1h"]);
    let mut unfinished = Unfinished::send(&fleet, ports[0], "/in-flight");
    let mut kept = Connection::to(ports[0]);
    kept.ask(GET).expect_page_of(ports[0]);
    thread::scope(|scope| {
        let drain = scope.spawn(|| fleet.act("drain", ports[0]));
        eventually("it drains", || fleet.backend(ports[0]).state == BackendState::Draining);
        eventually("its port is closed", || is_free(ports[0]));
        assert!(refuses(ports[0]));
        assert!(kept.is_closed().unwrap());
        http::expect_page(ports[1]);
        assert!(!drain.is_finished(), "it did not wait for the request");
        unfinished.finish().expect_page_of(ports[0]);
        drain.join().unwrap();
    });
    let backend = fleet.backend(ports[0]);
    assert_eq!((backend.state, backend.last_end.as_deref()), (BackendState::Gone, Some("exit status 0")));
    assert_eq!(of_path(&fleet.records().records, "/in-flight").outcome, AttemptEnd::Completed);
    fleet.expect_said(&format!("App server draining - http://localhost:{}", ports[0]));
    fleet.expect_said(&format!("App server stopped - http://localhost:{}", ports[0]));
}

#[test]
fn an_unready_backend_fails_its_readiness_and_nothing_else() {
    let (fleet, ports) = Fleet::of(2, &[]);
    let status = |port: u16, path: &str| http::get(&format!("http://127.0.0.1:{port}{path}")).unwrap().status;
    fleet.act("unready", ports[0]);
    eventually("it has heard", || status(ports[0], "/readyz") == 503);
    assert_eq!(status(ports[0], "/ready"), 503);
    assert_eq!(fleet.backend(ports[0]).state, BackendState::Unready);
    for path in ["/livez", "/healthz", "/health", "/"] {
        assert_eq!(status(ports[0], path), 200, "{path}");
    }
    http::expect_page(ports[0]);
    let answer = http::get(&format!("http://127.0.0.1:{}/readyz", ports[0])).unwrap();
    assert_eq!(answer.header("Response-Id"), None);
    assert_eq!(status(ports[1], "/readyz"), 200);
    fleet.act("ready", ports[0]);
    eventually("it has heard", || status(ports[0], "/readyz") == 200);
    assert_eq!(fleet.backend(ports[0]).state, BackendState::Ready);
    // A new process has forgotten it.
    fleet.act("unready", ports[0]);
    fleet.act("kill", ports[0]);
    fleet.act("start", ports[0]);
    assert_eq!(status(ports[0], "/readyz"), 200);
}

#[test]
fn with_all_an_action_is_for_all_to_which_it_applies() {
    use BackendState::{Gone, Paused, Ready, Unready};
    let (fleet, ports) = Fleet::of(3, &[]);
    fleet.act("kill", ports[0]);
    for (action, states) in [
        ("pause", [Gone, Paused, Paused]),
        ("resume", [Gone, Ready, Ready]),
        ("start", [Ready, Ready, Ready]),
        ("unready", [Unready, Unready, Unready]),
        ("ready", [Ready, Ready, Ready]),
        ("drain", [Gone, Gone, Gone]),
        ("start", [Ready, Ready, Ready]),
        ("kill", [Gone, Gone, Gone]),
        // Nothing to do is done.
        ("kill", [Gone, Gone, Gone]),
        ("start", [Ready, Ready, Ready]),
    ] {
        let output = fleet.command(&[action, "--all"]);
        assert!(output.status.success(), "{action}: {output:?}");
        let now: Vec<BackendState> = fleet.status().backends.iter().map(|backend| backend.state).collect();
        assert_eq!(now, states, "{action}");
    }
    ports.into_iter().for_each(http::expect_page);
}

#[test]
fn several_ports_are_named_one_by_one_or_as_ranges() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let range = format!("{}-{},{}", ports[0], ports[0], ports[1]);
    assert!(fleet.command(&["kill", &range, &ports[2].to_string()]).status.success());
    assert!(fleet.status().backends.iter().all(|backend| backend.state == BackendState::Gone));
}

#[test]
fn what_cannot_be_done_is_refused_and_nothing_is_done_to_the_others() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let [ready, gone, paused] = ports[..] else { unreachable!() };
    fleet.act("kill", gone);
    fleet.act("pause", paused);
    let before = fleet.status();
    let only = list(&ports).replace(',', ", ");
    for (action, backends, why) in [
        ("kill", vec![ready, 1], format!("this fleet has no backend 1, only {only}")),
        ("drain", vec![1, ready, 2], format!("this fleet has no backend 1, 2, only {only}")),
        ("resume", vec![paused, ready, gone], format!("cannot resume: {ready} is ready, {gone} is gone")),
        ("start", vec![gone, ready], format!("cannot start: {ready} is ready")),
        ("pause", vec![ready, paused], format!("cannot pause: {paused} is paused")),
        ("kill", vec![ready, gone], format!("cannot kill: {gone} is gone")),
        ("drain", vec![ready, gone], format!("cannot drain: {gone} is gone")),
        ("unready", vec![ready, gone], format!("cannot unready: {gone} is gone")),
        ("status", vec![ready, 1], format!("this fleet has no backend 1, only {only}")),
    ] {
        let error = error_of(&fleet.command(&[action, &list(&backends)]));
        assert_eq!(error, format!("error: {why}\n"));
        assert_eq!(fleet.status(), before, "{action}");
    }
    http::expect_page(ready);
}

/// Without ports all are meant, so a number that is dropped would widen what is done.
#[test]
fn a_number_that_is_no_port_is_refused_too() {
    let (fleet, ports) = Fleet::of(2, &[]);
    let before = fleet.status();
    for backends in ["0".to_owned(), "70000".to_owned(), format!("{},0", ports[0])] {
        for action in ["kill", "drain", "status"] {
            let output = fleet.command(&[action, &backends]);
            assert_eq!(fleet.status(), before, "{action} {backends}");
            let error = error_of(&output);
            assert!(error.contains(backends.rsplit(',').next().unwrap()), "{action} {backends}: {error}");
        }
        let answer = fleet.call("POST", &format!("/v1/fleet/kill?backends={backends}"), "127.0.0.1", &fleet.bearer());
        assert!([400, 404].contains(&answer.status), "{backends}: {answer:?}");
        assert_eq!(fleet.status(), before, "{backends}");
    }
    ports.into_iter().for_each(http::expect_page);
}

#[test]
fn a_backend_whose_port_was_taken_meanwhile_says_so_and_can_be_started_later() {
    let (fleet, ports) = Fleet::of(1, &[]);
    fleet.act("kill", ports[0]);
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[0])).unwrap();
    let error = error_of(&fleet.command(&["start"]));
    assert!(error.starts_with(&format!("error: failed to start {0}: 127.0.0.1:{0}: ", ports[0])), "{error}");
    assert!(error.to_lowercase().contains("address already in use"), "{error}");
    drop(taken);
    fleet.act("start", ports[0]);
    http::expect_page(ports[0]);
}

// Fleets.

#[test]
fn of_two_fleets_one_is_chosen_by_its_supervisor_or_by_the_ports_that_it_alone_has() {
    let (first, first_ports) = Fleet::of(1, &[]);
    let second_ports = ports(2);
    let mut command = program(&first.place);
    command.args(["--control", "127.0.0.1:0", "--ports", &list(&second_ports)]);
    let second = Fleet::spawn(command, TemporaryDirectory::new());
    for words in [&["status"][..], &["kill", "--all"]] {
        let error = error_of(&first.command(words));
        assert!(error.contains("more than one fleet of this user runs"), "{error}");
        assert!(error.contains(&format!("\n  {} with backends {}\n", first.pid(), first_ports[0])), "{error}");
        let ports = list(&second_ports).replace(',', ", ");
        assert!(error.contains(&format!("\n  {} with backends {ports}\n", second.pid())), "{error}");
        assert!(error.contains("\n  hint: choose one with --fleet PID"), "{error}");
    }
    let chosen = first.command(&["status", "--fleet", &second.pid().to_string(), "--format", "json"]);
    let chosen: FleetStatus = serde_json::from_slice(&chosen.stdout).unwrap();
    assert_eq!(chosen.pid, second.pid());
    first.act("kill", second_ports[1]);
    assert_eq!(second.backend(second_ports[1]).state, BackendState::Gone);
    let error = error_of(&first.command(&["status", "--fleet", "1"]));
    assert!(error.starts_with("error: no such fleet runs; those that do:\n"), "{error}");
    http::expect_page(first_ports[0]);
    http::expect_page(second_ports[0]);
}

#[test]
fn without_a_fleet_a_command_says_how_to_start_one() {
    let place = TemporaryDirectory::new();
    let error = error_of(&crate::support::run(program(&place).args(["fleet", "status"])));
    assert_eq!(error, "error: no fleet of this user runs on this machine\n  hint: start one: uuid-generator\n");
}

#[test]
fn the_run_file_is_for_its_user_alone_and_ends_with_the_fleet() {
    let (mut fleet, _) = Fleet::of(1, &[]);
    let file = fleet.run_file();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    fleet.signal(Signal::TERM);
    assert_eq!(fleet.wait().code(), Some(0));
    assert!(!file.exists());
}

#[test]
fn the_run_file_of_a_killed_supervisor_is_ignored_and_swept_away() {
    let (mut fleet, _) = Fleet::of(1, &[]);
    let file = fleet.run_file();
    fleet.signal(Signal::KILL);
    fleet.wait();
    assert!(file.exists(), "nobody could remove it, this test sees nothing");
    let error = error_of(&fleet.command(&["status"]));
    assert!(error.starts_with("error: no fleet of this user runs"), "{error}");
    assert!(!file.exists());
}

// The API.

#[test]
fn the_api_changes_nothing_without_the_token() {
    let (fleet, ports) = Fleet::of(2, &[]);
    let bearer = fleet.bearer();
    let token = bearer.strip_prefix("Authorization: Bearer ").unwrap().trim_end();
    let kill = format!("/v1/fleet/kill?backends={}", ports[0]);
    for authorization in [
        String::new(),
        "Authorization: Bearer\r\n".to_owned(),
        format!("Authorization: Bearer {}\r\n", token.replace(|_| true, "0")),
        format!("Authorization: Bearer {}\r\n", &token[1..]),
        format!("Authorization: Basic {token}\r\n"),
    ] {
        let answer = fleet.call("POST", &kill, "127.0.0.1", &authorization);
        assert_eq!(answer.status, 401, "{authorization:?}");
        assert!(!answer.body.contains(token));
    }
    assert_eq!(fleet.backend(ports[0]).state, BackendState::Ready);
    let answer = fleet.call("POST", &kill, "127.0.0.1", &bearer);
    assert_eq!(answer.status, 200, "{answer:?}");
    let status: FleetStatus = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        status.backends.iter().map(|backend| backend.state).collect::<Vec<_>>(),
        [BackendState::Gone, BackendState::Ready]
    );
    for (path, expected) in [
        (format!("/v1/fleet/kill?backends={}", ports[0]), 409),
        ("/v1/fleet/kill?backends=1".to_owned(), 404),
        ("/v1/fleet/kill?backends=x".to_owned(), 404),
        ("/v1/fleet/kill?members=1".to_owned(), 404), // as scripts for 0.1 have it
        ("/v1/fleet/kill?members=1&backends=1".to_owned(), 400),
        ("/v1/fleet/kill?backend=1".to_owned(), 400),
        ("/v1/fleet/explode".to_owned(), 404),
        ("/".to_owned(), 405),
    ] {
        let answer = fleet.call("POST", &path, "127.0.0.1", &bearer);
        assert_eq!(answer.status, expected, "{path}");
    }
    http::expect_page(ports[1]);
}

/// A page of another site in the user's browser can give its own name our address (DNS rebinding), but it cannot change its Host.
#[test]
fn the_api_answers_only_to_names_of_this_machine() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let bearer = fleet.bearer();
    for (method, path) in [("GET", "/v1/fleet"), ("GET", "/v1/records"), ("POST", "/v1/fleet/kill")] {
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:9000", "192.0.2.1"] {
            let answer = fleet.call(method, path, host, &bearer);
            assert_eq!(answer.status, 403, "{method} {path} {host}");
            assert!(!answer.body.contains(&ports[0].to_string()), "{answer:?}");
        }
    }
    for host in ["localhost", "127.0.0.1:9000", "[::1]"] {
        assert_eq!(fleet.call("GET", "/v1/fleet", host, "").status, 200, "{host}");
    }
    assert_eq!(fleet.backend(ports[0]).state, BackendState::Ready);
}

// Records.

#[test]
fn records_are_found_by_run_by_time_and_page_by_page() {
    const COUNT: usize = 30;
    let (fleet, ports) = Fleet::of(2, &[]);
    let runs = ["00000000000004d2", "ffffffffffffffff"];
    let mut kept: Vec<Connection> = ports.iter().map(|port| Connection::to(*port)).collect();
    for number in 0..COUNT {
        // Every third has no id.
        let id = runs.get(number % 3).map_or(String::new(), |run| format!("Check-Request-Id: {run}-{number:016x}\r\n"));
        let answer = kept[number % 2].ask(&format!("GET /{number} HTTP/1.1\r\nHost: h\r\n{id}\r\n"));
        answer.expect_page_of(ports[number % 2]);
        // An answer may be there before its backend has recorded that it was written.
        eventually("it is recorded", || fleet.records().records.len() == number + 1);
    }
    let find = |query: &str| fleet.api_get::<RecordsPage>(&format!("/v1/records?{query}"));
    let numbers = |page: &RecordsPage| {
        page.records.iter().map(|record| record.path[1..].parse().unwrap()).collect::<Vec<usize>>()
    };
    let all = find("");
    assert_eq!(numbers(&all), (0..COUNT).collect::<Vec<_>>());
    assert_eq!((all.version, all.next, all.missed, all.lost), (1, COUNT as u64, 0, 0));

    for (index, run) in runs.iter().enumerate() {
        let page = find(&format!("run={run}"));
        assert_eq!(numbers(&page), (0..COUNT).filter(|number| number % 3 == index).collect::<Vec<_>>());
        for record in &page.records {
            let request = record.request.unwrap();
            assert_eq!(format!("{:016x}", request.run), *run);
            assert_eq!(format!("/{}", request.sequence), record.path);
        }
    }
    assert_eq!(numbers(&find("run=0000000000000001")), [0; 0]);

    let time = |number: usize| all.records[number].received.as_str();
    let (since, until) = (time(5), time(12));
    assert_eq!(numbers(&find(&format!("since={since}"))), (5..COUNT).collect::<Vec<_>>());
    assert_eq!(numbers(&find(&format!("until={until}"))), (0..12).collect::<Vec<_>>());
    assert_eq!(numbers(&find(&format!("since={since}&until={until}&run={}", runs[0]))), [6, 9]);

    let (mut next, mut paged, mut pages) = (0, Vec::new(), 0);
    loop {
        let page = find(&format!("from={next}&limit=7"));
        assert_eq!((page.missed, page.next), (0, next + page.records.len() as u64));
        if page.records.is_empty() {
            break;
        }
        pages += 1;
        next = page.next;
        paged.extend(page.records);
    }
    assert_eq!((paged, pages), (all.records, 5));

    for bad in ["since=yesterday", "run=1", "from=-1", "limit=x", "unknown=1"] {
        assert_eq!(http::get(&format!("{}/v1/records?{bad}", fleet.control)).unwrap().status, 400, "{bad}");
    }
}

#[test]
fn a_record_tells_what_was_asked_and_what_was_answered() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let mut connection = Connection::to(ports[0]);
    connection.ask(GET);
    let long = format!("/{}", "x".repeat(300));
    let answer = connection.ask(&format!("PUT {long} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"));
    eventually("both are recorded", || fleet.records().records.len() == 2);
    let record = &fleet.records().records[1];
    assert_eq!(record.response.map(|id| id.0), Some(answer.id()));
    assert_eq!((&*record.backend, record.status, record.outcome), (&*ports[0].to_string(), 200, AttemptEnd::Completed));
    assert_eq!((&*record.method, record.connection, record.request_number), ("PUT", 1, 2));
    assert_eq!(record.path, format!("{}…", &long[..136]));
    assert_eq!(record.peer, connection.stream.local_addr().unwrap().to_string());
    assert_eq!(record.bytes as usize, answer.head.len() + answer.body.len());
    let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let (received, answered) = (time(&record.received), time(record.responded.as_ref().unwrap()));
    assert!(received <= answered && answered <= jiff::Timestamp::now(), "{record:?}");
}

#[test]
fn a_request_that_a_killed_backend_had_received_is_recorded_as_never_answered() {
    let (fleet, ports) = Fleet::of(2, &[]);
    let id = "000000000000002a-0000000000000007";
    let mut unfinished = Unfinished::send_with(&fleet, ports[0], "/unlucky", &format!("Check-Request-Id: {id}\r\n"));
    let mut kept = Connection::to(ports[0]);
    kept.ask(GET).expect_page_of(ports[0]);
    // Killed sooner, it might not have recorded yet that its answer was written.
    eventually("the other is recorded", || fleet.backend(ports[0]).attempts == 1);
    send(fleet.backend_pid(ports[0]), Signal::KILL);
    let end = unfinished.connection.answer().unwrap_err();
    assert!(matches!(end.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{end}");
    let line = fleet.output.wait_for("App server gone");
    assert!(line.contains("signal 9, SIGKILL; 1 request was in flight."), "{line}");
    assert!(fleet.log.wait_for("/unlucky").ends_with(" in flight when its backend ended"));
    let page: RecordsPage = fleet.api_get("/v1/records?run=000000000000002a");
    let [record] = &page.records[..] else { panic!("{page:?}") };
    assert_eq!((record.outcome, &record.responded, record.bytes), (AttemptEnd::Received, &None, 0));
    assert_eq!(record.request, Some(id.parse().unwrap()));
    assert_eq!((&page.in_flight[..], fleet.backend(ports[0]).in_flight), (&[][..], 0));
    // The answered one beside it was not touched.
    assert_eq!(of_path(&fleet.records().records, "/").outcome, AttemptEnd::Completed);
}

#[test]
fn what_a_paused_backend_has_in_flight_is_seen_until_it_is_answered() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let mut unfinished = Unfinished::send(&fleet, ports[0], "/waits");
    fleet.act("pause", ports[0]);
    unfinished.connection.send("345").unwrap();
    unfinished.connection.expect_silence(Duration::from_millis(200));
    let backend = fleet.backend(ports[0]);
    assert_eq!((backend.state, backend.in_flight, backend.attempts), (BackendState::Paused, 1, 0));
    let record = of_path(&fleet.records().in_flight, "/waits").clone();
    assert_eq!((record.outcome, record.responded), (AttemptEnd::Received, None));
    fleet.act("resume", ports[0]);
    let answer = unfinished.connection.answer().unwrap();
    assert_eq!(record.response.map(|id| id.0), Some(answer.id()));
    eventually("it is recorded", || fleet.backend(ports[0]).attempts == 1);
    assert_eq!(fleet.backend(ports[0]).in_flight, 0);
    assert_eq!(of_path(&fleet.records().records, "/waits").outcome, AttemptEnd::Completed);
}

#[test]
fn what_overruns_a_journal_is_counted_to_the_last_record() {
    const SENT: u32 = 1000;
    let (fleet, ports) = Fleet::of(2, &["--journal-records", "64"]);
    fleet.signal(Signal::STOP);
    let mut connection = Connection::to(ports[0]);
    for _ in 0..SENT {
        connection.ask(GET).expect_page_of(ports[0]);
    }
    fleet.signal(Signal::CONT);
    eventually("all are known", || {
        let page = fleet.records();
        page.lost + page.records.len() as u64 == u64::from(SENT)
    });
    let page = fleet.records();
    assert!((32..=64).contains(&page.records.len()), "{} of a ring of 64 were kept", page.records.len());
    let kept: Vec<u32> = page.records.iter().map(|record| record.request_number).collect();
    assert_eq!(kept, (SENT - kept.len() as u32 + 1..=SENT).collect::<Vec<_>>(), "the latest are kept");
    assert_eq!((fleet.backend(ports[0]).lost, fleet.backend(ports[1]).lost), (page.lost, 0));
    fleet.log.wait_for(&format!(" {} records of {} were overwritten before they could be read", page.lost, ports[0]));
    let table = String::from_utf8(fleet.command(&["status"]).stdout).unwrap();
    assert!(table.contains(&format!("{} records lost", page.lost)), "{table}");
}

fn of_path<'a>(records: &'a [RecordView], path: &str) -> &'a RecordView {
    let mut matching = records.iter().filter(|record| record.path == path);
    let record = matching.next().unwrap_or_else(|| panic!("no {path} in {records:?}"));
    assert!(matching.next().is_none(), "{path} is there more than once");
    record
}
