//! Why there is no TLS session, in the words that people search for.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::io::tls::trust::SelfSigned;

/// Why there is no TLS session, or why one broke.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TlsFailure {
    /// Nobody vouches for the certificate who is trusted.
    UnknownIssuer,
    /// It signs itself, and is not trusted itself.
    SelfSigned,
    /// Its time is over, or has not come.
    OutOfTime {
        is_over: bool,
        /// The reason in the words of `rustls`.
        why: String,
    },
    /// It is valid for other names.
    WrongName {
        /// The name that the certificate must have.
        wanted: String,
        /// The names for which it is valid.
        named: Vec<String>,
    },
    /// Anything else about the certificate.
    Certificate(String),
    NoTls,
    /// What the other end has against it.
    Alert(AlertDescription),
    /// The connection was closed during the handshake.
    Closed,
    /// The connection was reset during the handshake.
    Reset,
    /// The handshake did not end in time.
    TimedOut,
    /// HTTP/2 was wanted, and it did not choose that (ALPN).
    NoHttp2,
    /// Any other failure, in the words of `rustls`.
    Other(String),
}

impl TlsFailure {
    /// The one that made something fail on a socket that blocks; none if it was not TLS.
    pub(crate) fn within(error: &io::Error) -> Option<TlsFailure> {
        error.get_ref().and_then(|error| error.downcast_ref()).map(TlsFailure::of)
    }

    pub(super) fn of(error: &Error) -> TlsFailure {
        match error {
            Error::InvalidCertificate(problem) => match problem {
                CertificateError::UnknownIssuer => TlsFailure::UnknownIssuer,
                CertificateError::Other(other) if other.0.downcast_ref() == Some(&SelfSigned) => TlsFailure::SelfSigned,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    TlsFailure::OutOfTime { is_over: true, why: problem.to_string() }
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    TlsFailure::OutOfTime { is_over: false, why: problem.to_string() }
                }
                CertificateError::NotValidForName => TlsFailure::WrongName { wanted: String::new(), named: Vec::new() },
                CertificateError::NotValidForNameContext { expected, presented } => TlsFailure::WrongName {
                    wanted: expected.to_str().into_owned(),
                    named: presented.iter().map(|name| bare(name)).collect(),
                },
                _ => TlsFailure::Certificate(problem.to_string()),
            },
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge,
            ) => TlsFailure::NoTls,
            Error::AlertReceived(alert) => TlsFailure::Alert(*alert),
            _ => TlsFailure::Other(error.to_string()),
        }
    }

    /// Whether a later attempt will fail like this one: it is not for a moment that something does not run.
    pub(crate) fn is_lasting(&self) -> bool {
        !matches!(self, TlsFailure::Closed | TlsFailure::Reset)
    }

    /// Whether the two ends have no application protocol in common (ALPN).
    pub(crate) fn is_about_protocol(&self) -> bool {
        matches!(self, TlsFailure::Alert(AlertDescription::NoApplicationProtocol))
    }

    /// What the user may try.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            TlsFailure::UnknownIssuer | TlsFailure::SelfSigned => {
                "--ca FILE trusts the certificate (or its authority's) in a PEM file, --insecure trusts any"
            }
            TlsFailure::OutOfTime { .. } => "renew it, and is this machine's clock right? --insecure takes it as it is",
            TlsFailure::WrongName { .. } => {
                "use a name of the certificate in the URL (subject alternative names count, the common name does not), or --insecure"
            }
            TlsFailure::Certificate(_) => {
                "--ca FILE takes the balancer's own certificate or its authority's, as it is now; --insecure takes any"
            }
            TlsFailure::NoTls | TlsFailure::Closed | TlsFailure::Reset | TlsFailure::TimedOut => {
                "does that port speak TLS? Without it the URL begins with http:// (grpc://)"
            }
            TlsFailure::NoHttp2 => {
                "switch HTTP/2 on in the balancer, or leave --http2 out: the client then speaks HTTP/1.1"
            }
            _ if self.is_about_protocol() => {
                "the balancer speaks another protocol there: --http2 asks for HTTP/2, without it the client speaks HTTP/1.1"
            }
            TlsFailure::Alert(_) | TlsFailure::Other(_) => {
                "the balancer's error log says more; TLS 1.2 and 1.3 are spoken, and --cert FILE --key FILE shows a client certificate"
            }
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFailure::UnknownIssuer => {
                f.write_str("certificate verify failed: unable to get local issuer certificate (unknown issuer)")
            }
            TlsFailure::SelfSigned => f.write_str("certificate verify failed: self-signed certificate"),
            TlsFailure::OutOfTime { is_over, why } => {
                let what = if *is_over { "certificate has expired" } else { "certificate is not yet valid" };
                write!(f, "certificate verify failed: {what}, not valid now: {why}")
            }
            TlsFailure::WrongName { wanted, named } if named.is_empty() => {
                write!(
                    f,
                    "certificate verify failed: hostname mismatch, not for the name {wanted}, and it has no alternative names"
                )
            }
            TlsFailure::WrongName { wanted, named } => {
                write!(
                    f,
                    "certificate verify failed: hostname mismatch, not for the name {wanted}, but for {}",
                    named.join(", ")
                )
            }
            TlsFailure::Certificate(why) => write!(f, "certificate verify failed: {why}"),
            TlsFailure::NoTls => f.write_str("what it sends is not TLS"),
            TlsFailure::Alert(AlertDescription::CertificateRequired) => {
                f.write_str("it asks for a client certificate, and none was shown")
            }
            TlsFailure::NoHttp2 => f.write_str("it does not offer HTTP/2 (ALPN h2)"),
            _ if self.is_about_protocol() => f.write_str("it offers no protocol that was asked for (ALPN)"),
            TlsFailure::Alert(alert) => write!(f, "it refuses the TLS handshake: {alert:?}"),
            TlsFailure::Closed => f.write_str("it closes the connection during the TLS handshake"),
            TlsFailure::Reset => f.write_str("it resets the connection during the TLS handshake"),
            TlsFailure::TimedOut => f.write_str("the TLS handshake does not end"),
            TlsFailure::Other(why) => write!(f, "TLS failed: {why}"),
        }
    }
}

/// `example.org` of `DnsName("example.org")`, as `rustls` tells it.
fn bare(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"').to_owned()
}
