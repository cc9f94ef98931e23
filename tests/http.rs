//! HTTP over real sockets with real backends: what is answered, what is refused, and what hostile or unlucky clients cannot do.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::support::http::{Answer, Connection, GET};
use crate::support::{Fleet, LOOPBACK, PATIENCE, eventually};
use api::RecordView;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit, setrlimit};
use serde_json::{Value, json};
use uuid::Uuid;
use verdict::AttemptEnd;

const LAST_GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const GET_JSON: &str = "GET /?format=json HTTP/1.1\r\nHost: h\r\n\r\n";

/// A fleet of one.
struct Backend {
    fleet: Fleet,
    port: u16,
}

impl Backend {
    fn start(flags: &[&str]) -> Backend {
        let (fleet, ports) = Fleet::of(1, flags);
        Backend { fleet, port: ports[0] }
    }

    fn client(&self) -> Connection {
        Connection::to(self.port)
    }

    fn pid(&self) -> u32 {
        self.fleet.backend_pid(self.port)
    }

    /// As the header gives it.
    fn number(&self) -> String {
        self.port.to_string()
    }
}

// The page.

#[test]
fn the_page_stands_on_any_path() {
    let backend = Backend::start(&[]);
    let mut client = backend.client();
    for path in ["/", "/uuid", "/favicon.ico", "/a/b?c=d"] {
        let answer = client.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost:9001\r\n\r\n"));
        answer.expect_page_of(backend.port);
        assert_eq!(title(&answer), "localhost:9001");
        assert_eq!(answer.id().get_version_num(), 4);
        assert_eq!(answer.header("Generator-Number"), Some(&*backend.number()));
        assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"));
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
        let date = httpdate::parse_http_date(answer.header("Date").unwrap()).unwrap();
        let age = SystemTime::now().duration_since(date).unwrap();
        assert!(age < PATIENCE, "{age:?}");
        // A second request for it would spoil round robin.
        assert!(answer.body.contains(r#"rel="icon" href="data:"#), "{}", answer.body);
    }
}

#[test]
fn the_title_is_the_host_without_its_power_or_else_the_sockets_own_address() {
    let backend = Backend::start(&[]);
    let answer = backend.client().ask("GET / HTTP/1.1\r\nHost: a&amp;'b'\r\n\r\n");
    assert_eq!(title(&answer), "a&amp;amp;&#39;b&#39;");
    let refused = backend.client().ask("GET / HTTP/1.1\r\nHost: <script>alert(\"'&\")</script>\r\n\r\n");
    assert!(refused.status == 400 && !refused.body.contains("<script"), "{refused:?}");
    for ip in LOOPBACK {
        let own = SocketAddr::new(ip, backend.port);
        let answer = Connection::open(own).unwrap().ask("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(title(&answer), own.to_string());
    }
}

#[test]
fn head_is_answered_with_the_head_of_the_page() {
    let backend = Backend::start(&[]);
    let mut client = backend.client();
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let head = read_head(&mut client);
    let page = client.ask(GET);
    page.expect_page_of(backend.port);
    // The values of Date and Response-Id differ, but not in length.
    let shape = |head: &str| -> Vec<(String, usize)> {
        head.lines().map(|line| (line.split(':').next().unwrap().to_owned(), line.len())).collect()
    };
    assert_eq!(shape(&head), shape(&page.head));
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", page.body.len())), "{head}");
    assert!(!head.contains(&page.id().to_string()), "one UUID for two answers");
}

#[test]
fn the_same_facts_come_as_page_json_or_text() {
    let backend = Backend::start(&[]);
    let mut client = backend.client();
    let [html, json, text] = ["text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"];
    for (query, accept, expected) in [
        ("", "*/*", html),
        ("?format=html", "application/json", html),
        ("?format=json", "text/html", json),
        ("?format=text", "*/*", text),
        ("", "application/json", json),
        ("", "text/plain, text/html;q=0.5", text),
        ("", "image/png", html),
    ] {
        let answer = client.ask(&format!("GET /{query} HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\n\r\n"));
        assert_eq!(answer.header("Content-Type"), Some(expected), "{query} {accept}");
        assert_eq!(answer.header("Generator-Number"), Some(&*backend.number()));
        for fact in [answer.id().to_string(), backend.number()] {
            assert!(answer.body.contains(&fact), "no {fact} in {answer:?}");
        }
    }
    let answer = client.ask("GET /?format=xml HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((answer.status, answer.header("Connection")), (400, None));
    client.ask(GET).expect_page_of(backend.port);
}

#[test]
fn json_tells_all_that_the_backend_saw() {
    let backend = Backend::start(&[]);
    let mut client = backend.client();
    client.ask(GET);
    let answer = client.ask("BREW /a/b?format=json&c HTTP/1.1\r\nX-b: 1\r\nhost: h\r\nx-B: 2\r\n\r\n");
    let mut seen = json(&answer);
    let time = seen.as_object_mut().unwrap().remove("time").unwrap();
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let instance = seen.as_object_mut().unwrap().remove("instance").unwrap();
    assert_eq!(answer.header("Backend-Instance"), instance.as_str());
    let expected = json!({
        "generator": backend.port, "backend": backend.port.to_string(), "uuid": answer.id(), "method": "BREW", "path": "/a/b", "query": "format=json&c",
        "version": "HTTP/1.1", "host": "h", "peer": client.stream.local_addr().unwrap(), "connection": 1, "request": 2,
        "headers": [["X-b", "1"], ["host", "h"], ["x-B", "2"]],
    });
    assert_eq!(seen, expected);
}

#[test]
fn health_is_told_without_a_uuid() {
    let backend = Backend::start(&[]);
    let mut client = backend.client();
    for path in ["/livez", "/healthz", "/health", "/readyz", "/ready"] {
        let answer = client.ask(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!((answer.status, answer.header("Response-Id")), (200, None), "{path}");
        assert_eq!(answer.header("Generator-Number"), Some(&*backend.number()));
    }
}

// Requests in all their forms.

#[test]
fn a_body_is_discarded_whatever_the_method_and_the_next_request_on_the_connection_is_answered() {
    let backend = Backend::start(&[]);
    let mut client = backend.client();
    let mut requests = 0;
    // What stands in a body is never a request.
    let body = "GET /body HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3000);
    let length = body.len();
    let chunks = format!("{length:x};e=x\r\n{body}\r\n3\r\nabc\r\n0\r\nT: t\r\n\r\n");
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        for rest in [
            format!("Content-Length: {length}\r\n\r\n{body}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{chunks}"),
            "Content-Length: 0\r\n\r\n".to_owned(),
        ] {
            requests += 1;
            let seen = json(&client.ask(&format!("{method} /?format=json HTTP/1.1\r\nHost: h\r\n{rest}")));
            assert_eq!((&seen["method"], &seen["request"]), (&json!(method), &json!(requests)));
        }
    }
    client.ask(GET).expect_page_of(backend.port);
}

#[test]
fn a_client_that_waits_for_it_is_told_to_continue() {
    let backend = Backend::start(&[]);
    let mut client = backend.client();
    client.send("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut client), "HTTP/1.1 100 Continue\r\n\r\n");
    client.ask("12345").expect_page_of(backend.port);
    client.ask(GET).expect_page_of(backend.port);
}

#[test]
fn a_client_of_http_1_0_gets_its_connection_kept_only_if_it_asks() {
    let backend = Backend::start(&[]);
    let mut client = backend.client();
    for _ in 0..2 {
        let answer = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        answer.expect_page_of(backend.port);
        assert_eq!(answer.header("Connection"), Some("keep-alive"));
    }
    let answer = client.ask("GET / HTTP/1.0\r\n\r\n");
    answer.expect_page_of(backend.port);
    assert_eq!(answer.header("Connection"), Some("close"));
    expect_end(&mut client);
}

#[test]
fn pipelined_requests_are_answered_in_order_to_the_last_even_if_the_client_says_nothing_more() {
    let backend = Backend::start(&[]);
    for depth in [16, 2000] {
        let mut client = backend.client();
        let requests = (0..depth).map(|number| format!("GET /{number}?format=json HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.send(&requests.collect::<String>()).unwrap();
        client.stream.shutdown(Shutdown::Write).unwrap();
        let mut ids = HashSet::new();
        for number in 0..depth {
            let answer = client.answer().unwrap();
            let seen = json(&answer);
            assert_eq!((&seen["path"], &seen["request"]), (&json!(format!("/{number}")), &json!(number + 1)));
            ids.insert(answer.id());
        }
        expect_end(&mut client);
        assert_eq!(ids.len(), depth);
    }
}

#[test]
fn a_client_that_reads_late_gets_every_answer_and_is_served_on() {
    /// Their answers are more than all buffers on the way can hold.
    const REQUESTS: usize = 40_000;
    let backend = Backend::start(&[]);
    let mut client = backend.client();
    client.send(&"GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(REQUESTS)).unwrap();
    eventually("its answers fill all buffers", || {
        let before = backend.fleet.backend(backend.port);
        thread::sleep(Duration::from_millis(50));
        before.in_flight > 0 && before == backend.fleet.backend(backend.port)
    });
    let ids: HashSet<Uuid> = (0..REQUESTS).map(|_| client.answer().unwrap().id()).collect();
    assert_eq!(ids.len(), REQUESTS);
    assert_eq!(json(&client.ask(GET_JSON))["request"], REQUESTS + 1);
    expect_rest(backend.pid(), &mut client);
}

#[test]
fn requests_that_come_byte_by_byte_are_answered() {
    let backend = Backend::start(&[]);
    let mut client = backend.client();
    let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    for byte in format!("{GET}{chunked}{GET}").bytes() {
        client.stream.write_all(&[byte]).unwrap();
    }
    for _ in 0..3 {
        client.answer().unwrap().expect_page_of(backend.port);
    }
}

#[test]
fn a_client_that_says_nothing_more_still_gets_its_answer() {
    let backend = Backend::start(&[]);
    let mut client = backend.client();
    client.send(GET).unwrap();
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.answer().unwrap().expect_page_of(backend.port);
    expect_end(&mut client);
}

// Refusals.

#[test]
fn a_malformed_request_is_refused_and_the_process_goes_on() {
    let backend = Backend::start(&[]);
    let pid = backend.pid();
    let client_hello = [b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03".as_slice(), &[0xa5; 230]].concat();
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let get = |headers: &str| format!("GET / HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n").into_bytes();
    let post =
        |headers: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n{body}").into_bytes();
    for (what, status, bytes) in [
        ("a TLS ClientHello", 400, client_hello),
        ("no version", 400, b"GET /\r\n\r\n".to_vec()),
        ("no request at all", 400, b"hello\r\n\r\n".to_vec()),
        ("zeros", 400, vec![0; 999]),
        ("two Hosts", 400, get("Host: h")),
        ("a space before a colon", 400, get("A : b")),
        ("a folded header", 400, get("A: b\r\n c")),
        ("a zero in a header", 400, get("A: \0")),
        ("two lengths", 400, post("Content-Length: 0\r\nContent-Length: 40", smuggled)),
        ("a length that is none", 400, post("Content-Length: -1", smuggled)),
        ("a length and chunks", 400, post("Content-Length: 40\r\nTransfer-Encoding: chunked", smuggled)),
        ("chunks and a length", 400, post("Transfer-Encoding: chunked\r\nContent-Length: 5", smuggled)),
        ("an unknown coding", 501, post("Transfer-Encoding: x, chunked", smuggled)),
        ("chunks in HTTP/1.0", 400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec()),
        ("a chunk without a size", 400, post("Transfer-Encoding: chunked", "x\r\nabc\r\n")),
        ("a chunk longer than its size", 400, post("Transfer-Encoding: chunked", "3\r\nabcd\r\n")),
        ("a line too long", 414, format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(40_000)).into_bytes()),
        ("headers too large", 431, get(&format!("A: {}", "x".repeat(40_000)))),
        ("too many headers", 431, get(&["A: b"; 101].join("\r\n"))),
    ] {
        println!("{what}");
        let mut client = backend.client();
        client.stream.write_all(&bytes).unwrap();
        expect_refusal(&mut client, status);
        backend.client().ask(GET).expect_page_of(backend.port);
    }
    assert_eq!(backend.pid(), pid);
}

/// A close with input unread would reset the connection, and the answer might be lost with it.
#[test]
fn the_last_answer_reaches_a_client_that_goes_on_sending() {
    let backend = Backend::start(&[]);
    let more = "x".repeat(200_000);
    for (last, status) in [("no request\r\n\r\n", 400), (LAST_GET, 200)] {
        let mut client = backend.client();
        let answer = client.ask(&format!("{last}{more}"));
        assert_eq!((answer.status, answer.header("Connection")), (status, Some("close")));
        client.send(&more).unwrap();
        expect_end(&mut client);
    }
}

// Time.

#[test]
fn a_head_that_is_not_complete_in_time_is_refused_even_if_it_grows() {
    let backend = Backend::start(&["--header-timeout", "300ms"]);
    for more_headers in [0, 500] {
        let begun = Instant::now();
        let mut client = backend.client();
        client.send("GET / HTTP/1.1\r\nHost: h\r\nA: b").unwrap();
        let mut writer = client.stream.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..more_headers {
                    thread::sleep(Duration::from_millis(20));
                    if writer.write_all(b"\r\nA: b").is_err() {
                        break;
                    }
                }
            });
            expect_refusal(&mut client, 408);
            client.stream.shutdown(Shutdown::Both).unwrap();
        });
        expect_between(300, begun, 5000);
    }
}

#[test]
fn a_connection_on_which_nothing_is_asked_is_closed() {
    let backend = Backend::start(&["--header-timeout", "300ms"]);
    let begun = Instant::now();
    expect_end(&mut backend.client());
    expect_between(300, begun, 5000);
}

#[test]
fn a_kept_connection_is_closed_when_it_was_idle_for_so_long_and_not_before() {
    let backend = Backend::start(&["--idle-timeout", "600ms"]);
    let mut client = backend.client();
    let mut last = Instant::now();
    for _ in 0..5 {
        last = Instant::now();
        client.ask(GET).expect_page_of(backend.port);
        thread::sleep(Duration::from_millis(150));
    }
    expect_end(&mut client);
    expect_between(600, last, 5000);
}

#[test]
fn a_body_that_stalls_ends_its_connection_and_one_that_grows_does_not() {
    let backend = Backend::start(&["--stall-timeout", "600ms"]);
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n";
    let mut slow = backend.client();
    slow.send(post).unwrap();
    for digit in 0..10 {
        thread::sleep(Duration::from_millis(100));
        slow.send(&digit.to_string()).unwrap();
    }
    slow.answer().unwrap().expect_page_of(backend.port);
    let mut stalled = backend.client();
    let begun = Instant::now();
    stalled.send(&format!("{post}01234")).unwrap();
    expect_end(&mut stalled);
    expect_between(600, begun, 5000);
}

#[test]
fn a_client_that_does_not_read_its_answers_is_given_up() {
    let backend = Backend::start(&["--stall-timeout", "300ms"]);
    let mut client = backend.client();
    let requests = GET.repeat(1000);
    // Once the answers fill all buffers on their way, the backend reads no more and the requests fill theirs.
    let given_up = loop {
        if let Err(error) = client.send(&requests) {
            break error.kind();
        }
    };
    assert!(matches!(given_up, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{given_up}");
    backend.client().ask(GET).expect_page_of(backend.port);
    let cut_off = |record: &RecordView| record.outcome == AttemptEnd::CutOff;
    assert!(backend.fleet.records().records.iter().any(cut_off), "no record is cut off");
    // The answer to the last one was seen before the backend noted that it had been written.
    eventually("nothing is in flight any more", || backend.fleet.records().in_flight.is_empty());
}

#[test]
fn hundreds_of_slow_clients_keep_nobody_waiting_and_are_served_in_the_end() {
    let backend = Backend::start(&["--header-timeout", "1m"]);
    allow_many_files();
    let mut slow: Vec<Connection> = (0..500).map(|_| backend.client()).collect();
    for client in &mut slow {
        client.send("GET / HTTP/1.1\r\nHost: h\r\nA: b").unwrap();
    }
    for _ in 0..100 {
        let asked = Instant::now();
        backend.client().ask(LAST_GET).expect_page_of(backend.port);
        expect_between(0, asked, 2000);
    }
    for client in &mut slow {
        client.ask("\r\n\r\n").expect_page_of(backend.port);
    }
}

// Scarcity.

#[test]
fn beyond_the_limit_of_connections_the_next_one_waits_for_another_to_end() {
    let backend = Backend::start(&["--max-connections", "10"]);
    let mut kept: Vec<Connection> = (0..10).map(|_| backend.client()).collect();
    for client in &mut kept {
        client.ask(GET).expect_page_of(backend.port);
    }
    let mut next = backend.client();
    next.send(GET).unwrap();
    backend.fleet.expect_said("holds 10 connections");
    next.expect_silence(Duration::from_millis(300));
    kept.pop();
    next.answer().unwrap().expect_page_of(backend.port);
    kept.clear();
    backend.fleet.expect_said("takes connections again");
}

#[test]
fn out_of_file_descriptors_a_backend_waits_without_spinning_and_recovers() {
    const ROOM: usize = 8;
    let backend = Backend::start(&[]);
    let pid = backend.pid();
    let open: HashSet<u64> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|file| file.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    let first_denied = (0..).filter(|number| !open.contains(number)).nth(ROOM);
    let limit = Rlimit { current: first_denied, ..getrlimit(Resource::Nofile) };
    prlimit(Pid::from_raw(pid as i32), Resource::Nofile, limit).unwrap();
    let mut kept: Vec<Connection> = (0..ROOM).map(|_| backend.client()).collect();
    for client in &mut kept {
        client.ask(GET).expect_page_of(backend.port);
    }
    let mut waiting: Vec<Connection> = (0..ROOM).map(|_| backend.client()).collect();
    for client in &mut waiting {
        client.send(GET).unwrap();
    }
    backend.fleet.expect_said("out of file descriptors");
    expect_rest(pid, &mut waiting[0]);
    kept.clear();
    for client in &mut waiting {
        client.answer().unwrap().expect_page_of(backend.port);
    }
    waiting.clear();
    backend.fleet.expect_said("takes connections again");
    backend.client().ask(GET).expect_page_of(backend.port);
}

// The end.

#[test]
fn a_connection_that_was_established_before_its_backend_drains_can_still_be_used_once() {
    let backend = Backend::start(&[]);
    let mut client = backend.client();
    // Taken after the first one.
    backend.client().ask(GET).expect_page_of(backend.port);
    crate::support::send(backend.pid(), Signal::TERM);
    client.expect_silence(Duration::from_millis(300));
    let answer = client.ask(GET);
    answer.expect_page_of(backend.port);
    assert_eq!(answer.header("Connection"), Some("close"));
    expect_end(&mut client);
    backend.fleet.expect_said("App server stopped");
}

#[test]
fn a_connection_that_waits_for_room_is_answered_even_though_its_backend_drains() {
    let backend = Backend::start(&["--max-connections", "1"]);
    let mut kept = backend.client();
    kept.ask(GET).expect_page_of(backend.port);
    let mut waiting = backend.client();
    waiting.send(GET).unwrap();
    waiting.expect_silence(Duration::from_millis(100));
    crate::support::send(backend.pid(), Signal::TERM);
    waiting.answer().unwrap().expect_page_of(backend.port);
    for client in [&mut kept, &mut waiting] {
        expect_end(client);
    }
    backend.fleet.expect_said("App server stopped");
}

#[test]
fn a_backend_that_drains_in_a_storm_resets_no_connection_that_was_established() {
    const ROUNDS: usize = 4;
    const CLIENTS: usize = 200;
    /// Enough for all clients to be in the midst of it.
    const STORM: Duration = Duration::from_millis(700);
    allow_many_files();
    for _ in 0..ROUNDS {
        let backend = Backend::start(&[]);
        let pid = backend.pid();
        let ends: Vec<(usize, Result<(), String>)> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| ask_until_refused(backend.port))).collect();
            thread::sleep(STORM);
            crate::support::send(pid, Signal::TERM);
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let answers: usize = ends.iter().map(|(answers, _)| answers).sum();
        let losses: Vec<String> = ends.into_iter().filter_map(|(_, end)| end.err()).collect();
        assert!(losses.is_empty(), "{} lost, {answers} answered: {losses:?}", losses.len());
        assert!(answers > 2 * CLIENTS, "no storm: {answers} answers");
        let page = backend.fleet.records();
        assert_eq!((page.lost, page.in_flight.len(), page.records.len()), (0, 0, answers));
        assert!(page.records.iter().all(|record| record.outcome == AttemptEnd::Completed));
    }
}

/// One request a connection, until no more is established: how many were answered, and whether another one was established and
/// then lost.
fn ask_until_refused(port: u16) -> (usize, Result<(), String>) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + PATIENCE;
    let mut answers = 0;
    while Instant::now() < deadline {
        // The kernel tries again after a second when what asks for a connection is dropped, as it is while the port closes.
        let stream = match TcpStream::connect_timeout(&address, Duration::from_secs(3)) {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return (answers, Ok(())),
            Err(error) => return (answers, Err(format!("neither established nor refused: {error}"))),
        };
        match ask_once(stream) {
            Ok(page) if page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("</html>\n") => answers += 1,
            Ok(other) => return (answers, Err(format!("not a whole answer: {other:?}"))),
            Err(error) => return (answers, Err(error.to_string())),
        }
    }
    (answers, Err("never refused".to_owned()))
}

fn ask_once(mut stream: TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(LAST_GET.as_bytes())?;
    io::read_to_string(stream)
}

/// Reads a head after which nothing comes.
fn read_head(client: &mut Connection) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

fn title(answer: &Answer) -> &str {
    answer.body.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0
}

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

/// This is the next answer, and the last.
fn expect_refusal(client: &mut Connection, status: u16) {
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("Connection")), (status, Some("close")), "{answer:?}");
    expect_end(client);
}

/// The connection is closed in order, with nothing more on it.
fn expect_end(client: &mut Connection) {
    assert!(client.is_closed().unwrap(), "more was said");
}

/// Both bounds are in milliseconds.
fn expect_between(least: u64, since: Instant, most: u64) {
    let elapsed = since.elapsed();
    let expected = Duration::from_millis(least)..Duration::from_millis(most);
    assert!(expected.contains(&elapsed), "{elapsed:?} is not in {expected:?}");
}

/// For a second the process does next to nothing, and the client hears nothing.
fn expect_rest(pid: u32, client: &mut Connection) {
    let before = processor_time(pid);
    client.expect_silence(Duration::from_secs(1));
    let spent = processor_time(pid) - before;
    assert!(spent < Duration::from_millis(100), "{spent:?} of processor time in a second of rest");
}

/// For which a process has run so far.
fn processor_time(pid: u32) -> Duration {
    let times = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

/// Tests run in parallel in one process and hold hundreds of connections.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}
