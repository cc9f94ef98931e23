//! Stands in for a server that is asked and is no backend under test: it takes every request, counts those of the check, and answers
//! each with the same status and nothing else.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

/// Names each request of the check; a balancer passes it on.
const REQUEST_ID: &str = "check-request-id:";
/// A head is not longer than any balancer sends.
const LONGEST: usize = 128 << 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// Dropped, its address refuses.
pub(super) struct Responder {
    pub(super) address: SocketAddr,
    pub(super) status: u16,
    listener: TcpListener,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    /// Why no response was given: what came was HTTP/2, or no TLS that both understand.
    foreign: Mutex<Option<String>>,
    /// Connections over TLS.
    secure: AtomicU64,
    /// Connections that began with a header of the PROXY protocol.
    proxied: AtomicU64,
}

impl Responder {
    /// Listens in that network, or in this one.
    pub(super) fn start(
        address: SocketAddr,
        network: Option<&Path>,
        status: u16,
        tls: &Arc<ServerConfig>,
    ) -> io::Result<Responder> {
        let bind = || TcpListener::bind(address);
        let listener = match network {
            Some(network) => world::within(network, bind)??,
            None => bind()?,
        };
        let counts = Arc::new(Counts::default());
        let (taking, counted, tls) = (listener.try_clone()?, counts.clone(), tls.clone());
        thread::spawn(move || {
            // It ends when the listener is shut down.
            while let Ok((stream, _)) = taking.accept() {
                let (counted, tls) = (counted.clone(), tls.clone());
                thread::spawn(move || converse(stream, status, &counted, tls));
            }
        });
        Ok(Responder { address, status, listener, counts })
    }

    /// Requests of the check.
    pub(super) fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::Relaxed)
    }

    /// Whether connections begin with a header of the PROXY protocol.
    pub(super) fn is_proxied(&self) -> bool {
        self.counts.proxied.load(Ordering::Relaxed) > 0
    }

    /// Whether it was asked over TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.counts.secure.load(Ordering::Relaxed) > 0
    }

    /// Why what came could not be answered.
    pub(super) fn foreign(&self) -> Option<String> {
        self.counts.foreign.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
    }
}

/// What follows a header of the PROXY protocol, if there is one and it is whole.
fn after_proxy_header(bytes: &[u8]) -> Option<&[u8]> {
    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    if bytes.starts_with(SIGNATURE) {
        let length = u16::from_be_bytes(bytes.get(14..16)?.try_into().ok()?);
        return bytes.get(16 + usize::from(length)..);
    }
    let line = bytes.starts_with(b"PROXY ").then(|| bytes.windows(2).position(|it| it == b"\r\n")).flatten()?;
    bytes.get(line + 2..)
}

impl Counts {
    fn not_understood(&self, why: String) {
        *self.foreign.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

fn converse(mut stream: TcpStream, status: u16, counts: &Counts, tls: Arc<ServerConfig>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut first = [0];
    if stream.peek(&mut first)? == 1 && first[0] == HANDSHAKE {
        counts.secure.fetch_add(1, Ordering::Relaxed);
        let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
        let mut secured = StreamOwned::new(connection, stream);
        let answered = answer(&mut secured, status, counts);
        if let (Err(why), true) = (&answered, secured.conn.is_handshaking()) {
            counts.not_understood(format!("TLS handshake failed ({why})"));
        }
        secured.conn.send_close_notify();
        secured.flush()?;
        stream = secured.sock;
    } else {
        answer(&mut stream, status, counts)?;
    }
    // A body may still come; closing on it would reset the response away.
    stream.shutdown(Shutdown::Write)?;
    let mut piece = [0; 4096];
    while stream.read(&mut piece)? > 0 {}
    Ok(())
}

/// A record of a TLS handshake begins so.
const HANDSHAKE: u8 = 0x16;

fn answer(stream: &mut (impl Read + Write), status: u16, counts: &Counts) -> io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    let mut proxied = false;
    while !head.windows(4).any(|it| it == b"\r\n\r\n") {
        let length = stream.read(&mut piece)?;
        // A health check that only connects.
        if length == 0 || head.len() > LONGEST {
            return Ok(());
        }
        head.extend_from_slice(&piece[..length]);
        // The header of version 2 has the end of a head in its signature.
        if let Some(rest) = (!proxied).then(|| after_proxy_header(&head)).flatten() {
            counts.proxied.fetch_add(1, Ordering::Relaxed);
            (head, proxied) = (rest.to_vec(), true);
        }
        let foreign = match head.first() {
            Some(&HANDSHAKE) => Some("TLS after a header of the PROXY protocol"),
            Some(_) if head.starts_with(b"PRI * HTTP/2") => Some("HTTP/2"),
            _ => None,
        };
        if let Some(what) = foreign {
            counts.not_understood(format!("{what}, which a rehearsal does not speak yet"));
            return Ok(());
        }
    }
    if String::from_utf8_lossy(&head).to_ascii_lowercase().contains(REQUEST_ID) {
        counts.requests.fetch_add(1, Ordering::Relaxed);
    }
    let length = if status == 204 { "" } else { "Content-Length: 0\r\n" };
    stream.write_all(format!("HTTP/1.1 {status} -\r\n{length}Connection: close\r\n\r\n").as_bytes())?;
    stream.flush()
}
