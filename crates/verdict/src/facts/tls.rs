//! The rules of TLS between balancer and backends: whether the balancer verifies certificates, and what it shows of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;
use crate::{BadCertificate, HandshakeFailure};

/// What is known of TLS, for the rules.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KnownTls {
    /// What was tried, if it was asked for.
    pub verification: Verification,
    /// Connections and requests with and without TLS, as backends saw them.
    pub connections: ArrivedConnections,
}

/// What was tried with each bad certificate.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Verification {
    /// What is required: `tls:verified`, `tls:revocation`.
    pub expected: Vec<String>,
    /// One for each kind that was tried.
    pub trials: Vec<Trial>,
    /// Why none could be; null if they could.
    pub untried: Option<Untried>,
    /// Kinds that were to be refused, and requests arrived all the same.
    pub accepted: Vec<BadCertificate>,
    /// Kinds of which is not known whether they are refused.
    pub open: Vec<BadCertificate>,
    /// Backends that got requests, and of which is not known whether each is verified.
    pub open_at: Vec<String>,
}

/// A backend served a bad certificate, and requests were sent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Trial {
    /// What was wrong with it.
    pub certificate: BadCertificate,
    /// The backend that served the bad certificate.
    pub backend: String,
    /// Requests that were sent to the balancer meanwhile.
    pub sent: u64,
    /// Requests that arrived at that backend on connections with that certificate.
    pub arrived: u64,
    /// Requests to which no backend responded meanwhile.
    pub failed: u64,
    /// The backend's share of the sample, 0 to 1.
    pub share: f64,
    /// Whether the certificate was refused; null if that is not known.
    pub refused: Option<bool>,
    /// Handshakes that failed at that backend, by reason.
    pub handshakes: Vec<Refused>,
}

/// Handshakes that failed alike.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refused {
    /// `alert certificate_expired`
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub reason: HandshakeFailure,
    /// How many handshakes ended with it.
    pub count: u64,
}

/// What a trial shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CertificateTrial {
    /// A request arrived: the certificate is accepted.
    Accepted,
    /// The balancer sent an alert: the certificate is refused.
    Alert,
    /// A handshake ended well, and nothing followed. Who verifies only after the handshake leaves like that, as NGINX does; so does a
    /// health check that asks nothing. It is a refusal only where requests would have arrived.
    Left,
    /// Nobody looked at the certificate.
    Nothing,
}

impl Trial {
    /// Nothing was sent yet.
    pub fn new(certificate: BadCertificate, backend: &str) -> Trial {
        let backend = backend.to_owned();
        Trial {
            certificate,
            backend,
            sent: 0,
            arrived: 0,
            failed: 0,
            share: 0.0,
            refused: None,
            handshakes: Vec::new(),
        }
    }

    /// Whether the balancer refused that certificate.
    pub fn shows(&self) -> CertificateTrial {
        let failed = |why: fn(HandshakeFailure) -> bool| self.handshakes.iter().any(|it| why(it.reason));
        match self {
            _ if self.arrived > 0 => CertificateTrial::Accepted,
            _ if failed(HandshakeFailure::refuses_certificate) => CertificateTrial::Alert,
            _ if failed(|reason| reason == HandshakeFailure::ClosedAfter) => CertificateTrial::Left,
            _ => CertificateTrial::Nothing,
        }
    }
}

/// Why no certificate could be tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Untried {
    /// The backends are not ours.
    NoFleet,
    /// The backends speak no TLS.
    NoTls,
    /// The backends serve a certificate of the user's own, and none is made.
    NoAuthority,
    /// The fleet could not be asked, or no backend responded.
    Unreachable,
}

/// The connections on which requests of the run arrived.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArrivedConnections {
    /// What is required: `tls:sni`, `tls:client-certificate`.
    pub expected: Vec<String>,
    /// Whether backends ask for a certificate of the client; null if nobody knows.
    pub asks_clients: Option<bool>,
    /// Handshakes that failed because the client showed no certificate, or one that is not accepted.
    pub clients_refused: u64,
    /// Why clients ended handshakes with each backend whose certificate they do not accept: most of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, String>"))]
    pub not_accepted: BTreeMap<String, HandshakeFailure>,
    /// Handshakes that failed at backends, by reason, the most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Refused>,
    /// What a fault made of the certificates of those backends.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bad_certificates: BTreeMap<String, BadCertificate>,
    /// Requests on those connections.
    #[serde(flatten)]
    pub arrived: ArrivedByTls,
}

/// Requests by the TLS under them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArrivedByTls {
    /// Number with TLS.
    pub secured: u64,
    /// Number without TLS.
    pub plain: u64,
    /// Number with TLS 1.2.
    pub tls12: u64,
    /// On connections that resumed an earlier session.
    pub resumed: u64,
    /// Number with a server name (SNI).
    pub named: u64,
    /// Some of those names.
    pub names: Vec<String>,
    /// On connections with a certificate of the client.
    pub certified: u64,
    /// Some of their common names.
    pub clients: Vec<String>,
    /// By what was wrong with the certificate that the backend served.
    pub bad: Vec<(BadCertificate, u64)>,
}

/// Texts that are kept of names.
const EXAMPLES: usize = 3;

/// What a record says of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArrivedTls<'a> {
    /// TLS 1.2, not 1.3.
    pub is_tls12: bool,
    /// Whether the connection resumed an earlier session.
    pub resumed: bool,
    /// The name in SNI; none without.
    pub name: Option<&'a str>,
    /// The common name of the client's certificate.
    pub client: Option<&'a str>,
    /// What was wrong with the backend's.
    pub bad: Option<BadCertificate>,
}

impl ArrivedByTls {
    /// One more request, and its TLS.
    pub fn add(&mut self, tls: Option<&ArrivedTls>) {
        let Some(tls) = tls else {
            self.plain += 1;
            return;
        };
        self.secured += 1;
        self.tls12 += u64::from(tls.is_tls12);
        self.resumed += u64::from(tls.resumed);
        for (text, count, texts) in
            [(tls.name, &mut self.named, &mut self.names), (tls.client, &mut self.certified, &mut self.clients)]
        {
            let Some(text) = text else { continue };
            *count += 1;
            if texts.len() < EXAMPLES && !texts.iter().any(|known| known == text) {
                texts.push(text.to_owned());
            }
        }
        if let Some(bad) = tls.bad {
            match self.bad.iter_mut().find(|(known, _)| *known == bad) {
                Some((_, count)) => *count += 1,
                None => self.bad.push((bad, 1)),
            }
        }
    }
}

pub(crate) const VERIFIED: RuleDescription = RuleDescription {
    requires: "no request reaches a backend whose certificate is expired, not yet valid, another host's, of an unknown authority, signed by \
               itself or not for servers",
    sound: "by construction: the backend recorded the request on a connection with that certificate; a kind passes only where the \
            balancer's own alert, or its leaving after the handshake, was recorded, and is inconclusive where nothing was; \
            another host's is tried at each backend",
    source: Some("RFC 5280 §6, RFC 9525"),
};
pub(crate) const CONNECTIONS: RuleDescription = RuleDescription {
    requires: "the balancer names the server (SNI), or shows its own certificate, where that is expected",
    sound: "by construction: backends recorded it of each connection",
    source: Some("RFC 6066 §3"),
};
