//! How a balancer is to use its backends: weights, health checks, retries, timeouts, TLS.

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::wire::Generator;

/// How often a backend gets its turn, compared with others: 1 to 256, as much as every balancer takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Weight(u16);

impl Weight {
    /// The weight of a backend that is like all others.
    pub(crate) const ONE: Weight = Weight(1);

    pub(crate) fn get(self) -> u16 {
        self.0
    }
}

/// What a balancer speaks to its backends, over TCP or TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum BackendHttp {
    /// HTTP/1.1, or over TLS what the balancer negotiates by itself.
    #[default]
    One,
    /// HTTP/2, over TCP with prior knowledge.
    Two,
    /// gRPC, which is HTTP/2 with trailers.
    Grpc,
}

/// What a balancer speaks to its backends, as it is typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BackendProtocol {
    pub(crate) http: BackendHttp,
    pub(crate) tls: bool,
}

impl FromStr for BackendProtocol {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<BackendProtocol, &'static str> {
        let (http, tls) = match text {
            "http" => (BackendHttp::One, false),
            "https" => (BackendHttp::One, true),
            "h2c" => (BackendHttp::Two, false),
            "h2" => (BackendHttp::Two, true),
            "grpc" => (BackendHttp::Grpc, false),
            "grpcs" => (BackendHttp::Grpc, true),
            _ => return Err("expected http, https, h2c, h2 (over TLS), grpc or grpcs"),
        };
        Ok(BackendProtocol { http, tls })
    }
}

/// Which certificates of backends a balancer accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum CertificateCheck {
    /// Any certificate is accepted.
    Off,
    /// Those that this authority vouches for, and that have the backend's name.
    By(PathBuf),
}

impl FromStr for CertificateCheck {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<CertificateCheck, &'static str> {
        match text {
            "" => Err("expected a file with an authority's certificate in PEM, or off"),
            "off" => Ok(CertificateCheck::Off),
            file => Ok(CertificateCheck::By(file.into())),
        }
    }
}

/// What a file says, or what the fleet makes of its own authority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TlsFile {
    /// What belongs to the fleet's own authority.
    Fleet,
    File(PathBuf),
}

impl FromStr for TlsFile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<TlsFile, &'static str> {
        match text {
            "" => Err("expected a file in PEM, or fleet"),
            "fleet" => Ok(TlsFile::Fleet),
            file => Ok(TlsFile::File(file.into())),
        }
    }
}

/// TLS from a balancer to backends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BackendTls {
    /// The name that it asks for and verifies.
    pub(crate) name: String,
    /// Whose certificates it accepts; none for any.
    pub(crate) authority: Option<String>,
    /// The list of those that it refuses all the same.
    pub(crate) revoked: Option<String>,
    /// The certificate that it shows, with its key in the same file.
    pub(crate) certificate: Option<String>,
}

/// A number that is no weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected weights from 1 to 256, found {0}")]
pub(crate) struct NoWeight(pub(crate) u32);

impl TryFrom<u32> for Weight {
    type Error = NoWeight;

    fn try_from(number: u32) -> Result<Weight, NoWeight> {
        match u16::try_from(number) {
            Ok(weight @ 1..=256) => Ok(Weight(weight)),
            Ok(_) | Err(_) => Err(NoWeight(number)),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The weights of all backends, in their order: `5:1:1`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Weights(pub(crate) Vec<Weight>);

impl FromStr for Weights {
    type Err = String;

    fn from_str(text: &str) -> Result<Weights, String> {
        let weight = |part: &str| {
            let weight = part.trim().parse().ok().and_then(|number: u32| Weight::try_from(number).ok());
            weight
                .ok_or_else(|| format!("expected weights from 1 to 256, one a backend, such as 5:1:1, found {part:?}"))
        };
        text.split(':').map(weight).collect::<Result<_, _>>().map(Weights)
    }
}

/// A path: what a request's path begins with, or what a health probe asks for. `/`, or without a slash at its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HttpPath(String);

impl HttpPath {
    /// The path of the original program: `/uuid`.
    pub(crate) fn of_the_original() -> HttpPath {
        HttpPath("/uuid".to_owned())
    }

    /// The path `/`.
    pub(crate) fn root() -> HttpPath {
        HttpPath("/".to_owned())
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// As it is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HttpPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HttpPath {
    type Err = String;

    fn from_str(text: &str) -> Result<HttpPath, String> {
        let path = if text.len() > 1 { text.trim_end_matches('/') } else { text };
        let plain = |part: &str| {
            part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
                && part != "."
                && part != ".."
        };
        let parts = path.strip_prefix('/').map(|rest| rest.split('/').collect::<Vec<_>>()).unwrap_or_default();
        let whole = path == "/" || (!parts.is_empty() && parts.iter().all(|part| !part.is_empty() && plain(part)));
        if whole && path.len() <= 256 {
            Ok(HttpPath(path.to_owned()))
        } else {
            Err("expected a path such as /uuid, of letters, digits and any of -_.~/".to_owned())
        }
    }
}

/// Where the backends' unix sockets are: `9001.sock` and so on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sockets(PathBuf);

impl Sockets {
    /// The folder that the sockets are in.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// The path of a backend's socket.
    pub(crate) fn path(&self, generator: Generator) -> PathBuf {
        self.0.join(format!("{generator}.sock"))
    }
}

impl FromStr for Sockets {
    type Err = String;

    fn from_str(text: &str) -> Result<Sockets, String> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        // sockaddr_un holds 107 bytes of path.
        if text.starts_with('/') && plain && text.len() <= 90 {
            Ok(Sockets(PathBuf::from(text)))
        } else {
            Err("expected a folder's path from the root, of up to 90 letters, digits and any of -_./".to_owned())
        }
    }
}

/// The balancer asks each backend whether it is well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ActiveHealthCheck {
    /// What is asked for; a status of 200 is well.
    pub(crate) path: HttpPath,
    /// The time from one probe to the next.
    pub(crate) interval: Duration,
    /// How long a response is waited for.
    pub(crate) timeout: Duration,
    /// Good responses after which a backend that was ill is well.
    pub(crate) rise: NonZeroU32,
    /// Bad responses after which a backend that was well is ill.
    pub(crate) fall: NonZeroU32,
}

/// The balancer avoids a backend that fails requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PassiveHealthCheck {
    /// Failures after which a backend is avoided.
    pub(crate) max_fails: NonZeroU32,
    /// How long a backend that failed is avoided.
    pub(crate) fail_timeout: Duration,
}

/// The balancer tries another backend when one fails a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RetryPolicy {
    /// The most attempts after the first one.
    pub(crate) attempts: u32,
    /// Also when a request such as POST was sent already, and may have been executed.
    pub(crate) non_idempotent: bool,
}

/// How long a backend is waited for. None: as the balancer has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Timeouts {
    /// How long a connection may take to be established.
    pub(crate) connect: Option<Duration>,
    /// How long the balancer waits for a response.
    pub(crate) answer: Option<Duration>,
    /// For the next bytes of a stream or a WebSocket, in either direction.
    pub(crate) stream: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_at_least_one() {
        assert_eq!("5:1:1".parse(), Ok(Weights(vec![Weight(5), Weight::ONE, Weight::ONE])));
        for text in ["", "0", "1:0", "1:257", "1:", "-1", "1,2", "a"] {
            assert!(text.parse::<Weights>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_means_nothing_to_a_configuration_language() {
        for text in ["/", "/uuid", "/a/b-c_d.e~f"] {
            assert_eq!(text.parse::<HttpPath>().unwrap().as_str(), text);
        }
        assert_eq!("/uuid/".parse(), Ok(HttpPath::of_the_original()));
        for text in ["", "uuid", "//", "/a//b", "/a b", "/a;", "/{", "/$x", "/a/../b", "/ü", "/a\n"] {
            assert!(text.parse::<HttpPath>().is_err(), "{text}");
        }
        for text in ["", "sockets", "/a b", "/a'", "/a;"] {
            assert!(text.parse::<Sockets>().is_err(), "{text}");
        }
    }
}
