//! How a configuration is written: for which version, where the balancer listens, how many workers it has.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::balancer::containers::Containers;
use crate::topology::Host;

/// The user's choices for the configuration that is written.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Options {
    /// Where the balancer listens; None: port 80 of a snippet, 127.0.0.1:8080 else.
    pub(crate) listen: Option<Listen>,
    /// Only what is included in a configuration that is there already.
    pub(crate) snippet: bool,
    /// The version for which the file is written.
    pub(crate) version: For,
    /// How many workers or threads serve; None: one, and in a snippet whatever there is.
    pub(crate) workers: Option<NonZeroU32>,
    /// The containers that the fleet runs in.
    pub(crate) containers: Containers,
}

impl Options {
    #[cfg(test)]
    /// What is included, for the newest version.
    pub(crate) const SNIPPET: Options =
        Options { listen: None, snippet: true, version: For::Newest, workers: None, containers: Containers::PLAIN };
    #[cfg(test)]
    /// What runs by itself, for the newest version.
    pub(crate) const WHOLE: Options = Options { snippet: false, ..Options::SNIPPET };

    pub(crate) fn listen(&self) -> Listen {
        self.listen.unwrap_or(if self.snippet {
            Listen { address: None, port: 80 }
        } else {
            Listen { address: Some(IpAddr::from([127, 0, 0, 1])), port: 8080 }
        })
    }

    pub(crate) fn workers(&self) -> u32 {
        self.workers.map_or(1, NonZeroU32::get)
    }
}

/// For which version of a balancer a configuration is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum For {
    /// The version that the user asked for.
    Asked(BalancerVersion),
    /// The version that the program on PATH prints.
    Found(BalancerVersion),
    /// No version is known: the newest that was tried is assumed.
    Newest,
}

/// A balancer's version, such as `1.31.3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct BalancerVersion(pub(crate) u32, pub u32, pub u32);

impl BalancerVersion {
    /// The first one in what a program says of itself: `nginx version: nginx/1.22.1`.
    pub(crate) fn in_text(text: &str) -> Option<BalancerVersion> {
        text.split(|c: char| !(c.is_ascii_digit() || c == '.')).find_map(|word| {
            let word = word.trim_matches('.');
            (word.split('.').count() == 3).then(|| word.parse().ok()).flatten()
        })
    }
}

impl fmt::Display for BalancerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for BalancerVersion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<BalancerVersion, &'static str> {
        const EXPECTED: &str = "expected a version such as 1.31.3 or 2.6";
        let mut numbers = [0; 3];
        let parts: Vec<&str> = text.strip_prefix('v').unwrap_or(text).split('.').collect();
        if !(2..=3).contains(&parts.len()) {
            return Err(EXPECTED);
        }
        for (number, part) in numbers.iter_mut().zip(parts) {
            *number = part.parse().map_err(|_| EXPECTED)?;
        }
        Ok(BalancerVersion(numbers[0], numbers[1], numbers[2]))
    }
}

/// Where a balancer listens: `8080` is that port of all of the machine's IPv4 addresses, `127.0.0.1:8080` of one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Listen {
    /// None: all IPv4 addresses.
    pub(crate) address: Option<IpAddr>,
    /// Never 0.
    pub(crate) port: u16,
}

impl Listen {
    /// With an address in any case: `0.0.0.0:8080`.
    pub(crate) fn ip(self) -> IpAddr {
        self.address.unwrap_or(IpAddr::from([0, 0, 0, 0]))
    }
}

/// Prints `8080`, `127.0.0.1:8080` or `[::1]:8080`.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            None => self.port.fmt(f),
            Some(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
        }
    }
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Listen, &'static str> {
        const EXPECTED: &str = "expected a port, or an address and a port: 8080, 127.0.0.1:8080, [::1]:8080";
        let listen = match text.rsplit_once(':') {
            None => text.parse().ok().map(|port| Listen { address: None, port }),
            Some((host, port)) => host.parse::<Host>().ok().zip(port.parse().ok()).and_then(|(host, port)| {
                let address = host.fixed_addresses()?.first().copied();
                Some(Listen { address, port })
            }),
        };
        listen.filter(|listen| listen.port != 0).ok_or(EXPECTED)
    }
}
