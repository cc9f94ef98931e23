//! Stands in for a server that is asked: it takes every request, counts those of the check, and answers each with the same status, and with
//! its own name, by which the one whose response reaches the client is known.

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use http::h2::server::{Server, ServerEvent};
use http::h2::{AnnouncedSettings, Block, Follows, PREFACE, literal};
use http::proxy_protocol::{self, Opening};
use http::{Malformed, encode};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use crate::rehearse::naming::Listens;

/// Names each request of the check; a balancer passes it on.
const REQUEST_ID: &str = "check-request-id";
/// Names the server that responds.
pub(super) const RESPONDER: &str = "rehearsal-responder";
/// What a responder says unless it is to say something else.
const NO_CONTENT: u16 = 204;
/// A head is not longer than any balancer sends.
const LONGEST: usize = 128 << 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// Dropped, its address refuses.
pub(super) struct Responder {
    pub(super) listens: Listens,
    pub(super) status: u16,
    listener: ResponderListener,
    service: Arc<ResponderService>,
}

enum ResponderListener {
    Port(TcpListener),
    Socket(UnixListener, PathBuf),
}

/// What came instead of a request of HTTP.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum NotUnderstood {
    #[error("{0}")]
    Protocol(&'static str),
    #[error("{0}")]
    ProxyHeader(Malformed),
    #[error("TLS handshake failed ({0})")]
    Handshake(String),
    #[error("TLS within TLS")]
    TlsWithinTls,
}

impl NotUnderstood {
    pub(super) fn is_about_tls(&self) -> bool {
        matches!(self, NotUnderstood::Handshake(_) | NotUnderstood::TlsWithinTls)
    }
}

/// What a responder says, and counts.
struct ResponderService {
    name: String,
    status: u16,
    requests: AtomicU64,
    /// Why no response was given, if one was not.
    foreign: Mutex<Option<NotUnderstood>>,
    /// Connections that were made over TLS.
    secure: AtomicU64,
    /// Connections that began with a header of the PROXY protocol.
    proxied: AtomicU64,
}

impl Responder {
    /// Listens in that network, or in this one.
    pub(super) fn start(
        listens: Listens,
        network: Option<&Path>,
        status: u16,
        tls: &Arc<ServerConfig>,
    ) -> io::Result<Responder> {
        let service = Arc::new(ResponderService {
            name: listens.to_string(),
            status,
            requests: AtomicU64::new(0),
            foreign: Mutex::default(),
            secure: AtomicU64::new(0),
            proxied: AtomicU64::new(0),
        });
        // Each thread ends when the listener is shut down.
        let listener = match &listens {
            Listens::Port(address) => {
                let bind = || TcpListener::bind(address);
                let listener = match network {
                    Some(network) => world::within(network, bind)??,
                    None => bind()?,
                };
                let (taking, service, tls) = (listener.try_clone()?, service.clone(), tls.clone());
                thread::spawn(move || {
                    while let Ok((stream, _)) = taking.accept() {
                        let (service, tls) = (service.clone(), tls.clone());
                        thread::spawn(move || service.converse(stream, tls));
                    }
                });
                ResponderListener::Port(listener)
            }
            Listens::Socket(path) => {
                let listener = UnixListener::bind(path)?;
                // The balancer may run as somebody else.
                fs::set_permissions(path, Permissions::from_mode(0o666))?;
                let (taking, service, tls) = (listener.try_clone()?, service.clone(), tls.clone());
                thread::spawn(move || {
                    while let Ok((stream, _)) = taking.accept() {
                        let (service, tls) = (service.clone(), tls.clone());
                        thread::spawn(move || service.converse(stream, tls));
                    }
                });
                ResponderListener::Socket(listener, path.into())
            }
        };
        Ok(Responder { listens, status, listener, service })
    }

    /// Requests of the check.
    pub(super) fn requests(&self) -> u64 {
        self.service.requests.load(Ordering::Relaxed)
    }

    /// Whether connections begin with a header of the PROXY protocol.
    pub(super) fn is_proxied(&self) -> bool {
        self.service.proxied.load(Ordering::Relaxed) > 0
    }

    /// Whether it was asked over TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.service.secure.load(Ordering::Relaxed) > 0
    }

    /// Why what came could not be answered. Where requests are, something else is a health check, such as HAProxy's `option ssl-hello-chk`.
    pub(super) fn foreign(&self) -> Option<NotUnderstood> {
        if self.requests() > 0 {
            return None;
        }
        self.service.foreign.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        match &self.listener {
            ResponderListener::Port(listener) => drop(SockRef::from(listener).shutdown(Shutdown::Both)),
            ResponderListener::Socket(listener, path) => {
                let _ = SockRef::from(listener).shutdown(Shutdown::Both);
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// A connection, of either kind.
trait ResponderConnection: Read + Write {
    fn limit(&self, patience: Duration) -> io::Result<()>;
    fn end(&self) -> io::Result<()>;
}

impl ResponderConnection for TcpStream {
    fn limit(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }

    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl ResponderConnection for UnixStream {
    fn limit(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }

    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// A connection of which something was read that others are to read again.
struct Begun<C> {
    read: Vec<u8>,
    rest: C,
}

impl<C: Read> Read for Begun<C> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read.is_empty() {
            return self.rest.read(into);
        }
        let length = self.read.len().min(into.len());
        into[..length].copy_from_slice(&self.read[..length]);
        self.read.drain(..length);
        Ok(length)
    }
}

impl<C: Write> Write for Begun<C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.rest.flush()
    }
}

/// A record of a TLS handshake begins so.
const HANDSHAKE: u8 = 0x16;

impl ResponderService {
    fn not_understood(&self, what: NotUnderstood) {
        *self.foreign.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }

    fn converse<C: ResponderConnection>(&self, mut stream: C, tls: Arc<ServerConfig>) -> io::Result<()> {
        stream.limit(PATIENCE)?;
        let Some(read) = self.begin(&mut stream)? else { return Ok(()) };
        let is_secure = read.first() == Some(&HANDSHAKE);
        let mut begun = Begun { read, rest: stream };
        if is_secure {
            self.secure.fetch_add(1, Ordering::Relaxed);
            let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
            let mut secured = StreamOwned::new(connection, begun);
            let answered = self.answer(&mut secured);
            if let (Err(why), true) = (&answered, secured.conn.is_handshaking()) {
                self.not_understood(NotUnderstood::Handshake(why.to_string()));
            }
            secured.conn.send_close_notify();
            secured.flush()?;
            begun = secured.sock;
        } else {
            self.answer(&mut begun)?;
        }
        // A body may still come; closing on it would reset the response away.
        begun.rest.end()?;
        let mut piece = [0; 4096];
        while begun.rest.read(&mut piece)? > 0 {}
        Ok(())
    }

    /// What comes first, without a header of the PROXY protocol; None if nothing comes, as from a health check that only connects.
    fn begin(&self, stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
        let mut read = Vec::new();
        let mut proxied = false;
        loop {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece)?;
            if length == 0 || read.len() > LONGEST {
                return Ok(None);
            }
            read.extend_from_slice(&piece[..length]);
            if !proxied {
                match proxy_protocol::parse(&read) {
                    Ok(Some(Opening::Request)) => {}
                    Ok(None) => continue,
                    Ok(Some(Opening::Header { bytes, .. })) => {
                        self.proxied.fetch_add(1, Ordering::Relaxed);
                        read.drain(..bytes);
                        proxied = true;
                    }
                    Err(why) => {
                        self.not_understood(NotUnderstood::ProxyHeader(why));
                        return Ok(None);
                    }
                }
            }
            if !read.is_empty() {
                return Ok(Some(read));
            }
        }
    }

    fn answer(&self, stream: &mut (impl Read + Write)) -> io::Result<()> {
        let mut head = Vec::new();
        let mut piece = [0; 4096];
        let has_id = loop {
            if head.starts_with(PREFACE) {
                return self.answer_streams(stream, head);
            }
            if let Some(has_id) = is_of_the_check(&head) {
                break has_id;
            }
            let length = stream.read(&mut piece)?;
            if length == 0 || head.len() > LONGEST {
                return Ok(());
            }
            head.extend_from_slice(&piece[..length]);
            if let Some(what) = other_protocol(&head) {
                self.not_understood(what);
                return Ok(());
            }
        };
        let status = self.take(Asker::of(has_id));
        let mut out = Vec::new();
        encode::status_line(&mut out, status);
        if status != NO_CONTENT {
            encode::number_field(&mut out, "Content-Length", 0);
        }
        encode::field(&mut out, RESPONDER, self.name.as_bytes());
        encode::field(&mut out, "Cache-Control", b"no-store");
        encode::field(&mut out, "Connection", b"close");
        encode::end_of_head(&mut out);
        stream.write_all(&out)?;
        stream.flush()
    }

    /// Answers over HTTP/2, until the connection ends.
    fn answer_streams(&self, stream: &mut (impl Read + Write), mut input: Vec<u8>) -> io::Result<()> {
        let mut server = Server::new(AnnouncedSettings::SERVER);
        let (mut block, mut out, begun) = (Block::default(), Vec::new(), Instant::now());
        server.begin(AnnouncedSettings::SERVER, &mut out);
        let mut piece = [0; 4096];
        while !server.is_over() {
            let mut rest = input.as_slice();
            let now = begun.elapsed().as_nanos() as u64;
            while let Some((id, event)) = server.receive(&mut rest, &mut block, now, &mut out) {
                if let ServerEvent::Head(request) = event {
                    let lines = request.lines();
                    let has_id = request.head(&lines).fields.all(REQUEST_ID).next().is_some();
                    server.respond(id, self.take(Asker::of(has_id)), Follows::Nothing, &mut out, |fields| {
                        literal(fields, RESPONDER, self.name.as_bytes());
                        literal(fields, "cache-control", b"no-store");
                    });
                }
            }
            let left = rest.len();
            input.drain(..input.len() - left);
            stream.write_all(&out)?;
            stream.flush()?;
            server.wrote(out.len()).for_each(drop);
            out.clear();
            let length = stream.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            input.extend_from_slice(&piece[..length]);
        }
        Ok(())
    }

    /// Counts a request of the check, and says with which status a request is answered.
    fn take(&self, asker: Asker) -> u16 {
        match asker {
            Asker::Check => {
                self.requests.fetch_add(1, Ordering::Relaxed);
                self.status
            }
            // Health checks often expect 200 and nothing else.
            Asker::Other if self.status == NO_CONTENT => 200,
            Asker::Other => self.status,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asker {
    Check,
    /// A health check of the balancer, most often.
    Other,
}

impl Asker {
    fn of(has_id: bool) -> Asker {
        if has_id { Asker::Check } else { Asker::Other }
    }
}

/// Whether a request is one of the check, as soon as its head is whole: also one that no backend would understand.
fn is_of_the_check(head: &[u8]) -> Option<bool> {
    let mut has_id = false;
    let ended = &head[..head.iter().rposition(|byte| *byte == b'\n')?];
    for line in ended.split(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\r").unwrap_or(line) {
            [] => return Some(has_id),
            line => has_id |= line.split(|byte| *byte == b':').next().is_some_and(is_request_id),
        }
    }
    None
}

fn is_request_id(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(REQUEST_ID.as_bytes())
}

/// What bytes are that begin no request of HTTP.
fn other_protocol(bytes: &[u8]) -> Option<NotUnderstood> {
    let first_line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let name = match bytes.first()? {
        1 => "FastCGI",
        // Its length, and then the version 3.0 of its protocol.
        0 if bytes.get(4..8) == Some(&[0, 3, 0, 0]) => "PostgreSQL",
        0 => "uwsgi",
        // The length of what follows: of a netstring, or of a message that octets count (RFC 6587 §3.4.1).
        b'0'..=b'9' => match bytes.iter().find(|byte| !byte.is_ascii_digit()) {
            Some(b' ') => "syslog",
            _ => "SCGI",
        },
        b'<' => "syslog",
        &HANDSHAKE => return Some(NotUnderstood::TlsWithinTls),
        first if !first.is_ascii_uppercase() => "no HTTP",
        _ if first_line.len() < bytes.len() && !first_line.windows(6).any(|it| it == b" HTTP/") => "no HTTP",
        _ => return None,
    };
    Some(NotUnderstood::Protocol(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use crate::rehearse::secure::StandInTls;
    use http::RequestContext;
    use http::h2::client::{Client, ClientEvent, FirstLine};

    fn start(listens: Listens) -> Responder {
        let tls = StandInTls::new(Vec::new()).unwrap().config().unwrap();
        Responder::start(listens, None, 204, &tls).unwrap()
    }

    fn ask(stream: &mut (impl Read + Write), bytes: &[u8]) -> String {
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn a_responder_says_who_it_is_and_counts_requests_of_the_check_alone() {
        let path = std::env::temp_dir().join(format!("uuid-generator-responder-{}", std::process::id()));
        let path = path.to_string_lossy().into_owned();
        let responder = start(Listens::Socket(path.clone()));
        for (request, count, status) in [
            (&b"GET / HTTP/1.1\r\nCheck-Request-Id: 1-2\r\n\r\n"[..], 1, 204),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\ncheck-request-id: 1-3\r\n\r\n", 2, 204),
            (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET / HTTP/1.1\r\ncheck-request-id: 1-4\r\n\r\n", 3, 204),
            // Of a health check, which may expect this alone.
            (b"GET /healthz HTTP/1.1\r\nX-Note: check-request-id: 1-5\r\n\r\n", 3, 200),
            (b"GET / HTTP/1.0\ncheck-request-id: 1-6\n\n", 4, 204),
        ] {
            let answer = ask(&mut UnixStream::connect(&path).unwrap(), request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert!(answer.contains(&format!("{RESPONDER}: unix:{path}\r\n")), "{answer}");
            assert_eq!(responder.requests(), count);
        }
        assert!(responder.is_proxied() && !responder.is_secure() && responder.foreign().is_none());
        drop(responder);
        assert!(!fs::exists(&path).unwrap());
    }

    #[test]
    fn what_is_no_http_is_named() {
        for (bytes, name) in [
            (&b"\x01\x01\0\x01\0\x08\0\0"[..], "FastCGI"),
            (b"\0\x10\0\0", "uwsgi"),
            (b"70:CONTENT_LENGTH", "SCGI"),
            (b"211 <134>1 2026-11-28T20:00:00", "syslog"),
            (b"\0\0\0\x29\0\x03\0\0user\0", "PostgreSQL"),
            (b"HAProxyS 2.1\n", "no HTTP"),
            (b"*1\r\n$4\r\nPING\r\n", "no HTTP"),
            (b"PROXY TCP5 \r\n", Malformed::ProxyLine.as_str()),
        ] {
            let responder = start(Listens::Port(SocketAddr::from(([127, 0, 0, 1], 0))));
            let ResponderListener::Port(listener) = &responder.listener else { panic!("a socket") };
            let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(ask(&mut stream, bytes), "");
            assert_eq!(responder.foreign().unwrap().to_string(), name);
        }
        assert_eq!(other_protocol(b"GET /x"), None);
        assert_eq!(other_protocol(b"M-SEARCH * HTTP/1.1\r\n"), None);
    }

    #[test]
    fn http_2_gets_the_same_responses() {
        let responder = start(Listens::Port(SocketAddr::from(([127, 0, 0, 1], 0))));
        let ResponderListener::Port(listener) = &responder.listener else { panic!("a socket") };
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut out = Vec::new();
        let mut client = Client::new(AnnouncedSettings::CLIENT, &mut out);
        let line = FirstLine { method: "GET", scheme: "http", authority: "app.internal", path: "/" };
        client
            .open(&line, RequestContext::Other, Follows::Nothing, &mut out, |fields| fields.fresh(REQUEST_ID, b"1-2"));
        stream.write_all(&out).unwrap();
        let (mut input, mut block, mut piece) = (Vec::new(), Block::default(), [0; 4096]);
        let name = loop {
            let length = stream.read(&mut piece).unwrap();
            assert!(length > 0, "the responder has closed the connection");
            input.extend_from_slice(&piece[..length]);
            let mut rest = input.as_slice();
            let mut name = None;
            while let Some((_, event)) = client.receive(&mut rest, &mut block, 0, &mut out) {
                if let ClientEvent::Head(response) = event {
                    assert_eq!(response.status, 204);
                    let lines = response.lines();
                    name = response.head(&lines).fields.all(RESPONDER).next().map(<[u8]>::to_vec);
                }
            }
            let left = rest.len();
            input.drain(..input.len() - left);
            if let Some(name) = name {
                break name;
            }
        };
        assert_eq!((name.as_slice(), responder.requests()), (&b"127.0.0.1:0"[..], 1));
    }
}
