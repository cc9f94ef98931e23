//! Many requests at once on connections of HTTP/2: what the client notes of servers that limit, leave, refuse and break off.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::stream_load::StreamLoad;
use super::streams::{StreamTraffic, hold};
use super::*;
use http::StreamId;
use http::h2::server::{Server, ServerEvent};
use http::h2::{AnnouncedSettings, Block, ErrorCode, Follows, literal};
use uuid::Uuid;
use verdict::life::{StreamEvent, StreamKind};
use verdict::observation::{ClientOutcome, Flaw};
use verdict::response::{DIGEST_HEADER, digest_value, of_body};
use verdict::streams::ClientEnd;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server's end of a connection.
struct TestServer {
    socket: TcpStream,
    server: Server,
    out: Vec<u8>,
    /// Whole requests that have not been responded to.
    asked: Vec<StreamId>,
    inbox: Vec<u8>,
    block: Block,
}

impl TestServer {
    /// Reads once; false at the end of the connection.
    fn turn(&mut self) -> bool {
        let out = std::mem::take(&mut self.out);
        let mut room = [0; 65_536];
        if self.socket.write_all(&out).is_err() {
            return false;
        }
        let Ok(length @ 1..) = self.socket.read(&mut room) else { return false };
        self.inbox.extend_from_slice(&room[..length]);
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        while let Some((stream, event)) = self.server.receive(&mut rest, &mut self.block, 0, &mut self.out) {
            match event {
                ServerEvent::Head(request) => {
                    let lines = request.lines();
                    if request.head(&lines).framing == http::Framing::None {
                        self.asked.push(stream);
                    }
                }
                ServerEvent::End => self.asked.push(stream),
                ServerEvent::Refused(_) | ServerEvent::Data(_) | ServerEvent::GoAway(_) | ServerEvent::Reset(_) => {}
                ServerEvent::Trailers(_) | ServerEvent::Malformed(_) | ServerEvent::Broken(_) => panic!("{event:?}"),
            }
        }
        let left = rest.len();
        self.inbox.extend_from_slice(&inbox[inbox.len() - left..]);
        true
    }

    fn respond(&mut self, stream: StreamId) {
        self.server.respond(stream, 200, Follows::More, &mut self.out, |out| literal(out, "content-length", b"2"));
        self.server.data(stream, b"ok", Follows::Nothing, &mut self.out);
    }
}

/// A server that takes that many streams at once; each connection is handled so, with its number from 0.
fn server(max_streams: u32, handle: impl Fn(usize, &mut TestServer) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let (handle, socket) = (handle.clone(), socket.unwrap());
            socket.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let settings = AnnouncedSettings { max_streams, ..AnnouncedSettings::SERVER };
                let mut out = Vec::new();
                let mut server = Server::new(settings);
                server.begin(settings, &mut out);
                let (asked, inbox, block) = (Vec::new(), Vec::new(), Block::new());
                handle(number, &mut TestServer { socket, server, out, asked, inbox, block });
            });
        }
    });
    address
}

fn load(address: SocketAddr, connections: usize, streams: usize, requests: u64) -> Load {
    let target = LoadTarget { http2: true, ..LoadTarget::new(address, address.to_string(), "/") };
    Load { connections, streams, requests: Some(requests), timeout: PATIENCE, ..Load::new(target, 0x4d2) }
}

fn run(load: &Load) -> Traffic {
    drive(load, &mut BackendNames::new(Vec::new()), &LoadProgress::default()).unwrap()
}

fn of_outcome(traffic: &Traffic, outcome: ClientOutcome) -> usize {
    traffic.observations.iter().filter(|it| it.outcome == outcome).count()
}

#[test]
fn each_connection_carries_as_many_requests_at_once_as_were_asked_for() {
    // It responds only when that many wait: fewer at once would never be responded to.
    let address = server(100, |_, peer| {
        while peer.turn() {
            if peer.asked.len() == 6 || matches!(peer.server.requests(), 1 | 121) {
                std::mem::take(&mut peer.asked).into_iter().for_each(|stream| peer.respond(stream));
            }
        }
    });
    // One request may go before the settings are known; then groups of six.
    let traffic = run(&load(address, 1, 6, 1 + 6 * 20));
    assert_eq!(of_outcome(&traffic, ClientOutcome::Response), 121);
    assert!(traffic.connections.iter().all(|connection| *connection == 0));
    assert_eq!(traffic.observations.iter().filter(|it| !it.reused).count(), 1);
}

#[test]
fn no_more_streams_are_opened_than_the_server_takes() {
    let most = Arc::new(AtomicUsize::new(0));
    let seen = most.clone();
    let address = server(3, move |_, peer| {
        while peer.turn() {
            seen.fetch_max(peer.server.streams(), Ordering::Relaxed);
            std::mem::take(&mut peer.asked).into_iter().for_each(|stream| peer.respond(stream));
        }
    });
    let traffic = run(&load(address, 2, 32, 400));
    assert_eq!(of_outcome(&traffic, ClientOutcome::Response), 400);
    assert!(most.load(Ordering::Relaxed) <= 3);
}

#[test]
fn what_a_server_gives_back_unprocessed_is_sent_on_the_next_connection() {
    // Each connection serves ten streams and has then left, like a limit of requests on a connection.
    let address = server(100, |_, peer| {
        while peer.turn() {
            for stream in std::mem::take(&mut peer.asked) {
                if stream.0 < 20 {
                    peer.respond(stream);
                } else if stream.0 == 21 {
                    peer.server.go_away(StreamId(19), ErrorCode::NO_ERROR, &mut peer.out);
                }
            }
        }
    });
    for streams in [8, 1] {
        let traffic = run(&load(address, 2, streams, 200));
        assert_eq!(of_outcome(&traffic, ClientOutcome::Response), 200);
        for connection in 0..*traffic.connections.iter().max().unwrap() {
            assert!(traffic.connections.iter().filter(|it| **it == connection).count() <= 10);
        }
    }
}

#[test]
fn a_server_that_gives_everything_back_is_not_asked_for_ever() {
    let address = server(100, |_, peer| {
        while peer.turn() {
            if !std::mem::take(&mut peer.asked).is_empty() {
                peer.server.go_away(StreamId(0), ErrorCode::NO_ERROR, &mut peer.out);
            }
        }
    });
    for streams in [4, 1] {
        let traffic = run(&load(address, 1, streams, 8));
        assert_eq!(of_outcome(&traffic, ClientOutcome::StreamReset), 8);
    }
}

#[test]
fn a_refused_stream_and_a_connection_that_ends_are_the_requests_own_end() {
    let address = server(100, |_, peer| {
        while peer.turn() {
            for stream in std::mem::take(&mut peer.asked) {
                match stream.0 % 8 {
                    3 => peer.server.reset(stream, ErrorCode::REFUSED_STREAM, &mut peer.out),
                    _ => peer.respond(stream),
                }
            }
        }
    });
    let traffic = run(&load(address, 1, 4, 100));
    assert_eq!(of_outcome(&traffic, ClientOutcome::StreamReset), 25);
    assert_eq!(of_outcome(&traffic, ClientOutcome::Response), 75);
    // All that is in flight ends with the connection, and the next request opens another.
    let address = server(100, |_, peer| {
        let mut served = 0;
        while served < 10 && peer.turn() {
            for stream in std::mem::take(&mut peer.asked) {
                served += 1;
                if served < 10 {
                    peer.respond(stream);
                }
            }
        }
    });
    let traffic = run(&load(address, 1, 4, 60));
    let ended = of_outcome(&traffic, ClientOutcome::Closed) + of_outcome(&traffic, ClientOutcome::Reset);
    assert_eq!(of_outcome(&traffic, ClientOutcome::Response) + ended, 60);
    assert!(ended >= 5, "{ended}");
}

#[test]
fn a_request_whose_time_is_over_ends_alone() {
    let address = server(100, |_, peer| {
        while peer.turn() {
            // The first request after the settings gets nothing.
            std::mem::take(&mut peer.asked).into_iter().filter(|stream| stream.0 != 3).for_each(|it| peer.respond(it));
        }
    });
    let traffic = run(&Load { timeout: Duration::from_millis(400), ..load(address, 1, 4, 60) });
    assert_eq!(of_outcome(&traffic, ClientOutcome::TimedOut), 1);
    assert!(traffic.connections.iter().all(|connection| *connection == 0));
}

#[test]
fn bodies_share_the_windows_of_their_connection() {
    let address = server(100, |_, peer| {
        while peer.turn() {
            std::mem::take(&mut peer.asked).into_iter().for_each(|stream| peer.respond(stream));
        }
    });
    let body: Arc<[u8]> = vec![b'x'; 300_000].into();
    let request = Arc::new(RequestSpec::new("POST", &[], &[body], BodyTransfer::default()));
    let traffic = run(&Load { request, ..load(address, 2, 8, 64) });
    assert_eq!(of_outcome(&traffic, ClientOutcome::Response), 64);
}

#[test]
fn where_nobody_listens_each_request_is_refused() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let traffic = run(&load(free, 2, 4, 12));
    assert_eq!(of_outcome(&traffic, ClientOutcome::Refused), 12);
}

/// As our backends write it: they say of each response which it is.
fn begin_as_ours(server: &mut Server, stream: StreamId, out: &mut Vec<u8>) {
    server.respond(stream, 200, Follows::More, out, |out| {
        literal(out, "response-id", b"550e8400-e29b-41d4-a716-446655440000");
    });
}

/// A call that goes well, and what its trailers have beside.
fn respond_as_ours(server: &mut Server, stream: StreamId, out: &mut Vec<u8>, more: &[(&str, &[u8])]) {
    let mut content = Vec::new();
    http::grpc::write_message(&mut content, |out| out.extend_from_slice(b"message"));
    begin_as_ours(server, stream, out);
    server.data(stream, &content, Follows::More, out);
    server.trailers(stream, out, |out| {
        literal(out, "grpc-status", b"0");
        more.iter().for_each(|(name, value)| literal(out, name, value));
    });
}

/// A call that fails: its explanation as it was written, and then each that arrives.
fn fail_as_ours(server: &mut Server, stream: StreamId, out: &mut Vec<u8>, texts: &[&str]) {
    begin_as_ours(server, stream, out);
    server.trailers(stream, out, |out| {
        literal(out, "grpc-status", b"8");
        literal(out, "response-message", texts[0].as_bytes());
        texts[1..].iter().for_each(|text| literal(out, "grpc-message", text.as_bytes()));
    });
}

/// Ends the calls of a connection in as many ways as there are.
fn respond_to_call(peer: &mut TestServer, stream: StreamId) {
    let message = |out: &mut Vec<u8>| http::grpc::write_message(out, |out| out.extend_from_slice(b"message"));
    let TestServer { server, out, .. } = peer;
    let mut content = Vec::new();
    message(&mut content);
    let kind = |out: &mut Vec<u8>| literal(out, "content-type", b"application/grpc");
    let status = |value: &'static [u8]| move |out: &mut Vec<u8>| literal(out, "grpc-status", value);
    match stream.0 {
        19 => respond_as_ours(server, stream, out, &[]),
        21 => respond_as_ours(server, stream, out, &[("grpc-status", b"0")]),
        23 => respond_as_ours(server, stream, out, &[("grpc-message", b"made up")]),
        // All well.
        1 => {
            server.respond(stream, 200, Follows::More, out, kind);
            server.data(stream, &content, Follows::More, out);
            server.trailers(stream, out, status(b"0"));
        }
        // Trailers-Only.
        3 => server.respond(stream, 200, Follows::Nothing, out, status(b"14")),
        // A status after the head, without a message.
        5 => {
            server.respond(stream, 200, Follows::More, out, kind);
            server.trailers(stream, out, status(b"5"));
        }
        // Trailers that are lost, and none that could be read.
        7 => {
            server.respond(stream, 200, Follows::More, out, kind);
            server.data(stream, &content, Follows::Nothing, out);
        }
        9 => {
            server.respond(stream, 200, Follows::More, out, kind);
            server.trailers(stream, out, status(b"ok"));
        }
        // A status in the head of a response with messages, where no client looks for it.
        17 => {
            server.respond(stream, 200, Follows::More, out, status(b"0"));
            server.data(stream, &content, Follows::Nothing, out);
        }
        // A failure as our backend explains it, and as it must not arrive.
        25 => fail_as_ours(server, stream, out, &["no%20room", "no room"]),
        27 => fail_as_ours(server, stream, out, &["no room"]),
        29 => fail_as_ours(server, stream, out, &["no room", "busy"]),
        31 => fail_as_ours(server, stream, out, &["no room", "no room", "no room"]),
        // Half a message that is said to be all.
        33 => {
            server.respond(stream, 200, Follows::More, out, kind);
            server.data(stream, &content[..8], Follows::More, out);
            server.trailers(stream, out, status(b"0"));
        }
        // What was written, as the trailers say, and something else.
        11 | 13 => {
            server.respond(stream, 200, Follows::More, out, kind);
            server.data(stream, &content, Follows::More, out);
            let digest = digest_value(0, of_body(&content[..content.len() - (stream.0 as usize - 11)]));
            server.trailers(stream, out, |out| {
                status(b"0")(out);
                literal(out, DIGEST_HEADER, &digest);
            });
        }
        // What speaks no gRPC responds with a status of HTTP.
        _ => server.respond(stream, 502, Follows::Nothing, out, |_| {}),
    }
}

#[test]
fn a_call_ends_as_its_status_says_and_one_without_has_not_ended_well() {
    let address = server(100, move |_, peer| {
        while peer.turn() {
            for stream in std::mem::take(&mut peer.asked) {
                respond_to_call(peer, stream);
            }
        }
    });
    let fields = crate::check::grpc::with_fields(Some(Duration::from_secs(2)), Vec::new());
    let request = RequestSpec::new("POST", &fields, &crate::check::grpc::messages(&[]), BodyTransfer::default());
    assert!(request.is_call());
    let traffic = run(&Load { request: Arc::new(request), ..load(address, 1, 1, 17) });
    let seen: Vec<_> = traffic.observations.iter().map(|it| (it.outcome, it.status, it.flaw)).collect();
    let (whole, altered) = (ClientOutcome::Response, ClientOutcome::Altered);
    assert_eq!(
        seen,
        [
            (whole, 200, None),
            (whole, 503, None),
            (whole, 404, None),
            (altered, 200, Some(Flaw::NoCallStatus)),
            (altered, 200, Some(Flaw::NoCallStatus)),
            (whole, 200, None),
            (altered, 200, Some(Flaw::Body)),
            (whole, 502, None),
            (altered, 200, Some(Flaw::NoCallStatus)),
            (whole, 200, None),
            (altered, 200, Some(Flaw::TwoCallStatuses)),
            (whole, 200, Some(Flaw::Field)),
            (whole, 429, None),
            (whole, 429, Some(Flaw::Field)),
            (whole, 429, Some(Flaw::Field)),
            (whole, 429, Some(Flaw::Field)),
            (ClientOutcome::Truncated, 200, Some(Flaw::CutMessage)),
        ]
    );
}

/// An event of a response without an id, as a backend writes it.
fn event(number: u32) -> Vec<u8> {
    let mut text = b"data: ".to_vec();
    StreamEvent { number, written: Moment(0), response: Uuid::nil() }.write(&mut text, 0);
    text.extend_from_slice(b"\n\n");
    text
}

/// What becomes of streams of events, each on a connection of its own.
fn hold_events(address: SocketAddr, streams: usize) -> StreamTraffic {
    let load = StreamLoad {
        target: LoadTarget { http2: true, ..LoadTarget::new(address, address.to_string(), "/events") },
        run: 0x4d2,
        first: 0,
        request: Arc::new(RequestSpec::default()),
        identity: Identity::Fleet,
        kind: StreamKind::Events,
        streams,
        every: Duration::ZERO,
        duration: PATIENCE,
        patience: PATIENCE,
        reopens: false,
        only_opens: false,
    };
    hold(&load, &mut BackendNames::new(Vec::new()), &LoadProgress::default()).unwrap()
}

#[test]
fn a_stream_of_events_ends_as_its_stream_of_http_2_does() {
    let address = server(1, |number, peer| {
        while peer.turn() && peer.asked.is_empty() {}
        let stream = peer.asked[0];
        let (out, server) = (&mut peer.out, &mut peer.server);
        match number {
            5 => server.reset(stream, ErrorCode::REFUSED_STREAM, out),
            6 => server.respond(stream, 404, Follows::Nothing, out, |_| {}),
            _ => {
                server.respond(stream, 200, Follows::More, out, |out| {
                    if number == 4 {
                        literal(out, "content-length", b"10000");
                    }
                });
                server.data(stream, &event(1), Follows::More, out);
                match number {
                    1 => server.reset(stream, ErrorCode::INTERNAL_ERROR, out),
                    2 => {}
                    _ => {
                        if number == 3 {
                            server.go_away(stream, ErrorCode::NO_ERROR, out);
                        }
                        server.data(stream, &event(2), Follows::Nothing, out);
                    }
                }
            }
        }
        let out = std::mem::take(&mut peer.out);
        peer.socket.write_all(&out).unwrap();
        if number == 2 {
            // What is unread at a close would make it a reset.
            peer.socket.shutdown(Shutdown::Write).unwrap();
            let _ = std::io::copy(&mut peer.socket, &mut std::io::sink());
        }
        while peer.turn() {}
    });
    let traffic = hold_events(address, 7);
    let requests = traffic.observations.iter().map(|it| (it.outcome, it.status));
    let ends = traffic.streams.iter().map(|it| (it.end, it.events.last));
    let seen: Vec<_> = requests.zip(ends).collect();
    let (whole, truncated) = (ClientOutcome::Response, ClientOutcome::Truncated);
    assert_eq!(
        seen,
        [
            ((whole, 200), (ClientEnd::Whole, 2)),
            ((truncated, 200), (ClientEnd::Reset, 1)),
            ((truncated, 200), (ClientEnd::Closed, 1)),
            ((whole, 200), (ClientEnd::Whole, 2)),
            ((truncated, 200), (ClientEnd::Reset, 2)),
            ((ClientOutcome::StreamReset, 0), (ClientEnd::NotOpened, 0)),
            ((whole, 404), (ClientEnd::NotOpened, 0)),
        ]
    );
}
