//! TLS of the backends: what is served, what records and the fleet's status know of it, and certificates that are bad.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use api::{BadCertificate, RecordView, TlsStatus};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, StreamOwned, version};

use crate::support::balancers;
use crate::support::certificates::{Authority, Certified, params};
use crate::support::http::Connection;
use crate::support::{Fleet, PATIENCE, TemporaryDirectory, error_of, eventually, list, ports, program, run};
use verdict::finding::{Facts, Level};
use verdict::report::Report;

const GET: &str = "GET /uuid HTTP/1.1\r\nHost: h\r\n\r\n";

/// A fleet of one that speaks TLS, and the certificate of its authority.
struct Backend {
    fleet: Fleet,
    port: u16,
    authority: PathBuf,
}

impl Backend {
    fn start(flags: &[&str]) -> Backend {
        let (fleet, ports) = Fleet::of(1, &[&["--tls"], flags].concat());
        let authority = fleet.place.path().join(format!("uuid-generator/ca-{}.pem", ports[0]));
        Backend { fleet, port: ports[0], authority }
    }

    fn client(&self) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.authority).unwrap()).unwrap();
        Client { port: self.port, roots, versions: rustls::ALL_VERSIONS, certificate: None }
    }

    fn records(&self, count: usize) -> Vec<RecordView> {
        eventually("all is recorded", || self.fleet.records().records.len() == count);
        self.fleet.records().records
    }

    fn tls(&self) -> TlsStatus {
        self.fleet.backend(self.port).tls.unwrap()
    }

    /// Waits until that number of handshakes have failed for this reason.
    fn failed(&self, bad: Option<BadCertificate>, reason: &str, count: u64) {
        let is = |status: &TlsStatus| {
            status.failed.iter().any(|it| it.bad_certificate == bad && it.reason.name() == reason && it.count == count)
        };
        eventually(&format!("{count} × {reason} with {bad:?}: {:?}", self.tls()), || is(&self.tls()));
    }

    fn fault(&self, words: &[&str]) {
        let output = self.fleet.program(&[&["fault"], words].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

struct Client {
    port: u16,
    roots: RootCertStore,
    versions: &'static [&'static rustls::SupportedProtocolVersion],
    certificate: Option<Certified>,
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Client {
    fn config(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(self.versions).unwrap();
        let builder = builder.with_root_certificates(self.roots.clone());
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_slice(own.certificates.as_bytes()).unwrap()];
                builder
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap())
                    .unwrap()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    fn connect(&self, config: &Arc<ClientConfig>) -> io::Result<Tls> {
        self.connect_after(config, b"")
    }

    /// After bytes that are no TLS.
    fn connect_after(&self, config: &Arc<ClientConfig>, before: &[u8]) -> io::Result<Tls> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(before)?;
        let mut connection = ClientConnection::new(config.clone(), ServerName::try_from("localhost").unwrap()).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(connection, stream))
    }

    /// Why there is no connection.
    fn refusal(&self) -> Error {
        let error = match self.connect(&self.config()) {
            Ok(mut tls) => ask(&mut tls, GET).unwrap_err(),
            Err(error) => error,
        };
        error.into_inner().unwrap().downcast_ref::<Error>().unwrap().clone()
    }
}

/// The head of the response and its body.
fn ask(tls: &mut Tls, request: &str) -> io::Result<(String, Vec<u8>)> {
    tls.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    tls.read_exact(&mut body)?;
    Ok((head, body))
}

#[test]
fn a_request_under_tls_gets_its_page_and_its_record_knows_the_connection() {
    let backend = Backend::start(&[]);
    const V12: &[&rustls::SupportedProtocolVersion] = &[&version::TLS12];
    const V13: &[&rustls::SupportedProtocolVersion] = &[&version::TLS13];
    for (versions, name) in [(V12, "TLSv1.2"), (V13, "TLSv1.3")] {
        let before = backend.fleet.records().records.len();
        let client = Client { versions, ..backend.client() };
        let config = client.config();
        for turn in 0..2 {
            let mut tls = client.connect(&config).unwrap();
            for _ in 0..2 {
                let (head, body) = ask(&mut tls, GET).unwrap();
                assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("Connection: close"), "{head}");
                assert!(String::from_utf8(body).unwrap().contains(&format!("Generator #{}", backend.port)));
            }
            for record in &backend.records(before + 2 * (turn + 1))[before + 2 * turn..] {
                let tls = record.tls.as_ref().unwrap();
                assert_eq!(
                    (&*tls.version, tls.server_name.as_deref(), tls.resumed),
                    (name, Some("localhost"), turn == 1)
                );
                assert!(tls.cipher.starts_with("TLS_") && !tls.cipher.contains("TLS13"), "{tls:?}");
                assert_eq!(
                    (tls.protocol.as_deref(), tls.bad_certificate, &tls.client_certificate),
                    (Some("http/1.1"), None, &None)
                );
            }
        }
    }
    eventually("handshakes are counted", || backend.tls().completed == 4);
    assert_eq!((backend.tls().resumed, backend.tls().failed), (2, Vec::new()));
    assert!(backend.fleet.backend(backend.port).url.starts_with("https://"));
}

#[test]
fn long_bodies_pass_both_ways_however_slowly_they_are_read() {
    const BYTES: usize = 20_000_000;
    let backend = Backend::start(&[]);
    let client = backend.client();
    let mut tls = client.connect(&client.config()).unwrap();
    let (_, body) = ask(&mut tls, &format!("GET /bytes/{BYTES} HTTP/1.1\r\nHost: h\r\n\r\n")).unwrap();
    assert_eq!(body.len(), BYTES);
    tls.write_all(format!("POST /uuid HTTP/1.1\r\nHost: h\r\nContent-Length: {BYTES}\r\n\r\n").as_bytes()).unwrap();
    tls.write_all(&body).unwrap();
    assert!(ask(&mut tls, "").unwrap().0.starts_with("HTTP/1.1 200"));
    let records = backend.records(2);
    assert!(records[0].bytes > BYTES as u64, "plaintext is counted, and all of it: {:?}", records[0]);
    assert_eq!(records[1].body_bytes, BYTES as u64);
}

#[test]
fn a_plain_request_to_a_port_with_tls_gets_400_and_a_record() {
    let backend = Backend::start(&[]);
    let mut plain = Connection::to(backend.port);
    let answer = plain.ask("GET /x HTTP/1.1\r\nHost: h\r\nCheck-Request-Id: 00000000000004d2-000000000000002a\r\n\r\n");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("plain HTTP request was sent to an HTTPS port"), "{answer:?}");
    let record = &backend.records(1)[0];
    assert!(record.refusal.as_deref().unwrap().contains("HTTPS port") && record.tls.is_none(), "{record:?}");
    assert!(record.request.is_some(), "{record:?}");
    backend.failed(None, "what came is not TLS", 1);
}

#[test]
fn each_bad_certificate_is_refused_for_what_is_wrong_with_it_and_the_backend_learns_why() {
    use BadCertificate::{ClientOnly, Expired, Future, OtherName, Revoked, SelfSigned, UnknownCa};
    let backend = Backend::start(&[]);
    let port = backend.port.to_string();
    let client = backend.client();
    let config = client.config();
    let mut kept = client.connect(&config).unwrap();
    assert!(!ask(&mut kept, GET).unwrap().0.contains("Connection: close"));
    for bad in BadCertificate::ALL {
        backend.fault(&[&port, "certificate", bad.name()]);
        if bad == Expired {
            // A connection with the good certificate serves a last request, if it is not gone by then.
            assert!(ask(&mut kept, GET).is_ok_and(|(head, _)| head.contains("Connection: close")));
        }
        if bad == Revoked {
            let mut tls = client.connect(&config).unwrap();
            assert_eq!(
                tls.conn.handshake_kind(),
                Some(rustls::HandshakeKind::Full),
                "no session of another certificate"
            );
            ask(&mut tls, GET).unwrap();
            let record = backend.records(3).pop().unwrap();
            assert_eq!(record.tls.unwrap().bad_certificate, Some(Revoked));
            continue;
        }
        let error = match client.refusal() {
            Error::InvalidCertificate(error) => error,
            other => panic!("{bad:?}: {other:?}"),
        };
        let (fits, reason) = match bad {
            Expired => (matches!(error, CertificateError::ExpiredContext { .. }), "alert certificate_expired"),
            Future => (matches!(error, CertificateError::NotValidYetContext { .. }), "alert certificate_expired"),
            OtherName => (matches!(error, CertificateError::NotValidForNameContext { .. }), "alert bad_certificate"),
            UnknownCa | SelfSigned => (matches!(error, CertificateError::UnknownIssuer), "alert unknown_ca"),
            ClientOnly => {
                (matches!(error, CertificateError::InvalidPurposeContext { .. }), "alert unsupported_certificate")
            }
            Revoked => unreachable!(),
        };
        assert!(fits, "{bad:?}: {error:?}");
        backend.failed(Some(bad), reason, 1);
    }
    let list = CertificateRevocationListDer::from_pem_file(backend.authority.with_extension("crl.pem"));
    assert!(list.is_ok(), "a list says which one is revoked");
    backend.fault(&[&port, "certificate", "none"]);
    ask(&mut client.connect(&config).unwrap(), GET).unwrap();
    assert_eq!(backend.records(4).pop().unwrap().tls.unwrap().bad_certificate, None);
    assert_eq!(backend.fleet.backend(backend.port).faults, []);
}

#[test]
fn a_client_must_show_a_certificate_of_the_authority_that_is_asked_for() {
    let (ours, others) = (Authority::new(), Authority::new());
    let place = TemporaryDirectory::new();
    let file = place.path().join("clients.pem");
    fs::write(&file, ours.pem()).unwrap();
    let backend = Backend::start(&["--client-ca", file.to_str().unwrap()]);
    assert!(backend.tls().asks_clients);
    let with = |certificate| Client { certificate, ..backend.client() };
    let client = with(Some(ours.sign(&params("the-balancer"))));
    ask(&mut client.connect(&client.config()).unwrap(), GET).unwrap();
    let shown = backend.records(1)[0].tls.clone().unwrap().client_certificate;
    assert_eq!(shown.as_deref(), Some("the server the-balancer"));
    assert!(matches!(with(None).refusal(), Error::AlertReceived(_)));
    backend.failed(None, "the client shows no certificate", 1);
    assert!(matches!(with(Some(others.sign(&params("stranger")))).refusal(), Error::AlertReceived(_)));
    backend.failed(None, "the client's certificate has an unknown issuer", 1);
}

#[test]
fn a_health_check_speaks_the_tls_of_the_backends() {
    let place = TemporaryDirectory::new();
    let file = place.path().join("clients.pem");
    fs::write(&file, Authority::new().pem()).unwrap();
    for flags in [&[][..], &["--client-ca", file.to_str().unwrap()]] {
        let backend = Backend::start(flags);
        let url = format!("https://localhost:{}/readyz", backend.port);
        let check = |words: &[&str]| {
            let output = backend.fleet.program(&[&["healthcheck"], words].concat());
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            (output.status.code().unwrap(), said)
        };
        let port = backend.port.to_string();
        assert_eq!(check(&[]).0, 0, "{:?}", check(&[]));
        assert_eq!(check(&["--ports", &port]), check(&[]));
        let (status, said) = check(&[&url]);
        // Without a certificate of its own it is no client of the second.
        assert_eq!(status, if flags.is_empty() { 0 } else { 1 }, "{said}");
        assert_eq!(said.contains("it asks for a client certificate, and none was shown"), status == 1, "{said}");
        assert_eq!(check(&[&format!("http://localhost:{port}/readyz")]).0, 1);

        backend.fleet.act("unready", backend.port);
        eventually("it is not ready", || check(&[]).0 == 1 && check(&["--ports", &port]).0 == 1);
        backend.fleet.act("kill", backend.port);
        assert_eq!(check(&[]).0, 1);
    }
}

#[test]
fn a_fleet_makes_a_certificate_for_its_clients() {
    let backend = Backend::start(&["--client-ca", "fleet"]);
    let file = backend.authority.with_extension("client.pem");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let pem = fs::read_to_string(&file).unwrap();
    let certificate = Some(Certified { certificates: pem.clone(), key: pem });
    let client = Client { certificate, ..backend.client() };
    ask(&mut client.connect(&client.config()).unwrap(), GET).unwrap();
    let shown = backend.records(1)[0].tls.clone().unwrap().client_certificate;
    assert_eq!(shown.as_deref(), Some("uuid-generator client"));
    assert!(matches!(backend.client().refusal(), Error::AlertReceived(_)));
    backend.failed(None, "the client shows no certificate", 1);
}

#[test]
fn the_proxy_protocol_stands_before_tls() {
    let backend = Backend::start(&["--proxy-protocol"]);
    let client = backend.client();
    let config = client.config();
    let mut tls = client.connect_after(&config, b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n").unwrap();
    ask(&mut tls, GET).unwrap();
    ask(&mut client.connect(&config).unwrap(), GET).unwrap();
    let records = backend.records(2);
    assert_eq!(records[0].peer, "192.0.2.1:56324");
    assert!(records[1].peer.starts_with("127.0.0.1:") && records[1].tls.is_some(), "{:?}", records[1]);
    let mut plain = Connection::to(backend.port);
    assert_eq!(plain.ask("PROXY NONSENSE\r\nGET / HTTP/1.1\r\n\r\n").status, 400);
}

#[test]
fn a_certificate_of_the_users_own_is_served_and_no_bad_one_is_made_of_it() {
    let place = TemporaryDirectory::new();
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let authority = Authority::new();
    let Certified { certificates, key } = authority.sign(&params("localhost"));
    let (certificate, key) = (file("own.pem", &certificates), file("own.key", &key));
    let mut backend = Backend::start(&["--cert", &certificate, "--key", &key]);
    backend.authority = PathBuf::from(file("ca.pem", &authority.pem()));
    let client = backend.client();
    ask(&mut client.connect(&client.config()).unwrap(), GET).unwrap();
    let said = error_of(&backend.fleet.program(&["fault", "certificate", "expired"]));
    assert!(said.contains("cannot serve a certificate that is expired") && said.contains("--tls alone"), "{said}");
    let (plain, _) = Fleet::of(1, &[]);
    let said = error_of(&plain.program(&["fault", "certificate", "expired"]));
    assert!(said.contains("the backends speak no TLS: start the fleet with --tls"), "{said}");
    let refuses = |flags: &[&str], texts: &[&str]| {
        let said = error_of(&plain.program(&[&["--ports", "1"], flags].concat()));
        texts.iter().for_each(|text| assert!(said.contains(text), "no {text:?} in {said}"));
    };
    let other = file("other.key", &authority.sign(&params("localhost")).key);
    refuses(&["--cert", &certificate], &["add --key FILE"]);
    refuses(&["--cert", &certificate, "--key", &other], &["they cannot be served", "other.key"]);
    refuses(&["--cert", &certificate, "--key", "missing.key"], &["--key missing.key", "No such file"]);
    refuses(&["--tls", "--client-ca", &other], &["--client-ca", "authorities in PEM"]);
    refuses(&["--tls-names", "a.internal"], &["the backends speak no TLS", "--tls"]);
}

#[test]
fn who_trusts_a_kept_authority_trusts_the_fleet_after_a_restart() {
    let place = TemporaryDirectory::new();
    let key = place.path().join("ca.key");
    let flag = format!("--authority-key={}", key.display());
    let first = Backend::start(&[&flag]);
    let roots = first.client().roots;
    drop(first);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let second = Backend::start(&[&flag]);
    let client = Client { roots, ..second.client() };
    ask(&mut client.connect(&client.config()).unwrap(), GET).unwrap();
    let (stranger, _) = Fleet::of(1, &[]);
    fs::write(&key, "no key").unwrap();
    let said = error_of(&stranger.program(&["--ports", "1", "--tls", &flag]));
    assert!(said.contains("no key of an authority") && said.contains("ca.key"), "{said}");
}

#[test]
fn a_fleet_that_cannot_start_leaves_the_files_of_the_one_that_runs() {
    let running = Backend::start(&["--client-ca", "fleet"]);
    let client = running.authority.with_extension("client.pem");
    let read = || [&running.authority, &client].map(|file| fs::read(file).unwrap());
    let before = read();
    let key = running.fleet.place.path().join("new.key");
    let port = running.port.to_string();
    let flags = ["--ports", &port, "--tls", "--client-ca", "fleet", "--authority-key", &key.display().to_string()];
    let said = error_of(&running.fleet.program(&flags));
    assert!(said.contains("address already in use"), "{said}");
    assert!(read() == before && !key.exists());
}

/// What a check says of a balancer whose configuration we write: of verification, and what of it was accepted.
fn verification(balancer: &str, options: &[&str]) -> (Level, Vec<BadCertificate>) {
    let place = TemporaryDirectory::new();
    let installed = balancers::installed().into_iter().find(|it| it.name == balancer).unwrap();
    let path = std::env::join_paths([installed.program.parent().unwrap(), "/usr/sbin".as_ref(), "/usr/bin".as_ref()]);
    let mut command = program(&place);
    command.env("PATH", path.unwrap()).args(["check", "--with", balancer, "--ports", &list(&ports(3))]);
    command.args(["--backend-protocol", "https", "--expect", "tls:verified,tls:sni", "--no-experiments", "-n", "500"]);
    let output = run(command.args(["--format", "json"]).args(options));
    let report: Report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&output.stderr)));
    let findings = &report.checks[0].findings;
    let sni = findings.iter().find(|finding| matches!(finding.facts, Facts::Tls(_))).unwrap();
    assert_eq!(sni.level, Level::Pass, "{sni:#?}");
    let found = findings.iter().find_map(|finding| match &finding.facts {
        Facts::TlsVerified(facts) => Some((finding.level, facts.accepted.clone())),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn an_unverified_certificate_is_found_and_cured() {
    // Side by side: each waits for its balancer most of the time.
    let checks = [("nginx", true), ("nginx", false), ("envoy", true), ("envoy", false), ("caddy", true)];
    let checks = checks.map(|(balancer, is_verified)| {
        let options: &[&str] = if is_verified { &[] } else { &["--backend-tls-verify", "off"] };
        (balancer, is_verified, thread::spawn(move || verification(balancer, options)))
    });
    for (balancer, is_verified, check) in checks {
        let (level, accepted) = check.join().unwrap();
        if is_verified {
            assert_eq!((level, accepted), (Level::Pass, Vec::new()), "{balancer}");
        } else {
            let all = BadCertificate::ALL.into_iter().filter(|bad| *bad != BadCertificate::Revoked).collect();
            assert_eq!((level, accepted), (Level::Fail, all), "{balancer}");
        }
    }
}
