//! Who is in the fleet and what the balancer is told: what the backends are started from, what balancer configuration is written
//! from, and what a check judges against. It opens nothing; whether an address can be had is found out by `fleet`.

mod policy;
mod told;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

pub(crate) use policy::Policy;
pub(crate) use told::{Failure, Health, HttpPath, Retries, Sockets, Timeouts, Weight, Weights};

use crate::wire::Generator;

/// A fleet has at most this many backends.
pub(crate) const MAX_BACKENDS: usize = 1000;

/// The backends of a fleet, on one host, each with a port of its own, and what the balancer in front of them is told. What says
/// `None` is left to the balancer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Topology {
    /// Where they listen.
    pub(crate) host: Host,
    /// In the order in which they were named.
    pub(crate) backends: Vec<BackendConfig>,
    /// How one is picked.
    pub(crate) policy: Policy,
    /// Requests whose path begins with it are balanced, and arrive without it.
    pub(crate) path: HttpPath,
    /// They are reached by sockets in a folder instead of by ports.
    pub(crate) sockets: Option<Sockets>,
    /// Whether they are asked how they are.
    pub(crate) health: Option<Health>,
    /// When one is avoided.
    pub(crate) failure: Option<Failure>,
    /// When another one is tried.
    pub(crate) retries: Option<Retries>,
    /// How many idle connections to them are kept; 0: none, each request has a connection of its own.
    pub(crate) keep_alive: Option<u32>,
    /// Each connection to them begins with who the client is: the PROXY protocol, version 1.
    pub(crate) proxy_protocol: bool,
    /// How long they are waited for.
    pub(crate) timeouts: Timeouts,
}

/// One backend, as a balancer is told of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BackendConfig {
    /// Its number, which is its port.
    pub(crate) generator: Generator,
    /// How often it gets its turn.
    pub(crate) weight: Weight,
    /// It gets requests only while no other can have them.
    pub(crate) backup: bool,
}

/// A name or an address to listen on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Host(String);

impl Host {
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

    /// As it was given.
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
        match plausible {
            true => Ok(Host(bare.to_owned())),
            false => {
                Err("expected a host name or an address, without scheme and port: localhost, 0.0.0.0, ::1".to_owned())
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Ports as they were asked for: `9001-9003,9010`. Whether they make a fleet is judged by [`Ports::generators`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ports(Vec<u32>);

/// Why a number that was asked for cannot be a backend's port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoPort {
    /// Not 1 to 65535.
    OutOfRange(u32),
    /// It was asked for more than once.
    Duplicate(u32),
    /// So many were asked for.
    TooMany(usize),
}

impl fmt::Display for NoPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoPort::OutOfRange(number) => write!(f, "{number}: no port, those are 1 to 65535"),
            NoPort::Duplicate(number) => write!(f, "{number}: asked for more than once"),
            NoPort::TooMany(count) => write!(f, "{count} backends: a fleet has {MAX_BACKENDS} at most"),
        }
    }
}

impl Ports {
    /// The ports of the original program.
    pub(crate) fn of_the_original() -> Ports {
        Ports(vec![9001, 9002, 9003])
    }

    /// All numbers that can be ports of one fleet, and everything that is wrong with the others.
    pub(crate) fn generators(&self) -> (Vec<Generator>, Vec<NoPort>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        let mut seen = std::collections::BTreeSet::new();
        for &number in &self.0 {
            match u16::try_from(number) {
                Ok(0) | Err(_) => bad.push(NoPort::OutOfRange(number)),
                Ok(port) if seen.insert(port) => good.push(Generator(port)),
                Ok(_) => bad.push(NoPort::Duplicate(number)),
            }
        }
        bad.dedup();
        if self.0.len() > MAX_BACKENDS {
            bad = vec![NoPort::TooMany(self.0.len())];
        }
        (good, bad)
    }

    /// The backends that are meant; an error if any number cannot be one.
    pub(crate) fn meant(&self) -> Result<Vec<Generator>, NoPort> {
        match self.generators() {
            (generators, bad) if bad.is_empty() => Ok(generators),
            (_, bad) => Err(bad[0]),
        }
    }

    /// The ports of several lists, one after the other.
    pub(crate) fn concat(parts: impl IntoIterator<Item = Ports>) -> Ports {
        Ports(parts.into_iter().flat_map(|part| part.0).collect())
    }
}

/// As it can be read again.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&ports.join(","))
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Ports, String> {
        let mut numbers = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| {
                text.trim()
                    .parse::<u32>()
                    .map_err(|_| format!("expected ports and ranges of ports such as 9001-9003,9010, found {part:?}"))
            };
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("expected a range from low to high, found {part:?}"));
            }
            if last - first >= 0x1_0000 {
                return Err(format!("the range {part:?} is longer than there are ports"));
            }
            numbers.extend(first..=last);
        }
        Ok(Ports(numbers))
    }
}

impl Topology {
    /// These backends, all alike, under the path of the original program, and all else as the balancer has it.
    pub(crate) fn of(host: Host, generators: Vec<Generator>) -> Topology {
        let backend = |generator| BackendConfig { generator, weight: Weight::ONE, backup: false };
        Topology {
            host,
            backends: generators.into_iter().map(backend).collect(),
            policy: Policy::default(),
            path: HttpPath::of_the_original(),
            sockets: None,
            health: None,
            failure: None,
            retries: None,
            keep_alive: None,
            proxy_protocol: false,
            timeouts: Timeouts::default(),
        }
    }

    /// Gives each backend its weight, in their order.
    pub(crate) fn weigh(&mut self, Weights(weights): &Weights) -> Result<(), String> {
        let (given, count) = (weights.len(), self.backends.len());
        if given != count {
            return Err(format!("{given} weights for {count} backends"));
        }
        self.backends.iter_mut().zip(weights).for_each(|(backend, weight)| backend.weight = *weight);
        Ok(())
    }

    /// Whose they are, in the order in which they were named.
    pub(crate) fn generators(&self) -> impl ExactSizeIterator<Item = Generator> {
        self.backends.iter().map(|backend| backend.generator)
    }

    /// Those that take their turn while all is well.
    pub(crate) fn active(&self) -> impl Iterator<Item = &BackendConfig> {
        self.backends.iter().filter(|backend| !backend.backup)
    }

    /// Those that wait until no other can take a request.
    pub(crate) fn backups(&self) -> impl Iterator<Item = &BackendConfig> {
        self.backends.iter().filter(|backend| backend.backup)
    }

    /// Not all weights are the same.
    pub(crate) fn is_weighted(&self) -> bool {
        self.backends.windows(2).any(|pair| pair[0].weight != pair[1].weight)
    }

    /// The URL of a backend for a client on this machine.
    pub(crate) fn url(&self, generator: Generator) -> String {
        format!("http://{}:{generator}", self.host.in_url())
    }

    /// The address of a backend for a balancer on this machine.
    pub(crate) fn address(&self, generator: Generator) -> String {
        format!("{}:{generator}", self.host.in_balancer())
    }

    /// The socket of a backend, where it is reached by one.
    pub(crate) fn socket(&self, generator: Generator) -> Option<String> {
        self.sockets.as_ref().map(|sockets| sockets.path(generator).display().to_string())
    }
}

/// `address` is one that only processes of this machine can reach.
pub(crate) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generators(text: &str) -> (Vec<u16>, Vec<NoPort>) {
        let (good, bad) = text.parse::<Ports>().unwrap().generators();
        (good.into_iter().map(|generator| generator.0).collect(), bad)
    }

    #[test]
    fn ports_are_lists_and_ranges() {
        assert_eq!(generators("9001-9003,9010"), (vec![9001, 9002, 9003, 9010], vec![]));
        assert_eq!(generators(" 9003 , 9001 - 9002 "), (vec![9003, 9001, 9002], vec![]));
        for text in ["", "9001,", "a", "9003-9001", "-1", "9001-", "1-2-3", "0-4294967295"] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_number_that_is_no_port_of_its_own_is_named() {
        let bad = vec![NoPort::OutOfRange(0), NoPort::OutOfRange(70000), NoPort::Duplicate(9001)];
        assert_eq!(generators("0,9001,70000,9001"), (vec![9001], bad));
        assert_eq!(generators("1-1001").1, vec![NoPort::TooMany(1001)]);
        assert_eq!(generators("1-1000").1, vec![]);
    }

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
