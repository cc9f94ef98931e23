//! Who is in the fleet and how the balancer is to use it: what the backends are started from, what balancer configuration is written
//! from, and what a check judges against. It opens nothing; whether an address can be had is found out by `fleet`.

mod address;
mod balancing;
mod faults;
mod host;
mod network;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use address::MAX_BACKENDS;
pub(crate) use address::{Address, BackendName, BackendSelection, NamedBackend, NamedBackends, no_such_backend};
pub(crate) use api::Policy;
pub(crate) use balancing::{
    ActiveHealthCheck, BackendHttp, BackendProtocol, BackendTls, CertificateCheck, HttpPath, PassiveHealthCheck,
    RetryPolicy, Sockets, Timeouts, TlsFile, Weight, Weights,
};
pub(crate) use faults::StartFaults;
pub(crate) use host::Host;
pub(crate) use network::ClientNetwork;

use crate::wire::{FleetNames, Generator};

/// The backends of a fleet, each with a name and addresses of its own, and how the balancer in front of them is configured. What says
/// `None` is left to the balancer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Topology {
    /// Where those listen that are named by their ports.
    pub(crate) host: Host,
    /// In the order in which they were named.
    pub(crate) backends: Vec<BackendConfig>,
    /// How a backend is selected.
    pub(crate) policy: Policy,
    /// Requests whose path begins with it are balanced, and arrive without it.
    pub(crate) path: HttpPath,
    /// They are reached by sockets in a folder instead of by ports.
    pub(crate) sockets: Option<Sockets>,
    /// Whether they are asked how they are.
    pub(crate) health: Option<ActiveHealthCheck>,
    /// When one is avoided.
    pub(crate) failure: Option<PassiveHealthCheck>,
    /// When another one is tried.
    pub(crate) retries: Option<RetryPolicy>,
    /// How many idle connections to them are kept; 0: none, each request has a connection of its own.
    pub(crate) keep_alive: Option<u32>,
    /// Each connection to them begins with who the client is: the PROXY protocol, version 1.
    pub(crate) proxy_protocol: bool,
    /// Protocol from the balancer to backends.
    pub(crate) http: BackendHttp,
    /// Whether the balancer uses TLS to backends.
    pub(crate) tls: bool,
    /// Whose certificates the balancer accepts then; none for any.
    pub(crate) authority: Option<PathBuf>,
    /// The list of those that are revoked; none where nobody looks for one.
    pub(crate) revoked: Option<PathBuf>,
    /// The certificate that the balancer shows to backends, with its key in the same file.
    pub(crate) client_certificate: Option<PathBuf>,
    /// The certificate that the balancer shows to clients, with its key in the same file; none without TLS.
    pub(crate) listen_tls: Option<PathBuf>,
    /// Clients may speak HTTP/2 without TLS.
    pub(crate) listen_http2: bool,
    /// How long they are waited for.
    pub(crate) timeouts: Timeouts,
}

/// One backend, as a balancer is configured with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BackendConfig {
    /// What its records are marked with: its port in a fleet of ports, else its place, from 1.
    pub(crate) generator: Generator,
    /// What people call it: its port in a fleet of ports.
    pub(crate) name: String,
    /// Where it listens, the first for balancers; empty in a fleet of ports.
    pub(crate) addresses: Vec<Address>,
    /// How often it gets its turn.
    pub(crate) weight: Weight,
    /// It gets requests only while no other can have them.
    pub(crate) backup: bool,
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
    /// The number that was asked for.
    TooMany(usize),
}

impl fmt::Display for NoPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoPort::OutOfRange(number) => write!(f, "{number}: no port, those are 1 to 65535"),
            NoPort::Duplicate(number) => {
                write!(f, "{number}: named more than once; each backend has a port of its own")
            }
            NoPort::TooMany(count) => write!(f, "{count} backends: a fleet has {MAX_BACKENDS} at most"),
        }
    }
}

impl Ports {
    /// The ports of the original program.
    pub(crate) fn of_the_original() -> Ports {
        Ports(vec![9001, 9002, 9003])
    }

    /// This many from a port on.
    pub(crate) fn following(first: u16, count: u16) -> Ports {
        Ports((0..u32::from(count)).map(|place| u32::from(first) + place).collect())
    }

    pub(crate) fn of(generators: &[Generator]) -> Ports {
        Ports(generators.iter().map(|generator| u32::from(generator.0)).collect())
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
}

/// The form that can be parsed again.
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
        let backend = |generator: Generator| BackendConfig {
            generator,
            name: generator.to_string(),
            addresses: Vec::new(),
            weight: Weight::ONE,
            backup: false,
        };
        Topology::with(host, generators.into_iter().map(backend).collect())
    }

    /// These backends, each with a name and addresses of its own.
    pub(crate) fn of_named(NamedBackends(backends): NamedBackends) -> Topology {
        let backend = |(id, NamedBackend { name, addresses })| BackendConfig {
            generator: Generator(id),
            name,
            addresses,
            weight: Weight::ONE,
            backup: false,
        };
        Topology::with(Host::localhost(), (1..).zip(backends).map(backend).collect())
    }

    fn with(host: Host, backends: Vec<BackendConfig>) -> Topology {
        Topology {
            host,
            backends,
            policy: Policy::default(),
            path: HttpPath::of_the_original(),
            sockets: None,
            health: None,
            failure: None,
            retries: None,
            keep_alive: None,
            proxy_protocol: false,
            http: BackendHttp::default(),
            tls: false,
            authority: None,
            revoked: None,
            client_certificate: None,
            listen_tls: None,
            listen_http2: false,
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

    /// Whether backends have names that are not their ports.
    pub(crate) fn is_named(&self) -> bool {
        self.backends.iter().any(|backend| !backend.addresses.is_empty())
    }

    fn backend(&self, generator: Generator) -> Option<&BackendConfig> {
        self.backends.iter().find(|backend| backend.generator == generator)
    }
    pub(crate) fn names(&self) -> FleetNames {
        self.backends.iter().map(|backend| (backend.generator, backend.name.clone())).collect()
    }

    /// The generator number of a backend, if it has one.
    pub(crate) fn number(&self, generator: Generator) -> Option<Generator> {
        self.backend(generator).filter(|backend| backend.addresses.is_empty()).map(|backend| backend.generator)
    }

    /// All addresses on which a backend listens.
    pub(crate) fn listens_on(&self, generator: Generator) -> Vec<Address> {
        match self.backend(generator) {
            Some(backend) if !backend.addresses.is_empty() => backend.addresses.clone(),
            Some(_) | None => {
                let socket = self.sockets.as_ref().map(|sockets| Address::Unix(sockets.path(generator)));
                std::iter::once(Address::Tcp(self.host.clone(), generator.0)).chain(socket).collect()
            }
        }
    }

    /// The first host and port of a backend; none if it listens on unix sockets alone.
    pub(crate) fn host_and_port(&self, generator: Generator) -> Option<(Host, u16)> {
        self.listens_on(generator).into_iter().find_map(|address| match address {
            Address::Tcp(host, port) => Some((host, port)),
            Address::Unix(_) => None,
        })
    }

    /// The URL of a backend for a client on this machine.
    pub(crate) fn url(&self, generator: Generator) -> String {
        match self.host_and_port(generator) {
            Some((host, port)) => format!("{}://{}:{port}", if self.tls { "https" } else { "http" }, host.in_url()),
            None => self.socket(generator).map_or_else(String::new, |path| format!("unix:{path}")),
        }
    }

    /// The address of a backend for a balancer on this machine.
    pub(crate) fn address(&self, generator: Generator) -> String {
        match self.host_and_port(generator) {
            Some((host, port)) => format!("{}:{port}", host.in_balancer()),
            None => self.socket(generator).map_or_else(String::new, |path| format!("unix:{path}")),
        }
    }

    /// What a balancer does for TLS to backends.
    pub(crate) fn backend_tls(&self) -> Option<BackendTls> {
        let host = self.generators().next().and_then(|generator| self.host_and_port(generator)).map(|(host, _)| host);
        let name =
            host.map_or_else(|| "localhost".to_owned(), |host| host.in_url().trim_matches(['[', ']']).to_owned());
        let text = |file: &Option<PathBuf>| file.as_ref().map(|file| file.display().to_string());
        let (authority, revoked) = (text(&self.authority), text(&self.revoked));
        let certificate = text(&self.client_certificate);
        self.tls.then_some(BackendTls { name, authority, revoked, certificate })
    }

    /// What clients speak to the balancer.
    pub(crate) fn client_scheme(&self) -> &'static str {
        if self.listen_tls.is_some() { "https" } else { "http" }
    }

    /// The file with the balancer's own certificate and its key.
    pub(crate) fn listen_tls(&self) -> Option<String> {
        self.listen_tls.as_ref().map(|file| file.display().to_string())
    }

    /// Whether clients may speak HTTP/2 without TLS: those of gRPC always do.
    pub(crate) fn speaks_clear_http2(&self) -> bool {
        self.listen_http2 || self.http == BackendHttp::Grpc
    }

    /// The socket of a backend, where it is reached by one.
    pub(crate) fn socket(&self, generator: Generator) -> Option<String> {
        let of_folder = || self.sockets.as_ref().map(|sockets| sockets.path(generator));
        let path = match self.backend(generator).and_then(|backend| backend.addresses.first()) {
            Some(Address::Unix(path)) => Some(path.clone()),
            Some(Address::Tcp(..)) => None,
            None => of_folder(),
        };
        path.map(|path| path.display().to_string())
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
}
