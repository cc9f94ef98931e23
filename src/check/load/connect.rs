//! Opens a client's connections, and says what it means when one cannot be opened or ends without a response.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::io::ending::Ending;
use crate::io::socket;
use crate::topology::ClientNetwork;
use verdict::observation::ClientOutcome;

/// A connection that could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ConnectFailure {
    /// The other end's doing: an observation.
    Peer(ClientOutcome),
    /// This machine's: no observation.
    Local(Errno),
}

/// Begins to connect, from that address if one is given.
pub(crate) fn open(to: SocketAddr, from: Option<IpAddr>) -> Result<OwnedFd, ConnectFailure> {
    let socket = socket::create(to, from).map_err(ConnectFailure::Local)?;
    socket::start_connecting(&socket, to).map_err(failure)?;
    Ok(socket)
}

/// What an error means before a connection is established.
pub(crate) fn failure(errno: Errno) -> ConnectFailure {
    match errno {
        Errno::CONNREFUSED => ConnectFailure::Peer(ClientOutcome::Refused),
        Errno::ADDRNOTAVAIL | Errno::ADDRINUSE | Errno::NOBUFS | Errno::NOMEM | Errno::INVAL | Errno::AFNOSUPPORT => {
            ConnectFailure::Local(errno)
        }
        _ => ConnectFailure::Peer(ClientOutcome::Unreachable),
    }
}

/// The PROXY header of version 1 (curl's `--haproxy-protocol`): the connection's own addresses.
pub(crate) fn proxy_header(socket: &OwnedFd, to: SocketAddr) -> Vec<u8> {
    let from = rustix::net::getsockname(socket).ok().and_then(|from| SocketAddr::try_from(from).ok());
    let text = match from {
        Some(from) => {
            let family = if to.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port())
        }
        None => "PROXY UNKNOWN\r\n".to_owned(),
    };
    text.into_bytes()
}

/// What it is when a connection ends and nothing of a response has come.
pub(crate) fn outcome(ending: Ending) -> ClientOutcome {
    match ending {
        Ending::Closed | Ending::Unannounced => ClientOutcome::Closed,
        Ending::Reset => ClientOutcome::Reset,
    }
}

/// Where a connection comes from: in a network of clients each has an address of it, the first one unless another is given.
pub(crate) fn address_of(clients: Option<ClientNetwork>, from: Option<IpAddr>) -> Option<IpAddr> {
    match (clients, from) {
        (None, from) => from,
        (Some(network), Some(IpAddr::V4(from))) => Some(network.of_loopback(from).into()),
        (Some(network), None | Some(IpAddr::V6(_))) => Some(network.of_loopback(Ipv4Addr::LOCALHOST).into()),
    }
}

/// The address of a virtual client: different in the third number first, as far as there are any. The last one is scattered (19th powers
/// are a permutation modulo 251): a balancer that divides addresses by the sum of its weights, as HAProxy's `balance source` does, gives those
/// at equal distances to few of its backends.
pub(crate) fn source(client: u32) -> IpAddr {
    const EACH: u32 = 250;
    let (place, round) = (1 + client % EACH, client / EACH);
    // Without the third number, which a small network of clients has no room for, they are different, too.
    let scattered = (0..19).fold(3, |power, _| power * place % (EACH + 1));
    let last = 1 + (scattered + 254 - place + round) % 254;
    IpAddr::V4(Ipv4Addr::new(127, 0, place as u8, last as u8))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_divides_addresses_by_a_small_number_spreads_clients_as_chance_does() {
        let address = |client| match source(client) {
            IpAddr::V4(address) => u32::from(address),
            IpAddr::V6(address) => panic!("{address}"),
        };
        for divisor in 2..=12 {
            for rest in 0..divisor {
                let there = (0..120).filter(|client| address(*client) % divisor == rest).count() as f64;
                let expected = 120.0 / f64::from(divisor);
                assert!((there - expected).abs() < 4.0 * expected.sqrt(), "{divisor} {rest}: {there}");
            }
        }
    }

    #[test]
    fn each_client_has_an_address_of_its_own_and_in_a_small_network_too() {
        let all: BTreeSet<IpAddr> = (0..60_000).map(source).collect();
        assert_eq!(all.len(), 60_000);
        let networks = (0..250).map(|client| address_of(None, Some(source(client))));
        let third = |address: Option<IpAddr>| match address {
            Some(IpAddr::V4(address)) => address.octets()[2],
            other => panic!("{other:?}"),
        };
        assert_eq!(networks.map(third).collect::<BTreeSet<u8>>().len(), 250);
        let small: ClientNetwork = "203.0.113.0/24".parse().unwrap();
        let there: BTreeSet<Option<IpAddr>> =
            (0..250).map(|client| address_of(Some(small), Some(source(client)))).collect();
        assert_eq!(there.len(), 250);
    }
}
