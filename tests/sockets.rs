//! Backends on unix sockets: they answer there as on their ports, and nobody is reset, refused or left behind who should not be.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::nginx::Nginx;
use crate::support::{
    Fleet, PATIENCE, TemporaryDirectory, error_of, eventually, http, list, ports, program, refuses, run,
};
use rustix::process::Signal;
use verdict::AttemptEnd;

const LAST_GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// A fleet with a folder for its sockets, which outlives it.
struct Listening {
    fleet: Fleet,
    ports: Vec<u16>,
    folder: TemporaryDirectory,
}

impl Listening {
    fn start(backends: usize, flags: &[&str]) -> Listening {
        let folder = TemporaryDirectory::new();
        let (fleet, ports) = Fleet::of(backends, &[&["--sockets", text(folder.path())], flags].concat());
        Listening { fleet, ports, folder }
    }

    fn socket(&self, place: usize) -> PathBuf {
        socket(&self.folder, self.ports[place])
    }
}

fn socket(folder: &TemporaryDirectory, port: u16) -> PathBuf {
    folder.path().join(format!("{port}.sock"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

// Answers.

#[test]
fn a_backend_answers_on_its_socket_as_on_its_port() {
    let it = Listening::start(2, &[]);
    for place in [0, 1] {
        http::expect_page(it.ports[place]);
        let page = ask(&it.socket(place), LAST_GET).unwrap();
        assert!(page.contains(&format!("<h1>Generator #{}</h1>", it.ports[place])), "{page}");
    }
    let page = ask(&it.socket(0), "GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(page.contains("<title>localhost</title>"), "{page}");
    let told = ask(&it.socket(0), "GET /told?format=json HTTP/1.0\r\n\r\n").unwrap();
    assert!(told.contains("\n  \"peer\": \"unix\",\n  \"connection\": 4,\n"), "{told}");
    it.fleet.log.wait_for(" unix GET /told?format=json 200 ");
    let records = it.fleet.records().records;
    let told = records.iter().find(|record| record.path == "/told?format=json").unwrap();
    assert_eq!(
        (told.peer.as_str(), told.backend.clone(), told.outcome),
        ("unix", it.ports[0].to_string(), AttemptEnd::Completed)
    );
    assert_eq!(records.iter().filter(|record| record.peer == "unix").count(), 4);
}

#[test]
fn requests_on_one_connection_are_answered_in_their_order_and_large_answers_whole() {
    let it = Listening::start(1, &[]);
    let request = "GET /bytes/3000000 HTTP/1.1\r\nHost: h\r\n\r\n";
    let answers = ask(&it.socket(0), &format!("{request}{request}{LAST_GET}")).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3);
    assert!(answers.len() > 6_000_000 && answers.ends_with("</html>\n"), "{}", answers.len());
}

#[test]
fn every_user_who_may_enter_the_folder_may_connect() {
    let it = Listening::start(1, &[]);
    let mode = fs::metadata(it.socket(0)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
}

#[test]
fn real_nginx_reaches_backends_by_their_sockets() {
    let it = Listening::start(2, &[]);
    // Its workers are another user.
    fs::set_permissions(it.folder.path(), Permissions::from_mode(0o755)).unwrap();
    let servers: String = [0, 1].map(|place| format!("server unix:{};\n", it.socket(place).display())).concat();
    let nginx = Nginx::start(&format!(
        "upstream uuid {{\n{servers}}}\nserver {{\nlisten 80;\nlocation / {{\nproxy_pass http://uuid;\n}}\n}}\n"
    ));
    for _ in 0..4 {
        assert_eq!(http::get(&nginx.url("/")).unwrap().status, 200);
    }
    let one = http::get(&nginx.url("/")).unwrap();
    assert!(one.body.contains("<title>uuid</title>"), "{one:?}");
    let records = it.fleet.records().records;
    assert!(records.iter().all(|record| record.peer == "unix"), "{records:?}");
    for port in &it.ports {
        assert!(records.iter().filter(|record| record.backend == port.to_string()).count() >= 2, "{records:?}");
    }
    it.fleet.act("kill", it.ports[0]);
    for _ in 0..4 {
        http::get(&nginx.url("/")).unwrap().expect_page_of(it.ports[1]);
    }
}

// A backend's end.

#[test]
fn a_killed_backends_socket_refuses_at_once_until_it_is_started_again() {
    let it = Listening::start(2, &[]);
    for _ in 0..3 {
        it.fleet.act("kill", it.ports[0]);
        assert_eq!(UnixStream::connect(it.socket(0)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        ask(&it.socket(1), LAST_GET).unwrap();
        it.fleet.act("start", it.ports[0]);
        let page = ask(&it.socket(0), LAST_GET).unwrap();
        assert!(page.contains(&format!("<h1>Generator #{}</h1>", it.ports[0])), "{page}");
    }
}

#[test]
fn a_backend_that_is_started_again_by_itself_listens_on_its_socket_again() {
    let it = Listening::start(1, &["--restart"]);
    crate::support::send(it.fleet.backend_pid(it.ports[0]), Signal::KILL);
    it.fleet.output.wait_until("it has started twice", |lines| {
        lines.iter().filter(|line| line.contains("App server started")).count() == 2
    });
    ask(&it.socket(0), LAST_GET).unwrap();
}

#[test]
fn a_backend_that_cannot_have_its_socket_again_is_not_started() {
    let it = Listening::start(1, &[]);
    it.fleet.act("kill", it.ports[0]);
    fs::remove_file(it.socket(0)).unwrap();
    let _taken = UnixListener::bind(it.socket(0)).unwrap();
    let output = it.fleet.command(&["start", &it.ports[0].to_string()]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&format!("{}: address already in use", it.socket(0).display())), "{error}");
    assert!(refuses(it.ports[0]));
    // It is not the fleet's.
    it.fleet.stop();
    assert!(socket(&it.folder, it.ports[0]).exists());
}

#[test]
fn a_drained_backends_socket_is_gone_and_comes_back_with_it() {
    let it = Listening::start(1, &[]);
    it.fleet.act("drain", it.ports[0]);
    assert!(!it.socket(0).exists());
    it.fleet.act("start", it.ports[0]);
    ask(&it.socket(0), LAST_GET).unwrap();
}

#[test]
fn a_backend_that_drains_in_a_storm_resets_no_connection_to_its_socket() {
    const ROUNDS: usize = 4;
    const CLIENTS: usize = 100;
    /// Enough for all clients to be in the midst of it.
    const STORM: Duration = Duration::from_millis(500);
    for round in 0..ROUNDS {
        let it = Listening::start(1, &[]);
        let (port, pid, path) = (it.ports[0], it.fleet.backend_pid(it.ports[0]), it.socket(0));
        let ends: Vec<(usize, Result<(), String>)> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| ask_until_refused(&path))).collect();
            thread::sleep(STORM);
            // The supervisor removes the socket before it gives the order; a backend that is asked by hand does without.
            let by_hand = round % 2 == 1;
            if by_hand {
                it.fleet.signal(Signal::STOP);
                crate::support::send(pid, Signal::TERM);
            } else {
                it.fleet.act("drain", port);
            }
            let ends = clients.into_iter().map(|client| client.join().unwrap()).collect();
            if by_hand {
                it.fleet.signal(Signal::CONT);
            }
            ends
        });
        let answers: usize = ends.iter().map(|(answers, _)| answers).sum();
        let losses: Vec<String> = ends.into_iter().filter_map(|(_, end)| end.err()).collect();
        assert!(losses.is_empty(), "{} lost, {answers} answered: {losses:?}", losses.len());
        assert!(answers > 2 * CLIENTS, "no storm: {answers} answers");
        eventually("all is recorded", || it.fleet.records().records.len() == answers);
        eventually("its socket is gone", || !it.socket(0).exists());
    }
}

/// One request a connection, until no more is established: how many were answered, and whether another one was established and
/// then lost.
fn ask_until_refused(path: &Path) -> (usize, Result<(), String>) {
    let deadline = Instant::now() + PATIENCE;
    let mut answers = 0;
    while Instant::now() < deadline {
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
                return (answers, Ok(()));
            }
            Err(error) => return (answers, Err(format!("neither established nor refused: {error}"))),
        };
        match ask_over(stream, LAST_GET) {
            Ok(page) if page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("</html>\n") => answers += 1,
            Ok(other) => return (answers, Err(format!("not a whole answer: {other:?}"))),
            Err(error) => return (answers, Err(error.to_string())),
        }
    }
    (answers, Err("never refused".to_owned()))
}

// The fleet's end.

#[test]
fn a_fleet_that_stops_leaves_no_socket() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut it = Listening::start(3, &[]);
        it.fleet.act("kill", it.ports[0]);
        it.fleet.act("pause", it.ports[1]);
        assert!(it.socket(0).exists());
        it.fleet.signal(signal);
        assert_eq!(it.fleet.wait().code(), Some(0));
        assert_eq!(files(&it.folder), [""; 0]);
    }
}

#[test]
fn sockets_that_a_killed_supervisor_left_behind_are_taken_over() {
    let mut it = Listening::start(2, &[]);
    it.fleet.signal(Signal::KILL);
    it.fleet.wait();
    eventually("all backends have ended", || it.ports.iter().all(|port| refuses(*port)));
    assert_eq!(files(&it.folder).len(), 2);
    let fleet = Fleet::start(&["--ports", &list(&it.ports), "--sockets", text(it.folder.path())]);
    for place in [0, 1] {
        ask(&it.socket(place), LAST_GET).unwrap();
    }
    fleet.stop();
    assert_eq!(files(&it.folder), [""; 0]);
}

// All or nothing.

#[test]
fn one_message_names_every_socket_that_cannot_be_had_and_nothing_is_left_or_touched() {
    let ports = ports(5);
    let folder = TemporaryDirectory::new();
    let path = |place: usize| socket(&folder, ports[place]);
    let _taken = UnixListener::bind(path(0)).unwrap();
    fs::write(path(1), "precious").unwrap();
    drop(UnixListener::bind(path(2)).unwrap());
    let _port = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[4])).unwrap();
    let error = refused(&["--ports", &list(&ports), "--sockets", text(folder.path())]);
    for problem in [
        format!("backend {} on {}: address already in use", ports[0], path(0).display()),
        format!("backend {} on {}: this file is no socket", ports[1], path(1).display()),
        format!("backend {} on 127.0.0.1:{}: address already in use", ports[4], ports[4]),
    ] {
        assert_eq!(error.matches(&format!("\n  {problem}\n")).count(), 1, "{problem}\n{error}");
    }
    for hint in [
        "choose another folder with --sockets",
        "move it away",
        &format!("stop what listens there: ss -lxp src {} shows it", path(0).display()),
    ] {
        assert!(error.lines().any(|line| line.starts_with("  hint: ") && line.contains(hint)), "{hint}\n{error}");
    }
    assert_eq!(error.matches("\n  backend ").count(), 3, "{error}");
    assert_eq!(fs::read_to_string(path(1)).unwrap(), "precious");
    UnixStream::connect(path(0)).unwrap();
    // The stale one is gone with those that were bound.
    assert_eq!(files(&folder).len(), 2);
}

#[test]
fn a_folder_that_is_missing_is_named_once() {
    let ports = ports(3);
    let place = TemporaryDirectory::new();
    let missing = place.path().join("missing");
    let error = refused(&["--ports", &list(&ports), "--sockets", text(&missing)]);
    assert!(error.contains(&format!("\n  sockets in {}: no such folder\n", missing.display())), "{error}");
    assert!(error.contains(&format!("\n  hint: make it (mkdir -p {})", missing.display())), "{error}");
    assert_eq!(error.matches("\n  ").count(), 2, "{error}");
    fs::write(&missing, "").unwrap();
    let error = refused(&["--ports", &list(&ports), "--sockets", text(&missing)]);
    assert!(error.contains(&format!("\n  sockets in {}: this is no folder\n", missing.display())), "{error}");
}

#[test]
fn a_folder_in_which_nobody_may_write_is_named() {
    let ports = ports(1);
    // Not even root makes files here.
    let error = refused(&["--ports", &list(&ports), "--sockets", "/proc/self/task"]);
    assert!(error.contains(&format!("\n  backend {} on /proc/self/task/{}.sock: ", ports[0], ports[0])), "{error}");
    assert!(refuses(ports[0]));
}

/// What it says with these flags; nothing is left running.
fn refused(flags: &[&str]) -> String {
    let place = TemporaryDirectory::new();
    let error = error_of(&run(program(&place).args(["--control", "127.0.0.1:0"]).args(flags)));
    assert!(error.starts_with("error: failed to start the fleet; nothing is left running\n  "), "{error}");
    assert_eq!(place.processes(), [0; 0]);
    error
}

fn files(folder: &TemporaryDirectory) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// All that is answered, to its end.
fn ask(path: &Path, requests: &str) -> io::Result<String> {
    assert!(fs::symlink_metadata(path)?.file_type().is_socket());
    ask_over(UnixStream::connect(path)?, requests)
}

fn ask_over(mut stream: UnixStream, requests: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(requests.as_bytes())?;
    let mut answers = String::new();
    stream.read_to_string(&mut answers)?;
    Ok(answers)
}
