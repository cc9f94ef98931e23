//! The PROXY protocol over real sockets: whom records and answers name, what is refused, and that real balancers are understood.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::http::{Answer, Connection, GET};
use crate::support::{Fleet, TemporaryDirectory, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use verdict::AttemptEnd;

const GET_JSON: &str = "GET /?format=json HTTP/1.1\r\nHost: h\r\n\r\n";
const V1: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xdc\x04\x01\xbb";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// A fleet of one that understands it.
struct Backend {
    fleet: Fleet,
    port: u16,
}

impl Backend {
    fn start(flags: &[&str]) -> Backend {
        let (fleet, ports) = Fleet::of(1, &[&["--proxy-protocol"], flags].concat());
        Backend { fleet, port: ports[0] }
    }

    /// A connection that begins with these bytes, and its own address.
    fn client(&self, header: &[u8]) -> (Connection, String) {
        let mut client = Connection::to(self.port);
        client.stream.write_all(header).unwrap();
        let own = client.stream.local_addr().unwrap().to_string();
        (client, own)
    }

    /// Who is named in the records, in their order.
    fn peers(&self, count: usize) -> Vec<String> {
        eventually("all is recorded", || self.fleet.records().records.len() == count);
        self.fleet.records().records.into_iter().map(|record| record.peer).collect()
    }
}

/// Who asked, and by whom it came.
fn told(answer: &Answer) -> (String, Option<String>) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    (told["peer"].as_str().unwrap().to_owned(), told.get("via").map(|via| via.as_str().unwrap().to_owned()))
}

// Who it was.

#[test]
fn the_client_that_a_header_tells_of_is_named_in_answers_records_and_log() {
    let backend = Backend::start(&[]);
    let mut v6 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x27\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01".to_vec();
    // The destination, ports, and an extension.
    v6.extend(b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xdc\x04\x01\xbb\x04\0\0");
    let mut expected = Vec::new();
    for (header, peer) in [
        (V1, "192.0.2.1:56324"),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", "[2001:db8::1]:56324"),
        (V2, "192.0.2.1:56324"),
        (&v6, "[2001:db8::1]:56324"),
    ] {
        let (mut client, own) = backend.client(header);
        // It is told once, for all requests of its connection.
        for _ in 0..2 {
            assert_eq!(told(&client.ask(GET_JSON)), (peer.to_owned(), Some(own.clone())));
            expected.push(peer);
        }
    }
    assert_eq!(backend.peers(8), expected);
    backend.fleet.log.wait_for(&format!("{} 192.0.2.1:56324 GET /?format=json 200 ", backend.port));
    let (mut client, own) = backend.client(V1);
    let text = client.ask("GET /?format=text HTTP/1.1\r\nHost: h\r\n\r\n").body;
    assert!(text.contains(&format!("\npeer: 192.0.2.1:56324\nvia: {own}\nconnection: 5\n")), "{text}");
}

#[test]
fn a_header_that_tells_of_nobody_leaves_the_sender() {
    let backend = Backend::start(&[]);
    let mut expected = Vec::new();
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n", LOCAL] {
        let (mut client, own) = backend.client(header);
        assert_eq!(told(&client.ask(GET_JSON)), (own.clone(), Some(own.clone())));
        expected.push(own);
    }
    assert_eq!(backend.peers(3), expected);
}

#[test]
fn a_connection_without_a_header_is_served_as_ever() {
    let backend = Backend::start(&[]);
    let (mut client, own) = backend.client(b"");
    assert_eq!(told(&client.ask(GET_JSON)), (own.clone(), None));
    // An empty line may come before a request, and looks like the begin of a header.
    let (mut client, second) = backend.client(b"\r\n\r\n");
    assert_eq!(told(&client.ask(GET_JSON)), (second.clone(), None));
    let (mut client, third) = backend.client(b"P");
    assert_eq!(told(&client.ask("OST /?format=json HTTP/1.1\r\nHost: h\r\n\r\n")), (third.clone(), None));
    // Only the first bytes can be one.
    let (mut client, _) = backend.client(GET.as_bytes());
    client.answer().unwrap().expect_page_of(backend.port);
    client.stream.write_all(V1).unwrap();
    assert_eq!(client.answer().unwrap().status, 400);
    assert_eq!(backend.peers(5)[..3], [own, second, third]);
}

#[test]
fn a_header_may_come_byte_by_byte_and_with_requests_behind_it() {
    let backend = Backend::start(&[]);
    for header in [V1, V2] {
        let (mut client, own) = backend.client(b"");
        client.stream.set_nodelay(true).unwrap();
        for byte in [header, GET_JSON.as_bytes()].concat() {
            client.stream.write_all(&[byte]).unwrap();
        }
        assert_eq!(told(&client.answer().unwrap()), ("192.0.2.1:56324".to_owned(), Some(own)));
        let (mut client, own) =
            backend.client(&[header, GET_JSON.as_bytes(), GET.as_bytes(), GET_JSON.as_bytes()].concat());
        let expected = ("192.0.2.1:56324".to_owned(), Some(own));
        assert_eq!(told(&client.answer().unwrap()), expected);
        client.answer().unwrap().expect_page_of(backend.port);
        assert_eq!(told(&client.answer().unwrap()), expected);
    }
    assert_eq!(backend.peers(8), ["192.0.2.1:56324"; 8]);
}

#[test]
fn over_a_unix_socket_a_header_tells_of_the_client_too() {
    let folder = TemporaryDirectory::new();
    let backend = Backend::start(&["--sockets", folder.path().to_str().unwrap()]);
    let path = folder.path().join(format!("{}.sock", backend.port));
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    stream.write_all(&[V2, b"GET /?format=json HTTP/1.0\r\n\r\n"].concat()).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    assert!(answer.contains("\"peer\": \"192.0.2.1:56324\",\n  \"via\": \"unix\",\n"), "{answer}");
    assert_eq!(backend.peers(1), ["192.0.2.1:56324"]);
}

// What is refused.

#[test]
fn a_malformed_header_is_answered_with_400_recorded_and_its_connection_closed() {
    let backend = Backend::start(&[]);
    let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
    let cases: [(&[u8], &str); 8] = [
        (b"PROXY TCP4 192.0.2.1\r\n", "no PROXY header as version 1 writes it"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n", "no PROXY header as version 1 writes it"),
        (b"PROXY / HTTP/1.1\r\nHost: h\r\n\r\n", "no PROXY header as version 1 writes it"),
        (&long, "a PROXY header of version 1 that does not end after 107 bytes"),
        (b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c", "a binary PROXY header of a version other than 2"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x51\0\x0c............", "an unknown address family or transport"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04....", "too short for its addresses"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "larger than 2048 bytes"),
    ];
    let mut expected = Vec::new();
    for (header, why) in cases {
        let (mut client, own) = backend.client(header);
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.header("Connection")), (400, Some("close")), "{answer:?}");
        assert!(answer.body.contains(why) && answer.body.lines().count() == 1, "{answer:?}");
        assert!(client.is_closed().unwrap());
        expected.push(own);
    }
    assert_eq!(backend.peers(8), expected);
    for record in backend.fleet.records().records {
        assert_eq!((record.status, record.outcome, &*record.method), (400, AttemptEnd::Completed, "-"));
    }
}

#[test]
fn a_header_has_as_much_time_as_a_head_however_it_comes() {
    let backend = Backend::start(&["--header-timeout", "300ms"]);
    for header in [&b"PROXY TCP4 192"[..], &V2[..20]] {
        let begun = Instant::now();
        let (mut client, _) = backend.client(&header[..1]);
        client.stream.write_all(&header[1..]).unwrap();
        assert_eq!(client.answer().unwrap().status, 408);
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(290) && took < Duration::from_secs(5), "{took:?}");
    }
    let (mut client, _) = backend.client(V1);
    assert!(client.is_closed().unwrap(), "nothing was asked");
}

#[test]
fn without_the_setting_a_header_is_no_request() {
    let (fleet, ports) = Fleet::of(1, &[]);
    for header in [V1, V2] {
        let mut client = Connection::to(ports[0]);
        client.stream.write_all(&[header, GET.as_bytes()].concat()).unwrap();
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("only where --proxy-protocol is set"), "{answer:?}");
        assert!(client.is_closed().unwrap());
    }
    assert!(fleet.records().records.iter().all(|record| record.peer.starts_with("127.0.0.1:")));
}

#[test]
fn a_connection_whose_header_has_come_can_still_be_used_once_when_its_backend_drains() {
    let backend = Backend::start(&[]);
    let (mut client, _) = backend.client(V1);
    // Taken after the first one.
    Connection::to(backend.port).ask(GET).expect_page_of(backend.port);
    crate::support::send(backend.fleet.backend_pid(backend.port), Signal::TERM);
    client.expect_silence(Duration::from_millis(300));
    client.ask(GET).expect_page_of(backend.port);
    backend.fleet.expect_said("App server stopped");
}

// Real balancers.

#[test]
fn real_haproxy_says_who_the_client_is_by_ports_and_sockets_in_both_versions() {
    let folder = TemporaryDirectory::new();
    let backend = Backend::start(&["--sockets", folder.path().to_str().unwrap()]);
    let (port, socket) = (backend.port, folder.path().join(format!("{}.sock", backend.port)));
    let mut clients = Vec::new();
    for server in [format!("127.0.0.1:{port}"), format!("unix@{}", socket.display())] {
        for how in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"] {
            let haproxy = Haproxy::start(&format!("{server} {how} check inter 50ms check-send-proxy"));
            let mut client = Connection::open(haproxy.address).unwrap();
            let own = client.stream.local_addr().unwrap().to_string();
            let (peer, via) = told(&client.ask("GET /client?format=json HTTP/1.1\r\nHost: h\r\n\r\n"));
            assert_eq!(peer, own, "{server} {how}");
            assert_eq!(via.unwrap() == "unix", server.starts_with("unix"), "{server} {how}");
            clients.push(own);
            let before = backend.fleet.records().next;
            eventually("it probes, and says that it is itself", || {
                let records: api::RecordsPage = backend.fleet.api_get(&format!("/v1/records?from={before}"));
                let mut probes = records.records.into_iter().filter(|record| record.path == "/readyz");
                probes.any(|probe| probe.status == 200 && (probe.peer == "unix") == server.starts_with("unix"))
            });
        }
    }
    let records = backend.fleet.records().records;
    let named: Vec<&String> = records.iter().filter(|it| it.path.starts_with("/client")).map(|it| &it.peer).collect();
    assert_eq!(named, clients.iter().collect::<Vec<_>>());
    assert!(records.iter().all(|record| record.status == 200), "{records:?}");
}

/// A running HAProxy with one server. Dropping it ends it.
struct Haproxy {
    address: SocketAddr,
    process: Child,
    place: TemporaryDirectory,
}

impl Haproxy {
    fn start(server: &str) -> Haproxy {
        let place = TemporaryDirectory::new();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, crate::support::ports(1)[0]));
        let file = place.path().join("haproxy.cfg");
        let configuration = format!(
            "global\n    maxconn 100\n    nbthread 1\ndefaults\n    mode http\n    timeout connect 5s\n    timeout client 5s\n    \
             timeout server 5s\nfrontend in\n    bind {address}\n    default_backend fleet\nbackend fleet\n    \
             option httpchk GET /readyz\n    server one {server}\n"
        );
        fs::write(&file, configuration).unwrap();
        let output = File::create(place.path().join("output")).unwrap();
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-f"]).arg(&file).stdin(Stdio::null());
        let process = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        let mut haproxy = Haproxy { address, process, place };
        eventually("haproxy accepts connections", || {
            let ended = haproxy.process.try_wait().unwrap();
            let said = fs::read_to_string(haproxy.place.path().join("output")).unwrap_or_default();
            assert!(ended.is_none(), "haproxy ended: {said}");
            TcpStream::connect(address).is_ok()
        });
        haproxy
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
    }
}
