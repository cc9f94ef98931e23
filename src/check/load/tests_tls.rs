//! The client over TLS, with servers that misbehave in it. Certificates are made here.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{AlertDescription, HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::io::tls::TlsFailure;
use testbed::server::listen;
use verdict::observation::ClientOutcome;

const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate and its key.
struct Certified {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Certified {
    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

fn localhost() -> Certified {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    Certified { certificate: certificate.der().clone(), key }
}

/// A port where nobody listens.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A server of this process, and how each of its handshakes went.
struct TlsServer {
    address: SocketAddr,
    handshakes: Arc<Mutex<Vec<HandshakeKind>>>,
    tls: Tls,
}

/// The server's end of a connection.
struct TlsPeer(StreamOwned<ServerConnection, TcpStream>);

impl TlsServer {
    /// Each connection is handled so, with its number from 0.
    fn new(certified: &Certified, handle: impl Fn(usize, TlsPeer) + Send + Sync + 'static) -> TlsServer {
        TlsServer::configured(certified, |_| {}, handle)
    }

    fn configured(
        certified: &Certified,
        configure: impl Fn(&mut ServerConfig),
        handle: impl Fn(usize, TlsPeer) + Send + Sync + 'static,
    ) -> TlsServer {
        let (certificate, key) = (certified.certificate.clone(), certified.key());
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
            handle(number, TlsPeer(stream));
        });
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let tls = Tls::trusting(ServerName::try_from("localhost").unwrap(), roots, vec![certificate]).unwrap();
        TlsServer { address, handshakes, tls }
    }

    fn target(&self) -> LoadTarget {
        LoadTarget { tls: Some(self.tls.clone()), ..LoadTarget::new(self.address, "localhost", "/") }
    }

    fn load(&self, requests: u64) -> Load {
        Load {
            requests: Some(requests),
            timeout: PATIENCE,
            body_limit: 1 << 30,
            identity: Identity::Header("X-Backend".to_owned()),
            ..Load::new(self.target(), 1)
        }
    }

    /// What a probe on a connection that is kept sees.
    fn probe(&self, prober: &mut Prober) -> ProbeResult {
        let mut backends = BackendNames::new(Vec::new());
        prober.probe(&Probe { connection: ProbeConnection::Kept(0), ..Probe::default() }, &mut backends).unwrap()
    }

    fn prober(&self, timeout: Duration) -> Prober {
        Prober::new(self.target(), 1, 0, timeout, Identity::Header("X-Backend".to_owned()))
    }

    /// As the engine and the prober see the first request.
    #[track_caller]
    fn first(&self) -> ClientOutcome {
        let outcome = run(&self.load(1)).observations[0].outcome;
        assert_eq!(self.probe(&mut self.prober(PATIENCE)).observation.outcome, outcome);
        outcome
    }
}

impl TlsPeer {
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

fn run(load: &Load) -> Traffic {
    drive(load, &mut BackendNames::new(Vec::new()), &LoadProgress::default()).unwrap()
}

fn outcomes(traffic: &Traffic) -> Vec<(ClientOutcome, bool)> {
    traffic.observations.iter().map(|it| (it.outcome, it.reused)).collect()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UNTIL_CLOSED: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nok";

#[test]
fn a_body_that_ends_with_the_connection_is_whole_only_if_the_end_was_announced() {
    for (answer, announced, outcome) in [
        (OK, true, ClientOutcome::Response),
        (OK, false, ClientOutcome::Response),
        (UNTIL_CLOSED, true, ClientOutcome::Response),
        (UNTIL_CLOSED, false, ClientOutcome::Truncated),
        (&UNTIL_CLOSED[..10], true, ClientOutcome::Truncated),
        (b"", true, ClientOutcome::Closed),
        (b"", false, ClientOutcome::Closed),
    ] {
        let server = TlsServer::new(&localhost(), move |_, mut peer| {
            peer.request();
            peer.say(answer);
            if announced {
                peer.announce_end();
            }
        });
        assert_eq!(server.first(), outcome, "{:?} {announced}", String::from_utf8_lossy(answer));
    }
}

#[test]
fn an_announced_end_ends_a_body_even_if_the_connection_stays() {
    let server = TlsServer::new(&localhost(), |_, mut peer| {
        peer.request();
        peer.say(UNTIL_CLOSED);
        peer.announce_end();
        peer.wait();
    });
    assert_eq!(server.first(), ClientOutcome::Response);
}

#[test]
fn a_connection_whose_end_was_announced_carries_nothing_more() {
    let server = TlsServer::new(&localhost(), |_, mut peer| {
        peer.request();
        peer.say(OK);
        peer.announce_end();
        peer.wait();
    });
    // With the response or after it: the second request then meets the end.
    let load = Load { pacing: Pacing::Open { rate: 20.0 }, ..server.load(5) };
    assert_eq!(outcomes(&run(&load)), [(ClientOutcome::Response, false); 5]);
    let mut prober = server.prober(PATIENCE);
    for _ in 0..3 {
        let seen = server.probe(&mut prober);
        assert_eq!((seen.observation.outcome, seen.observation.reused), (ClientOutcome::Response, false));
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn tickets_and_new_keys_between_answers_do_no_harm() {
    let server = TlsServer::new(&localhost(), |_, mut peer| {
        while peer.request().is_some() {
            peer.0.conn.refresh_traffic_keys().unwrap();
            peer.say(OK);
        }
    });
    let traffic = run(&server.load(20));
    assert!(traffic.observations.iter().all(|it| it.outcome == ClientOutcome::Response));
    assert_eq!(traffic.observations.iter().filter(|it| it.reused).count(), 19);
    let mut prober = server.prober(PATIENCE);
    let reused: Vec<bool> = (0..4).map(|_| server.probe(&mut prober).observation.reused).collect();
    assert_eq!(reused, [false, true, true, true]);
}

#[test]
fn new_connections_resume_the_session() {
    let server = TlsServer::new(&localhost(), |_, mut peer| {
        peer.request();
        peer.say(OK);
        peer.announce_end();
    });
    let traffic = run(&Load { reuse: Reuse::New, ..server.load(10) });
    assert_eq!(outcomes(&traffic), [(ClientOutcome::Response, false); 10]);
    let handshakes = server.handshakes.lock().unwrap();
    assert_eq!(handshakes.len(), 10);
    assert!(handshakes[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{handshakes:?}");
}

#[test]
fn large_bodies_go_both_ways() {
    const BYTES: usize = 3_000_000;
    let server = TlsServer::new(&localhost(), |_, mut peer| {
        while let Some((_, body)) = peer.request() {
            assert_eq!(body, vec![b'x'; BYTES]);
            peer.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n").as_bytes());
            peer.say(&body);
        }
    });
    let load = Load {
        request: Arc::new(RequestSpec::new("POST", &[], &[vec![b'x'; BYTES].into()], BodyTransfer::default())),
        connections: 2,
        ..server.load(6)
    };
    assert!(run(&load).observations.iter().all(|it| it.outcome == ClientOutcome::Response));
}

#[test]
fn a_handshake_that_fails_is_told_from_a_connection_that_does() {
    let certified = localhost();
    let stranger = TlsServer::new(&certified, |_, _| {});
    // Nothing comes, the end comes, another protocol comes, or a refusal.
    let silent = listen(|mut stream| while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {});
    let closing = listen(|mut stream| drop(stream.read(&mut [0; 4096])));
    let plain = listen(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let http2 = TlsServer::configured(&certified, |config| config.alpn_protocols = vec![b"h2".to_vec()], |_, _| {});
    let patience = Duration::from_millis(300);
    for (address, failure) in [
        (silent, TlsFailure::TimedOut),
        (closing, TlsFailure::Closed),
        (plain, TlsFailure::NoTls),
        (http2.address, TlsFailure::Alert(AlertDescription::NoApplicationProtocol)),
    ] {
        let target = LoadTarget { address, ..stranger.target() };
        let load = Load { targets: vec![target.clone()], timeout: patience, ..stranger.load(2) };
        assert_eq!(outcomes(&run(&load)), [(ClientOutcome::TlsFailed, false); 2], "{failure:?}");
        let mut prober = Prober::new(target, 1, 0, patience, Identity::Header("X-Backend".to_owned()));
        let seen = stranger.probe(&mut prober);
        assert_eq!((seen.observation.outcome, seen.tls_failure), (ClientOutcome::TlsFailed, Some(failure)));
    }
    // Where nobody listens there is no handshake.
    let nobody = LoadTarget { address: (Ipv4Addr::LOCALHOST, free_port()).into(), ..stranger.target() };
    assert_eq!(
        outcomes(&run(&Load { targets: vec![nobody], ..stranger.load(2) })),
        [(ClientOutcome::Refused, false); 2]
    );
}

#[test]
fn a_certificate_is_shown_where_one_is_asked_for_and_its_lack_is_known() {
    let (own, client) = (localhost(), localhost());
    let mut roots = RootCertStore::empty();
    roots.add(client.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider).allow_unauthenticated().build().unwrap();
    let ask = move |config: &mut ServerConfig| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = own.key();
        *config = versions
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(vec![own.certificate.clone()], key)
            .unwrap();
    };
    let certified = localhost();
    let server = TlsServer::configured(
        &certified,
        |_| {},
        |_, mut peer| {
            peer.request();
            peer.say(OK);
        },
    );
    let mut prober = server.prober(PATIENCE);
    assert!(!server.probe(&mut prober).certificate_missing, "none is asked for");
    let server = TlsServer::configured(&certified, ask, |_, mut peer| {
        peer.request();
        let shown = peer.0.conn.peer_certificates().is_some_and(|chain| !chain.is_empty());
        peer.say(if shown { OK } else { b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" });
    });
    let anyone = Tls::trusting_anyone(ServerName::try_from("localhost").unwrap());
    let ask = |tls: Tls| {
        let target = LoadTarget { tls: Some(tls), ..server.target() };
        let mut prober = Prober::new(target, 1, 0, PATIENCE, Identity::Header("X-Backend".to_owned()));
        let seen = server.probe(&mut prober);
        (seen.observation.status, seen.certificate_missing)
    };
    assert_eq!(ask(anyone.clone()), (400, true));
    let showing = anyone.clone().with_certificate(vec![client.certificate.clone()], client.key()).unwrap();
    assert_eq!(ask(showing), (200, false));
    let other = localhost();
    assert!(anyone.with_certificate(vec![client.certificate.clone()], other.key()).is_err(), "another one's key");
}
