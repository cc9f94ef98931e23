//! Which versions of HTTP backends speak.

use std::str::FromStr;

use http::h2::PREFACE;
use serde::{Deserialize, Serialize};

/// The versions of HTTP that a backend speaks on its port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) enum Protocols {
    /// HTTP/2 where a client begins with its preface or agrees to it (ALPN), else HTTP/1.
    #[default]
    #[serde(rename = "http/1.1,h2", alias = "h2,http/1.1")]
    Both,
    #[serde(rename = "http/1.1")]
    Http1,
    /// From the first byte on: its settings leave before a client has said anything.
    #[serde(rename = "h2")]
    Http2,
}

impl FromStr for Protocols {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Protocols, &'static str> {
        match text {
            "http/1.1" => Ok(Protocols::Http1),
            "h2" => Ok(Protocols::Http2),
            "http/1.1,h2" | "h2,http/1.1" => Ok(Protocols::Both),
            _ => Err("expected http/1.1, h2, or both with a comma between them"),
        }
    }
}

impl Protocols {
    /// Whether a connection begins as one of HTTP/2, as far as has come. No request of HTTP/1 does.
    pub(crate) fn may_be_http2(self, bytes: &[u8]) -> bool {
        const WORD: usize = "PRI ".len();
        let length = bytes.len().min(PREFACE.len());
        match self {
            Protocols::Both => length >= WORD && bytes[..length] == PREFACE[..length],
            Protocols::Http1 => false,
            Protocols::Http2 => true,
        }
    }

    /// What a server with TLS offers (ALPN), the first before the second.
    pub(crate) fn offered(self) -> Vec<Vec<u8>> {
        let (http1, http2) = (b"http/1.1".to_vec(), b"h2".to_vec());
        match self {
            Protocols::Both => vec![http2, http1],
            Protocols::Http1 => vec![http1],
            Protocols::Http2 => vec![http2],
        }
    }
}
