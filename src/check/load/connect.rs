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

/// The address of a virtual client: different in the third number first, as far as there are any.
pub(crate) fn source(client: u32) -> IpAddr {
    const EACH: u32 = 250;
    let part = |number: u32| (1 + number % EACH) as u8;
    IpAddr::V4(Ipv4Addr::new(127, 0, part(client), part(client / EACH)))
}
