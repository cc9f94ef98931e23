//! TLS of a server, over bytes that others read and write: which certificate it serves, the handshake, and why that fails. `rustls`
//! does the cryptography; a session holds no more memory than what is on its way.

use std::io::{BufRead, IoSlice, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, send, sendmsg};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    AlertDescription, CertificateError, Error, HandshakeKind, InvalidMessage, OtherError, ProtocolVersion,
    RootCertStore, ServerConfig, ServerConnection,
};

use crate::platform::SEND;
use crate::wire::{BadCertificate, Clipped, Credentials, Protocol, Protocols, Secured, TlsAssignment, TlsVersion};
use verdict::HandshakeFailure;

/// Plaintext that one record takes at most.
const RECORD_BYTES: usize = 16 * 1024;

/// What new connections are served with.
pub(crate) struct Acceptor {
    assignment: TlsAssignment,
    protocols: Protocols,
    bad: Option<BadCertificate>,
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// An acceptor that serves its good certificate.
    pub(crate) fn new(assignment: TlsAssignment, protocols: Protocols) -> Result<Acceptor> {
        let config = configure(&assignment.good, assignment.clients.as_deref(), protocols)?;
        Ok(Acceptor { assignment, protocols, bad: None, config })
    }

    /// New connections get the certificate with which that is wrong, or the good one. Sessions that began with another are not
    /// resumed: a client would not look at a certificate again.
    pub(crate) fn serve(&mut self, bad: Option<BadCertificate>) -> Result<()> {
        if self.bad != bad {
            let find =
                |bad| self.assignment.bad.iter().find(|(known, _)| *known == bad).map(|(_, credentials)| credentials);
            let credentials = bad.map_or(Some(&self.assignment.good), find);
            let credentials = credentials.context("there is no such certificate")?;
            self.config = configure(credentials, self.assignment.clients.as_deref(), self.protocols)?;
            self.bad = bad;
        }
        Ok(())
    }

    /// What is wrong with the certificate that new connections get.
    pub(crate) fn bad(&self) -> Option<BadCertificate> {
        self.bad
    }

    /// The TLS of a new connection.
    pub(crate) fn accept(&self) -> Result<Box<Served>, Error> {
        let connection = ServerConnection::new(self.config.clone())?;
        Ok(Box::new(Served { connection, bad: self.bad, pending: 0, has_spoken: false }))
    }
}

/// Whether these can be served: an error says what is wrong with them.
pub(crate) fn examine(credentials: &Credentials, clients: Option<&str>) -> Result<()> {
    configure(credentials, clients, Protocols::default()).map(drop)
}

fn configure(credentials: &Credentials, clients: Option<&str>, protocols: Protocols) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let versions = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match clients {
        None => versions.with_no_client_auth(),
        Some(pem) => {
            let mut authorities = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                authorities.add(certificate?)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(authorities.into(), provider).build();
            versions.with_client_cert_verifier(verifier.map_err(|error| match error {
                VerifierBuilderError::NoRootAnchors => {
                    anyhow::anyhow!("it has no certificate: BEGIN CERTIFICATE is missing")
                }
                error => error.into(),
            })?)
        }
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(credentials.chain.as_bytes()).collect::<Result<_, _>>()?;
    anyhow::ensure!(!chain.is_empty(), "it has no certificate: BEGIN CERTIFICATE is missing");
    let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).context("no private key can be read")?;
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.offered();
    // Balancers keep one session of a backend, and each connection brings another.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// The TLS of one connection.
pub(crate) struct Served {
    connection: ServerConnection,
    bad: Option<BadCertificate>,
    /// Plaintext in records that the socket has not taken whole.
    pending: usize,
    /// Something was sent after the handshake.
    has_spoken: bool,
}

/// What bytes of a client have led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// Nothing to report.
    Bytes,
    /// The handshake has ended.
    Established,
    /// The client has announced its end.
    Closed,
}

impl Served {
    /// Whether bytes that begin a connection can be TLS: a record of a handshake.
    pub(crate) fn is_tls(first: &[u8]) -> bool {
        first.first().is_none_or(|byte| *byte == 0x16)
    }

    /// Takes some of what a client has sent. Plaintext must be read before more is taken. An error says why there is no session.
    pub(crate) fn take(&mut self, bytes: &mut &[u8]) -> Result<Taken, HandshakeFailure> {
        let was_shaking = self.connection.is_handshaking();
        if self.connection.read_tls(bytes).is_err() {
            return Err(HandshakeFailure::Unread);
        }
        match self.connection.process_new_packets() {
            Ok(_) if was_shaking && !self.connection.is_handshaking() => Ok(Taken::Established),
            Ok(state) if state.peer_has_closed() => Ok(Taken::Closed),
            Ok(_) => Ok(Taken::Bytes),
            Err(error) => Err(reason(&error)),
        }
    }

    /// Plaintext that has come; empty if there is none.
    pub(crate) fn plaintext(&mut self, mut read: impl FnMut(&[u8])) {
        let mut reader = self.connection.reader();
        while let Ok(data) = reader.fill_buf()
            && !data.is_empty()
        {
            let length = data.len();
            read(data);
            reader.consume(length);
        }
    }

    /// How much of it the socket has taken whole, with what waited before it. [`Errno::AGAIN`]: call again with the same bytes, as
    /// some may be on their way.
    pub(crate) fn send(&mut self, socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
        self.has_spoken = true;
        if self.pending == 0 {
            let record = &bytes[..bytes.len().min(RECORD_BYTES)];
            self.pending = self.connection.writer().write(record).map_err(|_| Errno::PROTO)?;
        }
        self.flush(socket)?;
        Ok(std::mem::take(&mut self.pending))
    }

    /// Whether all that waits are tickets for later sessions: they leave with what is said first, in one call.
    pub(crate) fn owes_only_tickets(&self) -> bool {
        let is_done = !self.connection.is_handshaking() && !self.has_spoken;
        is_done && self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// Gives the socket all that waits; [`Errno::AGAIN`] if it does not take all.
    pub(crate) fn flush(&mut self, socket: &OwnedFd) -> Result<(), Errno> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut OutgoingRecords(socket)) {
                Ok(_) => {}
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::INTR) => {}
                    Some(errno) => return Err(errno),
                    None => return Err(Errno::PROTO),
                },
            }
        }
        Ok(())
    }

    /// Whether the handshake has not ended.
    pub(crate) fn is_shaking_hands(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// What was wrong with the certificate that it serves.
    pub(crate) fn bad(&self) -> Option<BadCertificate> {
        self.bad
    }

    /// Sends close_notify.
    pub(crate) fn close(&mut self, socket: &OwnedFd) {
        if !self.connection.is_handshaking() {
            self.connection.send_close_notify();
            // Whether it is heard is not waited for.
            let _ = self.flush(socket);
        }
    }

    /// What a record keeps of it.
    pub(crate) fn facts(&self) -> Secured {
        let connection = &self.connection;
        let client = connection.peer_certificates().and_then(|chain| chain.first());
        Secured {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => TlsVersion::V13,
                _ => TlsVersion::V12,
            },
            cipher: connection.negotiated_cipher_suite().map_or(0, |suite| u16::from(suite.suite())),
            protocol: match connection.alpn_protocol() {
                Some(b"h2") => Some(Protocol::Http2),
                Some(_) => Some(Protocol::Http1),
                None => None,
            },
            bad: self.bad,
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            name: connection.server_name().map(|name| Clipped::new(name.as_bytes())),
            client: client.map(|certificate| Clipped::new(&common_name(certificate))),
        }
    }
}

struct OutgoingRecords<'s>(&'s OwnedFd);

impl Write for OutgoingRecords<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(send(self.0, bytes, SEND)?)
    }

    /// Records that are ready together leave together: a handshake's server has several.
    fn write_vectored(&mut self, records: &[IoSlice<'_>]) -> std::io::Result<usize> {
        match records {
            [record] => self.write(record),
            records => Ok(sendmsg(self.0, records, &mut SendAncillaryBuffer::default(), SEND)?),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The latest common name of a certificate's subject; empty without one.
fn common_name(certificate: &CertificateDer<'_>) -> Vec<u8> {
    /// The object identifier 2.5.4.3 in DER.
    const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    let subject = parsed.subject();
    let place = subject.windows(COMMON_NAME.len()).rposition(|part| part == COMMON_NAME);
    // A type, a length below 128, the text.
    let text = place.and_then(|place| match &subject[place + COMMON_NAME.len()..] {
        [_, length @ ..=127, text @ ..] => text.get(..usize::from(*length)),
        _ => None,
    });
    text.unwrap_or_default().to_vec()
}

/// Why there is no session, from a list: what a client sends does not make it longer.
fn reason(error: &Error) -> HandshakeFailure {
    match error {
        Error::AlertReceived(alert) => alert_of(*alert),
        Error::NoCertificatesPresented => HandshakeFailure::NoClientCertificate,
        Error::InvalidCertificate(problem) => match problem {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                HandshakeFailure::ClientCertificateExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                HandshakeFailure::ClientCertificateNotYetValid
            }
            CertificateError::UnknownIssuer => HandshakeFailure::ClientCertificateUnknownIssuer,
            CertificateError::BadSignature => HandshakeFailure::ClientCertificateBadSignature,
            CertificateError::Revoked => HandshakeFailure::ClientCertificateRevoked,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                HandshakeFailure::ClientCertificateWrongUsage
            }
            CertificateError::Other(other) if is_of_version_1(other) => HandshakeFailure::ClientCertificateVersion1,
            _ => HandshakeFailure::ClientCertificateNotAccepted,
        },
        Error::PeerIncompatible(_) => HandshakeFailure::NothingInCommon,
        Error::NoApplicationProtocol => HandshakeFailure::NoProtocolInCommon,
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            HandshakeFailure::NotTls
        }
        Error::DecryptError => HandshakeFailure::Undecipherable,
        _ => HandshakeFailure::ProtocolViolation,
    }
}

fn is_of_version_1(error: &OtherError) -> bool {
    matches!(error.0.downcast_ref(), Some(webpki::Error::UnsupportedCertVersion))
}

fn alert_of(alert: AlertDescription) -> HandshakeFailure {
    match alert {
        AlertDescription::CloseNotify => HandshakeFailure::AlertCloseNotify,
        AlertDescription::HandshakeFailure => HandshakeFailure::AlertHandshakeFailure,
        AlertDescription::BadCertificate => HandshakeFailure::AlertBadCertificate,
        AlertDescription::UnsupportedCertificate => HandshakeFailure::AlertUnsupportedCertificate,
        AlertDescription::CertificateRevoked => HandshakeFailure::AlertCertificateRevoked,
        AlertDescription::CertificateExpired => HandshakeFailure::AlertCertificateExpired,
        AlertDescription::CertificateUnknown => HandshakeFailure::AlertCertificateUnknown,
        AlertDescription::UnknownCA => HandshakeFailure::AlertUnknownCa,
        AlertDescription::AccessDenied => HandshakeFailure::AlertAccessDenied,
        AlertDescription::DecryptError => HandshakeFailure::AlertDecryptError,
        AlertDescription::ProtocolVersion => HandshakeFailure::AlertProtocolVersion,
        AlertDescription::InsufficientSecurity => HandshakeFailure::AlertInsufficientSecurity,
        AlertDescription::InternalError => HandshakeFailure::AlertInternalError,
        AlertDescription::UserCanceled => HandshakeFailure::AlertUserCanceled,
        AlertDescription::UnrecognisedName => HandshakeFailure::AlertUnrecognizedName,
        AlertDescription::NoApplicationProtocol => HandshakeFailure::AlertNoApplicationProtocol,
        _ => HandshakeFailure::AlertOther,
    }
}
