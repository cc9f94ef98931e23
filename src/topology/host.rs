//! A name or an address to listen on, and how others on this machine write it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A name or an address to listen on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Host(String);

impl Host {
    /// Both loopback addresses, IPv4 and IPv6.
    pub(crate) fn localhost() -> Host {
        Host("localhost".to_owned())
    }

    /// Every address of the machine that the host stands for. `localhost` is both loopback addresses whatever the resolver says of
    /// it, so that `127.0.0.1:9001` in a balancer and `http://localhost:9001` in a browser reach the same backend.
    pub(crate) fn fixed_addresses(&self) -> Option<Vec<IpAddr>> {
        match self.0.as_str() {
            "localhost" => Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
            other => other.parse().ok().map(|address| vec![address]),
        }
    }

    /// How a client on this machine writes it: `localhost`, `[::1]`.
    pub(crate) fn in_url(&self) -> String {
        match self.0.parse() {
            Ok(IpAddr::V4(any)) if any.is_unspecified() => "localhost".to_owned(),
            Ok(IpAddr::V6(any)) if any.is_unspecified() => "localhost".to_owned(),
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            Ok(IpAddr::V4(_)) | Err(_) => self.0.clone(),
        }
    }

    /// How a balancer on this machine writes it: as one address, where that is known.
    pub(crate) fn in_balancer(&self) -> String {
        match self.in_url().as_str() {
            "localhost" => Ipv4Addr::LOCALHOST.to_string(),
            other => other.to_owned(),
        }
    }

    /// The host as it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Host, String> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let plausible = !bare.is_empty()
            && (bare.parse::<IpAddr>().is_ok()
                || bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)));
        if plausible {
            Ok(Host(bare.to_owned()))
        } else {
            Err("expected a host name or an address, without scheme and port: localhost, 0.0.0.0, ::1".to_owned())
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_written_as_its_readers_need_it() {
        for (host, url, balancer) in [
            ("localhost", "localhost", "127.0.0.1"),
            ("0.0.0.0", "localhost", "127.0.0.1"),
            ("::", "localhost", "127.0.0.1"),
            ("[::1]", "[::1]", "[::1]"),
            ("127.0.0.5", "127.0.0.5", "127.0.0.5"),
            ("backend.example", "backend.example", "backend.example"),
        ] {
            let host: Host = host.parse().unwrap();
            assert_eq!((host.in_url(), host.in_balancer()), (url.to_owned(), balancer.to_owned()));
        }
        for text in ["", "http://localhost", "localhost:80", "a b"] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }
}
