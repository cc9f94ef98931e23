//! Misbehaviour that is switched on inside backends: what a client sees of it on the wire, and what was recorded.

use std::fs;
use std::io::{ErrorKind, Read};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::http::{Connection, GET};
use crate::support::{Fleet, error_of, eventually, http, program, refuses, run};
use api::{BackendState, RecordView};
use verdict::AttemptEnd;

const ID: &str = "00000000000004d2-000000000000002a";

/// `uuid-generator fault …` against this fleet.
fn fault_command(fleet: &Fleet, words: &[&str]) -> Output {
    run(program(&fleet.place).arg("fault").args(words))
}

/// The same, which must succeed. The fault is in effect when it returns.
fn fault(fleet: &Fleet, port: u16, words: &[&str]) -> String {
    let output = fault_command(fleet, &[&[&*port.to_string()], words].concat());
    assert!(output.status.success(), "fault {port} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// One backend with this fault.
fn faulty(words: &[&str]) -> (Fleet, u16) {
    let (fleet, ports) = Fleet::of(1, &[]);
    fault(&fleet, ports[0], words);
    (fleet, ports[0])
}

fn faults_of(fleet: &Fleet, port: u16) -> Vec<String> {
    fleet.backend(port).faults.iter().map(ToString::to_string).collect()
}

/// The record of the request with that path, once it has ended.
fn record(fleet: &Fleet, path: &str) -> RecordView {
    let find = || fleet.records().records.into_iter().find(|record| record.path == path);
    eventually(&format!("{path} is recorded"), || find().is_some());
    find().unwrap()
}

fn in_flight(fleet: &Fleet, path: &str) -> bool {
    fleet.records().in_flight.iter().any(|record| record.path == path)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\nCheck-Request-Id: {ID}\r\n\r\n")
}

fn held(record: &RecordView) -> Duration {
    let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let held = time(record.responded.as_ref().unwrap()).duration_since(time(&record.received));
    Duration::try_from(held).unwrap()
}

/// What comes until the end of the connection, and how that came.
fn rest(client: &mut Connection) -> (Vec<u8>, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let end = client.stream.read_to_end(&mut bytes);
    (bytes, end.err().map(|error| error.kind()))
}

// Each fault.

#[test]
fn a_status_is_answered_instead_of_the_page() {
    let (fleet, port) = faulty(&["status", "503"]);
    let mut client = Connection::to(port);
    for request in
        [get("/one"), format!("POST /two HTTP/1.1\r\nHost: h\r\nCheck-Request-Id: {ID}\r\nContent-Length: 2\r\n\r\n12")]
    {
        let answer = client.ask(&request);
        assert_eq!((answer.status, answer.head.lines().next()), (503, Some("HTTP/1.1 503 Service Unavailable")));
        assert_eq!(answer.body, "status 503, a fault that is switched on\n");
        assert_eq!(answer.header("Generator-Number"), Some(&*port.to_string()));
        assert_eq!(answer.header("Check-Request-Id"), Some(ID));
        let path = request.split(' ').nth(1).unwrap();
        let record = record(&fleet, path);
        assert_eq!((record.status, record.outcome), (503, AttemptEnd::Completed));
        assert_eq!(record.response.unwrap().0, answer.id());
        assert_eq!(record.bytes, (answer.head.len() + answer.body.len()) as u64);
    }
    assert_eq!(client.ask("GET /livez HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
    fault(&fleet, port, &["status", "599"]);
    assert_eq!(client.ask(GET).head.lines().next(), Some("HTTP/1.1 599 "));
}

#[test]
fn a_share_of_the_requests_is_struck() {
    let (_fleet, port) = faulty(&["status", "503", "10%"]);
    const REQUESTS: usize = 2000;
    let mut client = Connection::to(port);
    let mut struck = 0;
    for _ in 0..REQUESTS / 100 {
        client.send(&GET.repeat(100)).unwrap();
        for _ in 0..100 {
            match client.answer().unwrap().status {
                503 => struck += 1,
                status => assert_eq!(status, 200),
            }
        }
    }
    // Seven standard deviations of 13.4 on each side of 200: beyond them it is less often than once in 10^10.
    assert!((106..=294).contains(&struck), "{struck} of {REQUESTS}");
}

#[test]
fn latency_holds_answers_back_and_they_keep_their_order() {
    let (fleet, port) = faulty(&["latency", "150ms+-50ms"]);
    let mut client = Connection::to(port);
    let begin = Instant::now();
    client.send(&["/1", "/2", "/3"].map(get).concat()).unwrap();
    eventually("the first is in flight", || in_flight(&fleet, "/1"));
    // Comes while the others wait.
    client.send(&"GET /4?format=json HTTP/1.1\r\nHost: h\r\n\r\n".repeat(200)).unwrap();
    let first = client.answer().unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(100));
    fault(&fleet, port, &["clear"]);
    let ids: Vec<_> = [(); 2].iter().map(|()| client.answer().unwrap().id()).collect();
    for _ in 0..200 {
        assert!(client.answer().unwrap().body.contains("\"path\": \"/4\""));
    }
    let first_record = record(&fleet, "/1");
    assert_eq!(first_record.response.unwrap().0, first.id());
    let held_back = held(&first_record);
    assert!(held_back >= Duration::from_millis(100), "{held_back:?}");
    assert_eq!([record(&fleet, "/2"), record(&fleet, "/3")].map(|record| record.response.unwrap().0), ids[..]);
    // Health goes on beside it.
    fault(&fleet, port, &["latency:5m"]);
    assert_eq!(http::get(&format!("http://localhost:{port}/readyz")).unwrap().status, 200);
}

#[test]
fn a_reset_is_a_reset() {
    let (fleet, port) = faulty(&["reset"]);
    let mut client = Connection::to(port);
    client.send(&get("/gone")).unwrap();
    assert_eq!(rest(&mut client), (vec![], Some(ErrorKind::ConnectionReset)));
    let record = record(&fleet, "/gone");
    assert_eq!((record.outcome, record.bytes), (AttemptEnd::CutOff, 0));
}

#[test]
fn a_hang_ends_when_the_client_closes() {
    let (fleet, port) = faulty(&["hang"]);
    let mut client = Connection::to(port);
    client.send(&get("/hangs")).unwrap();
    client.send(&get("/never-read")).unwrap();
    eventually("it is in flight", || in_flight(&fleet, "/hangs"));
    client.expect_silence(Duration::from_millis(200));
    assert!(in_flight(&fleet, "/hangs"));
    drop(client);
    let ended = record(&fleet, "/hangs");
    assert_eq!((ended.outcome, ended.bytes), (AttemptEnd::CutOff, 0));
    assert_eq!(fleet.backend(port).in_flight, 0);
    assert_eq!(fleet.records().records.len(), 1);
}

#[test]
fn a_close_is_an_orderly_end_without_an_answer() {
    let (fleet, port) = faulty(&["close"]);
    let mut client = Connection::to(port);
    client.send(&get("/closed")).unwrap();
    assert_eq!(rest(&mut client), (vec![], None));
    let ended = record(&fleet, "/closed");
    assert_eq!((ended.outcome, ended.bytes), (AttemptEnd::CutOff, 0));
    // Also after a delay.
    fault(&fleet, port, &["latency", "20ms"]);
    let mut client = Connection::to(port);
    client.send(&get("/closed-later")).unwrap();
    assert_eq!(rest(&mut client), (vec![], None));
    drop(client);
    assert!(held(&record(&fleet, "/closed-later")) >= Duration::from_millis(20));
}

#[test]
fn a_close_midway_leaves_half_of_the_body_that_was_announced() {
    let (fleet, port) = faulty(&["close-midway"]);
    for path in ["/half", "/bytes/1000000"] {
        let mut client = Connection::to(port);
        client.send(&get(path)).unwrap();
        let (bytes, end) = rest(&mut client);
        assert_eq!(end, None);
        let head = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
        let length = text.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        assert_eq!(bytes.len() - head, length.parse::<usize>().unwrap() / 2, "{text}");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && !text.contains("Connection: close"), "{text}");
        drop(client);
        let record = record(&fleet, path);
        assert_eq!((record.outcome, record.bytes), (AttemptEnd::CutOff, bytes.len() as u64));
    }
    let mut client = Connection::to(port);
    client.send("HEAD /head HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let (bytes, _) = rest(&mut client);
    assert!(bytes.starts_with(b"HTTP/1.1 200 OK\r\n") && !bytes.ends_with(b"\r\n\r\n"));
    assert_eq!(record(&fleet, "/head").outcome, AttemptEnd::CutOff);
}

#[test]
fn the_first_attempts_of_each_request_fail() {
    let (fleet, port) = faulty(&["fail-first", "2"]);
    let mut client = Connection::to(port);
    let mut attempt = |sequence: u64| {
        let id = format!("00000000000004d2-{sequence:016x}");
        client.ask(&format!("GET / HTTP/1.1\r\nHost: h\r\nCheck-Request-Id: {id}\r\n\r\n")).status
    };
    assert_eq!([1, 1, 2, 1, 2, 2, 1].map(&mut attempt), [503, 503, 503, 200, 503, 200, 200]);
    // Another fault beside it does not make it forget.
    fault(&fleet, port, &["latency", "1ms"]);
    assert_eq!([1, 3].map(attempt), [200, 503]);
    assert_eq!(client.ask(GET).status, 200);
}

#[test]
fn an_unhealthy_backend_fails_all_health_and_nothing_else() {
    let (fleet, port) = faulty(&["unhealthy"]);
    let status = |path: &str| http::get(&format!("http://localhost:{port}{path}")).unwrap().status;
    let health = ["/livez", "/healthz", "/health", "/readyz", "/ready"];
    assert_eq!(health.map(status), [503; 5]);
    http::expect_page(port);
    fault(&fleet, port, &["clear"]);
    assert_eq!(health.map(status), [200; 5]);
}

// Time.

#[test]
fn an_answer_that_is_held_back_is_cut_by_no_timeout() {
    let timeouts = ["--idle-timeout", "50ms", "--stall-timeout", "50ms", "--header-timeout", "50ms"];
    let (fleet, ports) = Fleet::of(1, &timeouts);
    let begin = Instant::now();
    Connection::to(ports[0]).ask(&get("/?delay=600ms")).expect_page_of(ports[0]);
    assert!(begin.elapsed() >= Duration::from_millis(600));
    fault(&fleet, ports[0], &["hang"]);
    let mut client = Connection::to(ports[0]);
    client.send(&get("/hangs")).unwrap();
    client.expect_silence(Duration::from_millis(600));
    assert!(in_flight(&fleet, "/hangs"));
}

#[test]
fn an_answer_held_back_for_a_client_that_has_gone_was_cut_off() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let mut client = Connection::to(ports[0]);
    client.send(&get("/?delay=60s")).unwrap();
    // Unread input does not hide the end.
    client.send(&get("/never-read")).unwrap();
    eventually("it is in flight", || in_flight(&fleet, "/?delay=60s"));
    drop(client);
    let record = record(&fleet, "/?delay=60s");
    assert_eq!((record.outcome, record.bytes), (AttemptEnd::CutOff, 0));
    assert!(held(&record) < Duration::from_secs(60));
}

#[test]
fn delays_end_in_the_order_of_their_moments_whatever_the_order_of_the_requests() {
    let (_fleet, ports) = Fleet::of(1, &[]);
    let mut clients: Vec<Connection> = (0..8).map(|_| Connection::to(ports[0])).collect();
    let begin = Instant::now();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(&get(&format!("/?delay={}ms", 240 - 30 * index))).unwrap();
    }
    for (index, client) in clients.iter_mut().enumerate().rev() {
        client.answer().unwrap().expect_page_of(ports[0]);
        assert!(begin.elapsed() >= Duration::from_millis(240 - 30 * index as u64));
    }
}

#[test]
fn delays_end_at_their_moments_and_not_when_somebody_looks() {
    let (_fleet, ports) = Fleet::of(1, &[]);
    let mut client = Connection::to(ports[0]);
    let begin = Instant::now();
    for _ in 0..10 {
        client.ask(&get("/?delay=10ms")).expect_page_of(ports[0]);
    }
    // Connections are looked at once a second.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn the_last_answer_arrives_though_more_was_sent_while_it_was_held_back() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let mut client = Connection::to(ports[0]);
    client.send("GET /?delay=300ms HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    eventually("it is in flight", || in_flight(&fleet, "/?delay=300ms"));
    client.send(&GET.repeat(1000)).unwrap();
    client.answer().unwrap().expect_page_of(ports[0]);
    assert!(client.is_closed().unwrap());
}

#[test]
fn draining_waits_for_what_is_held_back() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let mut client = Connection::to(ports[0]);
    client.send(&get("/?delay=700ms")).unwrap();
    eventually("it is in flight", || in_flight(&fleet, "/?delay=700ms"));
    fleet.act("drain", ports[0]);
    let answer = client.answer().unwrap();
    answer.expect_page_of(ports[0]);
    assert_eq!(answer.header("Connection"), Some("close"));
    let record = record(&fleet, "/?delay=700ms");
    assert_eq!(record.outcome, AttemptEnd::Completed);
    assert!(held(&record) >= Duration::from_millis(700));
    assert!(refuses(ports[0]));
}

#[test]
fn draining_gives_up_a_hang_when_the_grace_has_passed() {
    let (fleet, ports) = Fleet::of(1, &["--grace", "300ms"]);
    fault(&fleet, ports[0], &["hang"]);
    let mut client = Connection::to(ports[0]);
    client.send(&get("/hangs")).unwrap();
    eventually("it is in flight", || in_flight(&fleet, "/hangs"));
    fleet.act("drain", ports[0]);
    assert_eq!(record(&fleet, "/hangs").outcome, AttemptEnd::CutOff);
    assert_eq!(fleet.backend(ports[0]).last_end.as_deref(), Some("exit status 0"));
    assert!(rest(&mut client).0.is_empty());
}

// Asked by one request.

#[test]
fn a_request_asks_for_a_status() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let mut client = Connection::to(ports[0]);
    for (path, status) in
        [("/status/503", 503), ("/uuid//status/418", 418), ("/status/200?delay=1ms", 200), ("/status/205", 205)]
    {
        let answer = client.ask(&get(path));
        assert_eq!((answer.status, answer.header("Check-Request-Id")), (status, Some(ID)));
        assert_eq!(answer.body, if status == 205 { String::new() } else { format!("status {status}, as asked\n") });
        assert_eq!(record(&fleet, path).status, status);
    }
    // They have no body and say nothing of its length (RFC 9110 §8.6): what follows is the next answer.
    for status in [204, 304] {
        let mut client = Connection::to(ports[0]);
        client.send(&get(&format!("/status/{status}"))).unwrap();
        client.send("GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let text = String::from_utf8(rest(&mut client).0).unwrap();
        let answers: Vec<&str> = text.split("\r\n\r\n").collect();
        assert!(
            answers[0].starts_with(&format!("HTTP/1.1 {status} "))
                && !answers[0].contains("Content-L")
                && !answers[0].contains("Content-T"),
            "{text}"
        );
        assert!(answers[1].starts_with("HTTP/1.1 200 OK"), "{text}");
    }
}

#[test]
fn a_request_asks_for_bytes() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let mut client = Connection::to(ports[0]);
    for length in [0, 1, 63, 64, 65, 65_536, 65_537, 3_000_001] {
        let path = format!("/uuid/bytes/{length}");
        let answer = client.ask(&get(&path));
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/octet-stream")));
        assert_eq!(answer.body.len(), length);
        const START: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        assert!(answer.body.as_bytes().chunks(64).all(|line| START.as_bytes().starts_with(line)));
        let record = record(&fleet, &path);
        assert_eq!((record.outcome, record.bytes), (AttemptEnd::Completed, (answer.head.len() + length) as u64));
    }
    // What is asked meanwhile comes after.
    client.send(&[get("/bytes/5000000"), GET.to_owned(), get("/bytes/10")].concat()).unwrap();
    assert_eq!(client.answer().unwrap().body.len(), 5_000_000);
    client.answer().unwrap().expect_page_of(ports[0]);
    assert_eq!(client.answer().unwrap().body, "ABCDEFGHIJ");
    client.send("HEAD /bytes/1000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let head = String::from_utf8(rest(&mut client).0).unwrap();
    assert!(head.contains("Content-Length: 1000\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

/// The kernel would let each of their send buffers grow to megabytes.
#[test]
fn downloads_that_nobody_reads_starve_nobody_and_take_little_of_the_kernels_memory() {
    const UNREAD: usize = 250;
    let (_fleet, ports) = Fleet::of(1, &[]);
    let socket_mebibytes = || {
        let counts = fs::read_to_string("/proc/net/sockstat").unwrap();
        let tcp = counts.lines().find(|line| line.starts_with("TCP:")).unwrap();
        let pages: usize = tcp.rsplit(' ').next().unwrap().parse().unwrap();
        pages * 4 / 1024
    };
    let before = socket_mebibytes();
    let unread: Vec<Connection> = (0..UNREAD)
        .map(|_| {
            let mut client = Connection::to(ports[0]);
            client.send(&get("/bytes/1073741824")).unwrap();
            client
        })
        .collect();
    let since = Instant::now();
    for _ in 0..100 {
        Connection::to(ports[0]).ask(GET).expect_page_of(ports[0]);
    }
    assert!(since.elapsed() < Duration::from_secs(10), "a hundred pages took {:?}", since.elapsed());
    let more = socket_mebibytes().saturating_sub(before);
    // Half a mebibyte each would be 125; unbounded they take 500.
    assert!(more < 200, "{more} MiB for {} downloads", unread.len());
}

#[test]
fn many_bytes_take_little_memory_however_slowly_they_are_read() {
    const LENGTH: usize = 256 << 20;
    let (fleet, ports) = Fleet::of(1, &[]);
    let peak = || {
        let status = fs::read_to_string(format!("/proc/{}/status", fleet.backend_pid(ports[0]))).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    };
    let before = peak();
    let path = format!("/bytes/{LENGTH}");
    let mut slow = Connection::to(ports[0]);
    slow.send(&get("/bytes/1073741824")).unwrap();
    let mut client = Connection::to(ports[0]);
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).unwrap();
    let mut bytes = vec![0; 1 << 20];
    let mut seen = 0;
    loop {
        match client.stream.read(&mut bytes).unwrap() {
            0 => break,
            length => seen += length,
        }
    }
    drop(client);
    let ended = record(&fleet, &path);
    assert_eq!((ended.bytes, ended.outcome), (seen as u64, AttemptEnd::Completed));
    assert!(seen > LENGTH);
    let more = peak() - before;
    assert!(more < 8 * 1024, "{more} kB");
    drop(slow);
    let cut = record(&fleet, "/bytes/1073741824");
    assert_eq!(cut.outcome, AttemptEnd::CutOff);
    assert!(cut.bytes > 0 && cut.bytes < 1 << 30);
}

#[test]
fn what_is_asked_beyond_the_bounds_is_refused_with_what_is_allowed() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let mut client = Connection::to(ports[0]);
    for (path, line) in [
        ("/?delay=61s", "delay: expected a time above 0 and at most 60s with its unit, such as ?delay=200ms"),
        ("/status/600", "expected a status from 200 to 599, such as /status/503"),
        ("/bytes/1073741825", "expected at most 1073741824 bytes (1 GiB), such as /bytes/1048576"),
    ] {
        let answer = client.ask(&get(path));
        assert_eq!((answer.status, answer.body), (400, format!("{line}\n")));
        assert_eq!(record(&fleet, path).status, 400);
    }
    client.ask(GET).expect_page_of(ports[0]);
}

// Switching.

#[test]
fn a_backend_has_one_fault_of_a_kind_and_several_kinds_until_they_are_cleared() {
    let (fleet, ports) = Fleet::of(2, &[]);
    fault(&fleet, ports[0], &["status", "503", "10%"]);
    fault(&fleet, ports[0], &["latency:1ms"]);
    let table = fault(&fleet, ports[0], &["status", "502"]);
    assert_eq!(faults_of(&fleet, ports[0]), ["status:502", "latency:1ms"]);
    assert!(table.lines().any(|line| line.ends_with("0  status:502, latency:1ms")), "{table}");
    assert_eq!(faults_of(&fleet, ports[1]), [""; 0]);
    http::expect_page(ports[1]);
    assert_eq!(http::get(&format!("http://localhost:{}/", ports[0])).unwrap().status, 502);
    let pid = fleet.pid().to_string();
    assert!(fault_command(&fleet, &[&*ports[0].to_string(), "close", "1%", "--fleet", &pid]).status.success());
    assert_eq!(faults_of(&fleet, ports[0]), ["status:502", "latency:1ms", "close:1%"]);
    error_of(&fault_command(&fleet, &["--fleet", "1", "hang"]));
    // Without ports: all.
    assert!(fault_command(&fleet, &["unhealthy"]).status.success());
    assert_eq!(faults_of(&fleet, ports[1]), ["unhealthy"]);
    assert!(fault_command(&fleet, &["clear"]).status.success());
    for port in ports {
        assert_eq!(faults_of(&fleet, port), [""; 0]);
        http::expect_page(port);
    }
}

#[test]
fn a_backend_that_is_started_again_behaves() {
    let (fleet, port) = faulty(&["status", "503"]);
    fleet.act("kill", port);
    assert_eq!(faults_of(&fleet, port), [""; 0]);
    let refused = fault_command(&fleet, &[&port.to_string(), "hang"]);
    assert_eq!(error_of(&refused), format!("error: cannot fault: {port} is gone; start it first\n"));
    fleet.act("start", port);
    assert_eq!(faults_of(&fleet, port), [""; 0]);
    http::expect_page(port);
}

#[test]
fn a_paused_backend_misbehaves_when_it_goes_on() {
    let (fleet, ports) = Fleet::of(1, &[]);
    fleet.act("pause", ports[0]);
    let mut client = Connection::to(ports[0]);
    fault(&fleet, ports[0], &["status", "503"]);
    assert_eq!(fleet.backend(ports[0]).state, BackendState::Paused);
    fleet.act("resume", ports[0]);
    fault(&fleet, ports[0], &["latency", "1ms"]);
    assert_eq!(client.ask(GET).status, 503);
}

#[test]
fn the_fleet_says_which_faults_a_backend_has() {
    let (fleet, ports) = Fleet::of(1, &["--log", "json"]);
    fault(&fleet, ports[0], &["status", "503", "10%"]);
    fault(&fleet, ports[0], &["clear"]);
    let url = format!("http://localhost:{}", ports[0]);
    fleet.expect_said(&format!("App server misbehaves - {url}: status:503:10%"));
    fleet.expect_said(&format!("App server behaves - {url}: no faults any more"));
    fleet.log.wait_for(r#""faults":["status:503:10%"]"#);
    fleet.log.wait_for(r#""faults":[]"#);
}

#[test]
fn what_is_no_fault_is_told_what_was_expected() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let port = ports[0].to_string();
    for (words, error) in [
        (&[&*port][..], "no fault named: expected one after the backends, such as status 503 10%, or clear"),
        (
            &[&port, "slow"],
            "no such fault: slow: expected status:503, latency:200ms, reset, hang, close, close-midway, fail-first:2, unhealthy, \
             certificate:expired, reset-stream:CANCEL, refuse-stream, goaway, max-streams:1, grpc-status:UNAVAILABLE, trailers-only or \
             half-message; most with a share such as hang:10%",
        ),
        (
            &[&port, "latncy", "200ms"],
            "no such fault: latncy:200ms: expected status:503, latency:200ms, reset, hang, close, close-midway, fail-first:2, unhealthy, \
             certificate:expired, reset-stream:CANCEL, refuse-stream, goaway, max-streams:1, grpc-status:UNAVAILABLE, trailers-only or \
             half-message; most with a share such as hang:10%\n  \
             hint: did you mean latency?",
        ),
        (&[&port, "status", "600"], "fault status:600: expected a status from 200 to 599, such as 503"),
        (
            &[&port, "latency", "6m"],
            "fault latency:6m: expected a time with its unit, above 0 and at most 5m, such as 200ms or 200ms±50ms",
        ),
        (
            &["hang", "110%"],
            "fault hang:110%: expected a share of requests above 0% and at most 100%, with at most 7 decimals, such as \
             10% or 0.5%",
        ),
        (&["1", "hang"], &format!("this fleet has no backend 1, only {port}")),
    ] {
        assert_eq!(error_of(&fault_command(&fleet, words)), format!("error: {error}\n"));
    }
    assert_eq!(faults_of(&fleet, ports[0]), [""; 0]);
}

#[test]
fn the_api_switches_faults() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let authority = fleet.control.strip_prefix("http://").unwrap();
    let runfile = fleet.place.path().join(format!("uuid-generator/{}.json", fleet.pid()));
    let runfile: serde_json::Value = serde_json::from_slice(&fs::read(runfile).unwrap()).unwrap();
    let token = runfile["token"].as_str().unwrap();
    let post = |path: &str| {
        let mut connection = Connection::open(authority).unwrap();
        let head = format!("POST /v1/fleet/{path} HTTP/1.1\r\nHost: {authority}\r\n");
        let answer = connection.ask(&format!("{head}Authorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"));
        (answer.status, answer.body)
    };
    let port = ports[0];
    let (status, body) = post(&format!("fault?backends={port}&fault=status:503:10%25&fault=latency:2s%C2%B11s"));
    assert_eq!(status, 200);
    assert!(body.contains(r#""faults":["status:503:10%","latency:2s±1s"]"#), "{body}");
    assert_eq!(post("fault?fault=status:500&fault=status:501").0, 200);
    assert_eq!(faults_of(&fleet, port), ["status:501", "latency:2s±1s"]);
    for (path, status, error) in [
        ("fault", 400, "fault: expected at least one, such as fault=status:503:10%25"),
        ("fault?backend=1&fault=hang", 400, "unknown parameter \"backend\": expected backends and fault"),
        ("fault?fault=hang:x", 400, "fault \"hang:x\": expected a share of requests above 0% and at most 100%"),
        ("fault?backends=x&fault=hang", 404, "this fleet has no backend x"),
        ("fault?backends=1&fault=hang", 404, "this fleet has no backend 1"),
        ("clear?backends=1", 404, "this fleet has no backend 1"),
        ("misbehave", 404, "no such action: expected one of kill, "),
    ] {
        let (code, body) = post(path);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(code, status);
        assert!(body["error"].as_str().unwrap().starts_with(error), "{body}");
    }
    assert_eq!(faults_of(&fleet, port), ["status:501", "latency:2s±1s"]);
    assert_eq!(post(&format!("clear?backends={port}")).0, 200);
    assert_eq!(faults_of(&fleet, port), [""; 0]);
}

// Who reads no further has seen enough.

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let place = crate::support::TemporaryDirectory::new();
    for words in [&["man"][..], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command: Command = program(&place);
        let output = command.args(words).stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), ""), "{words:?}");
    }
}
