//! HTTP/2 over real sockets with real backends, spoken by an own client, frame by frame, and by clients of others.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use ::http::h2::client::{Client, ClientEvent, FirstLine};
use ::http::h2::{AnnouncedSettings, Block, ErrorCode, Follows};
use ::http::{Framing, RequestContext, StreamId};
use serde_json::Value;
use verdict::AttemptEnd;

use crate::support::{Fleet, PATIENCE, eventually};

/// What came of a request.
#[derive(Debug, Default)]
struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    reset: Option<ErrorCode>,
    whole: bool,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(it, _)| it == name).map(|(_, value)| &**value)
    }

    fn has_ended(&self) -> bool {
        self.whole || self.reset.is_some()
    }
}

/// A connection, and what has come of each of its streams.
struct Connection {
    stream: TcpStream,
    client: Client,
    out: Vec<u8>,
    inbox: Vec<u8>,
    block: Block,
    answers: BTreeMap<u32, Answer>,
    gone_away: Vec<ErrorCode>,
    ended: bool,
}

impl Connection {
    fn to(port: u16) -> Connection {
        Connection::with(port, AnnouncedSettings::CLIENT, &[])
    }

    fn with(port: u16, settings: AnnouncedSettings, before: &[u8]) -> Connection {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut out = before.to_vec();
        let client = Client::new(settings, &mut out);
        Connection {
            stream,
            client,
            out,
            inbox: Vec::new(),
            block: Block::new(),
            answers: BTreeMap::new(),
            gone_away: Vec::new(),
            ended: false,
        }
    }

    fn ask(&mut self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> StreamId {
        let first = FirstLine { method, scheme: "http", authority: "h:1", path };
        let asked = if method == "HEAD" { RequestContext::Head } else { RequestContext::Other };
        let stream = self.client.open(&first, asked, Follows::after(body.is_empty()), &mut self.out, |writer| {
            fields.iter().for_each(|(name, value)| writer.fresh(name, value.as_bytes()));
        });
        self.answers.insert(stream.0, Answer::default());
        let mut rest = body;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(self.client.capacity(stream).min(rest.len()));
            self.client.data(stream, piece, Follows::after(after.is_empty()), &mut self.out);
            rest = after;
            if !rest.is_empty() {
                self.turn();
            }
        }
        stream
    }

    fn get(&mut self, path: &str) -> StreamId {
        self.ask("GET", path, &[], b"")
    }

    fn send(&mut self) {
        let out = std::mem::take(&mut self.out);
        self.stream.write_all(&out).unwrap();
    }

    /// Sends what there is and takes what comes next.
    fn turn(&mut self) {
        let out = std::mem::take(&mut self.out);
        if self.stream.write_all(&out).is_err() {
            self.ended = true;
            return;
        }
        let mut room = [0; 65_536];
        match self.stream.read(&mut room) {
            Ok(0) => self.ended = true,
            Ok(length) => self.inbox.extend_from_slice(&room[..length]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.ended = true,
            Err(error) => panic!(
                "nothing came: {error}; {:?}",
                self.answers.values().map(|it| (it.status, it.body.len(), it.whole)).collect::<Vec<_>>()
            ),
        }
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        while let Some((stream, event)) = self.client.receive(&mut rest, &mut self.block, 0, &mut self.out) {
            if let ClientEvent::GoAway(code) = event {
                self.gone_away.push(code);
                continue;
            }
            let answer = self.answers.get_mut(&stream.0).unwrap();
            match event {
                ClientEvent::Head(response) => {
                    let lines = response.lines();
                    let head = response.head(&lines);
                    answer.status = head.status;
                    answer.whole = head.framing == Framing::None;
                    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
                    answer.fields = head.fields.iter().map(|it| (it.name.to_owned(), text(it.value))).collect();
                }
                ClientEvent::Data(data) => answer.body.extend_from_slice(data),
                ClientEvent::End => answer.whole = true,
                ClientEvent::Reset(code) => answer.reset = Some(code),
                ClientEvent::Interim(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let left = rest.len();
        self.inbox = inbox[inbox.len() - left..].to_vec();
    }

    fn wait(&mut self, stream: StreamId) -> &Answer {
        while !self.ended && !self.answers[&stream.0].has_ended() {
            self.turn();
        }
        &self.answers[&stream.0]
    }

    fn wait_for_all(&mut self) {
        while !self.ended && self.answers.values().any(|it| !it.has_ended()) {
            self.turn();
        }
    }
}

fn start(flags: &[&str]) -> (Fleet, u16) {
    let (fleet, ports) = Fleet::of(1, flags);
    (fleet, ports[0])
}

#[test]
fn backends_that_speak_http2_alone_say_so_before_their_client_has_said_anything() {
    for proxy in [false, true] {
        let flags: &[&str] = if proxy { &["--protocols", "h2", "--proxy-protocol"] } else { &["--protocols", "h2"] };
        let (fleet, port) = start(flags);
        let header: &[u8] = if proxy { b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n" } else { b"" };
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(header).unwrap();
        let mut settings = [0; 9];
        stream.read_exact(&mut settings).unwrap();
        assert_eq!(settings[3..], [4, 0, 0, 0, 0, 0], "SETTINGS of stream 0");

        // HTTP/1 is refused with GOAWAY, and recorded.
        stream.write_all(b"GET /uuid HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.windows(9).any(|frame| frame[3..] == [7, 0, 0, 0, 0, 0]), "{}", rest.escape_ascii());
        eventually("it is recorded", || fleet.records().records.len() == 1);
        let refusal = fleet.records().records[0].refusal.clone();
        assert!(refusal.as_deref().is_some_and(|why| why.contains("preface")), "{refusal:?}");

        let mut connection = Connection::with(port, AnnouncedSettings::CLIENT, header);
        let stream = connection.get("/uuid");
        assert_eq!(connection.wait(stream).status, 200);
        assert!(fleet.program(&["healthcheck"]).status.success());
    }
}

#[test]
fn backends_that_speak_http1_alone_take_the_preface_for_a_bad_request() {
    let (_fleet, port) = start(&["--protocols", "http/1.1"]);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    assert!(response.starts_with(b"HTTP/1.1 505 "), "{}", response.escape_ascii());
}

#[test]
fn many_requests_share_a_connection_and_each_has_its_record() {
    let (fleet, port) = start(&[]);
    let mut connection = Connection::to(port);
    for number in 0..100 {
        let id = format!("{:016x}-{number:016x}", 77);
        let fields = [("X-B", "1"), ("x-a", "2"), ("x-b", "3"), ("Check-Request-Id", &*id)];
        connection.ask("GET", &format!("/?format=json&n={number}"), &fields, b"");
    }
    connection.wait_for_all();
    for (number, answer) in connection.answers.values().enumerate() {
        assert_eq!((answer.status, answer.field("generator-number")), (200, Some(&*port.to_string())));
        let facts: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((&facts["version"], &facts["host"]), (&"HTTP/2.0".into(), &"h:1".into()));
        assert_eq!(facts["query"], format!("format=json&n={number}"));
        let names: Vec<&str> = facts["headers"].as_array().unwrap().iter().map(|it| it[0].as_str().unwrap()).collect();
        assert_eq!(names, ["x-b", "x-a", "x-b", "check-request-id"], "in order, repeats too");
    }
    eventually("a record of each", || fleet.records().records.len() == 100);
    let records = fleet.records().records;
    let bytes: u64 = records.iter().map(|it| it.bytes).sum();
    assert!(bytes > connection.answers.values().map(|it| it.body.len() as u64).sum(), "{bytes}");
    let mut numbers: Vec<u32> = records.iter().map(|it| it.request_number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
    for record in &records {
        assert_eq!(
            (record.outcome, record.status, record.connection),
            (AttemptEnd::Completed, 200, records[0].connection)
        );
        let request = record.request.unwrap();
        assert_eq!((request.run, record.path.ends_with(&format!("n={}", request.sequence))), (77, true));
    }
}

#[test]
fn bodies_pass_through_windows_in_both_directions() {
    let (fleet, port) = start(&[]);
    // Windows that must be filled again and again.
    let settings = AnnouncedSettings { stream_window: 20_000, connection_window: 65_535, ..AnnouncedSettings::CLIENT };
    let mut connection = Connection::with(port, settings, b"");
    let streams = [5_000_000, 0, 1, 300_000].map(|length| (length, connection.get(&format!("/bytes/{length}"))));
    let head = connection.ask("HEAD", "/bytes/1000", &[], b"");
    let body = vec![b'x'; 3_000_000];
    let post = connection.ask("POST", "/", &[("content-length", "3000000")], &body);
    connection.wait_for_all();
    for (length, stream) in streams {
        let answer = &connection.answers[&stream.0];
        assert_eq!((answer.status, answer.body.len()), (200, length));
        assert_eq!(answer.field("content-length"), Some(&*length.to_string()));
    }
    let answer = &connection.answers[&head.0];
    assert_eq!((answer.field("content-length"), answer.body.len()), (Some("1000"), 0));
    assert_eq!(connection.answers[&post.0].status, 200);
    eventually("all records", || fleet.records().records.len() == 6);
    let records = fleet.records().records;
    let post = records.iter().find(|it| it.method == "POST").unwrap();
    assert_eq!(post.body_bytes, 3_000_000);
    assert!(records.iter().all(|it| it.outcome == AttemptEnd::Completed));
    assert!(records.iter().any(|it| it.bytes > 5_000_000));
}

#[test]
fn both_versions_share_a_port_however_the_preface_arrives() {
    let (_fleet, port) = start(&["--proxy-protocol"]);
    crate::support::http::Connection::to(port).ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").expect_page_of(port);
    let mut connection =
        Connection::with(port, AnnouncedSettings::CLIENT, b"PROXY TCP4 192.0.2.7 192.0.2.2 56324 443\r\n");
    let stream = connection.get("/?format=json");
    for byte in std::mem::take(&mut connection.out) {
        connection.stream.write_all(&[byte]).unwrap();
    }
    let facts: Value = serde_json::from_slice(&connection.wait(stream).body).unwrap();
    assert_eq!(facts["peer"], "192.0.2.7:56324");
    // What only begins like the preface is a request that cannot be read.
    let mut other = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    other.write_all(b"PRI * HTTP/2.0\r\nHost: h\r\n\r\n").unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
}

#[test]
fn faults_of_streams_leave_other_streams_alone() {
    let (fleet, port) = start(&[]);
    let fault = |words: &[&str]| {
        let name = port.to_string();
        let all = [&["fault", &*name], words].concat();
        let output = fleet.program(&all);
        assert!(output.status.success(), "{output:?}");
    };
    let mut connection = Connection::to(port);
    let ended = |connection: &mut Connection, path: &str| {
        let stream = connection.get(path);
        let answer = connection.wait(stream);
        (answer.status, answer.reset)
    };
    fault(&["reset-stream", "INTERNAL_ERROR"]);
    assert_eq!(ended(&mut connection, "/"), (0, Some(ErrorCode::INTERNAL_ERROR)));
    assert_eq!(ended(&mut connection, "/readyz"), (200, None), "health is left alone");
    fault(&["refuse-stream"]);
    assert_eq!(ended(&mut connection, "/"), (0, Some(ErrorCode::REFUSED_STREAM)));
    fault(&["clear"]);
    fault(&["hang"]);
    let hanging = connection.get("/");
    connection.send();
    eventually("it has arrived", || fleet.backend(port).in_flight == 1);
    fault(&["clear"]);
    assert_eq!(ended(&mut connection, "/"), (200, None));
    assert!(!connection.answers[&hanging.0].has_ended());
    connection.client.cancel(hanging, ErrorCode::CANCEL, &mut connection.out);
    connection.answers.remove(&hanging.0);
    // Two at once where one may be open: the second is refused.
    fault(&["max-streams", "1"]);
    connection.get("/?delay=100ms");
    let second = connection.get("/");
    connection.wait_for_all();
    assert_eq!(connection.answers[&second.0].reset, Some(ErrorCode::REFUSED_STREAM));
    assert_eq!(connection.client.peer().max_streams, Some(1));
    // GOAWAY leaves out the request at hand, not those before it.
    fault(&["clear"]);
    let slow = connection.get("/?delay=300ms");
    connection.send();
    eventually("it has arrived", || fleet.backend(port).in_flight == 1);
    fault(&["goaway"]);
    let left_out = connection.get("/");
    connection.wait_for_all();
    assert_eq!(connection.answers[&left_out.0].reset, Some(ErrorCode::REFUSED_STREAM));
    assert_eq!((connection.answers[&slow.0].status, connection.gone_away.len()), (200, 1));
    while !connection.ended {
        connection.turn();
    }
    // Whatever was not responded to its end is recorded so, and apart from it what was refused.
    eventually("all records", || fleet.backend(port).in_flight == 0);
    let records = fleet.records().records;
    for (end, count) in [(AttemptEnd::CutOff, 2), (AttemptEnd::Refused, 3)] {
        let bytes: Vec<u64> = records.iter().filter(|it| it.outcome == end).map(|it| it.bytes).collect();
        assert_eq!(bytes, vec![0; count], "{end:?} {records:#?}");
    }
}

#[test]
fn a_draining_backend_says_so_and_finishes_what_it_was_asked() {
    let (fleet, port) = start(&[]);
    let mut connection = Connection::to(port);
    let slow = connection.get("/?delay=500ms");
    connection.send();
    eventually("it has arrived", || fleet.backend(port).in_flight == 1);
    fleet.act("drain", port);
    while connection.gone_away.is_empty() {
        connection.turn();
    }
    assert_eq!(connection.wait(slow).status, 200);
    while !connection.ended {
        connection.turn();
    }
    assert_eq!(connection.gone_away, [ErrorCode::NO_ERROR; 2], "at once, and with the last stream at the end");
}

#[test]
fn floods_end_in_goaway_and_cost_no_memory() {
    let (fleet, port) = start(&[]);
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", fleet.backend_pid(port))).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let mut connection = Connection::to(port);
    let stream = connection.get("/");
    connection.wait(stream);
    let before = resident();
    // Pings whose answers nobody reads: the backend stops to read, and keeps nothing.
    connection.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let ping = b"\0\0\x08\x06\0\0\0\0\x0012345678".repeat(4096);
    let mut sent = 0;
    while sent < 60 << 20 {
        match connection.stream.write(&ping) {
            Ok(length) => sent += length,
            Err(_) => break,
        }
    }
    assert!(sent < 60 << 20, "it read on though nobody read its answers");
    assert!(resident() < before + 1024, "{before} KiB became {} KiB", resident());
    // Requests that are cancelled at once.
    let mut connection = Connection::to(port);
    for _ in 0..2000 {
        let stream = connection.get("/?delay=1s");
        connection.client.cancel(stream, ErrorCode::CANCEL, &mut connection.out);
        connection.answers.remove(&stream.0);
    }
    while !connection.ended {
        connection.turn();
    }
    assert_eq!(connection.gone_away, [ErrorCode::ENHANCE_YOUR_CALM]);
    eventually("nothing is left of them", || fleet.backend(port).in_flight == 0);
    assert!(fleet.records().records.len() < 210);
}

#[test]
fn clients_of_others_are_served() {
    let (_fleet, port) = start(&[]);
    let url = format!("http://127.0.0.1:{port}/");
    let output = Command::new("h2load").args(["-n", "3000", "-c", "8", "-m", "32", &url]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("3000 succeeded, 0 failed, 0 errored, 0 timeout"), "{text}");
    let json = format!("{url}?format=json");
    let output = Command::new("curl").args(["-s", "--http2-prior-knowledge", "-d", "abc", &json]).output().unwrap();
    let facts: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&facts["method"], &facts["version"]), (&"POST".into(), &"HTTP/2.0".into()));
    // Over TLS it is chosen by ALPN.
    let (fleet, port) = start(&["--tls"]);
    let json = format!("https://127.0.0.1:{port}/?format=json");
    let output = Command::new("curl").args(["-sk", "--http2", &json]).output().unwrap();
    let facts: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(facts["version"], "HTTP/2.0");
    eventually("its record", || fleet.records().records.len() == 1);
}

#[test]
fn events_are_written_at_their_times_beside_other_streams() {
    let (fleet, port) = start(&[]);
    let mut connection = Connection::to(port);
    let events = connection.get("/events?count=5&every=20ms");
    let quick = connection.get("/download?count=2000&every=0s");
    let head = connection.ask("HEAD", "/events?count=5", &[], b"");
    connection.wait_for_all();
    let body = String::from_utf8(connection.answers[&events.0].body.clone()).unwrap();
    assert_eq!((body.matches("id: ").count(), body.contains("id: 5\n")), (5, true), "{body}");
    let download = &connection.answers[&quick.0];
    assert_eq!(download.field("content-length"), Some(&*download.body.len().to_string()));
    assert!(connection.answers[&head.0].body.is_empty());
    // One that is cut short.
    let endless = connection.get("/events?count=1000&every=10ms");
    while connection.answers[&endless.0].body.is_empty() {
        connection.turn();
    }
    connection.client.cancel(endless, ErrorCode::CANCEL, &mut connection.out);
    connection.send();
    eventually("all records", || fleet.records().records.len() == 4);
    let cut = fleet.records().records.into_iter().filter(|it| it.outcome == AttemptEnd::CutOff).count();
    assert_eq!(cut, 1);
}

/// HAProxy in front of those ports, over HTTP/2 on both sides or as plain TCP, until it is dropped.
struct Haproxy(std::process::Child);

impl Haproxy {
    fn start(place: &crate::support::TemporaryDirectory, port: u16, backends: &[u16], by_request: bool) -> Haproxy {
        let (mode, proto) = if by_request { ("http", " proto h2") } else { ("tcp", "") };
        let servers: Vec<String> =
            backends.iter().map(|port| format!("  server s{port} 127.0.0.1:{port}{proto}\n")).collect();
        let text = format!(
            "global\n  nbthread 1\ndefaults\n  mode {mode}\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             listen l\n  bind 127.0.0.1:{port}{proto}\n  balance roundrobin\n{}",
            servers.concat()
        );
        let file = place.path().join("haproxy.cfg");
        std::fs::write(&file, text).unwrap();
        let child = Command::new("/usr/sbin/haproxy").arg("-f").arg(&file).spawn().unwrap();
        eventually("HAProxy listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Haproxy(child)
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_check_over_http_2_finds_what_one_selection_is_made_for() {
    for (by_request, unit) in [(true, "round robin, 1 rotation"), (false, "round robin, of connections")] {
        let (fleet, ports) = Fleet::of(3, &[]);
        let place = crate::support::TemporaryDirectory::new();
        let front = crate::support::ports(1)[0];
        let _haproxy = Haproxy::start(&place, front, &ports, by_request);
        let url = format!("h2c://127.0.0.1:{front}/");
        let output = fleet.program(&["check", &url, "-n", "600"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains(unit), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        let records = fleet.records().records;
        assert!(records.iter().all(|it| it.outcome == AttemptEnd::Completed));
    }
}

#[test]
fn a_check_holds_streams_over_http_2() {
    let (fleet, ports) = Fleet::of(2, &["--log", "off"]);
    let place = crate::support::TemporaryDirectory::new();
    let front = crate::support::ports(1)[0];
    let _haproxy = Haproxy::start(&place, front, &ports, true);
    for kind in ["events", "chunks", "download"] {
        let url = format!("h2c://127.0.0.1:{front}/{kind}?count=9&every=20ms");
        let output = fleet.program(&["check", &url, "--stream", "-c", "6", "--expect", "uncut"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_whole = output.status.success() && text.contains("6 of 6 streams opened; 54 of 54 events came");
        assert!(is_whole, "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}
