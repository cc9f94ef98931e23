//! The life of a fleet's processes, from the outside: how they die, come back and stop, what the log says of their requests, and
//! that no UUID comes twice.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::http::{Answer, Connection, GET, Unfinished};
use crate::support::{
    Fleet, LOOPBACK, after_time, all_processes, children, eventually, http, is_free, lives, refuses, send,
};
use api::BackendState;
use rustix::process::Signal;
use serde_json::{Value, json};
use uuid::Uuid;

// Death.

#[test]
fn a_killed_backend_refuses_at_once_and_the_others_go_on() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let mut kept: Vec<Connection> = ports.iter().map(|port| Connection::to(*port)).collect();
    for (connection, port) in kept.iter_mut().zip(&ports) {
        connection.ask(GET).expect_page_of(*port);
    }
    // Killed sooner, it might not have recorded yet that its answer was written.
    eventually("it is recorded", || fleet.backend(ports[1]).attempts == 1);
    let killed = fleet.backend_pid(ports[1]);
    // An answer is noted just after it has left.
    eventually("its answer is noted", || fleet.backend(ports[1]).in_flight == 0);
    send(killed, Signal::KILL);
    eventually("the process has ended", || !lives(killed));
    for ip in LOOPBACK {
        let refused = TcpStream::connect((ip, ports[1])).expect_err("somebody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
    let url = format!("http://localhost:{}", ports[1]);
    let line = fleet.output.wait_for("App server gone");
    let gone = format!("App server gone - {url}: signal 9, SIGKILL. Its port refuses connections, the others go on.");
    assert!(after_time(&line).starts_with(&gone), "{line}");
    assert!(line.ends_with(&format!("uuid-generator fleet start {}", ports[1])), "{line}");
    for survivor in [0, 2] {
        kept[survivor].ask(GET).expect_page_of(ports[survivor]);
        http::expect_page(ports[survivor]);
    }
    let backend = fleet.backend(ports[1]);
    assert_eq!((backend.state, backend.pid, backend.restarts), (BackendState::Gone, None, 0));
    assert_eq!(backend.last_end.as_deref(), Some("signal 9, SIGKILL"));
    // A restart would have been announced with the end.
    let (said, _) = fleet.stop();
    assert!(!said.iter().any(|line| line.contains("App server restarts")), "{said:?}");
    assert_eq!(said.iter().filter(|line| line.ends_with(&format!("started - {url}"))).count(), 1);
}

#[test]
fn with_restart_a_killed_backend_comes_back_each_time_later() {
    let (fleet, ports) = Fleet::of(2, &["--restart"]);
    let url = format!("http://localhost:{}", ports[0]);
    let mut pids = HashSet::from([fleet.backend_pid(ports[0])]);
    for (restarts, delay) in [(1, 100), (2, 200), (3, 400)] {
        let killed = Instant::now();
        send(fleet.backend_pid(ports[0]), Signal::KILL);
        fleet.expect_said(&format!("App server restarts - {url}: in {delay} ms"));
        fleet.output.wait_until("it started again", |lines| {
            lines.iter().filter(|line| line.ends_with(&format!("started - {url}"))).count() == restarts + 1
        });
        assert!(killed.elapsed() >= Duration::from_millis(delay), "{:?}", killed.elapsed());
        http::expect_page(ports[0]);
        assert!(pids.insert(fleet.backend_pid(ports[0])), "the same process");
        assert_eq!(fleet.backend(ports[0]).restarts as usize, restarts);
    }
    assert_eq!(fleet.backend(ports[1]).restarts, 0);
}

#[test]
fn restart_is_for_those_that_died_and_not_for_those_that_were_asked_to_end() {
    let (fleet, ports) = Fleet::of(2, &["--restart"]);
    fleet.act("drain", ports[0]);
    send(fleet.backend_pid(ports[1]), Signal::TERM);
    eventually("both have ended", || fleet.status().backends.iter().all(|backend| backend.state == BackendState::Gone));
    let (said, _) = fleet.stop();
    assert!(!said.iter().any(|line| line.contains("App server restarts")), "{said:?}");
    for port in ports {
        assert_eq!(said.iter().filter(|line| line.ends_with(&format!("stopped - http://localhost:{port}"))).count(), 1);
    }
}

// Processes.

#[test]
fn each_backend_is_a_child_that_ps_shows_by_its_number() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let backends: HashSet<u32> = ports.iter().map(|port| fleet.backend_pid(*port)).collect();
    assert_eq!((backends.len(), children(fleet.pid()).into_iter().collect()), (3, backends));
    for port in ports {
        let pid = fleet.backend_pid(port);
        let command_line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert_eq!(command_line, format!("uuid-generator\0backend\0{port}\0"));
    }
}

#[test]
fn nobody_but_the_backend_holds_its_listening_sockets() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let expect_sole_holders = || {
        for port in &ports {
            // One for each loopback address.
            eventually("two sockets are seen", || listening_sockets(*port).len() == 2);
            for socket in listening_sockets(*port) {
                assert_eq!(holders(&socket), [fleet.backend_pid(*port)], "{socket} of {port}");
            }
        }
    };
    expect_sole_holders();
    fleet.act("kill", ports[1]);
    assert_eq!(listening_sockets(ports[1]), BTreeSet::new());
    fleet.act("start", ports[1]);
    expect_sole_holders();
}

/// The sockets that listen on it, as the links of open files name them. A set, because the kernel shows a row again, or not at
/// all, when others come and go meanwhile.
fn listening_sockets(port: u16) -> BTreeSet<String> {
    const LISTEN: &str = "0A";
    let mut sockets = BTreeSet::new();
    for (table, anybody) in [("/proc/net/tcp", 8), ("/proc/net/tcp6", 32)] {
        let row = format!(":{port:04X} {}:0000 {LISTEN} ", "0".repeat(anybody));
        let rows = fs::read_to_string(table).unwrap();
        let matching = rows.lines().filter(|line| line.contains(&row));
        sockets.extend(matching.map(|line| format!("socket:[{}]", line.split_whitespace().nth(9).unwrap())));
    }
    sockets
}

/// All processes of the machine that hold it, as far as this user may look.
fn holders(socket: &str) -> Vec<u32> {
    let holds = |pid: &u32| {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket))
    };
    all_processes().filter(holds).collect()
}

// The end.

#[test]
fn sigint_and_sigterm_stop_the_fleet_and_it_says_so_of_each_backend() {
    for signal in [Signal::INT, Signal::TERM] {
        let (mut fleet, ports) = Fleet::of(3, &[]);
        fleet.act("kill", ports[2]);
        fleet.signal(signal);
        assert_eq!(fleet.wait().code(), Some(0));
        let said = fleet.output.wait_for_end();
        let (stopped, gone) = said.split_at(said.len() - 2);
        assert!(stopped.last().unwrap().contains("App server gone"), "one that was gone cannot stop: {said:?}");
        let mut ends: Vec<&str> = gone.iter().map(|line| after_time(line)).collect();
        ends.sort_unstable();
        assert_eq!(ends, [ports[0], ports[1]].map(|port| format!("App server stopped - http://localhost:{port}")));
        assert_eq!(fleet.place.processes(), [0; 0]);
        assert!(ports.into_iter().all(refuses));
    }
}

#[test]
fn while_a_fleet_stops_it_answers_what_is_in_flight_and_takes_nothing_more() {
    let (mut fleet, ports) = Fleet::of(2, &["--grace", "1h"]);
    let mut unfinished = Unfinished::send(&fleet, ports[0], "/in-flight");
    let busy = fleet.backend_pid(ports[0]);
    fleet.signal(Signal::TERM);
    eventually("both stop", || ports.iter().all(|port| is_free(*port)));
    assert!(ports.iter().all(|port| refuses(*port)));
    assert!(lives(busy) && lives(fleet.pid()));
    let answer = unfinished.finish();
    answer.expect_page_of(ports[0]);
    assert!(unfinished.connection.is_closed().unwrap());
    assert_eq!(fleet.wait().code(), Some(0));
    let line = fleet.log.wait_for("/in-flight");
    assert!(line.ends_with(&format!("POST /in-flight 200 {}", answer.id())), "{line}");
    assert_eq!(fleet.log.wait_for_end().len(), 1);
}

/// RFC 9112 section 9.6: who ends a connection after an answer says so in it. A client that is not told may send its next request
/// into the end.
#[test]
fn the_last_answer_of_a_connection_that_stops_says_so() {
    let (fleet, ports) = Fleet::of(1, &["--grace", "1h"]);
    let mut unfinished = Unfinished::send(&fleet, ports[0], "/in-flight");
    fleet.signal(Signal::TERM);
    eventually("it stops", || is_free(ports[0]));
    assert_eq!(unfinished.finish().header("Connection"), Some("close"));
}

/// A terminal sends it to every process of the fleet.
#[test]
fn ctrl_c_reaches_the_backends_too_and_still_loses_no_request() {
    let (mut fleet, ports) = Fleet::of(2, &["--grace", "1h"]);
    let mut unfinished = Unfinished::send(&fleet, ports[0], "/in-flight");
    let backends = [fleet.backend_pid(ports[0]), fleet.backend_pid(ports[1])];
    for pid in backends.into_iter().chain([fleet.pid()]) {
        send(pid, Signal::INT);
    }
    eventually("it stops", || is_free(ports[0]));
    unfinished.finish().expect_page_of(ports[0]);
    assert_eq!(fleet.wait().code(), Some(0));
    let said = fleet.output.wait_for_end();
    assert_eq!(said.iter().filter(|line| line.contains("App server stopped")).count(), 2);
    assert!(!said.iter().any(|line| line.contains("App server gone")), "{said:?}");
}

#[test]
fn idle_connections_do_not_keep_a_fleet_from_stopping() {
    let (mut fleet, ports) = Fleet::of(1, &["--grace", "1h"]);
    let mut kept = Connection::to(ports[0]);
    kept.ask(GET).expect_page_of(ports[0]);
    let mut unused = Connection::to(ports[0]);
    fleet.signal(Signal::TERM);
    assert!(kept.is_closed().unwrap());
    assert!(unused.is_closed().unwrap());
    assert_eq!(fleet.wait().code(), Some(0));
}

#[test]
fn what_is_not_answered_within_the_grace_is_cut_off_and_logged() {
    let (mut fleet, ports) = Fleet::of(2, &["--grace", "300ms"]);
    let mut unfinished = Unfinished::send(&fleet, ports[1], "/too-slow");
    let asked = Instant::now();
    fleet.signal(Signal::TERM);
    assert_eq!(fleet.wait().code(), Some(0));
    assert!(asked.elapsed() >= Duration::from_millis(300), "{:?}", asked.elapsed());
    assert!(unfinished.connection.is_closed().is_ok_and(|closed| closed));
    let [line] = &fleet.log.wait_for_end()[..] else { panic!("not one line") };
    assert!(line.contains(" POST /too-slow 200 ") && line.ends_with(" cut off after 0 bytes"), "{line}");
    let said = fleet.output.wait_for_end();
    assert_eq!(said.iter().filter(|line| line.contains("App server stopped")).count(), 2);
}

#[test]
fn a_backend_that_hangs_while_it_stops_is_killed_after_the_grace() {
    let (mut fleet, ports) = Fleet::of(1, &["--grace", "3s"]);
    let _unfinished = Unfinished::send(&fleet, ports[0], "/hangs");
    let backend = fleet.backend_pid(ports[0]);
    fleet.signal(Signal::TERM);
    eventually("it was killed", || {
        let alive = lives(backend);
        if alive {
            // Its supervisor wakes it up to hear that it is to stop.
            send(backend, Signal::STOP);
        }
        !alive
    });
    assert_eq!(fleet.wait().code(), Some(0));
    let [line] = &fleet.log.wait_for_end()[..] else { panic!("not one line") };
    assert!(line.contains(" POST /hangs - ") && line.ends_with(" in flight when its backend ended"), "{line}");
}

#[test]
fn a_paused_backend_wakes_up_to_stop() {
    let (mut fleet, ports) = Fleet::of(2, &["--grace", "1h"]);
    let mut unfinished = Unfinished::send(&fleet, ports[0], "/paused");
    fleet.act("pause", ports[0]);
    fleet.signal(Signal::TERM);
    eventually("it stops", || is_free(ports[0]));
    unfinished.finish().expect_page_of(ports[0]);
    assert_eq!(fleet.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_fleet_at_once() {
    for (first, second, status) in [(Signal::TERM, Signal::INT, 130), (Signal::INT, Signal::TERM, 143)] {
        let (mut fleet, ports) = Fleet::of(2, &["--grace", "1h"]);
        let mut unfinished = Unfinished::send(&fleet, ports[0], "/in-flight");
        let backend = fleet.backend_pid(ports[0]);
        fleet.signal(first);
        eventually("it stops", || is_free(ports[0]));
        assert!(lives(backend));
        fleet.signal(second);
        assert_eq!(fleet.wait().code(), Some(status));
        eventually("the backend has ended", || !lives(backend));
        assert!(unfinished.connection.answer().is_err());
    }
}

// The log.

#[test]
fn a_request_is_a_line_with_the_uuid_of_its_very_answer() {
    let (fleet, ports) = Fleet::of(2, &[]);
    for (port, method, path) in [(ports[0], "GET", "/"), (ports[1], "PUT", "/a/b?c=d"), (ports[0], "BREW", "/pot")] {
        let mut connection = Connection::to(port);
        let answer = connection.ask(&format!("{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"));
        let line = fleet.log.wait_for(&answer.id().to_string());
        let peer = connection.stream.local_addr().unwrap();
        assert_eq!(after_time(&line), format!("{port} {peer} {method} {path} 200 {}", answer.id()));
        assert_eq!(line.find(' '), Some("HH:MM:SS.mmm".len()), "{line}");
    }
    let (_, log) = fleet.stop();
    assert_eq!(log.len(), 3, "{log:?}");
}

#[test]
fn under_load_the_log_sums_up_and_every_request_is_counted() {
    const EACH: usize = 1500;
    let (fleet, ports) = Fleet::of(2, &[]);
    let ids: HashSet<Uuid> = ask_all(&ports, EACH).into_iter().map(|answer| answer.id()).collect();
    // At a stop, what is not shown yet is summed up.
    let (_, log) = fleet.stop();
    let mut counts = BTreeMap::from([(ports[0], 0), (ports[1], 0)]);
    let mut sums = 0;
    for line in &log {
        if let Some(sum) = line.strip_prefix("… ") {
            let (total, parts) = sum.split_once(" more in the last second: ").unwrap();
            let parts: Vec<(u16, usize)> =
                parts.split(" · ").map(|part| part.split_once(' ').unwrap()).map(part).collect();
            assert_eq!(number(total), parts.iter().map(|(_, count)| count).sum::<usize>(), "{line}");
            for (port, count) in parts {
                *counts.get_mut(&port).unwrap() += count;
            }
            sums += 1;
        } else {
            let words: Vec<&str> = after_time(line).split(' ').collect();
            assert!(ids.contains(&words[5].parse().unwrap()), "{line}");
            *counts.get_mut(&words[0].parse().unwrap()).unwrap() += 1;
        }
    }
    assert_eq!(counts, BTreeMap::from([(ports[0], EACH), (ports[1], EACH)]), "{log:#?}");
    assert!(sums > 0 && log.len() < 500, "{} lines, {sums} of them sums", log.len());
}

fn part((port, count): (&str, &str)) -> (u16, usize) {
    (port.parse().unwrap(), number(count))
}

/// Reads `48,120`.
fn number(text: &str) -> usize {
    text.replace(',', "").parse().unwrap()
}

#[test]
fn the_log_for_programs_has_an_object_for_each_request() {
    let (fleet, ports) = Fleet::of(2, &["--log", "json"]);
    let answers = ask_all(&ports, 500);
    fleet.act("kill", ports[1]);
    let (_, log) = fleet.stop();
    let objects: Vec<Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| objects.iter().filter(|object| object["event"] == event).collect::<Vec<_>>();
    let attempts = of("attempt");
    let logged: HashSet<Uuid> =
        attempts.iter().map(|object| object["response"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!((attempts.len(), logged), (answers.len(), answers.iter().map(Answer::id).collect()));
    for attempt in attempts {
        assert_eq!(
            (&attempt["method"], &attempt["path"], &attempt["status"]),
            (&json!("GET"), &json!("/"), &json!(200))
        );
        assert!(ports.iter().any(|port| attempt["backend"].as_str() == Some(&*port.to_string())), "{attempt}");
        for time in ["received", "responded"] {
            attempt[time].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        }
    }
    assert_eq!(of("accepting").len(), 2);
    let [killed, stopped] = of("gone")[..] else { panic!("not two ends: {objects:?}") };
    assert_eq!(
        (&killed["backend"], &killed["cause"], &killed["asked"]),
        (&json!(ports[1].to_string()), &json!("signal 9, SIGKILL"), &json!(false))
    );
    assert_eq!((&stopped["backend"], &stopped["asked"]), (&json!(ports[0].to_string()), &json!(true)));
}

#[test]
fn a_log_that_is_off_is_silent_about_requests_and_nothing_else() {
    let (fleet, ports) = Fleet::of(2, &["--log", "off"]);
    ask_all(&ports, 50);
    let (said, log) = fleet.stop();
    assert_eq!(log, [""; 0]);
    for what in ["App server started", "App server stopped"] {
        assert_eq!(said.iter().filter(|line| line.contains(what)).count(), 2, "{said:?}");
    }
}

// UUIDs.

#[test]
fn no_uuid_comes_twice_over_processes_and_restarts() {
    const EACH: usize = 5_000;
    let (fleet, ports) = Fleet::of(3, &[]);
    let mut answers = ask_all(&ports, EACH);
    fleet.act("kill", ports[0]);
    fleet.act("start", ports[0]);
    answers.extend(ask_all(&ports, EACH));
    let ids: HashSet<Uuid> = answers.iter().map(Answer::id).collect();
    assert_eq!((ids.len(), answers.len()), (6 * EACH, 6 * EACH));
    assert!(ids.iter().all(|id| id.get_version() == Some(uuid::Version::Random)));
}

/// The answers to this number of requests to each backend, to all at once and several in flight on each connection.
fn ask_all(ports: &[u16], each: usize) -> Vec<Answer> {
    const DEPTH: usize = 50;
    let ask = |port: u16| {
        let mut connection = Connection::to(port);
        let mut answers = Vec::new();
        while answers.len() < each {
            let some = DEPTH.min(each - answers.len());
            connection.send(&GET.repeat(some)).unwrap();
            answers.extend((0..some).map(|_| connection.answer().unwrap()));
        }
        for answer in &answers {
            answer.expect_page_of(port);
        }
        answers
    };
    thread::scope(|scope| {
        let clients: Vec<_> = ports.iter().map(|port| scope.spawn(|| ask(*port))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}
