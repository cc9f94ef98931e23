//! TLS of a backend as processes speak of it: what each serves, what a record keeps of a connection, and how handshakes ended.

use std::fmt;

use rustls::CipherSuite;
use serde::{Deserialize, Serialize};

use crate::wire::clipped::Clipped;
use crate::wire::{BadCertificate, FailedHandshakes, TlsView};
use verdict::HandshakeFailure;

/// A record keeps this much of the name that the client asked for.
const NAME_BYTES: usize = 32;
/// A record keeps this much of the common name in the client's certificate.
const CLIENT_BYTES: usize = 24;

/// A certificate with those between it and its authority, and its key, in PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// Leaves the key out.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// What a backend serves with TLS.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TlsAssignment {
    /// What all connections are served with, unless a fault says otherwise.
    pub(crate) good: Credentials,
    /// Certificates that faults serve.
    pub(crate) bad: Vec<(BadCertificate, Credentials)>,
    /// Clients must show a certificate of one of these authorities, in PEM.
    pub(crate) clients: Option<String>,
}

impl TlsAssignment {
    /// What is wrong with certificates that it can serve.
    pub(crate) fn serves(&self, bad: BadCertificate) -> bool {
        self.bad.iter().any(|(known, _)| *known == bad)
    }
}

/// The TLS of a connection, as each record of a request on it keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Secured {
    pub(crate) version: TlsVersion,
    /// Number of the cipher suite in IANA's registry.
    pub(crate) cipher: u16,
    pub(crate) protocol: Option<Protocol>,
    /// What was wrong with the certificate that was served.
    pub(crate) bad: Option<BadCertificate>,
    /// By an earlier session: then no certificate was served.
    pub(crate) resumed: bool,
    /// The name that the client asked for (SNI).
    pub(crate) name: Option<Clipped<NAME_BYTES>>,
    /// The subject's common name of the client's certificate.
    pub(crate) client: Option<Clipped<CLIENT_BYTES>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TlsVersion {
    V12,
    V13,
}

/// The protocol that ALPN agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Secured {
    /// In a word of the journal; the names stand in words of their own.
    pub(super) fn word(&self) -> u64 {
        let version = match self.version {
            TlsVersion::V12 => 0,
            TlsVersion::V13 => 1,
        };
        let protocol = match self.protocol {
            None => 0,
            Some(Protocol::Http1) => 1,
            Some(Protocol::Http2) => 2,
        };
        let bad = self.bad.and_then(|bad| BadCertificate::ALL.iter().position(|known| *known == bad));
        version
            | protocol << 4
            | bad.map_or(0, |place| place as u64 + 1) << 8
            | u64::from(self.resumed) << 12
            | u64::from(self.client.is_some()) << 13
            | u64::from(self.name.is_some()) << 14
            | u64::from(self.cipher) << 16
            | u64::from(self.name.map_or(0, Clipped::length).min(255)) << 32
            | u64::from(self.client.map_or(0, Clipped::length).min(255)) << 40
    }

    /// From that word and those of the names, and how many words those are.
    pub(super) fn of_words(word: u64, names: &[u64]) -> (Secured, usize) {
        let name = Clipped::read(names, (word >> 32 & 0xff) as u32);
        let client = Clipped::read(&names[name.words()..], (word >> 40 & 0xff) as u32);
        let used = name.words() + client.words();
        let secured = Secured {
            version: if word & 0xf == 0 { TlsVersion::V12 } else { TlsVersion::V13 },
            protocol: match word >> 4 & 0xf {
                1 => Some(Protocol::Http1),
                2 => Some(Protocol::Http2),
                _ => None,
            },
            bad: (word >> 8 & 0xf).checked_sub(1).and_then(|place| BadCertificate::ALL.get(place as usize).copied()),
            resumed: word >> 12 & 1 == 1,
            cipher: (word >> 16) as u16,
            name: (word >> 14 & 1 == 1).then_some(name),
            client: (word >> 13 & 1 == 1).then_some(client),
        };
        (secured, used)
    }

    /// As the API and the log for programs give it.
    pub(super) fn view(&self) -> TlsView {
        let suite = CipherSuite::from(self.cipher);
        TlsView {
            version: match self.version {
                TlsVersion::V12 => "TLSv1.2",
                TlsVersion::V13 => "TLSv1.3",
            }
            .to_owned(),
            cipher: suite
                .as_str()
                .map_or_else(|| format!("{:04x}", self.cipher), |name| name.replace("TLS13_", "TLS_")),
            server_name: self.name.map(|name| name.to_string()),
            protocol: self.protocol.map(|protocol| {
                match protocol {
                    Protocol::Http1 => "http/1.1",
                    Protocol::Http2 => "h2",
                }
                .to_owned()
            }),
            bad_certificate: self.bad,
            resumed: self.resumed,
            client_certificate: self.client.map(|client| client.to_string()),
        }
    }
}

/// How the handshakes of a process ended, since it began.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Handshakes {
    pub(crate) completed: u64,
    /// How many of them resumed an earlier session.
    pub(crate) resumed: u64,
    /// Handshakes that failed, counted by reason.
    pub(crate) failed: Vec<FailedHandshakes>,
}

impl Handshakes {
    /// One more has failed, while that was wrong with the certificate.
    pub(crate) fn fail(&mut self, bad_certificate: Option<BadCertificate>, reason: HandshakeFailure) {
        let alike = |it: &&mut FailedHandshakes| it.bad_certificate == bad_certificate && it.reason == reason;
        match self.failed.iter_mut().find(alike) {
            Some(known) => known.count += 1,
            None => self.failed.push(FailedHandshakes { bad_certificate, reason, count: 1 }),
        }
    }
}
