//! TLS of a client over a socket that does not block: whom it trusts, the handshake, and why that fails. `rustls` does the
//! cryptography and knows no sockets; nothing here waits.

mod failure;
mod trust;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, send};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, Error, RootCertStore, SignatureScheme, StreamOwned};

use crate::io::ending::{Ending, Peeked};
use crate::io::socket;
use crate::platform::SEND;
pub(crate) use failure::TlsFailure;
use trust::{Anyone, TrustedServers};

/// How TLS is spoken to a target. Its copies resume each other's sessions, as a browser's connections do.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    /// Whether a certificate was asked for and none is there.
    missing: Arc<NoCertificate>,
}

/// A session over a socket that blocks.
pub(crate) type BlockingTls = StreamOwned<ClientConnection, TcpStream>;

/// The name of HTTP/2 in ALPN.
pub(crate) const HTTP2: &[u8] = b"h2";

/// Shows none, and notes that one was asked for.
#[derive(Debug, Default)]
struct NoCertificate {
    asked: AtomicBool,
}

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

impl Tls {
    /// Trusts certificates that these authorities issued, and those of these servers.
    pub(crate) fn trusting(
        name: ServerName<'static>,
        authorities: RootCertStore,
        servers: Vec<CertificateDer<'static>>,
    ) -> Result<Tls, rustls::client::VerifierBuilderError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(authorities.into(), provider.clone()).build()?;
        Ok(Tls::new(name, provider, Arc::new(TrustedServers { verifier, servers })))
    }

    /// Accepts any certificate.
    pub(crate) fn trusting_anyone(name: ServerName<'static>) -> Tls {
        let provider = Arc::new(ring::default_provider());
        let schemes = provider.signature_verification_algorithms.supported_schemes();
        Tls::new(name, provider, Arc::new(Anyone(schemes)))
    }

    /// Whether its sessions are those of the other.
    pub(crate) fn is_like(&self, other: &Tls) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.name == other.name
    }

    fn new(name: ServerName<'static>, provider: Arc<CryptoProvider>, verifier: Arc<dyn ServerCertVerifier>) -> Tls {
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let missing = Arc::new(NoCertificate::default());
        config.client_auth_cert_resolver = missing.clone();
        Tls { config: Arc::new(config), name, missing }
    }

    /// Speaks HTTP/2 or nothing.
    pub(crate) fn with_http2(self) -> Tls {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Tls { config: Arc::new(config), ..self }
    }

    /// Shows that certificate, with those between it and an authority, where one is asked for. An error says that the key cannot
    /// be used, or is another certificate's.
    pub(crate) fn with_certificate(
        self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Tls, Error> {
        let mut config = ClientConfig::clone(&self.config);
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())?;
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        Ok(Tls { config: Arc::new(config), name: self.name, missing: Arc::default() })
    }

    /// A TLS connection over a blocking socket.
    pub(crate) fn over(&self, stream: TcpStream) -> io::Result<BlockingTls> {
        let connection = ClientConnection::new(self.config.clone(), self.name.clone()).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, stream))
    }

    /// Whether the other end has asked for a certificate, and there is none to show.
    pub(crate) fn misses_certificate(&self) -> bool {
        self.missing.asked.load(Ordering::Relaxed)
    }
}

/// Whether that port speaks TLS, whoever it claims to be. Waits at most this long.
pub(crate) fn is_spoken(address: SocketAddr, patience: Duration) -> bool {
    let tls = Tls::trusting_anyone(address.ip().into());
    let spoken = || -> io::Result<()> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let mut stream = tls.over(stream)?;
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(())
    };
    match spoken() {
        Ok(()) => true,
        // It refuses, in the words of TLS.
        Err(error) => matches!(
            error.get_ref().and_then(|error| error.downcast_ref::<Error>()),
            Some(Error::AlertReceived(_) | Error::PeerIncompatible(_))
        ),
    }
}
#[derive(Debug)]
pub(crate) struct TlsSession {
    connection: ClientConnection,
    /// Records for the socket, and how many of their bytes it has.
    outgoing: Vec<u8>,
    sent: usize,
    /// Whether the socket has taken anything, so there is a connection.
    begun: bool,
    wants_http2: bool,
    failure: Option<TlsFailure>,
}

/// What a look at the socket brought.
enum Pulled {
    /// Bytes; what they mean the session knows.
    Something,
    End,
    Nothing,
    Broken(Errno),
    Failed,
}

impl TlsSession {
    pub(crate) fn new(tls: &Tls) -> TlsSession {
        let connection = ClientConnection::new(tls.config.clone(), tls.name.clone())
            .expect("the same configuration has made a connection before");
        let wants_http2 = tls.config.alpn_protocols.iter().any(|protocol| protocol == HTTP2);
        TlsSession { connection, outgoing: Vec::new(), sent: 0, begun: false, wants_http2, failure: None }
    }

    /// Takes bytes for the other end, once the handshake is over: it goes on with that as far as it can. [`Errno::PROTO`] where
    /// it has failed, and then there is a failure.
    pub(crate) fn send(&mut self, socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
        self.shake_hands(socket)?;
        if self.sent < self.outgoing.len() {
            self.flush(socket)?;
        }
        // Of memory, and bounded by it.
        let taken = self.connection.writer().write(bytes).map_err(|_| Errno::PROTO)?;
        match self.flush(socket) {
            Ok(()) | Err(Errno::AGAIN | Errno::INTR) => Ok(taken),
            Err(errno) => Err(errno),
        }
    }

    fn shake_hands(&mut self, socket: &OwnedFd) -> Result<(), Errno> {
        // What the last step of a handshake leaves to be sent goes with the request.
        while self.connection.is_handshaking() {
            let flushed = self.flush(socket);
            match flushed {
                Err(errno) if !self.begun => return Err(errno),
                // It may have said why.
                Ok(()) | Err(_) => {}
            }
            let ending = match (self.pull(socket), flushed) {
                (Pulled::Failed, _) => return Err(Errno::PROTO),
                (Pulled::Something, _) => continue,
                (Pulled::End, _) => Ending::Closed,
                (Pulled::Broken(errno), _) => socket::ending(errno),
                (Pulled::Nothing, Ok(()) | Err(Errno::AGAIN | Errno::INTR)) => return Err(Errno::AGAIN),
                (Pulled::Nothing, Err(errno)) => socket::ending(errno),
            };
            self.failure = Some(match ending {
                Ending::Closed | Ending::Unannounced => TlsFailure::Closed,
                Ending::Reset => TlsFailure::Reset,
            });
            return Err(Errno::PROTO);
        }
        // A server may ignore what it was asked for; HTTP/2 would then be spoken to something else.
        if self.wants_http2 && self.connection.alpn_protocol() != Some(HTTP2) {
            self.failure = Some(TlsFailure::NoHttp2);
            return Err(Errno::PROTO);
        }
        Ok(())
    }

    /// Gives the socket what it takes; [`Errno::AGAIN`] if that is not all.
    pub(crate) fn flush(&mut self, socket: &OwnedFd) -> Result<(), Errno> {
        loop {
            if self.sent == self.outgoing.len() {
                self.outgoing.clear();
                self.sent = 0;
                while self.connection.wants_write() {
                    self.connection.write_tls(&mut self.outgoing).map_err(|_| Errno::PROTO)?;
                }
                if self.outgoing.is_empty() {
                    return Ok(());
                }
            }
            self.sent += send(socket, &self.outgoing[self.sent..], SEND)?;
            self.begun = true;
        }
    }

    /// What has come, as far as there is room.
    pub(crate) fn receive(&mut self, socket: &OwnedFd, room: &mut [u8]) -> Peeked {
        loop {
            match self.connection.reader().read(room) {
                Ok(0) => return Peeked::End(Ending::Closed),
                Ok(length) => return Peeked::Bytes(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The end of the connection was not announced.
                Err(_) => return Peeked::End(Ending::Unannounced),
            }
            match self.pull(socket) {
                Pulled::Something | Pulled::End => {}
                Pulled::Nothing => return Peeked::Nothing,
                Pulled::Broken(errno) => return Peeked::End(socket::ending(errno)),
                // What came before is as good as it was.
                Pulled::Failed => match self.connection.reader().read(room) {
                    Ok(length @ 1..) => return Peeked::Bytes(length),
                    Ok(_) | Err(_) => return Peeked::End(Ending::Reset),
                },
            }
        }
    }

    fn pull(&mut self, socket: &OwnedFd) -> Pulled {
        match self.connection.read_tls(&mut IncomingRecords(socket)) {
            Ok(0) => return Pulled::End,
            Ok(_) => {}
            Err(error) => {
                return match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN | Errno::INTR) => Pulled::Nothing,
                    Some(errno) => Pulled::Broken(errno),
                    None => Pulled::Broken(Errno::PROTO),
                };
            }
        }
        match self.connection.process_new_packets() {
            Ok(_) => Pulled::Something,
            Err(error) => {
                self.failure = Some(TlsFailure::of(&error));
                // The other end learns why, if it still listens.
                let _ = self.flush(socket);
                Pulled::Failed
            }
        }
    }

    /// Whether the other end, or the socket, must take something before it goes on.
    pub(crate) fn wants_to_send(&self) -> bool {
        self.sent < self.outgoing.len()
    }

    /// Whether there is a connection and no session yet.
    pub(crate) fn is_shaking_hands(&self) -> bool {
        self.begun && self.connection.is_handshaking()
    }

    /// Whether bytes can be sent that are not TLS's own.
    pub(crate) fn is_established(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// Why it failed, if it has.
    pub(crate) fn failure(&self) -> Option<&TlsFailure> {
        self.failure.as_ref()
    }

    /// Sends close_notify.
    pub(crate) fn close(&mut self, socket: &OwnedFd) {
        if self.is_established() && self.failure.is_none() {
            self.connection.send_close_notify();
            // Whether it is heard is not waited for.
            let _ = self.flush(socket);
        }
    }
}

struct IncomingRecords<'s>(&'s OwnedFd);

impl Read for IncomingRecords<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0, room, RecvFlags::DONTWAIT)?.0)
    }
}
