//! The check's client over TLS: through a real nginx that terminates it, and with servers that misbehave in it. Certificates are
//! made here, good ones and bad ones.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::nginx::{Certified, Configuration, Nginx};
use crate::support::{Fleet, PATIENCE, error_of};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use uuid_generator::check::load::{
    Backends, Connection, Identity, Load, Pacing, Probe, Prober, Progress, Reuse, Seen, Target, Tls, TlsFailure,
    Traffic, Vary, drive,
};
use verdict::observation::ClientOutcome;
use verdict::report::{Report, Verdict};

const BOTH: &str = "TLSv1.2 TLSv1.3";
const SOME: [&str; 2] = ["-n", "3000"];

// Certificates.

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, format!("the server {name}"));
    params
}

/// One that signs itself.
fn signed_by_itself(params: CertificateParams) -> Certified {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Certified { certificates: certificate.pem(), key: key.serialize_pem(), protocols: BOTH }
}

fn localhost() -> Certified {
    signed_by_itself(params("localhost"))
}

/// As `openssl req -x509` does.
fn marked_as_an_authority(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// One that an authority signed, and the authority's.
fn signed_by_an_authority() -> (Certified, String) {
    let authority = KeyPair::generate().unwrap();
    let its = marked_as_an_authority(params("authority"));
    let its_certificate = its.self_signed(&authority).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let certificate = params("localhost").signed_by(&key, &Issuer::new(its, authority)).unwrap();
    (Certified { certificates: certificate.pem(), key: key.serialize_pem(), protocols: BOTH }, its_certificate)
}

// The whole check.

struct Bench {
    fleet: Fleet,
    nginx: Nginx,
}

impl Bench {
    fn of(certified: &Certified) -> Bench {
        let (fleet, ports) = Fleet::of(3, &["--log", "off"]);
        let nginx = Configuration { tls: Some(certified.clone()), ..Configuration::of(&ports) }.start();
        Bench { fleet, nginx }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/uuid", self.nginx.port())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.fleet.place.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn check(&self, options: &[&str]) -> Output {
        self.fleet.program(&[&["check", &self.url(), "--format", "json"], options].concat())
    }

    #[track_caller]
    fn passes(&self, options: &[&str]) {
        let output = self.check(&[&SOME[..], options].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert_eq!(report.verdict, Verdict::Pass, "{options:?}: {:#?}", report.checks[0].findings);
        let account = &report.checks[0].account;
        let delivered = account.outcomes.iter().find(|it| it.outcome.name() == "delivered").map_or(0, |it| it.count);
        assert!(delivered == account.sent && delivered >= 3000, "{account:?}");
    }

    #[track_caller]
    fn cannot_run(&self, options: &[&str], texts: &[&str]) {
        let said = error_of(&self.check(options));
        for text in texts {
            assert!(said.contains(text), "no {text:?} in {said}");
        }
    }
}

#[test]
fn a_check_through_tls_passes_with_an_authority_given_and_with_any_certificate_trusted() {
    let (certified, authority) = signed_by_an_authority();
    for protocols in ["TLSv1.2", "TLSv1.3"] {
        let bench = Bench::of(&Certified { protocols, ..certified.clone() });
        bench.file("authority.pem", &authority);
        bench.passes(&["--ca", "authority.pem"]);
        bench.passes(&["--insecure", "--new-connections"]);
        bench.passes(&["--insecure", "--rate", "2000", "--method", "POST", "--body-bytes", "100000"]);
    }
}

#[test]
fn a_certificate_that_signs_itself_is_trusted_when_it_is_given() {
    for certified in [localhost(), signed_by_itself(marked_as_an_authority(params("localhost")))] {
        let bench = Bench::of(&certified);
        bench.file("own.pem", &certified.certificates);
        bench.passes(&["--ca", "own.pem"]);
        bench.cannot_run(&[], &["nobody whom this machine trusts", "--ca FILE", "--insecure"]);
        bench.file("other.pem", &localhost().certificates);
        bench.cannot_run(&["--ca", "other.pem"], &["https://localhost", "certificate"]);
    }
}

#[test]
fn a_certificate_that_is_out_of_time_or_for_another_name_is_said_to_be_that() {
    let over = |mut params: CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        params
    };
    let other = || params("elsewhere.example");
    for (params, texts) in [
        (over(params("localhost")), ["not valid now", "clock"]),
        (over(marked_as_an_authority(params("localhost"))), ["not valid now", "clock"]),
        (other(), ["another name than localhost: elsewhere.example", "--insecure"]),
        (marked_as_an_authority(other()), ["another name than localhost: elsewhere.example", "--insecure"]),
    ] {
        let certified = signed_by_itself(params);
        let bench = Bench::of(&certified);
        bench.file("own.pem", &certified.certificates);
        bench.cannot_run(&["--ca", "own.pem"], &texts);
    }
    Bench::of(&signed_by_itself(over(other()))).passes(&["--insecure"]);
}

#[test]
fn a_port_with_tls_and_one_without_are_told_apart() {
    let bench = Bench::of(&localhost());
    let port = bench.nginx.port();
    let said = error_of(&bench.fleet.program(&["check", &format!("http://localhost:{port}/uuid")]));
    assert!(
        said.contains("that port speaks TLS") && said.contains(&format!("https://localhost:{port}/uuid")),
        "{said}"
    );
    let plain = Configuration::of(&[1]).start();
    let url = format!("https://localhost:{}/uuid", plain.port());
    let said = error_of(&bench.fleet.program(&["check", &url, "--insecure"]));
    assert!(said.contains("what it answers is no TLS") && said.contains("http://"), "{said}");
    // One that does not say in HTTP what it thinks of that.
    let strict = Server::new(&localhost(), |_, mut peer| drop(peer.request()));
    let said = error_of(&bench.fleet.program(&["check", &format!("http://{}/uuid", strict.address)]));
    assert!(said.contains("that port speaks TLS"), "{said}");
}

#[test]
fn a_server_that_closes_during_the_handshake_is_said_to_do_that() {
    let (fleet, _ports) = Fleet::of(1, &["--log", "off"]);
    let address = listen(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
    });
    let said = error_of(&fleet.program(&["check", &format!("https://{address}/uuid"), "--insecure"]));
    assert!(said.contains("closes the connection during the TLS handshake"), "{said}");
    assert!(said.contains("does that port speak TLS?"), "{said}");
}

#[test]
fn options_of_tls_need_a_url_with_tls_and_a_file_with_certificates() {
    let bench = Bench::of(&localhost());
    let plain = |options: &[&str]| error_of(&bench.fleet.program(&[&["check", "localhost:80/uuid"], options].concat()));
    let said = plain(&["--insecure"]);
    assert!(said.contains("--insecure is about TLS") && said.contains("https://"), "{said}");
    let said = plain(&["--ca", "any.pem"]);
    assert!(said.contains("--ca is about TLS"), "{said}");
    bench.cannot_run(&["--ca", "missing.pem"], &["--ca missing.pem", "No such file"]);
    bench.file("empty.pem", "nothing");
    bench.cannot_run(&["--ca", "empty.pem"], &["--ca empty.pem", "no certificate", "BEGIN CERTIFICATE"]);
    bench.cannot_run(&["--ca", "empty.pem", "--insecure"], &["cannot be used with"]);
    let checks = format!("[[check]]\nurl = \"{}\"\ninsecure = true\nrequests = 3000\n", bench.url());
    let file = bench.file("checks.toml", &checks);
    let output = bench.fleet.program(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    bench.file("checks.toml", &checks.replace("insecure = true", "ca = \"a\"\ninsecure = true"));
    let said = error_of(&bench.fleet.program(&["check", "--config", file.to_str().unwrap()]));
    assert!(said.contains("--ca and --insecure"), "{said}");
}

// The client alone.

/// A server of this process, and how each of its handshakes went.
struct Server {
    address: SocketAddr,
    handshakes: Arc<Mutex<Vec<HandshakeKind>>>,
    tls: Tls,
}

/// The server's end of a connection.
struct Peer(StreamOwned<ServerConnection, TcpStream>);

impl Server {
    /// Each connection is handled so, with its number from 0.
    fn new(certified: &Certified, handle: impl Fn(usize, Peer) + Send + Sync + 'static) -> Server {
        Server::configured(certified, |_| {}, handle)
    }

    fn configured(
        certified: &Certified,
        configure: impl Fn(&mut ServerConfig),
        handle: impl Fn(usize, Peer) + Send + Sync + 'static,
    ) -> Server {
        let certificate = CertificateDer::from_pem_slice(certified.certificates.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = versions.with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
        configure(&mut config);
        let config = Arc::new(config);
        let handshakes = Arc::new(Mutex::new(Vec::new()));
        let seen = handshakes.clone();
        let number = Mutex::new(0..);
        let address = listen(move |stream| {
            let number = number.lock().unwrap().next().unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            while stream.conn.is_handshaking() {
                if stream.conn.complete_io(&mut stream.sock).is_err() {
                    return;
                }
            }
            seen.lock().unwrap().extend(stream.conn.handshake_kind());
            handle(number, Peer(stream));
        });
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let tls = Tls::trusting(ServerName::try_from("localhost").unwrap(), roots, vec![certificate]).unwrap();
        Server { address, handshakes, tls }
    }

    fn target(&self) -> Target {
        Target {
            address: self.address,
            host: "localhost".to_owned(),
            path: "/".to_owned(),
            tls: Some(self.tls.clone()),
        }
    }

    fn load(&self, requests: u64) -> Load {
        Load {
            target: self.target(),
            run: 1,
            first: 0,
            method: "GET".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            connections: 1,
            reuse: Reuse::Kept,
            pacing: Pacing::Closed,
            requests: Some(requests),
            duration: None,
            timeout: PATIENCE,
            body_limit: 1 << 30,
            vary: Vary::Nothing,
            identity: Identity::Header("X-Backend".to_owned()),
        }
    }

    /// What a probe on a connection that is kept sees.
    fn probe(&self, prober: &mut Prober) -> Seen {
        let mut backends = Backends::new(Vec::new());
        prober.probe(&Probe { connection: Connection::Kept(0), ..Probe::default() }, &mut backends).unwrap()
    }

    fn prober(&self, timeout: Duration) -> Prober {
        Prober::new(self.target(), 1, 0, timeout, Identity::Header("X-Backend".to_owned()))
    }

    /// As the engine and the prober see the first request.
    #[track_caller]
    fn first(&self) -> ClientOutcome {
        let sight = run(&self.load(1)).observations[0].sight;
        assert_eq!(self.probe(&mut self.prober(PATIENCE)).observation.sight, sight);
        sight
    }
}

impl Peer {
    /// The next request's head and body; none at the end of the connection.
    fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).ok()?;
        Some((head, body))
    }

    fn say(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
        let _ = self.0.flush();
    }

    fn announce_end(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.conn.complete_io(&mut self.0.sock);
    }

    /// Until the other end closes.
    fn wait(mut self) {
        while matches!(self.0.sock.read(&mut [0; 4096]), Ok(1..)) {}
    }
}

fn listen(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (handle, stream) = (handle.clone(), stream.unwrap());
            thread::spawn(move || handle(stream));
        }
    });
    address
}

fn run(load: &Load) -> Traffic {
    drive(load, &mut Backends::new(Vec::new()), &Progress::default()).unwrap()
}

fn sights(traffic: &Traffic) -> Vec<(ClientOutcome, bool)> {
    traffic.observations.iter().map(|it| (it.sight, it.reused)).collect()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UNTIL_CLOSED: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nok";

#[test]
fn a_body_that_ends_with_the_connection_is_whole_only_if_the_end_was_announced() {
    for (answer, announced, sight) in [
        (OK, true, ClientOutcome::Answer),
        (OK, false, ClientOutcome::Answer),
        (UNTIL_CLOSED, true, ClientOutcome::Answer),
        (UNTIL_CLOSED, false, ClientOutcome::Truncated),
        (&UNTIL_CLOSED[..10], true, ClientOutcome::Truncated),
        (b"", true, ClientOutcome::Closed),
        (b"", false, ClientOutcome::Closed),
    ] {
        let server = Server::new(&localhost(), move |_, mut peer| {
            peer.request();
            peer.say(answer);
            if announced {
                peer.announce_end();
            }
        });
        assert_eq!(server.first(), sight, "{:?} {announced}", String::from_utf8_lossy(answer));
    }
}

#[test]
fn an_announced_end_ends_a_body_even_if_the_connection_stays() {
    let server = Server::new(&localhost(), |_, mut peer| {
        peer.request();
        peer.say(UNTIL_CLOSED);
        peer.announce_end();
        peer.wait();
    });
    assert_eq!(server.first(), ClientOutcome::Answer);
}

#[test]
fn a_connection_whose_end_was_announced_carries_nothing_more() {
    let server = Server::new(&localhost(), |_, mut peer| {
        peer.request();
        peer.say(OK);
        peer.announce_end();
        peer.wait();
    });
    // With the answer or after it: the second request then meets the end.
    let load = Load { pacing: Pacing::Open { rate: 20.0 }, ..server.load(5) };
    assert_eq!(sights(&run(&load)), [(ClientOutcome::Answer, false); 5]);
    let mut prober = server.prober(PATIENCE);
    for _ in 0..3 {
        let seen = server.probe(&mut prober);
        assert_eq!((seen.observation.sight, seen.observation.reused), (ClientOutcome::Answer, false));
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn tickets_and_new_keys_between_answers_do_no_harm() {
    let server = Server::new(&localhost(), |_, mut peer| {
        while peer.request().is_some() {
            peer.0.conn.refresh_traffic_keys().unwrap();
            peer.say(OK);
        }
    });
    let traffic = run(&server.load(20));
    assert!(traffic.observations.iter().all(|it| it.sight == ClientOutcome::Answer));
    assert_eq!(traffic.observations.iter().filter(|it| it.reused).count(), 19);
    let mut prober = server.prober(PATIENCE);
    let reused: Vec<bool> = (0..4).map(|_| server.probe(&mut prober).observation.reused).collect();
    assert_eq!(reused, [false, true, true, true]);
}

#[test]
fn new_connections_resume_the_session() {
    let server = Server::new(&localhost(), |_, mut peer| {
        peer.request();
        peer.say(OK);
        peer.announce_end();
    });
    let traffic = run(&Load { reuse: Reuse::New, ..server.load(10) });
    assert_eq!(sights(&traffic), [(ClientOutcome::Answer, false); 10]);
    let handshakes = server.handshakes.lock().unwrap();
    assert_eq!(handshakes.len(), 10);
    assert!(handshakes[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{handshakes:?}");
}

#[test]
fn large_bodies_go_both_ways() {
    const BYTES: usize = 3_000_000;
    let server = Server::new(&localhost(), |_, mut peer| {
        while let Some((_, body)) = peer.request() {
            assert_eq!(body, vec![b'x'; BYTES]);
            peer.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n").as_bytes());
            peer.say(&body);
        }
    });
    let load = Load { body: vec![b'x'; BYTES], method: "POST".to_owned(), connections: 2, ..server.load(6) };
    assert!(run(&load).observations.iter().all(|it| it.sight == ClientOutcome::Answer));
}

#[test]
fn a_handshake_that_fails_is_told_from_a_connection_that_does() {
    let certified = localhost();
    let stranger = Server::new(&certified, |_, _| {});
    // Nothing comes, the end comes, another protocol comes, or a refusal.
    let silent = listen(|mut stream| while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {});
    let closing = listen(|mut stream| drop(stream.read(&mut [0; 4096])));
    let plain = listen(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let http2 = Server::configured(&certified, |config| config.alpn_protocols = vec![b"h2".to_vec()], |_, _| {});
    let patience = Duration::from_millis(300);
    for (address, failure) in [
        (silent, TlsFailure::TimedOut),
        (closing, TlsFailure::Closed),
        (plain, TlsFailure::NoTls),
        (http2.address, TlsFailure::Alert("NoApplicationProtocol".to_owned())),
    ] {
        let target = Target { address, ..stranger.target() };
        let load = Load { target: target.clone(), timeout: patience, ..stranger.load(2) };
        assert_eq!(sights(&run(&load)), [(ClientOutcome::TlsFailed, false); 2], "{failure:?}");
        let mut prober = Prober::new(target, 1, 0, patience, Identity::Header("X-Backend".to_owned()));
        let seen = stranger.probe(&mut prober);
        assert_eq!((seen.observation.sight, seen.tls_failure), (ClientOutcome::TlsFailed, Some(failure)));
    }
    // Where nobody listens there is no handshake.
    let nobody = Target { address: (Ipv4Addr::LOCALHOST, crate::support::ports(1)[0]).into(), ..stranger.target() };
    assert_eq!(sights(&run(&Load { target: nobody, ..stranger.load(2) })), [(ClientOutcome::Refused, false); 2]);
}
