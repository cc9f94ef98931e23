//! The client of the check: what it notes of real backends, and of servers that misbehave in every way there is a word for.

use std::collections::{BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rustix::net::SendFlags;
use socket2::{Domain, SockRef, Socket, Type};

use super::*;
use crate::wire::RequestId;
use http::Malformed;
use verdict::observation::{ClientOutcome, Echo, Flaw};

const PATIENCE: Duration = Duration::from_secs(20);
const RUN: u64 = 0x4d2;
const FIRST: u64 = 7;

fn target(address: SocketAddr) -> LoadTarget {
    LoadTarget::new(address, address.to_string(), "/")
}

/// One request after another on one connection.
fn load(address: SocketAddr, requests: u64) -> Load {
    Load {
        first: FIRST,
        requests: Some(requests),
        timeout: PATIENCE,
        body_limit: 1 << 20,
        ..Load::new(target(address), RUN)
    }
}

/// What is sent: that method with those bodies.
fn request(method: &str, bodies: &[&[u8]], chunked: bool) -> Arc<RequestSpec> {
    let bodies: Vec<Arc<[u8]>> = bodies.iter().map(|body| Arc::from(*body)).collect();
    Arc::new(RequestSpec::new(method, &[], &bodies, BodyTransfer { chunked, ..BodyTransfer::default() }))
}

/// A port where nobody listens.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn run(load: &Load) -> Traffic {
    let mut backends = BackendNames::new(Vec::new());
    drive(load, &mut backends, &LoadProgress::default()).unwrap()
}

fn outcomes(traffic: &Traffic) -> Vec<(ClientOutcome, bool)> {
    traffic.observations.iter().map(|it| (it.outcome, it.reused)).collect()
}

fn backend(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

// Servers.

/// A server whose connections are each handled so, in a thread of their own, with their number from 0.
fn server(handle: impl Fn(usize, TestPeer) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (handle, stream) = (handle.clone(), stream.unwrap());
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || handle(number, TestPeer(stream)));
        }
    });
    address
}

/// The server's end of a connection.
struct TestPeer(TcpStream);

/// A request as a server reads it.
struct ReadRequest {
    head: String,
    body: Vec<u8>,
}

impl ReadRequest {
    fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    fn id(&self) -> RequestId {
        self.header("Check-Request-Id").unwrap().parse().unwrap()
    }
}

impl TestPeer {
    /// The next request's head; none at the end of the connection.
    fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        Some(String::from_utf8(head).unwrap())
    }

    /// A body in chunks.
    fn chunks(&mut self) -> Vec<u8> {
        let (mut body, mut content) = (http::BodyDecoder::new(http::Framing::Chunked), Vec::new());
        while !body.is_done() {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            content.extend_from_slice(body.take(&byte).unwrap().0);
        }
        content
    }

    /// The next request; none at the end of the connection.
    fn request(&mut self) -> Option<ReadRequest> {
        let mut asked = ReadRequest { head: self.head()?, body: Vec::new() };
        let length = asked.header("Content-Length").map_or(0, |length| length.parse().unwrap());
        asked.body = vec![0; length];
        self.0.read_exact(&mut asked.body).ok()?;
        Some(asked)
    }

    /// Whether it could be said.
    fn say(&mut self, text: &str) -> bool {
        self.0.write_all(text.as_bytes()).is_ok()
    }

    /// Reads the request and says that.
    fn answer_one(&mut self, text: &str) {
        if self.request().is_some() {
            self.say(text);
        }
    }

    fn answer_all(&mut self, text: &str) {
        while self.request().is_some() && self.say(text) {}
    }

    fn reset(self) {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Until the other end closes.
    fn wait_for_end(&mut self) {
        while self.0.read(&mut [0; 1024]).is_ok_and(|length| length > 0) {}
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// Backends.

#[test]
fn a_new_connection_for_each_request_says_that_it_is_its_only_one() {
    let connections = Arc::new(AtomicUsize::new(0));
    let address = server({
        let connections = connections.clone();
        move |_, mut peer| {
            connections.fetch_add(1, Ordering::Relaxed);
            assert_eq!(peer.request().unwrap().header("Connection"), Some("close"));
            peer.say(OK);
            peer.wait_for_end();
        }
    });
    let traffic = run(&Load { reuse: Reuse::New, connections: 3, ..load(address, 50) });
    assert_eq!(outcomes(&traffic), [(ClientOutcome::Response, false); 50]);
    assert_eq!(connections.load(Ordering::Relaxed), 50);
}

// What can go wrong.

#[test]
fn a_connection_that_ends_instead_of_an_answer_was_closed() {
    let address = server(|_, mut peer| {
        peer.request();
    });
    assert_eq!(outcomes(&run(&load(address, 5))), [(ClientOutcome::Closed, false); 5]);
    // The kernel answers with a reset what comes after an end in order; it is an end in order all the same.
    let address = server(|_, mut peer| {
        peer.answer_one(OK);
        peer.request();
    });
    let traffic = run(&load(address, 4));
    let pair = [(ClientOutcome::Response, false), (ClientOutcome::Closed, true)];
    assert_eq!(outcomes(&traffic), [pair, pair].concat());
}

#[test]
fn a_reset_is_none_of_the_ends_in_order() {
    let address = server(|_, mut peer| {
        peer.answer_one(OK);
        peer.request();
        peer.reset();
    });
    let pair = [(ClientOutcome::Response, false), (ClientOutcome::Reset, true)];
    assert_eq!(outcomes(&run(&load(address, 4))), [pair, pair].concat());
    let address = server(|_, mut peer| {
        peer.answer_one("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12");
        // The client has read these before the reset, or not.
        peer.reset();
    });
    for it in run(&load(address, 3)).observations {
        assert!(matches!(it.outcome, ClientOutcome::Reset | ClientOutcome::Truncated), "{it:?}");
    }
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let port = free_port();
    for reuse in [Reuse::Kept, Reuse::New] {
        let traffic = run(&Load { connections: 4, reuse, ..load(backend(port), 12) });
        assert_eq!(outcomes(&traffic), [(ClientOutcome::Refused, false); 12]);
    }
}

#[test]
fn a_connection_that_is_not_established_in_time_is_none() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&backend(0).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // The kernel establishes this number and drops what asks for more.
    let waiting: Vec<Socket> = (0..4)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address);
            socket
        })
        .collect();
    let traffic = run(&Load { timeout: Duration::from_millis(50), ..load(address.as_socket().unwrap(), 2) });
    assert_eq!(outcomes(&traffic), [(ClientOutcome::Unreachable, false); 2]);
    drop(waiting);
}

#[test]
fn half_an_answer_is_truncated() {
    for half in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        "HTTP/1.1 200 OK\r\nContent-",
    ] {
        let address = server(move |_, mut peer| peer.answer_one(half));
        let traffic = run(&load(address, 3));
        assert_eq!(outcomes(&traffic), [(ClientOutcome::Truncated, false); 3], "{half}");
        let status = if half.ends_with('-') { 0 } else { 200 };
        assert!(traffic.observations.iter().all(|it| it.status == status));
    }
}

#[test]
fn bytes_after_a_response_are_named_and_end_its_connection() {
    let address = server(|_, mut peer| peer.answer_all("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokok"));
    let traffic = run(&load(address, 3));
    assert_eq!(outcomes(&traffic), [(ClientOutcome::Altered, false); 3]);
    assert!(traffic.observations.iter().all(|it| it.flaw == Some(Flaw::Malformed(Malformed::Surplus))));
}

#[test]
fn bytes_that_come_while_a_connection_idles_are_those_of_its_last_response() {
    let address = server(|_, mut peer| {
        while peer.request().is_some() {
            peer.say(OK);
            thread::sleep(Duration::from_millis(10));
            peer.say("late");
        }
    });
    let load = Load { pacing: Pacing::Open { rate: 4.0 }, ..load(address, 3) };
    let flaws: Vec<_> = run(&load).observations.iter().map(|it| it.flaw).collect();
    let surplus = Some(Flaw::Malformed(Malformed::Surplus));
    assert_eq!(flaws[..2], [surplus; 2]);
}

#[test]
fn a_server_may_say_that_an_idle_connection_has_timed_out() {
    let address = server(|_, mut peer| {
        peer.answer_one(OK);
        thread::sleep(Duration::from_millis(10));
        peer.say("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
    });
    let load = Load { pacing: Pacing::Open { rate: 4.0 }, ..load(address, 3) };
    assert!(run(&load).observations.iter().all(|it| (it.outcome, it.flaw) == (ClientOutcome::Response, None)));
}

#[test]
fn a_response_is_read_while_its_request_is_still_sent() {
    const REFUSED: &str = "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let body = vec![b'x'; 20_000_000];
    // Closes with the body unread, which resets the connection; or reads nothing and stays.
    for stays in [false, true] {
        let address = server(move |_, mut peer| {
            if peer.head().is_some() && peer.say(REFUSED) && stays {
                thread::sleep(Duration::from_secs(3));
            }
        });
        let refused = |it: &Observation| (it.outcome, it.status) == (ClientOutcome::Response, 413);
        let load = Load {
            request: request("POST", &[&body], false),
            connections: 2,
            timeout: Duration::from_secs(2),
            ..load(address, 6)
        };
        let traffic = run(&load);
        assert!(traffic.observations.iter().all(refused), "{:?}", traffic.observations);
        let mut prober = Prober::new(target(address), RUN, FIRST, Duration::from_secs(2), Identity::Fleet)
            .with_request(load.request);
        let seen = prober.probe(&Probe::default(), &mut BackendNames::new(Vec::new())).unwrap();
        assert!(refused(&seen.observation), "{seen:?}");
    }
}

#[test]
fn bodies_are_sent_in_turn_and_in_chunks_if_wanted() {
    for chunked in [false, true] {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let address = server({
            let bodies = bodies.clone();
            move |_, mut peer| {
                while let Some(asked) = peer.request() {
                    assert_eq!(asked.header("Transfer-Encoding").is_some(), chunked);
                    let body = if chunked { peer.chunks() } else { asked.body };
                    bodies.lock().unwrap().push(String::from_utf8(body).unwrap());
                    peer.say(OK);
                }
            }
        });
        let load = Load { request: request("POST", &[b"one", b"two", b""], chunked), ..load(address, 5) };
        assert_eq!(outcomes(&run(&load)).len(), 5);
        assert_eq!(*bodies.lock().unwrap(), ["one", "two", "", "one", "two"], "{chunked}");
    }
}

#[test]
fn a_body_waits_until_it_is_asked_for_or_for_a_second() {
    let spec = |bodies: &[&[u8]]| {
        let bodies: Vec<Arc<[u8]>> = bodies.iter().map(|body| Arc::from(*body)).collect();
        Arc::new(RequestSpec::new(
            "POST",
            &[],
            &bodies,
            BodyTransfer { expect_continue: true, ..BodyTransfer::default() },
        ))
    };
    for (first, least) in [("HTTP/1.1 100 Continue\r\n\r\n", 0), ("", 900)] {
        let address = server(move |_, mut peer| {
            while let Some(head) = peer.head() {
                assert!(head.contains("Expect: 100-continue\r\n"), "{head}");
                peer.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                assert!(peer.0.read(&mut [0; 1]).is_err(), "the body came unasked");
                peer.0.set_read_timeout(None).unwrap();
                peer.say(first);
                let mut body = [0; 3];
                peer.0.read_exact(&mut body).unwrap();
                assert_eq!(&body, b"abc");
                peer.say(OK);
            }
        });
        let traffic = run(&Load { request: spec(&[b"abc"]), ..load(address, 2) });
        assert_eq!(outcomes(&traffic), [(ClientOutcome::Response, false), (ClientOutcome::Response, true)]);
        assert!(traffic.observations.iter().all(|it| it.ended.since(it.due) >= Duration::from_millis(least)));
    }
    // A refusal comes instead, and the body is never sent.
    let address = server(|_, mut peer| {
        peer.head();
        peer.say("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(peer.0.read(&mut [0; 1]).unwrap_or(0), 0, "a body after a refusal");
    });
    let traffic = run(&Load { request: spec(&[b"abc"]), ..load(address, 2) });
    assert!(traffic.observations.iter().all(|it| it.status == 417 && !it.reused));
}

#[test]
fn a_connection_begins_with_a_proxy_header_if_wanted() {
    let address = server(|_, mut peer| {
        let (own, other) = (peer.0.local_addr().unwrap(), peer.0.peer_addr().unwrap());
        let expected = format!("PROXY TCP4 {} {} {} {}\r\nGET ", other.ip(), own.ip(), other.port(), own.port());
        let mut begin = vec![0; expected.len()];
        peer.0.read_exact(&mut begin).unwrap();
        if begin == expected.as_bytes() {
            peer.answer_all(OK);
        }
    });
    let target = LoadTarget { haproxy_protocol: true, ..target(address) };
    let traffic = run(&Load { targets: vec![target.clone()], ..load(address, 3) });
    assert_eq!(outcomes(&traffic)[0], (ClientOutcome::Response, false));
    let mut prober = Prober::new(target, RUN, FIRST, PATIENCE, Identity::Fleet);
    let seen = prober.probe(&Probe::default(), &mut BackendNames::new(Vec::new())).unwrap();
    assert_eq!(seen.observation.outcome, ClientOutcome::Response);
}

#[test]
fn several_urls_are_asked_in_turn() {
    for pacing in [Pacing::Closed, Pacing::Open { rate: 2000.0 }] {
        let paths = Arc::new(Mutex::new(Vec::new()));
        let serve = || {
            let paths = paths.clone();
            server(move |_, mut peer| {
                while let Some(asked) = peer.request() {
                    let path = asked.head.split(' ').nth(1).unwrap().to_owned();
                    paths.lock().unwrap().push((peer.0.local_addr().unwrap().port(), path));
                    peer.say(OK);
                }
            })
        };
        let (one, other) = (serve(), serve());
        let to = |address: SocketAddr, path: &str| LoadTarget::new(address, address.to_string(), path);
        let targets = vec![to(one, "/a"), to(one, "/b"), to(other, "/c")];
        let load = Load { targets, connections: 4, pacing, ..load(one, 300) };
        assert_eq!(outcomes(&run(&load)).len(), 300);
        let count = |address: SocketAddr, path: &str| {
            let all = paths.lock().unwrap();
            all.iter().filter(|it| **it == (address.port(), path.to_owned())).count()
        };
        let counts = [count(one, "/a"), count(one, "/b"), count(other, "/c")];
        assert_eq!(counts.iter().sum::<usize>(), 300, "each path is asked at its own address: {counts:?}");
        assert!(counts.iter().all(|count| *count >= 30), "{counts:?}");
    }
}

#[test]
fn what_is_no_answer_is_malformed_and_ends_its_connection() {
    for (text, status) in
        [("220 smtp.example ESMTP\r\n", 0), ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 200)]
    {
        let address = server(move |_, mut peer| peer.answer_all(text));
        let traffic = run(&load(address, 3));
        assert_eq!(outcomes(&traffic), [(ClientOutcome::Malformed, false); 3], "{text}");
        assert!(traffic.observations.iter().all(|it| it.status == status));
    }
}

#[test]
fn more_than_the_client_is_ready_to_read_is_too_large_and_is_not_read() {
    const TEN_GIB: u64 = 10 << 30;
    let address = server(|_, mut peer| {
        peer.request();
        peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {TEN_GIB}\r\n\r\n"));
        while peer.say(&"x".repeat(65536)) {}
    });
    assert_eq!(outcomes(&run(&load(address, 2))), [(ClientOutcome::TooLarge, false); 2]);
    let address = server(|_, mut peer| {
        peer.request();
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while peer.say(&format!("10000\r\n{}\r\n", "x".repeat(65536))) {}
    });
    assert_eq!(outcomes(&run(&load(address, 2))), [(ClientOutcome::TooLarge, false); 2]);
}

#[test]
fn who_does_not_answer_in_time_times_out() {
    let timeout = Duration::from_millis(60);
    for start in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"] {
        let address = server(move |_, mut peer| {
            peer.answer_one(start);
            peer.wait_for_end();
        });
        let traffic = run(&Load { timeout, connections: 2, ..load(address, 4) });
        assert_eq!(outcomes(&traffic), [(ClientOutcome::TimedOut, false); 4]);
        assert!(traffic.observations.iter().all(|it| it.ended.since(it.due) >= timeout));
    }
}

#[test]
fn a_slow_answer_is_an_answer() {
    let address = server(|_, mut peer| {
        peer.request();
        for byte in OK.chars() {
            peer.say(&byte.to_string());
            thread::yield_now();
        }
        peer.wait_for_end();
    });
    assert_eq!(outcomes(&run(&load(address, 1))), [(ClientOutcome::Response, false)]);
}

#[test]
fn an_end_that_came_with_the_answer_costs_no_request() {
    let address = server(|_, mut peer| {
        peer.request();
        // Answer and end in one segment, and no word of it in the head.
        rustix::net::send(&peer.0, OK.as_bytes(), SendFlags::MORE).unwrap();
    });
    for pacing in [Pacing::Closed, Pacing::Open { rate: 5000.0 }] {
        assert_eq!(outcomes(&run(&Load { pacing, ..load(address, 50) })), [(ClientOutcome::Response, false); 50]);
    }
}

#[test]
fn an_end_that_came_while_a_connection_idled_costs_no_request() {
    let (close, closing) = mpsc::channel::<()>();
    let (closed, end) = mpsc::channel();
    let closing = Mutex::new(closing);
    let address = server(move |number, mut peer| {
        peer.answer_one(OK);
        match number {
            0 => {
                closing.lock().unwrap().recv().unwrap();
                let client = peer.0.peer_addr().unwrap().port();
                drop(peer);
                eventually("the client's kernel knows", || has_been_closed(client));
                closed.send(()).unwrap();
            }
            _ => peer.answer_all(OK),
        }
    });
    let mut prober = Prober::new(target(address), RUN, FIRST, PATIENCE, Identity::Fleet);
    let mut backends = BackendNames::new(Vec::new());
    let kept = Probe { connection: ProbeConnection::Kept(0), ..Probe::default() };
    assert!(!prober.probe(&kept, &mut backends).unwrap().observation.reused);
    close.send(()).unwrap();
    end.recv().unwrap();
    let seen = prober.probe(&kept, &mut backends).unwrap();
    assert_eq!((seen.observation.outcome, seen.observation.reused), (ClientOutcome::Response, false));
    let seen = prober.probe(&kept, &mut backends).unwrap();
    assert_eq!((seen.observation.outcome, seen.observation.reused), (ClientOutcome::Response, true));
}

/// Whether the other end of the socket with that local port has closed.
fn has_been_closed(port: u16) -> bool {
    const CLOSE_WAIT: &str = "08";
    std::fs::read_to_string("/proc/net/tcp").unwrap().lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == CLOSE_WAIT
    })
}

#[test]
fn a_request_is_never_sent_twice() {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let address = server({
        let ids = ids.clone();
        move |number, mut peer| {
            // Each connection answers some and then ends without a word.
            for _ in 0..number % 4 {
                let Some(asked) = peer.request() else { return };
                ids.lock().unwrap().push(asked.id());
                peer.say(OK);
            }
            if let Some(asked) = peer.request() {
                ids.lock().unwrap().push(asked.id());
            }
        }
    });
    let traffic = run(&Load { connections: 5, ..load(address, 300) });
    let mut seen = ids.lock().unwrap().clone();
    seen.sort_by_key(|id| id.sequence);
    let sent: Vec<RequestId> = (FIRST..FIRST + 300).map(|sequence| RequestId { run: RUN, sequence }).collect();
    assert_eq!(seen, sent);
    assert_eq!(traffic.observations.len(), 300);
    let ended = |outcome| traffic.observations.iter().filter(|it| it.outcome == outcome).count();
    assert_eq!(ended(ClientOutcome::Response) + ended(ClientOutcome::Closed), 300);
}

#[test]
fn a_large_body_arrives_whole() {
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let address = server({
        let body = body.clone();
        move |_, mut peer| {
            while let Some(asked) = peer.request() {
                peer.say(if asked.body == body { OK } else { "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n" });
            }
        }
    });
    let traffic = run(&Load { request: request("PUT", &[&body], false), connections: 2, ..load(address, 6) });
    assert!(
        traffic.observations.iter().all(|it| (it.outcome, it.status) == (ClientOutcome::Response, 200)),
        "{traffic:?}"
    );
}

#[test]
fn what_names_itself_on_the_way_is_kept() {
    let address = server(|_, mut peer| {
        while let Some(asked) = peer.request() {
            let status = if asked.id().sequence < FIRST + 5 { "502 Bad Gateway" } else { "200 OK" };
            peer.say(&format!(
                "HTTP/1.1 {status}\r\nServer: nginx\r\nVia: 1.1 proxy\r\nSet-Cookie: route=1\r\nContent-Length: 400\r\n\r\n{}",
                "x".repeat(400)
            ));
        }
    });
    let samples = run(&load(address, 10)).samples;
    assert_eq!(
        (samples.servers.clone(), samples.vias.clone()),
        (vec!["nginx".to_owned()], vec!["1.1 proxy".to_owned()])
    );
}

// Pacing.

#[test]
fn an_open_loop_keeps_its_schedule_whatever_comes() {
    let address = server(|number, mut peer| {
        if number == 0 {
            peer.request();
            // Longer than the rest of the schedule takes.
            thread::sleep(Duration::from_millis(60));
            peer.say(OK);
        }
        peer.answer_all(OK);
    });
    let open = Load { pacing: Pacing::Open { rate: 3000.0 }, ..load(address, 90) };
    let due = |it: &Observation, traffic: &Traffic| it.due.since(traffic.started).as_nanos() as u64;
    let exact: Vec<u64> = (0..90).map(|number| number * 1_000_000_000 / 3000).collect();

    let traffic = run(&open);
    assert_eq!(traffic.observations.iter().map(|it| due(it, &traffic)).collect::<Vec<_>>(), exact);
    assert!(traffic.observations.iter().all(|it| it.outcome == ClientOutcome::Response && it.ended >= it.sent()));
    for pair in traffic.observations.windows(2) {
        // With one connection, each waits for the one before it; what was waited is told in whole microseconds.
        assert!(pair[1].sent().0 + 1000 > pair[0].ended.0, "{pair:?}");
    }
    assert!(traffic.observations[1].waited >= 59_000);

    let traffic = run(&Load { connections: 90, ..open });
    assert_eq!(traffic.observations.iter().map(|it| due(it, &traffic)).collect::<Vec<_>>(), exact);
    assert!(traffic.observations.iter().all(|it| it.outcome == ClientOutcome::Response));
}

#[test]
fn an_open_loop_counts_what_it_could_not_send() {
    let address = server(|_, mut peer| peer.wait_for_end());
    let traffic = run(&Load {
        pacing: Pacing::Open { rate: 100.0 },
        requests: None,
        duration: Some(Duration::from_millis(100)),
        timeout: Duration::from_millis(200),
        ..load(address, 0)
    });
    // The first and the second are sent, each until its time is over.
    let expected = |number| if number < 2 { ClientOutcome::TimedOut } else { ClientOutcome::Unsent };
    assert_eq!(outcomes(&traffic), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|number| (expected(number), false)));
    assert!(traffic.observations[9].sent() > traffic.observations[9].due);
}

#[test]
fn a_closed_loop_ends_with_its_duration() {
    let address = server(|_, mut peer| peer.answer_all(OK));
    let duration = Duration::from_millis(50);
    let traffic = run(&Load { requests: None, duration: Some(duration), connections: 3, ..load(address, 0) });
    assert!(traffic.ended.since(traffic.started) >= duration && !traffic.observations.is_empty());
    assert!(traffic.observations.iter().all(|it| it.due < traffic.started.after(duration)));
}

#[test]
fn a_stop_from_another_thread_ends_a_drive() {
    let address = server(|_, mut peer| peer.answer_all(OK));
    let progress = LoadProgress::default();
    let load = Load { requests: None, connections: 2, ..load(address, 0) };
    let traffic = thread::scope(|scope| {
        let driving = scope.spawn(|| drive(&load, &mut BackendNames::new(Vec::new()), &progress).unwrap());
        eventually("some were answered", || progress.answered() > 100);
        progress.stop();
        driving.join().unwrap()
    });
    let answered = traffic.observations.iter().filter(|it| it.outcome == ClientOutcome::Response).count() as u64;
    assert_eq!((progress.answered(), progress.sent()), (answered, traffic.observations.len() as u64));
    assert_eq!(progress.answered() + progress.errors(), progress.sent());
}

#[test]
fn a_stop_does_not_wait_for_those_who_never_answer() {
    let address = server(|_, mut peer| peer.wait_for_end());
    let progress = LoadProgress::default();
    let load = Load { timeout: Duration::from_secs(3600), ..load(address, 5) };
    let traffic = thread::scope(|scope| {
        let driving = scope.spawn(|| drive(&load, &mut BackendNames::new(Vec::new()), &progress).unwrap());
        eventually("one was sent", || progress.sent() == 1);
        progress.stop();
        driving.join().unwrap()
    });
    assert_eq!(outcomes(&traffic), [(ClientOutcome::TimedOut, false)]);
}

// Clients.

/// What a server saw of each request: its peer's address and that line of its head.
fn seen_by_a_server(load: impl Fn(SocketAddr) -> Load, line: &'static str) -> (Traffic, Vec<(IpAddr, Option<String>)>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let address = server({
        let seen = seen.clone();
        move |_, mut peer| {
            while let Some(asked) = peer.request() {
                let mut lines = asked.head.lines();
                let found = lines.find(|it| it.to_lowercase().starts_with(line)).map(str::to_owned);
                seen.lock().unwrap().push((asked.id().sequence, peer.0.peer_addr().unwrap().ip(), found));
                peer.say(OK);
            }
        }
    });
    let traffic = run(&load(address));
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(traffic.observations.len(), seen.len());
    (traffic, seen.into_iter().map(|(_, ip, line)| (ip, line)).collect())
}

#[test]
fn clients_have_addresses_of_their_own() {
    for reuse in [Reuse::Kept, Reuse::New] {
        for pacing in [Pacing::Closed, Pacing::Open { rate: 5000.0 }] {
            let vary = Vary::Source { clients: 3 };
            let (traffic, seen) =
                seen_by_a_server(|address| Load { reuse, pacing, vary: vary.clone(), ..load(address, 60) }, "get");
            for (it, (ip, _)) in traffic.observations.iter().zip(&seen) {
                assert_eq!(*ip, source(it.client));
            }
            let clients: BTreeSet<u32> = traffic.observations.iter().map(|it| it.client).collect();
            assert_eq!(clients, BTreeSet::from([0, 1, 2]), "{reuse:?} {pacing:?}");
        }
    }
}

#[test]
fn a_client_address_needs_a_target_on_loopback() {
    let address = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 9));
    let load = Load { vary: Vary::Source { clients: 2 }, ..load(address, 1) };
    let error = drive(&load, &mut BackendNames::new(Vec::new()), &LoadProgress::default()).unwrap_err();
    assert!(matches!(error, DriveError::Source(..)), "{error}");
}

#[test]
fn clients_have_paths_headers_and_cookies_of_their_own() {
    let path = Vary::Path { template: "/a/{}?b".to_owned(), clients: 3 };
    let header = Vary::Header { name: "X-Client".to_owned(), clients: 3 };
    let cookie = Vary::Cookie { name: "session".to_owned(), clients: 3 };
    for (vary, line, expected) in [
        (path, "get", "GET /a/{}?b HTTP/1.1"),
        (header, "x-client", "X-Client: client-{}"),
        (cookie, "cookie", "Cookie: session=client-{}"),
    ] {
        let (traffic, seen) = seen_by_a_server(|address| Load { vary: vary.clone(), ..load(address, 9) }, line);
        for (number, (it, (_, line))) in traffic.observations.iter().zip(seen).enumerate() {
            assert_eq!(it.client as usize, number % 3);
            assert_eq!(line, Some(expected.replace("{}", &it.client.to_string())));
        }
    }
}

#[test]
fn a_client_sends_the_cookies_that_it_was_given() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let address = server({
        let seen = seen.clone();
        move |_, mut peer| {
            while let Some(asked) = peer.request() {
                let cookie = asked.header("Cookie").map(str::to_owned);
                let set = match cookie {
                    Some(_) => String::new(),
                    None => format!("Set-Cookie: who={}; Path=/\r\n", asked.id().sequence),
                };
                seen.lock().unwrap().push(cookie);
                peer.say(&format!("HTTP/1.1 200 OK\r\n{set}Content-Length: 0\r\n\r\n"));
            }
        }
    });
    run(&Load { vary: Vary::Jar { clients: 3 }, ..load(address, 9) });
    let own = ["who=7", "who=8", "who=9"].map(|cookie| Some(cookie.to_owned()));
    assert_eq!(*seen.lock().unwrap(), [[None, None, None], own.clone(), own].concat());
}

/// Slow servers see how many of their clients' requests are open at once.
#[test]
fn a_client_is_used_again_only_after_its_first_response() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let address = server({
        let seen = seen.clone();
        move |_, mut peer| {
            while let Some(asked) = peer.request() {
                let cookie = asked.header("Cookie").map(str::to_owned);
                seen.lock().unwrap().push(cookie.is_none());
                thread::sleep(Duration::from_millis(5));
                let set = format!("Set-Cookie: who={}; Path=/\r\n", asked.id().sequence);
                let set = if cookie.is_none() { &set } else { "" };
                peer.say(&format!("HTTP/1.1 200 OK\r\n{set}Content-Length: 0\r\n\r\n"));
            }
        }
    });
    for pacing in [Pacing::Closed, Pacing::Open { rate: 3000.0 }] {
        seen.lock().unwrap().clear();
        run(&Load { vary: Vary::Jar { clients: 4 }, connections: 16, pacing, ..load(address, 60) });
        let strangers = seen.lock().unwrap().iter().filter(|stranger| **stranger).count();
        assert_eq!(strangers, 4, "each client comes without a cookie once: {pacing:?}");
    }
}

#[test]
fn many_clients_with_addresses_share_few_connections() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let address = server({
        let (open, most) = (open.clone(), most.clone());
        move |_, mut peer| {
            most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            peer.answer_all(OK);
            open.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let load = Load { vary: Vary::Source { clients: 40 }, connections: 8, ..load(address, 1200) };
    let traffic = run(&load);
    let clients: BTreeSet<u32> = traffic.observations.iter().map(|it| it.client).collect();
    assert_eq!(clients.len(), 40);
    assert!(traffic.observations.iter().all(|it| it.outcome == ClientOutcome::Response));
    // One that ends is counted until its thread has seen that.
    assert!(most.load(Ordering::SeqCst) <= 24, "{most:?} connections at once");
    assert!(traffic.observations.iter().filter(|it| it.reused).count() > 800);
}

// Probes.

fn probe_all(prober: &mut Prober, probes: &[Probe], backends: &mut BackendNames) -> Vec<ProbeResult> {
    let mut held: VecDeque<Held> = probes.iter().map(|probe| prober.begin(probe, backends).unwrap()).collect();
    std::iter::from_fn(|| prober.finish_first(&mut held, backends)).collect()
}

/// A backend's time would else seem to be that of a slower one before it.
#[test]
fn a_probe_ends_when_its_response_has_come_while_one_before_it_is_awaited() {
    let address = server(|number, mut peer| {
        while let Some(asked) = peer.request() {
            thread::sleep(Duration::from_millis(if number == 0 { 400 } else { 20 }));
            peer.say(&format!("HTTP/1.1 200 OK\r\nCheck-Request-Id: {}\r\nContent-Length: 0\r\n\r\n", asked.id()));
        }
    });
    let mut backends = BackendNames::new(Vec::new());
    let mut prober = Prober::new(target(address), RUN, FIRST, PATIENCE, Identity::Fleet);
    let all = probe_all(&mut prober, &[Probe::default(); 4], &mut backends);
    let took: Vec<Duration> = all.iter().map(|seen| seen.observation.ended.since(seen.observation.due)).collect();
    assert!(took[0] >= Duration::from_millis(400), "{took:?}");
    assert!(took[1..].iter().all(|took| *took < Duration::from_millis(300)), "{took:?}");
}

#[test]
fn probes_go_side_by_side_and_end_in_any_order() {
    let address = server(|_, mut peer| {
        while let Some(asked) = peer.request() {
            thread::sleep(Duration::from_millis(100));
            peer.say(&format!("HTTP/1.1 200 OK\r\nCheck-Request-Id: {}\r\nContent-Length: 0\r\n\r\n", asked.id()));
        }
    });
    let mut backends = BackendNames::new(Vec::new());
    let mut prober = Prober::new(target(address), RUN, FIRST, PATIENCE, Identity::Fleet);
    let began = std::time::Instant::now();
    let probes: Vec<Probe> =
        (0..20).map(|slot| Probe { connection: ProbeConnection::Kept(slot), ..Probe::default() }).collect();
    for reused in [false, true] {
        let all = probe_all(&mut prober, &probes, &mut backends);
        assert_eq!(all.len(), 20);
        for seen in &all {
            let it = seen.observation;
            assert_eq!((it.outcome, it.status, it.echo, it.reused), (ClientOutcome::Response, 200, Echo::Own, reused));
            assert!(it.ended.since(it.due) >= Duration::from_millis(100));
        }
    }
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    let kept = Probe { connection: ProbeConnection::Kept(1), ..Probe::default() };
    let first = prober.begin(&kept, &mut backends).unwrap();
    let second = prober.begin(&Probe { method: Some("HEAD"), ..Probe::default() }, &mut backends).unwrap();
    let third = prober.probe(&Probe::default(), &mut backends).unwrap();
    assert_eq!((first.sequence(&prober), third.sequence), (FIRST + 40, FIRST + 42));
    let second = second.finish(&mut prober, &mut backends);
    let first = first.finish(&mut prober, &mut backends);
    assert!(first.observation.reused && first.head.starts_with("HTTP/1.1 200 OK\r\n"));
    let ended = [&first, &second, &third].map(|seen| seen.observation);
    assert_eq!(prober.observations()[40..], ended);
    let patience = Some(Duration::from_millis(10));
    let late = prober.probe(&Probe { patience, ..Probe::default() }, &mut backends).unwrap();
    assert_eq!(late.observation.outcome, ClientOutcome::TimedOut);
}

#[test]
fn probes_keep_to_a_rate() {
    let address = server(|_, mut peer| peer.answer_all(OK));
    let mut backends = BackendNames::new(Vec::new());
    let mut prober = Prober::new(target(address), RUN, FIRST, PATIENCE, Identity::Fleet).with_rate(Some(100.0));
    let began = std::time::Instant::now();
    let probes = [Probe::default(); 10];
    probe_all(&mut prober, &probes, &mut backends);
    assert!(began.elapsed() >= Duration::from_millis(90), "{:?}", began.elapsed());
}

#[test]
fn a_probe_tells_what_went_wrong_as_a_drive_does() {
    let mut backends = BackendNames::new(Vec::new());
    let mut probe = |address: SocketAddr, timeout: Duration| {
        let mut prober = Prober::new(target(address), RUN, FIRST, timeout, Identity::Fleet);
        let source = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 5, 1)));
        let seen = prober.probe(&Probe { source, ..Probe::default() }, &mut backends).unwrap();
        (seen.observation.outcome, seen.connected, seen.cookies)
    };
    assert_eq!(probe(backend(free_port()), PATIENCE), (ClientOutcome::Refused, false, Vec::new()));
    let closed = server(|_, mut peer| drop(peer.request()));
    assert_eq!(probe(closed, PATIENCE), (ClientOutcome::Closed, true, Vec::new()));
    let reset = server(|_, mut peer| {
        peer.request();
        peer.reset();
    });
    assert_eq!(probe(reset, PATIENCE), (ClientOutcome::Reset, true, Vec::new()));
    let silent = server(|_, mut peer| peer.wait_for_end());
    assert_eq!(probe(silent, Duration::from_millis(30)), (ClientOutcome::TimedOut, true, Vec::new()));
    let half = server(|_, mut peer| peer.answer_one("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n1"));
    assert_eq!(probe(half, PATIENCE), (ClientOutcome::Truncated, true, Vec::new()));
    let sticky = server(|_, mut peer| {
        assert_eq!(peer.0.peer_addr().unwrap().ip(), Ipv4Addr::new(127, 0, 5, 1));
        peer.answer_one("HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n");
    });
    assert_eq!(probe(sticky, PATIENCE), (ClientOutcome::Response, true, vec![("a".to_owned(), "b".to_owned())]));
}
